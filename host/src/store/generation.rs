//! Giving space back. The engine keeps many times what lives in it, so from time to time everything that lives is written into a
//! new directory, which then takes the place of the old one.
//!
//! The committer does it in small steps between its rounds: keys below the cursor are in the copy, and commits to them go to both
//! trees; keys above will be copied when the cursor gets there. Nobody waits longer than one step.

use std::{fs, path::PathBuf};

use tokio::sync::oneshot;

use super::{
    directory::{Current, FORMAT, generation_path, read_current, sync_directory, write_current},
    engine::{Engine, Writes},
    error::StoreError,
    key::Range,
};

/// A tree smaller than this is left alone.
const COMPACT_BYTES_MIN: u64 = 256 * 1024 * 1024;

/// A tree is written anew when it is this many times as large as it was when new.
const COMPACT_GROWTH: u64 = 4;

/// Bytes copied in one step.
const STEP_BYTES: usize = 256 * 1024;

/// The last possible key: no kind is 255.
const END: &[u8] = &[u8::MAX];

/// Told when a compaction is over.
type Told = Vec<oneshot::Sender<Result<(), StoreError>>>;

/// How large the tree may grow.
pub(super) struct Growth {
    store: PathBuf,
    current: Current,
    limit: u64,
}

impl Growth {
    /// What the directory says.
    pub(super) fn new(store: PathBuf) -> Result<Self, StoreError> {
        let current = read_current(&store)?.unwrap_or(Current { format: FORMAT, generation: 1, bytes: 0 });
        Ok(Self { store, current, limit: limit(current.bytes) })
    }

    /// Whether it is time.
    pub(super) fn is_due(&self, bytes: u64) -> bool {
        bytes > self.limit
    }

    /// An empty copy.
    pub(super) fn begin(&self) -> Result<Compaction, StoreError> {
        let generation = self.current.generation + 1;
        let path = generation_path(&self.store, generation);
        if path.exists() {
            fs::remove_dir_all(&path).map_err(|source| StoreError::unavailable("clear the place for its copy", source))?;
        }
        let target = Engine::open(&path)?;
        Ok(Compaction { target, generation, cursor: Vec::new(), failed: None, told: Vec::new() })
    }

    /// Goes on with the old tree, and does not try again soon.
    pub(super) fn gave_up(&mut self, bytes: u64, error: &StoreError, told: Told) {
        self.limit = bytes.max(self.limit).saturating_mul(2);
        tracing::warn!(error = error as &dyn std::error::Error, "the store could not be compacted; it goes on as it is");
        told.into_iter().for_each(|reply| _ = reply.send(Err(error.clone())));
    }
}

fn limit(bytes: u64) -> u64 {
    bytes.saturating_mul(COMPACT_GROWTH).max(COMPACT_BYTES_MIN)
}

/// A copy in the making.
pub(super) struct Compaction {
    target: Engine,
    generation: u64,
    cursor: Vec<u8>,
    failed: Option<StoreError>,
    told: Told,
}

impl Compaction {
    /// Has `reply` told when it is over.
    pub(super) fn tell(&mut self, reply: Option<oneshot::Sender<Result<(), StoreError>>>) {
        self.told.extend(reply);
    }

    /// Repeats what a round wrote, as far as it concerns what is copied already.
    pub(super) fn mirror(&mut self, writes: &Writes) {
        let copied = writes.iter().filter(|(key, _)| key.as_slice() < self.cursor.as_slice());
        if let Err(error) = self.target.apply(copied) {
            self.failed = Some(error);
        }
    }

    /// Copies the next few records; whether that was all.
    pub(super) fn step(&mut self, source: &Engine) -> Result<bool, StoreError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let range: Range = (self.cursor.clone(), END.to_vec());
        let (mut batch, mut bytes) = (Vec::new(), 0);
        let mut records = source.raw_records(range);
        let next = loop {
            match records.next().transpose()? {
                Some((key, _)) if bytes >= STEP_BYTES => break key,
                Some((key, value)) => {
                    bytes += key.len() + value.len();
                    batch.push((key, Some(value)));
                }
                None => break END.to_vec(),
            }
        };
        self.target.apply(batch.iter().map(|(key, value)| (key, value)))?;
        self.cursor = next;
        Ok(self.cursor == END)
    }

    /// Puts the copy in the original's place, durably.
    pub(super) fn finish(self, growth: &mut Growth) -> Result<(Engine, Told), Unfinished> {
        let synced = self
            .target
            .sync()
            .and_then(|()| sync_directory(&growth.store).map_err(|source| StoreError::unavailable("sync its directory", source)));
        if let Err(error) = synced {
            return Err(Unfinished::Abandoned(error, self.abandon()));
        }
        let current = Current { format: FORMAT, generation: self.generation, bytes: self.target.size_on_disk() };
        if let Err(error) = write_current(&growth.store, current) {
            return Err(Unfinished::Unclear(error, self.told));
        }
        growth.current = current;
        growth.limit = limit(current.bytes);
        Ok((self.target, self.told))
    }

    /// Throws the copy away.
    pub(super) fn abandon(self) -> Told {
        self.target.retire();
        self.told
    }
}

/// How a finished copy could fail to take the original's place.
pub(super) enum Unfinished {
    /// The original is current; the copy is gone.
    Abandoned(StoreError, Told),
    /// Either may be current after a restart. They hold the same, and must: nothing may be written any more.
    Unclear(StoreError, Told),
}
