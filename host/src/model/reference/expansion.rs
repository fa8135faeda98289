//! What came of the references and functions of one expansion, and how a value is put into text.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::Reference;
use crate::model::{binding::spend, function::FunctionFailure};

/// The bytes of values that one expansion puts in or works on, all references and functions together: a template that names a large
/// parameter a thousand times must not fill the memory.
pub const SUBSTITUTED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What one expansion met: references that had no value, each once, in order; the first function that gave nothing; how much was put in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expansion {
    unset: Vec<String>,
    failure: Option<FunctionFailure>,
    /// Bytes of values that may still be put in.
    left: usize,
    overflowed: bool,
    /// Draws made.
    draws: u64,
}

impl Default for Expansion {
    fn default() -> Self {
        Self { unset: Vec::new(), failure: None, left: SUBSTITUTED_BYTES_MAX, overflowed: false, draws: 0 }
    }
}

impl Expansion {
    /// Notes a reference that has no value.
    pub fn record(&mut self, reference: &Reference) {
        if !self.unset.iter().any(|known| known == reference.as_str()) {
            self.unset.push(reference.as_str().to_owned());
        }
    }

    /// Notes a function that gave nothing.
    pub(in crate::model) fn fail(&mut self, failure: FunctionFailure) {
        self.failure.get_or_insert(failure);
    }

    /// Whether `value` may still be put in. Past [`SUBSTITUTED_BYTES_MAX`] nothing more is.
    pub(in crate::model) fn admit(&mut self, value: &Value) -> bool {
        self.overflowed = self.overflowed || !spend(value, &mut self.left);
        !self.overflowed
    }

    /// The next random bytes of this expansion.
    pub(in crate::model) fn draw(&mut self, seed: &[u8; 32]) -> [u8; 32] {
        self.draws += 1;
        Sha256::new().chain_update(seed).chain_update(self.draws.to_be_bytes()).finalize().into()
    }

    /// Whether values were left out because there were too many bytes of them. What was expanded is then not to be used.
    pub fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// The first function that gave nothing. What was expanded is then not to be used.
    pub fn failure(&self) -> Option<&FunctionFailure> {
        self.failure.as_ref()
    }

    /// The unset references as written: `$session.params.fruit`.
    pub fn names(&self) -> &[String] {
        &self.unset
    }

    /// The same, owned.
    pub fn into_names(self) -> Vec<String> {
        self.unset
    }

    /// Whether every reference had a value.
    pub fn is_empty(&self) -> bool {
        self.unset.is_empty()
    }
}

/// A text as it is, anything else as JSON.
pub(in crate::model) fn text_of(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_string()),
    }
}

/// Everything but RFC 3986's unreserved characters. Dialogflow CX says that values are URL-escaped; which characters that covers is our
/// decision.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// `value` with everything outside RFC 3986's unreserved characters percent-encoded.
pub(in crate::model) fn escape(value: &str) -> Cow<'_, str> {
    utf8_percent_encode(value, ESCAPED).into()
}
