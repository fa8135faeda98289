//! References in an admin's text: URL, headers, body.

use hookwright_tests::{Endpoint, Received, run, shared, unique};
use serde_json::{Value, json};

/// Invokes a webhook with this request and input, and returns what arrives.
async fn arrives(request: Value, with: Value) -> Received {
    let client = &shared().await.client;
    let endpoint = Endpoint::start().await;
    let name = unique("template");
    let mut request = request;
    let path = request["url"].as_str().unwrap_or("/").to_owned();
    request["url"] = json!(endpoint.url(&path));
    client.webhook(&name, json!({ "request": request })).await;
    let invoked = client.invoke(&name, with).await;
    assert_eq!(invoked["state"], "delivered", "{invoked}");
    endpoint.next_request().await
}

#[test]
fn a_whole_string_keeps_the_values_type_and_a_part_becomes_text() {
    run(async {
        let body = json!({
            "number": "$session.params.number", "flag": "$session.params.flag", "list": "$session.params.list", "object": "$session.params.object",
            "text": "n=$session.params.number, f=$session.params.flag, l=$session.params.list", "unset": "$session.params.unset", "part": "[$session.params.unset]",
            "kept": ["$5", "$", "$$", "a $path", 7, null],
        });
        let parameters = json!({ "number": 3.5, "flag": true, "list": [1, "b"], "object": { "k": "v" } });
        let received = arrives(json!({ "body": body }), json!({ "parameters": parameters })).await;
        assert_eq!(
            received.json(),
            json!({
                "number": 3.5, "flag": true, "list": [1, "b"], "object": { "k": "v" },
                "text": "n=3.5, f=true, l=[1,\"b\"]", "unset": null, "part": "[]",
                "kept": ["$5", "$", "$$", "a $path", 7, null],
            })
        );
    });
}

#[test]
fn values_in_a_url_are_escaped_and_can_never_change_its_shape() {
    run(async {
        let received = arrives(
            json!({ "method": "GET", "url": "/a/$session.params.segment/z?q=$session.params.query&k=1" }),
            json!({ "parameters": { "segment": "x/../y?#", "query": "a&b=c d+é" } }),
        )
        .await;
        assert_eq!(received.path, "/a/x%2F..%2Fy%3F%23/z?q=a%26b%3Dc%20d%2B%C3%A9&k=1");
        assert!(received.body.is_empty());

        let client = &shared().await.client;
        let name = unique("climbing");
        let endpoint = Endpoint::start().await;
        client.webhook(&name, json!({ "request": { "url": endpoint.url("/a/$session.params.up/secret") } })).await;
        for up in ["..", "."] {
            let invoked = client.invoke(&name, json!({ "parameters": { "up": up } })).await;
            assert_eq!((&invoked["state"], &invoked["failure"]["kind"]), (&json!("refused"), &json!("request_invalid")), "{invoked}");
        }
        assert!(endpoint.seen().is_empty());
    });
}

#[test]
fn substituted_values_are_never_read_again() {
    run(async {
        let received = arrives(
            json!({ "url": "/?q=$session.params.evil", "headers": { "x-evil": "$session.params.evil" }, "body": { "evil": "$session.params.evil" } }),
            json!({ "parameters": { "evil": "$session.params.other $secret:key", "other": "canary" } }),
        )
        .await;
        assert_eq!(received.json()["evil"], "$session.params.other $secret:key");
        assert_eq!(received.header("x-evil"), "$session.params.other $secret:key");
        assert!(!received.path.contains("canary"));
    });
}

#[test]
fn a_value_cannot_break_out_of_a_header() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let name = unique("header");
        client.webhook(&name, json!({ "request": { "url": endpoint.url("/"), "headers": { "x-value": "$session.params.value" } } })).await;
        let invoked = client.invoke(&name, json!({ "parameters": { "value": "a\r\nx-injected: yes" } })).await;
        assert_ne!(invoked["state"], "delivered", "{invoked}");
        assert!(endpoint.seen().is_empty());
    });
}

#[test]
fn an_event_is_referred_to_by_its_fields() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let name = unique("fields");
        let body = json!({ "trigger": "$event.trigger", "who": "$event.data.user.name", "first": "$event.data.list[0]", "tenant": "$event.attributes.tenant", "all": "$event.data" });
        client.webhook(&name, json!({ "selectors": ["user.made"], "sources": [name], "request": { "url": endpoint.url("/$event.data.user.name"), "body": body } })).await;
        let data = json!({ "user": { "name": "ann" }, "list": [{ "x": 1 }, 2] });
        client.event(json!({ "trigger": "user.made", "source": name, "attributes": { "tenant": "north" }, "data": data })).await;
        let received = endpoint.next_request().await;
        assert_eq!(received.path, "/ann");
        assert_eq!(received.json(), json!({ "trigger": "user.made", "who": "ann", "first": { "x": 1 }, "tenant": "north", "all": data }));
    });
}

#[test]
fn an_object_becomes_a_form_when_it_is_said_to_be_one() {
    run(async {
        let received = arrives(
            json!({ "content_type": "application/x-www-form-urlencoded", "body": { "f": "json", "item": "$session.params.item" } }),
            json!({ "parameters": { "item": "a b&c" } }),
        )
        .await;
        assert_eq!(received.header("content-type"), "application/x-www-form-urlencoded");
        assert!(matches!(received.text().as_str(), "f=json&item=a+b%26c" | "f=json&item=a%20b%26c"), "{}", received.text());
        let text = arrives(
            json!({ "content_type": "text/plain", "body": "hello $session.params.item" }),
            json!({ "parameters": { "item": "x" } }),
        )
        .await;
        assert_eq!((text.header("content-type"), text.text().as_str()), ("text/plain", "hello x"));
    });
}

#[test]
fn a_reference_nobody_can_mean_is_refused_when_it_is_written() {
    run(async {
        let client = &shared().await.client;
        for (body, says) in [("$sesion.params.x", "session"), ("$event.dat.x", "data"), ("$session.x", "params"), ("$secret:key", "auth")] {
            let document = json!({ "request": { "url": "http://127.0.0.1:9/", "body": { "deep": [{ "x": body }] } } });
            let (status, problem) = client.put("/v1/webhooks/misspelt", &document).await;
            assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!("/request/body/deep/0/x")), "{body}: {problem}");
            let detail = problem["errors"][0]["detail"].as_str().unwrap_or_default();
            assert!(detail.contains(says), "{detail}");
        }
    });
}
