//! What admins ask for over many deliveries: recovering and replaying, in bounded chunks that may be repeated.

use jiff::Timestamp;

use super::{
    Store,
    accept::{owed, put_owed},
    delivery::{self, CHUNK, Record},
    error::StoreError,
    key, log,
    transaction::Transaction,
};
use crate::model::{
    delivery::{DeliveryState, NewDelivery, ReplayOf},
    event::Event,
    id::{DeliveryId, WebhookId},
    outcome::FailureKind,
};

/// A delivery of a past event to be made by a replay.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// The event's place.
    pub seq: u64,
    /// The deliveries. A replay is outside of any order and not batched.
    pub new: NewDelivery,
    /// Which replay.
    pub of: ReplayOf,
}

impl Store {
    /// Has sent again what failed, was cancelled or could not be built of a webhook and was owed at or after `since`. Returns how many.
    pub async fn recover(&self, webhook: &WebhookId, since: Timestamp) -> Result<u64, StoreError> {
        let (mut begin, end) = key::webhook_deliveries(webhook);
        let mut recovered = 0;
        loop {
            let range = (begin.clone(), end.clone());
            let (count, next) = self.commit_scanning(move |transaction| recover(transaction, range, since)).await?;
            recovered += count;
            match next {
                Some(next) => begin = next,
                None => return Ok(recovered),
            }
        }
    }

    /// Past events from place `from` on, oldest first, and where to go on.
    pub async fn events_from(&self, from: u64, n: usize) -> Result<(Vec<Event>, Option<u64>), StoreError> {
        self.scan(move |engine| {
            let mut events = Vec::new();
            for record in engine.records(key::numbered_from(key::EVENTS, from)) {
                let (key, bytes) = record?;
                let event = log::decode_event(&key, &bytes)?;
                if events.len() >= n {
                    return Ok((events, Some(event.seq)));
                }
                events.push(event);
            }
            Ok((events, None))
        })
        .await
    }

    /// Makes the deliveries of a replay that are not there yet. How many were made.
    pub async fn replay(&self, replayed: Vec<Replayed>) -> Result<u64, StoreError> {
        let backlog_max = self.shared.backlog_max;
        self.commit(512 * replayed.len(), move |transaction| {
            if transaction.counters.waiting >= backlog_max {
                return Err(StoreError::BacklogFull { max: backlog_max });
            }
            let mut made = 0;
            for one in replayed {
                made += u64::from(replay(transaction, one)?);
            }
            Ok(made)
        })
        .await
    }
}

fn recover(transaction: &mut Transaction<'_>, range: key::Range, since: Timestamp) -> Result<(u64, Option<Vec<u8>>), StoreError> {
    let keys: Vec<_> = transaction.engine.keys(range).take(CHUNK + 1).collect::<Result<_, _>>()?;
    let mut count = 0;
    for id in keys.iter().take(CHUNK).filter_map(|key| key::delivery_at_end(key)) {
        let finished = Record::load(transaction, key::FINISHED, &id)?;
        let is_wanted = finished.is_some_and(|record| {
            let is_lost = match record.delivery.state {
                DeliveryState::Failed | DeliveryState::Cancelled => true,
                // What could not be built may be built by now. What the plugin rejected was judged.
                DeliveryState::Refused => record.last_failure() != Some(FailureKind::PluginRejected),
                _ => false,
            };
            // An invoke is not sent again: nobody waits for its answer.
            is_lost && record.delivery.event.is_some() && record.delivery.created_at >= since
        });
        if is_wanted {
            delivery::resend(transaction, &id)?;
            count += 1;
        }
    }
    Ok((count, keys.get(CHUNK).cloned()))
}

fn replay(transaction: &mut Transaction<'_>, replayed: Replayed) -> Result<bool, StoreError> {
    let Replayed { seq, new, of } = replayed;
    let key = key::event(seq);
    let Some(bytes) = transaction.get_bytes(&key)? else { return Ok(false) };
    let event = log::decode_event(&key, &bytes)?;
    let id = DeliveryId::new(seq, &new.webhook_id, 0, of.run);
    if transaction.exists(&key::webhook_delivery(&new.webhook_id, &id))? {
        return Ok(false);
    }
    let endpoint = new.endpoint.clone();
    let mut delivery = owed(&event, new, transaction.now);
    delivery.id = id;
    delivery.replay = Some(of);
    put_owed(transaction, Record::new(seq, &endpoint, None, delivery), None)?;
    Ok(true)
}
