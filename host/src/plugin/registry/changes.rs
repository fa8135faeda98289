//! Changes of plugins: everything is checked before anything changes, bytes are kept before the record that names them, the swap comes last.

use bytes::Bytes;
use serde_json::Value;

use super::{ActivePlugin, Conducts, Plugins, artifacts_of, kept, untouched};
use crate::{
    model::plugin::{
        ActiveVersion, Digest, Grants, PluginKind, PluginRecord, PluginVersion,
        history::{Actor, Deed, Entry},
        limits::PluginLimitsSpec,
        rollback::RollbackRule,
    },
    plugin::{
        error::UploadError,
        loaded::{LoadedPlugin, Source},
        records,
        upload::loader::{Ready, Trial},
    },
};
use std::{sync::Arc, time::Duration};

/// Versions kept of one name; beyond it the oldest inactive one goes with each upload.
pub const VERSIONS_MAX: usize = 100;
/// Characters of a name.
const NAME_CHARS_MAX: usize = 64;

/// What became of an upload.
#[derive(Clone, Debug, PartialEq)]
pub struct Uploaded {
    /// The version these bytes are.
    pub version: PluginVersion,
    /// Whether it is new; the same bytes uploaded again are the same version.
    pub created: bool,
    /// Whether it is active now; else it is staged.
    pub active: bool,
    /// Interfaces it imports that nothing was granted for.
    pub missing_grants: Vec<String>,
}

/// An upload that was found good.
struct Offered {
    bytes: Bytes,
    kind: PluginKind,
    digest: Digest,
    ready: Ready,
}

