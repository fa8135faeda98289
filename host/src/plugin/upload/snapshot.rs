//! Scripts whose top level has run already: the script engine's memory after the evaluation, as a component of its own.
//!
//! Evaluating costs a call what the script is large: 12 ms for 85 kB. A script that was worth it so far ([`WORTH`]) is evaluated once more
//! in the background, in a recorder: the engine with accessors of its memory and globals (`wasmtime-wizer`). What it is then becomes
//! a component, which the child process compiles; from then on each call begins behind the top level.
//!
//! That may change nothing but the time it takes. So the recorder answers the engine what the script is, and nothing else: a script whose
//! top level asks for the clock, for randomness, for its configuration or writes to the log traps there, has no snapshot, and goes on
//! being evaluated at each call. What a call changes in the script's variables is gone with its instance either way.

use std::{
    sync::{
        Arc, LazyLock, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::OwnedSemaphorePermit;
use wasmtime::{
    Engine,
    component::{Component, InstancePre, Linker},
};
use wasmtime_wizer::{ComponentContext, Wizer};

use super::{
    componentize::{Refusal, componentize},
    loader::{Loader, Ready},
};
use crate::{
    model::plugin::{Digest, PluginFailure},
    plugin::{
        bindings::exports::hookwright as exports,
        builtin::SCRIPT_ENGINE,
        call::{guest::Guest, imports, instance::Exports},
        error::UploadError,
    },
};

/// Time a script's calls have taken together when its snapshot begins to pay: compiling one takes 1.6 s of a processor, once.
const WORTH: Duration = Duration::from_millis(250);

/// Part of the names of artifacts, to be counted up when the same engine and script should give another snapshot.
const FORMAT: &str = "1";

/// Why there is no snapshot. Nothing is lost but time.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The top level did not end well where nothing can be asked of the host.
    #[error("its top level cannot run ahead of the call: {0}")]
    Evaluation(PluginFailure),
    /// The engine cannot be recorded.
    #[error("the script engine cannot be recorded: {0}")]
    Recorder(String),
    /// What was recorded cannot be loaded.
    #[error(transparent)]
    Load(#[from] UploadError),
    /// As many as may be are kept already.
    #[error("there are as many snapshots as may be (`script_snapshots_max`)")]
    TooMany,
}

impl SnapshotError {
    /// Of the recorder.
    pub fn of(error: wasmtime::Error) -> Self {
        Self::Recorder(format!("{error:#}"))
    }
}

/// What is known of one script's snapshot.
#[derive(Default)]
pub(in crate::plugin) struct Snapshot {
    made: OnceLock<(Ready, OwnedSemaphorePermit)>,
    begun: AtomicBool,
    spent_us: AtomicU64,
}

impl Snapshot {
    /// What is to be called, once it is there.
    pub fn ready(&self) -> Option<&Ready> {
        self.made.get().map(|(ready, _)| ready)
    }

    /// Counts what a call took; has the snapshot made in the background once that pays.
    pub fn spend(self: &Arc<Self>, time: Duration, loader: &Arc<Loader>, script: &Digest, evaluated: &Ready) {
        let spent = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let before = self.spent_us.fetch_add(spent, Ordering::Relaxed);
        if u128::from(before.saturating_add(spent)) < WORTH.as_micros() || !self.begin() {
            return;
        }
        let (snapshot, loader, script, evaluated) = (Arc::clone(self), Arc::clone(loader), script.clone(), evaluated.clone());
        tokio::spawn(async move {
            match snapshot.record(&loader, &script, &evaluated).await {
                Ok(()) => tracing::info!(digest = %script, "a script is evaluated ahead of its calls from now on"),
                Err(error) => tracing::info!(digest = %script, %error, "a script goes on being evaluated at each call"),
            }
        });
    }

    /// Makes it, unless that was begun before.
    pub async fn make(&self, loader: &Arc<Loader>, script: &Digest, evaluated: &Ready) -> Result<(), SnapshotError> {
        if self.begin() { self.record(loader, script, evaluated).await } else { Ok(()) }
    }

    /// Whether it is the caller who makes it.
    fn begin(&self) -> bool {
        !self.begun.load(Ordering::Relaxed) && !self.begun.swap(true, Ordering::Relaxed)
    }

    async fn record(&self, loader: &Arc<Loader>, script: &Digest, evaluated: &Ready) -> Result<(), SnapshotError> {
        let permit = Arc::clone(&loader.snapshots).try_acquire_owned().map_err(|_| SnapshotError::TooMany)?;
        let ready = loader.snapshot(script, evaluated).await?;
        self.keep(ready, permit);
        Ok(())
    }

    /// Takes it from the cache, if it was made before the host was started.
    pub async fn look_up(&self, loader: &Arc<Loader>, script: &Digest, evaluated: &Ready) {
        if let Ok(permit) = Arc::clone(&loader.snapshots).try_acquire_owned()
            && let Some(ready) = loader.cached_snapshot(script, evaluated).await
            && self.begin()
        {
            self.keep(ready, permit);
        }
    }

    fn keep(&self, ready: Ready, permit: OwnedSemaphorePermit) {
        // Only a call that has begun gets here.
        drop(self.made.set((ready, permit)));
    }
}

/// The name of a script's snapshot among the artifacts.
pub(in crate::plugin) fn digest(script: &Digest) -> Digest {
    Digest::of(format!("script snapshot {FORMAT} {} {script}", Digest::of(SCRIPT_ENGINE)).as_bytes())
}

/// The name of the recorder among the artifacts.
pub(in crate::plugin) fn recorder_digest() -> Digest {
    Digest::of(format!("script recorder {FORMAT} {}", Digest::of(SCRIPT_ENGINE)).as_bytes())
}

/// The engine as a component with accessors of its memory and globals, and what tells where they belong.
pub(in crate::plugin) fn instrumented() -> Result<(ComponentContext<'static>, Vec<u8>), SnapshotError> {
    /// What tells where things belong refers to it.
    static COMPONENT: LazyLock<Result<Vec<u8>, Refusal>> = LazyLock::new(|| componentize(SCRIPT_ENGINE.to_vec()));
    let component = COMPONENT.as_ref().map_err(|refusal| SnapshotError::Recorder(format!("{refusal:?}")))?;
    Wizer::new().instrument_component(component).map_err(SnapshotError::of)
}

/// The instrumented engine, to be instantiated once for each snapshot.
pub(in crate::plugin) struct Recorder {
    /// Where things belong.
    pub context: Arc<ComponentContext<'static>>,
    /// What is instantiated.
    pub pre: InstancePre<Guest>,
    /// Its `script` alone: nothing else of it is called.
    pub exports: Exports,
}

impl Recorder {
    /// Links it with the script it is asked to evaluate, and with traps.
    pub fn new(engine: &Engine, component: Component, context: ComponentContext<'static>) -> wasmtime::Result<Self> {
        let mut linker = Linker::new(engine);
        imports::link_recorder(&mut linker)?;
        linker.define_unknown_imports_as_traps(&component)?;
        let pre = linker.instantiate_pre(&component)?;
        let script = exports::script::script::GuestIndices::new(&pre)?;
        Ok(Self { context: Arc::new(context), pre, exports: Exports { script: Some(script), ..Exports::default() } })
    }
}
