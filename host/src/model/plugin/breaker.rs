//! A plugin that keeps harming itself is set aside for a while: calls are refused, and from time to time one is let through to see.
//!
//! It takes the inputs of several parties: what one caller sends, or one event holds, must not set a plugin aside for all others.
//! Pure; it is what this process has seen and is not kept: after a restart every version is thought well until it shows otherwise.

use jiff::Timestamp;

use super::{failure::Says, party::Party};
use crate::model::breaker::{self, Admission, Pause};

/// Parties whose calls must go wrong, with none that goes well between them, before a version is set aside.
pub const FAILURES_MAX: usize = 10;
/// Parties remembered of one that is set aside: of any more, each is taken for a new one.
pub const PARTIES_MAX: usize = 64;

/// A failure worth remembering.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastFailure {
    /// When.
    pub at: Timestamp,
    /// Its word.
    pub kind: &'static str,
    /// Its sentence.
    pub detail: String,
}

/// How a call ended.
#[derive(Clone, Debug)]
pub struct Ended<'a> {
    /// What it says of the version.
    pub says: Says,
    /// Whose input it worked on.
    pub party: &'a Party,
    /// What went wrong, if anything did.
    pub failure: Option<LastFailure>,
}

/// What a call's end changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing to speak of.
    None,
    /// It is set aside now.
    Opened,
    /// It works again.
    Closed,
}

/// How a version is doing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Breaker {
    /// Whose calls went wrong since one last went well: [`PARTIES_MAX`] at most.
    failed: Vec<Party>,
    set_aside: Option<SetAside>,
    last_failure: Option<LastFailure>,
}

/// A version that is set aside.
#[derive(Clone, Debug, PartialEq)]
struct SetAside {
    since: Timestamp,
    open: breaker::Open,
    /// Parties whose probe went wrong although theirs had before: that says nothing new, so only they wait for longer.
    barred: Vec<Barred>,
}

/// A party that may not probe.
#[derive(Clone, Debug, PartialEq)]
struct Barred {
    party: Party,
    pause: Pause,
}

/// The breaker as an admin sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Calls go through.
    Closed,
    /// No call goes through before `until`.
    Open {
        /// Since when.
        since: Timestamp,
        /// When the next call goes through, to see.
        until: Timestamp,
    },
    /// One call goes through, or may.
    HalfOpen {
        /// Since when it is set aside.
        since: Timestamp,
    },
}

impl Breaker {
    /// How it stands.
    pub fn state(&self, now: Timestamp) -> State {
        match &self.set_aside {
            None => State::Closed,
            Some(SetAside { since, open, .. }) => match open.pause().until() {
                until if until > now && !open.is_probed() => State::Open { since: *since, until },
                _ => State::HalfOpen { since: *since },
            },
        }
    }

    /// Parties whose calls went wrong since one last went well.
    pub fn failures(&self) -> u32 {
        u32::try_from(self.failed.len()).unwrap_or(u32::MAX)
    }

    /// Whether it is set aside, or only probed.
    pub fn is_open(&self) -> bool {
        self.set_aside.is_some()
    }

    /// What went wrong last, since it was last cleared.
    pub fn last_failure(&self) -> Option<&LastFailure> {
        self.last_failure.as_ref()
    }

    /// Whether it may be called at `now`, without calling.
    pub fn outlook(&self, now: Timestamp) -> Admission {
        self.set_aside.as_ref().map_or(Admission::Yes, |set_aside| set_aside.open.outlook(now))
    }

    /// The same for an input of `party`. A call that gets `Admission::Probe` must [`Breaker::note`] how it went, or that its outcome is unknown.
    pub fn admit(&mut self, party: &Party, now: Timestamp) -> Admission {
        let admission = self.outlook(now);
        let (Admission::Probe, Some(set_aside)) = (admission, &mut self.set_aside) else { return admission };
        match set_aside.barred.iter().find(|barred| barred.party == *party).map(|barred| barred.pause.until()) {
            Some(until) if until > now => Admission::NotBefore(until),
            _ => {
                set_aside.open.begin_probe();
                Admission::Probe
            }
        }
    }

    /// Takes note of a call that ended, and of whose input it was. `was_probe`: it was let through to see.
    pub fn note(&mut self, said: Ended, was_probe: bool, now: Timestamp) -> Change {
        let Ended { says, party, failure } = said;
        if failure.is_some() && says == Says::Ill {
            self.last_failure = failure;
        }
        match (says, &mut self.set_aside) {
            (Says::Nothing, set_aside) => {
                if let Some(set_aside) = set_aside.as_mut().filter(|_| was_probe) {
                    set_aside.open.end_probe();
                }
                Change::None
            }
            // What was under way when it opened tells nothing new.
            (_, Some(_)) if !was_probe => Change::None,
            (Says::Well, _) => {
                self.failed.clear();
                if self.set_aside.take().is_some() { Change::Closed } else { Change::None }
            }
            (Says::Ill, Some(set_aside)) => {
                set_aside.open.end_probe();
                if self.failed.contains(party) {
                    set_aside.bar(party, now);
                } else {
                    remember(&mut self.failed, party);
                    set_aside.open.double(now);
                }
                Change::None
            }
            (Says::Ill, None) => {
                remember(&mut self.failed, party);
                if self.failed.len() < FAILURES_MAX {
                    return Change::None;
                }
                self.set_aside = Some(SetAside { since: now, open: breaker::Open::begun(now), barred: Vec::new() });
                Change::Opened
            }
        }
    }
}

