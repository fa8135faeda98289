//! What the rest of the engine says of plugins: versions, digests, exports, grants, and how a call of one can fail.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// `sha256:` and 64 lower-case hexadecimal digits: the digest of the uploaded bytes, which is the identity of a version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, example = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
pub struct Digest(String);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(format!("sha256:{}", hex::encode(sha2::Sha256::digest(bytes))))
    }

    /// With the algorithm in front.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The hexadecimal digits alone, fit for a file name.
    pub fn hex(&self) -> &str {
        self.0.strip_prefix("sha256:").unwrap_or(&self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

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

/// Which version a name points at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActiveVersion {
    /// The one in the binary, whichever that is.
    Builtin,
    /// An uploaded one.
    Version(u32),
    /// None: uploads were staged only.
    None,
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
}

/// What an admin gives a plugin. Nothing by default (decision 13).
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

/// How a call of a plugin can end badly; each breach is its own variant and its own word in the API.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PluginFailure {
    /// The guest said this input will never work.
    #[error("the plugin rejected the input: {0}")]
    Rejected(String),
    /// The guest said it may work later.
    #[error("the plugin asks to try later: {0}")]
    RetryLater(String),
    /// The guest trapped: a panic, an unreachable instruction, a stack overflow.
    #[error("the plugin trapped: {0}")]
    Trapped(String),
    /// The wall deadline passed.
    #[error("the plugin ran longer than {0} ms")]
    Deadline(u64),
    /// It wanted more memory than allowed.
    #[error("the plugin asked for more than {0} bytes of memory")]
    Memory(u64),
    /// It returned more than allowed.
    #[error("the plugin returned more than {0} bytes")]
    OutputTooLarge(u64),
    /// It returned something that is not what the contract says, such as text that is not JSON.
    #[error("the plugin returned something unusable: {0}")]
    BadOutput(String),
    /// Its directory holds more than it may.
    #[error("the plugin's directory holds more than {0} bytes, or too many files; remove some")]
    DirectoryFull(u64),
    /// It used an interface it has no grant for in a way that cannot be answered.
    #[error("the plugin has no grant for `{0}`")]
    NotGranted(String),
    /// Too many calls were waiting for a free instance.
    #[error("all plugin instances are busy and {0} calls wait already")]
    Busy(usize),
    /// No version is active, or the version asked for does not exist.
    #[error("plugin `{0}` has no active version that exports what is needed")]
    Missing(String),
}

impl PluginFailure {
    /// The word for it in attempts, calls and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Rejected(_) => "plugin_rejected",
            Self::RetryLater(_) => "plugin_retry_later",
            Self::Trapped(_) => "plugin_trapped",
            Self::Deadline(_) => "plugin_deadline",
            Self::Memory(_) => "plugin_memory",
            Self::OutputTooLarge(_) => "plugin_output_too_large",
            Self::BadOutput(_) => "plugin_bad_output",
            Self::DirectoryFull(_) => "plugin_directory_full",
            Self::NotGranted(_) => "plugin_not_granted",
            Self::Busy(_) => "plugin_busy",
            Self::Missing(_) => "plugin_missing",
        }
    }

    /// Whether trying again may help.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::RetryLater(_) | Self::Busy(_) | Self::Deadline(_) | Self::Missing(_) | Self::DirectoryFull(_))
    }
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
