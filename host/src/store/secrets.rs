//! Secrets: write-only, versioned, sealed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{StorageKey, Store, error::StoreError, key, transaction::decode};
use crate::model::{audit::Deed, secret::Secret};

/// Versions kept of one secret; beyond, the oldest goes.
pub const SECRET_VERSIONS_MAX: usize = 100;

/// What can be told about a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretInfo {
    /// Its name.
    pub name: String,
    /// Its versions, oldest first.
    pub versions: Vec<SecretVersion>,
}

/// What can be told about a version of a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretVersion {
    /// 1 for the first.
    pub version: u32,
    /// When it was put.
    pub created_at: Timestamp,
}

/// A secret as kept.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct SecretRecord {
    versions: Vec<Sealed>,
}

impl SecretRecord {
    /// Seals every version with another key. How many there are.
    pub(super) fn reseal(&mut self, name: &str, old: &StorageKey, new: &StorageKey) -> Result<u64, StoreError> {
        for version in &mut self.versions {
            let place = place(name, version.version);
            version.sealed = new.seal(&place, old.unseal(&place, &version.sealed)?.expose())?;
        }
        Ok(self.versions.len() as u64)
    }

    fn numbers(&self) -> Vec<u32> {
        self.versions.iter().map(|sealed| sealed.version).collect()
    }
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    version: u32,
    created_at: Timestamp,
    sealed: String,
}

/// What a version is sealed for.
fn place(name: &str, version: u32) -> String {
    format!("secret {name}@{version}")
}

impl Store {
    /// What secrets are sealed with; for values kept sealed inside other records, and for hashes nobody else can make.
    pub fn storage_key(&self) -> &StorageKey {
        &self.shared.key
    }

    /// Adds a version of a secret and returns its number.
    pub async fn put_secret(&self, name: &str, value: &[u8]) -> Result<u32, StoreError> {
        let (name, value) = (name.to_owned(), Secret::new(value));
        let (storage_key, attribution) = (self.shared.key.clone(), self.attribution.clone());
        self.commit(value.expose().len(), move |transaction| {
            let key = key::secret(&name);
            let mut record = transaction.get::<SecretRecord>(&key)?.unwrap_or_default();
            let before = record.numbers();
            let version = record.versions.last().map_or(1, |last| last.version + 1);
            let sealed = storage_key.seal(&place(&name, version), value.expose())?;
            record.versions.push(Sealed { version, created_at: transaction.now, sealed });
            let surplus = record.versions.len().saturating_sub(SECRET_VERSIONS_MAX);
            record.versions.drain(..surplus);
            attribution.write(transaction, Deed::of_secret(&name, &before, &record.numbers()))?;
            transaction.put(key, &record)?;
            Ok(version)
        })
        .await
    }

    /// A version of a secret; the newest when none is given.
    pub async fn secret(&self, name: &str, version: Option<u32>) -> Result<Option<Secret>, StoreError> {
        let key = key::secret(name);
        let Some(bytes) = self.engine().get(&key)? else { return Ok(None) };
        let record: SecretRecord = decode(&key, &bytes)?;
        let found = match version {
            Some(version) => record.versions.iter().find(|sealed| sealed.version == version),
            None => record.versions.last(),
        };
        found.map(|found| self.shared.key.unseal(&place(name, found.version), &found.sealed)).transpose()
    }

    /// All secrets, by name.
    pub async fn secrets(&self) -> Result<Vec<SecretInfo>, StoreError> {
        self.scan(|engine| {
            let secrets = engine.records(key::under(key::SECRETS)).map(|record| {
                let (key, bytes) = record?;
                let record: SecretRecord = decode(&key, &bytes)?;
                let versions = record.versions.into_iter();
                let versions = versions.map(|Sealed { version, created_at, .. }| SecretVersion { version, created_at }).collect();
                Ok(SecretInfo { name: key::tail(&key, key::SECRETS.len()).unwrap_or_default(), versions })
            });
            secrets.collect()
        })
        .await
    }

    /// Deletes a secret with all its versions. Whether there was one.
    pub async fn delete_secret(&self, name: &str) -> Result<bool, StoreError> {
        let (key, name, attribution) = (key::secret(name), name.to_owned(), self.attribution.clone());
        self.commit(0, move |transaction| {
            let Some(record) = transaction.get::<SecretRecord>(&key)? else { return Ok(false) };
            attribution.write(transaction, Deed::of_secret(&name, &record.numbers(), &[]))?;
            transaction.remove(key)?;
            Ok(true)
        })
        .await
    }
}
