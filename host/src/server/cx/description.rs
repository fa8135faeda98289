//! `/openapi-v3.json`: the description of `/v3` and `/v3beta1`, made from the routes and the messages.

use serde_json::{Map, Value, json};

use super::{PAGE_SIZE, PageSize, environments};
use crate::{model::cx, server::route::Route};

/// The description of these routes as JSON.
pub fn describe(routes: &[Route]) -> Value {
    let mut paths = Map::new();
    for route in routes {
        paths.entry(route.path).or_insert_with(|| json!({}))[route.method.as_str().to_lowercase()] = operation(route);
    }
    let mut schemas = cx::schemas();
    for (name, field, of) in [("ListWebhooksResponse", "webhooks", "Webhook"), ("ListEnvironmentsResponse", "environments", "Environment")]
    {
        let list = json!({ "type": "array", "items": schema(of) });
        let token = json!({ "type": "string", "description": "The `pageToken` of the next page; left out: this is the last." });
        schemas[name] = json!({ "type": "object", "properties": { field: list, "nextPageToken": token } });
    }
    // `google.protobuf.Any` in JSON: the message's fields, and its type.
    let mut any_of_environment = schemas["Environment"].clone();
    any_of_environment["properties"]["@type"] = json!({ "type": "string" });
    schemas["Operation"] = json!({
        "type": "object", "description": "`google.longrunning.Operation`: what is asked for is done when it is answered.",
        "properties": { "name": { "type": "string" }, "done": { "type": "boolean" }, "response": any_of_environment },
    });
    schemas["Error"] = json!({
        "type": "object", "description": "`google.rpc.Status`, as Google's HTTP APIs show it.",
        "properties": { "error": { "type": "object", "properties": {
            "code": { "type": "integer", "description": "The HTTP status." }, "message": { "type": "string" },
            "status": { "type": "string", "description": "A `google.rpc.Code`.", "examples": ["INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "UNAUTHENTICATED", "PERMISSION_DENIED"] },
            "details": { "type": "array", "items": { "type": "object" }, "description": "`google.rpc.BadRequest`: `fieldViolations` name each field." },
        } } },
    });
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Hookwright as Dialogflow CX", "version": env!("CARGO_PKG_VERSION"),
            "description": "Webhooks and environments of Dialogflow CX's API, over the webhooks of `/openapi.json`. Fields are taken in lowerCamelCase and in snake_case, and `null` is what is left out. Google's system parameters (`$alt`, `prettyPrint`, ...) are taken; `$alt=json;enum-encoding=int` shows enumerations as numbers.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": { "schemas": schemas, "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } } },
        "security": [{ "token": [] }],
    })
}

fn schema(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// What a route does. The last words of its path and its method say it.
fn operation(route: &Route) -> Value {
    let method = route.method.as_str();
    let is_one = route.path.ends_with('}');
    let (one, many) = if route.path.contains("/webhooks") { ("Webhook", "Webhooks") } else { ("Environment", "Environments") };
    let is_environment = one == "Environment";
    let (verb, what, says) = match (method, is_one) {
        ("GET", false) => ("list", many, format!("The {} of an agent", many.to_lowercase())),
        ("GET", true) => ("get", one, format!("One {}", one.to_lowercase())),
        ("POST", _) => ("create", one, format!("Create one {}; its name is made here", one.to_lowercase())),
        ("PATCH", _) => ("update", one, format!("Change the fields of `updateMask`, or all of one {}", one.to_lowercase())),
        _ => ("delete", one, format!("Delete one {}", one.to_lowercase())),
    };
    let answer = match verb {
        "list" => schema(&format!("List{many}Response")),
        "delete" => json!({ "type": "object", "maxProperties": 0 }),
        "create" | "update" if is_environment => schema("Operation"),
        _ => schema(one),
    };
    let version = route.path.split('/').nth(1).unwrap_or_default();
    let content = |schema: Value| json!({ "application/json": { "schema": schema } });
    let failure = |description: &str| json!({ "description": description, "content": content(schema("Error")) });
    let mut operation = json!({
        "operationId": format!("{version}_{verb}{what}"), "tags": [many.to_lowercase()], "summary": says,
        "parameters": parameters(route, verb, is_environment), "x-scope": route.scope,
        "responses": {
            "200": { "description": "done", "content": content(answer) },
            "400": failure("not valid: INVALID_ARGUMENT"), "401": failure("no token, or one nobody knows: UNAUTHENTICATED"),
            "403": failure("the token lacks the scope: PERMISSION_DENIED"),
        },
    });
    if is_one {
        operation["responses"]["404"] = failure("there is no such thing: NOT_FOUND");
    }
    if matches!(verb, "create" | "update") {
        operation["requestBody"] = json!({ "required": true, "content": content(schema(one)) });
        operation["responses"]["409"] = failure("the display name is taken: ALREADY_EXISTS");
    }
    operation
}

fn parameters(route: &Route, verb: &str, is_environment: bool) -> Value {
    let text = json!({ "type": "string" });
    let mut found: Vec<Value> = Vec::new();
    for word in route.path.split('/').filter_map(|word| word.strip_prefix('{')?.strip_suffix('}')) {
        found.push(json!({ "name": word, "in": "path", "required": true, "schema": text }));
    }
    let mut query = |name: &str, schema: &Value, says: &str| {
        found.push(json!({ "name": name, "in": "query", "schema": schema, "description": says }));
    };
    match verb {
        "list" => {
            let PageSize { default, max } = if is_environment { environments::PAGE_SIZE } else { PAGE_SIZE };
            query(
                "pageSize",
                &json!({ "type": "integer", "minimum": 0, "default": default }),
                &format!("At most {max}, whatever it says."),
            );
            query("pageToken", &text, "`nextPageToken` of the page before.");
        }
        "update" => query("updateMask", &text, "Fields by their paths, separated by commas; left out, or `*`: all."),
        "delete" if !is_environment => {
            query("force", &json!({ "type": "boolean", "default": false }), "Delete it though environments override it.");
        }
        _ => {}
    }
    json!(found)
}
