//! What proves who sends a call, and whether it is one: handshakes, the sender, the signature, the parameters.

use http::Method;
use serde_json::{Value, json};

use super::{
    code_lookup::Target,
    received::Received,
    record::{document, keep_body},
    reply::Reply,
};
use crate::{
    clock::millis,
    model::{
        call::{Call, Verification},
        event::{TEXT_RULE, is_text},
        outcome::{Failure, FailureKind},
        receiver::{Probe, Receiver},
        secret::{Secret, SecretRef},
        signature::{self, Asked, Question, VerifyInput, VerifyScheme},
    },
    services::Services,
};

/// Why a call is turned away, and the status that says so.
pub(super) type Turned = (u16, Failure);

/// What a call asks that the host answers by itself; its body is empty while it is not read.
fn asked(receiver: &Receiver, inbound: &Received) -> Option<Asked> {
    let Received { method, query, headers, body, .. } = inbound;
    receiver.verify.asked(&Question { method, query, headers, body })
}

/// The answer to a handshake or a probe that its head alone makes one. It is given to anybody, so nothing of a body is read for it.
pub(super) async fn answered_by_head(services: &Services, receiver: &Receiver, head: &Received) -> Option<Reply> {
    if let Some(reply) = answered_to_anybody(services, receiver, head).await {
        return Some(reply);
    }
    let is_probe = receiver.probe == Probe::Answer && matches!(head.method, Method::GET | Method::HEAD) && head.query.is_empty();
    is_probe.then(probed)
}

/// The answer to a handshake that needs no signature. Nothing runs, and nothing is recorded.
pub(super) async fn answered_to_anybody(services: &Services, receiver: &Receiver, inbound: &Received) -> Option<Reply> {
    match asked(receiver, inbound).filter(|_| receiver.verify.is_from(&inbound.remote))? {
        Asked::Sign(token) => {
            Some(sign(services, receiver, |key| signature::signed(&token, key).map(|signed| json!({ "response_token": signed }))).await)
        }
        Asked::Unsignable => {
            let max = signature::CRC_TOKEN_BYTES_MAX;
            Some(Reply::message(400, &format!("a `crc_token` is one word of 1 to {max} letters, digits and `+/=_-`")))
        }
        Asked::Echo { challenge, member: None } => Some(as_text(challenge)),
        Asked::Echo { challenge, member: Some(member) } => Some(Reply::json(&json!({ member: challenge }))),
        Asked::EchoAgreed { challenge, token } => Some(echo(services, receiver, challenge, &token).await),
        Asked::EchoSigned(_) | Asked::SignSigned(_) => None,
    }
}

/// The answer to a handshake whose own signature was right.
pub(super) async fn answered_signed(services: &Services, receiver: &Receiver, inbound: &Received) -> Option<Reply> {
    match asked(receiver, inbound)? {
        Asked::EchoSigned(challenge) => Some(Reply::json(&json!({ "challenge": challenge }))),
        Asked::SignSigned(token) => Some(
            sign(services, receiver, |key| {
                signature::signed_hex(&token, key).map(|signed| json!({ "plainToken": token, "encryptedToken": signed }))
            })
            .await,
        ),
        _ => None,
    }
}

/// The answer to a probe.
pub(super) fn probed() -> Reply {
    Reply::json(&json!({ "success": "true" }))
}

/// Shows the sender that the key is held here: the signature of its token, with the first of the receiver's keys.
async fn sign(services: &Services, receiver: &Receiver, answer: impl FnOnce(&Secret) -> Option<Value>) -> Reply {
    match agreed(services, receiver.verify.keys().next()).await {
        Ok(key) => answer(&key).map_or_else(|| Reply::message(400, "this is no token that is signed"), |answer| Reply::json(&answer)),
        Err(refused) => refused,
    }
}

