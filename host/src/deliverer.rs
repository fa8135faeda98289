//! Built requests -> sign -> send -> judge -> bind -> settle.
//!
//! [`run`] serves deliveries of events, [`invoke`] those of `invoke`. One parent decides what follows an attempt; the stages compute.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{ACCEPT_ENCODING, USER_AGENT},
};
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    clock,
    dispatcher::{self, BuildFailure, Occasion, Prepared, Source, Trace, micros},
    metrics::DELIVERED,
    model::{
        delivery::{Attempt, Delivery, Stages, lifecycle::End},
        health::SPARE_PAUSE,
        id::WebhookId,
        ordering::Ordering,
        outcome::{Failure, FailureKind, error_event},
        parameter::{Change, Overflow, Parameters},
        plugin::PluginFailure,
        profile::RetryOn,
        reference::{Expansion, Scope},
        request::BuiltRequest,
        trace::{TRACEPARENT, TRACESTATE, TraceContext},
        webhook::{Build, Webhook, WhenSetAside},
    },
    notices,
    plugin::Keys,
    services::Services,
    store::{Claimed, Next, Session, StateChanges, StoreError},
    traces::Span,
    transport::{Answer, Outgoing, Probe, Step, UNDERSTOOD},
    turns::Refused,
    window::{Slot, Turn},
};

mod bind;
pub mod credentials;
mod judge;
pub mod mail;
mod record;
mod settle;

use bind::Accepted;
use judge::{Made, as_kept, count, got_no_answer, next_step};
pub use record::Eyes;
use record::{recorded, recorded_answer};
use settle::{Conclusion, settle, settle_one, split};

use credentials::{Head, Purpose, Sender, Shown};

/// Who we say we are, unless the webhook says otherwise.
const AGENT: &str = concat!("Hookwright/", env!("CARGO_PKG_VERSION"));
/// The status of what wants other credentials (RFC 9110, section 15.5.2).
const UNAUTHORIZED: u16 = 401;

/// How long at least an endpoint may say that it did not process a delivery's requests before that counts as attempts.
const REFUSED_TIME_MIN: Duration = Duration::from_secs(30);

/// Delivers what was claimed, from `slot`: one attempt, settled. What does not work waits for its next try in the store.
pub async fn run(services: &Services, claimed: Claimed, slot: Slot) {
    if claimed.built.is_none() && claimed.is_oversized() {
        return split(services, &claimed).await;
    }
    let mut turn = match turn(services, &claimed, &slot).await {
        Ok(turn) => turn,
        Err(Some(until)) => return give_back(services, &claimed, until, false).await,
        // Somebody else holds it now.
        Err(None) => return,
    };
    // Looked up when it is sent, not when it was claimed: much may have changed while it waited for its turn.
    let webhook = webhook_of(services, &claimed.delivery);
    // Decision 7: what was pending for a webhook that is gone or inactive is cancelled, and recoverable. No tries at all: our decision
    // is that nothing is sent, and that it is no failure.
    let Some(webhook) = webhook.filter(|webhook| webhook.retry.attempts() > 0) else {
        settle(services, &claimed, Conclusion::without_attempt(Next::End(End::Cancelled))).await;
        services.window.wake();
        return;
    };
    let mut span = span_of(services, &claimed);
    let made = attempt(services, &claimed, &webhook, &span).await;
    turn.shows(made.symptom());
    if made.is_of_size && claimed.events.len() > 1 {
        drop((turn, span));
        return split(services, &claimed).await;
    }
    if let Some((until, failure)) = given_back(services, &claimed, &webhook, &made) {
        let (kind, detail) = (failure.kind.as_str(), failure.detail.as_str());
        tracing::info!(delivery = %claimed.delivery.id, webhook = claimed.delivery.webhook, kind, detail, %until, "given back untried");
        span.fail(kind);
        let is_refused = failure.kind == FailureKind::NotProcessed;
        drop((turn, span));
        return give_back(services, &claimed, until, is_refused).await;
    }
    let next = next_step(&made, &webhook, claimed.delivery.attempts + 1);
    if claimed.events.len() > 1 && made.is_spoilt(next) {
        drop((turn, span));
        return split(services, &claimed).await;
    }
    report(services, &claimed.delivery, &made.attempt, &next, &mut span);
    let waits = matches!(next, Next::Waiting { .. });
    let unread = made.attempt.binding_failure.clone();
    let count = count(&made, &webhook, &claimed, next);
    drop(turn);
    let settling = services.traces.within("settle", &span);
    let settled_from = Instant::now();
    let (is_noticed, overflows) = settle(
        services,
        &claimed,
        Conclusion { built: waits.then(|| made.kept(&webhook)).flatten(), attempt: Some(made.attempt), next, changes: made.changes, count },
    )
    .await;
    drop((settling, span));
    services.metrics.stage("settle", micros(settled_from));
    if let Some(failure) = unread.or_else(|| Overflow::failure(&overflows)).filter(|_| is_told(&claimed)) {
        notices::binding_failed(services, &claimed.delivery, &failure).await;
    }
    // Recorded first, then woken.
    if is_noticed {
        services.notices.notify_one();
    }
    if waits || webhook.ordering != Ordering::None {
        services.window.wake();
    }
}

