//! Webhooks: written, changed, deleted; and deliveries to endpoints that misbehave.

use std::time::Duration;

use hookwright_tests::{Client, Endpoint, Gate, Options, Script, TestHost, run, shared, unique, wait::eventually};
use http::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// A webhook that only takes events whose source is its own name.
fn to(url: &str, name: &str) -> Value {
    json!({ "selectors": ["*"], "sources": [name], "request": { "url": url } })
}

/// Posts one event for that webhook and returns its delivery after the first attempt.
async fn delivered(client: &Client, name: &str) -> Value {
    let accepted = client.event(json!({ "trigger": "something.happened", "source": name, "data": { "n": 1 } })).await;
    accepted["deliveries"][0].clone()
}

/// Waits until a delivery is in `state`, and returns it.
async fn in_state(client: &Client, id: &str, state: &str) -> Value {
    eventually(&format!("{id} is {state}"), || async {
        let delivery = client.delivery(id).await;
        (delivery["state"] == state).then_some(delivery)
    })
    .await
}

#[test]
fn a_webhook_is_created_shown_changed_and_deleted() {
    run(async {
        let client = &shared().await.client;
        let name = unique("life");
        let path = format!("/v1/webhooks/{name}");
        let document = json!({ "selectors": ["/items/share"], "labels": { "team": "gis" }, "request": { "url": "http://127.0.0.1:9/" } });
        let (status, created) = client.put(&path, &document).await;
        assert_eq!(
            (status, &created["name"], &created["profile"], &created["active"]),
            (201, &json!(name), &json!("standard"), &json!(true))
        );
        let (status, replaced) = client.put(&path, &document).await;
        assert_eq!((status, &replaced["id"], &replaced["created_at"]), (200, &created["id"], &created["created_at"]));

        let mut named = document.clone();
        named["name"] = json!(name);
        assert_eq!(client.post("/v1/webhooks", &named).await.0, 409);
        named["name"] = json!(unique("posted"));
        assert_eq!(client.post("/v1/webhooks", &named).await.0, 201);
        named["name"] = json!("another");
        assert_eq!(client.put(&path, &named).await.1["errors"][0]["pointer"], "/name");

        let (status, patched) =
            client.patch(&path, &json!({ "description": "changed", "labels": { "team": null, "area": "north" }, "timeout_ms": 500 })).await;
        assert_eq!((status, &patched["labels"], &patched["timeout_ms"]), (200, &json!({ "area": "north" }), &json!(500)));
        let merge = client.send(Method::PATCH, &path, &[("content-type", "application/merge-patch+json")], r#"{"timeout_ms":null}"#).await;
        assert_eq!((merge.status, merge.json().get("timeout_ms")), (200, None));
        let other = client.send(Method::PATCH, &path, &[("content-type", "application/json-patch+json")], "[]").await;
        assert_eq!(other.status, 415);
        assert_eq!(client.look(&path).await["description"], "changed");

        assert_eq!(client.delete(&path).await.0, 204);
        assert_eq!(client.get(&path).await.0, 404);
        assert_eq!(client.delete(&path).await.0, 404);
        assert_eq!(client.patch(&path, &json!({})).await.0, 404);
    });
}

#[test]
fn everything_wrong_with_a_webhook_is_said_when_it_is_written() {
    run(async {
        let client = &shared().await.client;
        let refused = async |document: Value, pointer: &str, says: &str| {
            let (status, problem) = client.put("/v1/webhooks/wrong", &document).await;
            assert_eq!(status, 400, "{document}");
            let found = problem["errors"].as_array().expect("errors").iter().find(|error| error["pointer"] == pointer);
            let detail = found.unwrap_or_else(|| panic!("{pointer} in {problem}"))["detail"].as_str().unwrap_or_default().to_owned();
            assert!(detail.contains(says), "{detail}");
        };
        let url = "http://127.0.0.1:9/";
        refused(json!({ "request": { "url": url }, "selectors": ["/items/x/shar"] }), "/selectors/0", "share").await;
        refused(json!({ "request": { "url": url }, "filter": "data.x" }), "/filter", "").await;
        refused(json!({ "request": { "url": "not a url" } }), "/request/url", "").await;
        refused(json!({ "request": { "url": "ftp://example.com/" } }), "/request/url", "https").await;
        refused(json!({ "request": { "url": "http://127.0.0.1:9/$secret:x" } }), "/request/url", "secret").await;
        refused(json!({ "request": { "url": "http://$session.params.host/" } }), "/request/url", "").await;
        refused(json!({ "request": { "url": url, "headers": { "authorization": "x" } } }), "/request/headers/authorization", "").await;
        refused(json!({ "request": { "url": url, "headers": { "webhook-id": "x" } } }), "/request/headers/webhook-id", "").await;
        refused(json!({ "request": { "url": url }, "bindings": { "distance": "routes[0]" } }), "/bindings/distance", "").await;
        refused(json!({ "request": { "url": url }, "profile": "standrad" }), "/profile", "standard").await;
        refused(json!({ "request": { "url": url }, "timeout_ms": 10 }), "/timeout_ms", "100").await;
        refused(json!({ "request": { "url": url }, "retry": { "attempts": 9, "gap_seconds": 5 } }), "/retry/attempts", "5").await;
        refused(json!({ "request": { "url": url }, "transform": "no-such-plugin" }), "/transform", "PUT /v1/plugins/").await;
        refused(
            json!({ "request": { "url": url }, "signing": { "scheme": "standard-webhooks", "secrets": ["$secret:none-such"] } }),
            "",
            "PUT /v1/secrets/",
        )
        .await;
    });
}

#[test]
fn what_a_webhook_leaves_out_comes_from_its_profile_live() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        endpoint.always(Script::status(500));
        let mut webhook = to(&endpoint.url("/"), "inherits");
        webhook["profile"] = json!("divalto");
        client.webhook("inherits", webhook).await;
        let (status, changed) =
            client.patch("/v1/profiles/divalto", &json!({ "retry": { "attempts": 1, "gap_seconds": 1 }, "timeout_ms": 5000 })).await;
        assert_eq!((status, &changed["timeout_ms"]["default"]), (200, &json!(5000)));
        assert_eq!(delivered(client, "inherits").await["state"], "failed", "one attempt, as the profile now says");
        let (status, problem) = client.patch("/v1/profiles/divalto", &json!({ "timeout_ms": 1 })).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!("/timeout_ms")));
        let host = host.restart().await;
        assert_eq!(host.client.look("/v1/profiles/divalto").await["timeout_ms"]["default"], 5000);
        let names: Vec<_> =
            host.client.look("/v1/profiles").await["data"].as_array().expect("a list").iter().map(|one| one["name"].clone()).collect();
        for name in [
            "standard",
            "arcgis-organization",
            "arcgis-geoprocessing",
            "arcgis-feature",
            "dialogflow-standard",
            "dialogflow-flexible",
            "divalto",
        ] {
            assert!(names.contains(&json!(name)), "{name}");
        }
    });
}

