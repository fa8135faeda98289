//! The trace something belongs to, as the headers `traceparent` and `tracestate` say it (W3C Trace Context, Level 1, the recommendation
//! of 2021-11-23).

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The header that names trace and span.
pub const TRACEPARENT: &str = "traceparent";
/// The header with what tracing systems add to it.
pub const TRACESTATE: &str = "tracestate";

/// Characters of a `tracestate` that are passed on: as many as must be (section 3.3.1.5); entries from the end go first.
pub const STATE_CHARS_MAX: usize = 512;
/// Entries of a `tracestate` (section 3.3.1.1): with more it is none.
const STATE_ENTRIES_MAX: usize = 32;
/// Characters of an entry's value.
const STATE_VALUE_CHARS_MAX: usize = 256;
/// Characters of an entry's key; of one with a tenant, of the tenant and of the system.
const STATE_KEY_CHARS_MAX: usize = 256;
const STATE_TENANT_CHARS_MAX: usize = 241;
const STATE_SYSTEM_CHARS_MAX: usize = 14;

/// The length of a `traceparent` of version 00.
const PARENT_CHARS: usize = 55;

/// A trace, and the span in it that whatever follows is a child of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TraceContext {
    /// `00-`, the trace, the span, whether it is sampled.
    #[schema(example = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]
    traceparent: String,
    /// What tracing systems added.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    tracestate: String,
}

impl TraceContext {
    /// Reads the values of both headers, each in the order they came. `None`: there is no `traceparent`, or none that is valid, and then
    /// the other says nothing either.
    pub fn parse<'a>(parents: impl IntoIterator<Item = &'a str>, states: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut parents = parents.into_iter();
        let parent = parents.next().filter(|_| parents.next().is_none())?.trim_matches([' ', '\t']);
        let version = parent.get(..2).filter(|version| is_hex(version) && *version != "ff")?;
        // What a later version has behind the flags is not ours to pass on; this one has nothing there.
        let (own, rest) = parent.split_at_checked(PARENT_CHARS)?;
        if !(rest.is_empty() || version != "00" && rest.starts_with('-')) {
            return None;
        }
        let mut fields = own.split('-').skip(1);
        let (trace, span, flags) = (fields.next()?, fields.next()?, fields.next().filter(|_| fields.next().is_none())?);
        let is_id = |text: &str, length: usize| text.len() == length && is_hex(text) && text.bytes().any(|byte| byte != b'0');
        if !is_id(trace, 32) || !is_id(span, 16) || flags.len() != 2 || !is_hex(flags) {
            return None;
        }
        let is_sampled = u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 == 1);
        Some(Self { tracestate: state(states).unwrap_or_default(), ..Self::new(trace, span, is_sampled) })
    }

    /// Of a span of ours.
    pub fn new(trace: impl fmt::Display, span: impl fmt::Display, is_sampled: bool) -> Self {
        Self { traceparent: format!("00-{trace}-{span}-0{}", u8::from(is_sampled)), tracestate: String::new() }
    }

    /// With what tracing systems added to another of the same trace.
    pub fn with_state_of(self, other: &Self) -> Self {
        Self { tracestate: other.tracestate.clone(), ..self }
    }

    /// The trace, 32 hexadecimal digits.
    pub fn trace_id(&self) -> &str {
        self.traceparent.get(3..35).unwrap_or_default()
    }

    /// The span, 16 hexadecimal digits.
    pub fn span_id(&self) -> &str {
        self.traceparent.get(36..52).unwrap_or_default()
    }

    /// Whether the system that began the trace records it.
    pub fn is_sampled(&self) -> bool {
        self.traceparent.ends_with("-01")
    }

    /// The value of `traceparent`.
    pub fn traceparent(&self) -> &str {
        &self.traceparent
    }

    /// The value of `tracestate`; empty: the header is not sent.
    pub fn tracestate(&self) -> &str {
        &self.tracestate
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The entries of a `tracestate`, which may have come in several headers, within [`STATE_CHARS_MAX`]. `None`: it is not valid, and so
/// left out as a whole (section 4.3).
fn state<'a>(headers: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let entries: Vec<_> = headers.into_iter().flat_map(|header| header.split(',')).map(|entry| entry.trim_matches([' ', '\t'])).collect();
    let entries: Vec<_> = entries.into_iter().filter(|entry| !entry.is_empty()).collect();
    let mut keys = Vec::new();
    for entry in &entries {
        let (key, value) = entry.split_once('=')?;
        if !is_state_key(key) || !is_state_value(value) || keys.contains(&key) {
            return None;
        }
        keys.push(key);
    }
    if entries.len() > STATE_ENTRIES_MAX {
        return None;
    }
    let mut kept = String::new();
    for entry in entries {
        let comma = usize::from(!kept.is_empty());
        if kept.len() + comma + entry.len() > STATE_CHARS_MAX {
            break;
        }
        kept.extend((comma == 1).then_some(','));
        kept.push_str(entry);
    }
    Some(kept)
}

