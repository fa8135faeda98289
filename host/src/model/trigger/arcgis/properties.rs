//! What the data of an organization's event may hold (ArcGIS Enterprise, "Webhook event triggers", the sections on properties).

use serde_json::{Map, Value};

use super::family::{Family, Holds, Property};
use crate::model::{
    problem::{Problem, nearest, segment},
    trigger::Trigger,
};

impl Holds {
    fn wants(self) -> &'static str {
        match self {
            Self::Names => "a list of texts, as in `[\"Everyone\"]`",
            Self::Items => "a list of `{\"itemId\":\"...\",\"itemType\":\"...\"}`",
        }
    }

    fn takes(self, value: &Value) -> bool {
        match self {
            Self::Names => value.is_string(),
            Self::Items => value.as_object().is_some_and(|item| {
                item.len() == 2 && ["itemId", "itemType"].iter().all(|key| item.get(*key).is_some_and(Value::is_string))
            }),
        }
    }
}

/// What is wrong with the data of an event of a closed family; pointers relative to the event. Other events may hold anything, and so
/// may data beside `username`, `userId` and `properties`.
pub fn check_data(trigger: &Trigger, data: &Value) -> Vec<Problem> {
    let Some(family) = trigger.family() else { return Vec::new() };
    let data = match data {
        Value::Null => return Vec::new(),
        Value::Object(data) => data,
        _ => return vec![Problem::new("/data", "data of the organization is an object `{\"username\",\"userId\",\"properties\"}`")],
    };
    let mut problems = Vec::new();
    for name in ["username", "userId"] {
        if data.get(name).is_some_and(|value| !value.is_string()) {
            problems.push(Problem::new(format!("/data/{name}"), "a text"));
        }
    }
    match data.get("properties") {
        None => {}
        Some(Value::Object(properties)) => check_properties(family, trigger, properties, &mut problems),
        Some(_) => problems.push(Problem::new("/data/properties", "an object; `{}` when there is nothing to add")),
    }
    problems
}

fn check_properties(family: Family, trigger: &Trigger, properties: &Map<String, Value>, problems: &mut Vec<Problem>) {
    let operation = trigger.operation().and_then(|name| family.operation(name));
    let known = operation.and_then(|operation| operation.property);
    for (key, value) in properties {
        let pointer = format!("/data/properties{}", segment(key));
        match known.filter(|known| known.key == key) {
            Some(Property { holds, .. }) => {
                let Value::Array(entries) = value else {
                    problems.push(Problem::new(pointer, holds.wants()));
                    continue;
                };
                let wrong = entries.iter().position(|entry| !holds.takes(entry));
                problems.extend(wrong.map(|index| Problem::new(format!("{pointer}/{index}"), format!("`{key}` is {}", holds.wants()))));
            }
            None => problems.push(Problem::new(pointer, unknown(key, known, operation.map_or("", |operation| operation.name)))),
        }
    }
}

fn unknown(key: &str, known: Option<Property>, operation: &str) -> String {
    match known {
        Some(Property { key: known, .. }) if nearest(key, [known]).is_some() => {
            format!("`{operation}` has no property `{key}`; did you mean `{known}`?")
        }
        Some(Property { key: known, .. }) => format!("`{operation}` has no property `{key}`; its one is `{known}`"),
        None => format!("`{operation}` has no property `{key}`, nor any other"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problems(trigger: &str, data: &Value) -> Vec<(String, String)> {
        let found = check_data(&Trigger::parse(trigger).expect("a trigger"), data);
        found.into_iter().map(|problem| (problem.pointer, problem.detail)).collect()
    }

    #[test]
    fn every_operation_of_the_table_takes_its_property_and_no_other() {
        let (mut with, mut without) = (0, 0);
        for family in Family::ALL {
            for operation in family.operations() {
                let trigger = format!("/{}/x/{}", family.as_str(), operation.name);
                let data = |key: &str, value: Value| json!({ "username": "a", "userId": "b", "properties": { key: value } });
                match operation.property {
                    Some(Property { key, holds }) => {
                        let (right, wrong) = match holds {
                            Holds::Names => (json!(["a", "b"]), json!([{ "itemId": "1", "itemType": "Image" }])),
                            Holds::Items => (json!([{ "itemId": "1", "itemType": "Image" }]), json!(["a"])),
                        };
                        assert_eq!(problems(&trigger, &data(key, right)), [], "{trigger}");
                        assert_eq!(problems(&trigger, &data(key, wrong))[0].0, format!("/data/properties/{key}/0"));
                        assert_eq!(problems(&trigger, &data(key, json!("[Organization]")))[0].0, format!("/data/properties/{key}"));
                        with += 1;
                    }
                    None => without += 1,
                }
                assert_eq!(problems(&trigger, &data("someThing", json!([])))[0].0, "/data/properties/someThing");
                assert_eq!(problems(&trigger, &json!({ "properties": {} })), []);
                assert_eq!(problems(&trigger, &Value::Null), []);
            }
        }
        assert_eq!((with, without), (13, 22));
    }

    #[test]
    fn a_slip_is_answered_with_the_right_name() {
        let found = problems("/groups/g/removeUsers", &json!({ "properties": { "removeUserNames": ["u1"] } }));
        assert!(found[0].1.contains("did you mean `removedUserNames`?"), "{found:?}");
        let found = problems("/items/i/share", &json!({ "username": 7, "properties": [] }));
        assert_eq!(found.iter().map(|(pointer, _)| pointer.as_str()).collect::<Vec<_>>(), ["/data/username", "/data/properties"]);
        assert_eq!(problems("/items/i/share", &json!([]))[0].0, "/data");
        assert_eq!(problems("FeaturesCreated", &json!([])), []);
    }
}
