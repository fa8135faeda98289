//! Calls of codes: who may call, what answers, and what a call leaves behind.

use std::time::Duration;

use hookwright_tests::{
    Answered, Client, Endpoint, TestHost, guests::guest, run, shared, signature::hmac_sha256, unique, wait::eventually,
};
use http::Method;
use serde_json::{Value, json};

/// The message of a narrowed reply, which must have this status.
#[track_caller]
fn message(answered: &Answered, status: u16) -> String {
    let body = answered.json();
    assert_eq!((answered.status, &body["status"]), (status, &json!(status)), "{body}");
    body["message"].as_str().expect("a message").to_owned()
}

/// A receiver with a declared reply, and its code.
async fn declared(client: &Client, name: &str, more: Value) -> String {
    let mut document = json!({ "reply": { "message": "client $call.parameters.refreshCustomer" }, "parameters": { "refreshCustomer": { "type": "integer" } } });
    for (key, value) in more.as_object().expect("an object") {
        document[key] = value.clone();
    }
    client.receiver(name, document).await
}

/// The events that came from a call, by trigger.
async fn events_of(client: &Client, call: &Value) -> Vec<Value> {
    let mut events = Vec::new();
    for id in call["events"].as_array().expect("events") {
        events.push(client.look(&format!("/v1/events/{}", id.as_str().expect("an id"))).await);
    }
    events
}

#[test]
fn a_declared_reply_answers_at_both_of_divaltos_addresses() {
    run(async {
        let client = &shared().await.client;
        let name = unique("divalto");
        let code = declared(client, &name, json!({ "profile": "divalto" })).await;
        let anybody = client.with_token(None);
        for path in [
            format!("/DhsDivaltoServiceDivaApiRest/api/v1/Webhook/{code}?refreshCustomer=1234"),
            format!("/123456/TEST1/api/v1/WebHook/{code}?refreshCustomer=1234"),
            format!("/api/v1/webhook/{code}?refreshCustomer=1234"),
        ] {
            for method in [Method::GET, Method::POST] {
                let answered = anybody.send(method, &path, &[], "").await;
                assert_eq!(message(&answered, 200), "client 1234", "{path}");
                assert_eq!(answered.header("content-type"), "application/json");
            }
        }
        let call = client.last_call(&name).await;
        assert_eq!(
            (&call["state"], &call["caller"], &call["request"]["parameters"]),
            (&json!("done"), &json!("crm"), &json!({ "refreshCustomer": 1234 }))
        );
        assert_eq!((&call["verification"], &call["reply"]["status"]), (&json!("not_asked"), &json!(200)));
        assert!(!call.to_string().contains(&code), "the code stands nowhere: {call}");
    });
}

#[test]
fn an_existing_code_can_be_brought_along() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        declared(client, "academy", json!({})).await;
        let sample = "MONWEBHOOKACADEMY123456789012363F53";
        let (status, made) = client.post("/v1/receivers/academy/codes", &json!({ "caller": "academy", "code": sample })).await;
        assert_eq!((status, &made["code"]), (201, &json!(sample)), "{made}");
        assert!(made["url"].as_str().is_some_and(|url| url.ends_with(&format!("/api/v1/webhook/{sample}"))), "{made}");
        assert_eq!(message(&client.call(sample, "?refreshCustomer=1", "").await, 200), "client 1");
        assert_eq!(client.post("/v1/receivers/academy/codes", &json!({ "caller": "other", "code": sample })).await.0, 409);
        assert_eq!(
            client.post("/v1/receivers/academy/codes", &json!({ "caller": "other", "code": "short" })).await.1["errors"][0]["pointer"],
            "/code"
        );
        let (_, prefixed) = client.post("/v1/receivers/academy/codes", &json!({ "caller": "crm", "prefix": "Crm" })).await;
        assert!(prefixed["code"].as_str().is_some_and(|code| code.starts_with("CRM") && code.len() == 27), "{prefixed}");
        let listed = client.look("/v1/receivers/academy/codes").await;
        assert_eq!(listed["data"].as_array().map(Vec::len), Some(3));
    });
}

