//! Calls that were answered 200 and whose receiver failed for good: they are run again after the repair, and none has its effects twice.

use std::collections::BTreeMap;

use futures::{StreamExt, stream};
use hookwright_tests::{Client, Endpoint, Gate, Process, Script, TestHost, data_directory, run, shared, unique, wait::eventually};
use http::Method;
use serde_json::{Value, json};

/// Calls of the broken receiver.
const CALLS: usize = 500;
const BROKEN: &str = "export function receive(call) { throw new Rejected('no such column') }";
const MENDED: &str = "export function receive(call) { hookwright.emit({ trigger: 'again.done', data: call.query }); return 'done' }";

/// Number of a receiver's calls in a state.
async fn count(client: &Client, receiver: &str, state: &str) -> usize {
    let mut path = format!("/v1/calls?receiver={receiver}&state={state}&limit=500");
    let mut count = 0;
    loop {
        let page = client.look(&path).await;
        count += page["data"].as_array().map_or(0, Vec::len);
        let Some(next) = page["next"].as_str() else { return count };
        path = format!("/v1/calls?receiver={receiver}&state={state}&limit=500&after={next}");
    }
}

/// How often each call's effect was committed: the number of events `again.done`, by the call's number.
async fn effects(client: &Client) -> BTreeMap<String, usize> {
    let (mut effects, mut after) = (BTreeMap::new(), String::new());
    loop {
        let page = client.look(&format!("/v1/events?limit=500{after}")).await;
        for event in page["data"].as_array().expect("events").iter().filter(|event| event["trigger"] == "again.done") {
            *effects.entry(event["data"]["n"].as_str().expect("a number").to_owned()).or_default() += 1;
        }
        let Some(next) = page["next"].as_str() else { return effects };
        after = format!("&after={next}");
    }
}

async fn broken_receiver(client: &Client, name: &str, more: Value) -> String {
    client.script(name, BROKEN).await;
    client.grant(name, json!({ "triggers": ["again.*"] })).await;
    let mut document = json!({ "plugin": name, "mode": "async" });
    for (key, value) in more.as_object().expect("an object") {
        document[key] = value.clone();
    }
    client.receiver(name, document).await
}

/// Runs all rejected calls again, in several requests, and returns their number.
async fn rerun_all(client: &Client, receiver: &str) -> Option<u64> {
    let (mut calls, mut after) = (0, Value::Null);
    loop {
        let body = json!({ "receiver": receiver, "state": "rejected", "after": after });
        let sent = client.try_send(Method::POST, "/v1/calls/rerun", &[("content-type", "application/json")], body.to_string()).await;
        let answer = sent.ok().filter(|answer| answer.status == 200)?.json();
        calls += answer["calls"].as_u64().expect("a count");
        after = answer["next"].clone();
        if after.is_null() {
            return Some(calls);
        }
    }
}

#[test]
fn five_hundred_calls_of_a_broken_receiver_are_all_run_once_it_is_mended_and_none_twice_through_kills() {
    run(async {
        let directory = data_directory();
        let data = directory.path().join("data");
        let mut process = Process::serve(&data).await;
        let client = &process.client;
        let code = broken_receiver(client, "again", json!({})).await;
        let statuses = stream::iter(0..CALLS).map(|n| {
            let (client, code) = (client.clone(), code.clone());
            async move { client.call(&code, &format!("?n={n}"), "").await.status }
        });
        let statuses: Vec<_> = statuses.buffer_unordered(8).collect().await;
        assert_eq!(statuses, vec![200; CALLS]);
        eventually("all have failed for good", || async { (count(client, "again", "rejected").await == CALLS).then_some(()) }).await;

        client.script("again", MENDED).await;
        let looked = client.look("/v1/calls/rerun?receiver=again&state=rejected").await;
        assert_eq!((&looked["calls"], &looked["skipped"]), (&json!(CALLS), &json!(0)), "{looked}");
        assert_eq!(count(client, "again", "rejected").await, CALLS, "a look changes nothing");

        for kill in 0..3 {
            let asking = process.client.clone();
            let asked = tokio::spawn(async move { rerun_all(&asking, "again").await });
            // Kill in the middle: some calls are done, and at the first kill perhaps not all reruns are requested yet.
            let at_least = 1 + kill * 100;
            eventually("some are done", || async { (count(&process.client, "again", "done").await >= at_least).then_some(()) }).await;
            process.kill().await;
            let _ = asked.await.expect("it ends with the host");
            process = Process::serve(&data).await;
        }
        rerun_all(&process.client, "again").await.expect("answered");
        eventually("all are done", || async { (count(&process.client, "again", "done").await == CALLS).then_some(()) }).await;
        let expected: BTreeMap<_, _> = (0..CALLS).map(|n| (n.to_string(), 1)).collect();
        assert_eq!(effects(&process.client).await, expected, "each was done once");
        assert_eq!(rerun_all(&process.client, "again").await, Some(0), "what was done is not run again");
        let call = process.client.last_call("again").await;
        let rerun = &call["reruns"][0];
        assert_eq!(
            (&rerun["by"], &rerun["runs_before"], &rerun["failure"]["kind"]),
            (&json!("admin"), &json!(1), &json!("plugin_rejected")),
            "{call}"
        );
        process.kill().await;
    });
}

