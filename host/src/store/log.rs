//! Looking back: events, and what was owed for them. Newest first, page by page, with a key as the cursor.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    Store,
    delivery::{self, Record},
    engine::Engine,
    error::StoreError,
    fan_out,
    key::{self, Range},
    transaction::{Transaction, decode},
};
use crate::model::{
    delivery::{Delivery, DeliveryState},
    event::Event,
    id::{DeliveryId, EventId, WebhookId},
};

/// Records looked at for one page at most: a rare state is searched over several calls, so that none takes long.
pub(super) const EXAMINED_MAX: usize = 5_000;

/// Bytes of the records of one page, unless a single one is larger.
pub const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Some of what was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// The newest ones; fewer than the limit, even none, does not mean the end.
    pub data: Vec<T>,
    /// Where to go on; absent at the end.
    pub next: Option<String>,
}

/// Which deliveries. Everything given must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeliveryFilter {
    /// Of this webhook.
    pub webhook: Option<WebhookId>,
    /// For this event.
    pub event: Option<EventId>,
    /// In this state.
    pub state: Option<DeliveryState>,
    /// Made at or after this time.
    pub since: Option<Timestamp>,
}

impl Store {
    /// An event.
    pub async fn event(&self, id: &EventId) -> Result<Option<Event>, StoreError> {
        let engine = self.engine();
        match seq_of(&engine, id)? {
            Some(seq) => event_at(&engine, seq),
            None => Ok(None),
        }
    }

    /// Events, newest first.
    pub async fn events(&self, after: Option<String>, limit: usize) -> Result<Page<Event>, StoreError> {
        self.scan(move |engine| {
            let before = after.and_then(|cursor| cursor.parse::<u64>().ok()).unwrap_or(u64::MAX);
            let records = engine.records(key::numbered_to(key::EVENTS, before.saturating_sub(1))).rev();
            let (mut data, mut room) = (Vec::new(), Room::new(limit));
            for record in records {
                let (key, bytes) = record?;
                if !room.admits(bytes.len()) {
                    let next = data.last().map(|event: &Event| event.seq.to_string());
                    return Ok(Page { data, next });
                }
                data.push(decode_event(&key, &bytes)?);
            }
            Ok(Page { data, next: None })
        })
        .await
    }

    /// Everything owed for an event, by id.
    pub async fn event_deliveries(&self, id: &EventId) -> Result<Vec<Delivery>, StoreError> {
        let id = id.clone();
        self.scan(move |engine| match seq_of(engine, &id)? {
            Some(seq) => deliveries_of(engine, seq),
            None => Ok(Vec::new()),
        })
        .await
    }

    /// An event's deliveries, if all of them are written.
    pub async fn whole_event_deliveries(&self, id: &EventId) -> Result<Option<Vec<Delivery>>, StoreError> {
        let id = id.clone();
        self.scan(move |engine| match seq_of(engine, &id)? {
            Some(seq) if fan_out::is_under_way(engine, seq)? => Ok(None),
            Some(seq) => deliveries_of(engine, seq).map(Some),
            None => Ok(Some(Vec::new())),
        })
        .await
    }

    /// Deliveries, newest first.
    pub async fn deliveries(&self, filter: DeliveryFilter, cursor: Option<String>, limit: usize) -> Result<Page<Delivery>, StoreError> {
        self.scan(move |engine| page(engine, &filter, cursor, limit)).await
    }

    /// Deletes an event with the attempts made for it; what is not over yet is cancelled, but for batches that hold other events too.
    /// Whether there was such an event.
    pub async fn delete_event(&self, id: EventId) -> Result<bool, StoreError> {
        self.commit_scanning(move |transaction| {
            let Some(seq) = seq_of(transaction.engine, &id)? else { return Ok(false) };
            for delivery in deliveries_of(transaction.engine, seq)? {
                // What was built and sent holds its data.
                transaction.remove_range(key::attempts(&delivery.id))?;
                transaction.remove(key::built(&delivery.id))?;
                if let Some(mut record) = Record::load(transaction, key::FINISHED, &delivery.id)? {
                    record.forget_attempt(transaction)?;
                } else if delivery.further_events.is_empty() {
                    delivery::cancel(transaction, &delivery.id)?;
                }
            }
            transaction.remove_range(key::furthers(seq))?;
            transaction.remove(key::event(seq))?;
            remove_place(transaction, &id)?;
            // Its number is not given again.
            let seq = transaction.counters.seq;
            transaction.put(key::SEQ.to_vec(), &seq)?;
            Ok(true)
        })
        .await
    }
}

