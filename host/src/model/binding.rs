//! What an answer leaves in the session.

use serde_json::Value;

use super::filter::json_path::{JsonPath, OverBudget, Steps};

/// The longest parameter name, in characters.
pub const PARAMETER_CHARS_MAX: usize = 128;
/// The largest value one binding may set, in bytes of JSON as estimated. Our decision: overlapping matches (`$..*`)
/// could otherwise multiply an answer by its depth.
pub const VALUE_BYTES_MAX: usize = 1024 * 1024;
/// The values all bindings of one answer may set together, in the same bytes.
pub const VALUES_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The word before a path that binds the first value found rather than all: `first $.items[*].id`.
pub const FIRST: &str = "first";

/// The sentence for a name that cannot be one.
pub const PARAMETER_NAME_RULE: &str = "a parameter is named with 1 to 128 letters, digits, `.`, `-` or `_`";

/// Whether `name` can name a session parameter: letters A to Z, digits, `.`, `-` and `_` (Dialogflow CX, "Parameters"). The length
/// limit is ours.
pub fn is_parameter_name(name: &str) -> bool {
    (1..=PARAMETER_CHARS_MAX).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

/// A parameter's name and where in the answer its value stands (Dialogflow CX, "Webhooks", response configuration).
#[derive(Clone, Debug, PartialEq)]
pub struct Binding {
    parameter: String,
    path: JsonPath,
    /// Of several values, the first one alone.
    is_first: bool,
}

impl Binding {
    /// The session parameter it sets.
    pub fn parameter(&self) -> &str {
        &self.parameter
    }

    /// Whether what it binds is a list by how the path is written, where version 0.1 bound one value alone if it found one.
    pub fn binds_list(&self) -> bool {
        !self.is_first && !self.path.is_singular()
    }

    /// Where the value stands, without the word `first`.
    pub fn path(&self) -> &str {
        self.path.as_str()
    }
}

/// The bindings of one webhook.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bindings(Vec<Binding>);

/// What bindings made of an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bound {
    /// Parameters and their new values: of a path of names and indices alone the value itself, of any other the list of what it found.
    pub changes: Vec<(String, Value)>,
    /// Parameters whose path of names and indices found nothing; they stay as they are.
    pub unmatched: Vec<String>,
    /// Parameters whose value would be larger than [`VALUE_BYTES_MAX`], or with those before it than [`VALUES_BYTES_MAX`]; they stay as
    /// they are.
    pub oversized: Vec<String>,
    /// Parameters whose path did not come to its end within the budget, and why; they stay as they are.
    pub over_budget: Vec<(String, OverBudget)>,
}

impl Bindings {
    /// Reads bindings. The error names the parameter at fault.
    pub fn parse<N: AsRef<str>, P: AsRef<str>>(pairs: impl IntoIterator<Item = (N, P)>) -> Result<Self, (String, String)> {
        let mut bindings: Vec<Binding> = Vec::new();
        for (parameter, path) in pairs {
            let parameter = parameter.as_ref();
            let refused = |detail: String| (parameter.to_owned(), detail);
            if !is_parameter_name(parameter) {
                return Err(refused(format!("a parameter's name is 1 to {PARAMETER_CHARS_MAX} of A–Z, a–z, 0–9, `.`, `-` and `_`")));
            }
            if bindings.iter().any(|binding| binding.parameter.eq_ignore_ascii_case(parameter)) {
                return Err(refused("this parameter is bound twice; names are compared without case".to_owned()));
            }
            let (is_first, text) = split_first(path.as_ref());
            let path = JsonPath::parse(text).map_err(|error| refused(error.to_string()))?;
            bindings.push(Binding { parameter: parameter.to_owned(), path, is_first });
        }
        Ok(Self(bindings))
    }

    /// Each of them, in the order written.
    pub fn iter(&self) -> impl Iterator<Item = &Binding> {
        self.0.iter()
    }

    /// Whether there are none, so that an answer need not be read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What they find in `answer`, within one budget. That no match leaves the parameter alone is our decision; the page is silent.
    pub fn apply(&self, answer: &Value) -> Bound {
        self.apply_within(answer, &mut Steps::default())
    }

    /// The same, on a budget that others share.
    pub fn apply_within(&self, answer: &Value, steps: &mut Steps) -> Bound {
        let mut bound = Bound::default();
        let mut together = VALUES_BYTES_MAX;
        for binding @ Binding { parameter, path, is_first } in &self.0 {
            let mut found = match path.find_within(answer, steps) {
                Ok(found) => found,
                Err(error) => {
                    bound.over_budget.push((parameter.clone(), error));
                    continue;
                }
            };
            if *is_first {
                found.truncate(1);
            }
            let most = VALUE_BYTES_MAX.min(together);
            let mut left = most;
            if found.is_empty() && !binding.binds_list() {
                bound.unmatched.push(parameter.clone());
            } else if found.iter().any(|value| !spend(value, &mut left)) {
                bound.oversized.push(parameter.clone());
            } else {
                together -= most - left;
                let value = match found.as_slice() {
                    [one] if !binding.binds_list() => (*one).clone(),
                    several => several.iter().map(|value| (*value).clone()).collect(),
                };
                bound.changes.push((parameter.clone(), value));
            }
        }
        bound
    }
}

