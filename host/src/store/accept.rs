//! Acceptance: an event, its deliveries, its dedup key and the parameters it sets, all or nothing.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Store, batch,
    claim::Claimed,
    delivery::Record,
    error::StoreError,
    fan_out::{self, FAN_OUT_FROM, WITH_EVENTS_MAX},
    key, lane,
    lease::Token,
    session,
    transaction::{Transaction, decode, encode},
};
use crate::{
    clock,
    model::{
        delivery::{Delivery, InvokeInput, NewDelivery},
        event::{Event, NewEvent},
        id::{DeliveryId, EndpointId, EventId, WebhookId},
        parameter::Change,
        trace::TraceContext,
    },
};

/// An event to be accepted.
#[derive(Clone, Debug)]
pub struct AcceptEvent {
    /// The event.
    pub event: NewEvent,
    /// What it is recognised by when it comes again.
    pub dedup: Option<Dedup>,
    /// Changes to the parameters of its session.
    pub parameters: Vec<Change>,
    /// The webhooks that match.
    pub deliveries: Vec<NewDelivery>,
}

/// What an event is recognised by when it comes again: hashes, made by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dedup {
    /// Of who sends and the key given.
    pub key: [u8; 32],
    /// Of what was sent.
    pub body: [u8; 32],
}

/// What became of an event to be accepted.
#[derive(Clone, Debug)]
pub enum Accepted {
    /// It is new.
    New {
        /// The event as accepted.
        event: Arc<Event>,
        /// For each of the deliveries given, in their order, the one that was taken along, leased to the caller; `None`: it waits in
        /// the store. Empty when they are written in steps.
        claimed: Vec<Option<Claimed>>,
    },
    /// It was accepted before.
    Duplicate {
        /// As this event.
        id: EventId,
    },
}

/// A webhook to be invoked.
#[derive(Clone, Debug)]
pub struct NewInvoke {
    /// The webhook.
    pub webhook_id: WebhookId,
    /// Its name now.
    pub webhook: String,
    /// The session whose parameters it reads and binds.
    pub session: Option<String>,
    /// The environment whose overrides apply.
    pub environment: Option<String>,
    /// Changes to the session's parameters, made first.
    pub parameters: Vec<Change>,
    /// What else it is given.
    pub input: InvokeInput,
    /// Calls to ourselves it has gone through.
    pub depth: u8,
    /// The trace it belongs to.
    pub trace: Option<TraceContext>,
}

/// A dedup key as kept.
#[derive(Serialize, Deserialize)]
pub(super) struct Seen {
    body: String,
    event: EventId,
    pub(super) until: Timestamp,
}

/// An event to be accepted, as far as it can be made ready before its turn.
pub(super) struct Ready {
    event: Event,
    encoded: Vec<u8>,
    dedup: Option<Dedup>,
    parameters: Vec<Change>,
    deliveries: Vec<NewDelivery>,
}

impl Ready {
    /// Writes the event down, but for its number: that is in its key.
    pub(super) fn new(event: AcceptEvent, now: Timestamp) -> Result<Self, StoreError> {
        let AcceptEvent { event, dedup, parameters, deliveries } = event;
        let event = event.accepted(0, now);
        Ok(Self { encoded: encode(&event)?, event, dedup, parameters, deliveries })
    }

    /// About what it holds.
    pub(super) fn bytes(&self) -> usize {
        2 * self.encoded.len() + 512 * self.deliveries.len()
    }
}

/// How long what acceptance makes lasts.
#[derive(Clone, Copy)]
pub(super) struct Lives {
    pub(super) lease: Duration,
    pub(super) session: session::Rules,
    pub(super) dedup: Duration,
    /// Deliveries that may wait before nothing more is accepted.
    pub(super) backlog_max: u64,
}

