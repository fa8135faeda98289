//! Code -> verify -> receive -> commit (emissions, parameters) -> reply.
//!
//! A receiver's effects are buffered and committed with the call before the reply is written; a trap drops them (decision 9).
//! `again` runs what failed once more, `door` is who is let in, `record` the call as kept, `run` its plugin, `commit` its end, `reply` what the caller is told.

use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, Method};

use self::{
    commit::{commit, commit_alone},
    once::{Standing, repeated, standing},
    record::{document, keep_body, recorded},
    rejection::{digest, keep_little, sender, turn_away},
    reply::{Raw, failed_reply, shape},
};
use crate::{
    acceptance::RepeatKey,
    clock::millis,
    dispatcher::micros,
    finishing::to_the_end,
    model::{
        call::{Call, CallState, Verification},
        event::{TEXT_RULE, is_text},
        outcome::{Failure, FailureKind},
        parameter::Parameters,
        plugin::{LogLevel, LogLine, PluginFailure},
        receiver::{Action, Mode, Probe, Receiver},
        reference::{Expansion, SUBSTITUTED_BYTES_MAX, Scope},
        secret::{Secret, SecretRef},
        signature::{self, Asked, VerifyInput},
        trace::TraceContext,
    },
    plugin::Effects,
    services::Services,
};

pub use self::{
    again::{rerun, rerun_refusal, work},
    door::{Door, PROBE_BYTES_MAX, Refusal, RefusalReason, Target, find},
    once::Answering,
    rejection::by_head,
    reply::{RETRY_AFTER_S, Reply},
};

mod again;
mod commit;
mod door;
mod once;
mod record;
mod rejection;
mod reply;
mod run;

/// Runs of an `async` call before it is given up, and again after an admin had it run again.
const RUNS_MAX: u32 = 5;

/// One inbound request, read.
#[derive(Clone, Debug)]
pub struct Inbound {
    /// The method.
    pub method: Method,
    /// The path behind the code.
    pub path: String,
    /// Query parameters, decoded, in order.
    pub query: Vec<(String, String)>,
    /// Headers.
    pub headers: HeaderMap,
    /// The body, within the receiver's limit.
    pub body: Bytes,
    /// The client's address.
    pub remote: String,
    /// The trace it belongs to.
    pub trace: Option<TraceContext>,
    /// Whether its head proved already who sends it ([`by_head`]).
    pub is_proven: bool,
    /// Whether administrators have pages at the origin it was sent to.
    pub shares_origin: bool,
}

/// Answers one call, whose head was let by ([`by_head`]).
pub async fn answer(services: &Services, target: Target, inbound: Inbound) -> Reply {
    let receiver = &target.receiver;
    if target.may_be_probe(&inbound.method) && matches!(inbound.body.trim_ascii(), b"" | b"{}") {
        return probed();
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
    if let Some(Asked::EchoSigned(challenge)) = receiver.verify.handshake().asked(&inbound.method, &inbound.query, &inbound.body) {
        return Reply::json(&serde_json::json!({ "challenge": challenge }));
    }
    // Not taken while the plugin is set aside: the sender keeps it, and is told when.
    if let (Mode::Async, Action::Plugin(plugin, _)) = (receiver.mode, receiver.action_for(|| document(&call)))
        && let Some((failure, _)) = services.plugins.refusal(plugin, None)
    {
        call.state = CallState::Failed;
        services.metrics.call(&call.receiver, failure.kind(), 0);
        call.failure = Some(Failure::from(&failure));
        return commit_alone(services, call, failed_reply(&failure)).await;
    }
    let turn = match take_turn(services, receiver, &mut call).await {
        Place::Any => None,
        Place::First(turn) => Some(turn),
        Place::Answered(reply) => return keep_little(services, call, digest(&inbound.body), reply).await,
        Place::UnderWay => return Reply::later(),
    };
    match receiver.mode {
        Mode::Sync => {
            // A client that goes away does not cancel its call: it runs in a task of its own.
            let owned = services.clone();
            let running = services.tasks.spawn(async move {
                let reply = run(&owned, &target.receiver, &inbound, call).await;
                drop(turn);
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
                    drop((turn, running));
                });
                Reply::narrow(200, if legacy_zero { 0 } else { 200 }, "accepted")
            })
            .await
        }
    }
}

/// Shows the sender that the key is held here: the token's signature. Nothing runs and nothing is recorded.
async fn sign(services: &Services, receiver: &Receiver, token: &str) -> Reply {
    match agreed(services, receiver.verify.secret.as_ref()).await {
        Ok(key) => match signature::signed(token, &key) {
            Some(signed) => Reply::json(&serde_json::json!({ "response_token": signed })),
            None => Reply::message(400, "this is no `crc_token`"),
        },
        Err(refused) => refused,
    }
}

