//! `/v1/services`: the services that webhooks may be about.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    document::{merge_patch, merged, named},
    request::Asked,
    respond::{Answer, ApiError, List, ProblemDetails, created, no_content, ok},
};
use crate::{
    model::{
        problem::Problem,
        service::ServiceRule,
        service::{ServiceEntry, ServiceName, ServiceSpec},
        webhook::WebhookSpec,
    },
    services::Services,
};

/// A service, as an answer shows it.
#[derive(Debug, Serialize, ToSchema)]
pub struct ServiceView {
    /// The document, as it was written.
    #[serde(flatten)]
    pub spec: ServiceSpec,
    /// When the service was created.
    pub created_at: Timestamp,
    /// When the service was last written.
    pub updated_at: Timestamp,
}

fn view(entry: &ServiceEntry) -> ServiceView {
    ServiceView { spec: entry.spec.clone(), created_at: entry.created_at, updated_at: entry.updated_at }
}

/// The name in a path: of a service without a folder, or `folder/name`.
fn name(asked: &Asked) -> String {
    asked.path.join("/")
}

/// List the services, sorted by name.
#[utoipa::path(get, path = "/v1/services", tag = "services",
    params(("limit" = Option<usize>, Query, description = "1 to 500, 50 by default"), ("after" = Option<String>, Query, description = "`next` of the previous page")),
    responses((status = 200, description = "a page", body = List<ServiceView>)))]
pub async fn list(services: Services, asked: Asked) -> Answer {
    asked.only(&["limit", "after"])?;
    let (limit, after) = asked.page()?;
    let snapshot = services.catalog.snapshot();
    let mut data: Vec<_> =
        snapshot.services.iter().filter(|(name, _)| after.as_ref().is_none_or(|after| *name > after)).take(limit + 1).collect();
    let next = (data.len() > limit).then(|| data[limit - 1].0.clone());
    data.truncate(limit);
    ok(&List { data: data.into_iter().map(|(_, entry)| view(entry)).collect(), next })
}

/// Create or replace a service that is in no folder.
#[utoipa::path(put, path = "/v1/services/{name}", tag = "services", request_body = ServiceSpec, params(("name" = String, Path, description = "`Water.FeatureServer`")),
    responses((status = 201, description = "created", body = ServiceView), (status = 200, description = "replaced", body = ServiceView),
        (status = 400, body = ProblemDetails, description = "not valid", content_type = "application/problem+json"),
        (status = 409, body = ProblemDetails, description = "existing webhooks need what the change takes away", content_type = "application/problem+json")))]
pub async fn put(services: Services, asked: Asked) -> Answer {
    write(&services, asked.json()?, &name(&asked)).await
}

/// Create or replace a service in a folder.
#[utoipa::path(put, path = "/v1/services/{folder}/{name}", tag = "services", request_body = ServiceSpec,
    params(("folder" = String, Path, description = "`Utilities`"), ("name" = String, Path, description = "`Water.FeatureServer`")),
    responses((status = 201, description = "created", body = ServiceView), (status = 200, description = "replaced", body = ServiceView),
        (status = 400, body = ProblemDetails, description = "not valid", content_type = "application/problem+json"),
        (status = 409, body = ProblemDetails, description = "existing webhooks need what the change takes away", content_type = "application/problem+json")))]
pub async fn put_in_folder(services: Services, asked: Asked) -> Answer {
    put(services, asked).await
}

/// Get a service that is in no folder.
#[utoipa::path(get, path = "/v1/services/{name}", tag = "services", params(("name" = String, Path, description = "`Water.FeatureServer`")),
    responses((status = 200, description = "the service", body = ServiceView), (status = 404, body = ProblemDetails, description = "there is no service with this name", content_type = "application/problem+json")))]
pub async fn get(services: Services, asked: Asked) -> Answer {
    ok(&view(&*find(&services, &name(&asked))?))
}

/// Get a service in a folder.
#[utoipa::path(get, path = "/v1/services/{folder}/{name}", tag = "services",
    params(("folder" = String, Path, description = "`Utilities`"), ("name" = String, Path, description = "`Water.FeatureServer`")),
    responses((status = 200, description = "the service", body = ServiceView), (status = 404, body = ProblemDetails, description = "there is no service with this name", content_type = "application/problem+json")))]
pub async fn get_in_folder(services: Services, asked: Asked) -> Answer {
    get(services, asked).await
}

/// Change a service that is in no folder (RFC 7396).
#[utoipa::path(patch, path = "/v1/services/{name}", tag = "services", params(("name" = String, Path, description = "`Water.FeatureServer`")),
    request_body(content = Object, description = "a JSON Merge Patch of the service"),
    responses((status = 200, description = "changed", body = ServiceView), (status = 400, body = ProblemDetails, description = "not valid", content_type = "application/problem+json"),
        (status = 404, body = ProblemDetails, description = "there is no service with this name", content_type = "application/problem+json"),
        (status = 409, body = ProblemDetails, description = "existing webhooks need what the change takes away", content_type = "application/problem+json")))]
pub async fn patch(services: Services, asked: Asked) -> Answer {
    let name = name(&asked);
    let spec = merged(&find(&services, &name)?.spec, &merge_patch(&asked)?)?;
    write(&services, spec, &name).await
}

