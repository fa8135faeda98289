//! How a plugin behaves, and what follows: how many of its calls run at once, whether it is set aside, whether a new version is to be
//! rolled back. What is to be done about it is news for the engine ([`Plugins::news`](super::Plugins::news)).

use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use jiff::Timestamp;
use tokio::sync::Notify;

use crate::{
    clock::SharedClock,
    model::plugin::{
        Export, PluginFailure, Says,
        breaker::{Admission, Breaker, Change, LastFailure, State},
        limits::{Limit, PluginLimits},
        rollback::{RollbackRule, Tally},
    },
};

/// Something to be told, written down and acted upon.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// A version kept failing and is set aside.
    SetAside {
        /// The plugin.
        plugin: String,
        /// Which version; `None`: the one in the binary.
        version: Option<u32>,
        /// What it failed with last.
        last: String,
    },
    /// It works again: a probe went well.
    Recovered {
        /// The plugin.
        plugin: String,
        /// Which version.
        version: Option<u32>,
    },
    /// A version that was just activated fails too often.
    Condemned {
        /// The plugin.
        plugin: String,
        /// Which version.
        version: Option<u32>,
        /// Why.
        reason: String,
    },
}

/// What there is to tell.
#[derive(Default)]
pub(super) struct NewsDesk {
    news: Mutex<Vec<News>>,
    arrived: Notify,
}

impl NewsDesk {
    fn put(&self, news: News) {
        self.news.lock().unwrap_or_else(PoisonError::into_inner).push(news);
        self.arrived.notify_one();
    }

    /// Everything there is, once there is some.
    pub async fn take(&self) -> Vec<News> {
        loop {
            let arrived = self.arrived.notified();
            let news = mem::take(&mut *self.news.lock().unwrap_or_else(PoisonError::into_inner));
            if !news.is_empty() {
                return news;
            }
            arrived.await;
        }
    }
}

/// Lets so many through at once, and so many wait; both are said by whoever comes, so that a change holds at once.
#[derive(Default)]
struct Gate {
    state: Mutex<GateState>,
    /// Told when somebody's turn may have come.
    turns: Notify,
}

#[derive(Default)]
struct GateState {
    inside: u64,
    waiting: u64,
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, GateState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn enter(self: Arc<Self>, limits: &PluginLimits) -> Result<Place, PluginFailure> {
        {
            let mut state = self.state();
            if state.waiting == 0 && state.inside < limits.concurrency {
                state.inside += 1;
                drop(state);
                return Ok(Place(self));
            }
            if state.waiting >= limits.queue {
                return Err(PluginFailure::Limit(Limit::Queue, limits.queue));
            }
            state.waiting += 1;
        }
        let waiting = Waiting(&self);
        loop {
            // Made before the look, so that whoever is told in between is not missed.
            let told = self.turns.notified();
            {
                let mut state = self.state();
                if state.inside < limits.concurrency {
                    state.inside += 1;
                    break;
                }
            }
            told.await;
        }
        drop(waiting);
        Ok(Place(self))
    }
}

/// One place in the queue; given back when the caller stops waiting, for whatever reason.
struct Waiting<'a>(&'a Gate);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.state().waiting -= 1;
        // One notice may stand for several places.
        self.0.turns.notify_one();
    }
}

/// Leave to run one call.
pub(super) struct Place(Arc<Gate>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.state().inside -= 1;
        self.0.turns.notify_one();
    }
}

/// The gates of one name, whichever version is called. A receiver may wait for a webhook whose transform is the same plugin: each has
/// its own.
#[derive(Default)]
pub(super) struct Gates {
    builds: Arc<Gate>,
    receives: Arc<Gate>,
}

/// Until when, and by which rule, a version is judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    /// When it was activated.
    pub since: Timestamp,
    /// The rule.
    pub rule: RollbackRule,
}

/// How one version of a plugin behaves. It begins anew when the plugin is changed: another version, other limits, grants, configuration.
pub struct Conduct {
    plugin: String,
    version: Option<u32>,
    gates: Arc<Gates>,
    watch: Option<Watch>,
    clock: SharedClock,
    desk: Arc<NewsDesk>,
    state: Mutex<ConductState>,
    /// Whether its last call was a long one.
    is_long: AtomicBool,
    /// Bytes of linear memory one call had at most.
    memory_most: AtomicU64,
}

#[derive(Default)]
struct ConductState {
    breaker: Breaker,
    tally: Tally,
    is_condemned: bool,
}

