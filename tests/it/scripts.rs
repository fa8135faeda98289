//! Scripts: plugins in JavaScript, uploaded as text.

use std::collections::HashSet;

use hookwright_tests::{Client, Endpoint, Script, run, shared, unique};
use serde_json::{Value, json};

/// The error of a refused script.
async fn refusal(client: &Client, source: &str) -> String {
    let (status, problem) = client.try_upload(&unique("refused"), "text/javascript", source.to_owned()).await;
    assert_eq!(status, 422, "{problem}");
    problem["detail"].as_str().expect("a reason").to_owned()
}

/// What a script replies to a call.
async fn replies(client: &Client, source: &str, query: &str) -> Value {
    let name = unique("replying");
    client.script(&name, source).await;
    let code = client.receiver(&name, json!({ "plugin": name, "full_reply": true })).await;
    let answered = client.call(&code, query, "").await;
    assert_eq!(answered.status, 200, "{}", answered.text());
    answered.json()
}

#[test]
fn a_script_maps_events_to_a_request() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        endpoint.next(Script::json(json!({ "ts": "1.5" })));
        let name = unique("maps");
        let uploaded = client.script(&name, "export function transform(delivery, events) {\n  const [event] = events;\n  return { method: 'PUT', headers: { 'x-webhook': delivery.webhookName }, body: { text: `${event.trigger}: ${event.data.title}`, greeting: hookwright.config.greeting, p: hookwright.parameters.get('p') }, bindings: { ts: '$.ts' } };\n}\n").await;
        assert_eq!((&uploaded["kind"], &uploaded["exports"]), (&json!("script"), &json!(["transform"])));
        let transform = json!({ "plugin": name, "config": { "greeting": "hello" } });
        client
            .webhook(
                &name,
                json!({ "selectors": ["page.made"], "sources": [name], "transform": transform, "request": { "url": endpoint.url("/") } }),
            )
            .await;
        let accepted = client.event(json!({ "trigger": "page.made", "source": name, "session": name, "parameters": { "p": [1] }, "data": { "title": "Wells" } })).await;
        assert_eq!(accepted["deliveries"][0]["state"], "delivered", "{accepted}");
        let received = endpoint.next_request().await;
        assert_eq!((received.method.as_str(), received.header("x-webhook")), ("PUT", name.as_str()));
        assert_eq!(received.json(), json!({ "text": "page.made: Wells", "greeting": "hello", "p": [1] }));
        assert_eq!(client.parameters(&name).await["ts"], "1.5");
    });
}

#[test]
fn a_script_answers_calls_emits_sets_and_invokes() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        endpoint.always(Script::json(json!({ "stock": 4 })));
        let (name, webhook) = (unique("answers"), unique("stock"));
        client
            .webhook(&webhook, json!({ "request": { "url": endpoint.url("/$session.params.sku") }, "bindings": { "left": "$.stock" } }))
            .await;
        let source = format!(
            "export function receive(call) {{\n  const {{ sku }} = call.json();\n  const got = hookwright.invoke('{webhook}', {{ parameters: {{ sku }} }});\n  hookwright.setParameter('asked', true);\n  hookwright.emit({{ trigger: 'stock.asked', data: {{ sku, left: got.parameters.left }} }});\n  return {{ status: 200, message: `${{got.parameters.left}} left for ${{call.caller}}` }};\n}}\n"
        );
        client.grant(&name, json!({ "webhooks": [webhook], "triggers": ["stock.*"] })).await;
        client.script(&name, &source).await;
        let code = client.receiver(&name, json!({ "plugin": name, "session": "$.body.session" })).await;
        let session = unique("session");
        let answered = client.call(&code, "", &json!({ "sku": "a-12", "session": session }).to_string()).await;
        assert_eq!((answered.status, &answered.json()["message"]), (200, &json!("4 left for crm")), "{}", answered.text());
        assert_eq!(client.parameters(&session).await, json!({ "sku": "a-12", "left": 4, "asked": true }));
        let call = client.last_call(&name).await;
        let emitted = client.look(&format!("/v1/events/{}", call["events"][1].as_str().expect("an event"))).await;
        assert_eq!((&emitted["trigger"], &emitted["data"]), (&json!("stock.asked"), &json!({ "sku": "a-12", "left": 4 })));
    });
}

#[test]
fn a_script_reads_an_answer() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        endpoint.next(Script::json(json!({ "items": [1, 2, 3] })));
        let name = unique("reads");
        client.script(&name, "export function transform() { return { body: 'ask' } }\nexport function answers(delivery, answer) { return { parameters: { count: answer.json().items.length }, output: { status: answer.status } } }").await;
        client.webhook(&name, json!({ "transform": name, "request": { "url": endpoint.url("/") } })).await;
        let invoked = client.invoke(&name, json!({ "session": name })).await;
        assert_eq!((&invoked["parameters"], &invoked["output"]), (&json!({ "count": 3 }), &json!({ "status": 200 })), "{invoked}");
    });
}

