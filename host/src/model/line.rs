//! A line of waiters for a limited number of permits, as a pure state machine.
//!
//! Every step says which waiters it wakes, and with what: a permit, a time before which the endpoint is not to be called, or the stop of
//! the host. Permits are handed to waiters in the order of coming. Between two steps this holds: where somebody waits, no permit is
//! free, at least one permit is out, and the health does not forbid a call. So the end of a permit always wakes the next waiter, and
//! time alone never has to. The tests visit every reachable state of small lines.

use std::collections::VecDeque;

use jiff::Timestamp;

use super::{
    breaker::Admission,
    health::{Health, Symptom},
};

/// A place in a line. Grows in the order of coming.
pub type Ticket = u64;

/// The waiters a step wakes. They have left the line.
pub type Told<W> = Vec<(W, Verdict)>;

/// A line. `W` is how a waiter is woken.
#[derive(Clone, Debug)]
pub struct Line<W> {
    /// Permits out at once, at least 1.
    limit: u32,
    /// Waiters at once.
    queue_max: usize,
    /// Absent: every permit may be used at once.
    health: Option<Health>,
    /// Grows when the health is forgotten. A permit of an earlier generation says nothing of the health since.
    generation: u32,
    /// Permits out.
    inside: u32,
    waiting: VecDeque<(Ticket, W)>,
    last_ticket: Ticket,
    is_stopped: bool,
}

/// A permit. Its holder must [`Line::finish`] it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pass {
    generation: u32,
    is_probe: bool,
}

/// What a waiter is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go: the permit is yours.
    Go(Pass),
    /// Give up: nothing is to be called before this time.
    Back(Timestamp),
    /// Give up: the host stops.
    Stopped,
}

/// What becomes of a newcomer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// It waits no longer.
    Now(Verdict),
    /// It waits.
    Waits(Ticket),
    /// As many wait already as may.
    Full,
}

impl<W> Line<W> {
    /// An empty line.
    pub fn new(limit: u32, queue_max: usize) -> Self {
        let limit = limit.max(1);
        Self { limit, queue_max, health: None, generation: 0, inside: 0, waiting: VecDeque::new(), last_ticket: 0, is_stopped: false }
    }

    /// An empty line for an endpoint that nobody has called yet.
    pub fn with_health(limit: u32) -> Self {
        Self { health: Some(Health::new(limit)), ..Self::new(limit, usize::MAX) }
    }

    /// Permits that may be out at once now.
    pub fn at_once(&self) -> u32 {
        self.health.as_ref().map_or(self.limit, |health| health.at_once(self.limit))
    }

    /// Whether calls are allowed at `now`, without asking for a permit.
    pub fn outlook(&self, now: Timestamp) -> Admission {
        self.health.as_ref().map_or(Admission::Yes, |health| health.outlook(now))
    }

    /// Waiters that may be in the line at once.
    pub fn queue_max(&self) -> usize {
        self.queue_max
    }

    /// Whether a holder of `pass` that waited for something else meanwhile may still use it; if not, when it may ask again.
    pub fn recall(&self, pass: Pass, now: Timestamp) -> Option<Timestamp> {
        match self.outlook(now) {
            Admission::NotBefore(until) if !(pass.is_probe && pass.generation == self.generation) => Some(until),
            _ => None,
        }
    }

    /// A newcomer takes a permit, or waits; `make` says how it is woken then.
    pub fn enter(&mut self, now: Timestamp, make: impl FnOnce() -> W) -> Entry {
        if self.is_stopped {
            return Entry::Now(Verdict::Stopped);
        }
        if self.waiting.is_empty()
            && let Some(verdict) = self.next(now)
        {
            return Entry::Now(verdict);
        }
        if self.waiting.len() >= self.queue_max {
            return Entry::Full;
        }
        self.last_ticket += 1;
        self.waiting.push_back((self.last_ticket, make()));
        Entry::Waits(self.last_ticket)
    }

    /// A waiter leaves. `false`: it was woken before, and what it was told still counts: a permit must be finished.
    #[must_use]
    pub fn give_up(&mut self, ticket: Ticket) -> bool {
        let found = self.waiting.binary_search_by_key(&ticket, |(ticket, _)| *ticket);
        found.is_ok_and(|place| self.waiting.remove(place).is_some())
    }

    /// A permit comes back, with what its use showed of the endpoint.
    #[must_use]
    pub fn finish(&mut self, pass: Pass, symptom: Symptom, now: Timestamp) -> Told<W> {
        self.inside = self.inside.saturating_sub(1);
        let limit = self.limit;
        if let Some(health) = self.health.as_mut().filter(|_| pass.generation == self.generation)
            && (pass.is_probe || symptom != Symptom::None)
        {
            health.note(symptom, now, limit);
        }
        self.serve(now)
    }

    /// The limits change, for waiters too. A waiter stays, whatever the new limit of waiters is.
    #[must_use]
    pub fn edit(&mut self, limit: u32, queue_max: usize, now: Timestamp) -> Told<W> {
        let limit = limit.max(1);
        if let Some(health) = &mut self.health {
            health.limit_changes(self.limit, limit);
        }
        (self.limit, self.queue_max) = (limit, queue_max);
        self.serve(now)
    }

    /// Forgets the health of the endpoint. Waiters go by what is learned from now on.
    #[must_use]
    pub fn forget(&mut self, now: Timestamp) -> Told<W> {
        if let Some(health) = &mut self.health {
            *health = Health::new(self.limit);
            self.generation += 1;
        }
        self.serve(now)
    }

    /// Sends everybody away who waits, and everybody who comes. Permits that are out stay so until they are finished.
    #[must_use]
    pub fn stop(&mut self) -> Told<W> {
        self.is_stopped = true;
        self.waiting.drain(..).map(|(_, waiter)| (waiter, Verdict::Stopped)).collect()
    }

    /// Wakes waiters in their order until none is left or the next has to wait.
    fn serve(&mut self, now: Timestamp) -> Told<W> {
        let mut told = Vec::new();
        while !self.waiting.is_empty()
            && let Some(verdict) = self.next(now)
        {
            told.extend(self.waiting.pop_front().map(|(_, waiter)| (waiter, verdict)));
        }
        told
    }

    /// What the next in line is told; `None`: it has to wait.
    fn next(&mut self, now: Timestamp) -> Option<Verdict> {
        if let Admission::NotBefore(until) = self.outlook(now) {
            return Some(Verdict::Back(until));
        }
        if self.inside >= self.at_once() {
            return None;
        }
        let is_probe = self.health.as_mut().is_some_and(|health| health.admit(now) == Admission::Probe);
        self.inside += 1;
        Some(Verdict::Go(Pass { generation: self.generation, is_probe }))
    }
}

#[cfg(test)]
mod tests;
