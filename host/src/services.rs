//! The handles the engine's modules share. They meet nowhere else but in the store, so nothing of the engine is imported here.

use std::{ops::Deref, path::Path, sync::Arc};

use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    bodies::Bodies,
    catalog::Catalog,
    clock::{self, SharedClock},
    config::{Bases, Limits},
    mail::Mailer,
    metrics::Metrics,
    model::{audit::Origin, function::Ambient},
    plugin::Plugins,
    store::Store,
    traces::Traces,
    transport::Transport,
    volatile::{answering::Answering, pace::Pace, refusals::Refusals, tokens::Tokens, window::Window},
};

/// All handles behind one pointer. Every request and every attempt clones it: one reference count is changed then, not one for each handle.
#[derive(Clone)]
pub struct Services(Arc<Handles>);

impl Deref for Services {
    type Target = Handles;

    fn deref(&self) -> &Handles {
        &self.0
    }
}

impl From<Handles> for Services {
    fn from(handles: Handles) -> Self {
        Self(Arc::new(handles))
    }
}

/// The handles.
#[derive(Clone)]
pub struct Handles {
    /// What time it is.
    pub clock: SharedClock,
    /// What bounds us.
    pub limits: Arc<Limits>,
    /// Records.
    pub store: Store,
    /// Documents.
    pub catalog: Catalog,
    /// Plugins.
    pub plugins: Plugins,
    /// The way out.
    pub transport: Transport,
    /// The way out for mail.
    pub mailer: Option<Mailer>,
    /// Below which the API may write backups; absent: nowhere.
    pub backup_dir: Option<Arc<Path>>,
    /// Where codes are called.
    pub bases: Arc<Bases>,
    /// Who was turned away.
    pub refusals: Refusals,
    /// Calls that are being answered and are taken only once.
    pub answering: Answering,
    /// Bearer tokens that were got.
    pub tokens: Tokens,
    /// What of the backlog is in memory.
    pub window: Window,
    /// How many requests tokens may make.
    pub pace: Pace,
    /// How many bytes of requests' bodies are held.
    pub bodies: Bodies,
    /// What is counted and timed.
    pub metrics: Metrics,
    /// What is recorded of traces, and passed on.
    pub traces: Traces,
    /// Wakes `notices`: there is news of a webhook.
    pub notices: Arc<Notify>,
    /// Wakes `inbound::work`: calls wait to be run again.
    pub reruns: Arc<Notify>,
    /// What a stop waits for.
    pub tasks: TaskTracker,
    /// Ends the workers.
    pub stop: CancellationToken,
}

impl Services {
    /// The same handles: what is changed through these is changed on behalf of `origin`, as the audit log says.
    pub fn on_behalf(&self, origin: Origin) -> Self {
        let store = self.store.on_behalf(origin);
        let (catalog, plugins) = (self.catalog.writing_to(&store), self.plugins.writing_to(&store));
        Handles { catalog, plugins, store, ..Handles::clone(self) }.into()
    }

    /// The time and the randomness of one expansion of references and functions.
    pub fn ambient(&self) -> Ambient {
        Ambient { now: self.clock.now(), seed: clock::random() }
    }
}
