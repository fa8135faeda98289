//! A plugin tried out on what happened, or on what is given: nothing is sent, nothing is committed, and time and randomness stand still,
//! so that two versions differ only where the plugins do.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{
    clock::millis,
    lock::lock,
    model::{
        call::{BodyEncoding, Call, Verification},
        event::Event,
        function::Ambient,
        id::{CallId, DeliveryId},
        merge_patch::merge,
        parameter::{self, Parameters},
        plugin::{Export, GuestLog, PluginFailure},
        request::PluginRequest,
        webhook::Webhook,
    },
    outbound::{
        material::events_of,
        plugin_call::{call_context, delivery_input},
    },
    plugin::{
        ActivePlugin, CallContext, CallFailure, Called, DeliveryInput, Effects, InvocationInput, InvokeFn, InvokeRequest, Keys, NotInvoked,
        PluginReply,
    },
    services::Services,
    store::{Claimed, Session, StoreError},
};

pub mod compare;
pub mod version_before;

/// What a plugin is tried on.
#[derive(Debug)]
pub enum Subject {
    /// For its `transform`.
    Outbound(Outbound),
    /// For its `receive`.
    Inbound(Inbound),
}

/// What a transform is tried on.
#[derive(Debug)]
pub enum Outbound {
    /// Events.
    Events(Vec<Event>),
    /// The events of a past delivery.
    Delivery(DeliveryId),
}

/// What a receiver is tried on.
#[derive(Debug)]
pub enum Inbound {
    /// A call.
    Given(Box<InvocationInput>),
    /// A past call. Its credentials were never kept.
    Past(CallId),
}

/// How a plugin is tried.
#[derive(Debug, Default)]
pub struct Setting {
    /// Merged over the plugin's configuration and, for a past delivery or call, the webhook's or receiver's.
    pub config: Map<String, Value>,
    /// Merged over the parameters of the session.
    pub parameters: Map<String, Value>,
    /// What the caller of `invoke` would give besides.
    pub context: Map<String, Value>,
    /// The moment it happens at; `None`: now, or when a past call came in.
    pub now: Option<Timestamp>,
    /// What it signs with.
    pub keys: Keys,
}

