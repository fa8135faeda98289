//! How an endpoint is doing, and how much of it may be asked: a breaker for one that is dead, fewer at once for one that is slow.
//!
//! It is what this process has seen and is not kept: after a restart every endpoint is thought well until it shows otherwise.

mod retry_after;

use std::time::Duration;

use jiff::Timestamp;

use super::{
    breaker::{Admission, Open, after},
    outcome::{Failure, FailureKind},
};
pub use retry_after::retry_after;

/// Attempts in a row that must go wrong before an endpoint is left alone.
pub const BREAKER_FAILURES: u32 = 10;
/// How long an endpoint that asks to be spared for no stated time is left alone.
pub const SPARE_PAUSE: Duration = Duration::from_secs(1);

/// What an attempt says of its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Symptom {
    /// It answers: delivered, or a refusal of this one request.
    Well,
    /// It asks to be spared (429, 502, 503, 504: Standard Webhooks, "Deliverability"), perhaps for a stated time.
    Spare(Option<Duration>),
    /// It does not answer, or answers that it is broken.
    Ill,
    /// Nothing was asked of it: the failure is ours, or the plugin's.
    None,
}

/// What an attempt's end says of its endpoint.
pub fn symptom(failure: Option<&Failure>, status: Option<u16>) -> Symptom {
    use FailureKind::{
        AnswerRefused, ConnectFailed, ConnectTimeout, HttpStatus, NameNotResolved, NoAnswer, NotProcessed, ResponseBroken,
        ResponseTooLarge, Timeout, TlsFailed,
    };
    let retry_after = failure.and_then(|failure| failure.retry_after);
    match (failure.map(|failure| failure.kind), status) {
        (Some(AnswerRefused), _) if retry_after.is_some() => Symptom::Spare(retry_after),
        (None, _) | (Some(AnswerRefused | ResponseTooLarge), _) => Symptom::Well,
        // A server refuses streams when it has no room for them.
        (Some(NotProcessed), _) => Symptom::Spare(None),
        (Some(HttpStatus), Some(429 | 502 | 503 | 504)) => Symptom::Spare(retry_after),
        (Some(HttpStatus), Some(500..)) => Symptom::Ill,
        (Some(HttpStatus), _) => Symptom::Well,
        (Some(ConnectFailed | ConnectTimeout | NameNotResolved | NoAnswer | TlsFailed | Timeout | ResponseBroken), _) => Symptom::Ill,
        (Some(_), _) => Symptom::None,
    }
}

/// How an endpoint is doing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Health {
    /// Attempts that went wrong since the last that went well.
    failures: u32,
    /// How many may be under way at once: the webhook's limit, less while it asks to be spared.
    at_once: u32,
    /// It asked to be spared until then.
    spared_until: Option<Timestamp>,
    /// The breaker; absent: it is closed.
    open: Option<Open>,
}

impl Health {
    /// An endpoint nobody has asked yet.
    pub fn new(at_once: u32) -> Self {
        Self { failures: 0, at_once: at_once.max(1), spared_until: None, open: None }
    }

    /// How many may be under way at once, of the `limit` its webhook sets.
    pub fn at_once(&self, limit: u32) -> u32 {
        if self.open.is_some() { 1 } else { self.at_once.min(limit).max(1) }
    }

    /// The webhook allows another number at once. Where it was called as often as allowed, it still is.
    pub fn limit_changes(&mut self, before: u32, limit: u32) {
        if self.at_once >= before {
            self.at_once = limit.max(1);
        }
    }

    /// Whether it may be asked at `now`, without asking.
    pub fn outlook(&self, now: Timestamp) -> Admission {
        let until = self.spared_until.max(self.open.map(|open| open.pause().until()));
        match (until, &self.open) {
            (Some(until), _) if until > now => Admission::NotBefore(until),
            (_, None) => Admission::Yes,
            (_, Some(open)) => open.outlook(now),
        }
    }

    /// The same. A caller that gets [`Admission::Probe`] must [`Health::note`] how it went.
    pub fn admit(&mut self, now: Timestamp) -> Admission {
        let admission = self.outlook(now);
        if let (Admission::Probe, Some(open)) = (admission, &mut self.open) {
            open.begin_probe();
        }
        admission
    }

    /// Takes note of an attempt that ended at `now`; `limit` is what the webhook allows at once. Whether the breaker opened by it.
    pub fn note(&mut self, symptom: Symptom, now: Timestamp, limit: u32) -> bool {
        match symptom {
            Symptom::None => {
                self.open.as_mut().map(Open::end_probe);
                false
            }
            Symptom::Well => {
                *self = Self { failures: 0, at_once: (self.at_once + 1).min(limit).max(1), spared_until: None, open: None };
                false
            }
            Symptom::Spare(asked) => {
                self.at_once = (self.at_once / 2).max(1);
                let until = after(now, asked.unwrap_or(SPARE_PAUSE));
                self.spared_until = self.spared_until.max(Some(until));
                self.failed(now)
            }
            Symptom::Ill => self.failed(now),
        }
    }

