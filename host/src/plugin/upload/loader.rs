//! Uploaded bytes -> something that can be called, with every check on the way: cache or compiler, imports, exports, types, trial.

use std::{io, path::PathBuf, sync::Arc, time::Instant};

use bytes::Bytes;
use tokio::sync::{OnceCell, Semaphore};
use tokio_util::sync::CancellationToken;
use wasmtime::component::{Component, InstancePre};

use super::{
    artifact::{Artifacts, private_directory},
    compiler::{self, Compiler},
    componentize,
    interfaces::{self, Importer},
    snapshot::{self, Recorder, SnapshotError},
};
use crate::{
    config::Limits,
    metrics::Metrics,
    model::plugin::{Digest, Export, PluginFailure, PluginKind, limits::PluginLimits},
    plugin::{
        bindings::exports::hookwright as exports,
        builtin,
        call::{
            context::CallContext,
            guest::Guest,
            instance::{Asked, Call, Exports, Said},
        },
        engine::{self, Sandbox},
        error::UploadError,
        script::{self, Script, ScriptExport, ScriptLanguage},
    },
};

/// What the plugin host is told at its start.
#[derive(Clone, Debug)]
pub struct PluginOptions {
    /// The data directory: `cache` and `plugin-data` in it are the plugin host's.
    pub data: PathBuf,
    /// What bounds it.
    pub limits: Arc<Limits>,
    /// The executable that understands `compile`; absent: this one.
    pub compiler: Option<PathBuf>,
    /// Whether instructions are counted.
    pub counts_instructions: bool,
    /// Where compilations are timed.
    pub metrics: Metrics,
    /// Ends what is being compiled: the host stops.
    pub stop: CancellationToken,
}

/// Makes plugins callable. One for the host.
pub(in crate::plugin) struct Loader {
    /// Where they run.
    pub sandbox: Sandbox,
    /// Compiled before.
    pub artifacts: Artifacts,
    compiler: Compiler,
    metrics: Metrics,
    /// Bytes of an upload.
    pub plugin_bytes_max: usize,
    script_bytes_max: usize,
    data: PathBuf,
    script_engine: OnceCell<Ready>,
    /// How many scripts may be kept with their top level behind them.
    pub snapshots: Arc<Semaphore>,
}

/// A component that can be instantiated, and what of it is offered.
#[derive(Clone)]
pub(in crate::plugin) struct Ready {
    /// What is instantiated.
    pub pre: InstancePre<Guest>,
    /// What is called.
    pub exports: Exports,
    /// The script, when the component is the engine.
    pub script: Option<Arc<str>>,
    /// What it can do.
    pub offers: Vec<Export>,
    /// The `hookwright:plugin` interfaces it imports, without the prefix. A script's are not known before it runs.
    pub imports: Vec<String>,
}

impl Ready {
    /// The engine with a script in it.
    fn of_script(&self, source: Arc<str>, offers: Vec<Export>) -> Self {
        let has = |export| offers.contains(&export);
        let exports = Exports {
            transform: self.exports.transform.clone().filter(|_| has(Export::Transform)),
            answers: self.exports.answers.clone().filter(|_| has(Export::Answers)),
            receive: self.exports.receive.clone().filter(|_| has(Export::Receive)),
            script: self.exports.script.clone(),
        };
        Self { pre: self.pre.clone(), exports, script: Some(source), offers, imports: Vec::new() }
    }
}

/// How thoroughly a plugin is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plugin) enum Trial {
    /// It is new: see whether it starts within these limits.
    Run(PluginLimits),
    /// It was tried when it was uploaded.
    Skip,
}

