//! What one commit sees and writes. Nothing it does counts until its closure has returned `Ok`.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    agenda::AgendaChange,
    audit, call, delivery,
    engine::{Engine, Writes},
    error::StoreError,
    fan_out,
    key::{self, Range},
    lease::{LeaseChange, Leases, Token},
    sealing, value,
};
use crate::{clock, model::id::DeliveryId};

/// Stamps given in one life of the process before they would run into the next one's: 10^12.
const STAMPS_PER_EPOCH: u64 = 1 << 40;

/// What stands under a key without a value.
const MARK_BYTES: usize = value::MARK.len();

/// What is counted in commit order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counters {
    /// The last event's or invoke's number.
    pub(super) seq: u64,
    /// The configuration's revision.
    pub(super) revision: u64,
    /// Calls recorded so far; about, after a crash.
    pub(super) calls: u64,
    /// The last entry of the audit log.
    pub(super) audit: u64,
    /// Deliveries that wait, for a time or for their turn.
    pub(super) waiting: u64,
    /// Events whose deliveries are still to be written.
    pub(super) fan_outs: u64,
    /// The last stamp given: a lease's token or a long value's name. Never given twice, also across restarts.
    stamp: u64,
}

impl Counters {
    /// What the tree says, in a new epoch.
    pub(super) fn load(engine: &Engine) -> Result<(Self, u64), StoreError> {
        let number = |key: &[u8]| engine.get(key)?.map_or(Ok(0), |bytes| decode(key, &bytes));
        let epoch: u64 = number(key::EPOCH)? + 1;
        let (seq, revision) = Self::places(engine)?;
        let counters = Self {
            seq,
            revision,
            calls: number(key::CALLS)?.max(call::last_number(engine)?),
            audit: number(key::AUDIT_NUMBER)?.max(audit::last_number(engine)?),
            waiting: number(key::WAITING_COUNT)?,
            fan_outs: fan_out::number(engine)?,
            stamp: epoch.saturating_mul(STAMPS_PER_EPOCH),
        };
        Ok((counters, epoch))
    }

    /// The last event's number and the configuration's revision. Read without the storage key.
    pub(super) fn places(engine: &Engine) -> Result<(u64, u64), StoreError> {
        let number = |key: &[u8]| engine.get(key)?.map_or(Ok(0), |bytes| decode(key, &bytes));
        let last_event = engine.keys(key::under(key::EVENTS)).next_back().transpose()?;
        let last_event = last_event.and_then(|key| key::number(key::EVENTS, &key)).unwrap_or(0);
        let noted: u64 = number(key::SEQ)?;
        Ok((noted.max(last_event).max(delivery::last_seq(engine)?), number(key::REVISION)?))
    }

    /// Another stamp.
    pub(super) fn next_stamp(&mut self) -> u64 {
        self.stamp += 1;
        self.stamp
    }
}

/// One commit in the making.
pub(super) struct Transaction<'a> {
    pub(super) engine: &'a Engine,
    pub(super) leases: &'a Leases,
    /// Commits before it that are not in the tree yet.
    group: &'a Writes,
    pub(super) counters: Counters,
    pub(super) now: Timestamp,
    writes: Writes,
    bytes: usize,
    grown: i64,
    lease_changes: Vec<LeaseChange>,
    agenda_changes: Vec<AgendaChange>,
}

/// What a commit wants once its closure agreed.
pub(super) struct Prepared {
    pub(super) counters: Counters,
    pub(super) writes: Writes,
    pub(super) bytes: usize,
    /// By how much it lets the tree grow, about: what marks and unmarks a key twice is counted twice.
    pub(super) grown: i64,
    pub(super) lease_changes: Vec<LeaseChange>,
    pub(super) agenda_changes: Vec<AgendaChange>,
}

impl<'a> Transaction<'a> {
    /// A commit on top of the tree and `group`.
    pub(super) fn new(engine: &'a Engine, group: &'a Writes, leases: &'a Leases, counters: Counters, now: Timestamp) -> Self {
        Self {
            engine,
            leases,
            group,
            counters,
            now,
            writes: Writes::new(),
            bytes: 0,
            grown: 0,
            lease_changes: Vec::new(),
            agenda_changes: Vec::new(),
        }
    }

