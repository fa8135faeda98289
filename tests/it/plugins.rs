//! Plugins: upload, staging, activation, rollback, grants, configuration, the inbox. A bad plugin changes nothing.

use std::time::Duration;

use hookwright_tests::{
    Client, Endpoint, TestHost, binary, data_directory,
    guests::{echo, guest},
    process::{finish, hookwright},
    root, run, shared, unique,
    wait::eventually,
};
use http::Method;
use serde_json::{Value, json};

/// Invokes a webhook with this transform and returns what its plugin sent.
async fn answers(client: &Client, plugin: &str, endpoint: &Endpoint) -> Value {
    let webhook = format!("{plugin}-hook");
    client.webhook(&webhook, json!({ "transform": plugin, "request": { "url": endpoint.url("/") } })).await;
    let invoked = client.invoke(&webhook, json!({ "data": { "n": 1 } })).await;
    assert_eq!(invoked["state"], "delivered", "{invoked}");
    endpoint.next_request().await.json()
}

#[test]
fn an_upload_is_active_once_it_is_answered_and_older_versions_can_be_taken_up_again() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let name = unique("echo");
        let path = format!("/v1/plugins/{name}");
        let (status, one) = client.try_upload(&name, "application/wasm", echo(1)).await;
        assert_eq!((status, &one["version"], &one["state"], &one["exports"]), (201, &json!(1), &json!("active"), &json!(["transform"])));
        assert_eq!((&one["missing_grants"], &one["size_bytes"]), (&json!([]), &json!(echo(1).len())));
        assert!(one["digest"].as_str().is_some_and(|digest| digest.starts_with("sha256:")), "{one}");
        assert_eq!(answers(client, &name, &endpoint).await["version"], "0001");

        assert_eq!(client.plugin(&name, echo(2)).await["version"], 2);
        assert_eq!(answers(client, &name, &endpoint).await["version"], "0002");
        let staged = client.send(Method::PUT, &format!("{path}?activate=false"), &[("content-type", "application/wasm")], echo(3)).await;
        assert_eq!((staged.status, &staged.json()["state"], &staged.json()["version"]), (201, &json!("staged"), &json!(3)));
        assert_eq!(answers(client, &name, &endpoint).await["version"], "0002");

        for (version, expected) in [(3, "0003"), (1, "0001")] {
            let (status, shown) = client.post(&format!("{path}/activate"), &json!({ "version": version })).await;
            assert_eq!((status, &shown["active"]), (200, &json!(version)), "{shown}");
            assert_eq!(answers(client, &name, &endpoint).await["version"], expected);
        }
        // Uploading the same bytes again makes no new version.
        let (status, same) = client.try_upload(&name, "application/wasm", echo(2)).await;
        assert_eq!((status, &same["version"]), (200, &json!(2)));
        assert_eq!(answers(client, &name, &endpoint).await["version"], "0002");
        let versions = client.look(&path).await["versions"].as_array().map(Vec::len);
        assert_eq!(versions, Some(3));
        assert_eq!(client.post(&format!("{path}/activate"), &json!({ "version": 9 })).await.0, 404);
        assert_eq!(client.post(&format!("{path}/activate"), &json!({ "version": "newest" })).await.0, 400);
        assert_eq!(client.post(&format!("{path}/activate"), &json!({ "version": "builtin" })).await.0, 404);
    });
}

