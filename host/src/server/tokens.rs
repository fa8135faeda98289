//! `/v1/tokens`: who may do what.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    request::Asked,
    respond::{Answer, ApiError, List, ProblemDetails, created, no_content, ok},
};
use crate::{
    clock::random,
    model::token::{self, Role, Scope, TokenRecord},
    services::Services,
};

/// Characters of a token's name.
const NAME_CHARS_MAX: usize = 128;

/// A token to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenSpec {
    /// For people, and the user name in ArcGIS's forms: unique.
    #[schema(example = "ann")]
    pub name: String,
    /// What it allows.
    #[serde(default)]
    pub scopes: Vec<Scope>,
    /// A named set of scopes, in addition.
    #[serde(default)]
    pub role: Option<Role>,
    /// When it ends; absent: when it is revoked.
    #[serde(default)]
    pub expires: Option<Timestamp>,
}

/// A token as shown.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenView {
    /// What it is revoked by.
    pub id: String,
    /// For people.
    pub name: String,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
}

/// A token that was just made.
#[derive(Debug, Serialize, ToSchema)]
pub struct MadeToken {
    /// As it is shown from now on.
    #[serde(flatten)]
    pub view: TokenView,
    /// The token itself: shown once, only its hash is kept.
    pub token: String,
}

fn view(record: &TokenRecord) -> TokenView {
    let TokenRecord { name, scopes, created_at, expires_at, .. } = record.clone();
    TokenView { id: record.id(), name, scopes, created_at, expires_at }
}

/// All tokens, without their text.
#[utoipa::path(get, path = "/v1/tokens", tag = "tokens", responses((status = 200, description = "all of them", body = List<TokenView>)))]
pub async fn list(services: Services, asked: Asked) -> Answer {
    asked.only(&[])?;
    let mut data: Vec<_> = services.catalog.snapshot().tokens.values().map(|record| view(record)).collect();
    data.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
    ok(&List { data, next: None })
}

/// Make a token.
#[utoipa::path(post, path = "/v1/tokens", tag = "tokens", request_body = TokenSpec,
    responses((status = 201, description = "the token, shown this once", body = MadeToken), (status = 400, body = ProblemDetails, description = "not valid", content_type = "application/problem+json"),
        (status = 409, body = ProblemDetails, description = "the name is taken", content_type = "application/problem+json")))]
pub async fn post(services: Services, asked: Asked) -> Answer {
    let TokenSpec { name, mut scopes, role, expires } = asked.json()?;
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
    if expires.is_some_and(|end| end <= services.clock.now()) {
        return Err(ApiError::invalid("/expires", "a time to come"));
    }
    if services.catalog.snapshot().tokens.values().any(|other| other.name == name) {
        return Err(ApiError::Conflict("there is a token of that name already; revoke it first".to_owned()));
    }
    let text = format!("hwt_{}", hex::encode(random::<24>()));
    let record = TokenRecord { hash: token::hash(&text), name, scopes, created_at: services.clock.now(), expires_at: expires };
    services.catalog.put_token(record.clone()).await?;
    tracing::info!(token = record.name, scopes = ?record.scopes, "token made");
    created(true, &MadeToken { view: view(&record), token: text })
}

/// Revoke a token, and what was generated from it.
#[utoipa::path(delete, path = "/v1/tokens/{id}", tag = "tokens", params(("id" = String, Path, description = "`tok_...`")),
    responses((status = 204, description = "revoked"), (status = 404, body = ProblemDetails, description = "none such", content_type = "application/problem+json"),
        (status = 409, body = ProblemDetails, description = "it is the one that asks", content_type = "application/problem+json")))]
pub async fn delete(services: Services, asked: Asked) -> Answer {
    let snapshot = services.catalog.snapshot();
    let record = snapshot.tokens.values().find(|record| record.id() == asked.path(0));
    let record = record.ok_or_else(|| ApiError::NotFound(format!("token `{}`", asked.path(0))))?;
    if asked.token.as_ref().is_some_and(|own| own.hash == record.hash) {
        return Err(ApiError::Conflict("a token does not revoke itself: who would be let in then?".to_owned()));
    }
    services.catalog.delete_token(&record.hash).await?;
    tracing::info!(token = record.name, "token revoked");
    no_content()
}
