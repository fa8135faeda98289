//! What an answer comes to: whether it is a success, and what it leaves in the session.
//!
//! A delivery is over by its status and the webhook's `success` rule. What is read of the answer after that, for bindings and by the
//! plugin's `answers`, changes nothing about it: the endpoint has done what it was asked, and would do it twice.

use std::sync::{Arc, OnceLock};

use http::{
    HeaderMap,
    header::{CONTENT_ENCODING, CONTENT_LENGTH},
};
use serde_json::Value;

use super::super::{
    material::Material,
    plugin_call::{call_context, delivery_input, plugin_of, remember, state_changes},
};
use crate::{
    model::{
        binding::{Bindings, VALUE_BYTES_MAX, VALUES_BYTES_MAX},
        delivery::Attempt,
        filter::json_path::Steps,
        outcome::{Failure, FailureKind},
        parameter::Change,
        request::BuiltRequest,
    },
    plugin::AnswerInput,
    transport::Answer,
};

/// That of UTF-8.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// An answer, and all it is read for.
pub(super) struct Accepted<'a> {
    material: &'a Material<'a>,
    request: &'a BuiltRequest,
    answer: &'a Answer,
    /// The answer's JSON, read when it is first needed.
    document: OnceLock<Result<Value, Failure>>,
}

impl<'a> Accepted<'a> {
    pub(super) fn new(material: &'a Material<'a>, request: &'a BuiltRequest, answer: &'a Answer) -> Self {
        Self { material, request, answer, document: OnceLock::new() }
    }

    /// Whether it is a success: by its status, and by the webhook's `success` rule where there is one.
    pub(super) fn judge(&self) -> Result<(), Failure> {
        let status = self.answer.status;
        if !(200..300).contains(&status) {
            return Err(Failure::new(FailureKind::HttpStatus, format!("the endpoint answered {status}")));
        }
        let Some(rule) = &self.material.webhook.success else { return Ok(()) };
        let refused = |why: &str| {
            let rule = rule.as_str();
            Err(Failure::new(FailureKind::AnswerRefused, format!("the endpoint answered {status}, but `success` ({rule}) {why}")))
        };
        match self.document() {
            Ok(document) => match rule.holds(document) {
                Ok(true) => Ok(()),
                Ok(false) => refused("does not hold for its answer"),
                Err(error) => refused(&format!("cannot be evaluated: {error}")),
            },
            Err(failure) => refused(&format!("cannot be looked for: {}", failure.detail)),
        }
    }

    /// Bindings first, then the plugin's `answers`, whose word wins. What fails is noted in `attempt`, and fails nothing else.
    pub(super) async fn bind(&self, attempt: &mut Attempt) -> Vec<Change> {
        let mut changes = Vec::new();
        if let Err(failure) = self.apply_bindings(attempt, &mut changes) {
            attempt.binding_failure = Some(failure);
        }
        if let Err(failure) = self.ask_plugin(attempt, &mut changes).await {
            attempt.binding_failure = Some(failure);
        }
        changes
    }

    fn document(&self) -> Result<&Value, &Failure> {
        let read = || {
            let body = self.answer.whole().map_err(Clone::clone)?;
            // Some servers put a byte order mark before it, which a reader may ignore (RFC 8259, section 8.1).
            serde_json::from_slice(body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body))
                .map_err(|error| Failure::new(FailureKind::ResponseInvalid, format!("a JSON answer is needed and this is none: {error}")))
        };
        self.document.get_or_init(read).as_ref()
    }

    fn apply_bindings(&self, attempt: &mut Attempt, changes: &mut Vec<Change>) -> Result<(), Failure> {
        let extra = Bindings::parse(self.request.bindings.iter().map(|(name, path)| (name, path)))
            .map_err(|(name, detail)| Failure::new(FailureKind::RequestInvalid, format!("the plugin's binding `{name}`: {detail}")))?;
        let (mut oversized, mut over_budget, mut steps) = (None, None, Steps::default());
        for bindings in [&self.material.webhook.bindings, &extra].into_iter().filter(|bindings| !bindings.is_empty()) {
            match self.document() {
                Ok(document) => {
                    let bound = bindings.apply_within(document, &mut steps);
                    changes.extend(bound.changes.into_iter().map(|(name, value)| (name, Some(value))));
                    attempt.unmatched.extend(bound.unmatched);
                    oversized = oversized.or_else(|| bound.oversized.first().cloned());
                    attempt.unmatched.extend(bound.oversized);
                    over_budget = over_budget.or_else(|| bound.over_budget.first().cloned());
                    attempt.unmatched.extend(bound.over_budget.into_iter().map(|(name, _)| name));
                }
                Err(_) => attempt.unmatched.extend(bindings.iter().map(|binding| binding.parameter().to_owned())),
            }
        }
        // Only what was asked for has failed.
        match (self.document.get(), over_budget, oversized) {
            (Some(Err(failure)), _, _) => Err(failure.clone()),
            (_, Some((name, error)), _) => Err(Failure::new(FailureKind::PathBudget, format!("the path of the binding `{name}`: {error}"))),
            (_, _, Some(name)) => {
                let detail = format!(
                    "the value of `{name}` is too large: {VALUE_BYTES_MAX} bytes for one binding, {VALUES_BYTES_MAX} for all together"
                );
                Err(Failure::new(FailureKind::ResponseInvalid, detail))
            }
            _ => Ok(()),
        }
    }

    async fn ask_plugin(&self, attempt: &mut Attempt, changes: &mut Vec<Change>) -> Result<(), Failure> {
        let (Material { services, claimed, webhook, .. }, answer) = (self.material, self.answer);
        let Some(transform) = &webhook.transform else { return Ok(()) };
        let Ok(plugin) = plugin_of(services, transform) else { return Ok(()) };
        if !plugin.loaded.exports_answers() {
            return Ok(());
        }
        let body = answer.whole().map_err(Clone::clone)?.to_vec();
        let parameters = Arc::clone(&self.material.session().await?.parameters);
        let context = call_context(services, &transform.config, &plugin, parameters);
        let input = AnswerInput { status: answer.status, headers: header_pairs(answer), body };
        match plugin.loaded.read_answer(context, delivery_input(services, &claimed.delivery), input).await {
            Ok(called) => {
                attempt.log.lines.extend(called.log.lines);
                attempt.log.dropped += called.log.dropped;
                let state = state_changes(&plugin.plugin_use.name, &plugin.limits, called.effects.state);
                remember(services, claimed, state).await?;
                changes.extend(called.value.parameters);
                attempt.output = called.value.output;
                Ok(())
            }
            Err(failed) => {
                attempt.log.lines.extend(failed.log.lines);
                attempt.log.dropped += failed.log.dropped;
                Err(Failure::from(&failed.failure))
            }
        }
    }
}

/// The headers as a plugin sees them: what they say of a coding that was taken off is no longer so.
fn header_pairs(answer: &Answer) -> Vec<(String, String)> {
    let headers: &HeaderMap = &answer.headers;
    let is_so = |name: &http::HeaderName| !answer.decoded || (*name != CONTENT_ENCODING && *name != CONTENT_LENGTH);
    let shown = headers.iter().filter(|(name, _)| is_so(name));
    shown.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())).collect()
}