    fn failed(&mut self, now: Timestamp) -> bool {
        self.failures = self.failures.saturating_add(1);
        match &mut self.open {
            Some(open) => {
                // An attempt that was under way when it opened tells nothing new.
                if open.end_probe() {
                    open.double(now);
                }
                false
            }
            None if self.failures < BREAKER_FAILURES => false,
            None => {
                self.open = Some(Open::begun(now));
                true
            }
        }
    }
}

#[cfg(test)]
impl Health {
    /// What matters of it from `now` on, for a search that tells states apart: failures, how many at once, how long it is left alone,
    /// the breaker's pause, whether a probe is under way.
    pub fn seen_from(&self, now: Timestamp) -> (u32, u32, i64, u64, bool) {
        let failures = if self.open.is_some() { 0 } else { self.failures };
        let until = self.spared_until.max(self.open.map(|open| open.pause().until()));
        let paused = until.map_or(0, |until| until.duration_since(now).as_secs().max(0));
        let (pause, is_probed) = self.open.map_or((0, false), |open| (open.pause().length().as_secs(), open.is_probed()));
        (failures, self.at_once, paused, pause, is_probed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).expect("a time")
    }

    fn broken() -> Health {
        let mut health = Health::new(16);
        for n in 1..=BREAKER_FAILURES {
            assert_eq!(health.admit(at(0)), Admission::Yes);
            assert_eq!(health.note(Symptom::Ill, at(0), 16), n == BREAKER_FAILURES);
        }
        health
    }

    #[test]
    fn a_dead_endpoint_is_probed_by_one_at_a_time_ever_more_rarely() {
        let mut health = broken();
        let mut now = 0;
        for pause in [5, 10, 20, 40, 80, 160, 300, 300] {
            assert_eq!(health.admit(at(now + pause - 1)), Admission::NotBefore(at(now + pause)));
            now += pause;
            assert_eq!(health.admit(at(now)), Admission::Probe);
            assert_eq!(health.admit(at(now)), Admission::NotBefore(at(now + 5)), "one probe only");
            assert!(!health.note(Symptom::Ill, at(now), 16));
        }
    }

    #[test]
    fn one_success_closes_the_breaker() {
        let mut health = broken();
        assert_eq!(health.admit(at(5)), Admission::Probe);
        health.note(Symptom::Well, at(5), 16);
        assert_eq!((health.admit(at(5)), health.at_once(16)), (Admission::Yes, 16));
    }

    #[test]
    fn what_was_under_way_when_it_opened_does_not_lengthen_the_pause() {
        let mut health = broken();
        for _ in 0..20 {
            health.note(Symptom::Ill, at(1), 16);
        }
        assert_eq!(health.outlook(at(5)), Admission::Probe);
    }

    #[test]
    fn one_that_asks_to_be_spared_is_and_recovers_step_by_step() {
        let mut health = Health::new(16);
        health.note(Symptom::Spare(Some(Duration::from_secs(30))), at(0), 16);
        assert_eq!((health.at_once(16), health.outlook(at(29))), (8, Admission::NotBefore(at(30))));
        assert_eq!(health.outlook(at(30)), Admission::Yes);
        health.note(Symptom::Spare(None), at(30), 16);
        assert_eq!((health.at_once(16), health.outlook(at(31))), (4, Admission::Yes));
        health.note(Symptom::Well, at(31), 16);
        assert_eq!(health.at_once(16), 5);
        assert_eq!(health.at_once(2), 2, "the webhook's limit holds");
    }

    #[test]
    fn a_refusal_of_one_request_says_nothing_bad_of_the_endpoint() {
        let status = |status| symptom(Some(&Failure::new(FailureKind::HttpStatus, "")), Some(status));
        assert_eq!([status(400), status(404), status(410), status(301)], [Symptom::Well; 4]);
        assert_eq!([status(500), status(501)], [Symptom::Ill; 2]);
        assert_eq!([status(429), status(502), status(503), status(504)], [Symptom::Spare(None); 4]);
        assert_eq!(symptom(Some(&Failure::new(FailureKind::PluginTrapped, "")), None), Symptom::None);
        assert_eq!(symptom(Some(&Failure::new(FailureKind::Timeout, "")), None), Symptom::Ill);
    }
}
