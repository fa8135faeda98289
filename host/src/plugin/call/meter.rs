//! The deadlines of one call. The wall deadline stands still while the guest waits for a webhook it invoked; that time has a limit of
//! its own. Processor time is that of the thread while it polls the call: what others on the machine take does not count.

use std::{
    pin::Pin,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};

use crate::{lock::lock, model::plugin::limits::Limit};

/// Stands where no poll is under way.
const IDLE: u64 = u64::MAX;

/// When a call has to end.
#[derive(Debug)]
pub(in crate::plugin) struct Meter {
    wall_max: Duration,
    invoke_max: Duration,
    cpu_max: Duration,
    now: Mutex<State>,
    /// Processor time of polls that have ended, in nanoseconds.
    cpu_spent: AtomicU64,
    /// What the thread had used when the poll that is under way began, in nanoseconds; else [`IDLE`].
    cpu_since: AtomicU64,
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
pub(in crate::plugin) struct Due {
    /// When.
    pub at: Instant,
    /// The limit that has passed then.
    pub limit: Limit,
    /// Its value.
    pub value: Duration,
}

/// How long a call may take.
#[derive(Clone, Copy, Debug)]
pub(in crate::plugin) struct Times {
    /// By the clock on the wall, without invocations.
    pub wall: Duration,
    /// In invocations.
    pub invoke: Duration,
    /// Of a processor.
    pub cpu: Duration,
}

impl Meter {
    /// Starts to count.
    pub fn start(now: Instant, Times { wall, invoke, cpu }: Times) -> Self {
        let state = State::Running { due: now + wall, invoke_left: invoke };
        let (cpu_spent, cpu_since) = (AtomicU64::new(0), AtomicU64::new(IDLE));
        Self { wall_max: wall, invoke_max: invoke, cpu_max: cpu, now: Mutex::new(state), cpu_spent, cpu_since }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.now)
    }

    /// When the call has to end, as things stand.
    pub fn due(&self) -> Due {
        match *self.state() {
            State::Running { due, .. } => Due { at: due, limit: Limit::WallMs, value: self.wall_max },
            State::Invoking { since, invoke_left, .. } => Due { at: since + invoke_left, limit: Limit::InvokeMs, value: self.invoke_max },
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

    /// Processor time the call has used. Asked on the thread that polls it.
    pub fn cpu_used(&self) -> Duration {
        let since = self.cpu_since.load(Ordering::Relaxed);
        let polling = if since == IDLE { 0 } else { thread_time().saturating_sub(since) };
        Duration::from_nanos(self.cpu_spent.load(Ordering::Relaxed).saturating_add(polling))
    }

    /// The most it may.
    pub fn cpu_max(&self) -> Duration {
        self.cpu_max
    }

    /// `call`, with its processor time counted.
    pub fn metered<'a, F: Future>(&'a self, call: Pin<&'a mut F>) -> impl Future<Output = F::Output> + use<'a, F> {
        Metered { call, meter: self }
    }
}

/// A future whose polls are timed.
struct Metered<'a, F> {
    call: Pin<&'a mut F>,
    meter: &'a Meter,
}

impl<F: Future> Future for Metered<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let meter = self.meter;
        let begun = thread_time();
        meter.cpu_since.store(begun, Ordering::Relaxed);
        let polled = self.call.as_mut().poll(context);
        meter.cpu_since.store(IDLE, Ordering::Relaxed);
        meter.cpu_spent.fetch_add(thread_time().saturating_sub(begun), Ordering::Relaxed);
        polled
    }
}

/// Processor time of this thread, in nanoseconds.
fn thread_time() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec).unwrap_or(0), u64::try_from(time.tv_nsec).unwrap_or(0));
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(seconds: u64) -> Times {
        let second = Duration::from_secs(1);
        Times { wall: 2 * second, invoke: 60 * second, cpu: Duration::from_secs(seconds) }
    }

    #[test]
    fn time_in_an_invocation_counts_against_its_own_limit() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let meter = Meter::start(start, times(1));
        assert_eq!(meter.due(), Due { at: start + 2 * second, limit: Limit::WallMs, value: 2 * second });
        meter.pause(start + second);
        assert_eq!(meter.due(), Due { at: start + 61 * second, limit: Limit::InvokeMs, value: 60 * second });
        meter.resume(start + 11 * second);
        assert_eq!(meter.due(), Due { at: start + 12 * second, limit: Limit::WallMs, value: 2 * second });
        meter.pause(start + 11 * second);
        assert_eq!(meter.due().at, start + 61 * second);
    }

    #[test]
    fn only_time_in_polls_is_processor_time() {
        let meter = Meter::start(Instant::now(), times(0));
        assert_eq!(meter.cpu_used(), Duration::ZERO);
        let mut work = std::pin::pin!(async { (0..100_000_u64).map(std::hint::black_box).sum::<u64>() });
        let _ = futures::FutureExt::now_or_never(meter.metered(work.as_mut()));
        assert!(meter.cpu_used() > meter.cpu_max());
    }
}
