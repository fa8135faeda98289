//! One run of a receiver, committed with its effects.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::{Map, Value};

use super::{
    commit::{commit, commit_alone},
    received::Received,
    record::{document, is_credential},
    reply::{Raw, Reply, failed_reply, shape},
};
use crate::{
    clock::{micros, millis},
    invocation::{self, InvokeError},
    lock::lock,
    model::{
        call::{Call, CallState, Verification},
        outcome::{Failure, FailureKind, WebhookStatus, rpc_code},
        parameter::Parameters,
        plugin::{LogLevel, LogLine, PluginFailure, limits::Limit},
        receiver::{Action, Mode, Receiver},
        reference::{Expansion, SUBSTITUTED_BYTES_MAX, Scope},
        trace::TraceContext,
    },
    outbound::{deliverer, plugin_call::call_context},
    plugin::{CallContext, Effects, InvocationInput, InvokeFn, InvokeRequest, Invoked, NotInvoked},
    services::Services,
    traces::Span,
};

/// Runs of an `async` call before it is given up, and again after an admin had it run again.
const RUNS_MAX: u32 = 5;

/// The `google.rpc.Code` of a webhook that is not there, inactive, or not to be invoked now.
const FAILED_PRECONDITION: u8 = 9;

/// One run of the receiver, committed with its effects.
pub(super) async fn run(services: &Services, receiver: &Receiver, inbound: &Received, mut call: Call) -> Reply {
    call.runs += 1;
    let started = Instant::now();
    let mut span = services.traces.inner("receive", call.trace.as_ref());
    let action = match receiver.action_for(|| document(&call)) {
        Ok(action) => action,
        Err(detail) => return unanswerable(services, call, Failure::new(FailureKind::PathBudget, detail), micros(started)).await,
    };
    let ran = match action {
        Action::Reply(status, template) => {
            let document = document(&call);
            let parameters = Parameters::default();
            let scope = Scope { call: Some(&document), ambient: services.ambient(), ..Scope::of(&parameters) };
            let mut expansion = Expansion::default();
            let message = template.expand_text(&scope, &mut expansion);
            match expansion.failure() {
                Some(failure) => {
                    let failure = Failure::new(FailureKind::FunctionFailed, failure.to_string());
                    return unanswerable(services, call, failure, micros(started)).await;
                }
                None if expansion.overflowed() => {
                    Err(PluginFailure::Rejected(format!("the reply would have more than {SUBSTITUTED_BYTES_MAX} bytes of values")))
                }
                None => Ok((Raw { status: *status, headers: Vec::new(), body: message.into_bytes() }, Effects::default())),
            }
        }
        Action::Plugin(name, config) => run_plugin(Run { services, receiver, inbound, span: &span }, name, config, &mut call).await,
    };
    call.receive_us = micros(started);
    let failed = ran.as_ref().err().map(PluginFailure::kind);
    if span.is_recording() {
        span.set("hookwright.receiver.name", call.receiver.clone());
        span.set("hookwright.call.id", call.id.to_string());
        span.set("hookwright.call.run", i64::from(call.runs));
        if let Some(plugin) = &call.plugin {
            span.set("hookwright.plugin.name", plugin.name.clone());
        }
        failed.into_iter().for_each(|kind| span.fail(kind));
    }
    drop(span);
    services.metrics.call(&call.receiver, failed.unwrap_or("done"), call.receive_us);
    if let Some(plugin) = &call.plugin {
        services.metrics.plugin(&plugin.name, failed.unwrap_or("ok"), call.receive_us);
    }
    match ran {
        Ok((raw, effects)) => {
            let (reply, left_out) = shape(receiver, raw, inbound.shares_origin);
            for (name, why) in left_out {
                let text = format!("the reply's header `{name}` was left out: {why}");
                call.log.lines.push(LogLine { level: LogLevel::Warn, text });
            }
            call.state = CallState::Done;
            let _committing = services.traces.inner("commit", call.trace.as_ref());
            commit(services, receiver, call, effects, reply).await
        }
        Err(failure) => {
            let is_uncounted = failure.counts_no_run();
            let again = receiver.mode == Mode::Async && failure.is_passing() && (is_uncounted || call.runs_since_asked() < RUNS_MAX);
            call.runs -= u32::from(again && is_uncounted);
            call.state = match failure {
                _ if again => CallState::Pending,
                PluginFailure::Rejected(_) => CallState::Rejected,
                _ => CallState::Failed,
            };
            let reply = failed_reply(&failure);
            call.failure = Some(Failure::from(&failure));
            if again {
                let trace_id = call.trace.as_ref().map(TraceContext::trace_id);
                tracing::warn!(call = %call.id, receiver = call.receiver, kind = failure.kind(), detail = %failure, trace_id, "a receiver failed and is run again");
                return match services.store.begin_call(call).await {
                    Ok(()) => reply,
                    Err(error) => Reply::unavailable(&error),
                };
            }
            commit_alone(services, call, reply).await
        }
    }
}

/// The receiver's own reply cannot be worked out of what was sent. Which function of it that was is the admin's to know.
async fn unanswerable(services: &Services, mut call: Call, failure: Failure, receive_us: u64) -> Reply {
    services.metrics.call(&call.receiver, failure.kind.as_str(), receive_us);
    (call.state, call.failure, call.receive_us) = (CallState::Rejected, Some(failure), receive_us);
    commit_alone(services, call, Reply::message(400, "the call cannot be answered: a value in it is not what it has to be")).await
}

/// What a call is run with.
struct Run<'a> {
    services: &'a Services,
    receiver: &'a Receiver,
    inbound: &'a Received,
    span: &'a Span,
}

