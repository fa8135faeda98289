//! The way out: one HTTP request to an address the policy allows, its answer within limits of time and size, or the one word that
//! says why there is none.
//!
//! Redirects are never followed, proxy environment variables are not read. Retries, signatures and credentials are decided elsewhere,
//! but for what is safe to send again at once (see `exchange`); a [`Failure`] up to [`FailureKind::ConnectTimeout`] means that the request was
//! never written. An answer whose head came is an answer, also where its body is not whole.

pub mod address;
mod answer;
mod causes;
mod client;
mod coding;
mod connect;
mod exchange;
mod failure;
mod own;
mod probe;
mod progress;
mod resolve;
mod tls;
mod tunnel;

pub use answer::Answer;
pub use client::lenient;
pub use coding::UNDERSTOOD;
pub use own::{OwnListeners, is_code_path};
pub use probe::{Probe, Step};
pub use resolve::Names;
pub(crate) use tls::certificates;
pub use tls::{BadTls, TlsSettings};

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header, uri::PathAndQuery};
use http_body_util::Full;
use ipnet::IpNet;
use tokio::time::{Instant, timeout_at};
use url::Url;

use self::{
    address::{AddressPolicy, AddressProblem, Destination, name_of},
    answer::Reading,
    client::{Clients, Route},
    connect::{Dialer, Target},
    exchange::Exchange,
};
use crate::model::{
    outcome::{Failure, FailureKind},
    proxy::Proxies,
};

/// Who we say we are, unless a webhook says otherwise.
pub const AGENT: &str = concat!("Hookwright/", env!("CARGO_PKG_VERSION"));
/// How long a name may take to resolve, unless an option says otherwise (Stripe's Smokescreen: 5 s).
pub const DNS_TIME_MAX: Duration = Duration::from_secs(5);
/// How long a connection may take, unless an option says otherwise (Stripe's Smokescreen: 10 s).
pub const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);

