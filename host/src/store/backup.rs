//! A backup: everything the store holds at one point in commit order, taken while work goes on.
//!
//! ```text
//! DIR/records          the tree, see `archive`
//! DIR/blobs/           plugin bytes, named by their digest
//! DIR/manifest.json    what belongs to it; written last, so that what has one is whole
//! ```
//!
//! What is not in it: the storage key, without which nothing in `records` that was written, sent or answered can be read; the admin token; compiled artifacts, which
//! are never believed when they come from elsewhere; the directories of plugins (`DATA/plugin-data`).

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::{
    Shared, Store,
    archive::{Records, Writer},
    blob::{self, blocking},
    committer::Message,
    copy::{Progress, Walk, Write},
    directory::{make_directory, replace, sync_directory},
    engine::{Engine, Writes},
    error::StoreError,
};
use crate::model::plugin::Digest;

/// The format of backups this program writes: 2 since their rows are sealed, 3 since the store in them is of format 4. It changes with the
/// store's, so that no older program takes one for its own and restores what it cannot open.
pub(super) const FORMAT: u32 = 3;

/// Bytes that may wait to be written: beyond, the walk pauses until the disk has caught up.
const WAITING_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes of what is committed meanwhile that may wait besides: beyond, the backup is given up rather than the commits held up.
const MEANWHILE_BYTES_MAX: usize = 128 * 1024 * 1024;

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// How to read it.
    pub format: u32,
    /// The version of hookwright that wrote it.
    pub hookwright: String,
    /// The moment it shows.
    pub taken_at: Timestamp,
    /// The number of the last event or invoke in it.
    pub seq: u64,
    /// The configuration's revision in it.
    pub revision: u64,
    /// The file `records`.
    pub records: Records,
    /// Plugin bytes, each with its size.
    pub plugins: BTreeMap<String, u64>,
}

/// A moment in commit order.
pub(super) struct Point {
    pub(super) seq: u64,
    pub(super) revision: u64,
    pub(super) at: Timestamp,
}

/// A backup that was begun: [`Backup::run`] makes it.
pub struct Backup {
    shared: Arc<Shared>,
    target: Option<Target>,
    progress: Arc<Progress>,
}

impl Store {
    /// Prepares a backup into `directory`, which must not exist or be empty. One at a time.
    pub fn begin_backup(&self, directory: &Path) -> Result<Backup, StoreError> {
        let progress = Arc::new(Progress::default());
        self.shared.backup.begin(self.now(), Arc::clone(&progress))?;
        // From here on its drop gives the place back.
        let mut backup = Backup { shared: Arc::clone(&self.shared), target: None, progress };
        match Target::prepare(&self.shared.data, directory) {
            Ok(target) => {
                backup.target = Some(target);
                Ok(backup)
            }
            Err(error) => {
                backup.end(Err(error.clone()));
                Err(error)
            }
        }
    }

    /// Takes a backup into `directory`; others go on meanwhile.
    pub async fn backup(&self, directory: &Path) -> Result<Manifest, StoreError> {
        self.begin_backup(directory)?.run().await
    }
}

impl Backup {
    /// Takes it. When this ends well it is on the disk, whole.
    pub async fn run(mut self) -> Result<Manifest, StoreError> {
        let outcome = match self.target.take() {
            Some(target) => self.take_into(target).await,
            None => Err(StoreError::Closed),
        };
        self.end(outcome.clone());
        outcome
    }

    async fn take_into(&self, target: Target) -> Result<Manifest, StoreError> {
        let path = target.path.clone();
        let taken = self.take(target).await;
        if taken.is_err() {
            // What is there is no backup and must not look like one.
            drop(
                blocking(move || {
                    Target::clear(&path);
                    Ok(())
                })
                .await,
            );
        }
        taken
    }

    async fn take(&self, mut target: Target) -> Result<Manifest, StoreError> {
        let data = self.shared.data.clone();
        // Plugin bytes never change, and are written before the records that name them. So those of now come first, and what came
        // about meanwhile comes after the records; nothing is removed while a backup is under way.
        let mut target = blocking(move || target.copy_plugins(&data).map(|()| target)).await?;
        let (out, written) = mpsc::channel();
        let (done, point) = oneshot::channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let walk = Walk::new(Arc::clone(&self.progress));
        let sending = Box::new(Sending { walk, out, waiting: Arc::clone(&waiting), failed: None, done });
        let records = target.path.join("records");
        let writing = tokio::task::spawn_blocking(move || write(&records, &written, &waiting));
        let queue = self.shared.queue.as_ref().ok_or(StoreError::Closed)?;
        queue.send(Message::Backup(sending)).await.map_err(|_| StoreError::Closed)?;
        let point = point.await.unwrap_or(Err(StoreError::Closed));
        // When the file cannot be written, that is why there is no point.
        let records = writing.await.map_err(|source| StoreError::unavailable("write a backup", source))??;
        let (point, data) = (point?, self.shared.data.clone());
        blocking(move || {
            target.copy_plugins(&data)?;
            target.finish(point, records)
        })
        .await
    }

    fn end(&self, outcome: Result<Manifest, StoreError>) {
        self.shared.backup.end(self.shared.clock.steady(), outcome);
    }
}

impl Drop for Backup {
    fn drop(&mut self) {
        // Nobody waits for it any more. Does nothing when it has ended.
        self.end(Err(StoreError::Closed));
    }
}

