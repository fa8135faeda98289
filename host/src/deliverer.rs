//! Built requests -> sign -> send -> judge -> bind -> settle.
//!
//! [`run`] serves deliveries of events, [`invoke`] those of `invoke`. One parent decides what follows an attempt; the stages compute.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use http::{HeaderMap, HeaderName, HeaderValue, Method, header::USER_AGENT};
use serde_json::{Map, Value};
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    dispatcher::{self, BuildFailure, Prepared, Trace, micros},
    model::{
        binding::Bindings,
        delivery::{Attempt, Delivery, RecordedAnswer, RecordedRequest},
        outcome::{Failure, FailureKind, Verdict, error_event, verdict},
        parameter::{Change, Parameters},
        profile::RetryOn,
        request::{BuiltRequest, redact_url},
        webhook::{Build, Webhook},
    },
    plugin::AnswerInput,
    services::Services,
    store::{Claimed, Next, Settlement, StoreError},
    transport::{Answer, Outgoing},
};

pub mod credentials;

/// Who we say we are, unless the webhook says otherwise.
const AGENT: &str = concat!("Hookwright/", env!("CARGO_PKG_VERSION"));
/// Characters of a body kept with an attempt.
const RECORDED_BODY_CHARS_MAX: usize = 16 * 1024;

/// Delivers what was claimed: one attempt, settled. What does not work waits for its next try in the store.
pub async fn run(services: &Services, claimed: Claimed) {
    let snapshot = services.catalog.snapshot();
    let entry = snapshot.webhooks_by_id.get(&claimed.delivery.webhook_id).filter(|entry| entry.webhook.active).cloned();
    let Some(entry) = entry else {
        // Decision 7: what was pending for a webhook that is gone or inactive is cancelled, and recoverable.
        settle(services, &claimed, None, Next::Cancelled, None, Vec::new()).await;
        return;
    };
    let webhook = Arc::clone(entry.webhook.in_environment(claimed.delivery.environment.as_deref()));
    let Some(_permits) = permits(services, &webhook).await else { return };
    if webhook.retry.attempts() == 0 {
        // Our decision: no tries means that nothing is sent, and it is no failure.
        settle(services, &claimed, None, Next::Cancelled, None, Vec::new()).await;
        return;
    }
    let made = attempt(services, &claimed, &webhook).await;
    let next = next_step(&made, &webhook, claimed.delivery.attempts + 1);
    report(&claimed.delivery, &made.attempt, &next);
    let waits = matches!(next, Next::Waiting { .. });
    settle(services, &claimed, Some(made.attempt), next, made.built.filter(|_| waits), made.changes).await;
    if waits {
        // Recorded first, then woken: the dispatcher sleeps until what the store says is due next.
        services.work.wake();
    }
}

/// What `invoke` says of its delivery.
#[derive(Debug)]
pub struct Invoked {
    /// As settled.
    pub delivery: Delivery,
    /// The last attempt.
    pub attempt: Attempt,
    /// `webhook.error...` when it failed.
    pub error_event: Option<&'static str>,
}

/// Runs the whole pipeline now. Only what got no answer is tried again, and at once: somebody waits for it.
pub async fn invoke(services: &Services, mut claimed: Claimed, webhook: &Arc<Webhook>) -> Result<Invoked, StoreError> {
    let tries = if webhook.retry_on == RetryOn::NoAnswer { webhook.retry.attempts().max(1) } else { 1 };
    loop {
        let made = attempt(services, &claimed, webhook).await;
        let number = made.attempt.number;
        let again = number < tries && made.attempt.failure.as_ref().is_some_and(got_no_answer);
        let next = match next_step(&made, webhook, u32::MAX) {
            Next::Failed if again => Next::Again,
            next => next,
        };
        report(&claimed.delivery, &made.attempt, &next);
        let is_last = !matches!(next, Next::Again);
        let built = (!is_last).then_some(made.built).flatten();
        let delivery = settle_one(services, &claimed, Some(made.attempt.clone()), next, built.clone(), made.changes).await?;
        if is_last {
            let status = made.attempt.answer.as_ref().map(|answer| answer.status);
            let error_event = made.attempt.failure.as_ref().map(|failure| error_event(failure, status));
            return Ok(Invoked { delivery, attempt: made.attempt, error_event });
        }
        claimed.built = built;
        claimed.delivery = delivery;
    }
}

