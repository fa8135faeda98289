//! When a session counts: an attempt sees the session as it was when the attempt first needed it. A later change counts from the next
//! attempt on.

use std::time::Duration;

use hookwright_tests::{Endpoint, Gate, Script, TestHost, run, shared, unique, wait::eventually};
use serde_json::json;

/// Sends the parameter `p` as it is at the build, and returns it as it is when the answer is read.
const SEES: &str = "export function transform() { return { body: { built: hookwright.parameters.get('p') } } }\n\
                    export function answers() { return { output: { read: hookwright.parameters.get('p') } } }";

#[test]
fn a_parameter_that_changes_between_building_and_the_answer_counts_from_the_next_attempt_on() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let (name, gate) = (unique("counts"), Gate::new());
        client.script(&name, SEES).await;
        let auth = json!({ "kind": "headers", "headers": { "x-p": "$session.params.p" } });
        client
            .webhook(&name, json!({ "transform": name, "auth": auth, "request": { "url": endpoint.url("/?p=$session.params.p") } }))
            .await;
        endpoint.next(Script::status(200).behind(&gate));
        let invoked = async { client.invoke(&name, json!({ "session": name, "parameters": { "p": "before" } })).await };
        let changed = async {
            let sent = endpoint.next_request().await;
            assert_eq!((sent.path.as_str(), sent.header("x-p"), &sent.json()["built"]), ("/?p=before", "before", &json!("before")));
            let (status, changed) = client.patch(&format!("/v1/sessions/{name}/parameters"), &json!({ "p": "after" })).await;
            assert_eq!(status, 200, "{changed}");
            gate.open();
        };
        let (invoked, ()) = tokio::join!(invoked, changed);
        assert_eq!(invoked["output"], json!({ "read": "before" }), "{invoked}");
        let invoked = client.invoke(&name, json!({ "session": name })).await;
        let sent = endpoint.next_request().await;
        assert_eq!((sent.path.as_str(), sent.header("x-p"), &sent.json()["built"]), ("/?p=after", "after", &json!("after")));
        assert_eq!(invoked["output"], json!({ "read": "after" }), "{invoked}");
    });
}

#[test]
fn a_stored_request_is_sent_again_as_it_was_built_with_headers_of_the_session_as_it_is() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        client.script("sees", SEES).await;
        let auth = json!({ "kind": "headers", "headers": { "x-p": "$session.params.p" } });
        let document = json!({ "selectors": ["again"], "transform": "sees", "auth": auth, "retry": { "schedule_seconds": [10] }, "request": { "url": endpoint.url("/") } });
        client.webhook("again", document).await;
        endpoint.next(Script::status(503));
        let (status, posted) =
            client.post("/v1/events", &json!({ "trigger": "again", "session": "s", "parameters": { "p": "before" } })).await;
        assert_eq!(status, 202, "{posted}");
        let sent = endpoint.next_request().await;
        assert_eq!((sent.header("x-p"), &sent.json()["built"]), ("before", &json!("before")));
        let id = posted["id"].as_str().expect("an id");
        let delivery = async |state: &str| {
            eventually(&format!("the delivery is {state}"), || async {
                let shown = client.look(&format!("/v1/events/{id}")).await["deliveries"][0].clone();
                (shown["state"] == state).then_some(shown)
            })
            .await
        };
        delivery("waiting").await;
        let (status, changed) = client.patch("/v1/sessions/s/parameters", &json!({ "p": "after" })).await;
        assert_eq!(status, 200, "{changed}");
        host.advance(Duration::from_secs(12));
        let sent = endpoint.next_request().await;
        assert_eq!((sent.header("x-p"), &sent.json()["built"]), ("after", &json!("before")));
        let delivered = delivery("delivered").await;
        let shown = client.delivery(delivered["id"].as_str().expect("an id")).await;
        assert_eq!(shown["attempt_log"][1]["output"], json!({ "read": "after" }), "{shown}");
    });
}
