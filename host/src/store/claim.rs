//! Handing out work: what is due, and what somebody did not finish in time.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{
    Store,
    committer::Committer,
    delivery::Record,
    engine::Engine,
    error::StoreError,
    key,
    lease::Token,
    transaction::{Transaction, decode, encode},
};
use crate::{
    clock,
    model::{
        delivery::{Attempt, Delivery, DeliveryState, Stages},
        event::Event,
        outcome::{Failure, FailureKind},
        plugin::GuestLog,
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
    /// Its event; absent when the webhook was invoked, or the event was deleted.
    pub event: Option<Arc<Event>>,
    /// The request as built for an earlier attempt, when it was kept.
    pub built: Option<serde_json::Value>,
    /// It was being sent before and nobody knows how that ended: the endpoint may have seen it.
    pub rebuilt: bool,
}

impl Store {
    /// Claims up to `n` deliveries that are due, or whose lease is over, for `lease_for`. An `invoke` whose lease is over fails instead.
    pub async fn claim(&self, n: usize, lease_for: Duration) -> Result<Vec<Claimed>, StoreError> {
        let claimed = self.commit_scanning(move |transaction| claim(transaction, n, lease_for)).await?;
        if claimed.is_empty() {
            return Ok(Vec::new());
        }
        self.scan(move |engine| {
            let mut events = HashMap::new();
            claimed.into_iter().map(|(record, token, rebuilt)| with_event(engine, &mut events, record, token, rebuilt)).collect()
        })
        .await
    }

    /// When there will be something to claim; `None` while nothing waits and nothing is leased.
    pub async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let first = self.engine().keys(key::under(key::DUE)).next().transpose()?;
        let due = first
            .and_then(|key| key::number(key::DUE, &key))
            .and_then(|millis| Timestamp::from_millisecond(i64::try_from(millis).ok()?).ok());
        Ok([due, self.shared.published.first_lease_expiry()].into_iter().flatten().min())
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

fn claim(transaction: &mut Transaction<'_>, n: usize, lease_for: Duration) -> Result<Vec<(Record, Token, bool)>, StoreError> {
    let mut claimed = Vec::new();
    let over: Vec<_> = transaction.leases.expired(transaction.now).take(n).map(|(token, id)| (token, id.clone())).collect();
    for (token, id) in over {
        let Some(mut record) = Record::load(transaction, key::LEASED, &id)? else {
            transaction.release(token);
            continue;
        };
        if record.is_invoke() {
            interrupt(transaction, &mut record, "nobody settled it within its lease")?;
        } else {
            record.take_leased(transaction)?;
            let token = record.put_leased(transaction, lease_for)?;
            claimed.push((record, token, true));
        }
    }
    let due = key::numbered_to(key::DUE, clock::millis(transaction.now));
    let keys: Vec<_> = transaction.engine.keys(due).take(n - claimed.len()).collect::<Result<_, _>>()?;
    for key in keys {
        let record = key::due_delivery(&key).map(|id| Record::load(transaction, key::WAITING, &id)).transpose()?.flatten();
        match record {
            Some(mut record) => {
                record.take_waiting(transaction)?;
                let rebuilt = std::mem::take(&mut record.interrupted);
                let token = record.put_leased(transaction, lease_for)?;
                claimed.push((record, token, rebuilt));
            }
            None => transaction.unmark(key),
        }
    }
    Ok(claimed)
}

fn with_event(
    engine: &Engine,
    events: &mut HashMap<u64, Option<Arc<Event>>>,
    record: Record,
    token: Token,
    rebuilt: bool,
) -> Result<Claimed, StoreError> {
    let event = match (&record.delivery.event, events.get(&record.seq)) {
        (None, _) => None,
        (Some(_), Some(event)) => event.clone(),
        (Some(_), None) => {
            let event = super::log::event_at(engine, record.seq)?.map(Arc::new);
            events.insert(record.seq, event.clone());
            event
        }
    };
    let key = key::built(&record.delivery.id);
    let built = engine.get(&key)?.map(|bytes| decode(&key, &bytes)).transpose()?;
    Ok(Claimed { delivery: record.delivery, token, event, built, rebuilt })
}

/// Fails an `invoke` nobody waits for any more.
fn interrupt(transaction: &mut Transaction<'_>, record: &mut Record, detail: &str) -> Result<(), StoreError> {
    let attempt = Attempt {
        number: record.delivery.attempts + 1,
        started_at: record.delivery.updated_at,
        stages: Stages::default(),
        request: None,
        answer: None,
        failure: Some(Failure::new(FailureKind::Interrupted, detail)),
        plugin: None,
        log: GuestLog::default(),
        parameters: serde_json::Map::new(),
        output: None,
        unmatched: Vec::new(),
        unset: Vec::new(),
        rebuilt: false,
    };
    record.take_leased(transaction)?;
    record.add_attempt(transaction, &encode(&attempt)?);
    record.put_finished(transaction, DeliveryState::Failed)
}

/// Dissolves the leases of whoever had the store before: it is gone, or it would hold the lock.
pub(super) fn recover(committer: &mut Committer) -> Result<(), StoreError> {
    loop {
        let recovered = committer.commit_now(|transaction| {
            let leased = transaction.engine.records(key::under(key::LEASED)).take(RECOVER_CHUNK);
            let leased: Vec<_> = leased.collect::<Result<_, _>>()?;
            for (key, bytes) in &leased {
                let mut record: Record = decode(key, bytes)?;
                if record.is_invoke() {
                    interrupt(transaction, &mut record, "the host stopped before the answer was recorded")?;
                } else {
                    record.take_leased(transaction)?;
                    record.interrupted = true;
                    let now = transaction.now;
                    record.put_waiting(transaction, DeliveryState::Pending, now)?;
                }
            }
            Ok(leased.len())
        });
        if recovered? < RECOVER_CHUNK {
            return Ok(());
        }
    }
}
