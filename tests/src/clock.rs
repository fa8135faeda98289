//! A clock that stands until it is moved, but for a microsecond at each look: no two things happen at the same time.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use hookwright::clock::Clock;
use jiff::Timestamp;

/// The host's time, in the test's hand.
#[derive(Debug)]
pub struct TestClock(Mutex<Timestamp>);

impl TestClock {
    /// Stands at this moment.
    pub fn new() -> Self {
        Self(Mutex::new(Timestamp::now()))
    }

    /// Moves forward.
    pub fn advance(&self, by: Duration) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *now = now.checked_add(by).expect("a time");
    }

    /// Jumps.
    pub fn set(&self, to: Timestamp) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = to;
    }
}

impl Default for TestClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        self.advance(Duration::from_micros(1));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
