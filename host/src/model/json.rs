//! JSON as it was sent: [`Json`] keeps the text of every number and the order of every object's members.
//!
//! Data of others (events, calls, answers, parameters, state) is a [`Json`]. What an admin writes (webhooks, receivers, settings) stays a
//! `serde_json::Value`, whose numbers are 64 bits wide.
//!
//! Events, calls and answers are still `serde_json::Value` everywhere; they move to [`Json`] one after the other.
#![allow(dead_code, unused_imports, reason = "data of others moves to it one kind after the other")]

mod convert;
mod decimal;
mod in_serde;
mod number;
mod object;
mod parse;
mod serialize;
mod size;
#[cfg(test)]
mod tests;

use std::{fmt, ops::Index};

pub use decimal::Decimal;
pub use number::{NUMBER_CHARS_MAX, Number, NumberError};
pub use object::Object;
pub use parse::{JSON_DEPTH_MAX, JsonError};
pub use serialize::json_of;
pub use size::json_bytes;

/// A JSON value (RFC 8259). The names are those of `serde_json::Value`.
///
/// Two values are equal where their numbers are the same decimal: `1.0` equals `1`. The order of an object's members does not count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Json {
    /// `null`
    #[default]
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, with its text.
    Number(Number),
    /// A text.
    String(String),
    /// A list.
    Array(Vec<Json>),
    /// Members by name.
    Object(Object),
}

/// What indexing finds where there is nothing.
static NULL: Json = Json::Null;

impl Json {
    /// Reads one document, such as `{"a":1.10}`. The last of several members of one name counts, at the place of the first.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        parse::document(bytes)
    }

    /// An object of these members.
    pub fn object<N: Into<String>>(members: impl IntoIterator<Item = (N, Self)>) -> Self {
        Self::Object(members.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }

    /// The member of this name, if this is an object that has it.
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.as_object()?.get(name)
    }

    /// The value at a JSON pointer (RFC 6901).
    pub fn pointer(&self, pointer: &str) -> Option<&Self> {
        if pointer.is_empty() {
            return Some(self);
        }
        let place = |text: &str| (text == "0" || !text.starts_with('0')).then(|| text.parse::<usize>().ok()).flatten();
        pointer.strip_prefix('/')?.split('/').try_fold(self, |value, segment| {
            let segment = segment.replace("~1", "/").replace("~0", "~");
            match value {
                Self::Object(members) => members.get(&segment),
                Self::Array(items) => items.get(place(&segment)?),
                _ => None,
            }
        })
    }

    /// Whether this is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Whether this is an object.
    pub fn is_object(&self) -> bool {
        matches!(self, Self::Object(_))
    }

    /// Whether this is a list.
    pub fn is_array(&self) -> bool {
        matches!(self, Self::Array(_))
    }

    /// The boolean this is.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(is) = self { Some(*is) } else { None }
    }

    /// The number this is.
    pub fn as_number(&self) -> Option<&Number> {
        if let Self::Number(number) = self { Some(number) } else { None }
    }

    /// The text this is.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The list this is.
    pub fn as_array(&self) -> Option<&Vec<Self>> {
        if let Self::Array(items) = self { Some(items) } else { None }
    }

    /// The object this is.
    pub fn as_object(&self) -> Option<&Object> {
        if let Self::Object(members) = self { Some(members) } else { None }
    }

    /// The object this is, to change.
    pub fn as_object_mut(&mut self) -> Option<&mut Object> {
        if let Self::Object(members) = self { Some(members) } else { None }
    }

    /// The number this is, where it is whole and within 64 bits with a sign.
    pub fn as_i64(&self) -> Option<i64> {
        self.as_number()?.as_i64()
    }

    /// The number this is, where it is whole and within 64 bits without a sign.
    pub fn as_u64(&self) -> Option<u64> {
        self.as_number()?.as_u64()
    }

    /// The double next to the number this is.
    pub fn as_f64(&self) -> Option<f64> {
        self.as_number()?.nearest_f64()
    }

    /// This value; `null` stays behind.
    pub fn take(&mut self) -> Self {
        std::mem::take(self)
    }
}

/// Compact JSON. Every number has the text it came with.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Into<'a, 'b>(&'a mut fmt::Formatter<'b>);

        impl std::io::Write for Into<'_, '_> {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                let text = std::str::from_utf8(bytes).map_err(std::io::Error::other)?;
                self.0.write_str(text).map_err(std::io::Error::other)?;
                Ok(bytes.len())
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }

        serde_json::to_writer(Into(f), self).map_err(|_| fmt::Error)
    }
}

impl Index<&str> for Json {
    type Output = Self;

    /// The member with this name, or `null`.
    fn index(&self, name: &str) -> &Self {
        self.get(name).unwrap_or(&NULL)
    }
}

impl Index<usize> for Json {
    type Output = Self;

    /// The item with this index, or `null`.
    fn index(&self, place: usize) -> &Self {
        self.as_array().and_then(|items| items.get(place)).unwrap_or(&NULL)
    }
}