/// Whether `name` can name a plugin: it is also the name of a file in the inbox and of a granted directory.
pub fn is_plugin_name(name: &str) -> bool {
    (1..=NAME_CHARS_MAX).contains(&name.len())
        && !name.starts_with('-')
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

impl Plugins {
    /// Takes a version of `name`, if it loads, and activates it if asked. Whatever fails, what was active stays active.
    pub async fn upload(&self, name: &str, bytes: Bytes, kind: PluginKind, activate: bool, by: Actor) -> Result<Uploaded, UploadError> {
        self.check_name(name)?;
        let loader = &self.shared.loader;
        loader.check_upload(kind, &bytes)?;
        let digest = Digest::of(&bytes);
        let before = self.record(name);
        let limits = self.shared.limits.of_plugin(&before.limits);
        // The work so far ends when the client leaves. What follows is quick and must not stop halfway.
        let ready = loader.load(kind, &digest, bytes.clone(), Trial::Run(limits)).await;
        let (plugins, name) = (self.clone(), name.to_owned());
        let committed = tokio::spawn(async move {
            let taken = match ready {
                Ok(ready) => plugins.take(&name, Offered { bytes, kind, digest: digest.clone(), ready }, activate, by).await,
                Err(error) => Err(error),
            };
            plugins.forget(before.versions.into_iter().map(|version| version.digest).chain([digest])).await;
            taken
        });
        committed.await.map_err(|error| UploadError::Host(error.to_string()))?
    }

    async fn take(&self, name: &str, offered: Offered, activate: bool, by: Actor) -> Result<Uploaded, UploadError> {
        let Offered { bytes, kind, digest, ready } = offered;
        let _changing = self.shared.changing.lock().await;
        let mut record = self.record(name);
        let missing_grants = record.grants.missing(&ready.imports);
        if activate && !missing_grants.is_empty() {
            return Err(UploadError::MissingGrants { names: missing_grants });
        }
        let same = record.versions.iter().find(|version| version.digest == digest && version.kind == kind).cloned();
        let created = same.is_none();
        let version = same.unwrap_or_else(|| PluginVersion {
            version: Some(record.versions.iter().filter_map(|version| version.version).max().unwrap_or(0) + 1),
            digest: digest.clone(),
            kind,
            exports: ready.offers.clone(),
            imports: ready.imports.clone(),
            size_bytes: bytes.len() as u64,
            uploaded_at: self.shared.clock.now(),
        });
        if created {
            self.store.put_blob(bytes.clone()).await?;
            record.versions.push(version.clone());
            drop_old_versions(&mut record);
        }
        let now = self.shared.clock.now();
        let mut conducts = Conducts::Kept;
        if let Some(number) = version.version {
            if created {
                record.history.add(now, by.clone(), Deed::Uploaded { version: number, digest: digest.clone() });
            }
            let (wanted, before) = (ActiveVersion::Version(number), record.active);
            if activate && before != wanted {
                record.activate(wanted, now);
                record.history.add(now, by, Deed::Activated { version: wanted, before });
                conducts = Conducts::Fresh;
            }
        }
        let active = version.version.is_some_and(|number| record.active == ActiveVersion::Version(number));
        let loaded = LoadedPlugin::warm(&self.shared.loader, digest, kind, ready, Source::Store(self.store.clone()));
        self.keep(record, Some(&Arc::new(loaded)), conducts).await?;
        tracing::info!(plugin = name, version = version.version, digest = %version.digest, active, "a plugin was uploaded");
        Ok(Uploaded { version, created, active, missing_grants })
    }

    /// Points `name` at another version, which is loaded before.
    pub async fn activate(&self, name: &str, version: ActiveVersion, by: Actor) -> Result<(), UploadError> {
        let candidate = self.candidate(name, version).await?;
        let _changing = self.shared.changing.lock().await;
        let mut record = self.record(name);
        check_candidate(&record, candidate.as_deref())?;
        let (now, before) = (self.shared.clock.now(), record.active);
        record.activate(version, now);
        record.history.add(now, by, Deed::Activated { version, before });
        self.keep(record, None, Conducts::Fresh).await?;
        tracing::info!(plugin = name, ?version, "a plugin's version was activated");
        Ok(())
    }

    /// Points `name` at what was active before: the version, and what it replaced.
    pub async fn roll_back(&self, name: &str, by: Actor) -> Result<(ActiveVersion, ActiveVersion), UploadError> {
        let info = self.info(name).ok_or_else(|| UploadError::Missing(format!("plugin `{name}`")))?;
        let version = info.before.ok_or_else(|| UploadError::NothingBefore { name: name.to_owned(), active: info.record.active })?;
        let candidate = self.candidate(name, version).await?;
        let _changing = self.shared.changing.lock().await;
        let mut record = self.record(name);
        check_candidate(&record, candidate.as_deref())?;
        if record.active != info.record.active {
            return Err(UploadError::Conflict(name.to_owned()));
        }
        let before = record.active;
        record.roll_back(version);
        record.history.add(self.shared.clock.now(), by, Deed::RolledBack { version, before, reason: None });
        self.keep(record, None, Conducts::Fresh).await?;
        tracing::info!(plugin = name, %version, %before, "a plugin was rolled back");
        Ok((version, before))
    }

    /// The same because `failed` keeps failing, as `reason` says; `None`: it is not active any more, or nothing was before it. That it
    /// is still to be told of is written with it ([`Plugins::untold`]).
    pub async fn roll_back_failed(&self, name: &str, failed: Option<u32>, reason: &str) -> Result<Option<ActiveVersion>, UploadError> {
        let active = failed.map_or(ActiveVersion::Builtin, ActiveVersion::Version);
        let before = |record: &PluginRecord| record.version_before().filter(|_| record.active == active && record.watched_since.is_some());
        let Some(version) = before(&self.record(name)) else { return Ok(None) };
        let candidate = self.candidate(name, version).await?;
        let _changing = self.shared.changing.lock().await;
        let mut record = self.record(name);
        check_candidate(&record, candidate.as_deref())?;
        if before(&record) != Some(version) {
            return Ok(None);
        }
        record.roll_back(version);
        let deed = Deed::RolledBack { version, before: active, reason: Some(Deed::reason(reason)) };
        record.untold = Some(record.history.add(self.shared.clock.now(), Actor::host(), deed));
        self.keep(record, None, Conducts::Fresh).await?;
        tracing::error!(plugin = name, ?version, ?active, reason, "a plugin was rolled back because its new version keeps failing");
        Ok(Some(version))
    }

    /// Rollbacks nobody was told of yet: the plugin and its entry.
    pub fn untold(&self) -> Vec<(String, Entry)> {
        let snapshot = self.shared.snapshot.load();
        let untold = snapshot.values().filter_map(|entry| {
            let record = &entry.record;
            Some((record.name.clone(), record.history.get(record.untold?)?.clone()))
        });
        untold.collect()
    }

    /// The entry was told of.
    pub async fn told(&self, name: &str, number: u64) -> Result<(), UploadError> {
        let _changing = self.shared.changing.lock().await;
        let mut record = self.record(name);
        if record.untold != Some(number) {
            return Ok(());
        }
        record.untold = None;
        self.keep(record, None, Conducts::Kept).await
    }

    /// Writes down that a version was set aside.
    pub async fn note_set_aside(&self, name: &str, version: Option<u32>, last: &str) -> Result<(), UploadError> {
        let _changing = self.shared.changing.lock().await;
        if !self.exists(name) {
            return Ok(());
        }
        let mut record = self.record(name);
        record.history.add(self.shared.clock.now(), Actor::host(), Deed::SetAside { version, reason: Deed::reason(last) });
        self.keep(record, None, Conducts::Kept).await
    }

    /// Lets a plugin that was set aside be called again, all its versions.
    pub async fn resume(&self, name: &str, by: Actor) -> Result<(), UploadError> {
        if !self.exists(name) {
            return Err(UploadError::Missing(format!("plugin `{name}`")));
        }
        self.change(name, by, Deed::Resumed, |_| {}).await?;
        tracing::info!(plugin = name, "a plugin that was set aside may be called again");
        Ok(())
    }

    /// A version, loaded.
    async fn candidate(&self, name: &str, version: ActiveVersion) -> Result<Option<Arc<ActivePlugin>>, UploadError> {
        let missing = |what: String| move || UploadError::Missing(what);
        let candidate = match version {
            _ if !self.exists(name) => return Err(UploadError::Missing(format!("plugin `{name}`"))),
            ActiveVersion::Builtin => Some(self.builtin(name).ok_or_else(missing(format!("built-in plugin `{name}`")))?),
            ActiveVersion::Version(number) => {
                Some(self.get(name, Some(number)).ok_or_else(missing(format!("version {number} of plugin `{name}`")))?)
            }
            ActiveVersion::None => None,
        };
        if let Some(candidate) = &candidate {
            candidate.loaded.load().await?;
        }
        Ok(candidate)
    }

    /// Forgets all uploaded versions, the configuration, the grants and limits, the history and the state it kept. A name of the binary's is then as at the first start.
    /// Whether something still refers to it is the caller's business.
    pub async fn delete(&self, name: &str) -> Result<(), UploadError> {
        let before = self.record(name);
        {
            let _changing = self.shared.changing.lock().await;
            if !self.exists(name) {
                return Err(UploadError::Missing(format!("plugin `{name}`")));
            }
            records::delete(&self.store, name).await?;
            let untouched = untouched(name);
            let entry = (untouched.active == ActiveVersion::Builtin).then(|| self.entry(untouched, None, Conducts::Fresh));
            self.swap(name, entry);
        }
        // Another plugin of this name is not to find what this one kept.
        self.store.forget_plugin_state(name).await?;
        self.forget(before.versions.into_iter().map(|version| version.digest)).await;
        tracing::info!(plugin = name, "a plugin was deleted");
        Ok(())
    }

    /// Replaces the configuration: a JSON object.
    pub async fn set_config(&self, name: &str, config: Value, by: Actor) -> Result<(), UploadError> {
        if !config.is_object() {
            return Err(UploadError::Config);
        }
        self.change(name, by, Deed::Configured, |record| record.config = config).await
    }

    /// Replaces the grants; possible before the first upload. What is taken away is refused from the next call on, also to what is active.
    pub async fn set_grants(&self, name: &str, grants: Grants, by: Actor) -> Result<(), UploadError> {
        self.change(name, by, Deed::Granted, |record| record.grants = grants).await
    }

    /// Replaces what is limited other than by default; possible before the first upload. It holds from the next call on.
    pub async fn set_limits(&self, name: &str, limits: PluginLimitsSpec, by: Actor) -> Result<(), UploadError> {
        let problems = limits.problems(self.maxima());
        if !problems.is_empty() {
            return Err(UploadError::Limits(problems));
        }
        self.change(name, by, Deed::Limited, |record| record.limits = limits).await
    }

    /// Says when a new version is rolled back by itself; `None`: as the host's configuration says.
    pub async fn set_rollback(&self, name: &str, rule: Option<RollbackRule>, by: Actor) -> Result<(), UploadError> {
        let problems = rule.map(|rule| rule.problems()).unwrap_or_default();
        if !problems.is_empty() {
            return Err(UploadError::Limits(problems));
        }
        self.change(name, by, Deed::Guarded, |record| record.rollback = rule).await
    }

    /// Removes the bytes and the artifacts of these digests, as far as nothing refers to them. Calls in flight have what they need.
    async fn forget(&self, digests: impl IntoIterator<Item = Digest>) {
        let _changing = self.shared.changing.lock().await;
        let used = self.digests();
        for digest in digests.into_iter().filter(|digest| !used.contains(digest)) {
            artifacts_of(&digest).iter().for_each(|artifact| self.shared.loader.artifacts.forget(artifact));
            if let Err(error) = self.store.remove_blob(&digest).await {
                tracing::warn!(%digest, %error, "the bytes of a plugin nobody uses cannot be removed");
            }
        }
    }

    /// Removes plugin bytes that nothing names, and that nobody has used for `kept`: what earlier versions of this program brought, and
    /// what could not be removed when it was forgotten.
    pub async fn sweep_bytes(&self, kept: Duration) {
        let _changing = self.shared.changing.lock().await;
        match self.store.sweep_blobs(self.digests(), kept).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "plugin bytes nobody uses were removed"),
            Err(error) => tracing::warn!(%error, "plugin bytes nobody uses cannot be removed"),
        }
    }

    async fn change(&self, name: &str, by: Actor, deed: Deed, change: impl FnOnce(&mut PluginRecord)) -> Result<(), UploadError> {
        self.check_name(name)?;
        let _changing = self.shared.changing.lock().await;
        let mut record = self.record(name);
        change(&mut record);
        record.history.add(self.shared.clock.now(), by, deed);
        self.keep(record, None, Conducts::Fresh).await
    }

    fn check_name(&self, name: &str) -> Result<(), UploadError> {
        if is_plugin_name(name) { Ok(()) } else { Err(UploadError::Name(name.to_owned())) }
    }

    fn record(&self, name: &str) -> PluginRecord {
        self.shared.snapshot.load().get(name).map_or_else(|| untouched(name), |entry| entry.record.clone())
    }

    /// Commits the record, then shows it.
    async fn keep(&self, record: PluginRecord, loaded: Option<&Arc<LoadedPlugin>>, conducts: Conducts) -> Result<(), UploadError> {
        records::put(&self.store, &record).await?;
        let name = record.name.clone();
        let entry = self.entry(record, loaded, conducts);
        self.swap(&name, Some(entry));
        Ok(())
    }
}

