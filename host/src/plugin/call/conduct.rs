//! How a plugin behaves, and what follows: how many of its calls run at once, whether it is set aside, whether a new version is to be
//! rolled back. What is to be done about it is news for the engine ([`Plugins::news`](crate::plugin::Plugins::news)).

use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use jiff::Timestamp;
use tokio::sync::Notify;

use crate::{
    clock::SharedClock,
    lock::lock,
    model::{
        breaker::Admission,
        line::Line,
        outcome::FailureKind,
        plugin::{
            Export, PluginFailure, Says,
            breaker::{Breaker, Change, Ended, LastFailure, State},
            evidence::{Evidence, Rehearsed},
            limits::{Limit, PluginLimits},
            party::{Input, Party},
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
    /// A version that was just activated fails so often that the version before is to be tried on what it failed on.
    Suspected {
        /// The plugin.
        plugin: String,
        /// Which version.
        version: Option<u32>,
    },
}

/// What there is to tell.
#[derive(Default)]
pub(in crate::plugin) struct NewsDesk {
    news: Mutex<Vec<News>>,
    arrived: Notify,
}

impl NewsDesk {
    fn put(&self, news: News) {
        lock(&self.news).push(news);
        self.arrived.notify_one();
    }

    /// Everything there is, once there is some.
    pub async fn take(&self) -> Vec<News> {
        loop {
            let arrived = self.arrived.notified();
            let news = mem::take(&mut *lock(&self.news));
            if !news.is_empty() {
                return news;
            }
            arrived.await;
        }
    }
}

/// The lines of one name, whichever version is called: as many calls run at once as its limit `concurrency` says, as many wait as `queue`
/// says. A receiver may wait for a webhook whose transform is the same plugin: each has its own.
pub(in crate::plugin) struct Gates {
    builds: Arc<Turns>,
    receives: Arc<Turns>,
}

/// Leave to run one call.
pub(in crate::plugin) type Place = Permit;

impl Gates {
    /// For a plugin with these limits.
    pub(in crate::plugin) fn new(limits: &PluginLimits) -> Self {
        let (limit, queue) = bounds(limits);
        Self { builds: Turns::new(Line::new(limit, queue)), receives: Turns::new(Line::new(limit, queue)) }
    }

    fn both(&self) -> [&Arc<Turns>; 2] {
        [&self.builds, &self.receives]
    }

    /// The limits changed, for calls that wait too.
    pub(in crate::plugin) fn follow(&self, limits: &PluginLimits, now: Timestamp) {
        let (limit, queue) = bounds(limits);
        self.both().iter().for_each(|turns| turns.change(|line| line.edit(limit, queue, now)));
    }

    /// The host stops: calls that wait are sent away.
    pub(in crate::plugin) fn stop(&self) {
        self.both().iter().for_each(|turns| turns.change(|line| line.stop()));
    }
}

/// Calls that run at once, and calls that wait.
fn bounds(limits: &PluginLimits) -> (u32, usize) {
    (u32::try_from(limits.concurrency).unwrap_or(u32::MAX), usize::try_from(limits.queue).unwrap_or(usize::MAX))
}

/// Until when, and by which rule, a version is judged.
#[derive(Clone, Copy, Debug)]
pub(in crate::plugin) struct Watch {
    /// When it was activated.
    pub since: Timestamp,
    /// The rule.
    pub rule: RollbackRule,
}

/// How one version of a plugin behaves. Counts start at zero when the plugin is changed: another version, other limits, grants, configuration.
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
    /// Kept as long as it is watched.
    evidence: Evidence,
    trial: Trial,
}

/// How far the trial of a version that is watched is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Trial {
    /// Nothing is held against it.
    #[default]
    None,
    /// The version before is tried on what it failed on.
    UnderWay,
    /// It is to be rolled back.
    Condemned,
}

/// What is next in a trial.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// The version before is to be tried on these.
    Try(Vec<Input>),
    /// It is to be rolled back, and why.
    Condemned(String),
    /// It stays.
    Acquitted,
}

/// How a version stands, as shown.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Which version; `None`: the one in the binary.
    pub version: Option<u32>,
    /// Its breaker.
    pub state: State,
    /// Callers and events whose calls went wrong since one last went well.
    pub failures: u32,
    /// What went wrong last.
    pub last_failure: Option<LastFailure>,
    /// Calls since it was activated or changed.
    pub tally: Tally,
    /// When it is no longer watched, if it is.
    pub watched_until: Option<Timestamp>,
}

/// What a [`Conduct`] is of.
pub(in crate::plugin) struct Of {
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
    pub(in crate::plugin) fn new(Of { plugin, version, gates, watch, clock, desk }: Of) -> Self {
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
        lock(&self.state)
    }

    /// Whether its last call was a long one, and the next one probably is.
    pub(in crate::plugin) fn is_long(&self) -> bool {
        self.is_long.load(Ordering::Relaxed)
    }

