//! Requests that only look show no more than a GET with the same token would, sign nothing with real keys, and have no side effects.

use std::collections::BTreeSet;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hookwright_tests::{
    Client, Endpoint, FORM, Script, TestHost, client::succeeded, files, guests::guest, run, signature::hmac_sha256, unique,
};
use http::Method;
use serde_json::{Value, json};

use crate::access::{filled, operations, tokens};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// A client whose token has only these scopes.
async fn token(host: &TestHost, scopes: &[&str]) -> Client {
    let (status, made) = host.client.post("/v1/tokens", &json!({ "name": unique("looks"), "scopes": scopes })).await;
    assert_eq!(status, 201, "{made}");
    host.client.with_token(made["token"].as_str())
}

/// A host that keeps the word `canary` in everything it may keep, and an endpoint that answers with it.
async fn told() -> (TestHost, Endpoint) {
    let host = TestHost::start().await;
    let (client, endpoint) = (&host.client, Endpoint::start().await);
    endpoint.always(Script::json(json!({ "customer": "canary-answer" })).header("x-internal", "canary-answer-header"));
    client.secret("key", "a key of this test").await;
    client.secret("granted", "another key of this test").await;
    let request = json!({ "url": endpoint.url("/canary-path?sig=canary-query"), "headers": { "x-tenant": "canary-header" }, "body": { "note": "canary-body" } });
    let signing = json!({ "scheme": "github", "secrets": ["$secret:key"] });
    client.webhook("w", json!({ "selectors": ["look.*"], "request": request, "signing": signing })).await;
    client.script("fails", "export function transform() { throw new Rejected('canary-failure'); }").await;
    client.webhook("f", json!({ "selectors": ["look.*"], "transform": "fails", "request": { "url": endpoint.url("/canary-path") } })).await;
    client
        .script("p", "export const transform = (d, e) => ({ body: e[0].data });\nexport const receive = () => JSON.stringify(['first']);")
        .await;
    client.put("/v1/plugins/p/config", &json!({ "k": "canary-config" })).await;
    client.grant("p", json!({ "state": true, "secrets": ["granted"], "triggers": ["canary.granted"] })).await;
    client.webhook("canary-user", json!({ "transform": "p", "request": { "url": endpoint.url("/canary-path") } })).await;
    client.patch("/v1/sessions/s/parameters", &json!({ "pin": "canary-session" })).await;
    (host, endpoint)
}

/// Requests that change something, with their routes.
fn deeds() -> Vec<(&'static str, Method, String, Value)> {
    let post = |route: &'static str, path: &str, body: Value| (route, Method::POST, path.to_owned(), body);
    let put = |route: &'static str, path: &str, body: Value| (route, Method::PUT, path.to_owned(), body);
    let event = json!({ "trigger": "look.new", "data": { "n": 1 } });
    vec![
        post("/v1/events", "/v1/events", event.clone()),
        post("/v1/events", "/v1/events?wait=20s", event.clone()),
        post("/v1/events", "/v1/events?wait=20s", json!([event, event])),
        post("/v1/events", "/v1/events?wait=20s", json!({ "trigger": "look.new", "data": {}, "session": "s" })),
        post("/v1/webhooks/{name}/invoke", "/v1/webhooks/w/invoke", json!({ "session": "s" })),
        post("/v1/webhooks/{name}/invoke", "/v1/webhooks/f/invoke", json!({})),
        post("/v1/webhooks/{name}/invoke", "/v1/webhooks/none/invoke", json!({})),
        put("/v1/plugins/{name}", "/v1/plugins/p?activate=false", json!(null)),
        put("/v1/plugins/{name}", "/v1/plugins/new", json!(null)),
        put("/v1/plugins/{name}/config", "/v1/plugins/new/config", json!({ "a": 1 })),
        put("/v1/plugins/{name}/rollback", "/v1/plugins/p/rollback", json!(null)),
        post("/v1/plugins/{name}/try", "/v1/plugins/p/try", json!({ "event": { "trigger": "a.b" } })),
        post("/v1/plugins/{name}/try", "/v1/plugins/p/try?version=2", json!({ "invocation": {} })),
        post("/v1/plugins/{name}/try", "/v1/plugins/new/try", json!({ "invocation": { "session": "s" } })),
        post("/v1/plugins/{name}/compare", "/v1/plugins/p/compare", json!({ "version": 2 })),
        post("/v1/plugins/{name}/activate", "/v1/plugins/p/activate", json!({ "version": 2 })),
        post("/v1/plugins/{name}/rollback", "/v1/plugins/p/rollback", json!({})),
        post("/v1/plugins/{name}/resume", "/v1/plugins/p/resume", json!({})),
        ("/v1/plugins/{name}", Method::DELETE, "/v1/plugins/p".to_owned(), json!(null)),
        ("/v1/plugins/{name}", Method::DELETE, "/v1/plugins/new".to_owned(), json!(null)),
    ]
}

