//! A plugin that can be called. It is loaded at its first call, or before: so that a start with a hundred plugins costs nothing, and
//! naming a plugin is never a matter of waiting.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::sync::OnceCell;

use super::{
    call::{
        context::{AnswerInput, CallContext, CallFailure, Called, DeliveryInput, InvocationInput, PluginOutcome, PluginReply},
        convert,
        directory::overfull,
        instance::{Asked, Call, Said},
    },
    error::UploadError,
    upload::{
        loader::{Loader, Ready, Trial},
        snapshot::{Snapshot, SnapshotError},
    },
};
use crate::{
    model::{
        event::Event,
        id::{CallId, DeliveryId},
        plugin::{
            Digest, Export, PluginFailure, PluginKind,
            party::{Input, Kept, Party},
        },
        request::PluginRequest,
    },
    store::Store,
};

/// Where the bytes of a plugin are.
#[derive(Clone)]
pub(super) enum Source {
    /// In this binary. What is used is kept in the store too (decision: built-ins-are-stored).
    Binary(&'static [u8], Store),
    /// In the store.
    Store(Store),
}

/// One version of a plugin, callable. Cheap to hold; calls in flight keep it alive whatever becomes of its name.
pub struct LoadedPlugin {
    digest: Digest,
    kind: PluginKind,
    exports: Vec<Export>,
    source: Source,
    loader: Arc<Loader>,
    ready: OnceCell<Ready>,
    snapshot: Arc<Snapshot>,
}

impl LoadedPlugin {
    /// A plugin to be loaded when it is first needed.
    pub(super) fn cold(loader: &Arc<Loader>, digest: Digest, kind: PluginKind, exports: Vec<Export>, source: Source) -> Self {
        Self { digest, kind, exports, source, loader: Arc::clone(loader), ready: OnceCell::new(), snapshot: Arc::default() }
    }

    /// A plugin that was just loaded.
    pub(super) fn warm(loader: &Arc<Loader>, digest: Digest, kind: PluginKind, ready: Ready, source: Source) -> Self {
        let exports = ready.offers.clone();
        Self { ready: OnceCell::new_with(Some(ready)), ..Self::cold(loader, digest, kind, exports, source) }
    }

    /// The digest of its bytes.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// What it can do.
    pub fn exports(&self) -> &[Export] {
        &self.exports
    }

    /// Whether it builds requests.
    pub fn exports_transform(&self) -> bool {
        self.exports.contains(&Export::Transform)
    }

    /// Whether it reads answers.
    pub fn exports_answers(&self) -> bool {
        self.exports.contains(&Export::Answers)
    }

    /// Whether it answers calls.
    pub fn exports_receive(&self) -> bool {
        self.exports.contains(&Export::Receive)
    }

    /// The `hookwright:plugin` interfaces it imports, once it is loaded.
    pub fn imports(&self) -> Option<&[String]> {
        self.ready.get().map(|ready| ready.imports.as_slice())
    }

    /// Whether the component has an export, once it is loaded; a test holds this against what the binary says of its own.
    #[cfg(test)]
    pub(super) fn really_exports(&self, export: Export) -> Option<bool> {
        self.ready.get().map(|ready| ready.offers.contains(&export))
    }

    /// Loads it now, if it is not loaded yet.
    pub async fn load(&self) -> Result<(), UploadError> {
        self.ready().await.map(|_| ())
    }

    /// Maps events to a request; `None`: nothing is to be sent.
    pub async fn transform(
        &self,
        context: CallContext,
        delivery: DeliveryInput,
        events: Vec<Event>,
    ) -> Result<Called<Option<PluginRequest>>, CallFailure> {
        let input = transformed(&delivery, &events);
        let asked = Asked::Transform(convert::delivery(delivery), events.into_iter().map(convert::event).collect());
        let bytes_max = context.limits.output_bytes;
        self.call(context, (Export::Transform, input), asked, move |said| match said {
            Said::Request(request) => convert::request(request, bytes_max),
            _ => Err(not_asked()),
        })
        .await
    }

