//! The narrowing of a selector: a JSONPath over the event.

pub mod json_path;

use std::fmt;

use json_path::{JsonPath, JsonPathError, Node, OverBudget, PATH_STEPS_MAX, Steps};
use serde::{Deserialize, Serialize};

/// Steps a filter may take on all events it is tried on together. Our decision: some hundreds of milliseconds on a thread of its own.
pub const TEST_STEPS_MAX: u64 = 20 * PATH_STEPS_MAX;

/// A JSONPath (RFC 9535) over the event's document; a result that is not empty lets the event through.
///
/// The document is [`super::event::Event::document`], so that a filter on the children of the root, `$[?@.properties.x]`, finds `data`.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter(JsonPath);

impl Filter {
    /// Reads a filter.
    pub fn parse(text: &str) -> Result<Self, JsonPathError> {
        JsonPath::parse(text).map(Self)
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether an event of this document passes. An error: that cannot be told within the budget.
    pub fn matches<N: Node>(&self, document: &N) -> Result<bool, OverBudget> {
        self.0.finds(document, &mut Steps::default())
    }

    /// Whether each of several events passes. All together may take [`TEST_STEPS_MAX`] steps, each of them what one may.
    pub fn test<N: Node>(&self, documents: &[N]) -> Result<Vec<bool>, OverBudget> {
        let mut left = TEST_STEPS_MAX;
        let verdicts = documents.iter().map(|document| {
            let mut steps = Steps::default();
            let verdict = self.0.finds(document, &mut steps)?;
            left = left.checked_sub(steps.taken()).ok_or(OverBudget::Together)?;
            Ok(verdict)
        });
        verdicts.collect()
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Filter {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Filter {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn shared_to(groups: &[&str]) -> Value {
        json!({"id": "evt_1", "seq": 7, "trigger": "/items/abc/share", "source": "portal", "time": "2026-01-01T00:00:00Z",
               "attributes": {"tenant": "north"}, "depth": 0,
               "data": {"username": "jo", "userId": "u1", "properties": {"sharedToGroups": groups}}})
    }

    #[track_caller]
    fn passes(filter: &str, document: &Value, expected: bool) {
        assert_eq!(Filter::parse(filter).unwrap().matches(document), Ok(expected), "{filter}");
    }

    #[test]
    fn a_filter_on_the_roots_children_looks_into_the_data() {
        let filter = "$[?@.properties.sharedToGroups[?@=='Everyone']]";
        passes(filter, &shared_to(&["4adc30bb", "Everyone"]), true);
        passes(filter, &shared_to(&["4adc30bb"]), false);
        passes(filter, &json!({"data": null}), false);
        passes(filter, &Value::Null, false);
    }

    #[test]
    fn any_field_of_the_event_can_be_asked_for() {
        let event = shared_to(&[]);
        passes("$[?$.source=='portal']", &event, true);
        passes("$[?$.source=='other']", &event, false);
        passes("$.attributes[?@=='north']", &event, true);
        passes("$.data[?search(@,'^j')]", &event, true);
        passes("$[?@.username=='jo' && !@.missing]", &event, true);
        passes("$.data.properties.unsharedFromGroups", &event, false);
    }

    #[test]
    fn a_filter_travels_as_its_text_and_is_parsed_when_read() {
        let text = "\"$.data\"";
        assert_eq!(serde_json::to_string(&serde_json::from_str::<Filter>(text).unwrap()).unwrap(), text);
        assert!(serde_json::from_str::<Filter>("\"data\"").is_err());
    }
}
