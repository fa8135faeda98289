//! Work on the whole store that takes its time: a backup, a compaction. One of a kind at a time; how far it is can be asked.

use std::sync::{Arc, Mutex};

use jiff::Timestamp;

use super::{copy::Progress, error::StoreError};
use crate::lock::lock;

/// How it stands with the last operation of a kind.
#[derive(Clone, Debug)]
pub struct OperationStatus<T> {
    /// When it began.
    pub begun_at: Timestamp,
    /// When it ended; absent: it has not.
    pub ended_at: Option<Timestamp>,
    /// Records copied so far.
    pub records: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// What came of it; absent: it has not ended.
    pub outcome: Option<Result<T, StoreError>>,
}

/// The place of the one operation of a kind.
pub(super) struct Place<T> {
    what: &'static str,
    last: Mutex<Option<(OperationStatus<T>, Arc<Progress>)>>,
}

impl<T: Clone> Place<T> {
    /// Nothing was done yet.
    pub(super) fn new(what: &'static str) -> Self {
        Self { what, last: Mutex::default() }
    }

    /// Takes the place.
    pub(super) fn begin(&self, at: Timestamp, progress: Arc<Progress>) -> Result<(), StoreError> {
        let mut last = lock(&self.last);
        if last.as_ref().is_some_and(|(status, _)| status.outcome.is_none()) {
            return Err(StoreError::Busy { what: self.what });
        }
        *last = Some((OperationStatus { begun_at: at, ended_at: None, records: 0, bytes: 0, outcome: None }, progress));
        Ok(())
    }

    /// Gives the place back; does nothing when that was done before.
    pub(super) fn end(&self, at: Timestamp, outcome: Result<T, StoreError>) {
        let mut last = lock(&self.last);
        if let Some((status, progress)) = last.as_mut().filter(|(status, _)| status.outcome.is_none()) {
            (status.records, status.bytes) = progress.read();
            status.ended_at = Some(at);
            status.outcome = Some(outcome);
        }
    }

    /// How it stands.
    pub(super) fn status(&self) -> Option<OperationStatus<T>> {
        let last = lock(&self.last);
        let (mut status, progress) = last.clone()?;
        if status.outcome.is_none() {
            (status.records, status.bytes) = progress.read();
        }
        Some(status)
    }

    /// Whether one is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.status().is_some_and(|status| status.outcome.is_none())
    }
}
