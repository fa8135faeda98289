//! `updateMask`.

use serde_json::{Value, json};

use super::names::{DIRECTORY, GENERIC};
use crate::model::problem::Problem;

/// Lays the fields of `mask` of `written` over `current`: protocol buffers' FieldMask, in either spelling.
pub fn masked(current: &Value, written: &Value, mask: &str) -> Result<Value, Problem> {
    let mut merged = current.clone();
    for path in mask.split(',').map(str::trim).filter(|path| !path.is_empty()) {
        if path == "*" {
            return Ok(written.clone());
        }
        let keys: Vec<String> = path.split('.').map(camel).collect();
        let pointer: String = keys.iter().map(|key| format!("/{key}")).collect();
        let value = written.pointer(&pointer).filter(|value| !value.is_null());
        let Some((last, parents)) = keys.split_last() else { continue };
        let mut at = &mut merged;
        for key in parents {
            at = &mut at[key.as_str()];
            if at.is_null() {
                *at = json!({});
            }
        }
        let Value::Object(fields) = at else { return Err(Problem::new("/updateMask", format!("`{path}` is no field of a webhook"))) };
        match value {
            Some(value) => drop(fields.insert(last.clone(), value.clone())),
            None => drop(fields.remove(last)),
        }
        if let Some(other) = [(GENERIC, DIRECTORY), (DIRECTORY, GENERIC)].into_iter().find(|(one, _)| keys[0] == *one && value.is_some()) {
            // One of the two: what is set takes the other's place.
            drop(merged.as_object_mut().map(|fields| fields.remove(other.1)));
        }
    }
    Ok(merged)
}

/// `display_name` as `displayName`.
fn camel(word: &str) -> String {
    let mut out = String::new();
    let mut upper = false;
    for c in word.chars() {
        match c {
            '_' => upper = true,
            c if upper => (upper, _) = (false, out.push(c.to_ascii_uppercase())),
            c => out.push(c),
        }
    }
    out
}
