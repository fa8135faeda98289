//! Claimed deliveries -> transform -> build.
//!
//! [`work`] finds what is due and starts it; [`build`] makes the request of one attempt. It takes no input but what the store has,
//! and may run twice for the same delivery (decision 8). Signing and sending are the deliverer's.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Map, Value, json};

use crate::{
    clock::millis,
    model::{
        delivery::{Delivery, Stages},
        event::Event,
        merge_patch::merge,
        outcome::{Failure, FailureKind},
        parameter::Parameters,
        plugin::{GuestLog, PluginFailure, PluginUse},
        reference::Scope,
        request::{BuiltRequest, PluginRequest},
        webhook::{TransformFull, Webhook},
    },
    plugin::{ActivePlugin, CallContext, CallFailure, DeliveryInput},
    services::Services,
    store::Claimed,
};

/// The longest sleep between two looks for what is due: a scan backs up every wake-up.
const SCAN_EVERY: Duration = Duration::from_secs(5);
/// Deliveries claimed in one go.
const CLAIM_AT_ONCE: usize = 64;

/// Finds what is due and starts it, until the host stops.
pub async fn work(services: Services) {
    loop {
        let claimed = match services.store.claim(CLAIM_AT_ONCE, services.limits.lease).await {
            Ok(claimed) => claimed,
            Err(error) => {
                tracing::error!(%error, "what is due cannot be claimed; trying again");
                Vec::new()
            }
        };
        let more = claimed.len() == CLAIM_AT_ONCE;
        drop(services.start(claimed));
        if more && !services.stop.is_cancelled() {
            continue;
        }
        let due = services.store.next_due().await.ok().flatten();
        let wait = due.map_or(SCAN_EVERY, |due| Duration::try_from(due - services.clock.now()).unwrap_or_default().min(SCAN_EVERY));
        tokio::select! {
            () = services.stop.cancelled() => return,
            () = services.work.woken() => {}
            // Never a busy loop, whatever the clocks say.
            () = tokio::time::sleep(wait.max(Duration::from_millis(10))) => {}
        }
    }
}

/// A request, ready to be signed.
#[derive(Debug)]
pub struct Prepared {
    /// `None`: the plugin said there is nothing to send.
    pub request: Option<BuiltRequest>,
    /// What building it left behind.
    pub trace: Trace,
}

/// What building left behind, well or badly ended: it goes into the attempt.
#[derive(Debug, Default)]
pub struct Trace {
    /// How long it took.
    pub stages: Stages,
    /// The plugin that was used.
    pub plugin: Option<PluginUse>,
    /// What it wrote.
    pub log: GuestLog,
    /// References to what is not set.
    pub unset: Vec<String>,
}

/// Why there is no request.
#[derive(Debug)]
pub struct BuildFailure {
    /// Why.
    pub failure: Failure,
    /// What building left behind.
    pub trace: Box<Trace>,
}

/// Builds the request of one attempt. A stored request is sent again as it is.
pub async fn build(services: &Services, claimed: &Claimed, webhook: &Arc<Webhook>) -> Result<Prepared, BuildFailure> {
    if let Some(stored) = &claimed.built {
        let request = serde_json::from_value(stored.clone()).map_err(|error| {
            failed(FailureKind::RequestInvalid, format!("the stored request cannot be read: {error}"), Trace::default())
        })?;
        return Ok(Prepared { request: Some(request), trace: Trace::default() });
    }
    match session_parameters(services, &claimed.delivery).await {
        Ok(parameters) => build_with(services, claimed, webhook, parameters).await,
        Err(failure) => Err(BuildFailure { failure, trace: Box::default() }),
    }
}

/// Builds the request with these session parameters.
pub async fn build_with(
    services: &Services,
    claimed: &Claimed,
    webhook: &Arc<Webhook>,
    parameters: Arc<Parameters>,
) -> Result<Prepared, BuildFailure> {
    let mut trace = Trace::default();
    let event = claimed.event.as_deref();
    let from_plugin = match &webhook.transform {
        None => None,
        Some(transform) => match run_transform(services, transform, claimed, Arc::clone(&parameters), &mut trace).await {
            Ok(Some(request)) => Some(request),
            Ok(None) => return Ok(Prepared { request: None, trace }),
            Err(failure) => return Err(BuildFailure { failure: Failure::from(&failure), trace: Box::new(trace) }),
        },
    };
    let started = Instant::now();
    let document = event_document(&claimed.delivery, event);
    let context = claimed.delivery.invocation.as_ref().map(|input| &input.context);
    let scope = Scope { event: Some(&document), context, ambient: services.ambient(), ..Scope::of(&parameters) };
    let built = webhook.request.build(&scope, from_plugin);
    trace.stages.build_us = micros(started);
    match built {
        Ok((request, unset)) => {
            trace.unset = unset.into_names();
            Ok(Prepared { request: Some(request), trace })
        }
        Err(problem) => Err(failed(problem.kind(), problem.to_string(), trace)),
    }
}

