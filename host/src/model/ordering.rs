//! Which deliveries of a webhook wait for one another, and which events go together in one.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::{
    event::NewEvent,
    filter::json_path::{JsonPath, OverBudget},
    problem::Problem,
    profile::Range,
    request::BODY_BYTES_MAX,
};

/// The longest time events gather for one delivery: 28 days, in seconds. Events are kept for 30 days.
pub const BATCH_SECONDS_MAX: u64 = 28 * 24 * 3600;
/// Events in one delivery at most.
pub const BATCH_EVENTS_MAX: u32 = 500;
/// Bytes of the events in one delivery at most, as JSON: their default body then fits into a request. An event that is larger goes alone.
pub const BATCH_BYTES_MAX: usize = BODY_BYTES_MAX;

/// In which order deliveries are made, as written: `none`, `fifo`, `session` or `{"key":"$.path"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum OrderingSpec {
    /// For all events, or for those of one session.
    Word(OrderingWord),
    /// For those whose document has the same value at a path.
    Key(OrderingKey),
}

/// An order that needs no more than a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrderingWord {
    /// As they come; several at once.
    None,
    /// All of the webhook, one after the other, in the order they were accepted.
    Fifo,
    /// Those of one session, one after the other. Events without a session are not ordered.
    Session,
}

/// An order among events with something in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderingKey {
    /// A JSONPath over the event; events where it finds the same wait for one another, those where it finds nothing are not ordered.
    #[schema(example = "$.data.orderId")]
    pub key: String,
}

/// A compiled order.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Ordering {
    /// None.
    #[default]
    None,
    /// Over everything.
    Fifo,
    /// Per session.
    Session,
    /// Per value at a path.
    Key(JsonPath),
}

impl Ordering {
    /// Reads what was written, pointers relative to `ordering`.
    pub fn parse(spec: Option<&OrderingSpec>) -> Result<Self, Problem> {
        match spec {
            None | Some(OrderingSpec::Word(OrderingWord::None)) => Ok(Self::None),
            Some(OrderingSpec::Word(OrderingWord::Fifo)) => Ok(Self::Fifo),
            Some(OrderingSpec::Word(OrderingWord::Session)) => Ok(Self::Session),
            Some(OrderingSpec::Key(OrderingKey { key })) => {
                JsonPath::parse(key).map(Self::Key).map_err(|error| Problem::new("/key", error.to_string()))
            }
        }
    }

    /// The lane an event's delivery waits in; `None`: it waits for no other. `document` makes the event's document when it is needed.
    /// An error: the value at the path cannot be found within the budget.
    pub fn lane(&self, event: &NewEvent, document: impl FnOnce() -> Value) -> Result<Option<String>, OverBudget> {
        Ok(match self {
            Self::None => None,
            Self::Fifo => Some("all".to_owned()),
            Self::Session => event.session.as_ref().map(|session| short("session", session)),
            Self::Key(path) => {
                let document = document();
                let found = path.find(&document)?;
                (!found.is_empty()).then(|| short("key", &serde_json::to_string(&found).unwrap_or_default()))
            }
        })
    }
}

/// A name of bounded length for `text`.
fn short(kind: &str, text: &str) -> String {
    format!("{kind}:{}", hex::encode(&Sha256::digest(text)[..16]))
}

/// Several events in one delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchSpec {
    /// Seconds events gather, counted from the first: 0 to 2 419 200, within the profile's range. 0: each goes alone.
    #[schema(maximum = 2419200)]
    pub seconds: u64,
    /// How many go together at most: 1 to 500. A full batch goes at once; one with 4 MiB of events is full, too.
    #[serde(default = "events_max_default")]
    #[schema(minimum = 1, maximum = 500)]
    pub events_max: u32,
    /// Periods are counted from this time on, one after the other, rather than from the first event of each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Timestamp>,
}

fn events_max_default() -> u32 {
    100
}

/// When a batch is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchRule {
    /// This long after its first event.
    pub after: Duration,
    /// With this many events.
    pub events_max: u32,
    /// Where the first period begins, if periods do not begin with an event.
    #[serde(default)]
    pub starts_at: Option<Timestamp>,
}

impl BatchRule {
    /// When a batch that begins at `now` is closed.
    pub fn closes_at(&self, now: Timestamp) -> Timestamp {
        let after = SignedDuration::try_from(self.after).unwrap_or(SignedDuration::MAX);
        let Some(start) = self.starts_at else { return now.saturating_add(after).unwrap_or(Timestamp::MAX) };
        if now < start || after.is_zero() {
            return start;
        }
        // The end of the period that `now` lies in; its very beginning belongs to it.
        let into = now.duration_since(start).as_nanos() % after.as_nanos();
        let left = SignedDuration::from_nanos(i64::try_from(after.as_nanos() - into).unwrap_or(i64::MAX));
        now.saturating_add(left).unwrap_or(Timestamp::MAX)
    }
}

