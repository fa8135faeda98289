//! `/v1/plugins/{name}/try` and `compare`: tries a version of a plugin before it is used. Nothing is sent or committed.

use std::{collections::BTreeMap, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{
    request::Asked,
    respond::{Answer, ApiError, ProblemDetails, ok},
};
use crate::{
    model::{
        call::BodyEncoding,
        difference::Difference,
        event::Event,
        id::{CallId, DeliveryId, EventId},
        outcome::Failure,
        plugin::{GuestLog, PluginUse},
        request::PluginRequest,
        token::Scope,
        trigger::Trigger,
    },
    plugin::{ActivePlugin, InvocationInput, Keys, PluginReply},
    services::Services,
    try_out::{
        self, Inbound, Outbound, Said, Setting, Subject, Tried,
        compare::{self, LAST_DEFAULT, LAST_MAX, Pair},
    },
};

/// Most events in one try.
const EVENTS_MAX: usize = 1000;

/// What to try a plugin on: exactly one of `event`, `events`, `delivery`, `invocation` and `call`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TryInput {
    /// An event, for a transform.
    pub event: Option<TryEvent>,
    /// Several events, as a webhook with batches gets them.
    pub events: Option<Vec<TryEvent>>,
    /// The identifier of a past delivery. Its events, its session and its webhook's configuration are used.
    #[schema(value_type = Option<String>)]
    pub delivery: Option<DeliveryId>,
    /// A call, for a receiver.
    pub invocation: Option<TryCall>,
    /// The identifier of a past call. The credentials of a call are not kept.
    #[schema(value_type = Option<String>)]
    pub call: Option<CallId>,
    /// Merged over the configuration of the plugin and of the webhook or receiver.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub config: Map<String, Value>,
    /// Merged over the parameters of the session.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub parameters: Map<String, Value>,
    /// For a transform: the `context` that the caller of `invoke` would give.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub context: Map<String, Value>,
    /// The time that the plugin sees; absent: now, or the time of the past call.
    pub now: Option<Timestamp>,
}

/// An event to try a plugin on.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TryEvent {
    /// The trigger; any is allowed.
    #[schema(example = "/items/abc123/share")]
    pub trigger: String,
    /// The event's data.
    #[serde(default)]
    pub data: Value,
    /// The event's identifier.
    pub id: Option<String>,
    /// The producer of the event.
    pub source: Option<String>,
    /// When it happened; absent: now.
    pub time: Option<Timestamp>,
    /// The session whose parameters are read.
    pub session: Option<String>,
    /// The environment it happened in.
    pub environment: Option<String>,
    /// Further attributes.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}

/// A call to try a plugin on.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TryCall {
    /// The method; absent: `POST`.
    pub method: Option<String>,
    /// The path after the code.
    #[serde(default)]
    pub path: String,
    /// Query parameters.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// The receiver's declared parameters, as typed values.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub parameters: Map<String, Value>,
    /// Headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body: a string is taken as text, any other value as JSON.
    #[serde(default)]
    pub body: Value,
    /// The session whose parameters are read.
    pub session: Option<String>,
    /// The environment.
    pub environment: Option<String>,
    /// Whether the plugin is told that the signature is valid.
    #[serde(default)]
    pub verified: bool,
}

/// The result of a try.
#[derive(Debug, Serialize, ToSchema)]
pub struct TryAnswer {
    /// The plugin and the version that was tried; without a version, it is the one in the binary.
    pub plugin: PluginUse,
    /// The request that a transform returned; null: there is nothing to send, or the transform failed.
    pub request: Option<TriedRequest>,
    /// The reply of a receiver.
    pub reply: Option<TriedReply>,
    /// Why the plugin failed.
    pub failure: Option<Failure>,
    /// The effects that a receiver would have had.
    pub effects: TriedEffects,
    /// What the plugin wrote to its log.
    pub log: GuestLog,
    /// Run time in microseconds.
    pub duration_us: u64,
    /// Linear memory at the end of the run, in bytes.
    pub memory_bytes: u64,
    /// WebAssembly instructions that were run. Only `hookwright plugin test` counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<u64>,
}

/// A request as a transform returned it. Parts that it left out come from the webhook.
#[derive(Debug, Serialize, ToSchema)]
pub struct TriedRequest {
    /// The method.
    pub method: Option<String>,
    /// Path and query.
    pub path_and_query: Option<String>,
    /// Headers, in order.
    pub headers: Vec<(String, String)>,
    /// The media type of the body.
    pub content_type: Option<String>,
    /// The body.
    pub body: Option<String>,
    /// `text`, or `base64` if the body is not UTF-8.
    pub body_encoding: BodyEncoding,
    /// Pairs of a session parameter and the JSONPath it is bound by.
    pub bindings: Vec<(String, String)>,
}

