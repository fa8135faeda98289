//! Transform: events as a message for a chat's incoming webhook, `{"text","blocks"}`.
//!
//! `standards.failed` (see the plugin `item-standards`) tells which item was shared, its score and what is missing, with
//! buttons; any other event is told by its trigger and the plain members of its data. Configuration, all optional:
//! `text` to stand first, `channel`, and `actions`. `{"label":"Unshare","action":"unshare"}` is a button of an app: a click is posted to
//! the app's request URL, where the plugin `slack-actions` takes it; with `"input":true` it is a line to write in. With `"url"` in place of
//! `action` a click opens the URL with `?itemId=...` added, so a webhook code there brings the answer back; it needs no app.
//! An event's data may hold one more as `actionUrl`.

use hookwright_guest::{Delivery, Error, Event, Request, Transform, config};
use serde::Deserialize;
use serde_json::{Map, Value, json};

struct Slack;
hookwright_guest::export!(Slack: transform);

#[derive(Deserialize, Default)]
#[serde(default)]
struct Config {
    text: Option<String>,
    channel: Option<String>,
    actions: Vec<Action>,
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
struct Action {
    label: String,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    action: Option<String>,
    #[serde(default)]
    input: bool,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Failed {
    item_id: String,
    title: String,
    score: f64,
    missing: Vec<String>,
    shared_by: String,
    action_url: Option<String>,
}

/// A section holds 3000 characters, and `&`, `<`, `>` are the only ones to escape.
fn escape(text: &str) -> String {
    let text: String = text.chars().take(2000).collect();
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn section(text: &str) -> Value {
    json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } })
}

