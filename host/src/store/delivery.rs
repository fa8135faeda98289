//! A delivery's record and its way through the three ranges: leased, waiting, finished.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Store,
    agenda::AgendaChange,
    claim::set_due,
    engine::Engine,
    error::StoreError,
    key, lane,
    lease::Token,
    sealing,
    transaction::{Transaction, damaged, decode, encode},
};
use crate::{
    clock,
    model::{
        delivery::{Attempt, Delivery, DeliveryState, lifecycle::Step},
        id::{DeliveryId, EndpointId, WebhookId},
        outcome::{Failure, FailureKind},
    },
};

/// Deliveries changed in one commit.
pub(super) const CHUNK: usize = 500;

/// How often a delivery is looked for in the three ranges while it moves between them.
const FIND_TRIES: u32 = 3;

/// A delivery as kept. Once it is over, the attempt that ended it stands behind it, as JSON of its own: most deliveries have one
/// attempt, and it costs no row this way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    /// The place of its event, or of itself when it was invoked.
    pub(super) seq: u64,
    /// Whether it was being sent when its lease ended, and no attempt was settled since: the endpoint may have seen it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) interrupted: bool,
    /// When its endpoint said for the first time that it did not process the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) refused_since: Option<Timestamp>,
    /// Where it is sent, if that is not where its webhook usually sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    endpoint: Option<EndpointId>,
    /// The lane it stands in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) lane: Option<String>,
    /// Whether it is another's turn in its lane.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) blocked: bool,
    /// The places of a batch's further events.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) further: Vec<u64>,
    pub(super) delivery: Delivery,
    /// The attempt it ended with, or the one just made; as JSON, empty: none.
    #[serde(skip)]
    last_attempt: Vec<u8>,
}

impl Record {
    /// A delivery nobody works on yet.
    pub(super) fn new(seq: u64, endpoint: &EndpointId, lane: Option<String>, delivery: Delivery) -> Self {
        let endpoint = (endpoint.0 != delivery.webhook_id.0).then(|| endpoint.clone());
        let (further, last_attempt) = (Vec::new(), Vec::new());
        Self { seq, interrupted: false, refused_since: None, endpoint, lane, blocked: false, further, delivery, last_attempt }
    }

    /// Where it is sent.
    pub(super) fn endpoint(&self) -> EndpointId {
        self.endpoint.clone().unwrap_or_else(|| EndpointId::new(&self.delivery.webhook_id, None))
    }

    /// Takes a step, if it may.
    fn step(&mut self, step: Step) -> Result<(), StoreError> {
        let Delivery { id, state, .. } = &mut self.delivery;
        *state = state.after(step).ok_or_else(|| StoreError::WrongState { id: id.clone(), state: *state })?;
        Ok(())
    }

    /// The record in `range`.
    pub(super) fn load(transaction: &Transaction<'_>, range: &[u8], id: &DeliveryId) -> Result<Option<Self>, StoreError> {
        let key = key::delivery(range, id);
        transaction.get_bytes(&key)?.map(|bytes| Self::read(&key, &bytes)).transpose()
    }

    /// The record in the bytes under `key`.
    pub(super) fn read(key: &[u8], bytes: &[u8]) -> Result<Self, StoreError> {
        let mut records = serde_json::Deserializer::from_slice(bytes).into_iter();
        let record: Option<Result<Self, _>> = records.next();
        let mut record = record.map_or_else(|| decode(key, &[]), |record| record.map_err(|source| damaged(key, source)))?;
        record.last_attempt = bytes.get(records.byte_offset()..).unwrap_or_default().to_vec();
        Ok(record)
    }

    /// Puts it into `range`.
    fn put(&self, transaction: &mut Transaction<'_>, range: &[u8]) -> Result<(), StoreError> {
        transaction.remove_pieces(&key::delivery(range, &self.delivery.id))?;
        self.put_new(transaction, range)
    }

    /// Puts it into `range`, where it is not yet.
    fn put_new(&self, transaction: &mut Transaction<'_>, range: &[u8]) -> Result<(), StoreError> {
        let key = key::delivery(range, &self.delivery.id);
        let mut bytes = encode(self)?;
        bytes.extend_from_slice(&self.last_attempt);
        // What `invoke` was given is as much data as an event's.
        let is_sealed = self.delivery.invocation.is_some() || sealing::is_sealed(&key);
        transaction.put_new_as(key, &bytes, is_sealed)
    }

