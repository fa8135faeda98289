//! The engine seen from outside: endpoints that fail, are slow or gone; ordering, batches, rate limits; deactivation and activation.

use std::time::Duration;

use hookwright::config::Limits;
use hookwright_tests::{Client, Endpoint, Gate, Options, Script, TestHost, run, wait::eventually};
use serde_json::{Value, json};

const MINUTE: Duration = Duration::from_secs(60);

/// Posts an event that nobody waits for.
async fn post(client: &Client, event: Value) -> String {
    let (status, accepted) = client.post("/v1/events", &event).await;
    assert_eq!(status, 202, "{accepted}");
    accepted["id"].as_str().expect("an id").to_owned()
}

async fn in_state(client: &Client, event: &str, state: &str) -> Value {
    eventually(&format!("{event} is {state}"), || async {
        let shown = client.look(&format!("/v1/events/{event}")).await;
        (shown["deliveries"][0]["state"] == state).then(|| shown["deliveries"][0].clone())
    })
    .await
}

/// Advances the clock until `look` finds something. The clock stands still during an attempt; on a slow machine, leases would expire
/// otherwise.
async fn after_a_while<T>(host: &TestHost, by: Duration, what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    eventually(what, || async {
        let seen = look().await;
        if seen.is_none() && host.client.look("/v1/deliveries?state=sending&limit=1").await["data"] == json!([]) {
            host.advance(by);
        }
        seen
    })
    .await
}

async fn active(client: &Client, webhook: &str) -> bool {
    client.look(&format!("/v1/webhooks/{webhook}")).await["active"] == true
}

/// The numbers in the bodies that an endpoint received.
fn numbers(endpoint: &Endpoint) -> Vec<u64> {
    endpoint.seen().iter().map(|request| request.json()["data"]["n"].as_u64().expect("a number")).collect()
}

#[test]
fn retry_after_is_honoured_and_never_shortens_a_gap() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        let retry = json!({ "schedule_seconds": [10, 10] });
        client.webhook("asked", json!({ "selectors": ["asked"], "retry": retry, "request": { "url": endpoint.url("/") } })).await;
        endpoint.next(Script::status(429).header("retry-after", "120"));
        endpoint.next(Script::status(503).header("retry-after", "1"));
        let id = post(client, json!({ "trigger": "asked", "data": { "n": 1 } })).await;
        let waits = in_state(client, &id, "waiting").await;
        let gap = |waits: &Value| {
            let time = |field: &str| waits[field].as_str().and_then(|time| time.parse::<jiff::Timestamp>().ok()).expect("a time");
            time("due_at").duration_since(time("updated_at")).as_secs()
        };
        assert_eq!(gap(&waits), 120);
        host.advance(Duration::from_secs(121));
        endpoint.next_request().await;
        endpoint.next_request().await;
        let waits = in_state(client, &id, "waiting").await;
        assert!((10..=11).contains(&gap(&waits)), "{waits}");
        host.advance(Duration::from_secs(12));
        assert_eq!(in_state(client, &id, "delivered").await["attempts"], 3);
    });
}

#[test]
fn gone_for_good_switches_a_webhook_off_and_says_so() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let (endpoint, watcher) = (Endpoint::start().await, Endpoint::start().await);
        client.webhook("watch", json!({ "selectors": ["webhook.*"], "request": { "url": watcher.url("/") } })).await;
        // The webhook would match its own event if that were not left out.
        client.webhook("leaving", json!({ "selectors": ["leave", "webhook.*"], "request": { "url": endpoint.url("/") } })).await;
        endpoint.always(Script::status(410));
        let id = post(client, json!({ "trigger": "leave", "data": { "n": 1 } })).await;
        assert_eq!(in_state(client, &id, "failed").await["attempts"], 1);
        let told = watcher.next_request().await.json();
        assert_eq!(
            (&told["type"], &told["data"]["webhook"], &told["data"]["reason"]),
            (&json!("webhook.deactivated"), &json!("leaving"), &json!("gone"))
        );
        let shown = client.look("/v1/webhooks/leaving").await;
        assert_eq!((&shown["active"], &shown["deactivated"]["reason"]), (&json!(false), &json!("gone")));
        assert_eq!(endpoint.seen().len(), 1, "it was told nothing of itself");

        endpoint.always(Script::status(200));
        assert_eq!(client.post("/v1/webhooks/leaving/recover", &json!({ "since": "2020-01-01T00:00:00Z" })).await.0, 409);
        let (status, again) = client.post("/v1/webhooks/leaving/activate", &json!({})).await;
        assert_eq!((status, &again["active"], again.get("deactivated")), (200, &json!(true), None));
        let (_, recovered) = client.post("/v1/webhooks/leaving/recover", &json!({ "since": "2020-01-01T00:00:00Z" })).await;
        assert_eq!(recovered["recovered"], 1);
        in_state(client, &id, "delivered").await;
        let told = watcher.next_request().await.json();
        assert_eq!((&told["type"], &told["data"]["webhook"]), (&json!("webhook.recovered"), &json!("leaving")));
        let (_, replayed) = client.post("/v1/webhooks/leaving/replay", &json!({})).await;
        assert_eq!(replayed["deliveries"], 1, "a replay tells it nothing of itself either");
    });
}