/// Change a service in a folder (RFC 7396).
#[utoipa::path(patch, path = "/v1/services/{folder}/{name}", tag = "services",
    params(("folder" = String, Path, description = "`Utilities`"), ("name" = String, Path, description = "`Water.FeatureServer`")),
    request_body(content = Object, description = "a JSON Merge Patch of the service"),
    responses((status = 200, description = "changed", body = ServiceView), (status = 400, body = ProblemDetails, description = "not valid", content_type = "application/problem+json"),
        (status = 404, body = ProblemDetails, description = "there is no service with this name", content_type = "application/problem+json"),
        (status = 409, body = ProblemDetails, description = "existing webhooks need what the change takes away", content_type = "application/problem+json")))]
pub async fn patch_in_folder(services: Services, asked: Asked) -> Answer {
    patch(services, asked).await
}

/// Delete a service that is in no folder.
#[utoipa::path(delete, path = "/v1/services/{name}", tag = "services", params(("name" = String, Path, description = "`Water.FeatureServer`")),
    responses((status = 204, description = "deleted"), (status = 404, body = ProblemDetails, description = "there is no service with this name", content_type = "application/problem+json"),
        (status = 409, body = ProblemDetails, description = "the service has webhooks", content_type = "application/problem+json")))]
pub async fn delete(services: Services, asked: Asked) -> Answer {
    let name = name(&asked);
    let users = webhooks_of(&services, &find(&services, &name)?.spec);
    if !users.is_empty() {
        let names: Vec<_> = users.iter().map(|(name, _)| name.as_str()).collect();
        return Err(ApiError::Conflict(format!("it has webhooks, delete them first: {}", names.join(", "))));
    }
    services.catalog.delete_service(&name).await?;
    no_content()
}

/// Delete a service in a folder.
#[utoipa::path(delete, path = "/v1/services/{folder}/{name}", tag = "services",
    params(("folder" = String, Path, description = "`Utilities`"), ("name" = String, Path, description = "`Water.FeatureServer`")),
    responses((status = 204, description = "deleted"), (status = 404, body = ProblemDetails, description = "there is no service with this name", content_type = "application/problem+json"),
        (status = 409, body = ProblemDetails, description = "the service has webhooks", content_type = "application/problem+json")))]
pub async fn delete_in_folder(services: Services, asked: Asked) -> Answer {
    delete(services, asked).await
}

async fn write(services: &Services, mut spec: ServiceSpec, name: &str) -> Answer {
    named(&mut spec.name, name)?;
    let problems = spec.problems();
    if !problems.is_empty() {
        return Err(ApiError::problems(problems));
    }
    for (webhook, rule) in webhooks_of(services, &spec) {
        if let Some(reason) = spec.breaks(&rule) {
            return Err(ApiError::Conflict(format!("the webhook `{webhook}` is about it: {reason}")));
        }
    }
    let (entry, is_new) = services.catalog.put_service(spec, services.clock.now()).await?;
    created(is_new, &view(&entry))
}

pub fn find(services: &Services, name: &str) -> Result<std::sync::Arc<ServiceEntry>, ApiError> {
    services.catalog.snapshot().services.get(name).cloned().ok_or_else(|| ApiError::NotFound(format!("service `{name}`")))
}

/// The webhooks about a service, and what each requires of it.
fn webhooks_of(services: &Services, service: &ServiceSpec) -> Vec<(String, ServiceRule)> {
    let snapshot = services.catalog.snapshot();
    let about = snapshot.webhooks.values().filter_map(|entry| {
        let rule = snapshot.profiles.get(&entry.spec.profile)?.service.clone()?;
        let is_about = named_in(&entry.spec).iter().any(|(_, name)| name.to_string() == service.name);
        is_about.then(|| (entry.spec.name.clone(), rule))
    });
    about.collect()
}

/// The services that a webhook names: in its sources, or at the beginning of its selectors.
fn named_in(spec: &WebhookSpec) -> Vec<(String, ServiceName)> {
    let places = [("sources", &spec.sources), ("selectors", &spec.selectors)];
    let texts = places.into_iter().flat_map(|(place, texts)| texts.iter().enumerate().map(move |(index, text)| (place, index, text)));
    texts.filter_map(|(place, index, text)| Some((format!("/{place}/{index}"), ServiceName::of_path(text)?))).collect()
}

/// Refuses a webhook that does not fit the services it names. A service that this host does not know fits every webhook.
pub fn check(services: &Services, spec: &WebhookSpec) -> Result<(), ApiError> {
    let snapshot = services.catalog.snapshot();
    let Some(rule) = snapshot.profiles.get(&spec.profile).and_then(|profile| profile.service.as_ref()) else { return Ok(()) };
    let broken = named_in(spec).into_iter().filter_map(|(pointer, name)| {
        let service = snapshot.services.get(&name.to_string())?;
        Some(Problem::new(pointer, service.spec.breaks(rule)?))
    });
    let problems: Vec<_> = broken.collect();
    if problems.is_empty() { Ok(()) } else { Err(ApiError::problems(problems)) }
}