/// Until when a delivery waits of which nothing was tried, so that no try is spent, and why; `None`: something was.
fn given_back<'m>(services: &Services, claimed: &Claimed, webhook: &Webhook, made: &'m Made) -> Option<(Timestamp, &'m Failure)> {
    let failure = made.attempt.failure.as_ref()?;
    let now = services.clock.now();
    let until = match failure.kind {
        // The endpoint said so. One that says nothing else for as long as all tries would have taken is one that fails.
        FailureKind::NotProcessed => {
            let since = claimed.refused_since.unwrap_or(now);
            let is_over = now >= clock::after(since, webhook.retry.span().max(REFUSED_TIME_MIN));
            (!is_over).then(|| clock::after(now, SPARE_PAUSE))?
        }
        FailureKind::PluginSetAside if webhook.when_set_aside == WhenSetAside::Wait => {
            dispatcher::set_aside_until(services, claimed, webhook)
        }
        // Nothing was sent: it is made again, as the webhook is now.
        FailureKind::WebhookChanged => now,
        // It waited for its plugin, or for something else of ours, when the host stopped.
        FailureKind::Interrupted if services.stop.is_cancelled() && made.attempt.request.is_none() => now,
        _ => return None,
    };
    Some((until, failure))
}

/// A webhook as it is now, in this environment; `None`: it is gone.
fn webhook_now(services: &Services, id: &WebhookId, environment: Option<&str>) -> Option<Arc<Webhook>> {
    let snapshot = services.catalog.snapshot();
    Some(Arc::clone(snapshot.webhooks_by_id.get(id)?.webhook.in_environment(environment)))
}

/// The webhook of a delivery as it is now, in the delivery's environment; `None`: it is gone or inactive.
fn webhook_of(services: &Services, delivery: &Delivery) -> Option<Arc<Webhook>> {
    webhook_now(services, &delivery.webhook_id, delivery.environment.as_deref()).filter(|webhook| webhook.active)
}

/// Whether `webhook.binding_failed` is emitted. Operational events emit none, so that no loop begins.
fn is_told(claimed: &Claimed) -> bool {
    !claimed.events.iter().any(|event| event.trigger.is_operational())
}

/// Puts a delivery back into the store, untried; `is_refused`: because its endpoint said so.
async fn give_back(services: &Services, claimed: &Claimed, until: Timestamp, is_refused: bool) {
    settle(services, claimed, Conclusion::without_attempt(Next::GivenBack { until, is_refused })).await;
    services.window.wake();
}

/// Waits for leave to send, and keeps the lease meanwhile. `Err`: not before then; without a time, the lease was lost. What waits always has
/// somebody before it whose end wakes it, and a stop ends the wait, so no lease is extended for ever.
async fn turn(services: &Services, claimed: &Claimed, slot: &Slot) -> Result<Turn, Option<Timestamp>> {
    let lease = services.limits.lease;
    let mut turn = std::pin::pin!(slot.turn(&services.clock));
    loop {
        match tokio::time::timeout(lease / 3, &mut turn).await {
            Ok(Ok(turn)) => return Ok(turn),
            Ok(Err(Refused::Until(until))) => return Err(Some(until)),
            Ok(Err(Refused::Stopped | Refused::Full(_))) => return Err(Some(services.clock.now())),
            Err(_) => match services.store.extend(vec![claimed.token], lease).await {
                Ok(lost) if lost.is_empty() => {}
                _ => return Err(None),
            },
        }
    }
}

