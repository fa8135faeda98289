//! The API as a contract: its description, its errors, its pages, and that nothing is done without a token.

use hookwright_tests::{host::TOKEN, root, run, shared, unique, wait::within};
use http::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A path of a route with every `{...}` filled in.
fn filled(path: &str) -> String {
    path.split('/').map(|segment| if segment.starts_with('{') { "any" } else { segment }).collect::<Vec<_>>().join("/")
}

#[test]
fn no_admin_call_works_without_a_token() {
    run(async {
        let client = &shared().await.client;
        let mut guarded = 0;
        for route in hookwright::server::router::routes() {
            let path = filled(route.path);
            if route.scope.is_none() {
                assert!(
                    ["/healthz", "/readyz", "/openapi.json", "/openapi-arcgis.json", "/openapi-v3.json"].contains(&route.path),
                    "{} is open",
                    route.path
                );
                assert_eq!(client.with_token(None).send(route.method, &path, &[], "").await.status, 200);
                continue;
            }
            guarded += 1;
            for (token, headers) in [
                (None, &[][..]),
                (Some("wrong"), &[]),
                (None, &[("authorization", "Basic YWRtaW46YWRtaW4=")]),
                (None, &[("cookie", "token=x")]),
            ] {
                let answered = client.with_token(token).send(route.method.clone(), &path, headers, "{}").await;
                assert_eq!(answered.status, 401, "{} {path}", route.method);
                assert_eq!((answered.header("www-authenticate"), answered.header("content-type")), ("Bearer", "application/problem+json"));
            }
        }
        assert!(guarded > 40, "{guarded} guarded routes");
        // A token in the query does not count.
        let in_query = format!("/v1/webhooks?token={}", TOKEN);
        assert_eq!(client.with_token(None).get(&in_query).await.0, 401);
    });
}

#[test]
fn who_writes_a_long_body_before_reading_still_finds_the_refusal() {
    run(async {
        let host = shared().await;
        let long = "x".repeat(8 * 1024 * 1024);
        for (path, token, refused) in [("/v1/events", "wrong", 401), ("/v1/events", TOKEN, 413), ("/api/v1/webhook/unknown", TOKEN, 404)] {
            for declared in [true, false] {
                let mut stream = TcpStream::connect(host.address()).await.expect("a connection");
                let length = if declared { format!("content-length: {}", long.len()) } else { "transfer-encoding: chunked".to_owned() };
                let head = format!("POST {path} HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {token}\r\n{length}\r\n\r\n");
                let body = if declared { long.clone() } else { format!("{:x}\r\n{long}\r\n0\r\n\r\n", long.len()) };
                let mut answer = [0; 12];
                within("an answer after everything was written", async {
                    stream.write_all(head.as_bytes()).await?;
                    stream.write_all(body.as_bytes()).await?;
                    stream.read_exact(&mut answer).await
                })
                .await
                .expect("what is refused is taken all the same");
                assert_eq!(String::from_utf8_lossy(&answer), format!("HTTP/1.1 {refused}"), "{path}, declared: {declared}");
            }
        }
    });
}

#[test]
fn the_description_is_the_one_that_was_agreed() {
    run(async {
        let client = &shared().await.client;
        let described = client.with_token(None).look("/openapi.json").await;
        assert!(described["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")), "{}", described["openapi"]);
        let snapshot = root().join("tests/it/snapshots/openapi.json");
        let now = serde_json::to_string_pretty(&described).expect("JSON") + "\n";
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            std::fs::write(&snapshot, &now).expect("a writable repository");
        }
        let agreed = std::fs::read_to_string(&snapshot).unwrap_or_default();
        if let Some((line, (now, agreed))) = now.lines().zip(agreed.lines()).enumerate().find(|(_, (now, agreed))| now != agreed) {
            panic!("line {}: `{agreed}` is now `{now}`; if that is meant, run with UPDATE_SNAPSHOTS=1", line + 1);
        }
        assert_eq!(now.lines().count(), agreed.lines().count(), "if that is meant, run with UPDATE_SNAPSHOTS=1");
    });
}

