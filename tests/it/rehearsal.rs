//! Versions are tried before they are used: `try` and `compare` send nothing and commit nothing.

use hookwright_tests::{
    Endpoint, TestHost,
    guests::echo,
    host::TOKEN,
    process::{Finished, finish, hookwright},
    run, shared, unique,
};
use http::Method;
use serde_json::{Value, json};

const ASKS: &str = r#"
export function receive(call) {
    hookwright.emit({ trigger: "rehearsed.word", data: { n: 1 } });
    hookwright.setParameter("p", 5, "s");
    try { hookwright.invoke("some-hook", { data: { d: 2 } }); } catch (error) { console.warn(String(error)); }
    return { status: 200, body: JSON.stringify({ at: Date.now(), luck: Math.random() }) };
}
"#;

async fn at(host: &TestHost, arguments: &[&str]) -> Finished {
    finish(hookwright(arguments).env("HOOKWRIGHT_URL", host.client.url("")).env("HOOKWRIGHT_TOKEN", TOKEN)).await
}

#[test]
fn a_try_shows_what_a_version_makes_of_an_event_and_sends_nothing() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let name = unique("rehearsed");
        client.plugin(&name, echo(1)).await;
        client.send(Method::PUT, &format!("/v1/plugins/{name}?activate=false"), &[("content-type", "application/wasm")], echo(2)).await;
        client.webhook(&name, json!({ "selectors": ["rehearsed.try"], "sources": [name], "transform": { "plugin": name, "config": { "label": "the webhook's" } }, "request": { "url": endpoint.url("/") } })).await;
        let accepted = client.event(json!({ "trigger": "rehearsed.try", "source": name, "data": { "d": 2 } })).await;
        endpoint.next_request().await;

        let path = format!("/v1/plugins/{name}/try");
        let (status, tried) =
            client.post(&path, &json!({ "event": { "trigger": "a.b", "data": { "n": 7 } }, "parameters": { "p": 1 } })).await;
        assert_eq!(status, 200, "{tried}");
        let body: Value = serde_json::from_str(tried["request"]["body"].as_str().expect("a body")).expect("JSON");
        assert_eq!((&tried["plugin"]["version"], &body["version"], &body["parameters"]), (&json!(1), &json!("0001"), &json!({ "p": 1 })));
        assert!(tried["duration_us"].as_u64() > Some(0) && tried["memory_bytes"].as_u64() > Some(0), "{tried}");

        let past = json!({ "delivery": accepted["deliveries"][0]["id"] });
        let (status, tried) = client.post(&format!("{path}?version=2"), &past).await;
        assert_eq!(status, 200, "{tried}");
        let body: Value = serde_json::from_str(tried["request"]["body"].as_str().expect("a body")).expect("JSON");
        assert_eq!(
            (&body["version"], &body["label"], &body["events"][0]["data"]),
            (&json!("0002"), &json!("the webhook's"), &json!({ "d": 2 }))
        );
        assert_eq!(endpoint.seen().len(), 1, "a try sends nothing");

        for (query, body, expected) in [
            ("?version=9", json!({ "event": { "trigger": "a.b" } }), 404),
            ("?version=newest", json!({ "event": { "trigger": "a.b" } }), 400),
            ("", json!({}), 400),
            ("", json!({ "event": { "trigger": "a.b" }, "call": "cal_1" }), 400),
            ("", json!({ "delivery": "dlv_none" }), 404),
            ("", json!({ "event": { "trigger": "/items/share" } }), 400),
            ("", json!({ "invocation": {} }), 422),
        ] {
            let (status, refused) = client.post(&format!("{path}{query}"), &body).await;
            assert_eq!(status, expected, "{query} {body}: {refused}");
        }
    });
}

