//! `/v1/events`: accepts events and shows them.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    request::{Asked, parse_value},
    respond::{Answer, ApiError, List, accepted, no_content, ok},
};
use crate::{
    clock::random,
    model::{
        delivery::{Attempt, Delivery, DeliveryState},
        event::{Event, NewEvent, TEXT_RULE, attribute_bytes, is_text},
        id::{DeliveryId, EventId},
        json::json_bytes,
        outcome::FailureKind,
        problem::{Problem, segment},
        repeat::RepeatKey,
        token::Scope,
        trace::{TRACEPARENT, TRACESTATE, TraceContext},
        trigger::{Trigger, arcgis},
        webhook::Mismatch,
    },
    outbound::acceptance::{self, AcceptError, Incoming, Outcome},
    services::Services,
    store::StoreError,
};

mod cloudevents;
mod input;

pub use input::EventInput;

const WAIT_MAX: Duration = Duration::from_secs(60);

/// One event, or several. Several are accepted together or not at all.
#[derive(Debug, ToSchema)]
#[schema(as = EventsInput)]
#[expect(dead_code, reason = "it describes the body, which is read piece by piece")]
pub enum EventsInput {
    /// One event.
    One(Box<EventInput>),
    /// Several events.
    Several(Vec<EventInput>),
}

/// One accepted event.
#[derive(Debug, Serialize, ToSchema)]
pub struct AcceptedEvent {
    /// The event's identifier. For a repeat it is that of the first copy.
    pub id: EventId,
    /// Whether the event is a repeat of one accepted before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
    /// Number of webhooks it matched; absent if it is a repeat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matched: Option<usize>,
    /// Why it matched no webhook. Only tokens with the scope `read` see it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mismatches: Vec<Mismatch>,
    /// Its deliveries, if `wait` was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deliveries: Option<Vec<WaitedFor>>,
}

/// Several accepted events, in the order they were posted.
#[derive(Debug, Serialize, ToSchema)]
pub struct AcceptedEvents {
    /// Identifiers of the events.
    pub ids: Vec<EventId>,
    /// Number of webhooks each event matched; null if the event is a repeat.
    pub matched: Vec<Option<usize>>,
    /// Each event with its deliveries, if `wait` was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<AcceptedEvent>>,
}

/// A delivery and its last attempt.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeliveryView {
    #[serde(flatten)]
    pub delivery: Delivery,
    /// The last attempt; null: none was made.
    pub last_attempt: Option<Attempt>,
}

/// A delivery that the request waited for.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum WaitedFor {
    /// All of it, for tokens that may read deliveries.
    Whole(Box<DeliveryView>),
    /// Only its outcome, for all other tokens.
    Outcome(DeliveryOutcome),
}

/// The outcome of a delivery, without what was sent or answered.
#[derive(Debug, Serialize, ToSchema)]
// `deny_unknown_fields`, so that an answer fits only one of the two schemas.
#[serde(deny_unknown_fields)]
pub struct DeliveryOutcome {
    /// The delivery's identifier, `dlv_...`.
    pub id: DeliveryId,
    /// The webhook's name.
    pub webhook: String,
    /// The delivery's state.
    pub state: DeliveryState,
    /// Status of the endpoint's last answer; null: it has not answered.
    pub http_status: Option<u16>,
    /// Why the last attempt failed, in one word; null: it did not fail.
    pub failure_kind: Option<FailureKind>,
}

/// An event and its deliveries.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventView {
    #[serde(flatten)]
    pub event: Event,
    /// The deliveries of the event.
    pub deliveries: Vec<Delivery>,
}