#[test]
fn without_a_body_or_a_transform_an_event_is_sent_as_standard_webhooks_suggests() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let name = unique("plain");
        client.webhook(&name, to(&endpoint.url("/hook?a=b"), &name)).await;
        let delivery = delivered(client, &name).await;
        let received = endpoint.next_request().await;
        assert_eq!(
            (received.method.as_str(), received.path.as_str(), received.header("content-type")),
            ("POST", "/hook?a=b", "application/json")
        );
        assert_eq!(received.header("webhook-id"), delivery["id"]);
        let body = received.json();
        assert_eq!((&body["type"], &body["data"]), (&json!("something.happened"), &json!({ "n": 1 })));
        assert!(body["timestamp"].as_str().is_some_and(|time| time.parse::<jiff::Timestamp>().is_ok()), "{body}");
        assert_eq!(body.as_object().map(|body| body.len()), Some(3), "{body}");
    });
}

#[test]
fn retries_after_503_with_the_same_id_and_the_same_bytes_until_it_is_delivered() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        endpoint.next(Script::status(503));
        endpoint.next(Script::status(500).body("broken"));
        client.webhook("retried", to(&endpoint.url("/"), "retried")).await;
        let first = delivered(client, "retried").await;
        assert_eq!((&first["state"], &first["attempts"]), (&json!("waiting"), &json!(1)));
        assert_eq!(first["last_attempt"]["failure"]["kind"], "http_status");
        let id = first["id"].as_str().expect("an id");
        let one = endpoint.next_request().await;
        host.advance(Duration::from_secs(6));
        let two = endpoint.next_request().await;
        let waiting = eventually("the second attempt is settled", || async {
            let delivery = client.delivery(id).await;
            (delivery["attempts"] == 2 && delivery["state"] == "waiting").then_some(delivery)
        })
        .await;
        assert_eq!(waiting["attempt_log"][1]["answer"]["body"], "broken");
        host.advance(Duration::from_secs(331));
        let three = endpoint.next_request().await;
        let done = in_state(client, id, "delivered").await;
        assert_eq!(done["attempts"], 3);
        for again in [&two, &three] {
            assert_eq!((again.header("webhook-id"), &again.body), (one.header("webhook-id"), &one.body));
        }
        assert_eq!(one.header("webhook-id"), id);
        let numbers: Vec<_> = done["attempt_log"].as_array().expect("attempts").iter().map(|attempt| attempt["number"].clone()).collect();
        assert_eq!(numbers, [1, 2, 3]);
    });
}

