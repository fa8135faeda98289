//! Requests that were built and wait while their webhook gets another URL or other credentials: a request built for one origin never gets
//! the credentials of another.

use std::time::Duration;

use hookwright_tests::{Authority, Client, Endpoint, Gate, Received, Script, TestHost, TokenServer, run, wait::eventually};
use serde_json::{Value, json};

const MINUTE: Duration = Duration::from_secs(60);
/// Keys of Standard Webhooks.
const OLD_KEY: &str = "whsec_b2xkIGtleSBvZiB0aGUgb2xkIG9yaWdpbiwgMzIgYnl0ZXM=";
const NEW_KEY: &str = "whsec_bmV3IGtleSBvZiB0aGUgbmV3IG9yaWdpbiwgMzIgYnl0ZXM=";

/// A host, an endpoint that fails, and the endpoint that replaces it.
struct Bench {
    host: TestHost,
    old: Endpoint,
    new: Endpoint,
}

impl Bench {
    async fn start() -> Self {
        let (old, new) = (Endpoint::start().await, Endpoint::start().await);
        old.always(Script::status(500));
        let host = TestHost::start().await;
        for (name, value) in [("old", "canary-old"), ("new", "canary-new"), ("old-key", OLD_KEY), ("new-key", NEW_KEY)] {
            host.client.secret(name, value).await;
        }
        Self { host, old, new }
    }

    fn client(&self) -> &Client {
        &self.host.client
    }

    /// Writes the webhook `w`, whose failures are tried again after a minute.
    async fn webhook(&self, url: &str, more: &Value) {
        let mut document = json!({ "selectors": ["moved"], "retry": { "schedule_seconds": [60, 60, 60] },
            "request": { "url": url, "body": { "once": "$sys.func.UUID()", "n": "$event.data.n" } } });
        document.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
        self.client().webhook("w", document).await;
    }

    /// Posts an event and returns its only delivery, tried once.
    async fn event(&self, more: Value) -> String {
        let mut event = json!({ "trigger": "moved", "data": { "n": 1 } });
        event.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
        let accepted = self.client().event(event).await;
        assert_eq!(accepted["deliveries"][0]["state"], "waiting", "{accepted}");
        accepted["deliveries"][0]["id"].as_str().expect("an id").to_owned()
    }

    /// Advances the clock until a delivery has ended. The clock stands still during an attempt; on a slow machine, leases would expire
    /// otherwise.
    async fn over(&self, id: &str) -> Value {
        eventually("the end of a delivery", async || {
            let delivery = self.client().delivery(id).await;
            if let Some("delivered" | "failed" | "refused" | "cancelled") = delivery["state"].as_str() {
                return Some(delivery);
            }
            if self.client().look("/v1/deliveries?state=sending&limit=1").await["data"] == json!([]) {
                self.host.advance(2 * MINUTE);
            }
            None
        })
        .await
    }
}

/// For each attempt, whether its request was built again.
fn rebuilt(delivery: &Value) -> Vec<bool> {
    let attempts = delivery["attempt_log"].as_array().into_iter().flatten();
    attempts.map(|attempt| attempt["rebuilt"].as_bool().expect("a flag")).collect()
}

/// The credentials in a request.
fn credentials(received: &Received) -> [String; 4] {
    ["authorization", "x-key", "secret", "x-mark"].map(|name| received.header(name).to_owned())
}

