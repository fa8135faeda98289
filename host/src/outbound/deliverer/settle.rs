//! The end of an attempt, written down.

use serde_json::Value;

use crate::{
    model::{
        delivery::Attempt,
        parameter::{Change, Overflow},
    },
    services::Services,
    store::{Claimed, Count, Next, Settled, Settlement, StoreError},
};

/// How a claimed delivery is settled.
pub(super) struct Conclusion {
    pub(super) attempt: Option<Attempt>,
    pub(super) next: Next,
    pub(super) built: Option<Value>,
    pub(super) changes: Vec<Change>,
    pub(super) count: Option<Count>,
}

impl Conclusion {
    /// Nothing was tried.
    pub(super) fn without_attempt(next: Next) -> Self {
        Self { attempt: None, next, built: None, changes: Vec::new(), count: None }
    }
}

/// Gives a batch back in halves: no request can be made of all its events together.
pub(super) async fn split(services: &Services, claimed: &Claimed) {
    let (delivery, events) = (&claimed.delivery.id, claimed.events.len());
    match services.store.split_batch(delivery.clone(), claimed.token).await {
        Ok(()) => tracing::info!(%delivery, events, "no request can be made of a whole batch; it is sent in halves"),
        Err(StoreError::LeaseLost) => tracing::warn!(%delivery, "the lease was lost before the batch was split"),
        Err(error) => tracing::error!(%delivery, %error, "a batch cannot be split; it will be tried again"),
    }
    services.window.wake();
}

/// Settles, and says whether there is news of the webhook, and what did not fit into the session.
pub(super) async fn settle(services: &Services, claimed: &Claimed, conclusion: Conclusion) -> (bool, Vec<Overflow>) {
    match settle_one(services, claimed, conclusion).await {
        Ok(settled) => (settled.is_noticed, settled.overflows),
        // Somebody else holds it now; what they do counts.
        Err(StoreError::LeaseLost) => {
            tracing::warn!(delivery = %claimed.delivery.id, "the lease was lost before the attempt was settled");
            (false, Vec::new())
        }
        Err(error) => {
            tracing::error!(delivery = %claimed.delivery.id, %error, "an attempt cannot be settled; it will be made again");
            (false, Vec::new())
        }
    }
}

/// The same, with what came of it.
pub(super) async fn settle_one(services: &Services, claimed: &Claimed, conclusion: Conclusion) -> Result<Settled, StoreError> {
    let Conclusion { attempt, next, built, changes, count } = conclusion;
    let parameters = match &claimed.delivery.session {
        Some(session) if !changes.is_empty() => Some((session.clone(), changes)),
        _ => None,
    };
    let (delivery, token) = (claimed.delivery.id.clone(), claimed.token);
    let settled = services.store.settle(vec![Settlement { delivery, token, attempt, next, parameters, built, count }]).await?;
    settled.into_iter().next().unwrap_or(Err(StoreError::LeaseLost))
}
