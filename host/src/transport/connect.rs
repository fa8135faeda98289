//! Opening a connection: resolve, test, dial, shake hands. What was tested is what is dialled.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
    vec,
};

use futures::future::BoxFuture;
use http::{Uri, uri::Scheme};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
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
    address::{AddressPolicy, Destination},
    failure::{find, innermost},
    resolve::Names,
};
use crate::model::outcome::{Failure, FailureKind};

/// A connection, encrypted or not.
pub(super) type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// A failure on its way through hyper's errors, in which it is found again by [`super::failure`].
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.detail)]
pub(super) struct NotConnected(pub(super) Failure);

/// What every connection has in common.
#[derive(Clone, Debug)]
pub(super) struct Dialer {
    pub policy: Arc<AddressPolicy>,
    pub names: Names,
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
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = NotConnected;
    type Future = BoxFuture<'static, Result<Stream, NotConnected>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NotConnected>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.open(uri).await.map_err(NotConnected) })
    }
}

impl Connector {
    async fn open(self, uri: Uri) -> Result<Stream, Failure> {
        let Dialer { policy, names, dns_time_max, connect_time_max } = self.dialer;
        let plain = uri.scheme() == Some(&Scheme::HTTP);
        let host = uri.host().unwrap_or_default().to_owned();
        let port = uri.port_u16().unwrap_or(if plain { 80 } else { 443 });

        let addresses = names.resolve(&host, port, dns_time_max).await?;
        let addresses = policy.admit(Destination { host: &host, plain, to_code: self.to_code }, &addresses)?;

        let deadline = Instant::now() + connect_time_max;
        let late = |what: &str| Failure::new(FailureKind::ConnectTimeout, format!("{what} `{host}:{port}` within {connect_time_max:?}"));
        let tcp = timeout_at(deadline, tcp(uri.clone(), addresses, connect_time_max)).await;
        let tcp = tcp.map_err(|_| late("no connection to"))?.map_err(|error| match find::<std::io::Error>(&error) {
            Some(io) if io.kind() == std::io::ErrorKind::TimedOut => late("no connection to"),
            _ => Failure::new(FailureKind::ConnectFailed, format!("no connection to `{host}:{port}`: {}", innermost(&error))),
        })?;
        let stream = timeout_at(deadline, HttpsConnector::from((Dialled(Some(tcp)), self.tls)).call(uri)).await;
        stream
            .map_err(|_| late("no TLS handshake with"))?
            .map_err(|error| Failure::new(FailureKind::TlsFailed, format!("no TLS with `{host}:{port}`: {}", innermost(&*error))))
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
struct Dialled(Option<TokioIo<TcpStream>>);

impl Service<Uri> for Dialled {
    type Response = TokioIo<TcpStream>;
    type Error = std::io::Error;
    type Future = Ready<Result<Self::Response, std::io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), std::io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        ready(self.0.take().ok_or_else(|| std::io::ErrorKind::NotConnected.into()))
    }
}