#[test]
fn what_waits_follows_its_webhook_to_another_origin_and_each_origin_sees_its_own_credentials_alone() {
    run(async {
        for (what, old, new) in [
            (
                "bearer",
                json!({ "auth": { "kind": "bearer", "token": "$secret:old" } }),
                json!({ "auth": { "kind": "bearer", "token": "$secret:new" } }),
            ),
            (
                "headers",
                json!({ "auth": { "kind": "headers", "headers": { "x-key": "$secret:old" } } }),
                json!({ "auth": { "kind": "headers", "headers": { "x-key": "$secret:new" } } }),
            ),
            (
                "headers with references",
                json!({ "auth": { "kind": "headers", "headers": { "x-key": "canary-old $event.data.n" } } }),
                json!({ "auth": { "kind": "headers", "headers": { "x-key": "canary-new $event.data.n" } } }),
            ),
            (
                "esri-organization",
                json!({ "signing": { "scheme": "esri-organization", "secrets": ["$secret:old"] } }),
                json!({ "signing": { "scheme": "esri-organization", "secrets": ["$secret:new"] } }),
            ),
            (
                "inline",
                json!({ "auth": { "kind": "bearer", "token": { "inline": "canary-old" } } }),
                json!({ "auth": { "kind": "bearer", "token": { "inline": "canary-new" } } }),
            ),
            (
                "stored before it is sent",
                json!({ "build": "stored", "auth": { "kind": "bearer", "token": "$secret:old" } }),
                json!({ "build": "stored", "auth": { "kind": "bearer", "token": "$secret:new" } }),
            ),
        ] {
            let bench = Bench::start().await;
            bench.webhook(&bench.old.url("/a?sig=canary-old"), &old).await;
            let id = bench.event(json!({})).await;
            bench.webhook(&bench.new.url("/b?sig=canary-new"), &new).await;
            bench.new.next(Script::status(503));
            let delivery = bench.over(&id).await;
            assert_eq!((&delivery["state"], rebuilt(&delivery)), (&json!("delivered"), vec![false, true, false]), "{what}: {delivery}");
            let (old, new) = (bench.old.seen(), bench.new.seen());
            assert_eq!((old.len(), new.len()), (1, 2), "{what}");
            let text = |received: &Received| format!("{} {:?} {}", received.path, received.headers, received.text());
            assert!(text(&old[0]).contains("canary-old") && !text(&old[0]).contains("canary-new"), "{what}: {}", text(&old[0]));
            for received in &new {
                assert!(text(received).contains("canary-new") && !text(received).contains("canary-old"), "{what}: {}", text(received));
                assert_eq!(received.header("webhook-id"), id, "{what}");
            }
            assert_eq!(new[0].body, new[1].body, "{what}: what was built again is kept for the next try");
            assert_ne!(old[0].body, new[0].body, "{what}");
            bench.host.stop().await;
        }
    });
}

#[test]
fn a_signature_is_of_the_key_that_belongs_to_the_origin() {
    run(async {
        let bench = Bench::start().await;
        let signing = |key: &str| json!({ "signing": { "scheme": "standard-webhooks", "secrets": [format!("$secret:{key}")] } });
        bench.webhook(&bench.old.url("/"), &signing("old-key")).await;
        let id = bench.event(json!({})).await;
        bench.webhook(&bench.new.url("/"), &signing("new-key")).await;
        bench.over(&id).await;
        let (old, new) = (bench.old.seen(), bench.new.seen());
        assert_eq!((old.len(), new.len()), (1, 1));
        assert!(old[0].verify(OLD_KEY).is_ok() && old[0].verify(NEW_KEY).is_err());
        assert!(new[0].verify(NEW_KEY).is_ok() && new[0].verify(OLD_KEY).is_err());
        bench.host.stop().await;
    });
}

#[test]
fn a_client_certificate_is_shown_to_the_origin_it_was_given_for() {
    run(async {
        let (servers, old_clients, new_clients) = (Authority::new(), Authority::new(), Authority::new());
        let identity = servers.server(&["127.0.0.1"]);
        let bench = Bench::start().await;
        let old = Endpoint::start_tls(&identity, Some(&old_clients)).await;
        let new = Endpoint::start_tls(&identity, Some(&new_clients)).await;
        old.always(Script::status(500));
        let tls = async |name: &str, clients: &Authority| {
            let client = clients.client();
            bench.client().secret(name, &client.key).await;
            json!({ "tls": { "ca_certificates": [servers.pem], "client_certificate": { "certificate": client.certificate, "key": format!("$secret:{name}") } } })
        };
        bench.webhook(&old.url("/"), &tls("old-tls", &old_clients).await).await;
        let id = bench.event(json!({})).await;
        bench.webhook(&new.url("/"), &tls("new-tls", &new_clients).await).await;
        let delivery = bench.over(&id).await;
        // Each endpoint trusts only certificates of its own authority.
        assert_eq!((&delivery["state"], old.seen().len(), new.seen().len()), (&json!("delivered"), 1, 1), "{delivery}");
        bench.host.stop().await;
    });
}