/// Every `$ref` of the description leads somewhere, and every operation says what it answers when there is no token.
#[test]
fn the_description_is_whole() {
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let described = hookwright::server::router::description();
    for described in [described, hookwright::server::router::cx_description()] {
        let mut found = Vec::new();
        references(described, &mut found);
        assert!(!found.is_empty());
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} leads outside"));
            assert!(described.pointer(pointer).is_some(), "{reference} leads nowhere");
        }
    }
    for route in hookwright::server::router::routes().into_iter().filter(|route| route.scope.is_some()) {
        let operation = &described["paths"][route.path][route.method.as_str().to_lowercase()];
        assert!(operation["responses"]["401"].is_object() && operation["summary"].is_string(), "{} {}", route.method, route.path);
    }
}

/// A credential is a reference or the value itself, in every place that takes one.
#[test]
fn the_description_says_how_a_credential_is_given() {
    let described = hookwright::server::router::description();
    let credential = described.pointer("/components/schemas/Credential").expect("a schema");
    assert_eq!(credential["oneOf"][1]["required"], json!(["inline"]), "{credential}");
    let text = described.to_string();
    let places = text.matches("#/components/schemas/Credential\"").count();
    assert!(places >= 8, "{places} places");
    assert!(text.contains("#/components/schemas/HeaderCredential\""));
}

/// Dialogflow CX's addresses have a description of their own, open like the other.
#[test]
fn dialogflows_addresses_are_described_too() {
    run(async {
        let described = shared().await.client.with_token(None).look("/openapi-v3.json").await;
        assert_eq!(described["openapi"], "3.1.0");
        let mut operations = std::collections::BTreeSet::new();
        for route in hookwright::server::router::cx_routes() {
            let operation = &described["paths"][route.path][route.method.as_str().to_lowercase()];
            assert!(
                operation["responses"]["200"].is_object() && operation["responses"]["401"].is_object(),
                "{} {}",
                route.method,
                route.path
            );
            assert!(operations.insert(operation["operationId"].as_str().expect("an id").to_owned()), "{operation}");
        }
        let paths = described["paths"].as_object().expect("paths").values();
        assert_eq!(paths.map(|path| path.as_object().map_or(0, serde_json::Map::len)).sum::<usize>(), operations.len());
        let service = &described["components"]["schemas"]["GenericWebService"]["properties"];
        for field in [
            "uri",
            "requestHeaders",
            "secretVersionsForRequestHeaders",
            "allowedCaCerts",
            "oauthConfig",
            "webhookType",
            "httpMethod",
            "requestBody",
            "parameterMapping",
        ] {
            assert!(service[field].is_object(), "{field}: {service}");
        }
        assert_eq!(described["components"]["schemas"]["HttpMethod"]["enum"][1], "POST");
    });
}