#[test]
fn so_many_failed_payloads_within_so_many_days_switch_a_webhook_off() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        endpoint.always(Script::status(400));
        let document = json!({ "profile": "arcgis-organization", "selectors": ["fails"], "transform": "slack", "retry": { "attempts": 2, "gap_seconds": 1 },
            "deactivation": { "failures": 3, "days": 2 }, "request": { "url": endpoint.url("/") } });
        let (status, problem) = client
            .put("/v1/webhooks/fails", &json!({ "deactivation": { "failures": 0, "days": 1 }, "request": { "url": endpoint.url("/") } }))
            .await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!("/deactivation/failures")));
        client.webhook("fails", document).await;
        let fail = async || {
            let id = post(client, json!({ "trigger": "fails", "data": {} })).await;
            after_a_while(&host, Duration::from_secs(1), "all tries are used up", async || {
                let shown = client.look(&format!("/v1/events/{id}")).await;
                (shown["deliveries"][0]["state"] == "failed").then_some(())
            })
            .await;
        };
        fail().await;
        fail().await;
        host.advance(Duration::from_secs(2 * 24 * 3600));
        fail().await;
        fail().await;
        assert!(active(client, "fails").await, "the first two are older than two days");
        fail().await;
        eventually("it is off", async || (!active(client, "fails").await).then_some(())).await;
        assert_eq!(client.look("/v1/webhooks/fails").await["deactivated"]["reason"], "failures");
        let silent = post(client, json!({ "trigger": "fails", "data": {} })).await;
        assert_eq!(client.look(&format!("/v1/events/{silent}")).await["deliveries"], json!([]), "an inactive webhook matches nothing");
    });
}

#[test]
fn hours_without_one_success_switch_a_webhook_off_and_cancel_what_waits() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        endpoint.always(Script::status(500));
        client
            .webhook(
                "ill",
                json!({ "selectors": ["ill"], "deactivation": { "unbroken_hours": 2 }, "request": { "url": endpoint.url("/") },
                "retry": { "schedule_seconds": [1800, 1800, 1800, 1800, 1800, 1800] } }),
            )
            .await;
        let id = post(client, json!({ "trigger": "ill", "data": {} })).await;
        // Advance the clock only between attempts: otherwise, fewer attempts would fit into the two hours.
        let rests = async |attempts: u64| {
            let delivery = client.look(&format!("/v1/events/{id}")).await["deliveries"][0].clone();
            // After the fourth attempt the delivery waits for a moment before it is cancelled. If the clock advanced then, a fifth could
            // follow.
            let waits = delivery["attempts"] == attempts && delivery["state"] == "waiting" && attempts < 4;
            (waits || delivery["state"] == "cancelled").then_some(waits)
        };
        let mut attempts = 1;
        while eventually(&format!("attempt {attempts} is over"), || rests(attempts)).await {
            host.advance(40 * MINUTE);
            attempts += 1;
        }
        eventually("it is off", async || (!active(client, "ill").await).then_some(())).await;
        let shown = client.look("/v1/webhooks/ill").await;
        assert_eq!(shown["deactivated"]["reason"], "unbroken");
        let cancelled = in_state(client, &id, "cancelled").await;
        assert_eq!(cancelled["attempts"], 4, "at 0, 40, 80 and 120 minutes: {cancelled}");
    });
}

