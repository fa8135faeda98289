//! What the circuit breakers of endpoints and of plugins have in common. An open breaker refuses everything for a pause. Then it is half-open: one
//! probe goes through, and if that fails, the pause is doubled.

use std::time::Duration;

use jiff::Timestamp;

/// The first pause.
pub const PAUSE_MIN: Duration = Duration::from_secs(5);
/// The longest pause.
pub const PAUSE_MAX: Duration = Duration::from_secs(300);

/// Whether a request may go through now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Yes,
    /// This one may, as a probe; no other until its end is noted.
    Probe,
    /// Not before this time.
    NotBefore(Timestamp),
}

/// A pause that doubles whenever it was too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    until: Timestamp,
    length: Duration,
}

impl Pause {
    /// The first pause.
    pub fn begun(now: Timestamp) -> Self {
        Self { until: after(now, PAUSE_MIN), length: PAUSE_MIN }
    }

    /// Pauses again, for twice as long.
    pub fn double(&mut self, now: Timestamp) {
        self.length = (self.length * 2).min(PAUSE_MAX);
        self.until = after(now, self.length);
    }

    /// When it is over.
    pub fn until(&self) -> Timestamp {
        self.until
    }

    /// How long it is.
    #[cfg(test)]
    pub fn length(&self) -> Duration {
        self.length
    }
}

/// An open breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    pause: Pause,
    is_probed: bool,
}

impl Open {
    /// A breaker that opens now.
    pub fn begun(now: Timestamp) -> Self {
        Self { pause: Pause::begun(now), is_probed: false }
    }

    /// Whether a request may go through, without letting it.
    pub fn outlook(&self, now: Timestamp) -> Admission {
        match self.pause.until {
            until if until > now => Admission::NotBefore(until),
            // The probe's end decides: look again when it had time to end.
            _ if self.is_probed => Admission::NotBefore(after(now, PAUSE_MIN)),
            _ => Admission::Probe,
        }
    }

    /// A probe goes through.
    pub fn begin_probe(&mut self) {
        self.is_probed = true;
    }

    /// The probe is over. Whether there was one.
    pub fn end_probe(&mut self) -> bool {
        std::mem::take(&mut self.is_probed)
    }

    /// Stays open for twice as long.
    pub fn double(&mut self, now: Timestamp) {
        self.pause.double(now);
    }

    /// The pause.
    pub fn pause(&self) -> Pause {
        self.pause
    }

    /// Whether a probe is under way.
    pub fn is_probed(&self) -> bool {
        self.is_probed
    }
}

/// `at` moved by `by`, at the end of time at most.
pub(super) fn after(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}
