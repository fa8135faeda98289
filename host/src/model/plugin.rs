//! What the rest of the engine says of plugins: versions, digests, exports, grants; below it limits, failures, and what becomes of one
//! that keeps failing.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

pub mod breaker;
pub mod evidence;
mod failure;
pub mod history;
pub mod limits;
pub mod party;
pub mod rollback;
mod version;

pub use failure::{PluginFailure, Says};
pub use version::{ActiveVersion, Digest};

use history::History;
use limits::PluginLimitsSpec;
use rollback::RollbackRule;

/// Versions remembered as active before the one that is: as many rollbacks in a row are possible.
pub const BEFORE_MAX: usize = 32;

/// What a plugin can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Export {
    /// Events to a request.
    Transform,
    /// Reads a 2xx answer.
    Answers,
    /// Answers calls.
    Receive,
}

/// What the uploaded bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PluginKind {
    /// A `wasm32-wasip1` core module or a component.
    Wasm,
    /// JavaScript.
    Script,
    /// TypeScript, of which the types are blanked.
    #[serde(rename = "typescript")]
    TypeScript,
}

impl PluginKind {
    /// All of them, with the endings of their files and their media types, the usual ones first. JavaScript's is RFC 9239's;
    /// TypeScript has none that is registered.
    const KNOWN: [(Self, &[&str], &[&str]); 3] = [
        (Self::Wasm, &["wasm"], &["application/wasm"]),
        (Self::Script, &["js", "mjs"], &["text/javascript", "application/javascript"]),
        (Self::TypeScript, &["ts", "mts"], &["text/typescript", "application/typescript", "application/x-typescript"]),
    ];

    /// What a file is, by its name. `.d.ts` holds types alone and is no plugin.
    pub fn of_file(name: &str) -> Option<Self> {
        let (stem, ending) = name.rsplit_once('.')?;
        let (kind, ..) = Self::KNOWN.into_iter().find(|(_, endings, _)| endings.contains(&ending))?;
        (!stem.ends_with(".d")).then_some(kind)
    }

    /// What a body is, by its media type without parameters.
    pub fn of_media_type(media_type: &str) -> Option<Self> {
        Self::KNOWN.into_iter().find(|(.., types)| types.contains(&media_type)).map(|(kind, ..)| kind)
    }

    /// What its files end with.
    pub fn ending(self) -> &'static str {
        Self::KNOWN.into_iter().find(|(kind, ..)| *kind == self).map_or("bin", |(_, endings, _)| endings[0])
    }

    /// The media type it is sent as.
    pub fn media_type(self) -> &'static str {
        Self::KNOWN.into_iter().find(|(kind, ..)| *kind == self).map_or("application/octet-stream", |(.., types)| types[0])
    }

    /// Whether the script engine runs it.
    pub fn is_script(self) -> bool {
        matches!(self, Self::Script | Self::TypeScript)
    }
}

/// One version of a plugin, as kept in the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PluginVersion {
    /// 1 for the first upload of this name; absent for the one in the binary.
    pub version: Option<u32>,
    /// What was uploaded.
    pub digest: Digest,
    /// Its kind.
    pub kind: PluginKind,
    /// What it can do.
    pub exports: Vec<Export>,
    /// The `hookwright:plugin/*` interfaces it imports, without the prefix.
    pub imports: Vec<String>,
    /// Bytes uploaded.
    pub size_bytes: u64,
    /// When.
    pub uploaded_at: Timestamp,
}

/// Everything the store keeps of one plugin name. The bytes are content-addressed files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PluginRecord {
    /// The name.
    pub name: String,
    /// Uploaded versions, oldest first. The same bytes uploaded again are the same version.
    pub versions: Vec<PluginVersion>,
    /// What the name points at.
    pub active: ActiveVersion,
    /// The configuration an admin gave it: a JSON object.
    #[serde(default)]
    pub config: Value,
    /// What an admin granted it.
    #[serde(default)]
    pub grants: Grants,
    /// What an admin limited it to; what is not set is the host's default.
    #[serde(default)]
    pub limits: PluginLimitsSpec,
    /// When it is rolled back by itself; absent: the host's rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<RollbackRule>,
    /// What was active before, the latest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<ActiveVersion>,
    /// When what is active was activated, as long as it may be rolled back for failing: a version that was rolled back to is not watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watched_since: Option<Timestamp>,
    /// Who did what.
    #[serde(default)]
    pub history: History,
    /// The entry of the history that an operational event is still to be made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untold: Option<u64>,
}

