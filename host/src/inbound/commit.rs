//! A call with its effects, committed before its reply is written (decision: effects-with-the-commit).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{
    once::repeated,
    record::{body_of, digest, document, recorded_reply},
    reply::{Reply, failed_reply},
};
use crate::{
    clock::millis,
    model::{
        call::{Call, CallState},
        event::NewEvent,
        id::EventId,
        outcome::{Failure, FailureKind},
        parameter::Change,
        plugin::{Emission, PluginFailure},
        receiver::{DataBudget, DataProblem, Receiver, resolve_data},
        repeat::RepeatKey,
        trace::TraceContext,
        trigger::Trigger,
    },
    outbound::{
        acceptance::{self, Incoming},
        plugin_call::state_changes,
    },
    plugin::Effects,
    services::Services,
    store::StoreError,
};

/// The host's own events of a call are numbered from here on, so that they never share an identifier with a guest's.
const OWN_EVENTS_FROM: u32 = 1 << 31;

/// Bytes of a call that the events its receiver declares may hold together.
const EVENTS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Commits the call and its effects, starts what they owe, then answers.
pub(super) async fn commit(services: &Services, receiver: &Receiver, mut call: Call, effects: Effects, reply: Reply) -> Reply {
    let document = document(&call);
    let mut first = call_event(&call, 0, Trigger::of_code(&call.receiver), document.clone());
    first.dedup = receiver.once_of(&document).and_then(Result::ok).map(|id| RepeatKey::of_call(&call.receiver, &id));
    let mut incoming = vec![first];
    let mut left = DataBudget::new(EVENTS_BYTES_MAX);
    for (index, (trigger, data)) in receiver.events.iter().enumerate() {
        let data = match resolve_data(data, &document, &mut left) {
            Ok(data) => data,
            Err(problem) => {
                call.state = CallState::Failed;
                call.failure = Some(no_data(trigger, &problem));
                return commit_alone(services, call, Reply::message(500, "the call failed")).await;
            }
        };
        incoming.push(call_event(&call, 1 + index as u32, trigger.clone(), data));
    }
    for (index, emission) in effects.emissions.into_iter().enumerate() {
        match emitted(&call, index, emission) {
            Ok(event) => incoming.push(event),
            Err(detail) => {
                call.state = CallState::Failed;
                call.failure = Some(Failure::new(FailureKind::CallInvalid, detail));
                return commit_alone(services, call, Reply::message(500, "the call failed")).await;
            }
        }
    }
    call.events = incoming.iter().map(|one| one.event.id.clone()).collect();
    call.reply = Some(recorded_reply(&reply));
    let prepared: Result<Vec<_>, _> = incoming.into_iter().map(|one| acceptance::prepare(services, one)).collect();
    let prepared = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            call.state = CallState::Failed;
            call.events = Vec::new();
            call.failure = Some(Failure::new(FailureKind::CallInvalid, error.to_string()));
            return commit_alone(services, call, Reply::message(508, "the call goes in a loop")).await;
        }
    };
    let parameters: Vec<(String, Change)> = effects.parameters;
    let state = call.plugin.as_ref().filter(|_| !effects.state.is_empty()).and_then(|plugin| {
        let limits = services.plugins.get(&plugin.name, plugin.version).map(|plugin| plugin.limits).unwrap_or_default();
        state_changes(&plugin.name, &limits, effects.state)
    });
    let (events, held) = acceptance::apart(prepared);
    // Only where one of two that are the same waited for another run, or a call changes state, may it have to be kept without its effects.
    let spare = Call { events: Vec::new(), ..call.clone() };
    match services.store.commit_call(call, events, parameters, state, services.limits.lease).await {
        Ok(accepted) => {
            report(&spare, &reply);
            drop(acceptance::start(services, accepted, held));
            reply
        }
        Err(StoreError::KeyReused { .. }) => {
            let (failure, reply) = repeated();
            let digest = digest(&body_of(&spare.request).unwrap_or_default());
            let mut call = Call { state: CallState::Rejected, failure: Some(failure), ..spare };
            // It may wait to be run in the store: it is written in any case.
            call.keep_little(digest);
            commit_alone(services, call, reply).await
        }
        Err(error @ StoreError::SessionFull { .. }) => {
            let failure = Some(Failure::new(FailureKind::CallInvalid, error.to_string()));
            let call = Call { state: CallState::Failed, failure, ..spare };
            commit_alone(services, call, Reply::message(500, "the call failed")).await
        }
        Err(StoreError::StateFull { limit, max }) => {
            let failure = PluginFailure::Limit(limit, max);
            let call = Call { state: CallState::Failed, failure: Some(Failure::from(&failure)), ..spare };
            commit_alone(services, call, failed_reply(&failure)).await
        }
        Err(error) => Reply::unavailable(&error),
    }
}

