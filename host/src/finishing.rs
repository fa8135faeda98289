//! Work that is finished although nobody waits for it any more. The future of a request is dropped when its client leaves, wherever it
//! stands: between the commit of a change and the moment at which it holds, for example.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures::future::BoxFuture;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

/// Runs `work` in place. Dropped before its end, it goes on as one of `tasks`, which a stop waits for.
pub fn to_the_end<T: Send + 'static>(tasks: &TaskTracker, work: impl Future<Output = T> + Send + 'static) -> ToTheEnd<T> {
    ToTheEnd { work: Some(Box::pin(work)), tasks: tasks.clone() }
}

/// See [`to_the_end`].
pub struct ToTheEnd<T: Send + 'static> {
    /// Absent: it has ended, or panicked.
    work: Option<BoxFuture<'static, T>>,
    tasks: TaskTracker,
}

impl<T: Send + 'static> Future for ToTheEnd<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // Taken out while it is polled: what panics is not polled again.
        let Some(mut work) = self.work.take() else { return Poll::Pending };
        let polled = work.as_mut().poll(context);
        if polled.is_pending() {
            self.work = Some(work);
        }
        polled
    }
}

impl<T: Send + 'static> Drop for ToTheEnd<T> {
    fn drop(&mut self) {
        // Without a runtime the process ends.
        if let (Some(work), Ok(runtime)) = (self.work.take(), Handle::try_current()) {
            self.tasks.spawn_on(async move { drop(work.await) }, &runtime);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use futures::{FutureExt, poll};
    use tokio::sync::Notify;

    use super::*;

    /// Work of two steps, the second of which waits for `gate`: how many steps were made.
    fn steps(gate: &Arc<Notify>) -> (Arc<AtomicUsize>, impl Future<Output = &'static str> + Send + 'static) {
        let (made, gate) = (Arc::<AtomicUsize>::default(), Arc::clone(gate));
        let work = {
            let made = Arc::clone(&made);
            async move {
                made.fetch_add(1, Ordering::SeqCst);
                gate.notified().await;
                made.fetch_add(1, Ordering::SeqCst);
                "done"
            }
        };
        (made, work)
    }

    #[tokio::test]
    async fn what_is_waited_for_runs_in_place() {
        let (tasks, gate) = (TaskTracker::new(), Arc::<Notify>::default());
        let (made, work) = steps(&gate);
        gate.notify_one();
        assert_eq!(to_the_end(&tasks, work).await, "done");
        assert_eq!((made.load(Ordering::SeqCst), tasks.len()), (2, 0));
    }

    #[tokio::test]
    async fn what_is_dropped_halfway_is_finished_and_a_stop_waits_for_it() {
        let (tasks, gate) = (TaskTracker::new(), Arc::<Notify>::default());
        let (made, work) = steps(&gate);
        let mut work = Box::pin(to_the_end(&tasks, work));
        assert!(poll!(&mut work).is_pending());
        drop(work);
        tasks.close();
        assert_eq!((made.load(Ordering::SeqCst), tasks.wait().now_or_never()), (1, None));
        gate.notify_one();
        tasks.wait().await;
        assert_eq!(made.load(Ordering::SeqCst), 2);
    }
}
