//! A Dialogflow CX agent's standard webhook, typed, for receivers: its WebhookRequest in, a WebhookResponse out, failures in the statuses
//! the agent knows. Field names are Google's (`google/cloud/dialogflow/cx/v3/webhook.proto`), JSON in lowerCamelCase.
//!
//! ```
//! use hookwright_guest::{Error, Invocation, Receive, Reply, dialogflow};
//!
//! struct Stock;
//! hookwright_guest::export!(Stock: receive);
//!
//! impl Receive for Stock {
//!     fn receive(call: Invocation) -> Result<Reply, Error> {
//!         dialogflow::answer(&call, |request| match request.tag() {
//!             "check-stock" => {
//!                 let sku: String = request.parameter("sku")?;
//!                 request.response().say(format!("There are 4 {sku} left.")).set("left", &4)
//!             }
//!             other => Err(dialogflow::Failure::not_found(format!("nothing answers the tag {other:?}"))),
//!         })
//!     }
//! }
//!
//! let request = serde_json::json!({
//!     "fulfillmentInfo": { "tag": "check-stock" },
//!     "sessionInfo": { "session": "projects/p/sessions/s", "parameters": { "sku": "A-12" } },
//! });
//! let reply = Stock::receive(Invocation::post(&request)?)?;
//! assert_eq!(reply.status, 200);
//! # Ok::<(), Error>(())
//! ```
//!
//! The receiver needs `"full_reply":true`, and `"session":"$.body.sessionInfo.session"` where it works with session parameters.

use std::fmt::Display;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use crate::{Error, Invocation, Reply, log};

/// What the agent sends. What is not known here is in `other`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct WebhookRequest {
    /// Identifies the agent's answer this call belongs to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detect_intent_response_id: String,
    /// The language the end user speaks, such as `fr`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub language_code: String,
    /// What the end user wrote. One of this and the next four is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The intent that was triggered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger_intent: Option<String>,
    /// What the end user said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transcript: Option<String>,
    /// The event that was triggered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger_event: Option<String>,
    /// The keys the end user pressed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dtmf_digits: Option<String>,
    /// Which fulfillment calls.
    pub fulfillment_info: FulfillmentInfo,
    /// The intent that was matched last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intent_info: Option<IntentInfo>,
    /// The current page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_info: Option<PageInfo>,
    /// The session.
    pub session_info: SessionInfo,
    /// The agent's messages so far, as ResponseMessage.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<Value>,
    /// What an integration adds: the caller's number, for example.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub payload: Map<String, Value>,
    /// How the end user sounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sentiment_analysis_result: Option<SentimentAnalysisResult>,
    /// Which languages were found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language_info: Option<LanguageInfo>,
    /// What this SDK does not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Which fulfillment calls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FulfillmentInfo {
    /// Its tag.
    pub tag: String,
}

/// The intent that was matched last.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct IntentInfo {
    /// Its resource name.
    pub last_matched_intent: String,
    /// Its name.
    pub display_name: String,
    /// Its parameters, by name.
    pub parameters: std::collections::BTreeMap<String, IntentParameter>,
    /// From 0 to 1.
    pub confidence: f64,
}

/// A parameter of an intent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct IntentParameter {
    /// As it was said.
    pub original_value: String,
    /// As it was understood.
    pub resolved_value: Value,
}

/// A page, and its form.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PageInfo {
    /// Its resource name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub current_page: String,
    /// Its name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub display_name: String,
    /// Its form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub form_info: Option<FormInfo>,
}

/// A form.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct FormInfo {
    /// Its parameters.
    pub parameter_info: Vec<ParameterInfo>,
}

/// A parameter of a form.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ParameterInfo {
    /// Its name.
    pub display_name: String,
    /// Whether the form needs it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// Whether it has a value.
    pub state: ParameterState,
    /// Its value.
    pub value: Value,
    /// Whether it got that just now.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub just_collected: bool,
}

/// Whether a parameter of a form has a value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ParameterState {
    /// Not known.
    #[default]
    #[serde(alias = "PARAMETER_STATE_UNSPECIFIED")]
    Unspecified,
    /// None.
    Empty,
    /// One that was refused.
    Invalid,
    /// One.
    Filled,
}

/// The session.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionInfo {
    /// Its resource name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub session: String,
    /// Its parameters, by name.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub parameters: Map<String, Value>,
}

/// How the end user sounds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SentimentAnalysisResult {
    /// From -1 (negative) to 1 (positive).
    pub score: f64,
    /// How strong.
    pub magnitude: f64,
}

/// Which languages were found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LanguageInfo {
    /// The request's.
    pub input_language_code: String,
    /// The one the agent works with.
    pub resolved_language_code: String,
    /// From 0 to 1.
    pub confidence_score: f64,
}

impl WebhookRequest {
    /// The request of a call.
    pub fn of(call: &Invocation) -> Result<Self, Failure> {
        let body: Value = call.json().map_err(|error| Failure::bad_request(error.reason()))?;
        if !body["fulfillmentInfo"].is_object() {
            return Err(Failure::bad_request("this is no WebhookRequest: it has no fulfillmentInfo"));
        }
        serde_json::from_value(body).map_err(|error| Failure::bad_request(format!("this is no WebhookRequest: {error}")))
    }

