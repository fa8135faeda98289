//! Traces: W3C context is accepted and passed on, spans are sent to a collector that decodes OTLP, and a useless collector does no harm.

use std::time::Duration;

use hookwright::{
    config::{Limits, Otlp, otlp::HeaderSource},
    model::secret::Secret,
};
use hookwright_tests::{
    Authority, Client, Collector, Endpoint, Gate, Options, Process, Received, Script, Spanned, TestHost, TlsFront, data_directory, run,
    shared, unique, wait::eventually,
};
use http::Method;
use serde_json::{Value, json};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

fn caller() -> String {
    format!("00-{TRACE}-{SPAN}-01")
}

fn to(url: &str) -> Otlp {
    Otlp {
        endpoint: format!("{url}/v1/traces").parse().expect("a URL"),
        headers: Vec::new(),
        ca_certificates: None,
        service_name: "hooks".to_owned(),
        sample_ratio: 1.0,
    }
}

async fn traced(collector: &Collector) -> TestHost {
    TestHost::with(Options { otlp: Some(to(&collector.url())), ..Options::default() }).await
}

/// Posts an event with these headers, and waits for the first attempts.
async fn post(client: &Client, headers: &[(&str, &str)], event: Value) -> Value {
    let headers = [&[("content-type", "application/json")], headers].concat();
    let answered = client.send(Method::POST, "/v1/events?wait=50s", &headers, event.to_string()).await;
    assert_eq!(answered.status, 200, "{}", answered.text());
    answered.json()
}

/// Trace, span and flags in the `traceparent` that an endpoint received.
fn told(request: &Received) -> (String, String, String) {
    let mut fields = request.header("traceparent").split('-').skip(1).map(str::to_owned);
    let mut next = || fields.next().unwrap_or_default();
    (next(), next(), next())
}

/// The only child of a span that has this name.
async fn child(collector: &Collector, of: &Spanned, name: &str) -> Spanned {
    let what = format!("a span `{name}` below `{}`", of.name);
    collector.span(&what, |span| span.parent == of.id && span.trace == of.trace && span.name == name).await
}

#[test]
fn one_event_is_one_trace_from_its_acceptance_to_the_endpoint() {
    run(async {
        let collector = Collector::start().await;
        let host = traced(&collector).await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        endpoint.next(Script::json(json!({ "ts": 1 })));
        client.script("builds", "export function transform() { return { body: 'x' } }").await;
        let secret = format!("whsec_{}", "a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5");
        client.secret("signing", &secret).await;
        endpoint.trusts(&secret);
        let hook = json!({ "selectors": ["traces.whole"], "transform": "builds", "bindings": { "ts": "$.ts" },
            "signing": { "secrets": ["$secret:signing"] }, "request": { "url": endpoint.url("/p?sig=canary-in-url") } });
        client.webhook("whole", hook).await;
        let headers = [("traceparent", &*caller()), ("tracestate", "vendor=1,other=2")];
        let event = post(client, &headers, json!({ "trigger": "traces.whole", "session": "s", "data": { "secret": "canary-data" } })).await;
        let request = endpoint.next_request().await;

        let server = collector.span("the request", |span| span.name == "POST /v1/events").await;
        assert_eq!((server.trace.as_str(), server.parent.as_str(), server.kind.as_str()), (TRACE, SPAN, "server"));
        assert_eq!((server.state.as_str(), server.service.as_str()), ("vendor=1,other=2", "hooks"));
        assert_eq!([server.say("http.route"), server.say("http.response.status_code")], ["/v1/events", "200"]);
        let accept = child(&collector, &server, "accept").await;
        assert_eq!(
            [accept.say("hookwright.event.id"), accept.say("hookwright.event.deliveries")],
            [event["id"].as_str().expect("an id"), "1"]
        );
        child(&collector, &accept, "match").await;
        let attempt = child(&collector, &accept, "attempt").await;
        assert_eq!(["hookwright.webhook.name", "hookwright.attempt.outcome"].map(|name| attempt.say(name)), ["whole", "delivered"]);
        for name in ["transform", "build", "bind", "settle"] {
            let part = child(&collector, &attempt, name).await;
            assert!(
                attempt.time.0 <= part.time.0 && part.time.0 <= part.time.1 && part.time.1 <= attempt.time.1,
                "{name}: {part:?} {attempt:?}"
            );
        }
        let sent = child(&collector, &attempt, "POST").await;
        let port = endpoint.address.port().to_string();
        let said = ["server.address", "server.port", "url.scheme", "http.request.method", "http.response.status_code"];
        assert_eq!(said.map(|name| sent.say(name)), ["127.0.0.1", &port, "http", "POST", "200"]);
        assert_eq!((sent.kind.as_str(), sent.is_error), ("client", false));

        // The endpoint gets the identifier of the request's own span. The trace headers are not signed.
        assert_eq!(told(&request), (TRACE.to_owned(), sent.id, "01".to_owned()));
        assert_eq!(request.header("tracestate"), "vendor=1,other=2");
        assert_eq!(event["deliveries"][0]["state"], "delivered", "{event}");
        assert!(event["deliveries"][0]["trace"]["traceparent"].as_str().is_some_and(|text| text.contains(TRACE)), "{event}");
        assert!(!format!("{:?}", collector.spans()).contains("canary"), "no URL and no data");
        assert!(counted(client, "hookwright_trace_spans_exported_total").await >= 9, "they are counted");
        host.stop().await;
    });
}

