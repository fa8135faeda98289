//! The outside world: the vendors' endpoints, and the client by which an agent, a portal and a person call the host.

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

/// How long the demo waits for anything to arrive.
const PATIENCE: Duration = Duration::from_secs(20);

/// One delivery as an endpoint saw it.
#[derive(Debug)]
pub struct Received {
    /// The request.
    pub arrived: Arrived,
    /// The id that was signed, or why the endpoint does not believe it.
    pub verified: Result<String, String>,
    /// What the endpoint answered.
    pub said: Said,
}

impl Received {
    /// The body as text.
    pub fn body(&self) -> String {
        String::from_utf8_lossy(&self.arrived.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_slice(&self.arrived.body).context("the body is not JSON")
    }

    /// Method and target.
    pub fn line(&self) -> String {
        format!("{} {}", self.arrived.method, self.arrived.target)
    }
}

/// A vendor's endpoint: what it gets it verifies, reports and answers.
pub struct Vendor {
    /// Its name in the story.
    pub name: &'static str,
    /// What it does.
    pub does: &'static str,
    /// The key its senders sign with.
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
            // The story may be over; the endpoint answers all the same.
            drop(report.send(Received { arrived, verified, said: said.clone() }));
            said
        })
        .await?;
        Ok(Self { name, does, key, endpoint, received })
    }

    /// Its address as a URL without a path.
    pub fn url(&self) -> String {
        self.endpoint.url()
    }

    /// The next delivery, its signature verified.
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
    /// An ERP of Divalto's kind.
    pub erp: Vendor,
    /// An ArcGIS portal.
    pub portal: Vendor,
    /// A chat.
    pub slack: Vendor,
    /// What was agreed on.
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

    /// Calls the host as somebody outside would, without a token.
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

    /// Shows what arrives, for as long as it is asked to.
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
