//! The time of day and randomness: the two outside things everything asks for, so that a test can hold them.

use std::sync::Arc;

use jiff::Timestamp;

/// Where the time of day comes from. Two implementations: the system's, and a test's that is moved by hand.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Timestamp;
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
}

/// Milliseconds since 1970-01-01 UTC; times before it count as 0.
pub fn millis(at: Timestamp) -> u64 {
    u64::try_from(at.as_millisecond()).unwrap_or(0)
}

/// `at` moved by `by`, at the end of time at most.
pub fn after(at: Timestamp, by: std::time::Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// Random bytes from the system.
pub fn random<const N: usize>() -> [u8; N] {
    rand::random()
}