#[test]
fn a_trace_goes_on_after_a_kill_between_acceptance_and_delivery() {
    run(async {
        let collector = Collector::start().await;
        let directory = data_directory();
        let data = directory.path().join("data");
        let environment = [("HOOKWRIGHT_OTLP_ENDPOINT", &*collector.url()), ("HOOKWRIGHT_OTLP_SERVICE_NAME", "hooks")];
        let host = Process::serve_under(&data, &[], &environment).await;
        let (endpoint, gate) = (Endpoint::start().await, Gate::new());
        endpoint.next(Script::status(200).behind(&gate));
        host.client.webhook("slow", json!({ "selectors": ["traces.killed"], "request": { "url": endpoint.url("/") } })).await;
        let headers = [("traceparent", &*caller()), ("content-type", "application/json")];
        let posted = host.client.send(Method::POST, "/v1/events", &headers, json!({ "trigger": "traces.killed" }).to_string()).await;
        assert_eq!(posted.status, 202, "{}", posted.text());
        let first = endpoint.next_request().await;
        let accept = collector.named(TRACE, "accept", 1).await.remove(0);
        host.kill().await;

        let host = Process::serve_under(&data, &[], &environment).await;
        let second = endpoint.next_request().await;
        let attempts = collector.named(TRACE, "attempt", 1).await;
        assert_eq!(attempts.len(), 1, "the attempt that was killed never ended: {attempts:?}");
        assert_eq!(attempts[0].parent, accept.id);
        let sent = child(&collector, &attempts[0], "POST").await;
        assert_eq!((told(&first).0.as_str(), told(&second)), (TRACE, (TRACE.to_owned(), sent.id, "01".to_owned())));
        assert!(host.terminate().await.success());
    });
}

