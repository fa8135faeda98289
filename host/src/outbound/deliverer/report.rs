//! What is said of an attempt: its spans, its line of log, its figures.

use std::time::Duration;

use crate::{
    clock,
    metrics::DELIVERED,
    model::{
        delivery::{Attempt, Delivery, Stages},
        outcome::Failure,
        trace::TraceContext,
    },
    services::Services,
    store::{Claimed, Next},
    traces::Span,
};

/// The span of an attempt at a delivery. A batch has to do with the traces of all its events.
pub(super) fn span_of(services: &Services, claimed: &Claimed) -> Span {
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

/// The spans of what was done before anything was sent.
pub(super) fn record_build(services: &Services, attempt: &Attempt, span: &Span) {
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

/// One line per outcome, and what is counted of it.
pub(super) fn report(services: &Services, delivery: &Delivery, attempt: &Attempt, next: &Next, span: &mut Span) {
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
