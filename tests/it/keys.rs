//! Tokens with rotation and rate limits, and the rotation of the storage key.

use std::time::Duration;

use hookwright_tests::{
    Process, TestHost, data_directory,
    process::{finish, hookwright},
    run,
};
use http::Method;
use serde_json::{Value, json};

async fn make(host: &TestHost, token: Value) -> (String, String) {
    let (status, made) = host.client.post("/v1/tokens", &token).await;
    assert_eq!(status, 201, "{made}");
    let text = |name: &str| made[name].as_str().expect("a text").to_owned();
    (text("id"), text("token"))
}

#[test]
fn a_token_is_rotated_and_the_old_one_goes_on_for_as_long_as_was_said() {
    run(async {
        let host = TestHost::start().await;
        let (id, old) = make(&host, json!({ "name": "crm", "scopes": ["read"] })).await;
        let status = async |token: &str| host.client.with_token(Some(token)).get("/v1/webhooks").await.0;
        let rotate = async |id: &str, with: Value| host.client.post(&format!("/v1/tokens/{id}/rotate"), &with).await;
        let (made, new) = rotate(&id, json!({ "overlap_seconds": 60 })).await;
        assert_eq!((made, &new["name"], &new["scopes"]), (201, &json!("crm"), &json!(["read"])), "{new}");
        let newer = new["token"].as_str().expect("a token").to_owned();
        assert_eq!((status(&old).await, status(&newer).await), (200, 200), "both at once");
        let listed = host.client.look("/v1/tokens").await;
        let shown = listed["data"].as_array().expect("tokens").iter().find(|one| one["id"] == id.as_str()).cloned().expect("the old one");
        assert_eq!(shown["replaced_by"], new["id"]);
        assert_eq!(rotate(&id, json!({})).await.0, 409, "it was rotated before");
        host.advance(Duration::from_secs(61));
        assert_eq!((status(&old).await, status(&newer).await), (401, 200), "the old one has ended");
        // Without an overlap the old token ends at once.
        let (_, newest) = rotate(new["id"].as_str().expect("an id"), json!({})).await;
        assert_eq!((status(&newer).await, status(newest["token"].as_str().expect("a token")).await), (401, 200));
        // Wrong requests are refused, and the lifetime is kept.
        assert_eq!(rotate("tok_none", json!({})).await.0, 404);
        assert_eq!(rotate(newest["id"].as_str().expect("an id"), json!({ "overlap_seconds": 2_592_001 })).await.0, 400);
        let host = host.restart().await;
        assert_eq!(host.client.with_token(newest["token"].as_str()).get("/v1/webhooks").await.0, 200, "it is on the disk");
        let newest = newest["id"].as_str().expect("an id");
        let mut command = hookwright(&["token", "rotate", newest, "--overlap-seconds", "5"]);
        let told = finish(command.env("HOOKWRIGHT_URL", host.client.url("")).env("HOOKWRIGHT_TOKEN", hookwright_tests::host::TOKEN)).await;
        assert!(told.success().stdout.contains("hwt_"));
    });
}

#[test]
fn a_token_makes_as_many_requests_in_a_minute_as_it_may() {
    run(async {
        let host = TestHost::start().await;
        let (_, paced) = make(&host, json!({ "name": "crm", "scopes": ["read"], "requests_per_minute": 3 })).await;
        let (_, free) = make(&host, json!({ "name": "other", "scopes": ["read"] })).await;
        let get = async |token: &str, path: &str| host.client.with_token(Some(token)).send(Method::GET, path, &[], "").await;
        for _ in 0..3 {
            assert_eq!(get(&paced, "/v1/webhooks").await.status, 200);
        }
        let refused = get(&paced, "/v1/webhooks").await;
        assert_eq!(refused.status, 429, "{}", refused.text());
        let seconds: u64 = refused.header("retry-after").parse().expect("seconds");
        assert!((1..=21).contains(&seconds), "{seconds}");
        assert!(refused.text().contains("3 requests in a minute"), "{}", refused.text());
        assert_eq!(get(&paced, "/v3/projects/p/locations/l/agents/a/webhooks").await.status, 429, "whichever way it comes");
        let arcgis = get(&paced, "/portal/sharing/rest/community/self?f=json").await.json();
        assert_eq!(arcgis["error"]["code"], 429, "{arcgis}");
        assert_eq!(get(&free, "/v1/webhooks").await.status, 200, "others are not held up");
        let (status, problem) = host.client.post("/v1/tokens", &json!({ "name": "x", "scopes": ["read"], "requests_per_minute": 0 })).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!("/requests_per_minute")));
    });
}

