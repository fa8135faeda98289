//! What an attempt comes to: what happens next, what it says of its endpoint, what it adds to the count.

use serde_json::Value;

use crate::{
    model::{
        deactivation::Ended,
        delivery::{Attempt, lifecycle::End},
        health::{Symptom, symptom},
        outcome::{Failure, FailureKind, Verdict, verdict},
        parameter::Change,
        profile::RetryOn,
        request::BuiltRequest,
        webhook::Webhook,
    },
    store::{Claimed, Count, Next},
};

/// The status of what is gone for good (RFC 9110, section 15.5.11).
const GONE: u16 = 410;

/// One attempt and what it found.
pub(super) struct Made {
    pub(super) attempt: Attempt,
    /// What was built, for the next try.
    pub(super) built: Option<BuiltRequest>,
    /// What it binds.
    pub(super) changes: Vec<Change>,
    /// Nothing was sent, and could be of fewer events.
    pub(super) is_of_size: bool,
}

/// A built request as it is kept for the next try.
pub(super) fn as_kept(request: &BuiltRequest, webhook: &Webhook) -> Option<Value> {
    request.to_keep(webhook.request.url().destination(), &webhook.credentials_version)
}

impl Made {
    /// What was built, as it is kept.
    pub(super) fn kept(&self, webhook: &Webhook) -> Option<Value> {
        self.built.as_ref().and_then(|request| as_kept(request, webhook))
    }

    fn status(&self) -> Option<u16> {
        self.attempt.answer.as_ref().map(|answer| answer.status)
    }

    /// Nothing was sent.
    pub(super) fn unsent(attempt: Attempt) -> Self {
        Self { attempt, built: None, changes: Vec::new(), is_of_size: false }
    }

    /// Whether its plugin was not to be called.
    pub(super) fn is_set_aside(&self) -> bool {
        self.attempt.failure.as_ref().is_some_and(|failure| failure.kind == FailureKind::PluginSetAside)
    }

    /// Whether the webhook was changed while the request was being made: nothing was sent.
    pub(super) fn is_outdated(&self) -> bool {
        self.attempt.failure.as_ref().is_some_and(|failure| failure.kind == FailureKind::WebhookChanged)
    }

    /// Whether its plugin failed, or an admin has to act for it, before anything was sent: no endpoint is to blame for that, and none
    /// got anything twice when it is done again.
    pub(super) fn is_plugins(&self) -> bool {
        let is_plugins = |failure: &Failure| failure.kind.is_plugins() || failure.kind == FailureKind::SecretMissing;
        self.built.is_none() && self.attempt.failure.as_ref().is_some_and(is_plugins)
    }

    /// Whether nothing was sent and nothing will be, because of what it was to be built of. Of a batch, one event may be to blame and the
    /// others not.
    pub(super) fn is_spoilt(&self, next: Next) -> bool {
        let is_over = matches!(next, Next::End(End::Refused | End::Failed));
        is_over && self.built.is_none() && self.attempt.failure.as_ref().is_some_and(|failure| failure.kind.is_of_input())
    }

    /// What it says of the endpoint.
    pub(super) fn symptom(&self) -> Symptom {
        if self.attempt.request.is_none() {
            return Symptom::None;
        }
        symptom(self.attempt.failure.as_ref(), self.status())
    }

    /// Whether the endpoint says that it is gone for good, and the webhook takes its word for it.
    fn is_gone(&self, webhook: &Webhook) -> bool {
        webhook.ends_when_gone && self.status() == Some(GONE)
    }
}

/// What follows. `made` counts this attempt.
pub(super) fn next_step(made: &Made, webhook: &Webhook, count: u32) -> Next {
    let Some(failure) = &made.attempt.failure else { return Next::End(End::Delivered) };
    if verdict(failure) == Verdict::Refused {
        return Next::End(End::Refused);
    }
    // Its webhook does not want to wait, and neither does the caller of an invoke.
    if made.is_set_aside() {
        return Next::End(End::Failed);
    }
    if made.is_gone(webhook) || webhook.retry_on == RetryOn::NoAnswer && !made.is_plugins() && !got_no_answer(failure) {
        return Next::End(End::Failed);
    }
    match webhook.retry.gap_after(count, rand::random()) {
        // Never sooner than the endpoint asks.
        Some(gap) => Next::Waiting { after: gap.max(failure.retry_after.unwrap_or_default()) },
        None => Next::End(End::Failed),
    }
}

/// What it adds to the count of the webhook's failures. What was refused was never the endpoint's doing, nor is what a plugin does.
pub(super) fn count(made: &Made, webhook: &Webhook, claimed: &Claimed, next: Next) -> Option<Count> {
    if made.is_plugins() {
        return None;
    }
    let ended = match next {
        Next::End(End::Delivered) => Ended::Delivered,
        _ if made.is_gone(webhook) => Ended::Gone,
        Next::End(End::Failed) => Ended::Failed,
        Next::Waiting { .. } => Ended::TriedAgain,
        _ => return None,
    };
    Some(Count { ended, rule: webhook.deactivation, is_told: is_told(claimed) })
}

/// Whether an operational event tells what became of it. The failures of operational events make no further ones (decision: operational-events), so that no
/// loop begins.
pub(super) fn is_told(claimed: &Claimed) -> bool {
    !claimed.events.iter().any(|event| event.trigger.is_operational())
}

pub(super) fn got_no_answer(failure: &Failure) -> bool {
    use FailureKind::{ConnectFailed, ConnectTimeout, NameNotResolved, NoAnswer, NotProcessed, PluginRetryLater, Timeout, TlsFailed};
    matches!(
        failure.kind,
        ConnectFailed | ConnectTimeout | NameNotResolved | TlsFailed | Timeout | NoAnswer | NotProcessed | PluginRetryLater
    )
}
