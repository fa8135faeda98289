//! Lists. Values are the same when they are the same JSON: `3` and `3.0`, objects in any order.

use std::collections::HashSet;

use serde_json::Value;

use super::number::index;

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A form that is the same for values that are.
fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Number(number) => match number.as_i64() {
            Some(whole) => out.push_str(&whole.to_string()),
            None => {
                let any = number.as_f64().unwrap_or_default();
                // `3.0` is written `3`, as the whole number is.
                out.push_str(&if any == 0.0 { "0".to_owned() } else { any.to_string() });
            }
        },
        Value::Array(items) => {
            out.push('[');
            for item in items {
                canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(key, _)| *key);
            out.push('{');
            for (key, member) in members {
                canonical(&Value::String(key.clone()), out);
                canonical(member, out);
            }
            out.push('}');
        }
        plain => out.push_str(&plain.to_string()),
    }
}

fn form(value: &Value) -> String {
    let mut out = String::new();
    canonical(value, &mut out);
    out
}

/// Whether two values are the same.
pub(super) fn same(left: &Value, right: &Value) -> bool {
    form(left) == form(right)
}

/// What is added; the members of what is a list itself.
pub(super) fn append(values: &[Value]) -> Result<Value, String> {
    let mut list = items(&values[0]).to_vec();
    for value in &values[1..] {
        match value {
            Value::Array(more) => list.extend_from_slice(more),
            one => list.push(one.clone()),
        }
    }
    Ok(Value::Array(list))
}

/// Every occurrence of each value; of the members of what is a list itself.
pub(super) fn remove(values: &[Value]) -> Result<Value, String> {
    let gone: HashSet<_> =
        values[1..].iter().flat_map(|value| value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice)).map(form).collect();
    Ok(items(&values[0]).iter().filter(|item| !gone.contains(&form(item))).cloned().collect())
}

/// The first of each.
pub(super) fn unique(values: &[Value]) -> Result<Value, String> {
    let mut seen = HashSet::new();
    Ok(items(&values[0]).iter().filter(|item| seen.insert(form(item))).cloned().collect())
}

pub(super) fn count(values: &[Value]) -> Result<Value, String> {
    Ok(Value::from(items(&values[0]).len()))
}

/// From 0 on; past the end is unset.
pub(super) fn get(values: &[Value]) -> Result<Value, String> {
    Ok(index(&values[1]).and_then(|at| items(&values[0]).get(at)).cloned().unwrap_or_default())
}

/// `CONTAIN(list, value)`. Public descriptions disagree on the order; ours is the list first, as in every other function on lists. Where
/// only the second argument is a list, that one is searched, so that the other order works too.
pub(super) fn contain(values: &[Value]) -> Result<Value, String> {
    let (list, value) = match (&values[0], &values[1]) {
        (Value::Array(list), value) | (value, Value::Array(list)) => (list.as_slice(), value),
        // An unset list is an empty one.
        (Value::Null, value) => (&[][..], value),
        _ => return Err("argument 1 is not a list".to_owned()),
    };
    let wanted = form(value);
    Ok(list.iter().any(|item| form(item) == wanted).into())
}

/// What is seen of CONTAIN before its values are known.
pub(super) fn check_contain(seen: &[Option<&Value>]) -> Result<(), String> {
    match seen {
        [Some(_), Some(_)] => Err("one of the arguments of `CONTAIN` is a list: `CONTAIN(list, value)`".to_owned()),
        _ => Ok(()),
    }
}

/// Where the value first stands, from 0 on; -1: nowhere.
pub(super) fn match_(values: &[Value]) -> Result<Value, String> {
    let wanted = form(&values[1]);
    Ok(items(&values[0]).iter().position(|item| form(item) == wanted).map_or(Value::from(-1), Value::from))
}
