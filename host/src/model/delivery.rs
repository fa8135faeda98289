//! What one webhook is owed for one event, and the attempts made.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{
    id::{DeliveryId, EndpointId, EventId, WebhookId},
    ordering::BatchRule,
    outcome::Failure,
    parameter::Overflow,
    plugin::{GuestLog, PluginUse},
    trace::TraceContext,
};

pub mod lifecycle;

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// Committed, nobody works on it.
    Pending,
    /// Claimed under a lease.
    Sending,
    /// A try failed; the next one has a time.
    Waiting,
    /// A 2xx answer came back, for which the `success` rule holds where there is one; or there was nothing to send.
    Delivered,
    /// All tries are used up, or the failure is one that trying again does not mend.
    Failed,
    /// The plugin or a rule of ours said this will never work; nothing (more) was sent.
    Refused,
    /// An admin, or the deactivation of its webhook, ended it. Recoverable.
    Cancelled,
}

impl DeliveryState {
    /// Whether nothing more will happen by itself.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Delivered | Self::Failed | Self::Refused | Self::Cancelled)
    }
}

/// What one webhook is owed for one event, or for one `invoke`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Delivery {
    /// `dlv_...`; the `webhook-id` header of every attempt.
    pub id: DeliveryId,
    /// The event, of a batch the first; absent when the webhook was invoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<EventId>,
    /// The other events of a batch, in the order they were accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further_events: Vec<EventId>,
    /// The webhook, for as long as it exists.
    pub webhook_id: WebhookId,
    /// Its name when the delivery was made.
    pub webhook: String,
    /// Where it stands.
    pub state: DeliveryState,
    /// Attempts made.
    pub attempts: u32,
    /// The session whose parameters it reads and binds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The environment whose overrides apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// When it was committed.
    pub created_at: Timestamp,
    /// When its state last changed.
    pub updated_at: Timestamp,
    /// When the next attempt is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
    /// How many calls of this host to itself led to it.
    #[serde(default)]
    pub depth: u8,
    /// What `invoke` was given besides parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invocation: Option<InvokeInput>,
    /// The replay that made it; absent when it was owed at acceptance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<ReplayOf>,
    /// The trace it belongs to, and what its attempts are children of there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceContext>,
}

impl Delivery {
    /// One that nobody works on yet, of nothing: no event, no session, no invocation.
    pub fn new(id: DeliveryId, webhook_id: WebhookId, webhook: String, now: Timestamp) -> Self {
        Self {
            id,
            event: None,
            further_events: Vec::new(),
            webhook_id,
            webhook,
            state: DeliveryState::Pending,
            attempts: 0,
            session: None,
            environment: None,
            created_at: now,
            updated_at: now,
            due_at: None,
            depth: 0,
            invocation: None,
            replay: None,
            trace: None,
        }
    }
}

/// Which replay made a delivery, and how it differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReplayOf {
    /// The replay's number: no two replays make a delivery of the same identifier.
    pub run: u64,
    /// The version of the webhook's plugin it is built with; absent: what the webhook says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
}

/// What `invoke` is given besides parameters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct InvokeInput {
    /// `$event.data`.
    #[serde(default)]
    pub data: Value,
    /// For Dialogflow: tag, text, language, intent, page, messages, payload.
    #[serde(default)]
    pub context: Map<String, Value>,
    /// The caller of the code whose receiver invoked it; absent: it was asked for over the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
}

/// A delivery to be made: what acceptance writes for each webhook that matches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewDelivery {
    /// The webhook.
    pub webhook_id: WebhookId,
    /// Its name now.
    pub webhook: String,
    /// Where it is sent.
    pub endpoint: EndpointId,
    /// The lane it waits in for those before it.
    pub lane: Option<String>,
    /// The rule of the batch it joins.
    pub batch: Option<BatchRule>,
    /// Whether there is room to send it from memory: it is claimed with its acceptance. Otherwise it waits in the store.
    pub take: bool,
}

/// One try to deliver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    /// 1 for the first.
    pub number: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// How long each stage took.
    pub stages: Stages,
    /// What was sent, secrets redacted; absent when nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RecordedRequest>,
    /// What came back, capped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<RecordedAnswer>,
    /// Why it did not work; null: it did.
    #[serde(default)]
    pub failure: Option<Failure>,
    /// The plugin that built the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<PluginUse>,
    /// What it wrote.
    #[serde(default)]
    pub log: GuestLog,
    /// Parameters that were set (`null`: removed).
    #[serde(default)]
    pub parameters: Map<String, Value>,
    /// What the `answers` plugin returned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// Bindings whose path matched nothing, or a value that is too large; all of them where the answer could not be read.
    #[serde(default)]
    pub unmatched: Vec<String>,
    /// Why the answer of an endpoint that accepted the request could not be bound, or read by the plugin's `answers`. It is
    /// delivered all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding_failure: Option<Failure>,
    /// References to parameters that were not set.
    #[serde(default)]
    pub unset: Vec<String>,
    /// Made again after a crash between sending and settling (the endpoint may have seen it before), or built again because the webhook
    /// points at another origin since it was built.
    #[serde(default)]
    pub rebuilt: bool,
}

impl Attempt {
    /// One that has just begun: nothing was sent, nothing came of it yet.
    pub fn begun(number: u32, started_at: Timestamp) -> Self {
        Self {
            number,
            started_at,
            stages: Stages::default(),
            request: None,
            answer: None,
            failure: None,
            plugin: None,
            log: GuestLog::default(),
            parameters: Map::new(),
            output: None,
            unmatched: Vec::new(),
            binding_failure: None,
            unset: Vec::new(),
            rebuilt: false,
        }
    }

    /// Says that these parameters were not set, because they do not fit into the session.
    pub fn leave_out(&mut self, overflows: &[Overflow]) {
        for Overflow { parameter, .. } in overflows {
            self.parameters.shift_remove(parameter);
            self.unmatched.push(parameter.clone());
        }
        self.binding_failure = self.binding_failure.take().or_else(|| Overflow::failure(overflows));
    }

    /// Why it did not work; or, of one that did, why its answer could not be read.
    pub fn shortcoming(&self) -> Option<&Failure> {
        self.failure.as_ref().or(self.binding_failure.as_ref())
    }
}

/// How long each stage of an attempt took, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Stages {
    /// The plugin's `transform`.
    pub transform_us: u64,
    /// References, merging, checks.
    pub build_us: u64,
    /// From the first byte out to the last byte in.
    pub send_us: u64,
    /// Bindings and the plugin's `answers`.
    pub bind_us: u64,
}

impl Stages {
    /// All of them, in milliseconds.
    pub fn total_ms(&self) -> u64 {
        (self.transform_us + self.build_us + self.send_us + self.bind_us) / 1000
    }
}

/// A request as shown to an admin: credentials and query values redacted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RecordedRequest {
    /// The method.
    pub method: String,
    /// The URL with its query values redacted.
    pub url: String,
    /// Headers; credentials are `(redacted)`.
    pub headers: BTreeMap<String, String>,
    /// The body as text, capped.
    pub body: String,
    /// Its length in bytes as sent.
    pub body_bytes: u64,
}

/// An answer as kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RecordedAnswer {
    /// The status.
    pub status: u16,
    /// Headers.
    pub headers: BTreeMap<String, String>,
    /// The body as text, without its content coding, capped.
    pub body: String,
    /// Whether this is not the whole body: it was longer, or broke off.
    pub truncated: bool,
}