#[test]
fn a_token_is_kept_for_one_webhook_at_one_origin() {
    run(async {
        let bench = Bench::start().await;
        let server = TokenServer::start(("the client", "canary-old"), None).await;
        let auth = json!({ "auth": { "kind": "oauth2", "token_endpoint": server.endpoint.url("/token"), "client_id": "the client", "client_secret": "$secret:old" } });
        bench.webhook(&bench.old.url("/"), &auth).await;
        let id = bench.event(json!({})).await;
        bench.webhook(&bench.new.url("/"), &auth).await;
        assert_eq!(bench.over(&id).await["state"], "delivered");
        let tokens = |endpoint: &Endpoint| endpoint.seen().iter().map(|one| one.header("authorization").to_owned()).collect::<Vec<_>>();
        assert_eq!(
            (tokens(&bench.old), tokens(&bench.new)),
            (vec!["Bearer canary-token-1".to_owned()], vec!["Bearer canary-token-2".to_owned()])
        );
        // Another webhook has a token of its own, even at the same origin, and keeps it.
        let other = json!({ "request": { "url": bench.new.url("/other") }, "auth": auth["auth"] });
        bench.client().webhook("other", other).await;
        for _ in 0..2 {
            assert_eq!(bench.client().invoke("other", json!({})).await["state"], "delivered");
        }
        assert_eq!(tokens(&bench.new)[1..], ["Bearer canary-token-3", "Bearer canary-token-3"]);
        assert_eq!(server.given().len(), 3);
        bench.host.stop().await;
    });
}

#[test]
fn at_the_same_origin_the_same_bytes_go_out_with_the_credentials_of_the_moment() {
    run(async {
        let bench = Bench::start().await;
        let with = |key: &str, token: &str| json!({ "signing": { "scheme": "standard-webhooks", "secrets": [format!("$secret:{key}")] }, "auth": { "kind": "bearer", "token": format!("$secret:{token}") } });
        bench.webhook(&bench.old.url("/first?q=1"), &with("old-key", "old")).await;
        let id = bench.event(json!({})).await;
        // Another path, and another spelling of the same origin.
        let url = bench.old.url("/second").replace("http://", "HTTP://");
        bench.webhook(&url, &with("new-key", "new")).await;
        bench.old.always(Script::status(200));
        let delivery = bench.over(&id).await;
        assert_eq!((&delivery["state"], rebuilt(&delivery)), (&json!("delivered"), vec![false, false]), "{delivery}");
        let seen = bench.old.seen();
        assert_eq!((seen[0].path.as_str(), seen[1].path.as_str()), ("/first?q=1", "/first?q=1"));
        assert_eq!((&seen[0].body, &seen[0].headers["content-type"]), (&seen[1].body, &seen[1].headers["content-type"]));
        assert_eq!((seen[0].header("authorization"), seen[1].header("authorization")), ("Bearer canary-old", "Bearer canary-new"));
        assert!(seen[0].verify(OLD_KEY).is_ok() && seen[1].verify(NEW_KEY).is_ok() && seen[1].verify(OLD_KEY).is_err());
        bench.host.stop().await;
    });
}

