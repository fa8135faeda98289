//! The end of an attempt: state, attempt, parameters, next due, together.

use std::time::Duration;

use super::{
    Store,
    delivery::Record,
    error::StoreError,
    key, session,
    transaction::{Transaction, encode},
};
use crate::{
    clock,
    model::{
        delivery::{Attempt, Delivery, DeliveryState},
        id::DeliveryId,
        parameter::Change,
    },
};

/// What became of a claimed delivery.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// The delivery.
    pub delivery: DeliveryId,
    /// Its claim's token.
    pub token: u64,
    /// The attempt made; the store numbers it. Absent when none was: the webhook is gone, the host stops.
    pub attempt: Option<Attempt>,
    /// What happens next.
    pub next: Next,
    /// Changes to the parameters of a session.
    pub parameters: Option<(String, Vec<Change>)>,
    /// The built request, to be sent again as it is; kept until the delivery is over. Absent: what was kept stays.
    pub built: Option<serde_json::Value>,
}

/// What happens next with a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It is delivered.
    Delivered,
    /// It has failed for good.
    Failed,
    /// It must not be sent.
    Refused,
    /// It was ended.
    Cancelled,
    /// It is tried again at once by the same holder, under the same lease: somebody waits for its answer.
    Again,
    /// It is tried again.
    Waiting {
        /// After this time.
        after: Duration,
    },
}

/// A settlement made ready before its turn.
struct Ready {
    delivery: DeliveryId,
    token: u64,
    attempt: Option<Vec<u8>>,
    next: Next,
    parameters: Option<(String, Vec<Change>)>,
    built: Option<Vec<u8>>,
}

impl Ready {
    fn new(settlement: Settlement) -> Result<Self, StoreError> {
        let Settlement { delivery, token, attempt, next, parameters, built } = settlement;
        let attempt = attempt.map(|attempt| encode(&attempt)).transpose()?;
        let built = built.map(|built| encode(&built)).transpose()?;
        Ok(Self { delivery, token, attempt, next, parameters, built })
    }

    fn bytes(&self) -> usize {
        self.attempt.as_ref().map_or(0, Vec::len) + self.built.as_ref().map_or(0, Vec::len)
    }
}

impl Store {
    /// Settles claimed deliveries. For each: all of it is written, or, when its lease is lost, nothing.
    pub async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<Result<Delivery, StoreError>>, StoreError> {
        let ready: Vec<_> = settlements.into_iter().map(Ready::new).collect::<Result<_, _>>()?;
        let life = self.shared.session_life;
        self.commit(ready.iter().map(Ready::bytes).sum(), move |transaction| {
            let settled = ready.into_iter().map(|ready| match settle(transaction, ready, life) {
                Err(StoreError::LeaseLost) => Ok(Err(StoreError::LeaseLost)),
                other => other.map(Ok),
            });
            settled.collect()
        })
        .await
    }
}

fn settle(transaction: &mut Transaction<'_>, ready: Ready, session_life: Duration) -> Result<Delivery, StoreError> {
    let Ready { delivery, token, attempt, next, parameters, built } = ready;
    if !transaction.holds(&delivery, token) {
        return Err(StoreError::LeaseLost);
    }
    let Some(mut record) = Record::load(transaction, key::LEASED, &delivery)? else { return Err(StoreError::LeaseLost) };
    if next != Next::Again {
        record.take_leased(transaction)?;
    }
    if let Some(attempt) = attempt {
        record.add_attempt(transaction, &attempt);
    }
    if let Some((session, changes)) = parameters
        && !changes.is_empty()
    {
        session::merge(transaction, &session, changes, session_life)?;
    }
    match next {
        Next::Delivered => record.put_finished(transaction, DeliveryState::Delivered)?,
        Next::Failed => record.put_finished(transaction, DeliveryState::Failed)?,
        Next::Refused => record.put_finished(transaction, DeliveryState::Refused)?,
        Next::Cancelled => record.put_finished(transaction, DeliveryState::Cancelled)?,
        Next::Again => transaction.put(key::delivery(key::LEASED, &record.delivery.id), &record)?,
        Next::Waiting { after } => {
            if let Some(built) = built {
                transaction.put_bytes(key::built(&delivery), &built)?;
            }
            let due = clock::after(transaction.now, after);
            record.put_waiting(transaction, DeliveryState::Waiting, due)?;
        }
    }
    Ok(record.delivery)
}
