//! The store's place in the data directory: its lock, its generations, which of them is current.
//!
//! ```text
//! DATA/lock                  held by the process that has the store open
//! DATA/store/current         format, the current generation, what lived in it when it was made
//! DATA/store/gen-3/          the tree, and journal-0 and journal-1 before it
//! DATA/store/restoring/      there only while a backup is restored
//! ```

use std::{
    fs::{self, DirBuilder, File, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{engine::Engine, error::StoreError, journal, key, storage_key::StorageKey, transaction::decode, value::encode_number};

/// The format this program writes. Older ones are read, and become this one when a host opens the store.
pub(super) const FORMAT: u32 = 4;

/// The first format in which more than secrets and codes is sealed: what is older is sealed first ([`super::resealing`]).
pub(super) const FIRST_SEALED: u32 = 2;

/// The first format with a journal: a version without one would miss what is in it.
const FIRST_WITH_JOURNAL: u32 = 3;

/// How long a lock may outlive the process that held it.
const LINGER: Duration = Duration::from_secs(1);

/// The data directory, locked.
pub(super) struct Directory {
    store: PathBuf,
    lock: File,
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Said, not left to the closing of the file: a child process that is just being started holds a copy of it until it runs its
        // own program. An error leaves that as the way out.
        drop(self.lock.unlock());
    }
}

/// The content of `current`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Current {
    /// How to read the rest.
    pub(super) format: u32,
    /// Which generation.
    #[serde(default)]
    pub(super) generation: u64,
    /// Bytes of the keys and values in its tree when it was made.
    #[serde(default)]
    pub(super) live: u64,
}

impl Default for Current {
    /// What a store is before anything was said of it.
    fn default() -> Self {
        Self { format: FORMAT, generation: 1, live: 0 }
    }
}

impl Directory {
    /// Takes the data directory for this process.
    pub(super) fn lock(data: &Path) -> Result<Self, StoreError> {
        let store = data.join("store");
        let unavailable = |source| StoreError::in_directory("make its directory", data, source);
        make_directory(&store).map_err(unavailable)?;
        let path = data.join("lock");
        let lock = fs::OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(unavailable)?;
        let began = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                // A child that a killed host was just starting holds a copy of its lock until it runs its own program.
                Err(TryLockError::WouldBlock) if began.elapsed() < LINGER => std::thread::sleep(Duration::from_millis(10)),
                Err(TryLockError::WouldBlock) => return Err(StoreError::Locked { path }),
                Err(TryLockError::Error(source)) => return Err(StoreError::in_directory("lock its directory", data, source)),
            }
        }
        sync_directory(data).map_err(unavailable)?;
        Ok(Self { store, lock })
    }

    /// Where the generations are.
    pub(super) fn path(&self) -> &Path {
        &self.store
    }

    /// Opens the current generation, or makes the first; removes what an interrupted compaction left.
    pub(super) fn open_current(&self, storage_key: Option<&StorageKey>) -> Result<Engine, StoreError> {
        let unavailable = |source| StoreError::in_directory("read its directory", &self.store, source);
        if restoring_path(&self.store).exists() {
            return Err(StoreError::HalfRestored { path: self.store.parent().unwrap_or(&self.store).to_owned() });
        }
        let generations = generations(&self.store).map_err(unavailable)?;
        let found = read_current(&self.store)?;
        let is_old = found.is_some();
        let current = match found {
            Some(current) if generations.contains(&current.generation) => current,
            Some(current) => {
                let what = format!("the store: {} ", generation_path(&self.store, current.generation).display());
                return Err(StoreError::corrupt(what, "the directory is missing"));
            }
            // The first start, or one that was interrupted before it acknowledged anything.
            None if generations.len() < 2 => {
                let first = Current::default();
                Current { generation: generations.first().copied().unwrap_or(first.generation), ..first }
            }
            None => return Err(StoreError::corrupt(self.store.display().to_string(), "the file `current` is missing")),
        };
        for other in generations.into_iter().filter(|other| *other != current.generation) {
            fs::remove_dir_all(generation_path(&self.store, other)).map_err(unavailable)?;
        }
        let path = generation_path(&self.store, current.generation);
        if is_old && current.format >= FIRST_WITH_JOURNAL && !journal::exists(&path) {
            return Err(StoreError::corrupt(path.display().to_string(), "its journal is missing"));
        }
        let engine = Engine::open(&path, storage_key.cloned())?;
        match format_of(&engine)? {
            Some(found) if found > FORMAT => return Err(StoreError::NewerFormat { found, known: FORMAT }),
            // What the tree says counts: a stop between the two leaves `current` at the format before.
            Some(found) => write_current(&self.store, Current { format: found, ..current })?,
            None => self.write_format(&engine, current)?,
        }
        Ok(engine)
    }

    /// Makes a store of an older format, whose rows are those of this one, one of this format.
    pub(super) fn renew_format(&self, engine: &Engine) -> Result<(), StoreError> {
        self.write_format(engine, read_current(&self.store)?.unwrap_or_default())
    }

    fn write_format(&self, engine: &Engine, current: Current) -> Result<(), StoreError> {
        engine.apply([(&key::FORMAT.to_vec(), &Some(encode_number(FORMAT.into())))]);
        engine.sync()?;
        write_current(&self.store, Current { format: FORMAT, ..current })
    }
}

