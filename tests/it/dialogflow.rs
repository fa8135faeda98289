//! Dialogflow CX on both sides: an agent calls us, and we call webhooks as an agent does.

use hookwright_tests::{Client, Endpoint, Script, interop, run, shared, unique};
use serde_json::{Value, json};

/// A WebhookRequest as an agent sends it (protocol-facts 2.2).
fn webhook_request(tag: &str, session: &str, parameters: Value) -> String {
    json!({
        "detectIntentResponseId": "d-1", "text": "How many are left?", "languageCode": "en", "fulfillmentInfo": { "tag": tag },
        "intentInfo": { "lastMatchedIntent": "projects/p/intents/i", "displayName": "stock", "confidence": 0.9 },
        "pageInfo": { "currentPage": "projects/p/pages/p", "displayName": "Order" },
        "sessionInfo": { "session": session, "parameters": parameters },
    })
    .to_string()
}

/// A receiver that answers an agent by invoking a webhook of the same name.
async fn fulfilment(client: &Client, name: &str, endpoint: &Endpoint) -> String {
    let webhook = json!({
        "profile": "divalto",
        "request": { "method": "GET", "url": endpoint.url("/DhsDivaltoServiceDivaApiRest/api/v1/Webhook/CODE?article=$session.params.article&depot=$session.params.depot") },
        "bindings": { "stock": "$.stock[0].quantity" },
    });
    client.webhook(name, webhook).await;
    // All tests share the plugin; the grants say which webhooks it may call.
    client.grant("dialogflow-fulfilment", json!({ "webhooks": [name] })).await;
    let config = json!({ "tags": { "check-stock": { "webhook": name, "message": "There are {stock} of $session.params.article left." } } });
    client.receiver(name, json!({ "plugin": "dialogflow-fulfilment", "full_reply": true, "session": "$.body.sessionInfo.session", "config": config, "events": [{ "trigger": "stock.asked", "data": { "tag": "$.body.fulfillmentInfo.tag" } }] })).await
}

#[test]
fn an_agent_asks_an_erp_through_a_code_and_gets_its_own_format_back() {
    run(async {
        // This test needs a host of its own, because there is one grant for the built-in plugin.
        let host = hookwright_tests::TestHost::start().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        endpoint.next(Script::json(json!({ "stock": [{ "quantity": 4 }] })));
        let code = fulfilment(client, "stock", &endpoint).await;
        let session = "projects/p/locations/l/agents/a/sessions/s1";
        let answered =
            client.call(&code, "", &webhook_request("check-stock", session, json!({ "article": "A 12", "depot": "LYON" }))).await;
        assert_eq!(answered.status, 200, "{}", answered.text());
        assert_eq!(
            answered.json(),
            json!({
                "sessionInfo": { "parameters": { "stock": 4 } },
                "fulfillmentResponse": { "messages": [{ "text": { "text": ["There are 4 of A 12 left."] } }] },
            })
        );
        let received = endpoint.next_request().await;
        assert_eq!(
            (received.method.as_str(), received.path.as_str()),
            ("GET", "/DhsDivaltoServiceDivaApiRest/api/v1/Webhook/CODE?article=A%2012&depot=LYON")
        );
        assert_eq!(client.parameters(&session.replace('/', "%2F")).await, json!({ "article": "A 12", "depot": "LYON", "stock": 4 }));
        let call = client.last_call("stock").await;
        assert_eq!((&call["session"], &call["state"]), (&json!(session), &json!("done")));
        assert_eq!((&call["webhook_statuses"][0]["webhook"], &call["webhook_statuses"][0]["code"]), (&json!("stock"), &json!(0)));
        let triggers: Vec<_> = {
            let mut triggers = Vec::new();
            for id in call["events"].as_array().expect("events") {
                triggers.push(client.look(&format!("/v1/events/{}", id.as_str().expect("an id"))).await["trigger"].clone());
            }
            triggers
        };
        assert_eq!(triggers, ["code.stock", "stock.asked"]);

        // Failures of the webhook are answered with the statuses that an agent knows.
        for (status, told) in [(401, 401), (403, 403), (404, 404), (503, 503), (500, 500), (502, 500)] {
            endpoint.next(Script::status(status));
            let answered = client.call(&code, "", &webhook_request("check-stock", session, json!({}))).await;
            assert_eq!(answered.status, told, "{}", answered.text());
            let call = client.last_call("stock").await;
            let [ended] = call["webhook_statuses"].as_array().expect("statuses").as_slice() else { panic!("one webhook: {call}") };
            assert_eq!((&ended["webhook"], &ended["http_status"]), (&json!("stock"), &json!(status)));
            let code = match status {
                401 => 16,
                403 => 7,
                404 => 5,
                503 => 14,
                500 => 13,
                _ => 2,
            };
            assert_eq!(ended["code"], code, "as `queryResult.webhookStatuses` has it: {call}");
        }
        assert_eq!(client.call(&code, "", &webhook_request("unknown", session, json!({}))).await.status, 404);
        assert_eq!(client.call(&code, "", "{}").await.status, 400);
    });
}

