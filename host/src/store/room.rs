//! Whether there is room on the disk. Asked before anything new is taken, so that what was taken can still be settled.

use std::{
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::{directory::free_bytes, error::StoreError};
use crate::lock::lock;

/// How long an answer of the system holds. A disk that takes 500 MB a second takes 5 MB meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The disk of the data directory.
pub(super) struct Room {
    path: PathBuf,
    free_min: u64,
    last: Mutex<Option<(Instant, u64)>>,
    is_low: AtomicBool,
}

impl Room {
    /// `free_min` bytes are to stay free where `path` is.
    pub(super) fn new(path: &Path, free_min: u64) -> Self {
        Self { path: path.to_owned(), free_min, last: Mutex::default(), is_low: AtomicBool::new(false) }
    }

    /// Refuses when there is less, once the bytes are written that are `owed` to what was taken already. Asked when the disk is looked at.
    pub(super) fn check(&self, owed: impl FnOnce() -> u64) -> Result<(), StoreError> {
        if self.free_min == 0 {
            return Ok(());
        }
        let free = self.free(owed);
        let is_low = free < self.free_min;
        if self.is_low.swap(is_low, Ordering::Relaxed) != is_low {
            match is_low {
                true => tracing::error!(free, floor = self.free_min, "the disk is nearly full: nothing new is taken until there is room"),
                false => tracing::info!(free, "there is room on the disk again"),
            }
        }
        if is_low { Err(StoreError::DiskLow { free, floor: self.free_min }) } else { Ok(()) }
    }

    fn free(&self, owed: impl FnOnce() -> u64) -> u64 {
        let mut last = lock(&self.last);
        match *last {
            Some((at, free)) if at.elapsed() < LOOK_EVERY => free,
            // A system that does not say leaves it to the write itself to fail.
            _ => last.insert((Instant::now(), free_bytes(&self.path).unwrap_or(u64::MAX).saturating_sub(owed()))).1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_owed_counts_as_taken() {
        let directory = tempfile::tempdir().expect("a directory");
        let free = free_bytes(directory.path()).expect("a disk");
        let room = || Room::new(directory.path(), free / 2);
        room().check(|| 0).expect("half of the disk is left");
        let refused = room().check(|| free).expect_err("nothing will be left");
        assert!(matches!(refused, StoreError::DiskLow { free: 0..=0xff_ffff, .. }), "{refused:?}");
    }
}
