//! Whether the host lives, and whether it can take work.

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    request::Asked,
    respond::{Answer, ApiError, ProblemDetails, ok},
};
use crate::services::Services;

/// How it is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// `ok`.
    pub status: &'static str,
}

/// The process answers.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, description = "alive", body = Health)))]
pub async fn healthz(_services: Services, _asked: Asked) -> Answer {
    ok(&Health { status: "ok" })
}

/// The host takes work: the store commits, no stop is under way.
#[utoipa::path(get, path = "/readyz", tag = "health", responses((status = 200, description = "ready", body = Health),
    (status = 503, description = "not now", body = ProblemDetails, content_type = "application/problem+json")))]
pub async fn readyz(services: Services, _asked: Asked) -> Answer {
    if services.stop.is_cancelled() {
        return Err(ApiError::Unavailable("the host is stopping".to_owned()));
    }
    if services.store.stats().failed {
        return Err(ApiError::Unavailable("a write to the disk failed and the store takes no more; the log says why".to_owned()));
    }
    // One look into the tree: it can be read.
    services.store.config("readiness", "").await?;
    ok(&Health { status: "ok" })
}
