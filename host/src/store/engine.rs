//! The tree on disk: the one file that knows sled.
//!
//! Two habits of sled 0.34.7 shape it. Its `flush` on Linux is `sync_file_range`, which a power loss does not respect, so
//! [`Engine::sync`] follows it with a real `fdatasync`. And a page (16 records) beyond 128 KiB goes to a file of its own, written
//! anew at each change and never synced, so values are cut into pieces of [`CHUNK_BYTES`].

use std::{
    cell::Cell,
    collections::BTreeMap,
    fs::{self, File},
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    sync::{Mutex, Once},
    time::{Duration, Instant, SystemTime},
};

use super::{
    error::StoreError,
    key::{self, Range},
    storage_key::StorageKey,
};

/// Bytes of pages kept in memory. With 64 MiB nothing was faster, and a million waiting deliveries took 583 MB instead of 350 while they came in.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// Values longer than this are cut into pieces of this size. Seventeen of them fit in a page.
pub(super) const CHUNK_BYTES: usize = 4096;

/// How often a long value is looked up again when it was replaced while its pieces were read.
const READ_TRIES: u32 = 16;

/// How long sled's own lock of a store that was just closed may linger.
const LINGER: Duration = Duration::from_secs(5);

/// The first byte of a value kept whole.
const WHOLE: u8 = 0;
/// The first byte of a value kept in pieces: their stamp and number follow.
const IN_PIECES: u8 = 1;
/// As [`WHOLE`], sealed.
const SEALED: u8 = 2;
/// As [`IN_PIECES`], sealed before it was cut.
const SEALED_IN_PIECES: u8 = 3;

/// What stands under a key without a value.
pub(super) const MARK: &[u8] = &[WHOLE];

/// Keys with what is to stand under them; `None` removes. Values as stored.
pub(super) type Writes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// An open tree.
pub(super) struct Engine {
    db: sled::Db,
    key: Option<StorageKey>,
    file: File,
    large: Mutex<Option<SystemTime>>,
    directory: Directory,
}

/// The directory an engine lives in. Declared last in it: removing comes after sled's own closing.
struct Directory {
    path: PathBuf,
    obsolete: Mutex<bool>,
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.obsolete.lock().is_ok_and(|obsolete| *obsolete)
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "an obsolete generation of the store could not be removed");
        }
    }
}

impl Engine {
    /// Opens the tree in `path`, making it when there is none. Without a key what is sealed can be neither read nor written.
    pub(super) fn open(path: &Path, key: Option<StorageKey>) -> Result<Self, StoreError> {
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
        Ok(Self { db, key, file, large: Mutex::default(), directory: Directory { path: path.to_owned(), obsolete: Mutex::new(false) } })
    }

    /// What its sealed values are sealed with.
    pub(super) fn key(&self) -> Option<&StorageKey> {
        self.key.as_ref()
    }

