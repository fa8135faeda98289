//! `/metrics`: its content, and who may read it.

use std::time::Duration;

use hookwright::config::Limits;
use hookwright_tests::{Client, Endpoint, Options, Script, TestHost, interop, pages, root, run, wait::eventually};
use http::Method;
use serde_json::{Value, json};

#[test]
fn prometheus_reads_what_was_counted_and_no_stranger_does() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        client.script("speaks", "export function transform() { return { body: 'x' } }").await;
        let webhook = |transform: Option<&str>| json!({ "selectors": ["metrics.word"], "transform": transform, "request": { "url": endpoint.url("/") }, "retry": { "attempts": 1, "gap_seconds": 1 } });
        client.webhook("chat", webhook(Some("speaks"))).await;
        client.event(json!({ "trigger": "metrics.word", "id": "1", "source": "s" })).await;
        client.event(json!({ "trigger": "metrics.word", "id": "1", "source": "s" })).await;
        endpoint.always(Script::status(500));
        client.event(json!({ "trigger": "metrics.word", "id": "2", "source": "s" })).await;
        let code = client.receiver("answers", json!({ "reply": { "message": "ok" } })).await;
        client.call(&code, "", "").await;

        assert_eq!(client.with_token(None).send(Method::GET, "/metrics", &[], "").await.status, 401);
        let read = async || {
            let answered = client.send(Method::GET, "/metrics", &[], "").await;
            assert!(answered.header("content-type").starts_with("application/openmetrics-text"));
            serde_json::from_str::<Value>(&interop("venv/bin/python", "metrics.py", &json!({ "text": answered.text() })).await)
                .expect("JSON")
        };
        let failed = "hookwright_attempts_total{outcome=http_status,webhook=chat}";
        eventually("the failure is counted", async || read().await["samples"][failed].as_f64()).await;
        let samples = &read().await["samples"];
        for (name, value) in [
            ("hookwright_events_accepted_total{}", 3.0),
            ("hookwright_events_repeated_total{}", 1.0),
            ("hookwright_attempts_total{outcome=delivered,webhook=chat}", 1.0),
            ("hookwright_plugin_runs_total{outcome=ok,plugin=speaks}", 2.0),
            ("hookwright_calls_total{outcome=done,receiver=answers}", 1.0),
            ("hookwright_store_failed{}", 0.0),
            ("hookwright_plugin_instances_max{}", 64.0),
            ("hookwright_plugin_instances_in_use{}", 0.0),
        ] {
            assert_eq!(samples[name].as_f64(), Some(value), "{name} in {samples}");
        }
        assert!(samples["hookwright_attempt_stage_seconds_count{stage=send}"].as_f64() >= Some(2.0), "{samples}");
        for name in [
            "hookwright_store_disk_bytes{}",
            "hookwright_resident_bytes{}",
            "hookwright_connections{}",
            "hookwright_plugin_memory_most_bytes{plugin=speaks}",
            "hookwright_plugin_compile_seconds_count{outcome=ok}",
            "hookwright_store_commit_seconds_count{}",
            "hookwright_store_sync_seconds_count{}",
            "hookwright_store_commits_per_sync_sum{}",
            "hookwright_delivery_seconds_count{}",
            "hookwright_attempt_stage_seconds_count{stage=settle}",
        ] {
            assert!(samples[name].as_f64() > Some(0.0), "{name} in {samples}");
        }
        let of = |name: &str| samples[name].as_f64();
        assert!(of("hookwright_store_commits_per_sync_sum{}") <= of("hookwright_store_commits{}"), "{samples}");

        // Every metric is in the page's table.
        let served = client.send(Method::GET, "/metrics", &[], "").await.text();
        let page = pages::read(&root().join("host/docs/metrics.md"));
        let table = page.split("| metric (`hookwright_...`)").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("the table");
        for family in served.lines().filter_map(|line| line.strip_prefix("# TYPE hookwright_")?.split(' ').next()) {
            assert!([family, &format!("{family}_total")].iter().any(|name| table.contains(&format!("`{name}`"))), "{family}");
        }

        client.delete("/v1/webhooks/chat").await;
        let gone = read().await["samples"].to_string();
        assert!(!gone.contains("webhook=chat"), "the series of a webhook that is gone end: {gone}");
        host.stop().await;
    });
}

