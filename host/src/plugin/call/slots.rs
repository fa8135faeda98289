//! Which call gets the next free instance: of the waiting calls, the one whose plugin has the fewest instances. So plugins that hold all
//! instances delay another plugin only until the first instance is returned.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::{config::Limits, lock::lock, metrics::PoolState, model::plugin::PluginFailure};

/// Instances kept for trials at upload, so that a burst of calls cannot stop one.
pub(in crate::plugin) const TRIALS_MAX: u32 = 2;

/// What an instance is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plugin) enum SlotKind {
    /// A transform, or the reading of an answer: ends by itself.
    Build,
    /// A receiver: it may wait for webhooks whose transforms need instances too.
    Receive,
    /// A trial at upload.
    Trial,
}

/// The instances. Receivers get three quarters at most: what they invoke must find one.
pub(in crate::plugin) struct Slots {
    shared: Arc<Shared>,
    trials: Arc<Semaphore>,
    max: usize,
    queue_max: usize,
}

/// Leave to have an instance, until it is dropped.
pub(in crate::plugin) enum Permit {
    /// One of the instances of calls.
    Call(#[expect(dead_code, reason = "held for its drop")] Taken),
    /// One of those for trials.
    Trial(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit),
}

struct Shared(Mutex<State>);

struct State {
    free: usize,
    free_for_receivers: usize,
    /// Instances each plugin has.
    held: HashMap<Arc<str>, usize>,
    /// Who waits, in the order of coming.
    waiting: VecDeque<Waiter>,
}

struct Waiter {
    plugin: Arc<str>,
    kind: SlotKind,
    turn: oneshot::Sender<Result<Taken, PluginFailure>>,
}

/// An instance that was given out; given back when dropped.
pub(in crate::plugin) struct Taken {
    shared: Arc<Shared>,
    plugin: Arc<str>,
    kind: SlotKind,
}

impl Slots {
    pub(in crate::plugin) fn new(limits: &Limits) -> Self {
        let all = limits.plugin_instances_max.max(2) as usize;
        let state = State { free: all, free_for_receivers: (all - all / 4).min(all - 1), held: HashMap::new(), waiting: VecDeque::new() };
        Self {
            shared: Arc::new(Shared(Mutex::new(state))),
            trials: Arc::new(Semaphore::new(TRIALS_MAX as usize)),
            max: all,
            queue_max: limits.plugin_queue_max,
        }
    }

    /// How much of it is in use, trials apart.
    pub(in crate::plugin) fn pool(&self) -> PoolState {
        let state = self.shared.state();
        let waiting = state.waiting.iter().filter(|waiter| !waiter.turn.is_closed()).count();
        PoolState { max: self.max, in_use: self.max.saturating_sub(state.free), waiting }
    }

    /// Waits for an instance for `plugin`; refuses when too many wait already.
    pub(in crate::plugin) async fn take(&self, kind: SlotKind, plugin: &str) -> Result<Permit, PluginFailure> {
        if kind == SlotKind::Trial {
            // The semaphore is never closed.
            return Arc::clone(&self.trials).acquire_owned().await.map(Permit::Trial).map_err(|_| PluginFailure::Busy(0));
        }
        let turn = match self.shared.ask(kind, plugin, self.queue_max)? {
            Asked::Taken(taken) => return Ok(Permit::Call(taken)),
            Asked::Waits(turn) => turn,
        };
        // A call that stops waiting drops its end: an instance that was on its way to it goes to the next.
        turn.await.map_err(|_| PluginFailure::Busy(self.queue_max))?.map(Permit::Call)
    }
}

enum Asked {
    Taken(Taken),
    Waits(oneshot::Receiver<Result<Taken, PluginFailure>>),
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }

    fn ask(self: &Arc<Self>, kind: SlotKind, plugin: &str, queue_max: usize) -> Result<Asked, PluginFailure> {
        let mut state = self.state();
        let plugin = Arc::from(plugin);
        // A call that waits although there is room for it is a receiver's; it is served when its room is freed.
        if state.has_room(kind) && (kind == SlotKind::Build || !state.waiting.iter().any(|waiter| waiter.kind == kind)) {
            return Ok(Asked::Taken(self.give(&mut state, plugin, kind)));
        }
        state.waiting.retain(|waiter| !waiter.turn.is_closed());
        let pushed_out = if state.waiting.len() >= queue_max {
            let full = PluginFailure::Busy(state.waiting.len());
            let Some(place) = state.place_of_the_greediest(&plugin) else { return Err(full) };
            state.waiting.remove(place).map(|waiter| (waiter, full))
        } else {
            None
        };
        let (sender, turn) = oneshot::channel();
        state.waiting.push_back(Waiter { plugin, kind, turn: sender });
        drop(state);
        if let Some((waiter, full)) = pushed_out {
            drop(waiter.turn.send(Err(full)));
        }
        Ok(Asked::Waits(turn))
    }

    fn give(self: &Arc<Self>, state: &mut State, plugin: Arc<str>, kind: SlotKind) -> Taken {
        state.free -= 1;
        if kind == SlotKind::Receive {
            state.free_for_receivers -= 1;
        }
        *state.held.entry(Arc::clone(&plugin)).or_default() += 1;
        Taken { shared: Arc::clone(self), plugin, kind }
    }
}

impl State {
    fn has_room(&self, kind: SlotKind) -> bool {
        self.free > 0 && (kind != SlotKind::Receive || self.free_for_receivers > 0)
    }