    /// Reads a 2xx answer.
    pub async fn read_answer(
        &self,
        context: CallContext,
        delivery: DeliveryInput,
        answer: AnswerInput,
    ) -> Result<Called<PluginOutcome>, CallFailure> {
        // It is the endpoint that gave it, whatever event it was sent.
        let input = Input { party: Party::Endpoint(delivery.webhook_id.clone()), kept: Kept::Answer(DeliveryId(delivery.id.clone())) };
        let asked = Asked::Answers(convert::delivery(delivery), convert::answer(answer));
        let bytes_max = context.limits.output_bytes;
        self.call(context, (Export::Answers, input), asked, move |said| match said {
            Said::Outcome(outcome) => convert::outcome(outcome, bytes_max),
            _ => Err(not_asked()),
        })
        .await
    }

    /// Answers an inbound call.
    pub async fn receive(&self, context: CallContext, invocation: InvocationInput) -> Result<Called<PluginReply>, CallFailure> {
        let kept = Kept::Call(CallId(invocation.call_id.clone()));
        let input = Input { party: Party::Caller(invocation.caller.clone()), kept };
        let asked = Asked::Receive(convert::invocation(invocation));
        let bytes_max = context.limits.output_bytes;
        self.call(context, (Export::Receive, input), asked, move |said| match said {
            Said::Reply(reply) => convert::reply(reply, bytes_max),
            _ => Err(not_asked()),
        })
        .await
    }

    /// How long `transform` takes in an instance that is used again: the bound that fresh instances are measured against. For
    /// measuring; no delivery is served like this.
    pub async fn warm_bound(
        &self,
        context: CallContext,
        delivery: DeliveryInput,
        events: Vec<Event>,
        turns: usize,
    ) -> Result<Vec<Duration>, CallFailure> {
        let trapped = |error: String| CallFailure::from(PluginFailure::Trapped(error));
        let ready = self.ready().await.map_err(|error| trapped(error.to_string()))?;
        let (script, sandbox) = (ready.script.clone(), &self.loader.sandbox);
        let call = Call { sandbox, pre: &ready.pre, exports: &ready.exports, context, script, directory: None };
        let (delivery, events) = (convert::delivery(delivery), events.into_iter().map(convert::event).collect());
        call.repeat(delivery, events, turns).await.map_err(|error| trapped(format!("{error:#}")))
    }

    /// A call, if the plugin is not set aside, once it is its turn; how it ends is taken note of, and whose input it was.
    async fn call<T: Send + 'static>(
        &self,
        context: CallContext,
        (export, input): (Export, Input),
        asked: Asked,
        read: impl FnOnce(Said) -> Result<T, PluginFailure> + Send + 'static,
    ) -> Result<Called<T>, CallFailure> {
        let Some(conduct) = context.conduct.clone() else { return self.run(context, export, asked, read).await };
        let admitted = if context.rehearsal.is_some() { None } else { Some(conduct.admit(export, input)?) };
        let host_side = context.services.clone();
        let is_batch = matches!(&asked, Asked::Transform(_, events) if events.len() > 1);
        let called = match conduct.enter(export).await {
            Ok(_place) => self.run(context, export, asked, read).await,
            Err(failure) => Err(failure.into()),
        };
        match (&called, admitted) {
            (Ok(_), Some(admitted)) => admitted.went_well(),
            // The host gave it too many events at once; they come again in halves.
            (Err(failed), Some(admitted)) if is_batch && failed.failure.is_of_size() => drop(admitted),
            (Err(failed), Some(admitted)) => {
                let party = host_side.resolved(admitted.party().clone()).await;
                admitted.failed(&failed.failure, party);
            }
            (_, None) => {}
        }
        called
    }

