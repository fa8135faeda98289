//! `/v1/sessions/{id}/parameters`: the parameters of a session.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{
    document::merge_patch,
    request::Asked,
    respond::{Answer, ApiError, no_content, ok},
};
use crate::services::Services;

/// The parameters of a session.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionParameters {
    /// The values by parameter name.
    #[schema(value_type = Object)]
    pub parameters: Map<String, Value>,
}

/// Get the parameters of a session. A session that was never used is empty.
#[utoipa::path(get, path = "/v1/sessions/{id}/parameters", tag = "sessions", params(("id" = String, Path, description = "the session")),
    responses((status = 200, description = "its parameters", body = SessionParameters)))]
pub async fn get(services: Services, asked: Asked) -> Answer {
    let session = services.store.peek_parameters(asked.path(0)).await?;
    ok(&SessionParameters { parameters: session.parameters.into_map() })
}

/// Merge into the parameters of a session (RFC 7396 at the first level): null removes a parameter.
#[utoipa::path(patch, path = "/v1/sessions/{id}/parameters", tag = "sessions", params(("id" = String, Path, description = "the session")),
    request_body(content = Object, description = "the parameters, as a bare object"),
    responses((status = 200, description = "its parameters now", body = SessionParameters), (status = 400, body = super::respond::ProblemDetails, description = "no object", content_type = "application/problem+json")))]
pub async fn patch(services: Services, asked: Asked) -> Answer {
    let Value::Object(patch) = merge_patch(&asked)? else { return Err(ApiError::invalid("", "a JSON object of parameters")) };
    let current = services.store.parameters(asked.path(0)).await?;
    let mut changes = Vec::new();
    for (name, value) in patch {
        if !crate::model::binding::is_parameter_name(&name) {
            return Err(ApiError::invalid(crate::model::problem::segment(&name), crate::model::binding::PARAMETER_NAME_RULE));
        }
        // RFC 7396 merges objects into objects. Merging into null also drops the nulls inside a new value, as the RFC says.
        let mut merged = current.parameters.get(&name).cloned().unwrap_or_default();
        crate::model::merge_patch::merge(&mut merged, &value);
        changes.push((name, (!value.is_null()).then_some(merged)));
    }
    let session = services.store.update_parameters(asked.path(0), Some(current.version), changes).await?;
    ok(&SessionParameters { parameters: session.parameters.into_map() })
}

/// Delete a session.
#[utoipa::path(delete, path = "/v1/sessions/{id}/parameters", tag = "sessions", params(("id" = String, Path, description = "the session")),
    responses((status = 204, description = "deleted")))]
pub async fn delete(services: Services, asked: Asked) -> Answer {
    services.store.delete_session(asked.path(0)).await?;
    no_content()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_session_shows_an_empty_object() {
        let shown = SessionParameters { parameters: crate::model::parameter::Parameters::default().into_map() };
        assert_eq!(serde_json::to_string(&shown).ok().as_deref(), Some(r#"{"parameters":{}}"#));
    }
}
