//! Events: accepted once, stored on disk, matched by selectors, sources and filters.

use std::time::Duration;

use hookwright_tests::{Client, Endpoint, Gate, Script, TestHost, run, shared, unique, wait::eventually};
use http::Method;
use serde_json::{Value, json};

/// The names of the webhooks that `event` fired.
fn fired(accepted: &Value) -> Vec<&str> {
    let mut names: Vec<_> =
        accepted["deliveries"].as_array().expect("deliveries").iter().map(|one| one["webhook"].as_str().expect("a name")).collect();
    names.sort_unstable();
    names
}

/// Finds out which of `selectors` an event fires. Each is a webhook that only takes this test's source.
struct Selecting {
    client: &'static Client,
    source: String,
    _endpoint: Endpoint,
}

impl Selecting {
    async fn by(selectors: &[&str]) -> Self {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let source = unique("selecting");
        for (index, selector) in selectors.iter().enumerate() {
            let webhook = json!({ "selectors": [selector], "sources": [source], "labels": { "selector": selector }, "request": { "url": endpoint.url("/") } });
            client.webhook(&format!("{source}.{index}"), webhook).await;
        }
        Self { client, source, _endpoint: endpoint }
    }

    async fn fires(&self, trigger: &str, expected: &[usize]) {
        let accepted = self.client.event(json!({ "trigger": trigger, "source": self.source, "data": {} })).await;
        let expected: Vec<_> = expected.iter().map(|index| format!("{}.{index}", self.source)).collect();
        assert_eq!(fired(&accepted), expected, "{trigger}");
    }
}

#[test]
fn paths_are_selected_by_the_rules_of_arcgis() {
    run(async {
        let selecting = Selecting::by(&["/", "/items", "/items/share", "/items/abc", "/items/abc/share", "/users", "/own/path"]).await;
        selecting.fires("/items/abc/share", &[0, 1, 2, 3, 4]).await;
        selecting.fires("/items/abc/SHARE", &[0, 1, 2, 3, 4]).await;
        selecting.fires("/items/other/share", &[0, 1, 2]).await;
        selecting.fires("/items/abc/delete", &[0, 1, 3]).await;
        selecting.fires("/users/ann/signIn", &[0, 5]).await;
        selecting.fires("/own/path", &[0, 6]).await;
        selecting.fires("/own/path/below", &[0, 6]).await;
        selecting.fires("/own/pathological", &[0]).await;
        selecting.fires("own.path", &[]).await;
    });
}

#[test]
fn words_are_selected_whole_by_prefix_or_all() {
    run(async {
        let selecting = Selecting::by(&["*", "user.created", "user.*", "FeaturesEdited", "FeaturesCreated"]).await;
        selecting.fires("user.created", &[0, 1, 2]).await;
        selecting.fires("user.deleted.twice", &[0, 2]).await;
        selecting.fires("user", &[0]).await;
        selecting.fires("username", &[0]).await;
        selecting.fires("FeaturesCreated", &[0, 3, 4]).await;
        selecting.fires("FeaturesDeleted", &[0, 3]).await;
        selecting.fires("/items/abc/share", &[0]).await;
    });
}

#[test]
fn a_webhook_fires_once_however_many_of_its_selectors_match() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let name = unique("once");
        client
            .webhook(&name, json!({ "selectors": ["a.b", "a.*", "*"], "sources": [name], "request": { "url": endpoint.url("/") } }))
            .await;
        let accepted = client.event(json!({ "trigger": "a.b", "source": name })).await;
        assert_eq!(fired(&accepted), [name.as_str()]);
    });
}

#[test]
fn a_filter_lets_through_what_was_shared_with_everyone() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let name = unique("public");
        let filter = "$[?@.properties.sharedToGroups[?@=='Everyone']]";
        let webhook =
            json!({ "selectors": ["/items/share"], "sources": [name], "filter": filter, "request": { "url": endpoint.url("/") } });
        client.webhook(&name, webhook).await;
        let share = |groups: Value| json!({ "trigger": "/items/abc/share", "source": name, "data": { "username": "ann", "userId": "1", "properties": { "sharedToGroups": groups } } });
        assert_eq!(fired(&client.event(share(json!(["Everyone"]))).await), [name.as_str()]);
        assert_eq!(fired(&client.event(share(json!(["our-group"]))).await), Vec::<&str>::new());
        let tried = json!({ "events": [{ "data": { "properties": { "sharedToGroups": ["Everyone"] } } }, { "data": {} }] });
        let (status, verdicts) = client.post(&format!("/v1/webhooks/{name}/filter-test"), &tried).await;
        assert_eq!((status, verdicts), (200, json!({ "verdicts": [true, false] })));
    });
}