/// What `invoke` says of its delivery.
#[derive(Debug)]
pub struct Invoked {
    /// As settled.
    pub delivery: Delivery,
    /// The last attempt.
    pub attempt: Attempt,
    /// `webhook.error...` when it failed, or its answer could not be read.
    pub error_event: Option<&'static str>,
}

/// How often an `invoke` begins again because its webhook was changed meanwhile.
const INVOKE_CHANGES_MAX: u32 = 3;

/// Runs the whole pipeline now. Only what got no answer is tried again, and at once: somebody waits for it.
pub async fn invoke(services: &Services, mut claimed: Claimed, webhook: &Arc<Webhook>) -> Result<Invoked, StoreError> {
    let tries = if webhook.retry_on == RetryOn::NoAnswer { webhook.retry.attempts().max(1) } else { 1 };
    let mut webhook = Arc::clone(webhook);
    let mut changes = 0;
    loop {
        let mut span = span_of(services, &claimed);
        let mut made = attempt(services, &claimed, &webhook, &span).await;
        if made.is_outdated()
            && changes < INVOKE_CHANGES_MAX
            && let Some(now) = webhook_of(services, &claimed.delivery)
        {
            // Nothing was sent: it is made again, as the webhook is now.
            (webhook, changes) = (now, changes + 1);
            continue;
        }
        let number = made.attempt.number;
        let again = number < tries && made.attempt.failure.as_ref().is_some_and(got_no_answer);
        let next = match next_step(&made, &webhook, u32::MAX) {
            Next::End(End::Failed) if again => Next::Again,
            next => next,
        };
        report(services, &claimed.delivery, &made.attempt, &next, &mut span);
        let is_last = !matches!(next, Next::Again);
        let built = if is_last { None } else { made.kept(&webhook) };
        let attempt = Some(made.attempt.clone());
        let conclusion = Conclusion { attempt, next, built: built.clone(), changes: made.changes, count: None };
        let settling = services.traces.within("settle", &span);
        let settled = settle_one(services, &claimed, conclusion).await?;
        let delivery = settled.delivery;
        drop((settling, span));
        if is_last {
            made.attempt.leave_out(&settled.overflows);
            let status = made.attempt.answer.as_ref().map(|answer| answer.status);
            let error_event = made.attempt.shortcoming().map(|failure| error_event(failure, status));
            return Ok(Invoked { delivery, attempt: made.attempt, error_event });
        }
        claimed.built = built;
        claimed.delivery = delivery;
    }
}

/// The span of an attempt at a delivery. A batch has to do with the traces of all its events.
fn span_of(services: &Services, claimed: &Claimed) -> Span {
    let others = claimed.events.iter().skip(1).filter_map(|event| event.trace.as_ref());
    let mut span = services.traces.linked("attempt", claimed.delivery.trace.as_ref(), others);
    if span.is_recording() {
        let Delivery { id, webhook, attempts, .. } = &claimed.delivery;
        span.set("hookwright.delivery.id", id.to_string());
        span.set("hookwright.webhook.name", webhook.clone());
        span.set("hookwright.attempt.number", i64::from(*attempts) + 1);
    }
    span
}

fn attempt_of(services: &Services, claimed: &Claimed) -> Attempt {
    let number = claimed.delivery.attempts + 1;
    Attempt { rebuilt: claimed.rebuilt, ..Attempt::begun(number, services.clock.now()) }
}