#[test]
fn an_unknown_an_expired_and_a_revoked_code_are_answered_alike() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let code = declared(client, "guarded", json!({})).await;
        let ends = (jiff::Timestamp::now() + Duration::from_secs(3600)).to_string();
        let (_, expiring) = client.post("/v1/receivers/guarded/codes", &json!({ "caller": "soon", "expires": ends })).await;
        let expiring = expiring["code"].as_str().expect("a code").to_owned();
        assert_eq!(client.call(&expiring, "?refreshCustomer=1", "").await.status, 200);
        host.advance(Duration::from_secs(3601));
        let expired = client.call(&expiring, "?refreshCustomer=1", "").await;

        let listed = client.look("/v1/receivers/guarded/codes").await;
        let id = listed["data"].as_array().expect("codes").iter().find(|one| one["code"] == code.as_str()).expect("the code")["id"].clone();
        assert_eq!(client.delete(&format!("/v1/receivers/guarded/codes/{}", id.as_str().expect("an id"))).await.0, 204);
        let revoked = client.call(&code, "?refreshCustomer=1", "").await;
        let unknown = client.call("NOSUCHCODE2345678923456789234567", "?refreshCustomer=1", "").await;
        assert_eq!(unknown.status, 404);
        for other in [&expired, &revoked] {
            assert_eq!((other.status, &other.body), (unknown.status, &unknown.body));
            let names = |answered: &Answered| answered.headers.keys().map(ToString::to_string).collect::<Vec<_>>();
            assert_eq!(names(other), names(&unknown));
        }
        // Another code of the same receiver is not affected.
        let other = client.code("guarded").await;
        assert_eq!(client.call(&other, "?refreshCustomer=1", "").await.status, 200);
    });
}

#[test]
fn every_call_is_an_event_that_webhooks_can_select() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let name = unique("selected");
        client
            .webhook(
                &name,
                json!({ "selectors": [format!("code.{name}"), format!("declared.{name}")], "request": { "url": endpoint.url("/") } }),
            )
            .await;
        let events = json!([{ "trigger": format!("declared.{name}"), "data": { "dos": "$.query.dos", "all": ["$.parameters.refreshCustomer"], "plain": 7 } }]);
        let code = declared(client, &name, json!({ "events": events })).await;
        client.call(&code, "?refreshCustomer=5&dos=1", "").await;
        let mut received = [endpoint.next_request().await.json(), endpoint.next_request().await.json()];
        received.sort_by_key(|one| one["type"].to_string());
        assert_eq!(received[1]["type"], format!("declared.{name}"));
        assert_eq!(received[1]["data"], json!({ "dos": "1", "all": [5], "plain": 7 }));
        assert_eq!(received[0]["type"], format!("code.{name}"));
        assert_eq!(received[0]["data"]["query"], json!({ "refreshCustomer": "5", "dos": "1" }));
        let call = client.last_call(&name).await;
        let events = events_of(client, &call).await;
        assert_eq!(events.len(), 2);
        assert!(events.iter().all(|event| event["call"] == call["id"] && event["source"] == format!("receiver:{name}")), "{events:?}");
    });
}

#[test]
fn parameters_are_typed_required_strict_and_given_once() {
    run(async {
        let client = &shared().await.client;
        let name = unique("typed");
        let document = json!({
            "reply": { "message": "$call.parameters.n $call.parameters.list" }, "strict": true,
            "parameters": { "n": { "type": "integer", "required": true }, "list": { "type": "list" }, "flag": { "type": "boolean" } },
        });
        let code = client.receiver(&name, document).await;
        assert_eq!(message(&client.call(&code, "?n=7&list=a&list=b", "").await, 200), "7 [\"a\",\"b\"]");
        for (query, says) in [
            ("", "`n` is missing"),
            ("?n=x", "whole number"),
            ("?n=1&n=2", "2 times"),
            ("?n=1&other=2", "`other`"),
            ("?n=1&flag=yes", "true"),
        ] {
            let answered = client.call(&code, query, "").await;
            let text = message(&answered, 400);
            assert!(text.contains(says), "{query}: {text}");
            let call = client.last_call(&name).await;
            assert_eq!(
                (&call["state"], &call["failure"]["kind"], &call["events"]),
                (&json!("rejected"), &json!("call_invalid"), &json!([]))
            );
        }
        // Without `strict`, undeclared parameters are passed on, but still not twice.
        let loose = client.receiver(&unique("loose"), json!({ "reply": { "message": "ok" } })).await;
        assert_eq!(client.call(&loose, "?anything=1", "").await.status, 200);
        assert_eq!(client.call(&loose, "?anything=1&anything=2", "").await.status, 400);
    });
}

