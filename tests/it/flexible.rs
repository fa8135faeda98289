//! The rules of Dialogflow CX's page "Webhooks" and its related pages (protocol buffers of v3, "Parameters", handlers), one by one: what
//! is written, with which parameters, and the bytes that arrive. Where the pages are silent, the rule is ours and the test says so.

use hookwright_tests::{Authority, Client, Endpoint, Gate, Process, Script, TestHost, data_directory, host::TOKEN, run, shared, unique};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Parameters of the session for every row.
fn parameters() -> Value {
    json!({
        "fruit": "apple pie/é&=+", "size": 3, "half": 2.5, "negative": -7, "ready": true, "list": [1, "b", { "c": null }], "order": { "id": 7, "lines": [{ "sku": "A-1" }] },
        "quoted": "say \"hi\"\n", "empty": "", "gone": null, "a.b-c": "dotted", "a": { "b": [{ "c": 4 }] }, "name": "report", "Case": "any",
        "trick": "$session.params.fruit", "trap": "$sys.func.NOW() $secret:key $event.data.x",
    })
}

/// The `context` that `invoke` gets.
fn context() -> Value {
    json!({
        "text": "deux pommes",
        "intentInfo": { "parameters": { "fruit": { "originalValue": "pommes", "resolvedValue": { "id": "apple" } } } },
        "pageInfo": { "formInfo": { "parameterInfo": [{ "displayName": "size", "required": true, "state": "FILLED", "value": 3, "justCollected": true }] } },
        "request": { "end-user-metadata": { "tier": "gold" } },
    })
}

async fn arrives(client: &Client, endpoint: &Endpoint, name: &str, request: Value) -> hookwright_tests::Received {
    client.webhook(name, json!({ "profile": "dialogflow-flexible", "request": request })).await;
    let with = json!({ "session": unique("session"), "parameters": parameters(), "context": context(), "data": { "x": "$session.params.size", "n": 1 } });
    let invoked = client.invoke(name, with).await;
    assert_eq!(invoked["state"], "delivered", "{request}: {invoked}");
    endpoint.next_request().await
}

