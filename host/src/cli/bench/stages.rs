//! The measurements, in the order of the table.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use http::{
    HeaderMap, HeaderValue, Method,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use serde_json::{Value, json};

use super::{
    arrivals::{Arrivals, NumberOf},
    load::{Budget, Measured, Shot, measure},
    report::Report,
    sandbox,
};
use crate::{
    cli::{
        client::Api,
        endpoint::{Endpoint, LOOPBACK, Said, standard_webhooks::Key},
    },
    host::Host,
    model::secret::Secret,
};

/// Deliveries of one webhook that may be sent at once. It is high enough not to matter.
const IN_FLIGHT: u32 = 256;

/// Everything that the measurements need.
pub struct Stages<'a> {
    /// The host under load.
    pub host: &'a Host,
    pub api: &'a Api,
    pub token: &'a Secret,
    /// How long each measurement runs.
    pub budget: Budget,
    /// Number of connections that are open at once.
    pub connections: u16,
    /// Measure only what has one of these in its name; empty: measure everything.
    pub only: &'a [String],
}

impl Stages<'_> {
    /// Runs the measurements that are wanted, and always that of the bare server.
    pub async fn run(&self, data: PathBuf) -> anyhow::Result<Report> {
        let mut measured = vec![self.ceiling().await?];
        if self.wanted(ACCEPT) {
            measured.push(self.accept().await?);
        }
        let (mut arrived, mut repeated) = (0, 0);
        for delivery in [TEMPLATE, WASM, ONE_AT_A_TIME].into_iter().filter(|delivery| self.wanted(delivery.name)) {
            let (one, counted) = self.deliver(delivery).await?;
            measured.push(one);
            arrived += counted.0;
            repeated += counted.1;
        }
        if self.wanted(WASM_RECEIVER) {
            measured.push(self.wasm_receiver().await?);
        }
        if self.wanted(SCRIPT_RECEIVER) {
            measured.push(self.script_receiver().await?);
        }
        measured.extend(sandbox::measure(self.host, self.budget, |name| self.wanted(name)).await?);
        Ok(Report { connections: self.connections, data, measured, arrived, repeated })
    }

    fn wanted(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| name.contains(part.as_str()))
    }

    /// Measures a bare server with the same requests. Its rate is the upper bound.
    async fn ceiling(&self) -> anyhow::Result<Measured> {
        let endpoint = Endpoint::start(LOOPBACK, |_| Said::json(200, &json!({}))).await?;
        let shot = Shot {
            name: "bare hyper server",
            address: endpoint.address,
            target: "/".to_owned(),
            headers: self.headers(false)?,
            body: accepted_body,
            status: 200,
            arrivals: None,
        };
        let measured = measure(shot, self.budget, self.connections).await?;
        endpoint.stop().await;
        Ok(measured)
    }

    async fn accept(&self) -> anyhow::Result<Measured> {
        measure(self.events(ACCEPT, accepted_body, None)?, self.budget, self.connections).await
    }

    /// Measures events that a webhook delivers to our endpoint.
    async fn deliver(&self, delivery: Delivery) -> anyhow::Result<(Measured, (u64, u64))> {
        let Delivery { name, webhook, number_of, body, one_at_a_time } = delivery;
        let key = Key::generate();
        let (arrivals, endpoint) = Arrivals::start(number_of, key.clone()).await?;
        self.put("/v1/secrets/bench", json!({ "value": key.text() })).await?;
        let mut webhook = webhook();
        webhook["request"]["url"] = json!(format!("{}/hook", endpoint.url()));
        webhook["signing"] = json!({ "scheme": "standard-webhooks", "secrets": ["$secret:bench"] });
        webhook["limits"] = json!({ "in_flight": IN_FLIGHT });
        self.put("/v1/webhooks/bench", webhook).await?;
        let shot = self.events(name, body, Some(Arc::clone(&arrivals)))?;
        let measured = measure(shot, self.budget, if one_at_a_time { 1 } else { self.connections }).await?;
        self.settled().await;
        let counted = arrivals.counted().with_context(|| name.to_owned())?;
        self.api.call(Method::DELETE, "/v1/webhooks/bench", None).await?;
        endpoint.stop().await;
        Ok((measured, counted))
    }

    async fn wasm_receiver(&self) -> anyhow::Result<Measured> {
        self.put("/v1/plugins/arcgis-events/grants", json!({ "triggers": ["/items"] })).await?;
        self.receiver(WASM_RECEIVER, json!({ "plugin": "arcgis-events", "full_reply": true }), portal_body).await
    }

    async fn script_receiver(&self) -> anyhow::Result<Measured> {
        const SCRIPT: &str = "export function receive(call) { return `order ${call.json().n} taken`; }\n";
        self.api.send(Method::PUT, "/v1/plugins/bench-script", "text/javascript", SCRIPT).await?.success()?;
        self.receiver(SCRIPT_RECEIVER, json!({ "plugin": "bench-script" }), |n| json!({ "n": n }).to_string()).await
    }

    async fn receiver(&self, name: &'static str, document: Value, body: fn(u64) -> String) -> anyhow::Result<Measured> {
        self.put("/v1/receivers/bench", document).await?;
        let issued = self.api.call(Method::POST, "/v1/receivers/bench/codes", Some(&json!({ "caller": "bench" }))).await?;
        let code = issued["code"].as_str().context("a code")?;
        let target = format!("/api/v1/webhook/{code}");
        let shot = Shot { name, address: self.host.address, target, headers: self.headers(false)?, body, status: 200, arrivals: None };
        measure(shot, self.budget, self.connections).await
    }

    fn events(&self, name: &'static str, body: fn(u64) -> String, arrivals: Option<Arc<Arrivals>>) -> anyhow::Result<Shot> {
        let target = "/v1/events".to_owned();
        Ok(Shot { name, address: self.host.address, target, headers: self.headers(true)?, body, status: 202, arrivals })
    }

    fn headers(&self, authorized: bool) -> anyhow::Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if authorized {
            headers.insert(AUTHORIZATION, HeaderValue::from_bytes(&[b"Bearer ", self.token.expose()].concat())?);
        }
        Ok(headers)
    }

    async fn put(&self, path: &str, document: Value) -> anyhow::Result<Value> {
        self.api.call(Method::PUT, path, Some(&document)).await.with_context(|| format!("PUT {path}"))
    }

    /// Waits until all deliveries that arrived are settled, so that their commits do not slow the next measurement down.
    async fn settled(&self) {
        while !self.host.services.window.held().is_empty() {
            tokio::time::sleep(SETTLED_LOOK_EVERY).await;
        }
    }
}

