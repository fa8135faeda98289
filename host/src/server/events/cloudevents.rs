//! CloudEvents 1.0 over HTTP (HTTP Protocol Binding, section 3). The content type says which of the three forms it is.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::input::EventInput;
use crate::server::{
    request::{Asked, parse, parse_value},
    respond::ApiError,
};

/// The events, and whether they came as a list; `None`: the request is no CloudEvent.
pub fn read(asked: &Asked) -> Result<Option<(Vec<EventInput>, bool)>, ApiError> {
    let media = asked.media_type();
    // The media type of the structured form is a prefix of that of the batch, so check the batch first (section 3.1).
    if media.starts_with("application/cloudevents-batch") {
        only_json(&media)?;
        let items: Vec<Map<String, Value>> = parse(&asked.body)?;
        let events = items.into_iter().map(structured).collect::<Result<Vec<_>, _>>()?;
        return if events.is_empty() { Err(ApiError::invalid("", "a batch of at least one event")) } else { Ok(Some((events, true))) };
    }
    if media.starts_with("application/cloudevents") {
        only_json(&media)?;
        return Ok(Some((vec![structured(parse(&asked.body)?)?], false)));
    }
    if asked.headers.contains_key("ce-specversion") { Ok(Some((vec![binary(asked)?], false))) } else { Ok(None) }
}

fn only_json(media: &str) -> Result<(), ApiError> {
    if media.ends_with("+json") { Ok(()) } else { Err(ApiError::UnsupportedMedia(format!("CloudEvents are read as JSON, not `{media}`"))) }
}

fn structured(mut fields: Map<String, Value>) -> Result<EventInput, ApiError> {
    if fields.contains_key("data_base64") {
        return Err(ApiError::UnsupportedMedia("`data_base64` is not JSON; events carry JSON data".to_owned()));
    }
    let data = fields.remove("data").unwrap_or_default();
    let mut attributes = BTreeMap::new();
    for (name, value) in fields {
        let text = match value {
            Value::String(text) => text,
            Value::Null => continue,
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            _ => return Err(ApiError::invalid(format!("/{name}"), "an attribute is text, a number or a boolean")),
        };
        attributes.insert(name, text);
    }
    event(attributes, data)
}

fn binary(asked: &Asked) -> Result<EventInput, ApiError> {
    let media = asked.media_type();
    if asked.headers.contains_key("ce-datacontenttype") {
        return Err(ApiError::invalid("", "`ce-datacontenttype` is forbidden: `Content-Type` says it"));
    }
    if !(asked.body.is_empty() || media == "application/json" || media.ends_with("+json")) {
        return Err(ApiError::UnsupportedMedia(format!("events carry JSON data, not `{media}`")));
    }
    let mut attributes = BTreeMap::new();
    for (name, value) in &asked.headers {
        let Some(attribute) = name.as_str().strip_prefix("ce-") else { continue };
        let text = std::str::from_utf8(value.as_bytes()).ok().and_then(decode_header);
        let text = text.ok_or_else(|| ApiError::invalid("", format!("the header `{name}` is not percent-encoded UTF-8")))?;
        attributes.insert(attribute.to_owned(), text);
    }
    let data = if asked.body.is_empty() { Value::Null } else { parse(&asked.body)? };
    event(attributes, data)
}

/// Decodes a header's value: double quotes, then percent-encoding, once (section 3.1.3.2). Invalid UTF-8 is refused.
fn decode_header(text: &str) -> Option<String> {
    let text = text.trim();
    let unquoted = match text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) => inner.replace("\\\"", "\"").replace("\\\\", "\\"),
        None => text.to_owned(),
    };
    percent_encoding::percent_decode_str(&unquoted).decode_utf8().ok().map(|text| text.into_owned())
}

fn event(mut attributes: BTreeMap<String, String>, data: Value) -> Result<EventInput, ApiError> {
    match attributes.remove("specversion").as_deref() {
        Some("1.0") => {}
        Some(other) => return Err(ApiError::invalid("/specversion", format!("`1.0` is what is read here, not `{other}`"))),
        None => return Err(ApiError::invalid("/specversion", "`specversion` is required: `1.0`")),
    }
    let mut required = |name: &str| {
        attributes
            .remove(name)
            .filter(|text| !text.is_empty())
            .ok_or_else(|| ApiError::invalid(format!("/{name}"), format!("`{name}` is required")))
    };
    let (id, source, trigger) = (required("id")?, required("source")?, required("type")?);
    let time = match attributes.remove("time") {
        Some(text) => Some(parse_value(Value::String(text)).map_err(|_| ApiError::invalid("/time", "an RFC 3339 time"))?),
        None => None,
    };
    attributes.remove("datacontenttype");
    let session = attributes.remove("session");
    let environment = attributes.remove("environment");
    Ok(EventInput { trigger, data, id: Some(id), source: Some(source), time, session, parameters: Map::new(), environment, attributes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_values_are_decoded_as_the_binding_says() {
        // The example in section 3.1.3.2.
        assert_eq!(decode_header("Euro%20%E2%82%AC%20%F0%9F%98%80").as_deref(), Some("Euro € 😀"));
        assert_eq!(decode_header("\"a b\"").as_deref(), Some("a b"));
        assert_eq!(decode_header("%C0%A0"), None);
    }
}
