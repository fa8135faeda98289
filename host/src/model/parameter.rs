//! Session parameters: a bag of JSON values by name. Names are compared without case (Dialogflow CX, "Parameters") and kept as first written.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The parameters of one session.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Parameters(Map<String, Value>);

/// One change: a name and its new value; `None` removes.
pub type Change = (String, Option<Value>);

impl Parameters {
    /// The value of `name`, whatever its case.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).or_else(|| self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
    }

    /// Sets or removes one parameter. A JSON `null` removes, as in RFC 7396 and Dialogflow's `sessionInfo.parameters`.
    pub fn apply(&mut self, (name, value): Change) {
        let name = match self.0.keys().find(|key| key.eq_ignore_ascii_case(&name)) {
            Some(existing) => existing.clone(),
            None => name,
        };
        match value {
            None | Some(Value::Null) => {
                self.0.shift_remove(&name);
            }
            Some(value) => {
                self.0.insert(name, value);
            }
        }
    }

    /// Applies each change in order.
    pub fn apply_all(&mut self, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            self.apply(change);
        }
    }

    /// Name and value of each, in the order first set.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.0.iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bare JSON object.
    pub fn into_map(self) -> Map<String, Value> {
        self.0
    }
}

impl From<Map<String, Value>> for Parameters {
    fn from(map: Map<String, Value>) -> Self {
        let mut parameters = Self::default();
        parameters.apply_all(map.into_iter().map(|(name, value)| (name, Some(value))));
        parameters
    }
}

/// The changes that merging the object `map` makes.
pub fn changes(map: Map<String, Value>) -> Vec<Change> {
    map.into_iter().map(|(name, value)| (name, (!value.is_null()).then_some(value))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_compared_without_case_and_null_removes() {
        let mut parameters = Parameters::default();
        parameters.apply(("Size".into(), Some(json!(3))));
        parameters.apply(("size".into(), Some(json!(4))));
        assert_eq!(parameters.get("SIZE"), Some(&json!(4)));
        assert_eq!(parameters.iter().count(), 1);
        parameters.apply(("SIZE".into(), Some(Value::Null)));
        assert!(parameters.is_empty());
    }
}
