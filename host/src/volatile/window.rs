//! Which deliveries are in memory, and which of them may be sent now.
//!
//! A delivery needs a [`Slot`] to be in memory at all, and a [`Turn`] to be sent: a permit of its endpoint, then one of all. It waits for
//! both in a line ([`crate::turns`]), which a change of its webhook and the stop of the host reach. Slots are bounded over everything and per endpoint, so that one that is slow or dead fills no more than its part; what finds
//! none waits in the store, and the dispatcher is told when there is room again. Rates, breakers and limits are this process's own.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use jiff::Timestamp;
use tokio::sync::Notify;

use crate::{
    clock::SharedClock,
    config::Limits,
    lock::lock,
    model::{
        breaker::Admission,
        health::Symptom,
        id::{EndpointId, WebhookId},
        line,
        token_bucket::{Rate, TokenBucket},
        webhook::Webhook,
    },
    turns::{Permit, Refused, Turns},
};

/// Deliveries of one endpoint that may wait in memory behind the deliveries being sent.
const NEXT_MAX: usize = 256;

/// What an endpoint's webhook allows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// Deliveries being sent at once.
    pub in_flight: u32,
    /// Deliveries begun in a second on average.
    pub per_second: Option<f64>,
    /// Nothing is sent any more: the webhook is inactive or deleted, and its deliveries are cancelled at their turn.
    pub is_gone: bool,
}

impl Rules {
    /// Rules for deliveries that are cancelled instead of sent.
    pub const NONE: Self = Self { in_flight: 64, per_second: None, is_gone: true };

    /// What a webhook says.
    pub fn of(webhook: &Webhook) -> Self {
        Self { in_flight: webhook.in_flight, per_second: webhook.per_second, is_gone: false }
    }
}

/// The window. Cheap to clone.
#[derive(Clone)]
pub struct Window {
    shared: Arc<Shared>,
}

struct Shared {
    held_max: usize,
    held_bytes_max: usize,
    held: AtomicUsize,
    held_bytes: AtomicUsize,
    /// Deliveries being sent at once, over all endpoints.
    all: Arc<Turns>,
    lines: Mutex<HashMap<EndpointId, Arc<Line>>>,
    /// Wakes the dispatcher: something is due, or there is room for it.
    due: Notify,
    /// The host stops: nothing is begun any more.
    is_stopped: AtomicBool,
}

/// Everything of one endpoint.
struct Line {
    endpoint: EndpointId,
    /// Deliveries that wait to be sent or are being sent, and how the endpoint is doing.
    turns: Arc<Turns>,
    room: Mutex<LineRoom>,
}

/// How much of an endpoint's backlog is in memory.
struct LineRoom {
    rules: Rules,
    held: usize,
    /// What is left of the rate.
    bucket: TokenBucket,
    /// A delivery of the endpoint waits in the store because there was no room.
    is_starved: bool,
}

impl Line {
    fn new(endpoint: EndpointId, rules: Rules, now: Timestamp) -> Self {
        let room = LineRoom { rules, held: 0, bucket: TokenBucket::full(now), is_starved: false };
        Self { endpoint, turns: Turns::new(line::Line::with_health(rules.in_flight)), room: Mutex::new(room) }
    }

    fn room(&self) -> MutexGuard<'_, LineRoom> {
        lock(&self.room)
    }

    /// Applies these rules from now on, to waiting deliveries too.
    fn follow(&self, rules: Rules, now: Timestamp) {
        let before = {
            let mut room = self.room();
            if room.rules.per_second != rules.per_second {
                room.bucket = TokenBucket::full(now);
            }
            std::mem::replace(&mut room.rules, rules)
        };
        if before.in_flight != rules.in_flight {
            self.turns.change(|line| line.edit(rules.in_flight, usize::MAX, now));
        }
    }

    /// Goes by these rules, and by nothing that was known of the endpoint.
    fn begin_again(&self, rules: Rules, now: Timestamp) {
        self.follow(rules, now);
        self.turns.change(|line| line.forget(now));
    }
}

/// What the dispatcher may claim for an endpoint.
#[derive(Default)]
pub struct Room {
    /// A slot each.
    pub slots: Vec<Slot>,
    /// When there may be more; `None`: the dispatcher is woken.
    pub again_at: Option<Timestamp>,
}