/// Writes events and all that belongs to them, in this order.
pub(super) fn accept_all(transaction: &mut Transaction<'_>, ready: Vec<Ready>, lives: Lives) -> Result<Vec<Accepted>, StoreError> {
    let mut room = WITH_EVENTS_MAX;
    ready.into_iter().enumerate().map(|(index, ready)| accept(transaction, index, ready, lives, &mut room)).collect()
}

/// Writes one event and all that belongs to it. In `room` is how many deliveries may still be written with it.
fn accept(transaction: &mut Transaction<'_>, index: usize, ready: Ready, lives: Lives, room: &mut usize) -> Result<Accepted, StoreError> {
    let Ready { event, encoded, dedup, parameters, deliveries } = ready;
    if let Some(dedup) = &dedup
        && let Some(seen) = transaction.get::<Seen>(&key::dedup(&dedup.key))?
        && seen.until > transaction.now
    {
        let same = seen.body == hex::encode(dedup.body);
        return if same { Ok(Accepted::Duplicate { id: seen.event }) } else { Err(StoreError::KeyReused { index }) };
    }
    if !deliveries.is_empty() && transaction.counters.waiting >= lives.backlog_max {
        return Err(StoreError::BacklogFull { max: lives.backlog_max });
    }
    let index_key = event.id.seq().is_none().then(|| key::event_seq(&event.id));
    if let Some(key) = &index_key
        && transaction.exists(key)?
    {
        return Ok(Accepted::Duplicate { id: event.id });
    }
    let event = event.at(transaction.next_seq());
    transaction.put_new(key::event(event.seq), &encoded)?;
    if let Some(key) = index_key {
        transaction.put_new(key, &encode(&event.seq)?)?;
    }
    if let Some(Dedup { key, body }) = dedup {
        let until = clock::after(transaction.now, lives.dedup);
        let key = key::dedup(&key);
        transaction.mark(key::expiry(clock::millis(until), &key));
        transaction.put_new(key, &encode(&Seen { body: hex::encode(body), event: event.id.clone(), until })?)?;
    }
    if let Some(session) = &event.session
        && !parameters.is_empty()
    {
        session::merge(transaction, session, parameters, lives.session).map_err(|error| match error {
            StoreError::SessionFull { overflow, .. } => StoreError::SessionFull { index: Some(index), overflow },
            other => other,
        })?;
    }
    let may_overtake = transaction.counters.fan_outs > 0 && deliveries.iter().any(|new| new.lane.is_some());
    if may_overtake || deliveries.len() > FAN_OUT_FROM.min(*room) {
        fan_out::begin(transaction, event.seq, deliveries)?;
        return Ok(Accepted::New { event: Arc::new(event), claimed: Vec::new() });
    }
    *room -= deliveries.len();
    let owed = |new| owe(transaction, (&event, encoded.len()), new, lives.lease);
    let claimed = deliveries.into_iter().map(owed).collect::<Result<Vec<_>, _>>()?;
    let event = Arc::new(event);
    let with_event = |(delivery, token)| Claimed { events: vec![Arc::clone(&event)], ..Claimed::fresh(delivery, token) };
    Ok(Accepted::New { claimed: claimed.into_iter().map(|taken| taken.map(with_event)).collect(), event })
}

/// Writes the delivery of one webhook for `event`, which has `bytes` bytes; returns it with its token if it was claimed.
pub(super) fn owe(
    transaction: &mut Transaction<'_>,
    (event, bytes): (&Event, usize),
    new: NewDelivery,
    lease: Duration,
) -> Result<Option<Taken>, StoreError> {
    if let Some(rule) = new.batch {
        batch::join(transaction, (event, bytes), new, rule)?;
        return Ok(None);
    }
    let (endpoint, lane, take) = (new.endpoint.clone(), new.lane.clone(), new.take);
    let delivery = owed(event, new, transaction.now);
    put_owed(transaction, Record::new(event.seq, &endpoint, lane, delivery), take.then_some(lease))
}

/// A delivery and the token of its lease.
pub(super) type Taken = (Delivery, Token);