#[test]
fn each_rule_of_the_body() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let name = unique("body");
        for (rule, written, expected) in [
            ("a number loses its quotes", r#"{"a": "$session.params.size"}"#, r#"{"a":3}"#),
            ("with its fraction and its sign", r#"["$session.params.half", "$session.params.negative"]"#, "[2.5,-7]"),
            ("a list loses them", r#"{"a": "$session.params.list"}"#, r#"{"a":[1,"b",{"c":null}]}"#),
            ("a composite value loses them", r#"{"a": "$session.params.order"}"#, r#"{"a":{"id":7,"lines":[{"sku":"A-1"}]}}"#),
            ("a text keeps them", r#"{"a": "$session.params.fruit"}"#, r#"{"a":"apple pie/é&=+"}"#),
            ("and stays one whatever it holds", r#"{"a": "$session.params.quoted"}"#, r#"{"a":"say \"hi\"\n"}"#),
            ("a number within a text is a text", r#"{"a": "This is a number: $session.params.size"}"#, r#"{"a":"This is a number: 3"}"#),
            ("in the page's own words", r#"{"a": "Ceci est un nombre : $session.params.size"}"#, r#"{"a":"Ceci est un nombre : 3"}"#),
            ("so is a list", r#"{"a": "l=$session.params.list"}"#, r#"{"a":"l=[1,\"b\",{\"c\":null}]"}"#),
            ("and a composite value", r#"{"a": "o: $session.params.order!"}"#, r#"{"a":"o: {\"id\":7,\"lines\":[{\"sku\":\"A-1\"}]}!"}"#),
            ("and two values side by side", r#"{"a": "$session.params.size$session.params.size"}"#, r#"{"a":"33"}"#),
            ("a space makes it a text", r#"{"a": " $session.params.size"}"#, r#"{"a":" 3"}"#),
            ("as deep as they stand", r#"{"a": [[{"b": "$session.params.size"}]]}"#, r#"{"a":[[{"b":3}]]}"#),
            ("keys are literal", r#"{"$session.params.size": 1}"#, r#"{"$session.params.size":1}"#),
            (
                "what is no reference stays",
                r#"{"a": "$5, $$ and $.path", "b": null, "c": 1.0}"#,
                r#"{"a":"$5, $$ and $.path","b":null,"c":1.0}"#,
            ),
            ("ours: a boolean keeps its type", r#"{"a": "$session.params.ready"}"#, r#"{"a":true}"#),
            ("ours: what is unset is null", r#"{"a": "$session.params.none", "b": "$session.params.gone"}"#, r#"{"a":null,"b":null}"#),
            ("ours: and nothing within a text", r#"{"a": "<$session.params.none>"}"#, r#"{"a":"<>"}"#),
            ("an empty text is set", r#"{"a": "$session.params.empty"}"#, r#"{"a":""}"#),
            ("an index counts from 0", r#"{"a": "$session.params.list[1]"}"#, r#"{"a":"b"}"#),
            ("members and indexes in any order", r#"{"a": "$session.params.a.b[0].c"}"#, r#"{"a":4}"#),
            ("a member of a composite value", r#"{"a": "$session.params.order.lines[0].sku"}"#, r#"{"a":"A-1"}"#),
            ("a name holds dots and dashes", r#"{"a": "$session.params.a.b-c"}"#, r#"{"a":"dotted"}"#),
            ("names are compared without case", r#"{"a": "$session.params.cASE $session.params.SIZE"}"#, r#"{"a":"any 3"}"#),
            ("a full stop ends a sentence", r#"{"a": "It is $session.params.size."}"#, r#"{"a":"It is 3."}"#),
            ("ours: what follows a text's name is text", r#"{"a": "$session.params.name.json"}"#, r#"{"a":"report.json"}"#),
            ("what an intent heard", r#"{"a": "$intent.params.fruit.original"}"#, r#"{"a":"pommes"}"#),
            (
                "and understood",
                r#"{"a": "$intent.params.fruit.resolved", "b": "$intent.params.fruit.resolved.id"}"#,
                r#"{"a":{"id":"apple"},"b":"apple"}"#,
            ),
            ("a page's form", r#"{"a": "$page.params.status", "b": "$page.params.size.status"}"#, r#"{"a":"FINAL","b":"UPDATED"}"#),
            ("what the user said", r#"{"a": "$request.user-utterance"}"#, r#"{"a":"deux pommes"}"#),
            ("metadata of the request", r#"{"a": "$request.end-user-metadata.tier"}"#, r#"{"a":"gold"}"#),
            ("ours: the event's data", r#"{"a": "$event.data.n"}"#, r#"{"a":1}"#),
            ("a function, typed", r#"{"a": "$sys.func.ADD($session.params.size, 1)"}"#, r#"{"a":4}"#),
            (
                "and one within another and a text",
                r#"{"a": "<$sys.func.UPPER($sys.func.MID($session.params.name, 1, 3))>"}"#,
                r#"{"a":"<REP>"}"#,
            ),
            (
                "a value is never read again",
                r#"{"a": "$session.params.trick", "b": "$event.data.x"}"#,
                r#"{"a":"$session.params.fruit","b":"$session.params.size"}"#,
            ),
            ("nor within a text", r#"{"a": "- $session.params.trap -"}"#, r#"{"a":"- $sys.func.NOW() $secret:key $event.data.x -"}"#),
            (
                "the examples' body",
                "{\n  \"fruitParameter\": \"$session.params.fruit\",\n  \"sizeParameter\": \"$session.params.size\"\n}",
                r#"{"fruitParameter":"apple pie/é&=+","sizeParameter":3}"#,
            ),
        ] {
            let request = json!({ "url": endpoint.url("/"), "content_type": "application/json", "body": written });
            let received = arrives(client, &endpoint, &name, request).await;
            assert_eq!((received.text().as_str(), received.header("content-type")), (expected, "application/json"), "{rule}: {written}");
        }
        for (rule, written) in [
            ("a reference stands in quotes whatever its type", r#"{"a": $session.params.size}"#),
            ("a scope must exist", r#"{"a": "$sesion.params.size"}"#),
            ("a form must be whole", r#"{"a": "$intent.params.fruit"}"#),
            ("a secret is no parameter", r#"{"a": "$secret:key"}"#),
            ("a function must exist", r#"{"a": "$sys.func.ADDD(1)"}"#),
        ] {
            let request = json!({ "url": endpoint.url("/"), "content_type": "application/json", "body": written });
            let (status, problem) = client.put(&format!("/v1/webhooks/{name}"), &json!({ "request": request })).await;
            let pointer = problem["errors"][0]["pointer"].as_str().unwrap_or_default();
            assert!(status == 400 && pointer.starts_with("/request/body"), "{rule}: {problem}");
        }
    });
}

#[test]
fn each_rule_of_the_url_and_the_headers() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let name = unique("url");
        for (rule, written, expected) in [
            ("a value is escaped", "/h?f=$session.params.fruit", "/h?f=apple%20pie%2F%C3%A9%26%3D%2B"),
            ("a number is not quoted", "/h?s=$session.params.size&h=$session.params.half", "/h?s=3&h=2.5"),
            ("a list is JSON", "/h?l=$session.params.list", "/h?l=%5B1%2C%22b%22%2C%7B%22c%22%3Anull%7D%5D"),
            (
                "a composite value is JSON",
                "/h?o=$session.params.order",
                "/h?o=%7B%22id%22%3A7%2C%22lines%22%3A%5B%7B%22sku%22%3A%22A-1%22%7D%5D%7D",
            ),
            ("in the path too, where it stays one segment", "/$session.params.fruit/x", "/apple%20pie%2F%C3%A9%26%3D%2B/x"),
            (
                "ours: a boolean as in JSON, what is unset as nothing",
                "/h?r=$session.params.ready&n=$session.params.none&e=$session.params.empty",
                "/h?r=true&n=&e=",
            ),
            ("all else byte for byte", "/A//b;c=d?q=%7b+~|{}&sig=x%2By%3D&&k", "/A//b;c=d?q=%7b+~|{}&sig=x%2By%3D&&k"),
            (
                "a function",
                "/h?q=$sys.func.CONCATENATE($session.params.size, \" & \", $session.params.name)&k=1",
                "/h?q=3%20%26%20report&k=1",
            ),
            ("a full stop ends it", "/$session.params.size.json", "/3.json"),
            ("a value is never read again", "/h?t=$session.params.trick", "/h?t=%24session.params.fruit"),
            (
                "the examples' URL",
                "/handler?f=$session.params.fruit&s=$session.params.size",
                "/handler?f=apple%20pie%2F%C3%A9%26%3D%2B&s=3",
            ),
        ] {
            // Spaces between a function's arguments are not part of the URL that is sent.
            let received = arrives(client, &endpoint, &name, json!({ "method": "GET", "url": endpoint.url(written) })).await;
            assert_eq!(received.path, expected, "{rule}: {written}");
        }
        for (rule, written, expected) in [
            ("a header refers to parameters", "t-$session.params.size-$session.params.name", "t-3-report"),
            ("a list is JSON", "$session.params.order.lines", r#"[{"sku":"A-1"}]"#),
            ("a function", "$sys.func.COUNT($session.params.list) of $sys.func.UPPER($session.params.name)", "3 of REPORT"),
            ("ours: what is unset is nothing", "<$session.params.none>", "<>"),
            ("a value is never read again", "$session.params.trick", "$session.params.fruit"),
        ] {
            let request = json!({ "url": endpoint.url("/"), "headers": { "x-own": written }, "body": {} });
            assert_eq!(arrives(client, &endpoint, &name, request).await.header("x-own"), expected, "{rule}: {written}");
        }
        for (rule, written) in [
            ("no reference in the scheme", "$session.params.scheme://h/".to_owned()),
            ("none in the host", "https://$session.params.host/".to_owned()),
            ("none in the port", "https://h:$session.params.port/".to_owned()),
            ("no user name", "https://ann:pw@h/".to_owned()),
            ("no segment that climbs", endpoint.url("/a/../b")),
            ("no unknown scope", endpoint.url("/?q=$sesion.params.x")),
        ] {
            let (status, problem) = client.put(&format!("/v1/webhooks/{name}"), &json!({ "request": { "url": written } })).await;
            assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!("/request/url")), "{rule}: {problem}");
        }
        // A value cannot lead to a parent path either.
        client.webhook(&name, json!({ "request": { "url": endpoint.url("/a/$session.params.up/b") } })).await;
        let invoked = client.invoke(&name, json!({ "parameters": { "up": ".." } })).await;
        assert_eq!((&invoked["state"], &invoked["failure"]["kind"]), (&json!("refused"), &json!("request_invalid")), "{invoked}");
    });
}

#[test]
fn each_rule_of_the_answer() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let name = unique("answer");
        let answer = json!({ "n": 3.5, "t": "x", "b": false, "l": [1, [2]], "o": { "deep": [{ "v": null }] }, "z": null, "many": [{ "id": 1 }, { "id": 2 }], "odd key": 1 });
        for (rule, path, expected) in [
            ("a scalar", "$.n", json!(3.5)),
            ("a text", "$.t", json!("x")),
            ("a boolean", "$.b", json!(false)),
            ("a list", "$.l", json!([1, [2]])),
            ("an element of it", "$.l[1][0]", json!(2)),
            ("a composite value", "$.o", json!({ "deep": [{ "v": null }] })),
            ("the whole answer", "$", answer.clone()),
            ("a key in brackets", "$['odd key']", json!(1)),
            ("ours: several matches are a list", "$.many[*].id", json!([1, 2])),
            ("ours: so is one of a filter", "$.many[?@.id == 2].id", json!([2])),
            ("ours: and none of it", "$.many[?@.id == 3].id", json!([])),
            ("ours: the first of several", "first $.many[*].id", json!(1)),
            ("null removes", "$.z", Value::Null),
        ] {
            client.webhook(&name, json!({ "profile": "dialogflow-flexible", "request": { "method": "GET", "url": endpoint.url("/") }, "bindings": { "bound": path } })).await;
            endpoint.next(Script::json(answer.clone()));
            let session = unique("session");
            let invoked = client.invoke(&name, json!({ "session": session, "parameters": { "bound": "before" } })).await;
            assert_eq!(invoked["parameters"], json!({ "bound": expected }), "{rule}: {invoked}");
            let kept = client.parameters(&session).await;
            assert_eq!(kept.get("bound").cloned().unwrap_or_default(), expected, "{rule}");
        }
        // Our rule: without a match the parameter keeps its value, and the answer says so.
        client.webhook(&name, json!({ "profile": "dialogflow-flexible", "request": { "method": "GET", "url": endpoint.url("/") }, "bindings": { "bound": "$.none" } })).await;
        endpoint.next(Script::json(answer));
        let session = unique("session");
        let invoked = client.invoke(&name, json!({ "session": session, "parameters": { "bound": "before" } })).await;
        assert_eq!((&invoked["parameters"], &invoked["unmatched"]), (&json!({}), &json!(["bound"])), "{invoked}");
        assert_eq!(client.parameters(&session).await, json!({ "bound": "before" }));
        for path in ["routes[0]", "$.", "$.a[", "", "a.b", "$..", "$.a[?]"] {
            let document = json!({ "request": { "url": endpoint.url("/") }, "bindings": { "bound": path } });
            let (status, problem) = client.put(&format!("/v1/webhooks/{name}"), &document).await;
            assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!("/bindings/bound")), "{path}: {problem}");
        }
    });
}

/// The time limit is 5 seconds by default and 30 at most; an answer has at most 64 KiB.
#[test]
fn the_limits_of_the_page() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        for profile in ["dialogflow-flexible", "dialogflow-standard"] {
            let shown = client.look(&format!("/v1/profiles/{profile}")).await;
            assert_eq!((&shown["timeout_ms"]["default"], &shown["timeout_ms"]["max"]), (&json!(5000), &json!(30_000)), "{shown}");
            assert_eq!(
                (&shown["response_bytes_max"]["default"], &shown["response_bytes_max"]["max"]),
                (&json!(65_536), &json!(65_536)),
                "{shown}"
            );
            for (field, value) in [("timeout_ms", 30_001), ("timeout_ms", 0), ("response_bytes_max", 65_537)] {
                let document = json!({ "profile": profile, "request": { "url": endpoint.url("/") }, field: value });
                let (status, problem) = client.put("/v1/webhooks/limits-of-the-page", &document).await;
                assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!(format!("/{field}"))), "{profile}: {problem}");
            }
        }
        // Exactly 64 KiB are accepted, in every framing.
        let name = unique("limit");
        client.webhook(&name, json!({ "profile": "dialogflow-flexible", "request": { "method": "GET", "url": endpoint.url("/") }, "bindings": { "x": "$.x" } })).await;
        let empty = json!({ "x": "" }).to_string().len();
        for (length, kind, event) in [(65_536, Value::Null, Value::Null), (65_537, json!("response_too_large"), json!("webhook.error"))] {
            endpoint.next(Script::json(json!({ "x": "y".repeat(length - empty) })));
            let invoked = client.invoke(&name, json!({})).await;
            assert_eq!((&invoked["failure"]["kind"], &invoked["error_event"]), (&kind, &event), "{length}: {invoked}");
        }
    });
}

/// A value in an answer stays a value: it is bound, and then used in the URL, header and body of the next request.
#[test]
fn what_an_answer_says_is_never_expanded() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let (name, session) = (unique("echo"), unique("session"));
        let evil = "$session.params.secret $sys.func.CONCATENATE(\"a\") $event.data.x $secret:key";
        endpoint.always(Script::json(json!({ "evil": evil })));
        let request = json!({ "url": endpoint.url("/p?e=$session.params.evil"), "headers": { "x-evil": "$session.params.evil" }, "body": { "e": "$session.params.evil", "t": "<$session.params.evil>", "d": "$event.data" } });
        client.webhook(&name, json!({ "request": request, "bindings": { "evil": "$.evil" } })).await;
        let with = json!({ "session": session, "parameters": { "secret": "canary" }, "data": { "x": evil } });
        client.invoke(&name, with.clone()).await;
        endpoint.next_request().await;
        client.invoke(&name, with).await;
        let received = endpoint.next_request().await;
        assert_eq!(received.json(), json!({ "e": evil, "t": format!("<{evil}>"), "d": { "x": evil } }));
        assert_eq!(received.header("x-evil"), evil);
        let query: Vec<_> =
            url::form_urlencoded::parse(received.path.split_once('?').expect("a query").1.as_bytes()).into_owned().collect();
        assert_eq!(query, [("e".to_owned(), evil.to_owned())]);
        assert!(!received.text().contains("canary") && !received.path.contains("canary"));
    });
}

/// The page's URL, body, answer and path, exactly as written and at the host they name.
#[test]
fn the_pages_examples_run_as_they_stand_there() {
    run(async {
        let client = &shared().await.client;
        let authority = Authority::new();
        let endpoint = Endpoint::start_tls(&authority.server(&["your-webhook-service.com"]), None).await;
        endpoint.next(Script::status(200).header("content-type", "application/json").body(
            "{\n  \"routes\" : [\n    {\n      \"legs\" : [\n        {\n          \"distance\" : {\n            \"text\" : \"2,064 mi\",\n            \"value\" : 3321004\n          }\n        }\n      ]\n    }\n  ]\n}",
        ));
        let name = unique("verbatim");
        let webhook = json!({
            "profile": "dialogflow-flexible",
            "request": {
                "url": "https://your-webhook-service.com/handler?f=$session.params.fruit&s=$session.params.size", "content_type": "application/json",
                "body": "{\n  \"fruitParameter\": \"$session.params.fruit\",\n  \"sizeParameter\": \"$session.params.size\"\n}",
            },
            "bindings": { "distance": "$.routes[0].legs[0].distance.value" },
            "resolve": { "your-webhook-service.com": endpoint.address.to_string() }, "tls": { "ca_certificates": [authority.pem] },
        });
        client.webhook(&name, webhook).await;
        let invoked = client.invoke(&name, json!({ "session": name, "parameters": { "fruit": "apple", "size": 3 } })).await;
        assert_eq!(invoked["parameters"], json!({ "distance": 3_321_004 }), "{invoked}");
        let received = endpoint.next_request().await;
        assert_eq!((received.method.as_str(), received.path.as_str()), ("POST", "/handler?f=apple&s=3"));
        assert_eq!(received.headers["host"], "your-webhook-service.com");
        assert_eq!(received.text(), r#"{"fruitParameter":"apple","sizeParameter":3}"#);
    });
}

/// What an endpoint does, and the expected result: the row on the handler page, the number of attempts, `google.rpc.Code`.
struct Row {
    what: &'static str,
    url: String,
    answer: Option<Script>,
    event: &'static str,
    kind: &'static str,
    http_status: Option<u16>,
    attempts: u32,
    code: u8,
}

fn row(what: &'static str, event: &'static str, kind: &'static str, code: u8) -> Row {
    Row { what, url: String::new(), answer: None, event, kind, http_status: None, attempts: 1, code }
}

/// Every row of the table of errors, at an endpoint that really behaves so: the outcome of `invoke`, the operational event, the status
/// list of a call, and the number of attempts.
#[test]
fn each_error_of_the_page_by_an_endpoint_that_makes_it() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let (endpoint, told) = (Endpoint::start().await, Endpoint::start().await);
        let authority = Authority::new();
        let untrusted = Endpoint::start_tls(&authority.server(&["127.0.0.1"]), None).await;
        let gate = Gate::new();
        let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
        let body = json!({ "trigger": "$event.trigger", "data": "$event.data" });
        client
            .webhook(
                "watch",
                json!({ "selectors": ["webhook.error", "webhook.error.*"], "request": { "url": told.url("/"), "body": body } }),
            )
            .await;
        client.grant("asks", json!({ "webhooks": ["w"] })).await;
        client
            .script("asks", "export function receive(call) { const got = hookwright.invoke('w', {}); return { status: 200, body: got }; }")
            .await;
        let code = client.receiver("asks", json!({ "plugin": "asks", "full_reply": true })).await;

        let status = |status: u16, event: &'static str, code: u8| Row {
            answer: Some(Script::status(status)),
            http_status: Some(status),
            ..row("a status", event, "http_status", code)
        };
        let answering =
            |what, script: Script, kind, http_status| Row { answer: Some(script), http_status, ..row(what, "webhook.error", kind, 13) };
        let at = |what, url: String, event, kind, attempts, code| Row { url, attempts, ..row(what, event, kind, code) };
        let rows = [
            Row {
                answer: Some(Script::status(200).behind(&gate)),
                attempts: 2,
                ..row("no answer in time", "webhook.error.timeout", "timeout", 4)
            },
            status(400, "webhook.error.bad-request", 3),
            status(401, "webhook.error.rejected", 16),
            status(403, "webhook.error.rejected", 7),
            status(503, "webhook.error.unavailable", 14),
            status(404, "webhook.error", 5),
            status(500, "webhook.error", 13),
            status(302, "webhook.error", 2),
            status(429, "webhook.error", 8),
            answering("an answer that is no JSON", Script::status(200).body("no JSON"), "response_invalid", Some(200)),
            answering(
                "an answer of more than 64 KiB",
                Script::json(json!({ "x": "y".repeat(64 * 1024) })),
                "response_too_large",
                Some(200),
            ),
            at("nobody listens", format!("http://{closed}/"), "webhook.error.not-found", "connect_failed", 2, 14),
            at("a name nobody has", "https://no-such-host.invalid/".to_owned(), "webhook.error.not-found", "name_not_resolved", 2, 14),
            at("an address that is closed to us", "https://10.1.2.3/".to_owned(), "webhook.error.not-found", "address_refused", 1, 14),
            at("a certificate nobody vouches for", untrusted.url("/"), "webhook.error", "tls_failed", 2, 14),
        ];
        for Row { what, url, answer, event, kind, http_status, attempts, code: rpc } in rows {
            let url = if url.is_empty() { endpoint.url("/") } else { url };
            let what = format!("{what} {http_status:?}");
            client
                .webhook(
                    "w",
                    json!({ "profile": "dialogflow-flexible", "request": { "url": url }, "timeout_ms": 150, "bindings": { "x": "$.x" } }),
                )
                .await;
            if let Some(answer) = answer {
                endpoint.always(answer);
            }
            endpoint.forget().await;
            let invoked = client.invoke("w", json!({})).await;
            // If the endpoint accepted a request, it is delivered, even if its answer cannot be read.
            let state = if http_status == Some(200) { "delivered" } else { "failed" };
            assert_eq!(
                (&invoked["state"], &invoked["error_event"], &invoked["failure"]["kind"]),
                (&json!(state), &json!(event), &json!(kind)),
                "{what}: {invoked}"
            );
            if http_status.is_some() {
                assert_eq!(invoked["http_status"], json!(http_status), "{what}: {invoked}");
            }
            assert_eq!(invoked["attempts"], json!(attempts), "one automatic retry after no answer, none after a status; {what}: {invoked}");
            let notice = told.next_request().await.json();
            assert_eq!(notice["trigger"], event, "{what}: {notice}");
            assert_eq!(
                (&notice["data"]["webhook"], &notice["data"]["delivery"], &notice["data"]["failure"]),
                (&json!("w"), &invoked["delivery"], &json!(kind)),
                "{what}: {notice}"
            );

            let answered = client.call(&code, "", "{}").await;
            assert_eq!(
                (&answered.json()["delivered"], &answered.json()["errorEvent"]),
                (&json!(false), &json!(event)),
                "{what}: {}",
                answered.text()
            );
            let call = client.last_call("asks").await;
            let [ended] = call["webhook_statuses"].as_array().expect("statuses").as_slice() else { panic!("{what}: {call}") };
            assert_eq!(
                (&ended["webhook"], &ended["code"], &ended["error_event"]),
                (&json!("w"), &json!(rpc), &json!(event)),
                "{what}: {ended}"
            );
            assert!(ended["message"].as_str().is_some_and(|message| !message.is_empty()), "{what}: {ended}");
            assert_eq!(told.next_request().await.json()["trigger"], event, "{what}");
        }
        gate.open();
        // All in one call, in the order in which they were made.
        client.script("asks", "export function receive(call) { hookwright.invoke('w', {}); hookwright.invoke('w', {}); hookwright.invoke('w', {}); return { status: 200 }; }").await;
        client.webhook("w", json!({ "profile": "dialogflow-flexible", "request": { "url": endpoint.url("/") } })).await;
        endpoint.always(Script::status(200));
        endpoint.next(Script::status(503));
        endpoint.next(Script::status(200));
        endpoint.next(Script::status(400));
        client.call(&code, "", "{}").await;
        let call = client.last_call("asks").await;
        let codes: Vec<_> = call["webhook_statuses"].as_array().expect("statuses").iter().map(|ended| ended["code"].clone()).collect();
        assert_eq!(codes, [json!(14), json!(0), json!(3)], "{call}");
    });
}

/// A payload URL that is a credential, as Azure Logic Apps makes them: it is sent byte for byte, and its signature is never shown.
#[test]
fn a_url_that_is_a_credential_leaves_as_it_is_and_is_shown_nowhere() {
    const URL: &str = "https://app.logic.azure.com:443/workflows/b688528a36e246279dc050f936e5ebd4/triggers/manual/paths/invoke?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=nHP-LBo9x-nSgMi11DSDuwRIUiJr-8yKGCy7OYaT_ow";
    const SIGNATURE: &str = "nHP-LBo9x";
    run(async {
        let directory = data_directory();
        let process =
            Process::serve_under(&directory.path().join("data"), &[], &[("RUST_LOG", "trace,h2=info"), ("HOOKWRIGHT_ADMIN_TOKEN", TOKEN)])
                .await;
        let client = &process.client;
        let authority = Authority::new();
        let endpoint = Endpoint::start_tls(&authority.server(&["app.logic.azure.com"]), None).await;
        let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
        let webhook = |address: String| {
            json!({
                "name": "flow", "profile": "arcgis-organization", "selectors": ["/items"], "request": { "url": URL }, "retry": { "attempts": 2, "gap_seconds": 1 },
                "resolve": { "app.logic.azure.com": address }, "tls": { "ca_certificates": [authority.pem] },
                "environments": { "staging": { "request": { "url": URL } } },
            })
        };
        let mut shown: Vec<(String, String)> = Vec::new();
        let mut show = |what: &str, document: &Value| shown.push((what.to_owned(), document.to_string()));
        show("PUT", &client.webhook("flow", webhook(endpoint.address.to_string())).await);
        let event = json!({ "trigger": "/items/abc/share", "data": { "username": "ann", "userId": "u", "properties": {} } });
        let accepted = client.event(event.clone()).await;
        show("event?wait", &accepted);
        let received = endpoint.next_request().await;
        assert_eq!(received.path, URL.strip_prefix("https://app.logic.azure.com:443").expect("that host"), "byte for byte");
        assert_eq!(received.header("host"), "app.logic.azure.com");
        // The same for each kind of failure: a status, a refused connection, a refused URL.
        endpoint.next(Script::status(500));
        show("invoke, 500", &client.invoke("flow", json!({ "data": event["data"] })).await);
        show("test", &client.post("/v1/webhooks/flow/test", &json!({})).await.1);
        show("preview", &client.post("/v1/webhooks/flow/preview", &json!({ "data": event["data"] })).await.1);
        show("check", &client.post("/v1/webhooks/flow/check", &json!({})).await.1);
        show("PATCH", &client.patch("/v1/webhooks/flow", &json!({ "resolve": { "app.logic.azure.com": closed.to_string() } })).await.1);
        show("invoke, refused", &client.invoke("flow", json!({ "data": event["data"] })).await);
        show("check, refused", &client.post("/v1/webhooks/flow/check", &json!({ "environment": "staging" })).await.1);
        let with_url = |url: String| json!({ "request": { "url": url } });
        for wrong in [
            format!("{URL}#top"),
            format!("{URL} x"),
            URL.replace("https", "ftp"),
            URL.replace("app.", "u:p@app."),
            format!("{URL}$sesion.params.x"),
        ] {
            let (status, problem) = client.put("/v1/webhooks/wrong", &with_url(wrong)).await;
            assert_eq!(status, 400, "{problem}");
            show("a problem", &problem);
        }
        for path in ["/v1/webhooks", "/v1/webhooks/flow", "/v1/deliveries?limit=500", "/v1/events", "/v1/secrets"] {
            show(path, &client.look(path).await);
        }
        for delivery in client.look("/v1/deliveries?limit=500").await["data"].as_array().expect("deliveries") {
            show("delivery", &client.delivery(delivery["id"].as_str().expect("an id")).await);
        }
        let delivery = accepted["deliveries"][0]["id"].as_str().expect("an id").to_owned();
        for arguments in [
            &["webhook", "list"][..],
            &["webhook", "show", "flow"],
            &["webhook", "preview", "flow", "--data", "{}"],
            &["webhook", "invoke", "flow", "--data", "{}"],
            &["webhook", "test", "flow"],
            &["webhook", "check", "flow"],
            &["delivery", "list"],
            &["delivery", "show", &delivery],
            &["event", "list"],
        ] {
            let mut command = hookwright_tests::process::hookwright(arguments);
            command.env("HOOKWRIGHT_URL", client.url("")).env("HOOKWRIGHT_TOKEN", TOKEN);
            let finished = hookwright_tests::process::finish(&mut command).await;
            assert!(!finished.all().is_empty(), "{arguments:?}");
            shown.push((format!("{arguments:?}"), finished.all()));
        }
        let log = process.log();
        assert!(log.contains("app.logic.azure.com"), "there is a log to look at");
        shown.push(("the log".to_owned(), log));
        shown.push(("standard output".to_owned(), process.printed().join("\n")));
        for (what, text) in &shown {
            assert!(!text.contains(SIGNATURE), "{what} shows it: {text}");
            assert!(!text.contains("%2Ftriggers%2Fmanual%2Frun"), "{what} shows a value of the query: {text}");
        }
        // Only an admin who asks for it sees the whole URL.
        assert_eq!(client.look("/v1/webhooks/flow?reveal=true").await["request"]["url"], URL);
        assert!(process.terminate().await.success());
    });
}