/// A reply as a receiver returned it.
#[derive(Debug, Serialize, ToSchema)]
pub struct TriedReply {
    /// The status.
    pub status: u16,
    /// Headers, in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
    /// `text`, or `base64` if the body is not UTF-8.
    pub body_encoding: BodyEncoding,
}

/// The effects that a plugin would have had outside a try.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct TriedEffects {
    /// Events it emitted: trigger and data.
    #[schema(value_type = Vec<Object>)]
    pub events: Vec<Value>,
    /// Session parameters it set: session, name and value; null removes a parameter.
    #[schema(value_type = Vec<Object>)]
    pub parameters: Vec<Value>,
    /// Keys of the plugin's state that it wrote.
    pub state: Vec<String>,
    /// Webhooks it wanted to invoke, and the input. The plugin was told that none is invoked.
    #[schema(value_type = Vec<Object>)]
    pub invokes: Vec<Value>,
}

/// Which versions to compare on which deliveries.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CompareInput {
    /// The candidate: a version's number, or `"builtin"`.
    #[schema(value_type = Object, example = json!(2))]
    pub version: Value,
    /// The version to compare it with: a number, or `"builtin"`; absent: the active version.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub against: Option<Value>,
    /// How many of the newest deliveries to build, at most 500; absent: 100.
    #[serde(default)]
    pub last: Option<usize>,
    /// Only deliveries of this webhook; absent: deliveries of every webhook that uses the plugin.
    #[serde(default)]
    pub webhook: Option<String>,
}

/// How two versions differ on past deliveries.
#[derive(Debug, Serialize, ToSchema)]
pub struct CompareAnswer {
    /// The version that the candidate was compared with.
    pub active: PluginUse,
    /// The candidate.
    pub candidate: PluginUse,
    /// Number of deliveries that both versions built.
    pub compared: usize,
    /// Number of deliveries that both built alike.
    pub same: usize,
    /// Number of deliveries that they built differently.
    pub different: usize,
    /// Number of deliveries left out, because their events or their webhook were deleted.
    pub skipped: usize,
    /// Whether the time limit (60 s) was reached before all deliveries were compared.
    pub is_cut_short: bool,
    /// The deliveries that they built differently, newest first.
    pub data: Vec<CompareView>,
}

/// One delivery that two versions build differently.
#[derive(Debug, Serialize, ToSchema)]
pub struct CompareView {
    /// The delivery's identifier.
    pub delivery: DeliveryId,
    /// The delivery's webhook.
    pub webhook: String,
    /// What the active version builds.
    pub active: BuiltView,
    /// What the candidate builds.
    pub candidate: BuiltView,
    /// The places where the requests differ, at most 50.
    pub differences: Vec<Difference>,
}

/// What one version builds for a delivery.
#[derive(Debug, Serialize, ToSchema)]
pub struct BuiltView {
    /// `request`, `nothing` (nothing would be sent), or the kind of the failure.
    pub outcome: &'static str,
    /// Why it failed.
    pub detail: Option<String>,
    /// Run time of the plugin, in microseconds.
    pub transform_us: u64,
}

/// Try a version on an event, a call, a past delivery or a past call. Nothing is sent or committed. The plugin sees a clock that does not
/// advance, and the same random numbers in every try.
///
/// A past delivery or call, a session, and a plugin with a configuration or a state of its own also need the scope `read`. Unless the
/// token has the scope `admin`, the plugin signs with a stand-in key.
#[utoipa::path(post, path = "/v1/plugins/{name}/try", tag = "plugins", request_body = TryInput,
    params(("name" = String, Path, description = "the plugin's name"), ("version" = Option<String>, Query, description = "a version's number, or `builtin`; absent: the active version")),
    responses((status = 200, description = "what the plugin returned, or why it failed", body = TryAnswer),
        (status = 400, body = ProblemDetails, description = "not valid", content_type = "application/problem+json"),
        (status = 404, body = ProblemDetails, description = "there is no such plugin, version, delivery or call", content_type = "application/problem+json"),
        (status = 409, body = ProblemDetails, description = "the events of the delivery were deleted", content_type = "application/problem+json"),
        (status = 422, body = ProblemDetails, description = "the version does not export what would be tried", content_type = "application/problem+json")))]
pub async fn try_out(services: Services, asked: Asked) -> Answer {
    asked.only(&["version"])?;
    let version = asked.query("version").map(|text| text.parse::<u32>().map_or_else(|_| Value::from(text), Value::from));
    let plugin = version_of(&services, asked.path(0), version.as_ref(), "")?;
    let input: TryInput = asked.json()?;
    // The answer can contain everything a plugin is given: events, parameters of sessions, its configuration and its state.
    let is_given_what_is_kept = plugin.grants.state || plugin.config.as_object().is_some_and(|config| !config.is_empty());
    if is_given_what_is_kept || input.delivery.is_some() || input.call.is_some() || input.names_session() {
        may_read(&asked)?;
    }
    let (subject, setting) = read(&services, input)?;
    let tried = try_out::try_out(&services, &plugin, subject, Setting { keys: keys(&asked), ..setting }).await?;
    ok(&shown(plugin.plugin_use.clone(), tried))
}

