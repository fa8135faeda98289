//! The endpoint of the benchmark: verifies every signature, tells waiting requests of their delivery, and counts errors.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::ensure;
use serde_json::Value;
use tokio::sync::oneshot;

use crate::{
    cli::endpoint::{Arrived, Endpoint, LOOPBACK, Said, standard_webhooks::Key},
    lock::lock,
};

/// Finds the event's number in the body of a delivery.
pub type NumberOf = fn(&Value) -> Option<u64>;

/// Which deliveries are expected, and which have arrived.
pub struct Arrivals {
    number_of: NumberOf,
    key: Key,
    waiting: Mutex<HashMap<u64, oneshot::Sender<()>>>,
    arrived: AtomicU64,
    repeated: AtomicU64,
    /// What is wrong with the first wrong delivery.
    wrong: Mutex<Option<String>>,
}

impl Arrivals {
    pub async fn start(number_of: NumberOf, key: Key) -> anyhow::Result<(Arc<Self>, Endpoint)> {
        let arrivals = Arc::new(Self {
            number_of,
            key,
            waiting: Mutex::default(),
            arrived: AtomicU64::new(0),
            repeated: AtomicU64::new(0),
            wrong: Mutex::default(),
        });
        let taking = Arc::clone(&arrivals);
        let endpoint = Endpoint::start(LOOPBACK, move |arrived| taking.take(&arrived)).await?;
        Ok((arrivals, endpoint))
    }

    /// The receiver is told when the event with this number arrives.
    pub fn expect(&self, number: u64) -> oneshot::Receiver<()> {
        let (tell, told) = oneshot::channel();
        lock(&self.waiting).insert(number, tell);
        told
    }

    /// The number of deliveries that arrived, and how many of them arrived more than once. It is an error if one is missing or badly
    /// signed.
    pub fn counted(&self) -> anyhow::Result<(u64, u64)> {
        let wrong = lock(&self.wrong).clone();
        ensure!(wrong.is_none(), "a delivery was wrong: {}", wrong.unwrap_or_default());
        let missing = lock(&self.waiting).len();
        ensure!(missing == 0, "{missing} accepted events never arrived");
        Ok((self.arrived.load(Ordering::Relaxed), self.repeated.load(Ordering::Relaxed)))
    }

    fn take(&self, arrived: &Arrived) -> Said {
        if let Err(reason) = self.key.verify(arrived) {
            lock(&self.wrong).get_or_insert(reason);
            return Said::text(401, "not verified");
        }
        let number = serde_json::from_slice(&arrived.body).ok().and_then(|body| (self.number_of)(&body));
        let Some(number) = number else {
            let body = String::from_utf8_lossy(&arrived.body).into_owned();
            lock(&self.wrong).get_or_insert(format!("no number in {body}"));
            return Said::text(400, "no number");
        };
        let waiting = lock(&self.waiting).remove(&number);
        match waiting {
            Some(waiting) => {
                self.arrived.fetch_add(1, Ordering::Relaxed);
                // A request that gave up waiting has reported that itself.
                _ = waiting.send(());
            }
            None => drop(self.repeated.fetch_add(1, Ordering::Relaxed)),
        }
        Said::text(200, "")
    }
}
