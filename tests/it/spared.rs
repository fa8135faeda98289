//! Deliveries that wait for an endpoint that answers 429: a change of their webhook and a stop of the host reach them.

use std::{collections::BTreeMap, path::Path};

use hookwright_tests::{Client, Endpoint, Gate, Process, Script, data_directory, run, wait::eventually};
use serde_json::{Value, json};
use tokio::net::TcpStream;

/// Events in each test: more than are sent at once.
const EVENTS: usize = 40;
/// Deliveries sent at once.
const IN_FLIGHT: usize = 2;

async fn serve(data: &Path) -> Process {
    // If a stop waits for deliveries that nothing wakes, it takes this long and says so.
    Process::serve_under(data, &[], &[("HOOKWRIGHT_LIMITS_DRAIN_SECONDS_MAX", "50")]).await
}

fn webhook(endpoint: &Endpoint) -> Value {
    json!({
        "selectors": ["spared.*"], "request": { "url": endpoint.url("/") },
        "retry": { "schedule_seconds": [1, 1, 1, 1, 1, 1, 1, 1, 1, 1] }, "limits": { "in_flight": IN_FLIGHT },
    })
}

/// A webhook with `EVENTS` deliveries: two are being answered, the others wait in line. The answers come when the gate opens: 429 for
/// these two, 200 for the others.
async fn crowded(client: &Client, endpoint: &Endpoint) -> Gate {
    let gate = Gate::new();
    for _ in 0..IN_FLIGHT {
        endpoint.next(Script::status(429).header("retry-after", "2").behind(&gate));
    }
    client.webhook("w", webhook(endpoint)).await;
    let events: Vec<_> = (0..EVENTS).map(|n| json!({ "trigger": "spared.now", "data": n })).collect();
    let (status, accepted) = client.post("/v1/events", &Value::from(events)).await;
    assert_eq!(status, 202, "{accepted}");
    eventually("two are sent and the others wait", || async {
        (endpoint.seen().len() == IN_FLIGHT && states(client).await.get("sending") == Some(&EVENTS)).then_some(())
    })
    .await;
    gate
}

async fn states(client: &Client) -> BTreeMap<String, usize> {
    let mut states = BTreeMap::new();
    for delivery in client.look("/v1/deliveries?limit=500").await["data"].as_array().expect("a list") {
        *states.entry(delivery["state"].as_str().expect("a state").to_owned()).or_default() += 1;
    }
    states
}

/// Opens the gate: the two deliveries are answered 429 and wait for another attempt.
async fn asked_to_be_spared(client: &Client, gate: &Gate) {
    gate.open();
    eventually("the two wait for another try", || async {
        let states = states(client).await;
        (states.get("waiting").copied().unwrap_or_default() >= IN_FLIGHT || states.contains_key("delivered")).then_some(())
    })
    .await;
}

async fn all(client: &Client, state: &str) {
    eventually(&format!("all are {state}"), || async {
        (states(client).await == BTreeMap::from([(state.to_owned(), EVENTS)])).then_some(())
    })
    .await;
}

#[test]
fn an_edit_while_an_endpoint_asks_to_be_spared_leaves_nobody_waiting() {
    run(async {
        let (directory, endpoint) = (data_directory(), Endpoint::start().await);
        let process = serve(&directory.path().join("data")).await;
        let gate = crowded(&process.client, &endpoint).await;
        asked_to_be_spared(&process.client, &gate).await;
        assert_eq!(process.client.patch("/v1/webhooks/w", &json!({ "description": "edited" })).await.0, 200);
        all(&process.client, "delivered").await;
        assert_eq!(endpoint.seen().len(), EVENTS + IN_FLIGHT);
        assert!(process.terminate().await.success());
    });
}

#[test]
fn an_edit_holds_for_those_who_wait_already() {
    run(async {
        let (directory, endpoint) = (data_directory(), Endpoint::start().await);
        let process = serve(&directory.path().join("data")).await;
        let gate = crowded(&process.client, &endpoint).await;
        endpoint.always(Script::status(200).behind(&gate));
        let patched = process.client.patch("/v1/webhooks/w", &json!({ "limits": { "in_flight": 10 } })).await;
        assert_eq!(patched.0, 200, "{}", patched.1);
        eventually("ten are sent at once", || async { (endpoint.seen().len() == 10).then_some(()) }).await;
        gate.open();
        all(&process.client, "delivered").await;
        process.kill().await;
    });
}