#[test]
fn each_attempt_is_a_span_of_its_own_and_what_fails_says_how() {
    run(async {
        let collector = Collector::start().await;
        let host = traced(&collector).await;
        let endpoint = Endpoint::start().await;
        endpoint.next(Script::status(500));
        let retry = json!({ "attempts": 2, "gap_seconds": 1 });
        host.client
            .webhook("twice", json!({ "selectors": ["traces.twice"], "request": { "url": endpoint.url("/") }, "retry": retry }))
            .await;
        post(&host.client, &[("traceparent", &caller())], json!({ "trigger": "traces.twice" })).await;
        let first = endpoint.next_request().await;
        host.advance(Duration::from_secs(5));
        let second = endpoint.next_request().await;
        let attempts = collector.named(TRACE, "attempt", 2).await;
        assert_eq!(attempts.iter().map(|span| span.say("hookwright.attempt.number")).collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(attempts.iter().map(|span| span.say("error.type")).collect::<Vec<_>>(), ["http_status", ""]);
        assert_eq!((attempts[0].is_error, attempts[1].is_error), (true, false));
        assert_eq!(attempts[0].parent, attempts[1].parent);
        for (attempt, request, resent) in [(&attempts[0], first, ""), (&attempts[1], second, "1")] {
            let sent = child(&collector, attempt, "POST").await;
            assert_eq!((sent.id.as_str(), sent.say("http.request.resend_count")), (&*told(&request).1, resent));
        }
        host.stop().await;
    });
}

#[test]
fn a_call_is_one_trace_with_its_verification_its_receiver_and_what_it_causes() {
    run(async {
        let collector = Collector::start().await;
        let host = traced(&collector).await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        client.webhook("asked", json!({ "request": { "url": endpoint.url("/asked") } })).await;
        client.webhook("hears", json!({ "selectors": ["code.invokes"], "request": { "url": endpoint.url("/hears") } })).await;
        let script = "export function receive() { const asked = hookwright.invoke('asked', { data: {} }); return { message: String(asked.delivered) } }";
        client.script("invokes", script).await;
        client.grant("invokes", json!({ "webhooks": ["asked"] })).await;
        client.secret("inbound", "canary-inbound").await;
        let code =
            client.receiver("invokes", json!({ "plugin": "invokes", "verify": { "scheme": "bearer", "secret": "$secret:inbound" } })).await;
        let headers = [("traceparent", &*caller()), ("authorization", "Bearer canary-inbound")];
        let path = format!("/api/v1/webhook/{code}");
        let answered = client.with_token(None).send(Method::POST, &path, &headers, "{}").await;
        assert_eq!(answered.status, 200, "{}", answered.text());

        let server = collector.span("the call", |span| span.name == "POST {base}/api/v1/webhook/{code}").await;
        assert_eq!((server.trace.as_str(), server.parent.as_str(), server.kind.as_str()), (TRACE, SPAN, "server"));
        child(&collector, &server, "verify").await;
        let receive = child(&collector, &server, "receive").await;
        assert_eq!(["hookwright.receiver.name", "hookwright.plugin.name"].map(|name| receive.say(name)), ["invokes", "invokes"]);
        let invoked = child(&collector, &receive, "attempt").await;
        let sent = child(&collector, &invoked, "POST").await;
        child(&collector, &server, "commit").await;
        let accept = child(&collector, &server, "accept").await;
        let heard = child(&collector, &accept, "attempt").await;
        let heard = child(&collector, &heard, "POST").await;
        for request in [endpoint.next_request().await, endpoint.next_request().await] {
            let span = if request.path == "/asked" { &sent } else { &heard };
            assert_eq!(told(&request), (TRACE.to_owned(), span.id.clone(), "01".to_owned()), "{}", request.path);
        }
        let call = client.last_call("invokes").await;
        assert!(call["trace"]["traceparent"].as_str().is_some_and(|text| text.contains(&server.id)), "{call}");
        // A refused call has a span that says so.
        client.with_token(None).send(Method::POST, &path, &headers[..1], "{}").await;
        let refused = collector.span("a refused verification", |span| span.name == "verify" && span.is_error).await;
        assert_eq!(refused.say("error.type"), "call_unverified");
        let spans = format!("{:?}", collector.spans());
        assert!(!spans.contains(&code) && !spans.contains("canary"), "no code and no credential");
        host.stop().await;
    });
}

#[test]
fn an_invoke_takes_part_in_the_trace_of_whoever_asks() {
    run(async {
        let collector = Collector::start().await;
        let host = traced(&collector).await;
        let endpoint = Endpoint::start().await;
        host.client.webhook("asked", json!({ "request": { "url": endpoint.url("/") } })).await;
        let headers = [("traceparent", &*caller()), ("content-type", "application/json")];
        let answered = host.client.send(Method::POST, "/v1/webhooks/asked/invoke", &headers, "{}").await;
        assert_eq!(answered.status, 200, "{}", answered.text());
        let server = collector.span("the request", |span| span.name == "POST /v1/webhooks/{name}/invoke").await;
        let attempt = child(&collector, &server, "attempt").await;
        let sent = child(&collector, &attempt, "POST").await;
        assert_eq!(told(&endpoint.next_request().await), (TRACE.to_owned(), sent.id, "01".to_owned()));
        child(&collector, &attempt, "settle").await;
        host.stop().await;
    });
}

#[test]
fn a_trace_begins_where_nobody_sent_one_or_none_that_is_valid() {
    run(async {
        let collector = Collector::start().await;
        let host = traced(&collector).await;
        let endpoint = Endpoint::start().await;
        host.client.webhook("new", json!({ "selectors": ["traces.new"], "request": { "url": endpoint.url("/") } })).await;
        let wrong = format!("00-{TRACE}-{SPAN}-01-more");
        for headers in [&[][..], &[("traceparent", &*wrong), ("tracestate", "a=1")]] {
            post(&host.client, headers, json!({ "trigger": "traces.new" })).await;
            let request = endpoint.next_request().await;
            let (trace, span, flags) = told(&request);
            assert!(trace != TRACE && flags == "01" && request.header("tracestate").is_empty(), "{trace} {flags}");
            let server = collector.named(&trace, "POST /v1/events", 1).await.remove(0);
            assert_eq!(server.parent, "", "the first of its trace");
            assert_eq!(collector.named(&trace, "POST", 1).await[0].id, span);
        }
        // If the caller does not record a trace, neither do we; the endpoint still gets its identifier.
        let quiet = format!("00-{}-{SPAN}-00", "c".repeat(32));
        post(&host.client, &[("traceparent", &quiet)], json!({ "trigger": "traces.new" })).await;
        assert_eq!(told(&endpoint.next_request().await), ("c".repeat(32), SPAN.to_owned(), "00".to_owned()));
        host.stop().await;
        assert!(collector.spans().iter().all(|span| span.trace != "c".repeat(32)));
    });
}

#[test]
fn an_event_that_says_where_it_was_made_keeps_its_trace_in_a_batch() {
    run(async {
        let collector = Collector::start().await;
        let host = traced(&collector).await;
        let endpoint = Endpoint::start().await;
        let batch = json!({ "seconds": 600, "events_max": 2 });
        host.client.webhook("made", json!({ "selectors": ["traces.made"], "request": { "url": endpoint.url("/") }, "batch": batch })).await;
        let own = |digit: &str| json!({ "trigger": "traces.made", "attributes": { "traceparent": format!("00-{}-{SPAN}-01", digit.repeat(32)) } });
        let (status, answer) = host.client.post("/v1/events", &json!([own("a"), own("b")])).await;
        assert_eq!(status, 202, "{answer}");
        assert_eq!(told(&endpoint.next_request().await).0, "a".repeat(32));
        let attempt = collector.named(&"a".repeat(32), "attempt", 1).await.remove(0);
        let other = collector.named(&"b".repeat(32), "accept", 1).await.remove(0);
        assert_eq!((attempt.links, other.parent.as_str()), (vec![other.id], SPAN));
        host.stop().await;
    });
}

#[test]
fn without_a_collector_a_callers_trace_is_passed_on_and_none_is_made_up() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let (name, word) = (unique("passed"), unique("traces.passed"));
        client.webhook(&name, json!({ "selectors": [word], "request": { "url": endpoint.url("/") } })).await;
        post(client, &[("traceparent", &caller()), ("tracestate", "a=1")], json!({ "trigger": word })).await;
        let request = endpoint.next_request().await;
        assert_eq!((request.header("traceparent"), request.header("tracestate")), (&*caller(), "a=1"));
        let event = post(client, &[], json!({ "trigger": word })).await;
        let request = endpoint.next_request().await;
        assert!(!request.headers.contains_key("traceparent") && !request.headers.contains_key("tracestate"));
        assert!(event["deliveries"][0].get("trace").is_none(), "{event}");
        // A header that an admin wrote is kept.
        let own = json!({ "selectors": [word], "request": { "url": endpoint.url("/"), "headers": { "traceparent": "mine" } } });
        client.webhook(&name, own).await;
        post(client, &[("traceparent", &caller())], json!({ "trigger": word })).await;
        assert_eq!(endpoint.next_request().await.header("traceparent"), "mine");
    });
}

