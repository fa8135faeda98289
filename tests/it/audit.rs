//! The audit log: who changed what, with the document before and after, and never a secret.

use hookwright_tests::{
    Client, TestHost,
    process::{finish, hookwright},
    run,
};
use http::Method;
use serde_json::{Value, json};

/// A host, and the client of an admin called `ann`.
async fn host_with_ann() -> (TestHost, Client) {
    let host = TestHost::start().await;
    let (status, made) = host.client.post("/v1/tokens", &json!({ "name": "ann", "scopes": ["admin"] })).await;
    assert_eq!(status, 201, "{made}");
    let ann = host.client.with_token(made["token"].as_str());
    (host, ann)
}

/// The audit entries for a query, oldest first.
async fn entries(client: &Client, query: &str) -> Vec<Value> {
    let mut entries = client.look(&format!("/v1/audit?limit=500{query}")).await["data"].as_array().cloned().expect("a list");
    entries.reverse();
    entries
}

fn told(entries: &[Value]) -> Vec<String> {
    let part = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    entries.iter().map(|entry| format!("{} {} {}", part(entry, "action"), part(entry, "kind"), part(entry, "name"))).collect()
}

#[test]
fn a_change_stands_with_who_made_it_and_the_document_before_and_after() {
    run(async {
        let (_host, ann) = host_with_ann().await;
        let body = |url: &str| json!({ "request": { "url": url, "headers": { "x-auth-token": "canary-header" } } }).to_string();
        let id = [("x-request-id", "deploy-7"), ("content-type", "application/json")];
        let made = ann.send(Method::PUT, "/v1/webhooks/chat", &id, body("https://chat.example/?sig=canary-1")).await;
        assert_eq!((made.status, made.header("x-request-id")), (201, "deploy-7"), "{}", made.text());
        let changed = ann.send(Method::PUT, "/v1/webhooks/chat", &[], body("https://chat.example/?sig=canary-2")).await;
        let given = changed.header("x-request-id").to_owned();
        assert!(changed.status == 200 && given.starts_with("req_"), "{given}");
        assert_eq!(ann.delete("/v1/webhooks/chat").await.0, 204);
        let found = entries(&ann, "&kind=webhook&name=chat&who=ann").await;
        assert_eq!(told(&found), ["created webhook chat", "changed webhook chat", "deleted webhook chat"]);
        let [made, changed, deleted] = &found[..] else { panic!("{found:?}") };
        assert_eq!((&made["who"], &made["request"]), (&json!("token ann"), &json!("PUT /v1/webhooks/chat")));
        assert_eq!((&made["request_id"], &changed["request_id"]), (&json!("deploy-7"), &json!(given)));
        assert!(made["token"].as_str().is_some_and(|id| id.starts_with("tok_")) && made["before"].is_null(), "{made}");
        assert_eq!(made["after"]["spec"]["request"]["url"], "https://chat.example/?sig=redacted");
        assert_eq!(changed["changes"], json!(["/spec/request/url"]), "what changed is said, not what it was");
        assert!(changed["before"].is_object() && deleted["before"].is_object() && deleted["after"].is_null(), "{changed} {deleted}");
        assert!(!json!(found).to_string().contains("canary"), "{found:?}");
        // The filters, and paging.
        assert_eq!(entries(&ann, "&who=tok_none").await, Vec::<Value>::new());
        assert_eq!(entries(&ann, &format!("&kind=webhook&since={}", made["at"].as_str().expect("a time"))).await.len(), 3);
        assert_eq!(entries(&ann, "&since=2999-01-01T00:00:00Z").await, Vec::<Value>::new());
        let page = ann.look("/v1/audit?kind=webhook&limit=2").await;
        assert_eq!(page["data"].as_array().map(Vec::len), Some(2));
        let next = page["next"].as_str().expect("a further page");
        let rest = ann.look(&format!("/v1/audit?kind=webhook&limit=2&after={next}")).await;
        assert_eq!(told(rest["data"].as_array().expect("a list")), ["created webhook chat"]);
        assert_eq!(ann.get("/v1/audit?knd=webhook").await.0, 400);
    });
}