/// The value of a sample, given its name and labels.
async fn sample(client: &Client, name: &str) -> Option<u64> {
    let text = client.send(Method::GET, "/metrics", &[], "").await.text();
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

#[test]
fn how_much_waits_for_a_webhook_and_for_how_long_is_said_also_after_a_restart() {
    run(async {
        let host = TestHost::start().await;
        let endpoint = Endpoint::start().await;
        // One delivery in a thousand seconds: the others are due and wait.
        let hook = json!({ "selectors": ["metrics.slow"], "request": { "url": endpoint.url("/") }, "limits": { "per_second": 0.001 } });
        host.client.webhook("slow", hook).await;
        let events: Vec<_> = (0..5).map(|_| json!({ "trigger": "metrics.slow" })).collect();
        let (status, answer) = host.client.post("/v1/events", &json!(events)).await;
        assert_eq!(status, 202, "{answer}");
        endpoint.next_request().await;
        host.advance(Duration::from_secs(61));
        let (waiting, due) =
            (r#"hookwright_webhook_deliveries_waiting{webhook="slow"}"#, r#"hookwright_webhook_oldest_due_seconds{webhook="slow"}"#);
        assert_eq!((sample(&host.client, waiting).await, sample(&host.client, due).await), (Some(4), Some(61)));
        let host = host.restart().await;
        // A new process starts with a fresh rate limit, so one delivery is sent at once.
        endpoint.next_request().await;
        eventually("what waits is counted anew", async || (sample(&host.client, waiting).await == Some(3)).then_some(())).await;
        host.client.post("/v1/webhooks/slow/deactivate", &json!({})).await;
        eventually("nothing waits any more", async || sample(&host.client, waiting).await.is_none().then_some(())).await;
        assert_eq!(sample(&host.client, due).await, None);
        host.stop().await;
    });
}

#[test]
fn deliveries_in_memory_are_said_by_webhook() {
    run(async {
        let host = TestHost::start().await;
        let (endpoint, gate) = (Endpoint::start().await, hookwright_tests::Gate::new());
        endpoint.always(Script::status(200).behind(&gate));
        let hook = json!({ "selectors": ["metrics.held"], "request": { "url": endpoint.url("/") }, "limits": { "in_flight": 1 } });
        host.client.webhook("held", hook).await;
        for _ in 0..3 {
            host.client.post("/v1/events", &json!({ "trigger": "metrics.held" })).await;
        }
        let held = r#"hookwright_webhook_deliveries_held{webhook="held"}"#;
        assert_eq!(sample(&host.client, held).await, Some(3));
        gate.open();
        eventually("nothing is in memory any more", async || sample(&host.client, held).await.is_none().then_some(())).await;
        host.stop().await;
    });
}

#[test]
fn connections_that_are_closed_are_counted_by_reason() {
    run(async {
        let with = async |places: usize, head_time_max: Duration| {
            let mut limits = Limits::default();
            limits.http.connections_per_address_max = places;
            limits.http.head_time_max = head_time_max;
            TestHost::with(Options { limits, ..Options::default() }).await
        };
        let connected = async |host: &TestHost, number: usize| {
            let mut streams = Vec::new();
            for _ in 0..number {
                // These connections use another address, so that the test's client still gets one.
                let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
                socket.bind("127.0.0.3:0".parse().expect("an address")).expect("bound");
                streams.push(socket.connect(host.address()).await.expect("a connection"));
            }
            streams
        };
        let ends = async |streams: &mut [tokio::net::TcpStream]| {
            for stream in streams {
                let read = tokio::io::AsyncReadExt::read(stream, &mut [0]).await;
                assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
            }
        };
        let closed = async |host: &TestHost, reason: &str| {
            sample(&host.client, &format!("hookwright_connections_closed_total{{reason=\"{reason}\"}}")).await
        };
        // The host closes the fifth connection without an answer.
        let host = with(4, Duration::from_secs(60)).await;
        let held = connected(&host, 4).await;
        ends(&mut connected(&host, 1).await).await;
        assert_eq!(closed(&host, "address_full").await, Some(1));
        drop(held);
        host.stop().await;
        // It closes connections without a request later.
        let host = with(1024, Duration::from_secs(1)).await;
        ends(&mut connected(&host, 4).await).await;
        eventually("four that were slow", async || (closed(&host, "head_slow").await == Some(4)).then_some(())).await;
        host.stop().await;
    });
}