/// What a page still takes.
pub(super) struct Room {
    records: usize,
    bytes: usize,
    is_empty: bool,
}

impl Room {
    /// For `limit` records.
    pub(super) fn new(limit: usize) -> Self {
        Self { records: limit, bytes: PAGE_BYTES_MAX, is_empty: true }
    }

    /// Whether a record of `bytes` goes onto the page, which then has less room. The first one always does.
    pub(super) fn admits(&mut self, bytes: usize) -> bool {
        if self.records == 0 || bytes > self.bytes && !self.is_empty {
            return false;
        }
        self.records -= 1;
        self.bytes = self.bytes.saturating_sub(bytes);
        self.is_empty = false;
        true
    }
}

/// The place of an event that is there.
fn seq_of(engine: &Engine, id: &EventId) -> Result<Option<u64>, StoreError> {
    if let Some(seq) = id.seq() {
        // Its randomness must be right, too.
        return Ok(event_at(engine, seq)?.filter(|event| event.id == *id).map(|event| event.seq));
    }
    let key = key::event_seq(id);
    engine.get(&key)?.map(|bytes| decode(&key, &bytes)).transpose()
}

/// Takes an event that goes out of the index, if it is in it.
pub(super) fn remove_place(transaction: &mut Transaction<'_>, id: &EventId) -> Result<(), StoreError> {
    match id.seq() {
        Some(_) => Ok(()),
        None => transaction.remove(key::event_seq(id)),
    }
}

/// The event at a place; `None` when an invoke has it, or the event is gone.
pub(super) fn event_at(engine: &Engine, seq: u64) -> Result<Option<Event>, StoreError> {
    Ok(sized_event_at(engine, seq)?.map(|(event, _)| event))
}

/// The same, with the number of its bytes as JSON.
pub(super) fn sized_event_at(engine: &Engine, seq: u64) -> Result<Option<(Event, usize)>, StoreError> {
    let key = key::event(seq);
    engine.get(&key)?.map(|bytes| Ok((decode_event(&key, &bytes)?, bytes.len()))).transpose()
}

/// An event from its record, which was written before its number was known.
pub(super) fn decode_event(key: &[u8], bytes: &[u8]) -> Result<Event, StoreError> {
    let event: Event = decode(key, bytes)?;
    Ok(match key::number(key::EVENTS, key) {
        Some(seq) => event.at(seq),
        None => event,
    })
}

fn deliveries_of(engine: &Engine, seq: u64) -> Result<Vec<Delivery>, StoreError> {
    let mut found = BTreeMap::new();
    // The first two ranges are read again for what moved back while the others were read.
    for range in [key::LEASED, key::WAITING, key::FINISHED, key::LEASED, key::WAITING] {
        for record in engine.records(key::deliveries_of(range, seq)) {
            let (key, bytes) = record?;
            let delivery = Record::read(&key, &bytes)?.delivery;
            found.insert(delivery.id.clone(), delivery);
        }
    }
    for note in engine.keys(key::furthers(seq)) {
        if let Some(id) = key::delivery_at_end(&note?)
            && let Some(record) = delivery::find(engine, &id)?
        {
            found.insert(id, record.delivery);
        }
    }
    Ok(found.into_values().collect())
}

