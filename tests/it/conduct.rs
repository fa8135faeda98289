//! How plugins are held: limits of their own, set aside when they keep failing, taken back when a new version is worse, and who did what.

use std::time::Duration;

use hookwright_tests::{Client, Endpoint, TestHost, guests::echo, run, unique, wait::eventually};
use serde_json::{Value, json};

/// A script that fails as its event says: `trap` recurses until the sandbox ends it.
const TURNS: &str = "export function transform(delivery, events) {\n  const { data } = events[0];\n  \
     if (data === 'loop') for (;;);\n  if (data === 'reject') throw new Rejected('no');\n  return { body: { version: 1 } };\n}\n";
/// One that always runs out of time.
const LOOPS: &str = "export function transform() { for (;;); }\n";

async fn webhook(client: &Client, name: &str, endpoint: &Endpoint, more: Value) {
    let mut document = json!({ "transform": name, "selectors": ["turn.*"], "sources": [name], "request": { "url": endpoint.url("/") } });
    document.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    client.webhook(name, document).await;
}

async fn limited(client: &Client, name: &str) {
    let (status, answer) = client.put(&format!("/v1/plugins/{name}/limits"), &json!({ "cpu_ms": 60, "wall_ms": 5000 })).await;
    assert_eq!(status, 200, "{answer}");
}

async fn breaker(client: &Client, name: &str) -> Value {
    client.look(&format!("/v1/plugins/{name}")).await["breaker"].clone()
}

#[test]
fn a_limit_of_a_plugins_own_holds_from_the_next_call_on() {
    run(async {
        let host = TestHost::start().await;
        let (client, endpoint, name) = (&host.client, Endpoint::start().await, unique("held"));
        let refused = client.put(&format!("/v1/plugins/{name}/limits"), &json!({ "cpu_ms": 0, "memory_bytes": 1 << 40 })).await;
        let pointers: Vec<_> = refused.1["errors"].as_array().expect("errors").iter().map(|error| error["pointer"].clone()).collect();
        assert_eq!((refused.0, pointers), (400, vec![json!("/cpu_ms"), json!("/memory_bytes")]));
        let refused = client.put(&format!("/v1/plugins/{name}/limits"), &json!({ "cpu": 1 })).await.1;
        assert!(refused.to_string().contains("cpu_ms"), "the nearest name is told: {refused}");
        client.script(&name, "export const transform = (d, e) => ({ body: 'x'.repeat(e[0].data) });").await;
        webhook(client, &name, &endpoint, json!({})).await;
        let invoke = async |bytes: u32| client.invoke(&name, json!({ "data": bytes })).await;
        assert_eq!(invoke(5000).await["state"], "delivered");
        client.put(&format!("/v1/plugins/{name}/limits"), &json!({ "output_bytes": 1000 })).await;
        let failed = invoke(5000).await;
        assert_eq!(failed["failure"]["kind"], "plugin_output_too_large");
        assert!(
            failed["failure"]["detail"].as_str().is_some_and(|detail| detail.contains("1000 bytes (limit `output_bytes`)")),
            "{failed}"
        );
        assert_eq!(invoke(500).await["state"], "delivered");
        let limits = client.look(&format!("/v1/plugins/{name}/limits")).await;
        let own: Vec<_> = limits["data"].as_array().expect("limits").iter().filter(|limit| limit["is_own"] == true).collect();
        assert_eq!(
            (own.len(), &own[0]["name"], &own[0]["value"], &own[0]["default"], &own[0]["unit"]),
            (1, &json!("output_bytes"), &json!(1000), &json!(1_048_576), &json!("bytes"))
        );
        let host = host.restart().await;
        assert_eq!(host.client.look(&format!("/v1/plugins/{name}")).await["limits"]["output_bytes"], 1000);
    });
}