#[test]
fn unknown_fields_are_refused_with_their_pointer_and_the_nearest_name() {
    run(async {
        let client = &shared().await.client;
        let url = "http://127.0.0.1:9/";
        for (method, path, document, pointer, near) in [
            (Method::PUT, "/v1/webhooks/x", json!({ "request": { "url": url }, "selector": [] }), "/selector", "selectors"),
            (Method::PUT, "/v1/webhooks/x", json!({ "request": { "url": url, "metod": "GET" } }), "/request/metod", "method"),
            (
                Method::PUT,
                "/v1/webhooks/x",
                json!({ "request": { "url": url }, "retry": { "atempts": 3, "gap_seconds": 5 } }),
                "/retry",
                "",
            ),
            (
                Method::PUT,
                "/v1/webhooks/x",
                json!({ "request": { "url": url }, "environments": { "e": { "request": { "ulr": "x" } } } }),
                "/environments/e/request/ulr",
                "",
            ),
            (Method::POST, "/v1/events", json!({ "trigger": "a", "dta": 1 }), "/dta", "data"),
            (Method::PUT, "/v1/receivers/x", json!({ "reply": { "mesage": "x" } }), "/reply/mesage", "message"),
            (Method::PUT, "/v1/secrets/x", json!({ "valeu": "x" }), "/valeu", "value"),
            (Method::POST, "/v1/receivers/x/codes", json!({ "caler": "x" }), "/caler", "caller"),
            (Method::POST, "/v1/plugins/slack/activate", json!({ "versoin": 1 }), "/versoin", "version"),
            (Method::POST, "/v1/webhooks/x/invoke", json!({ "parametres": {} }), "/parametres", "parameters"),
            (Method::PATCH, "/v1/profiles/standard", json!({ "timeout": 1 }), "/timeout", ""),
            (Method::PUT, "/v1/plugins/slack/grants", json!({ "trigger": ["*"] }), "/trigger", "triggers"),
        ] {
            let answered = client.send(method.clone(), path, &[("content-type", "application/json")], document.to_string()).await;
            let problem = answered.json();
            assert_eq!((answered.status, answered.header("content-type")), (400, "application/problem+json"), "{path}: {problem}");
            assert_eq!(problem["errors"][0]["pointer"], pointer, "{path}: {problem}");
            let detail = problem["errors"][0]["detail"].as_str().unwrap_or_default();
            assert!(detail.contains(near), "{path}: {detail}");
        }
    });
}