/// One attempt: build, sign, send, judge, bind. Whatever goes wrong is in it.
async fn attempt(services: &Services, claimed: &Claimed, webhook: &Arc<Webhook>, span: &Span) -> Made {
    let mut attempt = attempt_of(services, claimed);
    let (prepared, failure, is_of_size) = match dispatcher::build(services, claimed, webhook).await {
        Ok(prepared) => (prepared, None, false),
        Err(BuildFailure { failure, trace, is_of_size }) => {
            (Prepared { request: None, source: Source::Built, state: None, trace: *trace }, Some(failure), is_of_size)
        }
    };
    let Trace { stages, plugin, log, unset } = prepared.trace;
    (attempt.stages, attempt.plugin, attempt.log, attempt.unset, attempt.failure) = (stages, plugin, log, unset, failure);
    attempt.rebuilt |= prepared.source == Source::BuiltAgain;
    record_build(services, &attempt, span);
    // Recorded before it is acted on: a plugin that may remember no more has failed, and nothing was sent.
    if let Err(failure) = remember(services, claimed, prepared.state).await {
        attempt.failure = Some(failure);
        return Made::unsent(attempt);
    }
    let Some(request) = prepared.request else { return Made { is_of_size, ..Made::unsent(attempt) } };
    // Kept before the first byte goes out, so that a crash sends the same bytes again.
    if webhook.build == Build::Stored
        && prepared.source != Source::Kept
        && let Some(built) = as_kept(&request, webhook)
        && let Err(error) = services.store.keep_built(claimed.delivery.id.clone(), claimed.token, &built).await
    {
        attempt.failure = Some(Failure::new(FailureKind::Interrupted, format!("the built request cannot be kept: {error}")));
        return Made::unsent(attempt);
    }
    let sending = Sending { services, claimed, webhook, request: &request, span };
    let changes = exchange(sending, &mut attempt).await.unwrap_or_else(|failure| {
        attempt.failure = Some(failure);
        Vec::new()
    });
    attempt.parameters = changes.iter().map(|(name, value)| (name.clone(), value.clone().unwrap_or(Value::Null))).collect();
    Made { attempt, built: Some(request), changes, is_of_size: false }
}

/// The spans of what was done before anything was sent.
fn record_build(services: &Services, attempt: &Attempt, span: &Span) {
    if !span.is_recording() {
        return;
    }
    let Stages { transform_us, build_us, .. } = attempt.stages;
    let built_from = match build_us {
        0 => clock::wall(),
        _ => services.traces.past("build", span, clock::wall(), Duration::from_micros(build_us), []),
    };
    if let Some(plugin) = attempt.plugin.as_ref().filter(|_| transform_us > 0) {
        let said = [("hookwright.plugin.name", plugin.name.clone().into())];
        services.traces.past("transform", span, built_from, Duration::from_micros(transform_us), said);
    }
}

/// Keeps what a plugin remembers of its call for this delivery.
async fn remember(services: &Services, claimed: &Claimed, state: Option<StateChanges>) -> Result<(), Failure> {
    let Some(changes) = state else { return Ok(()) };
    services.store.change_plugin_state(claimed.delivery.id.clone(), claimed.token, changes).await.map_err(|error| match error {
        StoreError::StateFull { limit, max } => Failure::from(&PluginFailure::Limit(limit, max)),
        error => Failure::new(FailureKind::Interrupted, format!("what the plugin remembers cannot be kept: {error}")),
    })
}

/// What is sent in an attempt, and for whom.
#[derive(Clone, Copy)]
struct Sending<'a> {
    services: &'a Services,
    claimed: &'a Claimed,
    webhook: &'a Arc<Webhook>,
    request: &'a BuiltRequest,
    /// The attempt's span.
    span: &'a Span,
}

/// Sign, send, judge, bind.
async fn exchange(sending: Sending<'_>, attempt: &mut Attempt) -> Result<Vec<Change>, Failure> {
    let Sending { services, claimed, webhook, request, span } = sending;
    let answer = match send(sending, attempt).await {
        // No answer is waited for where the timeout is zero: sent is delivered (our decision on ArcGIS's 0).
        Err(failure) if webhook.timeout.is_zero() && failure.kind == FailureKind::Timeout => return Ok(Vec::new()),
        answered => answered?,
    };
    attempt.answer = Some(recorded_answer(&answer));
    let started = Instant::now();
    let accepted = Accepted::new(services, claimed, webhook, request, &answer);
    accepted.judge().map_err(|failure| failure.waiting(answer.retry_after(services.clock.now())))?;
    let bound = accepted.bind(attempt).await;
    attempt.stages.bind_us = micros(started);
    services.traces.past("bind", span, clock::wall(), started.elapsed(), []);
    Ok(bound)
}