#[test]
fn an_event_that_costs_its_filter_too_much_is_refused_and_not_lost() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let name = unique("costly");
        let filter = "$..[?$..missing]";
        let webhook = json!({ "selectors": ["list.made"], "sources": [name], "filter": filter, "request": { "url": endpoint.url("/") } });
        client.webhook(&name, webhook).await;
        let made = |list: Vec<u8>| json!({ "trigger": "list.made", "source": name, "data": { "list": list } });
        assert_eq!(fired(&client.event(made(vec![0])).await), Vec::<&str>::new());
        let accepted = client.event(made(vec![0; 20_000])).await;
        assert_eq!(fired(&accepted), [name.as_str()]);
        let delivery = client.delivery(accepted["deliveries"][0]["id"].as_str().expect("an id")).await;
        let failure = &delivery["attempt_log"][0]["failure"];
        assert_eq!((&delivery["state"], &failure["kind"]), (&json!("refused"), &json!("filter_budget")), "{delivery}");
        assert!(failure["detail"].as_str().is_some_and(|detail| detail.contains("filter")), "{failure}");
        let tried = json!({ "events": [{ "data": vec![0; 20_000] }] });
        let (status, problem) = client.post(&format!("/v1/webhooks/{name}/filter-test"), &tried).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!("/filter")), "{problem}");
    });
}

#[test]
fn an_ill_typed_filter_is_refused_with_its_place_and_what_would_be_right() {
    run(async {
        let client = &shared().await.client;
        let path = format!("/v1/webhooks/{}", unique("ill-typed"));
        let document = json!({ "selectors": ["a.b"], "filter": "$[?count(@.items)]", "request": { "url": "http://127.0.0.1:1/" } });
        let (status, problem) = client.put(&path, &document).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!("/filter")), "{problem}");
        let detail = problem["errors"][0]["detail"].as_str().expect("a detail");
        assert!(detail.contains("`count(...) > 0`") && detail.ends_with("(at character 3)"), "{detail}");
    });
}

#[test]
fn a_repeat_is_answered_with_the_first_id_and_delivered_once() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let name = unique("repeat");
        client.webhook(&name, json!({ "selectors": ["order.made"], "sources": [name], "request": { "url": endpoint.url("/") } })).await;
        let event = json!({ "trigger": "order.made", "source": name, "id": "order-7", "data": { "n": 7 } });
        let (status, first) = client.post("/v1/events", &event).await;
        assert_eq!(status, 202);
        assert_eq!(first.get("duplicate"), None);
        let (status, again) = client.post("/v1/events", &event).await;
        assert_eq!((status, &again), (202, &json!({ "id": first["id"], "duplicate": true })));

        let changed = json!({ "trigger": "order.made", "source": name, "id": "order-7", "data": { "n": 8 } });
        let (status, problem) = client.post("/v1/events", &changed).await;
        assert_eq!(status, 422, "{problem}");

        // `order-7` from another source is another event.
        let other = json!({ "trigger": "order.made", "source": unique("other"), "id": "order-7", "data": { "n": 8 } });
        let (status, other) = client.post("/v1/events", &other).await;
        assert_eq!((status, other.get("duplicate")), (202, None));
        assert_ne!(other["id"], first["id"]);

        let seen = client.look(&format!("/v1/deliveries?webhook={name}")).await;
        assert_eq!(seen["data"].as_array().map(Vec::len), Some(1));
    });
}

#[test]
fn an_idempotency_key_stands_in_for_an_id() {
    run(async {
        let client = &shared().await.client;
        let trigger = unique("keyed").replace('-', ".");
        let key = unique("key");
        let headers = [("content-type", "application/json"), ("idempotency-key", key.as_str())];
        let post = |body: Value| async move { client.send(Method::POST, "/v1/events", &headers, body.to_string()).await };
        let first = post(json!({ "trigger": trigger })).await;
        let again = post(json!({ "trigger": trigger })).await;
        assert_eq!((first.status, again.status), (202, 202));
        assert_eq!((&again.json()["id"], &again.json()["duplicate"]), (&first.json()["id"], &json!(true)));
        assert_eq!(post(json!({ "trigger": trigger, "data": 1 })).await.status, 422);
        let several = post(json!([{ "trigger": trigger }])).await;
        assert_eq!(several.status, 400, "a key cannot stand for several events");
    });
}

