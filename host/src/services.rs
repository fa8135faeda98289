//! The handles the siblings (server, dispatcher, deliverer, inbox) share. They meet nowhere else but in the store.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    sync::{Notify, Semaphore},
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    catalog::Catalog,
    clock::{self, SharedClock},
    config::Limits,
    model::{function::Ambient, id::WebhookId, webhook::Webhook},
    plugin::Plugins,
    store::{Claimed, Store},
    transport::Transport,
};

/// Everything the siblings share. Cheap to clone.
#[derive(Clone)]
pub struct Services {
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
    /// Committed deliveries waiting in memory for their first attempt.
    pub work: Work,
    /// What a stop waits for.
    pub tasks: TaskTracker,
    /// Ends the workers.
    pub stop: CancellationToken,
}

/// Committed deliveries on their way to the deliverer, and who may send now.
#[derive(Clone)]
pub struct Work {
    shared: Arc<WorkShared>,
}

struct WorkShared {
    /// Deliveries being sent at once, over all webhooks.
    all: Arc<Semaphore>,
    /// Deliveries being sent at once, of one webhook.
    lanes: Mutex<HashMap<WebhookId, Arc<Semaphore>>>,
    /// Wakes the dispatcher: something is due.
    due: Notify,
}

impl Work {
    /// Room for `in_flight_max` deliveries at once.
    pub fn new(in_flight_max: usize) -> Self {
        let all = Arc::new(Semaphore::new(in_flight_max));
        Self { shared: Arc::new(WorkShared { all, lanes: Mutex::new(HashMap::new()), due: Notify::new() }) }
    }

    /// Tells the dispatcher to look for what is due.
    pub fn wake(&self) {
        self.shared.due.notify_one();
    }

    /// Ends when [`Work::wake`] was called.
    pub async fn woken(&self) {
        self.shared.due.notified().await;
    }

    /// Who may send at once, over all webhooks.
    pub fn all(&self) -> &Arc<Semaphore> {
        &self.shared.all
    }

    /// Who may send at once to this webhook. A changed limit holds for deliveries from then on.
    pub fn lane(&self, webhook: &Webhook) -> Arc<Semaphore> {
        let mut lanes = self.shared.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(lanes.entry(webhook.id.clone()).or_insert_with(|| Arc::new(Semaphore::new(webhook.in_flight as usize))))
    }

    /// Forgets the lane of a webhook that changed or went.
    pub fn forget(&self, webhook: &WebhookId) {
        self.shared.lanes.lock().unwrap_or_else(PoisonError::into_inner).remove(webhook);
    }
}

impl Services {
    /// The time and the randomness of one expansion of references and functions.
    pub fn ambient(&self) -> Ambient {
        Ambient { now: self.clock.now(), seed: clock::random() }
    }

    /// Starts the first attempt of what was just committed, from memory (decision 2). The handles end with the attempts.
    pub fn start(&self, claimed: Vec<Claimed>) -> Vec<JoinHandle<()>> {
        let run = |delivery| {
            let services = self.clone();
            self.tasks.spawn(async move { crate::deliverer::run(&services, delivery).await })
        };
        claimed.into_iter().map(run).collect()
    }
}