/// Why nothing was tried.
#[derive(Debug, thiserror::Error)]
pub enum TryError {
    /// What it was to be tried on is not there.
    #[error("there is no {0}")]
    Missing(String),
    /// Its events were deleted.
    #[error("the events of delivery {0} were deleted")]
    Deleted(DeliveryId),
    /// The call was turned away, and its body was not kept.
    #[error("call {0} was turned away, and of such calls the body is not kept")]
    NotKept(CallId),
    /// The plugin cannot do that.
    #[error("this version of the plugin has no `{}`; it exports {exported}", match .wanted { Export::Receive => "receive", Export::Answers => "answers", Export::Transform => "transform" })]
    Unable {
        /// What was asked for.
        wanted: Export,
        /// What there is.
        exported: String,
    },
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What the plugin said.
#[derive(Debug)]
pub enum Said {
    /// A request; `None`: nothing is sent.
    Request(Option<PluginRequest>),
    /// A reply.
    Reply(PluginReply),
}

/// What came of a try.
#[derive(Debug)]
pub struct Tried {
    /// What it said.
    pub outcome: Result<Said, PluginFailure>,
    /// What would have been committed.
    pub effects: Effects,
    /// The webhooks it wanted to invoke. It was told that nothing is sent in a try.
    pub invoked: Vec<InvokeRequest>,
    /// What it wrote.
    pub log: GuestLog,
    /// How long it ran.
    pub duration: Duration,
    /// Memory it held at its end.
    pub memory_bytes: u64,
    /// Instructions it ran, where they are counted.
    pub instructions: Option<u64>,
}

/// Tries a plugin out.
pub async fn try_out(services: &Services, plugin: &ActivePlugin, subject: Subject, setting: Setting) -> Result<Tried, TryError> {
    match subject {
        Subject::Outbound(outbound) => try_transform(services, plugin, outbound, setting).await,
        Subject::Inbound(inbound) => try_receive(services, plugin, inbound, setting).await,
    }
}

fn able(plugin: &ActivePlugin, wanted: Export) -> Result<(), TryError> {
    let exports = plugin.loaded.exports();
    if exports.contains(&wanted) {
        return Ok(());
    }
    let exported: Vec<_> = exports.iter().map(|export| format!("`{}`", format!("{export:?}").to_lowercase())).collect();
    Err(TryError::Unable { wanted, exported: exported.join(", ") })
}

async fn try_transform(services: &Services, plugin: &ActivePlugin, outbound: Outbound, setting: Setting) -> Result<Tried, TryError> {
    let Setting { config, parameters: given, context, now, keys } = setting;
    able(plugin, Export::Transform)?;
    let now = now.unwrap_or_else(|| services.clock.now());
    let (events, mut input, webhook_config, mut parameters) = match outbound {
        Outbound::Delivery(id) => {
            let claimed = look_back(services, &id).await?;
            let session = session_of(services, claimed.delivery.session.as_deref()).await?;
            let input = delivery_input(services, &claimed.delivery);
            let config = webhook_of(services, &claimed).and_then(|webhook| webhook.transform.clone().map(|transform| transform.config));
            (events_of(&claimed), input, config.unwrap_or_default(), session.parameters)
        }
        Outbound::Events(events) => {
            let first = events.first();
            let session = session_of(services, first.and_then(|event| event.session.as_deref())).await?;
            let input = DeliveryInput {
                id: "dlv_try".to_owned(),
                webhook_id: "whk_try".to_owned(),
                webhook_name: "try".to_owned(),
                session: first.and_then(|event| event.session.clone()),
                environment: first.and_then(|event| event.environment.clone()),
                ..DeliveryInput::default()
            };
            (events, input, Map::new(), session.parameters)
        }
    };
    parameters.apply_all(parameter::changes(given));
    input.now_ms = millis(now);
    if !context.is_empty() {
        input.context = context;
    }
    let (invoke, invoked) = wishes();
    let call = CallContext {
        invoke: Some(invoke),
        ..rehearsed(services, plugin, [webhook_config, config], parameters, now).rehearsed(Ambient { now, seed: SEED }, keys)
    };
    let called = plugin.loaded.transform(call, input, events).await;
    Ok(tried(called, Said::Request, &invoked))
}

async fn try_receive(services: &Services, plugin: &ActivePlugin, inbound: Inbound, setting: Setting) -> Result<Tried, TryError> {
    let Setting { config, parameters: given, now: moment, keys, .. } = setting;
    able(plugin, Export::Receive)?;
    let now = moment.unwrap_or_else(|| services.clock.now());
    let (mut input, receiver_config) = match inbound {
        Inbound::Given(input) => (*input, Map::new()),
        Inbound::Past(id) => {
            let call = services.store.call(&id).await?.ok_or_else(|| TryError::Missing(format!("call {id}")))?;
            if call.request.body_not_kept.is_some() {
                return Err(TryError::NotKept(id));
            }
            let entry = services.catalog.snapshot().receivers.get(&call.receiver).cloned();
            (past_input(call), entry.map(|entry| entry.receiver.config()).unwrap_or_default())
        }
    };
    let mut parameters = session_of(services, input.session.as_deref()).await?.parameters;
    parameters.apply_all(parameter::changes(given));
    if input.now_ms == 0 || moment.is_some() {
        input.now_ms = millis(now);
    }
    let at = i64::try_from(input.now_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(now);
    let (invoke, invoked) = wishes();
    let call = CallContext {
        call_id: Some(CallId(input.call_id.clone())),
        session: input.session.clone(),
        environment: input.environment.clone(),
        invoke: Some(invoke),
        ..rehearsed(services, plugin, [receiver_config, config], parameters, at).rehearsed(Ambient { now: at, seed: SEED }, keys)
    };
    let called = plugin.loaded.receive(call, input).await;
    Ok(tried(called, Said::Reply, &invoked))
}

/// What a tried call is given: what any call is, `over` merged over its configuration, and the moment `now`.
fn rehearsed(
    services: &Services,
    plugin: &ActivePlugin,
    [own, over]: [Map<String, Value>; 2],
    parameters: Parameters,
    now: Timestamp,
) -> CallContext {
    let mut context = call_context(services, &own, plugin, Arc::new(parameters));
    merge(&mut context.config, &Value::Object(over));
    // A try says nothing of how a plugin behaves.
    CallContext { now_ms: millis(now), conduct: None, ..context }
}

/// The randomness of every try.
const SEED: [u8; 32] = *b"a try is never a matter of luck.";

fn tried<T>(called: Result<Called<T>, CallFailure>, said: impl FnOnce(T) -> Said, invoked: &Mutex<Vec<InvokeRequest>>) -> Tried {
    let invoked = std::mem::take(&mut *lock(invoked));
    match called {
        Ok(Called { value, effects, log, duration, memory_bytes, instructions }) => {
            Tried { outcome: Ok(said(value)), effects, invoked, log, duration, memory_bytes, instructions }
        }
        Err(CallFailure { failure, log, duration, memory_bytes, instructions }) => {
            Tried { outcome: Err(failure), effects: Effects::default(), invoked, log, duration, memory_bytes, instructions }
        }
    }
}

/// An `invoke` that only writes down what was asked of it.
fn wishes() -> (InvokeFn, Arc<Mutex<Vec<InvokeRequest>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&asked);
    let invoke: InvokeFn = Arc::new(move |request: InvokeRequest| {
        lock(&kept).push(request);
        Box::pin(async { Err(NotInvoked::Told("this is a try: no webhook is invoked".to_owned())) })
    });
    (invoke, asked)
}

async fn session_of(services: &Services, session: Option<&str>) -> Result<Session, StoreError> {
    match session {
        Some(session) => services.store.peek_parameters(session).await,
        None => Ok(Session::default()),
    }
}

async fn look_back(services: &Services, id: &DeliveryId) -> Result<Claimed, TryError> {
    let claimed = services.store.look_back(id).await?.ok_or_else(|| TryError::Missing(format!("delivery {id}")))?;
    if is_empty(&claimed) {
        return Err(TryError::Deleted(id.clone()));
    }
    Ok(claimed)
}

fn is_empty(claimed: &Claimed) -> bool {
    claimed.events.is_empty() && claimed.delivery.invocation.is_none()
}

/// The webhook of a delivery, as it is there now, in the delivery's environment.
fn webhook_of(services: &Services, claimed: &Claimed) -> Option<Arc<Webhook>> {
    let snapshot = services.catalog.snapshot();
    let entry = snapshot.webhooks_by_id.get(&claimed.delivery.webhook_id)?;
    Some(Arc::clone(entry.webhook.in_environment(claimed.delivery.environment.as_deref())))
}

/// A past call as its receiver saw it, as far as it was kept.
fn past_input(call: Call) -> InvocationInput {
    let Call { id, receiver, caller, received_at, request, environment, session, verification, .. } = call;
    let body = match request.body_encoding {
        BodyEncoding::Text => request.body.into_bytes(),
        BodyEncoding::Base64 => BASE64_STANDARD.decode(&request.body).unwrap_or_default(),
    };
    InvocationInput {
        call_id: id.0,
        receiver_name: receiver,
        caller,
        session,
        environment,
        method: request.method,
        path: request.path,
        query: request.query,
        parameters: request.parameters,
        headers: request.headers.into_iter().collect(),
        body,
        verified: verification == Verification::Verified,
        remote_address: request.remote_address,
        now_ms: millis(received_at),
    }
}
