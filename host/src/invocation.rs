//! `invoke`: the whole pipeline of one webhook, now, in a session. Asked for over the API, or by a receiver that was granted it.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{
    model::{
        delivery::{Attempt, Delivery, InvokeInput},
        event::{TEXT_RULE, is_text},
        id::DeliveryId,
        json::json_bytes,
        outcome::Failure,
        parameter,
        problem::{Problem, segment},
        trace::TraceContext,
        webhook::Webhook,
    },
    notices,
    outbound::deliverer::{self, Eyes, Invoked},
    services::Services,
    store::{Claimed, NewInvoke, Session, StoreError},
    transport::Probe,
};

/// What to invoke with.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The session whose parameters are read and bound.
    pub session: Option<String>,
    /// Merged into the session first.
    pub parameters: Map<String, Value>,
    /// `$event.data`.
    pub data: Value,
    /// For Dialogflow: tag, text, language, intent, page, messages, payload.
    pub context: Map<String, Value>,
    /// The environment whose overrides apply.
    pub environment: Option<String>,
    /// Calls to ourselves it has gone through.
    pub depth: u8,
    /// The caller of the code whose receiver invokes it: what goes wrong with it is that caller's.
    pub caller: Option<String>,
    /// The trace it belongs to.
    pub trace: Option<TraceContext>,
}

/// Why a webhook was not invoked at all.
#[derive(Debug, thiserror::Error)]
pub enum InvokeError {
    /// No webhook has that name.
    #[error("there is no webhook `{0}`")]
    Missing(String),
    /// It is inactive.
    #[error("the webhook `{0}` is inactive; activate it first")]
    Inactive(String),
    /// What it is invoked with is too large.
    #[error("`{pointer}`: {detail}", pointer = .0.pointer, detail = .0.detail)]
    Invalid(Problem),
    /// Receivers and webhooks call each other too deeply.
    #[error("webhooks and receivers of this host call each other more than {0} deep")]
    TooDeep(u8),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Runs webhook `name` now.
pub async fn invoke(services: &Services, name: &str, request: Request) -> Result<Invoked, InvokeError> {
    let webhook = find(services, name)?;
    if !webhook.active {
        return Err(InvokeError::Inactive(name.to_owned()));
    }
    if request.depth >= services.limits.invoke_depth_max {
        return Err(InvokeError::TooDeep(services.limits.invoke_depth_max));
    }
    look_through(services, &request)?;
    let session = request.session.or_else(|| transient_session(&request.parameters));
    let input = InvokeInput { data: request.data, context: request.context, caller: request.caller };
    let environment = request.environment;
    let webhook = Arc::clone(webhook.in_environment(environment.as_deref()));
    let begun = NewInvoke {
        webhook_id: webhook.id.clone(),
        webhook: webhook.name.clone(),
        session,
        environment,
        parameters: parameter::changes(request.parameters),
        input,
        depth: request.depth,
        trace: request.trace,
    };
    // A client that goes away does not cancel what it started (decision: invoke-retries-no-answer): the work runs in a task of its own.
    let services = services.clone();
    let tasks = services.tasks.clone();
    let running = tasks.spawn(async move {
        let claimed = services.store.begin_invoke(begun, services.limits.lease).await.map_err(not_begun)?;
        let invoked = deliverer::invoke(&services, claimed, &webhook).await?;
        notices::invoke_failed(&services, &invoked).await;
        Ok(invoked)
    });
    running.await.unwrap_or(Err(InvokeError::Store(StoreError::LeaseLost)))
}

/// Parameters that do not fit into the session are the caller's mistake.
fn not_begun(error: StoreError) -> InvokeError {
    match error {
        StoreError::SessionFull { overflow, .. } => {
            let pointer = format!("/parameters{}", segment(&overflow.parameter));
            InvokeError::Invalid(Problem::new(pointer, overflow.to_string()))
        }
        error => InvokeError::Store(error),
    }
}

/// The request `invoke` would send, as `eyes` may see it; nothing is sent, stored or bound.
pub async fn preview(services: &Services, name: &str, request: Request, eyes: Eyes) -> Result<(Attempt, Result<(), Failure>), InvokeError> {
    let webhook = find(services, name)?;
    look_through(services, &request)?;
    let webhook = Arc::clone(webhook.in_environment(request.environment.as_deref()));
    let now = services.clock.now();
    let mut session = match &request.session {
        Some(session) => services.store.peek_parameters(session).await?,
        None => Session::default(),
    };
    session.parameters.apply_all(parameter::changes(request.parameters));
    let claimed = preview_delivery(
        &webhook,
        request.session,
        request.environment,
        InvokeInput { data: request.data, context: request.context, caller: None },
        now,
    );
    Ok(deliverer::preview(services, &claimed, &webhook, session, eyes).await)
}

/// What is wrong with a request: its data counts as that of an event, and so does its context.
fn look_through(services: &Services, request: &Request) -> Result<(), InvokeError> {
    for (pointer, text) in [("/session", &request.session), ("/environment", &request.environment)] {
        if text.as_deref().is_some_and(|text| !is_text(text)) {
            return Err(InvokeError::Invalid(Problem::new(pointer, TEXT_RULE)));
        }
    }
    let max = services.limits.event_bytes_max;
    let context = request.context.iter().map(|(name, value)| name.len() + json_bytes(value)).sum();
    for (pointer, bytes) in [("/data", json_bytes(&request.data)), ("/context", context)] {
        if bytes > max {
            return Err(InvokeError::Invalid(Problem::new(pointer, format!("longer than {max} bytes (limit `event_bytes_max`)"))));
        }
    }
    Ok(())
}

/// Looks whether a webhook's endpoint can be reached; its own request is not sent.
pub async fn check(services: &Services, name: &str, environment: Option<&str>) -> Result<Probe, InvokeError> {
    let webhook = find(services, name)?;
    Ok(deliverer::check(services, webhook.in_environment(environment), environment).await)
}

fn find(services: &Services, name: &str) -> Result<Arc<Webhook>, InvokeError> {
    let snapshot = services.catalog.snapshot();
    snapshot.webhooks.get(name).map(|entry| Arc::clone(&entry.webhook)).ok_or_else(|| InvokeError::Missing(name.to_owned()))
}

/// Parameters without a session still need a bag to stand in: one nobody else can name, which expires as all do.
fn transient_session(parameters: &Map<String, Value>) -> Option<String> {
    (!parameters.is_empty()).then(|| format!("invoke-{}", hex::encode(crate::clock::random::<12>())))
}

fn preview_delivery(
    webhook: &Webhook,
    session: Option<String>,
    environment: Option<String>,
    input: InvokeInput,
    now: Timestamp,
) -> Claimed {
    let id = DeliveryId::new(0, &webhook.id, 0, 0);
    let delivery =
        Delivery { session, environment, invocation: Some(input), ..Delivery::new(id, webhook.id.clone(), webhook.name.clone(), now) };
    Claimed::fresh(delivery, 0)
}
