//! How full the directory of a plugin is.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use super::limits::{DIRECTORY_BYTES_MAX, DIRECTORY_FILES_MAX};

/// Between two looks during a call: what a guest writes in this time may be over the limit.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Whether a directory holds more than a plugin may keep. What cannot be looked at holds nothing.
pub(super) fn is_full(directory: &Path) -> bool {
    let (mut bytes, mut entries) = (0, 0);
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            // Of a link its own size counts, not what it leads to.
            let Ok(metadata) = entry.metadata() else { continue };
            entries += 1;
            if metadata.is_dir() {
                open.push(entry.path());
            } else {
                bytes += metadata.len();
            }
            if entries > DIRECTORY_FILES_MAX || bytes > DIRECTORY_BYTES_MAX {
                return true;
            }
        }
    }
    false
}

/// Looks now and then during a call.
pub(super) struct Watch {
    directory: std::path::PathBuf,
    next: Instant,
}

impl Watch {
    /// Of `directory`, which was looked at just now.
    pub fn of(directory: std::path::PathBuf) -> Self {
        Self { directory, next: Instant::now() + LOOK_EVERY }
    }

    /// Whether it was time to look, and it is full.
    pub fn finds_full(&mut self) -> bool {
        if Instant::now() < self.next {
            return false;
        }
        let is_full = is_full(&self.directory);
        self.next = Instant::now() + LOOK_EVERY;
        is_full
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_full_by_bytes_or_by_files() {
        let directory = tempfile::tempdir().expect("a directory");
        assert!(!is_full(directory.path()) && !is_full(&directory.path().join("none")));
        let inner = directory.path().join("inner");
        fs::create_dir(&inner).expect("made");
        let file = fs::File::create(inner.join("large")).expect("a file");
        file.set_len(DIRECTORY_BYTES_MAX).expect("grown");
        assert!(!is_full(directory.path()));
        fs::write(inner.join("one"), "x").expect("written");
        assert!(is_full(directory.path()));
        fs::remove_file(inner.join("large")).expect("removed");
        for number in 0..DIRECTORY_FILES_MAX {
            fs::File::create(inner.join(number.to_string())).expect("a file");
        }
        assert!(is_full(directory.path()));
    }
}
