//! `/metrics`: what is counted, for Prometheus.

use super::{
    request::Asked,
    respond::{Answer, text},
};
use crate::{
    metrics::{MEDIA_TYPE, StoreState},
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
    let written = services.metrics.text(store, services.plugins.set_aside());
    text(MEDIA_TYPE, written)
}
