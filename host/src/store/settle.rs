//! The end of an attempt: state, attempt, parameters, next due, together.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    Store,
    delivery::Record,
    error::StoreError,
    key, lane, session,
    standing::{self, Count},
    transaction::{Transaction, decode, encode},
};
use crate::{
    clock,
    model::{
        delivery::{
            Attempt, Delivery,
            lifecycle::{End, Step},
        },
        id::DeliveryId,
        parameter::{Change, Overflow},
    },
};

/// What became of a claimed delivery.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// The delivery.
    pub delivery: DeliveryId,
    /// Its claim's token.
    pub token: u64,
    /// The attempt made; the store numbers it. Absent when none was: the webhook is gone, its endpoint is left alone.
    pub attempt: Option<Attempt>,
    /// What happens next.
    pub next: Next,
    /// Changes to the parameters of a session.
    pub parameters: Option<(String, Vec<Change>)>,
    /// The built request, to be sent again as it is; kept until the delivery is over. Absent: what was kept stays.
    pub built: Option<serde_json::Value>,
    /// What the attempt adds to the count of its webhook's failures.
    pub count: Option<Count>,
}

/// What happens next with a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It is over.
    End(End),
    /// It is tried again at once by the same holder, under the same lease: somebody waits for its answer.
    Again,
    /// It is tried again.
    Waiting {
        /// After this time.
        after: Duration,
    },
    /// It was not tried: its endpoint is not to be called before then.
    GivenBack {
        /// When it is due.
        until: Timestamp,
        /// Whether its endpoint was called, and said that it did not process the request.
        is_refused: bool,
    },
}

/// A settled delivery.
#[derive(Clone, Debug)]
pub struct Settled {
    /// As it stands.
    pub delivery: Delivery,
    /// Whether there is news of its webhook ([`Store::notices`]).
    pub is_noticed: bool,
    /// Parameters that did not fit into the session. They keep the value they had, and the attempt does not name them as set.
    pub overflows: Vec<Overflow>,
}

/// A settlement made ready before its turn.
struct Ready {
    delivery: DeliveryId,
    token: u64,
    attempt: Option<Vec<u8>>,
    next: Next,
    parameters: Option<(String, Vec<Change>)>,
    built: Option<Vec<u8>>,
    count: Option<Count>,
    /// The endpoint's, if it answered.
    status: Option<u16>,
}

impl Ready {
    fn new(settlement: Settlement) -> Result<Self, StoreError> {
        let Settlement { delivery, token, attempt, next, parameters, built, count } = settlement;
        let status = attempt.as_ref().and_then(|attempt| attempt.answer.as_ref()).map(|answer| answer.status);
        let attempt = attempt.map(|attempt| encode(&attempt)).transpose()?;
        let built = built.map(|built| encode(&built)).transpose()?;
        Ok(Self { delivery, token, attempt, next, parameters, built, count, status })
    }

    fn bytes(&self) -> usize {
        self.attempt.as_ref().map_or(0, Vec::len) + self.built.as_ref().map_or(0, Vec::len)
    }
}

/// For how long what a settlement touches lasts.
#[derive(Clone, Copy)]
struct Lives {
    session: session::Rules,
    /// How long a delivery may be first in its lane.
    turn: Duration,
}

impl Store {
    /// Settles claimed deliveries. For each: all of it is written, or, when its lease is lost, nothing.
    pub async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<Result<Settled, StoreError>>, StoreError> {
        let ready: Vec<_> = settlements.into_iter().map(Ready::new).collect::<Result<_, _>>()?;
        let lives = Lives { session: self.shared.sessions, turn: self.shared.order_wait_max };
        self.commit(ready.iter().map(Ready::bytes).sum(), move |transaction| {
            let settled = ready.into_iter().map(|ready| match settle(transaction, ready, lives) {
                Err(StoreError::LeaseLost) => Ok(Err(StoreError::LeaseLost)),
                other => other.map(Ok),
            });
            settled.collect()
        })
        .await
    }
}

fn settle(transaction: &mut Transaction<'_>, ready: Ready, lives: Lives) -> Result<Settled, StoreError> {
    let Ready { delivery, token, attempt, next, parameters, built, count, status } = ready;
    if !transaction.holds(&delivery, token) {
        return Err(StoreError::LeaseLost);
    }
    let Some(mut record) = Record::load(transaction, key::LEASED, &delivery)? else { return Err(StoreError::LeaseLost) };
    let mut overflows = Vec::new();
    if let Some((session, changes)) = parameters
        && !changes.is_empty()
    {
        (_, overflows) = session::merge_fitting(transaction, &session, changes, lives.session)?;
    }
    if let Some(attempt) = attempt {
        record.add_attempt(if overflows.is_empty() { attempt } else { without(&attempt, &overflows)? });
    }
    if let (Some(status), Some(session), Some(_)) = (status, &record.delivery.session, &record.delivery.invocation) {
        session::note_status(transaction, session, status, lives.session.life)?;
    }
    let is_noticed = match count {
        Some(count) => standing::count(transaction, &record.delivery.webhook_id, count)?,
        None => false,
    };
    match next {
        Next::End(end) => {
            record.take_leased(transaction)?;
            record.finish(transaction, Step::End(end))?;
        }
        Next::Again => record.go_on(transaction)?,
        Next::Waiting { after } => {
            if let Some(built) = built {
                transaction.put_bytes(key::built(&delivery), &built)?;
            }
            let due = clock::after(transaction.now, after);
            record.interrupted = false;
            lane::leave_if_late(transaction, &mut record, due, lives.turn)?;
            record.wait(transaction, Step::TryLater, due)?;
        }
        Next::GivenBack { until, is_refused } => {
            if is_refused {
                record.refused_since.get_or_insert(transaction.now);
            }
            record.wait(transaction, Step::GiveBack, until)?;
        }
    }
    Ok(Settled { delivery: record.delivery, is_noticed, overflows })
}

/// The attempt, in which these parameters were not set.
fn without(attempt: &[u8], overflows: &[Overflow]) -> Result<Vec<u8>, StoreError> {
    let mut attempt: Attempt = decode(b"an attempt", attempt)?;
    attempt.leave_out(overflows);
    encode(&attempt)
}
