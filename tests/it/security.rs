//! Secrets that nobody may see, and things that a guest may not reach.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use hookwright_tests::{Endpoint, Process, Script, TestHost, data_directory, files, guests::guest, run, shared, unique};
use serde_json::{Value, json};

fn holds(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle.as_bytes())
}

#[test]
fn secrets_codes_and_tokens_stand_in_no_file_no_log_and_no_answer() {
    run(async {
        let directory = data_directory();
        let data = directory.path().join("data");
        let process =
            Process::serve_under(&data, &[], &[("RUST_LOG", "trace,h2=info"), ("HOOKWRIGHT_ADMIN_TOKEN", "canary-admin-token")]).await;
        let client = &process.client;
        let endpoint = Endpoint::start().await;
        endpoint.always(Script::json(json!({ "ok": true })).header("set-cookie", "session=canary-cookie"));
        client.secret("key", "canary-secret-value").await;
        client.secret("signing", "whsec_Y2FuYXJ5LXNpZ25pbmcta2V5LXdpdGgtMzItYnl0ZXM=").await;
        client
            .webhook(
                "hook",
                json!({
                    "selectors": ["canary.*"], "request": { "url": endpoint.url("/p?sig=canary-in-url") },
                    "auth": { "kind": "bearer", "token": "$secret:key" }, "signing": { "secrets": ["$secret:signing"] },
                }),
            )
            .await;
        client.webhook("headers", json!({ "selectors": ["canary.*"], "request": { "url": endpoint.url("/") }, "auth": { "kind": "headers", "headers": { "x-api-key": "$secret:key" } } })).await;
        client.secret("inbound", "canary-inbound-secret").await;
        let code = client
            .receiver("inbound", json!({ "reply": { "message": "ok" }, "verify": { "scheme": "bearer", "secret": "$secret:inbound" } }))
            .await;
        let path = format!("/api/v1/webhook/{code}");
        for token in ["canary-inbound-secret", "canary-wrong-secret"] {
            let headers = [("authorization", &*format!("Bearer {token}")), ("cookie", "canary-in-cookie")];
            client.with_token(None).send(http::Method::POST, &path, &headers, "{}").await;
        }
        let accepted = client.event(json!({ "trigger": "canary.event", "data": {} })).await;
        assert_eq!(accepted["deliveries"][0]["state"], "delivered", "{accepted}");
        assert!(!endpoint.next_request().await.header("webhook-id").is_empty());
        // Refusals and errors do not contain the secret either.
        client.put("/v1/secrets/bad", &json!({ "value": "canary-newline\n" })).await;
        client.put("/v1/secrets/bad", &json!({ "value": { "canary-type": 1 } })).await;

        let mut shown = String::new();
        for path in [
            "/v1/webhooks",
            "/v1/webhooks/hook",
            "/v1/webhooks/headers",
            "/v1/secrets",
            "/v1/receivers",
            "/v1/deliveries?limit=500",
            "/v1/calls",
            "/v1/events",
            "/v1/plugins",
            "/v1/profiles",
        ] {
            shown.push_str(&client.look(path).await.to_string());
        }
        for delivery in client.look("/v1/deliveries").await["data"].as_array().expect("deliveries") {
            shown.push_str(&client.delivery(delivery["id"].as_str().expect("an id")).await.to_string());
        }
        let log = process.log();
        assert!(log.contains("delivered"), "there is a log to look at");
        let printed = process.printed().join("\n");
        assert!(process.terminate().await.success());
        let kept = files(&data);
        assert!(kept.len() > 3);

        let values = [
            "canary-secret-value",
            "canary-signing-key",
            "Y2FuYXJ5LXNpZ25pbmcta2V5LXdpdGgtMzItYnl0ZXM",
            "canary-inbound-secret",
            "canary-wrong-secret",
            "canary-in-cookie",
            "canary-cookie",
            "canary-admin-token",
            "canary-newline",
            code.as_str(),
        ];
        for value in values {
            assert!(!shown.contains(value), "an answer shows {value}");
            assert!(!log.contains(value), "the log shows {value}");
            assert!(!printed.contains(value), "standard output shows {value}");
            for (file, content) in kept.iter().map(|(path, content)| (path.display().to_string(), content)) {
                assert!(!holds(content, value), "{file} holds {value}");
            }
        }
        // A URL's values are stored, because they are sent, but they are neither shown nor logged.
        assert!(!shown.contains("canary-in-url") && !log.contains("canary-in-url"));
    });
}

#[test]
fn what_the_host_keeps_is_readable_by_its_owner_alone() {
    run(async {
        let directory = data_directory();
        let data = directory.path().join("data");
        let process = Process::serve(&data).await;
        let mode = |path: &Path| fs::metadata(path).expect("a file").permissions().mode() & 0o777;
        assert_eq!(mode(&data), 0o700);
        for file in ["admin-token", "key"] {
            assert_eq!(mode(&data.join(file)), 0o600, "{file}");
        }
        process.kill().await;
    });
}