/// Sign and send. A token may be withdrawn before it ends: where one is refused, another is got, once.
async fn send(sending: Sending<'_>, attempt: &mut Attempt) -> Result<Answer, Failure> {
    let Sending { services, claimed, webhook, request, span } = sending;
    let mut signed = sign(services, claimed, webhook, request, Purpose::Send).await?;
    let is_mail = webhook.request.url().is_mail();
    let sending = (!is_mail).then(|| begin_sending(services, claimed, &mut signed.outgoing, span));
    attempt.request = Some(recorded(&signed, Eyes::Reader));
    attempt.unset.extend(signed.shown.unset);
    let started = Instant::now();
    let Some(sending) = sending else {
        let mut span = services.traces.inner("mail", span.context());
        let answered = mail::send(services, claimed.delivery.id.as_str(), &signed.outgoing).await;
        attempt.stages.send_us = micros(started);
        if let Err(failure) = &answered {
            span.fail(failure.kind.as_str());
        }
        return answered;
    };
    let mut answered = services.transport.send(signed.outgoing).await;
    end_sending(sending, &answered);
    if let (Ok(answer), Some(token)) = (&answered, &signed.shown.token)
        && answer.status == UNAUTHORIZED
    {
        services.tokens.forget(token).await;
        let mut again = sign(services, claimed, webhook, request, Purpose::Send).await?;
        let sending = begin_sending(services, claimed, &mut again.outgoing, span);
        attempt.request = Some(recorded(&again, Eyes::Reader));
        answered = services.transport.send(again.outgoing).await;
        end_sending(sending, &answered);
    }
    attempt.stages.send_us = micros(started);
    answered
}

/// The span of one request, of which the endpoint is told. It is no part of what is signed, and a header an admin wrote stays.
fn begin_sending(services: &Services, claimed: &Claimed, outgoing: &mut Outgoing, attempt: &Span) -> Span {
    let mut span = services.traces.client(&outgoing.method, &outgoing.url, attempt);
    if claimed.delivery.attempts > 0 {
        span.set("http.request.resend_count", i64::from(claimed.delivery.attempts));
    }
    if let Some(trace) = services.traces.passed_on(&span)
        && !outgoing.headers.contains_key(TRACEPARENT)
    {
        for (name, text) in [(TRACEPARENT, trace.traceparent()), (TRACESTATE, trace.tracestate())] {
            if let Some(value) = HeaderValue::from_str(text).ok().filter(|value| !value.is_empty()) {
                outgoing.headers.insert(name, value);
            }
        }
    }
    span
}

fn end_sending(mut span: Span, answered: &Result<Answer, Failure>) {
    match answered {
        Ok(answer) => span.answered(answer.status),
        Err(failure) => span.fail(failure.kind.as_str()),
    }
}

/// A request with its signature and credentials on: it can only be sent.
struct SignedRequest {
    outgoing: Outgoing,
    /// What its credentials are.
    shown: Shown,
    shown_url: String,
    /// Whether the signature stands in the body.
    is_signed_body: bool,
}

async fn sign(
    services: &Services,
    claimed: &Claimed,
    webhook: &Webhook,
    request: &BuiltRequest,
    purpose: Purpose,
) -> Result<SignedRequest, Failure> {
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else {
            return Err(Failure::new(FailureKind::RequestInvalid, format!("the header `{name}` has a value HTTP does not allow")));
        };
        headers.append(name, value);
    }
    headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
    // Said here rather than by the connection, so that it is in the record.
    headers.entry(ACCEPT_ENCODING).or_insert(HeaderValue::from_static(UNDERSTOOD));
    let id = claimed.delivery.id.as_str();
    if let Ok(value) = HeaderValue::from_str(id) {
        headers.insert("webhook-id", value);
    }
    let url = request.url.parse().map_err(|error| Failure::new(FailureKind::RequestInvalid, format!("the URL is none: {error}")))?;
    // The last look before a credential is taken out: at what is really sent, however it came here.
    if !webhook.request.url().leads_to(&url) {
        return Err(Failure::new(FailureKind::RequestInvalid, "the request is for another origin than the webhook's"));
    }
    let mut head = Head { headers, shown: Shown::default() };
    let body = credentials::sign(services, webhook, id, &request.body, &mut head).await?;
    let is_signed_body = body.is_some();
    credentials::authenticate(Sender { services, webhook, claimed }, &request.url, purpose, &mut head).await?;
    let Head { mut headers, mut shown } = head;
    if purpose == Purpose::Send {
        credentials::carry_depth(services, &url, claimed.delivery.depth, &mut headers).await;
    }
    let method = Method::try_from(request.method.as_str())
        .map_err(|_| Failure::new(FailureKind::RequestInvalid, format!("`{}` is no method", request.method)))?;
    let outgoing = Outgoing {
        method,
        pinned: credentials::pinned(webhook, &url),
        url,
        exact_url: request.url.clone(),
        headers,
        body: body.unwrap_or_else(|| request.body.clone().into()),
        total_time_max: webhook.timeout,
        response_bytes_max: webhook.response_bytes_max,
        tls: credentials::tls(services, webhook).await?,
    };
    if purpose == Purpose::Send {
        check_current(services, webhook, claimed.delivery.environment.as_deref())?;
    }
    shown.spelt_out.clone_from(&request.spelt_out);
    Ok(SignedRequest { outgoing, shown, shown_url: request.shown_url(), is_signed_body })
}

