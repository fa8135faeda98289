//! `/v1/plugins/{name}`: limits, rollback, the breaker, history: how a plugin is held, and what became of it.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{ChangedPlugin, PluginView, actor, changed, find, shown, version_shown};
use crate::{
    model::plugin::{
        breaker::State,
        history::Entry,
        limits::{Limit, PluginLimitsSpec},
        rollback::RollbackRule,
    },
    plugin::conduct::Shown,
    server::{
        request::Asked,
        respond::{Answer, List, ProblemDetails, ok},
    },
    services::Services,
};

/// How a version behaves.
#[derive(Debug, Serialize, ToSchema)]
pub struct BreakerView {
    /// Which version; null: the one in the binary.
    pub version: Option<u32>,
    /// `closed`: calls go through; `open`: none does before `next_probe_at`; `half_open`: one goes through, to see.
    #[schema(example = "closed")]
    pub state: &'static str,
    /// Since when it is set aside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// When the next call goes through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_probe_at: Option<Timestamp>,
    /// Callers and events, with no call that went well between them, on which it harmed itself: 10 set it aside. However often one of
    /// them has it fail, it is one.
    pub failures: u32,
    /// The last of these failures since this process began or the plugin was changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<LastFailureView>,
    /// Calls since then that say something of it.
    pub calls: u64,
    /// Those that failed.
    pub failed_calls: u64,
    /// Until when it is rolled back by itself if it fails too often.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watched_until: Option<Timestamp>,
}

/// A failure.
#[derive(Debug, Serialize, ToSchema)]
pub struct LastFailureView {
    /// When.
    pub at: Timestamp,
    /// Its word, as in attempts and calls.
    pub kind: &'static str,
    /// Its sentence.
    pub detail: String,
}

impl From<Shown> for BreakerView {
    fn from(shown: Shown) -> Self {
        let Shown { version, state, failures, last_failure, tally, watched_until } = shown;
        let (state, since, next_probe_at) = match state {
            State::Closed => ("closed", None, None),
            State::Open { since, until } => ("open", Some(since), Some(until)),
            State::HalfOpen { since } => ("half_open", Some(since), None),
        };
        let last_failure = last_failure.map(|last| LastFailureView { at: last.at, kind: last.kind, detail: last.detail });
        Self { version, state, since, next_probe_at, failures, last_failure, calls: tally.calls, failed_calls: tally.failed, watched_until }
    }
}

/// When a plugin is rolled back, and to what.
#[derive(Debug, Serialize, ToSchema)]
pub struct RollbackView {
    /// The rule that holds.
    pub rule: RollbackRule,
    /// Whether an admin set it for this plugin; else it is the host's.
    pub is_own: bool,
    /// What a rollback would go to now: a version's number, or `builtin`; null: there is nothing before.
    pub to: Option<serde_json::Value>,
}

/// One limit of a plugin.
#[derive(Debug, Serialize, ToSchema)]
pub struct LimitView {
    /// Its name.
    #[schema(example = "memory_bytes")]
    pub name: &'static str,
    /// What it counts.
    #[schema(example = "bytes")]
    pub unit: &'static str,
    /// What it bounds.
    pub about: &'static str,
    /// What holds.
    pub value: u64,
    /// Whether an admin set it for this plugin.
    pub is_own: bool,
    /// What holds where nothing is set.
    pub default: u64,
    /// The most that can be set.
    pub maximum: u64,
}

/// The limits of a plugin, with units, defaults and the host's maxima.
#[utoipa::path(get, path = "/v1/plugins/{name}/limits", tag = "plugins", params(("name" = String, Path, description = "its name")),
    responses((status = 200, description = "all of them", body = List<LimitView>), (status = 404, body = ProblemDetails, description = "none such", content_type = "application/problem+json")))]
