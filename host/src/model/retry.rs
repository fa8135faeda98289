//! When a failed delivery is tried again.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::problem::Problem;

/// A gap may be lengthened by up to this share of itself, so that what failed together does not come back together.
pub const JITTER_SHARE: f64 = 0.1;

/// The longest schedule, in gaps.
pub const SCHEDULE_GAPS_MAX: usize = 20;

/// The longest gap: 7 days, in seconds.
pub const GAP_SECONDS_MAX: u64 = 7 * 24 * 3600;

/// How often and when a delivery is tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Retry {
    /// A fixed number of tries at a fixed distance.
    Attempts(AttemptsRetry),
    /// The gap before each further try.
    Schedule(ScheduleRetry),
}

/// ArcGIS's form: a fixed number of tries at a fixed distance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AttemptsRetry {
    /// Tries in all, the first included: 0 to 5. 0: nothing is sent, the delivery is recorded as cancelled.
    #[schema(maximum = 5)]
    pub attempts: u32,
    /// Seconds between them: 1 to 100.
    #[schema(minimum = 1, maximum = 100)]
    pub gap_seconds: u64,
}

/// The gap before each further try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleRetry {
    /// Seconds before the second, third, ... try.
    pub schedule_seconds: Vec<u64>,
}

impl Retry {
    /// Tries in all, the first included.
    pub fn attempts(&self) -> u32 {
        match self {
            Self::Attempts(AttemptsRetry { attempts, .. }) => *attempts,
            Self::Schedule(ScheduleRetry { schedule_seconds }) => {
                u32::try_from(schedule_seconds.len()).unwrap_or(u32::MAX).saturating_add(1)
            }
        }
    }

    /// How long all tries take if each fails at once, without jitter.
    pub fn span(&self) -> Duration {
        Duration::from_secs(match self {
            Self::Attempts(AttemptsRetry { attempts, gap_seconds }) => u64::from(attempts.saturating_sub(1)).saturating_mul(*gap_seconds),
            Self::Schedule(ScheduleRetry { schedule_seconds }) => schedule_seconds.iter().fold(0, |sum, gap| sum.saturating_add(*gap)),
        })
    }

    /// How long to wait after try number `made` failed; `None`: that was the last. `jitter` is drawn from 0 to 1.
    pub fn gap_after(&self, made: u32, jitter: f64) -> Option<Duration> {
        if made >= self.attempts() {
            return None;
        }
        match self {
            // ArcGIS promises the distance as it is set; no jitter.
            Self::Attempts(AttemptsRetry { gap_seconds, .. }) => Some(Duration::from_secs(*gap_seconds)),
            Self::Schedule(ScheduleRetry { schedule_seconds }) => {
                let gap = *schedule_seconds.get(made.saturating_sub(1) as usize)?;
                Some(Duration::from_secs(gap).mul_f64(1.0 + JITTER_SHARE * jitter.clamp(0.0, 1.0)))
            }
        }
    }

    /// What is wrong with it, pointers relative to `retry`.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        match self {
            Self::Attempts(AttemptsRetry { attempts, gap_seconds }) => {
                if *attempts > 5 {
                    problems.push(Problem::new("/attempts", format!("{attempts} is out of range: 0 to 5 tries, the first included")));
                }
                if !(1..=100).contains(gap_seconds) {
                    problems.push(Problem::new("/gap_seconds", format!("{gap_seconds} is out of range: 1 to 100 seconds")));
                }
            }
            Self::Schedule(ScheduleRetry { schedule_seconds }) => {
                if schedule_seconds.len() > SCHEDULE_GAPS_MAX {
                    problems.push(Problem::new("/schedule_seconds", format!("at most {SCHEDULE_GAPS_MAX} gaps")));
                }
                if schedule_seconds.iter().any(|gap| *gap > GAP_SECONDS_MAX) {
                    problems.push(Problem::new("/schedule_seconds", format!("a gap is at most {GAP_SECONDS_MAX} seconds")));
                }
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_count_the_first_try() {
        let retry = Retry::Attempts(AttemptsRetry { attempts: 3, gap_seconds: 5 });
        assert_eq!(retry.gap_after(1, 0.9), Some(Duration::from_secs(5)));
        assert_eq!(retry.gap_after(2, 0.9), Some(Duration::from_secs(5)));
        assert_eq!(retry.gap_after(3, 0.9), None);
    }

    #[test]
    fn a_schedule_has_one_gap_per_further_try_with_jitter() {
        let retry = Retry::Schedule(ScheduleRetry { schedule_seconds: vec![5, 300] });
        assert_eq!(retry.attempts(), 3);
        assert_eq!(retry.gap_after(1, 0.0), Some(Duration::from_secs(5)));
        assert_eq!(retry.gap_after(2, 1.0), Some(Duration::from_secs(330)));
        assert_eq!(retry.gap_after(3, 0.0), None);
    }
}
