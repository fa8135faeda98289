//! Giving space back. The engine keeps many times what lives in it, so from time to time everything that lives is written into a
//! new directory, which then takes the place of the old one.
//!
//! The committer does it in small steps between its rounds ([`super::copy`]); nobody waits longer than one step.

use std::{fs, path::PathBuf, sync::Arc};

use tokio::sync::oneshot;

use super::{
    copy::{Progress, Walk},
    directory::{Current, FORMAT, free_bytes, generation_path, read_current, sync_directory, write_current},
    draft::Draft,
    engine::{Engine, Writes},
    error::StoreError,
    storage_key::StorageKey,
};

/// A tree that is this much larger than [`GROWTH`] times what lives in it is written again.
const SLACK_BYTES: u64 = 96 * 1024 * 1024;

/// With the copy beside it the directory then stays within four times what lives in it and 256 MB: a new tree takes up to
/// [`NEW_PERCENT`] of what lives in it. `tests/run churn` measures both.
const GROWTH: u64 = 2;

/// What a new tree takes at most, in percent of what lives in it, besides [`NEW_BYTES`].
const NEW_PERCENT: u64 = 160;

/// What an empty tree takes at most.
const NEW_BYTES: u64 = 16 * 1024 * 1024;

/// Told when a compaction is over.
pub(super) type Told = oneshot::Sender<Result<Compacted, StoreError>>;

/// What a compaction brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Bytes of the tree before.
    pub before_bytes: u64,
    /// Bytes of the tree after.
    pub after_bytes: u64,
    /// Bytes of the keys and values in it.
    pub live_bytes: u64,
}

/// How large the tree may grow.
pub(super) struct Growth {
    store: PathBuf,
    current: Current,
    /// After a failure: not before the tree is this large.
    not_before: u64,
}

impl Growth {
    /// What the directory says.
    pub(super) fn new(store: PathBuf) -> Result<Self, StoreError> {
        let current = read_current(&store)?.unwrap_or_default();
        Ok(Self { store, current, not_before: 0 })
    }

    /// What lived in the tree when it was new.
    pub(super) fn live(&self) -> u64 {
        self.current.live
    }

    /// About what lives in a tree of `bytes` nobody has counted in since: it cannot be larger than what holds it.
    pub(super) fn live_within(&self, bytes: u64) -> u64 {
        if self.current.live == 0 { bytes } else { self.current.live.min(bytes) }
    }

    /// Whether it is time, for a tree of this size with this much live data.
    pub(super) fn is_due(&self, bytes: u64, live: u64) -> bool {
        bytes > live.saturating_mul(GROWTH).saturating_add(SLACK_BYTES).max(self.not_before)
    }

    /// An empty copy for a tree of `bytes` in which about `live` live; what is sealed in it is so with `key`.
    pub(super) fn begin(&self, bytes: u64, live: u64, progress: Arc<Progress>, key: Option<StorageKey>) -> Result<Compaction, StoreError> {
        let unavailable = |source| StoreError::unavailable("clear the place for its copy", source);
        let generation = self.current.generation + 1;
        let path = generation_path(&self.store, generation);
        if path.exists() {
            fs::remove_dir_all(&path).map_err(unavailable)?;
        }
        let needed = live.saturating_mul(NEW_PERCENT) / 100 + NEW_BYTES;
        let free = free_bytes(&self.store).map_err(unavailable)?;
        if free < needed {
            return Err(StoreError::NoRoom { path: self.store.clone(), free, needed });
        }
        let target = Draft::open(&path, key)?;
        Ok(Compaction { target, generation, walk: Walk::new(progress), live: 0, before: bytes, failed: None, told: Vec::new() })
    }

    /// Goes on with the old tree of `bytes`, and does not try again soon.
    pub(super) fn gave_up(&mut self, bytes: u64, error: &StoreError, told: Vec<Told>) {
        self.not_before = bytes.saturating_add(bytes / 4).max(SLACK_BYTES);
        tracing::warn!(error = error as &dyn std::error::Error, "the store could not be compacted; it goes on as it is");
        told.into_iter().for_each(|reply| _ = reply.send(Err(error.clone())));
    }
}

/// A copy in the making.
pub(super) struct Compaction {
    target: Draft,
    generation: u64,
    walk: Walk,
    /// Bytes of keys and values in the copy.
    live: u64,
    before: u64,
    failed: Option<StoreError>,
    told: Vec<Told>,
}

impl Compaction {
    /// Has `reply` told when it is over.
    pub(super) fn tell(&mut self, reply: Option<Told>) {
        self.told.extend(reply);
    }

    /// Repeats what a round wrote, as far as it concerns what is copied already.
    pub(super) fn mirror(&mut self, writes: &Writes) {
        if let Err(error) = self.repeat(writes) {
            self.failed = Some(error);
        }
    }

    fn repeat(&mut self, writes: &Writes) -> Result<(), StoreError> {
        for (key, value) in self.walk.passed(writes) {
            let size = |value_bytes: usize| (key.len() + value_bytes) as u64;
            let before = self.target.value_bytes(key)?.map_or(0, size);
            self.live = (self.live + value.as_ref().map_or(0, |value| size(value.len()))).saturating_sub(before);
        }
        self.target.put(self.walk.passed(writes))
    }

    /// Copies the next few records; whether that was all.
    pub(super) fn step(&mut self, source: &Engine) -> Result<bool, StoreError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let batch = self.walk.step(source)?;
        self.target.put(batch.iter().map(|(key, value)| (key, value)))?;
        self.live += batch.iter().map(|(key, value)| (key.len() + value.as_ref().map_or(0, Vec::len)) as u64).sum::<u64>();
        Ok(self.walk.is_over())
    }

    /// Where the copy comes about, for what is more than a copy.
    pub(super) fn target(&self) -> &Draft {
        &self.target
    }

    /// The copy without what was to become of it.
    #[cfg(test)]
    pub(super) fn into_target(self) -> Draft {
        self.target
    }

    /// Everything is in it, of the format of now: so much lives there.
    pub(super) fn filled(&mut self, growth: &mut Growth, live: u64) {
        growth.current.format = FORMAT;
        self.live = live;
    }

    /// Puts the copy in the original's place, durably.
    pub(super) fn finish(self, growth: &mut Growth) -> Result<(Engine, Compacted, Vec<Told>), Unfinished> {
        let Self { target, generation, live, before, told, .. } = self;
        let engine = match target.finish() {
            Ok(engine) => engine,
            Err(error) => return Err(Unfinished::Abandoned(error, told)),
        };
        if let Err(source) = sync_directory(&growth.store) {
            engine.retire();
            return Err(Unfinished::Abandoned(StoreError::unavailable("sync its directory", source), told));
        }
        let current = Current { generation, live, ..growth.current };
        if let Err(error) = write_current(&growth.store, current) {
            return Err(Unfinished::Unclear(error, told));
        }
        growth.current = current;
        growth.not_before = 0;
        let after_bytes = engine.size_on_disk();
        Ok((engine, Compacted { before_bytes: before, after_bytes, live_bytes: live }, told))
    }

    /// Throws the copy away.
    pub(super) fn abandon(self) -> Vec<Told> {
        self.target.abandon();
        self.told
    }
}

/// How a finished copy could fail to take the original's place.
pub(super) enum Unfinished {
    /// The original is current; the copy is gone.
    Abandoned(StoreError, Vec<Told>),
    /// Either may be current after a restart. They hold the same, and must: nothing may be written any more.
    Unclear(StoreError, Vec<Told>),
}
