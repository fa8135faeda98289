//! `/v1/profiles`: named defaults and rules.

use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{
    document::merge_patch,
    request::{Asked, parse_value},
    respond::{Answer, ApiError, List, ProblemDetails, ok},
};
use crate::{
    model::{
        problem::Problem,
        profile::{Deactivation, Profile},
        retry::Retry,
    },
    services::Services,
};

/// The site-wide values of a profile that can be changed (ArcGIS's "advanced settings").
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfilePatch {
    /// Time limit of one attempt in milliseconds, within the profile's range.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
    /// Longest answer in bytes, within the profile's range.
    #[serde(default)]
    pub response_bytes_max: Option<u64>,
    /// When a failed delivery is tried again.
    #[serde(default)]
    pub retry: Option<Retry>,
    /// When a webhook that keeps failing is deactivated.
    #[serde(default)]
    pub deactivation: Option<Deactivation>,
}

/// List the profiles.
#[utoipa::path(get, path = "/v1/profiles", tag = "profiles", responses((status = 200, description = "all profiles", body = List<Profile>)))]
pub async fn list(services: Services, asked: Asked) -> Answer {
    asked.only(&[])?;
    ok(&List { data: services.catalog.snapshot().profiles.values().cloned().collect(), next: None })
}

/// Get a profile.
#[utoipa::path(get, path = "/v1/profiles/{name}", tag = "profiles", params(("name" = String, Path, description = "the profile's name")),
    responses((status = 200, description = "the profile", body = Profile), (status = 404, body = ProblemDetails, description = "there is no profile with this name", content_type = "application/problem+json")))]
pub async fn get(services: Services, asked: Asked) -> Answer {
    ok(&find(&services, asked.path(0))?)
}

fn find(services: &Services, name: &str) -> Result<Profile, ApiError> {
    services.catalog.snapshot().profiles.get(name).cloned().ok_or_else(|| ApiError::NotFound(format!("profile `{name}`")))
}

/// Set site-wide values of a profile. They hold at once for every webhook that inherits from it.
#[utoipa::path(patch, path = "/v1/profiles/{name}", tag = "profiles", request_body = ProfilePatch, params(("name" = String, Path, description = "the profile's name")),
    responses((status = 200, description = "changed", body = Profile), (status = 400, body = ProblemDetails, description = "out of range", content_type = "application/problem+json"),
        (status = 404, body = ProblemDetails, description = "there is no profile with this name", content_type = "application/problem+json")))]
pub async fn patch(services: Services, asked: Asked) -> Answer {
    let patch: ProfilePatch = parse_value(merge_patch(&asked)?)?;
    let mut profile = find(&services, asked.path(0))?;
    let mut problems = Vec::new();
    let mut set = |pointer: &str, range: &mut crate::model::profile::Range, value: Option<u64>| {
        let Some(value) = value else { return };
        if range.contains(value) {
            range.default = value;
        } else {
            problems.push(Problem::new(pointer, format!("{value} is out of range: {} to {}", range.min, range.max)));
        }
    };
    set("/timeout_ms", &mut profile.timeout_ms, patch.timeout_ms);
    set("/response_bytes_max", &mut profile.response_bytes_max, patch.response_bytes_max);
    if let Some(retry) = patch.retry {
        problems.extend(profile.retry_problems(&retry).into_iter().map(|problem| problem.under("/retry")));
        profile.retry = retry;
    }
    if let Some(deactivation) = patch.deactivation {
        profile.deactivation = Some(deactivation);
    }
    if !problems.is_empty() {
        return Err(ApiError::problems(problems));
    }
    tracing::info!(profile = profile.name, values = %json!({ "timeout_ms": profile.timeout_ms.default }), "site-wide values changed");
    services.catalog.put_profile(profile.clone()).await?;
    ok(&profile)
}