#[test]
fn a_dead_endpoint_is_left_alone_and_probed_until_it_answers() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        endpoint.always(Script::status(500));
        client.webhook("dead", json!({ "selectors": ["dead"], "request": { "url": endpoint.url("/") } })).await;
        let mut ids = Vec::new();
        for n in 0..30 {
            ids.push(post(client, json!({ "trigger": "dead", "data": { "n": n } })).await);
        }
        eventually("the breaker is open", async || (endpoint.seen().len() >= 10).then_some(())).await;
        let untried = async || {
            let pending = client.look("/v1/deliveries?webhook=dead&state=pending&limit=100").await["data"].as_array().map_or(0, Vec::len);
            let sending = client.look("/v1/deliveries?webhook=dead&state=sending&limit=100").await["data"].as_array().map_or(0, Vec::len);
            (pending, sending)
        };
        let (pending, _) = eventually("the others wait untried", async || Some(untried().await).filter(|(_, sending)| *sending == 0)).await;
        let seen = endpoint.seen().len();
        assert_eq!(seen + pending, 30, "what was not tried counts no attempt");
        assert!(seen < 30, "ten failures in a row are enough");
        // Exactly one probe, however many deliveries are due.
        host.advance(Duration::from_secs(5));
        eventually("a probe", async || (endpoint.seen().len() > seen).then_some(())).await;
        eventually("it is over", async || (untried().await.1 == 0).then_some(())).await;
        assert_eq!(endpoint.seen().len(), seen + 1);
        endpoint.always(Script::status(200));
        for id in &ids {
            after_a_while(&host, Duration::from_secs(10), &format!("{id} is delivered"), async || {
                (client.look(&format!("/v1/events/{id}")).await["deliveries"][0]["state"] == "delivered").then_some(())
            })
            .await;
        }
    });
}

#[test]
fn one_endpoint_that_hangs_holds_up_no_other() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let (hanging, quick, gate) = (Endpoint::start().await, Endpoint::start().await, Gate::new());
        hanging.always(Script::status(200).behind(&gate));
        client
            .webhook("hanging", json!({ "selectors": ["hang"], "limits": { "in_flight": 4 }, "request": { "url": hanging.url("/") } }))
            .await;
        client.webhook("quick", json!({ "selectors": ["quick"], "request": { "url": quick.url("/") } })).await;
        let many: Vec<_> = (0..500).map(|n| json!({ "trigger": "hang", "data": { "n": n } })).collect();
        for _ in 0..2 {
            assert_eq!(client.post("/v1/events", &json!(many)).await.0, 202);
        }
        for n in 0..20 {
            let answer = client.event(json!({ "trigger": "quick", "data": { "n": n } })).await;
            assert_eq!(answer["deliveries"][0]["state"], "delivered");
        }
        assert_eq!(hanging.seen().len(), 4);
        gate.open();
        eventually("everything is delivered", async || (hanging.seen().len() == 1000).then_some(())).await;
        let mut seen = numbers(&hanging);
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 500);
    });
}

#[test]
fn fifo_delivers_one_after_the_other_in_the_order_accepted() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        let retry = json!({ "attempts": 3, "gap_seconds": 5 });
        client
            .webhook(
                "ordered",
                json!({ "selectors": ["step"], "ordering": "fifo", "retry": retry, "request": { "url": endpoint.url("/") } }),
            )
            .await;
        // The second delivery fails once, and no other passes it.
        endpoint.next(Script::status(200));
        endpoint.next(Script::status(400));
        let events: Vec<_> = (0..20).map(|n| json!({ "trigger": "step", "data": { "n": n } })).collect();
        assert_eq!(client.post("/v1/events", &json!(events)).await.0, 202);
        after_a_while(&host, Duration::from_secs(5), "all of them", async || (endpoint.seen().len() == 21).then_some(())).await;
        let expected: Vec<u64> = [0, 1].into_iter().chain(1..20).collect();
        assert_eq!(numbers(&endpoint), expected);
    });
}

#[test]
fn an_order_can_be_kept_by_a_value_and_by_session() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let (endpoint, gate) = (Endpoint::start().await, Gate::new());
        let (status, problem) =
            client.put("/v1/webhooks/wrong", &json!({ "ordering": { "key": "data.o" }, "request": { "url": endpoint.url("/") } })).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!("/ordering/key")));
        client
            .webhook(
                "keyed",
                json!({ "selectors": ["keyed"], "ordering": { "key": "$.data.order" }, "request": { "url": endpoint.url("/") } }),
            )
            .await;
        // The first delivery of order a is held back, whichever request comes first.
        let held = gate.clone();
        endpoint.decides(move |request| match request.json()["data"]["n"].as_u64() {
            Some(1) => Script::status(200).behind(&held),
            _ => Script::status(200),
        });
        for (n, order) in [(1, "a"), (2, "a"), (3, "b"), (4, "a"), (5, "b")] {
            post(client, json!({ "trigger": "keyed", "data": { "n": n, "order": order } })).await;
        }
        let of = |order: &[u64]| numbers(&endpoint).into_iter().filter(|n| order.contains(n)).collect::<Vec<_>>();
        eventually("order b is through", async || (of(&[3, 5]).len() == 2).then_some(())).await;
        eventually("the first of order a", async || (of(&[1, 2, 4]).len() == 1).then_some(())).await;
        assert_eq!((of(&[3, 5]), of(&[1, 2, 4])), (vec![3, 5], vec![1]));
        gate.open();
        eventually("all", async || (endpoint.seen().len() == 5).then_some(())).await;
        assert_eq!((of(&[3, 5]), of(&[1, 2, 4])), (vec![3, 5], vec![1, 2, 4]));
    });
}