/// The permits one attempt needs: its webhook's lane first, so that a slow endpoint does not hold what others could use.
async fn permits(services: &Services, webhook: &Webhook) -> Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)> {
    // A delivery that waits longer than half its lease gives up; the store hands it out again when the lease ends.
    let patience = services.limits.lease / 2;
    let both = async {
        let lane = services.work.lane(webhook).acquire_owned().await.ok()?;
        let all = Arc::clone(services.work.all()).acquire_owned().await.ok()?;
        Some((lane, all))
    };
    tokio::time::timeout(patience, both).await.ok().flatten()
}

/// One attempt and what it found.
struct Made {
    attempt: Attempt,
    /// What was built, for the next try.
    built: Option<Value>,
    /// What it binds.
    changes: Vec<Change>,
}

/// What follows. `made` counts this attempt.
fn next_step(made: &Made, webhook: &Webhook, count: u32) -> Next {
    let Some(failure) = &made.attempt.failure else { return Next::Delivered };
    if verdict(failure) == Verdict::Refused {
        return Next::Refused;
    }
    if webhook.retry_on == RetryOn::NoAnswer && !got_no_answer(failure) {
        return Next::Failed;
    }
    match webhook.retry.gap_after(count, rand::random()) {
        Some(after) => Next::Waiting { after },
        None => Next::Failed,
    }
}

fn got_no_answer(failure: &Failure) -> bool {
    use FailureKind::{ConnectFailed, ConnectTimeout, NameNotResolved, PluginRetryLater, Timeout, TlsFailed};
    matches!(failure.kind, ConnectFailed | ConnectTimeout | NameNotResolved | TlsFailed | Timeout | PluginRetryLater)
}

fn attempt_of(services: &Services, claimed: &Claimed) -> Attempt {
    Attempt {
        number: claimed.delivery.attempts + 1,
        started_at: services.clock.now(),
        stages: Default::default(),
        request: None,
        answer: None,
        failure: None,
        plugin: None,
        log: Default::default(),
        parameters: Map::new(),
        output: None,
        unmatched: Vec::new(),
        unset: Vec::new(),
        rebuilt: claimed.rebuilt,
    }
}

/// One attempt: build, sign, send, judge, bind. Whatever goes wrong is in it.
async fn attempt(services: &Services, claimed: &Claimed, webhook: &Arc<Webhook>) -> Made {
    let mut attempt = attempt_of(services, claimed);
    let (prepared, failure) = match dispatcher::build(services, claimed, webhook).await {
        Ok(prepared) => (prepared, None),
        Err(BuildFailure { failure, trace }) => (Prepared { request: None, trace: *trace }, Some(failure)),
    };
    let Trace { stages, plugin, log, unset } = prepared.trace;
    (attempt.stages, attempt.plugin, attempt.log, attempt.unset, attempt.failure) = (stages, plugin, log, unset, failure);
    let Some(request) = prepared.request else { return Made { attempt, built: None, changes: Vec::new() } };
    let built = serde_json::to_value(&request).ok();
    if webhook.build == Build::Stored && claimed.built.is_none() {
        // Kept before the first byte goes out, so that a crash sends the same bytes again.
        if let Some(built) = &built
            && let Err(error) = services.store.keep_built(claimed.delivery.id.clone(), claimed.token, built).await
        {
            attempt.failure = Some(Failure::new(FailureKind::Interrupted, format!("the built request cannot be kept: {error}")));
            return Made { attempt, built: None, changes: Vec::new() };
        }
    }
    let changes = exchange(services, claimed, webhook, &request, &mut attempt).await.unwrap_or_else(|failure| {
        attempt.failure = Some(failure);
        Vec::new()
    });
    attempt.parameters = changes.iter().map(|(name, value)| (name.clone(), value.clone().unwrap_or(Value::Null))).collect();
    Made { attempt, built, changes }
}

/// Sign, send, judge, bind.
async fn exchange(
    services: &Services,
    claimed: &Claimed,
    webhook: &Arc<Webhook>,
    request: &BuiltRequest,
    attempt: &mut Attempt,
) -> Result<Vec<Change>, Failure> {
    let signed = sign(services, claimed, webhook, request).await?;
    attempt.request = Some(recorded(&signed));
    let started = Instant::now();
    let answered = services.transport.send(signed.outgoing).await;
    attempt.stages.send_us = micros(started);
    let answer = match answered {
        // No answer is waited for where the timeout is zero: sent is delivered (our decision on ArcGIS's 0).
        Err(failure) if webhook.timeout.is_zero() && failure.kind == FailureKind::Timeout => return Ok(Vec::new()),
        answered => answered?,
    };
    attempt.answer = Some(recorded_answer(&answer));
    if !(200..300).contains(&answer.status) {
        return Err(Failure::new(FailureKind::HttpStatus, format!("the endpoint answered {}", answer.status)));
    }
    let started = Instant::now();
    let bound = bind(services, claimed, webhook, request, answer, attempt).await;
    attempt.stages.bind_us = micros(started);
    bound
}

