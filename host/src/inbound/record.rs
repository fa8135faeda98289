//! A call as it is kept, and as it comes back for another run.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use http::header::SET_COOKIE;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{code_lookup::Target, received::Received, reply::Reply};
use crate::{
    clock::{millis, random},
    loop_depth::{DEPTH_HEADER, read_depth},
    model::{
        call::{BodyDigest, BodyEncoding, Call, CallState, RecordedCall, RecordedReply, Verification},
        id::CallId,
        receiver::Receiver,
        request::headers::CREDENTIAL_HEADERS,
        secret::Secret,
    },
    services::Services,
};

/// Characters of a reply's body kept with its call.
const REPLY_CHARS_MAX: usize = 16 * 1024;

/// What `$call.*`, `session`, and the paths of declared events look into.
pub(super) fn document(call: &Call) -> Value {
    let RecordedCall { method, path, query, parameters, headers, body, remote_address, .. } = &call.request;
    let mut by_name = Map::new();
    for (name, value) in query {
        match by_name.get_mut(name) {
            None => drop(by_name.insert(name.clone(), json!(value))),
            Some(Value::Array(values)) => values.push(json!(value)),
            Some(first) => *first = json!([first.clone(), value]),
        }
    }
    let body = match call.request.body_encoding {
        BodyEncoding::Text => serde_json::from_str(body).unwrap_or_else(|_| json!(body)),
        BodyEncoding::Base64 => json!(body),
    };
    json!({
        "id": call.id, "receiver": call.receiver, "caller": call.caller, "method": method, "path": path, "query": by_name,
        "parameters": parameters, "headers": headers, "body": body, "remote_address": remote_address,
        "verified": call.verification == Verification::Verified,
    })
}

/// The head of a call. Its body is put in once it is known who sends it ([`keep_body`]).
pub(super) fn recorded(services: &Services, target: &Target, inbound: &Received) -> Call {
    let receiver = &target.receiver;
    let received_at = services.clock.now();
    let hidden = receiver.verify.credential_headers();
    let shown = |name: &str, value: &http::HeaderValue| {
        if is_credential(name, &hidden) { "(redacted)".to_owned() } else { String::from_utf8_lossy(value.as_bytes()).into_owned() }
    };
    Call {
        id: CallId::new(millis(received_at), random()),
        receiver: receiver.name.clone(),
        caller: target.code.caller.clone(),
        code_id: target.code.id.clone(),
        received_at,
        state: CallState::Pending,
        request: RecordedCall {
            method: inbound.method.to_string(),
            path: inbound.path.clone(),
            query: inbound.query.clone(),
            parameters: Map::new(),
            headers: inbound.headers.iter().map(|(name, value)| (name.to_string(), shown(name.as_str(), value))).collect(),
            body: String::new(),
            body_encoding: BodyEncoding::Text,
            body_not_kept: None,
            head_cut: false,
            remote_address: inbound.remote.clone(),
        },
        environment: target.environment.clone(),
        session: None,
        verification: Verification::NotAsked,
        reply: None,
        failure: None,
        events: Vec::new(),
        plugin: None,
        log: Default::default(),
        webhook_statuses: Vec::new(),
        receive_us: 0,
        runs: 0,
        reruns: Vec::new(),
        depth: read_depth(services, &inbound.headers),
        trace: inbound.trace.clone(),
    }
}

/// Puts the body in.
pub(super) fn keep_body(call: &mut Call, body: &[u8]) {
    (call.request.body, call.request.body_encoding) = match std::str::from_utf8(body) {
        Ok(text) => (text.to_owned(), BodyEncoding::Text),
        Err(_) => (BASE64_STANDARD.encode(body), BodyEncoding::Base64),
    };
}

/// The body as it came in; `None`: it was not kept.
pub(super) fn body_of(request: &RecordedCall) -> Option<Vec<u8>> {
    match request.body_encoding {
        _ if request.body_not_kept.is_some() => None,
        BodyEncoding::Text => Some(request.body.clone().into_bytes()),
        BodyEncoding::Base64 => BASE64_STANDARD.decode(&request.body).ok(),
    }
}

/// What is kept in place of a body.
pub(super) fn digest(body: &[u8]) -> BodyDigest {
    BodyDigest { bytes: Some(body.len() as u64), sha256: Some(hex::encode(Sha256::digest(body))) }
}

/// Headers that are credentials whatever the scheme, and those of the scheme.
pub(super) fn is_credential(name: &str, of_scheme: &[&str]) -> bool {
    name == DEPTH_HEADER || CREDENTIAL_HEADERS.contains(&name) || of_scheme.iter().any(|hidden| hidden.eq_ignore_ascii_case(name))
}

pub(super) fn recorded_reply(reply: &Reply) -> RecordedReply {
    RecordedReply {
        status: reply.status,
        headers: reply.headers.iter().map(|(name, value)| (name.clone(), kept_value(name, value))).collect(),
        body: String::from_utf8_lossy(&reply.body).chars().take(REPLY_CHARS_MAX).collect(),
    }
}

/// The value of a reply's header as it is kept: a cookie is a credential.
fn kept_value(name: &str, value: &str) -> String {
    if name.eq_ignore_ascii_case(SET_COOKIE.as_str()) { "(redacted)".to_owned() } else { value.to_owned() }
}

/// A recorded call as it came in. What was redacted stays away; it was verified then.
pub(super) fn revived(services: &Services, call: &Call) -> Option<(Arc<Receiver>, Received)> {
    // The receiver alone: its code may have been revoked or have expired since, and it was taken.
    let receiver = Arc::clone(&services.catalog.snapshot().receivers.get(&call.receiver)?.receiver);
    let body = body_of(&call.request)?;
    let headers = call.request.headers.iter().filter_map(|(name, value)| Some((name.parse().ok()?, value.parse().ok()?))).collect();
    let inbound = Received {
        method: call.request.method.parse().ok()?,
        url: Secret::new(""),
        path: call.request.path.clone(),
        query: call.request.query.clone(),
        headers,
        body: body.into(),
        remote: call.request.remote_address.clone(),
        trace: call.trace.clone(),
        is_proven: true,
        shares_origin: true,
    };
    Some((receiver, inbound))
}
