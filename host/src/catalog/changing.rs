//! Which webhooks are being given other credentials just now.
//!
//! A credential that stands in a document is written as a secret first, then the document that says where it goes. Between the two, a
//! request for where the webhook pointed before would be given the new secret. So nothing is sent for a webhook while it is listed here.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::{lock::lock, model::id::WebhookId};

/// The webhooks. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Changing(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// How many there are: a delivery looks at the list only while there is one.
    count: AtomicUsize,
    /// How many changes of each are under way.
    webhooks: Mutex<BTreeMap<WebhookId, usize>>,
}

impl Shared {
    fn webhooks(&self) -> MutexGuard<'_, BTreeMap<WebhookId, usize>> {
        lock(&self.webhooks)
    }
}

/// A change that is under way until this is dropped.
#[derive(Debug)]
pub struct Change {
    changing: Changing,
    webhook: WebhookId,
}

impl Changing {
    /// Lists a webhook until the answer is dropped.
    pub fn begin(&self, webhook: &WebhookId) -> Change {
        *self.0.webhooks().entry(webhook.clone()).or_default() += 1;
        self.0.count.fetch_add(1, Ordering::SeqCst);
        Change { changing: self.clone(), webhook: webhook.clone() }
    }

    /// Whether a webhook is listed.
    pub fn holds(&self, webhook: &WebhookId) -> bool {
        self.0.count.load(Ordering::SeqCst) > 0 && self.0.webhooks().contains_key(webhook)
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        let Shared { count, .. } = &*self.changing.0;
        let mut webhooks = self.changing.0.webhooks();
        if let Some(under_way) = webhooks.get_mut(&self.webhook) {
            *under_way -= 1;
            if *under_way == 0 {
                webhooks.remove(&self.webhook);
            }
        }
        count.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_is_listed_until_its_last_change_is_over() {
        let changing = Changing::default();
        let [one, other] = ["whk_1", "whk_2"].map(|id| WebhookId(id.to_owned()));
        let (first, second) = (changing.begin(&one), changing.begin(&one));
        assert!(changing.holds(&one) && !changing.holds(&other));
        drop(first);
        assert!(changing.holds(&one));
        drop(second);
        assert!(!changing.holds(&one));
    }
}
