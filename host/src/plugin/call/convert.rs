//! Between the model and the generated types. What a guest returns is checked here: sizes, and JSON that has to be JSON.

use serde_json::{Map, Value};

use super::{
    context::{AnswerInput, DeliveryInput, InvocationInput, PluginOutcome, PluginReply},
    limits::{ERROR_CHARS_MAX, as_size},
};
use crate::{
    model::{
        event::Event,
        parameter::Change,
        plugin::{PluginFailure, limits::Limit},
        request::PluginRequest,
    },
    plugin::bindings::hookwright::plugin::types,
};

/// A delivery as guests see it.
pub(in crate::plugin) fn delivery(input: DeliveryInput) -> types::Delivery {
    let DeliveryInput { id, webhook_id, webhook_name, session, environment, context, now_ms, caller: _ } = input;
    let context = Value::Object(context).to_string();
    types::Delivery { id, webhook_id, webhook_name, session, environment, context, now_ms }
}

/// An event as guests see it.
pub(in crate::plugin) fn event(event: Event) -> types::Event {
    types::Event {
        time_ms: crate::clock::millis(event.time),
        id: event.id.0,
        trigger: event.trigger.as_str().to_owned(),
        source: event.source,
        session: event.session,
        environment: event.environment,
        attributes: event.attributes.into_iter().collect(),
        data: event.data.to_string(),
    }
}

/// An answer as guests see it.
pub(in crate::plugin) fn answer(AnswerInput { status, headers, body }: AnswerInput) -> types::Answer {
    types::Answer { status, headers, body }
}

/// An inbound call as guests see it.
pub(in crate::plugin) fn invocation(input: InvocationInput) -> types::Invocation {
    let InvocationInput { call_id, receiver_name, caller, session, environment, method, path, query, parameters, .. } = input;
    let InvocationInput { headers, body, verified, remote_address, now_ms, .. } = input;
    let parameters = parameters.into_iter().map(|(name, value)| (name, value.to_string())).collect();
    types::Invocation {
        call_id,
        receiver_name,
        caller,
        session,
        environment,
        method,
        path,
        query,
        parameters,
        headers,
        body,
        verified,
        remote_address,
        now_ms,
    }
}

/// Named values as JSON text.
pub(in crate::plugin) fn to_texts(values: &[(String, Value)]) -> Vec<(String, String)> {
    values.iter().map(|(name, value)| (name.clone(), value.to_string())).collect()
}

/// A transform's request, if it is small enough.
pub(in crate::plugin) fn request(request: Option<types::Request>, bytes_max: u64) -> Result<Option<PluginRequest>, PluginFailure> {
    let Some(types::Request { method, path_and_query, headers, content_type, body, bindings }) = request else { return Ok(None) };
    let bindings: Vec<_> = bindings.into_iter().map(|types::Binding { parameter, path }| (parameter, path)).collect();
    let texts = [&method, &path_and_query, &content_type].into_iter().flatten().map(String::len).sum::<usize>();
    within(texts + pairs_len(&headers) + pairs_len(&bindings) + body.as_ref().map_or(0, Vec::len), bytes_max)?;
    Ok(Some(PluginRequest { method, path_and_query, headers, content_type, body, bindings }))
}

/// What an answer means, if it is small enough and its values are JSON.
pub(in crate::plugin) fn outcome(outcome: types::Outcome, bytes_max: u64) -> Result<PluginOutcome, PluginFailure> {
    let values = outcome.parameters.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, String::len));
    within(values.sum::<usize>() + outcome.output.as_ref().map_or(0, String::len), bytes_max)?;
    let parameters = outcome.parameters.into_iter().map(|(name, value)| change(name, value).map_err(PluginFailure::BadOutput));
    let parameters = parameters.collect::<Result<_, _>>()?;
    let output = outcome.output.map(|text| json("`output`", &text)).transpose().map_err(PluginFailure::BadOutput)?;
    Ok(PluginOutcome { parameters, output })
}

/// A receiver's reply, if it is small enough and has a status.
pub(in crate::plugin) fn reply(reply: types::Reply, bytes_max: u64) -> Result<PluginReply, PluginFailure> {
    let types::Reply { status, headers, body } = reply;
    within(pairs_len(&headers) + body.len(), bytes_max)?;
    if !(200..=599).contains(&status) {
        return Err(PluginFailure::BadOutput(format!("the reply's status {status} is not one of 200 to 599")));
    }
    for (name, value) in &headers {
        check_header(name, value)
            .map_err(|why| PluginFailure::BadOutput(format!("the reply's header `{}` {why}", name.escape_default())))?;
    }
    Ok(PluginReply { status, headers, body })
}

/// Headers of the connection (RFC 9110, 7.6.1) and the length are the host's.
const HOSTS_OWN: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "content-length",
];

fn check_header(name: &str, value: &str) -> Result<(), &'static str> {
    let parsed: http::HeaderName = name.parse().map_err(|_| "is no header name")?;
    http::HeaderValue::from_str(value).map_err(|_| "has a value no header can have")?;
    if HOSTS_OWN.contains(&parsed.as_str()) { Err("is the host's own") } else { Ok(()) }
}

/// The guest's own error, of bounded length.
pub(in crate::plugin) fn guest_error(error: types::Error) -> PluginFailure {
    match error {
        types::Error::Rejected(text) => PluginFailure::Rejected(shortened(text)),
        types::Error::RetryLater(text) => PluginFailure::RetryLater(shortened(text)),
    }
}

/// What a script threw, of bounded length.
pub(in crate::plugin) fn threw(text: String) -> PluginFailure {
    PluginFailure::Threw(shortened(text))
}

/// One change of a parameter, or why it is none.
pub(in crate::plugin) fn change(name: String, value: Option<String>) -> Result<Change, String> {
    if name.is_empty() {
        return Err("a parameter needs a name".to_owned());
    }
    let value = value.map(|text| json(&format!("parameter `{name}`"), &text)).transpose()?;
    Ok((name, value))
}

/// `text` parsed, or a sentence that names it.
pub(in crate::plugin) fn json(what: &str, text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("{what} is not JSON: {error}"))
}

/// `text` parsed as a JSON object.
pub(in crate::plugin) fn object(what: &str, text: &str) -> Result<Map<String, Value>, String> {
    match json(what, text)? {
        Value::Object(map) => Ok(map),
        _ => Err(format!("{what} is not a JSON object")),
    }
}

fn pairs_len(pairs: &[(String, String)]) -> usize {
    pairs.iter().map(|(name, value)| name.len() + value.len()).sum()
}

fn within(bytes: usize, bytes_max: u64) -> Result<(), PluginFailure> {
    if bytes > as_size(bytes_max) { Err(PluginFailure::Limit(Limit::OutputBytes, bytes_max)) } else { Ok(()) }
}

fn shortened(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(ERROR_CHARS_MAX));
    text
}
