//! The status decides whether a delivery has ended: what an endpoint accepted is not sent again, whatever the rest of its answer is like.

use std::{io::Write, time::Duration};

use flate2::{Compression, write::GzEncoder};
use hookwright_tests::{
    Authority, Client, Endpoint, MailServer, Options, RawEndpoint, RefusingEndpoint, Reply, Script, TestHost, run, shared, unique,
    wait::eventually,
};
use serde_json::{Value, json};

/// A webhook with two attempts that only takes events whose source is its own name.
fn to(url: &str, name: &str) -> Value {
    json!({ "selectors": ["*"], "sources": [name], "request": { "url": url }, "retry": { "attempts": 2, "gap_seconds": 1 } })
}

/// Posts one event for that webhook and returns its delivery after the first attempt.
async fn delivered(client: &Client, name: &str) -> Value {
    let accepted = client.event(json!({ "trigger": "something.happened", "source": name, "session": name, "data": { "n": 1 } })).await;
    accepted["deliveries"][0].clone()
}

async fn in_state(client: &Client, id: &Value, state: &str) -> Value {
    let id = id.as_str().expect("an identifier");
    eventually(&format!("{id} is {state}"), || async {
        let delivery = client.delivery(id).await;
        (delivery["state"] == state).then_some(delivery)
    })
    .await
}

fn gzipped(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).expect("room");
    encoder.finish().expect("room")
}

/// Writes a webhook that receives the events about failed bindings of `name`.
async fn hear(client: &Client, name: &str, at: &Endpoint) {
    let document = json!({
        "selectors": ["webhook.binding_failed"], "filter": format!("$[?@.webhook == '{name}']"),
        "request": { "url": at.url("/"), "body": { "trigger": "$event.trigger", "data": "$event.data" } },
    });
    client.webhook(&format!("{name}-hears"), document).await;
}

#[test]
fn a_status_is_recorded_and_counts_whatever_becomes_of_the_body() {
    run(async {
        let client = &shared().await.client;
        let head = |rest: &str| format!("HTTP/1.1 200 OK\r\nx-a: b\r\n{rest}");
        let cases = [
            ("too long", Reply::send(head("content-length: 1001\r\n\r\n") + &"x".repeat(1001)), 1000),
            ("broken off", Reply::last(head("content-length: 10\r\n\r\nok")), 2),
            ("too slow", Reply::Hold(head("content-length: 10\r\n\r\nok").into_bytes()), 2),
            ("in an unknown coding", Reply::send(head("content-encoding: zstd\r\ncontent-length: 2\r\n\r\nok")), 0),
        ];
        for (what, reply, length) in cases {
            let endpoint = RawEndpoint::start(move |_| reply.clone()).await;
            let name = unique("body");
            let mut webhook = to(&endpoint.url("/"), &name);
            (webhook["timeout_ms"], webhook["response_bytes_max"]) = (json!(300), json!(1000));
            client.webhook(&name, webhook).await;
            let delivery = delivered(client, &name).await;
            let attempt = &delivery["last_attempt"];
            assert_eq!((&delivery["state"], &attempt["failure"]), (&json!("delivered"), &Value::Null), "{what}: {delivery}");
            let answer = &attempt["answer"];
            assert_eq!(
                (&answer["status"], &answer["headers"]["x-a"], answer["body"].as_str().map(str::len), &answer["truncated"]),
                (&json!(200), &json!("b"), Some(length), &json!(true)),
                "{what}: {delivery}"
            );
            assert_eq!(endpoint.places().len(), 1, "{what}");
        }
    });
}

#[test]
fn a_refusal_is_one_by_its_status_whatever_becomes_of_the_body() {
    run(async {
        let client = &shared().await.client;
        let reply = "HTTP/1.1 503 Busy\r\nretry-after: 30\r\nretry-after: 700\r\ncontent-length: 100\r\n\r\nno";
        let endpoint = RawEndpoint::start(move |_| Reply::last(reply)).await;
        let name = unique("refused");
        client.webhook(&name, to(&endpoint.url("/"), &name)).await;
        let delivery = delivered(client, &name).await;
        let attempt = &delivery["last_attempt"];
        assert_eq!((&attempt["failure"]["kind"], &attempt["answer"]["status"]), (&json!("http_status"), &json!(503)), "{delivery}");
        let time = |value: &Value| value.as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok()).expect("a time");
        let wait = time(&delivery["due_at"]).duration_since(time(&delivery["updated_at"])).as_secs();
        assert!((695..=705).contains(&wait), "the longest the endpoint asks for: {wait} s");
    });
}

