//! Handing out work: what is due, and what somebody did not finish in time.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{
    Store,
    agenda::AgendaChange,
    committer::Committer,
    delivery::{self, Record},
    engine::Engine,
    error::StoreError,
    key,
    lease::Token,
    transaction::{Transaction, decode, encode},
};
use crate::{
    clock,
    model::{
        delivery::{
            Attempt, Delivery,
            lifecycle::{End, Step},
        },
        event::Event,
        id::{DeliveryId, EndpointId},
        ordering::BATCH_BYTES_MAX,
        outcome::{Failure, FailureKind},
    },
};

/// Leases of a process that is gone, dissolved in one commit.
const RECOVER_CHUNK: usize = 500;

/// A delivery that is the caller's to make, until its lease is over.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The delivery.
    pub delivery: Delivery,
    /// What settling it takes.
    pub token: u64,
    /// Its events, of a batch several; none when the webhook was invoked, or its events were deleted.
    pub events: Vec<Arc<Event>>,
    /// The request as built for an earlier attempt, when it was kept.
    pub built: Option<serde_json::Value>,
    /// It was being sent before and nobody knows how that ended: the endpoint may have seen it.
    pub rebuilt: bool,
    /// Bytes of its events as JSON, if they were read from the store.
    pub event_bytes: usize,
    /// When its endpoint said for the first time that it did not process the request.
    pub refused_since: Option<Timestamp>,
}

impl Claimed {
    /// A delivery without events or a past: one that was just accepted, or invoked.
    pub fn fresh(delivery: Delivery, token: u64) -> Self {
        Self { delivery, token, events: Vec::new(), built: None, rebuilt: false, event_bytes: 0, refused_since: None }
    }

    /// Whether its events are more than a batch may hold, as those of a batch that an earlier build closed can be.
    pub fn is_oversized(&self) -> bool {
        self.events.len() > 1 && self.event_bytes > BATCH_BYTES_MAX
    }
}

/// What is claimed, before its events are read.
type Found = (Record, Token, bool);

impl Store {
    /// Up to `n` endpoints something is due for, what has waited longest first, without the first `skip`. May be slightly stale.
    pub fn ready_endpoints(&self, skip: usize, n: usize) -> Vec<EndpointId> {
        self.shared.published.agenda().ready(clock::millis(self.now())).skip(skip).take(n).cloned().collect()
    }

    /// For how long the delivery that is due longest has been due.
    pub fn oldest_due(&self) -> Duration {
        let due = self.shared.published.agenda().first_due();
        Duration::from_millis(due.map_or(0, |due| clock::millis(self.now()).saturating_sub(due)))
    }

    /// The `n` endpoints whose first delivery has been due longest, and for how long.
    pub fn longest_due(&self, n: usize) -> Vec<(EndpointId, Duration)> {
        let now = clock::millis(self.now());
        let agenda = self.shared.published.agenda();
        let ready = agenda.dues().take_while(|(due, _)| *due <= now).take(n);
        ready.map(|(due, endpoint)| (endpoint.clone(), Duration::from_millis(now - due))).collect()
    }

    /// How many deliveries wait for each endpoint. After a start it takes a while until all are counted.
    pub fn depths(&self) -> Vec<(EndpointId, u64)> {
        self.shared.published.agenda().depths.deepest()
    }

    /// When the next thing will be due that is not due now; `None` while there is none.
    pub fn next_due(&self) -> Option<Timestamp> {
        let due = self.shared.published.agenda().next_after(clock::millis(self.now()));
        let due = due.and_then(|millis| Timestamp::from_millisecond(i64::try_from(millis).ok()?).ok());
        [due, self.shared.published.first_lease_expiry()].into_iter().flatten().min()
    }

    /// Claims what is due, of each endpoint as many as its quota, for `lease_for`.
    pub async fn claim(&self, quotas: Vec<(EndpointId, usize)>, lease_for: Duration) -> Result<Vec<(EndpointId, Claimed)>, StoreError> {
        let claimed = self.commit_scanning(move |transaction| {
            let mut claimed = Vec::new();
            for (endpoint, quota) in quotas {
                claim(transaction, endpoint, quota, lease_for, &mut claimed)?;
            }
            Ok(claimed)
        });
        let claimed = claimed.await?;
        if claimed.is_empty() {
            return Ok(Vec::new());
        }
        self.scan(move |engine| {
            let mut events = HashMap::new();
            let with_events = |(record, token, rebuilt): Found| {
                let endpoint = record.endpoint();
                Ok((endpoint, with_events(engine, &mut events, record, token, rebuilt)?))
            };
            claimed.into_iter().map(with_events).collect()
        })
        .await
    }

    /// A delivery as it stands, with its events, for looking at: nobody holds it by that.
    pub async fn look_back(&self, id: &DeliveryId) -> Result<Option<Claimed>, StoreError> {
        let id = id.clone();
        self.scan(move |engine| {
            let record = delivery::find(engine, &id)?;
            record.map(|record| with_events(engine, &mut HashMap::new(), record, 0, false)).transpose()
        })
        .await
    }