    /// The fulfillment's tag.
    pub fn tag(&self) -> &str {
        &self.fulfillment_info.tag
    }

    /// A session parameter, its name in any case. Read one that may be absent as an `Option`.
    pub fn parameter<T: DeserializeOwned>(&self, name: &str) -> Result<T, Failure> {
        let found = self.session_info.parameters.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let value = found.map_or(Value::Null, |(_, value)| value.clone());
        serde_json::from_value(value).map_err(|error| Failure::bad_request(format!("the session parameter {name}: {error}")))
    }

    /// A parameter of the current page's form.
    pub fn form_parameter(&self, name: &str) -> Option<&ParameterInfo> {
        let form = self.page_info.as_ref()?.form_info.as_ref()?;
        form.parameter_info.iter().find(|parameter| parameter.display_name.eq_ignore_ascii_case(name))
    }

    /// An answer that says nothing yet.
    pub fn response(&self) -> WebhookResponse {
        WebhookResponse::default()
    }
}

/// What the agent is answered. All of it is optional.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct WebhookResponse {
    /// Messages to the end user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fulfillment_response: Option<FulfillmentResponse>,
    /// Parameters of the form that are not taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_info: Option<PageInfo>,
    /// Session parameters to set; `null` removes one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_info: Option<SessionInfo>,
    /// What goes through to the integration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<Map<String, Value>>,
    /// The page to go to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_page: Option<String>,
    /// The flow to go to; not beside a page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_flow: Option<String>,
}

/// Messages to the end user.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct FulfillmentResponse {
    /// ResponseMessages.
    pub messages: Vec<Value>,
    /// What becomes of the agent's own.
    #[serde(skip_serializing_if = "MergeBehavior::is_append")]
    pub merge_behavior: MergeBehavior,
}

/// What becomes of the agent's own messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MergeBehavior {
    /// These come behind them.
    #[default]
    #[serde(alias = "MERGE_BEHAVIOR_UNSPECIFIED")]
    Append,
    /// These come in their place.
    Replace,
}

impl MergeBehavior {
    fn is_append(&self) -> bool {
        *self == Self::Append
    }
}

impl WebhookResponse {
    /// One text more.
    pub fn say(self, text: impl Into<String>) -> Self {
        self.message(json!({ "text": { "text": [text.into()] } }))
    }

    /// One ResponseMessage more: `{"payload":{...}}`, `{"endInteraction":{}}`, `{"liveAgentHandoff":{...}}` ...
    pub fn message(mut self, message: Value) -> Self {
        self.fulfillment_response.get_or_insert_default().messages.push(message);
        self
    }

    /// The messages come in place of the agent's own.
    pub fn replacing(mut self) -> Self {
        self.fulfillment_response.get_or_insert_default().merge_behavior = MergeBehavior::Replace;
        self
    }

    /// Sets a session parameter.
    pub fn set(mut self, name: impl Into<String>, value: &impl Serialize) -> Result<Self, Failure> {
        let value = serde_json::to_value(value).map_err(|error| Failure::fault(error.to_string()))?;
        self.session_info.get_or_insert_default().parameters.insert(name.into(), value);
        Ok(self)
    }

    /// Removes a session parameter.
    pub fn remove(mut self, name: impl Into<String>) -> Self {
        self.session_info.get_or_insert_default().parameters.insert(name.into(), Value::Null);
        self
    }

    /// Refuses the value of a parameter of the form: the agent asks for it again.
    pub fn invalid(mut self, name: impl Into<String>) -> Self {
        let refused = ParameterInfo { display_name: name.into(), state: ParameterState::Invalid, ..ParameterInfo::default() };
        self.page_info.get_or_insert_default().form_info.get_or_insert_default().parameter_info.push(refused);
        self
    }

    /// What goes through to the integration.
    pub fn payload(mut self, payload: Map<String, Value>) -> Self {
        self.payload = Some(payload);
        self
    }

    /// Goes to a page, by its resource name.
    pub fn to_page(mut self, page: impl Into<String>) -> Self {
        (self.target_page, self.target_flow) = (Some(page.into()), None);
        self
    }

    /// Goes to a flow, by its resource name.
    pub fn to_flow(mut self, flow: impl Into<String>) -> Self {
        (self.target_page, self.target_flow) = (None, Some(flow.into()));
        self
    }
}

/// Why the agent gets no answer: one of the statuses the page "Webhooks" asks of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// 400, 401, 403, 404, 500 or 503.
    pub status: u16,
    /// For the log, and for the agent's.
    pub message: String,
}

impl Failure {
    /// 400: the request cannot be understood.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self { status: 400, message: message.into() }
    }

    /// 401: who calls is not known.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self { status: 401, message: message.into() }
    }

    /// 403: who calls may not.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self { status: 403, message: message.into() }
    }

    /// 404: what is asked for is not there.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self { status: 404, message: message.into() }
    }

    /// 500: our fault.
    pub fn fault(message: impl Into<String>) -> Self {
        Self { status: 500, message: message.into() }
    }

    /// 503: not now.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self { status: 503, message: message.into() }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.status, self.message)
    }
}

