//! `/metrics`: what Prometheus reads, and who may.

use hookwright_tests::{Endpoint, Script, TestHost, interop, run, wait::eventually};
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
        assert!(samples["hookwright_store_disk_bytes{}"].as_f64() > Some(0.0), "{samples}");

        client.delete("/v1/webhooks/chat").await;
        let gone = read().await["samples"].to_string();
        assert!(!gone.contains("webhook=chat"), "the series of a webhook that is gone end: {gone}");
        host.stop().await;
    });
}
