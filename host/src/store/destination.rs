//! Where a backup may go. A request over HTTP names a place below the directory that the operator has set (`backup_dir`). A process that
//! may write to the data directory, such as `hookwright backup` on the host's machine, may choose any place; it proves that by a note.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Component, Path, PathBuf},
};

use super::{
    Store,
    directory::{make_directory, replace},
    error::StoreError,
};
use crate::clock;

/// What the name of a note begins with.
const NOTE: &str = "backup-note-";

/// Letters of what a note is called.
const NOTE_CHARS: usize = 32;

/// Bytes of a name below the directory.
const NAME_BYTES_MAX: usize = 512;

/// Bytes of a part of it: what file systems take.
const PART_BYTES_MAX: usize = 255;

/// The place `name` below `base`, which is made when it does not exist. No link and no `..` leads out of it.
pub fn below(base: &Path, name: &str) -> Result<PathBuf, StoreError> {
    let refused = |what| StoreError::Misplaced { path: PathBuf::from(name), what };
    let failed = |source: io::Error| StoreError::backup("made", base, source);
    make_directory(base).map_err(failed)?;
    let real = base.canonicalize().map_err(failed)?;
    let named = Path::new(name);
    let relative = match named.is_absolute() {
        true => named.strip_prefix(base).or_else(|_| named.strip_prefix(&real)),
        false => Ok(named),
    };
    let relative = relative
        .map_err(|_| refused("does not lie in the directory for backups (`backup_dir`): a name in it will do, such as `2026-01-31`"))?;
    let is_name = |part: Component<'_>| matches!(part, Component::Normal(part) if part.len() <= PART_BYTES_MAX && part.to_str().is_some_and(|part| !part.contains(char::is_control)));
    if relative == Path::new("") || name.len() > NAME_BYTES_MAX || !relative.components().all(is_name) {
        return Err(refused(
            "names no place in the directory for backups (`backup_dir`): it must be a name such as `2026-01-31`, without `..`",
        ));
    }
    let place = real.join(relative);
    // What is there already may be a link.
    let there = place.ancestors().find(|ancestor| ancestor.symlink_metadata().is_ok()).unwrap_or(&real);
    match there.canonicalize() {
        Ok(there) if there.starts_with(&real) => Ok(place),
        _ => Err(refused("leads out of the directory for backups (`backup_dir`)")),
    }
}

/// A note in a data directory that says where a backup goes. Removed when it is dropped.
pub struct Note {
    path: PathBuf,
}

impl Note {
    /// Leaves one in `data`: the backup goes `to`, an absolute path.
    pub fn leave(data: &Path, to: &Path) -> Result<Self, StoreError> {
        let path = data.join(format!("{NOTE}{}", hex::encode(clock::random::<{ NOTE_CHARS / 2 }>())));
        let text = serde_json::to_vec(&to.to_string_lossy()).unwrap_or_default();
        replace(&path, &text).map_err(|source| StoreError::in_directory("leave a note where a backup goes", data, source))?;
        Ok(Self { path })
    }

    /// What it is called, for the host.
    pub fn name(&self) -> &str {
        self.path.file_name().and_then(OsStr::to_str).and_then(|name| name.strip_prefix(NOTE)).unwrap_or_default()
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        // The host has taken it; if not, it says nothing to anybody else.
        drop(fs::remove_file(&self.path));
    }
}

impl Store {
    /// Where the note called `name` in the data directory says that a backup goes. `None`: there is none such. It is taken away.
    pub fn take_note(&self, name: &str) -> Result<Option<PathBuf>, StoreError> {
        if name.len() != NOTE_CHARS || !name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(None);
        }
        let path = self.shared.data.join(format!("{NOTE}{name}"));
        let read = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice::<PathBuf>(&bytes).map_err(io::Error::from),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => Err(error),
        };
        drop(fs::remove_file(&path));
        let to = read.map_err(|source| StoreError::backup("read", &path, source))?;
        Ok(Some(to).filter(|to| to.is_absolute()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_below_the_directory_whatever_it_is_called() {
        let directory = tempfile::tempdir().expect("a directory");
        let base = directory.path().join("backups");
        assert_eq!(below(&base, "today").expect("a place"), base.canonicalize().expect("made").join("today"));
        let inside = base.join("a/b");
        assert!(below(&base, inside.to_str().expect("a path")).is_ok() && below(&base, "a/b/c").is_ok());
        std::os::unix::fs::symlink("/", base.join("out")).expect("linked");
        std::os::unix::fs::symlink("/nowhere/at/all", base.join("dangling")).expect("linked");
        let long = "x".repeat(256);
        for wrong in ["", ".", "..", "a/../../b", "/etc", "/", "out/etc", "out", "dangling", "dangling/x", "a\0b", "a\nb", &long] {
            let refused = below(&base, wrong).expect_err(wrong);
            assert!(matches!(refused, StoreError::Misplaced { .. }), "{wrong}: {refused}");
            assert!(refused.to_string().contains("`backup_dir`"), "{refused}");
        }
    }
}
