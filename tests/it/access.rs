//! Who may make which request, derived from the descriptions that the host serves. A new route cannot be forgotten, because every route
//! is described.

use hookwright_tests::{Client, TestHost, run};
use http::Method;
use serde_json::{Value, json};

/// Paths that need no token. Everything else in the description must refuse a request without one.
const PUBLIC: [&str; 5] = ["/healthz", "/readyz", "/openapi.json", "/openapi-arcgis.json", "/openapi-v3.json"];
/// The same for ArcGIS's paths: the overview, and where tokens are generated.
const PUBLIC_ARCGIS: [&str; 5] = [
    "/{context}/sharing/rest",
    "/{context}/sharing/rest/info",
    "/{context}/sharing/rest/portals/{portal}",
    "/{context}/sharing/rest/generateToken",
    "/{context}/admin/generateToken",
];
/// The ArcGIS path that any token may use.
const ANY_TOKEN_ARCGIS: &str = "/{context}/sharing/rest/community/self";
/// The list of services.
const DIRECTORY_ARCGIS: [&str; 3] =
    ["/{context}/admin/services", "/{context}/admin/services/{folder}", "/{context}/admin/services/{folder}/{service}"];

/// Every scope, with a client whose token has only this scope.
pub async fn tokens(host: &TestHost) -> Vec<(String, Client)> {
    let described = host.client.look("/openapi.json").await;
    let scopes = described.pointer("/components/schemas/Scope/enum").and_then(Value::as_array).cloned().expect("the scopes");
    let mut tokens = Vec::new();
    for scope in scopes.iter().filter_map(Value::as_str) {
        let (status, made) = host.client.post("/v1/tokens", &json!({ "name": scope, "scopes": [scope] })).await;
        assert_eq!(status, 201, "{made}");
        tokens.push((scope.to_owned(), host.client.with_token(made["token"].as_str())));
    }
    assert!(tokens.len() >= 9, "{scopes:?}");
    tokens
}

/// Every operation of a description: method, path, and its document.
pub fn operations(described: &Value) -> Vec<(Method, String, Value)> {
    let mut found = Vec::new();
    for (path, operations) in described["paths"].as_object().into_iter().flatten() {
        for (method, operation) in operations.as_object().into_iter().flatten() {
            found.push((method.to_uppercase().parse().expect("a method"), path.clone(), operation.clone()));
        }
    }
    found
}

/// A path with every `{...}` filled in: with the value in `names`, or with the name of something that does not exist.
pub fn filled(path: &str, names: &[(&str, &str)]) -> String {
    let usual = [("{context}", "portal"), ("{portal}", "self"), ("{folder}", "Hosted"), ("{service}", "Water.FeatureServer")];
    let fill = |segment: &str| match names.iter().chain(&usual).find(|(name, _)| *name == segment) {
        Some((_, name)) => (*name).to_owned(),
        None if segment.starts_with('{') => "any".to_owned(),
        None => segment.to_owned(),
    };
    path.split('/').map(fill).collect::<Vec<_>>().join("/")
}

#[test]
fn every_described_route_refuses_without_a_token_and_with_every_wrong_scope() {
    run(async {
        let host = TestHost::start().await;
        let nobody = host.client.with_token(None);
        let tokens = tokens(&host).await;
        for document in ["/openapi.json", "/openapi-v3.json"] {
            let described = nobody.look(document).await;
            let (mut guarded, mut refusals) = (0, 0);
            for (method, path, operation) in operations(&described) {
                if PUBLIC.contains(&path.as_str()) {
                    continue;
                }
                guarded += 1;
                let wanted = operation["x-scope"].as_str().unwrap_or_else(|| panic!("{method} {path} says no scope"));
                let at = filled(&path, &[]);
                let answered = nobody.send(method.clone(), &at, &[], "{}").await;
                assert_eq!(answered.status, 401, "{method} {path} without a token: {}", answered.text());
                for (scope, client) in tokens.iter().filter(|(scope, _)| scope != "admin" && scope != wanted) {
                    let answered = client.send(method.clone(), &at, &[], "{}").await;
                    assert_eq!(answered.status, 403, "{method} {path} with `{scope}`: {}", answered.text());
                    refusals += 1;
                }
            }
            assert!(guarded >= 20 && refusals >= guarded * 7, "{document}: {guarded} routes, {refusals} refusals");
            println!("{document}: {guarded} routes without a token, {refusals} times with a wrong scope");
        }
    });
}

#[test]
fn every_described_route_of_arcgis_refuses_too() {
    run(async {
        let host = TestHost::start().await;
        let service = json!({ "capabilities": ["ChangeTracking", "Sync", "Query"] });
        let (status, made) = host.client.put("/v1/services/Hosted/Water.FeatureServer", &service).await;
        assert!(status < 300, "{made}");
        let nobody = host.client.with_token(None);
        let tokens = tokens(&host).await;
        let described = nobody.look("/openapi-arcgis.json").await;
        let error = async |client: &Client, method: &Method, at: &str| {
            let answered = client.send(method.clone(), &format!("{at}?f=json"), &[], "").await;
            answered.json()["error"]["code"].as_u64().unwrap_or(answered.status.into())
        };
        let mut refusals = 0;
        for (method, path, _) in operations(&described).into_iter().filter(|(_, path, _)| !PUBLIC_ARCGIS.contains(&path.as_str())) {
            let at = filled(&path, &[]);
            assert_eq!(error(&nobody, &method, &at).await, 499, "{method} {path} without a token");
            assert_eq!(error(&host.client.with_token(Some("wrong")), &method, &at).await, 498, "{method} {path} with a wrong token");
            if path == ANY_TOKEN_ARCGIS {
                continue;
            }
            let right: &[&str] = match () {
                () if DIRECTORY_ARCGIS.contains(&path.as_str()) => {
                    &["admin", "read", "webhooks:feature", "webhooks:geoprocessing", "publish:server"]
                }
                () if path.contains("/portals/") => &["admin", "webhooks:organization"],
                () if path.ends_with("/services/webhooks/settings") => &["admin"],
                () => &["admin", "webhooks:feature"],
            };
            for (scope, client) in tokens.iter().filter(|(scope, _)| !right.contains(&scope.as_str())) {
                assert_eq!(error(client, &method, &at).await, 403, "{method} {path} with `{scope}`");
                refusals += 1;
            }
        }
        assert!(refusals > 100, "{refusals}");
    });
}