    /// The value under `key`, put together and opened.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        for _ in 0..READ_TRIES {
            let Some(raw) = self.raw(key)? else { return Ok(None) };
            if let Some(value) = self.assemble(key, &raw, |piece| self.raw(piece))? {
                return Ok(Some(value));
            }
        }
        Err(StoreError::corrupt(format!("the record {}", key.escape_ascii()), "a piece of it is missing"))
    }

    /// The value under `key` from what is stored; `None` when a piece is gone.
    pub(super) fn assemble(
        &self,
        key: &[u8],
        raw: &[u8],
        piece: impl FnMut(&[u8]) -> Result<Option<Vec<u8>>, StoreError>,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(value) = assemble(raw, piece)? else { return Ok(None) };
        match raw.first() {
            Some(&(SEALED | SEALED_IN_PIECES)) => self.sealing_key()?.open_row(key, value).map(Some),
            _ => Ok(Some(value)),
        }
    }

    /// `value` as it is stored under `key`, and its pieces when it is long.
    pub(super) fn encode(
        &self,
        key: &[u8],
        value: &[u8],
        is_sealed: bool,
        stamp: impl FnOnce() -> u64,
    ) -> Result<(Vec<u8>, Vec<Piece>), StoreError> {
        match is_sealed {
            true => Ok(encode([SEALED, SEALED_IN_PIECES], &self.sealing_key()?.seal_row(key, value)?, stamp)),
            false => Ok(encode([WHOLE, IN_PIECES], value, stamp)),
        }
    }

    fn sealing_key(&self) -> Result<&StorageKey, StoreError> {
        self.key.as_ref().ok_or_else(|| StoreError::unavailable("read what is sealed", "it was opened without its key"))
    }

    /// What stands under `key` as stored.
    pub(super) fn raw(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.db.get(key).map_err(|error| failed("read", error))?.map(|value| value.to_vec()))
    }

    /// The keys in `range`, ascending from the front, descending from the back.
    pub(super) fn keys(&self, range: Range) -> impl DoubleEndedIterator<Item = Result<Vec<u8>, StoreError>> + use<> {
        self.db.range(range.0..range.1).keys().map(|key| Ok(key.map_err(|error| failed("read", error))?.to_vec()))
    }

    /// The keys and values as stored in `range`.
    pub(super) fn raw_records(&self, range: Range) -> impl DoubleEndedIterator<Item = Result<(Vec<u8>, Vec<u8>), StoreError>> + use<> {
        self.db.range(range.0..range.1).map(|record| {
            let (key, value) = record.map_err(|error| failed("read", error))?;
            Ok((key.to_vec(), value.to_vec()))
        })
    }

    /// The keys and values in `range`. What is removed meanwhile is left out.
    pub(super) fn records(&self, range: Range) -> impl DoubleEndedIterator<Item = Result<(Vec<u8>, Vec<u8>), StoreError>> {
        self.raw_records(range).filter_map(|record| {
            record
                .and_then(|(key, raw)| {
                    let value = match raw.first() {
                        Some(&(WHOLE | SEALED)) => self.assemble(&key, &raw, |_| Ok(None))?,
                        _ => self.get(&key)?,
                    };
                    Ok(value.map(|value| (key, value)))
                })
                .transpose()
        })
    }

    /// Writes all of `writes` or nothing. Durable after the next [`Engine::sync`].
    pub(super) fn apply<'a>(&self, writes: impl IntoIterator<Item = (&'a Vec<u8>, &'a Option<Vec<u8>>)>) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for (key, value) in writes {
            match value {
                Some(value) => batch.insert(key.as_slice(), value.as_slice()),
                None => batch.remove(key.as_slice()),
            }
        }
        self.db.apply_batch(batch).map_err(|error| failed("write", error))
    }

    /// Makes everything applied durable. To be called by one thread only: sled's flushes wait for one another.
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

    /// Has the directory removed once nobody reads it any more.
    pub(super) fn retire(&self) {
        if let Ok(mut obsolete) = self.directory.obsolete.lock() {
            *obsolete = true;
        }
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

/// A piece of a long value under its own key.
pub(super) type Piece = (Vec<u8>, Vec<u8>);

/// `value` behind the first of the two bytes, or cut into pieces that stand behind the second.
fn encode([whole, in_pieces]: [u8; 2], value: &[u8], stamp: impl FnOnce() -> u64) -> (Vec<u8>, Vec<Piece>) {
    if value.len() <= CHUNK_BYTES {
        return ([&[whole], value].concat(), Vec::new());
    }
    let stamp = stamp();
    let pieces: Vec<_> = (0..).zip(value.chunks(CHUNK_BYTES)).map(|(n, piece)| (key::chunk(stamp, n), piece.to_vec())).collect();
    let count = u32::try_from(pieces.len()).unwrap_or(u32::MAX);
    ([&[in_pieces], stamp.to_be_bytes().as_slice(), &count.to_be_bytes()].concat(), pieces)
}

/// A number as it is stored.
pub(super) fn encode_number(number: u64) -> Vec<u8> {
    encode([WHOLE, IN_PIECES], number.to_string().as_bytes(), || 0).0
}

/// The keys of the pieces of a value as stored.
pub(super) fn pieces(raw: &[u8]) -> impl Iterator<Item = Vec<u8>> + use<> {
    let head = raw.split_first().filter(|(kind, _)| [IN_PIECES, SEALED_IN_PIECES].contains(*kind)).and_then(|(_, head)| {
        let stamp = u64::from_be_bytes(head.get(..8)?.try_into().ok()?);
        Some((stamp, u32::from_be_bytes(head.get(8..12)?.try_into().ok()?)))
    });
    let (stamp, count) = head.unwrap_or_default();
    (0..count).map(move |n| key::chunk(stamp, n))
}

/// A value from what is stored, as sealed as it is; `None` when a piece is gone.
fn assemble(raw: &[u8], mut piece: impl FnMut(&[u8]) -> Result<Option<Vec<u8>>, StoreError>) -> Result<Option<Vec<u8>>, StoreError> {
    if let Some(&(WHOLE | SEALED)) = raw.first() {
        return Ok(Some(raw[1..].to_vec()));
    }
    let mut value = Vec::new();
    for key in pieces(raw) {
        match piece(&key)? {
            Some(bytes) => value.extend_from_slice(&bytes),
            None => return Ok(None),
        }
    }
    Ok(Some(value))
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
