//! Bearer tokens that were got, until shortly before they end.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Instant,
};

use jiff::Timestamp;
use tokio::sync::Mutex as AsyncMutex;

use crate::{
    lock::lock,
    model::{oauth::Token, outcome::Failure, secret::Secret},
};

/// Tokens kept at most; beyond it expired tokens are dropped first, then any.
pub const TOKENS_MAX: usize = 8192;

/// What a token is kept under: a digest of all it depends on and of where it is used. A rotated secret gets a token of its own, and so does
/// each webhook at each origin: a token that was got for one place is never shown to another.
pub(crate) type Key = [u8; 32];

/// A place for one token. It is held while the token endpoint is asked, so that nobody asks a second time.
pub(crate) type Slot = Arc<AsyncMutex<Kept>>;

/// What is known of one token.
#[derive(Default)]
pub(crate) struct Kept {
    /// The token.
    pub(crate) token: Option<Token>,
    /// Why the token endpoint gave none when it was last asked, and when that was known.
    pub(crate) failed: Option<(Instant, Failure)>,
}

/// The tokens in use. Cheap to clone.
#[derive(Clone, Default)]
pub struct Tokens {
    slots: Arc<Mutex<HashMap<Key, Slot>>>,
}

/// A token on a request, so that it can be given up when the endpoint does not take it.
pub struct Used {
    pub(crate) key: Key,
    pub(crate) value: Secret,
}

impl Tokens {
    /// The place for the token kept under `key`.
    pub(crate) fn slot(&self, key: Key, now: Timestamp) -> Slot {
        let mut slots = lock(&self.slots);
        if slots.len() >= TOKENS_MAX && !slots.contains_key(&key) {
            // A slot that is locked belongs to a token that is being fetched.
            slots.retain(|_, slot| slot.try_lock().map_or(true, |kept| is_good(kept.token.as_ref(), now)));
            let surplus = (slots.len() + 1).saturating_sub(TOKENS_MAX);
            let gone: Vec<Key> = slots.keys().take(surplus).copied().collect();
            gone.iter().for_each(|key| drop(slots.remove(key)));
        }
        Arc::clone(slots.entry(key).or_default())
    }

    /// Gives a token up, unless it was replaced meanwhile.
    pub async fn forget(&self, used: &Used) {
        let slot = lock(&self.slots).get(&used.key).cloned();
        let Some(slot) = slot else { return };
        let mut kept = slot.lock().await;
        if kept.token.as_ref().is_some_and(|token| token.value.expose() == used.value.expose()) {
            kept.token = None;
        }
    }
}

/// Whether a token may still be used.
pub(crate) fn is_good(token: Option<&Token>, now: Timestamp) -> bool {
    token.is_some_and(|token| token.used_until > now)
}