/// Gives the challenge back, as plain text and nothing a browser would run, if the token is the one agreed on.
async fn echo(services: &Services, receiver: &Receiver, challenge: &str, token: &str) -> Reply {
    match agreed(services, receiver.verify.challenge_token.as_ref()).await {
        Ok(agreed) if signature::is_token(token, &agreed) => {
            let headers = [("content-type", "text/plain; charset=utf-8"), ("x-content-type-options", "nosniff")];
            let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            Reply { status: 200, headers, body: challenge.to_owned().into() }
        }
        Ok(_) => Reply::message(403, "the call could not be verified"),
        Err(refused) => refused,
    }
}

/// A secret that was agreed on with the sender; else the answer.
async fn agreed(services: &Services, reference: Option<&SecretRef>) -> Result<Secret, Reply> {
    let unverified = || Reply::message(401, "the call could not be verified");
    let reference = reference.ok_or_else(unverified)?;
    let secret = services.store.secret(&reference.name, reference.version).await.map_err(|error| Reply::unavailable(&error))?;
    secret.ok_or_else(unverified)
}

/// A call's place among calls that are the same by the receiver's `once`.
enum Place {
    /// The receiver takes the same call any number of times.
    Any,
    /// It is the first, and is answered while this is held.
    First(once::Turn),
    /// It is not run: it is recorded with this answer.
    Answered(Reply),
    /// The first is still being answered. Nothing is recorded; the sender tries again.
    UnderWay,
}

