//! Dates. A time without an offset is UTC; a date without a time is the whole day.

use jiff::{
    Span, Timestamp,
    civil::{Date, DateTime, Time},
    fmt::temporal::Pieces,
    tz::Offset,
};
use serde_json::Value;

use super::number::index;

/// A date, with or without a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct When {
    pub date_time: DateTime,
    has_time: bool,
    offset: Option<Offset>,
}

impl When {
    /// Reads `2026-03-01`, `2026-03-01T12:00:00`, RFC 3339, or what Dialogflow's @sys.date and @sys.date-time become: an object with
    /// `year`, `month`, `day` and perhaps `hours`, `minutes`, `seconds`, `nanos`.
    pub(super) fn read(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Self::parse(text),
            Value::Object(_) => Self::of_parts(value),
            _ => None,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let pieces = Pieces::parse(text.trim()).ok()?;
        // A zone by name would need the rules of that zone.
        if pieces.time_zone_annotation().is_some() {
            return None;
        }
        let (time, offset) = (pieces.time(), pieces.to_numeric_offset());
        Some(Self { date_time: pieces.date().to_datetime(time.unwrap_or_else(Time::midnight)), has_time: time.is_some(), offset })
    }

    fn of_parts(parts: &Value) -> Option<Self> {
        let part = |name: &str| match parts.get(name) {
            None | Some(Value::Null) => Some(0),
            Some(value) => index(value),
        };
        let date = Date::new(part("year")?.try_into().ok()?, part("month")?.try_into().ok()?, part("day")?.try_into().ok()?).ok()?;
        let has_time = ["hours", "minutes", "seconds"].iter().any(|name| parts.get(*name).is_some_and(|value| !value.is_null()));
        let [hours, minutes, seconds] = ["hours", "minutes", "seconds"].map(|name| part(name).and_then(|part| part.try_into().ok()));
        let time = Time::new(hours?, minutes?, seconds?, part("nanos")?.try_into().ok()?).ok()?;
        Some(Self { date_time: date.to_datetime(time), has_time, offset: None })
    }

    pub(super) fn offset(&self) -> Offset {
        self.offset.unwrap_or(Offset::UTC)
    }

    /// How it compares with now: a whole day is now while it lasts.
    fn order(&self, now: Timestamp) -> Option<std::cmp::Ordering> {
        if self.has_time {
            return Some(self.offset().to_timestamp(self.date_time).ok()?.cmp(&now));
        }
        Some(self.date_time.date().cmp(&Offset::UTC.to_datetime(now).date()))
    }

    /// As it was written: a date, a time without offset, or RFC 3339.
    fn text(&self) -> String {
        match (self.has_time, self.offset) {
            (false, _) => self.date_time.date().to_string(),
            (true, None) => self.date_time.to_string(),
            (true, Some(offset)) => format!("{}{}", self.date_time, offset_text(offset, ":", true)),
        }
    }
}

/// `+02:00`; or `Z`, where that is wanted.
pub(super) fn offset_text(offset: Offset, colon: &str, zulu: bool) -> String {
    if offset.seconds() == 0 && zulu {
        return "Z".to_owned();
    }
    let minutes = offset.seconds().abs() / 60;
    let sign = if offset.seconds() < 0 { '-' } else { '+' };
    format!("{sign}{:02}{colon}{:02}", minutes / 60, minutes % 60)
}

/// A unit of ADD_DATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Minutes,
    Hours,
    Days,
    Weeks,
    Months,
    Years,
}

impl Unit {
    /// In any case, in the singular or the plural.
    pub(super) fn read(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_uppercase();
        Some(match text.strip_suffix('S').unwrap_or(&text) {
            "SECOND" => Self::Seconds,
            "MINUTE" => Self::Minutes,
            "HOUR" => Self::Hours,
            "DAY" => Self::Days,
            "WEEK" => Self::Weeks,
            "MONTH" => Self::Months,
            "YEAR" => Self::Years,
            _ => return None,
        })
    }

    fn span(self, count: i64) -> Result<Span, jiff::Error> {
        let span = Span::new();
        match self {
            Self::Seconds => span.try_seconds(count),
            Self::Minutes => span.try_minutes(count),
            Self::Hours => span.try_hours(count),
            Self::Days => span.try_days(count),
            Self::Weeks => span.try_weeks(count),
            Self::Months => span.try_months(count),
            Self::Years => span.try_years(count),
        }
    }

    fn is_part_of_a_day(self) -> bool {
        matches!(self, Self::Seconds | Self::Minutes | Self::Hours)
    }
}

pub(super) fn when(value: &Value) -> Result<When, String> {
    When::read(value).ok_or_else(|| "argument 1 is no date".to_owned())
}

/// RFC 3339, in UTC, to the second.
pub(super) fn now(_: &[Value], now: Timestamp) -> Result<Value, String> {
    let second = Timestamp::from_second(now.as_second()).map_err(|error| error.to_string())?;
    Ok(second.to_string().into())
}

/// A month later is the same day of that month, or its last. A date gets a time only by units shorter than a day.
pub(super) fn add_date(values: &[Value]) -> Result<Value, String> {
    let mut when = when(&values[0])?;
    let unit = values[2].as_str().and_then(Unit::read).ok_or("argument 3 is no unit")?;
    let count = values[1].as_f64().filter(|count| count.fract() == 0.0 && count.abs() < 1e12).ok_or("argument 2 is no whole number")?;
    #[expect(clippy::cast_possible_truncation, reason = "whole, and far inside of i64")]
    let span = unit.span(count as i64);
    let sum = span.and_then(|span| when.date_time.checked_add(span)).map_err(|_| "the result is past the end of time")?;
    when.date_time = sum;
    when.has_time |= unit.is_part_of_a_day();
    Ok(when.text().into())
}

pub(super) fn is_date(values: &[Value]) -> Result<Value, String> {
    Ok(When::read(&values[0]).is_some().into())
}

pub(super) fn is_future_date(values: &[Value], now: Timestamp) -> Result<Value, String> {
    Ok(when(&values[0])?.order(now).is_some_and(std::cmp::Ordering::is_gt).into())
}

pub(super) fn is_past_date(values: &[Value], now: Timestamp) -> Result<Value, String> {
    Ok(when(&values[0])?.order(now).is_some_and(std::cmp::Ordering::is_lt).into())
}
