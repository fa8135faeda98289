//! Opening a connection: resolve, test, dial, shake hands. What was tested is what is dialled, or what a proxy is asked for.

use std::{
    convert::Infallible,
    fmt,
    future::{Ready, ready},
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
    vec,
};

use futures::future::BoxFuture;
use http::{Uri, uri::Scheme};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::connect::{HttpConnector, dns::Name},
    rt::TokioIo,
};
use rustls::ClientConfig;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tower_service::Service;

use super::{
    address::{AddressPolicy, AddressProblem, Destination, literal},
    causes::{find, innermost},
    failure::NotConnected,
    progress::{WithProgress, with_progress},
    resolve::Names,
    tunnel::{Stream, Wire, tunnel},
};
use crate::model::{
    outcome::{Failure, FailureKind},
    proxy::{Proxies, Proxy, Resolve},
};

/// What every connection has in common.
#[derive(Clone, Debug)]
pub(super) struct Dialer {
    pub policy: Arc<AddressPolicy>,
    pub names: Names,
    pub proxies: Proxies,
    pub dns_time_max: Duration,
    pub connect_time_max: Duration,
}

/// Opens connections with one trust store and client certificate.
#[derive(Clone)]
pub(super) struct Connector {
    pub dialer: Dialer,
    pub tls: Arc<ClientConfig>,
    /// Whether every request over these connections goes to a webhook code.
    pub to_code: bool,
    /// Where the host is, in place of what the name service says.
    pub pinned: Option<SocketAddr>,
}

impl Service<Uri> for Connector {
    type Response = WithProgress;
    type Error = NotConnected;
    type Future = BoxFuture<'static, Result<WithProgress, NotConnected>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NotConnected>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.open(uri).await.map(with_progress).map_err(NotConnected) })
    }
}

impl Connector {
    async fn open(self, uri: Uri) -> Result<Stream, Failure> {
        let target = Target::of(&uri);
        let addresses = self.addresses(&target).await?;
        let addresses = self.admit(&target, &addresses)?;
        let deadline = Instant::now() + self.dialer.connect_time_max;
        let wire = self.dial(&target, addresses, deadline).await?;
        self.shake_hands(&target, wire, uri, deadline).await
    }

    /// Where the host is; nowhere that we know, if the proxy looks it up.
    pub(super) async fn addresses(&self, target: &Target) -> Result<Vec<SocketAddr>, Failure> {
        match (self.pinned, self.dialer.proxies.of(&target.host)) {
            (Some(address), _) => Ok(vec![address]),
            (None, Some(Proxy { resolve: Resolve::Proxy, .. })) if literal(&target.host).is_none() => match target.plain {
                // What networks are open to it cannot be told without the address.
                true => Err(AddressProblem::PlainHttpUnknown { host: target.host.clone() }.into()),
                false => Ok(Vec::new()),
            },
            _ => self.dialer.names.resolve(&target.host, target.port, self.dialer.dns_time_max).await,
        }
    }

    /// The addresses that may be dialled.
    pub(super) fn admit(&self, target: &Target, addresses: &[SocketAddr]) -> Result<Vec<SocketAddr>, Failure> {
        // What an admin pins is never one of our own listeners: that it is one would go unnoticed where calls to ourselves are counted.
        let to_code = self.to_code && self.pinned.is_none();
        let to = Destination { host: &target.host, plain: target.plain, to_code };
        Ok(self.dialer.policy.admit(to, addresses)?)
    }

    /// A connection to one of the addresses, by way of the host's proxy if it has one.
    pub(super) async fn dial(&self, target: &Target, addresses: Vec<SocketAddr>, deadline: Instant) -> Result<Wire, Failure> {
        let Some(proxy) = self.dialer.proxies.of(&target.host) else {
            // The port of a pinned address is another than the URL's, which would win otherwise.
            let at = self.pinned.map_or_else(|| format!("{}:{}", target.host, target.port), |address| address.to_string());
            return self.tcp(&at, addresses, target, deadline).await.map(Wire::new);
        };
        if target.is_relayed() {
            return self.to_proxy(proxy, deadline).await.map(Wire::relayed);
        }
        // One after the other: a proxy says that it cannot reach an address, where a dialler would have tried the next.
        let asked_for = match addresses.is_empty() {
            true => vec![format!("{}:{}", target.host, target.port)],
            false => addresses.iter().map(ToString::to_string).collect(),
        };
        let mut refusals = Vec::new();
        for to in asked_for {
            let tcp = self.to_proxy(proxy, deadline).await?;
            match timeout_at(deadline, tunnel(proxy, tcp, &to)).await {
                Err(_) => return Err(self.late("no connection to", format_args!("{target} through {proxy}"))),
                Ok(Ok(wire)) => return Ok(wire),
                Ok(Err(refusal)) => refusals.push(refusal),
            }
        }
        let why = format!("no connection to {target} through {proxy}: {}", refusals.join("; "));
        Err(Failure::new(FailureKind::ConnectFailed, why))
    }

