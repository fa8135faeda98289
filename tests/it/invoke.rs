//! `invoke`, `preview` and `test`: the whole pipeline of one webhook, now.

use hookwright_tests::{Endpoint, Gate, Script, run, shared, unique};
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[test]
fn an_invoke_merges_sends_binds_and_tells() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        endpoint.next(Script::json(json!({ "routes": [{ "legs": [{ "distance": { "value": 1200 } }] }], "tags": ["a", "b"] })));
        let (name, session) = (unique("route"), unique("session"));
        let webhook = json!({
            "request": { "method": "PUT", "url": endpoint.url("/h?f=$session.params.fruit"), "body": { "size": "$session.params.size", "gone": "$session.params.gone" } },
            "bindings": { "distance": "$.routes[0].legs[0].distance.value", "tags": "$.tags[*]", "missing": "$.none" },
        });
        client.webhook(&name, webhook).await;
        let invoked = client.invoke(&name, json!({ "session": session, "parameters": { "fruit": "red apple", "size": 3 } })).await;
        let received = endpoint.next_request().await;
        assert_eq!((received.method.as_str(), received.path.as_str()), ("PUT", "/h?f=red%20apple"));
        assert_eq!(received.json(), json!({ "size": 3, "gone": null }));
        assert_eq!(
            (&invoked["state"], &invoked["http_status"], &invoked["error_event"], &invoked["attempts"]),
            (&json!("delivered"), &json!(200), &Value::Null, &json!(1))
        );
        assert_eq!(invoked["parameters"], json!({ "distance": 1200, "tags": ["a", "b"] }));
        assert_eq!((&invoked["unmatched"], &invoked["output"]), (&json!(["missing"]), &Value::Null));
        assert!(invoked["unset"].to_string().contains("gone"), "{invoked}");
        assert_eq!(client.parameters(&session).await, json!({ "fruit": "red apple", "size": 3, "distance": 1200, "tags": ["a", "b"] }));
        let delivery = client.delivery(invoked["delivery"].as_str().expect("an id")).await;
        assert_eq!((&delivery["state"], &delivery["attempt_log"][0]["parameters"]["distance"]), (&json!("delivered"), &json!(1200)));
    });
}

#[test]
fn a_failed_invoke_names_the_event_an_agent_knows() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let name = unique("failing");
        let mut webhook = json!({ "profile": "dialogflow-flexible", "request": { "url": endpoint.url("/") }, "timeout_ms": 100 });
        client.webhook(&name, webhook.clone()).await;
        for (status, event) in [
            (400, "webhook.error.bad-request"),
            (401, "webhook.error.rejected"),
            (403, "webhook.error.rejected"),
            (404, "webhook.error"),
            (500, "webhook.error"),
            (503, "webhook.error.unavailable"),
        ] {
            endpoint.next(Script::status(status));
            let invoked = client.invoke(&name, json!({})).await;
            assert_eq!(
                (&invoked["state"], &invoked["error_event"], &invoked["http_status"], &invoked["attempts"]),
                (&json!("failed"), &json!(event), &json!(status), &json!(1)),
                "{invoked}"
            );
        }
        let gate = Gate::new();
        endpoint.always(Script::status(200).behind(&gate));
        let invoked = client.invoke(&name, json!({})).await;
        assert_eq!(
            (&invoked["error_event"], &invoked["failure"]["kind"], &invoked["attempts"]),
            (&json!("webhook.error.timeout"), &json!("timeout"), &json!(2)),
            "one automatic retry after no answer: {invoked}"
        );
        gate.open();
        endpoint.always(Script::status(200).body("no JSON"));
        let mut binding = webhook.clone();
        binding["bindings"] = json!({ "x": "$.x" });
        client.webhook(&name, binding).await;
        let invoked = client.invoke(&name, json!({})).await;
        assert_eq!(
            (&invoked["error_event"], &invoked["failure"]["kind"]),
            (&json!("webhook.error"), &json!("response_invalid")),
            "{invoked}"
        );
        endpoint.always(Script::status(200).body("x".repeat(64 * 1024 + 1)));
        let invoked = client.invoke(&name, json!({})).await;
        assert_eq!(
            (&invoked["error_event"], &invoked["failure"]["kind"], &invoked["attempts"]),
            (&json!("webhook.error"), &json!("response_too_large"), &json!(1)),
            "{invoked}"
        );
        let gone = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
        webhook["request"]["url"] = json!(format!("http://{gone}/"));
        client.webhook(&name, webhook).await;
        let invoked = client.invoke(&name, json!({})).await;
        assert_eq!((&invoked["error_event"], &invoked["attempts"]), (&json!("webhook.error.not-found"), &json!(2)), "{invoked}");
    });
}

