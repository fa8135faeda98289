//! Plugin bytes: files named by their digest. Immutable, written before the configuration that names them.

use std::{
    collections::HashSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use bytes::Bytes;

use super::{
    Store,
    directory::{make_directory, replace},
    error::StoreError,
};
use crate::model::plugin::Digest;

/// Hexadecimal digits of a digest.
const HEX_DIGITS: usize = 64;

impl Store {
    /// Keeps `bytes`, durably.
    pub async fn put_blob(&self, bytes: impl Into<Bytes>) -> Result<Digest, StoreError> {
        let (directory, bytes) = (self.blobs(), bytes.into());
        blocking(move || {
            let digest = Digest::of(&bytes);
            let path = directory.join(digest.hex());
            let failed = |source| StoreError::unavailable("write a plugin's bytes", source);
            if read(&path)?.is_none_or(|kept| Digest::of(&kept) != digest) {
                write(&directory, &path, &bytes).map_err(failed)?;
            } else {
                // Put again is in use again, as far as sweeping goes.
                File::open(&path).and_then(|file| file.set_modified(SystemTime::now())).map_err(failed)?;
            }
            Ok(digest)
        })
        .await
    }

    /// The bytes of a digest, verified.
    pub async fn get_blob(&self, digest: &Digest) -> Result<Option<Bytes>, StoreError> {
        let Some(path) = self.blob_path(digest) else { return Ok(None) };
        let digest = digest.clone();
        blocking(move || match read(&path)? {
            Some(bytes) if Digest::of(&bytes) == digest => Ok(Some(Bytes::from(bytes))),
            Some(_) => Err(StoreError::corrupt(path.display().to_string(), "the bytes are not those of its digest")),
            None => Ok(None),
        })
        .await
    }

    /// Whether there are bytes for a digest; they are not verified.
    pub async fn has_blob(&self, digest: &Digest) -> Result<bool, StoreError> {
        let Some(path) = self.blob_path(digest) else { return Ok(false) };
        blocking(move || Ok(path.is_file())).await
    }

    /// Removes the bytes of a digest that nothing names any more. While a backup is under way they stay: [`Store::sweep_blobs`] finds
    /// them later.
    pub async fn remove_blob(&self, digest: &Digest) -> Result<(), StoreError> {
        let Some(path) = self.blob_path(digest).filter(|_| !self.shared.backup.is_busy()) else { return Ok(()) };
        blocking(move || match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::unavailable("remove a plugin's bytes", error)),
            _ => Ok(()),
        })
        .await
    }

    /// Removes bytes that are not `used` and that nobody has put for `kept`, and what interrupted writes left. How many.
    pub async fn sweep_blobs(&self, used: HashSet<Digest>, kept: Duration) -> Result<u64, StoreError> {
        if self.shared.backup.is_busy() {
            return Ok(0);
        }
        let (directory, used) = (self.blobs(), used.iter().map(|digest| digest.hex().to_owned()).collect::<HashSet<_>>());
        blocking(move || {
            remove_unused(&directory, &used, kept).map_err(|source| StoreError::unavailable("remove plugin bytes nobody uses", source))
        })
        .await
    }

    fn blobs(&self) -> PathBuf {
        directory(&self.shared.data)
    }

    /// A digest may come from outside: only digits become part of a path.
    fn blob_path(&self, digest: &Digest) -> Option<PathBuf> {
        let hex = digest.hex();
        is_name(hex).then(|| self.blobs().join(hex))
    }
}

/// Where plugin bytes are.
pub(super) fn directory(data: &Path) -> PathBuf {
    data.join("blobs")
}

/// Whether a file of this name may hold plugin bytes.
pub(super) fn is_name(name: &str) -> bool {
    name.len() == HEX_DIGITS && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The digests, in hexadecimal, of the bytes in a directory.
pub(super) fn names(directory: &Path) -> Result<Vec<String>, StoreError> {
    let read = || match fs::read_dir(directory) {
        Ok(entries) => entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect::<io::Result<Vec<_>>>(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    };
    let names = read().map_err(|source| StoreError::unavailable("list plugin bytes", source))?;
    Ok(names.into_iter().filter(|name| is_name(name)).collect())
}

/// What was not changed for so long is no write under way.
const UNFINISHED: Duration = Duration::from_secs(24 * 3600);

fn remove_unused(directory: &Path, used: &HashSet<String>, kept: Duration) -> io::Result<u64> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    let mut removed = 0;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // In the future: the clock was set back.
        let age = SystemTime::now().duration_since(entry.metadata()?.modified()?).unwrap_or_default();
        let is_old = if is_name(&name) { !used.contains(&name) && age >= kept } else { age >= UNFINISHED };
        if is_old {
            fs::remove_file(entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Runs `work` on files where it may block.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, StoreError> + Send + 'static) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.map_err(|source| StoreError::unavailable("finish work on a file", source))?
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StoreError::unavailable("read a plugin's bytes", source)),
    }
}

/// Writes `bytes` durably.
pub(super) fn write(directory: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    make_directory(directory)?;
    replace(path, bytes)
}
