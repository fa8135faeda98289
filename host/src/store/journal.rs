//! The journal: where a commit is written first, and synced, before anybody is told of it.
//!
//! Two files take turns. A turn's writes are appended to one of them; when it is full the next turn begins at the start of the other,
//! whose own turn is in the tree by then. What is read back at the start is therefore at most two turns, and to write one of them
//! again that is in the tree already changes nothing.
//!
//! ```text
//! file   frame*                       up to the first that is not whole or is of another turn: what is left of an earlier one
//! frame  MAGIC, crc32 of what follows u32, turn u64, bytes of the writes u64, write*
//! write  key bytes u32, value bytes u32 or REMOVED, key, value        all numbers little-endian
//! ```
//!
//! A file keeps its length once it has it, so that a sync of it has nothing but the bytes to write.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use super::{
    directory::sync_directory,
    error::StoreError,
    recent::{Layer, write},
};

/// Bytes after which a turn is over. Twice as much can be waiting to be written into the tree, in memory and when a store is opened.
pub(super) const TURN_BYTES: u64 = 8 * 1024 * 1024;

/// A file grows by so much at a time.
const GROWTH_BYTES: usize = 1024 * 1024;

const MAGIC: [u8; 4] = *b"hwj1";

/// Bytes before the writes of a frame.
const HEAD_BYTES: usize = 24;

/// In the place of a value's length: what stood under the key is removed.
const REMOVED: u32 = u32::MAX;

const NAMES: [&str; 2] = ["journal-0", "journal-1"];

/// An open journal.
pub(super) struct Journal {
    files: [File; 2],
    /// The file of this turn.
    current: usize,
    turn: u64,
    /// Where the next frame goes.
    end: u64,
    /// How long the files are.
    lengths: [u64; 2],
    /// The frame that is not written yet, from its first write on.
    pending: Vec<u8>,
}

/// Whether there is one in `directory`; one of two files is half of one, which is none.
pub(super) fn exists(directory: &Path) -> bool {
    NAMES.iter().all(|name| directory.join(name).exists())
}

impl Journal {
    /// Opens the journal in `directory`, and makes it when it does not exist, with everything in it, in the order it was written.
    pub(super) fn open(directory: &Path) -> Result<(Self, Layer), StoreError> {
        let unavailable = |source| StoreError::unavailable("open its journal", source);
        let open = |name| OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(directory.join(name));
        let files = [open(NAMES[0]).map_err(unavailable)?, open(NAMES[1]).map_err(unavailable)?];
        sync_directory(directory).map_err(unavailable)?;
        let length = |file: &File| Ok(file.metadata()?.len());
        let lengths = [length(&files[0]).map_err(unavailable)?, length(&files[1]).map_err(unavailable)?];
        let mut turns = Vec::new();
        for (file, name) in NAMES.iter().enumerate() {
            turns.extend(read_turn(&directory.join(name))?.map(|turn| (file, turn)));
        }
        turns.sort_by_key(|(_, turn)| turn.number);
        let (current, turn) = match turns.last() {
            // Had it been cut off before anything of it was synced, what is left would be older than the other one.
            Some((file, Turn { writes: None, .. })) => return Err(damaged(&directory.join(NAMES[*file]), 0)),
            Some((file, turn)) => (*file, turn.number),
            None => (1, 0),
        };
        let written = turns.into_iter().filter_map(|(_, turn)| turn.writes).flatten().collect();
        let mut journal = Self { files, lengths, current, turn, end: 0, pending: Vec::new() };
        journal.begin_turn().map_err(unavailable)?;
        Ok((journal, written))
    }