/// A plugin that returns everything it is given.
const TELLS: &str = "export const transform = () => ({ body: [hookwright.config, hookwright.state.get('k')] });\n\
    export const receive = () => JSON.stringify([hookwright.config, hookwright.state.get('k'), hookwright.getParameter?.('pin')]);\n";

#[test]
fn what_a_change_is_answered_with_shows_nothing_a_get_would_refuse() {
    run(async {
        let (host, endpoint) = told().await;
        // Compare with the description, so that no route is forgotten.
        let described = host.client.look("/openapi.json").await;
        let mut untried = BTreeSet::new();
        for (path, operations) in described["paths"].as_object().into_iter().flatten() {
            for (method, operation) in operations.as_object().into_iter().flatten().filter(|(method, _)| *method != "get") {
                let scope = operation["x-scope"].as_str().unwrap_or("admin");
                let is_tried = deeds().iter().any(|(route, tried, ..)| route == path && tried.as_str().eq_ignore_ascii_case(method));
                if !["admin", "read"].contains(&scope) && !is_tried {
                    untried.insert(format!("{method} {path}"));
                }
            }
        }
        assert_eq!(untried, BTreeSet::new());

        let mut allowed = 0;
        for scope in ["events:write", "invoke", "plugins:write", "webhooks:organization", "publish:server"] {
            let client = token(&host, &[scope]).await;
            for get in ["/v1/webhooks/w", "/v1/deliveries", "/v1/plugins/p", "/v1/sessions/s/parameters"] {
                assert_eq!(client.get(get).await.0, 403, "{scope} {get}");
            }
            for (_, method, path, body) in deeds() {
                let is_upload = method == Method::PUT && body.is_null() && !path.ends_with("/rollback");
                let (headers, body) = match is_upload {
                    true => ([("content-type", "text/javascript")], TELLS.to_owned()),
                    false => (JSON, body.to_string()),
                };
                let answered = client.send(method.clone(), &path, &headers, body).await;
                allowed += usize::from(answered.status < 300);
                assert!(!answered.text().contains("canary"), "{scope}: {method} {path} shows {}", answered.text());
                assert!(
                    !answered.text().contains("sha256=") || path.contains("/plugins/"),
                    "{scope}: {method} {path} shows {}",
                    answered.text()
                );
            }
        }
        assert!(allowed >= 12, "only {allowed} of them were allowed at all");
        assert!(endpoint.seen().len() >= 5, "what was shown was sent, too");
    });
}

