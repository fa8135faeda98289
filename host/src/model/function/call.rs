//! One function with its arguments: what it refers to, and what it gives.
//!
//! A call has arguments, an argument may be a condition or a call, and `parse` reads all three: the one recursion of the language.

use std::fmt;

use serde_json::Value;

use super::{
    condition::Condition,
    failure::{FunctionError, FunctionFailure, TOO_LARGE},
    parse,
    table::{Run, Signature},
};
use crate::model::{
    binding::{VALUE_BYTES_MAX, spend},
    filter::json_path::JsonPath,
    reference::{Expansion, Reference, Scope},
};

/// How deep functions, lists and conditions stand inside each other.
pub const FUNCTION_DEPTH_MAX: usize = 32;
/// Arguments of one function, and members of one list written out.
pub const ARGUMENTS_MAX: usize = 100;

/// One function with its arguments, parsed and checked.
#[derive(Clone, PartialEq)]
pub struct Call {
    pub(super) signature: &'static Signature,
    pub(super) arguments: Vec<Argument>,
    /// As written, from the `$` to the closing parenthesis.
    pub(super) text: String,
}

/// An argument.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Argument {
    /// A text, number or boolean, written out.
    Literal(Value),
    /// `[...]`, written out.
    List(Vec<Argument>),
    Reference(Reference),
    Call(Call),
    /// IF's, in quotes.
    Condition(Condition),
    /// FILTER's, in quotes.
    Path(JsonPath),
}

/// Where evaluation ended.
pub(super) enum Stop {
    /// In this function, for this reason.
    Here(String),
    /// In one of its arguments.
    Within(FunctionFailure),
}

impl Call {
    /// Reads the function `text` begins with, which begins with `$sys.`.
    pub fn parse(text: &str) -> Result<Self, FunctionError> {
        parse::call(text)
    }

    /// As written, from the `$` to the closing parenthesis.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Adds the references among its arguments to `found`, in order.
    pub fn references<'r>(&'r self, found: &mut Vec<&'r Reference>) {
        self.arguments.iter().for_each(|argument| argument.references(found));
    }

    /// What it gives.
    pub(in crate::model) fn value(&self, scope: &Scope<'_>, expansion: &mut Expansion) -> Result<Value, FunctionFailure> {
        let function = self.signature.name;
        let value = self.run(scope, expansion).map_err(|stop| match stop {
            Stop::Here(detail) => FunctionFailure { function, detail },
            Stop::Within(failure) => failure,
        })?;
        // What is put into the request counts once more there; here it bounds what functions hand to each other.
        if expansion.admit(&value) { Ok(value) } else { Err(FunctionFailure { function, detail: TOO_LARGE.to_owned() }) }
    }

    fn run(&self, scope: &Scope<'_>, expansion: &mut Expansion) -> Result<Value, Stop> {
        match self.signature.run {
            Run::Plain(run) => run(&self.values(scope, expansion)?).map_err(Stop::Here),
            Run::Timed(run) => run(&self.values(scope, expansion)?, scope.ambient.now).map_err(Stop::Here),
            Run::Random(run) => Ok(run(expansion.draw(&scope.ambient.seed))),
            Run::If => {
                // Only the branch that is taken is evaluated: the other may well have nothing to give.
                let holds = self.arguments[0].value(scope, expansion)?.as_bool();
                let holds = holds.ok_or_else(|| Stop::Here("its first argument is no condition: it is not true or false".to_owned()))?;
                self.arguments[if holds { 1 } else { 2 }].value(scope, expansion)
            }
            Run::Filter => {
                let Argument::Path(path) = &self.arguments[1] else { return Err(Stop::Here("its path is no JSONPath".to_owned())) };
                let value = self.arguments[0].value(scope, expansion)?;
                let found = path.find(&value).map_err(|error| Stop::Here(format!("its path cannot be evaluated: {error}")))?;
                let mut left = VALUE_BYTES_MAX;
                if !found.iter().all(|value| spend(value, &mut left)) {
                    return Err(Stop::Here(TOO_LARGE.to_owned()));
                }
                Ok(found.into_iter().cloned().collect())
            }
        }
    }

    /// The arguments, each of the kind its place asks for.
    fn values(&self, scope: &Scope<'_>, expansion: &mut Expansion) -> Result<Vec<Value>, Stop> {
        let mut values = Vec::with_capacity(self.arguments.len());
        for (index, argument) in self.arguments.iter().enumerate() {
            let value = argument.value(scope, expansion)?;
            let kind = self.signature.kind(index);
            let value = kind.take(value).ok_or_else(|| Stop::Here(format!("argument {} is not {}", index + 1, kind.said())))?;
            values.push(value);
        }
        Ok(values)
    }
}

impl Argument {
    pub(super) fn value(&self, scope: &Scope<'_>, expansion: &mut Expansion) -> Result<Value, Stop> {
        Ok(match self {
            Self::Literal(value) => value.clone(),
            Self::List(items) => {
                let items: Result<Vec<_>, _> = items.iter().map(|item| item.value(scope, expansion)).collect();
                Value::Array(items?)
            }
            Self::Reference(reference) => match scope.find(reference).filter(|found| found.rest.is_empty()) {
                Some(found) if expansion.admit(&found.value) => found.value.into_owned(),
                Some(_) => return Err(Stop::Here(TOO_LARGE.to_owned())),
                None => {
                    expansion.record(reference);
                    Value::Null
                }
            },
            Self::Call(call) => call.value(scope, expansion).map_err(Stop::Within)?,
            Self::Condition(condition) => Value::Bool(condition.holds(scope, expansion)?),
            // Only FILTER has one, and takes it as it is.
            Self::Path(path) => Value::String(path.as_str().to_owned()),
        })
    }

    pub(super) fn references<'r>(&'r self, found: &mut Vec<&'r Reference>) {
        match self {
            Self::Literal(_) | Self::Path(_) => {}
            Self::List(items) => items.iter().for_each(|item| item.references(found)),
            Self::Reference(reference) => found.push(reference),
            Self::Call(call) => call.references(found),
            Self::Condition(condition) => condition.references(found),
        }
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Call({})", self.text)
    }
}
