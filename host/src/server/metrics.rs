//! `/metrics`: the counters and timings, for Prometheus.

use std::{collections::HashMap, time::Duration};

use super::{
    request::Asked,
    respond::{Answer, text},
};
use crate::{
    catalog::Snapshot,
    metrics::{MEDIA_TYPE, Moment, StoreState, WEBHOOKS_MAX},
    model::id::EndpointId,
    services::Services,
    store::StoreStats,
};

/// Get all metrics, in the OpenMetrics format.
#[utoipa::path(get, path = "/metrics", tag = "health",
    responses((status = 200, description = "the metrics", body = String, content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8")))]
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
    let snapshot = services.catalog.snapshot();
    let held = services.window.held().into_iter().map(|(endpoint, held)| (endpoint, u64::try_from(held).unwrap_or(u64::MAX)));
    let moment = Moment {
        store,
        set_aside: services.plugins.set_aside(),
        plugin_memory: services.plugins.memory(),
        due: by_webhook(&snapshot, services.store.longest_due(WEBHOOKS_MAX), Duration::max),
        waiting: by_webhook(&snapshot, services.store.depths(), |one, other| one + other),
        held: by_webhook(&snapshot, held, |one, other| one + other),
        pool: services.plugins.pool(),
        bodies: services.bodies.now(),
        resident_bytes: resident_bytes(),
    };
    text(MEDIA_TYPE, services.metrics.text(moment))
}

/// A figure of each webhook, the highest first; the number of webhooks that are named is limited.
fn by_webhook<T: Copy + Ord>(
    snapshot: &Snapshot,
    endpoints: impl IntoIterator<Item = (EndpointId, T)>,
    together: impl Fn(T, T) -> T,
) -> Vec<(String, T)> {
    let mut found: HashMap<&str, T> = HashMap::new();
    for (endpoint, value) in endpoints {
        if let Some(entry) = snapshot.webhooks_by_id.get(&endpoint.webhook()) {
            found.entry(&entry.spec.name).and_modify(|known| *known = together(*known, value)).or_insert(value);
        }
    }
    let mut found: Vec<_> = found.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    found.sort_by(|(one, a), (other, b)| b.cmp(a).then_with(|| one.cmp(other)));
    found.truncate(WEBHOOKS_MAX);
    found
}

/// Resident memory of the process, as Linux reports it; 0 on other systems.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.map_or(0, |kib| kib.saturating_mul(1024))
}
