//! ArcGIS's forms of a webhook as another way to write one of ours, and to read it.
//!
//! Parameters travel as a form ([`Form`]); what is left out of an update stays as it is. A webhook that was written through `/v1` under
//! one of the profiles is shown all the same: these are views.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    id::WebhookId,
    problem::{Problem, nearest},
    webhook::{TransformSpec, WebhookSpec},
};

pub mod organization;
pub mod rights;
pub mod schedule;
pub mod service;

/// The label of a webhook's name, which may hold what ours may not.
pub const NAME_LABEL: &str = "arcgis/name";
/// The label of who made it.
pub const OWNER_LABEL: &str = "arcgis/owner";
/// The label of its `scheduleInfo`, as JSON.
pub const SCHEDULE_LABEL: &str = "arcgis/schedule";
/// The label that a webhook whose schedule is disabled has while it is active itself.
pub const PAUSED_LABEL: &str = "arcgis/paused";
/// The label of the time before which failures are forgotten: it was activated then.
pub const FAILURES_SINCE_LABEL: &str = "arcgis/failures-since";
/// What stands for a secret that is kept. Written back, the secret stays what it is.
pub const REDACTED: &str = "(redacted)";
/// The longest name, in characters.
pub const DISPLAY_NAME_CHARS_MAX: usize = 250;

/// The parameters of a request, from its query and its form, in that order.
#[derive(Clone, Debug, Default)]
pub struct Form(pub Vec<(String, String)>);

impl Form {
    /// A parameter; the last one wins.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A parameter that says something. Pages send every field, also those left empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).map(str::trim).filter(|value| !value.is_empty())
    }

    /// A number within a range.
    pub fn number(&self, name: &str, min: u64, max: u64) -> Result<Option<u64>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let number = text.parse::<u64>().ok().filter(|number| (min..=max).contains(number));
        number.map(Some).ok_or_else(|| Problem::new(format!("/{name}"), format!("an integer from {min} to {max}, not `{text}`")))
    }

    /// `true` or `false`.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, Problem> {
        match self.text(name).map(str::to_ascii_lowercase).as_deref() {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => Err(Problem::new(format!("/{name}"), format!("`true` or `false`, not `{other}`"))),
        }
    }

    /// One of a few words, compared without case.
    pub fn choice(&self, name: &str, words: &[&'static str]) -> Result<Option<&'static str>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let found = words.iter().find(|word| word.eq_ignore_ascii_case(text)).copied();
        found.map(Some).ok_or_else(|| Problem::new(format!("/{name}"), format!("one of {}, not `{text}`", words.join(", "))))
    }

    /// A JSON object.
    pub fn object(&self, name: &str) -> Result<Option<Map<String, Value>>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match serde_json::from_str(text) {
            Ok(Value::Object(object)) => Ok(Some(object)),
            Ok(_) => Err(Problem::new(format!("/{name}"), "a JSON object")),
            Err(error) => Err(Problem::new(format!("/{name}"), format!("a JSON object; this is none: {error}"))),
        }
    }

    /// A list: with commas between, or in JSON.
    pub fn list(&self, name: &str) -> Option<Vec<String>> {
        let text = self.text(name)?;
        if let Ok(list) = serde_json::from_str::<Vec<String>>(text) {
            return Some(list);
        }
        Some(text.split(',').map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned).collect())
    }
}

/// Who writes, and where.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// Our name of the webhook.
    pub name: &'a str,
    /// Who writes.
    pub owner: &'a str,
    /// The address of the portal or server: `https://gis.example/portal`.
    pub base: &'a str,
    /// The webhook there is.
    pub existing: Option<&'a WebhookSpec>,
}

impl Writer<'_> {
    /// The document to lay what is written over.
    fn document(&self, profile: &str) -> Value {
        let existing = self.existing.and_then(|spec| serde_json::to_value(spec).ok());
        existing.unwrap_or_else(|| {
            json!({
                "name": self.name, "profile": profile, "labels": { OWNER_LABEL: self.owner },
                "transform": { "plugin": profile, "config": {} }, "request": { "url": "" },
            })
        })
    }
}

/// The name shown.
pub fn display_name(spec: &WebhookSpec) -> &str {
    spec.labels.get(NAME_LABEL).unwrap_or(&spec.name)
}

/// Writes a setting of the plugin that makes the payload.
fn set_config(document: &mut Value, key: &str, value: Value) {
    if let Some(plugin) = document["transform"].as_str().map(str::to_owned) {
        document["transform"] = json!({ "plugin": plugin, "config": {} });
    }
    if document["transform"].is_null() {
        document["transform"] = json!({ "plugin": document["profile"], "config": {} });
    }
    document["transform"]["config"][key] = value;
}

/// A setting of the plugin that makes the payload.
fn config<'a>(spec: &'a WebhookSpec, key: &str) -> Option<&'a Value> {
    match &spec.transform {
        Some(TransformSpec::Full(full)) => full.config.get(key),
        _ => None,
    }
}

/// Writes the name: to the label, and to what the payload says.
fn set_name(document: &mut Value, name: &str) {
    document["labels"][NAME_LABEL] = json!(name);
    set_config(document, "webhookName", json!(name));
}

/// Writes a secret: the text itself, which is kept as a secret of its own; empty for none; the mark for what there is.
fn set_secret(document: &mut Value, secret: Option<&str>) {
    match secret {
        None | Some(REDACTED) => {}
        Some("") => drop(document.as_object_mut().map(|fields| fields.remove("signing"))),
        Some(secret) => document["signing"] = json!({ "secrets": [{ "inline": secret }] }),
    }
}

/// What is shown of a secret.
fn shown_secret(spec: &WebhookSpec) -> &'static str {
    if spec.signing.as_ref().is_some_and(|signing| !signing.secrets.is_empty()) { REDACTED } else { "" }
}

/// A webhook as it is kept, for its view.
#[derive(Clone, Copy, Debug)]
pub struct Kept<'a> {
    /// For as long as it exists.
    pub id: &'a WebhookId,
    /// As written.
    pub spec: &'a WebhookSpec,
    /// When it was first written.
    pub created_at: Timestamp,
    /// When it was last written.
    pub updated_at: Timestamp,
}

/// Epoch milliseconds.
pub fn epoch(at: Timestamp) -> i64 {
    at.as_millisecond()
}

fn checked_name(form: &Form, existing: bool) -> Result<Option<&str>, Problem> {
    match form.text("name") {
        None if existing => Ok(None),
        None => Err(Problem::new("/name", "a webhook has a name")),
        Some(name) if name.chars().count() > DISPLAY_NAME_CHARS_MAX || name.chars().any(char::is_control) => {
            Err(Problem::new("/name", format!("at most {DISPLAY_NAME_CHARS_MAX} characters, none of them a control character")))
        }
        Some(name) => Ok(Some(name)),
    }
}

/// Refuses an object's fields that are not known.
fn only(object: &Map<String, Value>, pointer: &str, known: &[&str]) -> Result<(), Problem> {
    let Some(unknown) = object.keys().find(|key| !known.contains(&key.as_str())) else { return Ok(()) };
    let hint = nearest(unknown, known.iter().copied()).map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
    Err(Problem::new(format!("{pointer}/{unknown}"), format!("there is no `{unknown}` here{hint}")))
}

/// A whole number, also where it is written as text: Esri's own clients do both.
fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())
}

/// Labels are text.
fn label<'a>(labels: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    labels.get(name).map(String::as_str)
}