/// An admin's webhooks at the vendors' addresses. The word `canary` is in everything that may be a credential, and in what was sent and
/// answered. Returns the values for `{webhook}` in ArcGIS's two APIs, and for all names in Dialogflow's.
async fn told_by_vendors(client: &Client, endpoint: &Endpoint) -> ([String; 2], [(&'static str, String); 5]) {
    let service = json!({ "capabilities": ["Update", "ChangeTracking"] });
    succeeded("PUT", "a service", client.put("/v1/services/Hosted/Water.FeatureServer", &service).await);
    client.secret("crown", "canary-secret").await;
    let url = endpoint.url("/p?sig=canary-query");
    let request = json!({ "url": url, "headers": { "x-key": "canary-header" } });
    let with =
        json!({ "request": request, "auth": { "kind": "bearer", "token": "$secret:crown" }, "signing": { "secrets": ["$secret:crown"] } });
    let of = |more: Value| {
        let mut document = with.clone();
        document.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
        document
    };
    client.webhook("items", of(json!({ "profile": "arcgis-organization", "selectors": ["/items"] }))).await;
    let source = "/services/Hosted/Water.FeatureServer";
    client.webhook("water", of(json!({ "profile": "arcgis-feature", "selectors": ["FeaturesCreated"], "sources": [source] }))).await;
    let event = json!({ "trigger": "/items/abc/update", "data": { "username": "canary-name", "userId": "1", "properties": {} } });
    let accepted = client.event(event).await;
    assert_eq!(accepted["deliveries"][0]["state"], "delivered", "{accepted}");
    let mut ids = Vec::new();
    for name in ["items", "water"] {
        ids.push(client.look(&format!("/v1/webhooks/{name}")).await["id"].as_str().expect("an id").to_owned());
    }

    let agent = "/v3/projects/p/locations/global/agents/a";
    let with = |path: &str| json!({ "uri": endpoint.url(path), "username": "u", "password": "canary-password", "requestHeaders": { "x-key": "canary-header" } });
    let webhook = json!({ "displayName": "orders", "genericWebService": with("/h?sig=canary-query") });
    let made = succeeded("POST", "a webhook", client.post(&format!("{agent}/webhooks"), &webhook).await);
    let overrides = json!([{ "name": made["name"], "genericWebService": with("/staged?sig=canary-staged") }]);
    let environment = json!({ "displayName": "QA", "webhookConfig": { "webhookOverrides": overrides } });
    succeeded("POST", "an environment", client.post(&format!("{agent}/environments"), &environment).await);
    let own = made["name"].as_str().and_then(|name| name.rsplit('/').next()).expect("a name").to_owned();
    let names =
        [("{project}", "p"), ("{location}", "global"), ("{agent}", "a"), ("{environment}", "qa")].map(|(at, name)| (at, name.to_owned()));
    let [project, location, agent, environment] = names;
    (ids.try_into().expect("two"), [project, location, agent, environment, ("{webhook}", own)])
}

#[test]
fn vendors_addresses_show_no_value_and_change_nothing_for_who_is_no_administrator() {
    run(async {
        let host = TestHost::start().await;
        let (client, endpoint) = (&host.client, Endpoint::start().await);
        endpoint.always(Script::json(json!({ "customer": "canary-answer" })));
        let ([items, water], dialogflow) = told_by_vendors(client, &endpoint).await;
        let dialogflow: Vec<_> = dialogflow.iter().map(|(at, name)| (*at, name.as_str())).collect();
        let kept = async || {
            let mut kept = vec![client.look("/v1/webhooks").await];
            for name in ["items", "water", dialogflow[4].1] {
                kept.push(client.look(&format!("/v1/webhooks/{name}?reveal=true")).await);
            }
            kept
        };
        let before = kept().await;
        assert!(before[1..].iter().all(|webhook| webhook.to_string().contains("canary-query")), "{before:?}");
        let mut addresses = Vec::new();
        for document in ["/openapi-arcgis.json", "/openapi-v3.json"] {
            for (method, path, _) in operations(&client.look(document).await) {
                if document == "/openapi-v3.json" {
                    addresses.push((method, filled(&path, &dialogflow)));
                    continue;
                }
                let id = if path.contains("/portals/") { &items } else { &water };
                let at = filled(&path, &[("{webhook}", id)]);
                addresses.extend(["json", "pjson", "html"].map(|format| (method.clone(), format!("{at}?f={format}"))));
            }
        }
        let (mut answers, mut shown) = (0, 0);
        for (scope, client) in tokens(&host).await.into_iter().filter(|(scope, _)| scope != "admin") {
            for (method, at) in &addresses {
                // ArcGIS's paths also take a GET: it shows a form and does nothing.
                for method in [method.clone(), Method::GET] {
                    let (header, body) = if at.contains("?f=") { (FORM, "url=x&hookUrl=x") } else { (JSON[0], "{}") };
                    let body = if method == Method::GET { "" } else { body };
                    let answered = client.send(method.clone(), at, &[header], body).await;
                    answers += 1;
                    shown += usize::from(answered.status == 200 && !answered.text().contains("\"error\""));
                    assert!(!answered.text().contains("canary"), "`{scope}`: {method} {at} shows {}", answered.text());
                }
            }
        }
        assert!(answers > 1_000 && shown > 100, "{answers} answers, {shown} that show something");
        assert_eq!(kept().await, before, "nothing was changed");
    });
}

#[test]
fn a_wait_says_how_it_went_and_shows_it_to_who_may_read() {
    run(async {
        let (host, _endpoint) = told().await;
        let event = json!({ "trigger": "look.new", "data": {} });
        let (status, answer) = token(&host, &["events:write"]).await.post("/v1/events?wait=20s", &event).await;
        assert_eq!(status, 200, "{answer}");
        let mut outcomes: Vec<_> = answer["deliveries"].as_array().expect("deliveries").clone();
        outcomes.sort_by_key(|outcome| outcome["webhook"].to_string());
        for (outcome, (webhook, state, http_status, kind)) in
            outcomes.iter().zip([("f", "refused", json!(null), json!("plugin_rejected")), ("w", "delivered", json!(200), json!(null))])
        {
            let expected =
                json!({ "id": outcome["id"], "webhook": webhook, "state": state, "http_status": http_status, "failure_kind": kind });
            assert_eq!(outcome, &expected);
            assert_eq!(host.client.delivery(outcome["id"].as_str().expect("an id")).await["state"], state);
        }
        assert_eq!(outcomes.len(), 2);
        let (_, answer) = token(&host, &["events:write", "read"]).await.post("/v1/events?wait=20s", &event).await;
        let text = answer.to_string();
        for shown in ["canary-path", "canary-body", "canary-answer", "canary-failure"] {
            assert!(text.contains(shown), "{shown} is shown to readers: {text}");
        }
        for hidden in ["canary-query", "canary-header", "sha256="] {
            assert!(!text.contains(hidden), "{hidden} is shown to readers: {text}");
        }
    });
}

#[test]
fn an_invoke_gives_its_result_and_tells_readers_why_it_failed() {
    run(async {
        let (host, _endpoint) = told().await;
        host.client.patch("/v1/webhooks/w", &json!({ "bindings": { "c": "$.customer" } })).await;
        let client = token(&host, &["invoke"]).await;
        let (_, answer) = client.post("/v1/webhooks/w/invoke", &json!({ "session": "s" })).await;
        assert_eq!(
            (&answer["state"], &answer["parameters"]),
            (&json!("delivered"), &json!({ "c": "canary-answer" })),
            "what it set is its result"
        );
        let (_, failed) = client.post("/v1/webhooks/f/invoke", &json!({})).await;
        assert_eq!((&failed["failure"]["kind"], failed.to_string().contains("canary")), (&json!("plugin_rejected"), false), "{failed}");
        let (_, failed) = token(&host, &["invoke", "read"]).await.post("/v1/webhooks/f/invoke", &json!({})).await;
        assert!(failed["failure"]["detail"].to_string().contains("canary-failure"), "{failed}");
    });
}

#[test]
fn a_preview_signs_for_admins_alone() {
    run(async {
        let host = TestHost::start().await;
        let (client, endpoint, key) = (&host.client, Endpoint::start().await, "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        client.secret("key", &format!("whsec_{key}")).await;
        client.script("signs", "export const transform = (d, e) => ({ body: e[0].data, headers: { 'x-my-proof': hookwright.hmacSha256('key', JSON.stringify(e[0].data)).toHex() } });").await;
        client.grant("signs", json!({ "secrets": ["key"] })).await;
        let request = json!({ "url": endpoint.url("/"), "body": "$event.data", "content_type": "application/json" });
        let form = json!({ "url": endpoint.url("/"), "body": "{\"amount\":$event.data.amount,\"to\":\"$event.data.to\"}", "content_type": "application/x-www-form-urlencoded" });
        for (name, document) in [
            ("standard-webhooks", json!({ "request": request, "signing": { "secrets": ["$secret:key"] } })),
            ("github", json!({ "request": request, "signing": { "scheme": "github", "secrets": ["$secret:key"] } })),
            ("esri-service", json!({ "request": request, "signing": { "scheme": "esri-service", "secrets": ["$secret:key"] } })),
            ("esri-form", json!({ "request": form, "signing": { "scheme": "esri-service", "secrets": ["$secret:key"] } })),
            ("plugin", json!({ "request": { "url": endpoint.url("/") }, "transform": "signs" })),
        ] {
            client.webhook(name, document).await;
        }
        let reader = token(&host, &["read"]).await;
        let data = json!({ "data": { "amount": 1_000_000, "to": "me" } });
        for name in ["standard-webhooks", "github", "esri-service", "esri-form", "plugin"] {
            let path = format!("/v1/webhooks/{name}/preview");
            // Every signature of the body with the key, in every encoding.
            let proofs = |preview: &Value| {
                let request = &preview["request"];
                let body = request["body"].as_str().expect("a body");
                let payload = body.strip_prefix("payload=").map_or(body, |body| body.split('&').next().unwrap_or_default());
                let texts = [
                    payload.to_owned(),
                    format!(
                        "{}.{}.{payload}",
                        request["headers"]["webhook-id"].as_str().unwrap_or_default(),
                        request["headers"]["webhook-timestamp"].as_str().unwrap_or_default()
                    ),
                ];
                let keys = [format!("whsec_{key}").into_bytes(), BASE64_STANDARD.decode(key).expect("Base64")];
                let macs = texts.iter().flat_map(|text| keys.iter().map(|key| hmac_sha256(key, text.as_bytes())));
                macs.flat_map(|mac| {
                    [
                        hex::encode(mac),
                        BASE64_STANDARD.encode(mac),
                        BASE64_STANDARD.encode(mac).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D"),
                    ]
                })
                .collect::<Vec<_>>()
            };
            let (status, seen) = reader.post(&path, &data).await;
            assert_eq!((status, &seen["failure"]), (200, &json!(null)), "{seen}");
            for proof in proofs(&seen) {
                assert!(!seen.to_string().contains(&proof), "{name}: a reader is shown {proof} in {seen}");
            }
            let (_, seen) = client.post(&path, &data).await;
            let text = seen.to_string();
            assert!(proofs(&seen).iter().any(|proof| text.contains(proof)), "{name}: an admin sees the request as it is sent: {seen}");
        }
        // The recorded request has no signature; otherwise a token that may post and read could have anything signed.
        for name in ["github", "esri-form"] {
            assert_eq!(client.invoke(name, data.clone()).await["state"], "delivered");
            let sent = endpoint.next_request().await;
            let signature = match name {
                "github" => sent.header("x-hub-signature-256").trim_start_matches("sha256=").to_owned(),
                _ => sent.text().rsplit('=').next().unwrap_or_default().to_owned(),
            };
            let page = client.look(&format!("/v1/deliveries?limit=1&webhook={name}")).await;
            let kept = client.delivery(page["data"][0]["id"].as_str().expect("an id")).await.to_string();
            assert!(kept.contains("(redacted)") && kept.contains("1000000"), "{kept}");
            assert!(signature.len() > 40 && !kept.contains(&signature), "{signature} is kept in {kept}");
        }
        assert_eq!(endpoint.seen().len(), 2, "a preview sends nothing");
    });
}

#[test]
fn values_from_references_are_shown_and_what_the_document_spells_out_is_not() {
    run(async {
        let host = TestHost::start().await;
        let (client, endpoint) = (&host.client, Endpoint::start().await);
        let url = endpoint.url("/p/$session.params.f?f=$session.params.f&sig=canary-query&both=canary$session.params.f&$session.params.f=canary-named&made=$sys.func.UPPER($session.params.f)");
        let headers = json!({ "x-f": "$session.params.f", "x-key": "canary-header" });
        let auth = json!({ "kind": "headers", "headers": { "x-auth": "canary-auth", "x-auth-f": "$session.params.f" } });
        let environments = json!({ "test": { "request": { "headers": { "x-env": "canary-environment" } } } });
        let document = json!({ "request": { "url": url, "headers": headers, "body": { "f": "$session.params.f" } }, "auth": auth, "environments": environments });
        client.webhook("w", document).await;
        let with = json!({ "parameters": { "f": "pomme d'api&x=1" } });
        let reader = token(&host, &["read"]).await;
        let (_, seen) = reader.post("/v1/webhooks/w/preview", &with).await;
        let request = &seen["request"];
        let value = "pomme%20d%27api%26x%3D1";
        let shown = endpoint.url(&format!("/p/{value}?f={value}&sig=redacted&both=redacted&{value}=redacted&made=redacted"));
        assert_eq!(request["url"], json!(shown));
        assert_eq!((&request["headers"]["x-f"], &request["headers"]["x-key"]), (&json!("pomme d'api&x=1"), &json!("(redacted)")));
        assert_eq!(request["headers"]["x-auth-f"], "(redacted)", "credentials are shown to nobody");
        assert!(request["body"].to_string().contains("pomme"), "{request}");
        assert!(!seen.to_string().contains("canary"), "{seen}");
        // A reader sees the attempt as it is stored.
        assert_eq!(client.invoke("w", with.clone()).await["state"], "delivered");
        assert!(endpoint.next_request().await.path.contains("sig=canary-query"), "and what was sent is whole");
        let page = client.look("/v1/deliveries?limit=1&webhook=w").await;
        let kept = client.delivery(page["data"][0]["id"].as_str().expect("an id")).await;
        assert_eq!((&kept["attempt_log"][0]["request"]["url"], kept.to_string().contains("canary")), (&json!(shown), false), "{kept}");
        // An admin sees headers, and the query if he asks for it; the audit log records that.
        let (_, seen) = client.post("/v1/webhooks/w/preview", &with).await;
        assert_eq!(
            (&seen["request"]["headers"]["x-key"], seen.to_string().contains("canary-query")),
            (&json!("canary-header"), false),
            "{seen}"
        );
        let notes = async || client.look("/v1/audit?kind=webhook&name=w").await["data"].as_array().map_or(0, Vec::len);
        let before = notes().await;
        let (_, seen) = client.post("/v1/webhooks/w/preview?reveal=true", &with).await;
        assert!(seen["request"]["url"].as_str().is_some_and(|url| url.contains("sig=canary-query")), "{seen}");
        assert_eq!(notes().await, before + 1, "what is revealed is in the audit log");
        assert_eq!(reader.post("/v1/webhooks/w/preview?reveal=true", &with).await.0, 403);
        // A credential in a path is redacted as well, except for an admin who asks for it.
        for (name, path) in [
            ("own", "/base/api/v1/webhook/CANARYCODE0123456789ABCD?x=1"),
            ("slack", "/services/T0/B0/CANARYCODE"),
            ("unguessable", "/bot1234:CANARYCODEa1B2c3D4e5F6g7H8/sendMessage"),
        ] {
            client.webhook(name, json!({ "request": { "url": endpoint.url(path) } })).await;
            assert_eq!(client.invoke(name, json!({})).await["state"], "delivered");
            assert_eq!(endpoint.next_request().await.path, path);
            let page = client.look(&format!("/v1/deliveries?limit=1&webhook={name}")).await;
            let delivery = format!("/v1/deliveries/{}", page["data"][0]["id"].as_str().expect("an id"));
            let document = format!("/v1/webhooks/{name}");
            for path in [&*document, "/v1/webhooks", &delivery] {
                for seen in [reader.look(path).await, client.look(path).await] {
                    assert!(!seen.to_string().contains("CANARYCODE"), "{path}: {seen}");
                }
            }
            assert!(!client.look("/v1/audit").await.to_string().contains("CANARYCODE"), "{name}");
            assert!(!reader.post(&format!("{document}/preview"), &json!({})).await.1.to_string().contains("CANARYCODE"));
            let shown = client.look(&document).await["request"]["url"].clone();
            let (status, refused) = client.patch(&document, &json!({ "request": { "url": shown } })).await;
            assert_eq!((status, &refused["errors"][0]["pointer"]), (400, &json!("/request/url")), "{refused}");
        }
        // The document itself, for both.
        for path in ["/v1/webhooks", "/v1/webhooks/w"] {
            let document = reader.look(path).await.to_string();
            assert!(!document.contains("canary") && document.contains("$session.params.f"), "{document}");
        }
        let document = client.look("/v1/webhooks/w").await;
        assert_eq!(document["request"]["headers"]["x-key"], "canary-header", "an admin writes it back as it is");
        for (pointer, patch) in [
            ("/request/headers/x-key", json!({ "request": { "headers": { "x-key": "(redacted)" } } })),
            ("/auth/headers/x-auth", json!({ "auth": { "headers": { "x-auth": "(redacted)" } } })),
        ] {
            let (status, refused) = client.patch("/v1/webhooks/w", &patch).await;
            assert_eq!((status, &refused["errors"][0]["pointer"]), (400, &json!(pointer)), "{refused}");
        }
    });
}

#[test]
fn a_preview_counts_for_nothing_and_leaves_nothing() {
    run(async {
        let host = TestHost::start().await;
        let (client, endpoint) = (&host.client, Endpoint::start().await);
        let source = |version: u32| {
            format!(
                "export function transform(d, e) {{ const f = (n) => n > 0 ? 1 + f(n - 1) : 0; if (e[0].data?.loop) for (;;); f(e[0].data?.depth ?? 0); \
                 hookwright.state.set('k', {version}); return {{ body: {{ v: {version} }} }}; }}"
            )
        };
        client.grant("t", json!({ "state": true })).await;
        client.script("t", &source(1)).await;
        client.webhook("w", json!({ "selectors": ["x.y"], "transform": "t", "request": { "url": endpoint.url("/") } })).await;
        client.script("t", &source(2)).await;
        assert_eq!(client.put("/v1/plugins/t/limits", &json!({ "cpu_ms": 60, "wall_ms": 5000 })).await.0, 200);
        let kept = async || {
            let plugin = client.look("/v1/plugins/t").await;
            let [deliveries, calls, events, audit] = ["/v1/deliveries", "/v1/calls", "/v1/events", "/v1/audit"];
            let mut all = vec![json!({ "active": plugin["active"], "breaker": plugin["breaker"] })];
            for path in [deliveries, calls, events, audit] {
                all.push(client.look(path).await["data"].clone());
            }
            all
        };
        let figures = async || {
            let text = client.send(Method::GET, "/metrics", &[], "").await.text();
            let counted = |line: &&str| line.contains("\"t\"") || line.contains("\"w\"");
            text.lines().filter(counted).map(str::to_owned).collect::<Vec<_>>()
        };
        let reader = token(&host, &["read"]).await;
        let (before, counted) = (kept().await, figures().await);
        for _ in 0..12 {
            let (_, seen) = reader.post("/v1/webhooks/w/preview", &json!({ "data": { "loop": true } })).await;
            assert_eq!(seen["failure"]["kind"], "plugin_cpu", "{seen}");
        }
        for _ in 0..2 {
            let (_, seen) = reader.post("/v1/webhooks/w/preview", &json!({ "data": {}, "session": "s", "parameters": { "p": 1 } })).await;
            assert_eq!(seen["request"]["body"], "{\"v\":2}", "{seen}");
        }
        assert_eq!((kept().await, figures().await), (before, counted), "twelve previews that fail change nothing");
        // The circuit breaker stays closed, too: the next event is delivered.
        let accepted = client.event(json!({ "trigger": "x.y", "data": {} })).await;
        assert_eq!(accepted["deliveries"][0]["state"], "delivered", "{accepted}");
    });
}

#[test]
fn a_previewed_plugin_is_given_an_empty_directory_of_its_own() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        client.plugin("d", guest("reads_files")).await;
        client.grant("d", json!({ "directory": true })).await;
        client.webhook("w", json!({ "transform": "d", "request": { "url": "https://h.example/" } })).await;
        let directory = host.data().join("plugin-data/d");
        std::fs::create_dir_all(&directory).expect("a directory");
        std::fs::write(directory.join("canary-file"), "x").expect("a file");
        let (_, seen) = token(&host, &["read"]).await.post("/v1/webhooks/w/preview", &json!({ "data": {} })).await;
        let body: Value = serde_json::from_str(seen["request"]["body"].as_str().expect("a body")).expect("JSON");
        assert_eq!(body["directories"]["/data"], "", "{seen}");
        let kept: Vec<_> = files(&directory).into_iter().map(|(path, _)| path).collect();
        assert_eq!(kept, [directory.join("canary-file")]);
    });
}

