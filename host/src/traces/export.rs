//! How spans leave the host: a bounded queue, a task that gathers them, one request to the collector at a time.
//!
//! The SDK's own processor has a thread without a runtime, where no client of ours works, and does not say what it drops. Encoding, and when
//! to try again, is the exporter's; only what it is sent by is ours.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use opentelemetry::Context;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Compression, Protocol, RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{Span, SpanData, SpanExporter as _, SpanProcessor},
};
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Otlp, otlp::HeaderSource},
    lock::lock,
    metrics::{Metrics, SpanLoss},
    model::secret::Secret,
    store::Store,
    transport::{AGENT, BadTls, TlsSettings, lenient},
};

/// Spans in one request.
const BATCH_MAX: usize = 512;
/// How long further spans are waited for, once there is one.
const GATHER_TIME: Duration = Duration::from_secs(1);
/// Between two looks for them.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Bytes of a collector's answer.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Between two lines of log that say that the collector takes nothing.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);
/// How long a stop waits for the collector.
const END_TIME_MAX: Duration = Duration::from_secs(5);

/// Why traces cannot be sent as configured.
#[derive(Debug, thiserror::Error)]
pub enum BadCollector {
    /// Trust.
    #[error("the certificates of `otlp.ca_file`, or TLS itself, cannot be used")]
    Tls(#[from] BadTls),
    /// What the exporter says of its endpoint.
    #[error("`otlp.endpoint` cannot be used")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// The task that sends.
pub(super) struct Export {
    stop: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Export {
    /// Starts it. Spans are put into what is returned.
    pub(super) fn start(
        collector: Collector,
        resource: &Resource,
        queue_max: usize,
        time_max: Duration,
        metrics: Metrics,
    ) -> Result<(Self, Queue), BadCollector> {
        let complaints = Arc::clone(&collector.complaints);
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_endpoint(collector.endpoint.clone())
            .with_protocol(Protocol::HttpBinary)
            .with_compression(Compression::Gzip)
            .with_timeout(time_max)
            .with_retry_policy(RetryPolicy::recommended())
            .with_http_client(collector)
            .build()?;
        exporter.set_resource(resource);
        let (sender, spans) = mpsc::channel(queue_max);
        let stop = CancellationToken::new();
        let worker = Worker { spans, exporter, time_max, metrics: metrics.clone(), complaints, stop: stop.clone() };
        let task = Mutex::new(Some(tokio::spawn(worker.run())));
        Ok((Self { stop, task }, Queue { spans: sender, metrics }))
    }

    /// Sends what waits, within a few seconds, and ends.
    pub(super) async fn end(&self) {
        self.stop.cancel();
        let task = lock(&self.task).take();
        if let Some(mut task) = task
            && tokio::time::timeout(END_TIME_MAX, &mut task).await.is_err()
        {
            tracing::warn!(seconds = END_TIME_MAX.as_secs(), "the last spans could not be sent to the collector in time");
            task.abort();
        }
    }
}

/// Where spans wait to be sent.
#[derive(Debug)]
pub(super) struct Queue {
    spans: mpsc::Sender<SpanData>,
    metrics: Metrics,
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        match self.spans.try_send(span) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => self.metrics.spans_dropped(SpanLoss::QueueFull, 1),
            Err(TrySendError::Closed(_)) => self.metrics.spans_dropped(SpanLoss::Stopping, 1),
        }
    }

    // The worker is asked itself.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

struct Worker {
    spans: mpsc::Receiver<SpanData>,
    exporter: SpanExporter,
    time_max: Duration,
    metrics: Metrics,
    complaints: Arc<Complaints>,
    stop: CancellationToken,
}

impl Worker {
    async fn run(mut self) {
        loop {
            let batch = self.gather().await;
            if batch.is_empty() {
                return;
            }
            let number = batch.len() as u64;
            match tokio::time::timeout(self.time_max, self.exporter.export(batch)).await {
                Ok(Ok(())) => self.metrics.spans_exported(number),
                // Why, the collector's client has said.
                Ok(Err(_)) => self.metrics.spans_dropped(SpanLoss::NotTaken, number),
                Err(_) => {
                    self.complaints.say(&format_args!("no answer within {} seconds", self.time_max.as_secs()));
                    self.metrics.spans_dropped(SpanLoss::NotTaken, number);
                }
            }
        }
    }

    /// The next batch; empty: there is none any more. It looks now and then: to be woken by each span would cost more than the span.
    async fn gather(&mut self) -> Vec<SpanData> {
        let mut batch = Vec::new();
        tokio::select! {
            _ = self.spans.recv_many(&mut batch, BATCH_MAX) => {}
            () = self.stop.cancelled() => {}
        }
        let until = Instant::now() + GATHER_TIME;
        while batch.len() < BATCH_MAX && Instant::now() < until && !self.stop.is_cancelled() {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.stop.cancelled() => {}
            }
            self.take(&mut batch);
        }
        if self.stop.is_cancelled() {
            // What is there already comes out all the same.
            self.spans.close();
            self.take(&mut batch);
        }
        batch
    }

    fn take(&mut self, batch: &mut Vec<SpanData>) {
        while batch.len() < BATCH_MAX
            && let Ok(span) = self.spans.try_recv()
        {
            batch.push(span);
        }
    }
}

/// The collector, spoken to with the host's own client. It is the operator's configuration, so no address policy stands before it.
pub(super) struct Collector {
    endpoint: String,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    headers: Vec<(HeaderName, HeaderSource)>,
    store: Store,
    complaints: Arc<Complaints>,
}

/// A line of log now and then that says that the collector takes nothing.
#[derive(Default)]
struct Complaints(Mutex<Option<Instant>>);

impl Complaints {
    fn say(&self, why: &dyn fmt::Display) {
        let mut last = lock(&self.0);
        if last.is_none_or(|last| last.elapsed() >= COMPLAIN_EVERY) {
            *last = Some(Instant::now());
            tracing::warn!(%why, "traces cannot be sent to the collector (otlp.endpoint); their spans are dropped");
        }
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Collector")
    }
}

impl Collector {
    pub(super) fn new(otlp: &Otlp, store: Store) -> Result<Self, BadCollector> {
        let authorities: Vec<_> = otlp.ca_certificates.iter().cloned().collect();
        let mut tls = (**TlsSettings::from_pem(&authorities, None)?.config()).clone();
        // The connector says itself which versions it speaks.
        tls.alpn_protocols.clear();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        let mut client = Client::builder(TokioExecutor::new());
        let client = lenient(&mut client).build(connector);
        Ok(Self { endpoint: otlp.endpoint.to_string(), client, headers: otlp.headers.clone(), store, complaints: Arc::default() })
    }

    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        // Headers the exporter found in the environment are nobody's setting here.
        let mut request = Request::post(parts.uri).body(Full::new(body))?;
        let headers = request.headers_mut();
        for name in [header::CONTENT_TYPE, header::CONTENT_ENCODING] {
            headers.extend(parts.headers.get(&name).cloned().map(|value| (name, value)));
        }
        headers.insert(header::USER_AGENT, HeaderValue::from_static(AGENT));
        for (name, source) in &self.headers {
            headers.insert(name.clone(), self.value(source).await?);
        }
        let (parts, body) = self.client.request(request).await?.into_parts();
        let body = match Limited::new(body, ANSWER_BYTES_MAX).collect().await {
            Ok(body) => body.to_bytes(),
            // It took them by its status; sent again they would be there twice.
            Err(_) if parts.status.is_success() => Bytes::new(),
            Err(error) => return Err(error),
        };
        Ok(Response::from_parts(parts, body))
    }

    async fn value(&self, source: &HeaderSource) -> Result<HeaderValue, HttpError> {
        let stored: Option<Secret>;
        let secret = match source {
            HeaderSource::Given(secret) => secret,
            HeaderSource::Stored(reference) => {
                stored = self.store.secret(&reference.name, reference.version).await?;
                stored.as_ref().ok_or_else(|| format!("there is no secret `{reference}`"))?
            }
        };
        let mut value =
            HeaderValue::from_bytes(secret.expose()).map_err(|_| "the value of a header in `otlp.headers` is none HTTP allows")?;
        value.set_sensitive(true);
        Ok(value)
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answered = self.exchange(request).await;
        match &answered {
            Ok(response) if !response.status().is_success() => {
                self.complaints.say(&format_args!("it answered {}", response.status().as_u16()))
            }
            Ok(_) => {}
            Err(error) => self.complaints.say(&innermost(&**error)),
        }
        answered
    }
}

/// The cause of all: what is outside says only that there was an error.
fn innermost<'a>(mut error: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    while let Some(source) = error.source() {
        error = source;
    }
    error
}
