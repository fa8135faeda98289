//! Plugins are swapped under load: no call fails, each answer comes from one version, and the new version answers once the PUT has
//! returned.

use std::{
    future::Future,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};

use hookwright_tests::{Endpoint, Gate, Options, Script, TestHost, guests::echo, run};
use serde_json::json;

/// Swaps of each kind; `tests/run swaps N` sets the number.
static SWAPS: LazyLock<u32> =
    LazyLock::new(|| std::env::var("HOOKWRIGHT_TEST_SWAPS").ok().and_then(|number| number.parse().ok()).unwrap_or(200));
/// Number of callers at a time.
const CALLERS: usize = 3;

/// Makes calls without a pause while changes 1 to [`SWAPS`] are made one after the other. `version_of` gives the version that is active
/// after a change.
///
/// `call` returns the version that served it. That must not be older than the version whose PUT had returned when the call began, nor
/// newer than the version that was being uploaded when the call ended.
async fn under_calls<C, P>(
    call: impl Fn() -> C + Send + Sync + 'static,
    version_of: impl Fn(u32) -> u32 + Copy + Send + Sync + 'static,
    put: impl Fn(u32) -> P,
) -> u64
where
    C: Future<Output = u32> + Send,
    P: Future<Output = ()>,
{
    put(0).await;
    let (returned, begun) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let (over, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let call = Arc::new(call);
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (call, returned, begun, over, calls) =
                (Arc::clone(&call), Arc::clone(&returned), Arc::clone(&begun), Arc::clone(&over), Arc::clone(&calls));
            tokio::spawn(async move {
                while !over.load(Ordering::SeqCst) {
                    let least = returned.load(Ordering::SeqCst);
                    let served = call().await;
                    let most = begun.load(Ordering::SeqCst);
                    let active: Vec<_> = (least..=most).map(version_of).collect();
                    assert!(active.contains(&served), "a call was served by {served}; active were {active:?}");
                    calls.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for version in 1..=*SWAPS {
        begun.store(version, Ordering::SeqCst);
        put(version).await;
        returned.store(version, Ordering::SeqCst);
        // The next swap waits for a call; otherwise quick swaps would happen without calls.
        let before = calls.load(Ordering::SeqCst);
        while calls.load(Ordering::SeqCst) == before && !callers.iter().any(tokio::task::JoinHandle::is_finished) {
            tokio::task::yield_now().await;
        }
    }
    over.store(true, Ordering::SeqCst);
    for caller in callers {
        caller.await.expect("no call failed");
    }
    calls.load(Ordering::SeqCst)
}

#[test]
fn a_plugin_is_swapped_again_and_again_under_calls() {
    run(async {
        let host = TestHost::with(Options::default()).await;
        let client = host.client.clone();
        let endpoint = Endpoint::start().await;
        // The endpoint sends back what it receives, so a call's answer is what the plugin made.
        client.plugin("swapped", echo(0)).await;
        client.webhook("swapped", json!({ "transform": "swapped", "request": { "url": endpoint.url("/") } })).await;
        let digests: Vec<_> = (0..=*SWAPS).map(|version| hookwright::model::plugin::Digest::of(&echo(version)).to_string()).collect();
        let caller = client.clone();
        let call = move || {
            let (client, digests) = (caller.clone(), digests.clone());
            async move {
                let invoked = client.invoke("swapped", json!({})).await;
                assert_eq!(invoked["state"], "delivered", "a call failed: {invoked}");
                let attempt = client.delivery(invoked["delivery"].as_str().expect("an id")).await["attempt_log"][0].clone();
                let body: serde_json::Value = serde_json::from_str(attempt["request"]["body"].as_str().expect("a body")).expect("JSON");
                let version: u32 = body["version"].as_str().expect("a version").parse().expect("a number");
                // The attempt's record names the bytes that were run, so all of it is one version.
                assert_eq!(attempt["plugin"]["digest"], digests[version as usize].as_str());
                assert_eq!(attempt["plugin"]["version"], version + 1);
                version
            }
        };
        let calls = under_calls(call, |change| change, async |version| drop(client.plugin("swapped", echo(version)).await)).await;
        println!("{} plugin swaps under {calls} calls", *SWAPS);
        let versions = client.look("/v1/plugins/swapped").await["versions"].as_array().map(Vec::len);
        assert!(versions.is_some_and(|versions| versions <= 100), "old versions go: {versions:?}");
    });
}

#[test]
fn versions_come_and_are_rolled_back_under_calls() {
    run(async {
        let host = TestHost::with(Options::default()).await;
        let client = host.client.clone();
        let endpoint = Endpoint::start().await;
        client.webhook("watch", json!({ "selectors": ["plugin.*"], "request": { "url": endpoint.url("/told") } })).await;
        client.plugin("back", echo(0)).await;
        client.webhook("back", json!({ "transform": "back", "request": { "url": endpoint.url("/") } })).await;
        let caller = client.clone();
        let call = move || {
            let client = caller.clone();
            async move {
                let invoked = client.invoke("back", json!({})).await;
                assert_eq!(invoked["state"], "delivered", "a call failed: {invoked}");
                let attempt = client.delivery(invoked["delivery"].as_str().expect("an id")).await["attempt_log"][0].clone();
                let body: serde_json::Value = serde_json::from_str(attempt["request"]["body"].as_str().expect("a body")).expect("JSON");
                body["version"].as_str().expect("a version").parse().expect("a number")
            }
        };
        // Every other change rolls back the one before.
        let version_of = |change: u32| if change % 2 == 1 { change.div_ceil(2) } else { 0 };
        let calls = under_calls(call, version_of, async |change| {
            if change % 2 == 1 {
                client.plugin("back", echo(change.div_ceil(2))).await;
            } else if change > 0 {
                let (status, answer) = client.post("/v1/plugins/back/rollback", &json!({})).await;
                assert_eq!(status, 200, "{answer}");
            }
        })
        .await;
        println!("{} swaps and rollbacks under {calls} calls", *SWAPS);
        assert!(endpoint.seen().iter().all(|seen| seen.path != "/told"), "no version was set aside or taken back by itself");
    });
}

#[test]
fn a_script_is_swapped_again_and_again_under_calls() {
    run(async {
        let host = TestHost::with(Options::default()).await;
        let client = host.client.clone();
        let script = |version: u32| {
            format!(
                "const first = {version};\nexport function receive(call) {{\n  const more = [{version}, {version}];\n  return {{ body: [first, ...more, inner()] }};\n}}\nfunction inner() {{ return {version} }}\n"
            )
        };
        client.script("swapped", &script(0)).await;
        let code = client.receiver("swapped", json!({ "plugin": "swapped", "full_reply": true })).await;
        let caller = client.clone();
        let call = move || {
            let (client, code) = (caller.clone(), code.clone());
            async move {
                let answered = client.call(&code, "", "").await;
                assert_eq!(answered.status, 200, "a call failed: {}", answered.text());
                let versions: Vec<u32> = serde_json::from_slice(&answered.body).expect("numbers");
                assert!(
                    versions.len() == 4 && versions.iter().all(|version| *version == versions[0]),
                    "an answer of several versions: {versions:?}"
                );
                versions[0]
            }
        };
        let calls = under_calls(call, |change| change, async |version| drop(client.script("swapped", &script(version)).await)).await;
        println!("{} script swaps under {calls} calls", *SWAPS);
    });
}

#[test]
fn a_call_in_flight_ends_on_the_version_it_began_with() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        let gate = Gate::new();
        endpoint.always(Script::json(json!({ "ok": true })).behind(&gate));
        client.webhook("slow", json!({ "request": { "url": endpoint.url("/") }, "bindings": { "ok": "$.ok" } })).await;
        client.grant("midway", json!({ "webhooks": ["slow"] })).await;
        let script = |version: u32| {
            format!(
                "export function receive() {{ const got = hookwright.invoke('slow', {{}}); return `version {version}: ${{got.parameters.ok}}` }}"
            )
        };
        client.script("midway", &script(1)).await;
        let code = client.receiver("midway", json!({ "plugin": "midway" })).await;
        let call = {
            let (client, code) = (client.clone(), code.clone());
            tokio::spawn(async move { client.call(&code, "", "").await.json() })
        };
        // The call waits inside its webhook while the plugin is swapped.
        endpoint.next_request().await;
        client.script("midway", &script(2)).await;
        gate.open();
        assert_eq!(call.await.expect("an answer")["message"], "version 1: true");
        assert_eq!(client.call(&code, "", "").await.json()["message"], "version 2: true");
    });
}