/// Writes a new delivery: leased, if it is to be taken along and it is its turn; otherwise it waits.
pub(super) fn put_owed(transaction: &mut Transaction<'_>, mut record: Record, take: Option<Duration>) -> Result<Option<Taken>, StoreError> {
    transaction.mark(key::webhook_delivery(&record.delivery.webhook_id, &record.delivery.id));
    let is_its_turn = lane::enter(transaction, &record)?;
    match take {
        Some(lease) if is_its_turn => {
            let token = record.put_taken(transaction, lease)?;
            Ok(Some((record.delivery, token)))
        }
        _ => {
            record.blocked = !is_its_turn;
            let now = transaction.now;
            record.put_waiting(transaction, now)?;
            Ok(None)
        }
    }
}

pub(super) fn owed(event: &Event, new: NewDelivery, now: Timestamp) -> Delivery {
    Delivery {
        event: Some(event.id.clone()),
        session: event.session.clone(),
        environment: event.environment.clone(),
        depth: event.depth,
        trace: event.trace.clone(),
        ..Delivery::new(DeliveryId::new(event.seq, &new.webhook_id, 0, 0), new.webhook_id, new.webhook, now)
    }
}

impl Store {
    /// Whether a dedup key is remembered.
    pub async fn has_dedup(&self, key: [u8; 32]) -> Result<bool, StoreError> {
        let now = self.now();
        self.scan(move |engine| {
            let key = key::dedup(&key);
            Ok(engine.get(&key)?.map(|bytes| decode::<Seen>(&key, &bytes)).transpose()?.is_some_and(|seen| seen.until > now))
        })
        .await
    }

    /// Accepts events, all or none, in this order. The deliveries of the new ones are leased to the caller for `lease_for`.
    ///
    /// Fails with [`StoreError::KeyReused`] when one of them carries a key that came with another body, and with
    /// [`StoreError::BacklogFull`] when too much waits already.
    pub async fn accept(&self, events: Vec<AcceptEvent>, lease_for: Duration) -> Result<Vec<Accepted>, StoreError> {
        let now = self.now();
        let ready: Vec<_> = events.into_iter().map(|event| Ready::new(event, now)).collect::<Result<_, _>>()?;
        let lives = self.lives(lease_for);
        self.commit(ready.iter().map(Ready::bytes).sum(), move |transaction| accept_all(transaction, ready, lives)).await
    }

    /// Records that a webhook is about to be invoked. Should the process die, the delivery has failed: its caller is gone.
    pub async fn begin_invoke(&self, invoke: NewInvoke, lease_for: Duration) -> Result<Claimed, StoreError> {
        let bytes = encode(&invoke.input)?.len();
        let rules = self.shared.sessions;
        self.commit(bytes, move |transaction| {
            let NewInvoke { webhook_id, webhook, session, environment, parameters, input, depth, trace } = invoke;
            if let Some(session) = &session
                && !parameters.is_empty()
            {
                session::merge(transaction, session, parameters, rules)?;
            }
            let (seq, now) = (transaction.next_seq(), transaction.now);
            let delivery = Delivery {
                session,
                environment,
                depth,
                trace,
                invocation: Some(input),
                ..Delivery::new(DeliveryId::new(seq, &webhook_id, 0, 0), webhook_id, webhook, now)
            };
            let endpoint = EndpointId::new(&delivery.webhook_id, None);
            let mut record = Record::new(seq, &endpoint, None, delivery);
            let token = record.put_taken(transaction, lease_for)?;
            transaction.mark(key::webhook_delivery(&record.delivery.webhook_id, &record.delivery.id));
            Ok(Claimed::fresh(record.delivery, token))
        })
        .await
    }

    pub(super) fn lives(&self, lease: Duration) -> Lives {
        Lives { lease, session: self.shared.sessions, dedup: self.shared.dedup_life, backlog_max: self.shared.backlog_max }
    }
}
