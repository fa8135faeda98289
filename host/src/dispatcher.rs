//! Claimed deliveries -> transform -> build.
//!
//! [`work`] finds what is due and starts it; [`build`] makes the request of one attempt. It takes no input but what the store has,
//! and may run twice for the same delivery (decision 8). Signing and sending are the deliverer's.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    clock::{self, millis},
    model::{
        breaker::PAUSE_MIN,
        delivery::{Delivery, Stages},
        event::{Event, size},
        function::Ambient,
        id::EndpointId,
        merge_patch::merge,
        outcome::{Failure, FailureKind},
        parameter::Parameters,
        plugin::{GuestLog, PluginFailure, PluginUse, limits::PluginLimits},
        reference::Scope,
        request::{
            BuiltRequest, PluginRequest,
            kept::{Fate, KeptRequest},
        },
        webhook::{TransformFull, Webhook},
    },
    plugin::{ActivePlugin, CallContext, CallFailure, DeliveryInput, Keys},
    services::Services,
    store::{Claimed, Session, StateChanges, StoreError},
    window::{Rules, Slot},
};

/// The longest sleep between two looks for what is due: a scan backs up every wake-up.
const SCAN_EVERY: Duration = Duration::from_secs(5);
/// The shortest: never a busy loop, whatever the clocks say.
const SCAN_PAUSE: Duration = Duration::from_millis(2);
/// Deliveries claimed in one go.
const CLAIM_AT_ONCE: usize = 256;
/// Of one endpoint, of those, at least and at most.
const CLAIM_OF_ONE: std::ops::RangeInclusive<usize> = 4..=64;
/// Endpoints looked at in one go.
const ENDPOINTS_AT_ONCE: usize = 512;
/// Leases that are over, freed in one go.
const FREED_AT_ONCE: usize = 256;

/// The longest a delivery waits whose plugin is set aside before somebody looks again.
const SET_ASIDE_LOOK_MAX: Duration = Duration::from_secs(60);

