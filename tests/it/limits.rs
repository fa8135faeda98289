//! Limits that affect each other: each pair is taken to its bound at once. Accepted work ends without loss, and an error names the field
//! and the limit.

use std::time::Duration;

use hookwright::config::Limits;
use hookwright_tests::{Client, Endpoint, Options, Script, TestHost, run, wait::eventually};
use serde_json::{Value, json};

/// Longest body of a request, in bytes.
const REQUEST_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Time during which events gather in the batches here.
const PERIOD: Duration = Duration::from_secs(20);

/// Posts events that nobody waits for.
async fn post(client: &Client, events: Value) {
    let (status, accepted) = client.post("/v1/events", &events).await;
    assert_eq!(status, 202, "{accepted}");
}

/// The pointer and the sentence of the only problem of a request.
fn problem((status, answer): (u16, Value)) -> (String, String) {
    assert_eq!(status, 400, "{answer}");
    let [error] = answer["errors"].as_array().expect("errors").as_slice() else { panic!("{answer}") };
    let text = |field: &str| error[field].as_str().expect("a text").to_owned();
    (text("pointer"), text("detail"))
}

/// Every delivery of a webhook, once none is on its way.
async fn settled(client: &Client, webhook: &str) -> Vec<Value> {
    eventually("everything is settled", || async {
        let found = client.look(&format!("/v1/deliveries?webhook={webhook}&limit=500")).await["data"].as_array().cloned().expect("a list");
        let is_open = |delivery: &Value| ["pending", "sending", "waiting"].contains(&delivery["state"].as_str().expect("a state"));
        (!found.is_empty() && !found.iter().any(is_open)).then_some(found)
    })
    .await
}

/// How many events the deliveries in this state contain.
fn events_in(deliveries: &[Value], state: &str) -> usize {
    let of_state = deliveries.iter().filter(|delivery| delivery["state"] == state);
    of_state.map(|delivery| 1 + delivery["further_events"].as_array().map_or(0, Vec::len)).sum()
}

/// The numbers of the events in each request, and the length of its body.
fn batches(endpoint: &Endpoint, events: impl Fn(&Value) -> Value) -> Vec<(Vec<u64>, usize)> {
    let of = |event: &Value| event["data"]["n"].as_u64().expect("a number");
    let seen = endpoint.seen();
    seen.iter().map(|one| (events(&one.json()).as_array().expect("events").iter().map(of).collect(), one.body.len())).collect()
}

/// Checks that each number came exactly once.
fn all_once(batches: &[(Vec<u64>, usize)], numbers: std::ops::Range<u64>) {
    let mut came: Vec<_> = batches.iter().flat_map(|(numbers, _)| numbers.clone()).collect();
    came.sort_unstable();
    assert_eq!(came, numbers.collect::<Vec<_>>());
}

#[test]
fn of_a_batch_only_the_events_that_no_request_can_be_made_of_are_lost() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        let batch = json!({ "seconds": 20, "events_max": 100 });
        // The plugin rejects a batch with such an event, or throws at the last attempt.
        let script = |does: &str| {
            format!(
                "export function transform(_, events) {{ if (events.some((one) => one.data.n === 99)) {does}; return {{ body: events }} }}"
            )
        };
        client.script("rejects", &script("throw new Rejected('99')")).await;
        client.script("throws", &script("null.n")).await;
        for (name, state) in [("rejects", "refused"), ("throws", "failed")] {
            let retry = json!({ "attempts": 1, "gap_seconds": 1 });
            let request = json!({ "url": endpoint.url(&format!("/{name}")) });
            client
                .webhook(name, json!({ "selectors": [name], "transform": name, "batch": batch, "retry": retry, "request": request }))
                .await;
            let mut events: Vec<_> = (0..9).map(|n| json!({ "trigger": name, "data": { "n": n } })).collect();
            events.insert(5, json!({ "trigger": name, "data": { "n": 99 } }));
            post(client, json!(events)).await;
            host.advance(PERIOD);
            let deliveries = settled(client, name).await;
            assert_eq!((events_in(&deliveries, "delivered"), events_in(&deliveries, state)), (9, 1), "{name}: {deliveries:?}");
            let path = format!("/{name}");
            let seen = endpoint.seen();
            let mut came: Vec<_> = seen
                .iter()
                .filter(|one| one.path == path)
                .flat_map(|one| one.json().as_array().expect("events").iter().map(|one| one["data"]["n"].as_u64()).collect::<Vec<_>>())
                .collect();
            came.sort_unstable();
            assert_eq!(came, (0..9).map(Some).collect::<Vec<_>>(), "{name}: each of the others once");
        }
    });
}