pub async fn limits(services: Services, asked: Asked) -> Answer {
    asked.only(&[])?;
    let info = find(&services, asked.path(0))?;
    let (defaults, maxima) = (services.plugins.defaults(), services.plugins.maxima());
    let view = |limit: &Limit| LimitView {
        name: limit.name(),
        unit: limit.unit(),
        about: limit.about(),
        value: info.limits.get(*limit),
        is_own: info.record.limits.get(*limit).is_some(),
        default: defaults.get(*limit),
        maximum: maxima.get(*limit),
    };
    ok(&List { data: Limit::ALL.iter().map(view).collect(), next: None })
}

/// Limit a plugin; possible before its first upload. What is left out is the host's default. It holds from the next call on.
#[utoipa::path(put, path = "/v1/plugins/{name}/limits", tag = "plugins", request_body = PluginLimitsSpec, params(("name" = String, Path, description = "its name")),
    responses((status = 200, description = "limited", body = PluginView), (status = 400, body = ProblemDetails, description = "not valid, or beyond the host's maximum", content_type = "application/problem+json")))]
pub async fn put_limits(services: Services, asked: Asked) -> Answer {
    let limits: PluginLimitsSpec = asked.json()?;
    services.plugins.set_limits(asked.path(0), limits, actor(&asked)).await?;
    services.window.wake();
    ok(&shown(find(&services, asked.path(0))?))
}

/// Say when a new version is rolled back by itself; `null`: as the host's configuration says.
#[utoipa::path(put, path = "/v1/plugins/{name}/rollback", tag = "plugins", request_body = Option<RollbackRule>, params(("name" = String, Path, description = "its name")),
    responses((status = 200, description = "kept", body = ChangedPlugin), (status = 400, body = ProblemDetails, description = "not valid", content_type = "application/problem+json")))]
pub async fn put_rollback(services: Services, asked: Asked) -> Answer {
    let rule: Option<RollbackRule> = asked.json()?;
    services.plugins.set_rollback(asked.path(0), rule, actor(&asked)).await?;
    changed(&services, &asked)
}

/// Go back to the version that was active before. It is loaded first; calls in flight end on the version they began with.
#[utoipa::path(post, path = "/v1/plugins/{name}/rollback", tag = "plugins", params(("name" = String, Path, description = "its name")),
    responses((status = 200, description = "rolled back", body = ChangedPlugin), (status = 404, body = ProblemDetails, description = "none such", content_type = "application/problem+json"),
        (status = 409, body = ProblemDetails, description = "there is nothing before", content_type = "application/problem+json"),
        (status = 422, body = ProblemDetails, description = "a grant is missing", content_type = "application/problem+json")))]
pub async fn rollback(services: Services, asked: Asked) -> Answer {
    services.plugins.roll_back(asked.path(0), actor(&asked)).await?;
    services.window.wake();
    changed(&services, &asked)
}

/// Let a plugin that was set aside be called again, in all its versions.
#[utoipa::path(post, path = "/v1/plugins/{name}/resume", tag = "plugins", params(("name" = String, Path, description = "its name")),
    responses((status = 200, description = "it may be called", body = ChangedPlugin), (status = 404, body = ProblemDetails, description = "none such", content_type = "application/problem+json")))]
pub async fn resume(services: Services, asked: Asked) -> Answer {
    services.plugins.resume(asked.path(0), actor(&asked)).await?;
    services.window.wake();
    changed(&services, &asked)
}

/// Who did what with a plugin, when: the newest first, at most 200.
#[utoipa::path(get, path = "/v1/plugins/{name}/history", tag = "plugins", params(("name" = String, Path, description = "its name")),
    responses((status = 200, description = "all that is kept", body = List<Entry>), (status = 404, body = ProblemDetails, description = "none such", content_type = "application/problem+json")))]
pub async fn history(services: Services, asked: Asked) -> Answer {
    asked.only(&[])?;
    let info = find(&services, asked.path(0))?;
    ok(&List { data: info.record.history.entries().iter().rev().collect(), next: None })
}

/// What a rollback comes to, as shown.
pub(super) fn rollback_view(info: &crate::plugin::PluginInfo) -> RollbackView {
    RollbackView { rule: info.rollback, is_own: info.record.rollback.is_some(), to: info.before.and_then(version_shown) }
}
