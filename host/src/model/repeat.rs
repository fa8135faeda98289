//! What makes a repeat one: a key that was named for an event or found in a call, hashed.

use sha2::{Digest, Sha256};

/// What makes a repeat one, hashed: what a producer named, or what a receiver finds in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RepeatKey([u8; 32]);

impl RepeatKey {
    /// Of an event: the producer's source (or token) and its id or idempotency key.
    pub fn of_event(producer: &str, key: &str) -> Self {
        Self(digest(&[producer, key]))
    }

    /// Of a call: the receiver and what makes a call of it one.
    pub fn of_call(receiver: &str, id: &str) -> Self {
        // Three parts: no producer's two can be the same.
        Self(digest(&["call", receiver, id]))
    }

    /// Of work that one task of this process does at a time, such as the runs of one call: what kind of work, and on what.
    pub fn of_work(what: &str, of: &str) -> Self {
        Self(digest(&["work", what, of]))
    }

    /// As it is kept.
    pub fn bytes(self) -> [u8; 32] {
        self.0
    }
}

/// One digest of several texts, which cannot run into each other.
pub fn digest(parts: &[&str]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().into()
}