#[test]
fn an_attempt_tells_which_plugin_built_it() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let name = unique("told");
        let digest = client.plugin(&name, echo(7)).await["digest"].clone();
        client.webhook(&name, json!({ "selectors": ["told.word"], "sources": [name], "transform": { "plugin": name, "config": { "label": "from the webhook" } }, "request": { "url": endpoint.url("/") } })).await;
        client.put(&format!("/v1/plugins/{name}/config"), &json!({ "label": "from the plugin", "other": 1 })).await;
        let accepted = client
            .event(json!({ "trigger": "told.word", "source": name, "session": name, "parameters": { "p": 1 }, "data": { "d": 2 } }))
            .await;
        let attempt = &accepted["deliveries"][0]["last_attempt"];
        assert_eq!(attempt["plugin"], json!({ "name": name, "version": 1, "digest": digest }));
        assert!(attempt["stages"]["transform_us"].as_u64() > Some(0), "{attempt}");
        let body = endpoint.next_request().await.json();
        assert_eq!((&body["label"], &body["parameters"], &body["session"]), (&json!("from the webhook"), &json!({ "p": 1 }), &json!(name)));
        assert_eq!(
            (&body["events"][0]["data"], &body["events"][0]["trigger"], &body["delivery"]),
            (&json!({ "d": 2 }), &json!("told.word"), &accepted["deliveries"][0]["id"])
        );
    });
}

#[test]
fn a_webhook_can_stay_with_one_version() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let name = unique("pinned");
        client.plugin(&name, echo(1)).await;
        client.plugin(&name, echo(2)).await;
        client.webhook(&name, json!({ "transform": { "plugin": name, "version": 1 }, "request": { "url": endpoint.url("/") } })).await;
        client.invoke(&name, json!({})).await;
        assert_eq!(endpoint.next_request().await.json()["version"], "0001");
        client.webhook(&name, json!({ "transform": { "plugin": name, "version": 9 }, "request": { "url": endpoint.url("/") } })).await;
        let invoked = client.invoke(&name, json!({})).await;
        assert_eq!(invoked["failure"]["kind"], "plugin_missing", "{invoked}");
    });
}

#[test]
fn what_the_binary_carries_can_be_replaced_and_taken_up_again() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        let before = client.look("/v1/plugins/slack").await;
        assert_eq!((&before["active"], &before["exports"]), (&json!("builtin"), &json!(["transform"])));
        assert!(before["builtin"].is_string(), "{before}");
        client.plugin("slack", echo(1)).await;
        assert_eq!(answers(client, "slack", &endpoint).await["version"], "0001");
        let host = host.restart().await;
        let client = &host.client;
        assert_eq!(answers(client, "slack", &endpoint).await["version"], "0001", "an explicit choice survives a restart");
        let (status, back) = client.post("/v1/plugins/slack/activate", &json!({ "version": "builtin" })).await;
        assert_eq!((status, &back["active"]), (200, &json!("builtin")));
        assert!(answers(client, "slack", &endpoint).await.get("version").is_none());
        let names: Vec<_> =
            client.look("/v1/plugins").await["data"].as_array().expect("a list").iter().map(|one| one["name"].clone()).collect();
        for name in ["arcgis-organization", "slack", "dialogflow-standard", "arcgis-events", "dialogflow-fulfilment", "item-standards"] {
            assert!(names.contains(&json!(name)), "{name}");
        }
    });
}

#[test]
fn a_missing_grant_blocks_activation_and_names_itself_but_never_storing() {
    run(async {
        let client = &shared().await.client;
        for (guest_name, interface, grants) in [
            ("signer", "secrets", json!({ "secrets": ["guest-key"] })),
            ("counter", "state", json!({ "state": true })),
            ("good_receiver", "events", json!({ "triggers": ["guest.*"] })),
            ("invoker", "webhooks", json!({ "webhooks": ["none"] })),
        ] {
            let name = unique("ungranted");
            let (status, problem) = client.try_upload(&name, "application/wasm", guest(guest_name)).await;
            assert_eq!(status, 422, "{problem}");
            let detail = problem["detail"].as_str().unwrap_or_default();
            assert!(detail.contains(interface) && detail.contains("grant"), "{detail}");
            assert_eq!(client.get(&format!("/v1/plugins/{name}")).await.0, 404, "nothing is left of it");

            let staged = client
                .send(
                    Method::PUT,
                    &format!("/v1/plugins/{name}?activate=false"),
                    &[("content-type", "application/wasm")],
                    guest(guest_name),
                )
                .await;
            assert_eq!((staged.status, &staged.json()["missing_grants"]), (201, &json!([interface])));
            let (status, problem) = client.post(&format!("/v1/plugins/{name}/activate"), &json!({ "version": 1 })).await;
            assert_eq!(status, 422, "{problem}");
            assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(interface)), "{problem}");
            client.grant(&name, grants).await;
            let (status, active) = client.post(&format!("/v1/plugins/{name}/activate"), &json!({ "version": 1 })).await;
            assert_eq!((status, &active["active"], &active["missing_grants"]), (200, &json!(1), &json!([])), "{active}");
        }
        assert_eq!(client.put("/v1/plugins/any/grants", &json!({ "triggers": ["a b"] })).await.1["errors"][0]["pointer"], "/triggers/0");
        assert_eq!(client.put("/v1/plugins/any/grants", &json!({ "secret": ["x"] })).await.1["errors"][0]["pointer"], "/secret");
    });
}

