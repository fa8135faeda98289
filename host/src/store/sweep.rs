//! Forgetting: sessions that are over, old dedup keys, the log beyond its retention. Never what is still owed.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    Store,
    accept::Seen,
    audit, call,
    delivery::Record,
    engine::Engine,
    error::StoreError,
    key::{self, Range},
    log,
    session::SessionRecord,
    transaction::{Transaction, decode},
};
use crate::{
    clock,
    model::{
        audit::AuditEntry,
        call::{Call, CallState},
        delivery::Delivery,
        event::Event,
    },
};

/// Records of one kind looked at in one sweep.
const EXAMINED_MAX: usize = 2_000;

/// Records of one kind removed in one sweep, each with what belongs to it.
const REMOVED_MAX: usize = 250;

/// How long, and how many of, what is over is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Deliveries and their attempts, after their last change.
    pub deliveries: Duration,
    /// Events, after their acceptance; longer while a delivery of theirs is kept.
    pub events: Duration,
    /// Calls, after they came in.
    pub calls: Duration,
    /// The newest events and invokes, with their deliveries: older ones go whatever their age.
    pub events_max: u64,
    /// The newest calls.
    pub calls_max: u64,
    /// Entries of the audit log.
    pub audit: Duration,
    /// The newest entries of the audit log.
    pub audit_max: u64,
}

/// What a sweep removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Sessions.
    pub sessions: u64,
    /// Dedup keys.
    pub dedup_keys: u64,
    /// Deliveries with their attempts.
    pub deliveries: u64,
    /// Events.
    pub events: u64,
    /// Calls.
    pub calls: u64,
    /// Entries of the audit log.
    pub audit: u64,
    /// Whether there is more to do: sweep again.
    pub more: bool,
}

/// Where the next sweep goes on in each log; `None`: at its beginning.
#[derive(Clone, Default)]
pub(super) struct Cursors {
    deliveries: Option<Vec<u8>>,
    events: Option<Vec<u8>>,
    calls: Option<Vec<u8>>,
    audit: Option<Vec<u8>>,
}

/// What to do with a record of a log.
enum Verdict<T> {
    Remove(T),
    Keep,
    /// Nothing from here on is old enough.
    Stop,
}

impl Store {
    /// Removes a bounded part of what is over. To be called from time to time, and again while there is `more`.
    pub async fn sweep(&self, retention: Retention) -> Result<Swept, StoreError> {
        let mut cursors = self.shared.sweeping.lock().map(|cursors| cursors.clone()).unwrap_or_default();
        let mut swept = self.commit_scanning(expire).await?;
        let now = self.now();
        let last_seq = self.last_seq();
        let surplus = move |seq: u64| seq.saturating_add(retention.events_max) <= last_seq;

        let before = moved(now, retention.deliveries);
        let judge = move |_: &Engine, key: &[u8], bytes: &[u8]| {
            let Record { delivery, seq, .. } = Record::read(key, bytes)?;
            Ok(match () {
                () if surplus(seq) || delivery.updated_at < before => Verdict::Remove(delivery),
                () if delivery.created_at < before => Verdict::Keep,
                () => Verdict::Stop,
            })
        };
        swept.deliveries = self.sweep_kind(key::FINISHED, &mut cursors.deliveries, judge, remove_deliveries).await?;

        let before = moved(now, retention.events);
        let judge = move |engine: &Engine, key: &[u8], bytes: &[u8]| {
            let event = log::decode_event(key, bytes)?;
            Ok(match () {
                () if !surplus(event.seq) && event.accepted_at >= before => Verdict::Stop,
                () if is_owed(engine, event.seq)? => Verdict::Keep,
                () => Verdict::Remove(event),
            })
        };
        swept.events = self.sweep_kind(key::EVENTS, &mut cursors.events, judge, remove_events).await?;

        let before = moved(now, retention.calls);
        let calls_so_far = call::last_number(&self.engine())?;
        let judge = move |_: &Engine, key: &[u8], bytes: &[u8]| {
            let (number, record) = call::split(bytes);
            let call: Call = decode(key, record)?;
            Ok(match () {
                () if number.saturating_add(retention.calls_max) > calls_so_far && call.received_at >= before => Verdict::Stop,
                () if call.state == CallState::Pending => Verdict::Keep,
                () => Verdict::Remove(call),
            })
        };
        swept.calls = self.sweep_kind(key::CALL_LOG, &mut cursors.calls, judge, remove_calls).await?;

        let before = moved(now, retention.audit);
        let last = audit::last_number(&self.engine())?;
        let judge = move |_: &Engine, key: &[u8], bytes: &[u8]| {
            let entry: AuditEntry = decode(key, bytes)?;
            let goes = entry.number.saturating_add(retention.audit_max) <= last || entry.at < before;
            Ok(if goes { Verdict::Remove(entry.number) } else { Verdict::Stop })
        };
        swept.audit = self.sweep_kind(key::AUDIT, &mut cursors.audit, judge, remove_audit).await?;

        let removed_max = REMOVED_MAX as u64;
        swept.more |= [swept.deliveries, swept.events, swept.calls, swept.audit].contains(&removed_max);
        swept.more |= cursors.deliveries.is_some() || cursors.events.is_some() || cursors.calls.is_some() || cursors.audit.is_some();
        if let Ok(mut kept) = self.shared.sweeping.lock() {
            *kept = cursors;
        }
        Ok(swept)
    }

