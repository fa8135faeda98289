//! Events that match very many webhooks: their deliveries are written incrementally, from a list that was committed with the event.
//! Nothing is matched again, and a crash in between goes on where it was. While there is such a list, events after it whose deliveries keep
//! an order get lists too: the lists are worked through in the order of their events.

use serde::{Deserialize, Serialize};

use super::{Store, accept, agenda::AgendaChange, engine::Engine, error::StoreError, key, log, transaction::Transaction};
use crate::model::{delivery::NewDelivery, id::DeliveryId};

/// Matches from which on deliveries are not written with their event.
pub(super) const FAN_OUT_FROM: usize = 1000;

/// Deliveries written with the events of one request; those of its further events are written from lists.
pub(super) const WITH_EVENTS_MAX: usize = 10 * FAN_OUT_FROM;

/// Deliveries written in one commit.
const STEP: usize = 250;

/// What is still to be written for an event, the next last.
#[derive(Serialize, Deserialize)]
struct FanOut {
    left: Vec<NewDelivery>,
    /// Whether they count among the deliveries that wait. Builds before 0.2 counted them when they were written.
    #[serde(default)]
    is_counted: bool,
}

/// How many lists there are.
pub(super) fn number(engine: &Engine) -> Result<u64, StoreError> {
    engine.keys(key::under(key::FAN_OUTS)).try_fold(0, |number, key| key.map(|_| number + 1))
}

/// Keeps the deliveries of the event numbered `seq`.
pub(super) fn begin(transaction: &mut Transaction<'_>, seq: u64, mut deliveries: Vec<NewDelivery>) -> Result<(), StoreError> {
    deliveries.reverse();
    // By the time they are written nobody holds a place for them.
    deliveries.iter_mut().for_each(|new| new.take = false);
    transaction.agenda(AgendaChange::FanOutBegun);
    transaction.counters.fan_outs += 1;
    transaction.counters.waiting += deliveries.len() as u64;
    transaction.put(key::fan_out(seq), &FanOut { left: deliveries, is_counted: true })
}

impl Store {
    /// Writes some of the deliveries that are still owed for events with very many. Whether there is more to write.
    pub async fn fan_out(&self) -> Result<bool, StoreError> {
        if !self.shared.published.agenda().fans_out() {
            return Ok(false);
        }
        self.commit_scanning(|transaction| {
            let lists: Vec<_> = transaction.engine.keys(key::under(key::FAN_OUTS)).take(STEP).collect::<Result<_, _>>()?;
            let mut room = STEP;
            for list in &lists {
                room -= write_some(transaction, list, room)?;
                if room == 0 {
                    break;
                }
            }
            Ok(!lists.is_empty())
        })
        .await
    }
}

/// Writes up to `room` deliveries of one list. How many it were.
fn write_some(transaction: &mut Transaction<'_>, list: &[u8], room: usize) -> Result<usize, StoreError> {
    let seq = key::number(key::FAN_OUTS, list).unwrap_or_default();
    let Some(mut fan_out) = transaction.get::<FanOut>(list)? else { return Ok(0) };
    let event = log::sized_event_at(transaction.engine, seq)?;
    let step = fan_out.left.split_off(fan_out.left.len().saturating_sub(room));
    let written = step.len();
    if fan_out.is_counted {
        // Each counts again where it is written.
        let over = written + if event.is_none() { fan_out.left.len() } else { 0 };
        transaction.counters.waiting = transaction.counters.waiting.saturating_sub(over as u64);
    }
    // An event that was deleted meanwhile owes nothing any more.
    if let Some((event, bytes)) = &event {
        for new in step.into_iter().rev() {
            if !is_written(transaction, seq, &new)? {
                accept::owe(transaction, (event, *bytes), new, std::time::Duration::ZERO)?;
            }
        }
    }
    if fan_out.left.is_empty() || event.is_none() {
        transaction.remove(list.to_vec())?;
        transaction.counters.fan_outs = transaction.counters.fan_outs.saturating_sub(1);
        transaction.agenda(AgendaChange::FanOutEnded);
    } else {
        transaction.put(list.to_vec(), &fan_out)?;
    }
    Ok(written)
}

/// Whether deliveries of the event numbered `seq` are still to be written.
pub(super) fn is_under_way(engine: &Engine, seq: u64) -> Result<bool, StoreError> {
    Ok(engine.get(&key::fan_out(seq))?.is_some())
}

/// Whether it stands already: a replay may have made it.
fn is_written(transaction: &Transaction<'_>, seq: u64, new: &NewDelivery) -> Result<bool, StoreError> {
    transaction.exists(&key::webhook_delivery(&new.webhook_id, &DeliveryId::new(seq, &new.webhook_id, 0, 0)))
}
