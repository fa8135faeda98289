//! `/v1/receivers/{name}/codes`: the strings that make a receiver callable.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    request::Asked,
    respond::{Answer, ApiError, List, ProblemDetails, created, no_content, ok},
};
use crate::{
    clock::random,
    model::code::{CODE_CHARS_MAX, CODE_CHARS_MIN, CodeRecord, CodeSpec, PREFIX_CHARS_MAX, is_code, is_prefix, make_code},
    services::Services,
};

/// A code as shown to an admin.
#[derive(Debug, Serialize, ToSchema)]
pub struct CodeView {
    /// What it is revoked by.
    pub id: String,
    /// The code itself: whoever has it may call.
    pub code: String,
    /// Where to call it; the base path before `/api` is free.
    pub url: String,
    /// To whom it was issued.
    pub caller: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

fn view(services: &Services, asked: &Asked, record: &CodeRecord) -> Result<CodeView, ApiError> {
    let opened = services.store.storage_key().unseal(&sealed_as(&record.id), &record.sealed)?;
    let code = opened.expose_str().unwrap_or_default().to_owned();
    let host = asked.headers.get(http::header::HOST).and_then(|value| value.to_str().ok()).unwrap_or("localhost");
    Ok(CodeView {
        id: record.id.clone(),
        url: format!("http://{host}/api/v1/webhook/{code}"),
        code,
        caller: record.caller.clone(),
        created_at: record.created_at,
        expires_at: record.expires_at,
        revoked_at: record.revoked_at,
    })
}

fn sealed_as(id: &str) -> String {
    format!("code/{id}")
}

/// Issue a code to a caller.
#[utoipa::path(post, path = "/v1/receivers/{name}/codes", tag = "receivers", request_body = CodeSpec, params(("name" = String, Path, description = "the receiver")),
    responses((status = 201, description = "the code", body = CodeView), (status = 400, body = ProblemDetails, description = "not valid", content_type = "application/problem+json"),
        (status = 404, body = ProblemDetails, description = "no such receiver", content_type = "application/problem+json"),
        (status = 409, body = ProblemDetails, description = "the code exists already", content_type = "application/problem+json")))]
pub async fn post(services: Services, asked: Asked) -> Answer {
    let spec: CodeSpec = asked.json()?;
    let receiver = asked.path(0).to_owned();
    if spec.caller.is_empty() || spec.caller.len() > 128 {
        return Err(ApiError::invalid("/caller", "1 to 128 characters: to whom the code is issued"));
    }
    if spec.prefix.as_deref().is_some_and(|prefix| !is_prefix(prefix)) {
        return Err(ApiError::invalid("/prefix", format!("up to {PREFIX_CHARS_MAX} letters and digits")));
    }
    let code = match spec.code {
        Some(code) if is_code(&code) => code,
        Some(_) => {
            return Err(ApiError::invalid(
                "/code",
                format!("an existing code has {CODE_CHARS_MIN} to {CODE_CHARS_MAX} letters, digits, `-` or `_`"),
            ));
        }
        // 64 bytes leave more than twice what 24 letters need after the few that are dropped.
        None => make_code(spec.prefix.as_deref().unwrap_or_default(), random::<64>()),
    };
    let id = format!("cod_{}", hex::encode(random::<10>()));
    let record = CodeRecord {
        receiver,
        caller: spec.caller,
        hash: hex::encode(services.store.storage_key().keyed_hash("code", code.as_bytes())),
        sealed: services.store.storage_key().seal(&sealed_as(&id), code.as_bytes())?,
        created_at: services.clock.now(),
        expires_at: spec.expires,
        revoked_at: None,
        id,
    };
    services.catalog.put_code(record.clone()).await?;
    tracing::info!(receiver = record.receiver, code = record.id, caller = record.caller, "code issued");
    created(true, &view(&services, &asked, &record)?)
}

/// The codes of a receiver, in clear. Looking is logged.
#[utoipa::path(get, path = "/v1/receivers/{name}/codes", tag = "receivers", params(("name" = String, Path, description = "the receiver")),
    responses((status = 200, description = "its codes", body = List<CodeView>), (status = 404, body = ProblemDetails, description = "no such receiver", content_type = "application/problem+json")))]
pub async fn list(services: Services, asked: Asked) -> Answer {
    let snapshot = services.catalog.snapshot();
    let receiver = asked.path(0);
    if !snapshot.receivers.contains_key(receiver) {
        return Err(ApiError::NotFound(format!("receiver `{receiver}`")));
    }
    let who = asked.token.as_ref().map_or("", |token| token.name.as_str());
    tracing::info!(receiver, who, "codes shown");
    let mut records: Vec<_> = snapshot.codes.values().filter(|code| code.receiver == receiver).collect();
    records.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
    let data = records.into_iter().map(|record| view(&services, &asked, record)).collect::<Result<Vec<_>, _>>()?;
    ok(&List { data, next: None })
}

/// Revoke a code: from now on it is as unknown as a wrong one.
#[utoipa::path(delete, path = "/v1/receivers/{name}/codes/{id}", tag = "receivers",
    params(("name" = String, Path, description = "the receiver"), ("id" = String, Path, description = "`cod_...`")),
    responses((status = 204, description = "revoked"), (status = 404, body = ProblemDetails, description = "none such", content_type = "application/problem+json")))]
pub async fn delete(services: Services, asked: Asked) -> Answer {
    let snapshot = services.catalog.snapshot();
    let found = snapshot.codes.values().find(|code| code.receiver == asked.path(0) && code.id == asked.path(1));
    let mut record = found.map(|code| (**code).clone()).ok_or_else(|| ApiError::NotFound(format!("code `{}`", asked.path(1))))?;
    record.revoked_at.get_or_insert_with(|| services.clock.now());
    services.catalog.put_code(record).await?;
    no_content()
}
