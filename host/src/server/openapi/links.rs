//! Links in the OpenAPI description (OpenAPI 3.1, "Link Object"): which request can follow an answer, and with which values of it. They
//! are derived from the paths; a table adds what paths do not show, where an answer names a thing of another kind.
//!
//! The links are for people who read the description, and for tests that follow them in chains of calls.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Map, Value, json};

use crate::server::route::{Route, operation_id};

/// Places where an answer names a thing of another kind: method, path, place, and the path of that kind.
const NAMED: [(Method, &str, &str, &str); 8] = [
    (Method::GET, "/v1/events/{id}", "/deliveries/0/id", "/v1/deliveries/{id}"),
    (Method::GET, "/v1/deliveries/{id}", "/event", "/v1/events/{id}"),
    (Method::GET, "/v1/deliveries/{id}", "/webhook", "/v1/webhooks/{name}"),
    (Method::GET, "/v1/calls/{id}", "/events/0", "/v1/events/{id}"),
    (Method::GET, "/v1/calls/{id}", "/receiver", "/v1/receivers/{name}"),
    (Method::POST, "/v1/webhooks/{name}/invoke", "/delivery", "/v1/deliveries/{id}"),
    (Method::POST, "/v1/webhooks/{name}/test", "/delivery", "/v1/deliveries/{id}"),
    (Method::GET, "/v1/actions/{name}", "/receivers/0", "/v1/receivers/{name}"),
];

/// Requests whose body is made from an answer: the paths of both, and the field.
const BODIES: [(&str, &str, &str); 1] = [("/v1/plugins/{name}", "/v1/plugins/{name}/activate", "version")];

/// Adds links to the successful answers in `document`.
pub(super) fn add(document: &mut Value, routes: &[Route]) {
    for from in routes {
        let links: Map<_, _> = routes.iter().filter_map(|to| Some((operation_id(to), link(from, to)?))).collect();
        if links.is_empty() {
            continue;
        }
        let place = format!("/paths/{}/{}/responses", from.path.replace('~', "~0").replace('/', "~1"), from.method.as_str().to_lowercase());
        let responses = document.pointer_mut(&place).and_then(Value::as_object_mut);
        let went_well = responses.into_iter().flatten().filter(|(status, answer)| status.starts_with('2') && answer["content"].is_object());
        for (_, answer) in went_well {
            answer["links"] = links.clone().into();
        }
    }
}

/// The link from an answer of `from` to the request `to`; `None`: nothing in the answer leads there.
fn link(from: &Route, to: &Route) -> Option<Value> {
    if std::ptr::eq(from, to) {
        return None;
    }
    let names = from_address(from, to).or_else(|| from_item(from, to)).or_else(|| from_table(from, to))?;
    let mut link = json!({ "operationId": operation_id(to), "parameters": names });
    if let Some((_, _, field)) = BODIES.iter().find(|(path, next, _)| from.method == Method::PUT && (from.path, to.path) == (*path, *next))
    {
        link["requestBody"] = json!({ *field: format!("$response.body#/{field}") });
    }
    Some(link)
}

type Names = BTreeMap<String, String>;

/// A link to the same thing, or to what belongs to it. It is named as in the request.
fn from_address(from: &Route, to: &Route) -> Option<Names> {
    // After a DELETE nothing is left to link to.
    let belongs = to.path == from.path || to.path.strip_prefix(from.path).is_some_and(|rest| rest.starts_with('/'));
    let (held, wanted) = (parameters(from.path), parameters(to.path));
    let is_led = from.method != Method::DELETE && belongs && !held.is_empty() && wanted == held;
    is_led.then(|| wanted.iter().map(|name| ((*name).to_owned(), format!("$request.path.{name}"))).collect())
}

/// A link to a thing that a POST created, or to the first entry of a list. The answer names it. Lists only lead to GET requests: a test
/// that follows links must not change an entry that it did not create.
fn from_item(from: &Route, to: &Route) -> Option<Names> {
    let rest = to.path.strip_prefix(from.path)?.strip_prefix("/{")?;
    let (own, _) = rest.split_once('}')?;
    let place = match (&from.method, &to.method) {
        (&Method::POST, _) => format!("$response.body#/{own}"),
        (&Method::GET, &Method::GET) => format!("$response.body#/data/0/{own}"),
        _ => return None,
    };
    let held = parameters(from.path);
    let wanted = parameters(to.path);
    if wanted.len() != held.len() + 1 {
        return None;
    }
    let name = |name: &&str| ((*name).to_owned(), if *name == own { place.clone() } else { format!("$request.path.{name}") });
    Some(wanted.iter().map(name).collect())
}

/// A link to a thing of another kind.
fn from_table(from: &Route, to: &Route) -> Option<Names> {
    let named = NAMED.iter().find(|(method, path, _, kind)| {
        *method == from.method
            && *path == from.path
            && to.path.strip_prefix(kind).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    let (_, _, place, kind) = named?;
    let (held, wanted) = (parameters(kind), parameters(to.path));
    (held == wanted).then(|| wanted.iter().map(|name| ((*name).to_owned(), format!("$response.body#{place}"))).collect())
}

fn parameters(path: &str) -> Vec<&str> {
    path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}')).collect()
}

#[cfg(test)]
mod tests {
    use crate::server::router::description;

    #[track_caller]
    fn leads(from: &str, to: &str, parameters: serde_json::Value) {
        let (method, rest) = from.split_once(' ').expect("a method");
        let (path, status) = rest.split_once(' ').expect("a status");
        let link = &description()["paths"][path][method]["responses"][status]["links"][to];
        assert_eq!(link["parameters"], parameters, "{from} -> {to}: {link}");
    }

    #[test]
    fn answers_lead_to_what_can_be_asked_next() {
        let name = || serde_json::json!({ "name": "$request.path.name" });
        leads("put /v1/webhooks/{name} 201", "post_webhooks_name_invoke", name());
        leads("put /v1/webhooks/{name} 201", "delete_webhooks_name", name());
        leads("post /v1/webhooks 201", "get_webhooks_name", serde_json::json!({ "name": "$response.body#/name" }));
        leads("post /v1/events 202", "get_events_id", serde_json::json!({ "id": "$response.body#/id" }));
        leads("get /v1/events/{id} 200", "post_deliveries_id_resend", serde_json::json!({ "id": "$response.body#/deliveries/0/id" }));
        leads("post /v1/webhooks/{name}/invoke 200", "get_deliveries_id", serde_json::json!({ "id": "$response.body#/delivery" }));
        let code = serde_json::json!({ "name": "$request.path.name", "id": "$response.body#/id" });
        leads("post /v1/receivers/{name}/codes 201", "delete_receivers_name_codes_id", code);
        leads("put /v1/plugins/{name} 201", "post_plugins_name_rollback", name());
        let activate = &description()["paths"]["/v1/plugins/{name}"]["put"]["responses"]["201"]["links"]["post_plugins_name_activate"];
        assert_eq!(activate["requestBody"]["version"], "$response.body#/version");
        let listed = &description()["paths"]["/v1/tokens"]["get"]["responses"]["200"];
        assert!(listed["links"].is_null(), "no list leads to taking away: {listed}");
    }
}