/// Time between two checks whether everything is settled.
const SETTLED_LOOK_EVERY: Duration = Duration::from_millis(2);

const ACCEPT: &str = "event accepted, on disk";
const WASM_RECEIVER: &str = "code → plugin → answer";
const SCRIPT_RECEIVER: &str = "code → script → answer";

/// A measurement of events that are delivered to an endpoint.
struct Delivery {
    name: &'static str,
    webhook: fn() -> Value,
    /// Finds the event's number in a delivery.
    number_of: NumberOf,
    /// Makes an event from its number.
    body: fn(u64) -> String,
    /// Send one event at a time, to measure how long a delivery takes without other load.
    one_at_a_time: bool,
}

const TEMPLATE: Delivery = Delivery {
    name: "event → template → delivered",
    webhook: template_webhook,
    number_of: |body| body["n"].as_u64(),
    body: template_body,
    one_at_a_time: false,
};
const WASM: Delivery =
    Delivery {
        name: "event → plugin → delivered", webhook: wasm_webhook, number_of: wasm_number, body: wasm_body, one_at_a_time: false
    };
const ONE_AT_A_TIME: Delivery = Delivery { name: "the same, one at a time", one_at_a_time: true, ..WASM };

fn template_webhook() -> Value {
    json!({ "selectors": ["bench.delivered"], "request": { "body": { "n": "$event.data.n", "text": "order of $event.data.article" } } })
}

fn wasm_webhook() -> Value {
    json!({ "selectors": ["/items/share"], "transform": "arcgis-organization", "request": {} })
}

fn wasm_number(body: &Value) -> Option<u64> {
    body["events"][0]["id"].as_str()?.parse().ok()
}

fn accepted_body(number: u64) -> String {
    json!({ "trigger": "bench.accepted", "data": { "n": number, "article": "A-12", "depot": "LYON", "quantity": 2 } }).to_string()
}

fn template_body(number: u64) -> String {
    json!({ "trigger": "bench.delivered", "data": { "n": number, "article": "A-12", "depot": "LYON", "quantity": 2 } }).to_string()
}

fn wasm_body(number: u64) -> String {
    let data = json!({ "username": "ann", "userId": "173d", "properties": { "sharedToGroups": ["Everyone"] } });
    json!({ "trigger": format!("/items/{number}/share"), "data": data }).to_string()
}

fn portal_body(number: u64) -> String {
    let event = json!({ "username": "ann", "userId": "173d", "when": 1_543_192_196_500_u64, "operation": "update", "source": "item",
                        "id": number.to_string(), "properties": {} });
    json!({ "info": { "portalURL": "https://gis.example/portal/", "when": 1_543_192_196_521_u64 }, "events": [event] }).to_string()
}
