//! `/v1/receivers`: receivers, which answer inbound calls.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    document::{merge_patch, named},
    inline,
    request::{Asked, parse_value},
    respond::{self, Answer, ApiError, List, ProblemDetails, created, no_content, ok},
};
use crate::{
    catalog::{CatalogError, ReceiverEntry},
    model::{merge_patch::merge, receiver::ReceiverSpec, signature::SignatureRule},
    services::Services,
};

/// A receiver, as an answer shows it.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReceiverView {
    /// The document, as it was written.
    #[serde(flatten)]
    pub spec: ReceiverSpec,
    /// When the receiver was created.
    pub created_at: Timestamp,
    /// When the receiver was last written.
    pub updated_at: Timestamp,
}

fn view(entry: &ReceiverEntry) -> ReceiverView {
    ReceiverView { spec: entry.spec.clone(), created_at: entry.created_at, updated_at: entry.updated_at }
}

pub(super) fn find(services: &Services, name: &str) -> Result<std::sync::Arc<ReceiverEntry>, ApiError> {
    services.catalog.snapshot().receivers.get(name).cloned().ok_or_else(|| ApiError::NotFound(format!("receiver `{name}`")))
}

/// List the receivers, sorted by name.
#[utoipa::path(get, path = "/v1/receivers", tag = "receivers",
    params(("limit" = Option<usize>, Query, description = "1 to 500, 50 by default"), ("after" = Option<String>, Query, description = "`next` of the previous page")),
    responses((status = 200, description = "a page", body = List<ReceiverView>)))]
pub async fn list(services: Services, asked: Asked) -> Answer {
    asked.only(&["limit", "after"])?;
    let snapshot = services.catalog.snapshot();
    ok(&respond::page_of(&snapshot.receivers, asked.page()?, |entry| view(entry)))
}

/// Create or replace a receiver.
#[utoipa::path(put, path = "/v1/receivers/{name}", tag = "receivers", request_body = ReceiverSpec, params(("name" = String, Path, description = "the receiver's name")),
    responses((status = 201, description = "created", body = ReceiverView), (status = 200, description = "replaced", body = ReceiverView),
        (status = 400, body = ProblemDetails, description = "not valid", content_type = "application/problem+json")))]
pub async fn put(services: Services, asked: Asked) -> Answer {
    write(&services, asked.json()?, asked.path(0)).await
}

/// Get a receiver.
#[utoipa::path(get, path = "/v1/receivers/{name}", tag = "receivers", params(("name" = String, Path, description = "the receiver's name")),
    responses((status = 200, description = "the receiver", body = ReceiverView), (status = 404, body = ProblemDetails, description = "there is no receiver with this name", content_type = "application/problem+json")))]
pub async fn get(services: Services, asked: Asked) -> Answer {
    ok(&view(&*find(&services, asked.path(0))?))
}

/// Change a receiver (RFC 7396).
#[utoipa::path(patch, path = "/v1/receivers/{name}", tag = "receivers", params(("name" = String, Path, description = "the receiver's name")),
    request_body(content = Object, description = "a JSON Merge Patch of the receiver"),
    responses((status = 200, description = "changed", body = ReceiverView), (status = 400, body = ProblemDetails, description = "not valid", content_type = "application/problem+json"),
        (status = 404, body = ProblemDetails, description = "there is no receiver with this name", content_type = "application/problem+json")))]
pub async fn patch(services: Services, asked: Asked) -> Answer {
    let mut document = serde_json::to_value(&find(&services, asked.path(0))?.spec).map_err(|error| ApiError::Internal(Box::new(error)))?;
    merge(&mut document, &merge_patch(&asked)?);
    write(&services, document, asked.path(0)).await
}

/// Delete a receiver and its codes.
#[utoipa::path(delete, path = "/v1/receivers/{name}", tag = "receivers", params(("name" = String, Path, description = "the receiver's name")),
    responses((status = 204, description = "deleted"), (status = 404, body = ProblemDetails, description = "there is no receiver with this name", content_type = "application/problem+json")))]
pub async fn delete(services: Services, asked: Asked) -> Answer {
    let before = find(&services, asked.path(0));
    services.catalog.delete_receiver(asked.path(0)).await?;
    if let Ok(before) = before {
        inline::forget(&services, before.spec.verify.all_secrets()).await?;
    }
    no_content()
}

async fn write(services: &Services, mut document: Value, name: &str) -> Answer {
    let credentials = inline::take(&mut document, "receiver", name)?;
    let mut spec: ReceiverSpec = parse_value(document)?;
    named(&mut spec.name, name)?;
    let before = find(services, name).ok();
    if let Some((pointer, plugin)) = spec.plugins().into_iter().find(|(_, plugin)| !services.plugins.exists(plugin)) {
        return Err(ApiError::invalid(pointer, format!("there is no plugin `{plugin}`; upload it first: PUT /v1/plugins/{plugin}")));
    }
    services.catalog.snapshot().compile_receiver(&spec).map_err(CatalogError::Invalid)?;
    let is_kept = before.as_ref().is_some_and(|before| before.spec.verify.hmac == spec.verify.hmac);
    for (rule, pointer) in [
        (spec.verify.hmac.as_ref().filter(|_| !is_kept), "/verify/hmac/id_header"),
        (spec.verify.public_key.as_ref(), "/verify/public_key/id_header"),
    ] {
        if rule.is_some_and(SignatureRule::has_unsigned_id) {
            return Err(ApiError::invalid(pointer, "an identifier that is not signed proves nothing: add `{id}` to `signed`"));
        }
    }
    // A key that cannot verify is found when the receiver is written, not when the first call comes, and is not kept.
    for (pointer, reference) in spec.verify.keys_by_pointer() {
        let key = match inline::given(&credentials, reference) {
            Some(given) => Some(given.clone()),
            None => services.store.secret(&reference.name, reference.version).await?,
        };
        if let Some(Err(error)) = key.map(|key| spec.verify.scheme.check_key(spec.verify.rule(), &key)) {
            return Err(ApiError::invalid(pointer, error.to_string()));
        }
    }
    inline::keep(services, credentials).await?;
    let (entry, is_new) = services.catalog.put_receiver(spec, services.clock.now()).await?;
    if let Some(before) = before {
        inline::forget(services, before.spec.verify.all_secrets()).await?;
    }
    created(is_new, &view(&entry))
}
