//! Traces: a span for what is accepted, called, built and sent, exported by OTLP over HTTP where a collector is configured.
//!
//! What follows from what is data: a [`TraceContext`] that travels with events, calls and deliveries and is stored with them, so a trace
//! goes on in another process, and there is no context of the thread. Without a collector a [`Span`] passes its parent on and does nothing
//! else. Spans say names, identifiers, statuses and words of ours; no URL but its host, no header, no body, no sentence of a failure.
//!
//! `export` is how spans leave the host.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, Method};
use opentelemetry::{
    Context, KeyValue, Value,
    trace::{
        Link, Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId, TraceState,
        TracerProvider,
    },
};
use opentelemetry_sdk::{
    Resource,
    trace::{Sampler, SdkTracer, SdkTracerProvider, Span as SdkSpan, SpanLimits},
};

use self::export::{Collector, Export};
use crate::{
    clock::random,
    config::{Config, otlp::OtlpLimits},
    metrics::Metrics,
    model::trace::{TRACEPARENT, TRACESTATE, TraceContext},
    store::Store,
};

mod export;

pub use export::BadCollector;

/// Other events' traces that the span of a batch names, at most.
const LINKS_MAX: usize = 128;

/// Records spans, or passes contexts on. Cheap to clone.
#[derive(Clone)]
pub struct Traces {
    recording: Option<Arc<Recording>>,
    passes_on: bool,
}

struct Recording {
    tracer: SdkTracer,
    export: Export,
}

impl Traces {
    /// As the configuration says. Sends nothing yet; secrets are looked up in `store` each time.
    pub fn start(config: &Config, store: &Store, metrics: &Metrics) -> Result<Self, BadCollector> {
        let passes_on = config.pass_trace_on;
        let Some(otlp) = &config.otlp else { return Ok(Self { recording: None, passes_on }) };
        let OtlpLimits { queue_max, export_time_max } = config.limits.otlp;
        let resource = Resource::builder()
            .with_service_name(otlp.service_name.clone())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_attribute(KeyValue::new("service.instance.id", hex::encode(random::<8>())))
            .build();
        let collector = Collector::new(otlp, store.clone())?;
        let (export, queue) = Export::start(collector, &resource, queue_max, export_time_max, metrics.clone())?;
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(otlp.sample_ratio)));
        let provider = SdkTracerProvider::builder()
            .with_resource(resource)
            .with_sampler(sampler)
            .with_span_limits(SpanLimits::default())
            .with_span_processor(queue)
            .build();
        Ok(Self { recording: Some(Arc::new(Recording { tracer: provider.tracer("hookwright"), export })), passes_on })
    }

    /// Sends what there is and ends; the caller says how long that may take.
    pub async fn end(&self) {
        if let Some(recording) = &self.recording {
            recording.export.end().await;
        }
    }

    /// A request that came in at `route`, in the trace its headers name.
    pub fn server(&self, headers: &HeaderMap, method: &Method, route: &str) -> Span {
        let caller = read(headers);
        if self.recording.is_none() {
            return Span::passing(caller);
        }
        let method = method_name(method);
        let mut span = self.span(format!("{method} {route}"), SpanKind::Server, caller.as_ref(), []);
        span.set("http.request.method", method);
        span.set("http.route", route.to_owned());
        span
    }

    /// A request of ours to `url`.
    pub fn client(&self, method: &Method, url: &url::Url, parent: &Span) -> Span {
        let name = method_name(method);
        let mut span = self.span(name, SpanKind::Client, parent.context(), []);
        if span.is_recording() {
            span.set("http.request.method", name);
            // Paths and queries may be credentials.
            span.set("server.address", url.host_str().unwrap_or_default().to_owned());
            span.set("server.port", i64::from(url.port_or_known_default().unwrap_or_default()));
            span.set("url.scheme", url.scheme().to_owned());
        }
        span
    }

    /// Something the host does.
    pub fn inner(&self, name: &'static str, parent: Option<&TraceContext>) -> Span {
        self.span(name, SpanKind::Internal, parent, [])
    }

    /// Something the host does within `parent`, if that is recorded.
    pub fn within(&self, name: &'static str, parent: &Span) -> Option<Span> {
        parent.is_recording().then(|| self.inner(name, parent.context()))
    }

    /// As [`Traces::inner`], of what has to do with other traces, too.
    pub fn linked<'a>(
        &self,
        name: &'static str,
        parent: Option<&TraceContext>,
        others: impl IntoIterator<Item = &'a TraceContext>,
    ) -> Span {
        self.span(name, SpanKind::Internal, parent, others)
    }

    /// Something the host did within `parent`, with what is to be said of it. When it began.
    pub fn past(
        &self,
        name: &'static str,
        parent: &Span,
        ended: SystemTime,
        took: Duration,
        said: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> SystemTime {
        let began = ended.checked_sub(took).unwrap_or(ended);
        if let Some(recording) = self.recording.as_ref().filter(|_| parent.is_recording()) {
            let said = said.into_iter().map(|(name, value)| KeyValue::new(name, value));
            let builder = SpanBuilder::from_name(name).with_kind(SpanKind::Internal).with_start_time(began).with_attributes(said);
            builder.start_with_context(&recording.tracer, &under(parent.context(), false)).end_with_timestamp(ended);
        }
        began
    }

    /// What an endpoint is told of the trace.
    pub fn passed_on<'a>(&self, span: &'a Span) -> Option<&'a TraceContext> {
        span.context().filter(|_| self.passes_on)
    }

    fn span<'a>(
        &self,
        name: impl Into<Cow<'static, str>>,
        kind: SpanKind,
        parent: Option<&TraceContext>,
        others: impl IntoIterator<Item = &'a TraceContext>,
    ) -> Span {
        // What its beginner does not record is recorded by nobody behind.
        let Some(recording) = self.recording.as_ref().filter(|_| parent.is_none_or(TraceContext::is_sampled)) else {
            return Span::passing(parent.cloned());
        };
        let is_remote = kind == SpanKind::Server;
        // The semantic conventions for HTTP spans: what a client did wrong is no error of the server.
        let errors_from = if is_remote { 500 } else { 400 };
        let links = others.into_iter().take(LINKS_MAX).map(|other| Link::with_context(span_context(other, true))).collect();
        let builder = SpanBuilder::from_name(name).with_kind(kind).with_links(links);
        let span = builder.start_with_context(&recording.tracer, &under(parent, is_remote));
        let own = span.span_context();
        let context = TraceContext::new(own.trace_id(), own.span_id(), own.is_sampled());
        let context = match parent {
            Some(parent) => context.with_state_of(parent),
            None => context,
        };
        Span { inner: span.is_recording().then(|| Box::new(span)), context: Some(context), errors_from }
    }
}