#[test]
fn every_kind_of_change_has_its_entry() {
    run(async {
        let (host, ann) = host_with_ann().await;
        ann.secret("key", "canary-one").await;
        ann.secret("key", "canary-two").await;
        let code = ann.receiver("refresh", json!({ "reply": { "message": "ok" } })).await;
        let listed = ann.look("/v1/receivers/refresh/codes").await;
        let code_id = listed["data"][0]["id"].as_str().expect("an id").to_owned();
        ann.delete(&format!("/v1/receivers/refresh/codes/{code_id}")).await;
        ann.script("held", "export function transform() { return { body: 1 }; }").await;
        ann.script("held", "export function transform() { return { body: 2 }; }").await;
        for (method, path, body) in [
            (Method::POST, "/v1/plugins/held/activate", json!({ "version": 1 })),
            (Method::PUT, "/v1/plugins/held/config", json!({ "a": 1 })),
            (Method::PUT, "/v1/plugins/held/grants", json!({ "state": true })),
            (Method::PUT, "/v1/plugins/held/limits", json!({ "cpu_ms": 200 })),
            (Method::POST, "/v1/plugins/held/resume", json!({})),
            (Method::DELETE, "/v1/plugins/held", json!({})),
            (Method::PUT, "/v1/actions/act", json!({ "reply": { "message": "ok" } })),
            (Method::DELETE, "/v1/actions/act", json!({})),
            (Method::PATCH, "/v1/sessions/s1/parameters", json!({ "a": 1 })),
            (Method::DELETE, "/v1/sessions/s1/parameters", json!({})),
            (Method::DELETE, "/v1/secrets/key", json!({})),
            (Method::POST, "/v1/compact", json!({})),
        ] {
            let answered = ann.send(method.clone(), path, &[("content-type", "application/json")], body.to_string()).await;
            assert!((200..300).contains(&answered.status), "{method} {path}: {}", answered.text());
        }
        let (_, token) = ann.post("/v1/tokens", &json!({ "name": "crm", "scopes": ["read"] })).await;
        ann.delete(&format!("/v1/tokens/{}", token["id"].as_str().expect("an id"))).await;
        // A refused request leaves no entry.
        assert_eq!(ann.put("/v1/webhooks/none", &json!({})).await.0, 400);
        let found = entries(&ann, "&who=ann").await;
        let code_entry = format!("code {code_id}");
        let expected = [
            "created secret key",
            "changed secret key",
            "created receiver refresh",
            &format!("created {code_entry}"),
            "shown codes refresh",
            &format!("changed {code_entry}"),
            "created plugin held",
            "changed plugin held",
            "changed plugin held",
            "changed plugin held",
            "changed plugin held",
            "changed plugin held",
            "changed plugin held",
            "deleted plugin held",
            "created action act",
            "deleted action act",
            "changed session s1",
            "deleted session s1",
            "deleted secret key",
            "begun compact ",
            "created token crm",
            "deleted token crm",
        ];
        assert_eq!(told(&found), expected);
        let requests: Vec<_> = found.iter().filter_map(|entry| entry["request"].as_str()).collect();
        assert!(requests.contains(&"POST /v1/plugins/held/resume") && requests.contains(&"PUT /v1/plugins/held/limits"), "{requests:?}");
        let text = json!(found).to_string();
        for secret in ["canary", &code, token["token"].as_str().expect("a token")] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
        let host_own = entries(&ann, "&who=HOOKWRIGHT_ADMIN_TOKEN").await;
        assert_eq!(told(&host_own), ["created token ann"]);
        let host = host.restart().await;
        assert_eq!(entries(&host.client, "&who=ann").await, found, "it is on the disk");
    });
}

#[test]
fn vendors_ways_of_writing_are_audited_too() {
    run(async {
        let (_host, ann) = host_with_ann().await;
        let endpoint = hookwright_tests::Endpoint::start().await;
        let form = [("name", "All"), ("url", &*endpoint.url("/")), ("changes", "allChanges")];
        let made = ann.form("/portal/sharing/rest/portals/self/webhooks/createWebhook", &form).await;
        assert_eq!(made["success"], true, "{made}");
        let agent = "/v3/projects/p/locations/l/agents/a/webhooks";
        let (status, made) = ann.post(agent, &json!({ "displayName": "orders", "genericWebService": { "uri": endpoint.url("/x") } })).await;
        assert_eq!(status, 200, "{made}");
        let found = entries(&ann, "&who=ann&kind=webhook").await;
        let requests: Vec<_> = found.iter().filter_map(|entry| entry["request"].as_str()).collect();
        assert_eq!(requests, ["POST /portal/sharing/rest/portals/self/webhooks/createWebhook", &format!("POST {agent}")]);
    });
}

#[test]
fn the_command_lists_what_was_changed() {
    run(async {
        let (host, ann) = host_with_ann().await;
        ann.webhook("chat", json!({ "request": { "url": "https://chat.example/" } })).await;
        let mut command = hookwright(&["audit", "--who", "ann", "--kind", "webhook"]);
        let shown = finish(command.env("HOOKWRIGHT_URL", host.client.url("")).env("HOOKWRIGHT_TOKEN", hookwright_tests::host::TOKEN)).await;
        let shown = shown.success().stdout;
        for part in ["token ann", "created", "webhook", "chat"] {
            assert!(shown.contains(part), "{part} in\n{shown}");
        }
    });
}