#[test]
fn a_failed_invoke_is_told_to_whoever_selects_its_event() {
    run(async {
        let client = &shared().await.client;
        let (endpoint, told) = (Endpoint::start().await, Endpoint::start().await);
        let name = unique("told");
        let body = json!({ "trigger": "$event.trigger", "data": "$event.data" });
        let filter = format!("$[?@.webhook == '{name}']");
        client
            .webhook(
                &format!("{name}-watch"),
                json!({ "selectors": ["webhook.error.*"], "filter": filter, "request": { "url": told.url("/"), "body": body } }),
            )
            .await;
        client.webhook(&name, json!({ "profile": "dialogflow-flexible", "request": { "url": endpoint.url("/") } })).await;
        endpoint.always(Script::status(503));
        let invoked = client.invoke(&name, json!({})).await;
        let received = told.next_request().await.json();
        assert_eq!(received["trigger"], "webhook.error.unavailable");
        assert_eq!(
            received["data"],
            json!({ "webhook": name, "delivery": invoked["delivery"], "http_status": 503, "failure": "http_status" })
        );
    });
}

#[test]
fn every_method_is_sent_and_only_some_take_a_body() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let name = unique("method");
        for (method, takes_body) in
            [("POST", true), ("PUT", true), ("PATCH", true), ("GET", false), ("HEAD", false), ("DELETE", false), ("OPTIONS", false)]
        {
            let mut request = json!({ "method": method, "url": endpoint.url("/m?q=$session.params.q") });
            if takes_body {
                request["body"] = json!({ "q": "$session.params.q" });
            }
            client.webhook(&name, json!({ "request": request })).await;
            let invoked = client.invoke(&name, json!({ "parameters": { "q": 1 } })).await;
            assert_eq!(invoked["state"], "delivered", "{method}: {invoked}");
            let received = endpoint.next_request().await;
            assert_eq!((received.method.as_str(), received.path.as_str()), (method, "/m?q=1"));
            assert_eq!(received.text(), if takes_body { "{\"q\":1}" } else { "" }, "{method}");
            if !takes_body {
                request["body"] = json!({});
                let (status, problem) = client.put(&format!("/v1/webhooks/{name}"), &json!({ "request": request })).await;
                assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!("/request/body")), "{method}: {problem}");
            }
        }
    });
}

#[test]
fn an_environment_has_an_address_and_credentials_of_its_own() {
    run(async {
        let client = &shared().await.client;
        let (production, staging) = (Endpoint::start().await, Endpoint::start().await);
        let name = unique("environment");
        for secret in ["prod", "stage"] {
            client.secret(&format!("{name}-{secret}"), secret).await;
        }
        let webhook = json!({
            "selectors": ["environment.*"], "sources": [name],
            "request": { "url": production.url("/p"), "headers": { "x-a": "a", "x-b": "b" }, "body": {} },
            "auth": { "kind": "basic", "username": "u", "password": format!("$secret:{name}-prod") },
            "environments": { "staging": { "request": { "url": staging.url("/s"), "headers": { "x-b": null } }, "auth": { "kind": "bearer", "token": format!("$secret:{name}-stage") } } },
        });
        client.webhook(&name, webhook).await;
        client.invoke(&name, json!({})).await;
        let received = production.next_request().await;
        assert_eq!((received.header("x-b"), received.header("authorization")), ("b", "Basic dTpwcm9k"));
        client.invoke(&name, json!({ "environment": "staging" })).await;
        let received = staging.next_request().await;
        assert_eq!(
            (received.path.as_str(), received.header("x-a"), received.header("x-b"), received.header("authorization")),
            ("/s", "a", "", "Bearer stage")
        );
        client.event(json!({ "trigger": "environment.made", "source": name, "environment": "staging", "data": {} })).await;
        staging.next_request().await;
        // An environment without overrides uses the webhook itself.
        client.invoke(&name, json!({ "environment": "other" })).await;
        assert_eq!(production.next_request().await.path, "/p");
    });
}

