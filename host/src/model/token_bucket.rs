//! A token bucket: a number of requests at once, refilled evenly. The clock is an argument, so a rate limit is the same in a test.

use std::{collections::HashMap, time::Duration};

use jiff::Timestamp;

use super::breaker::after;

/// How fast a bucket refills, and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The time until there is one more.
    gap: Duration,
    /// The time in which an empty bucket fills.
    period: Duration,
}

impl Rate {
    /// `count` a minute, all of them at once if nothing was taken before. 0 counts as 1.
    pub fn per_minute(count: u32) -> Self {
        let period = Duration::from_secs(60);
        Self { gap: period / count.max(1), period }
    }

    /// `count` a second on average, what a second brings at once. `count` is above 0; below 1 the bucket holds one.
    pub fn per_second(count: f64) -> Self {
        let gap = Duration::try_from_secs_f64(1.0 / count).unwrap_or(Duration::MAX);
        Self { gap, period: gap.max(Duration::from_secs(1)) }
    }
}

/// What is left of one rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenBucket {
    /// When it is full again; in the past: it is full.
    full_at: Timestamp,
}

impl TokenBucket {
    /// A full bucket.
    pub fn full(now: Timestamp) -> Self {
        Self { full_at: now }
    }

    /// Takes one; else the time from which there is one.
    pub fn take(&mut self, rate: Rate, now: Timestamp) -> Result<(), Timestamp> {
        // A clock that is set back leaves an empty bucket at worst, which fills from there on.
        self.full_at = self.full_at.clamp(now, after(now, rate.period));
        let free_at = self.full_at.checked_sub(rate.period - rate.gap).unwrap_or(self.full_at);
        if free_at > now {
            return Err(free_at);
        }
        self.full_at = after(self.full_at, rate.gap);
        Ok(())
    }
}

/// Token buckets by key, with a bound on their number.
#[derive(Clone, Debug, Default)]
pub struct TokenBuckets {
    buckets: HashMap<String, TokenBucket>,
}

impl TokenBuckets {
    /// Keys whose buckets are kept. Beyond this number the fullest bucket is forgotten.
    const KEYS_MAX: usize = 10_000;

    /// Takes one from the bucket of `key`; else the seconds until there is one, at least 1.
    pub fn take(&mut self, key: &str, rate: Rate, now: Timestamp) -> Result<(), u32> {
        if !self.buckets.contains_key(key) {
            self.make_room(now);
            self.buckets.insert(key.to_owned(), TokenBucket::full(now));
        }
        let Some(bucket) = self.buckets.get_mut(key) else { return Ok(()) };
        bucket.take(rate, now).map_err(|free_at| seconds_until(free_at, now))
    }

    fn make_room(&mut self, now: Timestamp) {
        if self.buckets.len() < Self::KEYS_MAX {
            return;
        }
        // A full bucket is the same as a new one.
        self.buckets.retain(|_, bucket| bucket.full_at > now);
        if self.buckets.len() >= Self::KEYS_MAX {
            let fullest = self.buckets.iter().min_by_key(|(_, bucket)| bucket.full_at).map(|(key, _)| key.clone());
            fullest.and_then(|key| self.buckets.remove(&key));
        }
    }
}

/// Whole seconds from `now` to `then`, rounded up, at least 1: as `Retry-After` says it.
fn seconds_until(then: Timestamp, now: Timestamp) -> u32 {
    let seconds = then.duration_since(now).as_secs_f64().ceil();
    // A float becomes the nearest number of the type.
    (seconds as u32).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(1_700_000_000_000 + milliseconds).expect("a time")
    }

    #[test]
    fn a_bucket_is_used_up_and_refills_evenly() {
        let rate = Rate::per_minute(2);
        let mut bucket = TokenBucket::full(at(0));
        assert_eq!((bucket.take(rate, at(0)), bucket.take(rate, at(0))), (Ok(()), Ok(())));
        assert_eq!(bucket.take(rate, at(0)), Err(at(30_000)));
        assert_eq!(bucket.take(rate, at(29_000)), Err(at(30_000)));
        assert_eq!(bucket.take(rate, at(30_000)), Ok(()));
        // It never holds more than a minute's worth.
        assert_eq!((bucket.take(rate, at(600_000)), bucket.take(rate, at(600_000))), (Ok(()), Ok(())));
        assert_eq!(bucket.take(rate, at(600_000)), Err(at(630_000)));
    }

    #[test]
    fn a_clock_that_is_set_back_leaves_an_empty_bucket_at_worst() {
        let rate = Rate::per_minute(2);
        let mut bucket = TokenBucket::full(at(3_600_000));
        assert_eq!((bucket.take(rate, at(3_600_000)), bucket.take(rate, at(0))), (Ok(()), Err(at(30_000))));
        assert_eq!(bucket.take(rate, at(30_000)), Ok(()));
    }

    #[test]
    fn a_rate_a_second_lets_a_seconds_worth_go_at_once() {
        let mut bucket = TokenBucket::full(at(0));
        let taken = (0..10).filter(|_| bucket.take(Rate::per_second(4.0), at(0)).is_ok()).count();
        assert_eq!((taken, bucket.take(Rate::per_second(4.0), at(0))), (4, Err(at(250))));
        let slow = Rate::per_second(0.1);
        let mut bucket = TokenBucket::full(at(0));
        assert_eq!((bucket.take(slow, at(0)), bucket.take(slow, at(0)), bucket.take(slow, at(10_000))), (Ok(()), Err(at(10_000)), Ok(())));
    }

    #[test]
    fn a_bucket_in_use_outlives_the_fullest_beyond_the_bound() {
        let mut buckets = TokenBuckets::default();
        let rate = Rate::per_minute(2);
        assert_eq!((buckets.take("busy", rate, at(0)), buckets.take("busy", rate, at(0))), (Ok(()), Ok(())));
        for n in 0..TokenBuckets::KEYS_MAX {
            assert_eq!(buckets.take(&format!("other-{n}"), rate, at(0)), Ok(()));
        }
        assert_eq!((buckets.buckets.len(), buckets.take("busy", rate, at(1))), (TokenBuckets::KEYS_MAX, Err(30)));
        // An hour later all are full, and forgotten for the next.
        assert_eq!((buckets.take("late", rate, at(3_600_000)), buckets.buckets.len()), (Ok(()), 1));
    }
}