#[test]
fn a_tried_receiver_is_told_that_nothing_is_invoked_and_its_effects_are_shown_and_gone() {
    run(async {
        let client = &shared().await.client;
        let name = unique("asks");
        client.grant(&name, json!({ "triggers": ["rehearsed.*"], "webhooks": ["some-hook"], "sessions": ["s"] })).await;
        client.script(&name, ASKS).await;
        let path = format!("/v1/plugins/{name}/try");
        let (status, tried) = client.post(&path, &json!({ "invocation": { "method": "GET" } })).await;
        assert_eq!((status, &tried["failure"]), (200, &Value::Null), "{tried}");
        assert_eq!(tried["effects"]["events"], json!([{ "trigger": "rehearsed.word", "data": { "n": 1 } }]), "{tried}");
        assert_eq!(tried["effects"]["parameters"], json!([{ "session": "s", "name": "p", "value": 5 }]));
        assert_eq!(tried["effects"]["invokes"][0]["webhook"], "some-hook");
        assert!(tried["log"].to_string().contains("this is a try"), "{tried}");
        assert_eq!(client.parameters("s").await["p"], Value::Null, "nothing is committed");
        let events = client.look("/v1/events?limit=500").await;
        assert!(!events.to_string().contains("rehearsed.word"));
        // Clock and random numbers are the same in two tries.
        let at = json!({ "invocation": { "method": "GET" } });
        let luck =
            |tried: &Value| serde_json::from_str::<Value>(tried["reply"]["body"].as_str().expect("a body")).expect("JSON")["luck"].clone();
        assert_eq!(luck(&client.post(&path, &at).await.1), luck(&tried));
    });
}

#[test]
fn a_comparison_shows_where_the_requests_of_real_deliveries_would_differ() {
    run(async {
        let host = shared().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        let name = unique("compared");
        let script = |greeting: &str| {
            format!(
                r#"export function transform(delivery, events) {{
                    if (events[0].data.fails && "{greeting}" === "Hello") throw new Error("no such luck");
                    return {{ body: JSON.stringify({{ greeting: "{greeting} " + events[0].data.name, at: Date.now(), luck: Math.random() }}) }};
                }}"#
            )
        };
        client.script(&name, &script("Hi")).await;
        client
            .webhook(
                &name,
                json!({ "selectors": ["compared.word"], "sources": [name], "transform": name, "request": { "url": endpoint.url("/") } }),
            )
            .await;
        for data in [json!({ "name": "Ada" }), json!({ "name": "Bob", "fails": true })] {
            client.event(json!({ "trigger": "compared.word", "source": name, "data": data })).await;
            endpoint.next_request().await;
        }
        let stage = format!("/v1/plugins/{name}?activate=false");
        for source in [script("Hello"), format!("{}\n", script("Hi"))] {
            assert_eq!(client.send(Method::PUT, &stage, &[("content-type", "text/javascript")], source).await.status, 201);
        }

        let path = format!("/v1/plugins/{name}/compare");
        let (status, compared) = client.post(&path, &json!({ "version": 3 })).await;
        assert_eq!(status, 200, "{compared}");
        assert_eq!((&compared["compared"], &compared["same"], &compared["data"]), (&json!(2), &json!(2), &json!([])), "{compared}");

        let (_, compared) = client.post(&path, &json!({ "version": 2 })).await;
        assert_eq!((&compared["different"], &compared["active"]["version"]), (&json!(2), &json!(1)), "{compared}");
        let (newest, older) = (&compared["data"][0], &compared["data"][1]);
        assert_eq!(
            (&newest["active"]["outcome"], &newest["candidate"]["outcome"]),
            (&json!("request"), &json!("plugin_threw")),
            "{newest}"
        );
        assert_eq!(older["differences"], json!([{ "pointer": "/body/greeting", "active": "Hi Ada", "candidate": "Hello Ada" }]), "{older}");
        assert_eq!(endpoint.seen().len(), 2, "a comparison sends nothing");

        for (body, expected) in
            [(json!({ "version": 9 }), 404), (json!({ "version": 2, "last": 501 }), 400), (json!({ "version": 2, "webhook": "none" }), 404)]
        {
            assert_eq!(client.post(&path, &body).await.0, expected, "{body}");
        }

        let shown = at(host, &["plugin", "compare", &name, "2"]).await;
        assert_eq!(shown.status.code(), Some(1));
        let text = shown.all();
        assert!(text.starts_with("2 deliveries compared: 0 alike, 2 different") && text.contains("/body/greeting"), "{text}");
        let shown = at(host, &["plugin", "try", &name, "--version", "2", "--delivery", older["delivery"].as_str().expect("an id")]).await;
        let text = shown.all();
        assert!(shown.status.success() && text.contains("Hello Ada"), "{text}");
    });
}

