//! Whether an endpoint can be reached, step by step: name, address policy, connection, TLS, an answer. No credential is sent.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, Method};
use hyper_rustls::MaybeHttpsStream;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::time::{Duration, Instant};
use url::Url;
use utoipa::ToSchema;

use super::{
    Outgoing, TlsSettings, Transport,
    connect::{Connector, Target},
    tunnel::Stream,
    uri,
};
use crate::model::outcome::Failure;

/// How long the answer of a probe may take.
pub const PROBE_TIME_MAX: Duration = Duration::from_secs(10);
/// Bytes of a probe's answer; `HEAD` has none to speak of.
const PROBE_BYTES_MAX: usize = 64 * 1024;

/// One step on the way to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Step {
    /// `url`, `name`, `address`, `connection`, `tls` or `answer`; `credentials` before them all.
    pub step: &'static str,
    /// What was found, for people.
    pub detail: String,
    /// Why the way ends here; null: it goes on.
    pub failure: Option<Failure>,
}

impl Step {
    /// A step that went well.
    pub fn done(step: &'static str, detail: impl Into<String>) -> Self {
        Self { step, detail: detail.into(), failure: None }
    }

    /// The last step.
    pub fn failed(step: &'static str, failure: Failure) -> Self {
        Self { step, detail: failure.detail.clone(), failure: Some(failure) }
    }
}

/// What a probe found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Probe {
    /// The steps, the last one perhaps failed.
    pub steps: Vec<Step>,
    /// What the endpoint answered to a `HEAD` without credentials. Any status shows that it is there.
    pub status: Option<u16>,
}

impl Transport {
    /// Looks whether `url` can be reached.
    pub async fn probe(&self, url: &Url, exact_url: &str, tls: Option<Arc<TlsSettings>>, pinned: Option<SocketAddr>) -> Probe {
        let mut probe = Probe::default();
        if let Err((step, failure)) = self.follow(&mut probe, url, exact_url, tls, pinned).await {
            probe.steps.push(Step::failed(step, failure));
        }
        probe
    }

    async fn follow(
        &self,
        probe: &mut Probe,
        url: &Url,
        exact_url: &str,
        tls: Option<Arc<TlsSettings>>,
        pinned: Option<SocketAddr>,
    ) -> Result<(), (&'static str, Failure)> {
        let at = |step: &'static str| move |failure: Failure| (step, failure);
        self.dialer.policy.check(url).map_err(|problem| ("url", problem.into()))?;
        let uri = uri(url, exact_url).map_err(at("url"))?;
        let settings = tls.as_ref().unwrap_or(&self.public);
        let connector = Connector { dialer: self.dialer.clone(), tls: Arc::clone(settings.config()), to_code: false, pinned };
        let target = Target::of(&uri);

        let found = connector.addresses(&target).await.map_err(at("name"))?;
        let whence = if pinned.is_some() { " (as `resolve` says)" } else { "" };
        let proxy = self.dialer.proxies.of(&target.host);
        let looks_up = proxy.filter(|_| found.is_empty());
        probe.steps.push(Step::done(
            "name",
            match looks_up {
                Some(proxy) => format!("`{}` is looked up by {proxy}", target.host),
                None => format!("`{}` is at {}{whence}", target.host, list(&found)),
            },
        ));
        let admitted = connector.admit(&target, &found).map_err(at("address"))?;
        probe.steps.push(Step::done(
            "address",
            match looks_up {
                Some(_) => "known to the proxy alone, and not tested".to_owned(),
                None => format!("{} may be called", list(&admitted)),
            },
        ));

        let deadline = Instant::now() + self.dialer.connect_time_max;
        let wire = connector.dial(&target, admitted, deadline).await.map_err(at("connection"))?;
        let through = proxy.map_or_else(String::new, |proxy| format!(", which is {proxy}"));
        probe.steps.push(Step::done("connection", format!("to {}{through}", wire.peer())));
        let stream = connector.shake_hands(&target, wire, uri, deadline).await.map_err(at("tls"))?;
        probe.steps.push(Step::done("tls", encryption(&stream)));
        drop(stream);

        let answer = self.send(Outgoing {
            method: Method::HEAD,
            url: url.clone(),
            exact_url: exact_url.to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            total_time_max: PROBE_TIME_MAX,
            response_bytes_max: PROBE_BYTES_MAX,
            tls,
            pinned,
        });
        let answer = answer.await.map_err(at("answer"))?;
        probe.status = Some(answer.status);
        probe.steps.push(Step::done("answer", format!("{} to a HEAD without credentials", answer.status)));
        Ok(())
    }
}

fn list(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Version, protocol and the certificates that were shown, each by its fingerprint.
fn encryption(stream: &Stream) -> String {
    let MaybeHttpsStream::Https(stream) = stream else { return "none: plain `http`".to_owned() };
    let connection = stream.inner().get_ref().1;
    let version = connection.protocol_version().map_or_else(|| "TLS".to_owned(), |version| format!("{version:?}"));
    let alpn = connection.alpn_protocol().map_or_else(String::new, |alpn| format!(", {}", String::from_utf8_lossy(alpn)));
    let certificates = connection.peer_certificates().unwrap_or_default();
    let prints: Vec<_> = certificates.iter().map(|certificate| format!("sha256:{}", hex::encode(Sha256::digest(certificate)))).collect();
    format!("{version}{alpn}; trusted chain of {}: {}", prints.len(), prints.join(", "))
}
