//! Work of this process that is done by one task at a time: calls that are being answered and are taken only once, calls of `async`
//! receivers that are being run.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

use crate::{lock::lock, model::repeat::RepeatKey};

/// What is being worked on, by what makes two pieces of work the same. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Answering(Arc<Mutex<HashSet<RepeatKey>>>);

/// The right to work on something, until it is dropped.
#[derive(Debug)]
pub struct Right {
    answering: Answering,
    key: RepeatKey,
}

impl Answering {
    /// The right to work on what `key` names; `None`: another task has the right.
    pub fn begin(&self, key: RepeatKey) -> Option<Right> {
        let is_new = lock(&self.0).insert(key);
        is_new.then(|| Right { answering: self.clone(), key })
    }
}

impl Drop for Right {
    fn drop(&mut self) {
        lock(&self.answering.0).remove(&self.key);
    }
}
