//! Objects, and values as they are.

use serde_json::Value;

use super::number::index;

/// A member, by its exact name; one that is not there is unset.
pub(super) fn get_field(values: &[Value]) -> Result<Value, String> {
    Ok(values[1].as_str().and_then(|key| values[0].get(key)).cloned().unwrap_or_default())
}

/// The same, one member in another; a number is a place in a list, from 0 on.
pub(super) fn nested_field(values: &[Value]) -> Result<Value, String> {
    let mut value = &values[0];
    for key in &values[1..] {
        let next = match key {
            Value::String(key) => value.get(key),
            key => index(key).and_then(|at| value.get(at)),
        };
        match next {
            Some(next) => value = next,
            None => return Ok(Value::Null),
        }
    }
    Ok(value.clone())
}

/// The value itself.
pub(super) fn identity(values: &[Value]) -> Result<Value, String> {
    Ok(values[0].clone())
}
