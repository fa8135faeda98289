//! The promises of the store, on a real directory, with time moved by hand.

mod accepting;
mod backing_up;
mod batching;
mod calling;
mod churn;
mod controlling;
mod delivering;
mod forgetting;
mod journalling;
mod keeping;
mod lifecycle;
mod opening;
mod ordering;
mod sealing;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::{
    clock::Clock,
    model::{
        delivery::{Attempt, NewDelivery, lifecycle::End},
        event::NewEvent,
        id::{EndpointId, EventId, WebhookId},
        outcome::{Failure, FailureKind},
        parameter::SessionBounds,
        plugin::GuestLog,
    },
};

const LEASE: Duration = Duration::from_secs(60);
const SESSION_LIFE: Duration = Duration::from_secs(1800);
const SESSION_BOUNDS: SessionBounds = SessionBounds { bytes_max: 200_000, parameters_max: 20 };
const ORDER_WAIT_MAX: Duration = Duration::from_secs(900);
const BACKLOG_MAX: u64 = 10_000;
const DEDUP_LIFE: Duration = Duration::from_secs(3600);

/// A clock moved by hand.
struct HandClock(AtomicI64);

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(Ordering::SeqCst)).expect("a time")
    }
}

/// A store in a directory of its own.
struct Bench {
    directory: TempDir,
    clock: Arc<HandClock>,
    store: Store,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let clock = Arc::new(HandClock(AtomicI64::new(1_700_000_000_000)));
        let store = open(directory.path(), &clock, [7; 32]).expect("a store");
        Self { directory, clock, store }
    }

    /// What a process that starts later finds.
    fn reopened(self) -> Self {
        let Self { directory, clock, store } = self;
        drop(store);
        let store = open(directory.path(), &clock, [7; 32]).expect("the store again");
        Self { directory, clock, store }
    }

    fn pass(&self, time: Duration) {
        self.clock.0.fetch_add(i64::try_from(time.as_millis()).expect("a short time"), Ordering::SeqCst);
    }

    /// Accepts one event for `webhooks` and returns it with its claims.
    async fn accept(&self, n: u64, webhooks: &[&str]) -> (Arc<crate::model::event::Event>, Vec<Claimed>) {
        let accepted = self.store.accept(vec![incoming(n, webhooks)], LEASE).await.expect("accepted");
        new(accepted.into_iter().next().expect("one"))
    }

    async fn settle(&self, claimed: &Claimed, next: Next) -> Result<crate::model::delivery::Delivery, StoreError> {
        self.store.settle(vec![settlement(claimed, next)]).await.expect("settled").remove(0).map(|settled| settled.delivery)
    }

    /// What a dispatcher with room for `n` of each endpoint finds.
    async fn claim(&self, n: usize) -> Vec<Claimed> {
        while self.store.free_expired(n).await.expect("freed") > 0 {}
        claim(&self.store, n).await
    }
}

fn open(directory: &Path, clock: &Arc<HandClock>, key: [u8; 32]) -> Result<Store, StoreError> {
    let clock: SharedClock = Arc::<HandClock>::clone(clock);
    Store::open(
        directory,
        StoreOptions {
            clock,
            key: StorageKey::new(key),
            session_life: SESSION_LIFE,
            session_bounds: SESSION_BOUNDS,
            dedup_life: DEDUP_LIFE,
            order_wait_max: ORDER_WAIT_MAX,
            backlog_max: BACKLOG_MAX,
            disk_free_min: 0,
            metrics: Metrics::default(),
        },
    )
}

async fn claim(store: &Store, n: usize) -> Vec<Claimed> {
    let quotas = store.ready_endpoints(0, usize::MAX).into_iter().map(|endpoint| (endpoint, n)).collect();
    store.claim(quotas, LEASE).await.expect("claimed").into_iter().map(|(_, claimed)| claimed).collect()
}

fn webhook(name: &str) -> WebhookId {
    WebhookId(format!("whk_{name}"))
}

fn event_id(n: u64) -> EventId {
    EventId::operational(webhook("teller").as_str(), "told", n)
}

fn incoming(n: u64, webhooks: &[&str]) -> AcceptEvent {
    AcceptEvent {
        event: NewEvent {
            id: event_id(n),
            trigger: serde_json::from_value(json!("/items")).expect("a trigger"),
            source: "test".into(),
            time: Timestamp::UNIX_EPOCH,
            session: Some("s1".into()),
            environment: None,
            attributes: BTreeMap::new(),
            data: json!({ "n": n }),
            call: None,
            depth: 0,
            trace: None,
        },
        dedup: None,
        parameters: Vec::new(),
        deliveries: webhooks.iter().map(|name| owed(name)).collect(),
    }
}

fn owed(name: &str) -> NewDelivery {
    let endpoint = EndpointId::new(&webhook(name), None);
    NewDelivery { webhook_id: webhook(name), webhook: name.into(), endpoint, lane: None, batch: None, take: true }
}

fn new(accepted: Accepted) -> (Arc<crate::model::event::Event>, Vec<Claimed>) {
    match accepted {
        Accepted::New { event, claimed } => (event, claimed.into_iter().flatten().collect()),
        Accepted::Duplicate { id } => panic!("{id} is a duplicate"),
    }
}

fn attempt() -> Attempt {
    let failure = Some(Failure::new(FailureKind::HttpStatus, "503"));
    Attempt { failure, ..Attempt::begun(1, Timestamp::UNIX_EPOCH) }
}

fn settlement(claimed: &Claimed, next: Next) -> Settlement {
    Settlement {
        delivery: claimed.delivery.id.clone(),
        token: claimed.token,
        attempt: Some(attempt()),
        next,
        parameters: None,
        built: None,
        count: None,
    }
}

/// A webhook invoked with nothing.
fn plain_invoke() -> NewInvoke {
    NewInvoke {
        webhook_id: webhook("a"),
        webhook: "a".into(),
        session: None,
        environment: None,
        parameters: Vec::new(),
        input: Default::default(),
        depth: 0,
        trace: None,
    }
}

fn change(name: &str, value: Value) -> (String, Option<Value>) {
    (name.into(), Some(value))
}

/// Every byte of every file under `directory`.
fn files(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let bytes = std::fs::read(&path).expect("a file");
            found.push((path, bytes));
        }
    }
    found
}