/// Finds what is due and starts it, until the host stops.
pub async fn work(services: Services) {
    let mut skipped = 0;
    loop {
        let again_at = match round(&services, &mut skipped).await {
            Ok(again_at) => again_at,
            Err(error) => {
                tracing::error!(%error, "what is due cannot be claimed; trying again");
                Some(clock::after(services.clock.now(), SCAN_EVERY))
            }
        };
        let until = |at: Timestamp| Duration::try_from(at - services.clock.now()).unwrap_or_default();
        let wait = again_at.map_or(SCAN_EVERY, until).clamp(SCAN_PAUSE, SCAN_EVERY);
        tokio::select! {
            () = services.stop.cancelled() => return,
            () = async {
                // A pause first: what wakes often is served in larger portions.
                tokio::time::sleep(SCAN_PAUSE).await;
                services.window.woken().await;
            } => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// One look. When the next is due, as far as the clock is concerned. `skipped` endpoints were looked at before and are passed over.
async fn round(services: &Services, skipped: &mut usize) -> Result<Option<Timestamp>, StoreError> {
    services.store.free_expired(FREED_AT_ONCE).await?;
    services.store.close_batches().await?;
    let mut is_more = services.store.fan_out().await?;

    let ready = services.store.ready_endpoints(*skipped, ENDPOINTS_AT_ONCE);
    is_more |= ready.len() == ENDPOINTS_AT_ONCE;
    *skipped = if ready.len() == ENDPOINTS_AT_ONCE { *skipped + ready.len() } else { 0 };
    let (now, snapshot) = (services.clock.now(), services.catalog.snapshot());
    let most = (CLAIM_AT_ONCE / ready.len().max(1)).clamp(*CLAIM_OF_ONE.start(), *CLAIM_OF_ONE.end());
    let mut again_at: Option<Timestamp> = None;
    let mut slots: HashMap<EndpointId, Vec<Slot>> = HashMap::new();
    let mut claimed = 0;
    for endpoint in ready {
        if claimed >= CLAIM_AT_ONCE {
            // The rest is looked at first next time.
            *skipped += slots.len();
            is_more = true;
            break;
        }
        let entry = snapshot.webhooks_by_id.get(&endpoint.webhook()).filter(|entry| entry.webhook.active);
        let rules = entry.map_or(Rules::NONE, |entry| Rules::of(&entry.webhook));
        let room = services.window.room(&endpoint, rules, most, now);
        again_at = [again_at, room.again_at].into_iter().flatten().min();
        is_more |= room.slots.len() == most;
        if !room.slots.is_empty() {
            claimed += room.slots.len();
            slots.insert(endpoint, room.slots);
        }
    }
    if !slots.is_empty() {
        let quotas = slots.iter().map(|(endpoint, slots)| (endpoint.clone(), slots.len())).collect();
        for (endpoint, claimed) in services.store.claim(quotas, services.limits.lease).await? {
            if let Some(mut slot) = slots.get_mut(&endpoint).and_then(Vec::pop) {
                slot.weigh(claimed.events.iter().map(|event| size(&event.data)).sum());
                drop(services.start(claimed, slot));
            }
        }
    }
    Ok(if is_more { Some(now) } else { [again_at, services.store.next_due()].into_iter().flatten().min() })
}

/// A request, ready to be signed.
#[derive(Debug)]
pub struct Prepared {
    /// `None`: the plugin said there is nothing to send.
    pub request: Option<BuiltRequest>,
    /// Where it comes from.
    pub source: Source,
    /// What the plugin remembers of it: to be kept before anything is sent.
    pub state: Option<StateChanges>,
    /// What building it left behind.
    pub trace: Trace,
}

/// Where the request of an attempt comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// It was built for this attempt.
    Built,
    /// It was kept, and is the same bytes as before.
    Kept,
    /// One was kept, and the webhook points elsewhere now: it was built again.
    BuiltAgain,
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
    /// Whether the request could be built of fewer events.
    pub is_of_size: bool,
}

/// What building takes from the moment, not from the delivery.
#[derive(Clone)]
pub struct Occasion {
    /// The time, and the randomness of functions.
    pub ambient: Ambient,
    /// Used instead of the plugin the webhook names.
    pub stand_in: Option<Arc<ActivePlugin>>,
    /// That nothing is sent: the plugin is only tried out, with these keys, and nothing is counted.
    pub rehearsal: Option<Keys>,
}

impl Occasion {
    /// Now, with the plugin the webhook names.
    pub fn now(services: &Services) -> Self {
        Self { ambient: services.ambient(), stand_in: None, rehearsal: None }
    }
}

/// Builds the request of one attempt. A stored request is sent again as it is, unless the webhook points at another origin now: what was
/// built for one place never goes out with the credentials of another, so it is built again for where it goes.
pub async fn build(services: &Services, claimed: &Claimed, webhook: &Arc<Webhook>) -> Result<Prepared, BuildFailure> {
    let source = match &claimed.built {
        None => Source::Built,
        Some(stored) => match kept_for(webhook, claimed, stored)? {
            Some(request) => {
                return Ok(Prepared { request: Some(request), source: Source::Kept, state: None, trace: Trace::default() });
            }
            None => Source::BuiltAgain,
        },
    };
    match session(services, &claimed.delivery).await {
        Ok(session) => {
            let built = build_with(services, claimed, webhook, session, &Occasion::now(services)).await?;
            Ok(Prepared { source, ..built })
        }
        Err(failure) => Err(BuildFailure { failure, trace: Box::default(), is_of_size: false }),
    }
}

/// The stored request, if it still goes where the webhook points; `None`: it is built again.
fn kept_for(webhook: &Webhook, claimed: &Claimed, stored: &Value) -> Result<Option<BuiltRequest>, BuildFailure> {
    let invalid = |detail: String| failed(FailureKind::RequestInvalid, detail, Trace::default());
    let kept = KeptRequest::read(stored).map_err(|error| invalid(format!("the stored request cannot be read: {error}")))?;
    let (delivery, name) = (&claimed.delivery.id, webhook.name.as_str());
    match kept.fate(webhook.request.url(), &webhook.credentials_version) {
        Fate::SentAgain => Ok(Some(kept.request)),
        Fate::SignedOtherwise => {
            tracing::debug!(%delivery, webhook = name, "the credentials were changed since the request was built");
            Ok(Some(kept.request))
        }
        Fate::BuiltAgain if claimed.delivery.event.is_some() && claimed.events.is_empty() => Err(invalid(
            "the webhook points at another origin than the stored request, which cannot be built again: its event was deleted".to_owned(),
        )),
        Fate::BuiltAgain => {
            tracing::info!(%delivery, webhook = name, "the webhook points at another origin; the request is built again");
            Ok(None)
        }
    }
}

/// Builds the request with this session, on this occasion.
pub async fn build_with(
    services: &Services,
    claimed: &Claimed,
    webhook: &Arc<Webhook>,
    session: Session,
    occasion: &Occasion,
) -> Result<Prepared, BuildFailure> {
    let mut trace = Trace::default();
    let parameters = Arc::new(session.parameters);
    let (from_plugin, state) = match &webhook.transform {
        None => (None, None),
        Some(transform) => match run_transform(services, transform, claimed, Arc::clone(&parameters), occasion, &mut trace).await {
            Ok((Some(request), state)) => (Some(request), state),
            Ok((None, state)) => return Ok(Prepared { request: None, source: Source::Built, state, trace }),
            Err(failure) => {
                let is_of_size = failure.is_of_size();
                return Err(BuildFailure { failure: Failure::from(&failure), trace: Box::new(trace), is_of_size });
            }
        },
    };
    let started = Instant::now();
    let document = event_document(claimed, webhook);
    let scope = scope(occasion.ambient, claimed, &parameters, &document, session.webhook_status_code);
    let built = webhook.request.build(&scope, from_plugin);
    trace.stages.build_us = micros(started);
    match built {
        Ok((request, unset)) => {
            trace.unset = unset.into_names();
            Ok(Prepared { request: Some(request), source: Source::Built, state, trace })
        }
        Err(problem) => Err(BuildFailure { is_of_size: problem.is_of_size(), ..failed(problem.kind(), problem.to_string(), trace) }),
    }
}

/// What references of a delivery are looked up in; `document` is [`event_document`]'s.
pub fn scope<'a>(
    ambient: Ambient,
    claimed: &'a Claimed,
    parameters: &'a Parameters,
    document: &'a Value,
    webhook_status_code: Option<u16>,
) -> Scope<'a> {
    let context = claimed.delivery.invocation.as_ref().map(|input| &input.context);
    Scope { event: Some(document), context, webhook_status_code, ambient, ..Scope::of(parameters) }
}

