//! Where two documents differ, and where two requests do: what an author looks at before a new version takes over.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{problem::segment, request::BuiltRequest};

/// Differences shown of one pair.
pub const DIFFERENCES_MAX: usize = 50;
/// Characters shown of a value.
const SHOWN_CHARS_MAX: usize = 500;

/// One place where two requests differ.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Difference {
    /// Where: `/method`, `/url`, `/headers/NAME`, `/bindings/PARAMETER`, or a JSON pointer below `/body`.
    #[schema(example = "/body/items/0/title")]
    pub pointer: String,
    /// What stands there in the active version's request; null: nothing.
    pub active: Value,
    /// What stands there in the candidate's.
    pub candidate: Value,
}

/// Where `candidate` differs from `active`, at most [`DIFFERENCES_MAX`] places.
pub fn differences(active: &BuiltRequest, candidate: &BuiltRequest) -> Vec<Difference> {
    let mut found = Found::default();
    found.texts("/method", &active.method, &candidate.method);
    if active.url != candidate.url {
        found.add("/url".to_owned(), active.shown_url().into(), candidate.shown_url().into());
    }
    found.pairs("/headers", &shown_headers(active), &shown_headers(candidate));
    found.pairs("/bindings", &active.bindings, &candidate.bindings);
    if active.body != candidate.body {
        let read = |body: &[u8]| serde_json::from_slice::<Value>(body);
        match (read(&active.body), read(&candidate.body)) {
            (Ok(active), Ok(candidate)) => found.values("/body", &active, &candidate),
            _ => {
                let text = |body: &[u8]| Value::from(String::from_utf8_lossy(body).into_owned());
                found.add("/body".to_owned(), text(&active.body), text(&candidate.body));
            }
        }
        if found.0.is_empty() {
            // Equal as JSON, and yet the receiver gets and the signature covers other bytes.
            found.add("/body".to_owned(), "the same JSON".into(), "written differently".into());
        }
    }
    found.0
}

/// Headers without what an admin spelt out, which may be a credential.
fn shown_headers(request: &BuiltRequest) -> Vec<(String, String)> {
    let shown = |(name, value): &(String, String)| {
        let value = if request.spelt_out.contains(name) { "(redacted)" } else { value };
        (name.clone(), value.to_owned())
    };
    request.headers.iter().map(shown).collect()
}

#[derive(Default)]
struct Found(Vec<Difference>);

impl Found {
    fn add(&mut self, pointer: String, active: Value, candidate: Value) {
        if self.0.len() < DIFFERENCES_MAX {
            self.0.push(Difference { pointer, active: shown(active), candidate: shown(candidate) });
        }
    }

    fn texts(&mut self, pointer: &str, active: &str, candidate: &str) {
        if active != candidate {
            self.add(pointer.to_owned(), active.into(), candidate.into());
        }
    }

    /// Headers and bindings: by name; one that stands several times is compared as the list of its values.
    fn pairs(&mut self, pointer: &str, active: &[(String, String)], candidate: &[(String, String)]) {
        let of = |pairs: &[(String, String)], name: &str| {
            let mut values: Vec<Value> = pairs.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str().into()).collect();
            match values.len() {
                0 => Value::Null,
                1 => values.remove(0),
                _ => values.into(),
            }
        };
        let mut names: Vec<&str> = active.iter().chain(candidate).map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let (active, candidate) = (of(active, name), of(candidate, name));
            if active != candidate {
                self.add(format!("{pointer}{}", segment(name)), active, candidate);
            }
        }
    }

    fn values(&mut self, pointer: &str, active: &Value, candidate: &Value) {
        walk(pointer, active, candidate, Lists::ByPlace, &mut |at, active, candidate| {
            self.add(at.to_owned(), active.clone(), candidate.clone());
        });
    }
}

/// How lists are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lists {
    /// As one value.
    Whole,
    /// What stands in one place with what stands there in the other.
    ByPlace,
}