#[test]
fn three_edits_within_a_period_are_one_payload_and_an_idle_period_none() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        let (status, problem) = client
            .put("/v1/webhooks/wrong", &json!({ "batch": { "seconds": 20, "events_max": 501 }, "request": { "url": endpoint.url("/") } }))
            .await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!("/batch/events_max")));
        client
            .webhook(
                "edits",
                json!({ "selectors": ["edit"], "batch": { "seconds": 20, "events_max": 100 }, "request": { "url": endpoint.url("/") } }),
            )
            .await;
        let mut ids = Vec::new();
        for n in 0..3 {
            ids.push(post(client, json!({ "trigger": "edit", "data": { "n": n } })).await);
        }
        host.advance(Duration::from_secs(19));
        assert!(endpoint.seen().is_empty());
        host.advance(Duration::from_secs(1));
        let payload = endpoint.next_request().await.json();
        let sent: Vec<_> = payload.as_array().expect("a list").iter().map(|event| event["data"]["n"].clone()).collect();
        assert_eq!(sent, [json!(0), json!(1), json!(2)]);
        let delivery = in_state(client, &ids[2], "delivered").await;
        assert_eq!((&delivery["event"], &delivery["further_events"]), (&json!(ids[0]), &json!(ids[1..])));
        host.advance(5 * MINUTE);
        post(client, json!({ "trigger": "edit", "data": { "n": 9 } })).await;
        host.advance(Duration::from_secs(20));
        assert_eq!(endpoint.next_request().await.json()[0]["data"]["n"], 9);
        assert_eq!(endpoint.seen().len(), 2);
    });
}

#[test]
fn a_transform_gets_all_events_of_a_batch() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        client.script("sum", "export function transform(delivery, events) { return { body: { sum: events.reduce((sum, e) => sum + e.data.n, 0), of: events.length } } }").await;
        client.webhook("sums", json!({ "selectors": ["n"], "transform": "sum", "batch": { "seconds": 60, "events_max": 4 }, "request": { "url": endpoint.url("/") } })).await;
        for n in [1, 2, 3, 4] {
            post(client, json!({ "trigger": "n", "data": { "n": n } })).await;
        }
        assert_eq!(endpoint.next_request().await.json(), json!({ "sum": 10, "of": 4 }), "a full batch goes at once");
    });
}

#[test]
fn a_rate_is_kept_over_what_is_sent_from_memory_and_from_the_store() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        client
            .webhook("slowly", json!({ "selectors": ["tick"], "limits": { "per_second": 2.0 }, "request": { "url": endpoint.url("/") } }))
            .await;
        let events: Vec<_> = (0..10).map(|n| json!({ "trigger": "tick", "data": { "n": n } })).collect();
        assert_eq!(client.post("/v1/events", &json!(events)).await.0, 202);
        for second in 1..=5 {
            eventually("a second's worth", async || (endpoint.seen().len() == second * 2).then_some(())).await;
            host.advance(Duration::from_secs(1));
        }
        assert_eq!(endpoint.seen().len(), 10);
    });
}

