//! Which values are sealed with the storage key: all that say what somebody wrote, sent or was answered. In clear stay the keys (names,
//! identifiers, times), what only counts or points, and deliveries, which are identifiers and states, unless an `invoke` gave them data.
//!
//! A value is sealed for the key it stands under, so that none can be put in another's place, and says of itself that it is: what a store
//! of format 1 holds in clear is read as it is.

use super::key;

/// The kinds of rows whose values are sealed whatever is in them.
const SEALED: &[&[u8]] =
    &[key::EVENTS, key::FINISHED, key::ATTEMPTS, key::BUILT, key::CALL_LOG, key::CONFIGS, key::AUDIT, key::SESSIONS, key::PLUGIN_STATES];

/// Whether what stands under `key` is sealed whatever it is.
pub(super) fn is_sealed(key: &[u8]) -> bool {
    SEALED.iter().any(|kind| key.starts_with(kind))
}

/// Whether what stands under `key` is sealed in some cases: a store that is sealed as a whole seals it in all.
pub(super) fn may_be_sealed(key: &[u8]) -> bool {
    is_sealed(key) || key.starts_with(key::LEASED) || key.starts_with(key::WAITING)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{DeliveryId, WebhookId};

    #[test]
    fn what_somebody_wrote_is_sealed_and_what_counts_is_not() {
        let id = DeliveryId::new(7, &WebhookId::new(0, [0; 10]), 0, 0);
        for sealed in [key::event(7), key::attempt(&id, 1), key::built(&id), key::config("webhook", "a"), key::plugin_state("p", "k")] {
            assert!(is_sealed(&sealed), "{}", sealed.escape_ascii());
        }
        for clear in
            [key::SEQ.to_vec(), key::KEY_CHECK.to_vec(), key::FORMAT.to_vec(), key::revision(1), key::secret("s"), key::code_use("c")]
        {
            assert!(!may_be_sealed(&clear), "{}", clear.escape_ascii());
        }
        let waiting = key::delivery(key::WAITING, &id);
        assert!(!is_sealed(&waiting) && may_be_sealed(&waiting));
    }
}