impl SetAside {
    /// A party whose probe failed again waits for ever longer, and nobody else does.
    fn bar(&mut self, party: &Party, now: Timestamp) {
        match self.barred.iter_mut().find(|barred| barred.party == *party) {
            Some(barred) => barred.pause.double(now),
            None => self.barred.push(Barred { party: party.clone(), pause: Pause::begun(now) }),
        }
    }
}

fn remember(failed: &mut Vec<Party>, party: &Party) {
    if !failed.contains(party) && failed.len() < PARTIES_MAX {
        failed.push(party.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).expect("a time")
    }

    fn caller(number: usize) -> Party {
        Party::Caller(format!("caller {number}"))
    }

    fn note(breaker: &mut Breaker, says: Says, was_probe: bool, party: &Party, now: i64) -> Change {
        breaker.note(Ended { says, party, failure: None }, was_probe, at(now))
    }

    /// Set aside by the callers 1 to [`FAILURES_MAX`].
    fn open() -> Breaker {
        let mut breaker = Breaker::default();
        for n in 1..=FAILURES_MAX {
            assert_eq!(breaker.admit(&caller(n), at(0)), Admission::Yes);
            let change = note(&mut breaker, Says::Ill, false, &caller(n), 0);
            assert_eq!(change, if n == FAILURES_MAX { Change::Opened } else { Change::None });
        }
        breaker
    }

    #[test]
    fn one_that_keeps_failing_is_probed_by_one_at_a_time_ever_more_rarely() {
        let mut breaker = open();
        let mut now = 0;
        for (n, pause) in [5, 10, 20, 40, 80, 160, 300, 300].into_iter().enumerate() {
            let new = caller(100 + n);
            assert_eq!(breaker.admit(&new, at(now + pause - 1)), Admission::NotBefore(at(now + pause)));
            now += pause;
            assert_eq!(breaker.admit(&new, at(now)), Admission::Probe);
            assert_eq!(breaker.admit(&caller(1), at(now)), Admission::NotBefore(at(now + 5)), "one probe only");
            assert_eq!(breaker.state(at(now)), State::HalfOpen { since: at(0) });
            assert_eq!(note(&mut breaker, Says::Ill, true, &new, now), Change::None);
        }
        assert_eq!(breaker.state(at(now)), State::Open { since: at(0), until: at(now + 300) });
    }

    #[test]
    fn one_success_of_a_probe_closes_it_and_successes_between_failures_keep_it_closed() {
        let mut breaker = open();
        assert_eq!(note(&mut breaker, Says::Well, false, &caller(1), 1), Change::None, "it began before");
        assert_eq!(breaker.admit(&caller(1), at(5)), Admission::Probe);
        assert_eq!(note(&mut breaker, Says::Well, true, &caller(1), 5), Change::Closed);
        for n in 0..100 {
            assert_eq!(note(&mut breaker, Says::Ill, false, &caller(n), 6), Change::None);
            assert_eq!(note(&mut breaker, Says::Well, false, &caller(n), 6), Change::None);
        }
    }

    #[test]
    fn a_probe_nobody_knows_the_end_of_lets_the_next_one_through() {
        let mut breaker = open();
        assert_eq!(breaker.admit(&caller(1), at(5)), Admission::Probe);
        note(&mut breaker, Says::Nothing, true, &caller(1), 5);
        assert_eq!(breaker.admit(&caller(1), at(5)), Admission::Probe);
    }

    #[test]
    fn one_party_counts_once_however_often_it_fails() {
        let mut breaker = Breaker::default();
        let event = Party::Event(crate::model::id::EventId("evt_1".into()));
        for _ in 0..100 {
            note(&mut breaker, Says::Ill, false, &caller(1), 0);
            note(&mut breaker, Says::Ill, false, &event, 0);
        }
        assert_eq!((breaker.failures(), breaker.state(at(0))), (2, State::Closed));
        for n in 2..FAILURES_MAX {
            assert_eq!(breaker.state(at(0)), State::Closed);
            note(&mut breaker, Says::Ill, false, &caller(n), 0);
        }
        assert!(breaker.is_open(), "ten callers are ten");
    }

    #[test]
    fn who_is_known_to_make_it_fail_cannot_keep_others_from_it() {
        let mut breaker = open();
        let mut now = 5;
        for pause in [5, 10, 20, 40, 80, 160, 300, 300] {
            assert_eq!(breaker.admit(&caller(3), at(now)), Admission::Probe);
            note(&mut breaker, Says::Ill, true, &caller(3), now);
            assert_eq!(breaker.admit(&caller(3), at(now)), Admission::NotBefore(at(now + pause)), "its own wait grows");
            now += pause;
        }
        assert_eq!(breaker.admit(&caller(3), at(now - 1)), Admission::NotBefore(at(now)));
        assert_eq!(breaker.admit(&caller(99), at(now - 1)), Admission::Probe, "nobody else waits");
        assert_eq!(note(&mut breaker, Says::Well, true, &caller(99), now), Change::Closed);
    }

    #[test]
    fn what_is_remembered_of_parties_is_bounded() {
        let mut breaker = open();
        for n in 0..1000 {
            breaker.admit(&caller(n), at(1_000_000 + 1000 * i64::try_from(n).expect("few")));
            note(&mut breaker, Says::Ill, true, &caller(n), 0);
        }
        assert_eq!(breaker.failures(), 64);
        assert!(breaker.set_aside.is_some_and(|set_aside| set_aside.barred.len() <= PARTIES_MAX));
    }
}