#[test]
fn one_plugin_does_not_take_every_instance() {
    run(async {
        let host = TestHost::start().await;
        let (client, endpoint, name) = (&host.client, Endpoint::start().await, unique("crowd"));
        client.script(&name, TURNS).await;
        client.put(&format!("/v1/plugins/{name}/limits"), &json!({ "concurrency": 1, "queue": 0, "cpu_ms": 300 })).await;
        webhook(client, &name, &endpoint, json!({})).await;
        let calls = futures::future::join_all((0..4).map(|_| client.invoke(&name, json!({ "data": "loop" })))).await;
        let kinds: Vec<_> = calls.iter().filter_map(|call| call["failure"]["kind"].as_str()).collect();
        assert!(
            kinds.contains(&"plugin_busy") && kinds.iter().any(|kind| *kind == "plugin_cpu" || *kind == "plugin_deadline"),
            "{kinds:?}"
        );
        let busy = calls.iter().find(|call| call["failure"]["kind"] == "plugin_busy").expect("one");
        assert!(busy["failure"]["detail"].as_str().is_some_and(|detail| detail.contains("limit `queue`")), "{busy}");
    });
}

#[test]
fn a_plugin_that_keeps_failing_is_set_aside_and_its_deliveries_wait() {
    run(async {
        let host = TestHost::start().await;
        let (client, endpoint, name) = (&host.client, Endpoint::start().await, unique("aside"));
        client.script(&name, TURNS).await;
        limited(client, &name).await;
        webhook(client, &name, &endpoint, json!({})).await;
        client.webhook("watch", json!({ "selectors": ["plugin.*"], "request": { "url": endpoint.url("/told") } })).await;
        // What it says of its input is not held against it.
        for _ in 0..15 {
            assert_eq!(client.invoke(&name, json!({ "data": "reject" })).await["failure"]["kind"], "plugin_rejected");
        }
        assert_eq!(breaker(client, &name).await["state"], "closed");
        for _ in 0..10 {
            client.invoke(&name, json!({ "data": "loop" })).await;
        }
        let open = breaker(client, &name).await;
        assert_eq!((&open["state"], &open["failures"]), (&json!("open"), &json!(10)), "{open}");
        assert!(open["last_failure"]["detail"].as_str().is_some_and(|detail| detail.contains("limit")), "{open}");
        assert!(open["next_probe_at"].is_string(), "{open}");
        let told = endpoint.next_request().await;
        assert_eq!((told.path.as_str(), &told.json()["data"]["plugin"]), ("/told", &json!(name)), "{}", told.text());

        // A delivery waits, without an attempt spent; a caller is told when.
        let accepted = client.event(json!({ "trigger": "turn.now", "source": name, "data": "fine" })).await;
        let delivery = &accepted["deliveries"][0];
        assert!(
            delivery["attempts"] == 0 && ["pending", "waiting"].contains(&delivery["state"].as_str().unwrap_or_default()),
            "{accepted}"
        );
        let refused = client.invoke(&name, json!({ "data": "fine" })).await;
        assert_eq!(refused["failure"]["kind"], "plugin_set_aside", "{refused}");

        // An admin lets it be called again, and what waited goes out.
        let (status, answer) = client.post(&format!("/v1/plugins/{name}/resume"), &json!({})).await;
        assert_eq!((status, &answer["breaker"]["state"]), (200, &json!("closed")), "{answer}");
        host.advance(Duration::from_secs(10));
        assert_eq!(endpoint.next_request().await.json(), json!({ "version": 1 }));
        let history = client.look(&format!("/v1/plugins/{name}/history")).await;
        let deeds: Vec<_> =
            history["data"].as_array().expect("entries").iter().map(|entry| entry["what"].as_str().unwrap_or_default()).collect();
        assert_eq!(deeds, ["resumed", "set_aside", "limited", "activated", "uploaded"], "{history}");
        assert!(history["data"][0]["by"].as_str().is_some_and(|by| by.starts_with("token ")), "{history}");
    });
}

#[test]
fn a_probe_after_the_pause_closes_the_breaker_or_lengthens_the_pause() {
    run(async {
        let host = TestHost::start().await;
        let (client, endpoint, name) = (&host.client, Endpoint::start().await, unique("probe"));
        client.script(&name, TURNS).await;
        limited(client, &name).await;
        webhook(client, &name, &endpoint, json!({})).await;
        for _ in 0..10 {
            client.invoke(&name, json!({ "data": "loop" })).await;
        }
        host.advance(Duration::from_secs(6));
        assert_ne!(client.invoke(&name, json!({ "data": "loop" })).await["failure"]["kind"], "plugin_set_aside", "the probe");
        assert_eq!(client.invoke(&name, json!({ "data": "fine" })).await["failure"]["kind"], "plugin_set_aside");
        host.advance(Duration::from_secs(301));
        assert_eq!(client.invoke(&name, json!({ "data": "fine" })).await["state"], "delivered");
        assert_eq!(breaker(client, &name).await["state"], "closed");
    });
}

