//! `/openapi-arcgis.json`: the OpenAPI description of ArcGIS's APIs.

use serde_json::{Map, Value, json};

use crate::{
    server::{
        request::Asked,
        respond::{Answer, ok},
    },
    services::Services,
};

/// An operation: method, path below the context, what it does, its parameters.
type Operation = (&'static str, &'static str, &'static str, &'static [&'static str]);

/// Parameters of an organization webhook.
const ORGANIZATION: &[&str] = &["name", "url", "secret", "config", "changes", "events"];
/// Parameters of a service webhook.
const SERVICE: &[&str] = &["name", "hookUrl", "changeTypes", "signatureKey", "contentType", "payloadFormat", "active", "scheduleInfo"];
const SETTINGS: &[&str] = &["notificationAttempts", "notificationTimeOutInSeconds", "notificationElapsedTimeInSeconds"];
const SERVICE_SETTINGS: &[&str] =
    &["notificationAttempts", "notificationTimeOutInSeconds", "notificationElapsedTimeInSeconds", "numberOfFailures", "daysInPast"];
const PAGE: &[&str] = &["start", "num", "sortField", "sortOrder"];

const OPERATIONS: [Operation; 32] = [
    ("get", "/sharing/rest", "The directory", &[]),
    ("get", "/sharing/rest/info", "Where tokens are got", &[]),
    (
        "post",
        "/sharing/rest/generateToken",
        "A token that ends by itself, for a token's name and the token",
        &["username", "password", "expiration"],
    ),
    ("get", "/sharing/rest/community/self", "Whose token it is", &[]),
    ("get", "/sharing/rest/portals/{portal}", "The portal: `self`", &[]),
    ("get", "/sharing/rest/portals/{portal}/webhooks", "Organization webhooks", PAGE),
    ("post", "/sharing/rest/portals/{portal}/webhooks/createWebhook", "Create one", ORGANIZATION),
    ("get", "/sharing/rest/portals/{portal}/webhooks/settings", "What holds for all of them", &[]),
    ("post", "/sharing/rest/portals/{portal}/webhooks/settings/update", "Set it", SETTINGS),
    ("get", "/sharing/rest/portals/{portal}/webhooks/{webhook}", "One of them", &[]),
    ("post", "/sharing/rest/portals/{portal}/webhooks/{webhook}/update", "Change it", ORGANIZATION),
    ("post", "/sharing/rest/portals/{portal}/webhooks/{webhook}/activate", "Switch it on", &[]),
    ("post", "/sharing/rest/portals/{portal}/webhooks/{webhook}/deactivate", "Switch it off", &[]),
    ("post", "/sharing/rest/portals/{portal}/webhooks/{webhook}/delete", "Delete it", &[]),
    ("get", "/sharing/rest/portals/{portal}/webhooks/{webhook}/notificationStatus", "What was delivered", PAGE),
    ("post", "/sharing/rest/portals/{portal}/webhooks/{webhook}/notificationStatus", "The same", PAGE),
    ("post", "/admin/generateToken", "A token that ends by itself", &["username", "password", "expiration"]),
    ("get", "/admin/services", "Services and folders", &[]),
    ("get", "/admin/services/webhooks/settings", "What holds for all service webhooks", &[]),
    ("post", "/admin/services/webhooks/settings", "Set it", SERVICE_SETTINGS),
    ("get", "/admin/services/{folder}", "Services of a folder", &[]),
    ("get", "/admin/services/{folder}/{service}", "A service. Without its folder where it is in none, here and below", &[]),
    ("get", "/admin/services/{folder}/{service}/webhooks", "Its webhooks", &[]),
    ("post", "/admin/services/{folder}/{service}/webhooks/create", "Create one", SERVICE),
    ("post", "/admin/services/{folder}/{service}/webhooks/deleteAll", "Delete all", &[]),
    ("post", "/admin/services/{folder}/{service}/webhooks/activateAll", "Switch all on", &[]),
    ("post", "/admin/services/{folder}/{service}/webhooks/deactivateAll", "Switch all off", &[]),
    ("get", "/admin/services/{folder}/{service}/webhooks/{webhook}", "One of them", &[]),
    ("post", "/admin/services/{folder}/{service}/webhooks/{webhook}/edit", "Change it", SERVICE),
    ("post", "/admin/services/{folder}/{service}/webhooks/{webhook}/delete", "Delete it", &[]),
    ("get", "/admin/services/{folder}/{service}/webhooks/{webhook}/notificationStatus", "What failed", &[]),
    ("post", "/admin/services/{folder}/{service}/webhooks/{webhook}/notificationStatus", "The same", &[]),
];

fn description() -> Value {
    let mut paths = Map::new();
    for (method, path, summary, parameters) in OPERATIONS {
        let path = format!("/{{context}}{path}");
        let in_path = path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
        let schema = |name| match name {
            "context" => json!({ "type": "string", "pattern": "^[A-Za-z0-9._~-]{1,64}$" }),
            _ => json!({ "type": "string" }),
        };
        let mut listed: Vec<_> =
            in_path.map(|name| json!({ "name": name, "in": "path", "required": true, "schema": schema(name) })).collect();
        let format = json!({ "type": "string", "enum": ["html", "json", "pjson"], "default": "html" });
        listed.extend(["f", "token"].map(|name| {
            let schema = if name == "f" { format.clone() } else { json!({ "type": "string" }) };
            json!({ "name": name, "in": "query", "required": false, "schema": schema })
        }));
        let mut operation = json!({
            "summary": summary,
            "operationId": format!("{method}{}", path.replace(['{', '}'], "").replace('/', "_")),
            "responses": responses(method),
        });
        if method == "get" {
            listed.extend(
                parameters.iter().map(|name| json!({ "name": name, "in": "query", "required": false, "schema": { "type": "string" } })),
            );
        } else {
            let fields: Map<_, _> = parameters.iter().map(|name| ((*name).to_owned(), json!({ "type": "string" }))).collect();
            let schema = json!({ "type": "object", "properties": fields });
            operation["requestBody"] = json!({ "content": { "application/x-www-form-urlencoded": { "schema": schema } } });
        }
        operation["parameters"] = json!(listed);
        paths.entry(path).or_insert_with(|| json!({}))[method] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Hookwright, ArcGIS's webhooks", "version": env!("CARGO_PKG_VERSION"), "description": "Organization and service webhooks as ArcGIS Enterprise's REST APIs have them" },
        "paths": paths,
    })
}

/// The answers of an operation: JSON, or an HTML page with `f=html`, which is the default.
fn responses(method: &str) -> Value {
    let content = json!({ "application/json": { "schema": { "type": "object" } }, "text/html": { "schema": { "type": "string" } } });
    let answer = |description: &str| json!({ "description": description, "content": content });
    let mut answers = json!({
        "200": answer("what was asked for, or with `f=json` `{\"error\":{\"code\",\"message\",\"details\"}}`"),
        "303": { "description": "on to the page that shows it, or to the form where one logs in" },
        "400": answer("not valid"), "401": answer("no token, or one that ended"), "403": answer("the token does not allow it"),
        "404": answer("there is no such thing"),
    });
    // If the first segment cannot be a context, none of these APIs answers, but the router.
    answers["404"]["content"]["application/problem+json"] = json!({ "schema": { "type": "object" } });
    if method == "post" {
        answers["409"] = answer("it is as it cannot be changed");
        answers["413"] = answer("too large");
    }
    answers
}

/// Get the description of ArcGIS's APIs.
#[utoipa::path(get, path = "/openapi-arcgis.json", tag = "health", responses((status = 200, description = "OpenAPI 3.1", body = Object)))]
pub async fn document(_services: Services, _asked: Asked) -> Answer {
    ok(&description())
}
