//! Plugins by name: one snapshot that readers load without waiting, and that a change replaces whole. A reader sees a plugin before a
//! change or after it, never half; calls in flight keep the version they began with.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use super::{
    builtin::{BUILTINS, Builtin, SCRIPT_ENGINE},
    call::{
        conduct::{Conduct, Gates, News, NewsDesk, Of, Shown, Watch},
        context::HostSide,
    },
    error::UploadError,
    loaded::{LoadedPlugin, Source},
    records,
    script::{self, ScriptLanguage},
    upload::{
        loader::{Loader, PluginOptions},
        snapshot,
    },
};
use crate::{
    clock::SharedClock,
    config::Limits,
    metrics::PoolState,
    model::plugin::{
        ActiveVersion, Digest, Export, Grants, PluginFailure, PluginKind, PluginRecord, PluginUse, PluginVersion,
        history::History,
        limits::{PluginLimits, PluginLimitsSpec},
        rollback::RollbackRule,
    },
    store::Store,
};

pub mod changes;

/// All plugins. Cheap to clone.
#[derive(Clone)]
pub struct Plugins {
    shared: Arc<Shared>,
    /// What records are written to, on somebody's behalf.
    store: Store,
}

struct Shared {
    clock: SharedClock,
    limits: Arc<Limits>,
    loader: Arc<Loader>,
    host_side: HostSide,
    /// What the engine is to be told.
    desk: Arc<NewsDesk>,
    snapshot: ArcSwap<HashMap<String, Arc<Entry>>>,
    /// How often it was replaced.
    changes: AtomicU64,
    /// One change at a time: it is check, commit, swap. Compiling and trying out come before.
    changing: Mutex<()>,
}

/// One name.
struct Entry {
    record: PluginRecord,
    gates: Arc<Gates>,
    builtin: Option<Arc<ActivePlugin>>,
    versions: BTreeMap<u32, Arc<ActivePlugin>>,
}

/// What becomes of how the versions of a name behaved so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Conducts {
    /// It goes on.
    Kept,
    /// Counts start at zero: they were changed.
    Fresh,
}

/// One version of a plugin with what its name is configured and granted now.
#[derive(Clone, Debug)]
pub struct ActivePlugin {
    /// Name, version and digest.
    pub plugin_use: PluginUse,
    /// The plugin's own configuration: a JSON object.
    pub config: Value,
    /// What it is granted.
    pub grants: Arc<Grants>,
    /// What bounds it.
    pub limits: PluginLimits,
    /// What of that an admin set.
    pub own_limits: PluginLimitsSpec,
    /// Who lets its calls in.
    pub conduct: Arc<Conduct>,
    /// What is called.
    pub loaded: Arc<LoadedPlugin>,
}

/// A plugin as an administrator sees it.
#[derive(Clone, Debug)]
pub struct PluginInfo {
    /// What is kept of it. For a plugin of the binary that nobody touched: what would be.
    pub record: PluginRecord,
    /// The digest of the one in the binary, if there is one of this name.
    pub builtin: Option<Digest>,
    /// What the active version can do; the newest one's if none is active.
    pub exports: Vec<Export>,
    /// Interfaces that version imports and that nothing was granted for.
    pub missing_grants: Vec<String>,
    /// The limits that hold.
    pub limits: PluginLimits,
    /// The rule that holds for automatic rollbacks.
    pub rollback: RollbackRule,
    /// What a rollback would go to now.
    pub before: Option<ActiveVersion>,
    /// How the active version behaves.
    pub conduct: Option<Shown>,
    /// The other versions that are set aside: webhooks may be pinned to them.
    pub others_set_aside: Vec<Shown>,
}

impl Plugins {
    /// Starts the sandbox and reads what the store has. Nothing is compiled here: plugins are loaded when they are first called,
    /// or by [`Plugins::warm`].
    pub async fn open(options: PluginOptions, store: Store, clock: SharedClock) -> Result<Self, UploadError> {
        let loader = Arc::new(Loader::new(&options, records::artifact_key(&store))?);
        let host_side = records::host_side(&store);
        let limits = Arc::clone(&options.limits);
        let (desk, snapshot, changes, changing) = (Arc::default(), ArcSwap::default(), AtomicU64::default(), Mutex::default());
        let shared = Shared { clock, limits, loader, host_side, desk, snapshot, changes, changing };
        let plugins = Self { shared: Arc::new(shared), store };
        let mut entries = HashMap::new();
        for record in records::all(&plugins.store).await? {
            entries.insert(record.name.clone(), Arc::new(plugins.entry(record, None, Conducts::Kept)));
        }
        for builtin in BUILTINS.iter() {
            let entry = || Arc::new(plugins.entry(untouched(builtin.name), None, Conducts::Kept));
            entries.entry(builtin.name.to_owned()).or_insert_with(entry);
        }
        plugins.shared.snapshot.store(Arc::new(entries));
        plugins.sweep_artifacts();
        Ok(plugins)
    }

