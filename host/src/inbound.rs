//! A call comes in: code -> verify -> receive -> commit (emissions, parameters) -> reply.
//!
//! A receiver's effects are buffered and committed with the call before the reply is written; a trap drops them (decision: effects-with-the-commit).
//! `code_lookup` finds the receiver, `rejection` turns calls away by their head, `verify` proves who sends them, `once` tells repeats,
//! `record` is the call as kept, `run` its receiver, `commit` its end, `reply` what the caller is told; `again` runs what failed once more.

use self::{
    commit::commit_alone,
    once::{Place, take_turn},
    record::{digest, document, recorded},
    rejection::{keep_little, not_allowed, turn_away},
    reply::failed_reply,
    run::run,
    verify::{admit, answered_signed, answered_to_anybody, probed},
};
use crate::{
    finishing::to_the_end,
    model::{
        call::CallState,
        outcome::Failure,
        receiver::{Action, Mode},
    },
    services::Services,
};

pub use self::{
    again::{rerun, rerun_refusal, work},
    code_lookup::{PROBE_BYTES_MAX, Target, find},
    received::Received,
    rejection::by_head,
    reply::{RETRY_AFTER_S, Reply},
};

mod again;
mod code_lookup;
mod commit;
mod once;
mod received;
mod record;
mod rejection;
mod reply;
mod run;
mod verify;

/// Answers one call, whose head was let by ([`by_head`]).
pub async fn answer(services: &Services, target: Target, inbound: Received) -> Reply {
    let receiver = &target.receiver;
    if target.may_be_probe(&inbound.method) && matches!(inbound.body.trim_ascii(), b"" | b"{}") {
        return probed();
    }
    if let Some(reply) = answered_to_anybody(services, receiver, &inbound).await {
        return reply;
    }
    let mut call = recorded(services, &target, &inbound);
    let mut verifying = services.traces.inner("verify", inbound.trace.as_ref());
    let admitted = admit(services, &target, &inbound, &mut call).await;
    if let Err((_, failure)) = &admitted {
        verifying.fail(failure.kind.as_str());
    }
    drop(verifying);
    if let Err(turned) = admitted {
        return turn_away(services, call, turned, digest(&inbound.body)).await;
    }
    if let Some(reply) = answered_signed(services, receiver, &inbound).await {
        return reply;
    }
    // It was let by because its body might have made it a probe or a handshake.
    if let Some(refused) = not_allowed(receiver, &inbound.method) {
        return refused;
    }
    // Not taken while the plugin is set aside: the sender keeps it, and is told when.
    if let (Mode::Async, Ok(Action::Plugin(plugin, _))) = (receiver.mode, receiver.action_for(|| document(&call)))
        && let Some((failure, _)) = services.plugins.refusal(plugin, None)
    {
        call.state = CallState::Failed;
        services.metrics.call(&call.receiver, failure.kind(), 0);
        call.failure = Some(Failure::from(&failure));
        return commit_alone(services, call, failed_reply(&failure)).await;
    }
    let right = match take_turn(services, receiver, &mut call).await {
        Place::Any => None,
        Place::First(right) => Some(right),
        Place::Answered(reply) => return keep_little(services, call, digest(&inbound.body), reply).await,
        Place::UnderWay => return Reply::later(),
    };
    match receiver.mode {
        Mode::Sync => {
            // A client that goes away does not cancel its call: it runs in a task of its own.
            let owned = services.clone();
            let running = services.tasks.spawn(async move {
                let reply = run(&owned, &target.receiver, &inbound, call).await;
                drop(right);
                reply
            });
            running.await.unwrap_or_else(|_| Reply::message(500, "the call failed"))
        }
        Mode::Async => {
            let owned = services.clone();
            to_the_end(&services.tasks, async move {
                // Taken before the call is on disk, so that `work`, which finds it there, does not run it as well.
                let running = again::running(&owned, &call.id);
                if let Err(error) = owned.store.begin_call(call.clone()).await {
                    return Reply::unavailable(&error);
                }
                let legacy_zero = target.receiver.legacy_zero;
                owned.tasks.clone().spawn(async move {
                    run(&owned, &target.receiver, &inbound, call).await;
                    drop((right, running));
                });
                Reply::narrow(200, if legacy_zero { 0 } else { 200 }, "accepted")
            })
            .await
        }
    }
}
