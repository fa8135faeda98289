//! Why a text is no path.

use std::fmt;

/// Why a text is no path we evaluate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPathError {
    /// Where, counted in characters from 0, if that is known.
    pub position: Option<usize>,
    /// What is wrong.
    pub detail: String,
}

impl std::error::Error for JsonPathError {}

impl fmt::Display for JsonPathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some(position) => write!(f, "{} (at character {position})", self.detail),
            None => f.write_str(&self.detail),
        }
    }
}

pub(super) fn refusal(detail: impl Into<String>) -> JsonPathError {
    JsonPathError { position: None, detail: detail.into() }
}
