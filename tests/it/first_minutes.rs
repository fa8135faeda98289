//! What a newcomer does first: create a webhook with one command, post an event, and find out why nothing arrives.

use hookwright_tests::{
    Endpoint, TestHost,
    host::{Options, TOKEN},
    process::{Finished, finish, hookwright},
    run, shared, unique,
    wait::within,
};
use serde_json::{Value, json};

async fn at_host(host: &TestHost, arguments: &[&str]) -> Finished {
    finish(hookwright(arguments).env("HOOKWRIGHT_URL", host.client.url("")).env("HOOKWRIGHT_TOKEN", TOKEN)).await
}

fn parsed(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {}", finished.all()))
}

/// Writes a file in a directory and returns its path.
fn file(directory: &tempfile::TempDir, name: &str, text: &str) -> String {
    let path = directory.path().join(name);
    std::fs::write(&path, text).expect("written");
    path.to_str().expect("a path").to_owned()
}

#[test]
fn a_webhook_is_made_by_one_command_and_its_receiver_can_verify_what_comes() {
    run(async {
        let (host, endpoint, directory) = (TestHost::start().await, Endpoint::start().await, tempfile::tempdir().expect("a directory"));
        let script = file(
            &directory,
            "to-chat.js",
            "export function transform(delivery, events) { return { body: { text: `for ${events[0].data.who}` } }; }\n",
        );
        let url = endpoint.url("/in");
        let create = ["webhook", "create", "chat", "--url", &url, "--on", "order.paid", "--on", "user.*", "--transform", &script, "--json"];
        let made = parsed(&at_host(&host, &create).await.success());
        let key = made["signing_secret"].as_str().expect("a key");
        assert!(key.starts_with("whsec_"), "{made}");
        assert_eq!((&made["name"], &made["selectors"]), (&json!("chat"), &json!(["order.paid", "user.*"])));

        let sent = at_host(&host, &["event", "send", "order.paid", "--data", r#"{"who":"Ann"}"#, "--wait", "20s"]).await.success();
        assert!(sent.stdout.contains("1 webhook matched it"), "{}", sent.all());
        let received = endpoint.next_request().await;
        received.verify(key).expect("signed with the key that was shown");
        assert_eq!(received.json(), json!({ "text": "for Ann" }));

        // The key is shown only once.
        let shown = host.client.look("/v1/webhooks/chat").await.to_string();
        assert!(!shown.contains(key), "{shown}");
        // The same file makes no second version of the plugin.
        let second = at_host(&host, &["webhook", "create", "other", "--url", &url, "--on", "b", "--transform", &script]).await.success();
        assert!(second.stdout.contains("other is created") && second.stdout.contains("to-chat"), "{}", second.all());
        assert_eq!(host.client.look("/v1/plugins/to-chat").await["versions"].as_array().map(Vec::len), Some(1));
        host.stop().await;
    });
}

#[test]
fn a_created_webhook_can_have_a_template_a_plugin_a_secret_or_no_signature() {
    run(async {
        let (host, endpoint, directory) = (TestHost::start().await, Endpoint::start().await, tempfile::tempdir().expect("a directory"));
        let (url, on) = (endpoint.url("/in"), ["--on", "a.word"]);
        let body = file(&directory, "body.yaml", "total: $event.data.total\n");
        let list = file(&directory, "list.json", r#"["$event.data.total"]"#);
        host.client.secret("own", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").await;
        for (name, options, expected) in [
            ("yaml", vec!["--transform", &body, "--unsigned"], json!({ "total": 3 })),
            ("json", vec!["--transform", &list, "--secret", "own"], json!([3])),
        ] {
            let words = [vec!["webhook", "create", name, "--url", &url, "--json"], on.to_vec(), options].concat();
            let made = parsed(&at_host(&host, &words).await.success());
            assert_eq!(made.get("signing_secret"), None, "{made}");
            host.client.invoke(name, json!({ "data": { "total": 3 } })).await;
            assert_eq!(endpoint.next_request().await.json(), expected);
        }
        assert_eq!(host.client.look("/v1/webhooks/json").await["signing"]["secrets"], json!(["$secret:own"]));
        let built_in = ["webhook", "create", "esri", "--url", &url, "--on", "/items/share", "--transform", "arcgis-organization"];
        at_host(&host, &built_in).await.success();
        assert_eq!(host.client.look("/v1/webhooks/esri").await["transform"], "arcgis-organization");
        host.stop().await;
    });
}

#[test]
fn what_cannot_be_created_is_refused_with_the_way_out_and_leaves_nothing() {
    run(async {
        let host = TestHost::with(Options { allow_networks: Vec::new(), ..Options::default() }).await;
        let directory = tempfile::tempdir().expect("a directory");
        let refused = async |words: &[&str], says: &[&str]| {
            let words = [&["webhook", "create"][..], words].concat();
            let refused = at_host(&host, &words).await;
            assert_eq!(refused.status.code(), Some(1), "{words:?}: {}", refused.all());
            for said in says {
                assert!(refused.stderr.contains(said), "{words:?}: no `{said}` in {}", refused.stderr);
            }
        };
        let to = ["--url", "https://chat.example/in", "--on", "a.word"];
        refused(
            &["chat", "--url", "http://127.0.0.1:9000/", "--on", "a.word"],
            &["/request/url", "--allow-network", "HOOKWRIGHT_ALLOW_NETWORKS"],
        )
        .await;
        refused(&["chat", "--url", "https://chat.example/", "--on", "a.*.b"], &["/selectors/0"]).await;
        let text = file(&directory, "notes.txt", "");
        refused(&[&["chat"][..], &to, &["--transform", &text]].concat(), &["notes.txt", ".wasm", ".json"]).await;
        refused(&[&["chat"][..], &to, &["--transform", "no-such-plugin"]].concat(), &["no-such-plugin"]).await;
        refused(&[&["chat"][..], &to, &["--secret", "no-such-secret"]].concat(), &["no-such-secret"]).await;
        assert_eq!(host.client.look("/v1/webhooks").await["data"], json!([]));
        assert_eq!(host.client.look("/v1/secrets").await["data"], json!([]), "no key of a webhook that is not there");

        let script = file(&directory, "greets.js", "export function transform() { return { body: 1 }; }\n");
        at_host(&host, &["webhook", "create", "chat", "--url", "https://chat.example/in", "--on", "a.word", "--transform", &script])
            .await
            .success();
        refused(&[&["chat"][..], &to].concat(), &["there is a webhook `chat` already", "webhook apply"]).await;
        let script = file(&directory, "greets.js", "export function transform() { return { body: 2 }; }\n");
        refused(&[&["other"][..], &to, &["--transform", &script]].concat(), &["another plugin `greets`", "plugin push greets"]).await;
        let missing = at_host(&host, &["webhook", "create", "other", "--url", "https://chat.example/in"]).await;
        assert_eq!(missing.status.code(), Some(2), "{}", missing.all());
        host.stop().await;
    });
}

#[test]
fn an_event_nobody_gets_says_so_and_those_who_may_read_are_told_why() {
    run(async {
        let (host, endpoint) = (TestHost::start().await, Endpoint::start().await);
        let (client, url) = (&host.client, endpoint.url("/"));
        let webhook = async |name: &str, with: Value| {
            let mut document = json!({ "request": { "url": url } });
            document.as_object_mut().expect("an object").extend(with.as_object().expect("an object").clone());
            client.webhook(name, document).await;
        };
        webhook("asleep", json!({ "selectors": ["order.paid"], "active": false })).await;
        webhook("large", json!({ "selectors": ["order.*"], "filter": "$[?@.total > 100]" })).await;
        webhook("shop", json!({ "selectors": ["order.paid"], "sources": ["shop"] })).await;
        webhook("heard", json!({ "selectors": ["heard.word"] })).await;

        let (status, answer) = client.post("/v1/events", &json!({ "trigger": "order.paid", "data": { "total": 1 } })).await;
        assert_eq!((status, &answer["matched"]), (202, &json!(0)), "{answer}");
        let reasons: Vec<_> =
            answer["mismatches"].as_array().expect("reasons").iter().map(|one| (one["webhook"].as_str(), one["reason"].as_str())).collect();
        assert_eq!(reasons, [(Some("large"), Some("filter")), (Some("shop"), Some("source")), (Some("asleep"), Some("inactive"))]);

        // Triggers of every kind (a word, a path, a path of ArcGIS), with and without a selector that is nearly right.
        for (trigger, data, near) in [
            ("heard.wrod", json!(1), Some("heard.word")),
            ("/mine/all", json!(1), None),
            ("/items/abc/share", json!({ "username": "u", "userId": "1", "properties": {} }), None),
        ] {
            let (status, answer) = client.post("/v1/events", &json!({ "trigger": trigger, "data": data })).await;
            assert_eq!((status, &answer["matched"]), (202, &json!(0)), "{answer}");
            let reason = &answer["mismatches"][0];
            assert_eq!((&reason["webhook"], &reason["reason"]), (&Value::Null, &json!("unselected")), "{answer}");
            let detail = reason["detail"].as_str().expect("a sentence");
            assert!(detail.contains(trigger) && near.is_none_or(|near| detail.contains(near)), "{detail}");
        }

        let (_, answer) = client.post("/v1/events", &json!({ "trigger": "heard.word", "id": "1" })).await;
        assert_eq!((&answer["matched"], answer.get("mismatches")), (&json!(1), None), "{answer}");
        let (_, repeat) = client.post("/v1/events", &json!({ "trigger": "heard.word", "id": "1" })).await;
        assert_eq!((&repeat["duplicate"], repeat.get("matched")), (&json!(true), None), "a repeat is not matched again: {repeat}");
        let (_, several) = client.post("/v1/events?wait=20s", &json!([{ "trigger": "heard.word" }, { "trigger": "nobodys" }])).await;
        assert_eq!(several["matched"], json!([1, 0]), "{several}");
        assert_eq!(several["events"][1]["mismatches"][0]["reason"], "unselected", "{several}");

        // A token that may only post learns only the number of webhooks.
        let (status, token) = client.post("/v1/tokens", &json!({ "name": "producer", "scopes": ["events:write"] })).await;
        assert_eq!(status, 201, "{token}");
        let producer = client.with_token(token["token"].as_str());
        let (status, answer) = producer.post("/v1/events", &json!({ "trigger": "order.paid", "data": { "total": 1 } })).await;
        assert_eq!((status, &answer["matched"], answer.get("mismatches")), (202, &json!(0), None), "{answer}");
        host.stop().await;
    });
}

#[test]
fn sending_an_event_nobody_gets_says_why_and_fails_if_it_was_to_wait() {
    run(async {
        let (host, endpoint) = (TestHost::start().await, Endpoint::start().await);
        host.client
            .webhook("large", json!({ "selectors": ["order.*"], "filter": "$[?@.total > 100]", "request": { "url": endpoint.url("/") } }))
            .await;
        let send =
            async |more: &[&str]| at_host(&host, &[&["event", "send", "order.paid", "--data", r#"{"total":1}"#][..], more].concat()).await;
        let told = send(&[]).await.success();
        assert!(told.stdout.contains("no webhook matched it") && told.stdout.contains("large: its filter"), "{}", told.all());
        let waited = send(&["--wait", "5s"]).await;
        assert_eq!(waited.status.code(), Some(1), "{}", waited.all());
        assert!(waited.stdout.contains("large: its filter"), "{}", waited.all());
        let waited = send(&["--wait", "5s", "--json"]).await;
        assert_eq!((waited.status.code(), &parsed(&waited)["matched"]), (Some(1), &json!(0)), "{}", waited.all());
        let path = at_host(
            &host,
            &["event", "send", "/items/abc/share", "--data", r#"{"username":"u","userId":"1","properties":{}}"#, "--wait", "5s"],
        )
        .await;
        assert_eq!(path.status.code(), Some(1), "{}", path.all());
        assert!(path.stdout.contains("no webhook selects `/items/abc/share`"), "{}", path.all());
        host.stop().await;
    });
}

#[test]
fn the_sink_answers_what_a_first_binding_can_read() {
    run(async {
        use tokio::io::{AsyncBufReadExt, BufReader};
        let client = &shared().await.client;
        let name = unique("first-sink");
        let mut command = hookwright(&["sink", "--listen", "127.0.0.1:0", "--count", "1", "--json"]);
        let mut child = command.stdout(std::process::Stdio::piped()).spawn().expect("the sink");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let first: Value = serde_json::from_str(&lines.next_line().await.expect("text").expect("a line")).expect("JSON");
        let url = first["listening"].as_str().expect("an address");
        client.webhook(&name, json!({ "request": { "url": url }, "bindings": { "got": "$.received" } })).await;
        let invoked = client.invoke(&name, json!({})).await;
        assert_eq!((&invoked["state"], &invoked["parameters"]["got"]), (&json!("delivered"), &json!(true)), "{invoked}");
        assert!(within("the sink's end", child.wait()).await.expect("its end").success());
    });
}