/// Build the requests of the last deliveries with two versions and show where they differ. Nothing is sent.
#[utoipa::path(post, path = "/v1/plugins/{name}/compare", tag = "plugins", request_body = CompareInput, params(("name" = String, Path, description = "the plugin's name")),
    responses((status = 200, description = "the differences", body = CompareAnswer),
        (status = 400, body = ProblemDetails, description = "not valid", content_type = "application/problem+json"),
        (status = 404, body = ProblemDetails, description = "there is no such plugin, version or webhook", content_type = "application/problem+json"),
        (status = 422, body = ProblemDetails, description = "the candidate has no `transform`", content_type = "application/problem+json")))]
pub async fn compare(services: Services, asked: Asked) -> Answer {
    asked.only(&[])?;
    may_read(&asked)?;
    let input: CompareInput = asked.json()?;
    let last = input.last.unwrap_or(LAST_DEFAULT);
    if !(1..=LAST_MAX).contains(&last) {
        return Err(ApiError::invalid("/last", format!("1 to {LAST_MAX}, not {last}")));
    }
    let candidate = version_of(&services, asked.path(0), Some(&input.version), "/version")?;
    let active = version_of(&services, asked.path(0), input.against.as_ref(), "/against")?;
    let compared = compare::compare(&services, (&active, &candidate), input.webhook.as_deref(), last, keys(&asked)).await?;
    let looked_at = compared.pairs.len();
    let data: Vec<_> = compared.pairs.into_iter().filter(|pair| !pair.is_same()).map(view).collect();
    ok(&CompareAnswer {
        active: active.plugin_use.clone(),
        candidate: candidate.plugin_use.clone(),
        compared: looked_at,
        same: looked_at - data.len(),
        different: data.len(),
        skipped: compared.skipped,
        is_cut_short: compared.is_cut_short,
        data,
    })
}

/// Stored data is shown only to tokens with the scope `read`.
fn may_read(asked: &Asked) -> Result<(), ApiError> {
    if asked.allows(Scope::Read) { Ok(()) } else { Err(ApiError::Forbidden("read".to_owned())) }
}

/// The keys a plugin signs with while it is tried out. Only an admin may have a chosen text signed with the real ones.
fn keys(asked: &Asked) -> Keys {
    if asked.allows(Scope::Admin) { Keys::Secrets } else { Keys::StandIn }
}

impl TryInput {
    fn names_session(&self) -> bool {
        let events = self.event.iter().chain(self.events.iter().flatten());
        let sessions = events.map(|event| &event.session).chain(self.invocation.iter().map(|call| &call.session));
        sessions.flatten().next().is_some()
    }
}

/// The named version, or the active one if none is named.
fn version_of(services: &Services, name: &str, version: Option<&Value>, pointer: &str) -> Result<Arc<ActivePlugin>, ApiError> {
    if !services.plugins.exists(name) {
        return Err(ApiError::NotFound(format!("plugin `{name}`")));
    }
    let (found, what) = match version {
        None => (services.plugins.get(name, None), "active version".to_owned()),
        Some(Value::String(word)) if word == "builtin" => (services.plugins.builtin(name), "version in the binary".to_owned()),
        Some(Value::Number(number)) => {
            let version = number.as_u64().and_then(|number| u32::try_from(number).ok());
            (version.and_then(|version| services.plugins.get(name, Some(version))), format!("version {number}"))
        }
        Some(_) => return Err(ApiError::invalid(pointer, "a version is a number, or `builtin`")),
    };
    found.ok_or_else(|| ApiError::NotFound(format!("{what} of plugin `{name}`")))
}

fn read(services: &Services, input: TryInput) -> Result<(Subject, Setting), ApiError> {
    let TryInput { event, events, delivery, invocation, call, config, parameters, context, now } = input;
    let given = [event.is_some(), events.is_some(), delivery.is_some(), invocation.is_some(), call.is_some()];
    if given.iter().filter(|given| **given).count() != 1 {
        return Err(ApiError::invalid("", "a plugin is tried on exactly one of `event`, `events`, `delivery`, `invocation` and `call`"));
    }
    let subject = if let Some(event) = event {
        Subject::Outbound(Outbound::Events(vec![read_event(now.unwrap_or_else(|| services.clock.now()), event, "/event")?]))
    } else if let Some(events) = events {
        if !(1..=EVENTS_MAX).contains(&events.len()) {
            return Err(ApiError::invalid("/events", format!("1 to {EVENTS_MAX} events, not {}", events.len())));
        }
        let moment = now.unwrap_or_else(|| services.clock.now());
        let read = |(index, event)| read_event(moment, event, &format!("/events/{index}"));
        Subject::Outbound(Outbound::Events(events.into_iter().enumerate().map(read).collect::<Result<_, _>>()?))
    } else if let Some(id) = delivery {
        Subject::Outbound(Outbound::Delivery(id))
    } else if let Some(id) = call {
        Subject::Inbound(Inbound::Past(id))
    } else {
        Subject::Inbound(Inbound::Given(Box::new(read_call(invocation.unwrap_or_default()))))
    };
    Ok((subject, Setting { config, parameters, context, now, keys: Keys::StandIn }))
}