#[test]
fn a_delivery_fails_when_its_tries_are_used_up_and_a_resend_keeps_its_id() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        endpoint.always(Script::status(500));
        let mut webhook = to(&endpoint.url("/"), "short");
        webhook["retry"] = json!({ "attempts": 2, "gap_seconds": 1 });
        client.webhook("short", webhook).await;
        let first = delivered(client, "short").await;
        let id = first["id"].as_str().expect("an id");
        endpoint.next_request().await;
        host.advance(Duration::from_secs(1));
        endpoint.next_request().await;
        let failed = in_state(client, id, "failed").await;
        assert_eq!(failed["attempts"], 2);
        assert_eq!(client.post(&format!("/v1/deliveries/{id}/cancel"), &json!({})).await.0, 409);

        endpoint.always(Script::status(200));
        let (status, _) = client.post(&format!("/v1/deliveries/{id}/resend"), &json!({})).await;
        assert_eq!(status, 200);
        assert_eq!(endpoint.next_request().await.header("webhook-id"), id);
        in_state(client, id, "delivered").await;
        let failed = client.look("/v1/deliveries?state=failed").await;
        assert_eq!(failed["data"], json!([]));
        let all = client.look("/v1/deliveries?webhook=short&state=delivered").await;
        assert_eq!(all["data"][0]["id"], id);
    });
}

#[test]
fn a_waiting_delivery_can_be_cancelled_and_is_never_sent() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        endpoint.next(Script::status(500));
        client.webhook("cancelled", to(&endpoint.url("/"), "cancelled")).await;
        let first = delivered(client, "cancelled").await;
        let id = first["id"].as_str().expect("an id");
        endpoint.next_request().await;
        assert_eq!(client.post(&format!("/v1/deliveries/{id}/cancel"), &json!({})).await.1["state"], "cancelled");
        host.advance(Duration::from_secs(3600));
        // The next request belongs to the next event; the cancelled delivery would have come first.
        let next = delivered(client, "cancelled").await;
        assert_eq!(endpoint.next_request().await.header("webhook-id"), next["id"]);
        assert_eq!(client.delivery(id).await["state"], "cancelled");
    });
}

#[test]
fn a_redirect_is_a_failure_and_is_not_followed() {
    run(async {
        let client = &shared().await.client;
        let (endpoint, elsewhere) = (Endpoint::start().await, Endpoint::start().await);
        for status in [301, 302, 303, 307, 308] {
            endpoint.next(Script::status(status).header("location", &elsewhere.url("/stolen")));
            let name = unique("redirected");
            client.webhook(&name, to(&endpoint.url("/"), &name)).await;
            let delivery = delivered(client, &name).await;
            let failure = &delivery["last_attempt"]["failure"];
            assert_eq!(
                (&delivery["state"], &failure["kind"], &delivery["last_attempt"]["answer"]["status"]),
                (&json!("waiting"), &json!("http_status"), &json!(status))
            );
        }
        assert!(elsewhere.seen().is_empty());
    });
}

