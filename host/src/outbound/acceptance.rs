//! Events in: match, commit, start. What was accepted is on disk before anybody is told so (decision: one-commit).
//!
//! An attempt may itself make an event: that its answer cannot be read. So [`begin`], which starts an attempt, is here too.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value, json};
use tokio::task::JoinHandle;

use super::deliverer;
use crate::{
    clock::millis,
    finishing::to_the_end,
    model::{
        delivery::{Delivery, NewDelivery},
        event::{CONCERNS, DEPTH_MAX, Event, NewEvent, size},
        id::EventId,
        outcome::Failure,
        parameter,
        repeat::{RepeatKey, digest},
        trigger::Trigger,
        webhook::Webhook,
    },
    services::Services,
    store::{AcceptEvent, Accepted, Claimed, Dedup, StoreError},
    traces::Span,
    volatile::window::{Rules, Slot},
};

/// The source of operational events.
pub const SOURCE: &str = "hookwright";

/// An event as it came in, checked.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// The event.
    pub event: NewEvent,
    /// Merged into its session in the same commit.
    pub parameters: Map<String, Value>,
    /// What makes a repeat.
    pub dedup: Option<RepeatKey>,
}

/// What became of an event.
#[derive(Debug)]
pub struct Outcome {
    /// Its identifier, or that of the event it repeats.
    pub id: EventId,
    /// The event as accepted, and how many webhooks it matched; absent: it repeats one.
    pub new: Option<(Arc<Event>, usize)>,
}

/// Why events were not accepted.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// An event went through too many calls to ourselves.
    #[error("the event went through {DEPTH_MAX} calls to this host already: a webhook and a receiver call each other in a loop")]
    Loop,
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An event with what it owes, and what is held meanwhile.
pub struct Prepared {
    event: AcceptEvent,
    held: Held,
}

/// What is held for an event until it is committed.
pub struct Held {
    /// One for each delivery, if it is taken along.
    slots: Vec<Option<Slot>>,
    span: Span,
}

/// Matches and commits `incoming`, all or none. Returns the outcomes in order, and the attempts that were started.
pub async fn accept(services: &Services, incoming: Vec<Incoming>) -> Result<(Vec<Outcome>, Vec<JoinHandle<()>>), AcceptError> {
    let prepared = incoming.into_iter().map(|one| prepare(services, one)).collect::<Result<Vec<_>, _>>()?;
    let (events, held) = apart(prepared);
    let owned = services.clone();
    // When the client leaves, the events may be on disk and their deliveries leased: they are sent all the same.
    to_the_end(&services.tasks, async move {
        let accepted = owned.store.accept(events, owned.limits.lease).await?;
        Ok(start(&owned, accepted, held))
    })
    .await
}

/// An event with the deliveries it owes. Those there is room for are sent from memory; the others wait in the store.
pub fn prepare(services: &Services, incoming: Incoming) -> Result<Prepared, AcceptError> {
    let Incoming { mut event, parameters, dedup } = incoming;
    if event.depth >= DEPTH_MAX {
        return Err(AcceptError::Loop);
    }
    let mut span = services.traces.inner("accept", event.trace.as_ref());
    if span.is_recording() {
        span.set("hookwright.event.trigger", event.trigger.to_string());
    }
    event.trace = span.context().cloned();
    let matched = services.traces.within("match", &span);
    let matching = services.catalog.snapshot().matching(&event);
    drop(matched);
    let owed = matching.iter().map(|(webhook, is_told)| owed(services, webhook, &event, *is_told));
    let (deliveries, slots) = owed.unzip();
    let dedup = dedup.map(|key| Dedup { key: key.bytes(), body: body_digest(&event, &parameters) });
    Ok(Prepared { event: AcceptEvent { event, dedup, parameters: parameter::changes(parameters), deliveries }, held: Held { slots, span } })
}

/// What the store is given, and what is held for each event.
pub fn apart(prepared: Vec<Prepared>) -> (Vec<AcceptEvent>, Vec<Held>) {
    prepared.into_iter().map(|Prepared { event, held }| (event, held)).unzip()
}

