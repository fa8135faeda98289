//! How an attempt can fail, and what follows from it.
//!
//! A failure of the remote is data, not an error: it is recorded, shown and decides what happens next.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, schema::Type},
};

use super::id::DeliveryId;

/// Why an attempt did not deliver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Failure {
    /// One word, stable: what alerts and filters look at.
    pub kind: FailureKind,
    /// A sentence for people. Never holds a secret.
    pub detail: String,
    /// For how long the next try has to wait because it was asked for. Not kept: it is in the time the delivery is due.
    #[serde(skip)]
    pub retry_after: Option<Duration>,
}

macro_rules! failure_kinds {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// The words for failures.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum FailureKind {
            $($(#[$doc])* #[serde(rename = $word)] $name,)*
        }

        /// The words, not the names they have in the code, which is all that could be derived inside of a macro.
        impl PartialSchema for FailureKind {
            fn schema() -> RefOr<Schema> {
                let words = Self::ALL.iter().map(|kind| kind.as_str());
                ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words)).description(Some("The words for failures.")).into()
            }
        }

        impl ToSchema for FailureKind {}

        impl FailureKind {
            /// All of them, in the order of a delivery's stages.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// Whether it is a plugin's doing.
            pub fn is_plugins(self) -> bool {
                self.as_str().starts_with("plugin_")
            }

            /// Whether another input may have ended otherwise: an event, or fewer of them.
            pub fn is_of_input(self) -> bool {
                use FailureKind::{
                    FunctionFailed, PluginBadOutput, PluginCpu, PluginDeadline, PluginHandles, PluginHostCalls, PluginMemory,
                    PluginOutputTooLarge, PluginRejected, PluginRetryLater, PluginTable, PluginThrew, PluginTrapped, RequestInvalid,
                };
                matches!(
                    self,
                    FunctionFailed
                        | PluginBadOutput
                        | PluginCpu
                        | PluginDeadline
                        | PluginHandles
                        | PluginHostCalls
                        | PluginMemory
                        | PluginOutputTooLarge
                        | PluginRejected
                        | PluginRetryLater
                        | PluginTable
                        | PluginThrew
                        | PluginTrapped
                        | RequestInvalid
                )
            }
        }
    };
}