#[test]
fn an_answer_that_is_too_large_is_kept_as_far_as_the_limit() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let name = unique("large");
        let mut webhook = to(&endpoint.url("/"), &name);
        webhook["response_bytes_max"] = json!(1000);
        client.webhook(&name, webhook).await;
        endpoint.next(Script::status(200).body("x".repeat(1001)));
        let longer = delivered(client, &name).await;
        assert_eq!((&longer["state"], &longer["last_attempt"]["answer"]["truncated"]), (&json!("delivered"), &json!(true)));
        endpoint.next(Script::status(200).body("x".repeat(1000)));
        let exact = delivered(client, &name).await;
        assert_eq!((&exact["state"], &exact["last_attempt"]["answer"]["truncated"]), (&json!("delivered"), &json!(false)));
        assert_eq!(exact["last_attempt"]["answer"]["body"], longer["last_attempt"]["answer"]["body"]);
    });
}

#[test]
fn an_endpoint_that_does_not_answer_in_time_is_a_timeout() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let gate = Gate::new();
        endpoint.always(Script::status(200).behind(&gate));
        let name = unique("late");
        let mut webhook = to(&endpoint.url("/"), &name);
        webhook["timeout_ms"] = json!(100);
        client.webhook(&name, webhook).await;
        let delivery = delivered(client, &name).await;
        assert_eq!((&delivery["state"], &delivery["last_attempt"]["failure"]["kind"]), (&json!("waiting"), &json!("timeout")));
        gate.open();
    });
}

#[test]
fn nobody_there_a_name_nobody_has_and_no_http_are_failures_of_their_own() {
    run(async {
        let client = &shared().await.client;
        let failure = async |url: &str| {
            let name = unique("unreachable");
            client.webhook(&name, to(url, &name)).await;
            delivered(client, &name).await["last_attempt"]["failure"]["kind"].as_str().unwrap_or_default().to_owned()
        };
        // A port that was free a moment ago.
        let gone = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
        assert_eq!(failure(&format!("http://{gone}/")).await, "connect_failed");
        assert_eq!(failure("https://no-such-host.invalid/").await, "name_not_resolved");
        let babble = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = babble.local_addr().expect("an address");
        tokio::spawn(async move {
            use tokio::io::AsyncWriteExt;
            while let Ok((mut stream, _)) = babble.accept().await {
                drop(stream.write_all(b"220 mail.example ESMTP\r\n").await);
            }
        });
        assert_eq!(failure(&format!("http://{address}/")).await, "response_broken");
        assert_eq!(failure(&format!("https://{address}/")).await, "tls_failed");
    });
}

#[test]
fn bindings_need_a_json_answer() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        endpoint.next(Script::status(200).body("<html>"));
        let name = unique("bound");
        let mut webhook = to(&endpoint.url("/"), &name);
        webhook["bindings"] = json!({ "stock": "$.stock" });
        client.webhook(&name, webhook).await;
        let unread = delivered(client, &name).await;
        assert_eq!(
            (&unread["state"], &unread["last_attempt"]["binding_failure"]["kind"]),
            (&json!("delivered"), &json!("response_invalid"))
        );
        endpoint.next(Script::json(json!({ "stock": 4 })));
        let session = unique("session");
        let event = json!({ "trigger": "stock.asked", "source": name, "session": session });
        let delivery = client.event(event).await["deliveries"][0].clone();
        assert_eq!((&delivery["state"], &delivery["last_attempt"]["parameters"]), (&json!("delivered"), &json!({ "stock": 4 })));
        assert_eq!(client.parameters(&session).await, json!({ "stock": 4 }));
    });
}

#[test]
fn an_inactive_webhook_matches_nothing_and_what_waits_for_it_is_cancelled() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        endpoint.next(Script::status(500));
        let name = unique("inactive");
        client.webhook(&name, to(&endpoint.url("/"), &name)).await;
        let waiting = delivered(client, &name).await;
        let (status, shown) = client.post(&format!("/v1/webhooks/{name}/deactivate"), &json!({})).await;
        assert_eq!((status, &shown["active"]), (200, &json!(false)));
        let id = waiting["id"].as_str().expect("an id");
        assert_eq!(client.delivery(id).await["state"], "cancelled");
        let nothing = client.event(json!({ "trigger": "something.happened", "source": name })).await;
        assert_eq!(nothing["deliveries"], json!([]));
        client.post(&format!("/v1/webhooks/{name}/activate"), &json!({})).await;
        assert_eq!(delivered(client, &name).await["state"], "delivered");
        // The cancelled delivery can still be resent.
        client.post(&format!("/v1/deliveries/{id}/resend"), &json!({})).await;
        in_state(client, id, "delivered").await;
    });
}

