//! `Retry-After`: for how long an endpoint asks to be left alone.

use std::time::Duration;

use jiff::{Timestamp, fmt::strtime::BrokenDownTime, tz::TimeZone};

/// The longest `Retry-After` that is honoured: 1 day. What is beyond is taken for this.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);

/// The forms of a date in HTTP (RFC 9110, section 5.6.7) behind the day of the week: IMF-fixdate, RFC 850, asctime.
const DATE_FORMS: [&str; 3] = ["%d %b %Y %H:%M:%S GMT", "%d-%b-%y %H:%M:%S GMT", "%b %e %H:%M:%S %Y"];

/// Reads the values of `Retry-After` (RFC 9110, section 10.2.3): seconds or a date, the longest where there are several. Bounded by
/// [`RETRY_AFTER_MAX`]; what cannot be read says nothing.
pub fn retry_after<'a>(values: impl IntoIterator<Item = &'a str>, now: Timestamp) -> Option<Duration> {
    values.into_iter().filter_map(|value| one(value.trim(), now)).max()
}

fn one(value: &str, now: Timestamp) -> Option<Duration> {
    let asked = match seconds(value) {
        Some(seconds) => seconds,
        // A date has a comma of its own.
        None => match date(value) {
            Some(at) => Duration::try_from(at.duration_since(now)).unwrap_or_default(),
            None if value.contains(',') => value.split(',').filter_map(|part| seconds(part.trim())).max()?,
            None => return None,
        },
    };
    Some(asked.min(RETRY_AFTER_MAX))
}

/// Digits, however many; a fraction, which the standard does not have and some send, counts as a whole second.
fn seconds(value: &str) -> Option<Duration> {
    let (whole, fraction) = value.split_once('.').unwrap_or((value, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let begun = u64::from(fraction.bytes().any(|byte| byte != b'0'));
    // More digits than fit say: longer than we ever wait.
    Some(Duration::from_secs(whole.parse::<u64>().unwrap_or(u64::MAX).saturating_add(begun)))
}

fn date(value: &str) -> Option<Timestamp> {
    // The day of the week says nothing the date does not, and is not always right.
    let (_, date) = value.split_once(' ')?;
    let date = date.trim_start();
    let parsed = DATE_FORMS.iter().find_map(|form| BrokenDownTime::parse(form, date).ok()?.to_datetime().ok());
    if let Some(at) = parsed {
        // The last hours of the year 9999 are beyond what a timestamp can be.
        return Some(TimeZone::UTC.to_timestamp(at).unwrap_or(Timestamp::MAX));
    }
    // What others than HTTP servers write: another zone.
    jiff::fmt::rfc2822::parse(value).ok().map(|at| at.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_second(1_700_000_000).expect("a time")
    }

    #[track_caller]
    fn asks(value: &str, expected: Option<u64>) {
        assert_eq!(retry_after([value], now()), expected.map(Duration::from_secs), "{value:?}");
    }

    const DAY: u64 = 24 * 3600;

    #[test]
    fn seconds_of_any_size_are_taken_and_bounded() {
        for (value, expected) in [(" 120 ", 120), ("0", 0), ("00060", 60), ("1.2", 2), ("3.0", 3), ("99999999", DAY)] {
            asks(value, Some(expected));
        }
        asks("99999999999999999999999", Some(DAY));
        asks("18446744073709551615.5", Some(DAY));
    }

    #[test]
    fn a_date_is_read_in_each_of_its_three_forms() {
        for value in [
            "Tue, 14 Nov 2023 22:14:20 GMT",
            "Tuesday, 14-Nov-23 22:14:20 GMT",
            "Tue Nov 14 22:14:20 2023",
            "Wed, 14 Nov 2023 22:14:20 GMT",
            "Tue, 14 Nov 2023 23:14:20 +0100",
        ] {
            asks(value, Some(60));
        }
        asks("Fri Dec  1 00:00:00 2023", Some(DAY));
        asks("Fri, 31 Dec 9999 23:59:59 GMT", Some(DAY));
    }

    #[test]
    fn a_date_of_the_past_asks_for_no_time() {
        for value in ["Tue, 14 Nov 2023 22:00:00 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            asks(value, Some(0));
        }
    }

    #[test]
    fn what_is_neither_says_nothing() {
        for value in ["", "soon", "-5", "+5", "1e9", "5 s", "12:00", "Tue, 31 Feb 2023 22:14:20 GMT", "1.", ".5", "1.2.3"] {
            asks(value, None);
        }
    }

    #[test]
    fn of_several_the_longest_counts() {
        assert_eq!(retry_after(["5", "Tue, 14 Nov 2023 22:14:20 GMT", "soon"], now()), Some(Duration::from_secs(60)));
        asks("30, 90", Some(90));
        assert_eq!(retry_after([], now()), None);
    }
}
