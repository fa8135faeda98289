//! Batches: events of one webhook, session, environment and lane that go together in one delivery.
//!
//! An open batch is a record that grows with acceptance. Closing it makes the delivery, in one commit: what is in it is settled
//! before anything is sent. The first event names the delivery; the others find it by a note of their own.
//!
//! A batch is full at a number of events or of bytes. What is built of it can still be too large: then it is split in halves, down to
//! one event ([`Store::split_batch`]).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    Store,
    accept::{owed, put_owed},
    agenda::{self, AgendaChange},
    delivery::{CHUNK, Record},
    error::StoreError,
    key::{self, Range},
    transaction::{Transaction, decode},
};
use crate::{
    clock,
    model::{
        delivery::{Delivery, DeliveryState, NewDelivery, lifecycle::Step},
        event::Event,
        id::{DeliveryId, EndpointId, EventId, WebhookId},
        ordering::{BATCH_BYTES_MAX, BatchRule},
    },
};

/// The batch number of a delivery's identifier. One is enough: no two batches of a webhook begin with the same event.
const BATCH: u64 = 1;

/// A batch that still takes events.
#[derive(Serialize, Deserialize)]
struct OpenBatch {
    /// The delivery as its first event makes it.
    delivery: Delivery,
    endpoint: EndpointId,
    lane: Option<String>,
    seq: u64,
    further: Vec<(u64, EventId)>,
    closes_at: Timestamp,
    /// Bytes of its events. Absent in a batch that was begun by a build before 0.2: such a batch can hold too many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes: Option<usize>,
}

/// Adds `event`, of `bytes`, to the webhook's open batch, or begins a batch when none is open. A full batch is closed.
pub(super) fn join(
    transaction: &mut Transaction<'_>,
    (event, bytes): (&Event, usize),
    new: NewDelivery,
    rule: BatchRule,
) -> Result<(), StoreError> {
    let key = key::open_batch(&new.webhook_id, &name(event, &new));
    let batch = match open_with_room(transaction, &key, bytes)? {
        Some((mut batch, gathered)) => {
            batch.further.push((event.seq, event.id.clone()));
            batch.bytes = batch.bytes.map(|_| gathered + bytes);
            batch
        }
        None => {
            let closes_at = rule.closes_at(transaction.now);
            transaction.mark(key::closing(clock::millis(closes_at), &key));
            transaction.agenda(AgendaChange::Closing(clock::millis(closes_at)));
            let (endpoint, lane) = (new.endpoint.clone(), new.lane.clone());
            let mut delivery = owed(event, new, transaction.now);
            delivery.id = DeliveryId::new(event.seq, &delivery.webhook_id, BATCH, 0);
            OpenBatch { delivery, endpoint, lane, seq: event.seq, further: Vec::new(), closes_at, bytes: Some(bytes) }
        }
    };
    if batch.further.len() + 1 >= rule.events_max as usize { close(transaction, key, batch) } else { transaction.put(key, &batch) }
}

/// The open batch under `key` and the bytes it holds, if `bytes` more fit into it; otherwise it is closed.
fn open_with_room(transaction: &mut Transaction<'_>, key: &[u8], bytes: usize) -> Result<Option<(OpenBatch, usize)>, StoreError> {
    let Some(batch) = transaction.get::<OpenBatch>(key)? else { return Ok(None) };
    // One of an earlier build takes events up to their number, as that build would have had it, and is split when it is closed.
    let gathered = batch.bytes.unwrap_or_default();
    if gathered.saturating_add(bytes) <= BATCH_BYTES_MAX {
        return Ok(Some((batch, gathered)));
    }
    close(transaction, key.to_vec(), batch)?;
    Ok(None)
}

/// What makes events go together.
fn name(event: &Event, new: &NewDelivery) -> String {
    let mut hasher = Sha256::new();
    for part in [event.session.as_deref(), event.environment.as_deref(), new.lane.as_deref()] {
        hasher.update([u8::from(part.is_some())]);
        hasher.update((part.unwrap_or_default().len() as u64).to_be_bytes());
        hasher.update(part.unwrap_or_default());
    }
    hex::encode(&hasher.finalize()[..16])
}

fn close(transaction: &mut Transaction<'_>, key: Vec<u8>, batch: OpenBatch) -> Result<(), StoreError> {
    transaction.unmark(key::closing(clock::millis(batch.closes_at), &key));
    transaction.remove(key)?;
    let OpenBatch { delivery, endpoint, lane, seq, further, bytes, .. } = batch;
    let first = delivery.event.clone().map(|id| (seq, id));
    let events: Vec<_> = first.into_iter().chain(further).collect();
    let parts = if bytes.is_some() { vec![events] } else { by_bytes(transaction, events)? };
    for part in parts {
        let record = Record::new(seq, &endpoint, lane.clone(), delivery.clone());
        let record = of_events(transaction, record, part);
        put_owed(transaction, record, None)?;
    }
    Ok(())
}

/// Events in their order, in as few parts as their bytes allow.
fn by_bytes(transaction: &Transaction<'_>, events: Vec<(u64, EventId)>) -> Result<Vec<Vec<(u64, EventId)>>, StoreError> {
    let mut parts: Vec<Vec<(u64, EventId)>> = Vec::new();
    let mut gathered = 0;
    for (place, id) in events {
        let bytes = transaction.get_bytes(&key::event(place))?.map_or(0, |bytes| bytes.len());
        match parts.last_mut() {
            Some(part) if gathered + bytes <= BATCH_BYTES_MAX => {
                gathered += bytes;
                part.push((place, id));
            }
            _ => {
                gathered = bytes;
                parts.push(vec![(place, id)]);
            }
        }
    }
    Ok(parts)
}