/// Tells `found` of each place, a JSON pointer below `at`, where `theirs` differs from `ours`; what is not there is null.
pub fn walk<'a>(at: &str, ours: &'a Value, theirs: &'a Value, lists: Lists, found: &mut impl FnMut(&str, &'a Value, &'a Value)) {
    match (ours, theirs) {
        _ if ours == theirs => {}
        (Value::Object(ours), Value::Object(theirs)) => {
            let new = theirs.keys().filter(|name| !ours.contains_key(*name));
            for name in ours.keys().chain(new) {
                let of = |fields: &'a Map<String, Value>| fields.get(name).unwrap_or(&Value::Null);
                walk(&format!("{at}{}", segment(name)), of(ours), of(theirs), lists, found);
            }
        }
        (Value::Array(ours), Value::Array(theirs)) if lists == Lists::ByPlace => {
            for index in 0..ours.len().max(theirs.len()) {
                let of = |list: &'a [Value]| list.get(index).unwrap_or(&Value::Null);
                walk(&format!("{at}/{index}"), of(ours), of(theirs), lists, found);
            }
        }
        _ => found(at, ours, theirs),
    }
}

/// A value short enough to be looked at.
fn shown(value: Value) -> Value {
    let text = match &value {
        Value::String(text) => text.clone(),
        Value::Array(_) | Value::Object(_) => value.to_string(),
        _ => return value,
    };
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}... ({} bytes)", &text[..end], text.len()).into(),
        None => value,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(body: &Value) -> BuiltRequest {
        BuiltRequest {
            shown_url: None,
            spelt_out: Vec::new(),
            method: "POST".into(),
            url: "https://h.example/a?sig=1".into(),
            headers: vec![("content-type".into(), "application/json".into())],
            body: body.to_string().into_bytes(),
            bindings: Vec::new(),
        }
    }

    fn pointers(found: &[Difference]) -> Vec<&str> {
        found.iter().map(|difference| difference.pointer.as_str()).collect()
    }

    #[test]
    fn equal_requests_do_not_differ() {
        assert!(differences(&request(&json!({"a": 1})), &request(&json!({"a": 1}))).is_empty());
    }

    #[test]
    fn a_body_differs_where_its_values_do() {
        let ours = request(&json!({"a": {"b/c": 1, "same": 2}, "list": [1, 2], "gone": true}));
        let theirs = request(&json!({"a": {"b/c": 9, "same": 2}, "list": [1, 3, 4], "new": null}));
        let found = differences(&ours, &theirs);
        assert_eq!(pointers(&found), ["/body/a/b~1c", "/body/list/1", "/body/list/2", "/body/gone"]);
        assert_eq!((&found[0].active, &found[0].candidate), (&json!(1), &json!(9)));
    }

    #[test]
    fn other_bytes_of_the_same_json_are_a_difference() {
        let mut spaced = request(&json!({"a": 1}));
        spaced.body = b"{ \"a\": 1 }".to_vec();
        assert_eq!(pointers(&differences(&request(&json!({"a": 1})), &spaced)), ["/body"]);
    }

    #[test]
    fn urls_are_shown_without_their_values_and_headers_by_name() {
        let mut other = request(&json!({}));
        other.url = "https://h.example/a?sig=2".into();
        other.headers = vec![("x".into(), "1".into()), ("x".into(), "2".into())];
        let found = differences(&request(&json!({})), &other);
        assert_eq!(pointers(&found), ["/url", "/headers/content-type", "/headers/x"]);
        assert!(!found[0].candidate.to_string().contains("sig=2"), "{found:?}");
        assert_eq!(found[2].candidate, json!(["1", "2"]));
    }

    #[test]
    fn what_is_shown_is_bounded() {
        let long = |letter: &str| request(&json!({ "text": letter.repeat(10_000), "list": vec![letter; 1000] }));
        let found = differences(&long("a"), &long("b"));
        assert_eq!(found.len(), DIFFERENCES_MAX);
        assert!(found[0].active.as_str().is_some_and(|text| text.len() < 600 && text.ends_with("(10000 bytes)")));
    }
}
