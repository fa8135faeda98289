//! What can be seen of the committer from outside.

use std::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
};

use jiff::Timestamp;

use super::{
    agenda::{Agenda, AgendaChange},
    copy::Progress,
    lease::Leases,
    transaction::Counters,
};
use crate::lock::lock;

/// What the committer lets others see.
#[derive(Default)]
pub(super) struct Published {
    seq: AtomicU64,
    pub(super) commits: AtomicU64,
    pub(super) syncs: AtomicU64,
    pub(super) compactions: AtomicU64,
    /// How far the compaction under way is; the last one, when there is none.
    pub(super) compacting: Arc<Progress>,
    pub(super) live: AtomicU64,
    leases: AtomicU64,
    deliveries_waiting: AtomicU64,
    agenda: Mutex<Agenda>,
    pub(super) failed: AtomicBool,
    /// In milliseconds; 0: no lease.
    first_lease_expiry: AtomicI64,
}

impl Published {
    /// Shows the agenda the tree was found with.
    pub(super) fn begin(&self, agenda: Agenda) {
        *self.agenda() = agenda;
    }

    /// Shows what is durable now.
    pub(super) fn now(&self, counters: &Counters, leases: &Leases, changes: impl ExactSizeIterator<Item = AgendaChange>) {
        self.seq.store(counters.seq, Ordering::Release);
        self.deliveries_waiting.store(counters.waiting, Ordering::Release);
        if changes.len() > 0 {
            let mut agenda = self.agenda();
            changes.for_each(|change| agenda.apply(change));
        }
        self.leases.store(leases.len() as u64, Ordering::Relaxed);
        let first = leases.first_expiry().map_or(0, Timestamp::as_millisecond);
        self.first_lease_expiry.store(first, Ordering::Release);
    }

    /// What is to be done when.
    pub(super) fn agenda(&self) -> MutexGuard<'_, Agenda> {
        lock(&self.agenda)
    }

    /// Deliveries that wait.
    pub(super) fn deliveries_waiting(&self) -> u64 {
        self.deliveries_waiting.load(Ordering::Acquire)
    }

    /// The last durable number.
    pub(super) fn seq(&self) -> u64 {
        self.seq.load(Ordering::Acquire)
    }

    /// When the first lease is over.
    pub(super) fn first_lease_expiry(&self) -> Option<Timestamp> {
        let millis = self.first_lease_expiry.load(Ordering::Acquire);
        (millis != 0).then(|| Timestamp::from_millisecond(millis).ok()).flatten()
    }

    /// Everything at once.
    pub(super) fn stats(&self, waiting: usize, bytes_on_disk: u64) -> StoreStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StoreStats {
            seq: self.seq(),
            commits: read(&self.commits),
            syncs: read(&self.syncs),
            compactions: read(&self.compactions),
            leases: read(&self.leases),
            waiting: waiting as u64,
            deliveries_waiting: self.deliveries_waiting(),
            bytes_on_disk,
            bytes_live: read(&self.live),
            failed: self.failed.load(Ordering::Acquire),
        }
    }
}

/// What the store has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// The number of the last durable event or invoke.
    pub seq: u64,
    /// Commits made.
    pub commits: u64,
    /// Times the disk was synced for them.
    pub syncs: u64,
    /// Times everything was written again.
    pub compactions: u64,
    /// Deliveries being worked on.
    pub leases: u64,
    /// Commits that wait.
    pub waiting: u64,
    /// Deliveries that wait, for a time or for their turn: the backlog.
    pub deliveries_waiting: u64,
    /// Bytes of the store's file; plugin bytes are not in it.
    pub bytes_on_disk: u64,
    /// Bytes of the keys and values in it, about.
    pub bytes_live: u64,
    /// Whether a write failed: nothing is written any more until the program is started again.
    pub failed: bool,
}
