//! The asynchronous side of [`crate::model::line`]: a task waits in a line until the line wakes it, and only it.
//!
//! The line is stepped under a lock and its waiters are told under the same lock. So a ticket is in the line exactly as long as its waiter
//! has been told nothing, and a waiter that stops waiting knows which of the two holds: it leaves the line, or passes its permit on.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::oneshot;

use crate::{
    clock::SharedClock,
    model::{
        breaker::Admission,
        health::Symptom,
        line::{Entry, Line, Pass, Ticket, Told, Verdict},
    },
};

/// How a waiter is woken.
pub type Wake = oneshot::Sender<Verdict>;

/// The lock around a line. Tests put another one in its place.
pub trait Guard {
    /// Around this line.
    fn around(line: Line<Wake>) -> Self;

    /// One step, alone.
    fn step<R>(&self, step: impl FnOnce(&mut Line<Wake>) -> R) -> R;
}

impl Guard for Mutex<Line<Wake>> {
    fn around(line: Line<Wake>) -> Self {
        Self::new(line)
    }

    fn step<R>(&self, step: impl FnOnce(&mut Line<Wake>) -> R) -> R {
        step(&mut self.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A line that tasks wait in.
pub struct Turns<G = Mutex<Line<Wake>>>(G);

/// Why there is no permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Nothing is to be called before this time.
    Until(Timestamp),
    /// As many wait already as may: the bound.
    Full(usize),
    /// The host stops.
    Stopped,
}

impl<G: Guard> Turns<G> {
    /// Around this line.
    pub fn new(line: Line<Wake>) -> Arc<Self> {
        Arc::new(Self(G::around(line)))
    }

    /// Waits for a permit. The permit is given back when it is dropped.
    pub async fn enter(self: &Arc<Self>, clock: &SharedClock) -> Result<Permit<G>, Refused> {
        let (mut told, now) = (None, clock.now());
        let make = || {
            let (wake, receiver) = oneshot::channel();
            told = Some(receiver);
            wake
        };
        let verdict = match self.0.step(|line| line.enter(now, make)) {
            Entry::Now(verdict) => verdict,
            Entry::Full => return Err(Refused::Full(self.0.step(|line| line.queue_max()))),
            Entry::Waits(ticket) => {
                let Some(told) = told else { return Err(Refused::Stopped) };
                Waiter { turns: self, clock, ticket, told, is_told: false }.wait().await
            }
        };
        match verdict {
            Verdict::Go(pass) => Ok(Permit { turns: Arc::clone(self), pass, symptom: Symptom::None, clock: Arc::clone(clock) }),
            Verdict::Back(until) => Err(Refused::Until(until)),
            Verdict::Stopped => Err(Refused::Stopped),
        }
    }

    /// Changes the line, and tells each waiter that the change wakes.
    pub fn change(&self, change: impl FnOnce(&mut Line<Wake>) -> Told<Wake>) {
        self.0.step(|line| tell(change(line)));
    }

    /// Whether calls are allowed, and how many at once.
    pub fn outlook(&self, now: Timestamp) -> (Admission, u32) {
        self.0.step(|line| (line.outlook(now), line.at_once()))
    }
}

/// Tells each waiter its verdict. Done under the line's lock, so each of them still listens.
fn tell(told: Told<Wake>) {
    for (wake, verdict) in told {
        let _ = wake.send(verdict);
    }
}

/// A task that waits.
struct Waiter<'a, G: Guard> {
    turns: &'a Turns<G>,
    clock: &'a SharedClock,
    ticket: Ticket,
    told: oneshot::Receiver<Verdict>,
    is_told: bool,
}

impl<G: Guard> Waiter<'_, G> {
    async fn wait(mut self) -> Verdict {
        // A line outlives its waiters, so a waiter is always told.
        let verdict = (&mut self.told).await.unwrap_or(Verdict::Stopped);
        self.is_told = true;
        verdict
    }
}

impl<G: Guard> Drop for Waiter<'_, G> {
    fn drop(&mut self) {
        if self.is_told {
            return;
        }
        let now = self.clock.now();
        self.turns.0.step(|line| {
            if !line.give_up(self.ticket)
                && let Ok(Verdict::Go(pass)) = self.told.try_recv()
            {
                tell(line.finish(pass, Symptom::None, now));
            }
        });
    }
}

/// A permit to call, given back when it is dropped.
pub struct Permit<G: Guard = Mutex<Line<Wake>>> {
    turns: Arc<Turns<G>>,
    pass: Pass,
    symptom: Symptom,
    clock: SharedClock,
}

impl<G: Guard> Permit<G> {
    /// What its use showed of the endpoint; noted when the permit is given back.
    pub fn shows(&mut self, symptom: Symptom) {
        self.symptom = symptom;
    }

    /// Whether it must not be used any more because of what others learnt meanwhile; if so, the time before which nothing is to be called.
    pub fn recall(&self) -> Option<Timestamp> {
        let now = self.clock.now();
        self.turns.0.step(|line| line.recall(self.pass, now))
    }
}

impl<G: Guard> Drop for Permit<G> {
    fn drop(&mut self) {
        let now = self.clock.now();
        self.turns.change(|line| line.finish(self.pass, self.symptom, now));
    }
}

#[cfg(test)]
mod tests;
