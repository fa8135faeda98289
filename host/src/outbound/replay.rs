//! Past events, delivered again: to a webhook that did not exist then, or built by another version of its plugin.
//!
//! A replay goes through the log in chunks, matches each event as if it came now, and makes deliveries of identifiers of its own. It can
//! be cut off anywhere and gone on with: what was made is not made again.

use jiff::Timestamp;
use std::sync::Arc;

use crate::{
    model::{
        delivery::{NewDelivery, ReplayOf},
        event::{Event, NewEvent},
        webhook::Webhook,
    },
    services::Services,
    store::{Replayed, StoreError},
};

/// Events read in one go.
const EVENTS_AT_ONCE: usize = 500;
/// Events looked at in one call; what is left is gone on with by the next one.
const EVENTS_PER_CALL_MAX: usize = 50_000;

/// Which events, and how.
#[derive(Clone, Debug)]
pub struct Replay {
    /// Its number.
    pub run: u64,
    /// Accepted at or after this time.
    pub since: Option<Timestamp>,
    /// Accepted before this time.
    pub until: Option<Timestamp>,
    /// The version of the webhook's plugin.
    pub version: Option<u32>,
    /// The place in the log it goes on from.
    pub from: u64,
}

/// How far it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Deliveries made.
    pub deliveries: u64,
    /// Where to go on; `None`: that was all.
    pub next: Option<u64>,
}

/// Replays for `webhook`.
pub async fn replay(services: &Services, webhook: &Arc<Webhook>, replay: Replay) -> Result<Progress, StoreError> {
    let mut progress = Progress { deliveries: 0, next: Some(replay.from) };
    let mut looked_at = 0;
    while let Some(from) = progress.next.filter(|_| looked_at < EVENTS_PER_CALL_MAX) {
        let (events, next) = services.store.events_from(from, EVENTS_AT_ONCE).await?;
        looked_at += events.len();
        let is_past = |event: &Event| replay.until.is_some_and(|until| event.accepted_at >= until);
        progress.next = next.filter(|_| !events.last().is_some_and(is_past));
        let wanted = events.into_iter().filter(|event| !is_past(event) && replay.since.is_none_or(|since| event.accepted_at >= since));
        let replayed: Vec<_> = wanted.filter_map(|event| owed(webhook, event, &replay)).collect();
        if !replayed.is_empty() {
            progress.deliveries += services.store.replay(replayed).await?;
            services.window.wake();
        }
    }
    Ok(progress)
}

/// The delivery of a past event to the webhook, if the webhook selects the event.
fn owed(webhook: &Arc<Webhook>, event: Event, replay: &Replay) -> Option<Replayed> {
    let seq = event.seq;
    let event = NewEvent::from(event);
    webhook.selects(&event).then(|| Replayed {
        seq,
        new: NewDelivery {
            webhook_id: webhook.id.clone(),
            webhook: webhook.name.clone(),
            endpoint: webhook.endpoint(event.environment.as_deref()),
            lane: None,
            batch: None,
            take: false,
        },
        of: ReplayOf { run: replay.run, version: replay.version },
    })
}
