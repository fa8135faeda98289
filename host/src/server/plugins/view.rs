//! Plugins, as answers show them.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    model::{
        plugin::{
            ActiveVersion, Digest, Export, Grants, PluginVersion,
            breaker::State,
            history::Actor,
            limits::{PluginLimits, PluginLimitsSpec},
            rollback::RollbackRule,
        },
        token::Scope,
    },
    plugin::{PluginInfo, conduct::Shown},
    server::{
        request::Asked,
        respond::{Answer, ApiError, ok},
    },
    services::Services,
};

/// A plugin, as an answer shows it.
#[derive(Debug, Serialize, ToSchema)]
pub struct PluginView {
    /// The plugin's name.
    pub name: String,
    /// The active version: a number, or `builtin`; null: no version is active.
    pub active: Option<Value>,
    /// What the active version can do.
    pub exports: Vec<Export>,
    /// The uploaded versions, oldest first.
    pub versions: Vec<PluginVersion>,
    /// The digest of the plugin of this name in the binary; null: the binary has none.
    pub builtin: Option<Digest>,
    /// The plugin's configuration.
    pub config: Value,
    /// The capabilities that are granted to the plugin.
    pub grants: Grants,
    /// Interfaces that the active (or else the newest) version imports and for which a grant is missing.
    pub missing_grants: Vec<String>,
    /// The limits in force.
    pub limits: PluginLimits,
    /// The limits that an admin set; the others are the host's defaults.
    pub own_limits: PluginLimitsSpec,
    /// When the plugin is rolled back automatically, and to which version.
    pub rollback: RollbackView,
    /// The circuit breaker of the active version; null: no version is active.
    pub breaker: Option<BreakerView>,
    /// Circuit breakers of other versions that are not closed. Webhooks may be pinned to these versions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others_set_aside: Vec<BreakerView>,
}

/// A plugin after a change.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum ChangedPlugin {
    /// All of it, for tokens that may read plugins.
    Whole(Box<PluginView>),
    /// Only the active version, for all other tokens.
    Outcome(ActivePluginView),
}

/// The active version of a plugin, without its configuration and grants.
#[derive(Debug, Serialize, ToSchema)]
// `deny_unknown_fields`, so that an answer fits only one of the two schemas.
#[serde(deny_unknown_fields)]
pub struct ActivePluginView {
    /// The plugin's name.
    pub name: String,
    /// The active version: a number, or `builtin`; null: no version is active.
    pub active: Option<Value>,
}

/// The circuit breaker of a version.
#[derive(Debug, Serialize, ToSchema)]
pub struct BreakerView {
    /// The version; null: the one in the binary.
    pub version: Option<u32>,
    /// `closed`: the version is called; `open`: it is not called before `next_probe_at`; `half_open`: one call is let through as a probe.
    #[schema(example = "closed")]
    pub state: &'static str,
    /// When the circuit breaker opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// When the next probe is let through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_probe_at: Option<Timestamp>,
    /// Number of different parties (callers and events) on which the version failed by its own fault, without a successful call in
    /// between. The circuit breaker opens at 10. A party counts once, however often the version fails on it.
    pub failures: u32,
    /// The last of these failures, since the process started or the plugin was changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<LastFailureView>,
    /// Calls since then that count for the circuit breaker.
    pub calls: u64,
    /// Number of these calls that failed.
    pub failed_calls: u64,
    /// Until when the version is rolled back automatically if it fails too often.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watched_until: Option<Timestamp>,
}

/// A failure.
#[derive(Debug, Serialize, ToSchema)]
pub struct LastFailureView {
    /// When it happened.
    pub at: Timestamp,
    /// The kind of the failure, as in attempts and calls.
    pub kind: &'static str,
    /// The failure in a sentence.
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

/// When a plugin is rolled back, and to which version.
#[derive(Debug, Serialize, ToSchema)]
pub struct RollbackView {
    /// The rule in force.
    pub rule: RollbackRule,
    /// Whether an admin set the rule for this plugin; otherwise it is the host's.
    pub is_own: bool,
    /// The version that a rollback would activate now: a number, or `builtin`; null: there is no version before.
    pub to: Option<Value>,
}

pub(super) fn rollback_view(info: &PluginInfo) -> RollbackView {
    RollbackView { rule: info.rollback, is_own: info.record.rollback.is_some(), to: info.before.and_then(version_shown) }
}

pub(super) fn shown(info: PluginInfo) -> PluginView {
    let rollback = rollback_view(&info);
    let PluginInfo { record, builtin, exports, missing_grants, limits, conduct, others_set_aside, .. } = info;
    let active = version_shown(record.active);
    PluginView {
        name: record.name,
        active,
        exports,
        versions: record.versions,
        builtin,
        config: record.config,
        grants: record.grants,
        missing_grants,
        limits,
        own_limits: record.limits,
        rollback,
        breaker: conduct.map(BreakerView::from),
        others_set_aside: others_set_aside.into_iter().map(BreakerView::from).collect(),
    }
}

/// The answer to a change. It shows no more than a GET with the same token would.
pub(super) fn changed(services: &Services, asked: &Asked) -> Answer {
    let info = find(services, asked.path(0))?;
    ok(&if asked.allows(Scope::Read) {
        ChangedPlugin::Whole(Box::new(shown(info)))
    } else {
        ChangedPlugin::Outcome(ActivePluginView { active: version_shown(info.record.active), name: info.record.name })
    })
}

/// A version's number, or `builtin`.
pub(super) fn version_shown(version: ActiveVersion) -> Option<Value> {
    match version {
        ActiveVersion::Builtin => Some(Value::from("builtin")),
        ActiveVersion::Version(version) => Some(Value::from(version)),
        ActiveVersion::None => None,
    }
}

/// The actor of a change, for the history.
pub(super) fn actor(asked: &Asked) -> Actor {
    asked.token.as_ref().map_or_else(Actor::host, |token| Actor::token(&token.name))
}

pub(super) fn find(services: &Services, name: &str) -> Result<PluginInfo, ApiError> {
    services.plugins.info(name).ok_or_else(|| ApiError::NotFound(format!("plugin `{name}`")))
}