#[test]
fn an_environment_overrides_the_request() {
    run(async {
        let client = &shared().await.client;
        let (production, staging) = (Endpoint::start().await, Endpoint::start().await);
        let name = unique("environments");
        let mut webhook = to(&production.url("/"), &name);
        webhook["environments"] = json!({ "staging": { "request": { "url": staging.url("/staged"), "headers": { "x-stage": "yes" } } } });
        client.webhook(&name, webhook).await;
        client.event(json!({ "trigger": "a.b", "source": name, "environment": "staging" })).await;
        let received = staging.next_request().await;
        assert_eq!((received.path.as_str(), received.header("x-stage")), ("/staged", "yes"));
        client.event(json!({ "trigger": "a.b", "source": name, "environment": "unknown" })).await;
        assert_eq!(production.next_request().await.header("x-stage"), "");
    });
}

#[test]
fn credentials_are_put_on_and_shown_nowhere() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let name = unique("credentials");
        client.secret("api-token", "canary-token-7").await;
        client.secret("api-password", "canary-password-7").await;
        let answered = async |auth: Value| {
            let mut webhook = to(&endpoint.url("/"), &name);
            webhook["auth"] = auth;
            client.webhook(&name, webhook).await;
            let delivery = delivered(client, &name).await;
            assert!(!delivery.to_string().contains("canary"), "{delivery}");
            endpoint.next_request().await
        };
        assert_eq!(
            answered(json!({ "kind": "bearer", "token": "$secret:api-token" })).await.header("authorization"),
            "Bearer canary-token-7"
        );
        let basic = answered(json!({ "kind": "basic", "username": "ann", "password": "$secret:api-password" })).await;
        assert_eq!(basic.header("authorization"), "Basic YW5uOmNhbmFyeS1wYXNzd29yZC03");
        let headers = answered(json!({ "kind": "headers", "headers": { "x-api-key": "$secret:api-token", "x-tenant": "north" } })).await;
        assert_eq!((headers.header("x-api-key"), headers.header("x-tenant")), ("canary-token-7", "north"));
        let mut webhook = to(&endpoint.url("/"), &name);
        webhook["auth"] = json!({ "kind": "oauth3" });
        assert_eq!(client.put(&format!("/v1/webhooks/{name}"), &webhook).await.0, 400);
    });
}

#[test]
fn only_addresses_that_are_allowed_are_called_and_the_refusal_names_the_setting() {
    run(async {
        let host = TestHost::with(Options { allow_networks: Vec::new(), ..Options::default() }).await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        for url in [endpoint.url("/"), "http://example.com/".to_owned()] {
            let (status, problem) = client.put("/v1/webhooks/plain", &to(&url, "plain")).await;
            assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!("/request/url")), "{url}");
            let detail = problem["errors"][0]["detail"].as_str().unwrap_or_default();
            assert!(detail.contains("HOOKWRIGHT_ALLOW_NETWORKS"), "{detail}");
        }
        // Addresses are checked when they are dialled, after a name was resolved.
        let closed = ["127.0.0.1", "localhost", "[::1]", "[::ffff:10.0.0.1]", "192.168.1.1", "169.254.169.254", "0.0.0.0", "2130706433"];
        for host in closed {
            let name = unique("closed");
            client.webhook(&name, to(&format!("https://{host}:{}/", endpoint.address.port()), &name)).await;
            let delivery = delivered(client, &name).await;
            let failure = &delivery["last_attempt"]["failure"];
            assert_eq!((&delivery["state"], &failure["kind"]), (&json!("waiting"), &json!("address_refused")), "{host}: {delivery}");
            let detail = failure["detail"].as_str().unwrap_or_default();
            assert!(detail.contains("HOOKWRIGHT_ALLOW_NETWORKS"), "{detail}");
        }
        assert!(endpoint.seen().is_empty());
    });
}

