//! Accepted events are delivered in spite of `kill -9`, and all data survives a restart.

use std::time::Duration;

use hookwright_tests::{
    Endpoint, Gate, Process, Random, Script, TestHost, Unruly, data_directory,
    guests::echo,
    process::signal,
    run,
    wait::{eventually, within},
};
use http::Method;
use serde_json::{Value, json};

/// How many times the host is killed and restarted; `tests/run crash N` sets it.
fn cycles() -> u32 {
    std::env::var("HOOKWRIGHT_TEST_CRASHES").ok().and_then(|count| count.parse().ok()).unwrap_or(5)
}

#[test]
fn an_event_that_was_answered_202_is_delivered_after_a_kill() {
    run(async {
        let directory = data_directory();
        let data = directory.path().join("data");
        let endpoint = Endpoint::start().await;
        let mut process = Process::serve(&data).await;
        process.client.webhook("kept", json!({ "selectors": ["kept.*"], "request": { "url": endpoint.url("/") } })).await;
        for cycle in 0..cycles() {
            // The endpoint holds its answer back, so no delivery was settled before the kill.
            let gate = Gate::new();
            endpoint.always(Script::status(200).behind(&gate));
            let events: Vec<_> = (0..5)
                .map(|n| json!({ "trigger": "kept.word", "id": format!("{cycle}-{n}"), "data": { "cycle": cycle, "n": n } }))
                .collect();
            let mut ids = Vec::new();
            for event in &events {
                let (status, accepted) = process.client.post("/v1/events", event).await;
                assert_eq!(status, 202, "{accepted}");
                ids.push(accepted["id"].as_str().expect("an id").to_owned());
            }
            process.kill().await;
            endpoint.always(Script::status(200));
            gate.open();
            process = Process::serve(&data).await;
            for (event, id) in events.iter().zip(&ids) {
                let delivery = eventually(&format!("{id} is delivered"), || async {
                    let shown = process.client.look(&format!("/v1/events/{id}")).await;
                    assert_eq!(shown["data"], event["data"]);
                    (shown["deliveries"][0]["state"] == "delivered").then(|| shown["deliveries"][0].clone())
                })
                .await;
                let arrived: Vec<_> = endpoint.seen().into_iter().filter(|request| request.json()["data"] == event["data"]).collect();
                assert!(!arrived.is_empty(), "{id} was never sent");
                // All copies of the request have the same identifier.
                assert!(arrived.iter().all(|request| request.header("webhook-id") == delivery["id"]), "{arrived:?}");
                // A repeated event is still recognised.
                let (status, again) = process.client.post("/v1/events", event).await;
                assert_eq!((status, &again["id"], &again["duplicate"]), (202, &json!(id), &json!(true)));
            }
        }
        process.kill().await;
    });
}

#[test]
fn a_kill_in_the_midst_of_many_posts_loses_nothing_that_was_answered() {
    run(async {
        let directory = data_directory();
        let data = directory.path().join("data");
        let (endpoint, mut random) = (Endpoint::start().await, Random::from_environment());
        let mut process = Process::serve(&data).await;
        process.client.webhook("many", json!({ "selectors": ["many.*"], "request": { "url": endpoint.url("/") } })).await;
        for cycle in 0..cycles() {
            // Post several events at once, and kill the host as soon as some are answered. The others are cut off wherever they are. Long
            // events fill the journal, so that some kills happen while the tree is written.
            let (length, kill_after) = if cycle % 2 == 0 { (0, 50) } else { (150_000, 50 + random.below(100)) };
            let (answered, mut answers) = tokio::sync::mpsc::unbounded_channel();
            let posters: Vec<_> = (0..4)
                .map(|poster| {
                    let (client, answered) = (process.client.clone(), answered.clone());
                    tokio::spawn(async move {
                        for n in 0.. {
                            let text = format!("{cycle}-{poster}-{n}-{}", "x".repeat(length));
                            let event = json!({ "trigger": "many.word", "data": text });
                            let posted = client
                                .try_send(Method::POST, "/v1/events", &[("content-type", "application/json")], event.to_string())
                                .await;
                            let Ok(answer) = posted else { return };
                            assert_eq!(answer.status, 202, "{}", answer.text());
                            drop(answered.send(answer.json()["id"].as_str().expect("an id").to_owned()));
                        }
                    })
                })
                .collect();
            drop(answered);
            let mut ids = Vec::new();
            for _ in 0..kill_after {
                ids.extend(within("answers", answers.recv()).await);
            }
            process.kill().await;
            for poster in posters {
                within("the end of a poster", poster).await.expect("no answer but 202");
            }
            while let Some(id) = answers.recv().await {
                ids.push(id);
            }
            process = Process::serve(&data).await;
            for id in &ids {
                eventually(&format!("{id} is delivered"), || async {
                    let shown = process.client.look(&format!("/v1/events/{id}")).await;
                    (shown["deliveries"][0]["state"] == "delivered").then_some(())
                })
                .await;
            }
            endpoint.forget().await;
        }
        process.kill().await;
    });
}

