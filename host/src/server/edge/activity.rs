//! The activity of a connection: when bytes last moved, whether it ever had a request, whether one is being answered.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::{config::http::HttpSettings, watched::Watch};

pub(super) struct Activity {
    begun: Instant,
    /// When bytes last moved, in milliseconds after `begun`.
    moved_ms: AtomicU64,
    has_asked: AtomicBool,
    answering: AtomicUsize,
}

impl Default for Activity {
    fn default() -> Self {
        Self { begun: Instant::now(), moved_ms: AtomicU64::new(0), has_asked: AtomicBool::new(false), answering: AtomicUsize::new(0) }
    }
}

impl Activity {
    fn moved(&self) {
        let passed = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved_ms.store(passed, Ordering::Relaxed);
    }

    /// Records that a request has begun. It counts as being answered until the result is dropped.
    pub(super) fn answering(self: &Arc<Self>) -> Answering {
        self.has_asked.store(true, Ordering::Relaxed);
        self.answering.fetch_add(1, Ordering::Relaxed);
        Answering(Arc::clone(self))
    }

    /// Whether the connection ever had a request.
    pub(super) fn has_asked(&self) -> bool {
        self.has_asked.load(Ordering::Relaxed)
    }

    pub(super) fn is_answering(&self) -> bool {
        self.answering.load(Ordering::Relaxed) > 0
    }

    /// Whether no bytes moved for `time`.
    pub(super) fn is_still(&self, time: Duration) -> bool {
        self.begun.elapsed().saturating_sub(Duration::from_millis(self.moved_ms.load(Ordering::Relaxed))) >= time
    }

    /// Whether the connection took too long: for its first request, or by being idle.
    pub(super) fn is_over(&self, settings: &HttpSettings) -> bool {
        if self.is_answering() {
            return false;
        }
        if self.has_asked() { self.is_still(settings.idle_time_max) } else { self.begun.elapsed() >= settings.head_time_max }
    }
}

/// A request that is being answered.
pub(super) struct Answering(Arc<Activity>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.answering.fetch_sub(1, Ordering::Relaxed);
        self.0.moved();
    }
}

impl Watch for Arc<Activity> {
    fn was_read(&self, _: usize) {
        self.moved();
    }

    fn was_written(&self) {
        self.moved();
    }
}