/// Whether the candidate is still there, and has the grants it needs.
fn check_candidate(record: &PluginRecord, candidate: Option<&ActivePlugin>) -> Result<(), UploadError> {
    let Some(candidate) = candidate else { return Ok(()) };
    let number = candidate.plugin_use.version;
    if number.is_some() && kept(record, number).is_none() {
        return Err(UploadError::Conflict(record.name.clone()));
    }
    let names = record.grants.missing(candidate.loaded.imports().unwrap_or_default());
    // The one in the binary is active without grants from the first start on: what it lacks is refused call by call.
    if !names.is_empty() && number.is_some() { Err(UploadError::MissingGrants { names }) } else { Ok(()) }
}

/// Keeps the number of versions bounded, the active and the newest one always.
fn drop_old_versions(record: &mut PluginRecord) {
    while record.versions.len() > VERSIONS_MAX {
        let active = match record.active {
            ActiveVersion::Version(number) => kept(record, Some(number)).and_then(|kept| kept.version),
            ActiveVersion::Builtin | ActiveVersion::None => None,
        };
        let Some(oldest) = record.versions.iter().position(|version| version.version != active) else { return };
        record.versions.remove(oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::plugin::Export;

    #[test]
    fn names_are_safe_as_file_names() {
        assert!(["a", "route-distance", "0", &"a".repeat(64)].into_iter().all(is_plugin_name));
        assert!(!["", "-a", "A", "a.b", "a/b", "..", "ä", &"a".repeat(65)].into_iter().any(is_plugin_name));
    }

    #[test]
    fn the_oldest_inactive_versions_go_first() {
        let mut record = untouched("x");
        record.versions = (1..=102)
            .map(|number| PluginVersion {
                version: Some(number),
                digest: Digest::of(&number.to_be_bytes()),
                kind: PluginKind::Wasm,
                exports: vec![Export::Transform],
                imports: Vec::new(),
                size_bytes: 1,
                uploaded_at: jiff::Timestamp::UNIX_EPOCH,
            })
            .collect();
        record.active = ActiveVersion::Version(1);
        drop_old_versions(&mut record);
        let left: Vec<_> = record.versions.iter().filter_map(|version| version.version).collect();
        assert_eq!((left.len(), left[0], left[1], left[99]), (100, 1, 4, 102));
    }
}
