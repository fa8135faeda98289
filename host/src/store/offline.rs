//! Work on a store that no host has open: the same backup and the same compaction, without a committer. Nothing in it changes hands:
//! leases, numbers and secrets are as they were, and no storage key is needed.

use std::{path::Path, sync::Arc};

use jiff::Timestamp;

use super::{
    archive::Writer,
    backup::{Manifest, Point, Target},
    copy::{Progress, Walk},
    directory::{Directory, holds_store},
    engine::Engine,
    error::StoreError,
    generation::{Compacted, Growth, Unfinished},
    transaction::Counters,
};

/// A store, opened for work on the whole of it.
pub struct Offline {
    directory: Directory,
    engine: Engine,
    data: std::path::PathBuf,
}

impl Offline {
    /// Opens the store in `data`. [`StoreError::Locked`]: a host has it.
    pub fn open(data: &Path) -> Result<Self, StoreError> {
        if !holds_store(data) {
            return Err(StoreError::NoStore { path: data.to_owned() });
        }
        let directory = Directory::lock(data)?;
        let engine = directory.open_current(None)?;
        Ok(Self { directory, engine, data: data.to_owned() })
    }

    /// Takes a backup into `to`. `progress` is told records and their bytes so far.
    pub fn backup(&self, to: &Path, taken_at: Timestamp, progress: impl FnMut(u64, u64)) -> Result<Manifest, StoreError> {
        let target = Target::prepare(&self.data, to)?;
        let path = target.path.clone();
        let taken = self.take(target, taken_at, progress);
        if taken.is_err() {
            Target::clear(&path);
        }
        taken
    }

    fn take(&self, mut target: Target, at: Timestamp, mut progress: impl FnMut(u64, u64)) -> Result<Manifest, StoreError> {
        target.copy_plugins(&self.data)?;
        let records = target.path.join("records");
        let failed = |source| StoreError::backup("written", &records, source);
        let mut writer = Writer::create(&records).map_err(failed)?;
        let so_far = Arc::new(Progress::default());
        let mut walk = Walk::new(Arc::clone(&so_far));
        while !walk.is_over() {
            for record in walk.step(&self.engine)? {
                writer.write(&record).map_err(failed)?;
            }
            let (records, bytes) = so_far.read();
            progress(records, bytes);
        }
        let records = writer.finish().map_err(failed)?;
        let (seq, revision) = Counters::places(&self.engine)?;
        target.finish(Point { seq, revision, at }, records)
    }

    /// Writes everything that lives into a new place and drops the old one.
    pub fn compact(self, mut progress: impl FnMut(u64, u64)) -> Result<Compacted, StoreError> {
        let mut growth = Growth::new(self.directory.path().to_owned())?;
        let so_far = Arc::new(Progress::default());
        let bytes = self.engine.size_on_disk();
        let live = growth.live_within(bytes);
        let mut compaction = growth.begin(bytes, live, Arc::clone(&so_far), None)?;
        loop {
            match compaction.step(&self.engine) {
                Ok(true) => break,
                Ok(false) => {
                    let (records, bytes) = so_far.read();
                    progress(records, bytes);
                }
                Err(error) => {
                    compaction.abandon();
                    return Err(error);
                }
            }
        }
        match compaction.finish(&mut growth) {
            Ok((_, compacted, _)) => {
                self.engine.retire();
                Ok(compacted)
            }
            Err(Unfinished::Abandoned(error, _) | Unfinished::Unclear(error, _)) => Err(error),
        }
    }
}
