//! What is remembered: events, deliveries, calls, sessions, configuration, secrets, plugin bytes.
//!
//! Every writing call is one atomic commit and durable when it returns. It may be repeated when its answer was lost: what was
//! written the first time is found again. Values go in and out owned; nothing of the engine below (sled) shows in a signature.
//! Times are the store's clock.
//!
//! Where to begin: `key` has the layout, `transaction` what a commit sees, `committer` how commits become durable, `engine`
//! where they are then.
//!
//! Not here: matching, retry policy, what a delivery's outcome means. The store keeps facts and hands out work.

mod accept;
mod agenda;
mod archive;
mod audit;
mod backup;
mod batch;
mod blob;
mod call;
mod cipher;
mod claim;
mod committer;
mod control;
mod copy;
mod delivery;
mod depth;
mod destination;
mod directory;
mod document;
mod draft;
mod engine;
mod error;
mod fan_out;
mod generation;
mod journal;
mod key;
mod lane;
mod lease;
mod log;
mod offline;
mod operation;
mod recent;
mod resealing;
mod restore;
mod room;
mod rotation;
mod sealing;
mod secrets;
mod session;
mod settle;
mod standing;
mod state;
mod stats;
mod storage_key;
mod sweep;
mod transaction;
mod tree;
mod tree_writer;
mod value;

#[cfg(test)]
mod tests;

use std::{
    future::Future,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use tokio::sync::{Semaphore, mpsc, oneshot};

pub(crate) use self::directory::make_directory;
pub use self::{
    accept::{AcceptEvent, Accepted, Dedup, NewInvoke},
    backup::Manifest,
    call::{CallFilter, PendingCall},
    claim::Claimed,
    control::Replayed,
    destination::{Note, below},
    document::{ConfigDoc, ConfigWrite},
    error::StoreError,
    generation::Compacted,
    log::{DeliveryFilter, PAGE_BYTES_MAX},
    offline::Offline,
    operation::OperationStatus,
    restore::restore,
    rotation::{Rotated, rotate},
    secrets::SecretVersion,
    session::Session,
    settle::{Next, Settled, Settlement},
    standing::Count,
    state::StateChanges,
    stats::StoreStats,
    storage_key::{KeyOrigin, StorageKey},
    sweep::Retention,
};
use self::{
    committer::{Committer, Message},
    directory::Directory,
    engine::Engine,
    operation::Place,
    room::Room,
    stats::Published,
    transaction::Transaction,
};
use crate::{
    clock::SharedClock,
    config::Limits,
    metrics::Metrics,
    model::{audit::Origin, parameter::SessionBounds},
};

/// Commits that may wait for the committer; callers beyond wait for a place.
const QUEUE_LEN_MAX: usize = 2048;

/// Kibibytes of commits that may wait for the committer; callers beyond wait for room.
const QUEUE_KIB_MAX: u32 = 64 * 1024;

/// What a store is opened with.
#[derive(Clone)]
pub struct StoreOptions {
    /// The time.
    pub clock: SharedClock,
    /// What everything is sealed with.
    pub key: StorageKey,
    /// How long a session lives after its last use.
    pub session_life: Duration,
    /// What a session may hold.
    pub session_bounds: SessionBounds,
    /// How long a dedup key is remembered.
    pub dedup_life: Duration,
    /// How long a delivery may be first in its lane before it stands outside.
    pub order_wait_max: Duration,
    /// Deliveries that may wait before nothing more is accepted.
    pub backlog_max: u64,
    /// Bytes that stay free on the disk: below, [`Store::has_room`] says no. 0: nobody looks.
    pub disk_free_min: u64,
    /// Where commits are timed.
    pub metrics: Metrics,
}

impl StoreOptions {
    /// As `limits` say.
    pub fn new(clock: SharedClock, key: StorageKey, limits: &Limits) -> Self {
        Self {
            clock,
            key,
            session_life: limits.session_life,
            session_bounds: SessionBounds { bytes_max: limits.session_bytes_max, parameters_max: limits.session_parameters_max },
            dedup_life: limits.dedup_life,
            order_wait_max: limits.order_wait_max,
            backlog_max: limits.backlog_max,
            disk_free_min: limits.disk_free_bytes_min,
            metrics: Metrics::default(),
        }
    }
}

/// The embedded store. Cheap to clone; the last clone dropped closes it.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    attribution: audit::Attribution,
}