/// Takes the call's place among calls that are the same, and records in it why it is not run.
async fn take_turn(services: &Services, receiver: &Receiver, call: &mut Call) -> Place {
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
        Ok(Standing::First(turn)) => Place::First(turn),
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

/// The answer to a handshake or a probe that its head alone makes one. It is given to anybody, so nothing of a body is read for it.
async fn answered_by_head(services: &Services, receiver: &Receiver, head: &Inbound) -> Option<Reply> {
    let asked = receiver.verify.handshake().asked(&head.method, &head.query, &[]).filter(|_| receiver.verify.is_from(&head.remote));
    match asked {
        Some(Asked::Sign(token)) => return Some(sign(services, receiver, token).await),
        Some(Asked::Unsignable) => {
            let max = signature::CRC_TOKEN_BYTES_MAX;
            return Some(Reply::message(400, &format!("a `crc_token` is one word of 1 to {max} letters, digits and `+/=_-`")));
        }
        Some(Asked::Echo { challenge, token }) => return Some(echo(services, receiver, challenge, token).await),
        Some(Asked::EchoSigned(_)) | None => {}
    }
    let is_probe = receiver.probe == Probe::Answer && matches!(head.method, Method::GET | Method::HEAD) && head.query.is_empty();
    is_probe.then(probed)
}

/// The answer to a probe.
fn probed() -> Reply {
    Reply::json(&serde_json::json!({ "success": "true" }))
}

/// Verifies and types the call; what is wrong comes with the status to answer.
async fn admit(services: &Services, target: &Target, inbound: &Inbound, call: &mut Call) -> Result<(), (u16, Failure)> {
    let receiver = &target.receiver;
    call.verification = Verification::Failed;
    call.verification = sender(services, receiver, inbound).await?;
    match receiver.typed_parameters(&inbound.query) {
        Ok(parameters) => call.request.parameters = parameters,
        Err(problems) => {
            let detail = problems.into_iter().map(|problem| problem.detail).collect::<Vec<_>>().join("; ");
            return Err((400, Failure::new(FailureKind::CallInvalid, detail)));
        }
    }
    keep_body(call, &inbound.body);
    call.session = receiver.session_of(&document(call));
    if call.session.as_deref().is_some_and(|session| !is_text(session)) {
        call.session = None;
        let detail = format!("what the call has at the path `session` has not {TEXT_RULE}");
        return Err((400, Failure::new(FailureKind::CallInvalid, detail)));
    }
    Ok(())
}

async fn verify(services: &Services, receiver: &Receiver, inbound: &Inbound) -> Result<(), String> {
    let Some(reference) = &receiver.verify.secret else { return Err("the receiver names no secret".to_owned()) };
    let secret = services.store.secret(&reference.name, reference.version).await.map_err(|error| error.to_string())?;
    let Some(secret) = secret else { return Err(format!("there is no secret `{reference}`")) };
    let input = VerifyInput {
        headers: &inbound.headers,
        body: &inbound.body,
        now_s: i64::try_from(millis(services.clock.now()) / 1000).unwrap_or(i64::MAX),
        tolerance_s: receiver.verify.tolerance_s.map_or(signature::TIMESTAMP_TOLERANCE_S, i64::from),
        hmac: receiver.verify.hmac.as_ref(),
        answers_crc: services.catalog.snapshot().answers_crc(&reference.name),
    };
    signature::verify(receiver.verify.scheme, &input, &[secret]).map_err(|error| error.to_string())
}

/// The receiver's own reply cannot be worked out of what was sent. Which function of it that was is the admin's to know.
async fn unanswerable(services: &Services, mut call: Call, failure: Failure, receive_us: u64) -> Reply {
    services.metrics.call(&call.receiver, failure.kind.as_str(), receive_us);
    (call.state, call.failure, call.receive_us) = (CallState::Rejected, Some(failure), receive_us);
    commit_alone(services, call, Reply::message(400, "the call cannot be answered: a value in it is not what it has to be")).await
}

/// One run of the receiver, committed with its effects.
async fn run(services: &Services, receiver: &Receiver, inbound: &Inbound, mut call: Call) -> Reply {
    call.runs += 1;
    let started = Instant::now();
    let mut span = services.traces.inner("receive", call.trace.as_ref());
    let ran = match receiver.action_for(|| document(&call)) {
        Action::Reply(status, template) => {
            let document = document(&call);
            let parameters = Parameters::default();
            let scope = Scope { call: Some(&document), ambient: services.ambient(), ..Scope::of(&parameters) };
            let mut expansion = Expansion::default();
            let message = template.expand_text(&scope, &mut expansion);
            match expansion.failure() {
                Some(failure) => {
                    let failure = Failure::new(FailureKind::FunctionFailed, failure.to_string());
                    return unanswerable(services, call, failure, micros(started)).await;
                }
                None if expansion.overflowed() => {
                    Err(PluginFailure::Rejected(format!("the reply would have more than {SUBSTITUTED_BYTES_MAX} bytes of values")))
                }
                None => Ok((Raw { status: *status, headers: Vec::new(), body: message.into_bytes() }, Effects::default())),
            }
        }
        Action::Plugin(name, config) => {
            run::run_plugin(run::Run { services, receiver, inbound, span: &span }, name, config, &mut call).await
        }
    };
    call.receive_us = micros(started);
    let failed = ran.as_ref().err().map(PluginFailure::kind);
    if span.is_recording() {
        span.set("hookwright.receiver.name", call.receiver.clone());
        span.set("hookwright.call.id", call.id.to_string());
        span.set("hookwright.call.run", i64::from(call.runs));
        if let Some(plugin) = &call.plugin {
            span.set("hookwright.plugin.name", plugin.name.clone());
        }
        failed.into_iter().for_each(|kind| span.fail(kind));
    }
    drop(span);
    services.metrics.call(&call.receiver, failed.unwrap_or("done"), call.receive_us);
    if let Some(plugin) = &call.plugin {
        services.metrics.plugin(&plugin.name, failed.unwrap_or("ok"), call.receive_us);
    }
    match ran {
        Ok((raw, effects)) => {
            let (reply, left_out) = shape(receiver, raw, inbound.shares_origin);
            for (name, why) in left_out {
                let text = format!("the reply's header `{name}` was left out: {why}");
                call.log.lines.push(LogLine { level: LogLevel::Warn, text });
            }
            call.state = CallState::Done;
            let _committing = services.traces.inner("commit", call.trace.as_ref());
            commit(services, receiver, call, effects, reply).await
        }
        Err(failure) => {
            let is_uncounted = failure.counts_no_run();
            let again = receiver.mode == Mode::Async && failure.is_passing() && (is_uncounted || call.runs_since_asked() < RUNS_MAX);
            call.runs -= u32::from(again && is_uncounted);
            call.state = match failure {
                _ if again => CallState::Pending,
                PluginFailure::Rejected(_) => CallState::Rejected,
                _ => CallState::Failed,
            };
            let reply = failed_reply(&failure);
            call.failure = Some(Failure::from(&failure));
            if again {
                let trace_id = call.trace.as_ref().map(TraceContext::trace_id);
                tracing::warn!(call = %call.id, receiver = call.receiver, kind = failure.kind(), detail = %failure, trace_id, "a receiver failed and is run again");
                return match services.store.begin_call(call).await {
                    Ok(()) => reply,
                    Err(error) => Reply::unavailable(&error),
                };
            }
            commit_alone(services, call, reply).await
        }
    }
}