#[test]
fn an_invoke_without_a_session_still_knows_its_parameters() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let name = unique("bare");
        client.webhook(&name, json!({ "request": { "url": endpoint.url("/"), "body": { "x": "$session.params.x", "d": "$event.data.d", "tag": "$request.tag" } } })).await;
        client.invoke(&name, json!({ "parameters": { "x": [1] }, "data": { "d": true }, "context": { "tag": "t" } })).await;
        let received = endpoint.next_request().await.json();
        assert_eq!((&received["x"], &received["d"]), (&json!([1]), &json!(true)));
    });
}

#[test]
fn a_preview_is_the_exact_request_and_sends_nothing() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let (name, session) = (unique("preview"), unique("session"));
        client.secret("preview-key", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").await;
        client.secret("preview-token", "canary-preview").await;
        let webhook = json!({
            "request": { "url": endpoint.url("/p?q=$session.params.q"), "headers": { "x-q": "$session.params.q" }, "body": { "q": "$session.params.q", "u": "$session.params.u" } },
            "signing": { "secrets": ["$secret:preview-key"] },
            "auth": { "kind": "bearer", "token": "$secret:preview-token" },
        });
        client.webhook(&name, webhook).await;
        let (status, preview) =
            client.post(&format!("/v1/webhooks/{name}/preview"), &json!({ "session": session, "parameters": { "q": "a&b" } })).await;
        assert_eq!(status, 200, "{preview}");
        let request = &preview["request"];
        assert_eq!(
            (&request["method"], &request["headers"]["x-q"], &request["body"]),
            (&json!("POST"), &json!("a&b"), &json!(r#"{"q":"a&b","u":null}"#))
        );
        assert!(request["headers"]["webhook-signature"].as_str().is_some_and(|signature| signature.starts_with("v1,")), "{request}");
        assert!(!preview.to_string().contains("canary"), "{preview}");
        assert!(preview["unset"].to_string().contains('u'));
        assert_eq!(client.parameters(&session).await, json!({}), "nothing is merged");
        assert!(endpoint.seen().is_empty());
    });
}

#[test]
fn a_test_sends_a_test_and_what_cannot_be_invoked_is_refused() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let name = unique("tested");
        client
            .webhook(&name, json!({ "request": { "url": endpoint.url("/"), "body": "$event.data", "content_type": "application/json" } }))
            .await;
        let (status, tested) = client.post(&format!("/v1/webhooks/{name}/test"), &json!({})).await;
        assert_eq!((status, &tested["state"]), (200, &json!("delivered")), "{tested}");
        assert_eq!(endpoint.next_request().await.json(), json!({ "test": true }));
        assert_eq!(client.post("/v1/webhooks/no-such-webhook/invoke", &json!({})).await.0, 404);
        client.post(&format!("/v1/webhooks/{name}/deactivate"), &json!({})).await;
        assert_eq!(client.post(&format!("/v1/webhooks/{name}/invoke"), &json!({})).await.0, 409);
        assert_eq!(
            client.post(&format!("/v1/webhooks/{name}/invoke"), &json!({ "sesion": "x" })).await.1["errors"][0]["pointer"],
            "/sesion"
        );
    });
}
