//! Figures, not claims: `cargo test --release -p hookwright measure -- --ignored --nocapture --test-threads 1`.

use std::time::Instant;

use super::*;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes seconds and asserts nothing"]
async fn measure_calls() {
    let host = TestHost::with(Limits::default()).await;
    let script = "export function transform(delivery, events) { return { body: { n: events[0].data.n + 1 } }; }";
    host.plugins.upload("script", script.into(), PluginKind::Script, true, Actor::host()).await.expect("a good script");
    host.guest("echo").await;
    host.guest("sends_nothing").await;
    for name in ["sends-nothing", "echo", "arcgis-organization", "slack", "script"] {
        let plugin = host.plugins.get(name, None).expect("active");
        let started = Instant::now();
        plugin.loaded.load().await.expect("loaded");
        let loaded = started.elapsed();
        let mut times = Vec::new();
        for turn in 0..5000 {
            let (context, delivery, events) = (context(&plugin, &host), delivery(), vec![event(json!({ "n": turn }))]);
            let started = Instant::now();
            // A builtin may reject this event; what is measured is the call.
            let _ = plugin.loaded.transform(context, delivery, events).await;
            times.push(started.elapsed());
        }
        times.sort();
        println!("{name}: loaded in {loaded:?}; fresh call p50 {:?} p99 {:?}", times[2500], times[4950]);
    }
    let echo = host.plugins.get("echo", None).expect("active");
    let started = Instant::now();
    let calls = 40_000;
    let callers = (0..8).map(|_| async {
        for _ in 0..calls / 8 {
            transform(&host, &echo, json!(1)).await.expect("echoed");
        }
    });
    futures::future::join_all(callers).await;
    println!("echo, 8 at once on one task: {:.0} calls/s", f64::from(calls) / started.elapsed().as_secs_f64());
}