/// Why the data of the declared event `trigger` cannot be made.
fn no_data(trigger: &Trigger, problem: &DataProblem) -> Failure {
    match problem {
        DataProblem::TooLarge => {
            let detail = format!(
                "the events of the receiver would have more than {EVENTS_BYTES_MAX} bytes of this call; `{trigger}` is the first that does not fit"
            );
            Failure::new(FailureKind::CallInvalid, detail)
        }
        DataProblem::OverBudget(path, error) => {
            Failure::new(FailureKind::PathBudget, format!("the path `{path}` of the event `{trigger}`: {error}"))
        }
    }
}

/// One line per outcome.
pub(super) fn report(call: &Call, reply: &Reply) {
    let Call { id, receiver, .. } = call;
    let (status, ms, trace_id) = (reply.status, call.receive_us / 1000, call.trace.as_ref().map(TraceContext::trace_id));
    match &call.failure {
        None => tracing::info!(call = %id, receiver, status, ms, trace_id, "answered"),
        Some(Failure { kind, detail, .. }) => {
            let kind = kind.as_str();
            tracing::warn!(call = %id, receiver, status, ms, kind, detail, trace_id, "a call was turned away, or its receiver failed");
        }
    }
}

/// Commits a call that has no effects.
pub(super) async fn commit_alone(services: &Services, mut call: Call, reply: Reply) -> Reply {
    report(&call, &reply);
    call.reply = Some(recorded_reply(&reply));
    match services.store.commit_call(call, Vec::new(), Vec::new(), None, services.limits.lease).await {
        Ok(_) => reply,
        Err(error) => Reply::unavailable(&error),
    }
}

fn call_event(call: &Call, index: u32, trigger: Trigger, data: Value) -> Incoming {
    let event = NewEvent {
        id: EventId::emitted(&call.id, OWN_EVENTS_FROM + index, millis(call.received_at)),
        trigger,
        source: format!("receiver:{}", call.receiver),
        time: call.received_at,
        session: call.session.clone(),
        environment: call.environment.clone(),
        attributes: BTreeMap::new(),
        data,
        call: Some(call.id.clone()),
        depth: call.depth,
        trace: call.trace.clone(),
    };
    Incoming { event, parameters: Map::new(), dedup: None }
}

fn emitted(call: &Call, index: usize, emission: Emission) -> Result<Incoming, String> {
    let trigger = Trigger::parse(&emission.trigger).map_err(|error| format!("emission {index}: {error}"))?;
    let mut incoming = call_event(call, 0, trigger, emission.data);
    incoming.event.id = EventId::emitted(&call.id, u32::try_from(index).unwrap_or(u32::MAX), millis(call.received_at));
    if let Some(source) = emission.source {
        incoming.event.source = source;
    }
    if let Some(time) = emission.time_ms.and_then(|ms| i64::try_from(ms).ok()).and_then(|ms| Timestamp::from_millisecond(ms).ok()) {
        incoming.event.time = time;
    }
    incoming.event.session = emission.session.or(incoming.event.session);
    incoming.event.environment = emission.environment.or(incoming.event.environment);
    incoming.event.attributes = emission.attributes;
    Ok(incoming)
}