#[test]
fn tags_go_to_webhooks_plugins_and_scripts() {
    run(async {
        let host = hookwright_tests::TestHost::start().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        fulfilment(client, "stock", &endpoint).await;
        let script = r#"export function receive(call) {
            const tag = call.json().fulfillmentInfo.tag;
            return { status: 200, body: { fulfillmentResponse: { messages: [{ text: { text: [`${hookwright.config.greeting} ${tag}`] } }] } } };
        }"#;
        client.script("greeter", script).await;
        let config = json!({ "tags": { "check-stock": { "webhook": "stock", "message": "{stock} left" } } });
        let mut receiver = json!({
            "plugin": "dialogflow-fulfilment", "full_reply": true, "session": "$.body.sessionInfo.session", "config": config,
            "routes": { "by": "$.body.fulfillmentInfo.tag", "to": {
                "greet": { "plugin": "greeter", "config": { "greeting": "Bonjour" } }, "leave": { "plugin": "greeter", "config": { "greeting": "Adieu" } },
            } },
        });
        let code = client.receiver("agent", receiver.clone()).await;
        endpoint.next(Script::json(json!({ "stock": [{ "quantity": 4 }] })));
        for (tag, says) in [("check-stock", "4 left"), ("greet", "Bonjour greet"), ("leave", "Adieu leave")] {
            let answered = client.call(&code, "", &webhook_request(tag, "s", json!({}))).await;
            assert_eq!(answered.json()["fulfillmentResponse"]["messages"][0]["text"]["text"], json!([says]), "{tag}: {}", answered.text());
            let plugin = if tag == "check-stock" { "dialogflow-fulfilment" } else { "greeter" };
            assert_eq!(client.last_call("agent").await["plugin"]["name"], plugin);
        }
        assert_eq!(client.call(&code, "", &webhook_request("other", "s", json!({}))).await.status, 404);

        let (status, problem) = client.delete("/v1/plugins/greeter").await;
        assert_eq!(status, 409, "it is referred to: {problem}");
        for (routes, pointer) in [
            (json!({ "by": "$.body.x", "to": {} }), "/routes/to"),
            (json!({ "by": "body", "to": { "a": { "plugin": "greeter" } } }), "/routes/by"),
            (json!({ "by": "$.body.x", "to": { "a/b": { "plugin": "nobody" } } }), "/routes/to/a~1b/plugin"),
            (json!({ "by": "$.body.x", "to": { "a": { "plugn": "greeter" } } }), "/routes/to/a/plugn"),
        ] {
            receiver["routes"] = routes;
            let (status, problem) = client.put("/v1/receivers/agent", &receiver).await;
            assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!(pointer)), "{problem}");
        }
    });
}

/// Google's own types parse the answer to a request that they made.
async fn agent(client: &Client, version: &str, code: &str, request: &str) -> Value {
    let request: Value = serde_json::from_str(request).expect("JSON");
    let asked = json!({ "version": version, "url": client.url(&format!("/api/v1/webhook/{code}")), "request": request });
    serde_json::from_str(&interop("venv/bin/python", "agent.py", &asked).await).expect("JSON")
}

#[test]
fn googles_own_types_write_the_request_and_read_the_answer() {
    run(async {
        let host = hookwright_tests::TestHost::start().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        let code = fulfilment(client, "stock", &endpoint).await;
        for version in ["v3", "v3beta1"] {
            endpoint.next(Script::json(json!({ "stock": [{ "quantity": { "free": [4, "A"], "open": true } }] })));
            let request = webhook_request("check-stock", "projects/p/sessions/s1", json!({ "article": "A 12", "depot": "LYON", "n": 3 }));
            let answered = agent(client, version, &code, &request).await;
            assert_eq!(answered["status"], 200, "{answered}");
            assert_eq!(answered["response"]["sessionInfo"], json!({ "parameters": { "stock": { "free": [4.0, "A"], "open": true } } }));
            let said = "There are {\"free\":[4,\"A\"],\"open\":true} of A 12 left.";
            assert_eq!(answered["response"]["fulfillmentResponse"]["messages"], json!([{ "text": { "text": [said] } }]), "{version}");
        }
        assert_eq!(agent(client, "v3", &code, &webhook_request("unknown", "s", json!({}))).await["status"], 404);
        // A script that answers with every field of a WebhookResponse.
        let script = r#"export function receive(call) {
            return { status: 200, body: {
                fulfillmentResponse: { messages: [{ text: { text: ["Bonjour"] } }, { payload: { a: 1 } }, { endInteraction: {} }], mergeBehavior: "REPLACE" },
                pageInfo: { formInfo: { parameterInfo: [{ displayName: "size", state: "INVALID", value: null }] } },
                sessionInfo: { parameters: { total: 12, draft: null } }, payload: { any: [1] }, targetPage: "projects/p/pages/p2",
            } };
        }"#;
        client.script("fulfil", script).await;
        let code = client.receiver("fulfil", json!({ "plugin": "fulfil", "full_reply": true })).await;
        let answered = agent(client, "v3", &code, &webhook_request("any", "projects/p/sessions/s2", json!({}))).await;
        let response = &answered["response"];
        assert_eq!(response["fulfillmentResponse"]["mergeBehavior"], "REPLACE", "{answered}");
        assert_eq!(response["pageInfo"]["formInfo"]["parameterInfo"][0]["state"], "INVALID", "{answered}");
        assert_eq!(
            (&response["sessionInfo"]["parameters"], &response["targetPage"]),
            (&json!({ "total": 12.0, "draft": null }), &json!("projects/p/pages/p2"))
        );
    });
}

