//! `/metrics`: what is counted, for Prometheus.

use std::time::Duration;

use super::{
    request::Asked,
    respond::{Answer, text},
};
use crate::{
    metrics::{MEDIA_TYPE, Moment, StoreState, WEBHOOKS_DUE_MAX},
    services::Services,
    store::StoreStats,
};

/// What is counted and timed, in the OpenMetrics format.
#[utoipa::path(get, path = "/metrics", tag = "health",
    responses((status = 200, description = "all of it", body = String, content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8")))]
pub async fn get(services: Services, asked: Asked) -> Answer {
    asked.only(&[])?;
    let StoreStats { commits, syncs, compactions, leases, waiting, deliveries_waiting, bytes_on_disk, bytes_live, failed, .. } =
        services.store.stats();
    let store = StoreState {
        waiting: deliveries_waiting,
        leases,
        oldest_due: services.store.oldest_due(),
        bytes: bytes_on_disk,
        live_bytes: bytes_live,
        commits,
        syncs,
        compactions,
        commits_waiting: waiting,
        failed,
    };
    let moment = Moment { store, set_aside: services.plugins.set_aside(), due: due(&services), pool: services.plugins.pool() };
    text(MEDIA_TYPE, services.metrics.text(moment))
}

/// By webhook, whichever of its endpoints has been due longest.
fn due(services: &Services) -> Vec<(String, Duration)> {
    let snapshot = services.catalog.snapshot();
    let mut found: Vec<(String, Duration)> = Vec::new();
    for (endpoint, since) in services.store.longest_due(WEBHOOKS_DUE_MAX) {
        let name = snapshot.webhooks_by_id.get(&endpoint.webhook()).map(|entry| &entry.spec.name);
        if let Some(name) = name.filter(|name| !found.iter().any(|(known, _)| known == *name)) {
            found.push((name.clone(), since));
        }
    }
    found
}
