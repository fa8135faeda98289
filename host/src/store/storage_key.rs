//! The key everything is sealed with: XChaCha20-Poly1305, a random nonce per value, the place of the value as associated data.

use std::{
    fmt, fs, io,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac, digest::KeyInit};
use sha2::Sha256;

use super::{
    cipher::{Cipher, Unopened},
    committer::Committer,
    directory::{holds_store, make_directory, sync_directory},
    engine::Engine,
    error::StoreError,
    key,
    transaction::decode,
};
use crate::{clock, model::secret::Secret};

/// Bytes of a SHA-256 block.
const BLOCK_BYTES: usize = 64;

/// The key that is to take the place of `key`, and the one that was there.
const NEXT: &str = "key.next";
const PREVIOUS: &str = "key.previous";

/// What a sealed value begins with: the way it is sealed.
const SEALED: &str = "x1.";

/// The storage key, as the keys derived from it. Does not print.
#[derive(Clone)]
pub struct StorageKey(Arc<Derived>);

struct Derived {
    /// For values that stand in others: secrets, codes.
    values: Cipher,
    /// For rows of the store.
    rows: Cipher,
    hashing: [u8; 32],
}

/// Where a storage key came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyOrigin {
    /// The file that was named.
    File(PathBuf),
    /// `DATA/key`, made at an earlier start.
    Data(PathBuf),
    /// `DATA/key`, made just now.
    Generated(PathBuf),
}

impl StorageKey {
    /// A key from its bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        let derived = |what| hmac(&bytes, what);
        let (values, rows) = (Cipher::new(derived(b"hookwright: seal")), Cipher::new(derived(b"hookwright: seal rows")));
        Self(Arc::new(Derived { values, rows, hashing: derived(b"hookwright: hash") }))
    }

    /// Reads the key from `key_file` (64 hexadecimal digits or 32 bytes), else from `DATA/key`, which is made when there is neither it
    /// nor a store yet.
    pub fn load(key_file: Option<&Path>, data: &Path) -> Result<(Self, KeyOrigin), StoreError> {
        if let Some(path) = key_file {
            let key = read(path)?.ok_or_else(|| StoreError::KeyFileMissing { path: path.to_owned() })?;
            return Ok((key, KeyOrigin::File(path.to_owned())));
        }
        let path = data.join("key");
        if let Some(key) = read(&path)? {
            return Ok((key, KeyOrigin::Data(path)));
        }
        if holds_store(data) {
            return Err(StoreError::KeyMissing { path });
        }
        generate(data, &path).map_err(|source| StoreError::unavailable("write its key", source))?;
        let key = read(&path)?.ok_or_else(|| StoreError::KeyMissing { path: path.clone() })?;
        Ok((key, KeyOrigin::Generated(path)))
    }

    /// Makes the key that is to take the place of `DATA/key`, as `DATA/key.next`; what a rotation that was cut off made goes on to be it.
    pub fn prepare_next(data: &Path) -> Result<Self, StoreError> {
        let path = data.join(NEXT);
        generate(data, &path).map_err(|source| StoreError::unavailable("write its next key", source))?;
        read(&path)?.ok_or(StoreError::KeyMissing { path })
    }

    /// That key, if there is one.
    pub fn load_next(data: &Path) -> Result<Option<Self>, StoreError> {
        read(&data.join(NEXT))
    }

    /// Puts that key in its place; the one that was there is kept as `DATA/key.previous`. Where it is now.
    pub fn adopt_next(data: &Path) -> Result<PathBuf, StoreError> {
        let path = data.join("key");
        let moved = || -> io::Result<()> {
            if path.exists() {
                // A second name first: there is a key at every moment.
                drop(fs::remove_file(data.join(PREVIOUS)));
                fs::hard_link(&path, data.join(PREVIOUS))?;
            }
            fs::rename(data.join(NEXT), &path)?;
            sync_directory(data)
        };
        moved().map_err(|source| StoreError::unavailable("put its next key in place", source))?;
        Ok(path)
    }

    /// Seals `bytes` for the place named by `aad`: they open nowhere else.
    pub fn seal(&self, aad: &str, bytes: &[u8]) -> Result<String, StoreError> {
        let sealed = self.0.values.seal(aad.as_bytes(), bytes).ok_or_else(too_long)?;
        Ok(format!("{SEALED}{}", URL_SAFE_NO_PAD.encode(sealed)))
    }

    /// Opens what was sealed with this key for the place named by `aad`.
    pub fn unseal(&self, aad: &str, sealed: &str) -> Result<Secret, StoreError> {
        let corrupt = || StoreError::corrupt(format!("the sealed value of {aad}"), Unopened);
        let sealed = sealed.strip_prefix(SEALED).and_then(|sealed| URL_SAFE_NO_PAD.decode(sealed).ok()).ok_or_else(corrupt)?;
        Ok(Secret::new(self.0.values.open(aad.as_bytes(), sealed).map_err(|_| corrupt())?))
    }

    /// Seals the value of the row under `key`.
    pub(super) fn seal_row(&self, key: &[u8], value: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.0.rows.seal(key, value).ok_or_else(too_long)
    }

    /// Opens the value of the row under `key`.
    pub(super) fn open_row(&self, key: &[u8], sealed: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        self.0.rows.open(key, sealed).map_err(|unopened| StoreError::corrupt(format!("the record {}", key.escape_ascii()), unopened))
    }

    /// A hash of `bytes` nobody without the key can make. `context` says what for: hashes for two purposes have nothing in common.
    pub fn keyed_hash(&self, context: &str, bytes: &[u8]) -> [u8; 32] {
        hmac(&hmac(&self.0.hashing, context.as_bytes()), bytes)
    }
}