    /// Adds to the frame that the next [`Journal::sync`] writes.
    pub(super) fn add<'a>(&mut self, writes: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>) {
        self.pending.resize(self.pending.len().max(HEAD_BYTES), 0);
        for (key, value) in writes {
            self.pending.extend_from_slice(&length(key.len()).to_le_bytes());
            self.pending.extend_from_slice(&value.map_or(REMOVED, |value| length(value.len())).to_le_bytes());
            self.pending.extend_from_slice(key);
            self.pending.extend_from_slice(value.unwrap_or_default());
        }
    }

    /// Writes everything added as one frame and makes it durable. One frame at a time, so that whatever follows one that was cut off is
    /// older.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.add(std::iter::empty());
        let frame = &mut self.pending;
        let bytes = frame.len() as u64;
        frame[..4].copy_from_slice(&MAGIC);
        frame[8..16].copy_from_slice(&self.turn.to_le_bytes());
        frame[16..HEAD_BYTES].copy_from_slice(&(bytes - HEAD_BYTES as u64).to_le_bytes());
        let checksum = crc32fast::hash(&frame[8..]);
        frame[4..8].copy_from_slice(&checksum.to_le_bytes());
        let length = &mut self.lengths[self.current];
        if self.end + bytes > *length {
            let grown = (self.end + bytes).next_multiple_of(GROWTH_BYTES as u64);
            self.pending.resize(usize::try_from(grown - self.end).map_err(io::Error::other)?, 0);
            *length = grown;
        }
        let file = &self.files[self.current];
        file.write_all_at(&self.pending, self.end)?;
        file.sync_data()?;
        self.end += bytes;
        self.pending.clear();
        self.pending.shrink_to(GROWTH_BYTES);
        Ok(())
    }

    /// Bytes of this turn that are durable.
    pub(super) fn turn_bytes(&self) -> u64 {
        self.end
    }

    /// Begins the next turn, in the place of the last but one: that must be in the tree.
    pub(super) fn begin_turn(&mut self) -> io::Result<()> {
        self.turn += 1;
        self.current = 1 - self.current;
        self.end = 0;
        let length = &mut self.lengths[self.current];
        // Of a commit that was larger than a turn.
        if *length > TURN_BYTES * 2 {
            self.files[self.current].set_len(TURN_BYTES)?;
            *length = TURN_BYTES;
        }
        Ok(())
    }

    /// Lets nothing be read back any more: everything is in the tree. A turn without writes takes the place of each, the older one's
    /// first: what is cut off in between leaves the newer one, which may be written again.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        for _ in NAMES {
            self.begin_turn()?;
            self.sync()?;
        }
        Ok(())
    }

    /// Bytes of its files.
    pub(super) fn size_on_disk(&self) -> u64 {
        self.lengths.iter().sum()
    }
}

/// What a file holds.
struct Turn {
    number: u64,
    /// `None`: the first frame is not whole, and the number is that of one further on.
    writes: Option<Layer>,
}

/// What the file `path` holds; `None`: no whole frame.
fn read_turn(path: &Path) -> Result<Option<Turn>, StoreError> {
    let bytes = std::fs::read(path).map_err(|source| StoreError::unavailable("read its journal", source))?;
    let Some((number, ..)) = frame(&bytes) else {
        return Ok(frames_within(&bytes).next().map(|number| Turn { number, writes: None }));
    };
    let (mut writes, mut at) = (Layer::new(), 0);
    while let Some((_, body, behind)) = frame(&bytes[at..]).filter(|(of, ..)| *of == number) {
        read_writes(body, &mut writes).ok_or_else(|| damaged(path, at))?;
        at += behind;
    }
    // A frame that was cut off is the last of its turn: the next would have been written when it was synced. One of the same turn
    // behind it says that something else happened to it.
    if frames_within(&bytes[at..]).any(|of| of == number) {
        return Err(damaged(path, at));
    }
    Ok(Some(Turn { number, writes: Some(writes) }))
}

/// The turns of the whole frames anywhere in `bytes`.
fn frames_within(bytes: &[u8]) -> impl Iterator<Item = u64> {
    memchr::memmem::find_iter(bytes, &MAGIC).filter_map(|at| Some(frame(&bytes[at..])?.0))
}

/// The turn of the frame at the start of `bytes`, its writes as they stand there, and where it ends; `None`: there is no whole one.
fn frame(bytes: &[u8]) -> Option<(u64, &[u8], usize)> {
    let head = bytes.get(..HEAD_BYTES)?.strip_prefix(&MAGIC)?;
    let long = |at: usize| Some(u64::from_le_bytes(head.get(at..at + 8)?.try_into().ok()?));
    let (turn, body_bytes) = (long(4)?, usize::try_from(long(12)?).ok()?);
    let body = bytes.get(HEAD_BYTES..)?.get(..body_bytes)?;
    let end = HEAD_BYTES + body_bytes;
    (number(head)? == crc32fast::hash(&bytes[8..end])).then_some((turn, body, end))
}

fn read_writes(mut body: &[u8], writes: &mut Layer) -> Option<()> {
    while !body.is_empty() {
        let (key_bytes, value_bytes) = (number(body)? as usize, number(&body[4..])?);
        body = &body[8..];
        let (key, behind) = body.split_at_checked(key_bytes)?;
        let (value, behind) = match value_bytes {
            REMOVED => (None, behind),
            bytes => behind.split_at_checked(bytes as usize).map(|(value, behind)| (Some(value), behind))?,
        };
        writes.extend([write(key, value)]);
        body = behind;
    }
    Some(())
}

fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?))
}

/// The length of a key or a value as it is written. Values are cut far below ([`super::value::CHUNK_BYTES`]).
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(REMOVED - 1)
}

fn damaged(path: &Path, at: usize) -> StoreError {
    StoreError::corrupt(path.display().to_string(), format!("what was written at byte {at} cannot be read, and more was written behind it"))
}
