//! `/v1/templates`: webhooks to start from, one template for each service.

use super::{
    request::Asked,
    respond::{Answer, ApiError, List, ProblemDetails, ok},
};
use crate::{
    model::integration::{Integration, built_in},
    services::Services,
};

/// List the templates. Each says what can be called in its service, and what must be filled in.
#[utoipa::path(get, path = "/v1/templates", tag = "templates", responses((status = 200, description = "all of them", body = List<Integration>)))]
pub async fn list(_services: Services, asked: Asked) -> Answer {
    asked.only(&[])?;
    ok(&List { data: built_in().to_vec(), next: None })
}

/// Get the template of one service.
#[utoipa::path(get, path = "/v1/templates/{name}", tag = "templates", params(("name" = String, Path, description = "the service's name")),
    responses((status = 200, description = "what can be called", body = Integration), (status = 404, body = ProblemDetails, description = "there is no template with this name", content_type = "application/problem+json")))]
pub async fn get(_services: Services, asked: Asked) -> Answer {
    let found = built_in().iter().find(|integration| integration.name == asked.path(0));
    ok(found.ok_or_else(|| ApiError::NotFound(format!("template `{}`", asked.path(0))))?)
}