#[test]
fn a_standard_webhook_sends_a_webhook_request_and_reads_a_webhook_response() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let (name, session) = (unique("standard"), unique("session"));
        client.webhook(&name, json!({ "profile": "dialogflow-standard", "request": { "url": endpoint.url("/fulfil") } })).await;
        endpoint.next(Script::json(json!({
            "fulfillmentResponse": { "messages": [{ "text": { "text": ["Bonjour"] } }], "mergeBehavior": "REPLACE" },
            "pageInfo": { "formInfo": { "parameterInfo": [{ "displayName": "size", "state": "INVALID", "value": null }, { "displayName": "other", "state": "FILLED" }] } },
            "sessionInfo": { "parameters": { "size": null, "total": 12 } }, "payload": { "any": 1 }, "targetPage": "projects/p/pages/p2", "unknown": true,
        })));
        let context = json!({ "tag": "check", "text": "three apples", "languageCode": "fr", "intentInfo": { "displayName": "order" }, "payload": { "p": 1 } });
        let invoked =
            client.invoke(&name, json!({ "session": session, "parameters": { "size": 3, "fruit": "apple" }, "context": context })).await;
        let request = endpoint.next_request().await.json();
        assert_eq!(
            (&request["fulfillmentInfo"], &request["text"], &request["languageCode"]),
            (&json!({ "tag": "check" }), &json!("three apples"), &json!("fr"))
        );
        assert_eq!(
            (&request["sessionInfo"], &request["intentInfo"]),
            (&json!({ "session": session, "parameters": { "size": 3, "fruit": "apple" } }), &json!({ "displayName": "order" }))
        );
        assert!(request["detectIntentResponseId"].is_string() && request["pageInfo"]["currentPage"].is_string(), "{request}");
        assert_eq!(invoked["parameters"], json!({ "size": null, "total": 12 }), "null removes: {invoked}");
        assert_eq!(client.parameters(&session).await, json!({ "fruit": "apple", "total": 12 }));
        let output = &invoked["output"];
        assert_eq!(output["fulfillmentResponse"], json!({ "messages": [{ "text": { "text": ["Bonjour"] } }], "mergeBehavior": "REPLACE" }));
        assert_eq!((&output["targetPage"], &output["payload"]), (&json!("projects/p/pages/p2"), &json!({ "any": 1 })));
        assert_eq!(output["pageInfo"]["formInfo"]["parameterInfo"], json!([{ "displayName": "size", "state": "INVALID", "value": null }]));

        endpoint.next(Script::status(200).body("no JSON"));
        let invoked = client.invoke(&name, json!({ "session": session })).await;
        assert_eq!(invoked["error_event"], "webhook.error", "{invoked}");
        let (status, problem) = client.patch(&format!("/v1/webhooks/{name}"), &json!({ "timeout_ms": 30001 })).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!("/timeout_ms")), "30 seconds at most");
    });
}

#[test]
fn a_flexible_webhook_is_refused_an_answer_beyond_64_kib() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let name = unique("flexible");
        client
            .webhook(
                &name,
                json!({ "profile": "dialogflow-flexible", "request": { "url": endpoint.url("/") }, "bindings": { "x": "$.x" } }),
            )
            .await;
        endpoint.next(Script::json(json!({ "x": "y".repeat(64 * 1024) })));
        let invoked = client.invoke(&name, json!({})).await;
        assert_eq!(
            (&invoked["failure"]["kind"], &invoked["error_event"]),
            (&json!("response_too_large"), &json!("webhook.error")),
            "{invoked}"
        );
        endpoint.next(Script::json(json!({ "x": "y".repeat(64 * 1024 - 10) })));
        assert_eq!(client.invoke(&name, json!({})).await["state"], "delivered");
    });
}