fn too_long() -> StoreError {
    StoreError::unavailable("seal a value", "it is too long")
}

impl fmt::Debug for StorageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StorageKey(redacted)")
    }
}

/// Has the store remember its key when it knows none; whether it is the one it knows was asked before.
pub(super) fn keep(committer: &mut Committer, storage_key: &StorageKey) -> Result<(), StoreError> {
    let storage_key = storage_key.clone();
    committer.commit_now(move |transaction| match transaction.exists(key::KEY_CHECK)? {
        true => Ok(()),
        false => transaction.put(key::KEY_CHECK.to_vec(), &check_of(&storage_key)),
    })
}

/// Whether a tree knows this key; `None`: it knows none yet.
pub(super) fn is_of(engine: &Engine, storage_key: &StorageKey) -> Result<Option<bool>, StoreError> {
    let kept = engine.get(key::KEY_CHECK)?.map(|bytes| decode::<String>(key::KEY_CHECK, &bytes)).transpose()?;
    Ok(kept.map(|kept| kept == check_of(storage_key)))
}

/// What a store remembers of its key.
pub(super) fn check_of(storage_key: &StorageKey) -> String {
    hex::encode(storage_key.keyed_hash("key check", b""))
}

fn hmac(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    // A key shorter than a block is padded with zeros (RFC 2104, section 2); a whole block cannot be refused.
    let mut block = [0; BLOCK_BYTES];
    block[..key.len()].copy_from_slice(key);
    let mut mac = <Hmac<Sha256> as KeyInit>::new(&block.into());
    mac.update(message);
    mac.finalize().into_bytes().into()
}

fn read(path: &Path) -> Result<Option<StorageKey>, StoreError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StoreError::unavailable("read its key", source)),
    };
    let key = bytes.as_slice().try_into().ok().or_else(|| {
        let mut key = [0; 32];
        hex::decode_to_slice(bytes.trim_ascii(), &mut key).ok().map(|()| key)
    });
    key.map(|key| Some(StorageKey::new(key))).ok_or_else(|| StoreError::KeyMalformed { path: path.to_owned() })
}

fn generate(data: &Path, path: &Path) -> io::Result<()> {
    make_directory(data)?;
    // Readable by its owner alone, as all temporary files are.
    let mut file = tempfile::NamedTempFile::new_in(data)?;
    file.write_all(hex::encode(clock::random::<32>()).as_bytes())?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        // Another process was faster: its key counts.
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error.error),
        Ok(_) => {}
    }
    sync_directory(data)
}