    async fn run<T: Send + 'static>(
        &self,
        context: CallContext,
        export: Export,
        asked: Asked,
        read: impl FnOnce(Said) -> Result<T, PluginFailure> + Send + 'static,
    ) -> Result<Called<T>, CallFailure> {
        if !self.exports.contains(&export) {
            return Err(PluginFailure::Missing(context.plugin).into());
        }
        let ready = match self.ready().await {
            Ok(ready) => ready,
            // Nothing is wrong with the plugin: the host stops, or has no means now.
            Err(error) if error.is_passing() => return Err(PluginFailure::RetryLater(error.to_string()).into()),
            Err(error) => {
                tracing::error!(plugin = context.plugin, digest = %self.digest, %error, "a plugin that was taken once does not load");
                return Err(PluginFailure::Missing(context.plugin).into());
            }
        };
        let unavailable = || PluginFailure::RetryLater("the directory it was granted is not there".to_owned());
        // Lives as long as the call.
        let scratch = match context.rehearsal {
            Some(_) if context.grants.directory => Some(tempfile::tempdir().map_err(|_| unavailable())?),
            _ => None,
        };
        let directory = match (&scratch, context.grants.directory) {
            (_, false) => None,
            (Some(scratch), true) => Some(scratch.path().to_owned()),
            (None, true) => Some(self.loader.granted_directory(&context.plugin).map_err(|error| {
                tracing::error!(plugin = context.plugin, %error, "a granted directory cannot be made");
                unavailable()
            })?),
        };
        if let Some(full) = directory.as_deref().and_then(|directory| overfull(directory, &context.limits)) {
            return Err(PluginFailure::Limit(full, context.limits.get(full)).into());
        }
        let script = ready.script.clone();
        let sandbox = &self.loader.sandbox;
        let called = Call { sandbox, pre: &ready.pre, exports: &ready.exports, context, script, directory }.run(asked, read).await;
        if self.kind.is_script() {
            let spent = called.as_ref().map_or_else(|failed| failed.duration, |called| called.duration);
            self.snapshot.spend(spent, &self.loader, &self.digest, ready);
        }
        called
    }

    /// Makes the snapshot of a script now, for measuring and for tests; calls do it when it pays.
    pub async fn snapshot(&self) -> Result<(), SnapshotError> {
        let ready = self.ready().await?;
        self.snapshot.make(&self.loader, &self.digest, ready).await
    }

    /// Whether a script's top level is behind it.
    #[cfg(test)]
    pub(super) fn has_snapshot(&self) -> bool {
        self.snapshot.ready().is_some()
    }

    /// What is called: of a script its snapshot, once there is one.
    async fn ready(&self) -> Result<&Ready, UploadError> {
        if let Some(ready) = self.snapshot.ready() {
            return Ok(ready);
        }
        self.ready
            .get_or_try_init(|| async {
                let ready = self.loader.load(self.kind, &self.digest, self.bytes().await?, Trial::Skip).await?;
                if self.kind.is_script() {
                    self.snapshot.look_up(&self.loader, &self.digest, &ready).await;
                }
                Ok(ready)
            })
            .await
    }

    async fn bytes(&self) -> Result<Bytes, UploadError> {
        match &self.source {
            Source::Binary(bytes, store) => {
                // Past deliveries name these bytes: they stay when the binary is replaced.
                store.put_blob(Bytes::from_static(bytes)).await?;
                Ok(Bytes::from_static(bytes))
            }
            Source::Store(store) => {
                store.get_blob(&self.digest).await?.ok_or_else(|| UploadError::Missing(format!("blob {}", self.digest)))
            }
        }
    }
}

impl fmt::Debug for LoadedPlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_loaded = self.ready.initialized();
        f.debug_struct("LoadedPlugin")
            .field("digest", &self.digest.as_str())
            .field("exports", &self.exports)
            .field("is_loaded", &is_loaded)
            .finish()
    }
}

/// Whose input a transform works on: of several events the first one's.
fn transformed(delivery: &DeliveryInput, events: &[Event]) -> Input {
    let kept = Kept::Delivery(DeliveryId(delivery.id.clone()));
    let party = match (&delivery.caller, events.first()) {
        (Some(caller), _) => Party::Caller(caller.clone()),
        (None, Some(Event { call: Some(call), .. })) => Party::CallerOf(call.clone()),
        (None, Some(event)) => Party::Event(event.id.clone()),
        (None, None) => Party::Endpoint(delivery.webhook_id.clone()),
    };
    Input { party, kept }
}

/// The runner answers what it was asked; the type cannot say so.
fn not_asked() -> PluginFailure {
    PluginFailure::BadOutput("an answer to another question".to_owned())
}
