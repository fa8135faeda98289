//! Receiver: what people click and write in a chat comes back and invokes webhooks.
//!
//! Slack posts an interaction as the form field `payload` (its "block_actions"), wants 200 within 3 seconds, and signs what it
//! sends: let the receiver be `async`, so that it answers at once, and `verify` with the scheme `slack`.
//!
//! Configuration: `{"actions":{"unshare":{"webhook":"portal-unshare"},"set-summary":{"webhook":"portal-update",
//! "parameters":{"field":"snippet"}}},"trigger":"chat.answered"}`. An action's name is the `action_id` the plugin `slack` gave the button
//! or input. The webhook gets as parameters what that plugin put behind it (`itemId`, `sharedBy`), `value` (what was written or
//! chosen), `user` (who did it) and the action's own `parameters`. For each action an event tells how it ended:
//! `{"action","user","itemId","outcome":"done"|"failed","error"?}`. An action nobody configured is rejected.

use std::collections::BTreeMap;

use hookwright_guest::events::{Emission, emit};
use hookwright_guest::{Error, Invocation, OrError, Receive, Reply, config, log, webhooks};
use serde::Deserialize;
use serde_json::{Map, Value, json};

struct SlackActions;
hookwright_guest::export!(SlackActions: receive);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    actions: BTreeMap<String, Action>,
    #[serde(default = "trigger")]
    trigger: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Action {
    webhook: String,
    #[serde(default)]
    parameters: Map<String, Value>,
}

fn trigger() -> String {
    "chat.answered".into()
}

#[derive(Deserialize)]
struct Payload {
    #[serde(default)]
    user: User,
    actions: Vec<Taken>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct User {
    id: String,
    username: String,
    name: String,
}

/// One element that somebody used: a button, an input, a menu.
#[derive(Deserialize)]
struct Taken {
    action_id: String,
    #[serde(default)]
    block_id: String,
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    selected_option: Value,
}

impl Taken {
    /// What stands behind it, and what was written or chosen. A button's value is what stands behind it.
    fn parts(&self) -> (Map<String, Value>, Option<&str>) {
        let object = |text: &str| serde_json::from_str::<Map<String, Value>>(text).ok();
        match (self.value.as_deref().and_then(object), object(&self.block_id)) {
            (Some(behind), _) => (behind, None),
            (None, behind) => (behind.unwrap_or_default(), self.value.as_deref().or(self.selected_option["value"].as_str())),
        }
    }
}

fn payload(call: &Invocation) -> Result<Payload, Error> {
    let field = call.text()?.split('&').find_map(|pair| pair.strip_prefix("payload=")).or_reject("the form's payload")?;
    Ok(serde_json::from_str(&decoded(field)?)?)
}

/// The value of a form's field (WHATWG URL Standard, 5.1).
fn decoded(text: &str) -> Result<String, Error> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut hex = || rest.next().and_then(|digit| (digit as char).to_digit(16)).or_reject("a hex digit");
        match byte {
            b'%' => bytes.push((hex()? * 16 + hex()?) as u8),
            b'+' => bytes.push(b' '),
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).or_reject("the form's encoding")
}

fn act(config: &Config, user: &str, taken: &Taken) -> Result<(), Error> {
    let action = config.actions.get(&taken.action_id).or_reject(format_args!("an action called {:?}", taken.action_id))?;
    let (mut parameters, value) = taken.parts();
    let item = parameters.get("itemId").cloned().unwrap_or_default();
    parameters.extend(value.map(|value| ("value".to_owned(), json!(value))));
    parameters.insert("user".into(), json!(user));
    parameters.extend(action.parameters.clone());
    let invoked = webhooks::invoke(&action.webhook, &parameters)?;
    // A portal answers 200 also when it tells of an error; where that matters the webhook binds it.
    let error = match (invoked.delivered, invoked.parameters.get("error")) {
        (true, None | Some(Value::Null)) => None,
        (true, Some(told)) => Some(told.to_string()),
        (false, _) => Some(invoked.error_event.unwrap_or_else(|| "webhook.error".into())),
    };
    log::info(format_args!("{} of {item} by {user}: {}", taken.action_id, error.as_deref().unwrap_or("done")));
    let outcome = if error.is_none() { "done" } else { "failed" };
    let mut data = json!({ "action": taken.action_id, "user": user, "itemId": item, "outcome": outcome });
    if let Some(error) = error {
        data["error"] = error.into();
    }
    emit(Emission::new(&config.trigger, &data)?)?;
    Ok(())
}

