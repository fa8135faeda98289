//! The plugins directory: a file put there is uploaded, once per (path, digest), remembered in the store (decision: inbox-once).
//!
//! `NAME.wasm`, `NAME.js` and `NAME.ts` are taken when they have stopped changing. What the API does later wins, because a file is never taken twice;
//! deleting a file does nothing. Symbolic links, hidden files and everything else are left alone. A file that is refused is refused once,
//! with the reason in the log.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::{
    error::UploadError,
    records::{self, Taken},
    registry::{Plugins, changes::is_plugin_name},
};
use crate::model::plugin::{Digest, PluginKind, history::Actor};

/// How often the directory is looked at.
const SCAN_EVERY: Duration = Duration::from_secs(1);

/// Digests remembered of one path; beyond it the oldest is forgotten.
const REMEMBERED_MAX: usize = 200;

/// A file as a scan sees it.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    size: u64,
    modified: SystemTime,
}

/// What is known of the directory.
#[derive(Default)]
struct Inbox {
    /// As the last scan saw it.
    seen: HashMap<String, Seen>,
    /// As it was when its content was dealt with.
    done: HashMap<String, Seen>,
}

/// Looks at `directory` until `stop`.
pub async fn watch(plugins: Plugins, directory: PathBuf, stop: CancellationToken) {
    if let Err(error) = crate::plugin::upload::artifact::private_directory(&directory) {
        tracing::error!(directory = %directory.display(), %error, "the plugins directory cannot be made; files put there are not loaded");
        return;
    }
    let mut inbox = Inbox::default();
    loop {
        inbox.scan(&plugins, &directory).await;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(SCAN_EVERY) => {}
        }
    }
}

impl Inbox {
    async fn scan(&mut self, plugins: &Plugins, directory: &Path) {
        let listing = {
            let directory = directory.to_owned();
            tokio::task::spawn_blocking(move || list(&directory)).await
        };
        let files = match listing {
            Ok(Ok(files)) => files,
            Ok(Err(error)) => return tracing::debug!(%error, "the plugins directory cannot be read"),
            Err(error) => return tracing::debug!(%error, "the plugins directory was not read"),
        };
        for (file, now) in &files {
            let is_stable = self.seen.get(file) == Some(now);
            if is_stable && self.done.get(file) != Some(now) {
                match take(plugins, directory, file).await {
                    Ok(()) => drop(self.done.insert(file.clone(), now.clone())),
                    // Not the file's fault: the next scan tries again.
                    Err(error) => tracing::warn!(file, %error, "a file in the plugins directory cannot be taken now"),
                }
            }
        }
        self.done.retain(|file, _| files.contains_key(file));
        self.seen = files;
    }
}

/// Regular, visible files whose name names a plugin.
fn list(directory: &Path) -> io::Result<HashMap<String, Seen>> {
    let mut files = HashMap::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        // Does not follow links.
        let metadata = entry.metadata()?;
        if let Ok(name) = entry.file_name().into_string()
            && metadata.is_file()
            && plugin_of(&name).is_some()
        {
            files.insert(name, Seen { size: metadata.len(), modified: metadata.modified()? });
        }
    }
    Ok(files)
}

/// The plugin a file name stands for.
fn plugin_of(file: &str) -> Option<(&str, PluginKind)> {
    let (name, _) = file.rsplit_once('.')?;
    let kind = PluginKind::of_file(file)?;
    is_plugin_name(name).then_some((name, kind))
}

/// Uploads a file unless the same content was taken from it before. An error is one that may pass.
async fn take(plugins: &Plugins, directory: &Path, file: &str) -> Result<(), UploadError> {
    let Some((name, kind)) = plugin_of(file) else { return Ok(()) };
    let bytes = read(directory.join(file), plugins.plugin_bytes_max()).await.map_err(|error| UploadError::Host(error.to_string()))?;
    let digest = Digest::of(&bytes);
    let mut record = records::inbox(plugins.store(), file).await?;
    if record.taken.iter().any(|taken| taken.digest == digest) {
        return Ok(());
    }
    let result = match upload(plugins, name, bytes, kind).await {
        Ok(result) => {
            tracing::info!(file, plugin = name, %digest, "a file in the plugins directory was loaded: {result}");
            result
        }
        Err(error) if error.is_passing() => return Err(error),
        Err(error) => {
            tracing::error!(file, plugin = name, %digest, "a file in the plugins directory was refused: {error}");
            format!("refused: {error}")
        }
    };
    record.taken.push(Taken { digest, result });
    let beyond = record.taken.len().saturating_sub(REMEMBERED_MAX);
    record.taken.drain(..beyond);
    records::put_inbox(plugins.store(), file, &record).await
}

/// Staged at least, when only grants are missing: an administrator gives them and activates it.
async fn upload(plugins: &Plugins, name: &str, bytes: Bytes, kind: PluginKind) -> Result<String, UploadError> {
    match plugins.upload(name, bytes.clone(), kind, true, Actor::directory()).await {
        Ok(uploaded) => Ok(format!("version {}", uploaded.version.version.unwrap_or_default())),
        Err(UploadError::MissingGrants { names }) => {
            let uploaded = plugins.upload(name, bytes, kind, false, Actor::directory()).await?;
            let version = uploaded.version.version.unwrap_or_default();
            Ok(format!("version {version}, not active: it needs grants for {}", names.join(", ")))
        }
        Err(error) => Err(error),
    }
}

/// The content, and one byte too many of what is too large.
async fn read(path: PathBuf, bytes_max: usize) -> io::Result<Bytes> {
    use tokio::io::AsyncReadExt;
    let mut bytes = Vec::new();
    let file = tokio::fs::OpenOptions::new().read(true).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed()).open(path).await?;
    file.take(bytes_max as u64 + 1).read_to_end(&mut bytes).await?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_name_plugins() {
        assert_eq!(plugin_of("route-distance.wasm"), Some(("route-distance", PluginKind::Wasm)));
        assert_eq!(plugin_of("score.js"), Some(("score", PluginKind::Script)));
        assert_eq!(plugin_of("score.ts"), Some(("score", PluginKind::TypeScript)));
        for other in [".hidden.wasm", "README.md", "a.b.js", "hookwright.d.ts", "UPPER.wasm", "wasm", ".js"] {
            assert_eq!(plugin_of(other), None, "{other}");
        }
    }

    #[test]
    fn links_and_directories_are_left_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("real.js"), "x").expect("written");
        std::os::unix::fs::symlink(directory.path().join("real.js"), directory.path().join("link.js")).expect("linked");
        fs::create_dir(directory.path().join("folder.js")).expect("made");
        let files = list(directory.path()).expect("read");
        assert_eq!(files.keys().collect::<Vec<_>>(), ["real.js"]);
    }
}
