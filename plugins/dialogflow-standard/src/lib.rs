//! Transform and answers: a Dialogflow agent's standard webhook, both directions.
//!
//! The request is made of the delivery's context (`tag`, one of `text`, `triggerIntent`, `transcript`, `triggerEvent`,
//! `dtmfDigits`, `languageCode`, `intentInfo`, `pageInfo`, `messages`, `payload` ...), the session and its parameters.
//! Of the response, `sessionInfo.parameters` become session parameters (null removes one); the rest is the output. No configuration.

use hookwright_guest::{Answer, Answers, Delivery, Error, Event, OrError, Outcome, Request, Transform, parameters};
use serde::Deserialize;
use serde_json::{Map, Value, json};

struct DialogflowStandard;
hookwright_guest::export!(DialogflowStandard: transform, answers);

/// What goes from the context into the request as it is.
const CARRIED: [&str; 12] = [
    "detectIntentResponseId",
    "text",
    "triggerIntent",
    "transcript",
    "triggerEvent",
    "dtmfDigits",
    "languageCode",
    "intentInfo",
    "messages",
    "payload",
    "sentimentAnalysisResult",
    "languageInfo",
];

/// `projects/.../agents/a/sessions/s` names the environment as well, when there is one.
fn session_name(session: &str, environment: Option<&str>) -> String {
    match (session.rsplit_once("/sessions/"), environment) {
        (Some((agent, id)), Some(environment)) if session.starts_with("projects/") && !agent.contains("/environments/") => {
            format!("{agent}/environments/{environment}/sessions/{id}")
        }
        _ => session.to_owned(),
    }
}

fn webhook_request(delivery: &Delivery, parameters: Map<String, Value>) -> Result<Value, Error> {
    let mut context: Map<String, Value> = delivery.context()?;
    let mut request = Map::new();
    request.insert("detectIntentResponseId".into(), json!(delivery.id));
    for name in CARRIED {
        request.extend(context.remove(name).map(|value| (name.to_owned(), value)));
    }
    let tag = context.remove("tag").unwrap_or_else(|| json!(""));
    request.insert("fulfillmentInfo".into(), context.remove("fulfillmentInfo").unwrap_or_else(|| json!({ "tag": tag })));
    let page = context.remove("pageInfo").unwrap_or_else(|| json!({ "currentPage": "", "displayName": "" }));
    request.insert("pageInfo".into(), page);
    let session = session_name(delivery.session.as_deref().unwrap_or_default(), delivery.environment.as_deref());
    request.insert("sessionInfo".into(), json!({ "session": session, "parameters": parameters }));
    Ok(request.into())
}

impl Transform for DialogflowStandard {
    fn apply(delivery: Delivery, _: Vec<Event>) -> Result<Option<Request>, Error> {
        Request::post().json(&webhook_request(&delivery, parameters::all()?)?).map(Some)
    }
}

/// What of a response means something; fields this page does not know are ignored, as the vendor does.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct WebhookResponse {
    fulfillment_response: Option<FulfillmentResponse>,
    page_info: Option<PageInfo>,
    session_info: Option<SessionInfo>,
    payload: Option<Map<String, Value>>,
    target_page: Option<String>,
    target_flow: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct FulfillmentResponse {
    messages: Vec<Map<String, Value>>,
    merge_behavior: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct PageInfo {
    form_info: FormInfo,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct FormInfo {
    parameter_info: Vec<Map<String, Value>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct SessionInfo {
    parameters: Map<String, Value>,
}

fn outcome(response: WebhookResponse) -> Result<Outcome, Error> {
    let mut outcome = Outcome::new();
    for (name, value) in response.session_info.unwrap_or_default().parameters {
        outcome = if value.is_null() { outcome.remove(name) } else { outcome.set(name, &value)? };
    }
    let mut output = Map::new();
    if let Some(FulfillmentResponse { messages, merge_behavior }) = response.fulfillment_response {
        let merge_behavior = match merge_behavior.as_deref() {
            None | Some("APPEND" | "MERGE_BEHAVIOR_UNSPECIFIED") => "APPEND",
            Some("REPLACE") => "REPLACE",
            Some(other) => return Err(Error::rejected(format_args!("mergeBehavior is APPEND or REPLACE, not {other}"))),
        };
        output.insert("fulfillmentResponse".into(), json!({ "messages": messages, "mergeBehavior": merge_behavior }));
    }
    // A response can only declare a form parameter invalid and change its value; other states have no effect.
    let mut invalid = response.page_info.unwrap_or_default().form_info.parameter_info;
    invalid.retain(|parameter| parameter.get("state").and_then(Value::as_str) == Some("INVALID"));
    invalid.iter_mut().for_each(|parameter| parameter.retain(|name, _| ["displayName", "state", "value"].contains(&name.as_str())));
    if !invalid.is_empty() {
        output.insert("pageInfo".into(), json!({ "formInfo": { "parameterInfo": invalid } }));
    }
    output.extend(response.payload.map(|payload| ("payload".into(), json!(payload))));
    let target = |target: Option<String>| target.filter(|name| !name.is_empty());
    match (target(response.target_page), target(response.target_flow)) {
        (Some(_), Some(_)) => return Err(Error::rejected("a response names targetPage or targetFlow, not both")),
        (Some(page), None) => output.extend([("targetPage".into(), json!(page))]),
        (None, Some(flow)) => output.extend([("targetFlow".into(), json!(flow))]),
        (None, None) => {}
    }
    outcome.output(&output)
}

impl Answers for DialogflowStandard {
    fn read(_: Delivery, answer: Answer) -> Result<Outcome, Error> {
        if answer.body.is_empty() {
            return Ok(Outcome::new());
        }
        outcome(serde_json::from_slice(&answer.body).or_reject("no WebhookResponse")?)
    }
}

#[cfg(test)]
mod tests;
