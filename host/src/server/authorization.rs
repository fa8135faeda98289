//! Whose token a request brings, and what it allows.

use std::sync::Arc;

use super::respond::ApiError;
use crate::{
    model::token::{self, Scope, TokenRecord},
    services::Services,
};

/// The token in an `Authorization` header.
pub fn bearer(header: Option<&http::HeaderValue>) -> Option<&str> {
    let (kind, token) = header?.to_str().ok()?.split_once(' ')?;
    kind.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whose token it is, while it holds.
pub fn known(services: &Services, hash: &str) -> Option<Arc<TokenRecord>> {
    let record = services.catalog.snapshot().tokens.get(hash).cloned()?;
    record.expires_at.is_none_or(|end| end > services.clock.now()).then_some(record)
}

/// The token, if it allows `scope` and may make a request now.
pub fn authorize(services: &Services, header: Option<&http::HeaderValue>, scope: Scope) -> Result<Arc<TokenRecord>, ApiError> {
    // Looked up by hash: how long the look-up takes says nothing about the token.
    let record = bearer(header).and_then(|token| known(services, &token::hash(token))).ok_or(ApiError::Unauthorized)?;
    services.pace.take(&record, services.limits.token_requests_per_minute_max, services.clock.now())?;
    if record.allows(scope) {
        Ok(record)
    } else {
        let name = serde_json::to_value(scope).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default();
        Err(ApiError::Forbidden(name))
    }
}
