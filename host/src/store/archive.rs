//! A tree as one file: copied records, and between them the writes made meanwhile, in the order in which they happened. Replaying the
//! file from the beginning gives the tree.
//!
//! ```text
//! hookwright records 1\n
//! 1  length of the key (4 bytes)  length of the value (4 bytes)  key  value      stands under the key from here on
//! 2  length of the key (4 bytes)  0                              key             is gone from here on
//! 0                                                                              the end
//! ```
//!
//! Numbers are big-endian; keys and values are as in the tree, so that no secret leaves its seal. Nothing here can tell a damaged
//! file from a whole one: the digest in the backup's manifest can.

use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read, Write as _},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::copy::Write;

const HEAD: &[u8] = b"hookwright records 1\n";
const END: u8 = 0;
const PUT: u8 = 1;
const REMOVE: u8 = 2;

/// Bytes of a key or a value that are believed: the store's own are far below.
const PART_BYTES_MAX: u32 = 16 * 1024 * 1024;

/// A file of records, by what it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Records {
    /// Bytes of the file.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

/// A file being written.
pub(super) struct Writer {
    out: BufWriter<File>,
    hash: Sha256,
    bytes: u64,
}

impl Writer {
    /// A new file, its owner's alone.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        let mut writer = Self { out: BufWriter::with_capacity(256 * 1024, file), hash: Sha256::new(), bytes: 0 };
        writer.put(HEAD)?;
        Ok(writer)
    }

    /// One more record.
    pub(super) fn write(&mut self, (key, value): &Write) -> io::Result<()> {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).map(u32::to_be_bytes).map_err(io::Error::other);
        let bytes = value.as_deref().unwrap_or_default();
        self.put(&[if value.is_some() { PUT } else { REMOVE }])?;
        self.put(&length(key)?)?;
        self.put(&length(bytes)?)?;
        self.put(key)?;
        self.put(bytes)
    }

    /// Ends the file. It is on the disk when this returns; its name is when its directory was synced.
    pub(super) fn finish(mut self) -> io::Result<Records> {
        self.put(&[END])?;
        self.out.flush()?;
        self.out.get_ref().sync_all()?;
        Ok(Records { bytes: self.bytes, sha256: hex::encode(self.hash.finalize()) })
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        self.out.write_all(bytes)
    }
}

/// A file being read.
pub(super) struct Reader {
    input: BufReader<File>,
    hash: Sha256,
    bytes: u64,
}

impl Reader {
    /// An existing file.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let input = BufReader::with_capacity(256 * 1024, File::open(path)?);
        let mut reader = Self { input, hash: Sha256::new(), bytes: 0 };
        if reader.take(HEAD.len() as u32)? != HEAD {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it does not begin as a file of records does"));
        }
        Ok(reader)
    }

    /// The next record; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Write>> {
        let kind = self.take(1)?[0];
        if kind == END {
            return Ok(None);
        }
        let (key, value) = (self.length()?, self.length()?);
        let (key, value) = (self.take(key)?, self.take(value)?);
        match kind {
            PUT => Ok(Some((key, Some(value)))),
            REMOVE => Ok(Some((key, None))),
            other => Err(io::Error::new(io::ErrorKind::InvalidData, format!("there is no kind {other} of record"))),
        }
    }

    /// Bytes read so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What the file was found to be; also counts what stands behind its end.
    pub(super) fn finish(mut self) -> io::Result<Records> {
        let mut rest = [0; 4096];
        loop {
            match self.input.read(&mut rest)? {
                0 => return Ok(Records { bytes: self.bytes, sha256: hex::encode(self.hash.finalize()) }),
                read => {
                    self.hash.update(&rest[..read]);
                    self.bytes += read as u64;
                }
            }
        }
    }

    fn length(&mut self) -> io::Result<u32> {
        let bytes = self.take(4)?;
        let length = bytes.try_into().map_or(u32::MAX, u32::from_be_bytes);
        if length > PART_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a record of {length} bytes")));
        }
        Ok(length)
    }

    fn take(&mut self, length: u32) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length as usize];
        self.input.read_exact(&mut bytes)?;
        self.hash.update(&bytes);
        self.bytes += u64::from(length);
        Ok(bytes)
    }
}
