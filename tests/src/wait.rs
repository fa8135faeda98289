//! Waits for a condition that can only be polled from outside. The deadline is for broken hosts: no test's result depends on it.

use std::{future::Future, time::Duration};

/// Longest time that anything may take before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Time between two polls.
const PAUSE: Duration = Duration::from_millis(20);

/// Polls until `look` returns a value.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let looking = async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    within(what, looking).await
}

/// Waits for `work`, which a working host finishes long before the deadline.
pub async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(done) => done,
        Err(_) => panic!("{what}: not within {} seconds", PATIENCE.as_secs()),
    }
}
