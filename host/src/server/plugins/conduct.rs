//! `/v1/plugins/{name}`: a plugin's limits, rollback, circuit breaker and history.

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
    /// The limit's name.
    #[schema(example = "memory_bytes")]
    pub name: &'static str,
    /// The unit of the values.
    #[schema(example = "bytes")]
    pub unit: &'static str,
    /// What the limit bounds.
    pub about: &'static str,
    /// The value in force.
    pub value: u64,
    /// Whether an admin set it for this plugin.
    pub is_own: bool,
    /// The value in force if none is set.
    pub default: u64,
    /// The highest value that can be set.
    pub maximum: u64,
}

/// List the limits of a plugin, with units, defaults and the host's maxima.
#[utoipa::path(get, path = "/v1/plugins/{name}/limits", tag = "plugins", params(("name" = String, Path, description = "the plugin's name")),
    responses((status = 200, description = "all limits", body = List<LimitView>), (status = 404, body = ProblemDetails, description = "there is no plugin with this name", content_type = "application/problem+json")))]
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

/// Set the limits of a plugin. That is possible before its first upload. A limit that is left out gets the host's default. The limits
/// hold from the next call on.
#[utoipa::path(put, path = "/v1/plugins/{name}/limits", tag = "plugins", request_body = PluginLimitsSpec, params(("name" = String, Path, description = "the plugin's name")),
    responses((status = 200, description = "the limits are set", body = PluginView), (status = 400, body = ProblemDetails, description = "not valid, or beyond the host's maximum", content_type = "application/problem+json")))]
pub async fn put_limits(services: Services, asked: Asked) -> Answer {
    let limits: PluginLimitsSpec = asked.json()?;
    services.plugins.set_limits(asked.path(0), limits, actor(&asked)).await?;
    services.window.wake();
    ok(&shown(find(&services, asked.path(0))?))
}

/// Set when a new version is rolled back automatically; `null`: as in the host's configuration.
#[utoipa::path(put, path = "/v1/plugins/{name}/rollback", tag = "plugins", request_body = Option<RollbackRule>, params(("name" = String, Path, description = "the plugin's name")),
    responses((status = 200, description = "the rule is set", body = ChangedPlugin), (status = 400, body = ProblemDetails, description = "not valid", content_type = "application/problem+json")))]
pub async fn put_rollback(services: Services, asked: Asked) -> Answer {
    let rule: Option<RollbackRule> = asked.json()?;
    services.plugins.set_rollback(asked.path(0), rule, actor(&asked)).await?;
    changed(&services, &asked)
}

/// Go back to the version that was active before. It is loaded first; calls in progress end on the version they began with.
#[utoipa::path(post, path = "/v1/plugins/{name}/rollback", tag = "plugins", params(("name" = String, Path, description = "the plugin's name")),
    responses((status = 200, description = "rolled back", body = ChangedPlugin), (status = 404, body = ProblemDetails, description = "there is no plugin with this name", content_type = "application/problem+json"),
        (status = 409, body = ProblemDetails, description = "there is no version before", content_type = "application/problem+json"),
        (status = 422, body = ProblemDetails, description = "a grant is missing", content_type = "application/problem+json")))]
pub async fn rollback(services: Services, asked: Asked) -> Answer {
    services.plugins.roll_back(asked.path(0), actor(&asked)).await?;
    services.window.wake();
    changed(&services, &asked)
}

/// Close the circuit breaker of a plugin, for all its versions, so that it is called again.
#[utoipa::path(post, path = "/v1/plugins/{name}/resume", tag = "plugins", params(("name" = String, Path, description = "the plugin's name")),
    responses((status = 200, description = "the plugin may be called", body = ChangedPlugin), (status = 404, body = ProblemDetails, description = "there is no plugin with this name", content_type = "application/problem+json")))]
pub async fn resume(services: Services, asked: Asked) -> Answer {
    services.plugins.resume(asked.path(0), actor(&asked)).await?;
    services.window.wake();
    changed(&services, &asked)
}

/// List who changed what in a plugin, newest first, at most 200 entries.
#[utoipa::path(get, path = "/v1/plugins/{name}/history", tag = "plugins", params(("name" = String, Path, description = "the plugin's name")),
    responses((status = 200, description = "the entries that are kept", body = List<Entry>), (status = 404, body = ProblemDetails, description = "there is no plugin with this name", content_type = "application/problem+json")))]
pub async fn history(services: Services, asked: Asked) -> Answer {
    asked.only(&[])?;
    let info = find(&services, asked.path(0))?;
    ok(&List { data: info.record.history.entries().iter().rev().collect(), next: None })
}