    /// What it came to.
    pub(super) fn into_prepared(self) -> Prepared {
        let Self { counters, writes, bytes, grown, lease_changes, agenda_changes, .. } = self;
        Prepared { counters, writes, bytes, grown, lease_changes, agenda_changes }
    }

    fn raw(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.writes.get(key).or_else(|| self.group.get(key)) {
            Some(written) => Ok(written.clone()),
            None => self.engine.raw(key),
        }
    }

    /// Whether anything stands under `key`.
    pub(super) fn exists(&self, key: &[u8]) -> Result<bool, StoreError> {
        Ok(self.raw(key)?.is_some())
    }

    /// The bytes under `key`.
    pub(super) fn get_bytes(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(raw) = self.raw(key)? else { return Ok(None) };
        let missing = || StoreError::corrupt(format!("the record {}", key.escape_ascii()), "a piece of it is missing");
        self.engine.values().assemble(key, &raw, |piece| self.raw(piece))?.ok_or_else(missing).map(Some)
    }

    /// The record under `key`.
    pub(super) fn get<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, StoreError> {
        self.get_bytes(key)?.map(|bytes| decode(key, &bytes)).transpose()
    }

    /// Puts `bytes` under `key`, sealed if what stands there is.
    pub(super) fn put_bytes(&mut self, key: Vec<u8>, bytes: &[u8]) -> Result<(), StoreError> {
        self.remove_pieces(&key)?;
        self.put_new(key, bytes)
    }

    /// Puts `record` under `key`.
    pub(super) fn put<T: Serialize>(&mut self, key: Vec<u8>, record: &T) -> Result<(), StoreError> {
        let bytes = encode(record)?;
        self.put_bytes(key, &bytes)
    }

    /// Puts `bytes` under a `key` that holds no long value, sealed if what stands there is.
    pub(super) fn put_new(&mut self, key: Vec<u8>, bytes: &[u8]) -> Result<(), StoreError> {
        let is_sealed = sealing::is_sealed(&key);
        self.put_new_as(key, bytes, is_sealed)
    }

    /// As [`Transaction::put_new`], where not the key alone says whether it is sealed.
    pub(super) fn put_new_as(&mut self, key: Vec<u8>, bytes: &[u8], is_sealed: bool) -> Result<(), StoreError> {
        let counters = &mut self.counters;
        let stamp = || counters.next_stamp();
        let (value, pieces) = self.engine.values().encode(&key, bytes, is_sealed, stamp)?;
        self.bytes += key.len() + bytes.len();
        self.grow(&key, value.len());
        for (key, piece) in pieces {
            self.grow(&key, piece.len());
            self.writes.insert(key, Some(piece));
        }
        self.writes.insert(key, Some(value));
        Ok(())
    }

    /// Lets `key` stand without a value.
    pub(super) fn mark(&mut self, key: Vec<u8>) {
        self.bytes += key.len();
        self.grow(&key, MARK_BYTES);
        self.writes.insert(key, Some(value::MARK.to_vec()));
    }

    /// Lets a delivery wait under `due`; what waits is counted.
    pub(super) fn mark_due(&mut self, due: Vec<u8>) {
        self.agenda(AgendaChange::Waits(due.clone(), true));
        self.mark(due);
    }

    /// Takes away what [`Transaction::mark_due`] put there.
    pub(super) fn unmark_due(&mut self, due: Vec<u8>) {
        self.agenda(AgendaChange::Waits(due.clone(), false));
        self.unmark(due);
    }

    /// Takes away what stands under `key`. Where nothing does, nothing is written.
    pub(super) fn remove(&mut self, key: Vec<u8>) -> Result<(), StoreError> {
        if self.remove_pieces(&key)? {
            self.bytes += key.len();
            self.writes.insert(key, None);
        }
        Ok(())
    }

    /// Takes away a `key` that holds no long value.
    pub(super) fn unmark(&mut self, key: Vec<u8>) {
        self.bytes += key.len();
        self.shrink(&key, MARK_BYTES);
        self.writes.insert(key, None);
    }

    /// Takes away everything in `range` of the tree. Only in a commit that scans.
    pub(super) fn remove_range(&mut self, range: Range) -> Result<(), StoreError> {
        for key in self.engine.keys(range) {
            self.remove(key?)?;
        }
        Ok(())
    }