/// Post events. The events are on disk when this answers.
///
/// The answer says how many webhooks each event matched. Tokens with the scope `read` also learn why an event matched none.
///
/// The body is JSON, or CloudEvents 1.0 in binary, structured or batched form. With `wait`, the answer comes when every delivery has had
/// its first attempt, or when the time is over. Tokens with the scope `read` then see each delivery with its last attempt; other tokens
/// see only the outcome.
#[utoipa::path(post, path = "/v1/events", tag = "events",
    params(("wait" = Option<String>, Query, description = "how long to wait for the first attempts, such as `5s`; at most 60 seconds"),
           ("Idempotency-Key" = Option<String>, Header, description = "the `id` of an event that has none; only for a single event"),
           ("traceparent" = Option<String>, Header, description = "the trace the request belongs to (W3C Trace Context); an invalid one is ignored"),
           ("tracestate" = Option<String>, Header, description = "what tracing systems added to the trace")),
    request_body = EventsInput,
    responses((status = 202, description = "the events are on disk", body = AcceptedEvent), (status = 200, description = "the events are on disk, and the wait is over", body = AcceptedEvent),
        (status = 400, body = super::respond::ProblemDetails, description = "not valid", content_type = "application/problem+json"),
        (status = 415, body = super::respond::ProblemDetails, description = "not JSON", content_type = "application/problem+json"),
        (status = 422, body = super::respond::ProblemDetails, description = "the idempotency key was used before with another body", content_type = "application/problem+json"),
        (status = 503, body = super::respond::ProblemDetails, description = "the disk is full or nearly full; nothing was accepted", content_type = "application/problem+json")))]
pub async fn post(services: Services, asked: Asked) -> Answer {
    asked.only(&["wait"])?;
    let wait = asked.query("wait").map(parse_wait).transpose()?;
    let (inputs, several) = read(&asked)?;
    if inputs.len() > services.limits.events_per_request_max {
        return Err(ApiError::invalid(
            "",
            format!("{} events; at most {} in one request", inputs.len(), services.limits.events_per_request_max),
        ));
    }
    let producer = asked.token.as_ref().map_or_else(String::new, |token| format!("token:{}", token.hash));
    let header_key = asked.headers.get("idempotency-key").and_then(|value| value.to_str().ok());
    if several && header_key.is_some() {
        return Err(ApiError::invalid("", "`Idempotency-Key` goes with one event; give each event of an array its own `id`"));
    }
    let mut problems = Vec::new();
    let mut incoming = Vec::new();
    for (index, input) in inputs.into_iter().enumerate() {
        let prefix = if several { format!("/{index}") } else { String::new() };
        match check(&services, input, &producer, header_key, &asked) {
            Ok(one) => incoming.push(one),
            Err(found) => problems.extend(found.into_iter().map(|problem| problem.under(&prefix))),
        }
    }
    if !problems.is_empty() {
        return Err(ApiError::problems(problems));
    }
    services.store.has_room()?;
    let (outcomes, started) = acceptance::accept(&services, incoming).await.map_err(|error| match error {
        AcceptError::Store(StoreError::SessionFull { index, overflow }) => {
            let prefix = index.filter(|_| several).map_or_else(String::new, |index| format!("/{index}"));
            ApiError::invalid(format!("{prefix}/parameters{}", segment(&overflow.parameter)), overflow.to_string())
        }
        error => error.into(),
    })?;
    if let Some(wait) = wait {
        // Wait until all deliveries have had their first attempt, or until the time is over. The attempts continue in both cases.
        let tried = async {
            futures::future::join_all(started).await;
            for outcome in &outcomes {
                first_attempts(&services, &outcome.id).await;
            }
        };
        drop(tokio::time::timeout(wait, tried).await);
    }
    let mut events = Vec::with_capacity(outcomes.len());
    for outcome in outcomes {
        let mut event = accepted_event(&services, outcome, asked.allows(Scope::Read));
        if wait.is_some() {
            event.deliveries = Some(waited_for(&services, &event.id, asked.allows(Scope::Read)).await?);
        }
        events.push(event);
    }
    if several {
        let (ids, matched) = events.iter().map(|event| (event.id.clone(), event.matched)).unzip();
        let answer = AcceptedEvents { ids, matched, events: wait.map(|_| events) };
        return if wait.is_some() { ok(&answer) } else { accepted(&answer) };
    }
    match events.pop() {
        Some(event) if wait.is_some() => ok(&event),
        Some(event) => accepted(&event),
        None => Err(ApiError::invalid("", "an event is missing")),
    }
}

/// List the events, newest first.
#[utoipa::path(get, path = "/v1/events", tag = "events",
    params(("limit" = Option<usize>, Query, description = "1 to 500, 50 by default"), ("after" = Option<String>, Query, description = "`next` of the previous page")),
    responses((status = 200, description = "a page", body = List<Event>)))]
