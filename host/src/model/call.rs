//! One inbound request to a code.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{
    id::{CallId, EventId},
    outcome::{Failure, WebhookStatus},
    plugin::{GuestLog, PluginUse},
    trace::TraceContext,
};

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    /// Accepted durably, not yet run (`async` receivers).
    Pending,
    /// Answered as the receiver said.
    Done,
    /// Turned away: bad signature, undeclared parameter; or the receiver's plugin said that this input will never work.
    Rejected,
    /// The receiver failed.
    Failed,
}

/// What the host made of the caller's signature or credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verification {
    /// The receiver asks for none.
    NotAsked,
    /// Good.
    Verified,
    /// Bad or missing.
    Failed,
}

/// One inbound request to a code, and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Call {
    /// `cal_...`
    pub id: CallId,
    /// The receiver.
    pub receiver: String,
    /// The caller the code was issued to.
    pub caller: String,
    /// The code's identifier; never the code.
    pub code_id: String,
    /// When it came in.
    pub received_at: Timestamp,
    /// Where it stands.
    pub state: CallState,
    /// What came in.
    pub request: RecordedCall,
    /// The environment its base stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// The session the receiver's `session` path found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// What the host made of the signature.
    pub verification: Verification,
    /// What was answered; absent while pending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<RecordedReply>,
    /// Why it failed or was rejected: more than the caller was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Events committed with it; the first is `code.<receiver>`.
    #[serde(default)]
    pub events: Vec<EventId>,
    /// The plugin that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<PluginUse>,
    /// What it wrote.
    #[serde(default)]
    pub log: GuestLog,
    /// How each webhook ended that it invoked, in the order of its last run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub webhook_statuses: Vec<WebhookStatus>,
    /// How long the plugin ran, in microseconds.
    #[serde(default)]
    pub receive_us: u64,
    /// Runs so far (`async` receivers are retried).
    #[serde(default)]
    pub runs: u32,
    /// Calls to ourselves it has gone through.
    #[serde(default)]
    pub depth: u8,
    /// The trace it belongs to, and what its runs are children of there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceContext>,
}

/// A call's request as kept: what a replay needs. Credentials are left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RecordedCall {
    /// The method.
    pub method: String,
    /// The path behind the code.
    pub path: String,
    /// Query parameters in the order sent.
    pub query: Vec<(String, String)>,
    /// Declared parameters, typed.
    #[serde(default)]
    pub parameters: Map<String, Value>,
    /// Header names in lower case; credentials are `(redacted)`.
    pub headers: BTreeMap<String, String>,
    /// The body; see `body_encoding`.
    pub body: String,
    /// `text`, or `base64` when it is not UTF-8.
    pub body_encoding: BodyEncoding,
    /// The client's address.
    pub remote_address: String,
}

/// How a body is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BodyEncoding {
    /// As it is.
    Text,
    /// Base64.
    Base64,
}

/// A call's answer as kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RecordedReply {
    /// The status.
    pub status: u16,
    /// Headers.
    pub headers: BTreeMap<String, String>,
    /// The body as text, capped.
    pub body: String,
}
