//! `/openapi.json`: the OpenAPI description, made from the types and handlers.

mod links;

use serde_json::Value;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        OpenApi as OpenApiDocument,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use super::{
    events,
    route::{Route, operation_id},
};
use crate::model;

/// The parts of the description that belong to no route.
#[derive(OpenApi)]
#[openapi(
    info(title = "Hookwright", description = "A webhook engine whose transforms and receivers are sandboxed WebAssembly plugins, swapped while it runs.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")),
    components(schemas(events::EventInput, events::AcceptedEvents, model::outcome::FailureKind)),
    modifiers(&Bearer))]
struct Description;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("`DATA/admin-token` holds the first one")).build();
        openapi.components.get_or_insert_default().add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// A response contains the request's fields plus more. Request schemas forbid unknown fields, so we copy the fields in instead of using
/// `$ref`.
fn open_views(document: &mut Value) {
    fn open(value: &mut Value, schemas: &serde_json::Map<String, Value>) {
        match value {
            Value::Object(fields) => {
                for part in fields.get_mut("allOf").and_then(Value::as_array_mut).into_iter().flatten() {
                    let referred = part["$ref"].as_str().and_then(|reference| schemas.get(reference.rsplit('/').next()?));
                    if let Some(Value::Object(mut opened)) = referred.filter(|schema| schema["additionalProperties"] == false).cloned() {
                        opened.shift_remove("additionalProperties");
                        *part = opened.into();
                    }
                }
                fields.values_mut().for_each(|value| open(value, schemas));
            }
            Value::Array(items) => items.iter_mut().for_each(|value| open(value, schemas)),
            _ => {}
        }
    }
    let Some(schemas) = document.pointer("/components/schemas").and_then(Value::as_object).cloned() else { return };
    open(document, &schemas);
}

/// The description of these routes as JSON. `described` holds what their handlers say.
pub fn describe(routes: &[Route], described: OpenApiDocument) -> Value {
    let mut description = Description::openapi();
    description.merge(described);
    let mut document = serde_json::to_value(description).unwrap_or_default();
    // The routes say which operation needs which scope, and nothing else does.
    for route in routes {
        let operation = document.pointer_mut(&format!(
            "/paths/{}/{}",
            route.path.replace('~', "~0").replace('/', "~1"),
            route.method.as_str().to_lowercase()
        ));
        let Some(operation) = operation else { continue };
        operation["operationId"] = serde_json::json!(operation_id(route));
        if let Some(scope) = route.scope {
            operation["security"] = serde_json::json!([{ "token": [] }]);
            operation["x-scope"] = serde_json::json!(scope);
            let responses = operation["responses"].as_object_mut();
            if let Some(responses) = responses {
                let problem = |description: &str| serde_json::json!({ "description": description, "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/ProblemDetails" } } } });
                responses.insert("401".to_owned(), problem("no token, or one nobody knows"));
                responses.insert("403".to_owned(), problem("the token lacks the scope"));
                responses
                    .insert("429".to_owned(), problem("the token made as many requests as it may; `Retry-After` says when to try again"));
                responses.entry("400".to_owned()).or_insert_with(|| problem("not valid"));
            }
        }
    }
    open_views(&mut document);
    links::add(&mut document, routes);
    document
}

#[cfg(test)]
mod tests {
    use super::super::router::{description, routes};

    #[test]
    fn every_route_is_described_and_every_description_is_a_route() {
        let mut described = Vec::new();
        for (path, operations) in description()["paths"].as_object().into_iter().flatten() {
            described.extend(operations.as_object().into_iter().flatten().map(|(method, _)| format!("{} {path}", method.to_uppercase())));
        }
        let mut routed: Vec<_> = routes().iter().map(|route| format!("{} {}", route.method, route.path)).collect();
        described.sort();
        routed.sort();
        assert_eq!(described, routed);
    }
}
