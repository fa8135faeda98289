//! Text. Lengths and places count characters, from 1 on.

use std::borrow::Cow;

use serde_json::Value;

use super::{failure::TOO_LARGE, number::index};
use crate::model::{
    binding::VALUE_BYTES_MAX,
    reference::expansion::{self, escape},
};

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A text that was put together, if it is not too long. `bytes` is its length, known before it is made.
fn within(bytes: Option<usize>, make: impl FnOnce() -> String) -> Result<Value, String> {
    match bytes {
        Some(bytes) if bytes <= VALUE_BYTES_MAX => Ok(Value::String(make())),
        _ => Err(TOO_LARGE.to_owned()),
    }
}

pub(super) fn concatenate(values: &[Value]) -> Result<Value, String> {
    let texts: Vec<_> = values.iter().map(text_of).collect();
    within(Some(texts.iter().map(|text| text.len()).sum()), || texts.concat())
}

pub(super) fn len(values: &[Value]) -> Result<Value, String> {
    Ok(Value::from(text(&values[0]).chars().count()))
}

pub(super) fn lower(values: &[Value]) -> Result<Value, String> {
    Ok(text(&values[0]).to_lowercase().into())
}

pub(super) fn upper(values: &[Value]) -> Result<Value, String> {
    Ok(text(&values[0]).to_uppercase().into())
}

/// A number of characters from a place, counted from 1; fewer if the text ends.
pub(super) fn mid(values: &[Value]) -> Result<Value, String> {
    let start = index(&values[1]).and_then(|start| start.checked_sub(1));
    let start = start.ok_or_else(|| "places in a text are counted from 1".to_owned())?;
    Ok(text(&values[0]).chars().skip(start).take(index(&values[2]).unwrap_or_default()).collect::<String>().into())
}

/// Every occurrence. The pattern is a plain text, no regular expression (our decision); an empty one is nowhere.
pub(super) fn substitute(values: &[Value]) -> Result<Value, String> {
    let (whole, pattern, replacement) = (text(&values[0]), text(&values[1]), text(&values[2]));
    if pattern.is_empty() {
        return Ok(values[0].clone());
    }
    let bytes = whole.matches(pattern).count().checked_mul(replacement.len()).and_then(|more| more.checked_add(whole.len()));
    within(bytes, || whole.replace(pattern, replacement))
}

/// Between the separators; an empty one parts the characters. An empty text is an empty list.
pub(super) fn split(values: &[Value]) -> Result<Value, String> {
    Ok(match (text(&values[0]), text(&values[1])) {
        ("", _) => Value::Array(Vec::new()),
        (whole, "") => whole.chars().map(String::from).collect(),
        (whole, separator) => whole.split(separator).collect(),
    })
}

/// With another separator before the last, if one is given: `a, b and c`.
pub(super) fn join(values: &[Value]) -> Result<Value, String> {
    let separator = text(&values[0]);
    let texts: Vec<_> = values[1].as_array().into_iter().flatten().map(text_of).collect();
    let gaps = texts.len().saturating_sub(1);
    let bytes = gaps.checked_mul(separator.len()).and_then(|more| more.checked_add(texts.iter().map(|text| text.len()).sum()));
    match (values.get(2), texts.split_last()) {
        (Some(last_separator), Some((last, others))) if !others.is_empty() => {
            let bytes = bytes.and_then(|bytes| bytes.checked_add(text(last_separator).len()));
            within(bytes, || [&others.join(separator), text(last_separator), last].concat())
        }
        _ => within(bytes, || texts.join(separator)),
    }
}

/// As values are escaped in a URL: everything but RFC 3986's unreserved characters. In a URL the value is escaped once more, so this is
/// for headers and bodies.
pub(super) fn url_encode(values: &[Value]) -> Result<Value, String> {
    Ok(escape(text(&values[0])).into_owned().into())
}

/// Version 4 of RFC 9562.
pub(super) fn uuid(draw: [u8; 32]) -> Value {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&draw[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex::encode(bytes);
    Value::String([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
}

/// A text as it is, anything else as JSON; an unset one is empty.
pub(super) fn text_of(value: &Value) -> Cow<'_, str> {
    if value.is_null() { Cow::Borrowed("") } else { expansion::text_of(value) }
}
