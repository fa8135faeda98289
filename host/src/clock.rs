//! The time of day and randomness: the two outside things everything asks for, so that a test can hold them.

use std::{
    sync::{Arc, LazyLock, Mutex},
    time::{Duration, Instant, SystemTime},
};

use jiff::Timestamp;

use crate::lock::lock;

/// Where the time of day comes from. Two implementations: the system's, and a test's that is moved by hand.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Timestamp;

    /// Now, for leases, due times and expiries: like [`Clock::now`], but when the system's clock is set back, this one goes on from
    /// where it was. What is due in five seconds is due in five seconds, whatever happens to the clock on the wall.
    fn steady(&self) -> Timestamp {
        self.now()
    }
}

/// A shared clock.
pub type SharedClock = Arc<dyn Clock>;

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn steady(&self) -> Timestamp {
        static STEADY: LazyLock<Mutex<Steady>> = LazyLock::new(|| Mutex::new(Steady::new(Timestamp::now(), Instant::now())));
        lock(&STEADY).read(Timestamp::now(), Instant::now())
    }
}

/// A jump of the system's clock that is worth a line in the log.
const JUMP_MIN: Duration = Duration::from_secs(2);

/// Time that does not go back: it is the clock's, and while the clock is behind, it goes on by itself.
#[derive(Debug)]
struct Steady {
    time: Timestamp,
    read_at: Instant,
    /// Whether the clock was found behind.
    is_ahead: bool,
}

impl Steady {
    fn new(time: Timestamp, read_at: Instant) -> Self {
        Self { time, read_at, is_ahead: false }
    }

    fn read(&mut self, clock: Timestamp, at: Instant) -> Timestamp {
        let expected = after(self.time, at.saturating_duration_since(self.read_at));
        let jumped = clock.duration_since(expected);
        self.time = expected.max(clock);
        self.read_at = at;
        let is_ahead = -jumped.as_secs() >= JUMP_MIN.as_secs() as i64;
        if is_ahead && !self.is_ahead {
            tracing::warn!(
                seconds = -jumped.as_secs(),
                "the system's clock was set back: what is due and what expires goes by the old time"
            );
        } else if jumped.as_secs() >= JUMP_MIN.as_secs() as i64 {
            tracing::warn!(
                seconds = jumped.as_secs(),
                "the system's clock jumped forward: what is due and what expires goes by the new time"
            );
        }
        self.is_ahead = is_ahead;
        self.time
    }
}

/// Milliseconds since 1970-01-01 UTC; times before it count as 0.
pub fn millis(at: Timestamp) -> u64 {
    u64::try_from(at.as_millisecond()).unwrap_or(0)
}

/// `at` moved by `by`, at the end of time at most.
pub fn after(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// Microseconds since `started`.
pub fn micros(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// The time of the system's clock, for what others compare with theirs: spans are placed next to the spans of other machines.
pub fn wall() -> SystemTime {
    SystemTime::now()
}

/// Random bytes from the system.
pub fn random<const N: usize>() -> [u8; N] {
    rand::random()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steady_time_follows_the_clock_and_does_not_go_back_with_it() {
        let (clock, at) = (Timestamp::UNIX_EPOCH, Instant::now());
        let time = |seconds: i64| after(Timestamp::UNIX_EPOCH, Duration::from_secs(seconds as u64));
        let mut steady = Steady::new(clock, at);
        let mut read = |clock: i64, passed: u64| steady.read(time(clock), at + Duration::from_secs(passed));
        assert_eq!(read(10, 10), time(10));
        // An hour back: the steps go on.
        assert_eq!(read(20 - 20, 20), time(20));
        assert_eq!(read(5, 25), time(25));
        // A day forward: what the clock says.
        assert_eq!(read(86_400, 30), time(86_400));
        assert_eq!(read(86_405, 35), time(86_405));
    }
}