#[test]
fn a_head_that_is_read_leniently_delivers() {
    run(async {
        let client = &shared().await.client;
        let many: String = (0..101).map(|n| format!("x-{n}: v\r\n")).collect();
        for lines in ["x-a: a;\r\n\tb\r\n", &many, "set-cookie: a=b\x01c\r\n", "x-a : b\r\n"] {
            let reply = format!("HTTP/1.1 200 OK\r\n{lines}content-length: 2\r\n\r\nok");
            let endpoint = RawEndpoint::start(move |_| Reply::send(reply.clone())).await;
            let name = unique("head");
            client.webhook(&name, to(&endpoint.url("/"), &name)).await;
            assert_eq!(delivered(client, &name).await["state"], "delivered", "{lines:?}");
            assert_eq!(endpoint.places(), [(1, 1)], "{lines:?}");
        }
    });
}

#[test]
fn an_answer_that_cannot_be_read_for_bindings_is_delivered_and_told() {
    run(async {
        let client = &shared().await.client;
        let told = Endpoint::start().await;
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
        let cases = [
            ("no body", Reply::send("HTTP/1.1 204 No Content\r\n\r\n"), "response_invalid"),
            ("no JSON", Reply::send(format!("{head}content-length: 2\r\n\r\nok")), "response_invalid"),
            ("cut off", Reply::last(format!("{head}content-length: 20\r\n\r\n{{\"number\":1}}")), "response_broken"),
            ("too slow", Reply::Hold(format!("{head}content-length: 20\r\n\r\n{{\"number\":1}}").into_bytes()), "timeout"),
            ("too large", Reply::send(format!("{head}content-length: 1002\r\n\r\n\"{}\"", "x".repeat(1000))), "response_too_large"),
            ("unknown coding", Reply::send(format!("{head}content-encoding: br\r\ncontent-length: 2\r\n\r\n{{}}")), "response_invalid"),
        ];
        for (what, reply, kind) in cases {
            let endpoint = RawEndpoint::start(move |_| reply.clone()).await;
            let name = unique("unread");
            hear(client, &name, &told).await;
            let mut webhook = to(&endpoint.url("/"), &name);
            (webhook["timeout_ms"], webhook["response_bytes_max"]) = (json!(300), json!(1000));
            webhook["bindings"] = json!({ "number": "$.number", "other": "$.other" });
            client.webhook(&name, webhook).await;
            let delivery = delivered(client, &name).await;
            let attempt = &delivery["last_attempt"];
            assert_eq!(
                (&delivery["state"], &attempt["failure"], &attempt["unmatched"], &attempt["binding_failure"]["kind"]),
                (&json!("delivered"), &Value::Null, &json!(["number", "other"]), &json!(kind)),
                "{what}: {delivery}"
            );
            let notice = told.next_request().await.json();
            assert_eq!(
                (&notice["trigger"], &notice["data"]["delivery"], &notice["data"]["failure"]),
                (&json!("webhook.binding_failed"), &delivery["id"], &json!(kind)),
                "{what}: {notice}"
            );
            assert_eq!(endpoint.places(), [(1, 1)], "{what}");
        }
    });
}

#[test]
fn a_binding_that_finds_nothing_in_an_answer_that_was_read_is_unmatched_and_not_told() {
    run(async {
        let client = &shared().await.client;
        let (endpoint, told) = (Endpoint::start().await, Endpoint::start().await);
        let name = unique("unmatched");
        hear(client, &name, &told).await;
        let mut webhook = to(&endpoint.url("/"), &name);
        webhook["bindings"] = json!({ "number": "$.number" });
        client.webhook(&name, webhook).await;
        let delivery = delivered(client, &name).await;
        let attempt = &delivery["last_attempt"];
        assert_eq!((&delivery["state"], &attempt["unmatched"]), (&json!("delivered"), &json!(["number"])), "{delivery}");
        assert!(attempt.get("binding_failure").is_none(), "{delivery}");
        // The next notice is about the next delivery.
        endpoint.next(Script::status(200).body("no JSON"));
        let second = delivered(client, &name).await;
        assert_eq!(told.next_request().await.json()["data"]["delivery"], second["id"]);
    });
}

