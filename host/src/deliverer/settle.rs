//! The end of an attempt, written down.

use serde_json::Value;

use crate::{
    model::{delivery::Attempt, parameter::Change},
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

/// Settles, and says whether there is news of the webhook.
pub(super) async fn settle(services: &Services, claimed: &Claimed, conclusion: Conclusion) -> bool {
    match settle_one(services, claimed, conclusion).await {
        Ok(settled) => settled.is_noticed,
        // Somebody else holds it now; what they do counts.
        Err(StoreError::LeaseLost) => {
            tracing::warn!(delivery = %claimed.delivery.id, "the lease was lost before the attempt was settled");
            false
        }
        Err(error) => {
            tracing::error!(delivery = %claimed.delivery.id, %error, "an attempt cannot be settled; it will be made again");
            false
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