#[test]
fn errors_are_problem_details() {
    run(async {
        let client = &shared().await.client;
        let all = async |method: Method, path: &str, headers: &[(&str, &str)], body: &str| {
            client.send(method, path, headers, body.to_owned()).await
        };
        let json_type = [("content-type", "application/json")];
        for (answered, status) in [
            (all(Method::GET, "/v1/nowhere", &[], "").await, 404),
            (all(Method::GET, "/v1/webhooks/no-such", &[], "").await, 404),
            (all(Method::DELETE, "/v1/events", &[], "").await, 405),
            (all(Method::POST, "/v1/events", &json_type, "{").await, 400),
            (all(Method::POST, "/v1/events", &json_type, "{} {}").await, 400),
            (all(Method::POST, "/v1/events", &json_type, "7").await, 400),
            (all(Method::PUT, "/v1/plugins/x", &[("content-type", "text/plain")], "x").await, 415),
            (all(Method::GET, "/v1/events?limt=5", &[], "").await, 400),
            (all(Method::GET, "/v1/events?limit=0", &[], "").await, 400),
            (all(Method::GET, "/v1/events?limit=501", &[], "").await, 400),
            (all(Method::GET, "/v1/deliveries?state=lost", &[], "").await, 400),
        ] {
            let problem = answered.json();
            assert_eq!((answered.status, answered.header("content-type")), (status, "application/problem+json"), "{problem}");
            assert_eq!((&problem["status"], &problem["type"]), (&json!(status), &json!("about:blank")));
            assert!(problem["title"].is_string() && problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
        }
        assert_eq!(all(Method::DELETE, "/v1/events", &[], "").await.header("allow"), "GET, POST");
        let near = client.get("/v1/events?limt=5").await.1;
        assert!(near["errors"][0]["detail"].as_str().is_some_and(|detail| detail.contains("`limit`")), "{near}");
        let head = all(Method::HEAD, "/v1/webhooks", &[], "").await;
        assert_eq!((head.status, head.body.len()), (200, 0));
    });
}

#[test]
fn lists_come_in_pages() {
    run(async {
        let client = &shared().await.client;
        let source = unique("paged");
        client.webhook(&source, json!({ "selectors": ["paged.word"], "sources": [source], "retry": { "attempts": 0, "gap_seconds": 1 }, "request": { "url": "http://127.0.0.1:9/" } })).await;
        let events: Vec<_> = (0..5).map(|n| json!({ "trigger": "paged.word", "source": source, "data": n })).collect();
        client.post("/v1/events?wait=50s", &json!(events)).await;
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let page = client.look(&format!("/v1/deliveries?webhook={source}&limit=2{after}")).await;
            let data = page["data"].as_array().expect("data");
            assert!(data.len() <= 2);
            seen.extend(data.iter().map(|one| one["id"].clone()));
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        assert_eq!(seen.len(), 5);
        seen.sort_by_key(ToString::to_string);
        seen.dedup();
        assert_eq!(seen.len(), 5, "no page repeats another");
        client.webhook(&format!("{source}-2"), json!({ "request": { "url": "http://127.0.0.1:9/" } })).await;
        let page = client.look("/v1/webhooks?limit=1").await;
        assert_eq!((page["data"].as_array().map(Vec::len), page["next"].is_string()), (Some(1), true));
        let two = client.look("/v1/events?limit=2").await;
        let seqs: Vec<_> = two["data"].as_array().expect("data").iter().map(|one| one["seq"].as_u64()).collect();
        assert!(seqs[0] > seqs[1], "newest first: {seqs:?}");
    });
}

#[test]
fn sessions_are_patched_by_name() {
    run(async {
        let client = &shared().await.client;
        let path = format!("/v1/sessions/{}/parameters", unique("patched"));
        assert_eq!(client.look(&path).await, json!({ "parameters": {} }));
        let (status, now) = client.patch(&path, &json!({ "a": 1, "b": { "x": 1, "y": 2 } })).await;
        assert_eq!((status, &now["parameters"]), (200, &json!({ "a": 1, "b": { "x": 1, "y": 2 } })));
        let (_, now) = client.patch(&path, &json!({ "a": null, "B": { "y": null, "z": 3 } })).await;
        assert_eq!(now["parameters"], json!({ "b": { "x": 1, "z": 3 } }));
        assert_eq!(client.patch(&path, &json!([1])).await.0, 400);
        assert_eq!(client.patch(&path, &json!({ "not a name": 1 })).await.0, 400);
        assert_eq!(client.delete(&path).await.0, 204);
        assert_eq!(client.look(&path).await, json!({ "parameters": {} }));
    });
}

#[test]
fn secrets_have_versions_and_no_value() {
    run(async {
        let client = &shared().await.client;
        let name = unique("versioned");
        let path = format!("/v1/secrets/{name}");
        assert_eq!(client.put(&path, &json!({ "value": "canary-1" })).await, (201, json!({ "name": name, "version": 1 })));
        assert_eq!(client.put(&path, &json!({ "value": "canary-2" })).await, (200, json!({ "name": name, "version": 2 })));
        let listed = client.look("/v1/secrets").await;
        let own = listed["data"].as_array().expect("secrets").iter().find(|one| one["name"] == name.as_str()).expect("ours");
        assert_eq!((&own["version"], own["versions"].as_array().map(Vec::len)), (&json!(2), Some(2)));
        assert!(!listed.to_string().contains("canary"));
        let (status, problem) = client.put(&path, &json!({ "value": "with newline\n" })).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!("/value")));
        assert_eq!(client.put(&path, &json!({ "value": "with newline\n", "raw": true })).await.0, 200);
        assert_eq!(client.put(&path, &json!({ "value": "" })).await.0, 400);
        client
            .webhook(
                &name,
                json!({ "request": { "url": "http://127.0.0.1:9/" }, "auth": { "kind": "bearer", "token": format!("$secret:{name}") } }),
            )
            .await;
        assert_eq!(client.delete(&path).await.0, 409);
        client.delete(&format!("/v1/webhooks/{name}")).await;
        assert_eq!(client.delete(&path).await.0, 204);
        assert_eq!(client.delete(&path).await.0, 404);
        // A fixed version stays in use after the secret got a newer one.
        let endpoint = hookwright_tests::Endpoint::start().await;
        client.secret(&name, "one").await;
        client.secret(&name, "two").await;
        for (reference, expected) in [(format!("$secret:{name}"), "Bearer two"), (format!("$secret:{name}@1"), "Bearer one")] {
            client
                .webhook(&name, json!({ "request": { "url": endpoint.url("/") }, "auth": { "kind": "bearer", "token": reference } }))
                .await;
            client.invoke(&name, json!({})).await;
            assert_eq!(endpoint.next_request().await.header("authorization"), expected);
        }
    });
}