#[test]
fn what_operational_events_bind_makes_no_further_ones() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let (endpoint, told, own) = (Endpoint::start().await, Endpoint::start().await, Endpoint::start().await);
        endpoint.always(Script::status(200).body("no JSON"));
        own.always(Script::status(200).body("no JSON"));
        let bound =
            |url: String, selectors: &str| json!({ "selectors": [selectors], "request": { "url": url }, "bindings": { "x": "$.x" } });
        client.webhook("bound", bound(endpoint.url("/"), "order.new")).await;
        client.webhook("hears", bound(own.url("/"), "webhook.*")).await;
        let both = json!({ "selectors": ["webhook.*"], "request": { "url": told.url("/"), "body": { "data": "$event.data" } } });
        client.webhook("told", both).await;
        for _ in 0..2 {
            let accepted = client.event(json!({ "trigger": "order.new", "session": "s" })).await;
            // If the failed binding of `hears` were reported, that notice would come before this one.
            assert_eq!(told.next_request().await.json()["data"]["delivery"], accepted["deliveries"][0]["id"]);
            own.next_request().await;
        }
    });
}

#[test]
fn a_compressed_answer_is_bound() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let name = unique("gzip");
        let mut webhook = to(&endpoint.url("/"), &name);
        webhook["bindings"] = json!({ "received": "$.received" });
        client.webhook(&name, webhook.clone()).await;
        endpoint.next(Script::status(200).header("content-encoding", "gzip").body(gzipped(r#"{"received":true}"#)));
        let delivery = delivered(client, &name).await;
        let attempt = &delivery["last_attempt"];
        assert_eq!((&delivery["state"], &attempt["parameters"]), (&json!("delivered"), &json!({ "received": true })), "{delivery}");
        assert_eq!(attempt["answer"]["body"], r#"{"received":true}"#);
        assert_eq!(attempt["request"]["headers"]["accept-encoding"], "gzip, deflate");
        assert_eq!(endpoint.next_request().await.header("accept-encoding"), "gzip, deflate");
        // A header that an admin wrote is kept.
        webhook["request"]["headers"] = json!({ "accept-encoding": "identity" });
        client.webhook(&name, webhook).await;
        endpoint.next(Script::status(200).header("content-encoding", "gzip").body(gzipped(&format!("[{}]", " ".repeat(1_000_000)))));
        let delivery = delivered(client, &name).await;
        assert_eq!(endpoint.next_request().await.header("accept-encoding"), "identity");
        let attempt = &delivery["last_attempt"];
        assert_eq!(
            (&delivery["state"], &attempt["binding_failure"]["kind"]),
            (&json!("delivered"), &json!("response_too_large")),
            "the limit is that of the decoded body: {delivery}"
        );
    });
}

#[test]
fn a_success_rule_looks_into_the_answer() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        let name = unique("success");
        let mut webhook = to(&endpoint.url("/"), &name);
        webhook["success"] = json!("$.ok");
        webhook["bindings"] = json!({ "ts": "$.ts" });
        client.webhook(&name, webhook).await;
        endpoint.next(Script::json(json!({ "ok": false, "error": "channel_not_found", "ts": 1 })));
        endpoint.next(Script::json(json!({ "ok": true, "ts": 2 })));
        let delivery = delivered(client, &name).await;
        let attempt = &delivery["last_attempt"];
        assert_eq!(
            (&delivery["state"], &attempt["failure"]["kind"], &attempt["answer"]["status"], &attempt["parameters"]),
            (&json!("waiting"), &json!("answer_refused"), &json!(200), &json!({})),
            "{delivery}"
        );
        host.advance(Duration::from_secs(2));
        let delivery = in_state(client, &delivery["id"], "delivered").await;
        assert_eq!((&delivery["attempts"], client.parameters(&name).await), (&json!(2), json!({ "ts": 2 })), "{delivery}");

        endpoint.next(Script::status(200).body("\u{feff}{\"ok\":true,\"ts\":3}"));
        assert_eq!(delivered(client, &name).await["last_attempt"]["parameters"], json!({ "ts": 3 }));

        let rejected = [Script::status(200).body("ok"), Script::status(204).body(""), Script::json(json!({ "ok": null }))];
        for script in rejected {
            endpoint.next(script);
            endpoint.next(Script::json(json!({ "ok": 1 })));
            let delivery = delivered(client, &name).await;
            assert_eq!(delivery["last_attempt"]["failure"]["kind"], "answer_refused", "{delivery}");
            host.advance(Duration::from_secs(2));
            in_state(client, &delivery["id"], "delivered").await;
        }
    });
}

