//! The cache of compiled artifacts: `DATA/cache/artifacts/<digest>-<compatibility>`, readable by us alone, never part of a backup.
//!
//! An artifact is machine code that runs with the rights of the host. Each one carries a MAC under a key derived from the storage key, over
//! the artifact and its name; what does not verify is compiled again.

use std::{
    collections::HashSet,
    fs, io,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::model::plugin::Digest;

const MAC_BYTES: usize = 32;
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// The cache.
pub(in crate::plugin) struct Artifacts {
    directory: PathBuf,
    keyed: Hmac<Sha256>,
    compatibility: String,
}

impl Artifacts {
    /// Opens, and makes if need be, the cache for artifacts of this compatibility.
    pub fn open(directory: PathBuf, key: [u8; 32], compatibility: String) -> io::Result<Self> {
        private_directory(&directory)?;
        let keyed = Hmac::new_from_slice(&key).map_err(io::Error::other)?;
        Ok(Self { directory, keyed, compatibility })
    }

    /// The artifact of the bytes with this digest, if there is one and it is ours.
    pub fn get(&self, digest: &Digest) -> Option<Vec<u8>> {
        let mut bytes = fs::read(self.path(digest)).ok()?;
        let mac = bytes.get(..MAC_BYTES)?.to_owned();
        let artifact = bytes.split_off(MAC_BYTES);
        match self.mac(digest, &artifact).verify_slice(&mac) {
            Ok(()) => Some(artifact),
            Err(_) => {
                tracing::warn!(%digest, "a cached artifact is not what this host wrote; it is compiled again");
                None
            }
        }
    }

    /// Keeps an artifact. A file appears whole or not at all.
    pub fn put(&self, digest: &Digest, artifact: &[u8]) -> io::Result<()> {
        let path = self.path(digest);
        let half = self.directory.join(format!(".{}-{:016x}", digest.hex(), rand::random::<u64>()));
        let written = (|| {
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&half)?;
            file.write_all(&self.mac(digest, artifact).finalize().into_bytes())?;
            file.write_all(artifact)?;
            fs::rename(&half, &path)
        })();
        if written.is_err() {
            // Whether it could be removed changes nothing: the sweep finds it.
            drop(fs::remove_file(&half));
        }
        written
    }

    /// Forgets an artifact.
    pub fn forget(&self, digest: &Digest) {
        if let Err(error) = fs::remove_file(self.path(digest)) {
            tracing::debug!(%digest, %error, "an artifact was not there to be removed");
        }
    }

    /// Removes what no plugin refers to, what another build of the host left, and half-written files.
    pub fn sweep(&self, keep: &HashSet<Digest>) -> io::Result<()> {
        let keep: HashSet<PathBuf> = keep.iter().map(|digest| self.path(digest)).collect();
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            if !keep.contains(&path) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.directory.join(format!("{}-{}", digest.hex(), self.compatibility))
    }

    fn mac(&self, digest: &Digest, artifact: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.keyed.clone();
        // Both have a fixed length, so nothing can move between name and content.
        mac.update(digest.hex().as_bytes());
        mac.update(self.compatibility.as_bytes());
        mac.update(artifact);
        mac
    }
}

/// Makes a directory, and those above it, that only we can enter.
pub(in crate::plugin) fn private_directory(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn cache(directory: &Path, compatibility: &str) -> Artifacts {
        Artifacts::open(directory.join("artifacts"), [7; 32], compatibility.to_owned()).expect("a cache")
    }

    #[test]
    fn what_was_kept_comes_back_and_what_was_changed_does_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let (artifacts, digest) = (cache(directory.path(), "a"), Digest::of(b"plugin"));
        artifacts.put(&digest, b"machine code").expect("written");
        assert_eq!(artifacts.get(&digest).as_deref(), Some(&b"machine code"[..]));
        assert_eq!(fs::metadata(artifacts.path(&digest)).expect("there").permissions().mode() & 0o777, FILE_MODE);

        let other = Digest::of(b"other");
        fs::copy(artifacts.path(&digest), artifacts.path(&other)).expect("copied");
        assert_eq!(artifacts.get(&other), None, "under another name it is not ours");

        let mut bytes = fs::read(artifacts.path(&digest)).expect("read");
        *bytes.last_mut().expect("not empty") ^= 1;
        fs::write(artifacts.path(&digest), bytes).expect("written");
        assert_eq!(artifacts.get(&digest), None);
    }

    #[test]
    fn a_sweep_keeps_what_is_referred_to() {
        let directory = tempfile::tempdir().expect("a directory");
        let (old, new) = (cache(directory.path(), "old"), cache(directory.path(), "new"));
        let (used, unused) = (Digest::of(b"used"), Digest::of(b"unused"));
        for (artifacts, digest) in [(&old, &used), (&new, &used), (&new, &unused)] {
            artifacts.put(digest, b"x").expect("written");
        }
        new.sweep(&HashSet::from([used.clone()])).expect("swept");
        assert!(new.get(&used).is_some() && new.get(&unused).is_none() && old.get(&used).is_none());
    }
}
