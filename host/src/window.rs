//! What of the backlog is in memory, and who of it may send now.
//!
//! A delivery needs a [`Slot`] to be in memory at all, a [`Turn`] to be sent to its endpoint, and one of [`Window::all`] to be sent at
//! all. Slots are bounded over everything and per endpoint, so that one that is slow or dead fills no more than its part; what finds
//! none waits in the store, and the dispatcher is told when there is room again. Rates, breakers and limits are this process's own.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::{Notify, Semaphore};

use crate::{
    clock::{self, SharedClock},
    config::Limits,
    model::{
        health::{Admission, Health, Symptom},
        id::{EndpointId, WebhookId},
        webhook::Webhook,
    },
};

/// Deliveries of one endpoint that may stand behind those being sent.
const NEXT_MAX: usize = 256;

/// What an endpoint's webhook allows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// Deliveries being sent at once.
    pub in_flight: u32,
    /// Deliveries begun in a second on average.
    pub per_second: Option<f64>,
}

impl Rules {
    /// For what is not sent any more but cancelled.
    pub const NONE: Self = Self { in_flight: 64, per_second: None };

    /// What a webhook says.
    pub fn of(webhook: &Webhook) -> Self {
        Self { in_flight: webhook.in_flight, per_second: webhook.per_second }
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
    all: Arc<Semaphore>,
    lines: Mutex<HashMap<EndpointId, Arc<Line>>>,
    /// Wakes the dispatcher: something is due, or there is room for it.
    due: Notify,
}

/// Everything of one endpoint.
struct Line {
    state: Mutex<State>,
    /// Told when somebody's turn may have come.
    turns: Notify,
}

struct State {
    rules: Rules,
    held: usize,
    sending: u32,
    health: Health,
    /// When the rate allows the next, if it was kept exactly.
    next_at: Timestamp,
    /// Something of it waits in the store because there was no room.
    is_starved: bool,
}

impl Line {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
            all: Arc::new(Semaphore::new(limits.deliveries_in_flight_max)),
            lines: Mutex::default(),
            due: Notify::new(),
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

    /// Who may send at once, over all endpoints.
    pub fn all(&self) -> &Arc<Semaphore> {
        &self.shared.all
    }

    /// A slot for a delivery that is about to be accepted, of `bytes`; `None`: it waits in the store.
    pub fn take(&self, endpoint: &EndpointId, rules: Rules, bytes: usize, now: Timestamp) -> Option<Slot> {
        let line = self.line(endpoint, rules, now);
        let mut slot = self.room_in(&line, now, 1).slots.pop()?;
        slot.weigh(bytes);
        Some(slot)
    }

    /// Slots for up to `most` deliveries of an endpoint that wait in the store.
    pub fn room(&self, endpoint: &EndpointId, rules: Rules, most: usize, now: Timestamp) -> Room {
        let line = self.line(endpoint, rules, now);
        let room = self.room_in(&line, now, most);
        if room.slots.len() < most && room.again_at.is_none() {
            line.state().is_starved = true;
        }
        room
    }

    /// Forgets how the endpoints of a webhook are doing: it was changed, activated or removed.
    pub fn forget(&self, webhook: &WebhookId) {
        self.lines().retain(|endpoint, _| endpoint.webhook() != *webhook);
        self.wake();
    }

    /// How many deliveries of each endpoint are in memory.
    pub fn held(&self) -> Vec<(EndpointId, usize)> {
        let held = |(endpoint, line): (&EndpointId, &Arc<Line>)| (endpoint.clone(), line.state().held);
        self.lines().iter().map(held).filter(|(_, held)| *held > 0).collect()
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<EndpointId, Arc<Line>>> {
        self.shared.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, endpoint: &EndpointId, rules: Rules, now: Timestamp) -> Arc<Line> {
        let mut lines = self.lines();
        let line = lines.entry(endpoint.clone()).or_insert_with(|| {
            let health = Health::new(rules.in_flight);
            let state = State { rules, held: 0, sending: 0, health, next_at: now, is_starved: false };
            Arc::new(Line { state: Mutex::new(state), turns: Notify::new() })
        });
        line.state().rules = rules;
        Arc::clone(line)
    }

    fn room_in(&self, line: &Arc<Line>, now: Timestamp, most: usize) -> Room {
        let mut state = line.state();
        let capacity = match state.health.outlook(now) {
            Admission::NotBefore(until) => return Room { slots: Vec::new(), again_at: Some(until) },
            Admission::Probe => 1,
            Admission::Yes => self.share(state.health.at_once(state.rules.in_flight) as usize),
        };
        let most = most.min(capacity.saturating_sub(state.held));
        let mut room = Room::default();
        while room.slots.len() < most {
            if let Some(until) = state.spend(now) {
                room.again_at = Some(until);
                break;
            }
            room.slots.push(Slot { line: Arc::clone(line), window: Arc::clone(&self.shared), bytes: 0 });
        }
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

impl State {
    /// Takes one from the rate; `Some`: there is none before then. A second's worth may come at once.
    fn spend(&mut self, now: Timestamp) -> Option<Timestamp> {
        let per_second = self.rules.per_second?;
        let gap = Duration::from_secs_f64(1.0 / per_second);
        let burst = Duration::from_secs(1).saturating_sub(gap);
        let next_at = self.next_at.max(now);
        let allowed_at = next_at.checked_sub(burst).unwrap_or(next_at);
        if allowed_at > now {
            return Some(allowed_at);
        }
        self.next_at = clock::after(next_at, gap);
        None
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

    /// Waits until the delivery may be sent. `Err`: its endpoint is not to be called before then.
    pub async fn turn(&self, clock: &SharedClock) -> Result<Turn, Timestamp> {
        loop {
            // Made before the look, so that whoever is told in between is not missed.
            let told = self.line.turns.notified();
            {
                let mut state = self.line.state();
                let now = clock.now();
                if let Admission::NotBefore(until) = state.health.outlook(now) {
                    return Err(until);
                }
                if state.sending < state.health.at_once(state.rules.in_flight) {
                    if let Admission::NotBefore(until) = state.health.admit(now) {
                        return Err(until);
                    }
                    state.sending += 1;
                    let is_more = state.sending < state.health.at_once(state.rules.in_flight);
                    drop(state);
                    if is_more {
                        // One notice may stand for several turns.
                        self.line.turns.notify_one();
                    }
                    return Ok(Turn { line: Arc::clone(&self.line), symptom: Symptom::None, clock: Arc::clone(clock) });
                }
            }
            told.await;
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.window.held.fetch_sub(1, Ordering::Relaxed);
        self.window.held_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        let mut state = self.line.state();
        state.held = state.held.saturating_sub(1);
        // Claiming a few at once is cheaper than each alone.
        if state.is_starved && state.held <= state.rules.in_flight as usize {
            state.is_starved = false;
            self.window.due.notify_one();
        }
    }
}

/// Leave to send one delivery to its endpoint.
pub struct Turn {
    line: Arc<Line>,
    symptom: Symptom,
    clock: SharedClock,
}

impl Turn {
    /// What the attempt says of the endpoint; noted when the turn is over.
    pub fn shows(&mut self, symptom: Symptom) {
        self.symptom = symptom;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let opened = {
            let mut state = self.line.state();
            state.sending = state.sending.saturating_sub(1);
            let limit = state.rules.in_flight;
            state.health.note(self.symptom, self.clock.now(), limit)
        };
        if opened {
            // Everybody who waits gives his delivery back.
            self.line.turns.notify_waiters();
        }
        self.line.turns.notify_one();
    }
}

#[cfg(test)]
mod tests;