#[test]
fn an_environment_that_is_gone_or_changed_is_another_origin_too() {
    run(async {
        for (what, patch, gets) in [
            ("taken away", json!({ "staging": null }), "Bearer canary-new"),
            (
                "changed",
                json!({ "staging": { "request": { "url": "NEW" }, "auth": { "kind": "headers", "headers": { "x-key": "$secret:new" }, "token": null } } }),
                "",
            ),
        ] {
            let bench = Bench::start().await;
            let staging = json!({ "request": { "url": bench.old.url("/staging") }, "auth": { "kind": "bearer", "token": "$secret:old" } });
            let more = json!({ "auth": { "kind": "bearer", "token": "$secret:new" }, "environments": { "staging": staging } });
            bench.webhook(&bench.new.url("/base"), &more).await;
            let id = bench.event(json!({ "environment": "staging" })).await;
            let mut patch = patch.clone();
            if let Some(url) = patch.pointer_mut("/staging/request/url") {
                *url = json!(bench.new.url("/staging"));
            }
            let (status, changed) = bench.client().patch("/v1/webhooks/w", &json!({ "environments": patch })).await;
            assert_eq!(status, 200, "{changed}");
            let delivery = bench.over(&id).await;
            assert_eq!((&delivery["state"], rebuilt(&delivery)), (&json!("delivered"), vec![false, true]), "{what}: {delivery}");
            let old: Vec<_> = bench.old.seen().iter().map(credentials).collect();
            assert_eq!((old.len(), old[0][0].as_str()), (1, "Bearer canary-old"), "{what}: {old:?}");
            let new: Vec<_> = bench.new.seen().iter().map(credentials).collect();
            assert_eq!((new.len(), new[0][0].as_str()), (1, gets), "{what}: {new:?}");
            bench.host.stop().await;
        }
    });
}

#[test]
fn a_name_that_leads_elsewhere_now_is_followed_with_the_credentials_of_now() {
    run(async {
        let bench = Bench::start().await;
        let at = |endpoint: &Endpoint, token: &str| json!({ "resolve": { "orders.internal": endpoint.address.to_string() }, "auth": { "kind": "bearer", "token": format!("$secret:{token}") } });
        bench.webhook("http://orders.internal/a", &at(&bench.old, "old")).await;
        let id = bench.event(json!({})).await;
        bench.webhook("http://orders.internal/a", &at(&bench.new, "new")).await;
        let delivery = bench.over(&id).await;
        assert_eq!(delivery["state"], "delivered", "{delivery}");
        let (old, new) = (bench.old.seen(), bench.new.seen());
        assert_eq!((old.len(), new.len()), (1, 1));
        assert_eq!((old[0].header("authorization"), new[0].header("authorization")), ("Bearer canary-old", "Bearer canary-new"));
        assert_eq!(old[0].body, new[0].body, "the origin is the same");
        bench.host.stop().await;
    });
}

#[test]
fn a_batch_is_built_again_whole_also_when_its_webhook_batches_no_more() {
    run(async {
        let bench = Bench::start().await;
        let document = json!({ "selectors": ["moved"], "batch": { "seconds": 30 }, "retry": { "schedule_seconds": [60, 60] }, "request": { "url": bench.old.url("/") } });
        bench.client().webhook("w", document).await;
        for n in 0..3 {
            let (status, accepted) = bench.client().post("/v1/events", &json!({ "trigger": "moved", "data": { "n": n } })).await;
            assert_eq!(status, 202, "{accepted}");
        }
        bench.host.advance(MINUTE);
        bench.old.next_request().await;
        let patch = json!({ "batch": null, "request": { "url": bench.new.url("/") } });
        let id = eventually("a batch that waits", async || {
            let waiting = bench.client().look("/v1/deliveries?state=waiting").await;
            waiting["data"][0]["id"].as_str().map(str::to_owned)
        })
        .await;
        assert_eq!(bench.client().patch("/v1/webhooks/w", &patch).await.0, 200);
        assert_eq!(bench.over(&id).await["state"], "delivered");
        let [arrived] = &bench.new.seen()[..] else { panic!("one request: {:?}", bench.new.seen()) };
        let numbers: Vec<_> = arrived.json().as_array().into_iter().flatten().map(|event| event["data"]["n"].clone()).collect();
        assert_eq!((numbers, bench.old.seen().len()), (vec![json!(0), json!(1), json!(2)], 1));
        bench.host.stop().await;
    });
}

