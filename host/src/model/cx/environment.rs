//! Dialogflow CX's environments (`google.cloud.dialogflow.cx.v3.Environment`): a name, and what is other in it of an agent's webhooks.
//! What is other stands in the webhooks, as it does when it is written at `/v1`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{
    names::{DIRECTORY, DISPLAY_NAME_CHARS_MAX, DISPLAY_NAME_LABEL, GENERIC, SERVICE_LABEL},
    showing::of_spec,
    writing::to_document,
};
use crate::model::{
    problem::{Problem, read},
    webhook::{WebhookSpec, overridden},
};

/// An environment of an agent, as kept. Flow versions and test cases mean nothing here; they come back as they were written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Environment {
    /// `projects/p/locations/l/agents/a/environments/e`.
    #[serde(default)]
    pub name: String,
    /// Unique in the agent.
    #[serde(alias = "display_name", default)]
    pub display_name: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    description: String,
    /// Kept as it is written; there are no flows here.
    #[serde(default, skip_serializing_if = "Vec::is_empty", alias = "version_configs")]
    #[schema(value_type = Vec<Object>)]
    version_configs: Vec<Value>,
    /// Kept as it is written; there are no test cases here.
    #[serde(default, skip_serializing_if = "Map::is_empty", alias = "test_cases_config")]
    #[schema(value_type = Object)]
    test_cases_config: Map<String, Value>,
    /// When it was last written; what a client says of it does not count.
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "update_time")]
    pub update_time: Option<Timestamp>,
    /// What is other in it of the agent's webhooks.
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "webhook_config")]
    webhook_config: Option<WebhookConfig>,
}

/// What is other of an agent's webhooks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WebhookConfig {
    /// Webhooks by their `name`, with another `genericWebService` or `serviceDirectory`.
    #[serde(default, alias = "webhook_overrides")]
    #[schema(value_type = Vec<super::message::CxWebhook>)]
    webhook_overrides: Vec<Value>,
}

impl Environment {
    /// Reads an environment, and apart from it the webhooks it overrides.
    pub fn parse(written: Value) -> Result<(Self, Vec<Value>), Problem> {
        let mut environment: Self = read(super::names::without_nulls(written))?;
        if !(1..=DISPLAY_NAME_CHARS_MAX).contains(&environment.display_name.chars().count()) {
            return Err(Problem::new("/displayName", format!("1 to {DISPLAY_NAME_CHARS_MAX} characters")));
        }
        let overrides = environment.webhook_config.take().unwrap_or_default().webhook_overrides;
        Ok((environment, overrides))
    }

    /// What its name ends with, and what `environment` says on events and invokes.
    pub fn key(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or_default()
    }

    /// Made of the display name: letters and digits, everything else `-`.
    pub fn key_for(display_name: &str) -> String {
        let words = display_name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-")
    }

    /// As CX shows it, with what it overrides of these webhooks.
    pub fn shown<'a>(&self, webhooks: impl IntoIterator<Item = &'a WebhookSpec>) -> Value {
        let overrides = webhooks.into_iter().filter_map(|spec| {
            let webhook = of_spec(&there(spec, self.key())?)?;
            let parts = ["name", GENERIC, DIRECTORY].into_iter().filter_map(|part| Some((part, webhook.get(part)?.clone())));
            Some(parts.collect::<BTreeMap<_, _>>())
        });
        let overrides: Vec<_> = overrides.map(|webhook| json!(webhook)).collect();
        let webhook_config = (!overrides.is_empty()).then_some(WebhookConfig { webhook_overrides: overrides });
        serde_json::to_value(Self { webhook_config, ..self.clone() }).unwrap_or_default()
    }
}

/// What is other of a webhook in an environment.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    /// A merge patch of `request`, `auth` and `tls`. The rest of a webhook cannot be other.
    pub patch: Value,
    /// Its Service Directory service, where that is another; empty: none.
    pub service: Option<String>,
}

impl Override {
    /// The label of a webhook that keeps `service` of environment `key`.
    pub fn label(key: &str) -> String {
        format!("{SERVICE_LABEL}.{key}")
    }

    /// What is other of `spec` in environment `key` now.
    pub fn of(spec: &WebhookSpec, key: &str) -> Option<Self> {
        Some(Self { patch: spec.environments.get(key)?.clone(), service: spec.labels.get(&Self::label(key)).cloned() })
    }
}

