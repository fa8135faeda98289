//! Receiver: an organization wants every item that is shared publicly to meet its standards.
//!
//! A portal's webhook calls it with its payload. It writes the payload as a text file into the directory it is granted,
//! fetches the metadata of each item shared with everyone by invoking a webhook, scores it, and emits `standards.failed`
//! `{itemId,title,score,missing,sharedBy,sharedToGroups}` when the score is low. What is shared inside the organization alone
//! is of no further interest.
//!
//! Configuration: `{"metadata_webhook":"item-metadata","minimum_score":80,"tags_min":3,"weights":{"title":20,...},
//! "directory":"/data"}`; all but the first may be left out. The webhook gets the parameter `itemId`; the metadata is its
//! `answers` plugin's output, else what it bound as `item` (`"bindings":{"item":"$"}`), else everything it bound.

use std::{collections::BTreeMap, fs, path::Path};

use hookwright_guest::events::{Emission, emit};
use hookwright_guest::{Error, Invocation, OrError, Receive, Reply, config, log, webhooks};
use serde::Deserialize;
use serde_json::{Map, Value, json};

struct ItemStandards;
hookwright_guest::export!(ItemStandards: receive);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    metadata_webhook: String,
    #[serde(default = "minimum_score")]
    minimum_score: u32,
    #[serde(default = "tags_min")]
    tags_min: usize,
    /// How much each standard counts; 0 leaves one out. What is named here replaces its default.
    #[serde(default)]
    weights: BTreeMap<String, u32>,
    #[serde(default = "directory")]
    directory: String,
}

fn minimum_score() -> u32 {
    80
}

fn tags_min() -> usize {
    3
}

fn directory() -> String {
    "/data".into()
}

/// The standards and how much each counts unless the configuration says otherwise.
const STANDARDS: [(&str, u32); 7] =
    [("title", 20), ("snippet", 15), ("description", 20), ("tags", 15), ("thumbnail", 10), ("licenseInfo", 10), ("accessInformation", 10)];

#[derive(Deserialize)]
struct Payload {
    info: Info,
    events: Vec<Event>,
}

#[derive(Deserialize)]
struct Info {
    #[serde(rename = "portalURL", default)]
    portal_url: String,
}

#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    username: String,
    when: u64,
    operation: String,
    source: String,
    id: String,
    #[serde(default)]
    properties: Value,
}

impl Event {
    /// An array of groups, or, in one published sample, text: `[Everyone]`.
    fn shared_to(&self) -> Vec<&str> {
        match &self.properties["sharedToGroups"] {
            Value::Array(groups) => groups.iter().filter_map(Value::as_str).collect(),
            Value::String(text) => text.trim_matches(['[', ']']).split(',').map(str::trim).collect(),
            _ => Vec::new(),
        }
    }

    fn is_shared_publicly(&self) -> bool {
        let item = self.source.eq_ignore_ascii_case("item") || self.source.eq_ignore_ascii_case("items");
        item && self.operation.eq_ignore_ascii_case("share") && self.shared_to().iter().any(|group| group.eq_ignore_ascii_case("everyone"))
    }
}

fn meets(standard: &str, item: &Map<String, Value>, tags_min: usize) -> bool {
    match item.get(standard) {
        Some(Value::Array(tags)) => tags.iter().filter(|tag| tag.as_str().is_some_and(|tag| !tag.trim().is_empty())).count() >= tags_min,
        Some(Value::String(text)) => !text.trim().is_empty() && standard != "tags",
        _ => false,
    }
}

/// 0 to 100, and the standards not met.
fn score(item: &Map<String, Value>, config: &Config) -> (u32, Vec<&'static str>) {
    let (mut met, mut total, mut missing) = (0, 0, Vec::new());
    for (standard, weight) in STANDARDS {
        let weight = config.weights.get(standard).copied().unwrap_or(weight).min(1000);
        total += weight;
        if meets(standard, item, config.tags_min) {
            met += weight;
        } else if weight > 0 {
            missing.push(standard);
        }
    }
    ((100 * met + total / 2).checked_div(total).unwrap_or(100), missing)
}

fn metadata(config: &Config, item_id: &str) -> Result<Map<String, Value>, Error> {
    let invoked = webhooks::invoke(&config.metadata_webhook, &json!({ "itemId": item_id }))?;
    if !invoked.delivered {
        let event = invoked.error_event.unwrap_or_default();
        return Err(Error::retry_later(format_args!("the metadata of {item_id}: {event}")));
    }
    let item = match (invoked.output, invoked.parameters.get("item")) {
        (Some(Value::Object(item)), _) => item,
        (_, Some(Value::Object(item))) => item.clone(),
        _ => invoked.parameters,
    };
    // A portal answers 200 also when it tells of an error, and an item that cannot be read is not one without a title.
    match item.get("error") {
        Some(error) => Err(Error::retry_later(format_args!("the metadata of {item_id}: {error}"))),
        None => Ok(item),
    }
}

fn judge(config: &Config, event: &Event, portal_url: &str) -> Result<bool, Error> {
    let item = metadata(config, &event.id)?;
    let (score, missing) = score(&item, config);
    log::info(format_args!("{} scores {score}, missing {missing:?}", event.id));
    if score >= config.minimum_score {
        return Ok(false);
    }
    let title = item.get("title").and_then(Value::as_str).unwrap_or_default();
    let data = json!({ "itemId": event.id, "title": title, "score": score, "missing": missing,
                       "sharedBy": event.username, "sharedToGroups": event.shared_to() });
    emit(Emission::new("standards.failed", &data)?.source(portal_url).time_ms(event.when))?;
    Ok(true)
}

impl Receive for ItemStandards {
    fn receive(call: Invocation) -> Result<Reply, Error> {
        let config: Config = config()?;
        let file = Path::new(&config.directory).join(format!("{}.txt", call.call_id));
        fs::write(&file, &call.body).or_retry_later(format_args!("writing {}", file.display()))?;
        let payload: Payload = call.json()?;
        let mut failed = 0;
        for event in payload.events.iter().filter(|event| event.is_shared_publicly()) {
            failed += usize::from(judge(&config, event, &payload.info.portal_url)?);
        }
        Reply::json(&json!({ "success": "true", "message": format!("{failed} below the standards") }))
    }
}

#[cfg(test)]
mod tests;
