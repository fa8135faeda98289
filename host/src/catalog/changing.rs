//! Which webhooks are being given other credentials just now.
//!
//! A credential that stands in a document is written as a secret first, then the document that says where it goes. Between the two, a
//! request for where the webhook pointed before would be given the new secret. So nothing is sent for a webhook while it is listed here.
//! One change is made at a time: two documents written at once would otherwise each end with the other's secret.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::lock::lock;

/// The webhooks. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Changing(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Whether there is any: a delivery looks at the list only then.
    is_any: AtomicBool,
    /// Their names: of two who create a webhook at once, the second changes what the first has made.
    names: Mutex<BTreeSet<String>>,
    /// Held by the change that is under way.
    writing: Arc<AsyncMutex<()>>,
}

impl Shared {
    fn names(&self) -> MutexGuard<'_, BTreeSet<String>> {
        lock(&self.names)
    }
}

/// A change that is under way until this is dropped.
#[derive(Debug)]
pub struct Change {
    changing: Changing,
    _writing: OwnedMutexGuard<()>,
}

impl Changing {
    /// Lists these webhooks until the answer is dropped, once no other change is under way.
    pub async fn begin(&self, names: impl IntoIterator<Item = String>) -> Change {
        let writing = Arc::clone(&self.0.writing).lock_owned().await;
        *self.0.names() = names.into_iter().collect();
        self.0.is_any.store(true, Ordering::SeqCst);
        Change { changing: self.clone(), _writing: writing }
    }

    /// Whether a webhook is listed.
    pub fn holds(&self, name: &str) -> bool {
        self.0.is_any.load(Ordering::SeqCst) && self.0.names().contains(name)
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        let shared = &*self.changing.0;
        shared.names().clear();
        shared.is_any.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_webhook_is_listed_until_its_change_is_over_and_the_next_waits_for_that() {
        let changing = Changing::default();
        let first = changing.begin(["one".to_owned()]).await;
        assert!(changing.holds("one") && !changing.holds("other"));
        assert!(changing.begin(["other".to_owned()]).now_or_never().is_none());
        drop(first);
        assert!(!changing.holds("one"));
        let _second = changing.begin(["other".to_owned()]).now_or_never().expect("nobody else changes anything");
        assert!(changing.holds("other") && !changing.holds("one"));
    }
}
