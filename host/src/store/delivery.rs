//! A delivery's record and its way through the three ranges: leased, waiting, finished.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Store,
    engine::Engine,
    error::StoreError,
    key,
    lease::Token,
    transaction::{Transaction, decode, encode},
};
use crate::{
    clock,
    model::{
        delivery::{Attempt, Delivery, DeliveryState},
        id::{DeliveryId, WebhookId},
    },
};

/// Deliveries cancelled in one commit.
const CANCEL_CHUNK: usize = 500;

/// How often a delivery is looked for in the three ranges while it moves between them.
const FIND_TRIES: u32 = 3;

/// A delivery as kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    /// The place of its event, or of itself when it was invoked.
    pub(super) seq: u64,
    /// Whether it was being sent when its lease ended: the endpoint may have seen it.
    #[serde(default)]
    pub(super) interrupted: bool,
    pub(super) delivery: Delivery,
}

impl Record {
    /// The record in `range`.
    pub(super) fn load(transaction: &Transaction<'_>, range: &[u8], id: &DeliveryId) -> Result<Option<Self>, StoreError> {
        transaction.get(&key::delivery(range, id))
    }

    /// Whether somebody waits for its answer instead of the log.
    pub(super) fn is_invoke(&self) -> bool {
        self.delivery.event.is_none() && self.delivery.invocation.is_some()
    }

    /// Writes it as worked on; the caller has the token.
    pub(super) fn put_leased(&mut self, transaction: &mut Transaction<'_>, lease_for: Duration) -> Result<Token, StoreError> {
        self.set(DeliveryState::Sending, None, transaction.now);
        transaction.put_new(key::delivery(key::LEASED, &self.delivery.id), &encode(self)?);
        Ok(transaction.lease(&self.delivery.id, lease_for))
    }

    /// Writes it as due at `due`.
    pub(super) fn put_waiting(
        &mut self,
        transaction: &mut Transaction<'_>,
        state: DeliveryState,
        due: Timestamp,
    ) -> Result<(), StoreError> {
        self.set(state, Some(due), transaction.now);
        let id = &self.delivery.id;
        transaction.put(key::delivery(key::WAITING, id), self)?;
        transaction.mark(key::due(clock::millis(due), id));
        transaction.mark(key::webhook_due(&self.delivery.webhook_id, clock::millis(due), id));
        Ok(())
    }

    /// Writes it as over. What was built for further attempts goes.
    pub(super) fn put_finished(&mut self, transaction: &mut Transaction<'_>, state: DeliveryState) -> Result<(), StoreError> {
        self.set(state, None, transaction.now);
        self.interrupted = false;
        transaction.put(key::delivery(key::FINISHED, &self.delivery.id), self)?;
        transaction.remove(key::built(&self.delivery.id))
    }

    /// Takes it out of the leased ones, and ends its lease.
    pub(super) fn take_leased(&self, transaction: &mut Transaction<'_>) -> Result<(), StoreError> {
        transaction.remove(key::delivery(key::LEASED, &self.delivery.id))?;
        if let Some(token) = transaction.leases.token(&self.delivery.id) {
            transaction.release(token);
        }
        Ok(())
    }

    /// Takes it out of the waiting ones.
    pub(super) fn take_waiting(&self, transaction: &mut Transaction<'_>) -> Result<(), StoreError> {
        let id = &self.delivery.id;
        transaction.remove(key::delivery(key::WAITING, id))?;
        if let Some(due) = self.delivery.due_at {
            transaction.unmark(key::due(clock::millis(due), id));
            transaction.unmark(key::webhook_due(&self.delivery.webhook_id, clock::millis(due), id));
        }
        Ok(())
    }

    /// Adds an attempt, under the next number.
    pub(super) fn add_attempt(&mut self, transaction: &mut Transaction<'_>, attempt: &[u8]) {
        self.delivery.attempts += 1;
        transaction.put_new(key::attempt(&self.delivery.id, self.delivery.attempts), attempt);
    }

    fn set(&mut self, state: DeliveryState, due: Option<Timestamp>, now: Timestamp) {
        self.delivery.state = state;
        self.delivery.due_at = due;
        self.delivery.updated_at = now;
    }
}

/// The highest place any delivery has.
pub(super) fn last_seq(engine: &Engine) -> Result<u64, StoreError> {
    let mut last = 0;
    for range in [key::LEASED, key::WAITING, key::FINISHED] {
        if let Some((key, bytes)) = engine.records(key::under(range)).next_back().transpose()? {
            last = last.max(decode::<Record>(&key, &bytes)?.seq);
        }
    }
    Ok(last)
}

