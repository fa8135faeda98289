//! `/v1/webhooks/{name}/recover` and `/replay`: sends failed deliveries again, and delivers past events.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

use super::{
    request::Asked,
    respond::{Answer, ApiError, ProblemDetails, ok},
    webhooks::find,
};
use crate::{
    catalog::WebhookEntry,
    clock::random,
    outbound::replay::{self, Replay},
    services::Services,
};

/// Which deliveries to recover.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecoverInput {
    /// Deliveries created at or after this time.
    pub since: Timestamp,
}

/// The result of a recovery.
#[derive(Debug, Serialize, ToSchema)]
pub struct Recovered {
    /// Number of deliveries that are pending again. They keep their identifiers.
    pub recovered: u64,
}

/// Which events to replay.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayInput {
    /// Events accepted at or after this time; absent: from the oldest that is kept.
    #[serde(default)]
    pub since: Option<Timestamp>,
    /// Events accepted before this time; absent: up to the newest.
    #[serde(default)]
    pub until: Option<Timestamp>,
    /// The version of the webhook's plugin that builds the requests; absent: the version that the webhook names.
    #[serde(default)]
    pub version: Option<u32>,
    /// `next` of a replay that had not finished, to continue it.
    #[serde(default)]
    pub after: Option<String>,
}

/// The progress of a replay.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReplayView {
    /// Number of deliveries created by this request. They have new identifiers.
    pub deliveries: u64,
    /// To continue, give this as `after`; null: the replay has finished.
    pub next: Option<String>,
}

fn active(services: &Services, name: &str) -> Result<Arc<WebhookEntry>, ApiError> {
    let entry = find(services, name)?;
    if entry.webhook.active {
        Ok(entry)
    } else {
        Err(ApiError::Conflict(format!("the webhook `{name}` is inactive: activate it first, or what is sent again is cancelled again")))
    }
}

/// Send deliveries again that failed, were cancelled or could not be built.
///
/// Deliveries that the webhook's plugin rejected are left out, and invocations, because nobody waits for their answers any more.
/// Deliveries keep their identifiers.
#[utoipa::path(post, path = "/v1/webhooks/{name}/recover", tag = "webhooks", request_body = RecoverInput, params(("name" = String, Path, description = "the webhook's name")),
    responses((status = 200, description = "the number of deliveries that are pending again", body = Recovered), (status = 404, body = ProblemDetails, description = "there is no webhook with this name", content_type = "application/problem+json"),
        (status = 409, body = ProblemDetails, description = "the webhook is inactive", content_type = "application/problem+json")))]
pub async fn recover(services: Services, asked: Asked) -> Answer {
    let input: RecoverInput = asked.json()?;
    let entry = active(&services, asked.path(0))?;
    let recovered = services.store.recover(&entry.id, input.since).await?;
    services.window.wake();
    ok(&Recovered { recovered })
}

/// Deliver past events again, or for the first time.
///
/// The webhook's selectors, sources and filter choose among the events that are kept. A replayed delivery belongs to no lane and to no
/// batch. A long replay is answered in parts: continue with `after` until `next` is null.
#[utoipa::path(post, path = "/v1/webhooks/{name}/replay", tag = "webhooks", request_body = ReplayInput, params(("name" = String, Path, description = "the webhook's name")),
    responses((status = 200, description = "the deliveries created so far", body = ReplayView), (status = 400, body = ProblemDetails, description = "not valid", content_type = "application/problem+json"),
        (status = 404, body = ProblemDetails, description = "there is no webhook with this name", content_type = "application/problem+json"),
        (status = 409, body = ProblemDetails, description = "the webhook is inactive", content_type = "application/problem+json"),
        (status = 503, body = ProblemDetails, description = "the backlog is full", content_type = "application/problem+json")))]
pub async fn replay(services: Services, asked: Asked) -> Answer {
    let input: ReplayInput = asked.json()?;
    let entry = active(&services, asked.path(0))?;
    if let Some(version) = input.version {
        check_version(&services, &entry, version)?;
    }
    let (run, from) = match &input.after {
        Some(cursor) => cursor_parts(cursor).ok_or_else(|| ApiError::invalid("/after", "give `next` as the replay answered it"))?,
        None => (u64::from_be_bytes(random()) | 1, 0),
    };
    let wanted = Replay { run, since: input.since, until: input.until, version: input.version, from };
    let progress = replay::replay(&services, &entry.webhook, wanted).await?;
    ok(&ReplayView { deliveries: progress.deliveries, next: progress.next.map(|next| format!("{run:016x}-{next}")) })
}

/// The replay's number, and the place from which it continues.
fn cursor_parts(cursor: &str) -> Option<(u64, u64)> {
    let (run, from) = cursor.split_once('-')?;
    Some((u64::from_str_radix(run, 16).ok()?, from.parse().ok()?))
}

fn check_version(services: &Services, entry: &WebhookEntry, version: u32) -> Result<(), ApiError> {
    let Some(transform) = &entry.webhook.transform else {
        return Err(ApiError::invalid("/version", "the webhook has no plugin: there is no version to choose"));
    };
    let plugin = &transform.plugin;
    match services.plugins.get(plugin, Some(version)) {
        Some(_) => Ok(()),
        None => Err(ApiError::invalid("/version", format!("the plugin `{plugin}` has no version {version} that can be used"))),
    }
}