    fn held_by(&self, plugin: &str) -> usize {
        self.held.get(plugin).copied().unwrap_or_default()
    }

    /// Of those there is room for, the first of a plugin that has the fewest instances.
    fn next(&self) -> Option<usize> {
        let with_room = self.waiting.iter().enumerate().filter(|(_, waiter)| self.has_room(waiter.kind));
        with_room.min_by_key(|(_, waiter)| self.held_by(&waiter.plugin)).map(|(place, _)| place)
    }

    /// The last place in the queue of the plugin that has and waits for the most, if that is more than `newcomer` would.
    fn place_of_the_greediest(&self, newcomer: &str) -> Option<usize> {
        let mut wanted: HashMap<&str, usize> = HashMap::new();
        for waiter in &self.waiting {
            *wanted.entry(&waiter.plugin).or_insert_with(|| self.held_by(&waiter.plugin)) += 1;
        }
        let own = wanted.get(newcomer).copied().unwrap_or_else(|| self.held_by(newcomer)) + 1;
        let (greediest, _) = wanted.into_iter().max_by_key(|(_, count)| *count).filter(|(_, count)| *count > own)?;
        self.waiting.iter().rposition(|waiter| &*waiter.plugin == greediest)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let shared = Arc::clone(&self.shared);
        let mut refused = Vec::new();
        let mut state = shared.state();
        state.free += 1;
        if self.kind == SlotKind::Receive {
            state.free_for_receivers += 1;
        }
        if let Some(held) = state.held.get_mut(&self.plugin) {
            *held -= 1;
            if *held == 0 {
                state.held.remove(&self.plugin);
            }
        }
        while let Some(waiter) = state.next().and_then(|place| state.waiting.remove(place)) {
            if waiter.turn.is_closed() {
                continue;
            }
            let taken = shared.give(&mut state, waiter.plugin, waiter.kind);
            // One who stopped waiting just now: what it was given goes on, once the lock is free.
            if let Err(returned) = waiter.turn.send(Ok(taken)) {
                refused.push(returned);
            }
        }
        drop(state);
        drop(refused);
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, future};

    use super::*;

    fn slots(instances: u32, queue: usize) -> Slots {
        Slots::new(&Limits { plugin_instances_max: instances, plugin_queue_max: queue, ..Limits::default() })
    }

    type Waits<'a> = future::BoxFuture<'a, Result<Permit, PluginFailure>>;

    fn waits<'a>(slots: &'a Slots, plugin: &'a str) -> Waits<'a> {
        let mut waiter = slots.take(SlotKind::Build, plugin).boxed();
        assert!((&mut waiter).now_or_never().is_none());
        waiter
    }

    fn took(waiter: Waits<'_>) -> Permit {
        waiter.now_or_never().expect("its turn").unwrap_or_else(|failure| panic!("{failure}"))
    }

    fn takes(slots: &Slots, kind: SlotKind) -> Permit {
        took(slots.take(kind, "a").boxed())
    }

    #[test]
    fn receivers_leave_instances_for_what_they_invoke() {
        let slots = slots(4, 10);
        let held: Vec<_> = (0..3).map(|_| takes(&slots, SlotKind::Receive)).collect();
        let mut fourth = slots.take(SlotKind::Receive, "a").boxed();
        assert!((&mut fourth).now_or_never().is_none());
        drop(takes(&slots, SlotKind::Build));
        assert!((&mut fourth).now_or_never().is_none(), "what a transform gives back is not a receiver's");
        drop(held);
        took(fourth);
    }

    #[test]
    fn a_full_queue_is_busy_and_whoever_leaves_makes_room() {
        let slots = slots(2, 1);
        let _held = (takes(&slots, SlotKind::Build), takes(&slots, SlotKind::Build));
        let waiter = waits(&slots, "a");
        let refused = slots.take(SlotKind::Build, "a").now_or_never();
        assert!(matches!(refused, Some(Err(PluginFailure::Busy(1)))));
        drop(waiter);
        drop(waits(&slots, "a"));
    }

    #[test]
    fn the_next_instance_goes_to_the_plugin_that_has_the_fewest() {
        let slots = slots(2, 10);
        let (first, second) = (takes(&slots, SlotKind::Build), takes(&slots, SlotKind::Build));
        let (mut third, modest) = (waits(&slots, "a"), waits(&slots, "b"));
        drop(first);
        let _modest = took(modest);
        assert!((&mut third).now_or_never().is_none());
        drop(second);
        took(third);
    }

    #[test]
    fn of_a_full_queue_the_plugin_that_wants_the_most_gives_up_its_last_place() {
        let slots = slots(2, 3);
        let _held = (takes(&slots, SlotKind::Build), takes(&slots, SlotKind::Build));
        let (mut first, mut second, third) = (waits(&slots, "a"), waits(&slots, "a"), waits(&slots, "a"));
        let mut modest = waits(&slots, "b");
        assert!(matches!(third.now_or_never(), Some(Err(PluginFailure::Busy(3)))));
        assert!((&mut first).now_or_never().is_none() && (&mut second).now_or_never().is_none() && (&mut modest).now_or_never().is_none());
    }

    #[test]
    fn an_instance_on_its_way_to_one_who_left_goes_to_the_next() {
        let slots = slots(2, 10);
        let (held, _other) = (takes(&slots, SlotKind::Build), takes(&slots, SlotKind::Build));
        let (leaves, stays) = (waits(&slots, "a"), waits(&slots, "a"));
        drop(held);
        // It was given the instance and never took it.
        drop(leaves);
        took(stays);
    }
}