/// How a version stands, as shown.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Which version; `None`: the one in the binary.
    pub version: Option<u32>,
    /// Its breaker.
    pub state: State,
    /// Calls in a row that went wrong.
    pub failures: u32,
    /// What went wrong last.
    pub last_failure: Option<LastFailure>,
    /// Calls since it was activated or changed.
    pub tally: Tally,
    /// When it is no longer watched, if it is.
    pub watched_until: Option<Timestamp>,
}

/// What a [`Conduct`] is of.
pub(super) struct Of {
    /// The plugin.
    pub plugin: String,
    /// Which version.
    pub version: Option<u32>,
    /// Of the name.
    pub gates: Arc<Gates>,
    /// As long as it is new.
    pub watch: Option<Watch>,
    /// What time it is.
    pub clock: SharedClock,
    /// Where news goes.
    pub desk: Arc<NewsDesk>,
}

impl Conduct {
    /// Of a version nobody has called yet.
    pub(super) fn new(Of { plugin, version, gates, watch, clock, desk }: Of) -> Self {
        Self {
            plugin,
            version,
            gates,
            watch,
            clock,
            desk,
            state: Mutex::default(),
            is_long: AtomicBool::new(false),
            memory_most: AtomicU64::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, ConductState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether its last call was a long one, and the next one probably is.
    pub(super) fn is_long(&self) -> bool {
        self.is_long.load(Ordering::Relaxed)
    }

    /// Whether the call that just ended was.
    pub(super) fn set_long(&self, is_long: bool) {
        self.is_long.store(is_long, Ordering::Relaxed);
    }

    /// The most linear memory one call had, in bytes.
    pub(super) fn memory_most(&self) -> u64 {
        self.memory_most.load(Ordering::Relaxed)
    }

    /// How much the call that just ended had.
    pub(super) fn had_memory(&self, bytes: u64) {
        self.memory_most.fetch_max(bytes, Ordering::Relaxed);
    }

    /// How it stands.
    pub fn shown(&self) -> Shown {
        let state = self.state();
        let now = self.clock.now();
        Shown {
            version: self.version,
            state: state.breaker.state(now),
            failures: state.breaker.failures(),
            last_failure: state.breaker.last_failure().cloned(),
            tally: state.tally,
            watched_until: self.watch.map(|watch| watch.rule.ends(watch.since)).filter(|until| *until > now),
        }
    }

    /// Why it may not be called now, and until when, if it may not.
    pub fn refusal(&self) -> Option<(PluginFailure, Timestamp)> {
        let state = self.state();
        match state.breaker.outlook(self.clock.now()) {
            Admission::NotBefore(until) => Some((self.set_aside(&state.breaker, until), until)),
            Admission::Yes | Admission::Probe => None,
        }
    }

    fn set_aside(&self, breaker: &Breaker, until: Timestamp) -> PluginFailure {
        let seconds = until.duration_since(self.clock.now()).as_secs().max(0).unsigned_abs() + 1;
        let last = breaker.last_failure().map(|last| last.detail.clone()).unwrap_or_default();
        PluginFailure::SetAside { seconds, last }
    }

    /// Lets a call through, unless the version is set aside. Answers are read all the same: their request was sent.
    pub(super) fn admit(self: &Arc<Self>, export: Export) -> Result<Admitted, PluginFailure> {
        let was_probe = match export {
            Export::Answers => false,
            Export::Transform | Export::Receive => {
                let mut state = self.state();
                match state.breaker.admit(self.clock.now()) {
                    Admission::NotBefore(until) => return Err(self.set_aside(&state.breaker, until)),
                    admission => admission == Admission::Probe,
                }
            }
        };
        Ok(Admitted { conduct: Arc::clone(self), was_probe, says: Says::Nothing, failure: None })
    }

    /// Waits for a place to run in; refuses when too many wait already.
    pub(super) async fn enter(&self, export: Export, limits: &PluginLimits) -> Result<Place, PluginFailure> {
        let gate = match export {
            Export::Receive => &self.gates.receives,
            Export::Transform | Export::Answers => &self.gates.builds,
        };
        Arc::clone(gate).enter(limits).await
    }

    fn note(&self, says: Says, was_probe: bool, failure: Option<LastFailure>) {
        let now = self.clock.now();
        let mut state = self.state();
        let detail = failure.as_ref().map(|failure| failure.detail.clone()).unwrap_or_default();
        let change = state.breaker.note(says, was_probe, failure, now);
        state.tally.count(says);
        let (plugin, version) = (self.plugin.clone(), self.version);
        match change {
            Change::Opened => self.desk.put(News::SetAside { plugin, version, last: detail.clone() }),
            Change::Closed => self.desk.put(News::Recovered { plugin, version }),
            Change::None => {}
        }
        let Some(watch) = self.watch.filter(|watch| watch.rule.automatic && now < watch.rule.ends(watch.since)) else { return };
        let is_condemned = change == Change::Opened || says == Says::Ill && watch.rule.condemns(state.tally);
        if is_condemned && !mem::replace(&mut state.is_condemned, true) {
            let Tally { calls, failed } = state.tally;
            let reason = format!("{failed} of its {calls} calls failed; last: {detail}");
            self.desk.put(News::Condemned { plugin: self.plugin.clone(), version, reason });
        }
    }
}

/// A call that was let through. Whoever stops waiting for it says nothing of the version.
pub(super) struct Admitted {
    conduct: Arc<Conduct>,
    was_probe: bool,
    says: Says,
    failure: Option<LastFailure>,
}

impl Admitted {
    /// It ended well.
    pub fn went_well(mut self) {
        self.says = Says::Well;
    }

    /// It did not.
    pub fn failed(mut self, failure: &PluginFailure) {
        self.says = failure.says();
        self.failure = Some(LastFailure { at: self.conduct.clock.now(), kind: failure.kind(), detail: failure.to_string() });
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.conduct.note(self.says, self.was_probe, self.failure.take());
    }
}

impl std::fmt::Debug for Conduct {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conduct").field("plugin", &self.plugin).field("version", &self.version).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::clock::SystemClock;

    fn limits(concurrency: u64, queue: u64) -> PluginLimits {
        PluginLimits { concurrency, queue, ..PluginLimits::DEFAULT }
    }

    #[test]
    fn so_many_run_so_many_wait_and_the_next_one_is_told() {
        let gate = Arc::new(Gate::default());
        let limits = limits(1, 1);
        let inside = Arc::clone(&gate).enter(&limits).now_or_never().expect("at once").expect("a place");
        let mut waiting = Box::pin(Arc::clone(&gate).enter(&limits));
        assert!((&mut waiting).now_or_never().is_none());
        let refused = Arc::clone(&gate).enter(&limits).now_or_never().expect("at once");
        assert_eq!(refused.err(), Some(PluginFailure::Limit(Limit::Queue, 1)));
        drop(inside);
        let place = waiting.now_or_never().expect("its turn").expect("a place");
        drop(place);
        let state = gate.state();
        assert_eq!((state.inside, state.waiting), (0, 0));
    }

    #[test]
    fn who_stops_waiting_makes_room_and_a_raised_limit_holds_for_the_next() {
        let gate = Arc::new(Gate::default());
        let one = limits(1, 1);
        let _inside = Arc::clone(&gate).enter(&one).now_or_never().expect("at once");
        let mut waiting = Box::pin(Arc::clone(&gate).enter(&one));
        assert!((&mut waiting).now_or_never().is_none());
        drop(waiting);
        assert_eq!(gate.state().waiting, 0);
        assert!(Arc::clone(&gate).enter(&limits(2, 1)).now_or_never().is_some_and(|place| place.is_ok()));
    }

    fn conduct(watch: Option<Watch>) -> Arc<Conduct> {
        Arc::new(Conduct::new(Of {
            plugin: "x".into(),
            version: Some(2),
            gates: Arc::default(),
            watch,
            clock: Arc::new(SystemClock),
            desk: Arc::default(),
        }))
    }

    #[test]
    fn one_that_keeps_trapping_is_refused_and_told_of_and_a_new_one_is_condemned() {
        let rule = RollbackRule { calls_min: 100, ..RollbackRule::default() };
        let conduct = conduct(Some(Watch { since: crate::clock::Clock::now(&SystemClock), rule }));
        for _ in 0..10 {
            let admitted = conduct.admit(Export::Transform).expect("let through");
            admitted.failed(&PluginFailure::Trapped("no".into()));
        }
        let refused = conduct.admit(Export::Receive).err().expect("set aside");
        assert!(matches!(&refused, PluginFailure::SetAside { seconds: 1..=6, last } if last == "the plugin trapped: no"), "{refused:?}");
        assert!(conduct.admit(Export::Answers).is_ok());
        let news = conduct.desk.take().now_or_never().expect("news");
        assert!(
            matches!(&news[..], [News::SetAside { version: Some(2), .. }, News::Condemned { reason, .. }] if reason.starts_with("10 of its 10 calls"))
        );
    }
}