    /// Removes what is over of one kind, from its cursor on, and moves the cursor. How many records were removed.
    async fn sweep_kind<T: Send + 'static>(
        &self,
        kind: &'static [u8],
        cursor: &mut Option<Vec<u8>>,
        judge: impl Fn(&Engine, &[u8], &[u8]) -> Result<Verdict<T>, StoreError> + Send + 'static,
        remove: fn(&mut Transaction<'_>, Vec<T>) -> Result<u64, StoreError>,
    ) -> Result<u64, StoreError> {
        let (old, next) = self.old(kind, cursor.take(), judge).await?;
        *cursor = next;
        self.commit_scanning(move |transaction| remove(transaction, old)).await
    }

    /// Candidates of one kind from `start` on, and where to go on.
    async fn old<T: Send + 'static>(
        &self,
        kind: &'static [u8],
        start: Option<Vec<u8>>,
        judge: impl Fn(&Engine, &[u8], &[u8]) -> Result<Verdict<T>, StoreError> + Send + 'static,
    ) -> Result<(Vec<T>, Option<Vec<u8>>), StoreError> {
        self.scan(move |engine| {
            let (begin, end): Range = key::under(kind);
            let mut old = Vec::new();
            for (examined, record) in engine.records((start.unwrap_or(begin), end)).enumerate() {
                let (key, bytes) = record?;
                if examined >= EXAMINED_MAX || old.len() >= REMOVED_MAX {
                    return Ok((old, Some(key)));
                }
                match judge(engine, &key, &bytes)? {
                    Verdict::Remove(record) => old.push(record),
                    Verdict::Keep => {}
                    Verdict::Stop => return Ok((old, None)),
                }
            }
            Ok((old, None))
        })
        .await
    }
}

/// `age` before `now`.
fn moved(now: Timestamp, age: Duration) -> Timestamp {
    now.checked_sub(age).unwrap_or(Timestamp::MIN)
}

/// Whether any delivery of the event at a place is kept, or still to be written.
fn is_owed(engine: &Engine, seq: u64) -> Result<bool, StoreError> {
    let deliveries = [key::LEASED, key::WAITING, key::FINISHED].map(|range| key::deliveries_of(range, seq));
    for range in deliveries.into_iter().chain([key::furthers(seq), key::under(&key::fan_out(seq))]) {
        if engine.keys(range).next().transpose()?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Sessions and dedup keys whose time has come.
fn expire(transaction: &mut Transaction<'_>) -> Result<Swept, StoreError> {
    let mut swept = Swept::default();
    let due = key::numbered_to(key::EXPIRIES, clock::millis(transaction.now));
    let notes: Vec<_> = transaction.engine.keys(due).take(EXAMINED_MAX).collect::<Result<_, _>>()?;
    swept.more = notes.len() == EXAMINED_MAX;
    for note in notes {
        let key = key::expiring(&note).to_vec();
        transaction.unmark(note);
        if key.starts_with(key::SESSIONS) {
            match transaction.get::<SessionRecord>(&key)? {
                // It was used since the note was made.
                Some(session) if session.expires_at > transaction.now => {
                    transaction.mark(key::expiry(clock::millis(session.expires_at), &key));
                }
                Some(_) => {
                    transaction.remove(key)?;
                    swept.sessions += 1;
                }
                None => {}
            }
        } else if transaction.get::<Seen>(&key)?.is_some_and(|seen| seen.until <= transaction.now) {
            transaction.remove(key)?;
            swept.dedup_keys += 1;
        }
    }
    Ok(swept)
}

fn remove_deliveries(transaction: &mut Transaction<'_>, deliveries: Vec<Delivery>) -> Result<u64, StoreError> {
    let mut removed = 0;
    for delivery in deliveries {
        let id = &delivery.id;
        // It may have been sent again since it was looked at.
        let record = Record::load(transaction, key::FINISHED, id)?.filter(|record| record.delivery == delivery);
        if let Some(record) = record {
            for place in record.further {
                transaction.unmark(key::further(place, id));
            }
            transaction.remove(key::delivery(key::FINISHED, id))?;
            transaction.unmark(key::webhook_delivery(&delivery.webhook_id, id));
            transaction.remove_range(key::attempts(id))?;
            removed += 1;
        }
    }
    keep_seq(transaction, removed)
}

fn remove_events(transaction: &mut Transaction<'_>, events: Vec<Event>) -> Result<u64, StoreError> {
    for event in &events {
        transaction.remove(key::event(event.seq))?;
        log::remove_place(transaction, &event.id)?;
    }
    keep_seq(transaction, events.len() as u64)
}

/// Numbers are not given again, even when nothing is left that bears them.
fn keep_seq(transaction: &mut Transaction<'_>, removed: u64) -> Result<u64, StoreError> {
    if removed > 0 {
        let seq = transaction.counters.seq;
        transaction.put(key::SEQ.to_vec(), &seq)?;
    }
    Ok(removed)
}

fn remove_calls(transaction: &mut Transaction<'_>, calls: Vec<Call>) -> Result<u64, StoreError> {
    for call in &calls {
        transaction.remove(key::call(&call.id))?;
        transaction.unmark(key::receiver_call(&call.receiver, &call.id));
        transaction.remove(key::pending_call(&call.id))?;
    }
    if !calls.is_empty() {
        let number = transaction.counters.calls;
        transaction.put(key::CALLS.to_vec(), &number)?;
    }
    Ok(calls.len() as u64)
}

fn remove_audit(transaction: &mut Transaction<'_>, entries: Vec<u64>) -> Result<u64, StoreError> {
    for number in &entries {
        transaction.remove(key::audit(*number))?;
    }
    if !entries.is_empty() {
        let number = transaction.counters.audit;
        transaction.put(key::AUDIT_NUMBER.to_vec(), &number)?;
    }
    Ok(entries.len() as u64)
}