#[test]
fn a_plugin_is_asked_again_for_another_origin() {
    run(async {
        let bench = Bench::start().await;
        let script = "export function transform(delivery, events) { return { headers: { 'x-mark': hookwright.config.mark }, body: { n: events[0].data.n } }; }";
        bench.client().script("marks", script).await;
        let marked = |mark: &str| json!({ "transform": { "plugin": "marks", "config": { "mark": mark } } });
        bench.webhook(&bench.old.url("/"), &marked("canary-old")).await;
        let id = bench.event(json!({})).await;
        bench.webhook(&bench.new.url("/"), &marked("canary-new")).await;
        assert_eq!(bench.over(&id).await["state"], "delivered");
        let marks = |endpoint: &Endpoint| endpoint.seen().iter().map(|one| one.header("x-mark").to_owned()).collect::<Vec<_>>();
        assert_eq!((marks(&bench.old), marks(&bench.new)), (vec!["canary-old".to_owned()], vec!["canary-new".to_owned()]));
        bench.host.stop().await;
    });
}

#[test]
fn what_is_sent_once_more_or_replayed_follows_as_well() {
    run(async {
        let bench = Bench::start().await;
        let token = |name: &str| json!({ "auth": { "kind": "bearer", "token": format!("$secret:{name}") } });
        bench.webhook(&bench.old.url("/"), &token("old")).await;
        let resent = bench.event(json!({})).await;
        let (status, replayed) = bench.client().post("/v1/webhooks/w/replay", &json!({})).await;
        assert_eq!((status, &replayed["deliveries"]), (200, &json!(1)), "{replayed}");
        eventually("both wait", async || {
            let waiting = bench.client().look("/v1/deliveries?state=waiting").await;
            (waiting["data"].as_array().map(Vec::len) == Some(2)).then_some(())
        })
        .await;
        bench.webhook(&bench.new.url("/"), &token("new")).await;
        let (status, answered) = bench.client().post(&format!("/v1/deliveries/{resent}/resend"), &json!({})).await;
        assert!((200..300).contains(&status), "{answered}");
        let listed = bench.client().look("/v1/deliveries").await;
        for delivery in listed["data"].as_array().expect("deliveries") {
            let over = bench.over(delivery["id"].as_str().expect("an id")).await;
            assert_eq!((&over["state"], rebuilt(&over)), (&json!("delivered"), vec![false, true]), "{over}");
        }
        let tokens = |endpoint: &Endpoint| endpoint.seen().iter().map(|one| one.header("authorization").to_owned()).collect::<Vec<_>>();
        assert_eq!(
            (tokens(&bench.old), tokens(&bench.new)),
            (vec!["Bearer canary-old".to_owned(); 2], vec!["Bearer canary-new".to_owned(); 2])
        );
        bench.host.stop().await;
    });
}

#[test]
fn a_webhook_deleted_and_made_again_under_its_name_inherits_nothing_that_waits() {
    run(async {
        let bench = Bench::start().await;
        bench.webhook(&bench.old.url("/"), &json!({ "auth": { "kind": "bearer", "token": "$secret:old" } })).await;
        let id = bench.event(json!({})).await;
        assert_eq!(bench.client().delete("/v1/webhooks/w").await.0, 204);
        bench.webhook(&bench.new.url("/"), &json!({ "auth": { "kind": "bearer", "token": "$secret:new" } })).await;
        // The same if somebody asks for a resend.
        bench.client().post(&format!("/v1/deliveries/{id}/resend"), &json!({})).await;
        assert_eq!(bench.over(&id).await["state"], "cancelled");
        assert_eq!((bench.old.seen().len(), bench.new.seen().len()), (1, 0));
        bench.host.stop().await;
    });
}

/// A webhook whose token request is slow, so that the webhook can be changed after its URL was read and before its credentials are.
async fn held_by_its_token(bench: &Bench, gate: &Gate) -> Endpoint {
    let tokens = Endpoint::start().await;
    let token = |name: &str| Script::json(json!({ "access_token": name, "token_type": "Bearer", "expires_in": 600 }));
    tokens.next(token("canary-new").behind(gate));
    tokens.always(token("canary-new"));
    let auth =
        json!({ "auth": { "kind": "oauth2", "token_endpoint": tokens.url("/token"), "client_id": "c", "client_secret": "$secret:new" } });
    bench.webhook(&bench.old.url("/"), &auth).await;
    tokens
}