#[test]
fn grants_hold_what_they_say_and_no_more() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        client.secret("guest-key", "guest-secret").await;
        let name = unique("signer");
        client.grant(&name, json!({ "secrets": ["guest-key"] })).await;
        client.plugin(&name, guest("signer")).await;
        let webhook = json!({ "transform": name, "request": { "url": endpoint.url("/") } });
        client.webhook(&name, webhook).await;
        client.invoke(&name, json!({ "data": { "n": 1 } })).await;
        let received = endpoint.next_request().await;
        let expected = hex::encode(hookwright_tests::signature::hmac_sha256(b"guest-secret", &received.body));
        assert_eq!(received.header("x-guest-hmac"), expected);
        client.grant(&name, json!({ "secrets": ["another"] })).await;
        let invoked = client.invoke(&name, json!({ "data": { "n": 1 } })).await;
        assert_ne!(invoked["state"], "delivered", "{invoked}");
        assert!(invoked["failure"]["detail"].as_str().is_some_and(|detail| detail.contains("guest-key")), "{invoked}");

        // Emitting an event without the grant ends the call; the caller is to retry once it is granted.
        let name = unique("emits");
        client.grant(&name, json!({ "triggers": ["other.*"] })).await;
        client.plugin(&name, guest("good_receiver")).await;
        let code = client.receiver(&name, json!({ "plugin": name })).await;
        let answered = client.call(&code, "", "{}").await;
        assert_eq!((answered.status, answered.header("retry-after")), (503, "5"), "{}", answered.text());
        assert_eq!(client.last_call(&name).await["events"], json!([]));
    });
}

/// What a script does with each capability, and the grant for it.
fn granted_things() -> [(&'static str, &'static str, Value); 7] {
    [
        ("secrets: own-key", "hookwright.hmacSha256('own-key', 'x')", json!({ "secrets": ["own-key"] })),
        ("state", "hookwright.state.get('x')", json!({ "state": true })),
        ("state", "hookwright.state.set('x', 1)", json!({ "state": true })),
        ("state", "hookwright.state.delete('x')", json!({ "state": true })),
        ("webhooks: target", "hookwright.invoke('target')", json!({ "webhooks": ["target"] })),
        ("triggers: granted.now", "hookwright.emit({ trigger: 'granted.now' })", json!({ "triggers": ["granted.*"] })),
        ("sessions: of-others", "hookwright.setParameter('x', 1, 'of-others')", json!({ "sessions": ["of-*"] })),
    ]
}

