//! Plugin bytes: files named by their digest. Immutable, written before the configuration that names them.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use bytes::Bytes;

use super::{Store, directory::sync_directory, error::StoreError};
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
            if read(&path)?.is_none_or(|kept| Digest::of(&kept) != digest) {
                write(&directory, &path, &bytes).map_err(|source| StoreError::unavailable("write a plugin's bytes", source))?;
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

    /// Removes the bytes of a digest that nothing names any more.
    pub async fn remove_blob(&self, digest: &Digest) -> Result<(), StoreError> {
        let Some(path) = self.blob_path(digest) else { return Ok(()) };
        blocking(move || match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::unavailable("remove a plugin's bytes", error)),
            _ => Ok(()),
        })
        .await
    }

    fn blobs(&self) -> PathBuf {
        self.shared.data.join("blobs")
    }

    /// A digest may come from outside: only digits become part of a path.
    fn blob_path(&self, digest: &Digest) -> Option<PathBuf> {
        let hex = digest.hex();
        let digits = hex.len() == HEX_DIGITS && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        digits.then(|| self.blobs().join(hex))
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, StoreError> + Send + 'static) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.map_err(|source| StoreError::unavailable("finish work on a file", source))?
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StoreError::unavailable("read a plugin's bytes", source)),
    }
}

fn write(directory: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    if !directory.exists() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        directory.parent().map_or(Ok(()), sync_directory)?;
    }
    // Readable by its owner alone, as all temporary files are.
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    sync_directory(directory)
}