/// A request with its signature and credentials on: it can only be sent.
struct SignedRequest {
    outgoing: Outgoing,
    /// Header names whose values are credentials.
    secret_headers: Vec<HeaderName>,
    shown_url: String,
}

async fn sign(services: &Services, claimed: &Claimed, webhook: &Webhook, request: &BuiltRequest) -> Result<SignedRequest, Failure> {
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else {
            return Err(Failure::new(FailureKind::RequestInvalid, format!("the header `{name}` has a value HTTP does not allow")));
        };
        headers.append(name, value);
    }
    headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
    let id = claimed.delivery.id.as_str();
    if let Ok(value) = HeaderValue::from_str(id) {
        headers.insert("webhook-id", value);
    }
    let mut secret_headers = Vec::new();
    let body = credentials::sign(services, webhook, id, &request.body, &mut headers, &mut secret_headers).await?;
    credentials::authenticate(services, webhook, &claimed.delivery, &mut headers, &mut secret_headers).await?;
    let url = request.url.parse().map_err(|error| Failure::new(FailureKind::RequestInvalid, format!("the URL is none: {error}")))?;
    credentials::carry_depth(services, &url, claimed.delivery.depth, &mut headers).await;
    let method = Method::try_from(request.method.as_str())
        .map_err(|_| Failure::new(FailureKind::RequestInvalid, format!("`{}` is no method", request.method)))?;
    let outgoing = Outgoing {
        method,
        url,
        exact_url: request.url.clone(),
        headers,
        body: body.unwrap_or_else(|| request.body.clone().into()),
        total_time_max: webhook.timeout,
        response_bytes_max: webhook.response_bytes_max,
        tls: credentials::tls(services, webhook).await?,
    };
    Ok(SignedRequest { outgoing, secret_headers, shown_url: redact_url(&request.url) })
}

/// Bindings first, then the plugin's `answers`, whose word wins.
async fn bind(
    services: &Services,
    claimed: &Claimed,
    webhook: &Arc<Webhook>,
    request: &BuiltRequest,
    answer: Answer,
    attempt: &mut Attempt,
) -> Result<Vec<Change>, Failure> {
    let mut changes: Vec<Change> = Vec::new();
    let extra = Bindings::parse(request.bindings.iter().map(|(name, path)| (name, path)))
        .map_err(|(name, detail)| Failure::new(FailureKind::RequestInvalid, format!("the plugin's binding `{name}`: {detail}")))?;
    if !webhook.bindings.is_empty() || !extra.is_empty() {
        let document: Value = serde_json::from_slice(&answer.body).map_err(|error| {
            Failure::new(FailureKind::ResponseInvalid, format!("bindings need a JSON answer and this is none: {error}"))
        })?;
        for bindings in [&webhook.bindings, &extra] {
            let bound = bindings.apply(&document);
            changes.extend(bound.changes.into_iter().map(|(name, value)| (name, Some(value))));
            attempt.unmatched.extend(bound.unmatched);
            attempt.unmatched.extend(bound.oversized);
        }
    }
    if let Some(transform) = &webhook.transform
        && let Ok(plugin) = dispatcher::plugin_of(services, transform)
        && plugin.loaded.exports_answers()
    {
        let parameters = dispatcher::session_parameters(services, &claimed.delivery).await?;
        let context = dispatcher::call_context(services, transform, &plugin, parameters);
        let input = AnswerInput { status: answer.status, headers: header_pairs(&answer.headers), body: answer.body.to_vec() };
        let read = plugin.loaded.read_answer(context, dispatcher::delivery_input(services, &claimed.delivery), input).await;
        let outcome = match read {
            Ok(called) => {
                attempt.log.lines.extend(called.log.lines);
                attempt.log.dropped += called.log.dropped;
                called.value
            }
            Err(failed) => {
                attempt.log.lines.extend(failed.log.lines);
                return Err(Failure::from(&failed.failure));
            }
        };
        changes.extend(outcome.parameters);
        attempt.output = outcome.output;
    }
    Ok(changes)
}

