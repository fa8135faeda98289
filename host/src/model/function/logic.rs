//! Other types, and what a text might be.

use serde_json::{Value, from_str};

use super::{number::number_of, text::text_of};

/// Texts as they are, everything else as JSON.
pub(super) fn to_text(values: &[Value]) -> Result<Value, String> {
    Ok(text_of(&values[0]).into_owned().into())
}

/// A number, or a text that is one in JSON; true is 1, false 0.
pub(super) fn to_number(values: &[Value]) -> Result<Value, String> {
    let no_number = || "argument 1 is no number".to_owned();
    match &values[0] {
        Value::Number(number) => Ok(Value::Number(number.clone())),
        Value::Bool(is) => Ok(Value::from(u8::from(*is))),
        Value::String(text) => match from_str(text.trim()) {
            Ok(Value::Number(number)) => Ok(Value::Number(number)),
            _ => text.trim().parse().map_err(|_| no_number()).and_then(number_of),
        },
        _ => Err(no_number()),
    }
}

/// An object, or a text that is one in JSON.
pub(super) fn to_object(values: &[Value]) -> Result<Value, String> {
    let object = match &values[0] {
        Value::String(text) => from_str(text).ok(),
        other => Some(other.clone()),
    };
    object.filter(Value::is_object).ok_or_else(|| "argument 1 is no object".to_owned())
}

/// E.164: a plus and 7 to 15 digits. Digits may be grouped by spaces, points, hyphens, slashes and parentheses, and the plus written
/// `00`. Numbers without a country cannot be told apart without knowing it, so they are none (our decision).
fn e164(text: &str) -> Option<String> {
    let plain: String = text.trim().chars().filter(|c| !matches!(c, ' ' | '.' | '-' | '/' | '(' | ')' | '\u{a0}')).collect();
    let digits = plain.strip_prefix('+').or_else(|| plain.strip_prefix("00"))?;
    let is_number = (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
    is_number.then(|| format!("+{digits}"))
}

pub(super) fn to_phone_number(values: &[Value]) -> Result<Value, String> {
    let number = values[0].as_str().and_then(e164);
    number.map(Value::String).ok_or_else(|| "argument 1 is no phone number with its country: `+33 1 23 45 67 89`".to_owned())
}

pub(super) fn is_phone_number(values: &[Value]) -> Result<Value, String> {
    Ok(values[0].as_str().and_then(e164).is_some().into())
}

/// 12 to 19 digits whose check digit is right (ISO/IEC 7812-1, Luhn); spaces and hyphens between them do not matter.
pub(super) fn is_credit_card_number(values: &[Value]) -> Result<Value, String> {
    let text = text_of(&values[0]);
    let digits: Option<Vec<u32>> = text.chars().filter(|c| !matches!(c, ' ' | '-')).map(|c| c.to_digit(10)).collect();
    let Some(digits) = digits.filter(|digits| (12..=19).contains(&digits.len())) else { return Ok(false.into()) };
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, digit * 2) {
            (0, _) => *digit,
            (_, doubled) => doubled / 10 + doubled % 10,
        })
        .sum();
    Ok(sum.is_multiple_of(10).into())
}