impl Receive for SlackActions {
    fn receive(call: Invocation) -> Result<Reply, Error> {
        let config: Config = config()?;
        let Payload { user, actions } = payload(&call)?;
        let user = [user.username, user.name, user.id].into_iter().find(|name| !name.is_empty()).unwrap_or_default();
        for taken in &actions {
            act(&config, &user, taken)?;
        }
        Ok(Reply::text(format!("{} taken", actions.len())))
    }
}

#[cfg(test)]
mod tests {
    use hookwright_guest::{testing, webhooks::Invoked};

    use super::*;

    fn receive(actions: &Value) -> Result<Reply, Error> {
        let payload = json!({ "type": "block_actions", "user": { "id": "U1", "username": "ann" }, "actions": actions }).to_string();
        let plain = |byte: u8| byte.is_ascii_alphanumeric();
        let encoded: String =
            payload.bytes().map(|byte| if plain(byte) { (byte as char).to_string() } else { format!("%{byte:02X}") }).collect();
        SlackActions::receive(Invocation { body: format!("payload={encoded}").into_bytes(), ..Invocation::default() })
    }

    fn configured(invoked: Invoked) {
        testing::reset();
        let update = json!({ "webhook": "update", "parameters": { "field": "snippet" } });
        let config = json!({ "actions": { "unshare": { "webhook": "unshare" }, "set-summary": update } });
        testing::config(&config).expect("a configuration");
        testing::webhook("unshare", invoked.clone());
        testing::webhook("update", invoked);
    }

    #[test]
    fn a_click_invokes_its_webhook_with_what_stands_behind_it() {
        configured(Invoked { delivered: true, ..Invoked::default() });
        receive(&json!([{ "action_id": "unshare", "value": r#"{"itemId":"abc","sharedBy":"bob"}"# }])).expect("a reply");
        assert_eq!(testing::invoked(), [("unshare".to_owned(), r#"{"itemId":"abc","sharedBy":"bob","user":"ann"}"#.to_owned())]);
        let emitted = testing::emitted();
        assert_eq!(emitted[0].trigger, "chat.answered");
        assert_eq!(emitted[0].data_json, r#"{"action":"unshare","user":"ann","itemId":"abc","outcome":"done"}"#);
    }

    #[test]
    fn what_was_written_comes_along_and_a_failure_is_told() {
        configured(Invoked { error_event: Some("webhook.error.timeout".into()), ..Invoked::default() });
        receive(&json!([{ "action_id": "set-summary", "block_id": r#"{"itemId":"abc"}"#, "value": "Wells & springs" }])).expect("a reply");
        let expected = r#"{"itemId":"abc","value":"Wells & springs","user":"ann","field":"snippet"}"#;
        assert_eq!(testing::invoked(), [("update".to_owned(), expected.to_owned())]);
        let data: Value = serde_json::from_str(&testing::emitted()[0].data_json).expect("JSON");
        assert_eq!((&data["outcome"], &data["error"]), (&json!("failed"), &json!("webhook.error.timeout")));
    }

    #[test]
    fn what_nobody_configured_is_rejected() {
        configured(Invoked::default());
        assert!(matches!(receive(&json!([{ "action_id": "delete-all" }])), Err(Error::Rejected(_))));
        assert!(matches!(SlackActions::receive(Invocation { body: b"x=y".to_vec(), ..Invocation::default() }), Err(Error::Rejected(_))));
        assert!(testing::invoked().is_empty());
    }
}