impl BatchSpec {
    /// Periods of a number of seconds that begin with an event, with a maximum number of events.
    pub fn of(seconds: u64) -> Self {
        Self { seconds, events_max: BATCH_EVENTS_MAX, starts_at: None }
    }

    /// What was written, as a rule; `None`: each event goes alone. Pointers relative to `batch`; `range` is the profile's, in seconds.
    pub fn compile(self, range: Option<Range>) -> Result<Option<BatchRule>, Problem> {
        let Self { seconds, events_max, starts_at } = self;
        let (min, max) = range.map_or((0, BATCH_SECONDS_MAX), |range| (range.min, range.max));
        if !(min..=max).contains(&seconds) {
            return Err(Problem::new("/seconds", format!("{seconds} is out of range: {min} to {max} seconds")));
        }
        if !(1..=BATCH_EVENTS_MAX).contains(&events_max) {
            return Err(Problem::new("/events_max", format!("{events_max} is out of range: 1 to {BATCH_EVENTS_MAX} events")));
        }
        Ok((seconds > 0 && events_max > 1).then_some(BatchRule { after: Duration::from_secs(seconds), events_max, starts_at }))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::model::{id::EventId, trigger::Trigger};

    fn event(session: Option<&str>, data: Value) -> NewEvent {
        NewEvent {
            id: EventId::unplaced([0; 10]),
            trigger: Trigger::parse("a.b").expect("a trigger"),
            source: String::new(),
            time: Timestamp::UNIX_EPOCH,
            session: session.map(str::to_owned),
            environment: None,
            attributes: BTreeMap::new(),
            data,
            call: None,
            depth: 0,
            trace: None,
        }
    }

    fn lane(ordering: &Value, event: &NewEvent) -> Option<String> {
        let spec: OrderingSpec = serde_json::from_value(ordering.clone()).expect("an order");
        let ordering = Ordering::parse(Some(&spec)).expect("an order");
        ordering.lane(event, || event.clone().accepted(0, event.time).document()).expect("within the budget")
    }

    #[test]
    fn events_share_a_lane_when_they_share_what_orders_them() {
        let (a, b, none) = (event(Some("a"), json!({ "o": 1 })), event(Some("b"), json!({ "o": 1 })), event(None, json!({})));
        assert_eq!(lane(&json!("none"), &a), None);
        assert_eq!(lane(&json!("fifo"), &a), lane(&json!("fifo"), &none));
        assert_ne!(lane(&json!("session"), &a), lane(&json!("session"), &b));
        assert_eq!(lane(&json!("session"), &none), None);
        assert_eq!(lane(&json!({ "key": "$.data.o" }), &a), lane(&json!({ "key": "$.data.o" }), &b));
        assert_eq!(lane(&json!({ "key": "$.data.o" }), &none), None);
        assert_ne!(lane(&json!({ "key": "$.data" }), &a), lane(&json!({ "key": "$.data" }), &none));
    }

    #[test]
    fn a_batch_of_one_or_of_no_time_is_none() {
        let rule = |seconds, events_max| BatchSpec { seconds, events_max, starts_at: None }.compile(None);
        assert_eq!(rule(0, 1), Ok(None));
        assert_eq!(rule(0, 100), Ok(None));
        assert_eq!(rule(20, 100), Ok(Some(BatchRule { after: Duration::from_secs(20), events_max: 100, starts_at: None })));
        assert_eq!(rule(BATCH_SECONDS_MAX + 1, 1).expect_err("too long").pointer, "/seconds");
        assert_eq!(rule(1, 0).expect_err("too few").pointer, "/events_max");
        let range = Some(Range { default: 20, min: 20, max: 86_400 });
        assert!(BatchSpec::of(19).compile(range).is_err_and(|problem| problem.detail.contains("20 to 86400")));
        assert!(BatchSpec::of(20).compile(range).is_ok());
    }

    #[test]
    fn a_batch_ends_so_long_after_its_first_event_or_with_its_period() {
        let at = |second: i64| Timestamp::from_second(1_700_000_000 + second).expect("a time");
        let mut rule = BatchRule { after: Duration::from_secs(20), events_max: 100, starts_at: None };
        assert_eq!(rule.closes_at(at(7)), at(27));
        rule.starts_at = Some(at(0));
        assert_eq!([0, 7, 19, 20, 41].map(|now| rule.closes_at(at(now))), [20, 20, 20, 40, 60].map(at));
        assert_eq!(rule.closes_at(at(-5)), at(0), "what happens before the first period is told at its beginning");
    }
}