/// Waits until no delivery is on its way.
async fn quiet(process: &Process) {
    eventually("everything is over", || async {
        for state in ["waiting", "pending", "sending", "waiting"] {
            if process.client.look(&format!("/v1/deliveries?state={state}&limit=1")).await["data"] != json!([]) {
                return None;
            }
        }
        Some(())
    })
    .await;
}

#[test]
fn a_kill_while_endpoints_misbehave_leaves_everything_delivered_or_visibly_failed() {
    run(async {
        let mut random = Random::from_environment();
        let directory = data_directory();
        let data = directory.path().join("data");
        let unruly = Unruly::start(random.fork(), 60).await;
        // Nothing listens at this address any more.
        let refusing = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
        let mut process = Process::serve(&data).await;
        let retry = json!({ "attempts": 5, "gap_seconds": 1 });
        for (name, address) in [("unruly", unruly.address), ("refused", refusing)] {
            let request = json!({ "url": format!("http://{address}/") });
            let document = json!({ "selectors": [format!("{name}.*")], "retry": retry, "timeout_ms": 400, "limits": { "in_flight": 64 }, "request": request });
            process.client.webhook(name, document).await;
        }
        let (mut ids, mut kills) = (Vec::new(), 0);
        for cycle in 0..cycles() {
            let arrivals = unruly.seen().values().sum::<usize>() + random.below(15);
            for n in 0..20 {
                let trigger = if n == 0 && cycle % 10 == 0 { "refused.word" } else { "unruly.word" };
                let (status, accepted) = process.client.post("/v1/events", &json!({ "trigger": trigger, "data": n })).await;
                assert_eq!(status, 202, "{accepted}");
                ids.push(accepted["id"].as_str().expect("an id").to_owned());
            }
            // Kill at some moment during the deliveries.
            eventually("some arrive", || async { (unruly.seen().values().sum::<usize>() >= arrivals).then_some(()) }).await;
            process.kill().await;
            kills += 1;
            process = Process::serve(&data).await;
            if cycle % 10 == 9 {
                quiet(&process).await;
            }
        }
        quiet(&process).await;
        let (mut delivered, mut failed, mut explained, mut repeated) = (0, 0, 0, 0);
        let seen = unruly.seen();
        for id in &ids {
            let shown = process.client.look(&format!("/v1/events/{id}")).await;
            let delivery = &shown["deliveries"][0];
            match delivery["state"].as_str() {
                Some("delivered") => delivered += 1,
                Some("failed") => failed += 1,
                _ => panic!("{shown}"),
            }
            let (attempts, arrived) =
                (delivery["attempts"].as_u64().unwrap_or_default(), delivery["id"].as_str().and_then(|id| seen.get(id)));
            let arrived = arrived.copied().unwrap_or_default() as u64;
            assert!(arrived > 0 || delivery["state"] == "failed", "{shown}");
            // A delivery arrives once for each recorded attempt, and once more for a kill between sending and settling.
            repeated += arrived.saturating_sub(1);
            explained += arrived.min(attempts).saturating_sub(1);
            assert!(arrived <= attempts + kills, "{arrived} arrivals, {shown}");
        }
        println!(
            "{} events, {kills} kills: {delivered} delivered, {failed} failed; {repeated} arrivals beyond the first: {explained} retries, {} for a kill",
            ids.len(),
            repeated - explained
        );
        process.kill().await;
    });
}