#[test]
fn deactivating_cancels_those_who_wait_and_activating_again_loses_nobody() {
    run(async {
        // Before the two are answered, and after they were answered 429.
        for after in [false, true] {
            let (directory, endpoint) = (data_directory(), Endpoint::start().await);
            let process = serve(&directory.path().join("data")).await;
            let client = &process.client;
            let gate = crowded(client, &endpoint).await;
            if after {
                asked_to_be_spared(client, &gate).await;
            }
            assert_eq!(client.post("/v1/webhooks/w/deactivate", &json!({})).await.0, 200);
            gate.open();
            all(client, "cancelled").await;
            assert_eq!(endpoint.seen().len(), IN_FLIGHT);
            assert_eq!(client.post("/v1/webhooks/w/activate", &json!({})).await.0, 200);
            let recovered = client.post("/v1/webhooks/w/recover", &json!({ "since": "2020-01-01T00:00:00Z" })).await;
            assert_eq!(recovered.0, 200, "{}", recovered.1);
            all(client, "delivered").await;
            process.kill().await;
        }
    });
}

#[test]
fn deleting_cancels_those_who_wait() {
    run(async {
        let (directory, endpoint) = (data_directory(), Endpoint::start().await);
        let data = directory.path().join("data");
        let process = serve(&data).await;
        let gate = crowded(&process.client, &endpoint).await;
        assert_eq!(process.client.delete("/v1/webhooks/w").await.0, 204);
        eventually("those who wait are cancelled", || async {
            (states(&process.client).await.get("cancelled").copied().unwrap_or_default() >= EVENTS - IN_FLIGHT).then_some(())
        })
        .await;
        gate.open();
        all(&process.client, "cancelled").await;
        assert_eq!(endpoint.seen().len(), IN_FLIGHT);
        assert!(process.terminate().await.success());
        assert!(!process_log(&data).contains("did not end in time"));
    });
}

fn process_log(data: &Path) -> String {
    std::fs::read_to_string(data.with_extension("log")).unwrap_or_default()
}

#[test]
fn a_stop_sends_those_who_wait_back_untried_and_waits_for_none_of_them() {
    run(async {
        let (directory, endpoint) = (data_directory(), Endpoint::start().await);
        let data = directory.path().join("data");
        let process = serve(&data).await;
        let gate = crowded(&process.client, &endpoint).await;
        process.ask_to_stop();
        eventually("nobody listens any more", || async { TcpStream::connect(process.address).await.is_err().then_some(()) }).await;
        gate.open();
        assert!(process.ended().await.success());
        assert_eq!(endpoint.seen().len(), IN_FLIGHT, "none that waited was begun");
        assert!(!process_log(&data).contains("did not end in time"));

        let process = serve(&data).await;
        all(&process.client, "delivered").await;
        let deliveries = process.client.look("/v1/deliveries?limit=500").await;
        let tries = |delivery: &Value| delivery["attempts"].as_u64();
        let tries: Vec<_> = deliveries["data"].as_array().expect("a list").iter().filter_map(tries).collect();
        assert_eq!((tries.iter().sum::<u64>(), tries.len()), ((EVENTS + IN_FLIGHT) as u64, EVENTS), "no try was spent by waiting");
        process.kill().await;
    });
}

#[test]
fn a_stop_while_an_endpoint_asks_to_be_spared_after_an_edit_takes_no_longer_than_its_drain() {
    run(async {
        let (directory, endpoint) = (data_directory(), Endpoint::start().await);
        let data = directory.path().join("data");
        let process = serve(&data).await;
        endpoint.always(Script::status(429).header("retry-after", "3600"));
        let gate = crowded(&process.client, &endpoint).await;
        asked_to_be_spared(&process.client, &gate).await;
        assert_eq!(process.client.patch("/v1/webhooks/w", &json!({ "description": "edited" })).await.0, 200);
        assert!(process.terminate().await.success());
        assert!(!process_log(&data).contains("did not end in time"));
    });
}