#[test]
fn the_storage_key_is_rotated_and_everything_sealed_is_found_again() {
    run(async {
        let data = data_directory();
        let path = data.path();
        let host = Process::serve(path).await;
        host.client.secret("key", "canary-value").await;
        host.client.secret("key", "canary-newer").await;
        let code = host.client.receiver("refresh", json!({ "reply": { "message": "ok" } })).await;
        let argument = path.to_str().expect("a path");
        let busy = finish(&mut hookwright(&["key", "rotate", "--data", argument])).await;
        assert_eq!(busy.status.code(), Some(1), "a host has it: {}", busy.all());
        assert!(host.terminate().await.success());
        let before = std::fs::read_to_string(path.join("key")).expect("a key");
        // A start without the key says what to do.
        std::fs::rename(path.join("key"), path.join("elsewhere")).expect("moved");
        let refused = finish(&mut hookwright(&["serve", "--listen", "127.0.0.1:0", "--data", argument])).await;
        assert!(refused.stderr.contains("put the key back") && refused.stderr.contains("HOOKWRIGHT_KEY_FILE"), "{}", refused.stderr);
        std::fs::rename(path.join("elsewhere"), path.join("key")).expect("moved");
        let told = finish(&mut hookwright(&["key", "rotate", "--data", argument])).await.success().stdout;
        assert!(told.contains("2 versions of secrets and 1 codes"), "{told}");
        let after = std::fs::read_to_string(path.join("key")).expect("a key");
        assert_ne!(before, after);
        assert_eq!(std::fs::read_to_string(path.join("key.previous")).expect("the old one"), before);
        // The rotation was cut off before the new key was in place; the next start finishes it.
        std::fs::rename(path.join("key"), path.join("key.next")).expect("moved");
        std::fs::copy(path.join("key.previous"), path.join("key")).expect("copied");
        let host = Process::serve(path).await;
        assert_eq!(std::fs::read_to_string(path.join("key")).expect("a key"), after);
        let called = host.client.call(&code, "", "").await;
        assert_eq!(called.status, 200, "{}", called.text());
        let listed = host.client.look("/v1/receivers/refresh/codes").await;
        assert_eq!(listed["data"][0]["code"], code.as_str());
        let endpoint = hookwright_tests::Endpoint::start().await;
        for (name, reference) in [("new", "$secret:key"), ("old", "$secret:key@1")] {
            let auth = json!({ "kind": "bearer", "token": reference });
            host.client.webhook(name, json!({ "request": { "url": endpoint.url("/") }, "auth": auth })).await;
            host.client.invoke(name, json!({})).await;
            let expected = if name == "new" { "Bearer canary-newer" } else { "Bearer canary-value" };
            assert_eq!(endpoint.next_request().await.header("authorization"), expected);
        }
    });
}

#[test]
fn a_rotation_that_is_killed_leaves_a_store_that_opens() {
    run(async {
        let data = data_directory();
        let path = data.path();
        let argument = path.to_str().expect("a path");
        let host = Process::serve(path).await;
        host.client.secret("key", "canary-value").await;
        let large = "x".repeat(20_000);
        for n in 0..200 {
            assert_eq!(host.client.post("/v1/events", &json!({ "trigger": "kept.word", "data": { "n": n, "text": large } })).await.0, 202);
        }
        assert!(host.terminate().await.success());
        // The steps of a rotation, by their visible effect: the new key, the beginning of the copy, the copy in place, the new key in
        // place.
        let generations = || std::fs::read_dir(path.join("store")).expect("read").flatten().filter(|entry| entry.path().is_dir()).count();
        let current = || std::fs::read_to_string(path.join("store/current")).expect("read");
        for step in 0..4 {
            let (before, key) = (current(), std::fs::read_to_string(path.join("key")).expect("a key"));
            let reached = || match step {
                0 => path.join("key.next").exists(),
                1 => generations() > 1,
                2 => current() != before,
                _ => std::fs::read_to_string(path.join("key")).is_ok_and(|now| now != key),
            };
            let mut rotation = hookwright(&["key", "rotate", "--data", argument]).spawn().expect("it runs");
            // The rotation may finish before the test looks. Then it was not killed, and that is a case, too.
            while !reached() && rotation.try_wait().expect("asked").is_none() {
                tokio::task::yield_now().await;
            }
            drop(rotation.start_kill());
            rotation.wait().await.expect("its end");
            let host = Process::serve(path).await;
            let events = host.client.look("/v1/events?limit=500").await;
            assert_eq!(events["data"].as_array().map(Vec::len), Some(200), "after step {step}");
            let endpoint = hookwright_tests::Endpoint::start().await;
            let auth = json!({ "kind": "bearer", "token": "$secret:key" });
            host.client.webhook("told", json!({ "request": { "url": endpoint.url("/") }, "auth": auth })).await;
            host.client.invoke("told", json!({})).await;
            assert_eq!(endpoint.next_request().await.header("authorization"), "Bearer canary-value", "after step {step}");
            assert!(host.terminate().await.success());
        }
        finish(&mut hookwright(&["key", "rotate", "--data", argument])).await.success();
    });
}