/// The trace a request's headers name, if they do.
pub fn read(headers: &HeaderMap) -> Option<TraceContext> {
    if !headers.contains_key(TRACEPARENT) {
        return None;
    }
    // What is no text is not valid, as an empty one is not.
    let values = |name: &str| headers.get_all(name).into_iter().map(|value| value.to_str().unwrap_or_default());
    TraceContext::parse(values(TRACEPARENT), values(TRACESTATE))
}

/// Methods as the semantic conventions have them: others are one.
fn method_name(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        _ => "_OTHER",
    }
}

fn under(parent: Option<&TraceContext>, is_remote: bool) -> Context {
    parent.map_or_else(Context::new, |parent| Context::new().with_remote_span_context(span_context(parent, is_remote)))
}

fn span_context(context: &TraceContext, is_remote: bool) -> SpanContext {
    let trace = TraceId::from_hex(context.trace_id()).unwrap_or(TraceId::INVALID);
    let span = SpanId::from_hex(context.span_id()).unwrap_or(SpanId::INVALID);
    let flags = if context.is_sampled() { TraceFlags::SAMPLED } else { TraceFlags::default() };
    let state = context.tracestate().parse().unwrap_or_else(|_| TraceState::default());
    SpanContext::new(trace, span, flags, is_remote, state)
}

/// A span, from its beginning until it is dropped; or a context that is passed on.
pub struct Span {
    /// `None`: it is not recorded.
    inner: Option<Box<SdkSpan>>,
    context: Option<TraceContext>,
    /// The first status that is an error.
    errors_from: u16,
}

impl Span {
    /// No span: what follows is a child of `context`.
    pub fn passing(context: Option<TraceContext>) -> Self {
        Self { inner: None, context, errors_from: u16::MAX }
    }

    /// What follows from it is a child of this.
    pub fn context(&self) -> Option<&TraceContext> {
        self.context.as_ref()
    }

    /// Whether what is said of it is heard.
    pub fn is_recording(&self) -> bool {
        self.inner.is_some()
    }

    /// Says something of it.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        if let Some(inner) = &mut self.inner {
            inner.set_attribute(KeyValue::new(name, value));
        }
    }

    /// The status of the answer.
    pub fn answered(&mut self, status: u16) {
        self.set("http.response.status_code", i64::from(status));
        if status >= self.errors_from
            && let Some(inner) = &mut self.inner
        {
            inner.set_attribute(KeyValue::new("error.type", status.to_string()));
            inner.set_status(Status::error(""));
        }
    }

    /// It went wrong, with this word.
    pub fn fail(&mut self, kind: &'static str) {
        if let Some(inner) = &mut self.inner {
            inner.set_attribute(KeyValue::new("error.type", kind));
            // Sentences of failures may hold what others sent.
            inner.set_status(Status::error(""));
        }
    }
}
