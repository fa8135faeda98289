//! When a webhook that keeps failing is switched off, and what is told about it.
//!
//! Two rules ([`Deactivation`]). ArcGIS's `deactivationPolicy`: a number of *payloads* whose tries were all used up, the last of each within
//! a number of days, counted back from now in 24 hours each (a rolling window; the documentation's first three examples hold for it, the
//! fourth is ambiguous). Standard Webhooks': so long without one success. Activating a webhook clears the count.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::profile::{Deactivation, FailuresWithin, UnbrokenFor};

/// How one attempt ended, for the count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It delivered.
    Delivered,
    /// It failed; another one follows.
    TriedAgain,
    /// It failed and was the last one.
    Failed,
    /// The endpoint says that it is gone for good (410).
    Gone,
}

/// Why a webhook was switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Too many payloads failed within the days its rule counts.
    Failures,
    /// Nothing was delivered for the hours its rule allows.
    Unbroken,
    /// The endpoint answered 410 Gone.
    Gone,
}

/// What is to be told, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Of what.
    pub kind: NoticeKind,
    /// Since when.
    pub at: Timestamp,
    /// Whether an event says so: not when what failed was itself such an event (decision: operational-events).
    pub is_told: bool,
}

/// Of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// It is to be switched off.
    Deactivate(Reason),
    /// After payloads had failed, or it had been switched off, one was delivered.
    Recovered,
}

/// What a webhook's past attempts come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// When payloads failed, the newest last; no more than its rule needs.
    failed_at: Vec<Timestamp>,
    /// The first attempt that failed since one delivered.
    failing_since: Option<Timestamp>,
    /// Whether a payload failed since one was delivered.
    owes_recovery: bool,
    /// What is to be told.
    pub notice: Option<Notice>,
}

impl Standing {
    /// Takes note of an attempt that ended at `now`. Whether anything changed.
    pub fn note(&mut self, ended: Ended, rule: Option<Deactivation>, now: Timestamp, is_told: bool) -> bool {
        if matches!(self.notice, Some(Notice { kind: NoticeKind::Deactivate(_), .. })) {
            // It is as good as switched off: what was under way changes nothing.
            return false;
        }
        let before = self.clone();
        match ended {
            Ended::Delivered => {
                self.failing_since = None;
                if std::mem::take(&mut self.owes_recovery) {
                    self.notice = Some(Notice { kind: NoticeKind::Recovered, at: now, is_told });
                }
            }
            Ended::TriedAgain => self.failed(now),
            Ended::Failed => {
                self.failed(now);
                self.owes_recovery = true;
                if let Some(Deactivation::Failures(FailuresWithin { failures, .. })) = rule {
                    self.failed_at.push(now);
                    let surplus = self.failed_at.len().saturating_sub(failures as usize);
                    self.failed_at.drain(..surplus);
                }
            }
            Ended::Gone => self.failed(now),
        }
        let reason = if ended == Ended::Gone { Some(Reason::Gone) } else { self.reason(ended, rule, now) };
        if let Some(reason) = reason {
            self.notice = Some(Notice { kind: NoticeKind::Deactivate(reason), at: now, is_told });
        }
        *self != before
    }

    /// A webhook that is activated again is counted from zero, but its first success is still told as a recovery.
    pub fn activated() -> Self {
        Self { owes_recovery: true, ..Self::default() }
    }

    fn failed(&mut self, now: Timestamp) {
        self.failing_since.get_or_insert(now);
    }

    fn reason(&self, ended: Ended, rule: Option<Deactivation>, now: Timestamp) -> Option<Reason> {
        match rule? {
            Deactivation::Failures(FailuresWithin { failures, days }) => {
                let span = Duration::from_secs(u64::from(days) * 24 * 3600);
                let recent = self.failed_at.iter().filter(|at| since(**at, now) < span).count();
                (ended == Ended::Failed && failures > 0 && recent >= failures as usize).then_some(Reason::Failures)
            }
            Deactivation::Unbroken(UnbrokenFor { unbroken_hours }) => {
                let span = Duration::from_secs(u64::from(unbroken_hours) * 3600);
                let is_long = self.failing_since.is_some_and(|first| since(first, now) >= span);
                (ended != Ended::Delivered && is_long).then_some(Reason::Unbroken)
            }
        }
    }
}

