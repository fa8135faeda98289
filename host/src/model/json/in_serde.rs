//! [`Json`] in documents that serde writes and reads.
//!
//! JSON text is written and read without loss, also within a struct. Two things lose the text of unusual numbers, because serde keeps them
//! as doubles on the way: reading under `#[serde(flatten)]` and in untagged enums. A `serde_json::Value` cannot hold a number beyond
//! doubles at all; `serde_json::to_value` and `json!` fail there, so [`super::json_of`] is what makes a document of a struct.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
    ser::{Error as _, SerializeMap},
};
use serde_json::value::RawValue;

use super::{Json, Number, Object};

/// How `serde_json` says that it hands over, or wants, the text of a value. A test fails when it says so otherwise.
pub(super) const RAW: &str = "$serde_json::private::RawValue";

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(is) => serializer.serialize_bool(*is),
            Self::Number(number) => number.serialize(serializer),
            Self::String(text) => serializer.serialize_str(text),
            Self::Array(items) => items.serialize(serializer),
            Self::Object(members) => members.serialize(serializer),
        }
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (name, value) in self {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.written() {
            Ok(whole) => serializer.serialize_i64(whole),
            Err(text) => serde_json::from_str::<&RawValue>(text).map_err(S::Error::custom)?.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(RAW, Either)
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Json::deserialize(deserializer)? {
            Json::Object(members) => Ok(members),
            other => Err(Error::custom(format!("invalid type: {}, expected an object", kind(&other)))),
        }
    }
}

/// What a value is, as serde's errors name it.
fn kind(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(_) => "number",
        Json::String(_) => "string",
        Json::Array(_) => "sequence",
        Json::Object(_) => "map",
    }
}

/// Takes the text of a value from who has it, else the value.
struct Either;

impl<'de> Visitor<'de> for Either {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(Plain)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        match map.next_key::<String>()? {
            Some(name) if name == RAW => map.next_value::<Text>().map(|text| text.0),
            first => Plain.members(first, map),
        }
    }

    fn visit_bool<E: Error>(self, is: bool) -> Result<Json, E> {
        Plain.visit_bool(is)
    }

    fn visit_i64<E: Error>(self, whole: i64) -> Result<Json, E> {
        Plain.visit_i64(whole)
    }

    fn visit_u64<E: Error>(self, whole: u64) -> Result<Json, E> {
        Plain.visit_u64(whole)
    }

    fn visit_f64<E: Error>(self, double: f64) -> Result<Json, E> {
        Plain.visit_f64(double)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Json, E> {
        Plain.visit_str(text)
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Plain.visit_unit()
    }

    fn visit_none<E: Error>(self) -> Result<Json, E> {
        Plain.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(Plain)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Json, A::Error> {
        Plain.visit_seq(items)
    }
}

/// The value of a text of JSON.
struct Text(Json);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parsed;

        impl Visitor<'_> for Parsed {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON text")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
                // Its line and column would be those within the value.
                Json::parse(text.as_bytes()).map(Text).map_err(|error| E::custom(error.detail))
            }
        }

        deserializer.deserialize_str(Parsed)
    }
}

/// Takes a value as serde has it.
struct Plain;

impl Plain {
    fn members<'de, A: MapAccess<'de>>(self, mut name: Option<String>, mut map: A) -> Result<Json, A::Error> {
        let mut members = Object::new();
        while let Some(this) = name {
            members.insert(this, map.next_value()?);
            name = map.next_key()?;
        }
        Ok(Json::Object(members))
    }
}

impl<'de> Visitor<'de> for Plain {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E: Error>(self, is: bool) -> Result<Json, E> {
        Ok(Json::Bool(is))
    }

    fn visit_i64<E: Error>(self, whole: i64) -> Result<Json, E> {
        Ok(whole.into())
    }

    fn visit_u64<E: Error>(self, whole: u64) -> Result<Json, E> {
        Ok(whole.into())
    }

    fn visit_f64<E: Error>(self, double: f64) -> Result<Json, E> {
        Ok(Number::from_f64(double).map_or(Json::Null, Json::Number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Json, E> {
        Ok(text.into())
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Json, E> {
        Ok(Json::String(text))
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        Json::deserialize(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        Json::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let first = map.next_key()?;
        self.members(first, map)
    }
}
