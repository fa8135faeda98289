//! `/v1/plugins/{name}`: limits, rollback, the breaker, history: how a plugin is held, and what became of it.

use serde::Serialize;
use utoipa::ToSchema;

use super::view::{ChangedPlugin, PluginView, actor, changed, find, shown};
use crate::{
    model::plugin::{
        history::Entry,
        limits::{Limit, PluginLimitsSpec},
        rollback::RollbackRule,
    },
    server::{
        request::Asked,
        respond::{Answer, List, ProblemDetails, ok},
    },
    services::Services,
};

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