/// `record` as the delivery of these events, named by the first of them.
fn of_events(transaction: &mut Transaction<'_>, mut record: Record, events: Vec<(u64, EventId)>) -> Record {
    let mut events = events.into_iter();
    if let Some((seq, first)) = events.next() {
        record.seq = seq;
        record.delivery.id = DeliveryId::new(seq, &record.delivery.webhook_id, BATCH, 0);
        record.delivery.event = Some(first);
    }
    (record.further, record.delivery.further_events) = events.unzip();
    for place in &record.further {
        transaction.mark(key::further(*place, &record.delivery.id));
    }
    record
}

/// Splits a batch that is being sent: what `token` holds keeps its identifier and the first half of its events.
fn split(transaction: &mut Transaction<'_>, id: &DeliveryId, token: u64) -> Result<(), StoreError> {
    if !transaction.holds(id, token) {
        return Err(StoreError::LeaseLost);
    }
    let Some(mut record) = Record::load(transaction, key::LEASED, id)? else { return Err(StoreError::LeaseLost) };
    let kept = record.further.len() / 2;
    let places = record.further.split_off(kept);
    let ids = record.delivery.further_events.split_off(kept);
    for place in &places {
        transaction.unmark(key::further(*place, id));
    }
    // The other half begins with all its attempts.
    let delivery = Delivery { attempts: 0, state: DeliveryState::Pending, due_at: None, ..record.delivery.clone() };
    let mut other = Record::new(record.seq, &record.endpoint(), record.lane.clone(), delivery);
    other.interrupted = record.interrupted;
    // What was built holds all of the events.
    transaction.remove(key::built(id))?;
    let now = transaction.now;
    record.wait(transaction, Step::GiveBack, now)?;
    let events: Vec<_> = places.into_iter().zip(ids).collect();
    if !events.is_empty() {
        let other = of_events(transaction, other, events);
        put_owed(transaction, other, None)?;
    }
    Ok(())
}

impl Store {
    /// Splits a batch of which no request can be made as a whole: each half is a delivery, due at once, and no attempt is counted. The
    /// first half keeps the identifier. With [`StoreError::LeaseLost`] nothing changed.
    pub async fn split_batch(&self, id: DeliveryId, token: u64) -> Result<(), StoreError> {
        self.commit(0, move |transaction| split(transaction, &id, token)).await
    }

    /// Closes the batches whose time has come. How many were closed.
    pub async fn close_batches(&self) -> Result<usize, StoreError> {
        if !self.shared.published.agenda().closes(clock::millis(self.now())) {
            return Ok(0);
        }
        self.commit_scanning(|transaction| {
            let due = key::numbered_to(key::CLOSINGS, clock::millis(transaction.now));
            let keys: Vec<_> = transaction.engine.keys(due).take(CHUNK).collect::<Result<_, _>>()?;
            for note in &keys {
                transaction.unmark(note.clone());
                let key = key::closing_batch(note).to_vec();
                if let Some(batch) = transaction.get::<OpenBatch>(&key)? {
                    close(transaction, key, batch)?;
                }
            }
            let next = transaction.first_in(key::under(key::CLOSINGS), 1)?.first().and_then(|key| key::number(key::CLOSINGS, key));
            transaction.agenda(AgendaChange::SetClosing(next));
            Ok(keys.len())
        })
        .await
    }

    /// Puts every open batch of a webhook under another rule, counted from its first event: what is due by it is closed at once, and
    /// so is everything where there is none any more.
    pub async fn reschedule_batches(&self, webhook: &WebhookId, rule: Option<BatchRule>) -> Result<(), StoreError> {
        let range: Range = key::open_batches(webhook);
        self.commit_scanning(move |transaction| {
            let open: Vec<_> = transaction.engine.records(range).collect::<Result<_, _>>()?;
            for (key, bytes) in open {
                let mut batch: OpenBatch = decode(&key, &bytes)?;
                let full = |rule: &BatchRule| batch.further.len() + 1 >= rule.events_max as usize;
                let closes_at = rule.filter(|rule| !full(rule)).map(|rule| rule.closes_at(batch.delivery.created_at));
                match closes_at.filter(|at| *at > transaction.now) {
                    None => close(transaction, key, batch)?,
                    Some(at) => {
                        transaction.unmark(key::closing(clock::millis(batch.closes_at), &key));
                        transaction.mark(key::closing(clock::millis(at), &key));
                        batch.closes_at = at;
                        transaction.put(key, &batch)?;
                    }
                }
            }
            let next = transaction.first_in(key::under(key::CLOSINGS), 1)?.first().and_then(|key| key::number(key::CLOSINGS, key));
            transaction.agenda(AgendaChange::SetClosing(next));
            Ok(())
        })
        .await
    }

    /// Closes every open batch of a webhook now.
    pub(super) async fn close_batches_of(&self, webhook: &WebhookId) -> Result<(), StoreError> {
        let range: Range = key::open_batches(webhook);
        self.commit_scanning(move |transaction| {
            let open: Vec<_> = transaction.engine.records(range).collect::<Result<_, _>>()?;
            for (key, bytes) in open {
                let batch = decode(&key, &bytes)?;
                close(transaction, key, batch)?;
            }
            transaction.agenda(AgendaChange::SetClosing(agenda::first_closing(transaction.engine)?));
            Ok(())
        })
        .await
    }
}
