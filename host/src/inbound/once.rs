//! Calls that came before: by what a receiver says makes them one (`once`), told from the same call sent again.
//!
//! What was done is remembered with the call's commit, for as long as dedup keys are; what is being done, in this process. A call that
//! failed is not remembered: its sender is to try again.

use super::{record::document, reply::Reply};
use crate::{
    model::{
        call::{Call, CallState},
        outcome::{Failure, FailureKind},
        receiver::Receiver,
        repeat::RepeatKey,
    },
    outbound::acceptance,
    services::Services,
    store::StoreError,
    volatile::answering::Right,
};

/// A call's place among calls that are the same by the receiver's `once`.
pub(super) enum Place {
    /// The receiver takes the same call any number of times.
    Any,
    /// The call is the first, and is answered while the right is held.
    First(Right),
    /// The call is not run: it is recorded with this answer.
    Answered(Reply),
    /// The first is still being answered. Nothing is recorded; the sender tries again.
    UnderWay,
}

/// Takes the call's place among calls that are the same, and records in it why it is not run.
pub(super) async fn take_turn(services: &Services, receiver: &Receiver, call: &mut Call) -> Place {
    let id = match receiver.once.as_ref().and_then(|_| receiver.once_of(&document(call))) {
        None => return Place::Any,
        Some(Ok(id)) => id,
        Some(Err(detail)) => {
            call.state = CallState::Rejected;
            let reply = Reply::message(400, &detail);
            call.failure = Some(Failure::new(FailureKind::CallInvalid, detail));
            return Place::Answered(reply);
        }
    };
    match standing(services, RepeatKey::of_call(&call.receiver, &id)).await {
        Ok(Standing::First(right)) => Place::First(right),
        Ok(Standing::UnderWay) => Place::UnderWay,
        Ok(Standing::Done) => {
            let (failure, reply) = repeated();
            services.metrics.call(&call.receiver, failure.kind.as_str(), 0);
            (call.state, call.failure) = (CallState::Rejected, Some(failure));
            Place::Answered(reply)
        }
        Err(error) => {
            tracing::error!(%error, "whether a call came before cannot be told");
            Place::UnderWay
        }
    }
}

/// What is known of a call that comes in.
enum Standing {
    /// It is the first.
    First(Right),
    /// The call was done.
    Done,
    /// The call is being done.
    UnderWay,
}

/// Takes the right first, then reads the store: a call that commits in between is then seen. A right ends a moment after its commit, so one
/// that is taken says nothing of what the store says already.
async fn standing(services: &Services, key: RepeatKey) -> Result<Standing, StoreError> {
    let right = services.answering.begin(key);
    let is_done = acceptance::is_repeat(services, key).await?;
    Ok(match right {
        _ if is_done => Standing::Done,
        Some(right) => Standing::First(right),
        None => Standing::UnderWay,
    })
}

/// What is kept of a repeat, and what its sender is told: that it need not send it again.
pub(super) fn repeated() -> (Failure, Reply) {
    let failure = Failure::new(FailureKind::CallRepeated, "a call that is the same by `once` was done before");
    (failure, Reply::message(200, "received before"))
}
