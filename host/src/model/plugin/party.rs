//! Whose input a call of a plugin works on: what one party's inputs do to a plugin is held against it once, however many they are.

use crate::model::id::{CallId, DeliveryId, EventId};

/// Who gave a plugin its input.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    /// The caller that codes were issued to; an admin issues them, so ten callers are ten.
    Caller(String),
    /// Who made the call that an event came of. The store knows the caller, and is asked for it where a call fails.
    CallerOf(CallId),
    /// An event: all its deliveries, to whichever webhooks, with all their attempts. An `invoke` over the API is one of its own.
    Event(EventId),
    /// The webhook whose endpoint gave the answer that is read, by its identifier.
    Endpoint(String),
}

impl Party {
    /// Whether its input comes from outside by a code.
    pub fn is_caller(&self) -> bool {
        matches!(self, Self::Caller(_) | Self::CallerOf(_))
    }
}

/// Where the store has an input, so that another version can be tried on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// With a call.
    Call(CallId),
    /// With a delivery.
    Delivery(DeliveryId),
    /// An endpoint's answer, with the last attempt at a delivery.
    Answer(DeliveryId),
}

/// What a call of a plugin works on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Whose it is.
    pub party: Party,
    /// Where it can be read again.
    pub kept: Kept,
}

impl Input {
    /// As what it is tried on the version before. An endpoint's answers are tried one by one: whether they or the version are at fault
    /// is then seen of each.
    pub fn as_tried(&self) -> Self {
        match (&self.party, &self.kept) {
            (Party::Endpoint(_), Kept::Answer(delivery)) => Self { party: Party::Event(EventId(delivery.0.clone())), ..self.clone() },
            _ => self.clone(),
        }
    }
}