    /// Whether somebody waits for its answer instead of the log.
    pub(super) fn is_invoke(&self) -> bool {
        self.delivery.event.is_none() && self.delivery.invocation.is_some()
    }

    /// Writes one that was just accepted as worked on; the caller has the token.
    pub(super) fn put_taken(&mut self, transaction: &mut Transaction<'_>, lease_for: Duration) -> Result<Token, StoreError> {
        self.delivery.state = DeliveryState::Sending;
        self.set(None, transaction.now);
        self.put_new(transaction, key::LEASED)?;
        Ok(transaction.lease(&self.delivery.id, lease_for))
    }

    /// Writes what waits as worked on; the caller has the token.
    pub(super) fn claim(&mut self, transaction: &mut Transaction<'_>, lease_for: Duration) -> Result<Token, StoreError> {
        self.take_waiting(transaction)?;
        self.step(Step::Claim)?;
        self.put_taken(transaction, lease_for)
    }

    /// Writes what is worked on as worked on still, under the same lease.
    pub(super) fn go_on(&mut self, transaction: &mut Transaction<'_>) -> Result<(), StoreError> {
        self.step(Step::GoOn)?;
        self.part_with_attempt(transaction)?;
        self.put(transaction, key::LEASED)
    }

    /// Takes a step with what is worked on after which it waits until `due`.
    pub(super) fn wait(&mut self, transaction: &mut Transaction<'_>, step: Step, due: Timestamp) -> Result<(), StoreError> {
        self.take_leased(transaction)?;
        self.step(step)?;
        self.put_waiting(transaction, due)
    }

    /// Writes it as due at `due`, or, while it is blocked, as waiting for its turn.
    pub(super) fn put_waiting(&mut self, transaction: &mut Transaction<'_>, due: Timestamp) -> Result<(), StoreError> {
        self.set((!self.blocked).then_some(due), transaction.now);
        let (endpoint, due_ms) = (self.endpoint(), self.due_ms());
        self.part_with_attempt(transaction)?;
        self.put(transaction, key::WAITING)?;
        transaction.mark_due(key::due(&endpoint, due_ms, &self.delivery.id));
        transaction.counters.waiting += 1;
        transaction.agenda(AgendaChange::Note(endpoint, due_ms));
        Ok(())
    }

    /// Takes a step after which it is over. What was built for further attempts goes, and in its lane it is the next one's turn.
    pub(super) fn finish(&mut self, transaction: &mut Transaction<'_>, step: Step) -> Result<(), StoreError> {
        self.step(step)?;
        lane::leave(transaction, self)?;
        self.set(None, transaction.now);
        self.interrupted = false;
        self.blocked = false;
        self.put(transaction, key::FINISHED)?;
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
        transaction.remove(key::delivery(key::WAITING, &self.delivery.id))?;
        transaction.unmark_due(key::due(&self.endpoint(), self.due_ms(), &self.delivery.id));
        transaction.counters.waiting = transaction.counters.waiting.saturating_sub(1);
        Ok(())
    }

    fn due_ms(&self) -> u64 {
        self.delivery.due_at.map_or(key::NEVER, clock::millis)
    }

    /// Adds an attempt, under the next number. Written with the step that follows.
    pub(super) fn add_attempt(&mut self, attempt: Vec<u8>) {
        self.delivery.attempts += 1;
        self.last_attempt = attempt;
    }

    /// Gives the last attempt a row of its own: others may follow it.
    fn part_with_attempt(&mut self, transaction: &mut Transaction<'_>) -> Result<(), StoreError> {
        if !self.last_attempt.is_empty() {
            transaction.put_new(key::attempt(&self.delivery.id, self.delivery.attempts), &self.last_attempt)?;
            self.last_attempt.clear();
        }
        Ok(())
    }

    /// How the attempt it ended with failed, in a word this build knows.
    pub(super) fn last_failure(&self) -> Option<FailureKind> {
        #[derive(Deserialize)]
        struct Ended {
            failure: Option<Failure>,
        }
        serde_json::from_slice::<Ended>(&self.last_attempt).ok()?.failure.map(|failure| failure.kind)
    }

    /// Forgets what was sent in the attempt it ended with.
    pub(super) fn forget_attempt(&mut self, transaction: &mut Transaction<'_>) -> Result<(), StoreError> {
        self.last_attempt.clear();
        self.put(transaction, key::FINISHED)
    }

    fn set(&mut self, due: Option<Timestamp>, now: Timestamp) {
        self.delivery.due_at = due;
        self.delivery.updated_at = now;
    }
}

