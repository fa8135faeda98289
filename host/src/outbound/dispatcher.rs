//! Finds what is due, claims it and starts it.
//!
//! It takes no input but what the store has: what waits there was written down by others, and wakes it.

use std::{collections::HashMap, time::Duration};

use jiff::Timestamp;

use super::acceptance::begin;
use crate::{
    clock,
    model::{event::size, id::EndpointId},
    services::Services,
    store::StoreError,
    volatile::window::{Rules, Slot},
};

/// The longest sleep between two looks for what is due: a scan backs up every wake-up.
const SCAN_EVERY: Duration = Duration::from_secs(5);

/// The shortest: never a busy loop, whatever the clocks say.
const SCAN_PAUSE: Duration = Duration::from_millis(2);

/// Deliveries claimed in one go.
const CLAIM_AT_ONCE: usize = 256;

/// Of one endpoint, of those, at least and at most.
const CLAIM_OF_ONE: std::ops::RangeInclusive<usize> = 4..=64;

/// Endpoints looked at in one go.
const ENDPOINTS_AT_ONCE: usize = 512;

/// Leases that are over, freed in one go.
const FREED_AT_ONCE: usize = 256;

/// Finds what is due and starts it, until the host stops.
pub async fn work(services: Services) {
    let mut skipped = 0;
    loop {
        let again_at = match round(&services, &mut skipped).await {
            Ok(again_at) => again_at,
            Err(error) => {
                tracing::error!(%error, "what is due cannot be claimed; trying again");
                Some(clock::after(services.clock.now(), SCAN_EVERY))
            }
        };
        let until = |at: Timestamp| Duration::try_from(at - services.clock.now()).unwrap_or_default();
        let wait = again_at.map_or(SCAN_EVERY, until).clamp(SCAN_PAUSE, SCAN_EVERY);
        tokio::select! {
            () = services.stop.cancelled() => return,
            () = async {
                // A pause first: what wakes often is served in larger portions.
                tokio::time::sleep(SCAN_PAUSE).await;
                services.window.woken().await;
            } => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// One look. When the next is due, as far as the clock is concerned. `skipped` endpoints were looked at before and are passed over.
async fn round(services: &Services, skipped: &mut usize) -> Result<Option<Timestamp>, StoreError> {
    services.store.free_expired(FREED_AT_ONCE).await?;
    services.store.close_batches().await?;
    let mut is_more = services.store.fan_out().await?;

    let ready = services.store.ready_endpoints(*skipped, ENDPOINTS_AT_ONCE);
    is_more |= ready.len() == ENDPOINTS_AT_ONCE;
    *skipped = if ready.len() == ENDPOINTS_AT_ONCE { *skipped + ready.len() } else { 0 };
    let (now, snapshot) = (services.clock.now(), services.catalog.snapshot());
    let most = (CLAIM_AT_ONCE / ready.len().max(1)).clamp(*CLAIM_OF_ONE.start(), *CLAIM_OF_ONE.end());
    let mut again_at: Option<Timestamp> = None;
    let mut slots: HashMap<EndpointId, Vec<Slot>> = HashMap::new();
    let mut claimed = 0;
    for endpoint in ready {
        if claimed >= CLAIM_AT_ONCE {
            // The rest is looked at first next time.
            *skipped += slots.len();
            is_more = true;
            break;
        }
        let entry = snapshot.webhooks_by_id.get(&endpoint.webhook()).filter(|entry| entry.webhook.active);
        let rules = entry.map_or(Rules::NONE, |entry| Rules::of(&entry.webhook));
        let room = services.window.room(&endpoint, rules, most, now);
        again_at = [again_at, room.again_at].into_iter().flatten().min();
        is_more |= room.slots.len() == most;
        if !room.slots.is_empty() {
            claimed += room.slots.len();
            slots.insert(endpoint, room.slots);
        }
    }
    if !slots.is_empty() {
        let quotas = slots.iter().map(|(endpoint, slots)| (endpoint.clone(), slots.len())).collect();
        for (endpoint, claimed) in services.store.claim(quotas, services.limits.lease).await? {
            if let Some(mut slot) = slots.get_mut(&endpoint).and_then(Vec::pop) {
                slot.weigh(claimed.events.iter().map(|event| size(&event.data)).sum());
                drop(begin(services, claimed, slot));
            }
        }
    }
    Ok(if is_more { Some(now) } else { [again_at, services.store.next_due()].into_iter().flatten().min() })
}
