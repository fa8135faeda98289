//! Calls that are run again: by the host, what an `async` receiver could not do at its first try; at an admin's wish, what had failed for
//! good after its sender was told 200.
//!
//! Nothing is done twice. A call's end is committed only while the call waits to be run, in the same commit as its effects, whose events
//! have identifiers made of the call's.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use futures::{StreamExt, stream};

use super::{
    commit::commit_alone,
    once::{Place, take_turn},
    record::{digest, document, revived},
    reply::Reply,
    run::run,
};
use crate::{
    model::{
        audit::AuditFilter,
        call::{Call, CallState, Rerun},
        id::CallId,
        outcome::{Failure, FailureKind},
        receiver::{Action, Mode},
        repeat::RepeatKey,
    },
    services::Services,
    store::{PendingCall, StoreError},
    volatile::answering::Right,
};

/// How often calls that wait for another run are looked for.
const SCAN_EVERY: Duration = Duration::from_secs(5);
/// Calls read in one go.
const READ_AT_ONCE: usize = 100;
/// Calls of one receiver run at once.
const RUN_AT_ONCE: usize = 8;

/// Runs again what waits for it, until the host stops.
pub async fn work(services: Services) {
    let mut tried = Tried::default();
    while !services.stop.is_cancelled() {
        if let Err(error) = round(&services, &mut tried).await {
            tracing::error!(%error, "calls that wait to be run cannot be read; trying again");
        }
        tokio::select! {
            () = services.stop.cancelled() => return,
            () = services.reruns.notified() => {}
            () = tokio::time::sleep(SCAN_EVERY) => {}
        }
    }
}

/// Calls that wait for an admin and were run since the last change. They are not run again before the next one, because a run may invoke
/// webhooks before it finds out what it lacks.
#[derive(Default)]
struct Tried {
    since: Changes,
    calls: HashSet<CallId>,
}

/// Two numbers that grow: how often plugins were changed, and the number of the audit log's last entry.
type Changes = (u64, Option<u64>);

async fn changes(services: &Services) -> Result<Changes, StoreError> {
    let audit = services.store.audit(AuditFilter::default(), None, 1).await?;
    Ok((services.plugins.changes(), audit.data.first().map(|entry| entry.number)))
}

/// Sees to it that each call is run once that waits for another run. The calls of each receiver are run by a task of their own, so that
/// many that are slow or cannot be run yet hold up no other receiver's.
async fn round(services: &Services, tried: &mut Tried) -> Result<(), StoreError> {
    let since = changes(services).await?;
    if tried.since != since {
        *tried = Tried { since, calls: HashSet::new() };
    }
    let (mut after, mut waiting) = (None, BTreeMap::<String, Vec<PendingCall>>::new());
    loop {
        let calls = services.store.pending_calls(after, READ_AT_ONCE).await?;
        let Some(last) = calls.last() else { break };
        after = Some(last.id.clone());
        for call in calls {
            waiting.entry(call.receiver.clone()).or_default().push(call);
        }
    }
    for (receiver, mut calls) in waiting {
        // `None`: its calls of an earlier round are still being run.
        let Some(turn) = services.answering.begin(RepeatKey::of_work("runs of a receiver", &receiver)) else { continue };
        calls.retain(|call| !call.waits_for_admin || tried.calls.insert(call.id.clone()));
        let owned = services.clone();
        services.tasks.spawn(async move {
            stream::iter(calls).for_each_concurrent(RUN_AT_ONCE, |call| run_again(&owned, call.id)).await;
            drop(turn);
        });
    }
    Ok(())
}

/// The right to run a call; `None`: it is being run.
pub(super) fn running(services: &Services, call: &CallId) -> Option<Right> {
    services.answering.begin(RepeatKey::of_work("run of a call", call.as_str()))
}

async fn run_again(services: &Services, id: CallId) {
    if services.stop.is_cancelled() {
        return;
    }
    // Take the right first, then read the store: a run that ended in between is then seen.
    let Some(_running) = running(services, &id) else { return };
    let mut call = match services.store.call(&id).await {
        Ok(Some(call)) if call.state == CallState::Pending => call,
        Ok(_) => return,
        Err(error) => return tracing::error!(call = %id, %error, "a call that waits to be run cannot be read; trying again"),
    };
    let Some((receiver, inbound)) = revived(services, &call) else {
        // It counts as a run, so that it can be run again once there is such a receiver.
        (call.state, call.runs) = (CallState::Failed, call.runs + 1);
        call.failure = Some(Failure::new(FailureKind::CallInvalid, format!("there is no receiver `{}` any more", call.receiver)));
        commit_alone(services, call, Reply::message(500, "the call failed")).await;
        return;
    };
    match take_turn(services, &receiver, &mut call).await {
        Place::Any => drop(run(services, &receiver, &inbound, call).await),
        Place::First(right) => {
            run(services, &receiver, &inbound, call).await;
            drop(right);
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
        // A run says itself what its receiver cannot find in the call.
        (None, _) | (_, Err(_)) => None,
        (Some(_), Ok(Action::Reply(..))) => Some("its receiver has no plugin: there is no version to choose".to_owned()),
        (Some(version), Ok(Action::Plugin(plugin, _))) if services.plugins.get(plugin, Some(version)).is_none() => {
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