#[test]
fn a_missing_grant_ends_every_call_one_way_and_no_script_can_catch_it() {
    run(async {
        let host = TestHost::start().await;
        let (client, endpoint) = (&host.client, Endpoint::start().await);
        client.secret("own-key", "key").await;
        client.webhook("target", json!({ "request": { "url": endpoint.url("/") } })).await;
        for (grant, does, grants) in granted_things() {
            let name = unique("ungranted");
            // One other grant of each kind: the interface can be imported, but this use is not granted.
            let others = json!({ "secrets": ["another"], "webhooks": ["another"], "triggers": ["another"], "sessions": ["another"] });
            client.grant(&name, others).await;
            client.script(&name, &format!("export function receive() {{ try {{ {does} }} catch {{}} return 'done' }}")).await;
            let code = client.receiver(&name, json!({ "plugin": name })).await;
            for _ in 0..12 {
                let answered = client.call(&code, "", "{}").await;
                assert_eq!((answered.status, answered.header("retry-after")), (503, "5"), "{does}: {}", answered.text());
                assert_eq!(answered.json()["message"], "not now; try again later", "{does}");
            }
            let call = client.last_call(&name).await;
            assert_eq!((&call["state"], &call["failure"]["kind"]), (&json!("failed"), &json!("plugin_not_granted")), "{call}");
            assert!(call["failure"]["detail"].as_str().is_some_and(|detail| detail.contains(&format!("`{grant}`"))), "{call}");
            client.grant(&name, grants).await;
            let answered = client.call(&code, "", "{}").await;
            assert_eq!((answered.status, answered.json()["message"].clone()), (200, json!("done")), "{does}");
        }
    });
}

#[test]
fn a_delivery_waits_for_a_missing_grant_or_secret_and_goes_out_once_it_is_there() {
    run(async {
        let host = TestHost::start().await;
        let (client, endpoint) = (&host.client, Endpoint::start().await);
        for (does, first, kind) in [
            ("hookwright.state.get('x')", json!({}), "plugin_not_granted"),
            ("hookwright.hmacSha256('late-key', 'x')", json!({}), "plugin_not_granted"),
            ("hookwright.hmacSha256('late-key', 'x')", json!({ "secrets": ["late-key"] }), "secret_missing"),
        ] {
            let name = unique("waits");
            client.grant(&name, first).await;
            client.script(&name, &format!("export function transform() {{ {does}; return {{ body: 'x' }} }}")).await;
            let retry = json!({ "attempts": 3, "gap_seconds": 60 });
            let request = json!({ "url": endpoint.url("/") });
            let webhook = json!({ "transform": name, "selectors": ["waits.now"], "sources": [name], "request": request, "retry": retry });
            client.webhook(&name, webhook).await;
            let accepted = client.event(json!({ "trigger": "waits.now", "source": name, "data": 1 })).await;
            let delivery = &accepted["deliveries"][0];
            assert_eq!(
                (&delivery["state"], &delivery["last_attempt"]["failure"]["kind"]),
                (&json!("waiting"), &json!(kind)),
                "{does}: {accepted}"
            );
            client.grant(&name, json!({ "secrets": ["late-key"], "state": true })).await;
            client.secret("late-key", "key").await;
            host.advance(Duration::from_secs(120));
            assert_eq!(endpoint.next_request().await.text(), "x", "{does}");
            assert_eq!(client.delete("/v1/secrets/late-key").await.0, 204);
        }
    });
}

#[test]
fn a_webhook_that_is_granted_and_not_there_makes_the_call_wait() {
    run(async {
        let host = TestHost::start().await;
        let (client, endpoint, name) = (&host.client, Endpoint::start().await, unique("later"));
        client.grant(&name, json!({ "webhooks": ["not-yet"] })).await;
        client
            .script(&name, "export function receive() { return hookwright.invoke('not-yet').delivered ? 'done' : 'not delivered' }")
            .await;
        let code = client.receiver(&name, json!({ "plugin": name })).await;
        let asked = async || {
            let answered = client.call(&code, "", "{}").await;
            (answered.status, answered.json()["message"].clone())
        };
        let later = (503, json!("not now; try again later"));
        assert_eq!(asked().await, later);
        assert_eq!(client.last_call(&name).await["failure"]["kind"], "plugin_retry_later");
        client.webhook("not-yet", json!({ "active": false, "request": { "url": endpoint.url("/") } })).await;
        assert_eq!(asked().await, later);
        client.patch("/v1/webhooks/not-yet", &json!({ "active": true })).await;
        assert_eq!(asked().await, (200, json!("done")));
    });
}