#[test]
fn an_array_is_accepted_whole_or_not_at_all() {
    run(async {
        let client = &shared().await.client;
        let source = unique("array");
        let good = json!({ "trigger": "array.good", "source": source, "id": "1" });
        let mixed = json!([good, { "trigger": "no spaces", "source": source }, { "trigger": "/items/share" }, { "triger": "x" }]);
        let (status, problem) = client.post("/v1/events", &mixed).await;
        assert_eq!(status, 400, "{problem}");
        // An event that cannot be parsed is reported first.
        assert_eq!(problem["errors"][0]["pointer"], "/3/triger", "{problem}");
        let mixed = json!([good, { "trigger": "no spaces", "source": source }, { "trigger": "/items/share" }]);
        let (status, problem) = client.post("/v1/events", &mixed).await;
        assert_eq!(status, 400, "{problem}");
        let pointers: Vec<_> =
            problem["errors"].as_array().expect("errors").iter().map(|error| error["pointer"].as_str().unwrap_or_default()).collect();
        assert_eq!(pointers, ["/1/trigger", "/2/trigger"]);
        // Nothing of the list was kept: the good event is still new.
        let (status, answer) = client.post("/v1/events", &json!([good, { "trigger": "array.good", "source": source, "id": "2" }])).await;
        assert_eq!((status, answer["ids"].as_array().map(Vec::len)), (202, Some(2)));
        let (_, answer) = client.post("/v1/events", &good).await;
        assert_eq!(answer["duplicate"], true);
        // An identifier that is used again with another body makes the whole list fail.
        let clash =
            json!([{ "trigger": "array.new", "source": source, "id": "3" }, { "trigger": "array.other", "source": source, "id": "2" }]);
        assert_eq!(client.post("/v1/events", &clash).await.0, 422);
        let (_, answer) = client.post("/v1/events", &json!({ "trigger": "array.new", "source": source, "id": "3" })).await;
        assert_eq!(answer.get("duplicate"), None);
    });
}

#[test]
fn wait_answers_with_what_became_of_the_deliveries() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let name = unique("waited");
        client.webhook(&name, json!({ "selectors": ["waited.for"], "sources": [name], "request": { "url": endpoint.url("/in") } })).await;
        let (status, answer) =
            client.post("/v1/events?wait=50s", &json!({ "trigger": "waited.for", "source": name, "data": { "a": 1 } })).await;
        assert_eq!(status, 200, "{answer}");
        let delivery = &answer["deliveries"][0];
        assert_eq!((&delivery["state"], &delivery["attempts"], &delivery["webhook"]), (&json!("delivered"), &json!(1), &json!(name)));
        assert_eq!(delivery["last_attempt"]["answer"]["status"], 200);
        assert_eq!(endpoint.next_request().await.json()["data"], json!({ "a": 1 }));
        // Several events: each answer has its own deliveries.
        let (status, answer) = client
            .post(
                "/v1/events?wait=50s",
                &json!([{ "trigger": "waited.for", "source": name }, { "trigger": "nobody.cares", "source": name }]),
            )
            .await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["events"][0]["deliveries"][0]["state"], "delivered");
        assert_eq!(answer["events"][1]["deliveries"], json!([]));
        for bad in ["5", "-1s", "61s", "x"] {
            assert_eq!(client.post(&format!("/v1/events?wait={bad}"), &json!({ "trigger": "a" })).await.0, 400, "{bad}");
        }
    });
}

#[test]
fn a_wait_that_is_over_does_not_end_the_delivery() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let gate = Gate::new();
        endpoint.next(Script::status(200).behind(&gate));
        let name = unique("slow");
        client.webhook(&name, json!({ "selectors": ["slow.one"], "sources": [name], "request": { "url": endpoint.url("/") } })).await;
        let (status, answer) = client.post("/v1/events?wait=0.05s", &json!({ "trigger": "slow.one", "source": name })).await;
        assert_eq!((status, &answer["deliveries"][0]["state"]), (200, &json!("sending")), "{answer}");
        gate.open();
        let id = answer["id"].as_str().expect("an id");
        eventually("the delivery", || async {
            (client.look(&format!("/v1/events/{id}")).await["deliveries"][0]["state"] == "delivered").then_some(())
        })
        .await;
    });
}