#[test]
fn a_batch_of_events_at_their_limit_is_sent_in_as_many_requests_as_it_takes() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        let batch = json!({ "seconds": 20, "events_max": 100 });
        client
            .webhook("full", json!({ "selectors": ["full"], "batch": batch, "ordering": "fifo", "request": { "url": endpoint.url("/") } }))
            .await;
        for request in 0..5 {
            // Events of the largest size, as many as a request may contain.
            let event = |n: u64| json!({ "trigger": "full", "data": { "n": n, "x": "x".repeat(250_000) } });
            post(client, (0..10).map(|n| event(request * 10 + n)).collect()).await;
        }
        host.advance(PERIOD);
        let deliveries = settled(client, "full").await;
        assert_eq!(events_in(&deliveries, "delivered"), 50);
        let batches = batches(&endpoint, Value::clone);
        assert!(batches.iter().all(|(_, bytes)| *bytes <= REQUEST_BYTES_MAX), "{batches:?}");
        let order: Vec<_> = batches.iter().flat_map(|(numbers, _)| numbers.clone()).collect();
        assert_eq!(order, (0..50).collect::<Vec<_>>(), "each once, in their order");
        assert_eq!(batches.len(), 4, "sixteen of them in one request");
    });
}

#[test]
fn a_batch_that_is_too_large_only_when_it_is_built_is_halved_down_to_the_event_that_is_too_large_alone() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        // The body contains the batch thirty times.
        let body: Vec<_> = (0..30).map(|_| "$event.batch").collect();
        let batch = json!({ "seconds": 20, "events_max": 100 });
        let document = json!({ "selectors": ["thirty"], "batch": batch, "ordering": "session", "request": { "url": endpoint.url("/"), "body": body } });
        client.webhook("thirty", document).await;
        let event = |n: u64, bytes: usize| json!({ "trigger": "thirty", "session": "s", "data": { "n": n, "x": "x".repeat(bytes) } });
        let mut events: Vec<_> = (0..9).map(|n| event(n, 20_000)).collect();
        events.insert(5, event(99, 250_000));
        post(client, json!(events)).await;
        host.advance(PERIOD);
        let deliveries = settled(client, "thirty").await;
        assert_eq!((events_in(&deliveries, "delivered"), events_in(&deliveries, "refused"), deliveries.len() > 2), (9, 1, true));
        let batches = batches(&endpoint, |body| body[0].clone());
        all_once(&batches, 0..9);
        let order: Vec<_> = batches.iter().flat_map(|(numbers, _)| numbers.clone()).collect();
        assert!(order.is_sorted(), "{order:?}");
        let refused = deliveries.iter().find(|delivery| delivery["state"] == "refused").expect("one");
        let refused = client.delivery(refused["id"].as_str().expect("an id")).await;
        let failure = &refused["attempt_log"][0]["failure"];
        assert_eq!((&refused["attempts"], &failure["kind"]), (&json!(1), &json!("request_invalid")), "{failure}");
        assert!(failure["detail"].as_str().is_some_and(|detail| detail.contains("4194304 bytes")), "{failure}");
        // Every event shows the one delivery that contains it.
        for event in client.look("/v1/events?limit=50").await["data"].as_array().expect("events") {
            let shown = client.look(&format!("/v1/events/{}", event["id"].as_str().expect("an id"))).await;
            assert_eq!(shown["deliveries"].as_array().map(Vec::len), Some(1), "{shown}");
        }

        // After the repair, the refused delivery is recovered, and the one that another plugin rejected is not.
        client.webhook("thirty", json!({ "selectors": ["thirty"], "batch": batch, "request": { "url": endpoint.url("/") } })).await;
        let since = json!({ "since": "2020-01-01T00:00:00Z" });
        assert_eq!(client.post("/v1/webhooks/thirty/recover", &since).await.1["recovered"], 1);
        let deliveries = settled(client, "thirty").await;
        assert_eq!(events_in(&deliveries, "delivered"), 10);
        client.script("rejects", "export function transform() { throw new Rejected('no') }").await;
        client.webhook("judged", json!({ "selectors": ["judged"], "transform": "rejects", "request": { "url": endpoint.url("/") } })).await;
        assert_eq!(client.event(json!({ "trigger": "judged" })).await["deliveries"][0]["state"], "refused");
        assert_eq!(client.post("/v1/webhooks/judged/recover", &since).await.1["recovered"], 0);
    });
}

