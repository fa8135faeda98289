//! Limits of plugins, their circuit breaker, automatic rollback, and their history.

use std::time::Duration;

use hookwright_tests::{Client, Endpoint, TestHost, guests::echo, run, unique, wait::eventually};
use serde_json::{Value, json};

/// A script that fails as its event asks: `trap` recurses until the sandbox ends it.
const TURNS: &str = "export function transform(delivery, events) {\n  const { data } = events[0];\n  \
     if (data === 'loop') for (;;);\n  if (data === 'reject') throw new Rejected('no');\n  return { body: { version: 1 } };\n}\n";
/// A script that always runs out of time.
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
        // Rejecting an input does not count as a failure of the plugin.
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

        // A delivery waits without using an attempt; a caller is told when to come back.
        let accepted = client.event(json!({ "trigger": "turn.now", "source": name, "data": "fine" })).await;
        let delivery = &accepted["deliveries"][0];
        assert!(
            delivery["attempts"] == 0 && ["pending", "waiting"].contains(&delivery["state"].as_str().unwrap_or_default()),
            "{accepted}"
        );
        let refused = client.invoke(&name, json!({ "data": "fine" })).await;
        assert_eq!(refused["failure"]["kind"], "plugin_set_aside", "{refused}");

        // An admin closes the circuit breaker, and the waiting delivery is sent.
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

/// A good version. Without `nested` in its input it fails, like every version.
const GOOD: &str = "const of = (data) => data.nested.deep ?? data.user.name;\nexport const transform = (d, e) => ({ body: { name: of(e[0].data) } });\n\
     export const receive = (call) => ({ body: { name: of(call.json()) } });\n";

/// The same version with a misspelt name.
fn buggy() -> String {
    GOOD.replace("data.user.name", "data.usr.name")
}

/// An input on which only the version with the mistake fails.
fn fine() -> Value {
    json!({ "nested": {}, "user": { "name": "Ann" } })
}

async fn code_of(client: &Client, receiver: &str, caller: &str) -> String {
    let (status, issued) = client.post(&format!("/v1/receivers/{receiver}/codes"), &json!({ "caller": caller })).await;
    assert_eq!(status, 201, "{issued}");
    issued["code"].as_str().expect("a code").to_owned()
}

/// A receiver whose plugin's second version has the mistake, and the codes of this many callers.
async fn received(client: &Client, name: &str, callers: usize) -> Vec<String> {
    client.script(name, GOOD).await;
    assert_eq!(client.script(name, &buggy()).await["version"], 2);
    client.receiver(name, json!({ "plugin": name, "full_reply": true })).await;
    let mut codes = Vec::new();
    for n in 0..callers {
        codes.push(code_of(client, name, &format!("caller {n}")).await);
    }
    codes
}

async fn active(client: &Client, name: &str) -> Value {
    client.look(&format!("/v1/plugins/{name}")).await["active"].clone()
}

/// Waits for the automatic rollback. The host first tries the failed inputs on the version before; a test has only a few of them.
async fn rolled_back(client: &Client, name: &str) {
    eventually("the version before", || async { (active(client, name).await == 1).then_some(()) }).await;
}

#[test]
fn a_script_bug_loses_no_delivery_and_the_version_before_delivers_what_it_failed_on() {
    run(async {
        let host = TestHost::start().await;
        let (client, endpoint, name) = (&host.client, Endpoint::start().await, unique("bug"));
        client.script(&name, GOOD).await;
        webhook(client, &name, &endpoint, json!({ "retry": { "attempts": 5, "gap_seconds": 30 } })).await;
        assert_eq!(client.script(&name, &buggy()).await["version"], 2);
        for n in 0..12 {
            let data = json!({ "nested": {}, "user": { "name": format!("Ann {n}") } });
            let (status, answer) = client.post("/v1/events", &json!({ "trigger": "turn.now", "source": name, "data": data })).await;
            assert_eq!(status, 202, "{answer}");
        }
        rolled_back(client, &name).await;
        let history = client.look(&format!("/v1/plugins/{name}/history")).await;
        let entry = history["data"].as_array().expect("entries").iter().find(|entry| entry["what"] == "rolled_back").expect("written down");
        assert!(
            entry["reason"].as_str().is_some_and(|reason| reason.contains("callers and events") && reason.contains("TypeError")),
            "{entry}"
        );
        host.advance(Duration::from_secs(60));
        let mut names = Vec::new();
        for _ in 0..12 {
            names.push(endpoint.next_request().await.json()["name"].as_str().unwrap_or_default().to_owned());
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 12, "each of them, once: {names:?}");
    });
}

