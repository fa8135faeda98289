//! `/v1/webhooks/{name}/recover` and `/replay`: what was not delivered once more, and the past for whom it is new.

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

/// What to recover.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecoverInput {
    /// Deliveries that were owed at or after this time.
    pub since: Timestamp,
}

/// What was recovered.
#[derive(Debug, Serialize, ToSchema)]
pub struct Recovered {
    /// Deliveries that are pending again, under their old identifiers.
    pub recovered: u64,
}

/// What to replay.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayInput {
    /// Events accepted at or after this time; absent: from the oldest kept.
    #[serde(default)]
    pub since: Option<Timestamp>,
    /// Events accepted before this time; absent: up to the newest.
    #[serde(default)]
    pub until: Option<Timestamp>,
    /// The version of the webhook's plugin that builds the requests; absent: what the webhook says.
    #[serde(default)]
    pub version: Option<u32>,
    /// `next` of a replay that was not through, to go on with it.
    #[serde(default)]
    pub after: Option<String>,
}

/// How far a replay came.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReplayView {
    /// Deliveries made by this call; their identifiers are their own.
    pub deliveries: u64,
    /// To be given as `after` to go on; null: that was all.
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

/// Send again what failed, was cancelled or could not be built.
///
/// What the webhook's plugin rejected stays as it is. Deliveries keep their identifiers. Invocations are left out: nobody waits for their answer any more.
#[utoipa::path(post, path = "/v1/webhooks/{name}/recover", tag = "webhooks", request_body = RecoverInput, params(("name" = String, Path, description = "its name")),
    responses((status = 200, description = "pending again", body = Recovered), (status = 404, body = ProblemDetails, description = "none such", content_type = "application/problem+json"),
        (status = 409, body = ProblemDetails, description = "it is inactive", content_type = "application/problem+json")))]
pub async fn recover(services: Services, asked: Asked) -> Answer {
    let input: RecoverInput = asked.json()?;
    let entry = active(&services, asked.path(0))?;
    let recovered = services.store.recover(&entry.id, input.since).await?;
    services.window.wake();
    ok(&Recovered { recovered })
}

/// Deliver past events again, or for the first time.
///
/// The webhook's selectors, sources and filter choose among the events that are kept. It stands outside any order, and goes alone where
/// the webhook batches. A long replay is answered in parts: go on with `after` until `next` is null.
#[utoipa::path(post, path = "/v1/webhooks/{name}/replay", tag = "webhooks", request_body = ReplayInput, params(("name" = String, Path, description = "its name")),
    responses((status = 200, description = "made so far", body = ReplayView), (status = 400, body = ProblemDetails, description = "not valid", content_type = "application/problem+json"),
        (status = 404, body = ProblemDetails, description = "none such", content_type = "application/problem+json"),
        (status = 409, body = ProblemDetails, description = "it is inactive", content_type = "application/problem+json"),
        (status = 503, body = ProblemDetails, description = "too much waits already", content_type = "application/problem+json")))]
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

/// The replay's number and the place it goes on from.
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