/// Whether the path is written with the word [`FIRST`] before it, and the path.
pub(super) fn split_first(text: &str) -> (bool, &str) {
    let path = text.strip_prefix(FIRST).filter(|rest| rest.starts_with(' ')).map(str::trim_start);
    path.map_or((false, text), |path| (true, path))
}

/// Takes the size of `value` as JSON, estimated without writing it, off `left`; false when there is not enough.
pub(super) fn spend(value: &Value, left: &mut usize) -> bool {
    let own = match value {
        Value::String(text) => text.len() + 3,
        Value::Number(_) => 8,
        Value::Object(fields) => fields.keys().map(|key| key.len() + 4).sum::<usize>() + 2,
        _ => 5,
    };
    let Some(rest) = left.checked_sub(own) else { return false };
    *left = rest;
    match value {
        Value::Array(items) => items.iter().all(|item| spend(item, left)),
        Value::Object(fields) => fields.values().all(|item| spend(item, left)),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_to_one_value_binds_it_and_any_other_binds_a_list() {
        let bindings = [
            ("distance", "$.routes[0].legs[0].distance.value"),
            ("texts", "$.routes[*].text"),
            ("legs", "$.routes[*].legs[*].distance.value"),
            ("no-list", "$.no[*]"),
            ("one", "first $.routes[*].text"),
            ("none", "first $.no[*]"),
            ("missing", "$.no"),
        ];
        let bound = Bindings::parse(bindings)
            .unwrap()
            .apply(&json!({"routes": [{"legs": [{"distance": {"value": 3}}], "text": "a"}, {"text": "b"}]}));
        let changes =
            [("distance", json!(3)), ("texts", json!(["a", "b"])), ("legs", json!([3])), ("no-list", json!([])), ("one", json!("a"))];
        assert_eq!(bound.changes, changes.map(|(name, value)| (name.to_owned(), value)));
        assert_eq!(bound.unmatched, ["none", "missing"]);
    }

    #[test]
    fn bindings_over_budget_are_named_and_share_one_budget() {
        let answer = json!(vec![0; 400_000]);
        let bound = Bindings::parse([("some", "$[0]"), ("all", "$..[?@ == 1]"), ("after", "$[0]")]).unwrap().apply(&answer);
        assert_eq!(bound.changes, [("some".to_owned(), json!(0))]);
        assert_eq!(bound.over_budget, [("all".to_owned(), OverBudget::Steps), ("after".to_owned(), OverBudget::Steps)]);
    }

    #[test]
    fn a_null_is_a_match_and_removes_the_parameter() {
        let bound = Bindings::parse([("a", "$.a")]).unwrap().apply(&json!({"a": null}));
        assert_eq!(bound.changes, [("a".to_owned(), Value::Null)]);
    }

    #[test]
    fn names_and_paths_are_checked_when_written() {
        for (name, path) in [("", "$.a"), ("a b", "$.a"), ("é", "$.a"), ("a", "b"), ("a", "$.["), ("a", "")] {
            let (at, _) = Bindings::parse([(name, path)]).unwrap_err();
            assert_eq!(at, name);
        }
        assert!(Bindings::parse([("a".repeat(128), "$")]).is_ok());
        assert!(Bindings::parse([("a".repeat(129), "$")]).is_err());
        assert_eq!(Bindings::parse([("size", "$.a"), ("Size", "$.b")]).unwrap_err().0, "Size");
        let bindings = Bindings::parse([("a.b-c_9".to_owned(), "$.a".to_owned())]).unwrap();
        assert_eq!(bindings.iter().map(|b| (b.parameter(), b.path())).collect::<Vec<_>>(), [("a.b-c_9", "$.a")]);
    }

    #[test]
    fn overlapping_matches_do_not_multiply_an_answer() {
        let mut answer = json!("x".repeat(60_000));
        for _ in 0..100 {
            answer = json!([answer]);
        }
        let bound = Bindings::parse([("all", "$..*")]).unwrap().apply(&answer);
        assert_eq!((bound.changes.len(), bound.oversized), (0, vec!["all".to_owned()]));
    }

    #[test]
    fn many_bindings_of_the_same_large_value_are_bounded_together() {
        let names: Vec<_> = (0..100).map(|n| format!("p{n}")).collect();
        let bindings = Bindings::parse(names.iter().map(|name| (name, "$"))).unwrap();
        let bound = bindings.apply(&json!("x".repeat(VALUE_BYTES_MAX - 3)));
        assert_eq!((bound.changes.len(), bound.oversized.len()), (4, 96));
        assert_eq!(bound.oversized[0], "p4");
    }
}