    /// The same plugins: what is changed through this handle is changed on behalf of whom `store` writes for.
    pub fn writing_to(&self, store: &Store) -> Self {
        Self { shared: Arc::clone(&self.shared), store: store.clone() }
    }

    /// What is active under `name`, or its version `version`.
    pub fn get(&self, name: &str, version: Option<u32>) -> Option<Arc<ActivePlugin>> {
        let snapshot = self.shared.snapshot.load();
        let entry = snapshot.get(name)?;
        match version {
            Some(version) => entry.versions.get(&version).cloned(),
            None => entry.active().cloned(),
        }
    }

    /// The one in the binary, whatever is active.
    pub fn builtin(&self, name: &str) -> Option<Arc<ActivePlugin>> {
        self.shared.snapshot.load().get(name)?.builtin.clone()
    }

    /// The version of `name` that is on trial, if it is still the active one, and the version before it.
    pub fn on_trial(&self, name: &str, version: Option<u32>) -> Option<(Arc<ActivePlugin>, Arc<ActivePlugin>)> {
        let snapshot = self.shared.snapshot.load();
        let entry = snapshot.get(name)?;
        let tried = entry.active().filter(|active| active.plugin_use.version == version)?;
        let before = entry.version(entry.record.version_before()?.number())?;
        Some((Arc::clone(tried), Arc::clone(before)))
    }

    /// Whether there is a plugin of this name, active or not.
    pub fn exists(&self, name: &str) -> bool {
        self.shared.snapshot.load().contains_key(name)
    }

    /// The plugin as an administrator sees it.
    pub fn info(&self, name: &str) -> Option<PluginInfo> {
        self.shared.snapshot.load().get(name).map(|entry| self.info_of(entry))
    }

    /// All of them, by name.
    pub fn list(&self) -> Vec<PluginInfo> {
        let mut list: Vec<_> = self.shared.snapshot.load().values().map(|entry| self.info_of(entry)).collect();
        list.sort_by(|a, b| a.record.name.cmp(&b.record.name));
        list
    }

    /// How often plugins were changed since the start. Equal numbers mean that nothing was changed in between.
    pub fn changes(&self) -> u64 {
        self.shared.changes.load(Ordering::SeqCst)
    }

    /// What there is to tell, once there is something. For one worker.
    pub async fn news(&self) -> Vec<News> {
        self.shared.desk.take().await
    }

    /// Names of plugins that are set aside, as they are active.
    pub fn set_aside(&self) -> Vec<String> {
        let snapshot = self.shared.snapshot.load();
        let is_out = |entry: &&Arc<Entry>| entry.active().is_some_and(|active| active.conduct.refusal().is_some());
        snapshot.values().filter(is_out).map(|entry| entry.record.name.clone()).collect()
    }

    /// Of active plugins that were called, the most linear memory one call had, in bytes.
    pub fn memory(&self) -> Vec<(String, u64)> {
        let snapshot = self.shared.snapshot.load();
        let most = |entry: &Arc<Entry>| Some((entry.record.name.clone(), entry.active()?.conduct.memory_most()));
        snapshot.values().filter_map(most).filter(|(_, bytes)| *bytes > 0).collect()
    }

    /// How much of the sandbox is in use.
    pub fn pool(&self) -> PoolState {
        self.shared.loader.sandbox.pool()
    }

    /// Why a plugin is not to be called now, and until when, if it is not.
    pub fn refusal(&self, name: &str, version: Option<u32>) -> Option<(PluginFailure, Timestamp)> {
        self.get(name, version)?.conduct.refusal()
    }

    /// The host's maxima of limits.
    pub fn maxima(&self) -> &PluginLimits {
        &self.shared.limits.plugin_maxima
    }

    /// The host's defaults of limits.
    pub fn defaults(&self) -> PluginLimits {
        self.shared.limits.of_plugin(&PluginLimitsSpec::default())
    }

    /// Secrets and state, for a [`CallContext`](super::CallContext).
    pub fn host_side(&self) -> HostSide {
        self.shared.host_side.clone()
    }

