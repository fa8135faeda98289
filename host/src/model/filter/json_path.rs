//! JSONPath (RFC 9535): parsed once, checked, and evaluated within a budget that is the same on every machine.
//!
//! The syntax tree is `jsonpath-rust`'s ([`normal`] says what is done before); types, numbers, patterns and evaluation are ours: that library
//! compares numbers as doubles, compiles a pattern for each value, and keeps the path of each value it passes as text.

mod budget;
mod error;
mod evaluate;
mod node;
mod normal;
mod number;
mod pattern;
mod syntax;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc};

use jsonpath_rust::parser::{errors::JsonPathError as ParseError, parse_json_path};

use error::refusal;
use evaluate::Evaluation;
use normal::Normal;
use syntax::Query;

pub use budget::{OverBudget, PATH_NODES_MAX, PATH_STEPS_MAX, Steps};
pub use error::JsonPathError;
pub use node::Node;

/// The longest path, in characters.
pub const PATH_CHARS_MAX: usize = 1024;

/// Brackets and parentheses inside each other.
pub const PATH_DEPTH_MAX: usize = 16;

/// Functions inside each other: the parser tries each of them several times, and those inside it each time.
pub const PATH_FUNCTIONS_MAX: usize = 4;

/// A parsed path.
#[derive(Clone)]
pub struct JsonPath {
    text: String,
    query: Arc<Query>,
}

impl JsonPath {
    /// Reads a path.
    pub fn parse(text: &str) -> Result<Self, JsonPathError> {
        if text.chars().count() > PATH_CHARS_MAX {
            return Err(refusal(format!("a JSONPath has at most {PATH_CHARS_MAX} characters")));
        }
        if !text.starts_with('$') {
            return Err(JsonPathError { position: Some(0), detail: "a JSONPath begins with `$`, as in `$.routes[0].distance`".to_owned() });
        }
        let normal = Normal::of(text)?;
        let tree = parse_json_path(&normal.text).map_err(|error| explained(text, &normal, error))?;
        Ok(Self { text: text.to_owned(), query: Arc::new(Query::of(&tree, &normal)?) })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it leads to one value at most: names and indices alone.
    pub fn is_singular(&self) -> bool {
        self.query.is_singular()
    }

    /// What it finds in `document`, in order.
    pub fn find<'v, N: Node>(&'v self, document: &'v N) -> Result<Vec<&'v N>, OverBudget> {
        self.find_within(document, &mut Steps::default())
    }

    /// The same, on a budget that others share.
    pub fn find_within<'v, N: Node>(&'v self, document: &'v N, steps: &mut Steps) -> Result<Vec<&'v N>, OverBudget> {
        let mut found = Vec::new();
        Evaluation::new(document, steps).run(&self.query, &mut |node| {
            found.push(node);
            found.len() <= PATH_NODES_MAX
        })?;
        if found.len() > PATH_NODES_MAX { Err(OverBudget::Nodes) } else { Ok(found) }
    }

    /// Whether it finds anything in `document`. It ends with the first value.
    pub fn finds<N: Node>(&self, document: &N, steps: &mut Steps) -> Result<bool, OverBudget> {
        let mut is_found = false;
        Evaluation::new(document, steps).run(&self.query, &mut |_| {
            is_found = true;
            false
        })?;
        Ok(is_found)
    }
}

impl PartialEq for JsonPath {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JsonPath({:?})", self.text)
    }
}

/// Said where a comparison is what the parser could not read.
const COMPARED: &str =
    "; each side of a comparison is a literal, a path of names and indices alone, or `length`, `count` or `value` of a path";

fn explained(text: &str, normal: &Normal, error: ParseError) -> JsonPathError {
    match error {
        ParseError::PestError(error) => {
            // The parser's position is of a type we cannot name: `Pos(7)` or `Span((7, 9))`, in bytes.
            let location = format!("{:?}", error.location);
            let digits: String = location.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
            let position = digits.parse().ok().map(|byte| normal.place(byte));
            let is_comparison = position.and_then(|at| text.chars().nth(at)).is_some_and(|c| matches!(c, '=' | '!' | '<' | '>'));
            let hint = if is_comparison { COMPARED } else { "" };
            let expected = error.variant.message().replace('_', " ");
            JsonPathError { position, detail: format!("this is no JSONPath (RFC 9535): {expected}{hint}") }
        }
        other if other.to_string().contains("is not comparable") => {
            refusal("`match` and `search` hold or do not, and are not compared: `match(...)` or `!match(...)`")
        }
        other => refusal(format!("this is no JSONPath (RFC 9535): {other}")),
    }
}