/// The record of a delivery, wherever it is.
pub(super) fn find(engine: &Engine, id: &DeliveryId) -> Result<Option<Record>, StoreError> {
    for _ in 0..FIND_TRIES {
        for range in [key::LEASED, key::WAITING, key::FINISHED] {
            let key = key::delivery(range, id);
            if let Some(bytes) = engine.get(&key)? {
                return decode(&key, &bytes).map(Some);
            }
        }
    }
    Ok(None)
}

impl Store {
    /// A delivery.
    pub async fn delivery(&self, id: &DeliveryId) -> Result<Option<Delivery>, StoreError> {
        Ok(find(&self.engine(), id)?.map(|record| record.delivery))
    }

    /// The attempts of a delivery, oldest first.
    pub async fn attempts(&self, id: &DeliveryId) -> Result<Vec<Attempt>, StoreError> {
        let id = id.clone();
        self.scan(move |engine| {
            let attempts = engine.records(key::attempts(&id)).map(|record| {
                let (key, bytes) = record?;
                let mut attempt: Attempt = decode(&key, &bytes)?;
                attempt.number = key::attempt_number(&key).unwrap_or(attempt.number);
                Ok(attempt)
            });
            attempts.collect()
        })
        .await
    }

    /// Has a delivery sent again at once, under the same id: one that is over (it is built anew), or that waits for its next attempt.
    pub async fn resend(&self, id: DeliveryId) -> Result<Delivery, StoreError> {
        self.commit(0, move |transaction| {
            let mut record = if let Some(record) = Record::load(transaction, key::FINISHED, &id)? {
                transaction.remove(key::delivery(key::FINISHED, &id))?;
                record
            } else if let Some(record) = Record::load(transaction, key::WAITING, &id)? {
                record.take_waiting(transaction)?;
                record
            } else if transaction.exists(&key::delivery(key::LEASED, &id))? {
                return Err(StoreError::WrongState { id, state: DeliveryState::Sending });
            } else {
                return Err(StoreError::not_found(format!("delivery {id}")));
            };
            let now = transaction.now;
            record.put_waiting(transaction, DeliveryState::Pending, now)?;
            Ok(record.delivery)
        })
        .await
    }

    /// Ends a delivery. One that is being sent loses its lease: what comes of it is not recorded.
    pub async fn cancel(&self, id: DeliveryId) -> Result<Delivery, StoreError> {
        self.commit(0, move |transaction| match cancel(transaction, &id)? {
            Some(delivery) => Ok(delivery),
            None => match Record::load(transaction, key::FINISHED, &id)? {
                Some(Record { delivery, .. }) if delivery.state == DeliveryState::Cancelled => Ok(delivery),
                Some(Record { delivery, .. }) => Err(StoreError::WrongState { id, state: delivery.state }),
                None => Err(StoreError::not_found(format!("delivery {id}"))),
            },
        })
        .await
    }

    /// Ends what waits for a webhook; what is being sent goes on. How many were ended.
    pub async fn cancel_for_webhook(&self, webhook: &WebhookId) -> Result<u64, StoreError> {
        let mut cancelled = 0;
        loop {
            let range = key::webhook_dues(webhook);
            let chunk = self.commit_scanning(move |transaction| {
                let keys: Vec<_> = transaction.engine.keys(range.clone()).take(CANCEL_CHUNK).collect::<Result<_, _>>()?;
                for key in &keys {
                    if let Some(id) = key::webhook_due_delivery(&range, key)
                        && Record::load(transaction, key::WAITING, &id)?.is_some()
                    {
                        cancel(transaction, &id)?;
                    }
                    transaction.unmark(key.clone());
                }
                Ok(keys.len())
            });
            let chunk = chunk.await?;
            cancelled += chunk as u64;
            if chunk < CANCEL_CHUNK {
                return Ok(cancelled);
            }
        }
    }

    /// Keeps the built request of a delivery that is being sent, before its first attempt.
    pub async fn keep_built(&self, id: DeliveryId, token: u64, built: &serde_json::Value) -> Result<(), StoreError> {
        let built = encode(built)?;
        self.commit(built.len(), move |transaction| {
            if !transaction.holds(&id, token) {
                return Err(StoreError::LeaseLost);
            }
            transaction.put_bytes(key::built(&id), &built)
        })
        .await
    }
}

/// Ends a delivery that is not over; `None` when there is none such.
pub(super) fn cancel(transaction: &mut Transaction<'_>, id: &DeliveryId) -> Result<Option<Delivery>, StoreError> {
    let mut record = if let Some(record) = Record::load(transaction, key::WAITING, id)? {
        record.take_waiting(transaction)?;
        record
    } else if let Some(record) = Record::load(transaction, key::LEASED, id)? {
        record.take_leased(transaction)?;
        record
    } else {
        return Ok(None);
    };
    record.put_finished(transaction, DeliveryState::Cancelled)?;
    Ok(Some(record.delivery))
}
