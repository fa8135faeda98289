//! Another storage key: everything that is sealed or hashed with the old one is so with the new one, in one commit. Offline: no host has
//! the directory.
//!
//! The new key is on the disk before anything changes, and takes the old one's place after it: whenever the machine stops, one of the
//! two opens the store, and [`StorageKey::load_next`] is the other.

use std::path::Path;

use super::{
    ConfigDoc, Store, StoreError, StoreOptions, key,
    secrets::SecretRecord,
    storage_key::{self, StorageKey},
    transaction::{Transaction, decode},
};
use crate::model::code::CodeRecord;

/// What was sealed anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotated {
    /// Versions of secrets.
    pub secrets: u64,
    /// Codes.
    pub codes: u64,
}

/// Seals what the store in `data` holds with `new` instead of the key in `options`, and rewrites the store, so that nothing sealed with
/// the old key is left in its file.
pub async fn rotate(data: &Path, options: StoreOptions, new: StorageKey) -> Result<Rotated, StoreError> {
    let old = options.key.clone();
    let store = Store::open(data, options)?;
    let rotated = store.commit_scanning(move |transaction| reseal(transaction, &old, &new)).await?;
    store.compact().await?;
    store.close().await;
    Ok(rotated)
}

fn reseal(transaction: &mut Transaction<'_>, old: &StorageKey, new: &StorageKey) -> Result<Rotated, StoreError> {
    let mut rotated = Rotated::default();
    let secrets: Vec<_> = transaction.engine.records(key::under(key::SECRETS)).collect::<Result<_, _>>()?;
    for (key, bytes) in secrets {
        let mut record: SecretRecord = decode(&key, &bytes)?;
        let name = key::tail(&key, key::SECRETS.len()).unwrap_or_default();
        rotated.secrets += record.reseal(&name, old, new)?;
        transaction.put(key, &record)?;
    }
    let codes: Vec<_> = transaction.engine.records(key::under(&key::config("code", ""))).collect::<Result<_, _>>()?;
    for (key, bytes) in codes {
        let mut kept: ConfigDoc = decode(&key, &bytes)?;
        let Some(document) = kept.document.take() else { continue };
        let unreadable = |source: serde_json::Error| StoreError::corrupt(format!("the code {}", kept.id), source);
        let mut code: CodeRecord = serde_json::from_value(document).map_err(unreadable)?;
        let text = old.unseal(&code.sealed_as(), &code.sealed)?;
        code.sealed = new.seal(&code.sealed_as(), text.expose())?;
        code.hash = hex::encode(new.keyed_hash("code", text.expose()));
        kept.document = Some(serde_json::to_value(&code).map_err(unreadable)?);
        transaction.put(key, &kept)?;
        rotated.codes += 1;
    }
    storage_key::remember(transaction, new)?;
    Ok(rotated)
}