#[test]
fn a_webhook_cannot_call_this_hosts_own_api_but_its_codes() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let own = format!("http://{}/v1/secrets", host.address());
        let (status, problem) = client.put("/v1/webhooks/own", &to(&own, "own")).await;
        if status < 300 {
            let delivery = delivered(client, "own").await;
            assert_eq!(delivery["last_attempt"]["failure"]["kind"], "address_refused");
        } else {
            assert_eq!(problem["errors"][0]["pointer"], "/request/url");
        }
        let code = client.receiver("greets", json!({ "reply": { "message": "hello" } })).await;
        let name = "to-code";
        client.webhook(name, to(&format!("http://{}/api/v1/webhook/{code}", host.address()), name)).await;
        let delivery = delivered(client, name).await;
        assert_eq!(delivery["state"], "delivered", "{delivery}");
        assert_eq!(client.last_call("greets").await["state"], "done");
    });
}

#[test]
fn a_url_that_is_a_credential_is_sent_whole_and_shown_without_its_values() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let name = unique("sas");
        let shown = client.webhook(&name, to(&endpoint.url("/hook?sv=2020&sig=canary%2Bsig%3D"), &name)).await;
        assert!(!shown.to_string().contains("canary"), "{shown}");
        let delivery = delivered(client, &name).await;
        assert!(!delivery.to_string().contains("canary"), "{delivery}");
        assert_eq!(endpoint.next_request().await.path, "/hook?sv=2020&sig=canary%2Bsig%3D", "byte for byte");
        let path = format!("/v1/webhooks/{name}");
        assert!(!client.look(&path).await.to_string().contains("canary"));
        assert!(!client.look("/v1/webhooks?limit=500").await.to_string().contains("canary%2B"));
        assert!(client.look(&format!("{path}?reveal=true")).await.to_string().contains("canary"));
        // Writing the redacted document back would lose the credential, so it is refused. A patch of another field keeps it.
        let mut back = client.look(&path).await;
        for own in ["id", "created_at", "updated_at"] {
            back.as_object_mut().expect("an object").remove(own);
        }
        assert_eq!(client.put(&path, &back).await.1["errors"][0]["pointer"], "/request/url");
        assert_eq!(client.patch(&path, &json!({ "description": "kept" })).await.0, 200);
        delivered(client, &name).await;
        assert_eq!(endpoint.next_request().await.path, "/hook?sv=2020&sig=canary%2Bsig%3D");
    });
}

#[test]
fn a_credential_behind_a_reference_or_in_an_environment_is_neither_shown_nor_lost() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let name = unique("half");
        let mut document = to(&endpoint.url("/hook?sig=$session.params.x+canary"), &name);
        document["environments"] = json!({ "staging": { "request": { "url": endpoint.url("/staging?sig=canary") } } });
        let shown = client.webhook(&name, document).await;
        assert!(!shown.to_string().contains("canary"), "{shown}");
        let path = format!("/v1/webhooks/{name}");
        let patch = json!({ "environments": shown["environments"] });
        let (status, problem) = client.patch(&path, &patch).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!("/environments/staging/request/url")));
    });
}

#[test]
fn a_webhook_sends_no_more_at_once_than_its_limit() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let gate = Gate::new();
        endpoint.always(Script::status(200).behind(&gate));
        let name = unique("narrow");
        let mut webhook = to(&endpoint.url("/"), &name);
        webhook["limits"] = json!({ "in_flight": 2 });
        client.webhook(&name, webhook).await;
        let events: Vec<_> = (0..6).map(|n| json!({ "trigger": "narrow.lane", "source": name, "data": n })).collect();
        assert_eq!(client.post("/v1/events", &json!(events)).await.0, 202);
        endpoint.next_request().await;
        endpoint.next_request().await;
        // This webhook does not hold up another one. By the time the other has finished, a third request would have arrived.
        let free = Endpoint::start().await;
        let other = unique("free");
        client.webhook(&other, to(&free.url("/"), &other)).await;
        assert_eq!(delivered(client, &other).await["state"], "delivered");
        assert_eq!(endpoint.seen().len(), 2);
        gate.open();
        for _ in 0..4 {
            endpoint.next_request().await;
        }
    });
}

#[test]
fn no_tries_at_all_means_recorded_as_cancelled() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let name = unique("never");
        let mut webhook = to(&endpoint.url("/"), &name);
        webhook["retry"] = json!({ "attempts": 0, "gap_seconds": 1 });
        client.webhook(&name, webhook).await;
        assert_eq!(delivered(client, &name).await["state"], "cancelled");
        assert!(endpoint.seen().is_empty());
    });
}