#[test]
fn what_is_wrong_with_a_script_is_said_with_line_and_column() {
    run(async {
        let client = &shared().await.client;
        for (source, place, says) in [
            ("export function transform(delivery, events) {\n  return { body: ;\n}", "line 2, column 18", ""),
            ("// a comment\n  import fs from 'fs';\nexport function transform() {}", "line 2", "import"),
            ("const x = 1;\n\nx.y.z;\nexport function transform() {}", "line 3", "TypeError"),
            ("export const transform = 7;", "", "function"),
            ("export function transfrom() {}", "", "transform"),
            ("const a = 1;", "", "export"),
        ] {
            let detail = refusal(client, source).await;
            assert!(detail.contains(place) && detail.contains(says), "{source}: {detail}");
        }
        let detail = client.try_upload(&unique("refused"), "text/javascript", vec![0xff, 0xfe]).await.1;
        assert!(detail["detail"].as_str().is_some_and(|detail| detail.contains("UTF-8")), "{detail}");
    });
}

#[test]
fn an_error_nobody_caught_is_the_scripts_own_with_its_line() {
    run(async {
        let client = &shared().await.client;
        let name = unique("throws");
        client.script(&name, "function inner(x) {\n  return x.missing.deep;\n}\nexport function transform(d, events) {\n  return { body: inner(events[0].data) };\n}").await;
        client.webhook(&name, json!({ "transform": name, "request": { "url": "http://127.0.0.1:9/" } })).await;
        let invoked = client.invoke(&name, json!({ "data": {} })).await;
        assert_eq!((&invoked["state"], &invoked["failure"]["kind"]), (&json!("failed"), &json!("plugin_threw")));
        let detail = invoked["failure"]["detail"].as_str().unwrap_or_default();
        assert!(detail.contains("line 2, column 1") && detail.contains("TypeError"), "{detail}");

        for (thrown, kind) in [
            ("new RetryLater('not yet')", "plugin_retry_later"),
            ("new Rejected('never')", "plugin_rejected"),
            ("'a text'", "plugin_threw"),
        ] {
            client.script(&name, &format!("export function transform() {{ throw {thrown} }}")).await;
            let invoked = client.invoke(&name, json!({})).await;
            assert_eq!(invoked["failure"]["kind"], kind, "{invoked}");
        }
        client.script(&name, "export function transform() { return { bodi: 1 } }").await;
        let invoked = client.invoke(&name, json!({})).await;
        assert_eq!(invoked["failure"]["kind"], "plugin_threw");
        assert!(invoked["failure"]["detail"].as_str().is_some_and(|detail| detail.contains("bodi")), "{invoked}");
        client.script(&name, "export function transform() { return Promise.resolve({ body: 1 }) }").await;
        let invoked = client.invoke(&name, json!({})).await;
        assert!(invoked["failure"]["detail"].as_str().is_some_and(|detail| detail.contains("Promise")), "{invoked}");
        let detail = refusal(client, "export async function transform() { return { body: 1 } }").await;
        assert!(detail.contains("line 1, column") && detail.contains("async"), "{detail}");
    });
}

#[test]
fn what_a_script_throws_is_not_told_to_the_caller_and_stands_in_the_call() {
    run(async {
        let client = &shared().await.client;
        let name = unique("tells");
        client.script(&name, "export function receive(call) {\n  const { path } = call.json();\n  return { body: path.b.c };\n}").await;
        for full_reply in [false, true] {
            let code = client.receiver(&name, json!({ "plugin": name, "full_reply": full_reply })).await;
            let answered = client.call(&code, "", r#"{"a":1}"#).await;
            assert_eq!((answered.status, answered.json()), (500, json!({ "status": 500, "message": "the call failed" })));
            let call = client.last_call(&name).await;
            assert_eq!((&call["state"], &call["failure"]["kind"]), (&json!("failed"), &json!("plugin_threw")), "{call}");
            let detail = call["failure"]["detail"].as_str().unwrap_or_default();
            assert!(detail.contains("line 3, column") && detail.contains("TypeError"), "{detail}");
            // An error in the caller's body is reported as the caller's.
            let answered = client.call(&code, "", r#"{"a":"#).await;
            assert_eq!((answered.status, answered.json()["message"].clone()), (400, json!("the body is not JSON")));
            assert_eq!(client.last_call(&name).await["failure"]["kind"], "plugin_rejected");
        }
    });
}

#[test]
fn console_log_is_kept_with_the_attempt() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let name = unique("logs");
        client.script(&name, "export function transform() { console.log('one', { two: 2 }); console.warn('careful'); console.error(new Error('oh')); return { body: 'x' } }").await;
        client.webhook(&name, json!({ "transform": name, "request": { "url": endpoint.url("/") } })).await;
        let invoked = client.invoke(&name, json!({})).await;
        let delivery = client.delivery(invoked["delivery"].as_str().expect("an id")).await;
        let lines = &delivery["attempt_log"][0]["log"]["lines"];
        assert_eq!(
            (&lines[0], &lines[1]),
            (&json!({ "level": "info", "text": "one {\"two\":2}" }), &json!({ "level": "warn", "text": "careful" }))
        );
        assert_eq!(lines[2]["level"], "error");
        assert!(lines[2]["text"].as_str().is_some_and(|text| text.contains("oh")), "{lines}");
    });
}