#[test]
fn a_session_lives_no_longer_for_being_looked_at() {
    run(async {
        let host = TestHost::start().await;
        let (client, endpoint) = (&host.client, Endpoint::start().await);
        let auth = json!({ "kind": "headers", "headers": { "x-key": "$session.params.p" } });
        client.webhook("w", json!({ "request": { "url": endpoint.url("/?p=$session.params.p") }, "auth": auth })).await;
        client.patch("/v1/sessions/s/parameters", &json!({ "p": 1 })).await;
        for _ in 0..3 {
            host.advance(std::time::Duration::from_secs(12 * 60));
            client.post("/v1/webhooks/w/preview", &json!({ "session": "s" })).await;
            client.parameters("s").await;
        }
        assert_eq!(client.parameters("s").await, json!({}), "36 minutes after its last use it is over");
    });
}

#[test]
fn a_tried_plugin_is_given_no_key_and_nothing_that_is_kept() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        client.secret("sec", "a key of this test").await;
        client.script("p", "export const receive = () => hookwright.hmacSha256('sec', 'forged').toHex();\n").await;
        client.grant("p", json!({ "secrets": ["sec"] })).await;
        let proof = hex::encode(hmac_sha256(b"a key of this test", b"forged"));
        let with = json!({ "invocation": {} });
        for scopes in [&["plugins:write"][..], &["plugins:write", "read"]] {
            let (status, tried) = token(&host, scopes).await.post("/v1/plugins/p/try", &with).await;
            assert_eq!(status, 200, "{tried}");
            let made = tried["reply"]["body"].as_str().expect("a body").to_owned();
            assert!(made.len() == proof.len() && made != proof, "{scopes:?}: {tried}");
        }
        let (_, tried) = client.post("/v1/plugins/p/try", &with).await;
        assert_eq!(tried["reply"]["body"], json!(proof), "an admin may use the key anyway");
        // Trying a plugin with a configuration or a state needs `read`.
        client.put("/v1/plugins/p/config", &json!({ "k": 1 })).await;
        assert_eq!(token(&host, &["plugins:write"]).await.post("/v1/plugins/p/try", &with).await.0, 403);
        assert_eq!(token(&host, &["plugins:write", "read"]).await.post("/v1/plugins/p/try", &with).await.0, 200);
    });
}