impl Loader {
    /// Prepares the sandbox, the cache and the compiler.
    pub fn new(options: &PluginOptions, artifact_key: [u8; 32]) -> Result<Self, UploadError> {
        let host = |error: io::Error| UploadError::Host(error.to_string());
        let sandbox =
            Sandbox::new(&options.limits, options.counts_instructions).map_err(|error| UploadError::Host(format!("{error:#}")))?;
        let cache = options.data.join("cache");
        let compatibility = engine::compatibility(&sandbox.engine);
        private_directory(&cache).map_err(host)?;
        let artifacts = Artifacts::open(cache.join("artifacts"), artifact_key, compatibility).map_err(host)?;
        let (program, stop) = (options.compiler.clone(), options.stop.clone());
        let compiler = Compiler::new(program, cache, &options.limits, options.counts_instructions, stop).map_err(host)?;
        Ok(Self {
            sandbox,
            artifacts,
            compiler,
            metrics: options.metrics.clone(),
            plugin_bytes_max: options.limits.plugin_bytes_max,
            script_bytes_max: options.limits.script_bytes_max,
            data: options.data.clone(),
            script_engine: OnceCell::new(),
            snapshots: Arc::new(Semaphore::new(options.limits.script_snapshots_max as usize)),
        })
    }

    /// Refuses what is too large or machine code, before anything else looks at it.
    pub fn check_upload(&self, kind: PluginKind, bytes: &[u8]) -> Result<(), UploadError> {
        let (limit, bytes_max) = match kind {
            PluginKind::Script | PluginKind::TypeScript if self.script_bytes_max < self.plugin_bytes_max => {
                ("script_bytes_max", self.script_bytes_max)
            }
            _ => ("plugin_bytes_max", self.plugin_bytes_max),
        };
        if bytes.len() > bytes_max {
            return Err(UploadError::TooLarge { limit, bytes: bytes.len(), bytes_max });
        }
        if kind == PluginKind::Wasm && componentize::is_precompiled(bytes) {
            return Err(UploadError::Precompiled);
        }
        Ok(())
    }

    /// A plugin from its bytes.
    pub async fn load(self: &Arc<Self>, kind: PluginKind, digest: &Digest, bytes: Bytes, trial: Trial) -> Result<Ready, UploadError> {
        let ready = match ScriptLanguage::of(kind) {
            None => self.load_component(digest, &bytes, Importer::Plugin).await?,
            Some(language) => self.load_script(digest, &bytes, language).await?,
        };
        if ready.offers.is_empty() {
            return Err(UploadError::NoExport { exports: interfaces::exported(&self.sandbox.engine, ready.pre.component()) });
        }
        if let Trial::Run(limits) = trial {
            self.try_out(&ready, limits).await?;
        }
        Ok(ready)
    }

    /// The directory a plugin was granted: its own below the data directory, where nothing else is.
    pub fn granted_directory(&self, plugin: &str) -> io::Result<PathBuf> {
        let directory = self.data.join("plugin-data").join(plugin);
        private_directory(&directory)?;
        Ok(directory)
    }

    async fn load_component(self: &Arc<Self>, digest: &Digest, bytes: &[u8], of: Importer) -> Result<Ready, UploadError> {
        let component = self.compiled(digest, bytes).await?;
        self.linked(component, of)
    }

    fn linked(&self, component: Component, of: Importer) -> Result<Ready, UploadError> {
        let engine = &self.sandbox.engine;
        let ours = interfaces::imported(engine, &component, of)?;
        let linker = match of {
            Importer::Plugin => &self.sandbox.linker,
            Importer::ScriptEngine => &self.sandbox.script_linker,
        };
        let linker = interfaces::with_refused(engine, &component, linker).map_err(bad_type)?;
        let pre = linker.instantiate_pre(&component).map_err(bad_type)?;
        let (exports, offers) = find_exports(&pre)?;
        Ok(Ready { pre, exports, script: None, offers, imports: ours })
    }

    async fn load_script(self: &Arc<Self>, digest: &Digest, bytes: &[u8], language: ScriptLanguage) -> Result<Ready, UploadError> {
        let text = std::str::from_utf8(bytes).map_err(|error| UploadError::Script {
            line: None,
            column: None,
            message: format!("the script is not UTF-8: {error}"),
        })?;
        let script = self.read(&script::digest(digest, language), text, language).await?;
        let offers: Vec<_> = script.exports.iter().copied().map(Export::from).collect();
        // After it was read: what is refused does not wait for the engine, which is compiled at the first start.
        Ok(self.script_engine().await?.of_script(Arc::from(script.source_for_engine), offers))
    }

