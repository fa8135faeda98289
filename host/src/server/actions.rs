//! `/v1/actions`: service actions, which receivers can be bound to.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    document::named,
    request::{Asked, parse_value},
    respond::{Answer, ApiError, List, ProblemDetails, created, no_content, ok},
};
use crate::{
    catalog::{ActionEntry, Snapshot},
    model::receiver::ActionSpec,
    services::Services,
};

/// A service action, as an answer shows it.
#[derive(Debug, Serialize, ToSchema)]
pub struct ActionView {
    /// The document, as it was written.
    #[serde(flatten)]
    pub spec: ActionSpec,
    /// Names of the receivers that are bound to it.
    pub receivers: Vec<String>,
    /// When the service action was created.
    pub created_at: Timestamp,
    /// When the service action was last written.
    pub updated_at: Timestamp,
}

fn view(snapshot: &Snapshot, entry: &ActionEntry) -> ActionView {
    let receivers = snapshot.bound_to(&entry.spec.name).into_iter().map(str::to_owned).collect();
    ActionView { spec: entry.spec.clone(), receivers, created_at: entry.created_at, updated_at: entry.updated_at }
}

/// List the service actions, sorted by name.
#[utoipa::path(get, path = "/v1/actions", tag = "actions",
    params(("limit" = Option<usize>, Query, description = "1 to 500, 50 by default"), ("after" = Option<String>, Query, description = "`next` of the previous page")),
    responses((status = 200, description = "a page", body = List<ActionView>)))]
pub async fn list(services: Services, asked: Asked) -> Answer {
    asked.only(&["limit", "after"])?;
    let (limit, after) = asked.page()?;
    let snapshot = services.catalog.snapshot();
    let data: Vec<_> =
        snapshot.actions.iter().filter(|(name, _)| after.as_ref().is_none_or(|after| *name > after)).take(limit + 1).collect();
    let next = (data.len() > limit).then(|| data[limit - 1].0.clone());
    ok(&List { data: data.into_iter().take(limit).map(|(_, entry)| view(&snapshot, entry)).collect(), next })
}

/// Create or replace a service action. The change holds for the receivers bound to it at once.
#[utoipa::path(put, path = "/v1/actions/{name}", tag = "actions", request_body = ActionSpec, params(("name" = String, Path, description = "the service action's name")),
    responses((status = 201, description = "created", body = ActionView), (status = 200, description = "replaced", body = ActionView),
        (status = 400, body = ProblemDetails, description = "not valid", content_type = "application/problem+json")))]
pub async fn put(services: Services, asked: Asked) -> Answer {
    let mut spec: ActionSpec = parse_value(asked.json()?)?;
    named(&mut spec.name, asked.path(0))?;
    if let Some(plugin) = spec.plugin.as_ref().filter(|plugin| !services.plugins.exists(plugin)) {
        return Err(ApiError::invalid("/plugin", format!("there is no plugin `{plugin}`; upload it first: PUT /v1/plugins/{plugin}")));
    }
    let (entry, is_new) = services.catalog.put_action(spec, services.clock.now()).await?;
    created(is_new, &view(&services.catalog.snapshot(), &entry))
}

/// Get a service action and the names of the receivers bound to it.
#[utoipa::path(get, path = "/v1/actions/{name}", tag = "actions", params(("name" = String, Path, description = "the service action's name")),
    responses((status = 200, description = "the action", body = ActionView), (status = 404, body = ProblemDetails, description = "there is no service action with this name", content_type = "application/problem+json")))]
pub async fn get(services: Services, asked: Asked) -> Answer {
    let snapshot = services.catalog.snapshot();
    let entry = snapshot.actions.get(asked.path(0)).ok_or_else(|| ApiError::NotFound(format!("action `{}`", asked.path(0))))?;
    ok(&view(&snapshot, entry))
}

/// Delete a service action to which no receiver is bound.
#[utoipa::path(delete, path = "/v1/actions/{name}", tag = "actions", params(("name" = String, Path, description = "the service action's name")),
    responses((status = 204, description = "deleted"), (status = 404, body = ProblemDetails, description = "there is no service action with this name", content_type = "application/problem+json"),
        (status = 409, body = ProblemDetails, description = "receivers are bound to the service action", content_type = "application/problem+json")))]
pub async fn delete(services: Services, asked: Asked) -> Answer {
    services.catalog.delete_action(asked.path(0)).await?;
    no_content()
}
