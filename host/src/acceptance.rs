//! Events in: match, commit, start. What was accepted is on disk before anybody is told so (decision 1).

use std::sync::Arc;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::{
    model::{
        delivery::NewDelivery,
        event::{DEPTH_MAX, NewEvent},
        id::EventId,
        parameter,
        webhook::Webhook,
    },
    services::Services,
    store::{AcceptEvent, Accepted, Claimed, Dedup, StoreError},
};

/// An event as it came in, checked.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// The event.
    pub event: NewEvent,
    /// Merged into its session in the same commit.
    pub parameters: Map<String, Value>,
    /// What makes a repeat: the producer's source (or token) and its id or idempotency key.
    pub dedup: Option<(String, String)>,
}

/// What became of an event.
#[derive(Debug)]
pub struct Outcome {
    /// Its identifier, or that of the event it repeats.
    pub id: EventId,
    /// Whether it repeats one.
    pub duplicate: bool,
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

/// Matches and commits `incoming`, all or none. Returns the outcomes in order and the claimed deliveries, not yet started.
pub async fn accept(services: &Services, incoming: Vec<Incoming>) -> Result<(Vec<Outcome>, Vec<Claimed>), AcceptError> {
    let prepared = incoming.into_iter().map(|one| prepare(services, one)).collect::<Result<Vec<_>, _>>()?;
    let accepted = services.store.accept(prepared, services.limits.lease).await?;
    Ok(split(accepted))
}

/// An event with the deliveries it owes.
pub fn prepare(services: &Services, incoming: Incoming) -> Result<AcceptEvent, AcceptError> {
    let Incoming { event, parameters, dedup } = incoming;
    if event.depth >= DEPTH_MAX {
        return Err(AcceptError::Loop);
    }
    let matching = services.catalog.snapshot().matching(&event);
    let deliveries = matching.iter().map(owed).collect();
    let dedup = dedup.map(|(producer, key)| Dedup { key: digest(&[&producer, &key]), body: body_digest(&event, &parameters) });
    Ok(AcceptEvent { event, dedup, parameters: parameter::changes(parameters), deliveries })
}

/// Outcomes and what is to be started.
pub fn split(accepted: Vec<Accepted>) -> (Vec<Outcome>, Vec<Claimed>) {
    let mut claimed = Vec::new();
    let outcomes = accepted
        .into_iter()
        .map(|one| match one {
            Accepted::New { event, claimed: mut deliveries } => {
                claimed.append(&mut deliveries);
                Outcome { id: event.id.clone(), duplicate: false }
            }
            Accepted::Duplicate { id } => Outcome { id, duplicate: true },
        })
        .collect();
    (outcomes, claimed)
}

fn owed(webhook: &Arc<Webhook>) -> NewDelivery {
    NewDelivery { webhook_id: webhook.id.clone(), webhook: webhook.name.clone() }
}

fn digest(parts: &[&str]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().into()
}

/// What must be the same for a repeat to be one: everything the producer wrote, but not when we read it.
fn body_digest(event: &NewEvent, parameters: &Map<String, Value>) -> [u8; 32] {
    let NewEvent { trigger, source, session, environment, attributes, data, .. } = event;
    let written = serde_json::json!([trigger, source, session, environment, attributes, data, parameters]);
    digest(&[&written.to_string()])
}