#[test]
fn a_batch_beyond_what_a_plugin_may_return_goes_in_halves_and_is_not_held_against_it() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        client.script("all", "export function transform(delivery, events) { return { body: events.map(({ data }) => ({ data })) } }").await;
        let batch = json!({ "seconds": 20, "events_max": 100 });
        client
            .webhook("all", json!({ "selectors": ["all"], "transform": "all", "batch": batch, "request": { "url": endpoint.url("/") } }))
            .await;
        let event = |n: u64| json!({ "trigger": "all", "data": { "n": n, "x": "x".repeat(250_000) } });
        post(client, (0..15).map(event).collect()).await;
        host.advance(PERIOD);
        let deliveries = settled(client, "all").await;
        assert_eq!(events_in(&deliveries, "delivered"), 15);
        assert!(deliveries.iter().all(|delivery| delivery["attempts"] == 1), "a half that is too large counts no attempt");
        let batches = batches(&endpoint, Value::clone);
        all_once(&batches, 0..15);
        assert!(batches.iter().all(|(_, bytes)| *bytes <= 1024 * 1024), "{batches:?}");
        let plugin = client.look("/v1/plugins/all").await;
        assert_eq!((&plugin["breaker"]["state"], &plugin["breaker"]["failures"]), (&json!("closed"), &json!(0)), "{plugin}");
        // The output for a single event is limited by the plugin's own limit.
        client.put("/v1/plugins/all/limits", &json!({ "output_bytes": 1000 })).await;
        let failed = client.invoke("all", json!({ "data": "x".repeat(2000) })).await;
        assert_eq!(failed["failure"]["kind"], "plugin_output_too_large");
        assert_eq!(client.look("/v1/plugins/all").await["breaker"]["failures"], 1);
    });
}

#[test]
fn a_line_of_log_of_any_length_is_cut_and_so_is_no_text_that_is_encoded() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let script = "export function receive(call) { console.log(JSON.stringify(call)); console.log('x'.repeat(4000000)); console.warn('last'); \
            return { status: 200, message: String(new TextEncoder().encode('é'.repeat(1500000)).length) } }";
        client.script("log", script).await;
        let code = client.receiver("log", json!({ "plugin": "log" })).await;
        let answered = client.call(&code, "", &"\"".repeat(700_000)).await;
        assert_eq!((answered.status, &answered.json()["message"]), (200, &json!("3000000")), "{}", answered.text());
        let call = client.last_call("log").await;
        assert_eq!((&call["state"], &call["log"]["dropped"]), (&json!("done"), &json!(2)));
        let lines = call["log"]["lines"].as_array().expect("lines");
        assert!(lines.len() == 1 && lines[0]["text"].as_str().is_some_and(|text| text.len() < 17_000 && text.ends_with("... (cut)")));
        assert_eq!(client.look("/v1/plugins/log").await["breaker"]["failures"], 0);
    });
}