    /// Whether the call that just ended was.
    pub(in crate::plugin) fn set_long(&self, is_long: bool) {
        self.is_long.store(is_long, Ordering::Relaxed);
    }

    /// The most linear memory one call had, in bytes.
    pub(in crate::plugin) fn memory_most(&self) -> u64 {
        self.memory_most.load(Ordering::Relaxed)
    }

    /// How much the call that just ended had.
    pub(in crate::plugin) fn had_memory(&self, bytes: u64) {
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

    /// Lets a call on this input through, unless the version is set aside. Answers are read all the same: their request was sent.
    pub(in crate::plugin) fn admit(self: &Arc<Self>, export: Export, input: Input) -> Result<Admitted, PluginFailure> {
        let was_probe = match export {
            Export::Answers => false,
            Export::Transform | Export::Receive => {
                let mut state = self.state();
                match state.breaker.admit(&input.party, self.clock.now()) {
                    Admission::NotBefore(until) => return Err(self.set_aside(&state.breaker, until)),
                    admission => admission == Admission::Probe,
                }
            }
        };
        Ok(Admitted { conduct: Arc::clone(self), was_probe, input, says: Says::Nothing, failure: None })
    }

    /// Waits for a place to run in; refuses when too many wait already.
    pub(in crate::plugin) async fn enter(&self, export: Export) -> Result<Place, PluginFailure> {
        let turns = match export {
            Export::Receive => &self.gates.receives,
            Export::Transform | Export::Answers => &self.gates.builds,
        };
        turns.enter(&self.clock).await.map_err(|refused| match refused {
            Refused::Full(queue) => PluginFailure::Limit(Limit::Queue, queue as u64),
            Refused::Stopped | Refused::Until(_) => PluginFailure::Stopping,
        })
    }

    fn note(&self, says: Says, was_probe: bool, input: &Input, failure: Option<LastFailure>) {
        let now = self.clock.now();
        let mut state = self.state();
        state.tally.count(says);
        let Input { party, .. } = input;
        // What a caller has a script throw harms nobody but the caller: that alone sets no plugin aside for all others.
        let is_callers = party.is_caller() && failure.as_ref().is_some_and(|failure| failure.kind == FailureKind::PluginThrew.as_str());
        let said = if is_callers { Says::Nothing } else { says };
        let last = failure.as_ref().map(|failure| failure.detail.clone()).unwrap_or_default();
        let change = state.breaker.note(Ended { says: said, party, failure }, was_probe, now);
        let (plugin, version) = (self.plugin.clone(), self.version);
        match change {
            Change::Opened => self.desk.put(News::SetAside { plugin, version, last }),
            Change::Closed => self.desk.put(News::Recovered { plugin, version }),
            Change::None => {}
        }
        let Some(watch) = self.watch.filter(|watch| watch.rule.automatic && now < watch.rule.ends(watch.since)) else { return };
        let tried = input.as_tried();
        match says {
            Says::Well => state.evidence.went_well(&tried.party),
            Says::Ill => state.evidence.failed(&tried),
            Says::Nothing => return,
        }
        let is_set_aside = state.breaker.is_open();
        if state.trial == Trial::None && says == Says::Ill && state.evidence.is_suspicious(&watch.rule, is_set_aside) {
            state.trial = Trial::UnderWay;
            self.desk.put(News::Suspected { plugin: self.plugin.clone(), version });
        }
    }

    /// What the version before made of an input.
    pub fn rehearsed(&self, party: &Party, rehearsed: Rehearsed) {
        self.state().evidence.rehearsed(party, rehearsed);
    }

    /// What is next in the trial that [`News::Suspected`] began.
    pub fn next_in_trial(&self) -> Next {
        let mut state = self.state();
        let Some(watch) = self.watch.filter(|_| state.trial == Trial::UnderWay) else { return Next::Acquitted };
        let is_set_aside = state.breaker.is_open();
        if state.evidence.condemns(&watch.rule, is_set_aside) {
            state.trial = Trial::Condemned;
            let Tally { calls, failed } = state.evidence.tally();
            let last = state.breaker.last_failure().map(|last| last.detail.clone()).unwrap_or_default();
            let reason =
                format!("of {calls} callers and events {failed} sent what the version before handles and this one does not; last: {last}");
            return Next::Condemned(reason);
        }
        if state.evidence.is_suspicious(&watch.rule, is_set_aside) {
            return Next::Try(state.evidence.take_suspects());
        }
        state.trial = Trial::None;
        Next::Acquitted
    }
}

/// A call that was let through. One nobody waits for any more says nothing of the version.
pub(in crate::plugin) struct Admitted {
    conduct: Arc<Conduct>,
    was_probe: bool,
    input: Input,
    says: Says,
    failure: Option<LastFailure>,
}

impl Admitted {
    /// It ended well.
    pub fn went_well(mut self) {
        self.says = Says::Well;
    }

    /// Whose input it worked on.
    pub fn party(&self) -> &Party {
        &self.input.party
    }

