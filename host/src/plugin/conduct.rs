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
    model::{
        line::Line,
        plugin::{
            Export, PluginFailure, Says,
            breaker::{Admission, Breaker, Change, LastFailure, State},
            limits::{Limit, PluginLimits},
            rollback::{RollbackRule, Tally},
        },
    },
    turns::{Permit, Refused, Turns},
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

/// The lines of one name, whichever version is called: as many calls run at once as its limit `concurrency` says, as many wait as `queue`
/// says. A receiver may wait for a webhook whose transform is the same plugin: each has its own.
pub(super) struct Gates {
    builds: Arc<Turns>,
    receives: Arc<Turns>,
}

/// Leave to run one call.
pub(super) type Place = Permit;

impl Gates {
    /// For a plugin with these limits.
    pub(super) fn new(limits: &PluginLimits) -> Self {
        let (limit, queue) = bounds(limits);
        Self { builds: Turns::new(Line::new(limit, queue)), receives: Turns::new(Line::new(limit, queue)) }
    }

    fn both(&self) -> [&Arc<Turns>; 2] {
        [&self.builds, &self.receives]
    }

    /// The limits changed, for calls that wait too.
    pub(super) fn follow(&self, limits: &PluginLimits, now: Timestamp) {
        let (limit, queue) = bounds(limits);
        self.both().iter().for_each(|turns| turns.change(|line| line.edit(limit, queue, now)));
    }

    /// The host stops: calls that wait are sent away.
    pub(super) fn stop(&self) {
        self.both().iter().for_each(|turns| turns.change(|line| line.stop()));
    }
}

/// Calls that run at once, and calls that wait.
fn bounds(limits: &PluginLimits) -> (u32, usize) {
    (u32::try_from(limits.concurrency).unwrap_or(u32::MAX), usize::try_from(limits.queue).unwrap_or(usize::MAX))
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
    pub(super) async fn enter(&self, export: Export) -> Result<Place, PluginFailure> {
        let turns = match export {
            Export::Receive => &self.gates.receives,
            Export::Transform | Export::Answers => &self.gates.builds,
        };
        turns.enter(&self.clock).await.map_err(|refused| match refused {
            Refused::Full(queue) => PluginFailure::Limit(Limit::Queue, queue as u64),
            Refused::Stopped | Refused::Until(_) => PluginFailure::Stopping,
        })
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

    fn limited(limits: PluginLimits) -> Conduct {
        Conduct::new(Of {
            plugin: "x".into(),
            version: None,
            gates: Arc::new(Gates::new(&limits)),
            watch: None,
            clock: Arc::new(SystemClock),
            desk: Arc::default(),
        })
    }

    #[test]
    fn so_many_run_so_many_wait_and_the_next_one_is_told() {
        let conduct = limited(limits(1, 1));
        let inside = conduct.enter(Export::Receive).now_or_never().expect("at once").expect("a place");
        let mut waiting = Box::pin(conduct.enter(Export::Receive));
        assert!((&mut waiting).now_or_never().is_none());
        let refused = conduct.enter(Export::Receive).now_or_never().expect("at once");
        assert_eq!(refused.err(), Some(PluginFailure::Limit(Limit::Queue, 1)));
        assert!(conduct.enter(Export::Transform).now_or_never().is_some_and(|place| place.is_ok()), "builds have a line of their own");
        drop(inside);
        drop(waiting.now_or_never().expect("its turn").expect("a place"));
        assert!(conduct.enter(Export::Receive).now_or_never().is_some_and(|place| place.is_ok()));
    }

    #[test]
    fn who_stops_waiting_makes_room_and_a_raised_limit_holds_for_those_who_wait() {
        let conduct = limited(limits(1, 1));
        let _inside = conduct.enter(Export::Receive).now_or_never().expect("at once");
        let mut waiting = Box::pin(conduct.enter(Export::Receive));
        assert!((&mut waiting).now_or_never().is_none());
        drop(waiting);
        let mut waiting = Box::pin(conduct.enter(Export::Receive));
        assert!((&mut waiting).now_or_never().is_none());
        conduct.gates.follow(&limits(2, 1), conduct.clock.now());
        assert!(waiting.now_or_never().is_some_and(|place| place.is_ok()));
    }

    #[test]
    fn a_stop_sends_away_who_waits_and_who_comes() {
        let conduct = limited(limits(1, 1));
        let _inside = conduct.enter(Export::Receive).now_or_never().expect("at once");
        let mut waiting = Box::pin(conduct.enter(Export::Receive));
        assert!((&mut waiting).now_or_never().is_none());
        conduct.gates.stop();
        assert_eq!(waiting.now_or_never().and_then(Result::err), Some(PluginFailure::Stopping));
        assert_eq!(conduct.enter(Export::Receive).now_or_never().and_then(Result::err), Some(PluginFailure::Stopping));
    }

    fn conduct(watch: Option<Watch>) -> Arc<Conduct> {
        Arc::new(Conduct::new(Of {
            plugin: "x".into(),
            version: Some(2),
            gates: Arc::new(Gates::new(&PluginLimits::DEFAULT)),
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
