//! How the store can fail. Each sentence says what to do.

use std::{
    error::Error,
    fmt,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::model::{delivery::DeliveryState, id::DeliveryId, parameter::Overflow, plugin::limits::Limit};

/// What lies under a failure: shared, because one failed sync fails everyone who waited for it.
#[derive(Clone, Debug)]
pub struct Cause(Arc<dyn Error + Send + Sync>);

impl Cause {
    /// Keeps `error`.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Arc::from(error.into()))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// How the store can fail.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The delivery is not (or no longer) leased under this token; nothing was written.
    #[error("the delivery is not leased under this token any more: it was claimed again, settled or cancelled")]
    LeaseLost,
    /// Compare-and-swap: it changed in the meantime; nothing was written.
    #[error("{what} is at revision {current}, not {expected}: read it again and repeat the change")]
    Conflict {
        /// What was to be changed.
        what: String,
        /// The revision the caller knew.
        expected: u64,
        /// The revision there is; 0: it does not exist.
        current: u64,
    },
    /// The same dedup key came before with another body; nothing was written.
    #[error("event {index} carries a key that was used before with another body")]
    KeyReused {
        /// Which of the events, from 0.
        index: usize,
    },
    /// Too many deliveries wait; nothing was written.
    #[error(
        "{max} deliveries wait already: nothing more is accepted until some are delivered, cancelled or given up (limit `backlog_max`)"
    )]
    BacklogFull {
        /// How many may wait.
        max: u64,
    },
    /// A parameter does not fit into its session; nothing was written.
    #[error("the parameter {overflow}")]
    SessionFull {
        /// Which of the events sets it, from 0; absent: no event does.
        index: Option<usize>,
        /// The parameter and the limit.
        overflow: Overflow,
    },
    /// A plugin would keep more state than it may; nothing was written.
    #[error("the plugin {} (limit `{}`)", .limit.breach(*.max), .limit.name())]
    StateFull {
        /// The limit.
        limit: Limit,
        /// Its value.
        max: u64,
    },
    /// There is no such record.
    #[error("there is no {what}")]
    NotFound {
        /// What was asked for.
        what: String,
    },
    /// The delivery's state does not allow it.
    #[error("delivery {id} is {state:?}")]
    WrongState {
        /// The delivery.
        id: DeliveryId,
        /// Where it stands.
        state: DeliveryState,
    },
    /// The disk or the engine below failed. After a failed commit nobody can say what is on the disk: the store takes no more.
    #[error("the store could not {doing} (disk full? disk broken?); if that was a commit, mend the cause and start the program again")]
    Unavailable {
        /// What it was doing.
        doing: &'static str,
        /// What happened.
        #[source]
        source: Cause,
    },
    /// A record or the store cannot be read.
    #[error(
        "{what} is damaged. Keep a copy of the data directory, then restore it from a backup; with no backup, move it away and start again"
    )]
    Corrupt {
        /// What cannot be read.
        what: String,
        /// What happened.
        #[source]
        source: Cause,
    },
    /// Another process has it.
    #[error("{} is in use by another process: stop that one first, or give this one another data directory", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// Written by a newer version of the program.
    #[error(
        "the store has format {found}, this version of hookwright knows {known}: run the newer version, or restore a backup made by this one"
    )]
    NewerFormat {
        /// Its format.
        found: u32,
        /// The newest one this program knows.
        known: u32,
    },
    /// The storage key is not the one the store was made with.
    #[error(
        "the storage key does not belong to this store: give the key file it was made with (HOOKWRIGHT_KEY_FILE, or `key` in the data directory)"
    )]
    WrongKey,
    /// There is a store but no storage key.
    #[error("{} does not exist, but the store it belongs to does: put the key back from the copy you keep, or name it with HOOKWRIGHT_KEY_FILE; without it what the store holds cannot be read. To start again, move the data directory away", path.display())]
    KeyMissing {
        /// Where the key was looked for.
        path: PathBuf,
    },
    /// The key file that was named does not exist.
    #[error("the key file {} does not exist: name another, or make it: 64 hexadecimal digits, as from `openssl rand -hex 32`", path.display())]
    KeyFileMissing {
        /// The key file.
        path: PathBuf,
    },
    /// A key file holds something else.
    #[error("{} holds no storage key: it must be 64 hexadecimal digits or 32 bytes", path.display())]
    KeyMalformed {
        /// The key file.
        path: PathBuf,
    },
    /// The data directory cannot be written.
    #[error("{} cannot be written ({doing}): mount it writable and give it to the user hookwright runs as", path.display())]
    NotWritable {
        /// The directory.
        path: PathBuf,
        /// What was to be done.
        doing: &'static str,
        /// What happened.
        #[source]
        source: Cause,
    },
    /// The disk is so full that nothing new is taken.
    #[error(
        "only {free} bytes are free on the disk of the data directory, and below {floor} nothing new is taken: make room, or let less be kept"
    )]
    DiskLow {
        /// Bytes that are free.
        free: u64,
        /// The limit.
        floor: u64,
    },
    /// There is not enough room for a copy.
    #[error("a copy in {} needs about {needed} bytes and {free} are free: make room on its disk", path.display())]
    NoRoom {
        /// Where.
        path: PathBuf,
        /// Bytes that are free.
        free: u64,
        /// Bytes that are needed.
        needed: u64,
    },
    /// There is no store to work on.
    #[error("there is no store in {}: name a data directory that `hookwright serve` has used", path.display())]
    NoStore {
        /// The data directory.
        path: PathBuf,
    },
    /// A directory that should be empty is not.
    #[error("{} is not empty: name a directory that does not exist or is empty", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// A directory is not where it may be.
    #[error("{} {what}", path.display())]
    Misplaced {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it, and what would be right.
        what: &'static str,
    },
    /// A directory of a backup cannot be worked on.
    #[error("{} could not be {done}", path.display())]
    Backup {
        /// The file or directory.
        path: PathBuf,
        /// What was to be done with it.
        done: &'static str,
        /// What happened.
        source: Cause,
    },
    /// What should be a backup is not a backup, or not a whole one.
    #[error("{} is not a whole backup ({why}): use another one", path.display())]
    NoBackup {
        /// The backup.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A restore was interrupted here.
    #[error("a restore into {} was interrupted: empty the directory and restore again", path.display())]
    HalfRestored {
        /// The data directory.
        path: PathBuf,
    },
    /// Only one at a time.
    #[error("a {what} is under way already: wait for its end")]
    Busy {
        /// What.
        what: &'static str,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    pub(super) fn unavailable(doing: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unavailable { doing, source: Cause::new(source) }
    }

    /// A failure of work in the data directory: said apart when it cannot be written at all.
    pub(super) fn in_directory(doing: &'static str, path: &Path, source: io::Error) -> Self {
        match source.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                Self::NotWritable { path: path.to_owned(), doing, source: Cause::new(source) }
            }
            _ => Self::unavailable(doing, source),
        }
    }

    /// A failure of work on a backup's file or directory.
    pub(super) fn backup(done: &'static str, path: &Path, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Backup { path: path.to_owned(), done, source: Cause::new(source) }
    }

    pub(super) fn corrupt(what: impl Into<String>, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Corrupt { what: what.into(), source: Cause::new(source) }
    }

    pub(super) fn not_found(what: impl Into<String>) -> Self {
        Self::NotFound { what: what.into() }
    }

    /// The sentence, and what lies under it.
    pub fn with_causes(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(&format!(": {error}"));
            cause = error.source();
        }
        text
    }

    /// Whether the same call may succeed later without anyone mending anything.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::LeaseLost | Self::Conflict { .. } | Self::BacklogFull { .. } | Self::Closed)
    }
}
