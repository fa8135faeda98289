//! How many requests a token may make in a minute. Counted in memory: a restart begins anew.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
};

use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};

use crate::model::token::TokenRecord;

/// Tokens whose requests are counted; when there are more, all begin anew.
const COUNTED_MAX: usize = 10_000;

/// What tokens have left. Cheap to clone.
#[derive(Clone, Default)]
pub struct Pace {
    counted: Arc<Mutex<HashMap<String, Counted>>>,
}

/// A token made as many requests as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token may make {per_minute} requests in a minute; try again in {retry_after_s} seconds")]
pub struct Paced {
    /// Its limit.
    pub per_minute: u32,
    /// Seconds until there is one more.
    pub retry_after_s: u64,
}

/// One token's.
struct Counted {
    per_minute: NonZeroU32,
    limiter: Arc<DefaultDirectRateLimiter>,
}

impl Pace {
    /// Takes one request of a token, as many at once as it may make in a minute; `default` holds where it has no limit of its own, 0 is
    /// none.
    pub fn take(&self, token: &TokenRecord, default: u32) -> Result<(), Paced> {
        let Some(per_minute) = NonZeroU32::new(token.requests_per_minute.unwrap_or(default)) else { return Ok(()) };
        let limiter = self.limiter(&token.hash, per_minute);
        limiter.check().map_err(|early| {
            let wait = early.wait_time_from(DefaultClock::default().now());
            Paced { per_minute: per_minute.get(), retry_after_s: wait.as_secs() + 1 }
        })
    }

    fn limiter(&self, hash: &str, per_minute: NonZeroU32) -> Arc<DefaultDirectRateLimiter> {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = counted.get(hash).filter(|known| known.per_minute == per_minute) {
            return Arc::clone(&known.limiter);
        }
        if counted.len() >= COUNTED_MAX {
            counted.clear();
        }
        let limiter = Arc::new(RateLimiter::direct(Quota::per_minute(per_minute)));
        counted.insert(hash.to_owned(), Counted { per_minute, limiter: Arc::clone(&limiter) });
        limiter
    }
}
