//! Requests and answers as they are kept and shown: capped, credentials redacted.

use std::{borrow::Cow, collections::BTreeMap};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::SignedRequest;
use crate::{
    model::delivery::{RecordedAnswer, RecordedRequest},
    transport::{Answer, Outgoing},
};

/// Characters of a body kept with an attempt.
const RECORDED_BODY_CHARS_MAX: usize = 16 * 1024;

/// A request as it is kept.
pub(super) fn recorded(signed: &SignedRequest) -> RecordedRequest {
    let Outgoing { method, headers, body, .. } = &signed.outgoing;
    RecordedRequest {
        method: method.to_string(),
        url: signed.shown_url.clone(),
        headers: shown_headers(headers, &signed.shown.headers),
        body: cap(String::from_utf8_lossy(body)),
        body_bytes: body.len() as u64,
    }
}

/// An answer as it is kept.
pub(super) fn recorded_answer(answer: &Answer) -> RecordedAnswer {
    let text = String::from_utf8_lossy(&answer.body);
    let whole = text.len();
    let body = cap(text);
    let truncated = body.len() < whole || answer.body_failure.is_some();
    // What an endpoint sets as a cookie is a credential of its own.
    RecordedAnswer { status: answer.status, headers: shown_headers(&answer.headers, &[http::header::SET_COOKIE]), body, truncated }
}

fn shown_headers(headers: &HeaderMap, secret: &[HeaderName]) -> BTreeMap<String, String> {
    let shown = |name: &HeaderName, value: &HeaderValue| {
        if secret.contains(name) || value.is_sensitive() {
            "(redacted)".to_owned()
        } else {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        }
    };
    headers.iter().map(|(name, value)| (name.to_string(), shown(name, value))).collect()
}

fn cap(text: Cow<'_, str>) -> String {
    // The first character too many, if there is one; most texts are too short for one.
    let end = (text.len() > RECORDED_BODY_CHARS_MAX).then(|| text.char_indices().nth(RECORDED_BODY_CHARS_MAX)).flatten();
    match end {
        Some((end, _)) => text[..end].to_owned(),
        None => text.into_owned(),
    }
}
