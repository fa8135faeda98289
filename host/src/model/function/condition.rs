//! IF's condition: `"$session.params.size > 3 AND $session.params.fruit : \"apple\""` (Dialogflow CX, "Conditions").
//!
//! Left stands a reference or a function, right a value, which is read as what the left side turns out to be. That `=` compares texts
//! with their case, and that an unset left side equals nothing but `null`, is our decision.

use std::cmp::Ordering;

use serde_json::Value;

use super::{
    call::{Argument, Stop},
    failure::FunctionError,
    list::same,
    parse::{Reader, refused},
    text::text_of,
};
use crate::model::reference::{Expansion, Reference, Scope};

/// A condition, parsed.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Condition {
    Constant(bool),
    Compare { left: Box<Argument>, operator: Operator, right: Box<Argument> },
    Not(Box<Condition>),
    All(Vec<Condition>),
    Any(Vec<Condition>),
}

/// How two sides are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Has,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Those of two characters first.
const OPERATORS: [(&str, Operator); 7] = [
    ("!=", Operator::NotEqual),
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("<", Operator::Less),
    (">", Operator::Greater),
    ("=", Operator::Equal),
    (":", Operator::Has),
];

impl Condition {
    /// Reads a condition. The error says at which character.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader { text, at: 0, depth: 0 };
        let read = condition(&mut reader).and_then(|read| {
            reader.skip_space();
            if reader.at == text.len() { Ok(read) } else { reader.refused("here AND, OR or the end is expected") }
        });
        read.map_err(|FunctionError { at, detail }| {
            let place = text.get(..at).map_or(0, |before| before.chars().count());
            format!("in the condition, at its character {place}: {detail}")
        })
    }

    pub(super) fn holds(&self, scope: &Scope<'_>, expansion: &mut Expansion) -> Result<bool, Stop> {
        Ok(match self {
            Self::Constant(constant) => *constant,
            Self::Not(inner) => !inner.holds(scope, expansion)?,
            Self::All(inner) => {
                for one in inner {
                    if !one.holds(scope, expansion)? {
                        return Ok(false);
                    }
                }
                true
            }
            Self::Any(inner) => {
                for one in inner {
                    if one.holds(scope, expansion)? {
                        return Ok(true);
                    }
                }
                false
            }
            Self::Compare { left, operator, right } => operator.holds(&left.value(scope, expansion)?, &right.value(scope, expansion)?),
        })
    }

    pub(super) fn references<'r>(&'r self, found: &mut Vec<&'r Reference>) {
        match self {
            Self::Constant(_) => {}
            Self::Not(inner) => inner.references(found),
            Self::All(inner) | Self::Any(inner) => inner.iter().for_each(|one| one.references(found)),
            Self::Compare { left, right, .. } => {
                left.references(found);
                right.references(found);
            }
        }
    }
}

/// Terms joined by AND or by OR, not both: that needs parentheses.
fn condition(reader: &mut Reader<'_>) -> Result<Condition, FunctionError> {
    let mut terms = vec![term(reader)?];
    let mut joined = None;
    loop {
        reader.skip_space();
        let at = reader.at;
        let word = ["AND", "OR"].into_iter().find(|word| takes_word(reader, word));
        let Some(word) = word else { break };
        if joined.is_some_and(|before| before != word) {
            return refused(at, "AND and OR together need parentheses");
        }
        joined = Some(word);
        terms.push(term(reader)?);
    }
    Ok(match (joined, terms.pop()) {
        (None, Some(only)) => only,
        (Some("OR"), Some(last)) => Condition::Any(terms.into_iter().chain([last]).collect()),
        (_, last) => Condition::All(terms.into_iter().chain(last).collect()),
    })
}

fn term(reader: &mut Reader<'_>) -> Result<Condition, FunctionError> {
    reader.skip_space();
    if takes_word(reader, "NOT") {
        return Ok(Condition::Not(Box::new(reader.deeper(term)?)));
    }
    if reader.takes("(") {
        let inner = reader.deeper(condition)?;
        reader.skip_space();
        return if reader.takes(")") { Ok(inner) } else { reader.refused("here `)` is missing") };
    }
    for (word, constant) in [("true", true), ("false", false)] {
        if takes_word(reader, word) {
            return Ok(Condition::Constant(constant));
        }
    }
    if !reader.text[reader.at..].starts_with('$') {
        return reader.refused("a comparison begins with a reference or a function");
    }
    let left = Box::new(reader.looked_up()?);
    reader.skip_space();
    let Some((_, operator)) = OPERATORS.into_iter().find(|(token, _)| reader.takes(token)) else {
        return reader.refused("here one of `=`, `!=`, `<`, `<=`, `>`, `>=`, `:` is expected");
    };
    reader.skip_space();
    Ok(Condition::Compare { left, operator, right: Box::new(right_side(reader)?) })
}

/// A text in quotes, a word or number without, a reference or a function.
fn right_side(reader: &mut Reader<'_>) -> Result<Argument, FunctionError> {
    let rest = &reader.text[reader.at..];
    if rest.starts_with('$') {
        return reader.looked_up();
    }
    if rest.starts_with('"') {
        return Ok(Argument::Literal(Value::String(reader.quoted()?)));
    }
    let word = &rest[..rest.find(|c: char| c.is_whitespace() || c == ')').unwrap_or(rest.len())];
    if word.is_empty() {
        return reader.refused("here the value to compare with is missing");
    }
    reader.at += word.len();
    let plain = serde_json::from_str(word).ok().filter(|value: &Value| !value.is_array() && !value.is_object());
    Ok(Argument::Literal(plain.unwrap_or_else(|| word.into())))
}

/// Takes a word that is not the beginning of a longer one; in upper or lower case.
fn takes_word(reader: &mut Reader<'_>, word: &str) -> bool {
    let rest = &reader.text[reader.at..];
    let is_next = rest.get(..word.len()).is_some_and(|next| next.eq_ignore_ascii_case(word))
        && !rest[word.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_');
    reader.at += if is_next { word.len() } else { 0 };
    is_next
}

impl Operator {
    fn holds(self, left: &Value, right: &Value) -> bool {
        let ordered = |wanted: fn(Ordering) -> bool| order(left, right).is_some_and(wanted);
        match self {
            Self::Equal => equal(left, right),
            Self::NotEqual => !equal(left, right),
            Self::Has => match left {
                Value::String(text) => text.contains(&*text_of(right)),
                _ => equal(left, right),
            },
            Self::Less => ordered(Ordering::is_lt),
            Self::LessOrEqual => ordered(Ordering::is_le),
            Self::Greater => ordered(Ordering::is_gt),
            Self::GreaterOrEqual => ordered(Ordering::is_ge),
        }
    }
}

/// The right side as what the left one is.
fn cast(left: &Value, right: &Value) -> Option<Value> {
    match (left, right) {
        (Value::Null, _) | (_, Value::Null) => Some(right.clone()),
        (Value::String(_), right) => Some(Value::String(text_of(right).into_owned())),
        (_, Value::String(text)) => serde_json::from_str(text).ok(),
        (_, right) => Some(right.clone()),
    }
}

fn equal(left: &Value, right: &Value) -> bool {
    cast(left, right).is_some_and(|right| same(left, &right))
}

fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, &cast(left, right)?) {
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (left, right) => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}