#[test]
fn random_numbers_differ_and_the_date_is_todays() {
    run(async {
        let client = &shared().await.client;
        let name = unique("honest");
        client.script(&name, "const first = Math.random();\nexport function receive(call) { return { body: { r: [first, Math.random()], now: Date.now(), date: new Date().toISOString(), call: call.nowMs } } }").await;
        let code = client.receiver(&name, json!({ "plugin": name, "full_reply": true })).await;
        let mut seen = HashSet::new();
        for _ in 0..20 {
            let before = jiff::Timestamp::now().as_millisecond();
            let said = client.call(&code, "", "").await.json();
            let after = jiff::Timestamp::now().as_millisecond();
            for number in said["r"].as_array().expect("numbers") {
                let number = number.as_f64().expect("a number");
                assert!((0.0..1.0).contains(&number));
                assert!(seen.insert(number.to_bits()), "a random number came twice: {number}");
            }
            let now = said["now"].as_i64().expect("a time");
            assert!((before..=after).contains(&now), "{before} {now} {after}");
            let date: jiff::Timestamp = said["date"].as_str().expect("a date").parse().expect("a date");
            assert!((before..=after).contains(&date.as_millisecond()));
            let call = said["call"].as_i64().expect("a time");
            assert!((before..=after).contains(&call));
        }
    });
}

#[test]
fn a_script_finds_the_language_and_what_the_host_offers_and_nothing_else() {
    run(async {
        let client = &shared().await.client;
        let script = "export function receive() { return { body: ['process', 'require', 'fetch', 'Deno', 'std', 'os', 'performance', '__cqjs', 'wit', 'setTimeout', 'XMLHttpRequest', 'console', 'hookwright', 'JSON', 'TextEncoder'].filter((name) => typeof globalThis[name] !== 'undefined') } }";
        assert_eq!(replies(client, script, "").await, json!(["console", "hookwright", "JSON", "TextEncoder"]));
        // What one call leaves behind is gone at the next.
        let name = unique("fresh");
        client.script(&name, "let count = 0;\nexport function receive() { count += 1; globalThis.left = (globalThis.left ?? 0) + 1; return { body: [count, globalThis.left] } }").await;
        let code = client.receiver(&name, json!({ "plugin": name, "full_reply": true })).await;
        for _ in 0..3 {
            assert_eq!(client.call(&code, "", "").await.json(), json!([1, 1]));
        }
    });
}

#[test]
fn text_in_strings_is_left_alone_and_unicode_survives() {
    run(async {
        let client = &shared().await.client;
        let script = "// export function transform() {}\nconst text = 'export function x() {} // not code';\nexport function receive(call) {\n  return { body: { text, query: call.query.q, emoji: '😀', bytes: [...new TextEncoder().encode('é')] } };\n}";
        let said = replies(client, script, "?q=%C3%A9%F0%9F%98%80").await;
        assert_eq!(said, json!({ "text": "export function x() {} // not code", "query": "é😀", "emoji": "😀", "bytes": [195, 169] }));
    });
}

#[test]
fn a_script_that_does_not_end_or_hoards_ends_by_its_limit() {
    run(async {
        let client = &shared().await.client;
        let name = unique("runs");
        client.webhook(&name, json!({ "request": { "url": "http://127.0.0.1:9/" } })).await;
        for (source, kinds) in [
            ("export function transform() { for (;;) {} }", &["plugin_deadline", "plugin_cpu"][..]),
            ("export function transform() { const hoard = []; for (;;) hoard.push(new Uint8Array(1 << 20).fill(1)) }", &["plugin_memory"]),
            // QuickJS checks its own stack before the sandbox does.
            ("export function transform() { return transform() }", &["plugin_threw", "plugin_trapped"]),
        ] {
            let plugin = unique("endless");
            client.script(&plugin, source).await;
            client.patch(&format!("/v1/webhooks/{name}"), &json!({ "transform": plugin })).await;
            let invoked = client.invoke(&name, json!({})).await;
            let kind = invoked["failure"]["kind"].as_str().unwrap_or_default();
            assert!(kinds.contains(&kind), "{source}: {invoked}");
        }
        let detail = refusal(client, "for (;;) {}\nexport function transform() {}").await;
        assert!(detail.contains("start-up"), "{detail}");
    });
}
