//! Between [`Json`] and what else holds such values.

use serde_json::{Map, Value};

use super::{Json, Number, Object};

impl Json {
    /// The value as `serde_json` holds it. A number becomes the nearest of 64 bits; one beyond all doubles becomes the largest of them.
    pub fn to_value(&self) -> Value {
        self.clone().into()
    }
}

impl From<Json> for Value {
    fn from(json: Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(is) => Self::Bool(is),
            Json::Number(number) => Self::Number(number.to_plain()),
            Json::String(text) => Self::String(text),
            Json::Array(items) => Self::Array(items.into_iter().map(Self::from).collect()),
            Json::Object(members) => Self::Object(members.into()),
        }
    }
}

impl From<Object> for Map<String, Value> {
    fn from(members: Object) -> Self {
        members.into_iter().map(|(name, value)| (name, value.into())).collect()
    }
}

impl From<Value> for Json {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(is) => Self::Bool(is),
            Value::Number(number) => Self::Number(number.into()),
            Value::String(text) => Self::String(text),
            Value::Array(items) => Self::Array(items.into_iter().map(Self::from).collect()),
            Value::Object(members) => Self::Object(members.into()),
        }
    }
}

impl From<&Value> for Json {
    fn from(value: &Value) -> Self {
        value.clone().into()
    }
}

impl From<Map<String, Value>> for Object {
    fn from(members: Map<String, Value>) -> Self {
        members.into_iter().map(|(name, value)| (name, value.into())).collect()
    }
}

impl Number {
    /// As `serde_json` reads its text, but for numbers beyond doubles, which it refuses.
    pub fn to_plain(&self) -> serde_json::Number {
        match self.written() {
            Ok(whole) => whole.into(),
            Err(text) => serde_json::from_str(text).unwrap_or_else(|_| {
                let largest = if text.starts_with('-') { f64::MIN } else { f64::MAX };
                serde_json::Number::from_f64(largest).unwrap_or_else(|| 0.into())
            }),
        }
    }
}

impl From<serde_json::Number> for Number {
    fn from(number: serde_json::Number) -> Self {
        number.as_i64().map_or_else(|| Self::of_grammar(&number.to_string()), Self::from)
    }
}

impl From<bool> for Json {
    fn from(is: bool) -> Self {
        Self::Bool(is)
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Json {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<Number> for Json {
    fn from(number: Number) -> Self {
        Self::Number(number)
    }
}

impl From<Object> for Json {
    fn from(members: Object) -> Self {
        Self::Object(members)
    }
}

/// A double; an infinite one and none are `null`.
impl From<f64> for Json {
    fn from(double: f64) -> Self {
        Number::from_f64(double).map_or(Self::Null, Self::Number)
    }
}

impl From<usize> for Json {
    fn from(whole: usize) -> Self {
        Self::from(whole as u64)
    }
}

macro_rules! from_whole {
    ($($whole:ty as $wide:ty),*) => {
        $(impl From<$whole> for Json {
            fn from(whole: $whole) -> Self {
                Self::Number(Number::from(<$wide>::from(whole)))
            }
        })*
    };
}

from_whole!(i32 as i64, i64 as i64, u8 as i64, u16 as i64, u32 as i64, u64 as u64);

impl<T: Into<Json>> From<Option<T>> for Json {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl<T: Into<Json>> From<Vec<T>> for Json {
    fn from(items: Vec<T>) -> Self {
        items.into_iter().collect()
    }
}

impl<T: Into<Json>> FromIterator<T> for Json {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self::Array(items.into_iter().map(Into::into).collect())
    }
}

/// For tests, which write what they expect with `json!`.
#[cfg(test)]
impl PartialEq<Value> for Json {
    fn eq(&self, other: &Value) -> bool {
        let other = Self::from(other);
        *self == other
    }
}
