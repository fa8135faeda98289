//! The wall deadline of one call. It stands still while the guest waits for a webhook it invoked; that time has a limit of its own.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// When a call has to end.
#[derive(Debug)]
pub(super) struct Meter {
    time_max: Duration,
    invoke_time_max: Duration,
    now: Mutex<State>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// The guest runs, or waits for something that is not an invocation.
    Running { due: Instant, invoke_left: Duration },
    /// The guest waits for a webhook; `left` is what it has when it goes on.
    Invoking { since: Instant, left: Duration, invoke_left: Duration },
}

/// A deadline and the limit it comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Due {
    /// When.
    pub at: Instant,
    /// The limit that has passed then.
    pub limit: Duration,
}

impl Meter {
    /// Starts to count.
    pub fn start(now: Instant, time_max: Duration, invoke_time_max: Duration) -> Self {
        let state = State::Running { due: now + time_max, invoke_left: invoke_time_max };
        Self { time_max, invoke_time_max, now: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the call has to end, as things stand.
    pub fn due(&self) -> Due {
        match *self.state() {
            State::Running { due, .. } => Due { at: due, limit: self.time_max },
            State::Invoking { since, invoke_left, .. } => Due { at: since + invoke_left, limit: self.invoke_time_max },
        }
    }

    /// An invocation begins.
    pub fn pause(&self, now: Instant) {
        let mut state = self.state();
        if let State::Running { due, invoke_left } = *state {
            *state = State::Invoking { since: now, left: due.saturating_duration_since(now), invoke_left };
        }
    }

    /// It ended.
    pub fn resume(&self, now: Instant) {
        let mut state = self.state();
        if let State::Invoking { since, left, invoke_left } = *state {
            let spent = now.saturating_duration_since(since);
            *state = State::Running { due: now + left, invoke_left: invoke_left.saturating_sub(spent) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_in_an_invocation_counts_against_its_own_limit() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let meter = Meter::start(start, 2 * second, 60 * second);
        assert_eq!(meter.due(), Due { at: start + 2 * second, limit: 2 * second });
        meter.pause(start + second);
        assert_eq!(meter.due(), Due { at: start + 61 * second, limit: 60 * second });
        meter.resume(start + 11 * second);
        assert_eq!(meter.due(), Due { at: start + 12 * second, limit: 2 * second });
        meter.pause(start + 11 * second);
        assert_eq!(meter.due().at, start + 61 * second);
    }
}