fn page(engine: &Engine, filter: &DeliveryFilter, cursor: Option<String>, limit: usize) -> Result<Page<Delivery>, StoreError> {
    let mut data: Vec<Delivery> = Vec::new();
    let mut last = None;
    let mut room = Room::new(limit);
    for (examined, id) in ids(engine, filter, cursor)?.enumerate() {
        if data.len() >= limit || examined >= EXAMINED_MAX {
            return Ok(Page { data, next: last });
        }
        let id = id?;
        // Swept since.
        let Some((Record { delivery, .. }, bytes)) = delivery::find_sized(engine, &id)? else { continue };
        if filter.since.is_some_and(|since| delivery.created_at < since) {
            break;
        }
        if filter.matches(&delivery) {
            if !room.admits(bytes) {
                return Ok(Page { data, next: last });
            }
            data.push(delivery);
        }
        last = Some(id.0);
    }
    Ok(Page { data, next: None })
}

impl DeliveryFilter {
    fn matches(&self, delivery: &Delivery) -> bool {
        self.webhook.as_ref().is_none_or(|webhook| delivery.webhook_id == *webhook)
            && self.event.as_ref().is_none_or(|event| delivery.event.as_ref() == Some(event) || delivery.further_events.contains(event))
            && self.state.is_none_or(|state| delivery.state == state)
    }

    /// The ranges deliveries of the state asked for are in.
    fn ranges(&self) -> &'static [&'static [u8]] {
        match self.state {
            None => &[key::LEASED, key::WAITING, key::FINISHED],
            Some(DeliveryState::Sending) => &[key::LEASED],
            Some(DeliveryState::Pending | DeliveryState::Waiting) => &[key::WAITING],
            Some(_) => &[key::FINISHED],
        }
    }
}

type Ids = Box<dyn Iterator<Item = Result<DeliveryId, StoreError>>>;

/// Candidates, newest first, from behind `cursor` on.
fn ids(engine: &Engine, filter: &DeliveryFilter, cursor: Option<String>) -> Result<Ids, StoreError> {
    if let Some(event) = &filter.event {
        let deliveries = seq_of(engine, event)?.map(|seq| deliveries_of(engine, seq)).transpose()?.unwrap_or_default();
        let ids = deliveries.into_iter().rev().map(|delivery| delivery.id);
        return Ok(Box::new(ids.filter(move |id| cursor.as_ref().is_none_or(|cursor| id.0 < *cursor)).map(Ok)));
    }
    if let Some(webhook) = &filter.webhook {
        return Ok(Box::new(descending(engine, key::webhook_deliveries(webhook), cursor.as_deref())));
    }
    let mut ranges: Vec<_> =
        filter.ranges().iter().map(|range| descending(engine, key::under(range), cursor.as_deref()).peekable()).collect();
    Ok(Box::new(std::iter::from_fn(move || {
        let id = |candidate: Option<&Result<DeliveryId, StoreError>>| candidate.and_then(|id| id.as_ref().ok()).cloned();
        for range in &mut ranges {
            if let Some(failure) = range.next_if(Result::is_err) {
                return Some(failure);
            }
        }
        let newest = ranges.iter_mut().filter_map(|range| id(range.peek())).max()?;
        for range in &mut ranges {
            // In two ranges while it moves.
            range.next_if(|candidate| candidate.as_ref().is_ok_and(|id| *id == newest));
        }
        Some(Ok(newest))
    })))
}

/// The ids at the ends of the keys in `range`, from the last one before `cursor` down.
fn descending(engine: &Engine, range: Range, cursor: Option<&str>) -> impl Iterator<Item = Result<DeliveryId, StoreError>> + use<> {
    let start = range.0.len();
    engine.keys(before(range, cursor)).rev().map(move |key| Ok(DeliveryId(key::tail(&key?, start).unwrap_or_default())))
}

/// The part of `range` before the key that ends in `cursor`.
pub(super) fn before(range: Range, cursor: Option<&str>) -> Range {
    match cursor {
        Some(cursor) => {
            let end = [range.0.as_slice(), cursor.as_bytes()].concat().min(range.1);
            (range.0, end)
        }
        None => range,
    }
}
