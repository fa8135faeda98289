//! Many deliveries wait for an endpoint that does not answer: their memory, the time until a restarted host delivers, and the effect on
//! another webhook. `tests/run backlog N` prints figures for a large N; no assertion depends on speed.

use std::time::{Duration, Instant};

use hookwright_tests::{
    Client, Endpoint, Gate, Process, Script, data_directory, run,
    wait::{eventually, within},
};
use serde_json::{Value, json};

/// Events in one request.
const BATCH: usize = 500;
/// Events whose latency is measured, in each measurement.
const MEASURED: usize = 300;
/// Most resident memory of a host with a million waiting deliveries, in bytes.
const RESIDENT_MAX: u64 = 300_000_000;

/// Number of waiting deliveries; `tests/run backlog N` sets it.
fn waiting() -> usize {
    std::env::var("HOOKWRIGHT_TEST_BACKLOG").ok().and_then(|count| count.parse().ok()).unwrap_or(2000)
}

/// Creates `count` deliveries for the webhook that selects `heap.*`.
async fn heap_up(client: &Client, count: usize) {
    for begin in (0..count).step_by(BATCH) {
        let events: Vec<_> = (begin..count.min(begin + BATCH)).map(|n| json!({ "trigger": "heap.word", "data": { "n": n } })).collect();
        let (status, accepted) = client.post("/v1/events", &json!(events)).await;
        assert_eq!(status, 202, "{accepted}");
    }
}

/// Times from posting an event until the answer says that it was delivered: the median and the 99th percentile.
async fn latencies(client: &Client) -> (Duration, Duration) {
    let mut taken = Vec::new();
    for n in 0..MEASURED {
        let begun = Instant::now();
        let answer = client.event(json!({ "trigger": "quick.word", "data": { "n": n } })).await;
        taken.push(begun.elapsed());
        assert_eq!(answer["deliveries"][0]["state"], "delivered", "{answer}");
    }
    taken.sort_unstable();
    (taken[MEASURED / 2], taken[MEASURED * 99 / 100])
}

fn webhook(selector: &str, endpoint: &Endpoint) -> Value {
    json!({ "selectors": [selector], "request": { "url": endpoint.url("/") } })
}

#[test]
fn a_backlog_waits_in_the_store_and_is_delivered_after_a_restart() {
    run(async {
        let directory = data_directory();
        let data = directory.path().join("data");
        let (endpoint, gate, count) = (Endpoint::start().await, Gate::new(), waiting());
        endpoint.always(Script::status(200).behind(&gate));
        let process = Process::serve(&data).await;
        process.client.webhook("heap", webhook("heap.*", &endpoint)).await;
        let begun = Instant::now();
        heap_up(&process.client, count).await;
        let posted = begun.elapsed();
        let before = process.resident_bytes();
        process.kill().await;
        gate.open();
        endpoint.forget().await;
        let begun = Instant::now();
        let process = Process::serve(&data).await;
        within("the first delivery", endpoint.next_request()).await;
        let first = begun.elapsed();
        let after = process.resident_bytes();
        println!(
            "{count} deliveries, accepted in {posted:?}: {} MB resident, {} MB after a restart; restart to first delivery {first:?}",
            before / 1_000_000,
            after / 1_000_000
        );
        assert!(before.max(after) < RESIDENT_MAX, "{before} and {after} bytes resident");
        if count <= 10_000 {
            eventually("all are delivered", || async {
                let seen: std::collections::HashSet<_> = endpoint.seen().iter().map(|seen| seen.json()["data"]["n"].clone()).collect();
                (seen.len() == count).then_some(())
            })
            .await;
        }
        process.kill().await;
    });
}

#[test]
fn one_dead_endpoint_with_a_backlog_is_not_noticed_by_another_webhook() {
    run(async {
        let directory = data_directory();
        let data = directory.path().join("data");
        let (dead, quick, gate, count) = (Endpoint::start().await, Endpoint::start().await, Gate::new(), waiting().min(100_000));
        dead.always(Script::status(200).behind(&gate));
        let process = Process::serve(&data).await;
        let client = &process.client;
        client.webhook("heap", webhook("heap.*", &dead)).await;
        client.webhook("quick", webhook("quick.*", &quick)).await;
        latencies(client).await;
        let alone = latencies(client).await;
        heap_up(client, count).await;
        let beside = latencies(client).await;
        let ratio = beside.1.as_secs_f64() / alone.1.as_secs_f64();
        println!("p50 and p99 alone {alone:?}, beside a dead endpoint with {count} waiting {beside:?}: p99 {ratio:.2} times");
        // Whatever was being sent to the dead endpoint, the other deliveries arrived.
        assert_eq!(quick.seen().len(), 3 * MEASURED);
        gate.open();
        process.kill().await;
    });
}
