//! The engine: what was committed lately in memory and in the journal, everything older in the tree.
//!
//! A commit is durable once the journal is, which is one write of one file; the tree would sync a thousand times a second what it writes
//! anew a moment later. So writes stay in a layer in memory until it holds a turn of the journal. Then the layer leaves for the tree, on a
//! thread of its own and little by little, while the next one grows. Most of what a delivery writes has been removed again by then, and
//! never gets there.
//!
//! Writing to the tree at once and only syncing it later would not do: it moves older records as it writes, and may use their place
//! again before the move is on the disk. What the journal lets be repeated is what was written, not what was moved.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::Duration,
};

use super::{
    error::StoreError,
    journal::{Journal, TURN_BYTES},
    key::Range,
    recent::{Layer, Merged, Recent},
    storage_key::StorageKey,
    tree::{Bytes, Tree},
    value::{self, Piece, Values},
};

/// How often a long value is looked up again when it was replaced while its pieces were read.
const READ_TRIES: u32 = 16;

/// Bytes written into the tree before it is synced: that many it may move without the disk knowing.
const STEP_BYTES: usize = 256 * 1024;

/// A layer is in the tree when so many percent of the next one are full: what is written there is spread over that time.
const LEAVES_WITHIN_PERCENT: u64 = 75;

/// When nothing makes the next layer grow, a step waits so many times so long.
const PAUSES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(1);

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
}

/// The writing side.
struct Log {
    journal: Journal,
    /// Of this turn.
    pace: Arc<Pace>,
    /// There from the first layer that leaves on.
    writer: Option<Writer>,
    failed: bool,
}

impl Engine {
    /// Opens the engine in `path`, making it when there is none. Without a key what is sealed can be neither read nor written.
    pub(super) fn open(path: &Path, key: Option<StorageKey>) -> Result<Self, StoreError> {
        let tree = Tree::open(path)?;
        // Not before: whoever closes the tree writes to the journal until then.
        let (journal, written) = Journal::open(path)?;
        let written: Layer = written.into_iter().map(|(key, value)| (Bytes::from(key), value.map(Bytes::from))).collect();
        if !written.is_empty() {
            write_out(&tree, &written, |_| ())?;
        }
        Ok(Self::new(tree, Values(key), journal))
    }