/// Writes what comes until nothing comes any more.
fn write(path: &Path, written: &mpsc::Receiver<Vec<Write>>, waiting: &AtomicUsize) -> Result<Records, StoreError> {
    let failed = |source| StoreError::backup("written", path, source);
    let mut writer = Writer::create(path).map_err(failed)?;
    for batch in written {
        for record in &batch {
            writer.write(record).map_err(failed)?;
        }
        waiting.fetch_sub(bytes_of(&batch), Ordering::Relaxed);
    }
    writer.finish().map_err(failed)
}

fn bytes_of(batch: &[Write]) -> usize {
    batch.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len)).sum()
}

/// The committer's end of a backup.
pub(super) struct Sending {
    walk: Walk,
    out: mpsc::Sender<Vec<Write>>,
    /// Bytes sent and not yet written.
    waiting: Arc<AtomicUsize>,
    failed: Option<StoreError>,
    done: oneshot::Sender<Result<Point, StoreError>>,
}

impl Sending {
    /// Whether the disk keeps up.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) < WAITING_BYTES_MAX || self.done.is_closed()
    }

    /// Repeats what a round wrote, as far as it concerns what was sent already.
    pub(super) fn mirror(&mut self, writes: &Writes) {
        let passed: Vec<Write> = self.walk.passed(writes).map(|(key, value)| (key.clone(), value.clone())).collect();
        if self.waiting.load(Ordering::Relaxed) > MEANWHILE_BYTES_MAX {
            self.failed = Some(StoreError::unavailable("write a backup", "its disk is slower than what is committed meanwhile"));
        } else if !passed.is_empty()
            && let Err(error) = self.send(passed)
        {
            self.failed = Some(error);
        }
    }

    /// Sends the next few records; whether those were the last.
    pub(super) fn step(&mut self, source: &Engine) -> Result<bool, StoreError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let batch = self.walk.step(source)?;
        self.send(batch)?;
        Ok(self.walk.is_over())
    }

    fn send(&self, batch: Vec<Write>) -> Result<(), StoreError> {
        if self.done.is_closed() {
            return Err(StoreError::Closed);
        }
        self.waiting.fetch_add(bytes_of(&batch), Ordering::Relaxed);
        // Its receiver says itself why it ended.
        self.out.send(batch).map_err(|_| StoreError::Closed)
    }

    /// Everything was sent: this is what it shows.
    pub(super) fn finish(self, point: Point) {
        // Nobody waits any more when the backup was given up.
        let _ = self.done.send(Ok(point));
    }

    /// It is given up.
    pub(super) fn fail(self, error: StoreError) {
        let _ = self.done.send(Err(error));
    }
}

/// The directory a backup goes to.
pub(super) struct Target {
    pub(super) path: PathBuf,
    plugins: BTreeMap<String, u64>,
}

impl Target {
    /// A directory that is empty, not in the data directory, and its owner's alone.
    pub(super) fn prepare(data: &Path, path: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::backup("made", path, source);
        let misplaced = |what| StoreError::Misplaced { path: path.to_owned(), what };
        let is_new = !path.exists();
        if !is_new && !path.is_dir() {
            return Err(misplaced("is not a directory: name one that does not exist or is empty"));
        }
        make_directory(path).map_err(failed)?;
        if fs::read_dir(path).map_err(failed)?.next().is_some() {
            return Err(StoreError::NotEmpty { path: path.to_owned() });
        }
        let path = path.canonicalize().map_err(failed)?;
        if data.canonicalize().is_ok_and(|data| path.starts_with(data)) {
            if is_new {
                drop(fs::remove_dir(&path));
            }
            return Err(misplaced("lies in the data directory, and would be lost with it: name one elsewhere, best on another disk"));
        }
        Ok(Self { path, plugins: BTreeMap::new() })
    }

    /// Copies the plugin bytes that are not in it yet.
    pub(super) fn copy_plugins(&mut self, data: &Path) -> Result<(), StoreError> {
        let directory = self.path.join("blobs");
        let failed = |source| StoreError::backup("written", &directory, source);
        make_directory(&directory).map_err(failed)?;
        for hex in blob::names(&blob::directory(data))? {
            if self.plugins.contains_key(&hex) {
                continue;
            }
            let from = blob::directory(data).join(&hex);
            let bytes = match fs::read(&from) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(StoreError::backup("read", &from, source)),
            };
            if Digest::of(&bytes).hex() != hex {
                // It is of no use here either, and no reason to have no backup.
                tracing::warn!(path = %from.display(), "the bytes of a plugin are damaged and are left out of the backup");
                continue;
            }
            blob::write(&directory, &directory.join(&hex), &bytes).map_err(failed)?;
            self.plugins.insert(hex, bytes.len() as u64);
        }
        Ok(())
    }

    /// Makes it a backup.
    pub(super) fn finish(self, point: Point, records: Records) -> Result<Manifest, StoreError> {
        let Self { path, plugins } = self;
        let hookwright = env!("CARGO_PKG_VERSION").to_owned();
        let manifest =
            Manifest { format: FORMAT, hookwright, taken_at: point.at, seq: point.seq, revision: point.revision, records, plugins };
        let write = || {
            sync_directory(&path)?;
            replace(&path.join("manifest.json"), &serde_json::to_vec_pretty(&manifest)?)?;
            path.parent().map_or(Ok(()), sync_directory)
        };
        write().map_err(|source| StoreError::backup("written", &path, source))?;
        Ok(manifest)
    }

    /// Takes away what was made of it. What cannot be removed has no manifest, and is refused by `restore`.
    pub(super) fn clear(path: &Path) {
        drop(fs::remove_file(path.join("records")));
        drop(fs::remove_dir_all(path.join("blobs")));
    }
}