/// Waits until a call is in this state, and returns it.
async fn settled(client: &Client, id: &str, state: &str) -> Value {
    eventually(&format!("{id} is {state}"), || async {
        let call = client.look(&format!("/v1/calls/{id}")).await;
        (call["state"] == state).then_some(call)
    })
    .await
}

#[test]
fn a_call_is_run_again_by_another_version_and_only_once_by_what_makes_it_one() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let code = broken_receiver(client, "again", json!({ "once": "$.query.n" })).await;
        for n in [1, 2] {
            assert_eq!(client.call(&code, &format!("?n={n}"), "").await.status, 200);
        }
        eventually("both have failed", || async { (count(client, "again", "rejected").await == 2).then_some(()) }).await;
        let calls = client.look("/v1/calls?receiver=again").await;
        let id_of = |n: &str| {
            let call = calls["data"].as_array().into_iter().flatten().find(|call| call["request"]["query"][0][1] == n);
            call.and_then(|call| call["id"].as_str()).expect("a call").to_owned()
        };
        let (first, second) = (id_of("1"), id_of("2"));
        // The repaired version is the second; the broken one is active.
        client.script("again", MENDED).await;
        assert_eq!(client.post("/v1/plugins/again/activate", &json!({ "version": 1 })).await.0, 200);
        let (status, refused) = client.post(&format!("/v1/calls/{first}/rerun"), &json!({ "version": 9 })).await;
        assert_eq!(
            (status, &refused["detail"]),
            (409, &json!("the call is not run again: the plugin `again` has no version 9 that can be used"))
        );
        let (status, pending) = client.post(&format!("/v1/calls/{first}/rerun"), &json!({ "version": 2 })).await;
        assert_eq!((status, &pending["state"]), (200, &json!("pending")), "{pending}");
        let done = settled(client, &first, "done").await;
        assert_eq!((&done["plugin"]["version"], &done["reruns"][0]["version"]), (&json!(2), &json!(2)), "{done}");
        let (status, refused) = client.post(&format!("/v1/calls/{first}/rerun"), &json!({})).await;
        assert_eq!((status, &refused["detail"]), (409, &json!("the call is not run again: it was done")));

        // The second call was sent again meanwhile and succeeded, so its rerun is the same call.
        assert_eq!(client.post("/v1/plugins/again/activate", &json!({ "version": 2 })).await.0, 200);
        assert_eq!(client.call(&code, "?n=2", "").await.status, 200);
        eventually("it is done", || async { (count(client, "again", "done").await == 2).then_some(()) }).await;
        assert_eq!(client.post(&format!("/v1/calls/{second}/rerun"), &json!({})).await.0, 200);
        let repeated = settled(client, &second, "rejected").await;
        assert_eq!(repeated["failure"]["kind"], "call_repeated", "{repeated}");
        assert_eq!(effects(client).await, BTreeMap::from([("1".to_owned(), 1), ("2".to_owned(), 1)]));
        let audit = client.look("/v1/audit?kind=call").await;
        let reruns = audit["data"].as_array().into_iter().flatten().filter(|entry| entry["action"] == "rerun");
        assert_eq!(reruns.count(), 2, "{audit}");
    });
}

