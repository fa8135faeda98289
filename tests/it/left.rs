//! Clients that disconnect while their request is written to disk: the result is the same as if they had waited, without a restart.

use std::path::{Path, PathBuf};

use hookwright_tests::{Client, Endpoint, Process, data_directory, preload::library, run, wait::eventually, wait::within};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A host whose writes to disk can be held up.
struct Held {
    process: Process,
    gate: PathBuf,
}

impl Held {
    async fn start(directory: &Path) -> Self {
        let gate = directory.join("gate");
        let text = |path: &Path| path.to_str().expect("a path in UTF-8").to_owned();
        let environment = [("LD_PRELOAD", text(&library("sync_gate"))), ("HOOKWRIGHT_TEST_SYNC_GATE", text(&gate))];
        let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Self { process: Process::serve_under(&directory.join("data"), &[], &environment).await, gate }
    }

    fn client(&self) -> &Client {
        &self.process.client
    }

    /// Sends a request, and disconnects while it is written to disk.
    async fn left(&self, asks: &str, media: &str, body: &str) {
        let reached = self.gate.with_extension("reached");
        drop(std::fs::remove_file(&reached));
        std::fs::write(&self.gate, "").expect("a gate");
        let mut stream = TcpStream::connect(self.process.address).await.expect("a connection");
        let (token, length) = (self.client().token().expect("a token"), body.len());
        let head = format!(
            "{asks} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: {media}\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(format!("{head}{body}").as_bytes()).await.expect("written");
        eventually(&format!("{asks}: it is being written"), || async { reached.exists().then_some(()) }).await;
        stream.shutdown().await.expect("shut down");
        // The host closed the connection, so nothing more is answered on it.
        let mut answer = Vec::new();
        drop(within("the end of the connection", stream.read_to_end(&mut answer)).await);
        assert_eq!(String::from_utf8_lossy(&answer), "", "{asks}: it left before the answer");
        std::fs::remove_file(&self.gate).expect("the gate");
    }

    async fn json(&self, asks: &str, document: &Value) {
        self.left(asks, "application/json", &document.to_string()).await;
    }

    /// Waits until this many deliveries are on disk as delivered. A later write would be mistaken for that of the next client's request.
    async fn has_delivered(&self, count: usize) {
        let is_over = |deliveries: &Value| {
            let states = deliveries["data"].as_array().into_iter().flatten().map(|delivery| &delivery["state"]);
            states.filter(|state| **state == "delivered").count() == count
        };
        self.shows("/v1/deliveries", is_over).await;
    }

    /// Waits until the API shows the expected state.
    async fn shows(&self, path: &str, is: impl Fn(&Value) -> bool) {
        eventually(&format!("{path} shows what was asked for"), || async {
            let (status, shown) = self.client().get(path).await;
            (status == 200 && is(&shown)).then_some(())
        })
        .await;
    }
}

#[test]
fn a_change_whose_client_left_holds_at_once() {
    run(async {
        let (directory, endpoint) = (data_directory(), Endpoint::start().await);
        let host = Held::start(directory.path()).await;
        let client = host.client();
        for source in ["export function receive() { return 'one' }", "export function receive() { return 'two' }"] {
            client.script("changed", source).await;
        }
        client.receiver("r", json!({ "plugin": "changed" })).await;
        client
            .webhook(
                "gone",
                json!({ "selectors": ["gone.*"], "batch": { "seconds": 60, "events_max": 10 }, "request": { "url": endpoint.url("/") } }),
            )
            .await;
        assert_eq!(client.post("/v1/events", &json!({ "trigger": "gone.now", "data": 1 })).await.0, 202);

        host.json("PUT /v1/plugins/changed/grants", &json!({ "state": true })).await;
        host.shows("/v1/plugins/changed", |plugin| plugin["grants"]["state"] == true).await;
        host.json("PUT /v1/plugins/changed/limits", &json!({ "wall_ms": 4321 })).await;
        host.shows("/v1/plugins/changed", |plugin| plugin["own_limits"]["wall_ms"] == 4321).await;
        host.json("POST /v1/plugins/changed/activate", &json!({ "version": 1 })).await;
        host.shows("/v1/plugins/changed", |plugin| plugin["active"] == 1).await;
        host.json("PUT /v1/webhooks/new", &json!({ "request": { "url": endpoint.url("/") } })).await;
        host.shows("/v1/webhooks/new", |webhook| webhook["name"] == "new").await;
        host.json("POST /v1/receivers/r/codes", &json!({ "caller": "second" })).await;
        host.shows("/v1/receivers/r/codes", |codes| codes["data"].as_array().is_some_and(|codes| codes.len() == 2)).await;
        host.json("POST /v1/tokens", &json!({ "name": "reader", "scopes": ["read"] })).await;
        host.shows("/v1/tokens", |tokens| tokens.to_string().contains("reader")).await;
        // The webhook is deleted, and its waiting deliveries are cancelled.
        host.json("DELETE /v1/webhooks/gone", &json!({})).await;
        host.shows("/v1/deliveries", |deliveries| deliveries["data"][0]["state"] == "cancelled").await;
        assert_eq!(client.get("/v1/webhooks/gone").await.0, 404);

        let webhooks = "/portal/sharing/rest/portals/self/webhooks";
        let made = client
            .form(&format!("{webhooks}/createWebhook"), &[("name", "gis"), ("url", &endpoint.url("/")), ("changes", "allChanges")])
            .await;
        let id = made["id"].as_str().unwrap_or_else(|| panic!("{made}"));
        host.left(&format!("POST {webhooks}/{id}/deactivate"), "application/x-www-form-urlencoded", "f=json").await;
        let is_off = |webhooks: &Value| webhooks["data"].as_array().into_iter().flatten().any(|webhook| webhook["active"] == false);
        host.shows("/v1/webhooks", is_off).await;
        assert!(host.process.terminate().await.success());
    });
}

#[test]
fn what_was_accepted_of_a_client_that_left_is_sent_at_once() {
    run(async {
        let (directory, endpoint) = (data_directory(), Endpoint::start().await);
        let host = Held::start(directory.path()).await;
        let client = host.client();
        client
            .webhook("w", json!({ "selectors": ["left.*"], "request": { "url": endpoint.url("/"), "body": { "data": "$event.data" } } }))
            .await;
        client.script("later", "export function receive() { return 'done' }").await;
        let code = client.receiver("later", json!({ "plugin": "later", "mode": "async" })).await;

        host.json("POST /v1/events", &json!({ "trigger": "left.now", "data": "event" })).await;
        assert_eq!(endpoint.next_request().await.json()["data"], "event");
        host.has_delivered(1).await;
        host.json("POST /v1/webhooks/w/invoke", &json!({ "data": "invoked" })).await;
        assert_eq!(endpoint.next_request().await.json()["data"], "invoked");
        host.has_delivered(2).await;
        host.json(&format!("POST /base/api/v1/webhook/{code}"), &json!({})).await;
        host.shows("/v1/calls?receiver=later", |calls| calls["data"][0]["state"] == "done").await;
        assert!(host.process.terminate().await.success());
    });
}
