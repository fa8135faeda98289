//! `/healthz` and `/readyz`: whether the process is alive, and whether it accepts work.

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    request::Asked,
    respond::{Answer, ApiError, ProblemDetails, ok},
};
use crate::services::Services;

/// The health of the host.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// Always `ok`.
    pub status: &'static str,
}

/// Check that the process answers.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, description = "alive", body = Health)))]
pub async fn healthz(_services: Services, _asked: Asked) -> Answer {
    ok(&Health { status: "ok" })
}

/// Check that the host accepts work: the store commits, and no stop is in progress.
#[utoipa::path(get, path = "/readyz", tag = "health", responses((status = 200, description = "ready", body = Health),
    (status = 503, description = "the host accepts no work now", body = ProblemDetails, content_type = "application/problem+json")))]
pub async fn readyz(services: Services, _asked: Asked) -> Answer {
    if services.stop.is_cancelled() {
        return Err(ApiError::Unavailable("the host is stopping".to_owned()));
    }
    if services.store.stats().failed {
        return Err(ApiError::Unavailable("a write to the disk failed and the store takes no more; the log says why".to_owned()));
    }
    // Read once from the tree, to see that it can be read.
    services.store.config("readiness", "").await?;
    ok(&Health { status: "ok" })
}
