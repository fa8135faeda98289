//! Order: of all deliveries in a lane (webhook, what orders them) only the first is ever due; when it is over, the next one is.
//!
//! A lane's record says whose turn it is. What is sent again by hand, and what was first for longer than the host allows, stands
//! outside: it holds nobody up any more.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{delivery::Record, error::StoreError, key, transaction::Transaction};
use crate::{
    clock,
    model::id::{DeliveryId, WebhookId},
};

/// Whose turn it is in a lane.
#[derive(Serialize, Deserialize)]
struct Turn {
    delivery: DeliveryId,
    since: Timestamp,
}

/// Puts a delivery at the end of its lane. Whether it is its turn at once.
pub(super) fn enter(transaction: &mut Transaction<'_>, record: &Record) -> Result<bool, StoreError> {
    let Some(lane) = &record.lane else { return Ok(true) };
    let (webhook, id) = (&record.delivery.webhook_id, &record.delivery.id);
    transaction.mark(key::lane_place(webhook, lane, record.seq, id));
    let turn = key::lane(webhook, lane);
    if transaction.exists(&turn)? {
        return Ok(false);
    }
    let since = transaction.now;
    transaction.put(turn, &Turn { delivery: id.clone(), since })?;
    Ok(true)
}

/// Takes a delivery out of its lane: it is over, or stands outside from now on. If it was its turn, it is the next one's.
pub(super) fn leave(transaction: &mut Transaction<'_>, record: &mut Record) -> Result<(), StoreError> {
    let Some(lane) = record.lane.take() else { return Ok(()) };
    let (webhook, id) = (record.delivery.webhook_id.clone(), record.delivery.id.clone());
    transaction.unmark(key::lane_place(&webhook, &lane, record.seq, &id));
    let turn = transaction.get::<Turn>(&key::lane(&webhook, &lane))?;
    if turn.is_some_and(|turn| turn.delivery == id) { pass_on(transaction, &webhook, &lane, &id) } else { Ok(()) }
}

/// Takes it out when it will have been first for longer than `longest` by the time it is due again.
pub(super) fn leave_if_late(
    transaction: &mut Transaction<'_>,
    record: &mut Record,
    due: Timestamp,
    longest: Duration,
) -> Result<(), StoreError> {
    let Some(lane) = &record.lane else { return Ok(()) };
    let turn = transaction.get::<Turn>(&key::lane(&record.delivery.webhook_id, lane))?;
    match turn {
        Some(turn) if turn.delivery == record.delivery.id && clock::after(turn.since, longest) < due => leave(transaction, record),
        _ => Ok(()),
    }
}

/// Makes it the turn of the delivery behind `gone`.
fn pass_on(transaction: &mut Transaction<'_>, webhook: &WebhookId, lane: &str, gone: &DeliveryId) -> Result<(), StoreError> {
    let turn = key::lane(webhook, lane);
    let places: Vec<_> = transaction.first_in(key::lane_places(webhook, lane), 2)?;
    for place in places {
        let Some(id) = key::delivery_at_end(&place).filter(|id| id != gone) else { continue };
        if let Some(mut next) = Record::load(transaction, key::WAITING, &id)? {
            next.take_waiting(transaction)?;
            next.blocked = false;
            let now = transaction.now;
            next.put_waiting(transaction, now)?;
        }
        let since = transaction.now;
        return transaction.put(turn, &Turn { delivery: id, since });
    }
    transaction.remove(turn)
}