/// Starts what was taken along, and wakes the dispatcher for the rest.
pub fn start(services: &Services, accepted: Vec<Accepted>, held: Vec<Held>) -> (Vec<Outcome>, Vec<JoinHandle<()>>) {
    let mut started = Vec::new();
    let mut is_left = false;
    let outcomes = accepted
        .into_iter()
        .zip(held)
        .map(|(one, Held { slots, mut span })| match one {
            Accepted::New { event, claimed } => {
                if span.is_recording() {
                    span.set("hookwright.event.id", event.id.to_string());
                    span.set("hookwright.event.deliveries", i64::try_from(slots.len()).unwrap_or(i64::MAX));
                }
                // What is sent now is no part of it.
                drop(span);
                is_left |= claimed.len() < slots.len();
                let matched = slots.len();
                services.metrics.event_accepted(matched as u64);
                for (claimed, slot) in claimed.into_iter().zip(slots) {
                    match claimed.zip(slot) {
                        Some((claimed, slot)) => started.push(begin(services, claimed, slot)),
                        None => is_left = true,
                    }
                }
                Outcome { id: event.id.clone(), new: Some((event, matched)) }
            }
            Accepted::Duplicate { id } => {
                services.metrics.event_repeated();
                span.set("hookwright.event.repeated", true);
                Outcome { id, new: None }
            }
        })
        .collect();
    if is_left {
        services.window.wake();
    }
    (outcomes, started)
}

/// Starts an attempt at what is claimed, in the slot held for it (decision: memory-first). The handle ends with the attempt, and with the event that
/// tells of an answer that cannot be read.
pub fn begin(services: &Services, claimed: Claimed, slot: Slot) -> JoinHandle<()> {
    let services = services.clone();
    services.tasks.clone().spawn(async move {
        if let Some(failure) = deliverer::run(&services, &claimed, slot).await {
            binding_failed(&services, &claimed.delivery, &failure).await;
        }
    })
}

/// The delivery of `event` to `webhook`; also its slot, if it has one. `is_told`: the filter came to its end.
fn owed(services: &Services, webhook: &Arc<Webhook>, event: &NewEvent, is_told: bool) -> (NewDelivery, Option<Slot>) {
    let environment = event.environment.as_deref();
    let endpoint = webhook.endpoint(environment);
    let there = webhook.in_environment(environment);
    let (lane, is_told) = match webhook.ordering.lane(event, || event.clone().accepted(0, event.time).document()) {
        Ok(lane) => (lane, is_told),
        Err(_) => (None, false),
    };
    // What is refused for the budget of a path is refused alone: others of the batch are not.
    let batch = webhook.batch.filter(|_| is_told);
    // A batch is closed before it is sent; nothing can be taken along.
    let slot = match batch {
        Some(_) => None,
        None => services.window.take(&endpoint, Rules::of(there), size(&event.data), services.clock.now()),
    };
    let (webhook_id, name) = (webhook.id.clone(), webhook.name.clone());
    let new = NewDelivery { webhook_id, webhook: name, endpoint, lane, batch, take: slot.is_some() };
    (new, slot)
}

/// Whether this came before, and is still remembered.
pub async fn is_repeat(services: &Services, key: RepeatKey) -> Result<bool, StoreError> {
    services.store.has_dedup(key.bytes()).await
}

/// What must be the same for a repeat to be one: everything the producer wrote, but not when we read it.
fn body_digest(event: &NewEvent, parameters: &Map<String, Value>) -> [u8; 32] {
    let NewEvent { trigger, source, session, environment, attributes, data, .. } = event;
    let written = json!([trigger, source, session, environment, attributes, data, parameters]);
    digest(&[&written.to_string()])
}

/// Emits `webhook.binding_failed`: an endpoint accepted a delivery, and its answer could not be read.
pub async fn binding_failed(services: &Services, delivery: &Delivery, failure: &Failure) {
    let Failure { kind, detail, .. } = failure;
    let data =
        json!({ "webhook": delivery.webhook, "id": delivery.webhook_id, "delivery": delivery.id, "failure": kind, "detail": detail });
    tell(services, delivery, "webhook.binding_failed", data).await;
}

/// Writes an operational event about a delivery, unless nobody selects it. Never delivered to the webhook it concerns.
pub async fn tell(services: &Services, delivery: &Delivery, name: &str, data: Value) {
    let Ok(trigger) = Trigger::parse(name) else { return };
    let now = services.clock.now();
    let event = NewEvent {
        id: EventId::operational(delivery.webhook_id.as_str(), &format!("{name} {}", delivery.id), millis(now)),
        trigger,
        source: SOURCE.to_owned(),
        time: now,
        session: delivery.session.clone(),
        environment: delivery.environment.clone(),
        attributes: BTreeMap::from([(CONCERNS.to_owned(), delivery.webhook_id.0.clone())]),
        data,
        call: None,
        // Who is told may invoke what fails again: the chain has an end (decision: bounded-chains).
        depth: delivery.depth.saturating_add(1),
        trace: delivery.trace.clone(),
    };
    if services.catalog.snapshot().matching(&event).is_empty() {
        return;
    }
    let incoming = Incoming { event, parameters: Map::<String, Value>::new(), dedup: None };
    if let Err(error) = accept(services, vec![incoming]).await {
        tracing::warn!(delivery = %delivery.id, %error, event = name, "nobody is told of an operational event");
    }
}