pub async fn list(services: Services, asked: Asked) -> Answer {
    asked.only(&["limit", "after"])?;
    let (limit, after) = asked.page()?;
    let page = services.store.events(after, limit).await?;
    ok(&List { data: page.data, next: page.next })
}

/// Get an event with its deliveries.
#[utoipa::path(get, path = "/v1/events/{id}", tag = "events", params(("id" = String, Path, description = "`evt_...`")),
    responses((status = 200, description = "the event", body = EventView), (status = 404, body = super::respond::ProblemDetails, description = "there is no event with this identifier", content_type = "application/problem+json")))]
pub async fn get(services: Services, asked: Asked) -> Answer {
    let id = EventId(asked.path(0).to_owned());
    let event = services.store.event(&id).await?.ok_or_else(|| ApiError::NotFound(format!("event `{id}`")))?;
    let deliveries = services.store.event_deliveries(&id).await?;
    ok(&EventView { event, deliveries })
}

/// Delete an event's data and its deliveries. Pending deliveries are cancelled.
#[utoipa::path(delete, path = "/v1/events/{id}", tag = "events", params(("id" = String, Path, description = "`evt_...`")),
    responses((status = 204, description = "deleted"), (status = 404, body = super::respond::ProblemDetails, description = "there is no event with this identifier", content_type = "application/problem+json")))]
pub async fn delete(services: Services, asked: Asked) -> Answer {
    let id = EventId(asked.path(0).to_owned());
    if services.store.delete_event(id.clone()).await? { no_content() } else { Err(ApiError::NotFound(format!("event `{id}`"))) }
}

/// The answer for an accepted event, without its deliveries.
fn accepted_event(services: &Services, outcome: Outcome, may_read: bool) -> AcceptedEvent {
    let Outcome { id, new } = outcome;
    let matched = new.as_ref().map(|(_, matched)| *matched);
    let unmatched = new.filter(|(_, matched)| *matched == 0 && may_read);
    let mismatches = unmatched
        .map(|(event, _)| services.catalog.snapshot().mismatches(&event.trigger, || Event::clone(&event).into()))
        .unwrap_or_default();
    AcceptedEvent { id, duplicate: matched.is_none(), matched, mismatches, deliveries: None }
}