impl PluginRecord {
    /// Points the name at `version`. It is watched from `now` on if it is new there.
    pub fn activate(&mut self, version: ActiveVersion, now: Timestamp) {
        if self.active != version {
            self.before.push(self.active);
            let beyond = self.before.len().saturating_sub(BEFORE_MAX);
            self.before.drain(..beyond);
            self.active = version;
            // Without one before it there is nothing to go back to.
            self.watched_since = self.version_before().is_some().then_some(now);
        }
    }

    /// What was active before, as far as it is still there: what a rollback goes to.
    pub fn version_before(&self) -> Option<ActiveVersion> {
        self.before.iter().rev().copied().find(|version| self.can_return_to(*version))
    }

    /// The same; where nothing was active before, the next older version, else the one in the binary.
    pub fn version_to_return_to(&self, has_builtin: bool) -> Option<ActiveVersion> {
        let older = |active| self.versions.iter().filter_map(|kept| kept.version).filter(|number| *number < active).max();
        let older = match self.active {
            ActiveVersion::Version(active) => older(active).map(ActiveVersion::Version),
            ActiveVersion::Builtin | ActiveVersion::None => None,
        };
        let builtin = (has_builtin && self.active != ActiveVersion::Builtin).then_some(ActiveVersion::Builtin);
        self.version_before().or(older).or(builtin)
    }

    fn can_return_to(&self, version: ActiveVersion) -> bool {
        match version {
            ActiveVersion::Builtin => version != self.active,
            ActiveVersion::Version(number) => version != self.active && self.versions.iter().any(|kept| kept.version == Some(number)),
            ActiveVersion::None => false,
        }
    }

    /// Points the name at `version` again, which was active before, and forgets what came after it.
    pub fn roll_back(&mut self, version: ActiveVersion) {
        if let Some(at) = self.before.iter().rposition(|before| *before == version) {
            self.before.truncate(at);
        }
        self.active = version;
        self.watched_since = None;
    }
}

/// What an admin grants a plugin. Nothing by default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Grants {
    /// Secrets it may compute HMACs with, by name.
    pub secrets: Vec<String>,
    /// Webhooks it may invoke, by name.
    pub webhooks: Vec<String>,
    /// Triggers it may emit: selectors, such as `standards.*`, `/items` or `*`.
    pub triggers: Vec<String>,
    /// Whether it gets a directory of its own, seen by the guest as `/data`.
    pub directory: bool,
    /// Whether it may keep state.
    pub state: bool,
    /// Sessions it may write besides the call's own: a name, `prefix*`, or `*`.
    pub sessions: Vec<String>,
}

impl Grants {
    /// The interfaces among `imports` that nothing was granted for.
    pub fn missing(&self, imports: &[String]) -> Vec<String> {
        let granted = |import: &str| match import {
            "secrets" => !self.secrets.is_empty(),
            "webhooks" => !self.webhooks.is_empty(),
            "events" => !self.triggers.is_empty(),
            "state" => self.state,
            _ => true,
        };
        imports.iter().filter(|import| !granted(import)).cloned().collect()
    }
}

/// How much a line of a guest's log matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// For the author.
    Debug,
    /// For the record.
    Info,
    /// Something to look at.
    Warn,
    /// Something went wrong.
    Error,
}

/// One line of a guest's log. Standard output is `info`, standard error `warn`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    /// How much it matters.
    pub level: LogLevel,
    /// The text.
    pub text: String,
}

/// What a guest wrote during one call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GuestLog {
    /// Lines within the limit.
    pub lines: Vec<LogLine>,
    /// Lines beyond it.
    #[serde(default)]
    pub dropped: u64,
}

/// Which plugin served a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PluginUse {
    /// Its name.
    pub name: String,
    /// Its version; absent for the one in the binary.
    pub version: Option<u32>,
    /// Its bytes.
    pub digest: Digest,
}

/// An event a guest emitted, buffered until its call ends well.
#[derive(Clone, Debug, PartialEq)]
pub struct Emission {
    /// What happened.
    pub trigger: String,
    /// Who says so.
    pub source: Option<String>,
    /// When, in milliseconds since 1970-01-01 UTC.
    pub time_ms: Option<u64>,
    /// The data.
    pub data: Value,
    /// The session it belongs to.
    pub session: Option<String>,
    /// The environment it happened in.
    pub environment: Option<String>,
    /// Anything else.
    pub attributes: BTreeMap<String, String>,
}