/// The highest place any delivery has.
pub(super) fn last_seq(engine: &Engine) -> Result<u64, StoreError> {
    let mut last = 0;
    for range in [key::LEASED, key::WAITING, key::FINISHED] {
        if let Some(key) = engine.keys(key::under(range)).next_back().transpose()? {
            last = last.max(key::delivery_at_end(&key).and_then(|id| id.seq()).unwrap_or(0));
        }
    }
    Ok(last)
}

/// The record of a delivery, wherever it is.
pub(super) fn find(engine: &Engine, id: &DeliveryId) -> Result<Option<Record>, StoreError> {
    Ok(find_sized(engine, id)?.map(|(record, _)| record))
}

/// The same, with the number of its bytes.
pub(super) fn find_sized(engine: &Engine, id: &DeliveryId) -> Result<Option<(Record, usize)>, StoreError> {
    for _ in 0..FIND_TRIES {
        for range in [key::LEASED, key::WAITING, key::FINISHED] {
            let key = key::delivery(range, id);
            if let Some(bytes) = engine.get(&key)? {
                return Ok(Some((Record::read(&key, &bytes)?, bytes.len())));
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
            // First: where it is sent again meanwhile, the last attempt becomes one of those in rows.
            let record = find(engine, &id)?;
            let mut attempts = BTreeMap::new();
            for row in engine.records(key::attempts(&id)) {
                let (key, bytes) = row?;
                let attempt: Attempt = decode(&key, &bytes)?;
                attempts.insert(key::attempt_number(&key).unwrap_or(attempt.number), attempt);
            }
            if let Some(record) = record.filter(|record| !record.last_attempt.is_empty()) {
                attempts.insert(record.delivery.attempts, decode(&key::delivery(key::FINISHED, &id), &record.last_attempt)?);
            }
            Ok(attempts.into_iter().map(|(number, attempt)| Attempt { number, ..attempt }).collect())
        })
        .await
    }

    /// Has a delivery sent again at once, under the same id: one that is over (it is built again), or that waits for its next attempt.
    /// It stands outside any order from then on.
    pub async fn resend(&self, id: DeliveryId) -> Result<Delivery, StoreError> {
        self.commit(0, move |transaction| resend(transaction, &id)).await
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
        self.close_batches_of(webhook).await?;
        let mut cancelled = 0;
        for range in key::webhook_dues(webhook) {
            loop {
                let range = range.clone();
                let chunk = self.commit_scanning(move |transaction| {
                    let keys: Vec<_> = transaction.engine.keys(range).take(CHUNK).collect::<Result<_, _>>()?;
                    for key in &keys {
                        if let Some(id) = key::delivery_at_end(key)
                            && Record::load(transaction, key::WAITING, &id)?.is_some()
                        {
                            cancel(transaction, &id)?;
                            transaction.unmark(key.clone());
                        } else {
                            transaction.unmark_due(key.clone());
                        }
                    }
                    let endpoints: BTreeSet<_> = keys.iter().filter_map(|key| Some(key::due_parts(key)?.0)).collect();
                    endpoints.into_iter().try_for_each(|endpoint| set_due(transaction, endpoint))?;
                    Ok(keys.len())
                });
                let chunk = chunk.await?;
                cancelled += chunk as u64;
                if chunk < CHUNK {
                    break;
                }
            }
        }
        Ok(cancelled)
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

/// Makes a delivery due now, outside any order.
pub(super) fn resend(transaction: &mut Transaction<'_>, id: &DeliveryId) -> Result<Delivery, StoreError> {
    let mut record = if let Some(record) = Record::load(transaction, key::FINISHED, id)? {
        transaction.remove(key::delivery(key::FINISHED, id))?;
        record
    } else if let Some(record) = Record::load(transaction, key::WAITING, id)? {
        record.take_waiting(transaction)?;
        record
    } else if transaction.exists(&key::delivery(key::LEASED, id))? {
        return Err(StoreError::WrongState { id: id.clone(), state: DeliveryState::Sending });
    } else {
        return Err(StoreError::not_found(format!("delivery {id}")));
    };
    record.step(Step::Resend)?;
    lane::leave(transaction, &mut record)?;
    record.blocked = false;
    record.refused_since = None;
    let now = transaction.now;
    record.put_waiting(transaction, now)?;
    Ok(record.delivery)
}

/// Ends a delivery that is not over; `None` when no such delivery exists.
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
    record.finish(transaction, Step::Cancel)?;
    Ok(Some(record.delivery))
}