    /// Loads these plugins (as they are active) and the script engine now, compiling what is not cached: for the background of a start.
    pub async fn warm(&self, names: impl IntoIterator<Item = String>) {
        let begun = Instant::now();
        for name in names {
            if let Some(active) = self.get(&name, None)
                && let Err(error) = active.loaded.load().await
            {
                tracing::error!(plugin = name, %error, "an active plugin does not load");
            }
        }
        if let Err(error) = self.shared.loader.script_engine().await {
            tracing::error!(%error, "the script engine does not load");
        }
        tracing::info!(ms = begun.elapsed().as_millis(), "the active plugins are ready");
    }

    /// The host stops: calls that wait for their turn are sent away.
    pub fn stop(&self) {
        self.shared.snapshot.load().values().for_each(|entry| entry.gates.stop());
    }

    /// The names of everything active, which is what [`Plugins::warm`] wants to know.
    pub fn active_names(&self) -> Vec<String> {
        self.shared.snapshot.load().values().filter(|entry| entry.active().is_some()).map(|entry| entry.record.name.clone()).collect()
    }

    /// Bytes of an upload.
    pub(super) fn plugin_bytes_max(&self) -> usize {
        self.shared.loader.plugin_bytes_max
    }

    /// Where plugins are kept.
    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// An entry for `record`; a version that is loaded already stays so.
    fn entry(&self, record: PluginRecord, loaded: Option<&Arc<LoadedPlugin>>, conducts: Conducts) -> Entry {
        let grants = Arc::new(record.grants.clone());
        let (own_limits, limits) = (record.limits, self.shared.limits.of_plugin(&record.limits));
        let config = if record.config.is_object() { record.config.clone() } else { Value::Object(Map::new()) };
        let before = self.shared.snapshot.load().get(&record.name).cloned();
        let gates = before.as_ref().map_or_else(|| Arc::new(Gates::new(&limits)), |entry| Arc::clone(&entry.gates));
        let known = before.iter().flat_map(|entry| entry.all().map(|plugin| &plugin.loaded)).chain(loaded);
        let known: HashMap<&Digest, &Arc<LoadedPlugin>> = known.map(|loaded| (loaded.digest(), loaded)).collect();
        let plugin = |version, digest: &Digest, cold: &dyn Fn() -> LoadedPlugin| {
            let loaded = known.get(digest).map_or_else(|| Arc::new(cold()), |loaded| Arc::clone(loaded));
            let plugin_use = PluginUse { name: record.name.clone(), version, digest: digest.clone() };
            let earlier = before.as_ref().and_then(|entry| entry.version(version)).filter(|_| conducts == Conducts::Kept);
            let conduct = earlier.map_or_else(|| Arc::new(self.conduct(&record, version, &gates)), |earlier| Arc::clone(&earlier.conduct));
            Arc::new(ActivePlugin { plugin_use, config: config.clone(), grants: Arc::clone(&grants), limits, own_limits, conduct, loaded })
        };
        let builtin = Builtin::named(&record.name).map(|builtin| {
            plugin(None, &builtin.digest, &|| self.cold(&builtin.digest, PluginKind::Wasm, builtin.exports, Some(builtin.bytes)))
        });
        let versions = record.versions.iter().filter_map(|kept| {
            let cold = || self.cold(&kept.digest, kept.kind, &kept.exports, None);
            Some((kept.version?, plugin(kept.version, &kept.digest, &cold)))
        });
        let versions = versions.collect();
        Entry { record, gates, builtin, versions }
    }

    fn conduct(&self, record: &PluginRecord, version: Option<u32>, gates: &Arc<Gates>) -> Conduct {
        let is_active = match record.active {
            ActiveVersion::Builtin => version.is_none(),
            ActiveVersion::Version(number) => version == Some(number),
            ActiveVersion::None => false,
        };
        let rule = record.rollback.unwrap_or(self.shared.limits.plugin_rollback);
        let watch = record.watched_since.filter(|_| is_active).map(|since| Watch { since, rule });
        Conduct::new(Of {
            plugin: record.name.clone(),
            version,
            gates: Arc::clone(gates),
            watch,
            clock: Arc::clone(&self.shared.clock),
            desk: Arc::clone(&self.shared.desk),
        })
    }