/// Looks, once every secret was read, whether the webhook still is what they were read for: before a request goes out, and before a token
/// endpoint is asked. Secrets are read by name at the moment they are used, and plugins and token endpoints take their time: without this
/// look a new secret could go where the webhook pointed before.
fn check_current(services: &Services, webhook: &Webhook, environment: Option<&str>) -> Result<(), Failure> {
    // In this order: a change that ended before the first look shows in the second.
    let is_changing = services.catalog.changing().holds(&webhook.name);
    match webhook_now(services, &webhook.id, environment) {
        // One that is inactive is called where somebody checks it, and it was inactive then.
        Some(now) if !is_changing && (std::ptr::eq(&*now, webhook) || (now.active || !webhook.active) && webhook.sends_like(&now)) => {
            Ok(())
        }
        _ => Err(Failure::new(FailureKind::WebhookChanged, "the webhook was changed while its request was being made; nothing was sent")),
    }
}

/// One line per outcome, and what is counted of it.
fn report(services: &Services, delivery: &Delivery, attempt: &Attempt, next: &Next, span: &mut Span) {
    let ms = attempt.stages.total_ms();
    let trace_id = span.context().map(TraceContext::trace_id).map(str::to_owned);
    let outcome = attempt.failure.as_ref().map_or(DELIVERED, |failure| failure.kind.as_str());
    services.metrics.attempt(&delivery.webhook, outcome);
    span.set("hookwright.attempt.outcome", outcome);
    if attempt.failure.is_some() {
        span.fail(outcome);
    }
    let Stages { transform_us, build_us, send_us, bind_us } = attempt.stages;
    for (stage, micros) in [("transform", transform_us), ("build", build_us), ("send", send_us), ("bind", bind_us)] {
        services.metrics.stage(stage, micros);
    }
    if let Some(plugin) = &attempt.plugin {
        let outcome = attempt.shortcoming().filter(|failure| failure.kind.is_plugins()).map_or("ok", |failure| failure.kind.as_str());
        services.metrics.plugin(&plugin.name, outcome, transform_us);
    }
    if attempt.failure.is_none() {
        services.metrics.delivered(Duration::try_from(services.clock.now() - delivery.created_at).unwrap_or_default());
    }
    if let Some(Failure { kind, detail, .. }) = &attempt.binding_failure {
        let kind = kind.as_str();
        tracing::warn!(delivery = %delivery.id, webhook = delivery.webhook, kind, detail, trace_id, "accepted, and its answer cannot be read");
    }
    match &attempt.failure {
        None => tracing::info!(delivery = %delivery.id, webhook = delivery.webhook, attempt = attempt.number, ms, trace_id, "delivered"),
        Some(failure) => {
            let (kind, detail) = (failure.kind.as_str(), failure.detail.as_str());
            tracing::warn!(delivery = %delivery.id, webhook = delivery.webhook, attempt = attempt.number, ms, kind, detail, ?next, trace_id, "not delivered");
        }
    }
}