struct Shared {
    clock: SharedClock,
    key: StorageKey,
    sessions: session::Rules,
    dedup_life: Duration,
    order_wait_max: Duration,
    backlog_max: u64,
    data: PathBuf,
    engine: Arc<ArcSwap<Engine>>,
    published: Arc<Published>,
    metrics: Metrics,
    places: Arc<Semaphore>,
    room: Room,
    backup: Place<Manifest>,
    compaction: Place<Compacted>,
    /// `None` only while being dropped.
    queue: Option<mpsc::Sender<Message>>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    sweeping: Mutex<sweep::Cursors>,
    /// Held for as long as the store is open. Last: everything else is gone when it is let go.
    _directory: Directory,
}

impl Store {
    /// Opens the store in the data directory `dir`, and makes it when it does not exist.
    ///
    /// Whatever another process had claimed is free again when this returns; an `invoke` it had not finished has failed.
    pub fn open(dir: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        let StoreOptions { clock, key, session_life, session_bounds, .. } = options;
        let StoreOptions { dedup_life, order_wait_max, backlog_max, disk_free_min, metrics, .. } = options;
        let directory = Directory::lock(dir)?;
        let engine = Arc::new(ArcSwap::from_pointee(open_engine(&directory, &key)?));
        let published = Arc::new(Published::default());
        let (queue, receiver) = mpsc::channel(QUEUE_LEN_MAX);
        let mut committer = Committer::new(
            clock.clone(),
            Arc::clone(&engine),
            Arc::clone(&published),
            receiver,
            directory.path().to_owned(),
            metrics.clone(),
        )?;
        storage_key::keep(&mut committer, &key)?;
        claim::recover(&mut committer)?;
        published.begin(agenda::Agenda::load(&engine.load())?);
        let thread = std::thread::Builder::new()
            .name("committer".into())
            .spawn(move || committer.run())
            .map_err(|source| StoreError::unavailable("start the committer thread", source))?;
        let shared = Shared {
            clock,
            key,
            sessions: session::Rules { life: session_life, bounds: session_bounds },
            dedup_life,
            order_wait_max,
            backlog_max,
            data: dir.to_owned(),
            engine,
            published,
            metrics,
            places: Arc::new(Semaphore::new(QUEUE_KIB_MAX as usize)),
            room: Room::new(dir, disk_free_min),
            backup: Place::new("backup"),
            compaction: Place::new("compaction"),
            queue: Some(queue),
            thread: Mutex::new(Some(thread)),
            sweeping: Mutex::default(),
            _directory: directory,
        };
        Ok(Self { shared: Arc::new(shared), attribution: audit::Attribution::new(Origin::host()) })
    }

    /// Commits what is queued and stops; later writes are refused with [`StoreError::Closed`], reading goes on.
    pub async fn close(&self) {
        if let Some(queue) = &self.shared.queue {
            // The queue is gone already when another clone closed the store.
            let _ = queue.send(Message::Close).await;
        }
        let shared = Arc::clone(&self.shared);
        let _ = tokio::task::spawn_blocking(move || shared.join()).await;
    }

    /// Writes everything that lives into a new place and drops the old one: what keeps the directory bounded.
    /// Runs by itself when the directory has grown to several times what lives in it; others go on meanwhile.
    pub async fn compact(&self) -> Result<Compacted, StoreError> {
        self.begin_compaction()?.await
    }

