//! What a caller is told, and how little of it.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    model::{
        plugin::{PluginFailure, limits::Limit},
        receiver::{
            MESSAGE_CHARS_MAX, Receiver,
            reply::{LeftOut, take_out},
        },
    },
    store::StoreError,
};

/// Seconds a caller is asked to wait before it tries again, here and in the API.
pub const RETRY_AFTER_S: u32 = 5;

/// What the caller gets.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

impl Reply {
    /// The narrow answer: a status and a sentence.
    pub fn message(status: u16, message: &str) -> Self {
        Self::narrow(status, status, message)
    }

    /// The store takes nothing now.
    pub fn unavailable(error: &StoreError) -> Self {
        tracing::error!(%error, "a call cannot be recorded");
        Self::later()
    }

    /// A code was called more often than it allows.
    pub(super) fn too_many(seconds: u32) -> Self {
        let mut reply = Self::message(429, "too many calls; try again later");
        reply.headers.push(("retry-after".to_owned(), seconds.to_string()));
        reply
    }

    /// A document.
    pub(super) fn json(document: &Value) -> Self {
        Self { status: 200, headers: vec![("content-type".to_owned(), "application/json".to_owned())], body: document.to_string().into() }
    }

    /// There is no room for the call now.
    pub fn later() -> Self {
        Self::later_than(RETRY_AFTER_S.into())
    }

    fn later_than(seconds: u64) -> Self {
        let mut reply = Self::message(503, "not now; try again later");
        reply.headers.push(("retry-after".to_owned(), seconds.to_string()));
        reply
    }

    /// `shown` is the status in the body, where it differs.
    pub(super) fn narrow(status: u16, shown: u16, message: &str) -> Self {
        let message: String = message.chars().take(MESSAGE_CHARS_MAX).collect();
        let body = json!({ "status": shown, "message": message }).to_string();
        Self { status, headers: vec![("content-type".to_owned(), "application/json".to_owned())], body: body.into() }
    }
}

/// A reply before it is narrowed.
pub(super) struct Raw {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// Without `full_reply` what a plugin says is narrowed to 200 or 400 and a sentence. With it, headers that act on more than the answer are left
/// out, and returned with the reason; `shares_origin`: administrators have pages at the same origin.
pub(super) fn shape(receiver: &Receiver, mut raw: Raw, shares_origin: bool) -> (Reply, Vec<(String, LeftOut)>) {
    if receiver.full_reply {
        let left_out = take_out(&mut raw.headers, shares_origin);
        return (Reply { status: raw.status, headers: raw.headers, body: raw.body.into() }, left_out);
    }
    let status = if raw.status < 400 { 200 } else { 400 };
    let shown = if receiver.legacy_zero && status == 200 { 0 } else { status };
    (Reply::narrow(status, shown, &sentence(&raw.body, status)), Vec::new())
}

/// What there is to say: a text as it is; of a document its `message` alone, because data is not returned like this.
fn sentence(body: &[u8], status: u16) -> String {
    let text = String::from_utf8_lossy(body);
    match serde_json::from_str::<Value>(&text) {
        Ok(document @ (Value::Object(_) | Value::Array(_))) => match document.get("message").and_then(Value::as_str) {
            Some(message) => message.to_owned(),
            None if status == 200 => "done".to_owned(),
            None => "refused".to_owned(),
        },
        _ => text.into_owned(),
    }
}

/// The body says no more than what kind of failure it was; the admin sees the rest with the call.
pub(super) fn failed_reply(failure: &PluginFailure) -> Reply {
    match failure {
        PluginFailure::Rejected(message) => Reply::message(400, message),
        PluginFailure::SetAside { seconds, .. } => Reply::later_than(*seconds),
        PluginFailure::Limit(Limit::CpuMs | Limit::WallMs | Limit::InvokeMs, _) | PluginFailure::TimedOut(_) => {
            Reply::message(504, "the call took too long")
        }
        // Mended by others: those before it, or an admin.
        PluginFailure::Limit(Limit::Queue | Limit::DirectoryBytes | Limit::DirectoryFiles, _)
        | PluginFailure::RetryLater(_)
        | PluginFailure::NotGranted(_)
        | PluginFailure::SecretMissing(_)
        | PluginFailure::Busy(_)
        | PluginFailure::Missing(_)
        | PluginFailure::Stopping => Reply::later(),
        _ => Reply::message(500, "the call failed"),
    }
}
