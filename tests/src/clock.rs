//! A clock that only moves when a test moves it, and by a microsecond at each look, so that no two things happen at the same time.

use std::{sync::Mutex, time::Duration};

use hookwright::clock::Clock;
use jiff::Timestamp;

use crate::lock;

/// The host's time, controlled by the test.
#[derive(Debug)]
pub struct TestClock(Mutex<Timestamp>);

impl TestClock {
    /// A clock that stands at the present moment.
    pub fn new() -> Self {
        Self(Mutex::new(Timestamp::now()))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let mut now = lock(&self.0);
        *now = now.checked_add(by).expect("a time");
    }

    /// Sets the clock, forward or back.
    pub fn set(&self, to: Timestamp) {
        *lock(&self.0) = to;
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
        *lock(&self.0)
    }
}
