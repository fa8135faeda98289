//! A plugin that keeps harming itself is set aside for a while: calls are refused, and from time to time one is let through to see.
//!
//! Pure; it is what this process has seen and is not kept: after a restart every version is thought well until it shows otherwise.

use std::time::Duration;

use jiff::Timestamp;

use super::failure::Says;

/// Calls in a row that must go wrong before a version is set aside.
pub const FAILURES_MAX: u32 = 10;
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
    /// Calls in a row that went wrong.
    failures: u32,
    /// Set aside since, for a pause, until the next probe.
    open: Option<Open>,
    last_failure: Option<LastFailure>,
}

/// A version that is set aside.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Open {
    since: Timestamp,
    until: Timestamp,
    pause: Duration,
    /// A probe is under way.
    is_probed: bool,
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
        match self.open {
            None => State::Closed,
            Some(Open { since, until, is_probed: false, .. }) if until > now => State::Open { since, until },
            Some(Open { since, .. }) => State::HalfOpen { since },
        }
    }

    /// Calls in a row that went wrong.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// What went wrong last, since it was last cleared.
    pub fn last_failure(&self) -> Option<&LastFailure> {
        self.last_failure.as_ref()
    }

    /// Whether it may be called at `now`, without calling.
    pub fn outlook(&self, now: Timestamp) -> Admission {
        match self.open {
            None => Admission::Yes,
            // Somebody finds out already; look again when that one has had time to.
            Some(open) if open.is_probed => Admission::NotBefore(moved(now, PAUSE_MIN)),
            Some(open) if open.until > now => Admission::NotBefore(open.until),
            Some(_) => Admission::Probe,
        }
    }

    /// The same, and whoever gets [`Admission::Probe`] must [`Breaker::note`] how it went, or say that nobody knows.
    pub fn admit(&mut self, now: Timestamp) -> Admission {
        let admission = self.outlook(now);
        if let (Admission::Probe, Some(open)) = (admission, &mut self.open) {
            open.is_probed = true;
        }
        admission
    }

    /// Takes note of a call that ended. `was_probe`: it was let through to see.
    pub fn note(&mut self, says: Says, was_probe: bool, failure: Option<LastFailure>, now: Timestamp) -> Change {
        if failure.is_some() && says == Says::Ill {
            self.last_failure = failure;
        }
        match (says, self.open) {
            (Says::Nothing, _) => {
                if let Some(open) = self.open.as_mut().filter(|_| was_probe) {
                    open.is_probed = false;
                }
                Change::None
            }
            // What was under way when it opened tells nothing new.
            (_, Some(_)) if !was_probe => Change::None,
            (Says::Well, open) => {
                (self.failures, self.open) = (0, None);
                if open.is_some() { Change::Closed } else { Change::None }
            }
            (Says::Ill, open) => {
                self.failures = self.failures.saturating_add(1);
                let (since, pause) = match open {
                    Some(open) => (open.since, (open.pause * 2).min(PAUSE_MAX)),
                    None if self.failures < FAILURES_MAX => return Change::None,
                    None => (now, PAUSE_MIN),
                };
                self.open = Some(Open { since, until: moved(now, pause), pause, is_probed: false });
                if open.is_none() { Change::Opened } else { Change::None }
            }
        }
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

    fn open() -> Breaker {
        let mut breaker = Breaker::default();
        for n in 1..=FAILURES_MAX {
            assert_eq!(breaker.admit(at(0)), Admission::Yes);
            let change = breaker.note(Says::Ill, false, None, at(0));
            assert_eq!(change, if n == FAILURES_MAX { Change::Opened } else { Change::None });
        }
        breaker
    }

    #[test]
    fn one_that_keeps_failing_is_probed_by_one_at_a_time_ever_more_rarely() {
        let mut breaker = open();
        let mut now = 0;
        for pause in [5, 10, 20, 40, 80, 160, 300, 300] {
            assert_eq!(breaker.admit(at(now + pause - 1)), Admission::NotBefore(at(now + pause)));
            now += pause;
            assert_eq!(breaker.admit(at(now)), Admission::Probe);
            assert_eq!(breaker.admit(at(now)), Admission::NotBefore(at(now + 5)), "one probe only");
            assert_eq!(breaker.state(at(now)), State::HalfOpen { since: at(0) });
            assert_eq!(breaker.note(Says::Ill, true, None, at(now)), Change::None);
        }
        assert_eq!(breaker.state(at(now)), State::Open { since: at(0), until: at(now + 300) });
    }

    #[test]
    fn one_success_of_a_probe_closes_it_and_successes_between_failures_keep_it_closed() {
        let mut breaker = open();
        assert_eq!(breaker.note(Says::Well, false, None, at(1)), Change::None, "it began before");
        assert_eq!(breaker.admit(at(5)), Admission::Probe);
        assert_eq!(breaker.note(Says::Well, true, None, at(5)), Change::Closed);
        for _ in 0..100 {
            assert_eq!(breaker.note(Says::Ill, false, None, at(6)), Change::None);
            assert_eq!(breaker.note(Says::Well, false, None, at(6)), Change::None);
        }
    }

    #[test]
    fn a_probe_nobody_knows_the_end_of_lets_the_next_one_through() {
        let mut breaker = open();
        assert_eq!(breaker.admit(at(5)), Admission::Probe);
        breaker.note(Says::Nothing, true, None, at(5));
        assert_eq!(breaker.admit(at(5)), Admission::Probe);
    }
}
