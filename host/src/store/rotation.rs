//! Another storage key: everything that is sealed or hashed with the old one is so with the new one. Offline: no host has the directory.
//!
//! The new key is on the disk before anything changes, and takes the old one's place after it: whenever the machine stops, one of the
//! two opens the store, and [`StorageKey::load_next`] is the other.

use std::path::Path;

use super::{
    ConfigDoc,
    directory::{Directory, holds_store},
    error::StoreError,
    key, resealing,
    secrets::SecretRecord,
    storage_key::{self, StorageKey},
    transaction::{decode, encode},
};
use crate::model::code::CodeRecord;

/// What was sealed again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotated {
    /// Versions of secrets.
    pub secrets: u64,
    /// Codes.
    pub codes: u64,
    /// Records of the store in all.
    pub records: u64,
}

/// Seals what the store in `data` holds with `new` instead of `old`, and leaves nothing sealed with the old key in its files. `progress`
/// is told records and their bytes so far.
pub fn rotate(data: &Path, old: &StorageKey, new: &StorageKey, mut progress: impl FnMut(u64, u64)) -> Result<Rotated, StoreError> {
    if !holds_store(data) {
        return Err(StoreError::NoStore { path: data.to_owned() });
    }
    let directory = Directory::lock(data)?;
    let engine = directory.open_current(Some(old))?;
    if storage_key::is_of(&engine, old)? == Some(false) {
        return Err(StoreError::WrongKey);
    }
    let (mut rotated, mut records) = (Rotated::default(), 0);
    let mut change = |key: &[u8], value: Vec<u8>| again(key, value, old, new, &mut rotated);
    resealing::reseal(&directory, engine, new, &mut change, |so_far, bytes| {
        records = so_far;
        progress(so_far, bytes);
    })?;
    Ok(Rotated { records, ..rotated })
}

/// Under one key, what is sealed or hashed by itself with the old storage key.
fn again(key: &[u8], value: Vec<u8>, old: &StorageKey, new: &StorageKey, rotated: &mut Rotated) -> Result<Vec<u8>, StoreError> {
    if key.starts_with(key::SECRETS) {
        let mut record: SecretRecord = decode(key, &value)?;
        let name = key::tail(key, key::SECRETS.len()).unwrap_or_default();
        rotated.secrets += record.reseal(&name, old, new)?;
        encode(&record)
    } else if key.starts_with(&key::config("code", "")) {
        let mut kept: ConfigDoc = decode(key, &value)?;
        let Some(document) = kept.document.take() else { return Ok(value) };
        let unreadable = |source: serde_json::Error| StoreError::corrupt(format!("the code {}", kept.id), source);
        let mut code: CodeRecord = serde_json::from_value(document).map_err(unreadable)?;
        let text = old.unseal(&code.sealed_as(), &code.sealed)?;
        code.sealed = new.seal(&code.sealed_as(), text.expose())?;
        code.hash = hex::encode(new.keyed_hash("code", text.expose()));
        kept.document = Some(serde_json::to_value(&code).map_err(unreadable)?);
        rotated.codes += 1;
        encode(&kept)
    } else {
        Ok(value)
    }
}
