//! How a webhook's attempts went ([`crate::model::deactivation`]): counted with each settlement, told by a worker.

use super::{
    Store,
    error::StoreError,
    key,
    transaction::{Transaction, decode},
};
use crate::model::{
    deactivation::{Ended, Notice, Standing},
    id::WebhookId,
    profile::Deactivation,
};

/// What one attempt adds to the count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// How it ended.
    pub ended: Ended,
    /// The webhook's rule.
    pub rule: Option<Deactivation>,
    /// Whether what follows is told by an event.
    pub is_told: bool,
}

/// Counts an attempt. Whether there is something to tell that was not there before.
pub(super) fn count(transaction: &mut Transaction<'_>, webhook: &WebhookId, count: Count) -> Result<bool, StoreError> {
    let key = key::standing(webhook);
    let mut standing = transaction.get::<Standing>(&key)?.unwrap_or_default();
    let had_notice = standing.notice.is_some();
    if !standing.note(count.ended, count.rule, transaction.now, count.is_told) {
        return Ok(false);
    }
    let is_noticed = !had_notice && standing.notice.is_some();
    if standing == Standing::default() {
        transaction.remove(key)?
    } else {
        transaction.put(key, &standing)?
    }
    Ok(is_noticed)
}

impl Store {
    /// How a webhook's attempts went since it was last activated.
    pub async fn standing(&self, webhook: &WebhookId) -> Result<Standing, StoreError> {
        let key = key::standing(webhook);
        Ok(self.engine().get(&key)?.map(|bytes| decode(&key, &bytes)).transpose()?.unwrap_or_default())
    }

    /// Webhooks about which something is to be told, or done.
    pub async fn notices(&self) -> Result<Vec<(WebhookId, Notice)>, StoreError> {
        self.scan(|engine| {
            let mut notices = Vec::new();
            for record in engine.records(key::under(key::STANDINGS)) {
                let (key, bytes) = record?;
                let webhook = key::tail(&key, key::STANDINGS.len()).map(WebhookId);
                if let (Some(webhook), Some(notice)) = (webhook, decode::<Standing>(&key, &bytes)?.notice) {
                    notices.push((webhook, notice));
                }
            }
            Ok(notices)
        })
        .await
    }

    /// Forgets a notice that was acted upon, unless another one has taken its place.
    pub async fn noticed(&self, webhook: &WebhookId, notice: Notice) -> Result<(), StoreError> {
        let key = key::standing(webhook);
        self.commit(0, move |transaction| {
            let Some(mut standing) = transaction.get::<Standing>(&key)? else { return Ok(()) };
            if standing.notice == Some(notice) {
                standing.notice = None;
                transaction.put(key, &standing)?;
            }
            Ok(())
        })
        .await
    }

    /// Begins the count again: the webhook was activated, or (`None`) it is gone.
    pub async fn reset_standing(&self, webhook: &WebhookId, standing: Option<Standing>) -> Result<(), StoreError> {
        let key = key::standing(webhook);
        self.commit(0, move |transaction| match standing {
            Some(standing) => transaction.put(key, &standing),
            None => transaction.remove(key),
        })
        .await
    }
}