#[test]
fn a_success_rule_needs_a_whole_answer() {
    run(async {
        let client = &shared().await.client;
        let endpoint = RawEndpoint::start(|_| Reply::last("HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{\"ok\":true}")).await;
        let name = unique("cut");
        let mut webhook = to(&endpoint.url("/"), &name);
        webhook["success"] = json!("$.ok");
        client.webhook(&name, webhook).await;
        let delivery = delivered(client, &name).await;
        assert_eq!(
            (&delivery["state"], &delivery["last_attempt"]["failure"]["kind"], &delivery["last_attempt"]["answer"]["status"]),
            (&json!("waiting"), &json!("answer_refused"), &json!(200)),
            "{delivery}"
        );
    });
}

#[test]
fn a_success_rule_is_checked_when_it_is_written() {
    run(async {
        let client = &shared().await.client;
        let path = format!("/v1/webhooks/{}", unique("rule"));
        let refused = async |with: Value| {
            let mut webhook = json!({ "request": { "url": "http://127.0.0.1:9/" } });
            webhook.as_object_mut().expect("an object").extend(with.as_object().expect("an object").clone());
            let (status, problem) = client.put(&path, &webhook).await;
            assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!("/success")), "{problem}");
            problem["errors"][0]["detail"].as_str().unwrap_or_default().to_owned()
        };
        assert!(refused(json!({ "success": "ok" })).await.contains("begins with `$`"));
        assert!(refused(json!({ "success": "$[?@.ok" })).await.contains("character"));
        let mail = json!({ "success": "$.ok", "request": { "url": "mailto:a@example.org?subject=x" } });
        assert!(refused(mail).await.contains("a mail takes none"));
        let unanswered = json!({ "success": "$.ok", "profile": "arcgis-organization", "timeout_ms": 0 });
        assert!(refused(unanswered).await.contains("`timeout_ms`"));
        let shown = client.webhook(&unique("rule"), json!({ "success": "$.ok", "request": { "url": "http://127.0.0.1:9/" } })).await;
        assert_eq!(shown["success"], "$.ok");
    });
}

#[test]
fn an_invoke_whose_answer_cannot_be_read_is_delivered_and_says_so() {
    run(async {
        let client = &shared().await.client;
        let (endpoint, told) = (Endpoint::start().await, Endpoint::start().await);
        let name = unique("asked");
        hear(client, &name, &told).await;
        client
            .webhook(
                &name,
                json!({ "profile": "dialogflow-flexible", "request": { "url": endpoint.url("/") }, "bindings": { "x": "$.x" } }),
            )
            .await;
        endpoint.always(Script::status(200).body("no JSON"));
        let invoked = client.invoke(&name, json!({})).await;
        assert_eq!(
            (&invoked["state"], &invoked["failure"]["kind"], &invoked["error_event"], &invoked["unmatched"]),
            (&json!("delivered"), &json!("response_invalid"), &json!("webhook.error"), &json!(["x"])),
            "{invoked}"
        );
        assert_eq!(told.next_request().await.json()["data"]["delivery"], invoked["delivery"]);
        assert_eq!(endpoint.seen().len(), 1);
        // The plugin's `answers` gets a body that does not follow its protocol.
        client.webhook(&name, json!({ "profile": "dialogflow-standard", "request": { "url": endpoint.url("/") } })).await;
        let invoked = client.invoke(&name, json!({})).await;
        assert_eq!((&invoked["state"], &invoked["error_event"]), (&json!("delivered"), &json!("webhook.error")), "{invoked}");
        assert!(invoked["failure"]["kind"].as_str().is_some_and(|kind| kind.starts_with("plugin_")), "{invoked}");
        assert_eq!(told.next_request().await.json()["data"]["delivery"], invoked["delivery"]);
        assert_eq!(endpoint.seen().len(), 2);
    });
}