    /// Takes away the pieces of what stands under `key`; whether anything does.
    pub(super) fn remove_pieces(&mut self, key: &[u8]) -> Result<bool, StoreError> {
        let Some(raw) = self.raw(key)? else { return Ok(false) };
        self.shrink(key, raw.len());
        let mut pieces = value::pieces(&raw).peekable();
        while let Some(piece) = pieces.next() {
            // Only the last one is shorter than the others.
            let is_last = pieces.peek().is_none();
            let bytes = if is_last { self.raw(&piece)?.map_or(0, |piece| piece.len()) } else { value::CHUNK_BYTES };
            self.shrink(&piece, bytes);
            self.writes.insert(piece, None);
        }
        Ok(true)
    }

    /// The first `n` keys in `range`, as this commit and those before it leave them.
    pub(super) fn first_in(&self, range: Range, n: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        self.first(self.engine.keys(range.clone()), range, n)
    }

    /// The first key of a queue, likewise.
    pub(super) fn first_of_queue(&self, range: Range) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.first(self.engine.queue(range.clone()), range, 1)?.pop())
    }

    fn first(
        &self,
        in_tree: impl Iterator<Item = Result<Vec<u8>, StoreError>>,
        range: Range,
        n: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let written = |key: &[u8]| self.writes.get(key).or_else(|| self.group.get(key)).map(Option::is_some);
        let in_tree = in_tree.filter(|key| key.as_ref().map_or(true, |key| written(key) != Some(false)));
        let mut first = in_tree.take(n).collect::<Result<BTreeSet<_>, _>>()?;
        for overlay in [self.group, &self.writes] {
            let keys = overlay.range(range.0.clone()..range.1.clone()).map(|(key, _)| key);
            first.extend(keys.filter(|key| written(key) == Some(true)).take(n).cloned());
        }
        Ok(first.into_iter().take(n).collect())
    }

    /// Changes what is to be done when.
    pub(super) fn agenda(&mut self, change: AgendaChange) {
        self.agenda_changes.push(change);
    }

    fn grow(&mut self, key: &[u8], value: usize) {
        self.grown = self.grown.saturating_add_unsigned((key.len() + value) as u64);
    }

    fn shrink(&mut self, key: &[u8], value: usize) {
        self.grown = self.grown.saturating_sub_unsigned((key.len() + value) as u64);
    }

    /// The next place in commit order.
    pub(super) fn next_seq(&mut self) -> u64 {
        self.counters.seq += 1;
        self.counters.seq
    }

    /// Leases `delivery` for `lease_for`.
    pub(super) fn lease(&mut self, delivery: &DeliveryId, lease_for: std::time::Duration) -> Token {
        let token = self.counters.next_stamp();
        self.lease_changes.push(LeaseChange::Grant(token, delivery.clone(), clock::after(self.now, lease_for)));
        token
    }

    /// Makes a lease last for `lease_for` from now.
    pub(super) fn extend(&mut self, token: Token, lease_for: std::time::Duration) {
        self.lease_changes.push(LeaseChange::Extend(token, clock::after(self.now, lease_for)));
    }

    /// Ends a lease.
    pub(super) fn release(&mut self, token: Token) {
        self.lease_changes.push(LeaseChange::Release(token));
    }

    /// Whether `delivery` is leased under `token`, also after what this commit did so far.
    pub(super) fn holds(&self, delivery: &DeliveryId, token: Token) -> bool {
        let released = self.lease_changes.iter().any(|change| matches!(change, LeaseChange::Release(ended) if *ended == token));
        !released && self.leases.delivery(token) == Some(delivery)
    }
}

/// A record as bytes.
pub(super) fn encode<T: Serialize>(record: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(record).map_err(|source| StoreError::unavailable("write a record as JSON", source))
}

/// A record from bytes.
pub(super) fn decode<T: DeserializeOwned>(key: &[u8], bytes: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(bytes).map_err(|source| damaged(key, source))
}

/// What is said of a record that cannot be read.
pub(super) fn damaged(key: &[u8], source: serde_json::Error) -> StoreError {
    StoreError::corrupt(format!("the record {}", key.escape_ascii()), source)
}
