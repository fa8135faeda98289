//! Numbers: whole ones exactly as long as they fit 64 bits, all others as JSON's usual `f64`.

use serde_json::Value;

/// Digits behind the point that DIVIDE keeps unless told.
const DIVIDE_SCALE: usize = 3;
/// Digits behind the point an `f64` can have any use for.
const SCALE_MAX: usize = 15;

/// Numbers joined two by two.
fn fold(values: &[Value], whole: fn(i64, i64) -> Option<i64>, any: fn(f64, f64) -> f64) -> Result<Value, String> {
    let mut exact = values.iter().map(Value::as_i64);
    let first = exact.next().flatten();
    if let Some(exact) = exact.fold(first, |sum, next| whole(sum?, next?)) {
        return Ok(exact.into());
    }
    number_of(values.iter().filter_map(Value::as_f64).reduce(any).unwrap_or_default())
}

pub(super) fn add(values: &[Value]) -> Result<Value, String> {
    fold(values, i64::checked_add, |a, b| a + b)
}

pub(super) fn minus(values: &[Value]) -> Result<Value, String> {
    fold(values, i64::checked_sub, |a, b| a - b)
}

pub(super) fn multiply(values: &[Value]) -> Result<Value, String> {
    fold(values, i64::checked_mul, |a, b| a * b)
}

pub(super) fn divide(values: &[Value]) -> Result<Value, String> {
    let by = values[1].as_f64().unwrap_or_default();
    if by == 0.0 {
        return Err("it would divide by zero".to_owned());
    }
    rounded(values[0].as_f64().unwrap_or_default() / by, scale(values.get(2), DIVIDE_SCALE)?)
}

/// What is seen of DIVIDE before its values are known.
pub(super) fn check_divide(seen: &[Option<&Value>]) -> Result<(), String> {
    match seen.get(1).copied().flatten().and_then(Value::as_f64) {
        Some(0.0) => Err("`DIVIDE` by zero".to_owned()),
        _ => Ok(()),
    }
}

/// Halves go away from zero.
pub(super) fn round(values: &[Value]) -> Result<Value, String> {
    if values[0].is_i64() || values[0].is_u64() {
        return Ok(values[0].clone());
    }
    rounded(values[0].as_f64().unwrap_or_default(), scale(values.get(1), 0)?)
}

fn scale(given: Option<&Value>, otherwise: usize) -> Result<i32, String> {
    let places = given.map_or(Some(otherwise), index).filter(|places| *places <= SCALE_MAX);
    let places = places.ok_or_else(|| format!("there are at most {SCALE_MAX} digits behind the point"))?;
    i32::try_from(places).map_err(|error| error.to_string())
}

fn rounded(number: f64, places: i32) -> Result<Value, String> {
    let factor = 10f64.powi(places);
    let scaled = number * factor;
    // Past this size an `f64` has no digits left to cut off.
    number_of(if scaled.abs() < 1e15 { scaled.round() / factor } else { number })
}

/// From 0 to below 1.
pub(super) fn rand(draw: [u8; 32]) -> Value {
    let mut bits = [0; 8];
    bits.copy_from_slice(&draw[..8]);
    // 53 bits are what an `f64` between 0 and 1 can hold evenly.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    let number = (u64::from_be_bytes(bits) >> 11) as f64 / (1u64 << 53) as f64;
    Value::from(number)
}

/// A JSON number; whole where it is whole, as `3` and not as `3.0`.
pub(super) fn number_of(number: f64) -> Result<Value, String> {
    /// Up to here every whole number has its own `f64`: 2^53.
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= WHOLE_MAX {
        #[expect(clippy::cast_possible_truncation, reason = "whole, and far inside of i64")]
        return Ok(Value::from(number as i64));
    }
    serde_json::Number::from_f64(number).map(Value::Number).ok_or_else(|| "the result is no number".to_owned())
}

/// A whole number from 0 on, also when it is written `3.0`.
pub(super) fn index(value: &Value) -> Option<usize> {
    match value.as_u64() {
        Some(index) => usize::try_from(index).ok(),
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, not negative and below 2^32")]
        None => value.as_f64().filter(|n| n.fract() == 0.0 && (0.0..4_294_967_296.0).contains(n)).map(|n| n as usize),
    }
}
