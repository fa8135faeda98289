//! The data of an older version with unfinished work, opened by this version: all work ends, and nothing happens twice
//! (`tests/corpus/README.md`).

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use hookwright::model::proxy::{Proxies, ProxyRule, Resolve};
use hookwright_tests::{
    Client, Endpoint, Options, Received, TestClock, TestHost, data_directory, files,
    process::{finish, hookwright},
    root, run,
    wait::eventually,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// Unpacks the data of a host with store format 3.
fn unpacked() -> (TempDir, Value) {
    let directory = data_directory();
    let archive = root().join("tests/corpus/store-3.tar.gz");
    let unpacked = Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(directory.path()).status();
    assert!(unpacked.is_ok_and(|status| status.success()), "{} cannot be unpacked", archive.display());
    let facts = std::fs::read(directory.path().join("facts.json")).expect("facts");
    (directory, serde_json::from_slice(&facts).expect("JSON"))
}

/// Only the data directory, in a place where a host may use it.
fn data_of(unpacked: &TempDir) -> TempDir {
    let data = data_directory();
    std::fs::remove_dir(data.path()).expect("an empty directory");
    std::fs::rename(unpacked.path().join("data"), data.path()).expect("moved");
    data
}

/// A host on this data, started a minute after the old host stopped. A proxy rule sends all its requests to `endpoint`.
async fn host_on(data: TempDir, facts: &Value, endpoint: &Endpoint) -> TestHost {
    let rule = ProxyRule::new(&endpoint.url(""), &[], Resolve::Host).expect("a rule");
    let clock = Arc::new(TestClock::new());
    let left: jiff::Timestamp = facts["at"].as_str().and_then(|at| at.parse().ok()).expect("a time");
    clock.set(left.checked_add(Duration::from_secs(60)).expect("a time"));
    TestHost::over(data, Options { proxies: Proxies::new(vec![rule]), ..Options::default() }, clock).await
}

fn format(data: &Path) -> Value {
    let current: Value = serde_json::from_slice(&std::fs::read(data.join("store/current")).expect("read")).expect("JSON");
    current["format"].clone()
}

/// Advances the clock until nothing is open. The clock stands still while something is being sent.
async fn all_ended(host: &TestHost) {
    eventually("the end of every delivery", async || {
        let mut open = 0;
        for state in ["sending", "pending", "waiting"] {
            let listed = host.client.look(&format!("/v1/deliveries?state={state}&limit=500")).await;
            let found = listed["data"].as_array().map_or(0, Vec::len);
            if state == "sending" && found > 0 {
                return None;
            }
            open += found;
        }
        let calls = host.client.look("/v1/calls?limit=50").await;
        let is_pending = calls["data"].as_array().is_some_and(|calls| calls.iter().any(|call| call["state"] == "pending"));
        if open == 0 && !is_pending {
            return Some(());
        }
        // A call is run again without the clock; advancing it then would only let idempotency keys expire.
        if open > 0 {
            host.advance(Duration::from_secs(60));
        }
        None
    })
    .await;
}

/// The requests that arrived, by the identifier of their delivery.
fn by_id(endpoint: &Endpoint) -> BTreeMap<String, Vec<Received>> {
    let mut found: BTreeMap<String, Vec<Received>> = BTreeMap::new();
    for received in endpoint.seen() {
        found.entry(received.header("webhook-id").to_owned()).or_default().push(received);
    }
    found
}

async fn states(client: &Client) -> BTreeMap<String, (String, String)> {
    let listed = client.look("/v1/deliveries?limit=500").await;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let deliveries = listed["data"].as_array().expect("deliveries").iter();
    deliveries.map(|one| (text(&one["id"]), (text(&one["webhook"]), text(&one["state"])))).collect()
}

#[test]
fn what_an_older_version_left_unfinished_ends_on_this_one_and_nothing_is_sent_twice() {
    run(async {
        let (unpacked, facts) = unpacked();
        let data = data_of(&unpacked);
        assert_eq!(format(data.path()), json!(3));
        let endpoint = Endpoint::start().await;
        let host = host_on(data, &facts, &endpoint).await;
        assert_eq!(format(&host.data()), json!(4), "an older version refuses it from here on");
        let client = &host.client;

        // Before anything else: repeats are still recognised.
        for (trigger, n) in [("done.x", 0), ("stored.x", 1), ("batched.x", 2)] {
            let event = json!({ "trigger": trigger, "id": format!("{trigger}-{n}"), "source": "fixture", "data": { "n": n, "é": "😀" } });
            let (status, again) = client.post("/v1/events", &event).await;
            assert_eq!((status, &again["duplicate"]), (202, &json!(true)), "{trigger}: {again}");
        }
        let once = facts["codes"]["once"].as_str().expect("a code");
        assert_eq!(client.call(once, "", r#"{"id":"call-1"}"#).await.status, 200);
        let call = client.last_call("once").await;
        assert_eq!((&call["failure"]["kind"], &call["events"]), (&json!("call_repeated"), &json!([])), "{call}");
        assert_eq!(client.parameters("session-0").await["kept"], 0);

        all_ended(&host).await;
        let (arrived, states) = (by_id(&endpoint), states(client).await);
        let sent: BTreeMap<_, _> =
            facts["sent"].as_array().expect("what was sent").iter().map(|one| (one["id"].as_str().unwrap_or_default(), one)).collect();
        let open = facts["open"].as_object().expect("what was open");
        let secret = facts["signing"].as_str().expect("a secret");
        for (id, left) in open {
            let webhook = left["webhook"].as_str().unwrap_or_default();
            assert_eq!(states.get(id), Some(&(webhook.to_owned(), "delivered".to_owned())), "{id}");
            let [received] = arrived.get(id).map(Vec::as_slice).unwrap_or_default() else {
                panic!("{webhook} {id}: {:?} requests", arrived.get(id).map(Vec::len));
            };
            assert_eq!(received.path, format!("/{webhook}?key=of-the-url"));
            received.verify(secret).unwrap_or_else(|why| panic!("{webhook} {id}: {why}"));
            if let Some(before) = sent.get(id.as_str()) {
                assert_eq!(
                    json!(hex::encode(Sha256::digest(&received.body))),
                    before["sha256"],
                    "{webhook} {id}: the same bytes as before"
                );
            }
            let key = (received.header("authorization"), received.header("x-key"));
            assert!(key == ("Bearer of-the-fixture", "") || (webhook == "stored" && key == ("", "shared-value")), "{webhook}: {key:?}");
        }
        assert_eq!(open.len(), 10, "three each of three webhooks, and the one that was being sent");
        assert_eq!(
            arrived.values().flatten().filter(|received| received.header("x-key") == "shared-value").count(),
            1,
            "one is of an environment"
        );
        // The order was kept, and the open batch was closed with all its events.
        let numbers = |path: &str| {
            let of = endpoint.seen().into_iter().filter(|received| received.path.starts_with(path));
            of.map(|received| received.json()).collect::<Vec<_>>()
        };
        assert_eq!(numbers("/ordered").iter().map(|body| body["data"]["n"].clone()).collect::<Vec<_>>(), [json!(0), json!(1), json!(2)]);
        let [batch] = &numbers("/batched")[..] else { panic!("batches: {:?}", numbers("/batched")) };
        let of_batch: Vec<_> = batch.as_array().into_iter().flatten().map(|event| event["data"]["n"].clone()).collect();
        assert_eq!(of_batch, [json!(0), json!(1), json!(2)], "{batch}");
        // The call that had failed once was run again, and its event was delivered.
        let asked = endpoint.seen().into_iter().filter(|received| received.path.starts_with("/gate")).count();
        assert_eq!((asked, numbers("/passed").len()), (1, 1));
        assert_eq!(numbers("/passed")[0]["data"], json!({ "id": "call-2" }));
        // Deliveries that had ended are not sent again, and nothing arrives twice.
        assert_eq!(numbers("/done"), Vec::<Value>::new());
        assert!(arrived.values().all(|received| received.len() == 1), "{arrived:?}");
        assert!(states.values().all(|(webhook, state)| state == "delivered" || (webhook == "gate" && state == "failed")), "{states:?}");

        // The same after a restart, because the store has the format of this version now.
        let seen = endpoint.seen().len();
        let host = host.restart().await;
        all_ended(&host).await;
        let event = json!({ "trigger": "done.x", "id": "done.x-0", "source": "fixture", "data": { "n": 0, "é": "😀" } });
        assert_eq!(host.client.post("/v1/events", &event).await.1["duplicate"], true);
        assert_eq!(endpoint.seen().len(), seen);
        host.stop().await;
    });
}

#[test]
fn what_waited_on_an_older_version_follows_its_webhook_to_another_origin() {
    run(async {
        let (unpacked, facts) = unpacked();
        let endpoint = Endpoint::start().await;
        let host = host_on(data_of(&unpacked), &facts, &endpoint).await;
        let client = &host.client;
        client.secret("new", "of-the-new-origin").await;
        // Records of that version have no field for the origin; it comes from their URL.
        let patch = json!({ "request": { "url": "http://127.0.0.2/moved" }, "auth": { "token": "$secret:new" } });
        let (status, moved) = client.patch("/v1/webhooks/waiting", &patch).await;
        assert_eq!(status, 200, "{moved}");
        all_ended(&host).await;
        let of_waiting: Vec<_> =
            endpoint.seen().into_iter().filter(|received| received.path.contains("waiting") || received.path == "/moved").collect();
        let shown: Vec<_> = of_waiting.iter().map(|one| (one.path.as_str(), one.header("host"), one.header("authorization"))).collect();
        assert_eq!(shown, [("/moved", "127.0.0.2", "Bearer of-the-new-origin"); 3]);
        for received in of_waiting {
            received.verify(facts["signing"].as_str().expect("a secret")).expect("signed");
            let delivery = client.delivery(received.header("webhook-id")).await;
            let rebuilt: Vec<_> = delivery["attempt_log"].as_array().into_iter().flatten().map(|one| one["rebuilt"].clone()).collect();
            assert_eq!(rebuilt, [json!(false), json!(true)], "{delivery}");
        }
        host.stop().await;
    });
}

/// The files of a folder, by their path; JSON files are parsed.
fn documents(folder: &Path) -> BTreeMap<PathBuf, Value> {
    let read = |(path, bytes): (PathBuf, Vec<u8>)| {
        let name = path.strip_prefix(folder).expect("below it").to_owned();
        let text = json!(String::from_utf8_lossy(&bytes));
        (name, serde_json::from_slice(&bytes).unwrap_or(text))
    };
    files(folder).into_iter().map(read).collect()
}

#[test]
fn what_an_older_version_exported_is_applied_by_this_one() {
    run(async {
        let (unpacked, _) = unpacked();
        let host = TestHost::start().await;
        let at = async |arguments: &[&str]| {
            let mut command = hookwright(arguments);
            command.args(["--url", &host.client.url("")]).env("HOOKWRIGHT_TOKEN", hookwright_tests::host::TOKEN);
            command.envs([("SECRET_BEARER", "b"), ("SECRET_SHARED", "s"), ("SECRET_SIGNING", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]);
            finish(&mut command).await.success()
        };
        let folder = unpacked.path().join("export");
        at(&["apply", "-f", folder.to_str().expect("a path")]).await;
        let again = unpacked.path().join("again");
        at(&["export", "--reveal", "-o", again.to_str().expect("a path")]).await;
        assert_eq!(documents(&again), documents(&folder));
        host.stop().await;
    });
}
