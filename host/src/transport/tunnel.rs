//! The connection underneath: to the endpoint itself, through a proxy (RFC 9110, 9.3.6, `CONNECT`), or to a proxy that passes the
//! request on (RFC 9112, 3.2.2, absolute form).

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Request, header};
use http_body_util::Empty;
use hyper::{
    client::conn::http1,
    rt::{Read, ReadBufCursor, Write},
};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use super::causes::innermost;
use crate::model::{proxy::Proxy, secret::Secret};

/// Header fields of an answer's head, an endpoint's or a proxy's.
pub(super) const HEAD_FIELDS_MAX: usize = 1024;
/// Bytes of a proxy's answer to `CONNECT`.
const CONNECT_HEAD_BYTES_MAX: usize = 16 * 1024;

/// A connection, encrypted or not.
pub(super) type Stream = MaybeHttpsStream<Wire>;

/// A connection without encryption.
pub(super) struct Wire {
    tcp: TokioIo<TcpStream>,
    /// Whether the proxy at its other end passes requests on, each with its whole URL.
    relayed: bool,
}

impl Wire {
    pub(super) fn new(tcp: TokioIo<TcpStream>) -> Self {
        Self { tcp, relayed: false }
    }

    pub(super) fn relayed(tcp: TokioIo<TcpStream>) -> Self {
        Self { tcp, relayed: true }
    }

    pub(super) fn peer(&self) -> String {
        self.tcp.inner().peer_addr().map_or_else(|_| String::new(), |peer| peer.to_string())
    }
}

impl Connection for Wire {
    fn connected(&self) -> Connected {
        // Without the addresses `TokioIo` would add to every answer's extensions: nobody looks at them.
        Connected::new().proxy(self.relayed)
    }
}

impl Read for Wire {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(context, buffer)
    }
}

impl Write for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(context, bytes)
    }
}

/// What a proxy is shown of us, if it asks.
pub(super) fn authorization(proxy: &Proxy) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_bytes(proxy.authorization.as_ref().map(Secret::expose)?).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Asks the proxy at the other end of `tcp` for a connection to `to`, an address or name with its port. The error says what it
/// answered.
pub(super) async fn tunnel(proxy: &Proxy, tcp: TokioIo<TcpStream>, to: &str) -> Result<Wire, String> {
    let asking = |error: hyper::Error| format!("asked for {to}, it gave no answer that is HTTP: {}", innermost(&error));
    let mut http = http1::Builder::new();
    // As lenient as with the heads of endpoints.
    http.max_buf_size(CONNECT_HEAD_BYTES_MAX)
        .max_headers(HEAD_FIELDS_MAX)
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true)
        .ignore_invalid_headers_in_responses(true);
    let (mut sender, connection) = http.handshake::<_, Empty<Bytes>>(tcp).await.map_err(asking)?;
    let _driven = AbortOnDropHandle::new(tokio::spawn(connection.with_upgrades()));
    let mut request = Request::connect(to).header(header::HOST, to);
    if let Some(authorization) = authorization(proxy) {
        request = request.header(header::PROXY_AUTHORIZATION, authorization);
    }
    let request = request.body(Empty::new()).map_err(|error| format!("it cannot be asked for {to}: {error}"))?;
    let answer = sender.send_request(request).await.map_err(asking)?;
    if !answer.status().is_success() {
        return Err(format!("asked for {to}, it answered {}", answer.status()));
    }
    let upgraded = hyper::upgrade::on(answer).await.map_err(asking)?;
    match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) if parts.read_buf.is_empty() => Ok(Wire::new(parts.io)),
        // A server that speaks first is no HTTP server, and a proxy that goes on is no tunnel.
        _ => Err(format!("asked for {to}, it sent something behind its answer")),
    }
}
