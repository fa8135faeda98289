//! The HTTP edge: accept loop, routing, one file per resource. Status codes stand in `respond` and nowhere else.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use http::{Request, Response, header::EXPECT};
use http_body_util::Full;
use hyper::{
    body::{Body as _, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::{net::TcpListener, sync::Semaphore};

use crate::services::Services;

pub mod actions;
pub mod arcgis;
pub mod audit;
pub mod calls;
pub mod codes;
pub mod cx;
pub mod deliveries;
pub mod events;
pub mod health;
pub mod inbound;
pub mod inline;
pub mod invoke;
pub mod maintenance;
pub mod metrics;
pub mod openapi;
pub mod plugins;
pub mod profiles;
pub mod receivers;
pub mod recovery;
pub mod rehearsals;
pub mod request;
pub mod respond;
pub mod router;
pub mod secrets;
pub mod services;
pub mod sessions;
pub mod templates;
pub mod tokens;
pub mod triggers;
pub mod webhooks;

/// Bytes of an answer.
pub type Body = Full<bytes::Bytes>;

/// Connections at once; further ones wait in the listener's queue.
const CONNECTIONS_MAX: usize = 10_000;
/// How long a client may take to send its request's head.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);
/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Requests at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 128;

/// Serves until the host stops, then lets what is in flight end.
pub async fn serve(listener: TcpListener, services: Services) {
    let router = Arc::new(router::Router::new());
    let graceful = GracefulShutdown::new();
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIME_MAX).max_buf_size(HEAD_BYTES_MAX);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(STREAMS_MAX).max_header_list_size(HEAD_BYTES_MAX as u32);
    loop {
        // The permit comes first: a connection we cannot serve yet is not taken from the queue.
        let accepted = tokio::select! {
            () = services.stop.cancelled() => break,
            accepted = async {
                let permit = Arc::clone(&connections).acquire_owned().await.ok()?;
                Some((permit, listener.accept().await))
            } => accepted,
        };
        let Some((permit, accepted)) = accepted else { break };
        let (stream, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, mostly: a pause lets some be given back.
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        // Answers are small: waiting to fill a packet would only delay them.
        drop(stream.set_nodelay(true));
        let (router, services) = (Arc::clone(&router), services.clone());
        let service = service_fn(move |request| answer(Arc::clone(&router), services.clone(), request, remote));
        let connection = graceful.watch(builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned());
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, %remote, "a connection ended badly");
            }
            drop(permit);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

async fn answer(
    router: Arc<router::Router>,
    services: Services,
    request: Request<Incoming>,
    remote: SocketAddr,
) -> Result<Response<Body>, Infallible> {
    let (mut parts, mut body) = request.into_parts();
    let request_id = audit::request_id(&parts.headers);
    parts.headers.insert(audit::REQUEST_ID, request_id.clone());
    // Who expects a `100 Continue` has not sent what nobody asked for.
    let sends_anyway = !parts.headers.contains_key(EXPECT);
    let metrics = services.metrics.clone();
    let mut response = router.answer(services, parts, &mut body, remote).await;
    response.headers_mut().insert(audit::REQUEST_ID, request_id);
    metrics.answered(response.status().as_u16());
    if sends_anyway && !body.is_end_stream() {
        tokio::spawn(request::discard(body));
    }
    Ok(response)
}
