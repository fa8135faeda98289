//! A collector of traces: a real HTTP server that decodes the OTLP requests it receives.

use std::{collections::BTreeMap, io::Read};

use flate2::read::GzDecoder;
use http::Method;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{span::SpanKind, status::StatusCode},
};
use prost::Message;

use crate::{Endpoint, Received, Script, wait::eventually};

/// The collector. It listens until it is dropped.
pub struct Collector {
    /// The HTTP server. Tests can change its answers.
    pub endpoint: Endpoint,
}

/// A span, as it arrived.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spanned {
    /// The span's name.
    pub name: String,
    /// The span's kind: `server`, `client` or `internal`.
    pub kind: String,
    /// The identifier of the trace, in hexadecimal digits.
    pub trace: String,
    /// The span's identifier, in hexadecimal digits.
    pub id: String,
    /// The identifier of the parent span; empty for the first span.
    pub parent: String,
    /// The `tracestate`.
    pub state: String,
    /// The span's attributes.
    pub attributes: BTreeMap<String, String>,
    /// The spans it is linked to.
    pub links: Vec<String>,
    /// Whether the span's status is an error.
    pub is_error: bool,
    /// Begin and end, in nanoseconds.
    pub time: (u64, u64),
    /// The name of the sender: `service.name`.
    pub service: String,
}

impl Spanned {
    /// The value of an attribute; empty if it is absent.
    pub fn say(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

impl Collector {
    /// Starts a collector that accepts everything.
    pub async fn start() -> Self {
        let endpoint = Endpoint::start().await;
        endpoint.always(Script::status(200).body("").header("content-type", "application/x-protobuf"));
        Self { endpoint }
    }

    /// The collector's URL, as a host is configured with it.
    pub fn url(&self) -> String {
        self.endpoint.url("")
    }

    /// Every request so far.
    pub fn posted(&self) -> Vec<Received> {
        self.endpoint.seen()
    }

    /// The bodies of all requests so far, decompressed.
    pub fn bodies(&self) -> Vec<Vec<u8>> {
        self.posted().iter().map(body).collect()
    }

    /// All spans so far.
    #[track_caller]
    pub fn spans(&self) -> Vec<Spanned> {
        self.posted().iter().flat_map(spans).collect()
    }

    /// Waits for the first span for which `is` is true.
    pub async fn span(&self, what: &str, is: impl Fn(&Spanned) -> bool) -> Spanned {
        eventually(what, async || self.spans().into_iter().find(&is)).await
    }

    /// Waits until there are this many spans with this name.
    pub async fn named_anywhere(&self, name: &str, number: usize) -> Vec<Spanned> {
        eventually(&format!("{number} spans `{name}`"), async || {
            let found: Vec<_> = self.spans().into_iter().filter(|span| span.name == name).collect();
            (found.len() >= number).then_some(found)
        })
        .await
    }

    /// Waits until a trace has this many spans with this name, and returns them in the order in which they began.
    pub async fn named(&self, trace: &str, name: &str, number: usize) -> Vec<Spanned> {
        eventually(&format!("{number} spans `{name}`"), async || {
            let mut found: Vec<_> = self.spans().into_iter().filter(|span| span.trace == trace && span.name == name).collect();
            found.sort_by_key(|span| span.time);
            (found.len() >= number).then_some(found)
        })
        .await
    }
}

fn spans(posted: &Received) -> Vec<Spanned> {
    assert_eq!(
        (&posted.method, posted.path.as_str(), posted.header("content-type")),
        (&Method::POST, "/v1/traces", "application/x-protobuf")
    );
    let request = ExportTraceServiceRequest::decode(body(posted).as_slice()).expect("an ExportTraceServiceRequest");
    let mut found = Vec::new();
    for resource in request.resource_spans {
        let service = resource.resource.map(|resource| said(resource.attributes)).unwrap_or_default();
        for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            let kind = SpanKind::try_from(span.kind).expect("a kind");
            found.push(Spanned {
                name: span.name,
                kind: kind.as_str_name().trim_start_matches("SPAN_KIND_").to_ascii_lowercase(),
                trace: hex::encode(span.trace_id),
                id: hex::encode(span.span_id),
                parent: hex::encode(span.parent_span_id),
                state: span.trace_state,
                attributes: said(span.attributes),
                links: span.links.into_iter().map(|link| hex::encode(link.span_id)).collect(),
                is_error: span.status.is_some_and(|status| status.code == i32::from(StatusCode::Error)),
                time: (span.start_time_unix_nano, span.end_time_unix_nano),
                service: service.get("service.name").cloned().unwrap_or_default(),
            });
        }
    }
    found
}

/// The body of a request, decompressed.
fn body(posted: &Received) -> Vec<u8> {
    assert_eq!(posted.header("content-encoding"), "gzip");
    let mut body = Vec::new();
    GzDecoder::new(posted.body.as_ref()).read_to_end(&mut body).expect("gzip");
    body
}

fn said(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Option<Value>| match value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(yes)) => yes.to_string(),
        other => format!("{other:?}"),
    };
    attributes.into_iter().map(|one| (one.key, text(one.value.and_then(|value| value.value)))).collect()
}