#[test]
fn attributes_count_as_data() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let post = async |document: &Value| client.post("/v1/events", document).await;
        let many: serde_json::Map<_, _> = (0..150_000).map(|n| (format!("a{n}"), json!("x"))).collect();
        let (pointer, detail) = problem(post(&json!({ "trigger": "x", "attributes": many, "data": 1 })).await);
        assert_eq!(pointer, "/attributes");
        assert!(detail.contains("262144 bytes") && detail.contains("`event_bytes_max`"), "{detail}");
        // The quotes of the data and the name of the attribute count.
        let exact =
            |more: usize| json!({ "trigger": "x", "attributes": { "a": "y".repeat(62_144 - 3 + more) }, "data": "x".repeat(200_000) });
        assert_eq!(post(&exact(0)).await.0, 202);
        assert_eq!(problem(post(&json!([exact(0), exact(1)])).await).0, "/1/attributes");
        let structured = json!({ "specversion": "1.0", "id": "1", "source": "s", "type": "x", "extra": "y".repeat(300_000) });
        let headers = [("content-type", "application/cloudevents+json")];
        let refused = client.send(http::Method::POST, "/v1/events", &headers, structured.to_string()).await;
        assert_eq!((refused.status, &refused.json()["errors"][0]["pointer"]), (400, &json!("/attributes")));
        // The events and names that a plugin emits have the same limits.
        client.grant("emits", json!({ "triggers": ["emitted"] })).await;
        let script = "export function receive(call) { const said = []; \
            for (const more of [{ attributes: { a: 'x'.repeat(270000) } }, { session: 's'.repeat(300) }, { source: 'a\\nb' }]) \
            try { hookwright.emit({ trigger: 'emitted', data: 1, ...more }) } catch (error) { said.push(error.message) } return said.join('; ') }";
        client.script("emits", script).await;
        let code = client.receiver("emits", json!({ "plugin": "emits" })).await;
        let said = client.call(&code, "", "{}").await.json()["message"].as_str().expect("a text").to_owned();
        assert!(said.contains("262144 bytes") && said.contains("session has 1 to 256") && said.contains("source has 1 to 256"), "{said}");
    });
}

/// A host whose sessions are small.
async fn with_small_sessions() -> TestHost {
    let limits = Limits { session_bytes_max: 10_000, session_parameters_max: 10, ..Limits::default() };
    TestHost::with(Options { limits, ..Options::default() }).await
}

#[test]
fn a_session_is_bounded_whichever_way_it_grows() {
    run(async {
        let host = with_small_sessions().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        let large = |name: &str| json!({ name: "x".repeat(6000) });
        let event = |session: &str, parameters: Value| json!({ "trigger": "x", "session": session, "parameters": parameters });
        post(client, event("s", large("first"))).await;

        let (pointer, detail) = problem(client.post("/v1/events", &event("s", large("second"))).await);
        assert_eq!(
            (pointer.as_str(), detail.contains("10000 bytes (limit `session_bytes_max`)")),
            ("/parameters/second", true),
            "{detail}"
        );
        let several = json!([event("t", large("a")), event("s", json!({ "small": 1 })), event("s", large("second"))]);
        assert_eq!(problem(client.post("/v1/events", &several).await).0, "/2/parameters/second");
        assert_eq!(client.parameters("t").await, json!({}), "all or none");
        let many: serde_json::Map<_, _> = (0..11).map(|n| (format!("p{n}"), json!(n))).collect();
        let (pointer, detail) = problem(client.post("/v1/events", &event("many", json!(many))).await);
        assert_eq!((pointer.as_str(), detail.contains("(limit `session_parameters_max`)")), ("/parameters/p10", true), "{detail}");

        assert_eq!(problem(client.patch("/v1/sessions/s/parameters", &large("second")).await).0, "/second");
        client
            .webhook("asked", json!({ "request": { "url": endpoint.url("/") }, "bindings": { "whole": "$.whole", "small": "$.small" } }))
            .await;
        let with = json!({ "session": "s", "parameters": large("second") });
        assert_eq!(problem(client.post("/v1/webhooks/asked/invoke", &with).await).0, "/parameters/second");

        // A plugin that answers a call: the call fails, and tokens that may read see why.
        let script = "export function receive(call) { hookwright.setParameter('second', 'x'.repeat(6000)); return 'set' }";
        client.script("sets", script).await;
        let code = client.receiver("sets", json!({ "plugin": "sets", "session": "$.query.session" })).await;
        let answered = client.call(&code, "?session=s", "").await;
        assert_eq!((answered.status, answered.text().contains("session")), (500, false), "{}", answered.text());
        let call = client.last_call("sets").await;
        assert_eq!((&call["state"], &call["failure"]["kind"]), (&json!("failed"), &json!("call_invalid")));
        assert!(
            call["failure"]["detail"].as_str().is_some_and(|detail| detail.contains("`second`") && detail.contains("`session_bytes_max`"))
        );

        // An answer that does not fit: the delivery succeeds, and the binding that did not fit is named.
        endpoint.always(Script::json(json!({ "whole": "x".repeat(6000), "small": 7 })));
        let invoked = client.invoke("asked", json!({ "session": "s" })).await;
        assert_eq!(
            (&invoked["state"], &invoked["parameters"], &invoked["unmatched"]),
            (&json!("delivered"), &json!({ "small": 7 }), &json!(["whole"]))
        );
        let attempt = client.delivery(invoked["delivery"].as_str().expect("an id")).await["attempt_log"][0].clone();
        assert_eq!((&attempt["parameters"], &attempt["unmatched"]), (&json!({ "small": 7 }), &json!(["whole"])));

        let session = client.parameters("s").await;
        assert_eq!((session.as_object().map(serde_json::Map::len), &session["small"]), (Some(2), &json!(7)));
        // A change that frees memory is always accepted.
        post(client, event("s", json!({ "first": null, "second": "x".repeat(6000) }))).await;
    });
}