#[test]
fn a_connection_closed_without_a_byte_is_no_answer() {
    run(async {
        let client = &shared().await.client;
        let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        let endpoint = RawEndpoint::start(move |(connection, _)| if connection == 1 { Reply::close() } else { Reply::send(ok) }).await;
        let name = unique("closed");
        client.webhook(&name, json!({ "profile": "dialogflow-flexible", "request": { "url": endpoint.url("/") } })).await;
        let invoked = client.invoke(&name, json!({})).await;
        assert_eq!((&invoked["state"], &invoked["attempts"]), (&json!("delivered"), &json!(2)), "{invoked}");

        let silent = RawEndpoint::start(|_| Reply::close()).await;
        let name = unique("silent");
        client.webhook(&name, to(&silent.url("/"), &name)).await;
        let delivery = delivered(client, &name).await;
        assert_eq!(
            (&delivery["state"], &delivery["last_attempt"]["failure"]["kind"]),
            (&json!("waiting"), &json!("no_answer")),
            "{delivery}"
        );
    });
}

#[test]
fn what_is_lost_on_a_kept_connection_is_sent_again_in_the_same_attempt() {
    run(async {
        let client = &shared().await.client;
        let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        // A connection answers its first request; its second request closes it.
        let endpoint = RawEndpoint::start(move |(_, turn)| if turn == 1 { Reply::send(ok) } else { Reply::close() }).await;
        let name = unique("kept");
        client.webhook(&name, to(&endpoint.url("/"), &name)).await;
        for _ in 0..3 {
            let delivery = delivered(client, &name).await;
            assert_eq!((&delivery["state"], &delivery["attempts"]), (&json!("delivered"), &json!(1)), "{delivery}");
        }
        let heads = endpoint.heads();
        let ids: Vec<_> = heads.iter().filter_map(|head| head.lines().find(|line| line.starts_with("webhook-id: "))).collect();
        assert_eq!(ids.len(), heads.len());
        let again = endpoint.places().iter().filter(|(_, turn)| *turn == 2).count();
        assert_eq!(heads.len(), 3 + again, "each once more, and no more than that");
    });
}

#[test]
fn a_408_on_a_kept_connection_is_its_end_and_on_a_new_one_the_answer() {
    run(async {
        let client = &shared().await.client;
        let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        let late = "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let endpoint = RawEndpoint::start(move |(_, turn)| if turn == 1 { Reply::send(ok) } else { Reply::last(late) }).await;
        let name = unique("idle");
        client.webhook(&name, to(&endpoint.url("/"), &name)).await;
        for _ in 0..3 {
            let delivery = delivered(client, &name).await;
            assert_eq!((&delivery["state"], &delivery["attempts"]), (&json!("delivered"), &json!(1)), "{delivery}");
        }
        let again = endpoint.places().iter().filter(|(_, turn)| *turn == 2).count();
        assert_eq!(endpoint.places().len(), 3 + again, "each once more, and no more than that");

        let slow = RawEndpoint::start(move |_| Reply::last(late)).await;
        let name = unique("slow");
        client.webhook(&name, to(&slow.url("/"), &name)).await;
        let delivery = delivered(client, &name).await;
        assert_eq!((&delivery["state"], &delivery["last_attempt"]["answer"]["status"]), (&json!("waiting"), &json!(408)), "{delivery}");
        assert_eq!(slow.places().len(), 1);
    });
}