#[test]
fn a_call_that_was_answered_has_its_events_after_a_kill() {
    run(async {
        let directory = data_directory();
        let data = directory.path().join("data");
        let process = Process::serve(&data).await;
        let code = process
            .client
            .receiver(
                "crm",
                json!({ "reply": { "message": "noted" }, "events": [{ "trigger": "customer.changed", "data": { "dos": "$.query.dos" } }] }),
            )
            .await;
        assert_eq!(process.client.call(&code, "?dos=1", "").await.status, 200);
        process.kill().await;
        let process = Process::serve(&data).await;
        let call = process.client.last_call("crm").await;
        assert_eq!(call["state"], "done");
        let event = process.client.look(&format!("/v1/events/{}", call["events"][1].as_str().expect("an event"))).await;
        assert_eq!((&event["trigger"], &event["data"]), (&json!("customer.changed"), &json!({ "dos": "1" })));
        // The code still works.
        assert_eq!(process.client.call(&code, "?dos=2", "").await.status, 200);
        process.kill().await;
    });
}

#[test]
fn an_async_call_that_was_answered_is_run_after_a_kill() {
    run(async {
        let directory = data_directory();
        let data = directory.path().join("data");
        let endpoint = Endpoint::start().await;
        let gate = Gate::new();
        endpoint.always(Script::status(200).behind(&gate));
        let process = Process::serve(&data).await;
        let client = &process.client;
        client.webhook("slow", json!({ "request": { "url": endpoint.url("/") } })).await;
        client.grant("later", json!({ "webhooks": ["slow"], "triggers": ["later.*"] })).await;
        client.script("later", "export function receive(call) { hookwright.invoke('slow'); hookwright.emit({ trigger: 'later.done', data: call.query }); return 'done' }").await;
        let code = client.receiver("later", json!({ "plugin": "later", "mode": "async", "timeout_ms": 30000 })).await;
        assert_eq!(client.call(&code, "?n=1", "").await.status, 200);
        // The call is being run.
        endpoint.next_request().await;
        process.kill().await;
        gate.open();
        let process = Process::serve(&data).await;
        let call = eventually("the call is done", || async {
            let call = process.client.last_call("later").await;
            (call["state"] == "done").then_some(call)
        })
        .await;
        let event = process.client.look(&format!("/v1/events/{}", call["events"][1].as_str().expect("an event"))).await;
        assert_eq!((&event["trigger"], &event["data"]), (&json!("later.done"), &json!({ "n": "1" })));
        process.kill().await;
    });
}