#[test]
fn past_the_backlogs_bound_events_are_503_and_nothing_is_half_accepted() {
    run(async {
        let limits = Limits { backlog_max: 10, ..Limits::default() };
        let host = TestHost::with(Options { limits, ..Options::default() }).await;
        let client = &host.client;
        let (endpoint, gate) = (Endpoint::start().await, Gate::new());
        endpoint.always(Script::status(200).behind(&gate));
        client.webhook("slow", json!({ "selectors": ["slow"], "ordering": "fifo", "request": { "url": endpoint.url("/") } })).await;
        for n in 0..11 {
            post(client, json!({ "trigger": "slow", "data": { "n": n } })).await;
        }
        let refused = client
            .send(
                http::Method::POST,
                "/v1/events",
                &[("content-type", "application/json")],
                json!([{ "trigger": "slow", "id": "x" }]).to_string(),
            )
            .await;
        assert_eq!((refused.status, refused.header("retry-after")), (503, "5"));
        assert!(refused.text().contains("backlog_max"), "{}", refused.text());
        assert_eq!(client.look("/v1/events?limit=50").await["data"].as_array().map(Vec::len), Some(11));
        let code = client.receiver("full", json!({ "reply": { "message": "noted" }, "events": [{ "trigger": "slow" }] })).await;
        let refused = client.call(&code, "", "").await;
        assert_eq!((refused.status, refused.header("retry-after")), (503, "5"));
        gate.open();
        eventually("there is room again", async || {
            (client.post("/v1/events", &json!({ "trigger": "slow", "id": "x", "data": { "n": 11 } })).await.0 == 202).then_some(())
        })
        .await;
        eventually("all of them", async || (endpoint.seen().len() >= 12).then_some(())).await;
        assert_eq!(numbers(&endpoint)[..12], (0..12).collect::<Vec<_>>());
    });
}

#[test]
fn past_events_are_replayed_to_a_new_webhook_and_by_another_version() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        for n in 0..5 {
            post(client, json!({ "trigger": if n % 2 == 0 { "even" } else { "odd" }, "data": { "n": n } })).await;
        }
        client.script("say", "export function transform(delivery, events) { return { body: { version: 1, n: events[0].data.n } } }").await;
        client.script("say", "export function transform(delivery, events) { return { body: { version: 2, n: events[0].data.n } } }").await;
        client.webhook("late", json!({ "selectors": ["even"], "transform": "say", "request": { "url": endpoint.url("/") } })).await;
        let (status, made) = client.post("/v1/webhooks/late/replay", &json!({})).await;
        assert_eq!((status, &made), (200, &json!({ "deliveries": 3, "next": null })));
        let mut bodies = Vec::new();
        for _ in 0..3 {
            bodies.push(endpoint.next_request().await.json());
        }
        bodies.sort_by_key(|body| body["n"].as_u64());
        assert_eq!(json!(bodies), json!([{ "version": 2, "n": 0 }, { "version": 2, "n": 2 }, { "version": 2, "n": 4 }]));
        let (_, made) = client.post("/v1/webhooks/late/replay", &json!({ "version": 1 })).await;
        assert_eq!(made["deliveries"], 3, "another replay has deliveries of its own");
        assert_eq!(endpoint.next_request().await.json()["version"], 1);
        let (status, problem) = client.post("/v1/webhooks/late/replay", &json!({ "version": 7 })).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!("/version")));
        let future = json!({ "since": "2999-01-01T00:00:00Z" });
        assert_eq!(client.post("/v1/webhooks/late/replay", &future).await.1["deliveries"], 0);
    });
}

#[test]
fn what_was_sent_from_the_store_survives_a_restart_in_its_order() {
    run(async {
        let host = TestHost::start().await;
        let (endpoint, gate) = (Endpoint::start().await, Gate::new());
        endpoint.next(Script::status(503));
        endpoint.always(Script::status(200).behind(&gate));
        let document = json!({ "selectors": ["step"], "ordering": "session", "request": { "url": endpoint.url("/") } });
        host.client.webhook("ordered", document).await;
        for n in 0..10 {
            post(&host.client, json!({ "trigger": "step", "session": format!("s{}", n % 2), "data": { "n": n } })).await;
        }
        eventually("one waits", async || {
            let waiting = host.client.look("/v1/deliveries?webhook=ordered&state=waiting").await;
            (waiting["data"].as_array().map(Vec::len) == Some(1)).then_some(())
        })
        .await;
        host.advance(MINUTE);
        eventually("two are under way", async || (endpoint.seen().len() >= 3).then_some(())).await;
        gate.open();
        let host = host.restart().await;
        after_a_while(&host, Duration::from_secs(2), "all of them", async || {
            let open = host.client.look("/v1/deliveries?webhook=ordered&state=delivered&limit=50").await;
            (open["data"].as_array().map(Vec::len) == Some(10)).then_some(())
        })
        .await;
        for session in 0..2 {
            let mut of_session: Vec<_> = numbers(&endpoint).into_iter().filter(|n| n % 2 == session).collect();
            of_session.dedup();
            assert_eq!(of_session, (0..10).filter(|n| n % 2 == session).collect::<Vec<_>>());
        }
    });
}
