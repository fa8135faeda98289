//! Walking through the tree while it is written to.
//!
//! The committer goes a few records at a time between its rounds. What lies behind the walk is in the copy, and commits to it are
//! repeated there; what lies before it will be copied when the walk gets there. When the walk ends, the copy is what the tree is at
//! that moment: a point in commit order.
//!
//! What becomes of the records: `generation` writes them into a new tree, `backup` into a file.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::{
    engine::{Engine, Writes},
    error::StoreError,
    key::Range,
};

/// Bytes copied in one step. A commit waits for one step at most.
const STEP_BYTES: usize = 256 * 1024;

/// The last possible key: no kind is 255.
const END: &[u8] = &[u8::MAX];

/// A key with its value as stored; `None`: it is taken away.
pub(super) type Write = (Vec<u8>, Option<Vec<u8>>);

/// The progress of a walk.
#[derive(Debug, Default)]
pub(super) struct Progress {
    records: AtomicU64,
    bytes: AtomicU64,
}

impl Progress {
    /// Records and their bytes so far.
    pub(super) fn read(&self) -> (u64, u64) {
        (self.records.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }
}

/// A walk through the tree.
pub(super) struct Walk {
    cursor: Vec<u8>,
    progress: Arc<Progress>,
}

impl Walk {
    /// At the beginning.
    pub(super) fn new(progress: Arc<Progress>) -> Self {
        progress.records.store(0, Ordering::Relaxed);
        progress.bytes.store(0, Ordering::Relaxed);
        Self { cursor: Vec::new(), progress }
    }

    /// Whether everything was walked through.
    pub(super) fn is_over(&self) -> bool {
        self.cursor == END
    }

    /// The next few records. The caller must write them to the copy, or give the copy up.
    pub(super) fn step(&mut self, source: &Engine) -> Result<Vec<Write>, StoreError> {
        let range: Range = (self.cursor.clone(), END.to_vec());
        let (mut batch, mut bytes) = (Vec::new(), 0);
        let mut records = source.raw_records(range);
        self.cursor = loop {
            match records.next().transpose()? {
                Some((key, _)) if bytes >= STEP_BYTES => break key,
                Some((key, value)) => {
                    bytes += key.len() + value.len();
                    batch.push((key, Some(value)));
                }
                None => break END.to_vec(),
            }
        };
        self.progress.records.fetch_add(batch.len() as u64, Ordering::Relaxed);
        self.progress.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(batch)
    }

    /// What of a round's writes concerns records that are copied already.
    pub(super) fn passed<'a>(&self, writes: &'a Writes) -> impl Iterator<Item = (&'a Vec<u8>, &'a Option<Vec<u8>>)> {
        writes.iter().filter(move |(key, _)| key.as_slice() < self.cursor.as_slice())
    }
}
