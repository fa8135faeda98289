//! Receiver: answers the webhook calls of a Dialogflow agent by invoking configured webhooks, in the agent's own format.
//!
//! Configuration: `{"tags":{"check-stock":{"webhook":"stock","message":"There are {left} of $session.params.sku left"}}}`. The
//! request's session parameters are the invoke's parameters, everything else in it the invoke's context. What the webhook
//! bound goes back as session parameters; `{name}`, `$name` and `$session.params.name` in the message stand for the session's
//! parameters after that. Needs the receiver's `full_reply`, and its `session` as `$.body.sessionInfo.session`.
//!
//! Failures are answered with the statuses the agent knows: 400, 401, 403, 404, 500 and 503.

use std::collections::HashMap;

use hookwright_guest::{
    Error, Invocation, Receive, Reply, config,
    dialogflow::{self, Failure, WebhookRequest, WebhookResponse},
    webhooks,
};
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

/// The route's webhook, invoked with what the agent sent: session parameters as parameters, everything else as context.
fn invoke(route: &Route, request: &WebhookRequest) -> Result<webhooks::Invoked, Failure> {
    let mut context = serde_json::to_value(request).map_err(|error| Failure::fault(error.to_string()))?;
    if let Some(context) = context.as_object_mut() {
        context.remove("sessionInfo");
        context.insert("tag".into(), json!(request.tag()));
    }
    let call = webhooks::Call::new(&route.webhook).parameters(&request.session_info.parameters)?.context(&context)?;
    let invoked = call.send().map_err(|error| Failure::fault(error.to_string()))?;
    if invoked.delivered {
        return Ok(invoked);
    }
    let event = invoked.error_event.as_deref().unwrap_or("webhook.error");
    Err(Failure { status: failure(&invoked), message: format!("{} failed: {event}", route.webhook) })
}

fn respond(config: &Config, request: &WebhookRequest) -> Result<WebhookResponse, Failure> {
    let tag = request.tag();
    let route = config.tags.get(tag).ok_or_else(|| Failure::not_found(format!("no webhook answers the tag {tag:?}")))?;
    let invoked = invoke(route, request)?;
    let mut parameters = request.session_info.parameters.clone();
    let mut response = request.response();
    for (name, value) in &invoked.parameters {
        parameters.retain(|candidate, _| !candidate.eq_ignore_ascii_case(name));
        parameters.insert(name.clone(), value.clone());
        response = response.set(name, value)?;
    }
    Ok(match &route.message {
        Some(message) => response.say(filled(message, &parameters)),
        None => response,
    })
}

impl Receive for DialogflowFulfilment {
    fn receive(call: Invocation) -> Result<Reply, Error> {
        let config: Config = config()?;
        dialogflow::answer(&call, |request| respond(&config, request))
    }
}

#[cfg(test)]
mod tests;
