//! What a place asks for, and what a function gives.

use serde_json::Value;

use super::{
    date::{Unit, When},
    format::Pattern,
    language,
    number::index,
};

/// What a place asks for, or a function gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Any,
    Text,
    Number,
    /// A whole number from 0 on.
    Index,
    Boolean,
    List,
    Object,
    /// A date, with or without a time: RFC 3339, its parts, or Dialogflow's object.
    Date,
    /// DAYS, HOURS, ...
    Unit,
    /// How a date is written out.
    Pattern,
    /// A language we have names of months for.
    Language,
    /// A condition in quotes, or a boolean.
    Condition,
    /// A JSONPath in quotes.
    Path,
    /// A reference, in quotes (as Dialogflow writes it) or not.
    Named,
}

impl Kind {
    /// For people, behind "is not".
    pub(super) fn said(self) -> &'static str {
        match self {
            Self::Any | Self::Named => "a value",
            Self::Text => "a text",
            Self::Number => "a number",
            Self::Index => "a whole number from 0 on",
            Self::Boolean => "true or false",
            Self::List => "a list",
            Self::Object => "an object",
            Self::Date => "a date such as \"2026-03-01\" or \"2026-03-01T12:00:00Z\"",
            Self::Unit => "a unit: SECONDS, MINUTES, HOURS, DAYS, WEEKS, MONTHS or YEARS",
            Self::Pattern => "a pattern such as \"yyyy-MM-dd HH:mm\"",
            Self::Language => "one of the languages de, en, es, fr",
            Self::Condition => "a condition such as \"$session.params.size > 3\"",
            Self::Path => "a JSONPath in quotes such as \"$[?@.price < 10]\"",
        }
    }

    /// The value, if it is of this kind; an unset one is empty where there is an empty one.
    pub(super) fn take(self, value: Value) -> Option<Value> {
        let fits = match (self, &value) {
            (Self::Text, Value::Null) => return Some(Value::String(String::new())),
            (Self::List, Value::Null) => return Some(Value::Array(Vec::new())),
            (Self::Object, Value::Null) => return Some(Value::Object(serde_json::Map::new())),
            (Self::Any | Self::Named, _) => true,
            (Self::Text, value) => value.is_string(),
            (Self::Number, value) => value.is_number(),
            (Self::Index, value) => index(value).is_some(),
            (Self::Boolean | Self::Condition, value) => value.is_boolean(),
            (Self::List, value) => value.is_array(),
            (Self::Object, value) => value.is_object(),
            (Self::Date, value) => When::read(value).is_some(),
            (Self::Unit, Value::String(text)) => Unit::read(text).is_some(),
            (Self::Pattern, Value::String(text)) => Pattern::parse(text).is_ok(),
            (Self::Language, Value::String(text)) => language::named(text).is_some(),
            (Self::Path, value) => value.is_string(),
            (Self::Unit | Self::Pattern | Self::Language, _) => false,
        };
        fits.then_some(value)
    }

    /// Whether what a function gives can stand where this is asked for. `Any` may turn out to be right.
    pub(super) fn may_be(self, given: Self) -> bool {
        match (self, given) {
            (Self::Path, _) => false,
            (_, Self::Any) | (Self::Any | Self::Named, _) => true,
            (Self::Number | Self::Index, Self::Number | Self::Index) => true,
            (Self::Condition, Self::Boolean) => true,
            (Self::Date, Self::Text | Self::Object) => true,
            (Self::Unit | Self::Pattern | Self::Language, Self::Text) => true,
            (asked, given) => asked == given,
        }
    }
}