#[test]
fn state_is_kept_from_call_to_call() {
    run(async {
        let client = &shared().await.client;
        let name = unique("counter");
        client.grant(&name, json!({ "state": true })).await;
        client.plugin(&name, guest("counter")).await;
        let code = client.receiver(&name, json!({ "plugin": name })).await;
        for expected in ["1", "2", "3"] {
            assert_eq!(client.call(&code, "", "").await.json()["message"], expected);
        }
        // The state belongs to the plugin's name, not to the version.
        client.script(&name, "export function receive() { const n = Number(hookwright.state.get('count')) + 1; hookwright.state.set('count', n); return `script ${n}` }").await;
        assert_eq!(client.call(&code, "", "").await.json()["message"], "script 4");
    });
}

#[test]
fn a_transform_that_has_nothing_to_send_is_delivered_without_a_request() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let name = unique("nothing");
        client.plugin(&name, guest("sends_nothing")).await;
        client.webhook(&name, json!({ "transform": name, "request": { "url": endpoint.url("/") } })).await;
        let invoked = client.invoke(&name, json!({})).await;
        assert_eq!((&invoked["state"], &invoked["http_status"]), (&json!("delivered"), &Value::Null), "{invoked}");
        assert!(endpoint.seen().is_empty());
    });
}

#[test]
fn a_plugin_cannot_aim_credentials() {
    run(async {
        let client = &shared().await.client;
        let (endpoint, elsewhere) = (Endpoint::start().await, Endpoint::start().await);
        let name = unique("aims");
        client.script(&name, "export function transform(d, events) { return events[0].data }").await;
        client.webhook(&name, json!({ "transform": name, "request": { "url": endpoint.url("/base?x=1") } })).await;
        let invoked = client.invoke(&name, json!({ "data": { "pathAndQuery": "/other?y=2", "body": "text" } })).await;
        assert_eq!(invoked["state"], "delivered", "{invoked}");
        assert_eq!(endpoint.next_request().await.path, "/other?y=2");
        for data in [
            json!({ "pathAndQuery": elsewhere.url("/") }),
            json!({ "pathAndQuery": format!("//{}/", elsewhere.address) }),
            json!({ "pathAndQuery": format!("@{}/", elsewhere.address) }),
            json!({ "headers": { "host": "elsewhere.example" } }),
            json!({ "headers": { "Authorization": "Bearer x" } }),
            json!({ "headers": { "webhook-signature": "v1,x" } }),
            json!({ "headers": { "content-length": "0" } }),
        ] {
            let invoked = client.invoke(&name, json!({ "data": data })).await;
            let arrived = endpoint.seen().len();
            if invoked["state"] == "delivered" {
                // A path that looks like another origin may be used as a path, at our own origin.
                assert!(arrived > 0 && data.get("headers").is_none(), "{data}: {invoked}");
            } else {
                assert_eq!(invoked["failure"]["kind"], "request_invalid", "{data}: {invoked}");
            }
            assert!(elsewhere.seen().is_empty(), "{data}");
        }
    });
}

#[test]
fn a_bad_upload_keeps_what_is_active() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let name = unique("steady");
        client.plugin(&name, echo(1)).await;
        for (media, bytes, status) in [
            ("application/wasm", guest("start_trap"), 422),
            ("application/wasm", guest("command"), 422),
            ("application/wasm", bytes::Bytes::from_static(b"not wasm"), 422),
            ("text/javascript", bytes::Bytes::from_static(b"export function transform( {"), 422),
            ("text/html", bytes::Bytes::from_static(b"<html>"), 415),
        ] {
            let (answered, problem) = client.try_upload(&name, media, bytes).await;
            assert_eq!(answered, status, "{problem}");
            assert_eq!(answers(client, &name, &endpoint).await["version"], "0001");
        }
        assert_eq!(client.look(&format!("/v1/plugins/{name}")).await["versions"].as_array().map(Vec::len), Some(1));
        for bad in ["UPPER", "-x", "a.b", "a_b"] {
            assert!(matches!(client.try_upload(bad, "application/wasm", echo(1)).await.0, 400 | 422), "{bad}");
        }
    });
}