impl Window {
    /// An empty window.
    pub fn new(limits: &Limits) -> Self {
        let shared = Shared {
            held_max: limits.deliveries_held_max,
            held_bytes_max: limits.deliveries_held_bytes_max,
            held: AtomicUsize::new(0),
            held_bytes: AtomicUsize::new(0),
            all: Turns::new(line::Line::new(u32::try_from(limits.deliveries_in_flight_max).unwrap_or(u32::MAX), usize::MAX)),
            lines: Mutex::default(),
            due: Notify::new(),
            is_stopped: AtomicBool::new(false),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Tells the dispatcher to look for what is due.
    pub fn wake(&self) {
        self.shared.due.notify_one();
    }

    /// Ends when [`Window::wake`] was called.
    pub async fn woken(&self) {
        self.shared.due.notified().await;
    }

    /// A slot for a delivery that is about to be accepted, of `bytes`; `None`: it waits in the store.
    pub fn take(&self, endpoint: &EndpointId, rules: Rules, bytes: usize, now: Timestamp) -> Option<Slot> {
        let mut slot = self.room(endpoint, rules, 1, now).slots.pop()?;
        slot.weigh(bytes);
        Some(slot)
    }

    /// Slots for up to `most` deliveries of an endpoint that wait in the store.
    pub fn room(&self, endpoint: &EndpointId, rules: Rules, most: usize, now: Timestamp) -> Room {
        // Held until the slots are counted: a line that is empty for a moment may be dropped by others.
        let mut lines = self.lines();
        let line = line_of(&mut lines, endpoint, rules, now);
        self.room_in(&line, now, most)
    }

    /// A webhook was changed or activated: what waits goes by its new rules, and by nothing that was known of its endpoints.
    pub fn changed(&self, webhook: &Arc<Webhook>, now: Timestamp) {
        if !webhook.active {
            return self.forget(&webhook.id, now);
        }
        let of = |name: &String| (webhook.endpoint(Some(name)), Rules::of(webhook.in_environment(Some(name))));
        let overrides: HashMap<_, _> = webhook.environments.keys().map(of).collect();
        for line in self.lines_of(&webhook.id) {
            line.begin_again(overrides.get(&line.endpoint).copied().unwrap_or_else(|| Rules::of(webhook)), now);
        }
        self.wake();
    }

    /// A webhook was deactivated or deleted: what waits is woken, to be cancelled. A line is dropped once nothing of it is in memory.
    pub fn forget(&self, webhook: &WebhookId, now: Timestamp) {
        for line in self.lines_of(webhook) {
            line.begin_again(Rules::NONE, now);
            self.shared.drop_if_empty(&line);
        }
        self.wake();
    }

    /// The host stops: waiting deliveries are refused their turn, and no delivery is begun any more.
    pub fn stop(&self) {
        self.shared.is_stopped.store(true, Ordering::SeqCst);
        let lines: Vec<_> = self.lines().values().cloned().collect();
        lines.iter().for_each(|line| line.turns.change(|line| line.stop()));
        self.shared.all.change(|line| line.stop());
    }

    /// How many deliveries of each endpoint are in memory.
    pub fn held(&self) -> Vec<(EndpointId, usize)> {
        let held = |(endpoint, line): (&EndpointId, &Arc<Line>)| (endpoint.clone(), line.room().held);
        self.lines().iter().map(held).filter(|(_, held)| *held > 0).collect()
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<EndpointId, Arc<Line>>> {
        self.shared.lines()
    }

    fn lines_of(&self, webhook: &WebhookId) -> Vec<Arc<Line>> {
        self.lines().values().filter(|line| line.endpoint.webhook() == *webhook).cloned().collect()
    }

    fn room_in(&self, line: &Arc<Line>, now: Timestamp, wanted: usize) -> Room {
        if self.shared.is_stopped.load(Ordering::SeqCst) {
            return Room::default();
        }
        let mut state = line.room();
        let capacity = match line.turns.outlook(now) {
            (Admission::NotBefore(until), _) => return Room { slots: Vec::new(), again_at: Some(until) },
            (Admission::Probe, _) => 1,
            (Admission::Yes, at_once) => self.share(at_once as usize),
        };
        let most = wanted.min(capacity.saturating_sub(state.held));
        let mut room = Room::default();
        while room.slots.len() < most {
            if let Err(until) = state.spend(now) {
                room.again_at = Some(until);
                break;
            }
            room.slots.push(Slot { line: Arc::clone(line), window: Arc::clone(&self.shared), bytes: 0 });
        }
        state.is_starved |= room.slots.len() < wanted && room.again_at.is_none();
        state.held += room.slots.len();
        self.shared.held.fetch_add(room.slots.len(), Ordering::Relaxed);
        room
    }

    /// How many of one endpoint may be held, of which `at_once` may be sent. When much is held already, no more than that.
    fn share(&self, at_once: usize) -> usize {
        let Shared { held, held_max, held_bytes, held_bytes_max, .. } = &*self.shared;
        let is_tight = held.load(Ordering::Relaxed) * 2 >= *held_max || held_bytes.load(Ordering::Relaxed) >= *held_bytes_max;
        if is_tight { at_once } else { at_once + NEXT_MAX }
    }
}

/// The line of an endpoint, which goes by these rules from now on.
fn line_of(lines: &mut HashMap<EndpointId, Arc<Line>>, endpoint: &EndpointId, rules: Rules, now: Timestamp) -> Arc<Line> {
    let Some(line) = lines.get(endpoint) else {
        let line = Arc::new(Line::new(endpoint.clone(), rules, now));
        lines.insert(endpoint.clone(), Arc::clone(&line));
        return line;
    };
    if line.room().rules != rules {
        line.follow(rules, now);
    }
    Arc::clone(line)
}

impl Shared {
    fn lines(&self) -> MutexGuard<'_, HashMap<EndpointId, Arc<Line>>> {
        lock(&self.lines)
    }

    /// Drops the line of a webhook that is gone, once nothing of it is in memory.
    fn drop_if_empty(&self, line: &Arc<Line>) {
        let mut lines = self.lines();
        let is_empty = {
            let room = line.room();
            room.rules.is_gone && room.held == 0
        };
        if is_empty && lines.get(&line.endpoint).is_some_and(|kept| Arc::ptr_eq(kept, line)) {
            lines.remove(&line.endpoint);
        }
    }
}

impl LineRoom {
    /// Takes one permit of the rate limit. `Err`: the time from which the next permit is free.
    fn spend(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        self.rules.per_second.map_or(Ok(()), |per_second| self.bucket.take(Rate::per_second(per_second), now))
    }
}

/// A place in memory for one delivery.
pub struct Slot {
    line: Arc<Line>,
    window: Arc<Shared>,
    bytes: usize,
}

impl Slot {
    /// Says how much the delivery holds.
    pub fn weigh(&mut self, bytes: usize) {
        self.window.held_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.window.held_bytes.fetch_sub(std::mem::replace(&mut self.bytes, bytes), Ordering::Relaxed);
    }

    /// Waits until the delivery may be sent: for its endpoint's turn first, so that a slow endpoint does not hold what others could use.
    pub async fn turn(&self, clock: &SharedClock) -> Result<Turn, Refused> {
        let endpoint = self.line.turns.enter(clock).await?;
        let all = self.window.all.enter(clock).await?;
        // The endpoint may have asked to be spared while this waited for others.
        match endpoint.recall() {
            Some(until) => Err(Refused::Until(until)),
            None => Ok(Turn { all, endpoint }),
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.window.held.fetch_sub(1, Ordering::Relaxed);
        self.window.held_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        let is_last = {
            let mut state = self.line.room();
            state.held = state.held.saturating_sub(1);
            // Claiming a few at once is cheaper than each alone.
            if state.is_starved && state.held <= state.rules.in_flight as usize {
                state.is_starved = false;
                self.window.due.notify_one();
            }
            state.rules.is_gone && state.held == 0
        };
        if is_last {
            self.window.drop_if_empty(&self.line);
        }
    }
}

/// Permits to send one delivery.
pub struct Turn {
    #[expect(dead_code, reason = "held for its drop")]
    all: Permit,
    endpoint: Permit,
}

impl Turn {
    /// What the attempt says of the endpoint; noted when the turn is over.
    pub fn shows(&mut self, symptom: Symptom) {
        self.endpoint.shows(symptom);
    }
}

#[cfg(test)]
mod tests;
