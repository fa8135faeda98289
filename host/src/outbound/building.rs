//! A claimed delivery -> the request of one attempt.
//!
//! It takes no input but [`Material`], and may run twice for the same delivery (decision: workers-read-the-store). Signing and sending are the deliverer's.

use std::{sync::Arc, time::Instant};

use serde_json::Value;

use super::{
    material::{Material, events_of},
    plugin_call::{call_context, delivery_input, plugin_of, state_changes},
};
use crate::{
    clock::{micros, millis},
    model::{
        delivery::Stages,
        outcome::{Failure, FailureKind},
        parameter::Parameters,
        plugin::{GuestLog, PluginFailure, PluginUse},
        request::{
            BuiltRequest, PluginRequest,
            kept::{Fate, KeptRequest},
        },
        webhook::TransformFull,
    },
    plugin::{ActivePlugin, CallContext, CallFailure, DeliveryInput, Keys},
    store::StateChanges,
};

/// A request, ready to be signed.
#[derive(Debug)]
pub struct Prepared {
    /// `None`: the plugin said there is nothing to send.
    pub request: Option<BuiltRequest>,
    /// Where it comes from.
    pub source: Source,
    /// What the plugin remembers of it: to be kept before anything is sent.
    pub state: Option<StateChanges>,
    /// What building it left behind.
    pub report: BuildReport,
}

/// Where the request of an attempt comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// It was built for this attempt.
    Built,
    /// It was kept, and is the same bytes as before.
    Kept,
    /// One was kept, and the webhook points elsewhere now: it was built again.
    BuiltAgain,
}

/// What building left behind, well or badly ended: it goes into the attempt.
#[derive(Debug, Default)]
pub struct BuildReport {
    /// How long it took.
    pub stages: Stages,
    /// The plugin that was used.
    pub plugin: Option<PluginUse>,
    /// What it wrote.
    pub log: GuestLog,
    /// References to what is not set.
    pub unset: Vec<String>,
}

/// Why there is no request.
#[derive(Debug)]
pub struct BuildFailure {
    /// Why.
    pub failure: Failure,
    /// What building left behind.
    pub report: Box<BuildReport>,
    /// Whether the request could be built of fewer events.
    pub is_of_size: bool,
}

/// That nothing is sent: the plugin is only tried out, and nothing is counted.
pub struct Trial {
    /// Used instead of the plugin the webhook names.
    pub stand_in: Option<Arc<ActivePlugin>>,
    /// What it signs with.
    pub keys: Keys,
}

/// Builds the request of one attempt. A stored request is sent again as it is, unless the webhook points at another origin now: what was
/// built for one place never goes out with the credentials of another, so it is built again for where it goes.
pub async fn build(material: &Material<'_>) -> Result<Prepared, BuildFailure> {
    let source = match &material.claimed.built {
        None => Source::Built,
        Some(stored) => match kept_for(material, stored)? {
            Some(request) => {
                return Ok(Prepared { request: Some(request), source: Source::Kept, state: None, report: BuildReport::default() });
            }
            None => Source::BuiltAgain,
        },
    };
    Ok(Prepared { source, ..build_from(material, None).await? })
}

/// The stored request, if it still goes where the webhook points; `None`: it is built again.
fn kept_for(material: &Material<'_>, stored: &Value) -> Result<Option<BuiltRequest>, BuildFailure> {
    let invalid = |detail: String| failed(FailureKind::RequestInvalid, detail, BuildReport::default());
    let kept = KeptRequest::read(stored).map_err(|error| invalid(format!("the stored request cannot be read: {error}")))?;
    let Material { claimed, webhook, .. } = material;
    let (delivery, name) = (&claimed.delivery.id, webhook.name.as_str());
    match kept.fate(webhook.request.url(), &webhook.credentials_version) {
        Fate::SentAgain => Ok(Some(kept.request)),
        Fate::SignedOtherwise => {
            tracing::debug!(%delivery, webhook = name, "the credentials were changed since the request was built");
            Ok(Some(kept.request))
        }
        Fate::BuiltAgain if claimed.delivery.event.is_some() && claimed.events.is_empty() => Err(invalid(
            "the webhook points at another origin than the stored request, which cannot be built again: its event was deleted".to_owned(),
        )),
        Fate::BuiltAgain => {
            tracing::info!(%delivery, webhook = name, "the webhook points at another origin; the request is built again");
            Ok(None)
        }
    }
}