fn percent_encoded(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    text.bytes().map(|byte| if plain(&byte) { (byte as char).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// What an app gets back with a click: enough to act upon. A `block_id` holds 255 characters.
fn behind(failed: &Failed, number: Option<usize>) -> String {
    let mut behind = json!({ "itemId": failed.item_id, "sharedBy": failed.shared_by });
    if let Some(number) = number {
        // The identifiers of blocks differ within a message.
        behind["n"] = number.into();
    }
    behind.to_string()
}

/// A row of buttons, then a line for each input.
fn actions(config: &Config, failed: &Failed) -> Result<Vec<Value>, Error> {
    let own = failed.action_url.clone().map(|url| Action { label: "Open".into(), url: Some(url), action: None, input: false });
    let (mut buttons, mut inputs) = (Vec::new(), Vec::new());
    for (index, action) in config.actions.iter().cloned().chain(own).enumerate() {
        let label: String = action.label.chars().take(75).collect();
        let text = json!({ "type": "plain_text", "text": label });
        match (action.action, action.url, action.input) {
            (Some(name), None, false) => {
                buttons.push(json!({ "type": "button", "action_id": name, "value": behind(failed, None), "text": text }));
            }
            (Some(name), None, true) => inputs.push(json!({
                "type": "input", "dispatch_action": true, "block_id": behind(failed, Some(index)), "label": text,
                "element": { "type": "plain_text_input", "action_id": name },
            })),
            (None, Some(url), false) => {
                let separator = if url.contains('?') { '&' } else { '?' };
                let url = format!("{url}{separator}itemId={}", percent_encoded(&failed.item_id));
                let id = format!("action-{index}");
                buttons.push(json!({ "type": "button", "action_id": id, "url": url, "value": failed.item_id, "text": text }));
            }
            _ => {
                return Err(Error::rejected(format_args!(
                    "the action {label:?} has either a `url` or an `action`, which may be an `input`"
                )));
            }
        }
    }
    let row = (!buttons.is_empty()).then(|| json!({ "type": "actions", "elements": buttons }));
    Ok(row.into_iter().chain(inputs).collect())
}

/// The line a notification shows, and the blocks under it.
fn failed_standards(config: &Config, failed: &Failed) -> Result<(String, Vec<Value>), Error> {
    let title = if failed.title.is_empty() { &failed.item_id } else { &failed.title };
    let line = format!("Shared publicly below the standards: {} ({}/100)", escape(title), failed.score);
    let missing: Vec<String> = failed.missing.iter().map(|what| format!("• {}", escape(what))).collect();
    let details =
        format!("Shared by {}, item `{}`. Missing or wrong:\n{}", escape(&failed.shared_by), escape(&failed.item_id), missing.join("\n"));
    let blocks = [section(&format!("*{line}*")), section(&details)].into_iter().chain(actions(config, failed)?).collect();
    Ok((line, blocks))
}

fn any_event(event: &Event) -> Result<(String, Vec<Value>), Error> {
    let data: Value = event.data()?;
    let of = if event.source.is_empty() { String::new() } else { format!(" of {}", escape(&event.source)) };
    let line = format!("{}{of}", escape(&event.trigger));
    let plain = data.as_object().into_iter().flatten().filter_map(|(name, value)| match value {
        Value::String(text) => Some(format!("*{}*: {}", escape(name), escape(text))),
        Value::Number(_) | Value::Bool(_) => Some(format!("*{}*: {value}", escape(name))),
        _ => None,
    });
    let fields: Vec<String> = plain.take(10).collect();
    let text = std::iter::once(format!("*{line}*")).chain(fields).collect::<Vec<_>>().join("\n");
    Ok((line, vec![section(&text.chars().take(3000).collect::<String>())]))
}

fn message(config: &Config, events: &[Event]) -> Result<Value, Error> {
    let mut lines: Vec<String> = config.text.iter().map(|text| escape(text)).collect();
    let mut blocks: Vec<Value> = lines.iter().map(|line| section(line)).collect();
    for event in events {
        let (line, more) = match event.trigger.as_str() {
            "standards.failed" => failed_standards(config, &event.data()?)?,
            _ => any_event(event)?,
        };
        lines.push(line);
        blocks.extend(more);
    }
    // A message holds 50 blocks; what does not fit is still told by the text.
    blocks.truncate(50);
    let mut message = Map::new();
    message.extend(config.channel.iter().map(|channel| ("channel".into(), json!(channel))));
    message.extend([("text".into(), json!(lines.join("\n"))), ("blocks".into(), json!(blocks))]);
    Ok(message.into())
}

impl Transform for Slack {
    fn apply(_: Delivery, events: Vec<Event>) -> Result<Option<Request>, Error> {
        Request::post().json(&message(&config()?, &events)?).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_standards_say_what_is_missing_and_bring_the_click_back() {
        let data = json!({ "itemId": "a b", "title": "Roads <2024>", "score": 45, "missing": ["snippet", "tags"], "sharedBy": "ann" });
        let event = Event::new("standards.failed", &data).expect("an event");
        let actions = json!([
            { "label": "Unshare", "url": "https://hooks.example/api/v1/webhook/CODE" },
            { "label": "Ask", "action": "ask-owner" },
            { "label": "Summary", "action": "set-summary", "input": true },
        ]);
        let config: Config = serde_json::from_value(json!({ "channel": "#gis", "actions": actions })).expect("a configuration");
        let message = message(&config, &[event]).expect("a message");
        assert_eq!(message["text"], "Shared publicly below the standards: Roads &lt;2024&gt; (45/100)");
        assert_eq!(message["channel"], "#gis");
        assert_eq!(message["blocks"][1]["text"]["text"], "Shared by ann, item `a b`. Missing or wrong:\n• snippet\n• tags");
        let button = &message["blocks"][2]["elements"][0];
        assert_eq!(button["url"], "https://hooks.example/api/v1/webhook/CODE?itemId=a%20b");
        let asked = &message["blocks"][2]["elements"][1];
        assert_eq!((&asked["action_id"], &asked["value"]), (&json!("ask-owner"), &json!(r#"{"itemId":"a b","sharedBy":"ann"}"#)));
        let input = &message["blocks"][3];
        assert_eq!((&input["type"], &input["element"]["action_id"]), (&json!("input"), &json!("set-summary")));
        assert_eq!(input["block_id"], r#"{"itemId":"a b","sharedBy":"ann","n":2}"#);
    }

    #[test]
    fn an_action_is_one_thing() {
        let event = Event::new("standards.failed", &json!({ "itemId": "a" })).expect("an event");
        let config: Config = serde_json::from_value(json!({ "actions": [{ "label": "x" }] })).expect("a configuration");
        assert!(message(&config, &[event]).is_err());
    }

    #[test]
    fn any_event_is_told_by_its_plain_members() {
        let event = Event::new("order.paid", &json!({ "order": 12, "by": "R&D", "lines": [] })).expect("an event");
        let config = Config { text: Some("Shop".into()), ..Config::default() };
        let message = message(&config, &[event]).expect("a message");
        assert_eq!(message["text"], "Shop\norder.paid");
        assert_eq!(message["blocks"][1]["text"]["text"], "*order.paid*\n*order*: 12\n*by*: R&amp;D");
    }
}
