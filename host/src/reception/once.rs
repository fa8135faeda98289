//! Calls that came before: by what a receiver says makes them one (`once`), told from the same call sent again.
//!
//! What was done is remembered with the call's commit, for as long as dedup keys are; what is being done, in this process. A call that
//! failed is not remembered: its sender is to try again. The same set says which calls of `async` receivers are being run.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use super::reply::Reply;
use crate::{
    acceptance::{self, RepeatKey},
    lock::lock,
    model::outcome::{Failure, FailureKind},
    services::Services,
    store::StoreError,
};

/// Calls that are being answered, by what makes them one. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Answering(Arc<Mutex<HashSet<RepeatKey>>>);

/// The right to answer a call, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    answering: Answering,
    key: RepeatKey,
}

/// What is known of a call that comes in.
pub(super) enum Standing {
    /// It is the first.
    First(Turn),
    /// It was done.
    Done,
    /// It is being done.
    UnderWay,
}

impl Answering {
    /// The right to work on what `key` names; `None`: somebody has it.
    pub(super) fn begin(&self, key: RepeatKey) -> Option<Turn> {
        let is_new = lock(&self.0).insert(key);
        is_new.then(|| Turn { answering: self.clone(), key })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        lock(&self.answering.0).remove(&self.key);
    }
}

/// Whether this call is to be answered. The turn comes before the look into the store: what ends between the two is found there. A turn
/// ends a moment after its commit, so a turn that is taken says nothing of what the store says already.
pub(super) async fn standing(services: &Services, key: RepeatKey) -> Result<Standing, StoreError> {
    let turn = services.answering.begin(key);
    let is_done = acceptance::is_repeat(services, key).await?;
    Ok(match turn {
        _ if is_done => Standing::Done,
        Some(turn) => Standing::First(turn),
        None => Standing::UnderWay,
    })
}

/// What is kept of a repeat, and what its sender is told: that it need not send it again.
pub(super) fn repeated() -> (Failure, Reply) {
    let failure = Failure::new(FailureKind::CallRepeated, "a call that is the same by `once` was done before");
    (failure, Reply::message(200, "received before"))
}