#[test]
fn what_was_not_accepted_is_not_run_again() {
    run(async {
        let client = &shared().await.client;
        let name = unique("sync");
        client.script(&name, BROKEN).await;
        let code = client.receiver(&name, json!({ "plugin": name })).await;
        assert_eq!(client.call(&code, "?n=1", "").await.status, 400);
        let call = client.last_call(&name).await;
        let path = format!("/v1/calls/{}/rerun", call["id"].as_str().expect("an id"));
        let (status, refused) = client.post(&path, &json!({})).await;
        assert_eq!(status, 409, "{refused}");
        assert!(refused["detail"].as_str().is_some_and(|detail| detail.contains("is not `async`")), "{refused}");
        let looked = client.look(&format!("/v1/calls/rerun?receiver={name}&state=rejected")).await;
        assert_eq!((&looked["calls"], &looked["skipped"]), (&json!(0), &json!(1)), "{looked}");

        let name = unique("signed");
        client.secret(&name, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").await;
        let document = json!({ "reply": { "message": "taken" }, "mode": "async", "verify": { "scheme": "standard-webhooks", "secret": format!("$secret:{name}") } });
        let code = client.receiver(&name, document).await;
        assert_eq!(client.call(&code, "", "{}").await.status, 401);
        let call = client.last_call(&name).await;
        let (status, refused) = client.post(&format!("/v1/calls/{}/rerun", call["id"].as_str().expect("an id")), &json!({})).await;
        assert_eq!((status, &refused["detail"]), (409, &json!("the call is not run again: it could not be verified")));
        assert_eq!(client.get("/v1/calls/rerun?receiver=nobody").await.0, 404);
        let (status, refused) = client.post("/v1/calls/rerun", &json!({ "receiver": name, "state": "done" })).await;
        assert_eq!((status, &refused["errors"][0]["pointer"]), (400, &json!("/state")), "{refused}");
    });
}

#[test]
fn a_call_whose_code_was_revoked_before_it_could_run_is_run_all_the_same() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        client.script("later", "export function receive(call) { throw new RetryLater('the database is down') }").await;
        let code = client.receiver("later", json!({ "plugin": "later", "mode": "async" })).await;
        assert_eq!(client.call(&code, "?n=1", "").await.status, 200);
        let id = eventually("it was run once", || async {
            let call = client.last_call("later").await;
            (call["runs"] == 1).then(|| call["id"].as_str().expect("an id").to_owned())
        })
        .await;
        let codes = client.look("/v1/receivers/later/codes").await;
        assert_eq!(client.delete(&format!("/v1/receivers/later/codes/{}", codes["data"][0]["id"].as_str().expect("an id"))).await.0, 204);
        client.script("later", "export function receive(call) { return 'done' }").await;
        settled(client, &id, "done").await;
    });
}

/// Makes a call that is answered 200, and returns its identifier once it has been run and waits for another run.
async fn waits_after_a_run(client: &Client, receiver: &str, code: &str, query: &str) -> String {
    assert_eq!(client.call(code, query, "").await.status, 200);
    eventually("it was run", || async {
        let call = client.last_call(receiver).await;
        (call["state"] == "pending" && call["failure"].is_object()).then(|| call["id"].as_str().expect("an id").to_owned())
    })
    .await
}

#[test]
fn a_call_whose_first_run_takes_long_is_not_run_again_beside_it() {
    run(async {
        let (host, endpoint, gate) = (TestHost::start().await, Endpoint::start().await, Gate::new());
        let client = &host.client;
        endpoint.always(Script::status(200).behind(&gate));
        client.webhook("slow", json!({ "request": { "url": endpoint.url("/") } })).await;
        client.grant("long", json!({ "webhooks": ["slow"] })).await;
        let source = "export function receive(call) {\n  if (call.query.n === '2') throw new Rejected('no');\n  \
             return hookwright.invoke('slow').delivered ? 'done' : 'not done';\n}";
        client.script("long", source).await;
        let code = client.receiver("long", json!({ "plugin": "long", "mode": "async" })).await;
        assert_eq!(client.call(&code, "?n=1", "").await.status, 200);
        let first = client.last_call("long").await["id"].as_str().expect("an id").to_owned();
        eventually("its webhook is invoked", || async { (endpoint.seen().len() == 1).then_some(()) }).await;
        // Less than the duration of a lease.
        host.advance(std::time::Duration::from_secs(90));
        // A rerun makes the host look at all waiting calls.
        assert_eq!(client.call(&code, "?n=2", "").await.status, 200);
        let second = client.last_call("long").await["id"].as_str().expect("an id").to_owned();
        settled(client, &second, "rejected").await;
        for runs in 2..5 {
            assert_eq!(client.post(&format!("/v1/calls/{second}/rerun"), &json!({})).await.0, 200);
            eventually("it was run again", || async { (client.look(&format!("/v1/calls/{second}")).await["runs"] == runs).then_some(()) })
                .await;
        }
        gate.open();
        settled(client, &first, "done").await;
        assert_eq!(endpoint.seen().len(), 1, "it was run once");
    });
}