/// How long `at` is ago; nothing when a clock went back.
fn since(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(at)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIVE_IN_FIVE: Option<Deactivation> = Some(Deactivation::Failures(FailuresWithin { failures: 5, days: 5 }));

    fn day(day: i64, hour: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + ((day - 1) * 24 + hour) * 3600).expect("a time")
    }

    /// The day after whose failure it is off, when this number of payloads fails on each of these days.
    fn off(failures: &[(i64, i64)]) -> Option<(i64, i64)> {
        let mut standing = Standing::default();
        for (on, count) in failures {
            for n in 1..=*count {
                standing.note(Ended::Failed, FIVE_IN_FIVE, day(*on, n), true);
                if let Some(Notice { kind: NoticeKind::Deactivate(reason), .. }) = standing.notice {
                    assert_eq!(reason, Reason::Failures);
                    return Some((*on, n));
                }
            }
        }
        None
    }

    #[test]
    fn the_four_published_examples_of_arcgis() {
        assert_eq!(off(&[(1, 1), (2, 1), (3, 1), (4, 1), (5, 1)]), Some((5, 1)), "one a day");
        assert_eq!(off(&[(1, 3), (2, 2)]), Some((2, 2)), "three and two");
        assert_eq!(off(&[(1, 2), (3, 2)]), None, "four in five days");
        // The fourth goes on: with a rolling window day 3's two and day 6's three make five within five days.
        assert_eq!(off(&[(1, 2), (3, 2), (6, 3)]), Some((6, 3)));
    }

    #[test]
    fn what_is_older_than_its_days_does_not_count() {
        assert_eq!(off(&[(1, 4), (6, 1)]), None, "at hour 1 of day 6 the first of day 1 is five days ago to the hour");
        assert_eq!(off(&[(1, 4), (9, 4)]), None);
    }

    #[test]
    fn only_payloads_whose_tries_are_used_up_count_as_failures() {
        let mut standing = Standing::default();
        for n in 0..100 {
            standing.note(Ended::TriedAgain, FIVE_IN_FIVE, day(1, n / 10), true);
        }
        assert_eq!(standing.notice, None);
    }

    #[test]
    fn hours_without_a_success_count_from_the_first_failure() {
        let rule = Some(Deactivation::Unbroken(UnbrokenFor { unbroken_hours: 120 }));
        let mut standing = Standing::default();
        assert!(standing.note(Ended::TriedAgain, rule, day(1, 0), true));
        assert!(!standing.note(Ended::TriedAgain, rule, day(5, 23), true), "nothing new, nothing written");
        standing.note(Ended::Delivered, rule, day(5, 23), true);
        standing.note(Ended::TriedAgain, rule, day(6, 1), true);
        standing.note(Ended::TriedAgain, rule, day(11, 0), true);
        assert_eq!(standing.notice, None);
        standing.note(Ended::TriedAgain, rule, day(11, 1), true);
        assert_eq!(standing.notice.map(|notice| notice.kind), Some(NoticeKind::Deactivate(Reason::Unbroken)));
    }

    #[test]
    fn a_success_after_a_failed_payload_is_a_recovery_and_told_once() {
        let mut standing = Standing::default();
        standing.note(Ended::TriedAgain, None, day(1, 0), true);
        standing.note(Ended::Delivered, None, day(1, 1), true);
        assert_eq!(standing.notice, None, "it was delivered at the second try: nothing was lost, nothing is told");
        standing.note(Ended::Failed, None, day(1, 2), true);
        standing.note(Ended::Delivered, None, day(1, 3), true);
        assert_eq!(standing.notice.take().map(|notice| notice.kind), Some(NoticeKind::Recovered));
        assert!(!standing.note(Ended::Delivered, None, day(1, 4), true));
    }

    #[test]
    fn gone_is_gone_whatever_the_rule() {
        let mut standing = Standing::default();
        standing.note(Ended::Gone, None, day(1, 0), false);
        let notice = standing.notice.expect("a notice");
        assert_eq!((notice.kind, notice.is_told), (NoticeKind::Deactivate(Reason::Gone), false));
        assert!(!standing.note(Ended::Delivered, None, day(1, 1), true), "what was under way changes nothing");
    }
}