#[test]
fn parameters_are_merged_into_the_session_with_the_event() {
    run(async {
        let client = &shared().await.client;
        let session = unique("session");
        let post = |parameters: Value| {
            let event = json!({ "trigger": "with.parameters", "session": session, "parameters": parameters });
            async move { client.post("/v1/events", &event).await.0 }
        };
        assert_eq!(post(json!({ "fruit": "apple", "size": 3 })).await, 202);
        assert_eq!(post(json!({ "Size": null, "colour": ["red"] })).await, 202);
        assert_eq!(client.parameters(&session).await, json!({ "fruit": "apple", "colour": ["red"] }));
        let (status, problem) = client.post("/v1/events", &json!({ "trigger": "a", "parameters": { "x": 1 } })).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!("/parameters")));
    });
}

#[test]
fn closed_families_name_an_object_and_a_known_operation() {
    run(async {
        let client = &shared().await.client;
        for (trigger, says) in [
            ("/items/share", "/items/<"),
            ("/items", "/items/<"),
            ("/items/abc/shar", "did you mean"),
            ("/users/ann", "/users/<"),
            ("/", "selector"),
            ("", "empty"),
            ("a b", "cannot be part"),
            ("webhook.error", "own triggers"),
            ("code.crm", "own triggers"),
        ] {
            let (status, problem) = client.post("/v1/events", &json!({ "trigger": trigger })).await;
            assert_eq!(status, 400, "{trigger}");
            assert_eq!(problem["errors"][0]["pointer"], "/trigger");
            let detail = problem["errors"][0]["detail"].as_str().unwrap_or_default();
            assert!(detail.contains(says), "{trigger}: {detail}");
        }
        for trigger in ["/our/own/path", "/items/abc/share", "/roles/r1/delete", "AnyWord", "a.b-c_d"] {
            assert_eq!(client.post("/v1/events", &json!({ "trigger": trigger })).await.0, 202, "{trigger}");
        }
    });
}

#[test]
fn cloud_events_come_in_all_three_forms() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let source = unique("/cloud");
        client.webhook(&unique("cloud"), json!({ "selectors": ["cloud.made"], "sources": [source], "request": { "url": endpoint.url("/"), "body": { "data": "$event.data", "attributes": "$event.attributes" } } })).await;
        let post = async |headers: &[(&str, &str)], body: String| client.send(Method::POST, "/v1/events?wait=50s", headers, body).await;

        let structured =
            json!({ "specversion": "1.0", "id": "1", "source": source, "type": "cloud.made", "subject": "s", "data": { "n": 1 } });
        let answer = post(&[("content-type", "application/cloudevents+json")], structured.to_string()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(endpoint.next_request().await.json()["data"], json!({ "n": 1 }));

        let headers = [
            ("content-type", "application/json"),
            ("ce-specversion", "1.0"),
            ("ce-id", "2"),
            ("ce-source", source.as_str()),
            ("ce-type", "cloud.made"),
            ("ce-shown", "Euro%20%E2%82%AC%20%F0%9F%98%80"),
        ];
        let answer = post(&headers, json!({ "n": 2 }).to_string()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let received = endpoint.next_request().await.json();
        assert_eq!(received["data"], json!({ "n": 2 }));
        assert_eq!(received["attributes"]["shown"], "Euro € 😀");

        let mut batch = vec![structured.clone(), structured.clone()];
        batch[1]["id"] = json!("3");
        let answer = post(&[("content-type", "application/cloudevents-batch+json")], json!(batch).to_string()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        // The first event repeats the structured one: source and identifier are the same.
        assert_eq!(answer.json()["events"][0]["duplicate"], true);
        assert_eq!(answer.json()["ids"].as_array().map(Vec::len), Some(2));

        for (media, body) in [
            ("application/cloudevents+xml", "<event/>"),
            ("text/plain", "hello"),
            ("application/cloudevents+json", r#"{"specversion":"1.0","id":"4","source":"/s","type":"a","data_base64":"aGk="}"#),
        ] {
            assert_eq!(post(&[("content-type", media)], body.to_owned()).await.status, 415, "{media}");
        }
        let binary = [("content-type", "text/csv"), ("ce-specversion", "1.0"), ("ce-id", "5"), ("ce-source", "/s"), ("ce-type", "a")];
        assert_eq!(post(&binary, "a,b".to_owned()).await.status, 415);
    });
}

#[test]
fn events_are_numbered_shown_with_their_deliveries_and_can_be_removed() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let name = unique("shown");
        client.webhook(&name, json!({ "selectors": ["shown.word"], "sources": [name], "request": { "url": endpoint.url("/") } })).await;
        let first = client
            .event(json!({ "trigger": "shown.word", "source": name, "data": { "who": "ann" }, "attributes": { "tenant": "north" } }))
            .await;
        let second = client.event(json!({ "trigger": "shown.word", "source": name })).await;
        let (first_id, second_id) = (first["id"].as_str().expect("an id"), second["id"].as_str().expect("an id"));
        let shown = client.look(&format!("/v1/events/{first_id}")).await;
        assert_eq!(
            (&shown["trigger"], &shown["data"], &shown["attributes"]),
            (&json!("shown.word"), &json!({ "who": "ann" }), &json!({ "tenant": "north" }))
        );
        assert_eq!(shown["deliveries"][0]["state"], "delivered");
        let later = client.look(&format!("/v1/events/{second_id}")).await;
        assert!(later["seq"].as_u64() > shown["seq"].as_u64());
        assert!(first_id < second_id, "identifiers sort by time");

        assert_eq!(client.delete(&format!("/v1/events/{first_id}")).await.0, 204);
        assert_eq!(client.get(&format!("/v1/events/{first_id}")).await.0, 404);
        let delivery = first["deliveries"][0]["id"].as_str().expect("an id");
        let (status, left) = client.get(&format!("/v1/deliveries/{delivery}")).await;
        assert!(status == 404 || !left.to_string().contains("ann"), "{left}");
    });
}