#[test]
fn a_change_in_the_middle_of_an_attempt_is_followed_before_anything_is_sent() {
    run(async {
        for invoked in [false, true] {
            let bench = Bench::start().await;
            let gate = Gate::new();
            let tokens = held_by_its_token(&bench, &gate).await;
            let client = bench.client().clone();
            let work = tokio::spawn(async move {
                match invoked {
                    true => client.invoke("w", json!({ "data": { "n": 1 } })).await,
                    false => client.post("/v1/events", &json!({ "trigger": "moved", "data": { "n": 1 } })).await.1,
                }
            });
            tokens.next_request().await;
            assert_eq!(bench.client().patch("/v1/webhooks/w", &json!({ "request": { "url": bench.new.url("/") } })).await.0, 200);
            gate.open();
            work.await.expect("no panic");
            let id = bench.client().look("/v1/deliveries").await["data"][0]["id"].as_str().expect("an id").to_owned();
            let over = bench.over(&id).await;
            assert_eq!((&over["state"], &over["attempts"]), (&json!("delivered"), &json!(1)), "{over}");
            assert_eq!((bench.old.seen().len(), bench.new.seen().len()), (0, 1), "invoked: {invoked}");
            bench.host.stop().await;
        }
    });
}

#[test]
fn a_webhook_deactivated_in_the_middle_of_an_attempt_sends_nothing() {
    run(async {
        let bench = Bench::start().await;
        let gate = Gate::new();
        let tokens = held_by_its_token(&bench, &gate).await;
        let (status, accepted) = bench.client().post("/v1/events", &json!({ "trigger": "moved", "data": { "n": 1 } })).await;
        assert_eq!(status, 202, "{accepted}");
        tokens.next_request().await;
        assert_eq!(bench.client().post("/v1/webhooks/w/deactivate", &json!({})).await.0, 200);
        gate.open();
        let id = bench.client().look("/v1/deliveries").await["data"][0]["id"].as_str().expect("an id").to_owned();
        let over = bench.over(&id).await;
        assert_eq!((&over["state"], &over["attempts"], bench.old.seen().len()), (&json!("cancelled"), &json!(0), 0), "{over}");
        bench.host.stop().await;
    });
}

#[test]
fn a_client_secret_written_while_a_token_is_refused_does_not_go_to_the_old_token_endpoint() {
    run(async {
        let bench = Bench::start().await;
        let gate = Gate::new();
        let (old_tokens, new_tokens) = (Endpoint::start().await, Endpoint::start().await);
        let token = |name: &str| Script::json(json!({ "access_token": name, "token_type": "Bearer", "expires_in": 600 }));
        old_tokens.always(token("canary-old"));
        new_tokens.always(token("canary-new"));
        let auth = |tokens: &Endpoint, secret: &str| json!({ "auth": { "kind": "oauth2", "token_endpoint": tokens.url("/token"), "client_id": "c", "client_secret": { "inline": secret } } });
        bench.webhook(&bench.old.url("/"), &auth(&old_tokens, "secret-old")).await;
        // The token is refused. The admin changes the client before the next token is requested.
        bench.old.next(Script::status(401).behind(&gate));
        let (status, accepted) = bench.client().post("/v1/events", &json!({ "trigger": "moved", "data": { "n": 1 } })).await;
        assert_eq!(status, 202, "{accepted}");
        bench.old.next_request().await;
        bench.webhook(&bench.new.url("/"), &auth(&new_tokens, "secret-new")).await;
        gate.open();
        let id = bench.client().look("/v1/deliveries").await["data"][0]["id"].as_str().expect("an id").to_owned();
        let over = bench.over(&id).await;
        assert_eq!(over["state"], "delivered", "{over}");
        let asked = |tokens: &Endpoint| tokens.seen().iter().map(|one| format!("{:?} {}", one.headers, one.text())).collect::<Vec<_>>();
        assert_eq!((asked(&old_tokens).len(), asked(&new_tokens).len(), bench.old.seen().len()), (1, 1, 1), "{:?}", asked(&old_tokens));
        assert_eq!(bench.new.next_request().await.header("authorization"), "Bearer canary-new");
        bench.host.stop().await;
    });
}