#[test]
fn many_bindings_of_a_large_answer_fit_into_session_and_record() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        let bindings: serde_json::Map<_, _> = (0..100).map(|n| (format!("p{n}"), json!("$"))).collect();
        client.webhook("binds", json!({ "selectors": ["binds"], "request": { "url": endpoint.url("/") }, "bindings": bindings })).await;
        endpoint.always(Script::json(json!("x".repeat(60_000))));
        let event = client.event(json!({ "trigger": "binds", "session": "s" })).await;
        let delivery = &event["deliveries"][0];
        assert_eq!((&delivery["state"], &delivery["attempts"]), (&json!("delivered"), &json!(1)));
        let bound = client.parameters("s").await.as_object().map_or(0, serde_json::Map::len);
        assert_eq!(bound, 2 * 1024 * 1024 / 60_008, "as many as two MiB hold");
        let attempt = client.delivery(delivery["id"].as_str().expect("an id")).await["attempt_log"][0].clone();
        assert_eq!(attempt["parameters"].as_object().map(serde_json::Map::len), Some(bound));
        assert_eq!(attempt["unmatched"].as_array().map(Vec::len), Some(100 - bound));
        assert!(attempt.to_string().len() < 3 * 1024 * 1024);

        // A template with more references than a request may hold is refused by name; one at the limit is sent.
        let whole: Vec<_> = (0..bound).map(|n| format!("$session.params.p{n}")).collect();
        let twice = [whole.clone(), whole.clone()].concat();
        let named = |body: &[String]| json!({ "request": { "url": endpoint.url("/"), "body": body } });
        client.webhook("once", named(&twice[..bound + bound / 2])).await;
        client.webhook("thrice", named(&[twice.clone(), whole].concat())).await;
        assert_eq!(client.invoke("once", json!({ "session": "s" })).await["state"], "delivered");
        let refused = client.invoke("thrice", json!({ "session": "s" })).await;
        assert_eq!((&refused["state"], &refused["failure"]["kind"]), (&json!("refused"), &json!("request_invalid")));
        assert!(refused["failure"]["detail"].as_str().is_some_and(|detail| detail.contains("4194304 bytes")), "{refused}");
    });
}

#[test]
fn what_an_invoke_is_given_is_bounded_by_field() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        client.webhook("w", json!({ "request": { "url": endpoint.url("/") } })).await;
        let large = "x".repeat(262_143);
        for (with, pointer) in [
            (json!({ "data": large }), "/data"),
            (json!({ "context": { "a": large } }), "/context"),
            (json!({ "session": "s".repeat(257) }), "/session"),
            (json!({ "environment": "" }), "/environment"),
        ] {
            for path in ["/v1/webhooks/w/invoke", "/v1/webhooks/w/preview"] {
                assert_eq!(problem(client.post(path, &with).await).0, pointer);
            }
        }
        assert!(endpoint.seen().is_empty());
        assert_eq!(
            client.invoke("w", json!({ "data": "x".repeat(262_142), "context": { "a": "x".repeat(262_141) } })).await["state"],
            "delivered"
        );
    });
}