/// Time between two checks of deliveries that are sent from the store.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Waits until every delivery of an event was tried or has ended, including those that are sent from the store. A stop of the host ends
/// the wait; deliveries that were not tried by then are tried after the next start.
async fn first_attempts(services: &Services, id: &EventId) {
    while !services.stop.is_cancelled() {
        let deliveries = services.store.whole_event_deliveries(id).await.unwrap_or_default();
        let is_tried = |delivery: &Delivery| delivery.attempts > 0 || delivery.state.is_final();
        if deliveries.is_some_and(|deliveries| deliveries.iter().all(is_tried)) {
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// An event's deliveries: each with its last attempt, or only its outcome if the caller may not read deliveries.
async fn waited_for(services: &Services, id: &EventId, may_read: bool) -> Result<Vec<WaitedFor>, StoreError> {
    let mut views = Vec::new();
    for delivery in services.store.event_deliveries(id).await? {
        let last_attempt = services.store.attempts(&delivery.id).await?.pop();
        let view = DeliveryView { delivery, last_attempt };
        views.push(if may_read { WaitedFor::Whole(Box::new(view)) } else { WaitedFor::Outcome(view.outcome()) });
    }
    Ok(views)
}

impl DeliveryView {
    fn outcome(self) -> DeliveryOutcome {
        let Delivery { id, webhook, state, .. } = self.delivery;
        let (answer, failure) = self.last_attempt.map_or((None, None), |attempt| (attempt.answer, attempt.failure));
        let (http_status, failure_kind) = (answer.map(|answer| answer.status), failure.map(|failure| failure.kind));
        DeliveryOutcome { id, webhook, state, http_status, failure_kind }
    }
}

/// The events of a request in any of the formats, and whether they came as a list.
fn read(asked: &Asked) -> Result<(Vec<EventInput>, bool), ApiError> {
    if let Some(found) = cloudevents::read(asked)? {
        return Ok(found);
    }
    let media = asked.media_type();
    if !matches!(media.as_str(), "" | "application/json" | "application/x-www-form-urlencoded") {
        // `curl -d` declares a form by default, but the data is usually JSON. So we parse it as JSON.
        return Err(ApiError::UnsupportedMedia(format!("events are `application/json` or CloudEvents, not `{media}`")));
    }
    match super::request::parse::<Value>(&asked.body)? {
        Value::Array(items) if items.is_empty() => Err(ApiError::invalid("", "an array of at least one event")),
        Value::Array(items) => {
            let read = |(index, item)| parse_value::<EventInput>(item).map_err(|error| under(error, &format!("/{index}")));
            Ok((items.into_iter().enumerate().map(read).collect::<Result<_, _>>()?, true))
        }
        one => Ok((vec![parse_value(one)?], false)),
    }
}

fn under(error: ApiError, prefix: &str) -> ApiError {
    match error {
        ApiError::Invalid { detail, problems } => {
            ApiError::Invalid { detail, problems: problems.into_iter().map(|problem| problem.under(prefix)).collect() }
        }
        other => other,
    }
}

fn parse_wait(text: &str) -> Result<Duration, ApiError> {
    let seconds = text.strip_suffix('s').and_then(|number| number.parse::<f64>().ok());
    match seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
        Some(wait) if wait <= WAIT_MAX => Ok(wait),
        _ => Err(ApiError::invalid("", format!("`wait` is a number of seconds up to 60, such as `5s`, not `{text}`"))),
    }
}

/// The trace of an event: that of the request, or else the one in the event's attributes (CloudEvents 1.0, "Distributed Tracing"
/// extension).
fn trace_of(asked: &Asked, attributes: &BTreeMap<String, String>) -> Option<TraceContext> {
    let attribute = |name: &str| attributes.get(name).map(String::as_str);
    let made_in = attribute(TRACEPARENT).filter(|_| !asked.headers.contains_key(TRACEPARENT));
    TraceContext::parse(made_in, attribute(TRACESTATE)).or_else(|| asked.trace.clone())
}

/// Checks one event and gives it its identifier and times.
fn check(
    services: &Services,
    input: EventInput,
    producer: &str,
    header_key: Option<&str>,
    asked: &Asked,
) -> Result<Incoming, Vec<Problem>> {
    let mut problems = Vec::new();
    let trigger = Trigger::parse(&input.trigger).map_err(|error| problems.push(Problem::new("/trigger", error.to_string()))).ok();
    let texts = [("/id", &input.id), ("/source", &input.source), ("/session", &input.session), ("/environment", &input.environment)];
    for (pointer, text) in texts {
        if let Some(text) = text
            && !is_text(text)
        {
            problems.push(Problem::new(pointer, TEXT_RULE));
        }
    }
    if input.session.is_none() && !input.parameters.is_empty() {
        problems.push(Problem::new("/parameters", "parameters belong to a session: name it in `session`"));
    }
    let max = services.limits.event_bytes_max;
    let (data, attributes) = (json_bytes(&input.data), attribute_bytes(&input.attributes));
    if data > max {
        problems.push(Problem::new("/data", format!("longer than {max} bytes (limit `event_bytes_max`)")));
    } else if data.saturating_add(attributes) > max {
        problems.push(Problem::new("/attributes", format!("with the data longer than {max} bytes (limit `event_bytes_max`)")));
    }
    if input.trigger.starts_with("webhook.") || input.trigger.starts_with("code.") {
        problems.push(Problem::new("/trigger", "`webhook.` and `code.` are this host's own triggers"));
    }
    problems.extend(trigger.iter().flat_map(|trigger| arcgis::check_data(trigger, &input.data)));
    let Some(trigger) = trigger.filter(|_| problems.is_empty()) else { return Err(problems) };
    let now = services.clock.now();
    let key = input.id.as_deref().or(header_key);
    let dedup = key.map(|key| RepeatKey::of_event(input.source.as_deref().unwrap_or(producer), key));
    let trace = trace_of(asked, &input.attributes);
    let event = NewEvent {
        id: EventId::unplaced(random()),
        trigger,
        source: input.source.unwrap_or_default(),
        time: input.time.unwrap_or(now),
        session: input.session,
        environment: input.environment,
        attributes: input.attributes,
        data: input.data,
        call: None,
        depth: 0,
        trace,
    };
    Ok(Incoming { event, parameters: input.parameters, dedup })
}
