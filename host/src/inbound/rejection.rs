//! Rejected calls: by their head, before the body is read; and the little that is kept of them, so that a stranger who knows only a code cannot
//! fill the disk.

use http::Method;

use super::{
    code_lookup::{PROBE_BYTES_MAX, Target},
    commit::{commit_alone, report},
    received::Received,
    record::recorded,
    reply::Reply,
    verify::{Turned, answered_by_head, from_there, proven},
};
use crate::{
    model::{
        call::{BodyDigest, Call, CallState, Verification},
        receiver::Receiver,
        signature::HANDSHAKE_BYTES_MAX,
    },
    services::Services,
};

/// Decides by the head of a call, whose body is not read yet, whether it may be read on. `Ok`: it may; whether it proved already who sends
/// it. `Err`: the answer, without any more of it. `announced`: how long its body is, as far as it says so.
pub async fn by_head(services: &Services, target: &Target, head: &Received, announced: Option<usize>) -> Result<bool, Reply> {
    let receiver = &target.receiver;
    // What the host answers by itself does not depend on the methods that a receiver takes.
    if let Some(answer) = answered_by_head(services, receiver, head).await {
        return Err(answer);
    }
    // A probe and some handshakes are answered to anybody, and need their body to be told from a call.
    let has_at_most = |max: usize| announced.is_some_and(|bytes| bytes <= max);
    let asks_by_body =
        receiver.verify.handshake().asks_by_body(&head.method, receiver.verify.echo.as_ref()) && receiver.verify.is_from(&head.remote);
    let is_told_by_body =
        (target.may_be_probe(&head.method) && has_at_most(PROBE_BYTES_MAX)) || (asks_by_body && has_at_most(HANDSHAKE_BYTES_MAX));
    if let Some(refused) = not_allowed(receiver, &head.method).filter(|_| !is_told_by_body) {
        return Err(refused);
    }
    let proves_by_head = receiver.verify.scheme.is_by_head();
    let proves_nothing_by_head = !proves_by_head && receiver.verify.networks.is_empty();
    if is_told_by_body || proves_nothing_by_head {
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

/// Answers a call that is rejected before anything ran, and keeps little of it.
pub(super) async fn turn_away(services: &Services, mut call: Call, (status, failure): Turned, digest: BodyDigest) -> Reply {
    services.metrics.call(&call.receiver, failure.kind.as_str(), 0);
    let reply = Reply::message(status, if matches!(status, 401 | 403) { "the call could not be verified" } else { &failure.detail });
    call.failure = Some(failure);
    keep_little(services, call, digest, reply).await
}

/// Commits a rejected call without its body. Beyond the limit for a minute, calls are only counted.
pub(super) async fn keep_little(services: &Services, mut call: Call, digest: BodyDigest, reply: Reply) -> Reply {
    call.state = CallState::Rejected;
    let per_minute = services.limits.rejected_calls_per_minute_max;
    if services.refusals.keeps_rejected(&call.receiver, per_minute, call.received_at) {
        call.keep_little(digest);
        return commit_alone(services, call, reply).await;
    }
    services.metrics.call_not_kept(&call.receiver);
    report(&call, &reply);
    reply
}
