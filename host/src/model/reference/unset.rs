//! What came of the references of one expansion.

use serde_json::Value;

use super::Reference;
use crate::model::binding::spend;

/// The bytes of values that one expansion puts in, all references together: a template that names a large parameter a thousand times
/// must not fill the memory.
pub const SUBSTITUTED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What one expansion met: references that had no value, each once, in order, and how much was put in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unset {
    names: Vec<String>,
    /// Bytes of values that may still be put in.
    left: usize,
    overflowed: bool,
}

impl Default for Unset {
    fn default() -> Self {
        Self { names: Vec::new(), left: SUBSTITUTED_BYTES_MAX, overflowed: false }
    }
}

impl Unset {
    /// Notes a reference that has no value.
    pub fn record(&mut self, reference: &Reference) {
        if !self.names.iter().any(|known| known == reference.as_str()) {
            self.names.push(reference.as_str().to_owned());
        }
    }

    /// Whether `value` may still be put in. Past [`SUBSTITUTED_BYTES_MAX`] nothing more is.
    pub(in crate::model) fn admit(&mut self, value: &Value) -> bool {
        self.overflowed = self.overflowed || !spend(value, &mut self.left);
        !self.overflowed
    }

    /// Whether values were left out because there were too many bytes of them. What was expanded is then not to be used.
    pub fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// The references as written: `$session.params.fruit`.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The same, owned.
    pub fn into_names(self) -> Vec<String> {
        self.names
    }

    /// Whether every reference had a value.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}
