//! An event: something that happened. Immutable once accepted.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    binding::spend,
    id::{CallId, EventId},
    trace::TraceContext,
    trigger::Trigger,
};

/// How many calls to ourselves an event may have gone through before it is refused, so that a chain ends (decision: bounded-chains).
pub const DEPTH_MAX: u8 = 16;

/// The attribute of an operational event that names the webhook it concerns.
pub const CONCERNS: &str = "webhookid";

/// An accepted event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// `evt_...`
    pub id: EventId,
    /// Its place in commit order.
    pub seq: u64,
    /// What happened.
    #[schema(value_type = String, example = "/items/abc123/share")]
    pub trigger: Trigger,
    /// Who says so; empty when the producer gave none.
    pub source: String,
    /// When it happened.
    pub time: Timestamp,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// The session it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The environment it happened in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// CloudEvents extension attributes and whatever else the producer added.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// The producer's data.
    pub data: Value,
    /// The call it came from or was emitted by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<CallId>,
    /// Calls to ourselves it has gone through.
    #[serde(default)]
    pub depth: u8,
    /// The trace it belongs to, and what its deliveries are children of there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceContext>,
}

impl Event {
    /// The event at its place.
    pub fn at(mut self, seq: u64) -> Self {
        self.id = self.id.at(seq);
        self.seq = seq;
        self
    }

    /// The event as a JSON document: what filters, `$event.*` and `$call.*` references look into.
    pub fn document(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// An event on its way to acceptance: everything but its place in commit order.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    /// `evt_...`, its place perhaps still missing.
    pub id: EventId,
    /// What happened.
    pub trigger: Trigger,
    /// Who says so.
    pub source: String,
    /// When it happened.
    pub time: Timestamp,
    /// The session it belongs to.
    pub session: Option<String>,
    /// The environment it happened in.
    pub environment: Option<String>,
    /// Anything else.
    pub attributes: BTreeMap<String, String>,
    /// The producer's data.
    pub data: Value,
    /// The call it comes from.
    pub call: Option<CallId>,
    /// Calls to ourselves it has gone through.
    pub depth: u8,
    /// The trace it belongs to: before its acceptance the trace of its cause.
    pub trace: Option<TraceContext>,
}

impl From<Event> for NewEvent {
    fn from(event: Event) -> Self {
        let Event { id, seq: _, trigger, source, time, accepted_at: _, session, environment, attributes, data, call, depth, trace } = event;
        Self { id, trigger, source, time, session, environment, attributes, data, call, depth, trace }
    }
}

impl NewEvent {
    /// The event as accepted with `seq` at `accepted_at`; [`Event::at`] when that is known only later.
    pub fn accepted(self, seq: u64, accepted_at: Timestamp) -> Event {
        let Self { id, trigger, source, time, session, environment, attributes, data, call, depth, trace } = self;
        Event { id: id.at(seq), seq, trigger, source, time, accepted_at, session, environment, attributes, data, call, depth, trace }
    }
}

/// Characters of an event's identifier, source, session and environment.
pub const TEXT_CHARS_MAX: usize = 256;

/// The sentence for a text that has none of the allowed forms.
pub const TEXT_RULE: &str = "1 to 256 characters without control characters";

/// Whether `text` can be an event's identifier, source, session or environment.
pub fn is_text(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= TEXT_CHARS_MAX && !text.chars().any(char::is_control)
}

/// Bytes of an event's attributes, names and values.
pub fn attribute_bytes<'a>(attributes: impl IntoIterator<Item = (&'a String, &'a String)>) -> usize {
    attributes.into_iter().map(|(name, value)| name.len() + value.len()).sum()
}

/// About how many bytes an event's data takes.
pub fn size(data: &Value) -> usize {
    let mut left = usize::MAX;
    spend(data, &mut left);
    usize::MAX - left
}