/// Headers the connection owns: what a request brings of them is left out, so that it cannot be framed in two ways.
const CONNECTION_HEADERS: [HeaderName; 9] = [
    header::HOST,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TE,
    header::UPGRADE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// What the transport is told at its start.
#[derive(Clone, Debug)]
pub struct TransportOptions {
    /// Networks that may be called besides public addresses, and by plain `http`.
    pub allow_networks: Vec<IpNet>,
    /// How long a name may take to resolve.
    pub dns_time_max: Duration,
    /// How long a connection may take, the TLS handshake included.
    pub connect_time_max: Duration,
    /// Where this host itself listens.
    pub own: Arc<OwnListeners>,
    /// Where addresses come from.
    pub names: Names,
    /// What stands in between, host by host.
    pub proxies: Proxies,
}

impl Default for TransportOptions {
    fn default() -> Self {
        Self {
            allow_networks: Vec::new(),
            dns_time_max: DNS_TIME_MAX,
            connect_time_max: CONNECT_TIME_MAX,
            own: Arc::default(),
            names: Names::System,
            proxies: Proxies::default(),
        }
    }
}

/// A request, ready to go: signed, with its credentials.
#[derive(Clone)]
pub struct Outgoing {
    /// The method.
    pub method: Method,
    /// Where to: scheme, host and port are taken from it.
    pub url: Url,
    /// The same URL as it is written: path and query go out byte for byte as they stand here.
    pub exact_url: String,
    /// The headers. `host`, `content-length` and what else belongs to the connection are put by it.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// From now to the last byte of the answer. Zero: no answer is waited for. Once the request is handed to a connection, that
    /// comes back as [`FailureKind::Timeout`]; whatever keeps it from there comes back as itself.
    pub total_time_max: Duration,
    /// Bytes of the answer's body, without its content coding.
    pub response_bytes_max: usize,
    /// Trust and client certificate; absent: the public authorities, no certificate.
    pub tls: Option<Arc<TlsSettings>>,
    /// Where the host is, in place of what the name service says.
    pub pinned: Option<SocketAddr>,
}

/// Sends requests; clones are the same transport. Connections are kept and shared between webhooks with the same trust and client certificate.
#[derive(Clone)]
pub struct Transport {
    dialer: Dialer,
    clients: Clients,
    public: Arc<TlsSettings>,
}

impl Transport {
    /// A transport without connections. Fails only where TLS cannot be set up at all.
    pub fn new(options: TransportOptions) -> Result<Self, BadTls> {
        let TransportOptions { allow_networks, dns_time_max, connect_time_max, own, names, proxies } = options;
        let policy = Arc::new(AddressPolicy::new(allow_networks, own));
        let dialer = Dialer { policy, names, proxies, dns_time_max, connect_time_max };
        Ok(Self { clients: Clients::new(dialer.clone()), dialer, public: Arc::new(TlsSettings::public()?) })
    }

    /// What can be said of a URL when it is written: scheme, user name, fragment, host. Its address is tested at each connection.
    pub fn check_url(&self, url: &str) -> Result<(), AddressProblem> {
        self.dialer.policy.check_url(url)
    }

    /// Whether `host` may be said to be at `address`. It is tested again at each connection.
    pub fn check_address(&self, host: &str, address: SocketAddr) -> Result<(), AddressProblem> {
        self.dialer.policy.admit(Destination { host, plain: false, to_code: false }, &[address]).map(drop)
    }

    /// Whether a URL is one of this host's own codes. A name is resolved for that, but only if port and path already fit.
    pub async fn is_own(&self, url: &Url) -> bool {
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { return false };
        let own = self.dialer.policy.own();
        if !is_code_path(url.path()) || !own.listens_on(port) {
            return false;
        }
        let addresses = self.dialer.names.resolve(host, port, self.dialer.dns_time_max).await.unwrap_or_default();
        addresses.into_iter().any(|address| own.covers(address))
    }

    /// Sends a request and reads the answer: the whole of it, or what there is of its body with the reason why that is not all.
    pub async fn send(&self, request: Outgoing) -> Result<Answer, Failure> {
        let Outgoing { method, url, exact_url, headers, body, total_time_max, response_bytes_max, tls, pinned } = request;
        let deadline = Instant::now() + total_time_max;
        self.dialer.policy.check(&url)?;
        let name = name_of(&url);
        let uri = uri(&url, &exact_url)?;
        let to_code = uri.path_and_query().is_some_and(|path| is_code_path(path.path()));
        let target = Target::of(&uri);
        let mut request = assemble(method, uri, headers, body);
        if target.is_relayed()
            && let Some(authorization) = self.dialer.proxies.of(&target.host).and_then(tunnel::authorization)
        {
            request.headers_mut().insert(header::PROXY_AUTHORIZATION, authorization);
        }
        let route = Route { tls: tls.unwrap_or_else(|| Arc::clone(&self.public)), to_code, pinned };
        let exchange = Exchange { clients: self.clients.clone(), route, name };
        if total_time_max.is_zero() {
            return Err(exchange.hand_over(request).await);
        }
        let answered = timeout_at(deadline, exchange.run(request)).await;
        let name = exchange.name;
        let answered =
            answered.map_err(|_| Failure::new(FailureKind::Timeout, format!("`{name}` did not answer within {total_time_max:?}")))?;
        Ok(Reading { name: &name, deadline, total_time_max, bytes_max: response_bytes_max }.answer(answered?).await)
    }
}

/// The URI whose path and query come out on the wire as they are written.
fn uri(url: &Url, exact_url: &str) -> Result<Uri, Failure> {
    let invalid = |detail: &str| Failure::new(FailureKind::RequestInvalid, detail);
    // The URL parser forgives `https:host` and `https:///host`, where it cannot be told what of it is the path.
    let (_, rest) = exact_url.split_once("://").ok_or_else(|| invalid("a URL begins with `https://`"))?;
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len()));
    let wanted = match path.as_bytes().first() {
        _ if authority.is_empty() => return Err(invalid("a URL's host follows `://`")),
        Some(b'/') => path.to_owned(),
        None | Some(b'?') => format!("/{path}"),
        Some(_) => return Err(invalid("a URL's path begins with `/`, and a URL to be called has no fragment")),
    };
    // The parser cuts a fragment off without a word, and passes some bytes no server expects.
    if let Some(at) = wanted.bytes().position(|byte| !byte.is_ascii_graphic() || byte == b'#') {
        return Err(invalid(&format!(
            "byte {at} of the URL's path and query has to be percent-encoded: a control, a space, `#` or not ASCII"
        )));
    }
    let path = PathAndQuery::try_from(wanted.as_str()).ok().filter(|path| path.as_str() == wanted);
    let path = path.ok_or_else(|| invalid("the URL's path or query holds a character that has to be percent-encoded"))?;
    let uri = Uri::builder().scheme(url.scheme()).authority(&url[url::Position::BeforeHost..url::Position::AfterPort]).path_and_query(path);
    uri.build().map_err(|_| invalid("the URL's host cannot be called"))
}

fn assemble(method: Method, uri: Uri, mut headers: HeaderMap, body: Bytes) -> Request<Full<Bytes>> {
    for name in &CONNECTION_HEADERS {
        headers.remove(name);
    }
    // RFC 9110, 8.6: a method whose body would mean something says that there is none. hyper leaves that to us.
    if body.is_empty() && matches!(method, Method::POST | Method::PUT | Method::PATCH) {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    headers.entry(header::ACCEPT_ENCODING).or_insert(HeaderValue::from_static(UNDERSTOOD));
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    request
}

#[cfg(test)]
mod tests;