#[test]
fn slow_calls_of_one_receiver_keep_no_other_receivers_calls_waiting() {
    run(async {
        let (directory, endpoint, gate) = (data_directory(), Endpoint::start().await, Gate::new());
        let data = directory.path().join("data");
        let process = Process::serve(&data).await;
        let client = &process.client;
        endpoint.always(Script::status(200).behind(&gate));
        client.webhook("slow", json!({ "request": { "url": endpoint.url("/") } })).await;
        client.grant("slow", json!({ "webhooks": ["slow"] })).await;
        client.script("slow", "export function receive() { return hookwright.invoke('slow').delivered ? 'done' : 'not done' }").await;
        let code = client.receiver("slow", json!({ "plugin": "slow", "mode": "async" })).await;
        for _ in 0..20 {
            assert_eq!(client.call(&code, "", "").await.status, 200);
        }
        process.kill().await;
        let begun = endpoint.seen().len();

        // No call had ended. They are run again, as many at once as the limit allows, and wait for the endpoint.
        let process = Process::serve(&data).await;
        let client = &process.client;
        eventually("they are run again", || async { (endpoint.seen().len() > begun).then_some(()) }).await;
        client.script("quick", "export function receive() { throw new RetryLater('not yet') }").await;
        let code = client.receiver("quick", json!({ "plugin": "quick", "mode": "async" })).await;
        let id = waits_after_a_run(client, "quick", &code, "").await;
        client.script("quick", "export function receive() { return 'done' }").await;
        settled(client, &id, "done").await;
        gate.open();
        eventually("the slow ones are done", || async { (count(client, "slow", "done").await == 20).then_some(()) }).await;
        process.kill().await;
    });
}

/// Number of calls that lack something: more than are read at a time.
const LACKING: usize = 101;

#[test]
fn calls_that_lack_a_grant_or_a_secret_wait_for_it_and_keep_no_other_waiting() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        // The receiver has a grant of each kind, but not the one it needs.
        client.grant("lacks", json!({ "triggers": ["other.*"], "secrets": ["other"] })).await;
        let lacks = |last: &str| {
            format!(
                "export function receive(call) {{\n  if (call.query.n === 'last') {last};\n  hookwright.hmacSha256('late', 'x');\n  \
                 hookwright.emit({{ trigger: 'again.done', data: call.query }});\n  return 'done';\n}}"
            )
        };
        client.script("lacks", &lacks("throw new RetryLater('not yet')")).await;
        let code = client.receiver("lacks", json!({ "plugin": "lacks", "mode": "async" })).await;
        let calls = stream::iter(0..LACKING).map(|n| {
            let (client, code) = (client.clone(), code.clone());
            async move { client.call(&code, &format!("?n={n}"), "").await.status }
        });
        let statuses: Vec<_> = calls.buffer_unordered(8).collect().await;
        assert_eq!(statuses, vec![200; LACKING]);
        let lacking = async |kind: &'static str| {
            eventually(&format!("all wait: {kind}"), || async {
                let calls = client.look("/v1/calls?receiver=lacks&state=pending&limit=500").await;
                let of_kind = |call: &&Value| call["failure"]["kind"] == kind && call["runs"] == 0;
                (calls["data"].as_array().into_iter().flatten().filter(of_kind).count() == LACKING).then_some(())
            })
            .await;
        };
        lacking("plugin_not_granted").await;
        let last = {
            host.advance(std::time::Duration::from_secs(1));
            waits_after_a_run(client, "lacks", &code, "?n=last").await
        };
        client.script("lacks", &lacks("return 'done'")).await;
        settled(client, &last, "done").await;

        // The host looks more often than a failing call would be run; a rerun causes each look.
        let broken = broken_receiver(client, "broken", json!({})).await;
        assert_eq!(client.call(&broken, "?n=0", "").await.status, 200);
        let id = client.last_call("broken").await["id"].as_str().expect("an id").to_owned();
        settled(client, &id, "rejected").await;
        for runs in 2..9 {
            assert_eq!(client.post(&format!("/v1/calls/{id}/rerun"), &json!({})).await.0, 200);
            eventually("it was run again", || async { (client.look(&format!("/v1/calls/{id}")).await["runs"] == runs).then_some(()) })
                .await;
        }
        lacking("plugin_not_granted").await;
        client.grant("lacks", json!({ "triggers": ["again.*"], "secrets": ["late"] })).await;
        lacking("secret_missing").await;
        client.secret("late", "key").await;
        eventually("all are done", || async { (count(client, "lacks", "done").await == LACKING + 1).then_some(()) }).await;
        let expected: BTreeMap<_, _> = (0..LACKING).map(|n| (n.to_string(), 1)).collect();
        assert_eq!(effects(client).await, expected, "each was done once");
    });
}
