//! One inbound request to a code.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{
    id::{CallId, EventId},
    outcome::{Failure, FailureKind, WebhookStatus},
    plugin::{GuestLog, PluginUse},
    trace::TraceContext,
};

/// Bytes of the head that are kept of a call that was turned away: path, query and headers.
pub const REJECTED_HEAD_BYTES_MAX: usize = 4 * 1024;

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    /// Accepted durably, not yet run (`async` receivers).
    Pending,
    /// Answered as the receiver said.
    Done,
    /// Turned away: bad signature, undeclared parameter; or the receiver's plugin said that this input will never work.
    Rejected,
    /// The receiver failed.
    Failed,
}

/// What the host made of the caller's signature or credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verification {
    /// The receiver asks for none.
    NotAsked,
    /// Good.
    Verified,
    /// Bad or missing.
    Failed,
}

/// One inbound request to a code, and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Call {
    /// `cal_...`
    pub id: CallId,
    /// The receiver.
    pub receiver: String,
    /// The caller the code was issued to.
    pub caller: String,
    /// The code's identifier; never the code.
    pub code_id: String,
    /// When it came in.
    pub received_at: Timestamp,
    /// Where it stands.
    pub state: CallState,
    /// What came in.
    pub request: RecordedCall,
    /// The environment its base stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// The session the receiver's `session` path found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// What the host made of the signature.
    pub verification: Verification,
    /// What was answered; absent while pending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<RecordedReply>,
    /// Why it failed or was rejected: more than the caller was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Events committed with it; the first is `code.<receiver>`.
    #[serde(default)]
    pub events: Vec<EventId>,
    /// The plugin that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<PluginUse>,
    /// What it wrote.
    #[serde(default)]
    pub log: GuestLog,
    /// How each webhook ended that it invoked, in the order of its last run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub webhook_statuses: Vec<WebhookStatus>,
    /// How long the plugin ran, in microseconds.
    #[serde(default)]
    pub receive_us: u64,
    /// Runs so far (`async` receivers are retried).
    #[serde(default)]
    pub runs: u32,
    /// When an admin had it run again after it had failed for good, the oldest first. At most [`RERUNS_KEPT_MAX`] are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reruns: Vec<Rerun>,
    /// Calls to ourselves it has gone through.
    #[serde(default)]
    pub depth: u8,
    /// The trace it belongs to, and what its runs are children of there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceContext>,
}

/// Reruns kept with a call.
pub const RERUNS_KEPT_MAX: usize = 16;

/// An admin had a call run again that had failed for good.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Rerun {
    /// When.
    pub at: Timestamp,
    /// The name of the token that asked for it.
    pub by: String,
    /// The version of the receiver's plugin that runs it; absent: the active one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// Runs before.
    pub runs_before: u32,
    /// What it had failed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

impl Call {
    /// Runs since it came in, or since an admin last asked for one.
    pub fn runs_since_asked(&self) -> u32 {
        self.runs - self.reruns.last().map_or(0, |rerun| rerun.runs_before).min(self.runs)
    }

    /// Whether its last run lacked a grant or a secret: another run ends otherwise only once an admin has changed something.
    pub fn waits_for_admin(&self) -> bool {
        self.failure.as_ref().is_some_and(|failure| matches!(failure.kind, FailureKind::PluginNotGranted | FailureKind::SecretMissing))
    }

    /// Why it cannot be run again, if it cannot. What was accepted and failed for good can; what was done cannot, so nothing is done
    /// twice; what was turned away before it ran cannot, because its sender was told so.
    pub fn rerun_refusal(&self) -> Option<&'static str> {
        let is_rejected_by_plugin = self.failure.as_ref().is_some_and(|failure| failure.kind == FailureKind::PluginRejected);
        match self.state {
            _ if self.verification == Verification::Failed => Some("it could not be verified"),
            _ if self.request.body_not_kept.is_some() => Some("it was turned away, and its body was not kept"),
            CallState::Done => Some("it was done"),
            CallState::Pending => Some("it waits to be run already"),
            CallState::Rejected if !is_rejected_by_plugin => Some("it was turned away before it ran"),
            CallState::Rejected | CallState::Failed if self.runs == 0 => Some("it was not accepted: its sender was asked to try again"),
            CallState::Rejected | CallState::Failed => None,
        }
    }

    /// It waits to be run again, as `rerun` asks.
    pub fn ask_again(&mut self, rerun: Rerun) {
        let rerun = Rerun { runs_before: self.runs, failure: self.failure.take(), ..rerun };
        self.reruns.push(rerun);
        let surplus = self.reruns.len().saturating_sub(RERUNS_KEPT_MAX);
        self.reruns.drain(..surplus);
        (self.state, self.reply) = (CallState::Pending, None);
    }
}