fn read_event(now: Timestamp, event: TryEvent, pointer: &str) -> Result<Event, ApiError> {
    let TryEvent { trigger, data, id, source, time, session, environment, attributes } = event;
    let trigger = Trigger::parse(&trigger).map_err(|error| ApiError::invalid(format!("{pointer}/trigger"), error.to_string()))?;
    Ok(Event {
        id: EventId(id.unwrap_or_else(|| "evt_try".to_owned())),
        seq: 0,
        trigger,
        source: source.unwrap_or_default(),
        time: time.unwrap_or(now),
        accepted_at: now,
        session,
        environment,
        attributes,
        data,
        call: None,
        depth: 0,
        trace: None,
    })
}

fn read_call(call: TryCall) -> InvocationInput {
    let TryCall { method, path, query, parameters, headers, body, session, environment, verified } = call;
    InvocationInput {
        call_id: "cal_try".to_owned(),
        receiver_name: "try".to_owned(),
        caller: "try".to_owned(),
        session,
        environment,
        method: method.unwrap_or_else(|| "POST".to_owned()),
        path,
        query: query.into_iter().collect(),
        parameters,
        headers: headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect(),
        body: match body {
            Value::Null => Vec::new(),
            Value::String(text) => text.into_bytes(),
            json => json.to_string().into_bytes(),
        },
        verified,
        remote_address: "127.0.0.1".to_owned(),
        now_ms: 0,
    }
}

fn shown(plugin: PluginUse, tried: Tried) -> TryAnswer {
    let Tried { outcome, effects, invoked, log, duration, memory_bytes, instructions } = tried;
    let (mut request, mut reply, mut failure) = (None, None, None);
    match outcome {
        Ok(Said::Request(said)) => request = said.map(shown_request),
        Ok(Said::Reply(said)) => reply = Some(shown_reply(said)),
        Err(error) => failure = Some(Failure::from(&error)),
    }
    let effects = TriedEffects {
        events: effects.emissions.into_iter().map(|event| json!({ "trigger": event.trigger, "data": event.data })).collect(),
        parameters: effects
            .parameters
            .into_iter()
            .map(|(session, (name, value))| json!({ "session": session, "name": name, "value": value }))
            .collect(),
        state: effects.state.into_iter().map(|(key, _)| key).collect(),
        invokes: invoked
            .into_iter()
            .map(|asked| {
                let parameters: Map<String, Value> = asked.parameters.into_iter().collect();
                json!({ "webhook": asked.webhook, "parameters": parameters, "data": asked.data, "context": asked.context })
            })
            .collect(),
    };
    let duration_us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    TryAnswer { plugin, request, reply, failure, effects, log, duration_us, memory_bytes, instructions }
}

fn text(bytes: Vec<u8>) -> (String, BodyEncoding) {
    match String::from_utf8(bytes) {
        Ok(text) => (text, BodyEncoding::Text),
        Err(error) => (BASE64_STANDARD.encode(error.as_bytes()), BodyEncoding::Base64),
    }
}

fn shown_request(request: PluginRequest) -> TriedRequest {
    let PluginRequest { method, path_and_query, headers, content_type, body, bindings } = request;
    let (body, body_encoding) = match body.map(text) {
        Some((body, encoding)) => (Some(body), encoding),
        None => (None, BodyEncoding::Text),
    };
    TriedRequest { method, path_and_query, headers, content_type, body, body_encoding, bindings }
}

fn shown_reply(reply: PluginReply) -> TriedReply {
    let (body, body_encoding) = text(reply.body);
    TriedReply { status: reply.status, headers: reply.headers, body, body_encoding }
}

fn view(pair: Pair) -> CompareView {
    let built = |built: compare::Built| BuiltView {
        outcome: built.word(),
        detail: built.request.as_ref().err().map(|failure| failure.detail.clone()),
        transform_us: built.transform_us,
    };
    let Pair { delivery, webhook, active, candidate, differences } = pair;
    CompareView { delivery, webhook, active: built(active), candidate: built(candidate), differences }
}