    /// The proxy's own address is the operator's word: it is not tested.
    async fn to_proxy(&self, proxy: &Proxy, deadline: Instant) -> Result<TokioIo<TcpStream>, Failure> {
        let found = self.dialer.names.resolve(&proxy.host, proxy.port, self.dialer.dns_time_max).await;
        let found =
            found.map_err(|failure| Failure::new(FailureKind::ConnectFailed, format!("{proxy} is not found: {}", failure.detail)))?;
        let at =
            if proxy.host.contains(':') { format!("[{}]:{}", proxy.host, proxy.port) } else { format!("{}:{}", proxy.host, proxy.port) };
        self.tcp(&at, found, proxy, deadline).await
    }

    async fn tcp(
        &self,
        authority: &str,
        addresses: Vec<SocketAddr>,
        to: impl fmt::Display,
        deadline: Instant,
    ) -> Result<TokioIo<TcpStream>, Failure> {
        let failed = |why: &dyn fmt::Display| Failure::new(FailureKind::ConnectFailed, format!("no connection to {to}: {why}"));
        // Dialling looks at host and port alone.
        let at = Uri::builder().scheme(Scheme::HTTP).authority(authority).path_and_query("/").build().map_err(|error| failed(&error))?;
        let tcp = timeout_at(deadline, tcp(at, addresses, self.dialer.connect_time_max)).await;
        tcp.map_err(|_| self.late("no connection to", &to))?.map_err(|error| match find::<std::io::Error>(&error) {
            Some(io) if io.kind() == std::io::ErrorKind::TimedOut => self.late("no connection to", &to),
            _ => failed(innermost(&error)),
        })
    }

    pub(super) async fn shake_hands(&self, target: &Target, wire: Wire, uri: Uri, deadline: Instant) -> Result<Stream, Failure> {
        let stream = timeout_at(deadline, HttpsConnector::from((Dialled(Some(wire)), Arc::clone(&self.tls))).call(uri)).await;
        stream
            .map_err(|_| self.late("no TLS handshake with", target))?
            .map_err(|error| Failure::new(FailureKind::TlsFailed, format!("no TLS with {target}: {}", innermost(&*error))))
    }

    fn late(&self, what: &str, whom: impl fmt::Display) -> Failure {
        Failure::new(FailureKind::ConnectTimeout, format!("{what} {whom} within {:?}", self.dialer.connect_time_max))
    }
}

/// What a URL says of where to connect.
#[derive(Debug)]
pub(super) struct Target {
    pub host: String,
    port: u16,
    pub plain: bool,
}

impl Target {
    pub(super) fn of(uri: &Uri) -> Self {
        let plain = uri.scheme() == Some(&Scheme::HTTP);
        Self { host: uri.host().unwrap_or_default().to_owned(), port: uri.port_u16().unwrap_or(if plain { 80 } else { 443 }), plain }
    }

    /// Whether a proxy is given the request itself, with its whole URL. Only where that URL spells the address out: a proxy writes the
    /// URL's host into `Host` (RFC 9112, 3.2.2), so that a name there would be the proxy's to look up, and an address in its place
    /// would cost the endpoint its name. A name goes through a tunnel, plain `http` too.
    pub(super) fn is_relayed(&self) -> bool {
        self.plain && literal(&self.host).is_some()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}:{}`", self.host, self.port)
    }
}

/// Dials the addresses, both families at once (RFC 8305), with Nagle's algorithm off.
async fn tcp(
    uri: Uri,
    addresses: Vec<SocketAddr>,
    time_max: Duration,
) -> Result<TokioIo<TcpStream>, <HttpConnector<Tested> as Service<Uri>>::Error> {
    let mut http = HttpConnector::new_with_resolver(Tested(addresses));
    http.enforce_http(false);
    http.set_nodelay(true);
    // Shared out among the addresses: one that swallows packets leaves time for the next.
    http.set_connect_timeout(Some(time_max));
    http.call(uri).await
}

/// In place of a resolver: the addresses that were tested, and no others. Not asked where the host is an address itself, which
/// then is the one that was tested.
#[derive(Clone)]
struct Tested(Vec<SocketAddr>);

impl Service<Name> for Tested {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Name) -> Self::Future {
        ready(Ok(self.0.clone().into_iter()))
    }
}

/// In place of a connector: the connection that is there already. The handshake is a step of its own, so that what fails in it is
/// known to be TLS.
struct Dialled(Option<Wire>);

impl Service<Uri> for Dialled {
    type Response = Wire;
    type Error = std::io::Error;
    type Future = Ready<Result<Self::Response, std::io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), std::io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        ready(self.0.take().ok_or_else(|| std::io::ErrorKind::NotConnected.into()))
    }
}
