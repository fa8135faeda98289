//! Batches: events of one webhook, session, environment and lane that go together in one delivery.
//!
//! An open batch is a record that grows with acceptance. Closing it makes the delivery, in one commit: what is in it is settled
//! before anything is sent. The first event names the delivery; the others find it by a note of their own.

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
        delivery::{Delivery, NewDelivery},
        event::Event,
        id::{DeliveryId, EndpointId, EventId, WebhookId},
        ordering::BatchRule,
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
}

/// Adds `event` to the webhook's open batch, beginning one if need be; a full one is closed.
pub(super) fn join(transaction: &mut Transaction<'_>, event: &Event, new: NewDelivery, rule: BatchRule) -> Result<(), StoreError> {
    let key = key::open_batch(&new.webhook_id, &name(event, &new));
    let batch = match transaction.get::<OpenBatch>(&key)? {
        Some(mut batch) => {
            batch.further.push((event.seq, event.id.clone()));
            batch
        }
        None => {
            let closes_at = rule.closes_at(transaction.now);
            transaction.mark(key::closing(clock::millis(closes_at), &key));
            transaction.agenda(AgendaChange::Closing(clock::millis(closes_at)));
            let (endpoint, lane) = (new.endpoint.clone(), new.lane.clone());
            let mut delivery = owed(event, new, transaction.now);
            delivery.id = DeliveryId::new(event.seq, &delivery.webhook_id, BATCH, 0);
            OpenBatch { delivery, endpoint, lane, seq: event.seq, further: Vec::new(), closes_at }
        }
    };
    if batch.further.len() + 1 >= rule.events_max as usize { close(transaction, key, batch) } else { transaction.put(key, &batch) }
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
    let OpenBatch { mut delivery, endpoint, lane, seq, further, .. } = batch;
    let (places, ids): (Vec<_>, Vec<_>) = further.into_iter().unzip();
    for place in &places {
        transaction.mark(key::further(*place, &delivery.id));
    }
    delivery.further_events = ids;
    let mut record = Record::new(seq, &endpoint, lane, delivery);
    record.further = places;
    put_owed(transaction, record, None)?;
    Ok(())
}

impl Store {
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