/// Runs the receiver's plugin on one call; its effects are still to be committed.
async fn run_plugin(run: Run<'_>, name: &str, config: &Map<String, Value>, call: &mut Call) -> Result<(Raw, Effects), PluginFailure> {
    let Run { services, receiver, inbound, span } = run;
    let plugin = services
        .plugins
        .get(name, call.reruns.last().and_then(|rerun| rerun.version))
        .ok_or_else(|| PluginFailure::Missing(name.to_owned()))?;
    call.plugin = Some(plugin.plugin_use.clone());
    let parameters = match &call.session {
        Some(session) => match services.store.parameters(session).await {
            Ok(session) => Arc::new(session.parameters),
            Err(error) => return Err(PluginFailure::RetryLater(error.to_string())),
        },
        None => Arc::default(),
    };
    let statuses = Statuses::default();
    let context = CallContext {
        now_ms: millis(call.received_at),
        call_id: Some(call.id.clone()),
        session: call.session.clone(),
        environment: call.environment.clone(),
        // The receiver's own, unless an admin gave the plugin less.
        time_max: Some(plugin.own_limits.wall_ms.map_or(receiver.timeout, |ms| receiver.timeout.min(Duration::from_millis(ms)))),
        invoke: Some(invoke_for(services, call, span.context().cloned(), Arc::clone(&statuses))),
        ..call_context(services, config, &plugin, parameters)
    };
    let received = plugin.loaded.receive(context, invocation_input(receiver, inbound, call)).await;
    call.webhook_statuses = std::mem::take(&mut lock(&statuses));
    match received {
        Ok(called) => {
            call.log = called.log;
            let reply = called.value;
            Ok((Raw { status: reply.status, headers: reply.headers, body: reply.body }, called.effects))
        }
        Err(failed) => {
            call.log = failed.log;
            Err(match failed.failure {
                PluginFailure::Limit(Limit::WallMs, ms) if Duration::from_millis(ms) == receiver.timeout => PluginFailure::TimedOut(ms),
                failure => failure,
            })
        }
    }
}

/// How the webhooks of a call ended, in order.
type Statuses = Arc<Mutex<Vec<WebhookStatus>>>;

/// What `webhooks.invoke` does for this call: in its session, its environment, its trace, one step deeper. How it ended is added to `statuses`.
fn invoke_for(services: &Services, call: &Call, trace: Option<TraceContext>, statuses: Statuses) -> InvokeFn {
    let services = services.clone();
    let (session, environment, depth, caller) = (call.session.clone(), call.environment.clone(), call.depth, call.caller.clone());
    Arc::new(move |asked: InvokeRequest| {
        let services = services.clone();
        let (session, environment, trace, statuses) = (session.clone(), environment.clone(), trace.clone(), Arc::clone(&statuses));
        let caller = Some(caller.clone());
        Box::pin(async move {
            let InvokeRequest { webhook, parameters, data, context } = asked;
            let parameters = parameters.into_iter().collect();
            let request = invocation::Request { session, parameters, data, context, environment, depth, caller, trace };
            let invoked = invocation::invoke(&services, &webhook, request).await;
            lock(&statuses).push(status(webhook, &invoked));
            let invoked = invoked.map_err(not_invoked)?;
            Ok(Invoked {
                // The plugin that invokes waits for what is read from the answer.
                delivered: invoked.attempt.shortcoming().is_none(),
                http_status: invoked.attempt.answer.as_ref().map(|answer| answer.status),
                error_event: invoked.error_event.map(str::to_owned),
                parameters: invoked.attempt.parameters.into_iter().collect(),
                output: invoked.attempt.output,
            })
        })
    })
}

/// A webhook that was granted and is not there, or is inactive, is as a grant that is missing.
fn not_invoked(error: InvokeError) -> NotInvoked {
    match error {
        InvokeError::Missing(_) | InvokeError::Inactive(_) | InvokeError::Store(_) => NotInvoked::Waits(error.to_string()),
        InvokeError::TooDeep(_) | InvokeError::Invalid(_) => NotInvoked::Told(error.to_string()),
    }
}

fn status(webhook: String, invoked: &Result<deliverer::Invoked, InvokeError>) -> WebhookStatus {
    match invoked {
        Ok(invoked) => {
            let (failure, http_status) = (invoked.attempt.shortcoming(), invoked.attempt.answer.as_ref().map(|answer| answer.status));
            WebhookStatus {
                webhook,
                delivery: Some(invoked.delivery.id.clone()),
                code: rpc_code(failure, http_status),
                message: failure.map(|failure| failure.detail.clone()).unwrap_or_default(),
                http_status,
                error_event: invoked.error_event.map(str::to_owned),
            }
        }
        // NOT_FOUND, FAILED_PRECONDITION and similar mean the same to the caller: nothing was sent.
        Err(error) => WebhookStatus {
            webhook,
            delivery: None,
            code: FAILED_PRECONDITION,
            message: error.to_string(),
            http_status: None,
            error_event: None,
        },
    }
}

fn invocation_input(receiver: &Receiver, inbound: &Received, call: &Call) -> InvocationInput {
    let hidden = receiver.verify.credential_headers();
    let shown = inbound.headers.iter().filter(|(name, _)| !is_credential(name.as_str(), &hidden));
    InvocationInput {
        call_id: call.id.to_string(),
        receiver_name: call.receiver.clone(),
        caller: call.caller.clone(),
        session: call.session.clone(),
        environment: call.environment.clone(),
        method: call.request.method.clone(),
        path: call.request.path.clone(),
        query: call.request.query.clone(),
        parameters: call.request.parameters.clone(),
        headers: shown.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())).collect(),
        body: inbound.body.to_vec(),
        verified: call.verification == Verification::Verified,
        remote_address: call.request.remote_address.clone(),
        now_ms: millis(call.received_at),
    }
}