    fn new(tree: Tree, values: Values, journal: Journal) -> Self {
        let log = Log { journal, pace: Arc::default(), writer: None, failed: false };
        let journal_bytes = log.journal.size_on_disk().into();
        Self { tree: Arc::new(tree), recent: Arc::default(), values, log: Mutex::new(log), journal_bytes }
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

    fn merged(&self, range: Range) -> Merged {
        Merged::new(Arc::clone(&self.tree), Arc::clone(&self.recent), range)
    }

    /// Writes all of `writes` or nothing. Durable after the next [`Engine::sync`].
    pub(super) fn apply<'a>(&self, writes: impl IntoIterator<Item = (&'a Vec<u8>, &'a Option<Vec<u8>>)>) {
        let writes: Vec<_> =
            writes.into_iter().map(|(key, value)| (Bytes::from(key.as_slice()), value.as_deref().map(Bytes::from))).collect();
        self.log().journal.add(writes.iter().map(|(key, value)| (key.as_ref(), value.as_deref())));
        self.recent.put(writes);
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
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of its files.
    pub(super) fn size_on_disk(&self) -> u64 {
        self.tree.size_on_disk() + self.journal_bytes.load(Ordering::Relaxed)
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
    pub(super) fn settle(&self) -> Result<(), StoreError> {
        self.log().wait_for_writer()
    }
}

impl Log {
    fn sync(&mut self, tree: &Arc<Tree>, recent: &Arc<Recent>) -> Result<(), StoreError> {
        self.journal.sync().map_err(|source| StoreError::unavailable("sync its journal", source))?;
        self.pace.filled.store(self.journal.turn_bytes(), Ordering::Relaxed);
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
            None => self.writer.insert(Writer::start(tree, recent)?),
        };
        let Some(layer) = recent.turn() else { return Ok(()) };
        self.journal.begin_turn().map_err(|source| StoreError::unavailable("begin a turn of its journal", source))?;
        self.pace = Arc::default();
        writer.write(layer, Arc::clone(&self.pace))
    }

    /// Waits until no layer is on its way into the tree.
    fn wait_for_writer(&mut self) -> Result<(), StoreError> {
        self.pace.hurries.store(true, Ordering::Relaxed);
        self.writer.as_mut().map_or(Ok(()), Writer::wait)
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

/// The thread that writes layers into the tree, one at a time.
struct Writer {
    layers: Option<mpsc::Sender<(Arc<Layer>, Arc<Pace>)>>,
    outcomes: mpsc::Receiver<Result<(), StoreError>>,
    is_busy: bool,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    fn start(tree: &Arc<Tree>, recent: &Arc<Recent>) -> Result<Self, StoreError> {
        let (tree, recent) = (Arc::clone(tree), Arc::clone(recent));
        let (layers, taken) = mpsc::channel::<(Arc<Layer>, Arc<Pace>)>();
        let (told, outcomes) = mpsc::channel();
        let run = move || {
            for (layer, pace) in taken {
                let written = write_out(&tree, &layer, |percent| pace.wait(percent));
                drop(layer);
                if written.is_ok() && !tree.is_retired() {
                    recent.left();
                }
                if told.send(written).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("tree-writer".into()).spawn(run);
        let thread = thread.map_err(|source| StoreError::unavailable("start the thread that writes the tree", source))?;
        Ok(Self { layers: Some(layers), outcomes, is_busy: false, thread: Some(thread) })
    }

    fn write(&mut self, layer: Arc<Layer>, pace: Arc<Pace>) -> Result<(), StoreError> {
        let sent = self.layers.as_ref().is_some_and(|layers| layers.send((layer, pace)).is_ok());
        self.is_busy = sent;
        if sent { Ok(()) } else { Err(gone()) }
    }

    /// What became of the last layer, if that is known by now.
    fn look(&mut self) -> Result<(), StoreError> {
        match self.outcomes.try_recv() {
            Ok(outcome) => {
                self.is_busy = false;
                outcome
            }
            Err(mpsc::TryRecvError::Empty) => Ok(()),
            Err(mpsc::TryRecvError::Disconnected) => Err(gone()),
        }
    }

    /// Waits until no layer is on its way.
    fn wait(&mut self) -> Result<(), StoreError> {
        match std::mem::take(&mut self.is_busy) {
            true => self.outcomes.recv().unwrap_or_else(|_| Err(gone())),
            false => Ok(()),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.layers = None;
        // A panic of it was told of already.
        self.thread.take().map(JoinHandle::join);
    }
}

fn gone() -> StoreError {
    StoreError::unavailable("write into the tree", "the thread that does it panicked, which is a bug in hookwright")
}

/// How fast a layer goes into the tree.
#[derive(Default)]
struct Pace {
    /// Bytes of the turn that is being written meanwhile.
    filled: AtomicU64,
    /// Whether somebody waits for the end.
    hurries: AtomicBool,
}

impl Pace {
    /// Waits until it is time for the step that begins when so much of the layer is in the tree.
    fn wait(&self, percent: u64) {
        let due = TURN_BYTES * percent * LEAVES_WITHIN_PERCENT / 10_000;
        for _ in 0..PAUSES {
            if self.hurries.load(Ordering::Relaxed) || self.filled.load(Ordering::Relaxed) >= due {
                return;
            }
            std::thread::sleep(PAUSE);
        }
    }
}

/// Writes a layer into the tree, durably. `between` is told before each step but the first how many percent are there. May be done twice.
fn write_out(tree: &Tree, layer: &Layer, between: impl Fn(u64)) -> Result<(), StoreError> {
    let bytes_of = |key: &Bytes, value: &Option<Bytes>| key.len() + value.as_ref().map_or(0, |value| value.len());
    let total: usize = layer.iter().map(|(key, value)| bytes_of(key, value)).sum();
    let (mut done, mut step, mut writes) = (0, 0, Vec::new());
    for (key, value) in layer {
        if step >= STEP_BYTES {
            tree.put_all(&writes)?;
            tree.sync()?;
            writes.clear();
            done += std::mem::take(&mut step);
            between((done * 100 / total.max(1)) as u64);
            if tree.is_retired() {
                return Ok(());
            }
        }
        step += bytes_of(key, value);
        writes.push((key.clone(), value.clone()));
    }
    tree.put_all(&writes)?;
    tree.sync()
}

/// A tree nobody relies on yet: written to without a journal, durable when it becomes an engine.
pub(super) struct Draft {
    tree: Tree,
    values: Values,
}

impl Draft {
    /// An empty tree in `path`. Without a key nothing is sealed there anew.
    pub(super) fn open(path: &Path, key: Option<StorageKey>) -> Result<Self, StoreError> {
        Ok(Self { tree: Tree::open(path)?, values: Values(key) })
    }

    /// `value` as it is stored under `key`, and its pieces when it is long.
    pub(super) fn encode(
        &self,
        key: &[u8],
        value: &[u8],
        is_sealed: bool,
        stamp: impl FnOnce() -> u64,
    ) -> Result<(Vec<u8>, Vec<Piece>), StoreError> {
        self.values.encode(key, value, is_sealed, stamp)
    }

    /// How many bytes stand under `key`; `None`: nothing does.
    pub(super) fn value_bytes(&self, key: &[u8]) -> Result<Option<usize>, StoreError> {
        Ok(self.tree.get(key)?.map(|value| value.len()))
    }

    /// Writes `writes`, of one key the last.
    pub(super) fn put<'a>(&self, writes: impl IntoIterator<Item = (&'a Vec<u8>, &'a Option<Vec<u8>>)>) -> Result<(), StoreError> {
        let writes: Layer =
            writes.into_iter().map(|(key, value)| (Bytes::from(key.as_slice()), value.as_deref().map(Bytes::from))).collect();
        self.tree.put_all(&writes.into_iter().collect::<Vec<_>>())
    }

    /// The engine it becomes, with everything durable; removed when that fails.
    pub(super) fn finish(self) -> Result<Engine, StoreError> {
        let journal = self.tree.sync().and_then(|()| Journal::open(self.tree.path()));
        match journal {
            Ok((journal, _)) => Ok(Engine::new(self.tree, self.values, journal)),
            Err(error) => {
                self.tree.retire();
                Err(error)
            }
        }
    }

    /// Has it removed.
    pub(super) fn abandon(self) {
        self.tree.retire();
    }
}
