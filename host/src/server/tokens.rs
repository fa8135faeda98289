//! `/v1/tokens`: the tokens of this API and their scopes.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    request::Asked,
    respond::{Answer, ApiError, List, ProblemDetails, created, no_content, ok},
};
use crate::{
    clock::random,
    model::token::{self, OVERLAP_SECONDS_MAX, REQUESTS_PER_MINUTE_MAX, Role, Scope, TokenRecord},
    services::Services,
};

/// Longest name of a token, in characters.
const NAME_CHARS_MAX: usize = 128;

/// A token to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenSpec {
    /// The unique name: shown to people, and the user name in ArcGIS's forms.
    #[schema(example = "ann")]
    pub name: String,
    /// The scopes the token has.
    #[serde(default)]
    pub scopes: Vec<Scope>,
    /// A named set of scopes, in addition to `scopes`.
    #[serde(default)]
    pub role: Option<Role>,
    /// When the token expires; absent: it is valid until it is revoked.
    #[serde(default)]
    pub expires: Option<Timestamp>,
    /// Requests the token may make in a minute, 1 to 600000; absent: the host's default.
    #[serde(default)]
    pub requests_per_minute: Option<u32>,
}

/// How to rotate a token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateInput {
    /// How long the old token stays valid after the new one was created: 0 to 2592000 seconds (30 days).
    #[serde(default)]
    pub overlap_seconds: u32,
    /// When the new token expires; absent: it gets the lifetime of the old one, from now.
    #[serde(default)]
    pub expires: Option<Timestamp>,
}

/// A token, without its text.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenView {
    /// The identifier, with which the token is revoked.
    pub id: String,
    /// The unique name.
    pub name: String,
    /// The scopes the token has.
    pub scopes: Vec<Scope>,
    /// When the token was created.
    pub created_at: Timestamp,
    /// When the token expires; null: it is valid until it is revoked.
    pub expires_at: Option<Timestamp>,
    /// Requests the token may make in a minute; absent: the host's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    /// The identifier of the token that replaces this one; absent: it was not rotated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<String>,
}

/// A token that was just created.
#[derive(Debug, Serialize, ToSchema)]
pub struct MadeToken {
    #[serde(flatten)]
    pub view: TokenView,
    /// The token's text. It is shown only once, because the host keeps only its hash.
    pub token: String,
}

fn view(record: &TokenRecord) -> TokenView {
    let TokenRecord { name, scopes, created_at, expires_at, requests_per_minute, replaced_by, .. } = record.clone();
    let replaced_by = replaced_by.map(|hash| token::id(&hash));
    TokenView { id: record.id(), name, scopes, created_at, expires_at, requests_per_minute, replaced_by }
}

/// List the tokens, without their text.
#[utoipa::path(get, path = "/v1/tokens", tag = "tokens", responses((status = 200, description = "all of them", body = List<TokenView>)))]
pub async fn list(services: Services, asked: Asked) -> Answer {
    asked.only(&[])?;
    let mut data: Vec<_> = services.catalog.snapshot().tokens.values().map(|record| view(record)).collect();
    data.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
    ok(&List { data, next: None })
}

/// Create a token.
#[utoipa::path(post, path = "/v1/tokens", tag = "tokens", request_body = TokenSpec,
    responses((status = 201, description = "the token; its text is shown only once", body = MadeToken), (status = 400, body = ProblemDetails, description = "not valid", content_type = "application/problem+json"),
        (status = 409, body = ProblemDetails, description = "the name is taken", content_type = "application/problem+json")))]
pub async fn post(services: Services, asked: Asked) -> Answer {
    let TokenSpec { name, mut scopes, role, expires, requests_per_minute } = asked.json()?;
    let length = name.chars().count();
    if !(1..=NAME_CHARS_MAX).contains(&length) || name.trim() != name || name.chars().any(char::is_control) {
        return Err(ApiError::invalid("/name", format!("1 to {NAME_CHARS_MAX} characters, none of them a control character")));
    }
    scopes.extend(role.iter().flat_map(|role| role.scopes()));
    scopes.sort_unstable();
    scopes.dedup();
    if scopes.is_empty() {
        return Err(ApiError::invalid("/scopes", "a token allows something: name `scopes`, or a `role`"));
    }
    if requests_per_minute.is_some_and(|requests| !(1..=REQUESTS_PER_MINUTE_MAX).contains(&requests)) {
        return Err(ApiError::invalid("/requests_per_minute", format!("1 to {REQUESTS_PER_MINUTE_MAX}, or leave it out")));
    }
    if expires.is_some_and(|end| end <= services.clock.now()) {
        return Err(ApiError::invalid("/expires", "a time to come"));
    }
    if services.catalog.snapshot().tokens.values().any(|other| other.name == name && other.replaced_by.is_none()) {
        return Err(ApiError::Conflict("there is a token of that name already; revoke it first".to_owned()));
    }
    let text = made();
    let (hash, created_at) = (token::hash(&text), services.clock.now());
    let record = TokenRecord { hash, name, scopes, created_at, expires_at: expires, requests_per_minute, replaced_by: None };
    services.catalog.put_token(record.clone()).await?;
    tracing::info!(token = record.name, scopes = ?record.scopes, "token made");
    created(true, &MadeToken { view: view(&record), token: text })
}

