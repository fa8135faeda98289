//! The engine: what was committed lately in memory and in the journal, everything older in the tree.
//!
//! A commit is durable once the journal is, which is one write of one file; the tree would sync a thousand times a second what it writes
//! again a moment later. So writes stay in a layer in memory until it holds a turn of the journal. Then the layer leaves for the tree, on a
//! thread of its own and little by little, while the next one grows. Most of what a delivery writes has been removed again by then, and
//! never gets there.
//!
//! Writing to the tree at once and only syncing it later would not do: it moves older records as it writes, and may use their place
//! again before the move is on the disk. What the journal lets be repeated is what was written, not what was moved.

use std::{
    collections::BTreeMap,
    ops::Bound,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    error::StoreError,
    journal::{Journal, TURN_BYTES},
    key::Range,
    recent::{Merged, Recent, write},
    storage_key::StorageKey,
    tree::{Bytes, Tree},
    tree_writer::{Pace, TreeWriter, write_out},
    value::{self, Values},
};
use crate::lock::lock;

/// How often a long value is looked up again when it was replaced while its pieces were read.
const READ_TRIES: u32 = 16;

/// Keys with what is to stand under them; `None` removes. Values as stored.
pub(super) type Writes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// An open engine.
pub(super) struct Engine {
    tree: Arc<Tree>,
    recent: Arc<Recent>,
    values: Values,
    log: Mutex<Log>,
    /// Beside the log, so that nobody waits for a sync to know it.
    journal_bytes: AtomicU64,
    /// Of queues, by where their range begins, a key before which nothing stands there: what was taken from a queue lies at its front
    /// until its layer is in the tree, and a claim would pass over it each time.
    fronts: Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
}

/// The writing side.
struct Log {
    journal: Journal,
    /// Of this turn.
    pace: Arc<Pace>,
    /// There from the first layer that leaves on.
    writer: Option<TreeWriter>,
    failed: bool,
}

impl Engine {
    /// Opens the engine in `path`, and makes it when it does not exist. Without a key what is sealed can be neither read nor written.
    pub(super) fn open(path: &Path, key: Option<StorageKey>) -> Result<Self, StoreError> {
        let tree = Tree::open(path)?;
        // Not before: the process that closes the tree writes to the journal until then.
        let (journal, written) = Journal::open(path)?;
        if !written.is_empty() {
            write_out(&tree, &written, |_| ())?;
        }
        Ok(Self::new(tree, Values(key), journal))
    }

    /// The engine of a tree and the journal before it, of which nothing is to be read back.
    pub(super) fn new(tree: Tree, values: Values, journal: Journal) -> Self {
        let log = Log { journal, pace: Arc::default(), writer: None, failed: false };
        let journal_bytes = log.journal.size_on_disk().into();
        Self { tree: Arc::new(tree), recent: Arc::default(), values, log: Mutex::new(log), journal_bytes, fronts: Mutex::default() }
    }

    /// What its sealed values are sealed with.
    pub(super) fn key(&self) -> Option<&StorageKey> {
        self.values.0.as_ref()
    }

    /// How its values are stored.
    pub(super) fn values(&self) -> &Values {
        &self.values
    }