#[test]
fn a_plugin_in_use_is_not_deleted() {
    run(async {
        let client = &shared().await.client;
        let name = unique("used");
        let path = format!("/v1/plugins/{name}");
        client.plugin(&name, echo(1)).await;
        client.webhook(&name, json!({ "transform": name, "request": { "url": "http://127.0.0.1:9/" } })).await;
        let (status, problem) = client.delete(&path).await;
        assert_eq!(status, 409);
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(&name)), "{problem}");
        client.delete(&format!("/v1/webhooks/{name}")).await;
        assert_eq!(client.delete(&path).await.0, 204);
        assert_eq!(client.get(&path).await.0, 404);
        assert_eq!(client.delete(&path).await.0, 404);
    });
}

#[test]
fn a_file_in_the_inbox_loads_once_and_the_api_wins_after() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        let inbox = host.data().join("plugins");
        let active = async |version: u32| {
            eventually(&format!("version {version}"), || async {
                let (_, plugin) = client.get("/v1/plugins/dropped").await;
                (plugin["active"] == version).then_some(())
            })
            .await;
        };
        std::fs::create_dir_all(&inbox).expect("the inbox");
        std::fs::write(inbox.join("dropped.wasm"), echo(1)).expect("a file");
        active(1).await;
        assert_eq!(answers(client, "dropped", &endpoint).await["version"], "0001");
        // Other content is another version.
        std::fs::write(inbox.join("dropped.wasm"), echo(2)).expect("a file");
        active(2).await;
        // A choice made through the API wins over the inbox: the file stays and is not taken again, even after a restart.
        client.post("/v1/plugins/dropped/activate", &json!({ "version": 1 })).await;
        let host = host.restart().await;
        let client = &host.client;
        // A script put there now is found by the same scans that would have taken the file again.
        std::fs::write(inbox.join("later.js"), "export function receive() { return 'later' }").expect("a file");
        eventually("the script", || async { (client.get("/v1/plugins/later").await.1["active"] == 1).then_some(()) }).await;
        assert_eq!(client.look("/v1/plugins/dropped").await["active"], 1);
        std::fs::remove_file(inbox.join("dropped.wasm")).expect("removed");
        // A bad file changes nothing, and the next good one is loaded.
        std::fs::write(inbox.join("later.js"), "export function receive( {").expect("a file");
        std::fs::write(inbox.join("last.js"), "export function receive() { return 'last' }").expect("a file");
        eventually("the last script", || async { (client.get("/v1/plugins/last").await.1["active"] == 1).then_some(()) }).await;
        assert_eq!(client.look("/v1/plugins/later").await["versions"].as_array().map(Vec::len), Some(1));
        assert_eq!(client.look("/v1/plugins/dropped").await["active"], 1);
    });
}

#[test]
fn every_plugin_of_this_repository_built_from_its_source_loads() {
    run(async {
        let client = &shared().await.client;
        let built = root().join("target/guests/wasm32-wasip1/release");
        for plugin in [
            "arcgis-organization",
            "arcgis-feature",
            "arcgis-geoprocessing",
            "arcgis-events",
            "slack",
            "dialogflow-standard",
            "dialogflow-fulfilment",
            "item-standards",
        ] {
            let path = built.join(format!("{}.wasm", plugin.replace('-', "_")));
            let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run tests/run", path.display()));
            let name = unique(plugin);
            let staged = client
                .send(Method::PUT, &format!("/v1/plugins/{name}?activate=false"), &[("content-type", "application/wasm")], bytes)
                .await;
            assert_eq!(staged.status, 201, "{plugin}: {}", staged.text());
            assert_ne!(staged.json()["exports"], json!([]), "{plugin}");
        }
    });
}

