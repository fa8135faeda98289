//! How full the directory of a plugin is.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use crate::model::plugin::limits::{Limit, PluginLimits};

/// Between two looks during a call: what a guest writes in this time may be over the limit.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The limit a directory is over, if it holds more than its plugin may keep. What cannot be looked at holds nothing.
pub(in crate::plugin) fn overfull(directory: &Path, limits: &PluginLimits) -> Option<Limit> {
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
            if entries > limits.directory_files {
                return Some(Limit::DirectoryFiles);
            }
            if bytes > limits.directory_bytes {
                return Some(Limit::DirectoryBytes);
            }
        }
    }
    None
}

/// Looks now and then during a call.
pub(in crate::plugin) struct Watch {
    directory: std::path::PathBuf,
    limits: PluginLimits,
    next: Instant,
}

impl Watch {
    /// Of `directory`, which was looked at just now.
    pub fn of(directory: std::path::PathBuf, limits: PluginLimits) -> Self {
        Self { directory, limits, next: Instant::now() + LOOK_EVERY }
    }

    /// The limit it is over, when it was time to look.
    pub fn finds_overfull(&mut self) -> Option<Limit> {
        if Instant::now() < self.next {
            return None;
        }
        let found = overfull(&self.directory, &self.limits);
        self.next = Instant::now() + LOOK_EVERY;
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_full_by_bytes_or_by_files() {
        let directory = tempfile::tempdir().expect("a directory");
        let limits = PluginLimits { directory_bytes: 1000, directory_files: 20, ..PluginLimits::DEFAULT };
        let found = |path: &Path| overfull(path, &limits);
        assert_eq!((found(directory.path()), found(&directory.path().join("none"))), (None, None));
        let inner = directory.path().join("inner");
        fs::create_dir(&inner).expect("made");
        let file = fs::File::create(inner.join("large")).expect("a file");
        file.set_len(1000).expect("grown");
        assert_eq!(found(directory.path()), None);
        fs::write(inner.join("one"), "x").expect("written");
        assert_eq!(found(directory.path()), Some(Limit::DirectoryBytes));
        fs::remove_file(inner.join("large")).expect("removed");
        for number in 0..20 {
            fs::File::create(inner.join(number.to_string())).expect("a file");
        }
        assert_eq!(found(directory.path()), Some(Limit::DirectoryFiles));
    }
}
