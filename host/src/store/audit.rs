//! The audit log: an entry with each change of a document or a secret, in the same commit. Numbered in commit order.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::{
    Store,
    engine::Engine,
    error::StoreError,
    key,
    log::{EXAMINED_MAX, Page},
    transaction::{Transaction, decode},
};
use crate::model::audit::{AuditEntry, AuditFilter, Deed, Origin};

/// On whose behalf a handle of the store writes, and whether an entry said so yet.
#[derive(Clone, Debug)]
pub(super) struct Attribution {
    origin: Arc<Origin>,
    noted: Arc<AtomicBool>,
}

impl Attribution {
    pub(super) fn new(origin: Origin) -> Self {
        Self { origin: Arc::new(origin), noted: Arc::default() }
    }

    /// Adds an entry to a commit.
    pub(super) fn write(&self, transaction: &mut Transaction<'_>, deed: Deed) -> Result<(), StoreError> {
        // The host's own bookkeeping is no change anybody would look for.
        if self.origin.is_host() && deed.before.is_some() && deed.before == deed.after && deed.changes.is_empty() {
            return Ok(());
        }
        transaction.counters.audit += 1;
        let number = transaction.counters.audit;
        let entry = AuditEntry { number, at: transaction.now, origin: (*self.origin).clone(), deed };
        transaction.put(key::audit(number), &entry)?;
        self.noted.store(true, Ordering::Release);
        Ok(())
    }
}

impl Store {
    /// The same store: what is written through this handle is done on behalf of `origin`.
    pub fn on_behalf(&self, origin: Origin) -> Self {
        Self { shared: Arc::clone(&self.shared), attribution: Attribution::new(origin) }
    }

    /// Whether the audit log has an entry of something that was done through this handle or its clones.
    pub fn has_noted(&self) -> bool {
        self.attribution.noted.load(Ordering::Acquire)
    }

    /// Adds an entry for what is no change of a document.
    pub async fn note(&self, deed: Deed) -> Result<(), StoreError> {
        let attribution = self.attribution.clone();
        self.commit(0, move |transaction| attribution.write(transaction, deed)).await
    }

    /// Entries of the audit log, newest first.
    pub async fn audit(&self, filter: AuditFilter, cursor: Option<String>, limit: usize) -> Result<Page<AuditEntry>, StoreError> {
        self.scan(move |engine| {
            let before = cursor.and_then(|cursor| cursor.parse::<u64>().ok()).unwrap_or(u64::MAX);
            let (mut data, mut last) = (Vec::new(), None);
            for (examined, record) in engine.records(key::numbered_to(key::AUDIT, before.saturating_sub(1))).rev().enumerate() {
                if data.len() >= limit || examined >= EXAMINED_MAX {
                    return Ok(Page { data, next: last });
                }
                let (key, bytes) = record?;
                let entry: AuditEntry = decode(&key, &bytes)?;
                if filter.since.is_some_and(|since| entry.at < since) {
                    break;
                }
                last = Some(entry.number.to_string());
                if filter.matches(&entry) {
                    data.push(entry);
                }
            }
            Ok(Page { data, next: None })
        })
        .await
    }
}

/// The number of the last entry.
pub(super) fn last_number(engine: &Engine) -> Result<u64, StoreError> {
    let last = engine.keys(key::under(key::AUDIT)).next_back().transpose()?;
    Ok(last.and_then(|key| key::number(key::AUDIT, &key)).unwrap_or(0))
}