    /// The value under `key`, put together and opened.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        for _ in 0..READ_TRIES {
            let Some(raw) = self.raw(key)? else { return Ok(None) };
            if let Some(value) = self.values.assemble(key, &raw, |piece| self.raw(piece))? {
                return Ok(Some(value));
            }
        }
        Err(StoreError::corrupt(format!("the record {}", key.escape_ascii()), "a piece of it is missing"))
    }

    /// What stands under `key` as stored.
    pub(super) fn raw(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let value = match self.recent.get(key) {
            Some(written) => written,
            None => self.tree.get(key)?,
        };
        Ok(value.map(|value| value.to_vec()))
    }

    /// The keys in `range`, ascending from the front, descending from the back.
    pub(super) fn keys(&self, range: Range) -> impl DoubleEndedIterator<Item = Result<Vec<u8>, StoreError>> + use<> {
        self.merged(range).map(|record| Ok(record?.0.to_vec()))
    }

    /// The keys and values as stored in `range`.
    pub(super) fn raw_records(&self, range: Range) -> impl DoubleEndedIterator<Item = Result<(Vec<u8>, Vec<u8>), StoreError>> + use<> {
        self.merged(range).map(|record| record.map(|(key, value)| (key.to_vec(), value.to_vec())))
    }

    /// The keys and values in `range`. What is removed meanwhile is left out.
    pub(super) fn records(&self, range: Range) -> impl DoubleEndedIterator<Item = Result<(Vec<u8>, Vec<u8>), StoreError>> {
        self.raw_records(range).filter_map(|record| {
            record
                .and_then(|(key, raw)| {
                    let value = match value::is_whole(&raw) {
                        true => self.values.assemble(&key, &raw, |_| Ok(None))?,
                        false => self.get(&key)?,
                    };
                    Ok(value.map(|value| (key, value)))
                })
                .transpose()
        })
    }

    /// The keys in `range`, which is a queue. For the thread that applies, which alone knows what it looked at and what came since.
    pub(super) fn queue(&self, range: Range) -> impl Iterator<Item = Result<Vec<u8>, StoreError>> + use<> {
        let front = lock(&self.fronts).get(&range.0).cloned();
        self.keys((front.unwrap_or(range.0), range.1))
    }

    /// Remembers what was found first in the queue that begins at `begin`, if anything was.
    pub(super) fn remember_front(&self, begin: Vec<u8>, first: Option<&Vec<u8>>) {
        let mut fronts = lock(&self.fronts);
        match first {
            Some(first) => fronts.insert(begin, first.clone()),
            None => fronts.remove(&begin),
        };
    }

    fn merged(&self, range: Range) -> Merged {
        Merged::new(Arc::clone(&self.tree), Arc::clone(&self.recent), range)
    }

    /// Writes all of `writes` or nothing. Durable after the next [`Engine::sync`].
    pub(super) fn apply<'a>(&self, writes: impl IntoIterator<Item = (&'a Vec<u8>, &'a Option<Vec<u8>>)>) {
        let writes: Vec<_> = writes.into_iter().map(|(key, value)| write(key, value.as_deref())).collect();
        self.log().journal.add(writes.iter().map(|(key, value)| (key.as_ref(), value.as_deref())));
        self.lower_fronts(writes.iter().filter(|(_, value)| value.is_some()).map(|(key, _)| key));
        self.recent.put(writes);
    }

    fn lower_fronts<'a>(&self, put: impl Iterator<Item = &'a Bytes>) {
        let mut fronts = lock(&self.fronts);
        if fronts.is_empty() {
            return;
        }
        for key in put {
            let queue = fronts.range_mut::<[u8], _>((Bound::Unbounded, Bound::Included(key.as_ref()))).next_back();
            if let Some((_, front)) = queue
                && **key < **front
            {
                *front = key.to_vec();
            }
        }
    }

    /// Makes everything applied durable. After a failure nobody knows what is, and it is not to be called again.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        let mut log = self.log();
        let synced = log.sync(&self.tree, &self.recent);
        log.failed |= synced.is_err();
        self.journal_bytes.store(log.journal.size_on_disk(), Ordering::Relaxed);
        synced
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        lock(&self.log)
    }

    /// Bytes of its files.
    pub(super) fn size_on_disk(&self) -> u64 {
        self.tree.size_on_disk() + self.journal_bytes.load(Ordering::Relaxed)
    }

    /// Bytes its files will grow by when everything written is in the tree, at most: while a page fills, the tree has it twice.
    pub(super) fn bytes_owed(&self) -> u64 {
        self.recent.bytes() * 2
    }

    /// Has the directory removed once nobody reads it any more.
    pub(super) fn retire(&self) {
        self.tree.retire();
    }

    /// Lets what was written so far leave for the tree.
    #[cfg(test)]
    pub(super) fn turn(&self) -> Result<(), StoreError> {
        self.log().turn(&self.tree, &self.recent)
    }

    /// Waits until nothing is on its way into the tree.
    #[cfg(test)]
    pub(super) fn wait_for_writer(&self) -> Result<(), StoreError> {
        self.log().wait_for_writer()
    }
}

impl Log {
    fn sync(&mut self, tree: &Arc<Tree>, recent: &Arc<Recent>) -> Result<(), StoreError> {
        self.journal.sync().map_err(|source| StoreError::unavailable("sync its journal", source))?;
        self.pace.filled(self.journal.turn_bytes());
        if let Some(writer) = &mut self.writer {
            writer.look()?;
        }
        if self.journal.turn_bytes() >= TURN_BYTES { self.turn(tree, recent) } else { Ok(()) }
    }

    /// Lets the layer of this turn leave for the tree.
    fn turn(&mut self, tree: &Arc<Tree>, recent: &Arc<Recent>) -> Result<(), StoreError> {
        self.wait_for_writer()?;
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => self.writer.insert(TreeWriter::start(tree, recent)?),
        };
        let Some(layer) = recent.turn() else { return Ok(()) };
        self.journal.begin_turn().map_err(|source| StoreError::unavailable("begin a turn of its journal", source))?;
        self.pace = Arc::default();
        writer.write(layer, Arc::clone(&self.pace))
    }

    /// Waits until no layer is on its way into the tree.
    fn wait_for_writer(&mut self) -> Result<(), StoreError> {
        self.pace.hurry();
        self.writer.as_mut().map_or(Ok(()), TreeWriter::wait)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let log = self.log.get_mut().unwrap_or_else(PoisonError::into_inner);
        let left = log.wait_for_writer();
        log.writer = None;
        if log.failed || self.tree.is_retired() {
            return;
        }
        // What this leaves undone is in the journal, and is done when the store is opened.
        let closed = left.and_then(|()| {
            if let Some(layer) = self.recent.turn() {
                write_out(&self.tree, &layer, |_| ())?;
            }
            log.journal.clear().map_err(|source| StoreError::unavailable("clear its journal", source))
        });
        if let Err(error) = closed {
            tracing::warn!(error = &error as &dyn std::error::Error, "the journal stays until the store is opened again");
        }
    }
}