#[test]
fn a_webhook_may_have_its_deliveries_fail_instead_of_wait() {
    run(async {
        let host = TestHost::start().await;
        let (client, endpoint, name) = (&host.client, Endpoint::start().await, unique("fails"));
        client.script(&name, TURNS).await;
        limited(client, &name).await;
        webhook(client, &name, &endpoint, json!({ "when_set_aside": "fail" })).await;
        for _ in 0..10 {
            client.invoke(&name, json!({ "data": "loop" })).await;
        }
        let accepted = client.event(json!({ "trigger": "turn.now", "source": name, "data": "fine" })).await;
        let delivery = &accepted["deliveries"][0];
        assert_eq!(
            (&delivery["attempts"], &delivery["last_attempt"]["failure"]["kind"]),
            (&json!(1), &json!("plugin_set_aside")),
            "{accepted}"
        );
    });
}

#[test]
fn a_new_version_that_fails_too_often_makes_room_for_the_one_before() {
    run(async {
        let host = TestHost::start().await;
        let (client, endpoint, name) = (&host.client, Endpoint::start().await, unique("back"));
        client.script(&name, TURNS).await;
        limited(client, &name).await;
        let rule = json!({ "automatic": true, "failed_percent": 50, "calls_min": 4, "window_s": 600 });
        assert_eq!(client.put(&format!("/v1/plugins/{name}/rollback"), &rule).await.0, 200);
        webhook(client, &name, &endpoint, json!({})).await;
        client.webhook("watch", json!({ "selectors": ["plugin.rolled_back"], "request": { "url": endpoint.url("/told") } })).await;
        assert_eq!(client.script(&name, LOOPS).await["version"], 2);
        for _ in 0..4 {
            client.invoke(&name, json!({ "data": "fine" })).await;
        }
        let plugin = eventually("the version before", || async {
            let plugin = client.look(&format!("/v1/plugins/{name}")).await;
            (plugin["active"] == 1).then_some(plugin)
        })
        .await;
        assert_eq!(plugin["breaker"]["state"], "closed", "{plugin}");
        let told = endpoint.next_request().await;
        assert_eq!(
            (told.path.as_str(), &told.json()["data"]["failed_version"], &told.json()["data"]["version"]),
            ("/told", &json!(2), &json!(1)),
            "{}",
            told.text()
        );
        assert_eq!(client.invoke(&name, json!({ "data": "fine" })).await["state"], "delivered");
        let host = host.restart().await;
        assert_eq!(host.client.look(&format!("/v1/plugins/{name}")).await["active"], 1, "durably");
        let history = host.client.look(&format!("/v1/plugins/{name}/history")).await;
        let entry = history["data"].as_array().expect("entries").iter().find(|entry| entry["what"] == "rolled_back").expect("written down");
        assert!(entry["by"] == "hookwright" && entry["reason"].as_str().is_some_and(|reason| reason.contains('4')), "{entry}");
    });
}

#[test]
fn a_rollback_is_one_call_and_says_what_it_goes_to() {
    run(async {
        let host = TestHost::start().await;
        let (client, name) = (&host.client, unique("one-call"));
        client.plugin(&name, echo(1)).await;
        let nothing = client.post(&format!("/v1/plugins/{name}/rollback"), &json!({})).await;
        assert_eq!(nothing.0, 409, "{}", nothing.1);
        client.plugin(&name, echo(2)).await;
        client.plugin(&name, echo(3)).await;
        assert_eq!(client.look(&format!("/v1/plugins/{name}")).await["rollback"]["to"], 2);
        for (active, next) in [(2, json!(1)), (1, Value::Null)] {
            let (status, plugin) = client.post(&format!("/v1/plugins/{name}/rollback"), &json!({})).await;
            assert_eq!((status, &plugin["active"]), (200, &json!(active)), "{plugin}");
            assert_eq!(plugin["rollback"].get("to").cloned().unwrap_or_default(), next, "{plugin}");
        }
    });
}