#[test]
fn the_cases_of_a_new_plugin_run_in_the_sandbox_and_say_what_is_not_as_expected() {
    run(async {
        let folder = tempfile::tempdir().expect("a directory");
        let dir = folder.path().join("greeting");
        let dir = dir.to_str().expect("a path");
        finish(&mut hookwright(&["plugin", "new", "greeting", "--lang", "js", "--dir", dir])).await.success();
        let test = async |more: &[&str]| finish(&mut hookwright(&[&["plugin", "test", "--dir", dir], more].concat())).await;

        let first = test(&[]).await.success();
        assert!(first.stdout.contains("ok      greets") && first.stdout.ends_with("2 passed, 0 failed\n"), "{}", first.stdout);

        let expected = folder.path().join("greeting/cases/greets/request.json");
        std::fs::write(&expected, r#"{"body":{"text":"Hi"}}"#).expect("written");
        let failed = test(&["greets"]).await;
        assert_eq!(failed.status.code(), Some(1), "{}", failed.all());
        assert!(
            failed.stdout.contains(r#"/request/body: expected {"text":"Hi"}, got {"text":"Hello, Ann! (person.arrived)"}"#),
            "{}",
            failed.stdout
        );

        test(&["--update"]).await.success();
        let results: Value = serde_json::from_str(&test(&["--json"]).await.success().stdout).expect("JSON");
        assert_eq!((&results["passed"], &results["failed"]), (&json!(2), &json!(0)), "{results}");
        assert!(results["cases"][0]["memory_bytes"].as_u64() > Some(0), "{results}");

        std::fs::remove_file(folder.path().join("greeting/cases/greets/event.json")).expect("removed");
        let refused = test(&[]).await;
        assert!(!refused.status.success() && refused.stderr.contains("event.json or invocation.json"), "{}", refused.all());
    });
}

#[test]
fn an_author_sees_the_last_delivery_built_anew_by_what_was_just_saved() {
    run(async {
        let host = shared().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        let name = unique("watched");
        let folder = tempfile::tempdir().expect("a directory");
        let file = folder.path().join(format!("{name}.js"));
        let write = |greeting: &str| {
            let source =
                format!("export function transform(delivery, events) {{ return {{ body: \"{greeting} \" + events[0].data.name }}; }}\n");
            std::fs::write(&file, source).expect("written");
        };
        let once = ["plugin", "dev", "--once", "--dir", folder.path().to_str().expect("a path")];
        write("Hi");
        let first = at(host, &once).await.success();
        assert!(first.stdout.contains("version 1 is active") && first.stdout.contains("nothing to try it on"), "{}", first.stdout);

        client
            .webhook(
                &name,
                json!({ "selectors": ["watched.word"], "sources": [name], "transform": name, "request": { "url": endpoint.url("/") } }),
            )
            .await;
        client.event(json!({ "trigger": "watched.word", "source": name, "data": { "name": "Ada" } })).await;
        assert_eq!(endpoint.next_request().await.text(), "Hi Ada");
        write("Hello");
        let second = at(host, &once).await.success();
        assert!(second.stdout.contains("version 2 is active") && second.stdout.contains("Hello Ada"), "{}", second.stdout);
        assert_eq!(endpoint.seen().len(), 1, "a look at the last delivery sends nothing");

        std::fs::write(&file, "export function transform( {").expect("written");
        let broken = at(host, &once).await;
        assert!(!broken.status.success() && broken.stderr.contains("line 1"), "{}", broken.all());
        assert_eq!(client.look(&format!("/v1/plugins/{name}")).await["active"], 2, "what was active stays active");
    });
}

#[test]
fn what_a_plugin_wrote_is_shown_for_deliveries_and_calls_and_failures_with_it() {
    run(async {
        let host = shared().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        let name = unique("writes");
        let source = "export function transform(delivery, events) { console.log(`seen ${events[0].data.n}`); return { body: 'x' }; }\n\
            export function receive(call) { if (call.query.bad) throw new Rejected('not that'); console.warn('called'); return 'ok'; }\n";
        client.script(&name, source).await;
        client
            .webhook(
                &name,
                json!({ "selectors": ["writes.word"], "sources": [name], "transform": name, "request": { "url": endpoint.url("/") } }),
            )
            .await;
        let code = client.receiver(&name, json!({ "plugin": name })).await;
        client.event(json!({ "trigger": "writes.word", "source": name, "data": { "n": 7 } })).await;
        client.call(&code, "", "").await;
        client.call(&code, "?bad=1", "").await;
        let shown = at(host, &["plugin", "log", &name]).await.success();
        let order: Vec<_> = ["info  seen 7", "warn  called", "failed: plugin_rejected"].map(|line| shown.stdout.find(line)).to_vec();
        assert!(order.iter().all(Option::is_some) && order.is_sorted(), "{order:?} {}", shown.stdout);
    });
}
