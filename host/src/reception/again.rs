//! Calls that are run again: by the host, what an `async` receiver could not do at its first try; at an admin's wish, what had failed for
//! good after its sender was told 200.
//!
//! Nothing is done twice. A call's end is committed only while the call waits to be run, in the same commit as its effects, whose events
//! have identifiers made of the call's.

use std::time::Duration;

use futures::{StreamExt, stream};
use jiff::Timestamp;

use super::{
    Place,
    commit::commit_alone,
    record::{document, revived},
    rejection::digest,
    reply::Reply,
    run, take_turn,
};
use crate::{
    model::{
        call::{Call, CallState, Rerun},
        id::CallId,
        outcome::{Failure, FailureKind},
        receiver::{Action, Mode},
    },
    services::Services,
    store::StoreError,
};

/// How long a call's first run may take before another is made of it: longer than any receiver's timeout.
const FIRST_RUN_MAX: Duration = Duration::from_secs(60);
/// How often calls that wait for another run are looked for.
const SCAN_EVERY: Duration = Duration::from_secs(5);
/// Calls read in one go.
const READ_AT_ONCE: usize = 100;
/// Calls run at once.
const RUN_AT_ONCE: usize = 8;

/// Runs again what waits for it, until the host stops.
pub async fn work(services: Services) {
    // What came in before this process began has nobody who runs it.
    let begun = services.clock.now();
    while !services.stop.is_cancelled() {
        if let Err(error) = round(&services, begun).await {
            tracing::error!(%error, "calls that wait to be run cannot be read; trying again");
        }
        tokio::select! {
            () = services.stop.cancelled() => return,
            () = services.reruns.notified() => {}
            () = tokio::time::sleep(SCAN_EVERY) => {}
        }
    }
}

/// Runs each call once that waits for another run: all of them, so that many that cannot be run yet hold up no other.
async fn round(services: &Services, begun: Timestamp) -> Result<(), StoreError> {
    let due = begun.max(services.clock.now() - FIRST_RUN_MAX);
    let mut after = None;
    loop {
        let calls = services.store.pending_calls(after, READ_AT_ONCE).await?;
        let Some(last) = calls.last() else { return Ok(()) };
        after = Some(last.id.clone());
        let waiting = calls.into_iter().filter(|call| call.runs > 0 || call.received_at < due);
        stream::iter(waiting).for_each_concurrent(RUN_AT_ONCE, |call| run_again(services, call)).await;
    }
}

async fn run_again(services: &Services, mut call: Call) {
    if services.stop.is_cancelled() {
        return;
    }
    let Some((receiver, inbound)) = revived(services, &call) else {
        // It counts as a run, so that it can be run again once there is such a receiver.
        (call.state, call.runs) = (CallState::Failed, call.runs + 1);
        call.failure = Some(Failure::new(FailureKind::CallInvalid, format!("there is no receiver `{}` any more", call.receiver)));
        commit_alone(services, call, Reply::message(500, "the call failed")).await;
        return;
    };
    match take_turn(services, &receiver, &mut call).await {
        Place::Any => drop(run(services, &receiver, &inbound, call).await),
        Place::First(turn) => {
            run(services, &receiver, &inbound, call).await;
            drop(turn);
        }
        Place::Answered(reply) => {
            call.keep_little(digest(&inbound.body));
            drop(commit_alone(services, call, reply).await);
        }
        // The same call is being answered just now: looked at again later.
        Place::UnderWay => {}
    }
}

/// Why a call is not run again, if it is not; with `version` of its receiver's plugin.
pub fn rerun_refusal(services: &Services, call: &Call, version: Option<u32>) -> Option<String> {
    if let Some(refusal) = call.rerun_refusal() {
        return Some(refusal.to_owned());
    }
    let Some(entry) = services.catalog.snapshot().receivers.get(&call.receiver).cloned() else {
        return Some(format!("there is no receiver `{}` any more", call.receiver));
    };
    if entry.receiver.mode != Mode::Async {
        return Some("its receiver is not `async`: its sender was told that it failed, and sends it again".to_owned());
    }
    match (version, entry.receiver.action_for(|| document(call))) {
        (None, _) => None,
        (Some(_), Action::Reply(..)) => Some("its receiver has no plugin: there is no version to choose".to_owned()),
        (Some(version), Action::Plugin(plugin, _)) if services.plugins.get(plugin, Some(version)).is_none() => {
            Some(format!("the plugin `{plugin}` has no version {version} that can be used"))
        }
        _ => None,
    }
}

/// Has calls run again. How many; what changed since they were read is left out.
pub async fn rerun(services: &Services, calls: &[Call], version: Option<u32>, by: String) -> Result<u64, StoreError> {
    let ids: Vec<CallId> = calls.iter().map(|call| call.id.clone()).collect();
    let bytes = calls.iter().map(|call| call.request.body.len()).sum();
    let rerun = Rerun { at: services.clock.now(), by, version, runs_before: 0, failure: None };
    let asked = services.store.rerun_calls(ids, rerun, bytes).await?;
    services.reruns.notify_one();
    Ok(asked)
}