/// A call's request as kept: what a replay needs. Credentials are left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RecordedCall {
    /// The method.
    pub method: String,
    /// The path behind the code.
    pub path: String,
    /// Query parameters in the order sent.
    pub query: Vec<(String, String)>,
    /// Declared parameters, typed.
    #[serde(default)]
    pub parameters: Map<String, Value>,
    /// Header names in lower case; credentials are `(redacted)`.
    pub headers: BTreeMap<String, String>,
    /// The body; see `body_encoding`.
    pub body: String,
    /// `text`, or `base64` when it is not UTF-8.
    pub body_encoding: BodyEncoding,
    /// Of a call that was turned away, which is kept without its body: what is kept in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_not_kept: Option<BodyDigest>,
    /// Whether its head was longer than what is kept of a call that was turned away.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub head_cut: bool,
    /// The client's address.
    pub remote_address: String,
}

/// What is kept in place of a body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BodyDigest {
    /// How long it was, in bytes; absent: it was not read, and did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Its SHA-256 in hexadecimal digits; absent: it was not read, because the head of the call was refused already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

impl Call {
    /// Leaves of a call that was turned away what tells an admin why: the head, up to [`REJECTED_HEAD_BYTES_MAX`], and `digest` in place of the
    /// body.
    pub fn keep_little(&mut self, digest: BodyDigest) {
        let request = &mut self.request;
        (request.body, request.body_encoding, request.body_not_kept) = (String::new(), BodyEncoding::Text, Some(digest));
        let mut left = REJECTED_HEAD_BYTES_MAX;
        let mut is_cut = cut(&mut request.path, &mut left);
        request.query.retain_mut(|(name, value)| {
            let is_kept = left > 0;
            is_cut |= !is_kept | cut(name, &mut left) | cut(value, &mut left);
            is_kept
        });
        request.headers = std::mem::take(&mut request.headers)
            .into_iter()
            .map_while(|(mut name, mut value)| {
                let is_kept = left > 0;
                is_cut |= !is_kept | cut(&mut name, &mut left) | cut(&mut value, &mut left);
                is_kept.then_some((name, value))
            })
            .collect();
        request.head_cut = is_cut;
        if let Some(failure) = &mut self.failure {
            let mut left = REJECTED_HEAD_BYTES_MAX;
            cut(&mut failure.detail, &mut left);
        }
    }
}

/// Cuts a text to what is left, and takes that away. Whether it was too long.
fn cut(text: &mut String, left: &mut usize) -> bool {
    let kept = text.floor_char_boundary(*left);
    let is_cut = kept < text.len();
    text.truncate(kept);
    *left -= if is_cut { *left } else { kept };
    is_cut
}

/// How a body is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BodyEncoding {
    /// As it is.
    Text,
    /// Base64.
    Base64,
}