    /// A script as the engine evaluates it: from the cache, else read in the child process.
    async fn read(self: &Arc<Self>, digest: &Digest, source: &str, language: ScriptLanguage) -> Result<Script, UploadError> {
        if let Some(script) = self.read_before(digest).await? {
            return Ok(script);
        }
        let _turn = self.compiler.turn().await?;
        if let Some(script) = self.read_before(digest).await? {
            return Ok(script);
        }
        let read = self.compiler.read_script(source, language).await?;
        let (loader, digest) = (Arc::clone(self), digest.clone());
        blocking(move || {
            let script = compiler::read_script(&read)?;
            if let Err(error) = loader.artifacts.put(&digest, &read) {
                tracing::warn!(%digest, %error, "a script that was read cannot be cached; it will be read again at the next start");
            }
            Ok(script)
        })
        .await?
    }

    async fn read_before(self: &Arc<Self>, digest: &Digest) -> Result<Option<Script>, UploadError> {
        let (loader, digest) = (Arc::clone(self), digest.clone());
        blocking(move || compiler::read_script(&loader.artifacts.get(&digest)?).ok()).await
    }

    /// The script that `evaluated` at each call, with its top level behind it; from the cache, else recorded and compiled.
    pub async fn snapshot(self: &Arc<Self>, script: &Digest, evaluated: &Ready) -> Result<Ready, SnapshotError> {
        let digest = snapshot::digest(script);
        let component = match self.cached(&digest).await? {
            Some(component) => component,
            None => self.compiled(&digest, &self.recorded(evaluated).await?).await?,
        };
        let source = evaluated.script.clone().unwrap_or_default();
        Ok(self.linked(component, Importer::ScriptEngine)?.of_script(source, evaluated.offers.clone()))
    }

    /// The same, if it is in the cache.
    pub async fn cached_snapshot(self: &Arc<Self>, script: &Digest, evaluated: &Ready) -> Option<Ready> {
        let component = self.cached(&snapshot::digest(script)).await.ok()??;
        let source = evaluated.script.clone().unwrap_or_default();
        Some(self.linked(component, Importer::ScriptEngine).ok()?.of_script(source, evaluated.offers.clone()))
    }

    /// Evaluates the script where nothing can be asked of the host, and gives the component it has become.
    async fn recorded(self: &Arc<Self>, evaluated: &Ready) -> Result<Vec<u8>, SnapshotError> {
        // Not kept: it is wanted once for each script, and comes from the cache after the first.
        let (context, bytes) = blocking(snapshot::instrumented).await??;
        let component = self.compiled(&snapshot::recorder_digest(), &bytes).await?;
        let recorder = Recorder::new(&self.sandbox.engine, component, context).map_err(SnapshotError::of)?;
        let call = Call {
            sandbox: &self.sandbox,
            pre: &recorder.pre,
            exports: &recorder.exports,
            context: CallContext::default(),
            script: evaluated.script.clone(),
            directory: None,
        };
        let recorded = call.run(Asked::Record(Arc::clone(&recorder.context)), |said| match said {
            Said::Recorded(component) => Ok(component),
            _ => Err(PluginFailure::BadOutput("no snapshot".to_owned())),
        });
        recorded.await.map(|called| called.value).map_err(|failed| SnapshotError::Evaluation(failed.failure))
    }

    /// The component every script runs in. Loaded once, with what only it may import.
    pub async fn script_engine(self: &Arc<Self>) -> Result<&Ready, UploadError> {
        self.script_engine
            .get_or_try_init(|| async {
                let bytes = builtin::SCRIPT_ENGINE;
                self.load_component(&Digest::of(bytes), bytes, Importer::ScriptEngine).await
            })
            .await
    }

