//! A backup becomes a data directory again.
//!
//! Until everything is in its place and on the disk, `store/restoring` lies there, and no host opens the directory. The storage key
//! is not in a backup: the operator puts it back from a copy.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::Path,
};

use super::{
    archive::Reader,
    backup::{self, Manifest},
    blob,
    copy::Write,
    directory::{Current, Directory, FORMAT, format_of, generation_path, make_directory, restoring_path, sync_directory, write_current},
    draft::Draft,
    error::StoreError,
};
use crate::model::plugin::Digest;

/// Bytes of records written as one.
const BATCH_BYTES: usize = 1024 * 1024;

/// Makes the backup in `from` the content of `data`, which must not exist, or be empty but for a storage key.
/// `progress` is told bytes done and bytes in all.
pub fn restore(from: &Path, data: &Path, mut progress: impl FnMut(u64, u64)) -> Result<Manifest, StoreError> {
    let manifest = read_manifest(from)?;
    refuse_content(data)?;
    make_directory(data).map_err(|source| StoreError::in_directory("make it", data, source))?;
    let directory = Directory::lock(data)?;
    let restored = fill(&directory, from, data, &manifest, &mut progress);
    if restored.is_err() {
        // Plugin bytes first: as long as the store is there, so is the mark that it is not whole.
        drop(fs::remove_dir_all(blob::directory(data)));
        drop(fs::remove_dir_all(directory.path()));
        drop(fs::remove_file(data.join("lock")));
    }
    restored.map(|()| manifest)
}

fn read_manifest(from: &Path) -> Result<Manifest, StoreError> {
    let no_backup = |why: String| StoreError::NoBackup { path: from.to_owned(), why };
    let path = from.join("manifest.json");
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(no_backup("it has no manifest.json".to_owned())),
        Err(source) => return Err(StoreError::backup("read", &path, source)),
    };
    let unreadable = |error: serde_json::Error| no_backup(format!("its manifest.json cannot be read: {error}"));
    let document: serde_json::Value = serde_json::from_slice(&bytes).map_err(unreadable)?;
    // The format comes first: what a newer one means is not ours to guess.
    let found = document.get("format").and_then(serde_json::Value::as_u64).and_then(|format| u32::try_from(format).ok());
    match found {
        Some(found) if found > backup::FORMAT => Err(StoreError::NewerFormat { found, known: backup::FORMAT }),
        _ => serde_json::from_value(document).map_err(unreadable),
    }
}

fn refuse_content(data: &Path) -> Result<(), StoreError> {
    let entries = match fs::read_dir(data) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(StoreError::backup("read", data, source)),
    };
    for entry in entries {
        let entry = entry.map_err(|source| StoreError::backup("read", data, source))?;
        if entry.file_name() != "key" {
            return Err(StoreError::NotEmpty { path: data.to_owned() });
        }
    }
    Ok(())
}

fn fill(
    directory: &Directory,
    from: &Path,
    data: &Path,
    manifest: &Manifest,
    progress: &mut impl FnMut(u64, u64),
) -> Result<(), StoreError> {
    let store = directory.path();
    let restoring = restoring_path(store);
    let in_store = |source| StoreError::in_directory("restore into it", data, source);
    DirBuilder::new().mode(0o700).create(&restoring).map_err(in_store)?;
    sync_directory(store).map_err(in_store)?;
    let plugins: u64 = manifest.plugins.values().sum();
    let total = plugins + manifest.records.bytes;
    let mut done = 0;
    for hex in manifest.plugins.keys() {
        done += copy_plugin(&from.join("blobs"), &blob::directory(data), hex)?;
        progress(done, total);
    }
    let (format, live) = write_records(&from.join("records"), &restoring, manifest, |bytes| progress(done + bytes, total))?;
    fs::rename(&restoring, generation_path(store, 1)).map_err(in_store)?;
    sync_directory(store).map_err(in_store)?;
    write_current(store, Current { format, generation: 1, live })?;
    sync_directory(data).map_err(in_store)
}

fn copy_plugin(from: &Path, to: &Path, hex: &str) -> Result<u64, StoreError> {
    let path = from.join(hex);
    // Only a digest becomes part of a path.
    let bytes = if blob::is_name(hex) { fs::read(&path) } else { Err(io::Error::other("its name is no digest")) };
    let bytes = bytes.map_err(|source| StoreError::backup("read", &path, source))?;
    if Digest::of(&bytes).hex() != hex {
        return Err(StoreError::NoBackup { path, why: "the bytes are not those of its digest".to_owned() });
    }
    blob::write(to, &to.join(hex), &bytes).map_err(|source| StoreError::in_directory("restore into it", to, source))?;
    Ok(bytes.len() as u64)
}

/// Writes the tree; its format, and about what lives in it. The digest is checked when all was read: until then nothing counts.
fn write_records(path: &Path, to: &Path, manifest: &Manifest, mut progress: impl FnMut(u64)) -> Result<(u32, u64), StoreError> {
    let broken = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => {
            StoreError::NoBackup { path: path.to_owned(), why: format!("it cannot be read to its end: {error}") }
        }
        _ => StoreError::backup("read", path, error),
    };
    let draft = Draft::open(to, None)?;
    let mut reader = Reader::open(path).map_err(broken)?;
    let (mut batch, mut bytes, mut live): (Vec<Write>, usize, u64) = (Vec::new(), 0, 0);
    while let Some((key, value)) = reader.next().map_err(broken)? {
        bytes += key.len() + value.as_ref().map_or(0, Vec::len);
        batch.push((key, value));
        if bytes >= BATCH_BYTES {
            draft.put(batch.iter().map(|(key, value)| (key, value)))?;
            batch.clear();
            live += bytes as u64;
            bytes = 0;
            progress(reader.bytes());
        }
    }
    draft.put(batch.iter().map(|(key, value)| (key, value)))?;
    let found = reader.finish().map_err(broken)?;
    if found != manifest.records {
        return Err(StoreError::NoBackup { path: path.to_owned(), why: "its digest is not that of the manifest".to_owned() });
    }
    let engine = draft.finish()?;
    progress(found.bytes);
    Ok((format_of(&engine)?.unwrap_or(FORMAT), live + bytes as u64))
}