#[test]
fn endpoints_are_told_of_no_trace_where_the_operator_says_so() {
    run(async {
        let collector = Collector::start().await;
        let host = TestHost::with(Options { otlp: Some(to(&collector.url())), pass_trace_on: false, ..Options::default() }).await;
        let endpoint = Endpoint::start().await;
        host.client.webhook("untold", json!({ "selectors": ["traces.untold"], "request": { "url": endpoint.url("/") } })).await;
        post(&host.client, &[("traceparent", &caller())], json!({ "trigger": "traces.untold" })).await;
        assert!(!endpoint.next_request().await.headers.contains_key("traceparent"));
        collector.named(TRACE, "attempt", 1).await;
        host.stop().await;
    });
}

/// The value of a counter; 0 if it was not counted yet.
async fn counted(client: &Client, sample: &str) -> u64 {
    let text = client.send(Method::GET, "/metrics", &[], "").await.text();
    let line = text.lines().find_map(|line| line.strip_prefix(sample)).unwrap_or("0").trim();
    line.parse().unwrap_or_else(|_| panic!("{sample} is {line}"))
}

const NOT_TAKEN: &str = "hookwright_trace_spans_dropped_total{reason=\"not_taken\"}";
const QUEUE_FULL: &str = "hookwright_trace_spans_dropped_total{reason=\"queue_full\"}";

