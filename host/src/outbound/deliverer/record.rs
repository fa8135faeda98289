//! Requests and answers as they are kept and shown: capped, credentials redacted.

use std::{borrow::Cow, collections::BTreeMap};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::sign::SignedRequest;
use crate::{
    model::{
        delivery::{Attempt, RecordedAnswer, RecordedRequest},
        signature::{is_signature, without_signature},
    },
    services::Services,
    store::Claimed,
    transport::{Answer, Outgoing},
};

/// Characters of a body kept with an attempt.
const RECORDED_BODY_CHARS_MAX: usize = 16 * 1024;

/// Who looks at a request. Nobody is shown a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eyes {
    /// Somebody with the scope `read`, which is what attempts are kept for: no signature, which would be as good as the key for what he had signed,
    /// and nothing the webhook's document spells out.
    Reader,
    /// An admin: the query values of the document are left out of the URL alone, as where it is shown.
    Admin,
    /// An admin who asked for these, too.
    Revealed,
}

/// An attempt that begins now.
pub(super) fn begun(services: &Services, claimed: &Claimed) -> Attempt {
    let number = claimed.delivery.attempts + 1;
    Attempt { rebuilt: claimed.rebuilt, ..Attempt::begun(number, services.clock.now()) }
}

/// A request as `eyes` see it.
pub(super) fn recorded(signed: &SignedRequest, eyes: Eyes) -> RecordedRequest {
    let Outgoing { method, headers, body, exact_url, .. } = &signed.outgoing;
    let is_hidden = |name: &HeaderName| {
        eyes == Eyes::Reader && (is_signature(name.as_str()) || signed.shown.spelt_out.iter().any(|spelt_out| name == spelt_out.as_str()))
    };
    let text = match signed.is_signed_body && eyes == Eyes::Reader {
        true => Cow::Owned(without_signature(body)),
        false => String::from_utf8_lossy(body),
    };
    RecordedRequest {
        method: method.to_string(),
        url: if eyes == Eyes::Revealed { exact_url.clone() } else { signed.shown_url.clone() },
        headers: shown_headers(headers, |name| signed.shown.headers.contains(name) || is_hidden(name)),
        body: cap(text),
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
    RecordedAnswer {
        status: answer.status,
        headers: shown_headers(&answer.headers, |name| *name == http::header::SET_COOKIE),
        body,
        truncated,
    }
}

fn shown_headers(headers: &HeaderMap, is_hidden: impl Fn(&HeaderName) -> bool) -> BTreeMap<String, String> {
    let shown = |name: &HeaderName, value: &HeaderValue| {
        if value.is_sensitive() || is_hidden(name) {
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
