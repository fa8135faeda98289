//! Receiver: answers the webhook calls of a Dialogflow agent by invoking configured webhooks, in the agent's own format.
//!
//! Configuration: `{"tags":{"check-stock":{"webhook":"stock","message":"There are {left} of $session.params.sku left"}}}`. The
//! request's session parameters are the invoke's parameters, everything else in it the invoke's context. What the webhook
//! bound goes back as session parameters; `{name}`, `$name` and `$session.params.name` in the message stand for the session's
//! parameters after that. Needs the receiver's `full_reply`, and its `session` as `$.body.sessionInfo.session`.
//!
//! Failures are answered with the statuses the agent knows: 400, 401, 403, 404, 500 and 503.

use std::collections::HashMap;

use hookwright_guest::{Error, Invocation, Receive, Reply, config, log, webhooks};
use serde::Deserialize;
use serde_json::{Map, Value, json};

struct DialogflowFulfilment;
hookwright_guest::export!(DialogflowFulfilment: receive);

#[derive(Deserialize)]
struct Config {
    tags: HashMap<String, Route>,
}

#[derive(Deserialize)]
struct Route {
    webhook: String,
    message: Option<String>,
}

/// The request as the agent sends it: what is not a tag or a session parameter is handed on as it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WebhookRequest {
    fulfillment_info: FulfillmentInfo,
    #[serde(default)]
    session_info: SessionInfo,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
struct FulfillmentInfo {
    tag: String,
}

#[derive(Deserialize, Default)]
struct SessionInfo {
    #[serde(default)]
    parameters: Map<String, Value>,
}

fn is_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || "._-".contains(character)
}

fn spoken(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn lookup<'a>(parameters: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    parameters.iter().find(|(candidate, _)| candidate.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// A reference at the start of `text`: what stands for it and how long it is. Names may hold dots, and a sentence may end
/// behind one, so the longest name that exists wins; `$5` is money.
fn reference(text: &str, parameters: &Map<String, Value>) -> Option<(String, usize)> {
    if let Some(inner) = text.strip_prefix('{') {
        let name = &inner[..inner.find('}')?];
        let known = !name.is_empty() && name.chars().all(is_name);
        return known.then(|| (lookup(parameters, name).map(spoken).unwrap_or_default(), name.len() + 2));
    }
    let prefix = if text.starts_with("$session.params.") { "$session.params.".len() } else { 1 };
    let run = text[prefix..].find(|character| !is_name(character)).unwrap_or(text.len() - prefix);
    let longest = (1..=run).rev().find_map(|end| Some((lookup(parameters, &text[prefix..prefix + end])?, end)));
    match longest {
        Some((value, end)) => Some((spoken(value), prefix + end)),
        None if prefix > 1 => Some((String::new(), prefix + text[prefix..prefix + run].trim_end_matches('.').len())),
        None => None,
    }
}

fn filled(message: &str, parameters: &Map<String, Value>) -> String {
    let (mut filled, mut rest) = (String::new(), message);
    while let Some(at) = rest.find(['{', '$']) {
        filled.push_str(&rest[..at]);
        let (value, end) = reference(&rest[at..], parameters).unwrap_or_else(|| (rest[at..=at].to_owned(), 1));
        filled.push_str(&value);
        rest = &rest[at + end..];
    }
    filled + rest
}

fn refusal(status: u16, message: &str) -> Result<Reply, Error> {
    log::warn(format_args!("{status}: {message}"));
    Ok(Reply::json(&json!({ "status": status, "message": message }))?.status(status))
}

/// The agent's view of a failed invoke: the endpoint's own status where the agent knows it, else whose fault it was.
fn failure(invoked: &webhooks::Invoked) -> u16 {
    match (invoked.http_status, invoked.error_event.as_deref()) {
        (Some(status @ (400 | 401 | 403 | 404 | 500 | 503)), _) => status,
        (_, Some("webhook.error.bad-request")) => 400,
        (_, Some("webhook.error.rejected")) => 403,
        (_, Some("webhook.error.timeout" | "webhook.error.unavailable" | "webhook.error.not-found")) => 503,
        _ => 500,
    }
}

impl Receive for DialogflowFulfilment {
    fn receive(call: Invocation) -> Result<Reply, Error> {
        let config: Config = config()?;
        let WebhookRequest { fulfillment_info, session_info, mut rest } = match call.json() {
            Ok(request) => request,
            Err(error) => return refusal(400, error.reason()),
        };
        let tag = fulfillment_info.tag;
        let Some(route) = config.tags.get(&tag) else {
            return refusal(404, &format!("no webhook answers the tag {tag:?}"));
        };
        rest.insert("tag".into(), json!(tag));
        let mut parameters = session_info.parameters;
        let invoke = webhooks::Call::new(&route.webhook).parameters(&parameters)?.context(&rest)?;
        let invoked = match invoke.send() {
            Ok(invoked) => invoked,
            Err(error) => return refusal(500, error.reason()),
        };
        if !invoked.delivered {
            let event = invoked.error_event.as_deref().unwrap_or("webhook.error");
            return refusal(failure(&invoked), &format!("{} failed: {event}", route.webhook));
        }
        let mut response = json!({ "sessionInfo": { "parameters": invoked.parameters } });
        for (name, value) in &invoked.parameters {
            parameters.retain(|candidate, _| !candidate.eq_ignore_ascii_case(name));
            parameters.insert(name.clone(), value.clone());
        }
        if let Some(message) = &route.message {
            response["fulfillmentResponse"] = json!({ "messages": [{ "text": { "text": [filled(message, &parameters)] } }] });
        }
        Reply::json(&response)
    }
}

#[cfg(test)]
mod tests;