/// The request of this delivery as `preview` shows it to `eyes`: signed and redacted, nothing sent. A rehearsal: it counts for nothing.
pub async fn preview(
    services: &Services,
    claimed: &Claimed,
    webhook: &Arc<Webhook>,
    session: Session,
    eyes: Eyes,
) -> (Attempt, Result<(), Failure>) {
    let mut attempt = attempt_of(services, claimed);
    let keys = if eyes == Eyes::Reader { Keys::StandIn } else { Keys::Secrets };
    let occasion = Occasion { rehearsal: Some(keys), ..Occasion::now(services) };
    let outcome = match dispatcher::build_with(services, claimed, webhook, session, &occasion).await {
        Ok(Prepared { request, trace: Trace { stages, plugin, log, unset }, .. }) => {
            (attempt.stages, attempt.plugin, attempt.log, attempt.unset) = (stages, plugin, log, unset);
            match request {
                None => Ok(()),
                Some(request) => sign(services, claimed, webhook, &request, Purpose::Show).await.map(|signed| {
                    attempt.request = Some(recorded(&signed, eyes));
                    attempt.unset.extend(signed.shown.unset);
                }),
            }
        }
        Err(BuildFailure { failure, trace, .. }) => {
            (attempt.plugin, attempt.log) = (trace.plugin, trace.log);
            Err(failure)
        }
    };
    (attempt, outcome)
}

/// Whether the endpoint can be reached, and its token got. Nothing of the webhook's request is sent but its URL, without values.
pub async fn check(services: &Services, webhook: &Webhook, environment: Option<&str>) -> Probe {
    if webhook.request.url().is_mail() {
        return Probe { steps: vec![mail::check(services).await], status: None };
    }
    let mut expansion = Expansion::default();
    let url = webhook.request.url().expand(&Scope::of(&Parameters::default()), &mut expansion);
    let found = async {
        let invalid = |error: String| Failure::new(FailureKind::RequestInvalid, error);
        let exact_url = url.map_err(|error| invalid(error.to_string()))?;
        let url = exact_url.parse().map_err(|error| invalid(format!("the URL is none: {error}")))?;
        let got = credentials::check(services, webhook, environment, &exact_url).await?;
        let tls = credentials::tls(services, webhook).await?;
        let mut probe = services.transport.probe(&url, &exact_url, tls, credentials::pinned(webhook, &url)).await;
        probe.steps.splice(0..0, got.map(|detail| Step::done("credentials", detail)));
        Ok(probe)
    };
    found.await.unwrap_or_else(|failure| Probe { steps: vec![Step::failed("credentials", failure)], status: None })
}

/// How long the creation check waits where the webhook's own timeout is zero.
const KNOCK_TIME_MAX: Duration = Duration::from_secs(10);
/// The first status that says a server cannot answer (RFC 9110, section 15.6).
const SERVER_ERROR: u16 = 500;
/// The body of a creation check: no payload.
const KNOCK: &[u8] = b"{}";

/// The creation check: a POST of `{}` to the URL, without values, credentials or signature. That a status below 500 proves a receiver,
/// and what is sent, is our decision where the vendor only says that the URL is called.
pub async fn knock(services: &Services, webhook: &Webhook) -> Result<(), Failure> {
    let mut expansion = Expansion::default();
    let invalid = |error: String| Failure::new(FailureKind::RequestInvalid, error);
    let exact_url = webhook.request.url().expand(&Scope::of(&Parameters::default()), &mut expansion);
    let exact_url = exact_url.map_err(|error| invalid(error.to_string()))?;
    let url: url::Url = exact_url.parse().map_err(|error| invalid(format!("the URL is none: {error}")))?;
    let headers = HeaderMap::from_iter([
        (USER_AGENT, HeaderValue::from_static(AGENT)),
        (http::header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
    ]);
    let answered = services.transport.send(Outgoing {
        method: Method::POST,
        pinned: credentials::pinned(webhook, &url),
        url,
        exact_url,
        headers,
        body: KNOCK.into(),
        total_time_max: if webhook.timeout.is_zero() { KNOCK_TIME_MAX } else { webhook.timeout },
        response_bytes_max: webhook.response_bytes_max,
        tls: credentials::authorities(webhook)?,
    });
    match answered.await {
        Ok(Answer { status, .. }) if status >= SERVER_ERROR => {
            Err(Failure::new(FailureKind::HttpStatus, format!("the endpoint answered {status}")))
        }
        Ok(_) => Ok(()),
        // A head longer than deliveries may have is an answer.
        Err(failure) if failure.kind == FailureKind::ResponseTooLarge => Ok(()),
        // The certificate it wants to see may be none we hold yet; that it asks for one shows that it is there.
        Err(failure) if failure.kind == FailureKind::TlsFailed && webhook.tls.client_certificate.is_some() => Ok(()),
        Err(failure) => Err(failure),
    }
}
