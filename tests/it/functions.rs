//! System functions and references at the boundary: in the URL, headers and body that are sent.

use hookwright_tests::{Endpoint, Script, run, shared, unique};
use proptest::prelude::*;
use serde_json::{Value, json};

#[test]
fn functions_stand_in_url_headers_and_body() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let name = unique("functions");
        let request = json!({
            "url": endpoint.url("/$sys.func.LOWER($session.params.kind)?q=$sys.func.CONCATENATE(\"a/b \", $session.params.fruit, \"#?\")"),
            "headers": { "x-count": "$sys.func.COUNT($session.params.sizes) pieces" },
            "body": { "sum": "$sys.func.ADD($session.params.size, 1)", "first": "$sys.func.GET($session.params.sizes, 0)", "text": "in all: $sys.func.MULTIPLY($session.params.size, 2)." },
        });
        client.webhook(&name, json!({ "request": request })).await;
        let invoked = client
            .invoke(&name, json!({ "parameters": { "kind": "FRUIT", "fruit": "apple&pear", "size": 3, "sizes": [{ "n": 1 }, 2] } }))
            .await;
        assert_eq!(invoked["state"], "delivered", "{invoked}");
        let received = endpoint.next_request().await;
        assert_eq!(received.path, "/fruit?q=a%2Fb%20apple%26pear%23%3F");
        assert_eq!(received.header("x-count"), "2 pieces");
        assert_eq!(received.json(), json!({ "sum": 4, "first": { "n": 1 }, "text": "in all: 6." }));
    });
}

#[test]
fn a_function_that_is_wrong_is_refused_with_its_place_and_one_that_fails_is_named() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        for (text, says) in [
            ("x $sys.func.AD(1)", "did you mean `ADD`? (at character 12)"),
            ("$sys.func.ADD(1, \"2\")", "argument 2 of `ADD` is not a number (at character 17)"),
            ("$sys.func.DIVIDE(1, 0)", "by zero"),
        ] {
            let document = json!({ "request": { "url": endpoint.url("/"), "body": { "x": [text] } } });
            let (status, problem) = client.put("/v1/webhooks/wrong-function", &document).await;
            let detail = problem["errors"][0]["detail"].as_str().unwrap_or_default();
            assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!("/request/body/x/0")), "{problem}");
            assert!(detail.contains(says), "{detail}");
        }
        let name = unique("failing");
        client
            .webhook(&name, json!({ "request": { "url": endpoint.url("/"), "body": { "x": "$sys.func.ADD(1, $session.params.word)" } } }))
            .await;
        let invoked = client.invoke(&name, json!({ "parameters": { "word": "canary" } })).await;
        assert_eq!((&invoked["state"], &invoked["failure"]["kind"]), (&json!("refused"), &json!("function_failed")), "{invoked}");
        assert!(
            invoked["failure"]["detail"].as_str().is_some_and(|detail| detail.contains("`$sys.func.ADD`") && !detail.contains("canary"))
        );
        assert!(endpoint.seen().is_empty());
    });
}

/// The two examples on Dialogflow CX's page "Webhooks", word for word.
#[test]
fn the_examples_of_the_page_do_what_it_says() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        endpoint.next(
            Script::status(200).body("{\n  \"routes\" : [\n    {\n      \"legs\" : [\n        {\n          \"distance\" : {\n            \"text\" : \"2,064 mi\",\n            \"value\" : 3321004\n          }\n        }\n      ]\n    }\n  ]\n}\n"),
        );
        let name = unique("page");
        let written = "{\n  \"fruitParameter\": \"$session.params.fruit\",\n  \"sizeParameter\": \"$session.params.size\"\n}\n";
        let webhook = json!({
            "profile": "dialogflow-flexible",
            "request": { "url": endpoint.url("/handler?f=$session.params.fruit&s=$session.params.size"), "content_type": "application/json", "body": written },
            "bindings": { "distance": "$.routes[0].legs[0].distance.value" },
        });
        client.webhook(&name, webhook).await;
        let invoked = client.invoke(&name, json!({ "session": name, "parameters": { "fruit": "apple pie", "size": 3 } })).await;
        let received = endpoint.next_request().await;
        assert_eq!((received.method.as_str(), received.path.as_str()), ("POST", "/handler?f=apple%20pie&s=3"));
        assert_eq!(received.text(), r#"{"fruitParameter":"apple pie","sizeParameter":3}"#);
        assert_eq!(invoked["parameters"], json!({ "distance": 3_321_004 }));
        assert_eq!(client.parameters(&name).await["distance"], 3_321_004);
    });
}

#[test]
fn the_status_of_the_webhook_called_last_can_be_referred_to() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let name = unique("status");
        client.webhook(&name, json!({ "profile": "dialogflow-flexible", "request": { "url": endpoint.url("/"), "body": { "last": "$request.webhook_status_code" } } })).await;
        let invoke = || client.invoke(&name, json!({ "session": name }));
        endpoint.next(Script::status(503));
        invoke().await;
        invoke().await;
        invoke().await;
        let seen: Vec<_> = endpoint.seen().iter().map(|seen| seen.json()["last"].clone()).collect();
        assert_eq!(seen, [json!(null), json!(503), json!(200)]);
        assert_eq!(client.parameters(&name).await, json!({}), "it is no parameter");
    });
}

/// Any JSON value that a parameter can have.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON has no others", |number| number.is_finite()).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(json!("$session.params.canary $sys.func.NOW() $secret:key")),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn cases() -> ProptestConfig {
    ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    /// A value that a whole-string reference inserts arrives unchanged. A text in a URL is unchanged once it is decoded. Values from data
    /// and answers are never expanded.
    #[test]
    fn what_is_placed_arrives_as_it_is(placed in value(), text in any::<String>(), from_event in value()) {
        let (received, bound) = run(async {
            let client = &shared().await.client;
            let endpoint = Endpoint::start().await;
            endpoint.always(Script::json(json!({ "back": placed })));
            let name = unique("placed");
            let webhook = json!({
                "request": { "url": endpoint.url("/p?q=$session.params.text&k=1"), "body": { "placed": "$session.params.placed", "event": "$event.data", "canary": "$session.params.canary" } },
                "bindings": { "bound": "$.back" },
            });
            client.webhook(&name, webhook).await;
            let with = json!({ "session": name, "parameters": { "placed": placed, "text": text, "canary": "expanded" }, "data": from_event });
            let invoked = client.invoke(&name, with).await;
            assert_eq!(invoked["state"], "delivered", "{invoked}");
            (endpoint.next_request().await, client.parameters(&name).await["bound"].clone())
        });
        let body = received.json();
        prop_assert_eq!(&body, &json!({ "placed": placed, "event": from_event, "canary": "expanded" }));
        prop_assert_eq!(bound, placed);
        let query = received.path.split_once('?').expect("a query").1.to_owned();
        let pairs: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        prop_assert_eq!(pairs, [("q".to_owned(), text), ("k".to_owned(), "1".to_owned())]);
    }
}
