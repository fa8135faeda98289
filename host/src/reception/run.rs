//! One run of a receiver's plugin.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Map, Value};

use super::{Inbound, record::is_credential, reply::Raw};
use crate::{
    clock::millis,
    dispatcher,
    invocation::{self, InvokeError},
    lock::lock,
    model::{
        call::{Call, Verification},
        outcome::{WebhookStatus, rpc_code},
        plugin::{PluginFailure, limits::Limit},
        receiver::Receiver,
        trace::TraceContext,
    },
    plugin::{CallContext, Effects, InvocationInput, InvokeFn, InvokeRequest, Invoked, NotInvoked},
    services::Services,
    traces::Span,
};

/// The `google.rpc.Code` of a webhook that is not there, inactive, or not to be invoked now.
const FAILED_PRECONDITION: u8 = 9;

/// What a call is run with.
pub(super) struct Run<'a> {
    pub(super) services: &'a Services,
    pub(super) receiver: &'a Receiver,
    pub(super) inbound: &'a Inbound,
    pub(super) span: &'a Span,
}

/// Runs the receiver's plugin on one call; its effects are still to be committed.
pub(super) async fn run_plugin(
    run: Run<'_>,
    name: &str,
    config: &Map<String, Value>,
    call: &mut Call,
) -> Result<(Raw, Effects), PluginFailure> {
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
        ..dispatcher::call_context(services, config, &plugin, parameters)
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

fn status(webhook: String, invoked: &Result<crate::deliverer::Invoked, InvokeError>) -> WebhookStatus {
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
        // NOT_FOUND, FAILED_PRECONDITION and the like are one to whoever invoked: nothing was sent.
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

fn invocation_input(receiver: &Receiver, inbound: &Inbound, call: &Call) -> InvocationInput {
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