#[test]
fn what_is_too_large_is_refused() {
    run(async {
        let client = &shared().await.client;
        let large = json!({ "trigger": "a.b", "data": "x".repeat(256 * 1024) });
        let (status, problem) = client.post("/v1/events", &large).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!("/data")));
        let many: Vec<_> = (0..501).map(|_| json!({ "trigger": "a.b" })).collect();
        assert_eq!(client.post("/v1/events", &json!(many)).await.0, 400);
        let (status, _) = client.post("/v1/events", &json!({ "trigger": "a.b", "data": "x".repeat(5 * 1024 * 1024) })).await;
        assert_eq!(status, 413);
    });
}

#[test]
fn the_same_event_posted_at_once_is_accepted_once() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let name = unique("race");
        client.webhook(&name, json!({ "selectors": ["race.word"], "sources": [name], "request": { "url": endpoint.url("/") } })).await;
        let event = json!({ "trigger": "race.word", "source": name, "id": "1" });
        let posted = futures::future::join_all((0..20).map(|_| client.post("/v1/events?wait=50s", &event))).await;
        assert!(posted.iter().all(|(status, answer)| *status == 200 && answer["id"] == posted[0].1["id"]), "{posted:?}");
        assert_eq!(posted.iter().filter(|(_, answer)| answer.get("duplicate").is_none()).count(), 1);
        assert_eq!(endpoint.seen().len(), 1);
    });
}

#[test]
fn a_key_and_a_session_are_forgotten_after_their_time() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let event = json!({ "trigger": "a.b", "id": "1", "session": "s", "parameters": { "p": 1 } });
        let (_, first) = client.post("/v1/events", &event).await;
        host.clock.advance(Duration::from_secs(29 * 60));
        assert_eq!(client.parameters("s").await, json!({ "p": 1 }));
        let (_, again) = client.post("/v1/events", &event).await;
        assert_eq!(again["id"], first["id"]);
        host.clock.advance(Duration::from_secs(23 * 3600));
        assert_eq!(client.parameters("s").await, json!({}), "30 minutes after its last use a session is empty");
        assert_eq!(client.post("/v1/events", &event).await.1["duplicate"], true);
        host.clock.advance(Duration::from_secs(2 * 3600));
        let (status, anew) = client.post("/v1/events", &event).await;
        assert_eq!((status, anew.get("duplicate")), (202, None), "a day later it is another event");
        assert_ne!(anew["id"], first["id"]);
    });
}