    /// From the cache, else from the compiler.
    async fn compiled(self: &Arc<Self>, digest: &Digest, bytes: &[u8]) -> Result<Component, UploadError> {
        if let Some(component) = self.cached(digest).await? {
            return Ok(component);
        }
        let _turn = self.compiler.turn().await?;
        if let Some(component) = self.cached(digest).await? {
            return Ok(component);
        }
        let began = Instant::now();
        let artifact = self.compiler.compile(bytes).await;
        self.metrics.compiled(artifact.is_ok(), began.elapsed());
        let artifact = artifact?;
        let (loader, digest) = (Arc::clone(self), digest.clone());
        blocking(move || {
            if let Err(error) = loader.artifacts.put(&digest, &artifact) {
                tracing::warn!(%digest, %error, "a compiled plugin cannot be cached; it will be compiled again at the next start");
            }
            loader.deserialize(&artifact).map_err(|error| UploadError::TooDemanding(format!("{error:#}")))
        })
        .await?
    }

    async fn cached(self: &Arc<Self>, digest: &Digest) -> Result<Option<Component>, UploadError> {
        let (loader, digest) = (Arc::clone(self), digest.clone());
        blocking(move || {
            let artifact = loader.artifacts.get(&digest)?;
            match loader.deserialize(&artifact) {
                Ok(component) => Some(component),
                Err(error) => {
                    tracing::warn!(%digest, error = format!("{error:#}"), "a cached artifact does not load; it is compiled again");
                    loader.artifacts.forget(&digest);
                    None
                }
            }
        })
        .await
    }

    fn deserialize(&self, artifact: &[u8]) -> wasmtime::Result<Component> {
        // SAFETY: wasmtime trusts what it deserialises. `artifact` is what our own child process has just written into a directory
        // only we can enter, or was read from the cache and its MAC, under a key only this host has, was verified.
        #[expect(unsafe_code, reason = "the only way to load code that was compiled in another process")]
        unsafe {
            Component::deserialize(&self.sandbox.engine, artifact)
        }
    }

    /// Starts the plugin once, with nothing granted: what traps or does not end then never gets to a delivery.
    async fn try_out(&self, ready: &Ready, limits: PluginLimits) -> Result<(), UploadError> {
        let call = Call {
            sandbox: &self.sandbox,
            pre: &ready.pre,
            exports: &ready.exports,
            context: CallContext { limits, ..CallContext::default() },
            script: ready.script.clone(),
            directory: None,
        };
        let tried = call.run(Asked::Trial, |said| Ok(if let Said::Ready(result) = said { result } else { Ok(()) })).await;
        match tried {
            Ok(called) => called.value.map_err(UploadError::of_evaluation),
            Err(failed) => Err(match failed.failure {
                PluginFailure::Limit(limit, value) => UploadError::StartLimit(limit, value),
                PluginFailure::Trapped(why) => UploadError::StartTrap(why),
                other => UploadError::StartTrap(other.to_string()),
            }),
        }
    }
}

impl From<ScriptExport> for Export {
    fn from(export: ScriptExport) -> Self {
        match export {
            ScriptExport::Transform => Self::Transform,
            ScriptExport::Answers => Self::Answers,
            ScriptExport::Receive => Self::Receive,
        }
    }
}

/// What the component exports of ours, with its types checked.
fn find_exports(pre: &InstancePre<Guest>) -> Result<(Exports, Vec<Export>), UploadError> {
    let has = |name: &str| pre.component().get_export_index(None, name).is_some();
    let (mut found, mut offers) = (Exports::default(), Vec::new());
    if has("hookwright:plugin/transform@0.2.0") {
        found.transform = Some(exports::plugin::transform::GuestIndices::new(pre).map_err(bad_type)?);
        offers.push(Export::Transform);
    }
    if has("hookwright:plugin/answers@0.2.0") {
        found.answers = Some(exports::plugin::answers::GuestIndices::new(pre).map_err(bad_type)?);
        offers.push(Export::Answers);
    }
    if has("hookwright:plugin/receive@0.2.0") {
        found.receive = Some(exports::plugin::receive::GuestIndices::new(pre).map_err(bad_type)?);
        offers.push(Export::Receive);
    }
    if has("hookwright:script/script@0.1.0") {
        found.script = Some(exports::script::script::GuestIndices::new(pre).map_err(bad_type)?);
    }
    Ok((found, offers))
}

fn bad_type(error: wasmtime::Error) -> UploadError {
    UploadError::BadType(format!("{error:#}"))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, UploadError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| UploadError::Host(error.to_string()))
}