/// Builds the request from its material, whatever is stored.
pub async fn build_from(material: &Material<'_>, trial: Option<&Trial>) -> Result<Prepared, BuildFailure> {
    let mut report = BuildReport::default();
    let unread = |failure| BuildFailure { failure, report: Box::default(), is_of_size: false };
    if let Some(detail) = material.over_budget() {
        return Err(failed(FailureKind::FilterBudget, detail, report));
    }
    let parameters = Arc::clone(&material.session().await.map_err(unread)?.parameters);
    let (from_plugin, state) = match &material.webhook.transform {
        None => (None, None),
        Some(transform) => match run_transform(material, transform, parameters, trial, &mut report).await {
            Ok((Some(request), state)) => (Some(request), state),
            Ok((None, state)) => return Ok(Prepared { request: None, source: Source::Built, state, report }),
            Err(failure) => {
                let is_of_size = failure.is_of_size();
                return Err(BuildFailure { failure: Failure::from(&failure), report: Box::new(report), is_of_size });
            }
        },
    };
    let started = Instant::now();
    let scope = material.scope().await.map_err(unread)?;
    let built = material.webhook.request.build(&scope, from_plugin);
    report.stages.build_us = micros(started);
    match built {
        Ok((request, unset)) => {
            report.unset = unset.into_names();
            Ok(Prepared { request: Some(request), source: Source::Built, state, report })
        }
        Err(problem) => Err(BuildFailure { is_of_size: problem.is_of_size(), ..failed(problem.kind(), problem.to_string(), report) }),
    }
}

/// Runs the webhook's plugin: the request it makes, if there is one to send, and what it remembers.
async fn run_transform(
    material: &Material<'_>,
    transform: &TransformFull,
    parameters: Arc<Parameters>,
    trial: Option<&Trial>,
    report: &mut BuildReport,
) -> Result<(Option<PluginRequest>, Option<StateChanges>), PluginFailure> {
    let Material { services, claimed, .. } = material;
    let replayed = claimed.delivery.replay.as_ref().and_then(|replay| replay.version);
    let plugin = match (trial.and_then(|trial| trial.stand_in.as_ref()), replayed) {
        (Some(plugin), _) => Arc::clone(plugin),
        (None, Some(version)) => plugin_of(services, &TransformFull { version: Some(version), ..transform.clone() })?,
        (None, None) => plugin_of(services, transform)?,
    };
    report.plugin = Some(plugin.plugin_use.clone());
    let now_ms = millis(material.moment().now);
    let mut context = CallContext { now_ms, ..call_context(services, &transform.config, &plugin, parameters) };
    if let Some(Trial { keys, .. }) = trial {
        context = context.rehearsed(material.moment(), *keys);
    }
    let input = DeliveryInput { now_ms, ..delivery_input(services, &claimed.delivery) };
    let events = events_of(claimed);
    let started = Instant::now();
    let called = plugin.loaded.transform(context, input, events).await;
    report.stages.transform_us = micros(started);
    match called {
        Ok(called) => {
            report.log = called.log;
            Ok((called.value, state_changes(&plugin.plugin_use.name, &plugin.limits, called.effects.state)))
        }
        Err(CallFailure { failure, log, .. }) => {
            report.log = log;
            Err(failure)
        }
    }
}

fn failed(kind: FailureKind, detail: String, report: BuildReport) -> BuildFailure {
    BuildFailure { failure: Failure::new(kind, detail), report: Box::new(report), is_of_size: false }
}