    /// Frees what is claimed by somebody who did not settle it within its lease: it is due again. An `invoke` has failed instead.
    /// How many there were.
    pub async fn free_expired(&self, n: usize) -> Result<usize, StoreError> {
        if self.shared.published.first_lease_expiry().is_none_or(|first| first > self.now()) {
            return Ok(0);
        }
        self.commit_scanning(move |transaction| {
            let over: Vec<_> = transaction.leases.expired(transaction.now).take(n).map(|(token, id)| (token, id.clone())).collect();
            for (token, id) in &over {
                match Record::load(transaction, key::LEASED, id)? {
                    Some(mut record) if record.is_invoke() => interrupt(transaction, &mut record, "nobody settled it within its lease")?,
                    Some(mut record) => free(transaction, &mut record)?,
                    None => transaction.release(*token),
                }
            }
            Ok(over.len())
        })
        .await
    }

    /// Makes leases last for `lease_for` from now; returns the tokens of those that are lost.
    pub async fn extend(&self, tokens: Vec<u64>, lease_for: Duration) -> Result<Vec<u64>, StoreError> {
        self.commit(0, move |transaction| {
            let held = |token: &u64| transaction.leases.delivery(*token).is_some();
            let (held, lost): (Vec<_>, Vec<_>) = tokens.into_iter().partition(held);
            for token in held {
                transaction.extend(token, lease_for);
            }
            Ok(lost)
        })
        .await
    }
}

/// Claims up to `quota` of what is due for `endpoint`, and sets its place in the agenda right.
fn claim(
    transaction: &mut Transaction<'_>,
    endpoint: EndpointId,
    quota: usize,
    lease_for: Duration,
    claimed: &mut Vec<Found>,
) -> Result<(), StoreError> {
    let due = key::dues_until(&endpoint, clock::millis(transaction.now));
    let begin = due.0.clone();
    let keys: Vec<_> = transaction.engine.queue(due).take(quota).collect::<Result<_, _>>()?;
    transaction.engine.remember_front(begin, keys.first());
    for key in keys {
        let record = key::delivery_at_end(&key).map(|id| Record::load(transaction, key::WAITING, &id)).transpose()?.flatten();
        match record {
            Some(mut record) => {
                let token = record.claim(transaction, lease_for)?;
                let rebuilt = record.interrupted;
                claimed.push((record, token, rebuilt));
            }
            None => transaction.unmark_due(key),
        }
    }
    set_due(transaction, endpoint)
}

/// Sets an endpoint's place in the agenda right.
pub(super) fn set_due(transaction: &mut Transaction<'_>, endpoint: EndpointId) -> Result<(), StoreError> {
    let next = transaction.first_of_queue(key::dues(&endpoint))?;
    let next = next.as_ref().and_then(|key| key::due_parts(key)).map(|(_, due, _)| due);
    transaction.agenda(AgendaChange::Set(endpoint, next));
    Ok(())
}

fn with_events(
    engine: &Engine,
    events: &mut HashMap<u64, Option<(Arc<Event>, usize)>>,
    record: Record,
    token: Token,
    rebuilt: bool,
) -> Result<Claimed, StoreError> {
    let mut claimed = Claimed { rebuilt, refused_since: record.refused_since, ..Claimed::fresh(record.delivery, token) };
    if claimed.delivery.event.is_some() {
        for seq in [record.seq].into_iter().chain(record.further) {
            let event = match events.get(&seq) {
                Some(known) => known.clone(),
                None => {
                    let event = super::log::sized_event_at(engine, seq)?.map(|(event, bytes)| (Arc::new(event), bytes));
                    events.insert(seq, event.clone());
                    event
                }
            };
            if let Some((event, bytes)) = event {
                claimed.events.push(event);
                claimed.event_bytes += bytes;
            }
        }
    }
    let key = key::built(&claimed.delivery.id);
    claimed.built = engine.get(&key)?.map(|bytes| decode(&key, &bytes)).transpose()?;
    Ok(claimed)
}

/// Makes due again what somebody was sending: the endpoint may have seen it.
fn free(transaction: &mut Transaction<'_>, record: &mut Record) -> Result<(), StoreError> {
    record.interrupted = true;
    let now = transaction.now;
    record.wait(transaction, Step::Interrupt, now)
}

/// Fails an `invoke` nobody waits for any more.
fn interrupt(transaction: &mut Transaction<'_>, record: &mut Record, detail: &str) -> Result<(), StoreError> {
    let failure = Some(Failure::new(FailureKind::Interrupted, detail));
    let attempt = Attempt { failure, ..Attempt::begun(record.delivery.attempts + 1, record.delivery.updated_at) };
    record.take_leased(transaction)?;
    record.add_attempt(encode(&attempt)?);
    record.finish(transaction, Step::End(End::Failed))
}

/// Ends the leases of the last process: it is gone, or it would hold the lock.
pub(super) fn recover(committer: &mut Committer) -> Result<(), StoreError> {
    loop {
        let recovered = committer.commit_now(|transaction| {
            let leased = transaction.engine.records(key::under(key::LEASED)).take(RECOVER_CHUNK);
            let leased: Vec<_> = leased.collect::<Result<_, _>>()?;
            for (key, bytes) in &leased {
                let mut record = Record::read(key, bytes)?;
                if record.is_invoke() {
                    interrupt(transaction, &mut record, "the host stopped before the answer was recorded")?;
                } else {
                    free(transaction, &mut record)?;
                }
            }
            Ok(leased.len())
        });
        if recovered? < RECOVER_CHUNK {
            return Ok(());
        }
    }
}