impl std::error::Error for Failure {}

/// What is rejected is a bad request, what may work later is unavailable.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Rejected(reason) => Self::bad_request(reason),
            Error::RetryLater(reason) => Self::unavailable(reason),
        }
    }
}

/// What the host does not do for us is our fault: a grant is missing.
impl From<crate::Refused> for Failure {
    fn from(refused: crate::Refused) -> Self {
        Self::fault(refused.0)
    }
}

/// Answers a call: reads its request, hands it to `respond`, and writes what that says. A failure is answered with its status, and
/// keeps what was emitted and set before it.
pub fn answer(call: &Invocation, respond: impl FnOnce(&WebhookRequest) -> Result<WebhookResponse, Failure>) -> Result<Reply, Error> {
    match WebhookRequest::of(call).and_then(|request| respond(&request)) {
        Ok(response) => Reply::json(&response),
        Err(Failure { status, message }) => {
            log::warn(format_args!("{status}: {message}"));
            Ok(Reply::json(&json!({ "status": status, "message": message }))?.status(status))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every field of a WebhookRequest.
    fn request() -> Value {
        json!({
            "detectIntentResponseId": "d-1", "languageCode": "fr", "text": "deux pommes", "fulfillmentInfo": { "tag": "check" },
            "intentInfo": { "lastMatchedIntent": "projects/p/intents/i", "displayName": "order",
                "parameters": { "fruit": { "originalValue": "pommes", "resolvedValue": "apple" } }, "confidence": 0.9 },
            "pageInfo": { "currentPage": "projects/p/pages/p", "displayName": "Order", "formInfo": { "parameterInfo": [
                { "displayName": "size", "required": true, "state": "FILLED", "value": 3, "justCollected": true } ] } },
            "sessionInfo": { "session": "projects/p/sessions/s", "parameters": { "Size": 3 } },
            "messages": [{ "text": { "text": ["Bonjour"] } }], "payload": { "telephony": { "caller_id": "+331" } },
            "sentimentAnalysisResult": { "score": 0.1, "magnitude": 0.2 },
            "languageInfo": { "inputLanguageCode": "fr", "resolvedLanguageCode": "fr", "confidenceScore": 0.9 },
            "somethingNew": { "a": 1 },
        })
    }

    #[test]
    fn a_request_is_read_whole_and_written_as_it_was() {
        let read: WebhookRequest = serde_json::from_value(request()).expect("a request");
        assert_eq!(serde_json::to_value(&read).expect("JSON"), request());
        assert_eq!((read.tag(), read.parameter::<u32>("size").expect("a number")), ("check", 3));
        assert_eq!(read.parameter::<Option<u32>>("none").expect("nothing"), None);
        assert_eq!(read.parameter::<String>("size").expect_err("a number").status, 400);
        assert_eq!(read.form_parameter("SIZE").map(|size| (size.state, size.just_collected)), Some((ParameterState::Filled, true)));
        assert_eq!(read.other["somethingNew"], json!({ "a": 1 }));
    }

    #[test]
    fn a_response_has_every_field_there_is() {
        let request = WebhookRequest::default();
        let payload = json!({ "any": 1 }).as_object().cloned().expect("an object");
        let response = request.response().say("Bonjour").message(json!({ "endInteraction": {} })).replacing();
        let response = response.set("total", &12).expect("a number").remove("draft").invalid("size").payload(payload);
        assert_eq!(
            serde_json::to_value(response.to_flow("f").to_page("p")).expect("JSON"),
            json!({
                "fulfillmentResponse": { "messages": [{ "text": { "text": ["Bonjour"] } }, { "endInteraction": {} }], "mergeBehavior": "REPLACE" },
                "pageInfo": { "formInfo": { "parameterInfo": [{ "displayName": "size", "state": "INVALID", "value": null }] } },
                "sessionInfo": { "parameters": { "total": 12, "draft": null } },
                "payload": { "any": 1 }, "targetPage": "p",
            })
        );
    }

    #[test]
    fn failures_have_the_statuses_of_the_page() {
        let call = |body: &Value| Invocation::post(body).expect("a call");
        let status = |failure: Failure| answer(&call(&request()), |_| Err(failure)).expect("a reply").status;
        for (failure, expected) in [
            (Failure::bad_request("x"), 400),
            (Failure::unauthorized("x"), 401),
            (Failure::forbidden("x"), 403),
            (Failure::not_found("x"), 404),
            (Failure::fault("x"), 500),
            (Failure::unavailable("x"), 503),
            (Error::rejected("x").into(), 400),
            (Error::retry_later("x").into(), 503),
            (crate::Refused("x".into()).into(), 500),
        ] {
            assert_eq!(status(failure), expected);
        }
        assert_eq!(answer(&call(&json!([])), |_| Ok(WebhookResponse::default())).expect("a reply").status, 400);
    }
}
