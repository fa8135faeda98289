//! Which token a request carries, and what the token allows.

use std::sync::Arc;

use super::respond::ApiError;
use crate::{
    model::token::{self, Scope, TokenRecord},
    services::Services,
};

pub fn bearer(header: Option<&http::HeaderValue>) -> Option<&str> {
    let (kind, token) = header?.to_str().ok()?.split_once(' ')?;
    kind.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The record of the token with this hash, unless it has expired.
pub fn known(services: &Services, hash: &str) -> Option<Arc<TokenRecord>> {
    let record = services.catalog.snapshot().tokens.get(hash).cloned()?;
    record.expires_at.is_none_or(|end| end > services.clock.now()).then_some(record)
}

/// The token's record, if the token allows `scope` and its rate limit has room for a request now.
pub fn authorize(services: &Services, header: Option<&http::HeaderValue>, scope: Scope) -> Result<Arc<TokenRecord>, ApiError> {
    // Tokens are found by their hash, so the time of the look-up says nothing about a token.
    let record = bearer(header).and_then(|token| known(services, &token::hash(token))).ok_or(ApiError::Unauthorized)?;
    services.pace.take(&record, services.limits.token_requests_per_minute_max, services.clock.now())?;
    if record.allows(scope) {
        Ok(record)
    } else {
        let name = serde_json::to_value(scope).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default();
        Err(ApiError::Forbidden(name))
    }
}