#[test]
fn headers_hold_at_their_number_and_length_and_a_credential_beyond_it_is_named() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        let headers: serde_json::Map<_, _> = (0..64).map(|n| (format!("x-{n}"), json!("y".repeat(5000)))).collect();
        client.webhook("many", json!({ "request": { "url": endpoint.url("/"), "headers": headers } })).await;
        assert_eq!(client.invoke("many", json!({})).await["state"], "delivered");
        assert_eq!(endpoint.next_request().await.headers.iter().filter(|(_, value)| value.len() == 5000).count(), 64);
        let refused = async |document: Value, with: Value, says: &[&str]| {
            client.webhook("beyond", document).await;
            let invoked = client.invoke("beyond", with).await;
            assert_eq!((&invoked["state"], &invoked["failure"]["kind"]), (&json!("refused"), &json!("request_invalid")), "{invoked}");
            let detail = invoked["failure"]["detail"].as_str().expect("a detail");
            assert!(says.iter().all(|says| detail.contains(says)), "{detail}");
        };
        let url = endpoint.url("/?q=$event.data");
        let request = json!({ "url": endpoint.url("/"), "headers": { "x-long": "$event.data" } });
        refused(json!({ "request": request }), json!({ "data": "y".repeat(8193) }), &["`x-long`", "8193 bytes", "8192"]).await;
        refused(json!({ "request": { "url": url } }), json!({ "data": "y".repeat(17_000) }), &["URL", "16384"]).await;
        client.secret("long", &"s".repeat(9000)).await;
        let auth = json!({ "kind": "bearer", "token": "$secret:long" });
        refused(json!({ "request": { "url": endpoint.url("/") }, "auth": auth }), json!({}), &["`authorization`", "9007 bytes", "8192"])
            .await;
        let auth = json!({ "kind": "headers", "headers": { "x-key": "$event.data" } });
        refused(
            json!({ "request": { "url": endpoint.url("/") }, "auth": auth }),
            json!({ "data": "y".repeat(9000) }),
            &["`x-key`", "8192"],
        )
        .await;
        assert_eq!(endpoint.seen().len(), 1);
    });
}

#[test]
fn a_call_at_the_limit_of_its_body_is_answered_and_what_is_made_of_it_is_bounded() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let reply = |name: &str, more: Value| {
            let mut document = json!({ "reply": { "message": "ok" }, "name": name, "body_bytes_max": 4_194_304 });
            document.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
            document
        };
        let body = format!("\"{}\"", "x".repeat(900_000));
        let fails = async |name: &str, more: Value, query: &str, status: u16, says: &[&str]| {
            let code = client.receiver(name, reply(name, more)).await;
            assert_eq!(client.call(&code, query, &body).await.status, status, "{name}");
            let call = client.last_call(name).await;
            let detail = call["failure"]["detail"].as_str().unwrap_or_default();
            assert!(says.iter().all(|says| detail.contains(says)), "{name}: {detail}");
            assert_eq!(call["events"], json!([]), "{name}: nothing half done");
        };
        let data: Vec<_> = (0..5).map(|_| "$.body").collect();
        fails("multiplies", json!({ "events": [{ "trigger": "multiplied", "data": data }] }), "", 500, &["4194304 bytes", "`multiplied`"])
            .await;
        fails("repeats", json!({ "reply": { "message": "$call.body".repeat(5) } }), "", 400, &["4194304 bytes"]).await;
        fails("once", json!({ "once": "$.body" }), "", 400, &["`once`", "900000 bytes", "1024"]).await;
        fails("session", json!({ "session": "$.body" }), "", 400, &["`session`", "1 to 256"]).await;
        // As many parameters as a query may have, and one more.
        let query = |number: usize| (0..number).map(|n| format!("{}q={n}", if n == 0 { "?" } else { "&" })).collect::<String>();
        let list = json!({ "parameters": { "q": { "type": "list" } }, "events": [{ "trigger": "listed", "data": "$.parameters.q" }] });
        let code = client.receiver("list", reply("list", list)).await;
        let answered = client.call(&code, &query(1000), "").await;
        assert_eq!(answered.status, 200, "{}", answered.text());
        let call = client.last_call("list").await;
        let listed = client.look(&format!("/v1/events/{}", call["events"][1].as_str().expect("an event"))).await;
        assert_eq!(listed["data"].as_array().map(Vec::len), Some(1000));
        let refused = client.call(&code, &query(1001), "").await;
        assert_eq!((refused.status, refused.text().contains("1000 fields")), (400, true), "{}", refused.text());
    });
}

