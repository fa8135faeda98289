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