failure_kinds! {
    /// The plugin rejected the input.
    PluginRejected = "plugin_rejected",
    /// The plugin asks to try later.
    PluginRetryLater = "plugin_retry_later",
    /// The plugin threw an error nobody caught.
    PluginThrew = "plugin_threw",
    /// The plugin trapped.
    PluginTrapped = "plugin_trapped",
    /// The plugin used too much processor time.
    PluginCpu = "plugin_cpu",
    /// The plugin ran too long.
    PluginDeadline = "plugin_deadline",
    /// The plugin wanted too much memory.
    PluginMemory = "plugin_memory",
    /// The plugin wanted too large a table.
    PluginTable = "plugin_table",
    /// The plugin consists of too many core instances.
    PluginInstances = "plugin_instances",
    /// The plugin held too many resources of the host.
    PluginHandles = "plugin_handles",
    /// The plugin called the host too often.
    PluginHostCalls = "plugin_host_calls",
    /// The plugin wanted to invoke too many webhooks.
    PluginInvocations = "plugin_invocations",
    /// The plugin wanted to emit too many events.
    PluginEmissions = "plugin_emissions",
    /// The plugin would keep too much state.
    PluginStateFull = "plugin_state_full",
    /// The plugin returned too much.
    PluginOutputTooLarge = "plugin_output_too_large",
    /// The plugin returned something unusable.
    PluginBadOutput = "plugin_bad_output",
    /// The plugin's directory is full.
    PluginDirectoryFull = "plugin_directory_full",
    /// The plugin lacks a grant.
    PluginNotGranted = "plugin_not_granted",
    /// All instances were busy, the plugin's own or the host's.
    PluginBusy = "plugin_busy",
    /// The plugin kept failing and is set aside for a while.
    PluginSetAside = "plugin_set_aside",
    /// No such plugin is active.
    PluginMissing = "plugin_missing",
    /// The built request breaks a rule: an origin the webhook does not have, a header the host owns, a bad URL.
    RequestInvalid = "request_invalid",
    /// A system function got what it cannot work on.
    FunctionFailed = "function_failed",
    /// Whether the webhook's filter lets the event by, or what the key of its order is, cannot be told within the budget of a path.
    FilterBudget = "filter_budget",
    /// A path of a binding or of a receiver does not come to its end within the budget of a path.
    PathBudget = "path_budget",
    /// A secret the webhook refers to does not exist.
    SecretMissing = "secret_missing",
    /// The token endpoint gave no token, or the key for it cannot be used.
    TokenFailed = "token_failed",
    /// The address is one the host may not call.
    AddressRefused = "address_refused",
    /// The name did not resolve.
    NameNotResolved = "name_not_resolved",
    /// The connection was refused or broke.
    ConnectFailed = "connect_failed",
    /// The TLS handshake failed.
    TlsFailed = "tls_failed",
    /// No connection within the connect timeout.
    ConnectTimeout = "connect_timeout",
    /// No complete answer within the total timeout.
    Timeout = "timeout",
    /// The connection was closed or reset before a byte of an answer arrived.
    NoAnswer = "no_answer",
    /// The endpoint said over HTTP/2 that it did not process the request. No attempt is counted.
    NotProcessed = "not_processed",
    /// The answer's head was too long; of a body, it was longer than `response_bytes_max`.
    ResponseTooLarge = "response_too_large",
    /// The answer was not HTTP, or broke off.
    ResponseBroken = "response_broken",
    /// The answer's status is not 2xx.
    HttpStatus = "http_status",
    /// The answer is 2xx, and the webhook's `success` rule does not hold for it.
    AnswerRefused = "answer_refused",
    /// The mail server did not take the mail, or there is none.
    MailRefused = "mail_refused",
    /// The answer's body cannot be read: it is no JSON, or in a content coding that is not understood.
    ResponseInvalid = "response_invalid",
    /// An inbound call could not be verified.
    CallUnverified = "call_unverified",
    /// An inbound call lacks a parameter, or has one it should not.
    CallInvalid = "call_invalid",
    /// An inbound call came before, by what its receiver says makes it one (`once`).
    CallRepeated = "call_repeated",
    /// The webhook was pointed elsewhere, given other credentials, deactivated or deleted while its request was being made.
    WebhookChanged = "webhook_changed",
    /// The host stopped in the middle of an `invoke`, or before a plugin's turn.
    Interrupted = "interrupted",
}

impl Failure {
    /// A failure of `kind`.
    pub fn new(kind: FailureKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), retry_after: None }
    }

    /// The same, with the time the next try has to wait.
    pub fn waiting(self, retry_after: Option<Duration>) -> Self {
        Self { retry_after, ..self }
    }

    /// The same for who may not read what happened: the sentence may name addresses, secrets and what a plugin or an endpoint said.
    pub fn without_detail(&self) -> Self {
        Self::new(self.kind, "why is shown to tokens with the scope `read`")
    }
}

/// The Dialogflow CX event a failure stands for ("Webhooks", handler page of 2026-04-13): what `invoke` returns as `error_event`.
pub fn error_event(failure: &Failure, status: Option<u16>) -> &'static str {
    match (failure.kind, status) {
        (FailureKind::Timeout | FailureKind::ConnectTimeout, _) => "webhook.error.timeout",
        (FailureKind::HttpStatus, Some(400)) => "webhook.error.bad-request",
        (FailureKind::HttpStatus, Some(401 | 403)) => "webhook.error.rejected",
        (FailureKind::HttpStatus, Some(503)) => "webhook.error.unavailable",
        // 404 is deliberately not here: the table says an unreachable URL.
        (FailureKind::NameNotResolved | FailureKind::ConnectFailed | FailureKind::AddressRefused, _) => "webhook.error.not-found",
        _ => "webhook.error",
    }
}