#[test]
fn what_an_administrator_wrote_is_there_after_a_kill() {
    run(async {
        let directory = data_directory();
        let data = directory.path().join("data");
        let endpoint = Endpoint::start().await;
        let process = Process::serve(&data).await;
        let client = &process.client;
        client.secret("key", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").await;
        client.plugin("echo", echo(4)).await;
        client
            .webhook(
                "hook",
                json!({ "transform": "echo", "signing": { "secrets": ["$secret:key"] }, "request": { "url": endpoint.url("/") } }),
            )
            .await;
        process.kill().await;
        let process = Process::serve(&data).await;
        let invoked = process.client.invoke("hook", json!({})).await;
        assert_eq!(invoked["state"], "delivered", "{invoked}");
        let received = endpoint.next_request().await;
        assert_eq!(received.json()["version"], "0004");
        received.verify("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("signed");
        process.kill().await;
    });
}

/// Whether this machine allows tracing; if not, why.
async fn can_trace() -> Result<(), String> {
    let tried = tokio::process::Command::new("strace").args(["-o", "/dev/null", "true"]).output().await;
    match tried {
        Err(error) => Err(format!("strace does not run ({error})")),
        Ok(output) if !output.status.success() => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Ok(_) => Ok(()),
    }
}

#[test]
fn the_journal_is_synced_before_a_202_is_written() {
    run(async {
        if let Err(why) = can_trace().await {
            println!("SKIPPED: nothing can be traced here: {why}");
            return;
        }
        let directory = data_directory();
        let data = directory.path().join("data");
        let trace = directory.path().join("trace");
        let calls = "trace=fsync,fdatasync,pwrite64,write,writev,sendto,sendmsg,read,readv,recvfrom,recvmsg";
        let strace = ["strace", "-f", "-y", "-s", "80", "-o", trace.to_str().expect("a path"), "-e", calls];
        let process = Process::serve_under(&data, &strace, &[]).await;
        for n in 0..3 {
            let (status, _) = process.client.post("/v1/events", &json!({ "trigger": "traced.word", "data": n })).await;
            assert_eq!(status, 202);
        }
        // The tracer ends with the traced process and has then written everything.
        let child = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", process.id())).expect("the traced process");
        signal(child.trim().parse().expect("a process id"), "KILL");
        within("the tracer's end", process.ended()).await;
        let trace = std::fs::read_to_string(&trace).expect("a trace");
        let step = |line: &str| match line {
            _ if line.contains("POST /v1/events") => Some("asked"),
            _ if line.contains("pwrite64(") && line.contains("/journal-") => Some("written"),
            _ if is_sync_of_journal(line) || is_resumed_sync(&trace, line) => Some("synced"),
            _ if line.contains("HTTP/1.1 202") => Some("answered"),
            _ => None,
        };
        let steps: Vec<_> = trace.lines().filter_map(step).collect();
        let answers: Vec<_> = (0..steps.len()).filter(|at| steps[*at] == "answered").collect();
        assert_eq!(answers.len(), 3, "{steps:?}");
        for answer in answers {
            let asked = steps[..answer].iter().rposition(|step| *step == "asked").expect("a request");
            let done = &steps[asked..answer];
            let written = done.iter().position(|step| *step == "written");
            let synced = done.iter().rposition(|step| *step == "synced");
            assert!(written.is_some() && synced > written, "a 202 before its event was written and synced: {done:?}");
        }
    });
}

/// `fdatasync(9</.../store/.../journal-0>) = 0`
fn is_sync_of_journal(line: &str) -> bool {
    (line.contains("fdatasync(") || line.contains("fsync(")) && line.contains("/journal-") && line.trim_end().ends_with("= 0")
}

/// The end of a sync of the journal that was interrupted in the trace by other threads' lines.
fn is_resumed_sync(trace: &str, line: &str) -> bool {
    let is_end = (line.contains("<... fdatasync resumed>") || line.contains("<... fsync resumed>")) && line.trim_end().ends_with("= 0");
    let thread = line.split_whitespace().next().unwrap_or_default();
    let begins = |other: &&str| other.starts_with(thread) && other.contains("sync(") && other.contains("unfinished");
    is_end
        && trace
            .lines()
            .take_while(|other| !std::ptr::eq(*other, line))
            .filter(begins)
            .last()
            .is_some_and(|begin| begin.contains("/journal-"))
}

#[test]
fn everything_written_is_there_after_a_restart() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        client.secret("key", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").await;
        client.plugin("echo", echo(1)).await;
        client.plugin("echo", echo(2)).await;
        client.post("/v1/plugins/echo/activate", &json!({ "version": 1 })).await;
        client.put("/v1/plugins/echo/config", &json!({ "label": "kept" })).await;
        client.grant("echo", json!({ "secrets": ["key"], "directory": true })).await;
        client.script("script", "export function receive() { return 'kept' }").await;
        client.webhook("hook", json!({ "selectors": ["kept.word"], "transform": "echo", "signing": { "secrets": ["$secret:key"] }, "request": { "url": endpoint.url("/") }, "bindings": { "b": "$.b" } })).await;
        let code = client.receiver("receiver", json!({ "plugin": "script" })).await;
        client.call(&code, "?k=v", "").await;
        endpoint.next(Script::json(json!({ "b": 5 })));
        let accepted = client.event(json!({ "trigger": "kept.word", "session": "s", "parameters": { "a": 1 }, "id": "1" })).await;
        endpoint.next_request().await;
        let (event, delivery) = (accepted["id"].as_str().expect("an id"), accepted["deliveries"][0]["id"].as_str().expect("an id"));
        // A delivery that waits for its next attempt.
        endpoint.next(Script::status(500));
        let waiting = client.event(json!({ "trigger": "kept.word", "data": "waits" })).await["deliveries"][0].clone();
        assert_eq!(waiting["state"], "waiting");
        let first = endpoint.next_request().await;

        let paths = [
            "/v1/webhooks/hook".to_owned(),
            "/v1/plugins/echo".into(),
            "/v1/plugins/script".into(),
            "/v1/receivers/receiver".into(),
            "/v1/receivers?limit=10".into(),
            "/v1/secrets".into(),
            "/v1/sessions/s/parameters".into(),
            format!("/v1/events/{event}"),
            format!("/v1/deliveries/{delivery}"),
            "/v1/calls".into(),
            "/v1/events".into(),
        ];
        let mut before = Vec::new();
        for path in &paths {
            before.push(kept(client.look(path).await));
        }
        let host = host.restart().await;
        let client = &host.client;
        for (path, before) in paths.iter().zip(&before) {
            assert_eq!(&kept(client.look(path).await), before, "{path}");
        }
        assert_eq!(client.look("/v1/receivers/receiver/codes").await["data"][0]["code"], code.as_str());
        assert_eq!(client.call(&code, "", "").await.json()["message"], "kept");
        // The waiting delivery is tried when it is due, with the same bytes and identifier.
        host.advance(Duration::from_secs(6));
        let second = endpoint.next_request().await;
        assert_eq!((second.header("webhook-id"), &second.body), (first.header("webhook-id"), &first.body));
        second.verify("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("signed by the secret that was kept");
        let body: Value = second.json();
        assert_eq!((&body["version"], &body["label"]), (&json!("0001"), &json!("kept")));
        // Sequence numbers continue.
        let next = client.event(json!({ "trigger": "kept.word" })).await;
        let seq = |event: &Value| event["seq"].as_u64();
        let shown = client.look(&format!("/v1/events/{}", next["id"].as_str().expect("an id"))).await;
        assert!(seq(&shown) > seq(&before[7]), "{shown}");
    });
}

#[test]
fn a_process_that_is_asked_to_stop_ends_what_is_in_flight() {
    run(async {
        let directory = data_directory();
        let data = directory.path().join("data");
        let endpoint = Endpoint::start().await;
        let gate = Gate::new();
        endpoint.next(Script::status(200).behind(&gate));
        let process = Process::serve(&data).await;
        process.client.webhook("slow", json!({ "selectors": ["slow.*"], "request": { "url": endpoint.url("/") } })).await;
        assert_eq!(process.client.post("/v1/events", &json!({ "trigger": "slow.word" })).await.0, 202);
        endpoint.next_request().await;
        let ended = tokio::spawn(process.terminate());
        gate.open();
        assert!(within("its end", ended).await.expect("it ends").success());
        let process = Process::serve(&data).await;
        let delivered = process.client.look("/v1/deliveries?webhook=slow").await["data"][0].clone();
        assert_eq!((&delivered["state"], &delivered["attempts"]), (&json!("delivered"), &json!(1)));
        process.kill().await;
    });
}

/// A document without what only this process knows about it.
fn kept(mut shown: Value) -> Value {
    if let Some(breaker) = shown.get_mut("breaker").and_then(Value::as_object_mut) {
        breaker.retain(|name, _| name == "version" || name == "watched_until");
    }
    shown
}
