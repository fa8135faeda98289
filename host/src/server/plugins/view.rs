//! Plugins as they are shown.

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

/// A plugin as shown.
#[derive(Debug, Serialize, ToSchema)]
pub struct PluginView {
    /// Its name.
    pub name: String,
    /// The active version: a number, or `builtin`; null: none.
    pub active: Option<Value>,
    /// What the active version can do.
    pub exports: Vec<Export>,
    /// Uploaded versions, oldest first.
    pub versions: Vec<PluginVersion>,
    /// Whether the binary carries one of this name.
    pub builtin: Option<Digest>,
    /// What it is configured with.
    pub config: Value,
    /// What it is granted.
    pub grants: Grants,
    /// Interfaces the active (or newest) version imports that nothing is granted for.
    pub missing_grants: Vec<String>,
    /// The limits that hold.
    pub limits: PluginLimits,
    /// What of that an admin set; the rest is the host's default.
    pub own_limits: PluginLimitsSpec,
    /// When it is rolled back by itself, and to what.
    pub rollback: RollbackView,
    /// How the active version behaves, and whether it is set aside; null: none is active.
    pub breaker: Option<BreakerView>,
    /// Other versions that are set aside: webhooks may be pinned to them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others_set_aside: Vec<BreakerView>,
}

/// A plugin after a change.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum ChangedPlugin {
    /// All of it, to who may read plugins.
    Whole(Box<PluginView>),
    /// What is active now, to everybody else.
    Outcome(ActivePluginView),
}

/// What is active of a plugin, and nothing of what it was given.
#[derive(Debug, Serialize, ToSchema)]
// Closed, so that an answer fits one of the two descriptions alone.
#[serde(deny_unknown_fields)]
pub struct ActivePluginView {
    /// Its name.
    pub name: String,
    /// The active version: a number, or `builtin`; null: none.
    pub active: Option<Value>,
}

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
    pub to: Option<Value>,
}

/// What a rollback comes to, as shown.
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

/// What a change is answered with: no more than a GET with the same token shows.
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

/// Who asks.
pub(super) fn actor(asked: &Asked) -> Actor {
    asked.token.as_ref().map_or_else(Actor::host, |token| Actor::token(&token.name))
}

pub(super) fn find(services: &Services, name: &str) -> Result<PluginInfo, ApiError> {
    services.plugins.info(name).ok_or_else(|| ApiError::NotFound(format!("plugin `{name}`")))
}