    /// Begins a compaction; it goes on whether or not what is returned is waited for. One at a time.
    pub fn begin_compaction(&self) -> Result<impl Future<Output = Result<Compacted, StoreError>> + Send + 'static, StoreError> {
        self.shared.compaction.begin(self.now(), Arc::clone(&self.shared.published.compacting))?;
        let (reply, done) = oneshot::channel();
        let shared = Arc::clone(&self.shared);
        let running = tokio::spawn(async move {
            let compacted = match &shared.queue {
                Some(queue) => queue.send(Message::Compact(reply)).await.map_err(|_| StoreError::Closed),
                None => Err(StoreError::Closed),
            };
            let compacted = match compacted {
                Ok(()) => done.await.unwrap_or(Err(StoreError::Closed)),
                Err(error) => Err(error),
            };
            shared.compaction.end(shared.clock.steady(), compacted.clone());
            compacted
        });
        Ok(async move { running.await.map_err(|source| StoreError::unavailable("finish a compaction", source))? })
    }

    /// How it stands with the last backup; `None`: there was none since the store was opened.
    pub fn backup_status(&self) -> Option<OperationStatus<Manifest>> {
        self.shared.backup.status()
    }

    /// How it stands with the last compaction that was asked for.
    pub fn compaction_status(&self) -> Option<OperationStatus<Compacted>> {
        self.shared.compaction.status()
    }

    /// Whether there is room on the disk for anything new.
    pub fn has_room(&self) -> Result<(), StoreError> {
        self.shared.room.check(|| self.engine().bytes_owed())
    }

    /// What the store has done so far.
    pub fn stats(&self) -> StoreStats {
        let waiting = self.shared.queue.as_ref().map_or(0, |queue| queue.max_capacity() - queue.capacity());
        self.shared.published.stats(waiting, self.engine().size_on_disk())
    }

    /// The number of the last event or invoke that is durable; 0 when there was none.
    pub fn last_seq(&self) -> u64 {
        self.shared.published.seq()
    }

    fn now(&self) -> Timestamp {
        self.shared.clock.steady()
    }

    fn engine(&self) -> Arc<Engine> {
        self.shared.engine.load_full()
    }

    /// Runs `prepare` on the committer thread, where it sees every earlier commit, and returns its value once what it wrote is
    /// durable. An error of `prepare` writes nothing. `bytes` is about what it holds on to while it waits.
    async fn commit<T, F>(&self, bytes: usize, prepare: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.enqueue(bytes, false, prepare).await
    }

    /// As [`Store::commit`], for a `prepare` that scans: what is committed before it is in the tree it scans.
    async fn commit_scanning<T, F>(&self, prepare: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.enqueue(0, true, prepare).await
    }

    async fn enqueue<T, F>(&self, bytes: usize, scans: bool, prepare: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX).min(QUEUE_KIB_MAX);
        let place = Arc::clone(&self.shared.places).acquire_many_owned(kib).await.map_err(|_| StoreError::Closed)?;
        let (reply, done) = oneshot::channel();
        let (asked, metrics) = (Instant::now(), self.shared.metrics.clone());
        let commit = committer::commit(scans, prepare, move |outcome| {
            drop(place);
            if outcome.is_ok() {
                metrics.committed(asked.elapsed());
            }
            // Nobody listens any more when the caller went away; what it asked for is done all the same.
            let _ = reply.send(outcome);
        });
        let queue = self.shared.queue.as_ref().ok_or(StoreError::Closed)?;
        queue.send(commit).await.map_err(|_| StoreError::Closed)?;
        done.await.map_err(|_| StoreError::Closed)?
    }

    /// Leaves a commit nobody waits for, if there is room in the queue.
    fn leave<F>(&self, prepare: F)
    where
        F: FnOnce(&mut Transaction<'_>) -> Result<(), StoreError> + Send + 'static,
    {
        if let Some(queue) = &self.shared.queue {
            // A full queue drops it: what is left this way is done again at the next occasion.
            let _ = queue.try_send(committer::commit(false, prepare, |_| ()));
        }
    }

    /// Runs a scan where it may block.
    async fn scan<T, F>(&self, scan: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Engine) -> Result<T, StoreError> + Send + 'static,
    {
        let engine = self.engine();
        let task = tokio::task::spawn_blocking(move || scan(&engine));
        task.await.map_err(|source| StoreError::unavailable("finish a scan", source))?
    }
}

/// Opens the tree with its key; one of an older format, which holds in clear what is sealed now, is sealed first.
fn open_engine(directory: &Directory, key: &StorageKey) -> Result<Engine, StoreError> {
    let engine = directory.open_current(Some(key))?;
    if storage_key::is_of(&engine, key)? == Some(false) {
        return Err(StoreError::WrongKey);
    }
    let Some(found) = directory::format_of(&engine)?.filter(|found| *found < directory::FORMAT) else { return Ok(engine) };
    if found >= directory::FIRST_SEALED {
        directory.renew_format(&engine)?;
        tracing::info!(
            found,
            format = directory::FORMAT,
            "the store was of an older format and is of this one now; older versions of hookwright do not open it any more"
        );
        return Ok(engine);
    }
    tracing::info!(
        found,
        format = directory::FORMAT,
        "the store is of an older format: what it holds in clear is sealed before anything else"
    );
    let mut records = 0;
    let engine = resealing::reseal(directory, engine, key, &mut |_, value| Ok(value), |so_far, _| records = so_far)?;
    tracing::info!(records, format = directory::FORMAT, "the store is sealed; older versions of hookwright do not open it any more");
    Ok(engine)
}

impl Shared {
    fn join(&self) {
        let thread = self.thread.lock().ok().and_then(|mut thread| thread.take());
        if let Some(thread) = thread {
            // A panic of the committer has been answered to its callers by their replies being dropped.
            let _ = thread.join();
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.queue = None;
        self.join();
    }
}
