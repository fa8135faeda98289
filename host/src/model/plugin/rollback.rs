//! When a new version is replaced by the one before it without anybody asking.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::failure::Says;
use crate::model::problem::Problem;

/// The longest a version is watched: 7 days, in seconds.
pub const WINDOW_S_MAX: u64 = 7 * 24 * 3600;
/// The most calls that can be asked for before a version is judged.
pub const CALLS_MIN_MAX: u64 = 1_000_000;

/// When a version that was just activated is judged to be worse than the one before it. What counts as failed is its own mistakes:
/// what it throws, traps, breaches of limits, output nobody can use; not `rejected`, not `retry_later`, not `busy`. Each caller and each
/// event counts once, and only where the version before handles what this one failed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RollbackRule {
    /// Whether it is done at all.
    pub automatic: bool,
    /// Percentage of callers and events for which it must fail: 1 to 100.
    pub failed_percent: u64,
    /// Callers and events there must have been before it is judged: 1 to 1 000 000. One that is set aside in its window is judged at once.
    pub calls_min: u64,
    /// Seconds after the activation in which it is watched: 1 to 604 800.
    pub window_s: u64,
}

impl Default for RollbackRule {
    fn default() -> Self {
        Self { automatic: true, failed_percent: 50, calls_min: 10, window_s: 600 }
    }
}

impl RollbackRule {
    /// What is wrong with it.
    pub fn problems(&self) -> Vec<Problem> {
        let ranges = [
            ("/failed_percent", self.failed_percent, 100, "percent"),
            ("/calls_min", self.calls_min, CALLS_MIN_MAX, "calls"),
            ("/window_s", self.window_s, WINDOW_S_MAX, "seconds"),
        ];
        let wrong = ranges.into_iter().filter(|(_, value, most, _)| !(1..=*most).contains(value));
        wrong.map(|(at, value, most, unit)| Problem::new(at, format!("{value} is out of range: 1 to {most} {unit}"))).collect()
    }

    /// When a version activated at `since` is no longer watched.
    pub fn ends(&self, since: Timestamp) -> Timestamp {
        since.checked_add(Duration::from_secs(self.window_s)).unwrap_or(Timestamp::MAX)
    }

    /// Whether these calls condemn it.
    pub fn condemns(&self, tally: Tally) -> bool {
        self.automatic
            && tally.calls >= self.calls_min
            && tally.failed.saturating_mul(100) >= self.failed_percent.saturating_mul(tally.calls)
    }
}

/// The calls of a version since it was activated, as far as this process has seen them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Those that say something of it.
    pub calls: u64,
    /// Those that failed.
    pub failed: u64,
}

impl Tally {
    /// Counts one.
    pub fn count(&mut self, says: Says) {
        self.calls += u64::from(says != Says::Nothing);
        self.failed += u64::from(says == Says::Ill);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_condemned_by_the_share_of_enough_calls() {
        let rule = RollbackRule { failed_percent: 20, calls_min: 10, ..RollbackRule::default() };
        assert!(!rule.condemns(Tally { calls: 9, failed: 9 }));
        assert!(!rule.condemns(Tally { calls: 10, failed: 1 }));
        assert!(rule.condemns(Tally { calls: 10, failed: 2 }));
        assert!(!RollbackRule { automatic: false, ..rule }.condemns(Tally { calls: 10, failed: 10 }));
        assert_eq!(RollbackRule { window_s: 0, ..rule }.problems()[0].pointer, "/window_s");
    }
}
