//! Calls that are turned away: by their head, before any of their body is read; and how little of them is kept. A stranger who knows a code
//! and nothing else is to fill no disk.

use http::Method;
use sha2::{Digest, Sha256};

use super::{
    Inbound, Target,
    commit::{commit_alone, report},
    record::recorded,
    reply::Reply,
    verify,
};
use crate::{
    model::{
        call::{BodyDigest, Call, CallState, Verification},
        outcome::{Failure, FailureKind},
        receiver::{Probe, Receiver},
        signature::VerifyScheme,
    },
    services::Services,
};

/// Why a call is turned away, and the status that says so.
pub(super) type Turned = (u16, Failure);

/// Decides by the head of a call, whose body is not read yet, whether it may be read on. `Ok`: it may; whether it proved already who sends
/// it. `announced`: how long its body says that it is.
pub async fn by_head(services: &Services, target: &Target, head: &Inbound, announced: Option<usize>) -> Result<bool, Reply> {
    let receiver = &target.receiver;
    if let Some(refused) = not_allowed(receiver, &head.method) {
        return Err(refused);
    }
    // A handshake and a probe are answered to anybody, and what a probe is stands in its body.
    let is_asking = receiver.verify.handshake().asked(&head.method, &head.query, &[]).is_some();
    let proves_by_head = receiver.verify.scheme.is_by_head();
    let proves_nothing_by_head = !proves_by_head && receiver.verify.networks.is_empty();
    if is_asking || receiver.probe == Probe::Answer || proves_nothing_by_head {
        return Ok(false);
    }
    let proven = match from_there(receiver, head) {
        Ok(()) if proves_by_head => proven(services, receiver, head).await.map(|()| true),
        otherwise => otherwise.map(|()| false),
    };
    match proven {
        Ok(is_proven) => Ok(is_proven),
        Err(turned) => {
            services.traces.inner("verify", head.trace.as_ref()).fail(turned.1.kind.as_str());
            let digest = BodyDigest { bytes: announced.map(|bytes| bytes as u64), sha256: None };
            let mut call = recorded(services, target, head);
            call.verification = Verification::Failed;
            Err(turn_away(services, call, turned, digest).await)
        }
    }
}

/// The answer to a method the receiver does not take.
pub(super) fn not_allowed(receiver: &Receiver, method: &Method) -> Option<Reply> {
    if receiver.methods.contains(method) {
        return None;
    }
    let allowed: Vec<_> = receiver.methods.iter().map(Method::as_str).collect();
    let mut reply = Reply::message(405, "this method is not allowed here");
    reply.headers.push(("allow".to_owned(), allowed.join(", ")));
    Some(reply)
}

/// What proves who sends a call: where it comes from, and what its scheme asks for.
pub(super) async fn sender(services: &Services, receiver: &Receiver, inbound: &Inbound) -> Result<Verification, Turned> {
    from_there(receiver, inbound)?;
    if receiver.verify.scheme == VerifyScheme::None {
        return Ok(Verification::NotAsked);
    }
    if !inbound.is_proven {
        proven(services, receiver, inbound).await?;
    }
    Ok(Verification::Verified)
}

fn from_there(receiver: &Receiver, inbound: &Inbound) -> Result<(), Turned> {
    if receiver.verify.is_from(&inbound.remote) {
        return Ok(());
    }
    let detail = format!("calls from {} are not taken (`verify.networks`)", inbound.remote);
    Err((403, Failure::new(FailureKind::CallUnverified, detail)))
}

async fn proven(services: &Services, receiver: &Receiver, inbound: &Inbound) -> Result<(), Turned> {
    verify(services, receiver, inbound).await.map_err(|detail| (401, Failure::new(FailureKind::CallUnverified, detail)))
}

/// Answers a call that is turned away before anything ran, and keeps little of it.
pub(super) async fn turn_away(services: &Services, mut call: Call, (status, failure): Turned, digest: BodyDigest) -> Reply {
    services.metrics.call(&call.receiver, failure.kind.as_str(), 0);
    let reply = Reply::message(status, if matches!(status, 401 | 403) { "the call could not be verified" } else { &failure.detail });
    call.failure = Some(failure);
    keep_little(services, call, digest, reply).await
}

/// Commits a call that was turned away, without its body; and only so many in a minute, the others are counted.
pub(super) async fn keep_little(services: &Services, mut call: Call, digest: BodyDigest, reply: Reply) -> Reply {
    call.state = CallState::Rejected;
    let per_minute = services.limits.rejected_calls_per_minute_max;
    if services.door.keeps_rejected(&call.receiver, per_minute, call.received_at) {
        call.keep_little(digest);
        return commit_alone(services, call, reply).await;
    }
    services.metrics.call_not_kept(&call.receiver);
    report(&call, &reply);
    reply
}

/// What is kept in place of a body.
pub(super) fn digest(body: &[u8]) -> BodyDigest {
    BodyDigest { bytes: Some(body.len() as u64), sha256: Some(hex::encode(Sha256::digest(body))) }
}