#[test]
fn a_restart_compiles_nothing_and_trusts_no_artifact_it_did_not_write() {
    run(async {
        let host = TestHost::start().await;
        let endpoint = Endpoint::start().await;
        host.client.plugin("echo", echo(1)).await;
        host.client.script("script", "export function transform() { return { body: { version: 'script' } } }").await;
        let compiler = binary();
        // With this compiler, every compilation fails.
        let host = host.restart_with(|options| options.compiler = "/bin/false".into()).await;
        assert_eq!(answers(&host.client, "echo", &endpoint).await["version"], "0001");
        assert_eq!(answers(&host.client, "script", &endpoint).await["version"], "script");
        assert_eq!(host.client.try_upload("echo", "application/wasm", echo(2)).await.0, 422);
        assert_eq!(answers(&host.client, "echo", &endpoint).await["version"], "0001", "a compiler that fails changes nothing");
        // If a byte of the artifact was changed, it is not run but compiled again.
        let cache = host.data().join("cache");
        let host = host
            .restart_with(|options| {
                options.compiler = compiler;
                let artifacts: Vec<_> =
                    std::fs::read_dir(cache.join("artifacts")).expect("a cache").flatten().map(|entry| entry.path()).collect();
                assert!(artifacts.len() >= 2, "{artifacts:?}");
                for artifact in artifacts {
                    let mut bytes = std::fs::read(&artifact).expect("an artifact");
                    let middle = bytes.len() / 2;
                    bytes[middle] ^= 1;
                    std::fs::write(&artifact, bytes).expect("written");
                }
            })
            .await;
        assert_eq!(answers(&host.client, "echo", &endpoint).await["version"], "0001");
        assert_eq!(answers(&host.client, "script", &endpoint).await["version"], "script");
    });
}

/// The plugin of the SDK's README, in an empty folder outside the workspace.
#[test]
fn a_plugin_from_the_readme_alone_builds_offline_and_loads() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        // The folder is outside of the repository, so that the workspace cannot help.
        let outside = tempfile::tempdir().expect("a directory");
        let toolchain = finish(tokio::process::Command::new(root().join("tests/toolchain")).arg("which")).await.success();
        finish(hookwright(&["plugin", "new", "greeting"]).current_dir(outside.path())).await.success();
        let folder = outside.path().join("greeting");
        let readme = std::fs::read_to_string(root().join("guest-sdk/README.md")).expect("the README");
        std::fs::write(folder.join("Cargo.toml"), block(&readme, "toml", "[package]")).expect("written");
        let source = block(&readme, "rust", "struct Greeting;");
        // The code after the plugin is the README's own test of it.
        let plugin = source.split("\nlet event = ").next().expect("the plugin");
        std::fs::write(folder.join("src/lib.rs"), plugin).expect("written");
        let mut build = hookwright(&["plugin", "build", "--json"]);
        build.current_dir(&folder).env("CARGO_NET_OFFLINE", "true").env("HOOKWRIGHT_GUEST_TOOLCHAIN", toolchain.stdout.trim());
        // The debian toolchain builds the standard library, which takes longer than a request may.
        let built = tokio::time::timeout(Duration::from_secs(900), build.kill_on_drop(true).output()).await.expect("in time").expect("run");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));

        let name = unique("greeting");
        let mut push = hookwright(&["plugin", "push", &name, "greeting.wasm", "--json"]);
        push.current_dir(&folder).env("HOOKWRIGHT_URL", client.url("")).env("HOOKWRIGHT_TOKEN", hookwright_tests::host::TOKEN);
        let pushed: Value = serde_json::from_str(&finish(&mut push).await.success().stdout).expect("JSON");
        assert_eq!((&pushed["version"], &pushed["state"]), (&json!(1), &json!("active")));

        client.webhook(&name, json!({ "transform": { "plugin": name, "config": {} }, "request": { "url": endpoint.url("/") } })).await;
        client.invoke(&name, json!({ "data": { "name": "Ann" } })).await;
        assert_eq!(endpoint.next_request().await.json(), json!({ "text": "Hello, Ann!" }));
        let refused = client.invoke(&name, json!({ "data": {} })).await;
        assert_eq!((&refused["state"], &refused["failure"]["kind"]), (&json!("refused"), &json!("plugin_rejected")), "{refused}");
    });
}