/// Reads a list page by page: the number of pages, the number of entries, and the bytes of the longest page.
async fn pages(client: &Client, path: &str) -> (usize, usize, usize) {
    let (mut number, mut count, mut longest, mut after) = (0, 0, 0, String::new());
    loop {
        let answered = client.send(http::Method::GET, &format!("{path}?limit=500{after}"), &[], "").await;
        assert_eq!(answered.status, 200);
        let page = answered.json();
        (number, longest) = (number + 1, longest.max(answered.body.len()));
        count += page["data"].as_array().expect("a list").len();
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return (number, count, longest),
        }
    }
}

#[test]
fn a_page_of_large_documents_is_a_short_one() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        for _ in 0..4 {
            post(client, (0..15).map(|n| json!({ "trigger": "large", "data": { "n": n, "x": "x".repeat(250_000) } })).collect()).await;
        }
        let (number, count, longest) = pages(client, "/v1/events").await;
        assert_eq!((number, count), (2, 60));
        assert!(longest < 9_000_000, "{longest}");
        let literal: Vec<_> = (0..8).map(|_| "x".repeat(250_000)).collect();
        for n in 0..6 {
            client.webhook(&format!("w{n}"), json!({ "request": { "url": "https://large.example/", "body": literal } })).await;
        }
        let (number, count, longest) = pages(client, "/v1/webhooks").await;
        assert_eq!((number, count), (2, 6));
        assert!(longest < 9_000_000, "{longest}");
        // The environments of such a document are limited together with it, because each is a whole webhook in memory.
        let environments = |number: usize| (0..number).map(|n| (format!("e{n}"), json!({}))).collect::<serde_json::Map<_, _>>();
        let document =
            |number| json!({ "request": { "url": "https://large.example/", "body": literal }, "environments": environments(number) });
        assert_eq!(client.put("/v1/webhooks/w0", &document(30)).await.0, 200);
        let (pointer, detail) = problem(client.put("/v1/webhooks/w0", &document(40)).await);
        assert_eq!((pointer.as_str(), detail.contains("67108864 bytes")), ("/environments", true), "{detail}");
    });
}

#[test]
fn as_many_events_as_a_request_takes_with_the_same_key_are_one() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        client.webhook("w", json!({ "selectors": ["same"], "request": { "url": endpoint.url("/") } })).await;
        let event = |data: usize| json!({ "trigger": "same", "source": "s".repeat(256), "id": "i".repeat(256), "data": data });
        let (status, accepted) = client.post("/v1/events", &(0..500).map(|_| event(1)).collect()).await;
        let ids = accepted["ids"].as_array().expect("ids");
        assert_eq!((status, ids.len(), ids.iter().all(|id| *id == ids[0])), (202, 500, true));
        assert_eq!(events_in(&settled(client, "w").await, "delivered"), 1);
        assert_eq!(client.post("/v1/events", &(0..2).map(event).collect()).await.0, 422, "another body under the same key");
        let (pointer, detail) = problem(client.post("/v1/events", &(0..501).map(event).collect()).await);
        assert_eq!((pointer.as_str(), detail.contains("500")), ("", true), "{detail}");
        let event = json!({ "trigger": "same", "data": "x".repeat(200_000) });
        assert_eq!(client.post("/v1/events", &(0..30).map(|_| event.clone()).collect()).await.0, 413, "the request, not its events");
    });
}