/// The session of a delivery, whose life is prolonged by its use; an empty one where it has none.
pub async fn session(services: &Services, delivery: &Delivery) -> Result<Session, Failure> {
    match &delivery.session {
        None => Ok(Session::default()),
        Some(session) => services.store.parameters(session).await.map_err(session_unread),
    }
}

/// The same, whose life is not prolonged.
pub async fn session_looked_at(services: &Services, delivery: &Delivery) -> Result<Session, Failure> {
    match &delivery.session {
        None => Ok(Session::default()),
        Some(session) => services.store.peek_parameters(session).await.map_err(session_unread),
    }
}

fn session_unread(error: StoreError) -> Failure {
    Failure::new(FailureKind::Interrupted, format!("the session cannot be read: {error}"))
}

/// The parameters a delivery's references see.
pub async fn session_parameters(services: &Services, delivery: &Delivery) -> Result<Arc<Parameters>, Failure> {
    Ok(Arc::new(session(services, delivery).await?.parameters))
}

/// What a plugin call is given; `own` is the configuration of who calls it, merged over the plugin's.
pub fn call_context(services: &Services, own: &Map<String, Value>, plugin: &ActivePlugin, parameters: Arc<Parameters>) -> CallContext {
    let mut config = plugin.config.clone();
    merge(&mut config, &Value::Object(own.clone()));
    CallContext {
        config,
        parameters,
        grants: Arc::clone(&plugin.grants),
        limits: plugin.limits,
        conduct: Some(Arc::clone(&plugin.conduct)),
        plugin: plugin.plugin_use.name.clone(),
        now_ms: millis(services.clock.now()),
        services: services.plugins.host_side(),
        ..CallContext::default()
    }
}

/// What a call changed of its plugin's state, and how much that one may keep; `None`: nothing.
pub fn state_changes(plugin: &str, limits: &PluginLimits, changes: Vec<(String, Option<Vec<u8>>)>) -> Option<StateChanges> {
    let is_any = !changes.is_empty();
    is_any.then(|| StateChanges { plugin: plugin.to_owned(), changes, keys_max: limits.state_keys, bytes_max: limits.state_bytes })
}

