//! `/v1/receivers`: what answers calls.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    request::Asked,
    respond::{Answer, ApiError, List, ProblemDetails, created, no_content, ok},
    webhooks::{merge_patch, merged, named},
};
use crate::{catalog::ReceiverEntry, model::receiver::ReceiverSpec, services::Services};

/// A receiver as shown.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReceiverView {
    /// As written.
    #[serde(flatten)]
    pub spec: ReceiverSpec,
    /// When it was first written.
    pub created_at: Timestamp,
    /// When it was last written.
    pub updated_at: Timestamp,
}

fn view(entry: &ReceiverEntry) -> ReceiverView {
    ReceiverView { spec: entry.spec.clone(), created_at: entry.created_at, updated_at: entry.updated_at }
}

fn find(services: &Services, name: &str) -> Result<std::sync::Arc<ReceiverEntry>, ApiError> {
    services.catalog.snapshot().receivers.get(name).cloned().ok_or_else(|| ApiError::NotFound(format!("receiver `{name}`")))
}

/// Receivers by name.
#[utoipa::path(get, path = "/v1/receivers", tag = "receivers",
    params(("limit" = Option<usize>, Query, description = "1 to 500, 50 by default"), ("after" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, description = "a page", body = List<ReceiverView>)))]
pub async fn list(services: Services, asked: Asked) -> Answer {
    asked.only(&["limit", "after"])?;
    let (limit, after) = asked.page()?;
    let snapshot = services.catalog.snapshot();
    let data: Vec<_> =
        snapshot.receivers.iter().filter(|(name, _)| after.as_ref().is_none_or(|after| *name > after)).take(limit + 1).collect();
    let next = (data.len() > limit).then(|| data[limit - 1].0.clone());
    ok(&List { data: data.into_iter().take(limit).map(|(_, entry)| view(entry)).collect(), next })
}

/// Create or replace a receiver.
#[utoipa::path(put, path = "/v1/receivers/{name}", tag = "receivers", request_body = ReceiverSpec, params(("name" = String, Path, description = "its name")),
    responses((status = 201, description = "created", body = ReceiverView), (status = 200, description = "replaced", body = ReceiverView),
        (status = 400, body = ProblemDetails, description = "not valid", content_type = "application/problem+json")))]
pub async fn put(services: Services, asked: Asked) -> Answer {
    let mut spec: ReceiverSpec = asked.json()?;
    named(&mut spec.name, asked.path(0))?;
    write(&services, spec).await
}

/// A receiver.
#[utoipa::path(get, path = "/v1/receivers/{name}", tag = "receivers", params(("name" = String, Path, description = "its name")),
    responses((status = 200, description = "the receiver", body = ReceiverView), (status = 404, body = ProblemDetails, description = "none such", content_type = "application/problem+json")))]
pub async fn get(services: Services, asked: Asked) -> Answer {
    ok(&view(&*find(&services, asked.path(0))?))
}

/// Change a receiver (RFC 7396).
#[utoipa::path(patch, path = "/v1/receivers/{name}", tag = "receivers", params(("name" = String, Path, description = "its name")),
    request_body(content = Object, description = "a JSON Merge Patch of the receiver"),
    responses((status = 200, description = "changed", body = ReceiverView), (status = 400, body = ProblemDetails, description = "not valid", content_type = "application/problem+json"),
        (status = 404, body = ProblemDetails, description = "none such", content_type = "application/problem+json")))]
pub async fn patch(services: Services, asked: Asked) -> Answer {
    let mut spec = merged(&find(&services, asked.path(0))?.spec, &merge_patch(&asked)?)?;
    named(&mut spec.name, asked.path(0))?;
    write(&services, spec).await
}

/// Delete a receiver and its codes.
#[utoipa::path(delete, path = "/v1/receivers/{name}", tag = "receivers", params(("name" = String, Path, description = "its name")),
    responses((status = 204, description = "gone"), (status = 404, body = ProblemDetails, description = "none such", content_type = "application/problem+json")))]
pub async fn delete(services: Services, asked: Asked) -> Answer {
    services.catalog.delete_receiver(asked.path(0)).await?;
    no_content()
}

async fn write(services: &Services, spec: ReceiverSpec) -> Answer {
    if let Some(plugin) = &spec.plugin
        && !services.plugins.exists(plugin)
    {
        return Err(ApiError::invalid("/plugin", format!("there is no plugin `{plugin}`; upload it first: PUT /v1/plugins/{plugin}")));
    }
    // A key that cannot verify is found when the receiver is written, not when the first call comes.
    if let Some(reference) = &spec.verify.secret
        && let Some(key) = services.store.secret(&reference.name, reference.version).await?
        && let Err(error) = spec.verify.scheme.check_key(&key)
    {
        return Err(ApiError::invalid("/verify/secret", error.to_string()));
    }
    let (entry, is_new) = services.catalog.put_receiver(spec, services.clock.now()).await?;
    created(is_new, &view(&entry))
}
