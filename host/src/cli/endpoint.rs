//! A small HTTP/1.1 server for the subcommands that play an endpoint: `demo`, `sink`, `bench`.
//!
//! It shares no code with the host's own server, and [`standard_webhooks`] shares none with the host's signing. So what they find out
//! about a delivery is independent evidence.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::{CancellationToken, DropGuard};

pub mod standard_webhooks;

/// Longest body of a request, in bytes.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest time a stop waits for answers that are being written.
const STOP_TIME_MAX: Duration = Duration::from_secs(5);

/// Any free port, reachable only from this machine.
pub const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A request that arrived.
#[derive(Clone, Debug)]
pub struct Arrived {
    pub method: Method,
    /// Path and query, as sent.
    pub target: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Arrived {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The path without the query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Said {
    pub status: u16,
    /// The media type of the body.
    pub content_type: &'static str,
    pub body: Bytes,
}

impl Said {
    pub fn json(status: u16, document: &serde_json::Value) -> Self {
        Self { status, content_type: "application/json", body: document.to_string().into() }
    }

    pub fn text(status: u16, text: impl Into<Bytes>) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body: text.into() }
    }
}

/// A server that listens. It stops when this value is dropped.
#[derive(Debug)]
pub struct Endpoint {
    pub address: SocketAddr,
    serving: JoinHandle<()>,
    stop: DropGuard,
}

impl Endpoint {
    /// Starts to listen. `answer` gives the answer to each request.
    pub async fn start(listen: SocketAddr, answer: impl Fn(Arrived) -> Said + Send + Sync + 'static) -> std::io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let serving = tokio::spawn(serve(listener, Arc::new(answer), stop.clone()));
        Ok(Self { address, serving, stop: stop.drop_guard() })
    }

    /// The server's address as a URL without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits for the answers that are being written, then stops.
    pub async fn stop(self) {
        drop(self.stop);
        // A panic was already reported where it happened.
        drop(self.serving.await);
    }
}

async fn serve<F: Fn(Arrived) -> Said + Send + Sync + 'static>(listener: TcpListener, answer: Arc<F>, stop: CancellationToken) {
    let graceful = GracefulShutdown::new();
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new());
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else { continue };
        // Answers are small. Waiting to fill a packet would only delay them.
        drop(stream.set_nodelay(true));
        let answer = Arc::clone(&answer);
        let service = service_fn(move |request| {
            let answer = Arc::clone(&answer);
            async move { Ok::<_, Infallible>(respond(&*answer, request).await) }
        });
        let connection = graceful.watch(builder.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move { drop(connection.await) });
    }
    drop(listener);
    drop(tokio::time::timeout(STOP_TIME_MAX, graceful.shutdown()).await);
}

async fn respond(answer: &impl Fn(Arrived) -> Said, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let said = match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(body) => {
            let target = parts.uri.path_and_query().map_or_else(|| parts.uri.to_string(), ToString::to_string);
            answer(Arrived { method: parts.method, target, headers: parts.headers, body: body.to_bytes() })
        }
        Err(error) => Said::text(400, format!("the body did not arrive: {error}")),
    };
    let mut response = Response::new(Full::new(said.body));
    *response.status_mut() = http::StatusCode::from_u16(said.status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(said.content_type));
    response
}
