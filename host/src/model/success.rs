//! What makes an accepted answer a success: a JSONPath on its JSON document, where a 2xx status alone says too little.

use serde_json::Value;

use super::filter::json_path::{JsonPath, JsonPathError, OverBudget, Steps};

/// The rule. A path to one value (`$.ok`) holds where that value is there and neither `false` nor `null`; any other path
/// (`$[?$.status=='accepted']`) holds where it finds something.
#[derive(Clone, Debug, PartialEq)]
pub struct SuccessRule(JsonPath);

impl SuccessRule {
    /// Reads a rule.
    pub fn parse(text: &str) -> Result<Self, JsonPathError> {
        JsonPath::parse(text).map(Self)
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether an answer of this document is a success. An error: that cannot be told within the budget.
    pub fn holds(&self, document: &Value) -> Result<bool, OverBudget> {
        if !self.0.is_singular() {
            return self.0.finds(document, &mut Steps::default());
        }
        Ok(match self.0.find(document)?.as_slice() {
            [Value::Bool(false) | Value::Null] => false,
            found => !found.is_empty(),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn holds(rule: &str, document: Value, expected: bool) {
        assert_eq!(SuccessRule::parse(rule).unwrap().holds(&document), Ok(expected), "{rule} {document}");
    }

    #[test]
    fn a_path_to_one_value_wants_it_there_and_neither_false_nor_null() {
        holds("$.ok", json!({"ok": true}), true);
        holds("$['ok']", json!({"ok": false}), false);
        holds("$.ok", json!({"ok": null}), false);
        holds("$.ok", json!({"error": "channel_not_found"}), false);
        holds("$.results[0].id", json!({"results": [{"id": 0}]}), true);
        holds("$.results[0].id", json!({"results": []}), false);
        holds("$", json!(false), false);
        holds("$.ok", json!("ok"), false);
    }

    #[test]
    fn any_other_path_wants_to_find_something() {
        holds("$[?$.status=='accepted']", json!({"status": "accepted", "done": false}), true);
        holds("$[?$.status=='accepted']", json!({"status": "rejected"}), false);
        // A filter may look for what is false or null itself.
        holds("$[?$.error==null]", json!({"error": null}), true);
        holds("$[?$.error==null]", json!({"error": "full"}), false);
        holds("$.errors[*]", json!({"errors": [false]}), true);
    }
}