async fn settle(services: &Services, claimed: &Claimed, attempt: Option<Attempt>, next: Next, built: Option<Value>, changes: Vec<Change>) {
    match settle_one(services, claimed, attempt, next, built, changes).await {
        Ok(_) => {}
        // Somebody else holds it now; what they do counts.
        Err(StoreError::LeaseLost) => tracing::warn!(delivery = %claimed.delivery.id, "the lease was lost before the attempt was settled"),
        Err(error) => tracing::error!(delivery = %claimed.delivery.id, %error, "an attempt cannot be settled; it will be made again"),
    }
}

async fn settle_one(
    services: &Services,
    claimed: &Claimed,
    attempt: Option<Attempt>,
    next: Next,
    built: Option<Value>,
    changes: Vec<Change>,
) -> Result<Delivery, StoreError> {
    let parameters = match &claimed.delivery.session {
        Some(session) if !changes.is_empty() => Some((session.clone(), changes)),
        _ => None,
    };
    let settlement = Settlement { delivery: claimed.delivery.id.clone(), token: claimed.token, attempt, next, parameters, built };
    let settled = services.store.settle(vec![settlement]).await?;
    settled.into_iter().next().unwrap_or(Err(StoreError::LeaseLost))
}

/// One line per outcome.
fn report(delivery: &Delivery, attempt: &Attempt, next: &Next) {
    let ms = attempt.stages.total_ms();
    match &attempt.failure {
        None => tracing::info!(delivery = %delivery.id, webhook = delivery.webhook, attempt = attempt.number, ms, "delivered"),
        Some(failure) => {
            let (kind, detail) = (failure.kind.as_str(), failure.detail.as_str());
            tracing::warn!(delivery = %delivery.id, webhook = delivery.webhook, attempt = attempt.number, ms, kind, detail, ?next, "not delivered");
        }
    }
}

fn recorded(signed: &SignedRequest) -> RecordedRequest {
    let Outgoing { method, headers, body, .. } = &signed.outgoing;
    RecordedRequest {
        method: method.to_string(),
        url: signed.shown_url.clone(),
        headers: shown_headers(headers, &signed.secret_headers),
        body: cap(&String::from_utf8_lossy(body)),
        body_bytes: body.len() as u64,
    }
}

fn recorded_answer(answer: &Answer) -> RecordedAnswer {
    let text = String::from_utf8_lossy(&answer.body);
    let body = cap(&text);
    let truncated = body.len() < text.len();
    // What an endpoint sets as a cookie is a credential of its own.
    RecordedAnswer { status: answer.status, headers: shown_headers(&answer.headers, &[http::header::SET_COOKIE]), body, truncated }
}

/// The request of this delivery as `preview` shows it: signed and redacted, nothing sent.
pub async fn preview(
    services: &Services,
    claimed: &Claimed,
    webhook: &Arc<Webhook>,
    parameters: Arc<Parameters>,
) -> (Attempt, Result<(), Failure>) {
    let mut attempt = attempt_of(services, claimed);
    let outcome = match dispatcher::build_with(services, claimed, webhook, parameters).await {
        Ok(Prepared { request, trace: Trace { stages, plugin, log, unset } }) => {
            (attempt.stages, attempt.plugin, attempt.log, attempt.unset) = (stages, plugin, log, unset);
            match request {
                None => Ok(()),
                Some(request) => sign(services, claimed, webhook, &request).await.map(|signed| attempt.request = Some(recorded(&signed))),
            }
        }
        Err(BuildFailure { failure, trace }) => {
            (attempt.plugin, attempt.log) = (trace.plugin, trace.log);
            Err(failure)
        }
    };
    (attempt, outcome)
}

fn shown_headers(headers: &HeaderMap, secret: &[HeaderName]) -> BTreeMap<String, String> {
    let shown = |name: &HeaderName, value: &HeaderValue| {
        if secret.contains(name) || value.is_sensitive() {
            "(redacted)".to_owned()
        } else {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        }
    };
    headers.iter().map(|(name, value)| (name.to_string(), shown(name, value))).collect()
}

fn header_pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())).collect()
}

fn cap(text: &str) -> String {
    text.chars().take(RECORDED_BODY_CHARS_MAX).collect()
}