/// `spec` as it is in environment `key`, if anything is other there.
fn there(spec: &WebhookSpec, key: &str) -> Option<WebhookSpec> {
    let Override { patch, service } = Override::of(spec, key)?;
    let mut there = overridden(spec, &patch).ok()?;
    match service {
        Some(service) if service.is_empty() => drop(there.labels.remove(SERVICE_LABEL)),
        Some(service) => drop(there.labels.insert(SERVICE_LABEL.to_owned(), service)),
        None => {}
    }
    Some(there)
}

/// What `written`, a webhook of CX's, is other in environment `key` than `spec`.
pub fn override_for(spec: &WebhookSpec, agent: &str, key: &str, written: &Value) -> Result<Override, Problem> {
    let mut written = written.clone();
    written["displayName"] = json!(spec.labels.get(DISPLAY_NAME_LABEL));
    // Most of what is overridden is an address and its credentials: the rest stays as it is.
    let places = [format!("/{GENERIC}"), format!("/{DIRECTORY}/{GENERIC}")];
    let base = of_spec(spec).unwrap_or_default();
    let base = places.iter().find_map(|place| base.pointer(place)).cloned().unwrap_or_default();
    for place in &places {
        let Some(Value::Object(service)) = written.pointer_mut(place) else { continue };
        for field in ["webhookType", "httpMethod", "requestBody"] {
            if let Some(value) = base.get(field) {
                service.entry(field).or_insert_with(|| value.clone());
            }
        }
    }
    let now = there(spec, key);
    let mut there = to_document(&written, &spec.name, agent, Some(now.as_ref().unwrap_or(spec)))?;
    let mut here = serde_json::to_value(spec).map_err(|error| Problem::new("", error.to_string()))?;
    let at = if written.get(DIRECTORY).is_some() { format!("/{DIRECTORY}/{GENERIC}") } else { format!("/{GENERIC}") };
    let [own, base] = [&mut there, &mut here].map(|document| {
        let service = document["labels"].as_object_mut().and_then(|labels| labels.remove(SERVICE_LABEL));
        service.and_then(|service| service.as_str().map(str::to_owned)).unwrap_or_default()
    });
    if there["labels"] != here["labels"] {
        return Err(Problem::new(at, "a webhook has the same project of secrets in every environment"));
    }
    if there["profile"] != here["profile"] {
        return Err(Problem::new(format!("{at}/webhookType"), "a webhook has the same type in every environment"));
    }
    let is_mapped = there["bindings"].as_object().is_some_and(|bindings| !bindings.is_empty());
    if is_mapped && there["bindings"] != json!(spec.bindings) {
        return Err(Problem::new(format!("{at}/parameterMapping"), "a webhook binds the same in every environment"));
    }
    let patch = json!({
        "request": difference(&here["request"], &there["request"]),
        "auth": there["auth"],
        "tls": difference(&here["tls"], &there["tls"]),
    });
    Ok(Override { patch, service: (own != base).then_some(own) })
}

/// The merge patch (RFC 7396) that makes `to` of `from`.
fn difference(from: &Value, to: &Value) -> Value {
    let (Value::Object(before), Value::Object(after)) = (from, to) else { return to.clone() };
    let mut patch = Map::new();
    for (name, value) in after {
        match before.get(name) {
            Some(other) if other == value => {}
            None if value.is_null() => {}
            Some(other) => drop(patch.insert(name.clone(), difference(other, value))),
            None => drop(patch.insert(name.clone(), value.clone())),
        }
    }
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    Value::Object(patch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::merge_patch::merge;

    #[test]
    fn a_difference_leads_from_one_to_the_other() {
        for (from, to) in [
            (json!({"a": 1, "b": {"c": 2, "d": 3}}), json!({"a": 1, "b": {"c": 4}})),
            (json!({"a": 1}), json!({"b": [1]})),
            (json!({}), json!({"a": {"b": 1}})),
            (json!({"a": {"b": 1}}), json!({"a": "text"})),
        ] {
            let mut merged = from.clone();
            merge(&mut merged, &difference(&from, &to));
            assert_eq!(merged, to);
        }
        assert_eq!(difference(&json!({"a": 1}), &json!({"a": 1, "b": null})), json!({}));
    }

    #[test]
    fn a_key_is_made_of_the_display_name() {
        for (name, key) in [("Staging", "staging"), ("Pré-production (eu)", "pr-production-eu"), ("---", "")] {
            assert_eq!(Environment::key_for(name), key);
        }
    }
}
