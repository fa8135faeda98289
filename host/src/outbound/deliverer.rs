//! Built requests -> sign -> send -> judge -> bind -> settle.
//!
//! [`run`] serves deliveries of events, [`invoke`] those of `invoke`. One parent decides what follows an attempt; the stages compute.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde_json::Value;

use self::{
    bind::Accepted,
    judge::{Made, as_kept, count, got_no_answer, is_told, next_step},
    record::{begun, recorded_answer},
    report::{record_build, report, span_of},
    send::send,
    settle::{Conclusion, settle, settle_one, split},
};
use super::{
    building::{self, BuildFailure, BuildReport, Prepared, Source},
    material::{Material, webhook_of},
    plugin_call::{remember, set_aside_until},
};
use crate::{
    clock::{self, micros},
    model::{
        delivery::{Attempt, Delivery, lifecycle::End},
        health::SPARE_PAUSE,
        ordering::Ordering,
        outcome::{Failure, FailureKind, error_event},
        parameter::{Change, Overflow},
        profile::RetryOn,
        request::BuiltRequest,
        webhook::{Build, Webhook, WhenSetAside},
    },
    services::Services,
    store::{Claimed, Next, StoreError},
    traces::Span,
    turns::Refused,
    volatile::window::{Slot, Turn},
};

mod bind;
mod credentials;
mod judge;
mod look;
pub mod mail;
mod record;
mod report;
mod secrets;
mod send;
mod settle;
mod sign;
mod trust;

pub use look::{check, knock, preview};
pub use record::Eyes;

/// How long at least an endpoint may say that it did not process a delivery's requests before that counts as attempts.
const REFUSED_TIME_MIN: Duration = Duration::from_secs(30);

/// Delivers what was claimed, from `slot`: one attempt, settled. What does not work waits for its next try in the store. Returns why the
/// answer of an endpoint that accepted it could not be read, where an event is to tell of it.
pub async fn run(services: &Services, claimed: &Claimed, slot: Slot) -> Option<Failure> {
    if claimed.built.is_none() && claimed.is_oversized() {
        split(services, claimed).await;
        return None;
    }
    let mut turn = match turn(services, claimed, &slot).await {
        Ok(turn) => turn,
        Err(Some(until)) => {
            give_back(services, claimed, until, false).await;
            return None;
        }
        // Somebody else holds it now.
        Err(None) => return None,
    };
    // Looked up when it is sent, not when it was claimed: much may have changed while it waited for its turn.
    let webhook = webhook_of(services, &claimed.delivery);
    // What waits for a webhook that is gone or inactive is cancelled, and can be recovered. With zero attempts nothing is sent, and
    // that is not a failure (decision: gone-webhook-cancels).
    let Some(webhook) = webhook.filter(|webhook| webhook.retry.attempts() > 0) else {
        settle(services, claimed, Conclusion::without_attempt(Next::End(End::Cancelled))).await;
        services.window.wake();
        return None;
    };
    let mut span = span_of(services, claimed);
    let made = attempt(&Material::new(services, claimed, &webhook), &span).await;
    turn.shows(made.symptom());
    if made.is_of_size && claimed.events.len() > 1 {
        drop((turn, span));
        split(services, claimed).await;
        return None;
    }
    if let Some((until, failure)) = given_back(services, claimed, &webhook, &made) {
        let (kind, detail) = (failure.kind.as_str(), failure.detail.as_str());
        tracing::info!(delivery = %claimed.delivery.id, webhook = claimed.delivery.webhook, kind, detail, %until, "given back untried");
        span.fail(kind);
        let is_refused = failure.kind == FailureKind::NotProcessed;
        drop((turn, span));
        give_back(services, claimed, until, is_refused).await;
        return None;
    }
    let next = next_step(&made, &webhook, claimed.delivery.attempts + 1);
    if claimed.events.len() > 1 && made.is_spoilt(next) {
        drop((turn, span));
        split(services, claimed).await;
        return None;
    }
    report(services, &claimed.delivery, &made.attempt, &next, &mut span);
    let waits = matches!(next, Next::Waiting { .. });
    let unread = made.attempt.binding_failure.clone();
    let count = count(&made, &webhook, claimed, next);
    drop(turn);
    let settling = services.traces.within("settle", &span);
    let settled_from = Instant::now();
    let (is_noticed, overflows) = settle(
        services,
        claimed,
        Conclusion { built: waits.then(|| made.kept(&webhook)).flatten(), attempt: Some(made.attempt), next, changes: made.changes, count },
    )
    .await;
    drop((settling, span));
    services.metrics.stage("settle", micros(settled_from));
    // Recorded first, then woken.
    if is_noticed {
        services.notices.notify_one();
    }
    if waits || webhook.ordering != Ordering::None {
        services.window.wake();
    }
    unread.or_else(|| Overflow::failure(&overflows)).filter(|_| is_told(claimed))
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
        FailureKind::PluginSetAside if webhook.when_set_aside == WhenSetAside::Wait => set_aside_until(services, claimed, webhook),
        // Nothing was sent: it is made again, as the webhook is now.
        FailureKind::WebhookChanged => now,
        // It waited for its plugin, or for something else of ours, when the host stopped.
        FailureKind::Interrupted if services.stop.is_cancelled() && made.attempt.request.is_none() => now,
        _ => return None,
    };
    Some((until, failure))
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
        let mut made = attempt(&Material::new(services, &claimed, &webhook), &span).await;
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

/// One attempt: build, sign, send, judge, bind. Whatever goes wrong is in it.
async fn attempt(material: &Material<'_>, span: &Span) -> Made {
    let Material { services, claimed, webhook, .. } = material;
    let mut attempt = begun(services, claimed);
    let (prepared, failure, is_of_size) = match building::build(material).await {
        Ok(prepared) => (prepared, None, false),
        Err(BuildFailure { failure, report, is_of_size }) => {
            (Prepared { request: None, source: Source::Built, state: None, report: *report }, Some(failure), is_of_size)
        }
    };
    let BuildReport { stages, plugin, log, unset } = prepared.report;
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
    let changes = exchange(material, &request, &mut attempt, span).await.unwrap_or_else(|failure| {
        attempt.failure = Some(failure);
        Vec::new()
    });
    attempt.parameters = changes.iter().map(|(name, value)| (name.clone(), value.clone().unwrap_or(Value::Null))).collect();
    Made { attempt, built: Some(request), changes, is_of_size: false }
}

/// Sign, send, judge, bind.
async fn exchange(material: &Material<'_>, request: &BuiltRequest, attempt: &mut Attempt, span: &Span) -> Result<Vec<Change>, Failure> {
    let Material { services, webhook, .. } = material;
    let answer = match send(material, request, attempt, span).await {
        // No answer is waited for where the timeout is zero: sent is delivered (our decision on ArcGIS's 0).
        Err(failure) if webhook.timeout.is_zero() && failure.kind == FailureKind::Timeout => return Ok(Vec::new()),
        answered => answered?,
    };
    attempt.answer = Some(recorded_answer(&answer));
    let started = Instant::now();
    let accepted = Accepted::new(material, request, &answer);
    accepted.judge().map_err(|failure| failure.waiting(answer.retry_after(services.clock.now())))?;
    let bound = accepted.bind(attempt).await;
    attempt.stages.bind_us = micros(started);
    services.traces.past("bind", span, clock::wall(), started.elapsed(), []);
    Ok(bound)
}
