//! How many requests a token may make in a minute. Counted in memory: a restart begins with full buckets.

use std::sync::{Arc, Mutex};

use jiff::Timestamp;

use crate::model::{
    token::TokenRecord,
    token_bucket::{Rate, TokenBuckets},
};

use crate::lock::lock;

/// What tokens have left. Cheap to clone.
#[derive(Clone, Default)]
pub struct Pace {
    buckets: Arc<Mutex<TokenBuckets>>,
}

/// A token made as many requests as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token may make {per_minute} requests in a minute; try again in {retry_after_s} seconds")]
pub struct Paced {
    /// Its limit.
    pub per_minute: u32,
    /// Seconds until the token may make one more request.
    pub retry_after_s: u32,
}

impl Pace {
    /// Takes one request of a token, as many at once as it may make in a minute; `default` holds where it has no limit of its own, 0 is
    /// no limit.
    pub fn take(&self, token: &TokenRecord, default: u32, now: Timestamp) -> Result<(), Paced> {
        let per_minute = token.requests_per_minute.unwrap_or(default);
        if per_minute == 0 {
            return Ok(());
        }
        let mut buckets = lock(&self.buckets);
        let taken = buckets.take(&token.hash, Rate::per_minute(per_minute), now);
        taken.map_err(|retry_after_s| Paced { per_minute, retry_after_s })
    }
}
