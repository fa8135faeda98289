//! The tree on disk: the one file that knows sled.
//!
//! Four habits of sled 0.34.7 shape it. Its `flush` on Linux is `sync_file_range`, which a power loss does not respect, so
//! [`Tree::sync`] follows it with a real `fdatasync`. A page (16 records) beyond 128 KiB goes to a file of its own, written again at
//! each change and never synced, so values are cut into pieces ([`super::engine::CHUNK_BYTES`]). A batch keeps every reader out
//! until it is applied, so writes go in one by one: what makes several of them one is the journal. And a page is divided in the middle
//! when it would have 17 records, so that keys that only ascend leave every page half full, while each page takes memory for as long as
//! the tree is open: [`Tree::put_all`] lets them come in an order that fills pages.

use std::{
    cell::Cell,
    fs::{self, File},
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    sync::{
        Mutex, Once,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use super::{error::StoreError, key::Range};

/// A key or a value: cheap to clone.
pub(super) type Bytes = sled::IVec;

/// Bytes of pages kept in memory. With 64 MiB nothing was faster, and a million waiting deliveries took 583 MB instead of 350 while they came in.
const CACHE_BYTES: u64 = 4 * 1024 * 1024;

/// The records a page can have.
const PAGE_LEN: usize = 16;

/// The records that stay in a page that is divided, when keys ascend.
const DIVIDED_LEN: usize = 9;

/// How long sled's own lock of a store that was just closed may linger.
const LINGER: Duration = Duration::from_secs(5);

/// An open tree.
pub(super) struct Tree {
    db: sled::Db,
    file: File,
    large: Mutex<Option<SystemTime>>,
    directory: Directory,
}

/// The directory a tree lives in. Declared last in it: removing comes after sled's own closing.
struct Directory {
    path: PathBuf,
    is_obsolete: AtomicBool,
}

impl Drop for Directory {
    fn drop(&mut self) {
        if *self.is_obsolete.get_mut()
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "an obsolete generation of the store could not be removed");
        }
    }
}

impl Tree {
    /// Opens the tree in `path`, and makes it when it does not exist.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        remove_unfinished_snapshots(path).map_err(|source| StoreError::unavailable("prepare its directory", source))?;
        let began = Instant::now();
        let db = loop {
            // Of some damage sled makes a panic.
            let opened = catch_quietly(|| sled::Config::new().path(path).cache_capacity(CACHE_BYTES).flush_every_ms(None).open());
            match opened {
                Ok(Ok(db)) => break db,
                // The directory above is locked by us: only a closing engine of this process can be in the way.
                Ok(Err(sled::Error::Io(error))) if error.to_string().contains("acquire lock") && began.elapsed() < LINGER => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Ok(Err(error)) => return Err(failed("open", error)),
                Err(panic) => return Err(StoreError::corrupt(path.display().to_string(), format!("its log cannot be read: {panic}"))),
            }
        };
        let open = || {
            for name in ["conf", "db"] {
                File::open(path.join(name))?.sync_all()?;
            }
            File::open(path)?.sync_all()?;
            fs::OpenOptions::new().read(true).write(true).open(path.join("db"))
        };
        let file = open().map_err(|source| StoreError::unavailable("open its file", source))?;
        Ok(Self { db, file, large: Mutex::default(), directory: Directory { path: path.to_owned(), is_obsolete: AtomicBool::new(false) } })
    }

    /// What stands under `key`.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.db.get(key).map_err(|error| failed("read", error))
    }

    /// What stands in `range`, ascending from the front, descending from the back. What is written meanwhile may be in it or not.
    pub(super) fn range(&self, range: &Range) -> impl DoubleEndedIterator<Item = Result<(Bytes, Bytes), StoreError>> + use<> {
        self.db.range(range.0.as_slice()..range.1.as_slice()).map(|record| record.map_err(|error| failed("read", error)))
    }

    /// Writes `writes`, whose keys ascend; `None` removes what stands there.
    ///
    /// First those that pages are divided at, then those that fill them.
    pub(super) fn put_all(&self, writes: &[(Bytes, Option<Bytes>)]) -> Result<(), StoreError> {
        for is_filling in [false, true] {
            for page in writes.chunks(PAGE_LEN) {
                let (dividing, filling) = page.split_at(DIVIDED_LEN.min(page.len()));
                for (key, value) in if is_filling { filling } else { dividing } {
                    self.put(key, value.as_ref())?;
                }
            }
        }
        Ok(())
    }

    fn put(&self, key: &[u8], value: Option<&Bytes>) -> Result<(), StoreError> {
        let written = match value {
            Some(value) => self.db.insert(key, value).map(drop),
            // To remove what is not there would copy a page.
            None => self.db.contains_key(key).and_then(|stands| if stands { self.db.remove(key).map(drop) } else { Ok(()) }),
        };
        written.map_err(|error| failed("write", error))
    }

    /// Makes everything written durable. To be called by one thread only: sled's flushes wait for one another.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.db.flush().map_err(|error| failed("write", error))?;
        self.sync_large().and_then(|()| self.file.sync_data()).map_err(|source| StoreError::unavailable("sync its file", source))
    }

    /// Syncs the files sled writes for large pages. Our values and keys are cut so that there are none; should one come about
    /// all the same, it is as durable as the rest.
    fn sync_large(&self) -> std::io::Result<()> {
        let directory = self.directory.path.join("blobs");
        let changed = fs::metadata(&directory)?.modified()?;
        let Ok(mut seen) = self.large.lock() else { return Ok(()) };
        if *seen != Some(changed) {
            for entry in fs::read_dir(&directory)? {
                match File::open(entry?.path()) {
                    Ok(file) => file.sync_all()?,
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
            File::open(&directory)?.sync_all()?;
            *seen = Some(changed);
        }
        Ok(())
    }

    /// Bytes of the tree's file.
    pub(super) fn size_on_disk(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.len())
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.directory.path
    }

    /// Has the directory removed once nobody reads it any more.
    pub(super) fn retire(&self) {
        self.directory.is_obsolete.store(true, Ordering::Relaxed);
    }

    /// Whether it is to be removed.
    pub(super) fn is_retired(&self) -> bool {
        self.directory.is_obsolete.load(Ordering::Relaxed)
    }
}

thread_local! {
    static IS_CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// What `work` returns, or what it panicked with: as an error, and not as a report of a bug on standard error.
fn catch_quietly<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !IS_CAUGHT.get() {
                report(panic);
            }
        }));
    });
    IS_CAUGHT.set(true);
    let done = std::panic::catch_unwind(AssertUnwindSafe(work));
    IS_CAUGHT.set(false);
    done.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_else(|| "sled panicked".to_owned())
    })
}

/// A snapshot being written when the process died: sled would take it for the newest one and call the store corrupt.
fn remove_unfinished_snapshots(path: &Path) -> std::io::Result<()> {
    fs::create_dir_all(path)?;
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "generating") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn failed(doing: &'static str, error: sled::Error) -> StoreError {
    match error {
        sled::Error::Corruption { .. } | sled::Error::ReportableBug(_) => StoreError::corrupt("the store", error),
        error => StoreError::unavailable(doing, error),
    }
}