/// The plugin a webhook names.
pub fn plugin_of(services: &Services, transform: &TransformFull) -> Result<Arc<ActivePlugin>, PluginFailure> {
    services.plugins.get(&transform.plugin, transform.version).ok_or_else(|| PluginFailure::Missing(transform.plugin.clone()))
}

/// When a delivery whose plugin is set aside is looked at again: at the plugin's next probe, and not after `SET_ASIDE_LOOK_MAX`, because
/// an admin may mend it before.
pub fn set_aside_until(services: &Services, claimed: &Claimed, webhook: &Webhook) -> Timestamp {
    let replayed = claimed.delivery.replay.as_ref().and_then(|replay| replay.version);
    let refusal =
        webhook.transform.as_ref().and_then(|transform| services.plugins.refusal(&transform.plugin, replayed.or(transform.version)));
    let now = services.clock.now();
    // None any more: it was mended just now, or only this delivery's party has to wait for its next probe.
    refusal.map_or(clock::after(now, PAUSE_MIN), |(_, until)| until).min(clock::after(now, SET_ASIDE_LOOK_MAX))
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
        caller: delivery.invocation.as_ref().and_then(|input| input.caller.clone()),
        now_ms: millis(services.clock.now()),
    }
}

async fn run_transform(
    services: &Services,
    transform: &TransformFull,
    claimed: &Claimed,
    parameters: Arc<Parameters>,
    occasion: &Occasion,
    trace: &mut Trace,
) -> Result<(Option<PluginRequest>, Option<StateChanges>), PluginFailure> {
    let replayed = claimed.delivery.replay.as_ref().and_then(|replay| replay.version);
    let plugin = match (&occasion.stand_in, replayed) {
        (Some(plugin), _) => Arc::clone(plugin),
        (None, Some(version)) => plugin_of(services, &TransformFull { version: Some(version), ..transform.clone() })?,
        (None, None) => plugin_of(services, transform)?,
    };
    trace.plugin = Some(plugin.plugin_use.clone());
    let now_ms = millis(occasion.ambient.now);
    let mut context = CallContext { now_ms, ..call_context(services, &transform.config, &plugin, parameters) };
    if let Some(keys) = occasion.rehearsal {
        context = context.rehearsed(occasion.ambient, keys);
    }
    let input = DeliveryInput { now_ms, ..delivery_input(services, &claimed.delivery) };
    let events = events_of(claimed);
    let started = Instant::now();
    let called = plugin.loaded.transform(context, input, events).await;
    trace.stages.transform_us = micros(started);
    match called {
        Ok(called) => {
            trace.log = called.log;
            Ok((called.value, state_changes(&plugin.plugin_use.name, &plugin.limits, called.effects.state)))
        }
        Err(CallFailure { failure, log, .. }) => {
            trace.log = log;
            Err(failure)
        }
    }
}

/// The events a transform gets: the delivery's own; for `invoke` one made of its data.
pub fn events_of(claimed: &Claimed) -> Vec<Event> {
    match &claimed.delivery.invocation {
        None => claimed.events.iter().map(|event| Event::clone(event)).collect(),
        Some(input) => vec![invoked_event(&claimed.delivery, input.data.clone())],
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
        trace: delivery.trace.clone(),
    }
}

/// What `$event.*` looks into: of a webhook that batches the first event, and all of them under `batch`. So too of several events that
/// were batched before the webhook was told not to: none of them may be lost when the request is built later.
pub fn event_document(claimed: &Claimed, webhook: &Webhook) -> Value {
    if let Some(input) = &claimed.delivery.invocation {
        return json!({ "data": input.data });
    }
    let mut document = claimed.events.first().map_or_else(|| json!({}), |event| event.document());
    if webhook.batch.is_some() || claimed.events.len() > 1 {
        document["batch"] = claimed.events.iter().map(|event| event.document()).collect();
    }
    document
}

fn failed(kind: FailureKind, detail: String, trace: Trace) -> BuildFailure {
    BuildFailure { failure: Failure::new(kind, detail), trace: Box::new(trace), is_of_size: false }
}

/// Microseconds since `started`.
pub fn micros(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX)
}