    fn info_of(&self, entry: &Entry) -> PluginInfo {
        let shown = entry.active().or_else(|| entry.versions.values().next_back()).or(entry.builtin.as_ref());
        let imports = shown.map_or(&[][..], |plugin| entry.imports(plugin.plugin_use.version));
        let record = &entry.record;
        let active = entry.active();
        let others = entry.all().filter(|plugin| active.is_none_or(|active| !Arc::ptr_eq(active, plugin)));
        PluginInfo {
            builtin: entry.builtin.as_ref().map(|builtin| builtin.plugin_use.digest.clone()),
            exports: shown.map_or_else(Vec::new, |plugin| plugin.loaded.exports().to_vec()),
            missing_grants: record.grants.missing(imports),
            limits: self.shared.limits.of_plugin(&record.limits),
            rollback: record.rollback.unwrap_or(self.shared.limits.plugin_rollback),
            before: record.version_to_return_to(entry.builtin.is_some()),
            conduct: active.map(|active| active.conduct.shown()),
            others_set_aside: others.filter(|plugin| plugin.conduct.refusal().is_some()).map(|plugin| plugin.conduct.shown()).collect(),
            record: record.clone(),
        }
    }

    fn cold(&self, digest: &Digest, kind: PluginKind, exports: &[Export], binary: Option<&'static [u8]>) -> LoadedPlugin {
        let source = match binary {
            Some(bytes) => Source::Binary(bytes, self.store.clone()),
            None => Source::Store(self.store.clone()),
        };
        LoadedPlugin::cold(&self.shared.loader, digest.clone(), kind, exports.to_vec(), source)
    }

    /// The one swap of a change: readers see it whole.
    fn swap(&self, name: &str, entry: Option<Entry>) {
        let entry = entry.map(Arc::new);
        self.shared.snapshot.rcu(|entries| {
            let mut entries = HashMap::clone(entries);
            match &entry {
                Some(entry) => entries.insert(name.to_owned(), Arc::clone(entry)),
                None => entries.remove(name),
            };
            entries
        });
        self.shared.changes.fetch_add(1, Ordering::SeqCst);
        if let Some(entry) = &entry {
            entry.gates.follow(&self.shared.limits.of_plugin(&entry.record.limits), self.shared.clock.now());
        }
    }

    /// Every digest something refers to.
    fn digests(&self) -> HashSet<Digest> {
        let entries = self.shared.snapshot.load();
        let digests = entries.values().flat_map(|entry| entry.all().map(|plugin| plugin.plugin_use.digest.clone()));
        digests.chain([Digest::of(SCRIPT_ENGINE)]).collect()
    }

    /// Every artifact something refers to.
    fn artifacts(&self) -> HashSet<Digest> {
        self.digests().iter().flat_map(artifacts_of).chain([snapshot::recorder_digest()]).collect()
    }

    fn sweep_artifacts(&self) {
        if let Err(error) = self.shared.loader.artifacts.sweep(&self.artifacts()) {
            tracing::warn!(%error, "old compiled plugins cannot be removed");
        }
    }
}

impl Entry {
    fn active(&self) -> Option<&Arc<ActivePlugin>> {
        match self.record.active {
            ActiveVersion::Builtin => self.builtin.as_ref(),
            ActiveVersion::Version(version) => self.versions.get(&version),
            ActiveVersion::None => None,
        }
    }

    fn version(&self, version: Option<u32>) -> Option<&Arc<ActivePlugin>> {
        match version {
            Some(version) => self.versions.get(&version),
            None => self.builtin.as_ref(),
        }
    }

    fn all(&self) -> impl Iterator<Item = &Arc<ActivePlugin>> {
        self.builtin.iter().chain(self.versions.values())
    }

    /// The interfaces a version imports; of the one in the binary, once it is loaded.
    fn imports(&self, version: Option<u32>) -> &[String] {
        match version {
            Some(_) => kept(&self.record, version).map_or(&[], |kept| &kept.imports),
            None => self.builtin.as_ref().and_then(|builtin| builtin.loaded.imports()).unwrap_or_default(),
        }
    }
}

/// What is kept of a plugin's bytes: compiled; of scripts as they were read, and as they are once evaluated.
fn artifacts_of(digest: &Digest) -> Vec<Digest> {
    let read = ScriptLanguage::ALL.map(|language| script::digest(digest, language));
    [digest.clone(), snapshot::digest(digest)].into_iter().chain(read).collect()
}

fn kept(record: &PluginRecord, version: Option<u32>) -> Option<&PluginVersion> {
    record.versions.iter().find(|kept| kept.version == version)
}

/// What is kept of a name before anybody changed something of it.
fn untouched(name: &str) -> PluginRecord {
    let active = if Builtin::named(name).is_some() { ActiveVersion::Builtin } else { ActiveVersion::None };
    let config = Value::Object(Map::new());
    PluginRecord {
        name: name.to_owned(),
        versions: Vec::new(),
        active,
        config,
        grants: Grants::default(),
        limits: PluginLimitsSpec::default(),
        rollback: None,
        before: Vec::new(),
        watched_since: None,
        history: History::default(),
        untold: None,
    }
}