#[test]
fn a_collector_that_hangs_holds_up_nothing_and_what_is_lost_is_counted() {
    run(async {
        let (collector, gate) = (Collector::start().await, Gate::new());
        collector.endpoint.always(Script::status(200).behind(&gate));
        let mut limits = Limits::default();
        limits.otlp.queue_max = 4;
        limits.otlp.export_time_max = Duration::from_secs(1);
        let host = TestHost::with(Options { otlp: Some(to(&collector.url())), limits, ..Options::default() }).await;
        let endpoint = Endpoint::start().await;
        host.client.webhook("on", json!({ "selectors": ["traces.on"], "request": { "url": endpoint.url("/") } })).await;
        eventually("spans that found no room", async || {
            let event = post(&host.client, &[], json!({ "trigger": "traces.on" })).await;
            assert_eq!(event["deliveries"][0]["state"], "delivered", "{event}");
            (counted(&host.client, QUEUE_FULL).await > 0).then_some(())
        })
        .await;
        eventually("spans that were not taken in time", async || (counted(&host.client, NOT_TAKEN).await > 0).then_some(())).await;
        // The host stops all the same.
        host.stop().await;
    });
}

#[test]
fn a_collector_that_is_not_there_changes_nothing() {
    run(async {
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", closed.local_addr().expect("an address"));
        drop(closed);
        let mut limits = Limits::default();
        limits.otlp.export_time_max = Duration::from_secs(1);
        let host = TestHost::with(Options { otlp: Some(to(&url)), limits, ..Options::default() }).await;
        let endpoint = Endpoint::start().await;
        host.client.webhook("on", json!({ "selectors": ["traces.gone"], "request": { "url": endpoint.url("/") } })).await;
        let event = post(&host.client, &[], json!({ "trigger": "traces.gone" })).await;
        assert_eq!(event["deliveries"][0]["state"], "delivered", "{event}");
        eventually("spans that were not taken", async || (counted(&host.client, NOT_TAKEN).await > 0).then_some(())).await;
        host.stop().await;
    });
}

#[test]
fn what_was_recorded_last_is_sent_before_the_host_ends() {
    run(async {
        let collector = Collector::start().await;
        let host = traced(&collector).await;
        let endpoint = Endpoint::start().await;
        host.client.webhook("last", json!({ "selectors": ["traces.last"], "request": { "url": endpoint.url("/") } })).await;
        post(&host.client, &[("traceparent", &caller())], json!({ "trigger": "traces.last" })).await;
        host.stop().await;
        let names: Vec<_> = collector.spans().into_iter().filter(|span| span.trace == TRACE).map(|span| span.name).collect();
        for name in ["POST /v1/events", "accept", "match", "attempt", "build", "POST", "settle"] {
            assert!(names.iter().any(|known| known == name), "{name} is not in {names:?}");
        }
    });
}

