//! A plugin that keeps harming itself is set aside for a while: calls are refused, and from time to time one is let through to see.
//!
//! It takes the inputs of several parties: what one caller sends, or one event holds, must not set a plugin aside for all others.
//! Pure; it is what this process has seen and is not kept: after a restart every version is thought well until it shows otherwise.

use std::time::Duration;

use jiff::Timestamp;

use super::{failure::Says, party::Party};

/// Parties whose calls must go wrong, with none that goes well between them, before a version is set aside.
pub const FAILURES_MAX: usize = 10;
/// Parties remembered of one that is set aside: of any more, each is taken for a new one.
pub const PARTIES_MAX: usize = 64;
/// For how long at first.
pub const PAUSE_MIN: Duration = Duration::from_secs(5);
/// For how long at most; each probe that fails doubles the pause up to here.
pub const PAUSE_MAX: Duration = Duration::from_secs(300);

/// Whether a version may be called now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Yes.
    Yes,
    /// By this one call, which shows how it is; nobody else until its end is noted.
    Probe,
    /// Not before then.
    NotBefore(Timestamp),
}

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
    /// Set aside since, for a pause, until the next probe.
    open: Option<Open>,
    last_failure: Option<LastFailure>,
}

/// A version that is set aside.
#[derive(Clone, Debug, PartialEq)]
struct Open {
    since: Timestamp,
    until: Timestamp,
    pause: Duration,
    /// A probe is under way.
    is_probed: bool,
    /// Parties whose probe went wrong although theirs had before: that says nothing new, so only they wait for longer.
    barred: Vec<Barred>,
}

/// A party that may not probe.
#[derive(Clone, Debug, PartialEq)]
struct Barred {
    party: Party,
    until: Timestamp,
    pause: Duration,
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
        match &self.open {
            None => State::Closed,
            Some(Open { since, until, is_probed: false, .. }) if *until > now => State::Open { since: *since, until: *until },
            Some(Open { since, .. }) => State::HalfOpen { since: *since },
        }
    }

    /// Parties whose calls went wrong since one last went well.
    pub fn failures(&self) -> u32 {
        u32::try_from(self.failed.len()).unwrap_or(u32::MAX)
    }

    /// Whether it is set aside, or only probed.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// What went wrong last, since it was last cleared.
    pub fn last_failure(&self) -> Option<&LastFailure> {
        self.last_failure.as_ref()
    }

    /// Whether it may be called at `now`, without calling.
    pub fn outlook(&self, now: Timestamp) -> Admission {
        match &self.open {
            None => Admission::Yes,
            // Somebody finds out already; look again when that one has had time to.
            Some(open) if open.is_probed => Admission::NotBefore(moved(now, PAUSE_MIN)),
            Some(open) if open.until > now => Admission::NotBefore(open.until),
            Some(_) => Admission::Probe,
        }
    }

    /// The same for an input of `party`. A call that gets [`Admission::Probe`] must [`Breaker::note`] how it went, or that its outcome is unknown.
    pub fn admit(&mut self, party: &Party, now: Timestamp) -> Admission {
        let admission = self.outlook(now);
        let (Admission::Probe, Some(open)) = (admission, &mut self.open) else { return admission };
        match open.barred.iter().find(|barred| barred.party == *party) {
            Some(barred) if barred.until > now => Admission::NotBefore(barred.until),
            _ => {
                open.is_probed = true;
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
        match (says, &mut self.open) {
            (Says::Nothing, open) => {
                if let Some(open) = open.as_mut().filter(|_| was_probe) {
                    open.is_probed = false;
                }
                Change::None
            }
            // What was under way when it opened tells nothing new.
            (_, Some(_)) if !was_probe => Change::None,
            (Says::Well, _) => {
                self.failed.clear();
                if self.open.take().is_some() { Change::Closed } else { Change::None }
            }
            (Says::Ill, Some(open)) => {
                open.is_probed = false;
                if self.failed.contains(party) {
                    open.bar(party, now);
                } else {
                    remember(&mut self.failed, party);
                    open.pause = (open.pause * 2).min(PAUSE_MAX);
                    open.until = moved(now, open.pause);
                }
                Change::None
            }
            (Says::Ill, None) => {
                remember(&mut self.failed, party);
                if self.failed.len() < FAILURES_MAX {
                    return Change::None;
                }
                let (pause, until) = (PAUSE_MIN, moved(now, PAUSE_MIN));
                self.open = Some(Open { since: now, until, pause, is_probed: false, barred: Vec::new() });
                Change::Opened
            }
        }
    }
}

impl Open {
    /// A party whose probe failed again waits for ever longer, and nobody else does.
    fn bar(&mut self, party: &Party, now: Timestamp) {
        match self.barred.iter_mut().find(|barred| barred.party == *party) {
            Some(barred) => {
                barred.pause = (barred.pause * 2).min(PAUSE_MAX);
                barred.until = moved(now, barred.pause);
            }
            None => self.barred.push(Barred { party: party.clone(), until: moved(now, PAUSE_MIN), pause: PAUSE_MIN }),
        }
    }
}

fn remember(failed: &mut Vec<Party>, party: &Party) {
    if !failed.contains(party) && failed.len() < PARTIES_MAX {
        failed.push(party.clone());
    }
}

fn moved(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
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
        assert!(breaker.open.is_some_and(|open| open.barred.len() <= PARTIES_MAX));
    }
}
