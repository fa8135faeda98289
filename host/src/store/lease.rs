//! Who works on what: leases live in memory, on the committer thread. Another process's leases are dead because it is.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;

use crate::model::id::DeliveryId;

/// The fencing token of a lease: a settlement shows it, and a later token makes it worthless. Grows, also across restarts.
pub(super) type Token = u64;

/// The leases of this process.
#[derive(Default)]
pub(super) struct Leases {
    by_token: HashMap<Token, (DeliveryId, Timestamp)>,
    by_delivery: HashMap<DeliveryId, Token>,
    by_expiry: BTreeSet<(Timestamp, Token)>,
}

/// What a commit does to the leases once it counts.
pub(super) enum LeaseChange {
    /// A delivery is worked on until then.
    Grant(Token, DeliveryId, Timestamp),
    /// Nobody works on it any more.
    Release(Token),
    /// It is worked on until then.
    Extend(Token, Timestamp),
}

impl Leases {
    /// Makes `change`.
    pub(super) fn apply(&mut self, change: LeaseChange) {
        match change {
            LeaseChange::Grant(token, delivery, until) => {
                if let Some(earlier) = self.by_delivery.insert(delivery.clone(), token) {
                    self.forget(earlier);
                }
                self.by_token.insert(token, (delivery, until));
                self.by_expiry.insert((until, token));
            }
            LeaseChange::Release(token) => {
                if let Some(delivery) = self.forget(token) {
                    self.by_delivery.remove(&delivery);
                }
            }
            LeaseChange::Extend(token, until) => {
                if let Some((_, old)) = self.by_token.get_mut(&token) {
                    self.by_expiry.remove(&(*old, token));
                    *old = until;
                    self.by_expiry.insert((until, token));
                }
            }
        }
    }

    fn forget(&mut self, token: Token) -> Option<DeliveryId> {
        let (delivery, until) = self.by_token.remove(&token)?;
        self.by_expiry.remove(&(until, token));
        Some(delivery)
    }

    /// The delivery leased under `token`. A lease that is over counts until somebody else takes it.
    pub(super) fn delivery(&self, token: Token) -> Option<&DeliveryId> {
        self.by_token.get(&token).map(|(delivery, _)| delivery)
    }

    /// The token `delivery` is leased under.
    pub(super) fn token(&self, delivery: &DeliveryId) -> Option<Token> {
        self.by_delivery.get(delivery).copied()
    }

    /// Leases that are over, the longest over first.
    pub(super) fn expired(&self, now: Timestamp) -> impl Iterator<Item = (Token, &DeliveryId)> {
        let over = self.by_expiry.iter().take_while(move |(until, _)| *until <= now);
        over.filter_map(|(_, token)| Some((*token, self.delivery(*token)?)))
    }

    /// When the first of them is over.
    pub(super) fn first_expiry(&self) -> Option<Timestamp> {
        self.by_expiry.first().map(|(until, _)| *until)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.by_token.len()
    }
}