/// How one webhook ended that was invoked for a call, as `google.rpc.Status` says it: Dialogflow CX's `queryResult.webhookStatuses`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookStatus {
    /// The webhook.
    pub webhook: String,
    /// What was sent; absent where nothing could be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<DeliveryId>,
    /// A `google.rpc.Code`: 0 is success.
    pub code: u8,
    /// What went wrong; empty: nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What the endpoint answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// `webhook.error...`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_event: Option<String>,
}

/// The `google.rpc.Code` of an outcome: that of the endpoint's status (googleapis, `google/rpc/code.proto`), else of what went wrong.
pub fn rpc_code(failure: Option<&Failure>, status: Option<u16>) -> u8 {
    use FailureKind::{
        AddressRefused, ConnectFailed, ConnectTimeout, HttpStatus, NameNotResolved, NoAnswer, NotProcessed, PluginSetAside, Timeout,
        TlsFailed,
    };
    match (failure.map(|failure| failure.kind), status) {
        (None, _) => 0,
        (Some(HttpStatus), Some(status)) => match status {
            400 => 3,
            401 => 16,
            403 => 7,
            404 => 5,
            409 => 10,
            429 => 8,
            499 => 1,
            500 => 13,
            501 => 12,
            503 => 14,
            504 => 4,
            // UNKNOWN
            _ => 2,
        },
        (Some(Timeout | ConnectTimeout), _) => 4,
        (Some(NameNotResolved | ConnectFailed | TlsFailed | AddressRefused | PluginSetAside | NoAnswer | NotProcessed), _) => 14,
        // INTERNAL
        _ => 13,
    }
}

/// What a failure means for the delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Trying again may help.
    Passing,
    /// It must not be sent at all.
    Refused,
}

/// Whether trying again may help. HTTP statuses are all passing, whatever their number: an endpoint under repair answers anything.
pub fn verdict(failure: &Failure) -> Verdict {
    match failure.kind {
        FailureKind::PluginRejected | FailureKind::RequestInvalid | FailureKind::FunctionFailed | FailureKind::FilterBudget => {
            Verdict::Refused
        }
        // The policy or the secret can be mended while the delivery waits.
        _ => Verdict::Passing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_become_dialogflow_events() {
        let status = |status| error_event(&Failure::new(FailureKind::HttpStatus, ""), Some(status));
        assert_eq!(status(400), "webhook.error.bad-request");
        assert_eq!(status(401), "webhook.error.rejected");
        assert_eq!(status(403), "webhook.error.rejected");
        assert_eq!(status(404), "webhook.error");
        assert_eq!(status(500), "webhook.error");
        assert_eq!(status(503), "webhook.error.unavailable");
        assert_eq!(error_event(&Failure::new(FailureKind::Timeout, ""), None), "webhook.error.timeout");
        assert_eq!(error_event(&Failure::new(FailureKind::ConnectFailed, ""), None), "webhook.error.not-found");
    }

    #[test]
    fn failures_become_codes_of_google_rpc() {
        let code = |kind, status| rpc_code(Some(&Failure::new(kind, "")), status);
        assert_eq!(rpc_code(None, Some(204)), 0);
        for (status, expected) in [(400, 3), (401, 16), (403, 7), (404, 5), (418, 2), (429, 8), (500, 13), (503, 14), (504, 4)] {
            assert_eq!(code(FailureKind::HttpStatus, Some(status)), expected, "{status}");
        }
        assert_eq!(code(FailureKind::Timeout, None), 4);
        assert_eq!(code(FailureKind::NameNotResolved, None), 14);
        assert_eq!(code(FailureKind::NoAnswer, None), 14);
        assert_eq!(code(FailureKind::ResponseInvalid, Some(200)), 13);
    }
}