fn is_state_key(key: &str) -> bool {
    let is_named = |name: &str, most: usize, first: fn(u8) -> bool| {
        (1..=most).contains(&name.len())
            && name.bytes().next().is_some_and(first)
            && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/'))
    };
    let letter = |byte: u8| byte.is_ascii_lowercase();
    match key.split_once('@') {
        None => is_named(key, STATE_KEY_CHARS_MAX, letter),
        Some((tenant, system)) => {
            is_named(tenant, STATE_TENANT_CHARS_MAX, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
                && is_named(system, STATE_SYSTEM_CHARS_MAX, letter)
        }
    }
}

fn is_state_value(value: &str) -> bool {
    (1..=STATE_VALUE_CHARS_MAX).contains(&value.len()) && value.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn parse(parent: &str) -> Option<TraceContext> {
        TraceContext::parse([parent], [])
    }

    fn state_of(headers: &[&str]) -> String {
        let parent = format!("00-{TRACE}-{SPAN}-01");
        TraceContext::parse([parent.as_str()], headers.iter().copied()).expect("a context").tracestate().to_owned()
    }

    #[test]
    fn a_traceparent_is_read_and_unknown_flags_are_left_out() {
        let read = parse(&format!(" 00-{TRACE}-{SPAN}-03 ")).expect("a context");
        assert_eq!((read.trace_id(), read.span_id(), read.is_sampled()), (TRACE, SPAN, true));
        assert_eq!(read.traceparent(), format!("00-{TRACE}-{SPAN}-01"));
        assert!(!parse(&format!("00-{TRACE}-{SPAN}-02")).expect("a context").is_sampled());
    }

    #[test]
    fn a_later_version_is_read_as_far_as_this_one_goes() {
        for later in [format!("01-{TRACE}-{SPAN}-01"), format!("cc-{TRACE}-{SPAN}-01-what-is-to-come")] {
            assert_eq!(parse(&later).expect("a context").traceparent(), format!("00-{TRACE}-{SPAN}-01"), "{later}");
        }
        assert_eq!(parse(&format!("cc-{TRACE}-{SPAN}-01.what")), None);
    }

    #[test]
    fn what_is_not_valid_is_none() {
        let zeros = "0".repeat(32);
        for wrong in [
            String::new(),
            "00".to_owned(),
            "é".repeat(30),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("0-{TRACE}-{SPAN}-01"),
            format!("0A-{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}-01-"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{TRACE}-{SPAN}-.1"),
            format!("00-{zeros}-{SPAN}-01"),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{TRACE}x{SPAN}-01"),
            format!("00-{SPAN}-{TRACE}-01"),
        ] {
            assert_eq!(parse(&wrong), None, "{wrong}");
        }
        let good = format!("00-{TRACE}-{SPAN}-01");
        assert_eq!(TraceContext::parse([good.as_str(), good.as_str()], []), None, "two of them");
    }

    #[test]
    fn a_tracestate_is_joined_and_one_that_is_not_valid_is_left_out() {
        assert_eq!(state_of(&["a=1, b=x y\t,", "", "t61@c/d=3"]), "a=1,b=x y,t61@c/d=3");
        let many: Vec<_> = (0..33).map(|number| format!("k{number}=v")).collect();
        for wrong in ["a", "A=1", "a=1,a=2", "a=", "a=b=c", "1a=2", "a@1=2", "a@b@c=1", "é=1", "a=é", &*many.join(",")] {
            assert_eq!(state_of(&[wrong]), "", "{wrong}");
        }
        assert_eq!(state_of(&[&many[..32].join(",")]), many[..32].join(","));
    }

    #[test]
    fn a_long_tracestate_loses_its_last_entries() {
        let long = "v".repeat(256);
        assert_eq!(state_of(&[&format!("a={long},b={long},c=1")]), format!("a={long}"));
    }

    #[test]
    fn what_was_kept_before_there_were_traces_is_read() {
        let now = jiff::Timestamp::UNIX_EPOCH;
        let webhook = crate::model::id::WebhookId("whk_1".to_owned());
        let id = crate::model::id::DeliveryId::new(1, &webhook, 0, 0);
        let delivery = crate::model::delivery::Delivery::new(id, webhook, "chat".to_owned(), now);
        let mut written = serde_json::to_value(&delivery).expect("JSON");
        assert!(written.get("trace").is_none(), "and nothing is written of none: {written}");
        assert_eq!(serde_json::from_value::<crate::model::delivery::Delivery>(written.clone()).expect("a delivery"), delivery);
        written["trace"] = serde_json::json!({ "traceparent": format!("00-{TRACE}-{SPAN}-01") });
        let read: crate::model::delivery::Delivery = serde_json::from_value(written).expect("a delivery");
        assert_eq!(read.trace.as_ref().map(TraceContext::span_id), Some(SPAN));
    }

    #[test]
    fn it_is_kept_as_the_headers_have_it() {
        let written = serde_json::to_value(parse(&format!("00-{TRACE}-{SPAN}-01"))).expect("JSON");
        assert_eq!(written, serde_json::json!({ "traceparent": format!("00-{TRACE}-{SPAN}-01") }));
    }
}
