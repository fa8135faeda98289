//! Session parameters: a bag of JSON values by name. Names are compared without case (Dialogflow CX, "Parameters") and kept as first written.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    json::json_bytes,
    outcome::{Failure, FailureKind},
};

/// The parameters of one session.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Parameters(Map<String, Value>);

/// One change: a name and its new value; `None` removes.
pub type Change = (String, Option<Value>);

/// What bounds the parameters of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionBounds {
    /// Bytes of names and values together, as JSON.
    pub bytes_max: usize,
    /// How many there may be.
    pub parameters_max: usize,
}

impl SessionBounds {
    fn bytes_overflow(self, parameter: String) -> Overflow {
        Overflow { parameter, limit: "session_bytes_max", unit: "bytes", max: self.bytes_max }
    }

    fn number_overflow(self, parameter: String) -> Overflow {
        Overflow { parameter, limit: "session_parameters_max", unit: "parameters", max: self.parameters_max }
    }
}

/// A parameter that does not fit into its session, and the limit it would breach.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{parameter}` does not fit: a session has at most {max} {unit} (limit `{limit}`)")]
pub struct Overflow {
    /// Its name.
    pub parameter: String,
    /// The limit's name.
    pub limit: &'static str,
    /// What the limit counts.
    pub unit: &'static str,
    /// The limit's value.
    pub max: usize,
}

impl Overflow {
    /// What the first of these says of an answer that does not fit; `None`: all of it did.
    pub fn failure(overflows: &[Self]) -> Option<Failure> {
        overflows.first().map(|overflow| Failure::new(FailureKind::ResponseInvalid, format!("the parameter {overflow}")))
    }
}

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

    /// Applies all changes, if what they come to is within `bounds` or no larger than before. Otherwise some are applied, and the error
    /// names the first that found no room.
    pub fn apply_all_within(&mut self, changes: impl IntoIterator<Item = Change>, bounds: SessionBounds) -> Result<(), Overflow> {
        let (bytes_before, number_before) = (self.bytes(), self.0.len());
        let mut bytes = bytes_before;
        let mut beyond = (None, None);
        for change in changes {
            let name = change.0.clone();
            bytes = bytes - self.bytes_of(&name) + change_bytes(&change);
            self.apply(change);
            if bytes > bounds.bytes_max {
                beyond.0.get_or_insert_with(|| name.clone());
            }
            if self.0.len() > bounds.parameters_max {
                beyond.1.get_or_insert(name);
            }
            // Far too many are not worth looking through.
            if self.0.len() > number_before.max(bounds.parameters_max) * 2 {
                break;
            }
        }
        match beyond {
            (Some(name), _) if bytes > bounds.bytes_max.max(bytes_before) => Err(bounds.bytes_overflow(name)),
            (_, Some(name)) if self.0.len() > bounds.parameters_max.max(number_before) => Err(bounds.number_overflow(name)),
            _ => Ok(()),
        }
    }

    /// Applies the changes there is room for, one after the other. What would make a full session larger is not applied and comes back;
    /// what makes it smaller always is.
    pub fn apply_fitting(&mut self, changes: impl IntoIterator<Item = Change>, bounds: SessionBounds) -> Vec<Overflow> {
        let mut bytes = self.bytes();
        let mut overflows = Vec::new();
        for change in changes {
            let (freed, wanted) = (self.bytes_of(&change.0), change_bytes(&change));
            if wanted > freed && bytes - freed + wanted > bounds.bytes_max {
                overflows.push(bounds.bytes_overflow(change.0));
            } else if wanted > 0 && freed == 0 && self.0.len() >= bounds.parameters_max {
                overflows.push(bounds.number_overflow(change.0));
            } else {
                bytes = bytes - freed + wanted;
                self.apply(change);
            }
        }
        overflows
    }

    /// Bytes of one parameter, compared without case; 0 if it is not set.
    fn bytes_of(&self, name: &str) -> usize {
        self.get(name).map_or(0, |value| entry_bytes(name, value))
    }

    /// Bytes of all names and values, as JSON.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|(name, value)| entry_bytes(name, value)).sum()
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

/// Bytes of the parameter that a change sets; 0: it removes.
fn change_bytes((name, value): &Change) -> usize {
    value.as_ref().filter(|value| !value.is_null()).map_or(0, |value| entry_bytes(name, value))
}

/// A name and its value in an object, with quotes, colon and comma.
fn entry_bytes(name: &str, value: &Value) -> usize {
    name.len() + json_bytes(value) + 4
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

    fn set(name: &str, value: Value) -> Change {
        (name.to_owned(), Some(value))
    }

    #[test]
    fn what_would_overfill_a_session_is_left_out_by_name_and_what_frees_room_is_not() {
        let bounds = SessionBounds { bytes_max: 40, parameters_max: 3 };
        let mut parameters = Parameters::default();
        // "a":"0123456789", is seventeen bytes.
        let text = json!("0123456789");
        let overflows = parameters.apply_fitting([set("a", text.clone()), set("b", text), set("c", json!("x"))], bounds);
        assert_eq!((overflows.len(), overflows[0].parameter.as_str(), parameters.bytes()), (1, "c", 34));
        assert_eq!(overflows[0].to_string(), "`c` does not fit: a session has at most 40 bytes (limit `session_bytes_max`)");
        let overflows = parameters.apply_fitting([set("A", json!(1)), set("c", json!("x")), set("d", json!(1))], bounds);
        assert_eq!(overflows.iter().map(|over| (&*over.parameter, over.limit)).collect::<Vec<_>>(), [("d", "session_parameters_max")]);
        assert_eq!(parameters.get("a"), Some(&json!(1)));
        // One that was overfull before there were bounds: it may shrink and not grow.
        let tight = SessionBounds { bytes_max: 4, parameters_max: 1 };
        assert_eq!(parameters.apply_fitting([set("b", json!("01234567890"))], tight).len(), 1);
        assert!(parameters.apply_fitting([set("b", json!("")), ("c".to_owned(), None)], tight).is_empty());
        assert_eq!(parameters.iter().count(), 2);
    }

    #[test]
    fn changes_that_belong_together_are_judged_by_what_they_come_to() {
        let bounds = SessionBounds { bytes_max: 40, parameters_max: 3 };
        let full = |value: &str| set("large", json!(value.repeat(25)));
        let mut parameters = Parameters::default();
        assert!(parameters.clone().apply_all_within([full("x"), set("large", json!(1))], bounds).is_ok());
        assert!(parameters.apply_all_within([full("x")], bounds).is_ok());
        let refused = parameters.clone().apply_all_within([full("y"), set("more", json!("zz")), set("third", json!(1))], bounds);
        assert_eq!(refused.map_err(|overflow| (overflow.parameter, overflow.limit)), Err(("more".to_owned(), "session_bytes_max")));
        // In whichever order what frees the room stands.
        assert!(parameters.clone().apply_all_within([set("next", json!("z".repeat(25))), ("large".to_owned(), None)], bounds).is_ok());
        let refused = Parameters::default()
            .apply_all_within((0..1_000_000).map(|n| set(&n.to_string(), json!(0))), SessionBounds { bytes_max: 1 << 30, ..bounds });
        assert_eq!(refused.map_err(|overflow| (overflow.parameter, overflow.limit)), Err(("3".to_owned(), "session_parameters_max")));
        let tight = SessionBounds { bytes_max: 4, parameters_max: 0 };
        assert!(parameters.apply_all_within([set("large", json!("x"))], tight).is_ok(), "smaller than it was");
    }
}