#[test]
fn the_admin_token_is_printed_once_and_can_be_given() {
    run(async {
        let directory = data_directory();
        let data = directory.path().join("data");
        let process = Process::serve(&data).await;
        let token = fs::read_to_string(data.join("admin-token")).expect("the token").trim().to_owned();
        let printed = hookwright_tests::wait::eventually("the token is printed", || async {
            Some(process.printed().join("\n")).filter(|text| text.contains(&token))
        })
        .await;
        assert!(printed.contains("admin-token"), "{printed}");
        assert!(!process.log().contains(&token));
        assert!(process.log().contains("storage key"), "a made key is warned of: {}", process.log());
        process.kill().await;
        let process = Process::serve(&data).await;
        assert_eq!(process.client.get("/v1/webhooks").await.0, 200);
        process.kill().await;
        // A token from the environment works in addition to the first one.
        let process = Process::serve_under(&data, &[], &[("HOOKWRIGHT_ADMIN_TOKEN", "given-token")]).await;
        for token in [token.as_str(), "given-token"] {
            assert_eq!(process.client.with_token(Some(token)).get("/v1/webhooks").await.0, 200);
        }
        assert!(!process.printed().join("\n").contains(&token), "only the first start prints it");
        process.kill().await;
    });
}

#[test]
fn a_guest_sees_no_file_no_environment_and_no_socket() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let name = unique("reads");
        client.plugin(&name, guest("reads_files")).await;
        client.webhook(&name, json!({ "transform": name, "request": { "url": endpoint.url("/") } })).await;
        client.invoke(&name, json!({})).await;
        let report = endpoint.next_request().await.json();
        let refused = |value: &Value| value.as_str().is_some_and(|text| text.starts_with("error: "));
        for (path, got) in report["files"].as_object().expect("files").iter().chain(report["directories"].as_object().expect("directories"))
        {
            assert!(refused(got), "{path}: {got}");
        }
        assert!(refused(&report["socket"]) && refused(&report["write"]), "{report}");
        assert_eq!((&report["environment"], &report["arguments"]), (&json!({}), &json!([])), "{report}");
        assert!(!Path::new("/tmp/hookwright-guest-was-here").exists());
    });
}

#[test]
fn a_granted_directory_is_the_plugins_own_and_nothing_above_it() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        client.grant("reads", json!({ "directory": true })).await;
        client.plugin("reads", guest("reads_files")).await;
        let own = host.data().join("plugin-data/reads");
        fs::create_dir_all(&own).expect("made");
        fs::write(own.join("mine.txt"), "mine").expect("written");
        fs::create_dir_all(host.data().join("plugin-data/other")).expect("made");
        std::os::unix::fs::symlink("/etc", own.join("etc")).expect("linked");
        let code = client.receiver("reads", json!({ "plugin": "reads", "full_reply": true })).await;
        let answered = client.call(&code, "", "").await;
        let report = answered.json();
        let listed = report["directories"]["/data"].as_str().unwrap_or_default();
        assert!(listed.contains("mine.txt") && !listed.contains("other"), "{report}");
        for path in ["/etc/passwd", "/proc/self/environ", "../../etc/passwd", "/data/../etc/passwd"] {
            assert!(report["files"][path].as_str().is_some_and(|got| got.starts_with("error: ")), "{path}: {report}");
        }
        assert!(report["write"].as_str().is_some_and(|got| got.starts_with("error: ")), "{report}");
    });
}

#[test]
fn a_plugin_cannot_fill_the_disk_by_its_directory() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        client.grant("hoarder", json!({ "directory": true })).await;
        client.plugin("hoarder", guest("disk_hoarder")).await;
        let code = client.receiver("hoarder", json!({ "plugin": "hoarder", "timeout_ms": 30000 })).await;
        let own = host.data().join("plugin-data/hoarder");
        let used = || files(&own).iter().map(|(_, bytes)| bytes.len()).sum::<usize>() >> 20;
        assert_eq!(client.call(&code, "", "").await.status, 503);
        assert_eq!(client.last_call("hoarder").await["failure"]["kind"], "plugin_directory_full");
        let filled = used();
        assert!((64..1024).contains(&filled), "stopped soon after its 64 MiB, not at {filled}");
        // The next call is not run and writes nothing.
        assert_eq!(client.call(&code, "", "").await.status, 503);
        assert_eq!(client.last_call("hoarder").await["failure"]["kind"], "plugin_directory_full");
        assert_eq!(used(), filled);
        // An admin has made room.
        fs::remove_dir_all(&own).expect("removed");
        client.script("hoarder", "export function receive() { return 'room again' }").await;
        assert_eq!(client.call(&code, "", "").await.status, 200);
    });
}

#[test]
fn a_stolen_data_directory_without_its_key_opens_nothing() {
    run(async {
        let host = TestHost::start().await;
        host.client.secret("key", "canary").await;
        let data = host.stop().await;
        fs::write(data.path().join("key"), format!("{}\n", "ab".repeat(32))).expect("another key");
        let config = hookwright::config::Config::new(data.path(), "127.0.0.1:0".parse().expect("an address"));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let started = hookwright::host::Host::start(config, listener, std::sync::Arc::new(hookwright::clock::SystemClock), None).await;
        // Either the host does not start and says so, or it starts and cannot read the secret. It never shows anything.
        if let Ok(host) = started {
            let secret = host.services.store.secret("key", None).await;
            assert!(!matches!(secret, Ok(Some(_))), "a secret was read with another key");
            host.stop().await;
        }
    });
}
