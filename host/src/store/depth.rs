//! How many deliveries wait for each endpoint: kept in memory by the committer.
//!
//! After a start they are counted incrementally, between commits, so that nobody waits for it. Up to the place the counting has come to every
//! change is heard; what is behind it is counted when the counting comes there, as the tree has it by then.

use std::collections::HashMap;

use super::key::{self, Range};
use crate::model::id::EndpointId;

/// Keys counted in one go.
pub(super) const STEP: usize = 4096;

/// What waits, as far as it was counted.
pub(super) struct Depths {
    by_endpoint: HashMap<EndpointId, u64>,
    /// The last key that was counted; `None`: all were.
    counted: Option<Vec<u8>>,
}

impl Default for Depths {
    /// Nothing was counted yet.
    fn default() -> Self {
        Self { by_endpoint: HashMap::new(), counted: Some(key::DUES.to_vec()) }
    }
}

impl Depths {
    /// Whether there is more to count.
    pub(super) fn is_behind(&self) -> bool {
        self.counted.is_some()
    }

    /// A delivery waits under this key from now on, or no more.
    pub(super) fn change(&mut self, due: &[u8], waits: bool) {
        if self.counted.as_deref().is_none_or(|last| due <= last) {
            self.count(due, waits);
        }
    }

    /// The keys that come next, if not all were counted.
    pub(super) fn next(&self) -> Option<Range> {
        let (_, end) = key::under(key::DUES);
        // From the first key behind the last.
        self.counted.as_ref().map(|last| ([last.as_slice(), &[0]].concat(), end))
    }

    /// Counts keys of [`Depths::next`], up to [`STEP`], from a tree that holds every change so far.
    pub(super) fn counted(&mut self, keys: Vec<Vec<u8>>) {
        for due in &keys {
            self.count(due, true);
        }
        self.counted = if keys.len() < STEP { None } else { keys.into_iter().next_back() };
    }

    /// Those for which most waits, with how much it is.
    pub(super) fn deepest(&self) -> Vec<(EndpointId, u64)> {
        self.by_endpoint.iter().map(|(endpoint, number)| (endpoint.clone(), *number)).collect()
    }

    fn count(&mut self, due: &[u8], waits: bool) {
        let Some((endpoint, ..)) = key::due_parts(due) else { return };
        if waits {
            *self.by_endpoint.entry(endpoint).or_default() += 1;
        } else if let Some(number) = self.by_endpoint.get_mut(&endpoint) {
            *number = number.saturating_sub(1);
            if *number == 0 {
                self.by_endpoint.remove(&endpoint);
            }
        }
    }
}
