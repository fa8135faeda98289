//! Why a text is no function, and why a function gives nothing.

/// What a function begins with.
pub const PREFIX: &str = "$sys.func.";
/// Said of a result past the limit.
pub(super) const TOO_LARGE: &str = "the result would be too large";

/// Why a text is no function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionError {
    /// The byte, counted from the `$`.
    pub at: usize,
    /// What is wrong, and what would be right.
    pub detail: String,
}

/// Why a function gives nothing. Shows no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{PREFIX}{function}` gives nothing: {detail}")]
pub struct FunctionFailure {
    /// Its name.
    pub function: &'static str,
    /// Why.
    pub detail: String,
}

impl FunctionFailure {
    /// Whether it would have given something for smaller values.
    pub fn is_too_large(&self) -> bool {
        self.detail == TOO_LARGE
    }
}