/// Gives the challenge back if the token is the one agreed on.
async fn echo(services: &Services, receiver: &Receiver, challenge: String, token: &str) -> Reply {
    match agreed(services, receiver.verify.challenge_token.as_ref()).await {
        Ok(agreed) if signature::is_token(token, &agreed) => as_text(challenge),
        Ok(_) => Reply::message(403, "the call could not be verified"),
        Err(refused) => refused,
    }
}

/// A challenge as plain text, and as nothing a browser would run.
fn as_text(challenge: String) -> Reply {
    let headers = [("content-type", "text/plain; charset=utf-8"), ("x-content-type-options", "nosniff")];
    let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Reply { status: 200, headers, body: challenge.into() }
}

/// A secret that was agreed on with the sender; else the answer.
async fn agreed(services: &Services, reference: Option<&SecretRef>) -> Result<Secret, Reply> {
    let unverified = || Reply::message(401, "the call could not be verified");
    let reference = reference.ok_or_else(unverified)?;
    let secret = services.store.secret(&reference.name, reference.version).await.map_err(|error| Reply::unavailable(&error))?;
    secret.ok_or_else(unverified)
}

/// Verifies and types the call; what is wrong comes with the status to answer.
pub(super) async fn admit(services: &Services, target: &Target, inbound: &Received, call: &mut Call) -> Result<(), Turned> {
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
    call.session = receiver.session_of(&document(call)).map_err(|detail| (400, Failure::new(FailureKind::PathBudget, detail)))?;
    if call.session.as_deref().is_some_and(|session| !is_text(session)) {
        call.session = None;
        let detail = format!("what the call has at the path `session` has not {TEXT_RULE}");
        return Err((400, Failure::new(FailureKind::CallInvalid, detail)));
    }
    Ok(())
}

/// What proves who sends a call: where it comes from, and what its scheme asks for.
async fn sender(services: &Services, receiver: &Receiver, inbound: &Received) -> Result<Verification, Turned> {
    from_there(receiver, inbound)?;
    if receiver.verify.scheme == VerifyScheme::None {
        return Ok(Verification::NotAsked);
    }
    if !inbound.is_proven {
        proven(services, receiver, inbound).await?;
    }
    Ok(Verification::Verified)
}

pub(super) fn from_there(receiver: &Receiver, inbound: &Received) -> Result<(), Turned> {
    if receiver.verify.is_from(&inbound.remote) {
        return Ok(());
    }
    let detail = format!("calls from {} are not taken (`verify.networks`)", inbound.remote);
    Err((403, Failure::new(FailureKind::CallUnverified, detail)))
}

pub(super) async fn proven(services: &Services, receiver: &Receiver, inbound: &Received) -> Result<(), Turned> {
    verify(services, receiver, inbound).await.map_err(|detail| (401, Failure::new(FailureKind::CallUnverified, detail)))
}

async fn verify(services: &Services, receiver: &Receiver, inbound: &Received) -> Result<(), String> {
    let (mut keys, mut missing) = (Vec::new(), None);
    for reference in receiver.verify.keys() {
        match services.store.secret(&reference.name, reference.version).await.map_err(|error| error.to_string())? {
            Some(key) => keys.push(key),
            None => missing = Some(reference),
        }
    }
    if let (true, Some(reference)) = (keys.is_empty(), missing) {
        return Err(format!("there is no secret `{reference}`"));
    }
    let catalog = services.catalog.snapshot();
    let input = VerifyInput {
        method: inbound.method.as_str(),
        url: inbound.url.expose_str().unwrap_or_default(),
        tolerance_s: receiver.verify.tolerance_s.map_or(signature::TIMESTAMP_TOLERANCE_S, i64::from),
        rule: receiver.verify.rule(),
        token_header: receiver.verify.token_header.as_deref(),
        answers_crc: receiver.verify.keys().any(|key| catalog.answers_crc(&key.name)),
        ..VerifyInput::of(&inbound.headers, &inbound.body, i64::try_from(millis(services.clock.now()) / 1000).unwrap_or(i64::MAX))
    };
    signature::verify(receiver.verify.scheme, &input, &keys).map_err(|error| error.to_string())
}