#[test]
fn methods_that_are_not_taken_and_bodies_too_long_are_refused() {
    run(async {
        let client = &shared().await.client;
        let code = declared(client, &unique("narrow"), json!({ "methods": ["POST"], "body_bytes_max": 10 })).await;
        let refused = client.call(&code, "", "").await;
        assert_eq!((refused.status, refused.header("allow")), (405, "POST"));
        assert_eq!(client.call(&code, "", "0123456789").await.status, 200);
        assert_eq!(client.call(&code, "", "01234567890").await.status, 413);
    });
}

#[test]
fn a_call_without_the_right_signature_is_401_and_recorded() {
    run(async {
        let client = &shared().await.client;
        let name = unique("signed");
        client.secret("inbound-key", "It's a Secret to Everybody").await;
        let document = json!({ "reply": { "message": "believed" }, "verify": { "scheme": "github", "secret": "$secret:inbound-key" } });
        let code = client.receiver(&name, document).await;
        let path = format!("/api/v1/webhook/{code}");
        let call = async |signature: &str| {
            client.with_token(None).send(Method::POST, &path, &[("x-hub-signature-256", signature)], "Hello, World!").await
        };
        let good = format!("sha256={}", hex::encode(hmac_sha256(b"It's a Secret to Everybody", b"Hello, World!")));
        assert_eq!(message(&call(&good).await, 200), "believed");
        let recorded = client.last_call(&name).await;
        assert_eq!(recorded["verification"], "verified");
        assert!(!recorded.to_string().contains(&good), "a signature is not written down: {recorded}");
        for bad in [good.replace('7', "8").as_str(), "sha256=00", ""] {
            let answered = call(bad).await;
            let text = message(&answered, 401);
            assert!(!text.contains("secret") && !text.contains("signature"), "{text}");
            let recorded = client.last_call(&name).await;
            assert_eq!(
                (&recorded["state"], &recorded["verification"], &recorded["failure"]["kind"]),
                (&json!("rejected"), &json!("failed"), &json!("call_unverified"))
            );
            assert_eq!(recorded["events"], json!([]));
        }
    });
}

#[test]
fn a_plugin_answers_emits_and_sets_and_all_of_it_is_kept() {
    run(async {
        let client = &shared().await.client;
        let name = unique("good");
        client.grant(&name, json!({ "triggers": ["guest.*"] })).await;
        client.plugin(&name, guest("good_receiver")).await;
        let code = client.receiver(&name, json!({ "plugin": name, "session": "$.body.session" })).await;
        let session = unique("session");
        let body = json!({ "session": session, "n": 1 });
        assert_eq!(message(&client.call(&code, "", &body.to_string()).await, 200), "received");
        assert_eq!(client.parameters(&session).await, json!({ "received": true }));
        let call = client.last_call(&name).await;
        assert_eq!((&call["session"], &call["plugin"]["name"], &call["plugin"]["version"]), (&json!(session), &json!(name), &json!(1)));
        assert!(call["log"]["lines"][0]["text"].as_str().is_some_and(|text| text.starts_with("emitted evt_")), "{call}");
        let events = events_of(client, &call).await;
        let triggers: Vec<_> = events.iter().map(|event| event["trigger"].as_str().unwrap_or_default()).collect();
        assert_eq!(triggers, [format!("code.{name}").as_str(), "guest.received"]);
        assert_eq!(
            (&events[1]["data"], &events[1]["attributes"], &events[1]["session"]),
            (&body, &json!({ "caller": "crm" }), &json!(session))
        );
    });
}

#[test]
fn what_a_trapped_or_rejecting_receiver_did_is_dropped() {
    run(async {
        let client = &shared().await.client;
        for (guest_name, status, state, kind) in [
            ("receiver_traps_after_emit", 500, "failed", "plugin_trapped"),
            ("rejects", 400, "rejected", "plugin_rejected"),
            ("retry_later", 503, "failed", "plugin_retry_later"),
        ] {
            let name = unique("dropped");
            client.grant(&name, json!({ "triggers": ["*"], "state": true })).await;
            client.plugin(&name, guest(guest_name)).await;
            let code = client.receiver(&name, json!({ "plugin": name, "session": "$.body.session" })).await;
            let session = unique("session");
            let answered = client.call(&code, "", &json!({ "session": session }).to_string()).await;
            let text = message(&answered, status);
            assert!(!text.contains("trap") && !text.contains("panic"), "the caller learns nothing: {text}");
            assert_eq!(client.parameters(&session).await, json!({}), "{guest_name}");
            let call = client.last_call(&name).await;
            assert_eq!((&call["state"], &call["failure"]["kind"], &call["events"]), (&json!(state), &json!(kind), &json!([])), "{call}");
        }
    });
}