/// The parameters a delivery's references see.
pub async fn session_parameters(services: &Services, delivery: &Delivery) -> Result<Arc<Parameters>, Failure> {
    match &delivery.session {
        None => Ok(Arc::default()),
        Some(session) => match services.store.parameters(session).await {
            Ok(session) => Ok(Arc::new(session.parameters)),
            Err(error) => Err(Failure::new(FailureKind::Interrupted, format!("the session cannot be read: {error}"))),
        },
    }
}

/// What a plugin call of this delivery is given.
pub fn call_context(services: &Services, transform: &TransformFull, plugin: &ActivePlugin, parameters: Arc<Parameters>) -> CallContext {
    let mut config = plugin.config.clone();
    merge(&mut config, &Value::Object(transform.config.clone()));
    CallContext {
        config,
        parameters,
        grants: Arc::clone(&plugin.grants),
        plugin: plugin.plugin_use.name.clone(),
        now_ms: millis(services.clock.now()),
        services: services.plugins.host_side(),
        ..CallContext::default()
    }
}

/// The plugin a webhook names.
pub fn plugin_of(services: &Services, transform: &TransformFull) -> Result<Arc<ActivePlugin>, PluginFailure> {
    services.plugins.get(&transform.plugin, transform.version).ok_or_else(|| PluginFailure::Missing(transform.plugin.clone()))
}

/// The delivery as plugins see it.
pub fn delivery_input(services: &Services, delivery: &Delivery) -> DeliveryInput {
    DeliveryInput {
        id: delivery.id.to_string(),
        webhook_id: delivery.webhook_id.to_string(),
        webhook_name: delivery.webhook.clone(),
        session: delivery.session.clone(),
        environment: delivery.environment.clone(),
        context: delivery.invocation.as_ref().map_or_else(Map::new, |input| input.context.clone()),
        now_ms: millis(services.clock.now()),
    }
}

async fn run_transform(
    services: &Services,
    transform: &TransformFull,
    claimed: &Claimed,
    parameters: Arc<Parameters>,
    trace: &mut Trace,
) -> Result<Option<PluginRequest>, PluginFailure> {
    let plugin = plugin_of(services, transform)?;
    trace.plugin = Some(plugin.plugin_use.clone());
    let context = call_context(services, transform, &plugin, parameters);
    let input = delivery_input(services, &claimed.delivery);
    let events = events_of(claimed);
    let started = Instant::now();
    let called = plugin.loaded.transform(context, input, events).await;
    trace.stages.transform_us = micros(started);
    match called {
        Ok(called) => {
            trace.log = called.log;
            Ok(called.value)
        }
        Err(CallFailure { failure, log, .. }) => {
            trace.log = log;
            Err(failure)
        }
    }
}

/// The events a transform gets: the delivery's own; for `invoke` one made of its data.
fn events_of(claimed: &Claimed) -> Vec<Event> {
    match (&claimed.event, &claimed.delivery.invocation) {
        (Some(event), _) => vec![Event::clone(event)],
        (None, Some(input)) => vec![invoked_event(&claimed.delivery, input.data.clone())],
        (None, None) => Vec::new(),
    }
}

/// What `invoke` looks like as an event: the trigger `invoke`, at the time of the call. It is never stored.
fn invoked_event(delivery: &Delivery, data: Value) -> Event {
    Event {
        id: crate::model::id::EventId(delivery.id.as_str().replacen("dlv_", "evt_", 1)),
        seq: 0,
        trigger: crate::model::trigger::Trigger::invoke(),
        source: String::new(),
        time: delivery.created_at,
        accepted_at: delivery.created_at,
        session: delivery.session.clone(),
        environment: delivery.environment.clone(),
        attributes: Default::default(),
        data,
        call: None,
        depth: delivery.depth,
    }
}

/// What `$event.*` looks into.
fn event_document(delivery: &Delivery, event: Option<&Event>) -> Value {
    match (event, &delivery.invocation) {
        (Some(event), _) => event.document(),
        (None, Some(input)) => json!({ "data": input.data }),
        (None, None) => json!({}),
    }
}

fn failed(kind: FailureKind, detail: String, trace: Trace) -> BuildFailure {
    BuildFailure { failure: Failure::new(kind, detail), trace: Box::new(trace) }
}

/// Microseconds since `started`.
pub fn micros(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX)
}