    /// It did not end well, on an input of `party`.
    pub fn failed(mut self, failure: &PluginFailure, party: Party) {
        self.input.party = party;
        self.says = failure.says();
        self.failure = Some(LastFailure { at: self.conduct.clock.now(), kind: failure.kind(), detail: failure.to_string() });
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.conduct.note(self.says, self.was_probe, &self.input, self.failure.take());
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
    use crate::{
        clock::SystemClock,
        model::{
            id::{CallId, DeliveryId, EventId},
            plugin::party::Kept,
        },
    };

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

    fn caller(number: usize) -> Input {
        Input { party: Party::Caller(format!("caller {number}")), kept: Kept::Call(CallId(format!("cal_{number}"))) }
    }

    fn event(number: usize) -> Input {
        Input { party: Party::Event(EventId(format!("evt_{number}"))), kept: Kept::Delivery(DeliveryId(format!("dlv_{number}"))) }
    }

    fn fails(conduct: &Arc<Conduct>, input: &Input, failure: &PluginFailure) {
        let admitted = conduct.admit(Export::Receive, input.clone()).expect("let through");
        admitted.failed(failure, input.party.clone());
    }

    fn watched(calls_min: u64) -> Arc<Conduct> {
        let rule = RollbackRule { calls_min, ..RollbackRule::default() };
        conduct(Some(Watch { since: crate::clock::Clock::now(&SystemClock), rule }))
    }

    fn news(conduct: &Conduct) -> Vec<News> {
        conduct.desk.take().now_or_never().unwrap_or_default()
    }

    /// Runs the trial; what came of it, and how many inputs were tried.
    fn trial(conduct: &Conduct, rehearsed: Rehearsed) -> (Next, usize) {
        let mut tried = 0;
        loop {
            match conduct.next_in_trial() {
                Next::Try(inputs) => {
                    tried += inputs.len();
                    inputs.iter().for_each(|input| conduct.rehearsed(&input.party, rehearsed));
                }
                ended => return (ended, tried),
            }
        }
    }

    #[test]
    fn one_that_keeps_trapping_is_refused_and_told_of_and_a_new_one_is_tried_against_the_one_before() {
        let conduct = watched(100);
        let trapped = PluginFailure::Trapped("no".into());
        (0..10).for_each(|n| fails(&conduct, &caller(n), &trapped));
        let refused = conduct.admit(Export::Receive, caller(11)).err().expect("set aside");
        assert!(matches!(&refused, PluginFailure::SetAside { seconds: 1..=6, last } if last == "the plugin trapped: no"), "{refused:?}");
        assert!(conduct.admit(Export::Answers, caller(11)).is_ok());
        let news = news(&conduct);
        assert!(matches!(&news[..], [News::SetAside { version: Some(2), .. }, News::Suspected { version: Some(2), .. }]), "{news:?}");
        let (ended, tried) = trial(&conduct, Rehearsed::Handled);
        assert_eq!(tried, 10);
        assert!(matches!(&ended, Next::Condemned(reason) if reason.starts_with("of 10 callers and events 10 sent")), "{ended:?}");
        assert_eq!(conduct.next_in_trial(), Next::Acquitted, "once");
    }

    #[test]
    fn what_the_version_before_fails_on_too_rolls_nothing_back() {
        let conduct = watched(10);
        (0..10).for_each(|n| fails(&conduct, &event(n), &PluginFailure::Threw("no".into())));
        assert!(matches!(&news(&conduct)[..], [News::SetAside { .. }, News::Suspected { .. }]));
        assert_eq!(trial(&conduct, Rehearsed::Failed), (Next::Acquitted, 10));
    }

    #[test]
    fn one_caller_neither_sets_a_plugin_aside_nor_rolls_it_back() {
        let conduct = watched(10);
        for failure in [PluginFailure::Trapped("no".into()), PluginFailure::Limit(Limit::MemoryBytes, 1), PluginFailure::Threw("no".into())]
        {
            (0..100).for_each(|_| fails(&conduct, &caller(1), &failure));
        }
        assert_eq!(news(&conduct), []);
        assert!(conduct.refusal().is_none());
        assert_eq!((conduct.shown().failures, conduct.shown().tally.failed), (1, 300));
    }

    #[test]
    fn what_callers_have_a_script_throw_never_sets_it_aside_but_can_roll_it_back() {
        let threw = PluginFailure::Threw("TypeError".into());
        let alone = conduct(None);
        (0..100).for_each(|n| fails(&alone, &caller(n), &threw));
        assert_eq!(news(&alone), [], "there is no version before");
        let conduct = watched(10);
        (0..10).for_each(|n| fails(&conduct, &caller(n), &threw));
        assert!(matches!(&news(&conduct)[..], [News::Suspected { .. }]));
        assert!(matches!(trial(&conduct, Rehearsed::Handled), (Next::Condemned(_), 10)));
    }
}