#[test]
fn a_receiver_invokes_the_webhooks_it_is_granted_and_no_other() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        endpoint.always(hookwright_tests::Script::json(json!({ "stock": 4 })));
        let (name, webhook, closed) = (unique("invoker"), unique("stock"), unique("closed"));
        for webhook in [&webhook, &closed] {
            client
                .webhook(webhook, json!({ "request": { "url": endpoint.url("/$session.params.sku") }, "bindings": { "left": "$.stock" } }))
                .await;
        }
        client.grant(&name, json!({ "webhooks": [webhook] })).await;
        client.plugin(&name, guest("invoker")).await;
        let code = client.receiver(&name, json!({ "plugin": name, "full_reply": true, "session": "$.body.session" })).await;
        let session = unique("session");
        let ask = async |webhook: &str| {
            let body = json!({ "webhook": webhook, "parameters": { "sku": "a-12" }, "session": session });
            let answered = client.call(&code, "", &body.to_string()).await;
            assert_eq!(answered.status, 200, "{}", answered.text());
            answered.json()["invoked"][0].clone()
        };
        let invoked = ask(&webhook).await;
        assert_eq!(
            (&invoked["delivered"], &invoked["http_status"], &invoked["parameters"]),
            (&json!(true), &json!(200), &json!({ "left": 4 })),
            "{invoked}"
        );
        assert_eq!(endpoint.next_request().await.path, "/a-12");
        assert_eq!(client.parameters(&session).await, json!({ "sku": "a-12", "left": 4 }));
        let refused = client.call(&code, "", &json!({ "webhook": closed }).to_string()).await;
        assert_eq!(refused.status, 503, "{}", refused.text());
        assert!(!refused.text().contains(&closed), "the caller learns nothing: {}", refused.text());
        let failure = client.last_call(&name).await["failure"].clone();
        assert_eq!(failure["kind"], "plugin_not_granted", "{failure}");
        assert!(failure["detail"].as_str().is_some_and(|detail| detail.contains(&closed)), "{failure}");
        assert_eq!(endpoint.seen().len(), 1);
    });
}

#[test]
fn a_receiver_may_invoke_only_so_often_and_so_deep() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let (name, webhook) = (unique("often"), unique("target"));
        client.webhook(&webhook, json!({ "request": { "url": endpoint.url("/") } })).await;
        client.grant(&name, json!({ "webhooks": [webhook, format!("{webhook}-loop")] })).await;
        client.plugin(&name, guest("invoker")).await;
        let code = client.receiver(&name, json!({ "plugin": name, "full_reply": true, "timeout_ms": 30000 })).await;
        let answered = client.call(&code, "", &json!({ "webhook": webhook, "times": 20 }).to_string()).await;
        let failure = client.last_call(&name).await["failure"]["kind"].clone();
        assert_eq!((answered.status, endpoint.seen().len(), failure), (500, 16, json!("plugin_invocations")), "{}", answered.text());

        // A webhook that calls the code that invokes it: the host ends the chain.
        let own = format!("{webhook}-loop");
        let request = json!({ "url": client.url(&format!("/api/v1/webhook/{code}")), "body": { "webhook": own } });
        client.webhook(&own, json!({ "request": request, "timeout_ms": 30000 })).await;
        let answered = client.call(&code, "", &json!({ "webhook": own }).to_string()).await;
        assert_eq!(answered.status, 200, "{}", answered.text());
        let calls = client.look(&format!("/v1/calls?receiver={name}&limit=500")).await;
        let depths: Vec<_> = calls["data"].as_array().expect("calls").iter().filter_map(|call| call["depth"].as_u64()).collect();
        assert!(depths.iter().max().is_some_and(|deepest| *deepest <= 4), "{depths:?}");
        assert!(depths.len() < 10, "{depths:?}");
    });
}

