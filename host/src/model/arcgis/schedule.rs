//! `scheduleInfo` of feature-service webhooks.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::{
    ordering::{BATCH_EVENTS_MAX, BatchSpec},
    problem::{self, Problem},
};

/// When payloads are sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScheduleInfo {
    /// For people.
    #[serde(default)]
    pub name: String,
    /// When the first period begins, in epoch milliseconds; absent: each period begins with its first event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_at: Option<i64>,
    /// Whether anything is sent at all.
    #[serde(default)]
    pub state: State,
    /// How long a period is.
    pub recurrence_info: RecurrenceInfo,
}

/// Whether a schedule runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It does.
    #[default]
    Enabled,
    /// It does not: nothing is sent, nothing gathers.
    Disabled,
}

/// How long a period is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecurrenceInfo {
    /// The unit.
    pub frequency: Frequency,
    /// How many of them.
    #[serde(default = "one")]
    pub interval: u32,
}

fn one() -> u32 {
    1
}

/// The units. A month is 30 days here and a year 365: longer than events gather anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Frequency {
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl Frequency {
    fn seconds(self) -> u64 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3600,
            Self::Day => 24 * 3600,
            Self::Week => 7 * 24 * 3600,
            Self::Month => 30 * 24 * 3600,
            Self::Year => 365 * 24 * 3600,
        }
    }
}

impl ScheduleInfo {
    /// Reads what was written.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let value =
            serde_json::from_str(text).map_err(|error| Problem::new("/scheduleInfo", format!("a JSON object; this is none: {error}")))?;
        let schedule: Self = problem::read(value).map_err(|problem| problem.under("/scheduleInfo"))?;
        if schedule.start_at.is_some_and(|at| Timestamp::from_millisecond(at).is_err()) {
            return Err(Problem::new("/scheduleInfo/startAt", "a time in epoch milliseconds"));
        }
        Ok(schedule)
    }

    /// The one of a batch that was written otherwise.
    pub fn of(batch: BatchSpec) -> Self {
        let BatchSpec { seconds, starts_at, .. } = batch;
        Self {
            name: format!("Every-{seconds}seconds"),
            start_at: starts_at.map(Timestamp::as_millisecond),
            state: State::Enabled,
            recurrence_info: RecurrenceInfo { frequency: Frequency::Second, interval: u32::try_from(seconds).unwrap_or(u32::MAX) },
        }
    }

    /// As a batch.
    pub fn batch(&self) -> BatchSpec {
        let RecurrenceInfo { frequency, interval } = self.recurrence_info;
        BatchSpec {
            seconds: frequency.seconds().saturating_mul(u64::from(interval)),
            events_max: BATCH_EVENTS_MAX,
            starts_at: self.start_at.and_then(|at| Timestamp::from_millisecond(at).ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_example_is_a_batch() {
        let text =
            r#"{"name":"Every-20seconds","startAt":1651189590498,"state":"enabled","recurrenceInfo":{"frequency":"second","interval":20}}"#;
        let schedule = ScheduleInfo::parse(text).expect("a schedule");
        assert_eq!(serde_json::to_string(&schedule).expect("JSON"), text);
        let starts_at = Timestamp::from_millisecond(1_651_189_590_498).ok();
        assert_eq!(schedule.batch(), BatchSpec { seconds: 20, events_max: 500, starts_at });
        assert_eq!(ScheduleInfo::of(schedule.batch()), schedule);
        let hours = ScheduleInfo::parse(r#"{"recurrenceInfo":{"frequency":"hour","interval":2}}"#).expect("a schedule");
        assert_eq!(hours.batch(), BatchSpec::of(7200));
    }

    #[test]
    fn what_is_no_schedule_is_refused_where_it_is_wrong() {
        for (text, pointer) in [
            ("20", "/scheduleInfo"),
            ("{", "/scheduleInfo"),
            (r#"{"recurrenceInfo":{"frequency":"fortnight"}}"#, "/scheduleInfo/recurrenceInfo/frequency"),
            (r#"{"recurrenceInfo":{"frequency":"second","interval":20},"starts":1}"#, "/scheduleInfo/starts"),
            (r#"{"recurrenceInfo":{"frequency":"second","interval":-1}}"#, "/scheduleInfo/recurrenceInfo/interval"),
        ] {
            assert_eq!(ScheduleInfo::parse(text).expect_err(text).pointer, pointer, "{text}");
        }
    }
}