/// Whether the data directory holds a store.
pub(super) fn holds_store(data: &Path) -> bool {
    let store = data.join("store");
    store.join("current").exists() || generations(&store).is_ok_and(|generations| !generations.is_empty())
}

/// Where a backup is put together while it is restored.
pub(super) fn restoring_path(store: &Path) -> PathBuf {
    store.join("restoring")
}

/// Bytes that may still be written where `path` is.
pub(super) fn free_bytes(path: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(path)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Where a generation lives.
pub(super) fn generation_path(store: &Path, generation: u64) -> PathBuf {
    store.join(format!("gen-{generation}"))
}

/// Which generation is current; `None` before there was any.
pub(super) fn read_current(store: &Path) -> Result<Option<Current>, StoreError> {
    let path = store.join("current");
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StoreError::unavailable("read which generation is current", source)),
    };
    let current: Current = serde_json::from_slice(&bytes).map_err(|source| StoreError::corrupt(path.display().to_string(), source))?;
    if current.format > FORMAT {
        return Err(StoreError::NewerFormat { found: current.format, known: FORMAT });
    }
    Ok(Some(current))
}

/// Says durably which generation is current.
pub(super) fn write_current(store: &Path, current: Current) -> Result<(), StoreError> {
    let write = || replace(&store.join("current"), &serde_json::to_vec(&current)?);
    write().map_err(|source| StoreError::unavailable("write which generation is current", source))
}

/// Puts `bytes` at `path`, whole or not at all, durably, and readable by its owner alone.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    // Not by `persist`: it calls the system past the C library, where the test that cuts the power looks.
    let temporary = file.into_temp_path();
    fs::rename(&temporary, path)?;
    temporary.keep().map_err(|error| error.error)?;
    sync_directory(directory)
}

/// Makes `path`, its owner's alone, and what is missing above it; durably, as far as it was missing.
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_directory(parent)?;
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        made => made?,
    }
    sync_directory(parent)
}

/// Makes new names in `directory` durable.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// The format of a tree; `None`: it is new.
pub(super) fn format_of(engine: &Engine) -> Result<Option<u32>, StoreError> {
    engine.get(key::FORMAT)?.map(|bytes| decode(key::FORMAT, &bytes)).transpose()
}

fn generations(store: &Path) -> io::Result<Vec<u64>> {
    let mut generations = Vec::new();
    for entry in fs::read_dir(store)? {
        let name = entry?.file_name();
        generations.extend(name.to_str().and_then(|name| name.strip_prefix("gen-")?.parse::<u64>().ok()));
    }
    Ok(generations)
}