#[test]
fn without_full_reply_an_answer_is_narrowed_to_200_or_400_and_a_message() {
    run(async {
        let client = &shared().await.client;
        let name = unique("narrowed");
        let script = "export function receive(call) { return { status: Number(call.query.status), headers: { 'x-own': 'yes' }, body: call.query.text ?? { message: 'said' } } }";
        client.script(&name, script).await;
        let narrow = client.receiver(&name, json!({ "plugin": name })).await;
        assert_eq!(message(&client.call(&narrow, "?status=204", "").await, 200), "said");
        assert_eq!(message(&client.call(&narrow, "?status=302&text=plain", "").await, 200), "plain");
        let refused = client.call(&narrow, "?status=503&text=no", "").await;
        assert_eq!((message(&refused, 400).as_str(), refused.header("x-own")), ("no", ""));
        let full = client.receiver(&unique("full"), json!({ "plugin": name, "full_reply": true })).await;
        let answered = client.call(&full, "?status=503&text=no", "").await;
        assert_eq!((answered.status, answered.text().as_str(), answered.header("x-own")), (503, "no", "yes"));
        let zero = client.receiver(&unique("zero"), json!({ "plugin": name, "legacy_zero": true })).await;
        let answered = client.call(&zero, "?status=200&text=ok", "").await;
        assert_eq!((answered.status, answered.json()), (200, json!({ "status": 0, "message": "ok" })));
    });
}

#[test]
fn a_vendors_probe_is_answered_without_running_anything() {
    run(async {
        let client = &shared().await.client;
        let name = unique("probed");
        client.script(&name, "export function receive() { throw new Error('not to be run') }").await;
        let code = client.receiver(&name, json!({ "plugin": name, "probe": "answer" })).await;
        assert_eq!(client.call(&code, "", "").await.status, 200);
        assert_eq!(client.call(&code, "", "{}").await.status, 200);
        assert_eq!(client.look(&format!("/v1/calls?receiver={name}")).await["data"], json!([]));
        assert_eq!(client.call(&code, "?a=1", "").await.status, 500, "it was run, and threw");
    });
}

#[test]
fn an_async_receiver_answers_once_the_call_is_durable_and_runs_after() {
    run(async {
        let client = &shared().await.client;
        let name = unique("async");
        client.grant(&name, json!({ "triggers": ["guest.*"] })).await;
        client.plugin(&name, guest("good_receiver")).await;
        let code = client.receiver(&name, json!({ "plugin": name, "mode": "async" })).await;
        assert_eq!(message(&client.call(&code, "", r#"{"n":1}"#).await, 200), "accepted");
        let done = eventually("the call is done", || async {
            let call = client.last_call(&name).await;
            (call["state"] == "done").then_some(call)
        })
        .await;
        assert_eq!(events_of(client, &done).await.len(), 2);
    });
}

#[test]
fn receivers_are_listed_changed_and_deleted_with_their_codes() {
    run(async {
        let client = &shared().await.client;
        let name = unique("kept");
        let code = declared(client, &name, json!({})).await;
        let path = format!("/v1/receivers/{name}");
        let (status, patched) = client.patch(&path, &json!({ "reply": { "message": "changed" } })).await;
        assert_eq!((status, &patched["reply"]["message"]), (200, &json!("changed")));
        assert_eq!(message(&client.call(&code, "", "").await, 200), "changed");
        assert_eq!(client.put(&path, &json!({ "reply": { "message": "again" } })).await.0, 200);
        assert_eq!(client.delete(&path).await.0, 204);
        assert_eq!(client.call(&code, "", "").await.status, 404);
        assert_eq!(client.get(&path).await.0, 404);
        for (document, pointer) in [
            (json!({}), "/plugin"),
            (json!({ "plugin": "no-such-plugin" }), "/plugin"),
            (json!({ "reply": { "message": "x", "status": 500 } }), "/reply/status"),
            (json!({ "reply": { "message": "$call.nothing.x" } }), "/reply/message"),
            (json!({ "reply": { "message": "x" }, "verify": { "scheme": "github" } }), "/verify/secret"),
            (json!({ "reply": { "message": "x" }, "events": [{ "trigger": "a b" }] }), "/events/0/trigger"),
            (json!({ "reply": { "message": "x" }, "events": [{ "trigger": "a", "data": "$.[" }] }), "/events/0/data"),
            (json!({ "reply": { "message": "x" }, "methods": ["FETCH"] }), "/methods/0"),
            (json!({ "reply": { "message": "x" }, "modes": "sync" }), "/modes"),
        ] {
            let (status, problem) = client.put("/v1/receivers/wrong", &document).await;
            assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!(pointer)), "{document}: {problem}");
        }
    });
}
