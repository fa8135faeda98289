//! Configuration: documents by kind and id. Writing is compare-and-swap; one revision counts all changes in commit order.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Store,
    audit::Attribution,
    engine::Engine,
    error::StoreError,
    key::{self, Range},
    transaction::{Transaction, decode},
};
use crate::model::audit::Deed;

/// A change to a document.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigWrite {
    /// Webhook, receiver, plugin, ...
    pub kind: &'static str,
    /// Which one.
    pub id: String,
    /// The revision it must have; 0: it must not exist. Absent: whatever is there.
    pub expected: Option<u64>,
    /// The new document; `None` deletes.
    pub document: Option<Value>,
}

/// A document as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfigDoc {
    /// Its kind.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// The revision that changed it last.
    pub revision: u64,
    /// The document; `None`: it was deleted.
    pub document: Option<Value>,
}

impl Store {
    /// Makes changes, all or none, under one new revision, which it returns; each with its entry in the audit log. Fails with [`StoreError::Conflict`] when a document
    /// is not at the revision expected.
    pub async fn put_config(&self, writes: Vec<ConfigWrite>) -> Result<u64, StoreError> {
        let attribution = self.attribution.clone();
        self.commit(0, move |transaction| {
            let revision = transaction.counters.revision + 1;
            let mut changed = false;
            for write in writes {
                changed |= put(transaction, revision, write, &attribution)?;
            }
            if changed {
                transaction.counters.revision = revision;
                transaction.put(key::REVISION.to_vec(), &revision)?;
            }
            Ok(transaction.counters.revision)
        })
        .await
    }

    /// Reads a document; `None` when no such document exists, or it was deleted.
    pub async fn config(&self, kind: &str, id: &str) -> Result<Option<ConfigDoc>, StoreError> {
        Ok(get(&self.engine(), &key::config(kind, id))?.filter(|document| document.document.is_some()))
    }

    /// All documents, by kind and id.
    pub async fn configs(&self) -> Result<Vec<ConfigDoc>, StoreError> {
        self.scan(|engine| {
            let documents = engine.records(key::under(key::CONFIGS)).map(|record| {
                let (key, bytes) = record?;
                decode::<ConfigDoc>(&key, &bytes)
            });
            documents.filter(|document| document.as_ref().map_or(true, |document| document.document.is_some())).collect()
        })
        .await
    }

    /// Documents changed after `revision`, deleted ones too, in the order of their last change.
    pub async fn config_since(&self, revision: u64) -> Result<Vec<ConfigDoc>, StoreError> {
        self.scan(move |engine| {
            let range: Range = key::numbered_from(key::REVISIONS, revision.saturating_add(1));
            let changed = engine.keys(range).map(|key| get(engine, key.as_deref().map_err(Clone::clone).map(document_of)?));
            changed.filter_map(Result::transpose).collect()
        })
        .await
    }
}

fn put(transaction: &mut Transaction<'_>, revision: u64, write: ConfigWrite, attribution: &Attribution) -> Result<bool, StoreError> {
    let ConfigWrite { kind, id, expected, document } = write;
    let key = key::config(kind, &id);
    let earlier = transaction.get::<ConfigDoc>(&key)?;
    let current = earlier.as_ref().filter(|earlier| earlier.document.is_some()).map_or(0, |earlier| earlier.revision);
    if let Some(expected) = expected.filter(|expected| *expected != current) {
        return Err(StoreError::Conflict { what: format!("{kind} `{id}`"), expected, current });
    }
    if document.is_none() && current == 0 {
        return Ok(false);
    }
    let before = earlier.as_ref().and_then(|earlier| earlier.document.as_ref());
    if let Some(deed) = Deed::of_document(kind, &id, before, document.as_ref()) {
        attribution.write(transaction, deed)?;
    }
    if let Some(earlier) = earlier {
        transaction.unmark(changed(earlier.revision, &key));
    }
    transaction.mark(changed(revision, &key));
    transaction.put(key, &ConfigDoc { kind: kind.to_owned(), id, revision, document })?;
    Ok(true)
}

fn get(engine: &Engine, key: &[u8]) -> Result<Option<ConfigDoc>, StoreError> {
    engine.get(key)?.map(|bytes| decode(key, &bytes)).transpose()
}

/// A note that `revision` changed the document under `key`.
fn changed(revision: u64, key: &[u8]) -> Vec<u8> {
    [key::revision(revision).as_slice(), key].concat()
}

/// The key of the document such a note is about.
fn document_of(key: &[u8]) -> &[u8] {
    key.get(key::REVISIONS.len() + 8..).unwrap_or_default()
}
