//! The one thread that writes. It takes every waiting commit, writes them as one batch, syncs once, and only then wakes the callers: a
//! thousand callers pay for one sync.
//!
//! Commits run one after the other and see each other; what they count (seq, revision) has no gaps. After a failed write or sync
//! nobody knows what the disk holds, so nothing is written any more until the process starts again.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, mpsc::error::TryRecvError};

use super::{
    agenda::AgendaChange,
    backup::{Point, Sending},
    depth,
    engine::{Engine, Writes},
    error::StoreError,
    generation::{Compaction, Growth, Told, Unfinished},
    key,
    lease::Leases,
    stats::Published,
    transaction::{Counters, Prepared, Transaction, decode},
    value,
};
use crate::{clock::SharedClock, metrics::Metrics};

/// Commits that share one batch and one sync at most.
const GROUP_LEN_MAX: usize = 1024;

/// Bytes in one batch at most, unless a single commit is larger.
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How many bytes live data may change before the tree is told: after a crash the number is wrong by at most this.
const LIVE_NOTED_EVERY: u64 = 4 * 1024 * 1024;

/// How long a committer without work leaves a slow disk alone before it sends it more of a backup.
const BACKUP_PAUSE: Duration = Duration::from_millis(1);

/// Told what became of a commit once that is certain.
type Waiter = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// A commit's closure with its answer; a [`Waiter`] when it wants to be written.
type Prepare = Box<dyn FnOnce(Result<&mut Transaction<'_>, StoreError>) -> Option<Waiter> + Send>;

/// What the committer is sent.
pub(super) enum Message {
    /// A commit.
    Commit {
        /// Whether it scans the tree, which must then hold every earlier commit.
        scans: bool,
        /// What it does.
        prepare: Prepare,
    },
    /// Compact, and say when that is done.
    Compact(Told),
    /// Send everything to a backup.
    Backup(Box<Sending>),
    /// Take no more commits; end after those that wait.
    Close,
}

/// A commit to be sent: `reply` is told the value of `prepare` once it is durable, or why there is none.
pub(super) fn commit<T, F, R>(scans: bool, prepare: F, reply: R) -> Message
where
    T: Send + 'static,
    F: FnOnce(&mut Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    R: FnOnce(Result<T, StoreError>) + Send + 'static,
{
    let prepare: Prepare = Box::new(move |transaction| {
        let panicked = |_| Err(StoreError::unavailable("finish a commit", "it panicked, which is a bug in hookwright"));
        let outcome = transaction.and_then(|transaction| catch_unwind(AssertUnwindSafe(|| prepare(transaction))).unwrap_or_else(panicked));
        match outcome {
            Ok(value) => Some(Box::new(move |durable: Result<(), StoreError>| reply(durable.map(|()| value)))),
            Err(error) => {
                reply(Err(error));
                None
            }
        }
    });
    Message::Commit { scans, prepare }
}

/// The committer's own.
pub(super) struct Committer {
    clock: SharedClock,
    shared_engine: Arc<ArcSwap<Engine>>,
    engine: Arc<Engine>,
    published: Arc<Published>,
    receiver: mpsc::Receiver<Message>,
    leases: Leases,
    /// For the agenda, once they are durable.
    agenda_changes: Vec<AgendaChange>,
    counters: Counters,
    /// Written by commits of this round, not yet in the tree.
    group: Writes,
    group_bytes: usize,
    unsynced: bool,
    failed: Option<StoreError>,
    growth: Growth,
    compaction: Option<Compaction>,
    backup: Option<Box<Sending>>,
    /// Bytes of the keys and values in the tree, about.
    live: u64,
    /// What the tree says of `live`.
    live_noted: u64,
    metrics: Metrics,
}

impl Committer {
    /// A committer for the tree, in a new epoch.
    pub(super) fn new(
        clock: SharedClock,
        shared_engine: Arc<ArcSwap<Engine>>,
        published: Arc<Published>,
        receiver: mpsc::Receiver<Message>,
        directory: PathBuf,
        metrics: Metrics,
    ) -> Result<Self, StoreError> {
        let engine = shared_engine.load_full();
        let (counters, epoch) = Counters::load(&engine)?;
        let growth = Growth::new(directory)?;
        let live = engine.get(key::LIVE)?.map(|bytes| decode(key::LIVE, &bytes)).transpose()?.unwrap_or(growth.live());
        let mut committer = Self {
            clock,
            shared_engine,
            engine,
            published,
            receiver,
            leases: Leases::default(),
            agenda_changes: Vec::new(),
            counters,
            group: Writes::new(),
            group_bytes: 0,
            unsynced: false,
            failed: None,
            growth,
            compaction: None,
            backup: None,
            live,
            live_noted: live,
            metrics,
        };
        committer.commit_now(|transaction| transaction.put(key::EPOCH.to_vec(), &epoch))?;
        Ok(committer)
    }

    /// One commit before the thread runs.
    pub(super) fn commit_now<T>(&mut self, prepare: impl FnOnce(&mut Transaction<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut transaction = Transaction::new(&self.engine, &self.group, &self.leases, self.counters, self.clock.steady());
        let value = prepare(&mut transaction)?;
        let prepared = transaction.into_prepared();
        self.merge(prepared);
        self.make_durable()?;
        self.publish(1);
        Ok(value)
    }

    /// Works until the store is closed and the queue is empty.
    pub(super) fn run(mut self) {
        loop {
            let copies = self.compaction.is_some() || self.backup.is_some() || self.published.agenda().depths.is_behind();
            let next = match copies {
                false => self.receiver.blocking_recv().ok_or(TryRecvError::Disconnected),
                true => self.receiver.try_recv(),
            };
            match next {
                Ok(message) => self.round(message),
                // Nothing to do but to wait for the disk a backup goes to.
                Err(TryRecvError::Empty) if self.compaction.is_none() && self.backup.as_ref().is_some_and(|backup| !backup.has_room()) => {
                    std::thread::sleep(BACKUP_PAUSE);
                }
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => return,
            }
            self.compact_a_little();
            self.back_up_a_little();
            self.count_a_little();
        }
    }

    /// Everything that waits, one sync, everyone's answer.
    fn round(&mut self, first: Message) {
        let mut waiters = Vec::new();
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Commit { scans, prepare } => waiters.extend(self.prepare(scans, prepare)),
                Message::Compact(reply) => self.begin_compaction(Some(reply)),
                Message::Backup(sending) => self.begin_backup(sending),
                Message::Close => self.receiver.close(),
            }
            let full = waiters.len() >= GROUP_LEN_MAX || self.group_bytes >= GROUP_BYTES_MAX;
            next = if full { None } else { self.receiver.try_recv().ok() };
        }
        let began = Instant::now();
        let durable = self.make_durable();
        if durable.is_ok() && !waiters.is_empty() {
            self.metrics.synced(waiters.len(), began.elapsed());
        }
        if let Err(error) = &durable {
            tracing::error!(error = error as &dyn std::error::Error, "the store failed");
        } else {
            self.publish(waiters.len() as u64);
        }
        for waiter in waiters {
            waiter(durable.clone());
        }
        if self.compaction.is_none() && self.failed.is_none() && self.growth.is_due(self.engine.size_on_disk(), self.live) {
            self.begin_compaction(None);
        }
    }

    fn prepare(&mut self, scans: bool, prepare: Prepare) -> Option<Waiter> {
        if scans {
            // A failure is kept, and told below.
            let _ = self.apply();
        }
        if let Some(error) = &self.failed {
            return prepare(Err(error.clone()));
        }
        let mut transaction = Transaction::new(&self.engine, &self.group, &self.leases, self.counters, self.clock.steady());
        let waiter = prepare(Ok(&mut transaction))?;
        let prepared = transaction.into_prepared();
        self.merge(prepared);
        Some(waiter)
    }

    fn merge(&mut self, prepared: Prepared) {
        let Prepared { counters, writes, bytes, grown, lease_changes, agenda_changes } = prepared;
        if counters.waiting != self.counters.waiting {
            // Part of the same batch as what it counts.
            self.group.insert(key::WAITING_COUNT.to_vec(), Some(value::encode_number(counters.waiting)));
        }
        self.counters = counters;
        self.agenda_changes.extend(agenda_changes);
        self.live = self.live.saturating_add_signed(grown);
        self.group_bytes += bytes;
        self.group.extend(writes);
        for change in lease_changes {
            self.leases.apply(change);
        }
    }

    /// Puts the round's writes so far into the tree.
    fn apply(&mut self) -> Result<(), StoreError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        if self.group.is_empty() {
            return Ok(());
        }
        if self.live.abs_diff(self.live_noted) > LIVE_NOTED_EVERY {
            self.live_noted = self.live;
            self.group.insert(key::LIVE.to_vec(), Some(value::encode_number(self.live)));
        }
        self.engine.apply(&self.group);
        if let Some(compaction) = &mut self.compaction {
            compaction.mirror(&self.group);
        }
        if let Some(backup) = &mut self.backup {
            backup.mirror(&self.group);
        }
        self.group.clear();
        self.group_bytes = 0;
        self.unsynced = true;
        Ok(())
    }

    fn make_durable(&mut self) -> Result<(), StoreError> {
        self.apply()?;
        if self.unsynced {
            if let Err(error) = self.engine.sync() {
                self.fail(error.clone());
                return Err(error);
            }
            self.unsynced = false;
            self.published.syncs.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// From here on nothing is written any more.
    fn fail(&mut self, error: StoreError) {
        self.published.failed.store(true, Ordering::Release);
        self.failed = Some(error);
    }

    fn publish(&mut self, commits: u64) {
        self.published.commits.fetch_add(commits, Ordering::Relaxed);
        self.published.live.store(self.live, Ordering::Relaxed);
        self.published.now(&self.counters, &self.leases, self.agenda_changes.drain(..));
    }

    fn begin_compaction(&mut self, reply: Option<Told>) {
        let bytes = self.engine.size_on_disk();
        let begun = match &mut self.compaction {
            Some(running) => {
                running.tell(reply);
                return;
            }
            None => self.growth.begin(bytes, self.live, Arc::clone(&self.published.compacting), self.engine.key().cloned()),
        };
        match begun {
            Ok(mut compaction) => {
                compaction.tell(reply);
                self.compaction = Some(compaction);
            }
            Err(error) => self.growth.gave_up(bytes, &error, reply.into_iter().collect()),
        }
    }

    /// Copies a little; at the end, the copy takes the place of the original.
    fn compact_a_little(&mut self) {
        let Some(mut compaction) = self.compaction.take() else { return };
        match compaction.step(&self.engine) {
            Ok(false) => self.compaction = Some(compaction),
            Ok(true) => match compaction.finish(&mut self.growth) {
                Ok((engine, compacted, told)) => {
                    self.live = compacted.live_bytes;
                    let old = std::mem::replace(&mut self.engine, Arc::new(engine));
                    self.shared_engine.store(Arc::clone(&self.engine));
                    old.retire();
                    self.published.compactions.fetch_add(1, Ordering::Relaxed);
                    tracing::info!(before = compacted.before_bytes, after = compacted.after_bytes, "the store was compacted");
                    told.into_iter().for_each(|reply| _ = reply.send(Ok(compacted)));
                }
                Err(Unfinished::Abandoned(error, told)) => self.growth.gave_up(self.engine.size_on_disk(), &error, told),
                Err(Unfinished::Unclear(error, told)) => {
                    told.into_iter().for_each(|reply| _ = reply.send(Err(error.clone())));
                    self.fail(error);
                }
            },
            Err(error) => {
                let told = compaction.abandon();
                self.growth.gave_up(self.engine.size_on_disk(), &error, told);
            }
        }
    }

    /// Counts a little of what waited when the store was opened. Between rounds: the tree holds every change the count has heard.
    fn count_a_little(&mut self) {
        let next = self.published.agenda().depths.next();
        let Some(range) = next else { return };
        // What cannot be read is an error where it is needed; here it is a number less.
        let keys = self.engine.keys(range).take(depth::STEP).map_while(Result::ok).collect();
        self.published.agenda().depths.counted(keys);
    }

    fn begin_backup(&mut self, sending: Box<Sending>) {
        match &self.failed {
            Some(error) => sending.fail(error.clone()),
            // The caller holds the only place.
            None => self.backup = Some(sending),
        }
    }

    /// Sends a little to the backup; at the end, what makes it whole.
    fn back_up_a_little(&mut self) {
        let Some(mut sending) = self.backup.take() else { return };
        if let Some(error) = &self.failed {
            return sending.fail(error.clone());
        }
        if !sending.has_room() {
            self.backup = Some(sending);
            return;
        }
        match sending.step(&self.engine) {
            Ok(false) => self.backup = Some(sending),
            Ok(true) => sending.finish(Point { seq: self.counters.seq, revision: self.counters.revision, at: self.clock.steady() }),
            Err(error) => sending.fail(error),
        }
    }
}
