//! What the engine gives a plugin, and what it takes back.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{
    clock::{self, millis},
    model::{
        breaker::PAUSE_MIN,
        delivery::Delivery,
        merge_patch::merge,
        outcome::{Failure, FailureKind},
        parameter::Parameters,
        plugin::{PluginFailure, limits::PluginLimits},
        webhook::{TransformFull, Webhook},
    },
    plugin::{ActivePlugin, CallContext, DeliveryInput},
    services::Services,
    store::{Claimed, StateChanges, StoreError},
};

/// The longest a delivery waits whose plugin is set aside before somebody looks again.
const SET_ASIDE_LOOK_MAX: Duration = Duration::from_secs(60);

/// What a plugin call is given; `own` is the configuration of who calls it, merged over the plugin's.
pub fn call_context(services: &Services, own: &Map<String, Value>, plugin: &ActivePlugin, parameters: Arc<Parameters>) -> CallContext {
    let mut config = plugin.config.clone();
    merge(&mut config, &Value::Object(own.clone()));
    CallContext {
        config,
        parameters,
        grants: Arc::clone(&plugin.grants),
        limits: plugin.limits,
        conduct: Some(Arc::clone(&plugin.conduct)),
        plugin: plugin.plugin_use.name.clone(),
        now_ms: millis(services.clock.now()),
        services: services.plugins.host_side(),
        ..CallContext::default()
    }
}

/// The plugin a webhook names.
pub fn plugin_of(services: &Services, transform: &TransformFull) -> Result<Arc<ActivePlugin>, PluginFailure> {
    services.plugins.get(&transform.plugin, transform.version).ok_or_else(|| PluginFailure::Missing(transform.plugin.clone()))
}

/// The delivery as plugins see it.
pub fn delivery_input(services: &Services, delivery: &Delivery) -> DeliveryInput {
    DeliveryInput {
        id: delivery.id.to_string(),
        webhook_id: delivery.webhook_id.to_string(),
        webhook_name: delivery.webhook.clone(),
        session: delivery.session.clone(),
        environment: delivery.environment.clone(),
        context: delivery.invocation.as_ref().map_or_else(Map::new, |input| input.context.clone()),
        caller: delivery.invocation.as_ref().and_then(|input| input.caller.clone()),
        now_ms: millis(services.clock.now()),
    }
}

/// When a delivery whose plugin is set aside is looked at again: at the plugin's next probe, and not after `SET_ASIDE_LOOK_MAX`, because
/// an admin may mend it before.
pub fn set_aside_until(services: &Services, claimed: &Claimed, webhook: &Webhook) -> Timestamp {
    let replayed = claimed.delivery.replay.as_ref().and_then(|replay| replay.version);
    let refusal =
        webhook.transform.as_ref().and_then(|transform| services.plugins.refusal(&transform.plugin, replayed.or(transform.version)));
    let now = services.clock.now();
    // None any more: it was mended just now, or only this delivery's party has to wait for its next probe.
    refusal.map_or(clock::after(now, PAUSE_MIN), |(_, until)| until).min(clock::after(now, SET_ASIDE_LOOK_MAX))
}

/// What a call changed of its plugin's state, and how much that one may keep; `None`: nothing.
pub fn state_changes(plugin: &str, limits: &PluginLimits, changes: Vec<(String, Option<Vec<u8>>)>) -> Option<StateChanges> {
    let is_any = !changes.is_empty();
    is_any.then(|| StateChanges { plugin: plugin.to_owned(), changes, keys_max: limits.state_keys, bytes_max: limits.state_bytes })
}

/// Keeps what a plugin remembers of its call for this delivery.
pub async fn remember(services: &Services, claimed: &Claimed, state: Option<StateChanges>) -> Result<(), Failure> {
    let Some(changes) = state else { return Ok(()) };
    services.store.change_plugin_state(claimed.delivery.id.clone(), claimed.token, changes).await.map_err(|error| match error {
        StoreError::StateFull { limit, max } => Failure::from(&PluginFailure::Limit(limit, max)),
        error => Failure::new(FailureKind::Interrupted, format!("what the plugin remembers cannot be kept: {error}")),
    })
}
