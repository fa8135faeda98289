//! What the text of a number is worth, exactly and at a cost near the text's length: no power is ever written out.

use std::{cmp::Ordering, fmt};

/// `0.DIGITS × 10^point`, with its sign. Zero has no digits and no sign.
#[derive(Debug, PartialEq, Eq)]
pub struct Decimal {
    is_negative: bool,
    /// Without zeros at either end.
    digits: String,
    point: Point,
}

/// A power of ten.
#[derive(Debug, PartialEq, Eq)]
enum Point {
    Near(i64),
    /// Beyond [`NEAR_MAX`]: the sign, and digits without leading zeros.
    Far(bool, String),
}

/// The largest power that is counted with; those beyond are compared as texts.
const NEAR_MAX: u64 = 10_u64.pow(18);

/// Bits of the widest number that is written without a power: `u64`.
const WHOLE_DIGITS_MAX: i64 = 20;

impl Decimal {
    /// Of a text of JSON's grammar.
    pub fn of(text: &str) -> Self {
        let (is_negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, power) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, decimals) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = [whole, decimals].concat();
        let significant = all.trim_start_matches('0');
        let leading = all.len() - significant.len();
        let digits = significant.trim_end_matches('0').to_owned();
        if digits.is_empty() {
            return Self { is_negative: false, digits, point: Point::Near(0) };
        }
        let shift = signed(whole.len()) - signed(leading);
        Self { is_negative, digits, point: Point::of(power, shift) }
    }

    /// Its value, where it is whole and has no more digits than 64 bits may have.
    pub fn whole(&self) -> Option<i128> {
        let Point::Near(point) = self.point else { return None };
        let zeros = point - signed(self.digits.len());
        if self.digits.is_empty() {
            return Some(0);
        }
        if zeros < 0 || point > WHOLE_DIGITS_MAX {
            return None;
        }
        let value: i128 = self.digits.parse().ok()?;
        let value = value * 10_i128.pow(u32::try_from(zeros).ok()?);
        Some(if self.is_negative { -value } else { value })
    }
}

impl Point {
    /// The power `power` (digits with a sign, perhaps) and `shift` together.
    fn of(power: &str, shift: i64) -> Self {
        let (is_negative, magnitude) = match power.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, power.strip_prefix('+').unwrap_or(power)),
        };
        let magnitude = magnitude.trim_start_matches('0');
        // A text has a thousand characters: the sum is far from overflowing.
        let near = |magnitude: i64| if is_negative { shift - magnitude } else { shift + magnitude };
        if magnitude.is_empty() {
            return Self::near(shift);
        }
        if magnitude.len() <= 18 {
            return Self::near(magnitude.parse().map_or(i64::MAX, near));
        }
        let sum = moved(magnitude, shift.unsigned_abs(), is_negative != (shift < 0));
        let sum = sum.trim_start_matches('0');
        match sum.parse::<i64>() {
            Ok(sum) if sum.unsigned_abs() < NEAR_MAX => Self::Near(if is_negative { -sum } else { sum }),
            _ => Self::Far(is_negative, sum.to_owned()),
        }
    }

    fn near(point: i64) -> Self {
        if point.unsigned_abs() < NEAR_MAX { Self::Near(point) } else { Self::Far(point < 0, point.unsigned_abs().to_string()) }
    }
}

/// The number of these digits, with `by` taken off or added. It is larger than `by`.
fn moved(digits: &str, by: u64, is_less: bool) -> String {
    let mut left = by;
    let mut backwards: Vec<char> = Vec::with_capacity(digits.len() + 1);
    for digit in digits.chars().rev() {
        let (digit, step) = (u64::from(digit.to_digit(10).unwrap_or_default()), left % 10);
        left /= 10;
        let sum = if is_less {
            left += u64::from(step > digit);
            (10 + digit - step) % 10
        } else {
            left += (digit + step) / 10;
            (digit + step) % 10
        };
        backwards.extend(u32::try_from(sum).ok().and_then(|sum| char::from_digit(sum, 10)));
    }
    if left > 0 {
        backwards.extend(left.to_string().chars().rev());
    }
    backwards.iter().rev().collect()
}

fn signed(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

impl Ord for Point {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Near(ours), Self::Near(theirs)) => ours.cmp(theirs),
            (Self::Near(_), Self::Far(is_negative, _)) => {
                if *is_negative {
                    Ordering::Greater
                } else {
                    Ordering::Less
                }
            }
            (Self::Far(is_negative, _), Self::Near(_)) => {
                if *is_negative {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
            (Self::Far(false, ours), Self::Far(false, theirs)) => (ours.len(), ours).cmp(&(theirs.len(), theirs)),
            (Self::Far(true, ours), Self::Far(true, theirs)) => (theirs.len(), theirs).cmp(&(ours.len(), ours)),
            (Self::Far(ours, _), Self::Far(theirs, _)) => theirs.cmp(ours),
        }
    }
}

impl PartialOrd for Point {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |of: &Self| {
            if of.digits.is_empty() {
                0
            } else if of.is_negative {
                -1
            } else {
                1
            }
        };
        let (ours, theirs) = (sign(self), sign(other));
        // Without zeros at the end, the order of the digits' texts is that of the fractions.
        let magnitude = || self.point.cmp(&other.point).then_with(|| self.digits.cmp(&other.digits));
        match ours.cmp(&theirs) {
            Ordering::Equal if ours < 0 => magnitude().reverse(),
            Ordering::Equal if ours > 0 => magnitude(),
            order => order,
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The canonical text: digits alone for whole numbers of 64 bits, a point within sixteen digits, else one digit, the others and a power.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(whole) = self.whole().filter(|whole| i64::try_from(*whole).is_ok() || u64::try_from(*whole).is_ok()) {
            return whole.fmt(f);
        }
        let sign = if self.is_negative { "-" } else { "" };
        let (digits, length) = (&self.digits, signed(self.digits.len()));
        match &self.point {
            Point::Near(point @ 1..=16) if *point < length => {
                let (whole, decimals) = digits.split_at(usize::try_from(*point).unwrap_or_default());
                write!(f, "{sign}{whole}.{decimals}")
            }
            Point::Near(point @ -4..=0) => {
                let zeros = "0".repeat(usize::try_from(-point).unwrap_or_default());
                write!(f, "{sign}0.{zeros}{digits}")
            }
            point => {
                let (first, rest) = digits.split_at(1);
                let dot = if rest.is_empty() { "" } else { "." };
                let power = match point {
                    Point::Near(point) => format!("{:+}", point - 1),
                    Point::Far(false, power) => format!("+{}", moved(power, 1, true).trim_start_matches('0')),
                    Point::Far(true, power) => format!("-{}", moved(power, 1, false)),
                };
                write!(f, "{sign}{first}{dot}{rest}e{power}")
            }
        }
    }
}