/// A call's answer as kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RecordedReply {
    /// The status.
    pub status: u16,
    /// Headers.
    pub headers: BTreeMap<String, String>,
    /// The body as text, capped.
    pub body: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn call(state: CallState, runs: u32, kind: FailureKind) -> Call {
        let failure = Failure::new(kind, "no");
        serde_json::from_value(json!({
            "id": "cal_1", "receiver": "r", "caller": "c", "code_id": "cod_1", "received_at": "2026-11-24T08:00:00Z", "state": state,
            "request": { "method": "POST", "path": "", "query": [], "headers": {}, "body": "", "body_encoding": "text", "remote_address": "" },
            "verification": "verified", "failure": failure, "runs": runs,
        }))
        .expect("a call as it was kept before there were reruns")
    }

    #[test]
    fn only_what_was_accepted_and_failed_for_good_is_run_again() {
        use FailureKind::{CallRepeated, CallUnverified, PluginRejected, PluginSetAside, PluginTrapped};
        let may = |state, runs, kind| call(state, runs, kind).rerun_refusal().is_none();
        assert!(may(CallState::Failed, 5, PluginTrapped) && may(CallState::Rejected, 1, PluginRejected));
        assert!(!may(CallState::Done, 1, PluginTrapped) && !may(CallState::Pending, 1, PluginTrapped));
        assert!(!may(CallState::Rejected, 0, CallUnverified) && !may(CallState::Rejected, 1, CallRepeated));
        assert!(!may(CallState::Failed, 0, PluginSetAside));
        let unverified = Call { verification: Verification::Failed, ..call(CallState::Failed, 1, PluginTrapped) };
        assert_eq!(unverified.rerun_refusal(), Some("it could not be verified"));
    }

    #[test]
    fn a_rerun_begins_with_all_its_tries_and_remembers_what_was_before() {
        let mut call = call(CallState::Failed, 5, FailureKind::PluginTrapped);
        for n in 0..20 {
            let rerun = Rerun { at: Timestamp::UNIX_EPOCH, by: format!("token {n}"), version: None, runs_before: 0, failure: None };
            call.ask_again(rerun);
            assert_eq!((call.state, call.runs_since_asked(), call.failure.is_none()), (CallState::Pending, 0, true));
            (call.runs, call.failure, call.state) =
                (call.runs + 1, Some(Failure::new(FailureKind::PluginTrapped, "no")), CallState::Failed);
        }
        assert_eq!((call.reruns.len(), call.reruns[0].by.as_str(), call.reruns[15].runs_before), (RERUNS_KEPT_MAX, "token 4", 24));
        assert_eq!(call.reruns[15].failure.as_ref().map(|failure| failure.kind), Some(FailureKind::PluginTrapped));
    }

    fn rejected(query: &[(&str, &str)], headers: &[(&str, &str)]) -> Call {
        // As the build of 0.1 wrote it.
        serde_json::from_value(json!({
            "id": "cal_1", "receiver": "r", "caller": "x", "code_id": "cod_1", "received_at": "2026-01-01T00:00:00Z", "state": "rejected",
            "request": {
                "method": "POST", "path": "/x", "query": query, "headers": headers.iter().copied().collect::<BTreeMap<_, _>>(),
                "body": "aGVsbG8=", "body_encoding": "base64", "remote_address": "192.0.2.1"
            },
            "verification": "failed"
        }))
        .expect("a call")
    }

    #[test]
    fn of_a_call_that_is_turned_away_the_head_is_kept_and_no_body() {
        let mut kept = rejected(&[("a", "1")], &[("x-signature", "sha256=0")]);
        assert_eq!((&kept.request.body_not_kept, kept.request.head_cut), (&None, false), "one of before is read as it was written");
        kept.keep_little(BodyDigest { bytes: Some(5), sha256: None });
        let expected = json!({
            "method": "POST", "path": "/x", "query": [["a", "1"]], "parameters": {}, "headers": { "x-signature": "sha256=0" }, "body": "",
            "body_encoding": "text", "body_not_kept": { "bytes": 5 }, "remote_address": "192.0.2.1"
        });
        assert_eq!(serde_json::to_value(&kept.request).expect("JSON"), expected);
    }

    #[test]
    fn a_head_that_is_long_is_cut() {
        let long = "\u{e9}".repeat(10_000);
        for mut kept in [rejected(&[("a", &long), ("b", "2")], &[("h", "1")]), rejected(&[], &[("a", "1"), ("b", &long), ("c", &long)])] {
            kept.keep_little(BodyDigest::default());
            let RecordedCall { path, query, headers, head_cut, .. } = kept.request;
            let bytes =
                path.len() + query.iter().chain(&headers.into_iter().collect::<Vec<_>>()).map(|(a, b)| a.len() + b.len()).sum::<usize>();
            assert!(head_cut && (REJECTED_HEAD_BYTES_MAX - 2..=REJECTED_HEAD_BYTES_MAX).contains(&bytes), "{bytes}");
        }
    }
}
