//! Numbers as paths compare them: by the decimal their text means, exactly. `1` equals `1.0`; 9007199254740993 does not equal its neighbour.

use std::{borrow::Cow, cmp::Ordering};

use crate::model::json::Decimal;

/// A number of a document or of a path.
#[derive(Clone, Debug)]
pub enum Number<'v> {
    /// Whole, and within 64 bits: most numbers there are.
    Whole(i64),
    /// A double, whose value is that of its shortest text: what `serde_json` writes for it.
    Double(f64),
    /// The text of any other number (RFC 8259, section 6).
    Text(Cow<'v, str>),
}

impl Number<'_> {
    /// Of the text of a number, in the form that is compared soonest.
    pub(super) fn of(text: &str) -> Number<'static> {
        if let Ok(whole) = text.parse() {
            return Number::Whole(whole);
        }
        let double = text.parse().ok().filter(|double: &f64| double.is_finite()).map(Number::Double);
        // Only if it is what its shortest text says: 9007199254740993.0 is not.
        let exact = double.filter(|double| Decimal::of(&double.text()) == Decimal::of(text));
        exact.unwrap_or_else(|| Number::Text(text.to_owned().into()))
    }

    /// How many bytes a comparison reads as texts; 0: the numbers are compared as they are.
    pub(super) fn bytes(&self, other: &Number<'_>) -> usize {
        if self.quick(other).is_some() { 0 } else { self.text().len() + other.text().len() }
    }

    /// Which is larger.
    pub(super) fn compare(&self, other: &Number<'_>) -> Ordering {
        self.quick(other).unwrap_or_else(|| Decimal::of(&self.text()).cmp(&Decimal::of(&other.text())))
    }

    /// Which is larger, where that needs no text. Of two doubles the larger has the larger text; an integer up to 2^53 is a double itself.
    fn quick(&self, other: &Number<'_>) -> Option<Ordering> {
        match (self, other) {
            (Self::Whole(ours), Number::Whole(theirs)) => Some(ours.cmp(theirs)),
            _ => self.double()?.partial_cmp(&other.double()?),
        }
    }

    fn double(&self) -> Option<f64> {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "nothing is lost up to 2^53")]
            Self::Whole(whole) if whole.unsigned_abs() <= EXACT_MAX => Some(*whole as f64),
            Self::Double(double) => Some(*double),
            _ => None,
        }
    }

    fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Whole(whole) => whole.to_string().into(),
            Self::Double(double) => format!("{double:e}").into(),
            Self::Text(text) => Cow::Borrowed(text),
        }
    }
}

/// Integers up to here are exact in a double.
const EXACT_MAX: u64 = 1 << 53;

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number<'_> {
        text.parse().map_or_else(|_| Number::Text(text.into()), Number::Whole)
    }

    #[test]
    fn a_number_compares_the_same_in_each_form() {
        let texts = ["-1.5", "0", "0.1", "1", "1.5", "9007199254740992", "9007199254740993", "9.007199254740993e15", "1e300", "1e400"];
        for left in texts {
            for right in texts {
                assert_eq!(Number::of(left).compare(&Number::of(right)), number(left).compare(&number(right)), "{left} {right}");
            }
        }
        assert!(matches!(Number::of("1.50"), Number::Double(_)) && matches!(Number::of("9007199254740993.0"), Number::Text(_)));
    }

    #[test]
    fn numbers_are_compared_as_the_decimals_they_are() {
        let rising = [
            "-1e400",
            "-12",
            "-1.5",
            "-1e-400",
            "0",
            "1e-999999999999999999999",
            "0.1",
            "0.10000000000000000001",
            "1",
            "9",
            "10",
            "9007199254740992",
            "9007199254740993",
            "9223372036854775807",
            "9223372036854775808",
            "1e400",
            "1.1e400",
        ];
        for (at, left) in rising.iter().enumerate() {
            for (other, right) in rising.iter().enumerate() {
                assert_eq!(number(left).compare(&number(right)), at.cmp(&other), "{left} {right}");
            }
        }
        for (left, right) in
            [("1", "1.0"), ("1", "10e-1"), ("0", "-0"), ("-0.0", "0e9"), ("100", "1E+2"), ("0.001", "1e-3"), ("12.50", "125e-1")]
        {
            assert_eq!(number(left).compare(&number(right)), Ordering::Equal, "{left} {right}");
        }
    }
}