#[test]
fn one_caller_takes_no_version_back_and_keeps_nobody_from_the_plugin() {
    run(async {
        let host = TestHost::start().await;
        let (client, name) = (&host.client, unique("mallory"));
        let codes = received(client, &name, 2).await;
        // A second code of the same caller counts as the same caller.
        let other = code_of(client, &name, "caller 0").await;
        for n in 0..30 {
            let code = if n % 2 == 0 { &codes[0] } else { &other };
            assert_eq!(client.call(code, "", &fine().to_string()).await.status, 500);
        }
        let answered = client.call(&codes[1], "", r#"{"nested":{"deep":"yes"}}"#).await;
        assert_eq!((answered.status, answered.json()), (200, json!({ "name": "yes" })));
        let plugin = client.look(&format!("/v1/plugins/{name}")).await;
        assert_eq!((&plugin["active"], &plugin["breaker"]["state"]), (&json!(2), &json!("closed")), "{plugin}");
        assert_eq!(plugin["breaker"]["failed_calls"], 30, "{plugin}");
    });
}

#[test]
fn what_no_version_handles_counts_against_none() {
    run(async {
        let host = TestHost::start().await;
        let (client, name) = (&host.client, unique("nobody"));
        let codes = received(client, &name, 12).await;
        for code in &codes {
            assert_eq!(client.call(code, "", r#"{"nested":null}"#).await.status, 500, "both versions fail on it");
        }
        // The same with events: they are tried on the version before, which stays.
        let endpoint = Endpoint::start().await;
        webhook(client, &name, &endpoint, json!({ "retry": { "attempts": 2, "gap_seconds": 100 } })).await;
        for n in 0..9 {
            client.event(json!({ "trigger": "turn.now", "source": name, "data": { "nested": null, "n": n } })).await;
        }
        // At first too few of these inputs succeed on the version before; then there are enough.
        for code in &codes[..9] {
            assert_eq!(client.call(code, "", &fine().to_string()).await.status, 500);
        }
        assert_eq!(active(client, &name).await, 2);
        for code in &codes[9..] {
            client.call(code, "", &fine().to_string()).await;
        }
        rolled_back(client, &name).await;
        let answered = client.call(&codes[0], "", &fine().to_string()).await;
        assert_eq!((answered.status, answered.json()), (200, json!({ "name": "Ann" })));
    });
}

#[test]
fn without_a_version_before_what_callers_have_a_script_throw_sets_nothing_aside() {
    run(async {
        let host = TestHost::start().await;
        let (client, name) = (&host.client, unique("only"));
        client.script(&name, GOOD).await;
        client.receiver(&name, json!({ "plugin": name, "full_reply": true })).await;
        for n in 0..15 {
            let code = code_of(client, &name, &format!("caller {n}")).await;
            assert_eq!(client.call(&code, "", r#"{"nested":null}"#).await.status, 500);
        }
        assert_eq!(breaker(client, &name).await["state"], "closed");
    });
}

#[test]
fn a_breach_that_one_callers_input_causes_counts_once_and_of_ten_callers_ten_times() {
    run(async {
        let host = TestHost::start().await;
        let (client, name) = (&host.client, unique("breach"));
        client.script(&name, "export function receive(call) { if (call.body === 'loop') for (;;); return 'done'; }").await;
        limited(client, &name).await;
        client.receiver(&name, json!({ "plugin": name })).await;
        let mut codes = Vec::new();
        for n in 0..10 {
            codes.push(code_of(client, &name, &format!("caller {n}")).await);
        }
        for _ in 0..12 {
            assert_eq!(client.call(&codes[0], "", "loop").await.status, 504);
        }
        assert_eq!(client.call(&codes[1], "", "else").await.status, 200, "nobody pays for another");
        for code in &codes {
            assert_eq!(client.call(code, "", "loop").await.status, 504);
        }
        let open = breaker(client, &name).await;
        assert_eq!((&open["state"], &open["failures"]), (&json!("open"), &json!(10)), "{open}");
        assert_eq!(client.call(&codes[1], "", "else").await.status, 503);
    });
}

#[test]
fn what_comes_of_one_callers_calls_is_that_callers_too() {
    run(async {
        let host = TestHost::start().await;
        let (client, endpoint, name) = (&host.client, Endpoint::start().await, unique("comes"));
        client.script(&name, TURNS).await;
        limited(client, &name).await;
        webhook(client, &name, &endpoint, json!({})).await;
        // A receiver that passes on its input: by an event, and by invoking the webhook.
        let front = unique("front");
        client.grant(&front, json!({ "triggers": ["turn.*"], "webhooks": [name] })).await;
        let hands_on = format!(
            "export function receive(call) {{\n  hookwright.emit({{ trigger: 'turn.now', source: '{name}', data: call.body }});\n  \
             hookwright.invoke('{name}', {{ data: call.body }});\n  return 'handed on';\n}}"
        );
        client.script(&front, &hands_on).await;
        let code = client.receiver(&front, json!({ "plugin": front })).await;
        for _ in 0..12 {
            assert_eq!(client.call(&code, "", "loop").await.status, 200);
        }
        // Each event's delivery has had an attempt.
        eventually("an attempt at each delivery", || async {
            let deliveries = client.look(&format!("/v1/deliveries?webhook={name}&limit=100")).await;
            let tried = deliveries["data"].as_array().into_iter().flatten().filter(|one| one["attempts"].as_u64() > Some(0)).count();
            (tried >= 24).then_some(())
        })
        .await;
        let now = breaker(client, &name).await;
        assert_eq!((&now["state"], &now["failures"]), (&json!("closed"), &json!(1)), "{now}");
        assert_eq!(client.invoke(&name, json!({ "data": "fine" })).await["state"], "delivered");
    });
}

#[test]
fn what_a_plugin_fails_on_is_tried_again_where_only_no_answer_is() {
    run(async {
        let host = TestHost::start().await;
        let (client, endpoint, name) = (&host.client, Endpoint::start().await, unique("answered"));
        client.script(&name, "export function transform() { null.x; }").await;
        webhook(client, &name, &endpoint, json!({ "profile": "divalto" })).await;
        let accepted = client.event(json!({ "trigger": "turn.now", "source": name, "data": 1 })).await;
        let id = accepted["deliveries"][0]["id"].as_str().expect("an id").to_owned();
        let delivery = eventually("both attempts of the profile", || async {
            host.advance(Duration::from_secs(5));
            let delivery = client.delivery(&id).await;
            (delivery["attempts"] == 2).then_some(delivery)
        })
        .await;
        assert_eq!(delivery["state"], "failed", "nothing was sent, so it was tried again, as often as the profile says: {delivery}");
    });
}

#[test]
fn what_a_plugin_does_deactivates_no_webhook() {
    run(async {
        let host = TestHost::start().await;
        let (client, endpoint, name) = (&host.client, Endpoint::start().await, unique("blamed"));
        client.script(&name, "export function transform() { null.x; }").await;
        let more = json!({ "retry": { "attempts": 2, "gap_seconds": 1 }, "deactivation": { "failures": 1, "days": 1 } });
        webhook(client, &name, &endpoint, more).await;
        let accepted = client.event(json!({ "trigger": "turn.now", "source": name, "data": 1 })).await;
        assert_eq!(accepted["deliveries"][0]["state"], "waiting", "{accepted}");
        let id = accepted["deliveries"][0]["id"].as_str().expect("an id").to_owned();
        eventually("the last attempt", || async {
            host.advance(Duration::from_secs(30));
            let delivery = client.delivery(&id).await;
            (delivery["state"] == "failed").then_some(())
        })
        .await;
        let shown = client.look(&format!("/v1/webhooks/{name}")).await;
        assert_eq!(shown["active"], true, "{shown}");
    });
}