/// The first block of a kind that contains this line.
fn block<'a>(readme: &'a str, kind: &str, with: &str) -> &'a str {
    let open = format!("```{kind}\n");
    let blocks = readme.split(&open).skip(1).filter_map(|rest| rest.split("\n```").next());
    blocks.into_iter().find(|block| block.contains(with)).unwrap_or_else(|| panic!("no {kind} block with {with}"))
}

#[test]
fn what_plugin_new_writes_builds_offline_as_it_is() {
    run(async {
        let client = &shared().await.client;
        let outside = data_directory();
        finish(hookwright(&["plugin", "new", "scripted", "--lang", "js"]).current_dir(outside.path())).await.success();
        let folder = outside.path().join("scripted");
        finish(hookwright(&["plugin", "build"]).current_dir(&folder)).await.success();
        let name = unique("scripted");
        let mut push = hookwright(&["plugin", "push", &name, "scripted.js", "--json"]);
        push.current_dir(&folder).env("HOOKWRIGHT_URL", client.url("")).env("HOOKWRIGHT_TOKEN", hookwright_tests::host::TOKEN);
        finish(&mut push).await.success();
        assert_eq!(client.look(&format!("/v1/plugins/{name}")).await["active"], 1);
    });
}

#[test]
fn what_a_transform_keeps_in_its_state_is_there_for_the_next_and_only_trying_it_keeps_nothing() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let name = unique("counts");
        client.grant(&name, json!({ "state": true })).await;
        let source = "export function transform(delivery, events) {\n  const seen = (hookwright.state.get('seen') ?? 0) + 1;\n  hookwright.state.set('seen', seen);\n  for (let i = 0; i < (events[0].data?.keys ?? 0); i++) hookwright.state.set(`k${i}`, i);\n  if (events[0].data?.fails) throw new Rejected('no');\n  return events[0].data?.nothing ? null : { body: { seen } };\n}";
        client.script(&name, source).await;
        client.webhook(&name, json!({ "transform": name, "request": { "url": endpoint.url("/") } })).await;
        let seen = async |data: Value| {
            assert_eq!(client.invoke(&name, json!({ "data": data })).await["state"], "delivered");
            endpoint.next_request().await.json()["seen"].clone()
        };
        assert_eq!(seen(json!({})).await, 1);
        assert_eq!(seen(json!({})).await, 2);
        // A call that fails keeps nothing; a call that sends nothing keeps what it set.
        assert_eq!(client.invoke(&name, json!({ "data": { "fails": true } })).await["failure"]["kind"], "plugin_rejected");
        assert_eq!(seen(json!({})).await, 3);
        client.invoke(&name, json!({ "data": { "nothing": true } })).await;
        assert_eq!(seen(json!({})).await, 5);
        // Previews and tries change nothing.
        client.post(&format!("/v1/webhooks/{name}/preview"), &json!({ "data": {} })).await;
        client.post(&format!("/v1/plugins/{name}/try"), &json!({ "event": { "trigger": "a", "data": {} } })).await;
        assert_eq!(seen(json!({})).await, 6);
        // A plugin that sets more than it may fails; nothing is kept or sent.
        assert_eq!(client.put(&format!("/v1/plugins/{name}/limits"), &json!({ "state_keys": 4 })).await.0, 200);
        let full = client.invoke(&name, json!({ "data": { "keys": 10 } })).await;
        assert_eq!(full["failure"]["kind"], "plugin_state_full", "{full}");
        assert!(full["failure"]["detail"].as_str().is_some_and(|detail| detail.contains("state_keys")), "{full}");
        assert_eq!(seen(json!({})).await, 7);
    });
}
