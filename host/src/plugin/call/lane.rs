//! Where long calls go on: threads of their own, half as many as there are processors and of low priority.
//!
//! A call begins where its delivery or its request is served. One that has used a tick of processor time gives way: it is finished here,
//! tick by tick in turn with the other long ones, so that a plugin that hogs a processor holds up neither the host's own work nor the
//! short calls of others. What it asks of the host meanwhile (timers, tasks) is the runtime's it came from.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io,
    pin::Pin,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    thread,
};

use async_task::Runnable;
use tokio::runtime::Handle;

use crate::lock::lock;

/// How much less a thread of the lane is than the host's own: a tenth of a processor is left to it where all are wanted.
const NICE: i32 = 10;

/// The lane. Its threads end with it.
pub(in crate::plugin) struct Lane(Arc<Queue>);

#[derive(Default)]
struct Queue {
    /// Calls that want to go on, and whether the lane is closed.
    waiting: Mutex<(VecDeque<Runnable>, bool)>,
    arrived: Condvar,
}

/// Whether a call is a long one: it has used more than a tick. Shared by the call and who polls it.
#[derive(Clone, Debug, Default)]
pub(in crate::plugin) struct IsLong(Arc<AtomicBool>);

impl IsLong {
    /// It is.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it is.
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, (VecDeque<Runnable>, bool)> {
        lock(&self.waiting)
    }

    fn put(&self, runnable: Runnable) {
        self.waiting().0.push_back(runnable);
        self.arrived.notify_one();
    }

    /// The next one; `None`: the lane is closed.
    fn take(&self) -> Option<Runnable> {
        let mut waiting = self.waiting();
        loop {
            if let Some(runnable) = waiting.0.pop_front() {
                return Some(runnable);
            }
            if waiting.1 {
                return None;
            }
            waiting = self.arrived.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Lane {
    /// Starts its threads.
    pub fn start() -> io::Result<Self> {
        let queue = Arc::<Queue>::default();
        let processors = thread::available_parallelism().map_or(1, usize::from);
        for number in 0..(processors / 2).max(1) {
            let queue = Arc::clone(&queue);
            thread::Builder::new().name(format!("plugin-lane-{number}")).spawn(move || {
                // On Linux a thread's own; where it is not allowed, all are equal.
                if let Err(error) = rustix::process::setpriority_process(None, NICE) {
                    tracing::warn!(%error, "long plugin calls cannot be given a low priority");
                }
                while let Some(runnable) = queue.take() {
                    runnable.run();
                }
            })?;
        }
        Ok(Self(queue))
    }

    /// Runs a call: here from its beginning if `begins_here`, else once `is_long` says so.
    pub async fn run<T: Send + 'static>(&self, call: impl Future<Output = T> + Send + 'static, is_long: &IsLong, begins_here: bool) -> T {
        let mut call = Box::pin(call);
        if !begins_here {
            let ended = poll_fn(|context| match call.as_mut().poll(context) {
                Poll::Ready(ended) => Poll::Ready(Some(ended)),
                Poll::Pending if is_long.get() => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            });
            if let Some(ended) = ended.await {
                return ended;
            }
        }
        self.finish(call).await
    }

    async fn finish<T: Send + 'static>(&self, mut call: Pin<Box<dyn Future<Output = T> + Send>>) -> T {
        let runtime = Handle::current();
        let call = poll_fn(move |context| {
            let _entered = runtime.enter();
            call.as_mut().poll(context)
        });
        let queue = Arc::clone(&self.0);
        // A caller that stops waiting drops the task, and with its next turn the call.
        let (runnable, task) = async_task::Builder::new().propagate_panic(true).spawn(move |()| call, move |runnable| queue.put(runnable));
        runnable.schedule();
        task.await
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.0.waiting().1 = true;
        self.0.arrived.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> String {
        thread::current().name().unwrap_or_default().to_owned()
    }

    #[tokio::test]
    async fn a_call_moves_once_it_is_long_and_may_begin_here() {
        let lane = Lane::start().expect("threads");
        let is_long = IsLong::default();
        let long = is_long.clone();
        let call = async move {
            let begun = name();
            long.set();
            tokio::task::yield_now().await;
            // The runtime it came from is there.
            tokio::spawn(async {}).await.expect("spawned");
            (begun, name())
        };
        let (begun, ended) = lane.run(call, &is_long, false).await;
        assert!(!begun.starts_with("plugin-lane") && ended.starts_with("plugin-lane"), "{begun} {ended}");
        assert!(lane.run(async { name() }, &IsLong::default(), true).await.starts_with("plugin-lane"));
        assert!(!lane.run(async { name() }, &IsLong::default(), false).await.starts_with("plugin-lane"));
    }

    #[tokio::test]
    async fn a_call_nobody_waits_for_is_dropped() {
        let lane = Lane::start().expect("threads");
        let (held, dropped) = tokio::sync::oneshot::channel::<()>();
        let call = async move {
            let _held = held;
            std::future::pending::<()>().await;
        };
        drop(tokio::time::timeout(std::time::Duration::from_millis(10), lane.run(call, &IsLong::default(), true)).await);
        assert!(dropped.await.is_err());
    }
}