/// The text of a new token.
fn made() -> String {
    format!("hwt_{}", hex::encode(random::<24>()))
}

/// Rotate a token: create a new one with the same name, scopes and rate limit. The old one stays valid for the given time.
#[utoipa::path(post, path = "/v1/tokens/{id}/rotate", tag = "tokens", request_body = RotateInput, params(("id" = String, Path, description = "`tok_...`")),
    responses((status = 201, description = "the new token; its text is shown only once", body = MadeToken), (status = 400, body = ProblemDetails, description = "not valid", content_type = "application/problem+json"),
        (status = 404, body = ProblemDetails, description = "there is no token with this identifier", content_type = "application/problem+json"),
        (status = 409, body = ProblemDetails, description = "the token was rotated before or has expired", content_type = "application/problem+json")))]
pub async fn rotate(services: Services, asked: Asked) -> Answer {
    let RotateInput { overlap_seconds, expires } = asked.json()?;
    if overlap_seconds > OVERLAP_SECONDS_MAX {
        return Err(ApiError::invalid("/overlap_seconds", format!("0 to {OVERLAP_SECONDS_MAX} seconds")));
    }
    let now = services.clock.now();
    if expires.is_some_and(|end| end <= now) {
        return Err(ApiError::invalid("/expires", "a time to come"));
    }
    let old = find(&services, asked.path(0))?;
    if old.replaced_by.is_some() {
        return Err(ApiError::Conflict("it was rotated before; rotate the one that took its place".to_owned()));
    }
    if old.expires_at.is_some_and(|end| end <= now) {
        return Err(ApiError::Conflict("it has ended; make another".to_owned()));
    }
    let text = made();
    let lasting = old.expires_at.map(|end| end.duration_since(old.created_at));
    let expires_at = expires.or_else(|| lasting.map(|lasting| now.saturating_add(lasting).unwrap_or(Timestamp::MAX)));
    let new = TokenRecord { hash: token::hash(&text), created_at: now, expires_at, ..(*old).clone() };
    let kept = (overlap_seconds > 0).then(|| {
        let end = now + Duration::from_secs(u64::from(overlap_seconds));
        let expires_at = Some(old.expires_at.map_or(end, |earlier| earlier.min(end)));
        TokenRecord { expires_at, replaced_by: Some(new.hash.clone()), ..(*old).clone() }
    });
    services.catalog.replace_token(&old.hash, kept, new.clone()).await?;
    tracing::info!(token = new.name, overlap_seconds, "token rotated");
    created(true, &MadeToken { view: view(&new), token: text })
}

fn find(services: &Services, id: &str) -> Result<Arc<TokenRecord>, ApiError> {
    let found = services.catalog.snapshot().tokens.values().find(|record| record.id() == id).cloned();
    found.ok_or_else(|| ApiError::NotFound(format!("token `{id}`")))
}

/// Revoke a token, and the ArcGIS tokens that were generated from it.
#[utoipa::path(delete, path = "/v1/tokens/{id}", tag = "tokens", params(("id" = String, Path, description = "`tok_...`")),
    responses((status = 204, description = "revoked"), (status = 404, body = ProblemDetails, description = "there is no token with this identifier", content_type = "application/problem+json"),
        (status = 409, body = ProblemDetails, description = "it is the token of this request", content_type = "application/problem+json")))]
pub async fn delete(services: Services, asked: Asked) -> Answer {
    let record = find(&services, asked.path(0))?;
    if asked.token.as_ref().is_some_and(|own| own.hash == record.hash) {
        return Err(ApiError::Conflict("a token does not revoke itself: who would be let in then?".to_owned()));
    }
    services.catalog.delete_token(&record.hash).await?;
    tracing::info!(token = record.name, "token revoked");
    no_content()
}