#[test]
fn a_token_endpoint_is_read_like_any_other() {
    run(async {
        let client = &shared().await.client;
        let body = gzipped(r#"{"access_token":"t1","token_type":"Bearer","expires_in":3600}"#);
        let head = format!(
            "HTTP/1.1 200 OK\r\nx-a: a;\r\n b\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let reply = [head.as_bytes(), &body].concat();
        let tokens = RawEndpoint::start(move |_| Reply::send(reply.clone())).await;
        let endpoint = Endpoint::start().await;
        let name = unique("token");
        client.secret(&name, "client secret").await;
        let mut webhook = to(&endpoint.url("/"), &name);
        webhook["auth"] = json!({ "kind": "oauth2", "token_endpoint": tokens.url("/token"), "client_id": "c",
                                  "client_secret": format!("$secret:{name}"), "scopes": [] });
        client.webhook(&name, webhook).await;
        let delivery = delivered(client, &name).await;
        assert_eq!(delivery["state"], "delivered", "{delivery}");
        assert_eq!(endpoint.next_request().await.header("authorization"), "Bearer t1");
    });
}

#[test]
fn a_mail_that_was_taken_is_delivered_however_the_server_says_goodbye() {
    run(async {
        let server = MailServer::start().await;
        server.linger();
        let host = TestHost::with(Options { smtp: Some(server.settings()), ..Options::default() }).await;
        let webhook = json!({ "selectors": ["order.new"], "request": { "url": "mailto:ops@example.org?subject=x", "body": "new" } });
        host.client.webhook("mailed", webhook).await;
        let accepted = host.client.event(json!({ "trigger": "order.new" })).await;
        assert_eq!(accepted["deliveries"][0]["state"], "delivered", "{accepted}");
        server.next().await;
    });
}

#[test]
fn a_mail_that_was_refused_is_so_however_the_server_says_goodbye() {
    run(async {
        let server = MailServer::start().await;
        server.linger();
        server.refuse(Some("550 nobody of that name"));
        let host = TestHost::with(Options { smtp: Some(server.settings()), ..Options::default() }).await;
        let webhook = json!({ "selectors": ["order.new"], "request": { "url": "mailto:ops@example.org?subject=x", "body": "new" } });
        host.client.webhook("mailed", webhook).await;
        let failure = host.client.event(json!({ "trigger": "order.new" })).await["deliveries"][0]["last_attempt"]["failure"].clone();
        assert_eq!(failure["kind"], "mail_refused", "{failure}");
        assert!(failure["detail"].as_str().is_some_and(|detail| detail.contains("550")), "{failure}");
    });
}

#[test]
fn an_endpoint_that_never_processes_a_request_fails_in_the_end() {
    run(async {
        let authority = Authority::new();
        let endpoint = RefusingEndpoint::start(&authority.server(&["127.0.0.1"])).await;
        let host = TestHost::start().await;
        let webhook = json!({ "selectors": ["order.new"], "request": { "url": endpoint.url("/") }, "tls": { "ca_certificates": [authority.pem] },
                              "retry": { "schedule_seconds": [1] } });
        host.client.webhook("refused", webhook).await;
        assert_eq!(host.client.post("/v1/events", &json!({ "trigger": "order.new" })).await.0, 202);
        let delivery = eventually("the end of the delivery", async || {
            let delivery = host.client.look("/v1/deliveries").await["data"][0].clone();
            // Advance until the delivery is due, or, while the circuit breaker is open, until a probe may be sent.
            // After an attempt that does not count, the delivery is pending again.
            if delivery["state"] == "pending" || delivery["state"] == "waiting" {
                host.advance(Duration::from_secs(12));
            }
            (delivery["state"] == "failed").then_some(delivery)
        })
        .await;
        assert_eq!(delivery["attempts"], 2, "{delivery}");
        // A request is sent four times at once before it is given back. Giving back in the first 30 s counts no attempt.
        assert!(endpoint.refused() > 2 * 4, "{}", endpoint.refused());
        let id = delivery["id"].as_str().expect("an id");
        assert_eq!(host.client.delivery(id).await["attempt_log"][1]["failure"]["kind"], "not_processed");
    });
}
