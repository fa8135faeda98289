//! The outside world: the vendors' endpoints, and the client with which an agent, a portal and a person call the host.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use tokio::sync::mpsc;

use super::{facts::Facts, page::Page, vendors};
use crate::cli::{
    client::Answered,
    endpoint::{Arrived, Endpoint, LOOPBACK, Said, standard_webhooks::Key},
};

/// Longest time the demo waits for something to arrive.
const PATIENCE: Duration = Duration::from_secs(20);

/// A delivery, as an endpoint received it.
#[derive(Debug)]
pub struct Received {
    pub arrived: Arrived,
    /// The identifier that was signed, or why the signature is not valid.
    pub verified: Result<String, String>,
    /// The endpoint's answer.
    pub said: Said,
}

impl Received {
    pub fn body(&self) -> String {
        String::from_utf8_lossy(&self.arrived.body).into_owned()
    }

    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_slice(&self.arrived.body).context("the body is not JSON")
    }

    /// Method and target.
    pub fn line(&self) -> String {
        format!("{} {}", self.arrived.method, self.arrived.target)
    }
}

/// A vendor's endpoint. It verifies, reports and answers what it receives.
pub struct Vendor {
    /// The vendor's name in the story.
    pub name: &'static str,
    /// What the vendor does.
    pub does: &'static str,
    /// The key with which its senders sign.
    pub key: Key,
    endpoint: Endpoint,
    received: mpsc::UnboundedReceiver<Received>,
}

impl Vendor {
    async fn start(
        name: &'static str,
        does: &'static str,
        answer: fn(&Arrived, &Facts) -> Said,
        facts: &Arc<Facts>,
    ) -> anyhow::Result<Self> {
        let key = Key::generate();
        let (report, received) = mpsc::unbounded_channel();
        let (verifier, facts) = (key.clone(), Arc::clone(facts));
        let endpoint = Endpoint::start(LOOPBACK, move |arrived| {
            let verified = verifier.verify(&arrived);
            let said = match &verified {
                Ok(_) => answer(&arrived, &facts),
                Err(reason) => Said::text(401, reason.clone()),
            };
            // After the story nobody receives the report, but the endpoint still answers.
            drop(report.send(Received { arrived, verified, said: said.clone() }));
            said
        })
        .await?;
        Ok(Self { name, does, key, endpoint, received })
    }

    /// The endpoint's address as a URL without a path.
    pub fn url(&self) -> String {
        self.endpoint.url()
    }

    /// Waits for the next delivery, whose signature must be valid.
    pub async fn next(&mut self) -> anyhow::Result<Received> {
        match tokio::time::timeout(PATIENCE, self.received.recv()).await {
            Ok(Some(received)) => match &received.verified {
                Ok(_) => Ok(received),
                Err(reason) => bail!("{} does not believe {}: {reason}", self.name, received.line()),
            },
            _ => bail!("nothing arrived at {} within {} seconds", self.name, PATIENCE.as_secs()),
        }
    }
}

/// Everybody outside of the host.
pub struct World {
    /// An ERP like Divalto's.
    pub erp: Vendor,
    /// An ArcGIS portal.
    pub portal: Vendor,
    /// A chat.
    pub slack: Vendor,
    pub facts: Arc<Facts>,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl World {
    /// Starts the endpoints, each on a free port.
    pub async fn start() -> anyhow::Result<Self> {
        let secret = || hex::encode(crate::clock::random::<16>());
        let facts = Arc::new(Facts { portal_token: secret(), portal_secret: secret() });
        Ok(Self {
            erp: Vendor::start("ERP", "answers what is in stock (Divalto's kind of URL)", vendors::erp, &facts).await?,
            portal: Vendor::start("portal", "an ArcGIS portal: answers items' metadata", vendors::portal, &facts).await?,
            slack: Vendor::start("Slack", "takes messages for a channel", vendors::slack, &facts).await?,
            facts,
            client: Client::builder(TokioExecutor::new()).build_http(),
        })
    }

    /// Calls the host without a token, as somebody outside would.
    pub async fn call(&self, method: Method, url: &str, headers: &[(&str, &str)], body: String) -> anyhow::Result<Answered> {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = tokio::time::timeout(PATIENCE, self.client.request(request.body(Full::from(body))?));
        let response = response.await.with_context(|| format!("no answer from {url}"))??;
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await?.to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&bytes)));
        Ok(Answered { status, body })
    }

    /// Prints deliveries as they arrive, without end.
    pub async fn show(&mut self, page: &Page) {
        loop {
            let (name, received) = tokio::select! {
                received = self.erp.received.recv() => (self.erp.name, received),
                received = self.portal.received.recv() => (self.portal.name, received),
                received = self.slack.received.recv() => (self.slack.name, received),
            };
            let Some(received) = received else { return };
            let verdict =
                received.verified.as_ref().map_or_else(|reason| format!("NOT verified: {reason}"), |_| "signature verified".to_owned());
            page.line(name, &format!("← {}  ({verdict})\n{}", received.line(), received.body()));
        }
    }
}