#[test]
fn a_collector_behind_tls_is_told_who_we_are() {
    run(async {
        let (collector, authority) = (Collector::start().await, Authority::new());
        let front = TlsFront::start(&authority.server(&["localhost"]), collector.endpoint.address).await;
        let otlp = Otlp {
            headers: vec![
                ("x-key".parse().expect("a name"), HeaderSource::Stored("$secret:otlp".parse().expect("a reference"))),
                ("x-given".parse().expect("a name"), HeaderSource::Given(Secret::new("from a file"))),
            ],
            ca_certificates: Some(authority.pem.clone()),
            ..to(&format!("https://localhost:{}", front.port))
        };
        let host = TestHost::with(Options { otlp: Some(otlp), ..Options::default() }).await;
        host.client.secret("otlp", "who we are").await;
        let post = eventually("spans", async || {
            host.client.get("/v1/webhooks").await;
            collector.posted().pop()
        });
        let post = post.await;
        assert_eq!((post.header("x-key"), post.header("x-given")), ("who we are", "from a file"));
        host.stop().await;
    });
}

/// The lines of a host's log with this text, each as JSON.
fn lines(host: &Process, says: &str) -> Vec<Value> {
    let lines = host
        .log()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect::<Vec<_>>();
    lines.into_iter().filter(|line| line["fields"]["message"] == says).collect()
}

#[test]
fn each_outcome_is_one_line_of_the_log_with_its_trace() {
    run(async {
        let directory = data_directory();
        let host = Process::serve_under(&directory.path().join("data"), &[], &[("HOOKWRIGHT_LOG_FORMAT", "json")]).await;
        let endpoint = Endpoint::start().await;
        let hook = json!({ "selectors": ["traces.logged"], "request": { "url": endpoint.url("/") }, "retry": { "attempts": 1, "gap_seconds": 1 } });
        host.client.webhook("logged", hook).await;
        let code = host.client.receiver("logs", json!({ "reply": { "message": "ok" } })).await;
        let event = post(&host.client, &[("traceparent", &caller())], json!({ "trigger": "traces.logged" })).await;
        endpoint.always(Script::status(500));
        post(&host.client, &[], json!({ "trigger": "traces.logged" })).await;
        let path = format!("/api/v1/webhook/{code}");
        host.client.with_token(None).send(Method::GET, &path, &[("traceparent", &caller())], "").await;
        let delivery = &event["deliveries"][0]["id"];
        let delivered = eventually("the line", async || lines(&host, "delivered").pop()).await;
        assert_eq!((&delivered["fields"]["trace_id"], &delivered["fields"]["delivery"]), (&json!(TRACE), delivery));
        let failed = eventually("the line", async || lines(&host, "not delivered").pop()).await;
        assert_eq!((failed["fields"].get("trace_id"), &failed["fields"]["kind"]), (None, &json!("http_status")));
        let answered = eventually("the line", async || lines(&host, "answered").pop()).await;
        assert_eq!(
            (&answered["fields"]["trace_id"], &answered["fields"]["receiver"], &answered["fields"]["status"]),
            (&json!(TRACE), &json!("logs"), &json!(200))
        );
        assert_eq!([lines(&host, "delivered").len(), lines(&host, "not delivered").len(), lines(&host, "answered").len()], [1, 1, 1]);
        assert!(host.terminate().await.success());

        let host = Process::serve_under(&directory.path().join("text"), &[], &[("HOOKWRIGHT_LOG_FORMAT", "text")]).await;
        host.client.webhook("logged", json!({ "selectors": ["traces.logged"], "request": { "url": endpoint.url("/") } })).await;
        endpoint.always(Script::status(200));
        post(&host.client, &[("traceparent", &caller())], json!({ "trigger": "traces.logged" })).await;
        eventually("the line", async || {
            host.log().lines().any(|line| line.contains("delivered delivery=") && line.contains(TRACE)).then_some(())
        })
        .await;
        assert!(!host.log().contains('\u{1b}'), "colours in a file");
        assert!(host.terminate().await.success());
    });
}
