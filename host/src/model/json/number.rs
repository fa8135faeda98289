//! A JSON number: its text, and what the text is worth.

use std::{
    borrow::Cow,
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
};

use compact_str::CompactString;

use super::decimal::Decimal;

/// Characters of a number's text. Our decision: a longer text is not meant as a number.
pub const NUMBER_CHARS_MAX: usize = 1000;

/// A number as it was written: `1.10`, `1e400` or thirty digits. Compared as the decimal it is, exactly.
#[derive(Clone)]
pub struct Number(Written);

#[derive(Clone)]
enum Written {
    /// Digits without sign `+`, leading zero, point or exponent, within 64 bits: most numbers there are.
    Whole(i64),
    /// Any other text of the grammar; up to 24 bytes of it lie here.
    Text(CompactString),
}

/// Why a text is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// Not the grammar of RFC 8259, section 6.
    #[error("invalid number")]
    Grammar,
    /// Too long.
    #[error("a number has at most {NUMBER_CHARS_MAX} characters")]
    TooLong,
}

impl Number {
    /// Reads the text of a number.
    pub fn parse(text: &str) -> Result<Self, NumberError> {
        if text.len() > NUMBER_CHARS_MAX {
            return Err(NumberError::TooLong);
        }
        if grammar(text.as_bytes()) == Some(text.len()) { Ok(Self::of_grammar(text)) } else { Err(NumberError::Grammar) }
    }

    /// Of a text that is known to be of the grammar.
    pub(super) fn of_grammar(text: &str) -> Self {
        let plain = text.len() <= 19 && text != "-0" && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        match plain.then(|| text.parse().ok()).flatten() {
            Some(whole) => Self(Written::Whole(whole)),
            None => Self(Written::Text(CompactString::new(text))),
        }
    }

    /// A double; `None`: it is infinite or no number.
    pub fn from_f64(double: f64) -> Option<Self> {
        serde_json::Number::from_f64(double).map(|number| Self::of_grammar(&number.to_string()))
    }

    /// The text it came with.
    pub fn text(&self) -> Cow<'_, str> {
        match &self.0 {
            Written::Whole(whole) => whole.to_string().into(),
            Written::Text(text) => Cow::Borrowed(text.as_str()),
        }
    }

    /// The text, unless it is that of a whole number of 64 bits.
    pub(super) fn written(&self) -> Result<i64, &str> {
        match &self.0 {
            Written::Whole(whole) => Ok(*whole),
            Written::Text(text) => Err(text),
        }
    }

    /// One text for all numbers that are equal: `1`, `1.0` and `10e-1` are `1`. Doubles have the text that `serde_json` gives them, but for
    /// the `.0` of whole ones.
    pub fn canonical(&self) -> String {
        match &self.0 {
            Written::Whole(whole) => whole.to_string(),
            Written::Text(text) => Decimal::of(text).to_string(),
        }
    }

    /// Its value, where it is whole and within 64 bits with a sign: `1e3` is 1000.
    pub fn as_i64(&self) -> Option<i64> {
        match &self.0 {
            Written::Whole(whole) => Some(*whole),
            Written::Text(text) => Decimal::of(text).whole().and_then(|whole| whole.try_into().ok()),
        }
    }

    /// Its value, where it is whole and within 64 bits without a sign.
    pub fn as_u64(&self) -> Option<u64> {
        match &self.0 {
            Written::Whole(whole) => (*whole).try_into().ok(),
            Written::Text(text) => Decimal::of(text).whole().and_then(|whole| whole.try_into().ok()),
        }
    }

    /// The double next to it; `None`: it is beyond all of them.
    pub fn nearest_f64(&self) -> Option<f64> {
        match &self.0 {
            #[expect(clippy::cast_precision_loss, reason = "the nearest double is what is asked for")]
            Written::Whole(whole) => Some(*whole as f64),
            Written::Text(text) => text.parse().ok().filter(|double: &f64| double.is_finite()),
        }
    }

    /// The double whose shortest text is this number: what JavaScript prints is then what was sent, in value.
    pub fn exact_f64(&self) -> Option<f64> {
        let double = self.nearest_f64()?;
        let shortest = Self::from_f64(double)?;
        (shortest == *self).then_some(double)
    }

    /// Whether it is written as a whole number: without point and exponent.
    pub fn is_written_whole(&self) -> bool {
        match &self.0 {
            Written::Whole(_) => true,
            Written::Text(text) => !text.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E')),
        }
    }
}

/// How many bytes at the beginning of `text` are one number (RFC 8259, section 6); `None`: it begins with none.
pub(super) fn grammar(text: &[u8]) -> Option<usize> {
    let digits = |from: usize| text[from.min(text.len())..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut at = usize::from(text.first() == Some(&b'-'));
    at += match text.get(at)? {
        b'0' => 1,
        b'1'..=b'9' => digits(at),
        _ => return None,
    };
    if text.get(at) == Some(&b'.') {
        let decimals = digits(at + 1);
        if decimals == 0 {
            return None;
        }
        at += 1 + decimals;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        let power = digits(at + 1 + sign);
        if power == 0 {
            return None;
        }
        at += 1 + sign + power;
    }
    Some(at)
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Written::Whole(whole) => whole.fmt(f),
            Written::Text(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Number({self})")
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            (Written::Whole(ours), Written::Whole(theirs)) => ours.cmp(theirs),
            _ => Decimal::of(&self.text()).cmp(&Decimal::of(&other.text())),
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Number {}

impl Hash for Number {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.canonical().hash(state);
    }
}

impl From<i64> for Number {
    fn from(whole: i64) -> Self {
        Self(Written::Whole(whole))
    }
}

impl From<u64> for Number {
    fn from(whole: u64) -> Self {
        i64::try_from(whole).map_or_else(|_| Self(Written::Text(whole.to_string().into())), Self::from)
    }
}
