//! Connections: limits on their number, TLS, time limits, and their end. The router answers the requests on them.

use std::{
    collections::HashMap,
    future::poll_fn,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::Instant,
};
use tokio_util::task::TaskTracker;

use super::{
    Body, answer,
    caller::{Caller, Face, network},
    router::Router,
};
use crate::{config::http::HttpSettings, lock::lock, metrics::ClosedFor, services::Services, watched::Watched};

mod activity;
pub mod certificates;
pub mod request;
pub mod response;

use activity::Activity;
pub use certificates::{Certificates, TlsError};

/// HTTP/2 streams that we may reset because of a client's protocol errors before the connection is ended.
const LOCAL_RESETS_MAX: usize = 256;

/// Longest time a connection may take to end when no request is being answered on it.
const END_TIME_MAX: Duration = Duration::from_secs(2);

/// Time between two checks of what a connection does.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// One listener.
pub struct Listener {
    pub socket: TcpListener,
    pub face: Face,
    /// Absent: plain HTTP.
    pub certificates: Option<Certificates>,
}

/// The connection limits that all listeners share.
#[derive(Clone)]
pub struct Gate {
    connections: Arc<Semaphore>,
    by_address: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Gate {
    pub fn new(settings: &HttpSettings) -> Self {
        Self { connections: Arc::new(Semaphore::new(settings.connections_max)), by_address: Arc::default() }
    }

    /// Admits a connection, unless its address has reached its limit of connections.
    fn enter(&self, remote: IpAddr, settings: &HttpSettings) -> Option<Entered> {
        if settings.trusts(remote) {
            return Some(Entered { gate: self.clone(), address: None });
        }
        let address = network(remote);
        let mut by_address = lock(&self.by_address);
        let count = by_address.entry(address).or_default();
        if *count >= settings.connections_per_address_max {
            return None;
        }
        *count += 1;
        Some(Entered { gate: self.clone(), address: Some(address) })
    }
}

/// An admitted connection. Dropping it frees its place.
struct Entered {
    gate: Gate,
    address: Option<IpAddr>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        let mut by_address = lock(&self.gate.by_address);
        if let Some(count) = by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&address);
            }
        }
    }
}

/// Accepts connections until the host stops, then waits for the requests in progress.
pub async fn serve(listener: Listener, gate: Gate, services: Services) {
    let Listener { socket, face, certificates } = listener;
    let settings = &services.limits.http;
    let router = Arc::new(Router::new());
    let tasks = TaskTracker::new();
    let builder = Arc::new(builder(settings));
    let mut turned_away = Pause::default();
    loop {
        // Take the permit first: then a connection that we cannot serve yet stays in the system's queue.
        let accepted = tokio::select! {
            () = services.stop.cancelled() => break,
            accepted = async {
                let permit = Arc::clone(&gate.connections).acquire_owned().await.ok()?;
                Some((permit, socket.accept().await))
            } => accepted,
        };
        let Some((permit, accepted)) = accepted else { break };
        let (stream, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Usually no file descriptor is free. Some are freed during the pause.
                tracing::warn!(%error, "a connection cannot be accepted");
                services.metrics.closed(ClosedFor::NotAccepted);
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Some(entered) = gate.enter(remote.ip(), settings) else {
            services.metrics.closed(ClosedFor::AddressFull);
            if turned_away.is_over() {
                let max = settings.connections_per_address_max;
                tracing::warn!(address = %remote.ip(), max, "connections are closed: the address has as many as it may (http.connections_per_address_max)");
            }
            continue;
        };
        // Answers are small. Waiting to fill a packet would only delay them.
        drop(stream.set_nodelay(true));
        let connection = Connection {
            builder: Arc::clone(&builder),
            router: Arc::clone(&router),
            services: services.clone(),
            remote,
            face,
            is_encrypted: certificates.is_some(),
        };
        let certificates = certificates.clone();
        let connected = services.metrics.connected();
        tasks.spawn(async move {
            connection.run(stream, certificates).await;
            drop((permit, entered, connected));
        });
    }
    drop(socket);
    tasks.close();
    tasks.wait().await;
}

fn builder(settings: &HttpSettings) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(settings.head_time_max).max_buf_size(settings.head_bytes_max);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(settings.streams_max)
        // Unread data stays in memory; the windows limit how much of it each connection has.
        .initial_stream_window_size(settings.stream_window)
        .initial_connection_window_size(settings.connection_window)
        .max_header_list_size(u32::try_from(settings.head_bytes_max).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(settings.pending_resets_max)
        .max_local_error_reset_streams(LOCAL_RESETS_MAX);
    builder
}

struct Connection {
    builder: Arc<auto::Builder<TokioExecutor>>,
    router: Arc<Router>,
    services: Services,
    remote: SocketAddr,
    face: Face,
    is_encrypted: bool,
}

impl Connection {
    async fn run(self, stream: TcpStream, certificates: Option<Certificates>) {
        let activity = Arc::new(Activity::default());
        let stream = Watched::new(stream, Arc::clone(&activity));
        let Some(certificates) = certificates else { return self.serve(stream, activity).await };
        let limit = self.services.limits.http.handshake_time_max;
        let shaken = tokio::time::timeout(limit, async {
            certificates.acceptor().accept(stream).await.inspect_err(|error| tracing::debug!(%error, remote = %self.remote, "no TLS")).ok()
        });
        // A client that takes too long is dropped. If a stop cuts a client off here, it had sent no request yet.
        let stop = self.services.stop.clone();
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            shaken = shaken => match shaken {
                Ok(Some(stream)) => self.serve(stream, activity).await,
                Ok(None) => self.services.metrics.closed(ClosedFor::HandshakeFailed),
                Err(_) => self.services.metrics.closed(ClosedFor::HandshakeSlow),
            },
        }
    }

    async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(self, stream: S, activity: Arc<Activity>) {
        let Self { builder, router, services, remote, face, is_encrypted } = self;
        let settings = services.limits.http.clone();
        let stop = services.stop.clone();
        let service = {
            let (activity, services) = (Arc::clone(&activity), services.clone());
            service_fn(move |request: Request<Incoming>| {
                let answering = activity.answering();
                let answer = answer(Arc::clone(&router), services.clone(), request, Caller { remote, face, is_encrypted });
                async move {
                    let response: Response<Body> = answer.await;
                    drop(answering);
                    Ok::<_, std::convert::Infallible>(response)
                }
            })
        };
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
        let mut connection = std::pin::pin!(connection);
        let mut looks = tokio::time::interval_at(Instant::now() + LOOK_EVERY, LOOK_EVERY);
        let mut ending: Option<Instant> = None;
        loop {
            tokio::select! {
                ended = poll_fn(|context| Pin::as_mut(&mut connection).poll(context)) => {
                    if let Err(error) = ended {
                        if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_timeout) {
                            services.metrics.closed(ClosedFor::HeadSlow);
                        }
                        tracing::debug!(%error, %remote, "a connection ended badly");
                    }
                    return;
                }
                () = stop.cancelled(), if ending.is_none() => {
                    connection.as_mut().graceful_shutdown();
                    ending = Some(Instant::now());
                }
                _ = looks.tick() => match ending {
                    // Requests in progress are answered first. The time limit for a whole stop bounds this wait.
                    Some(since) if !activity.is_answering() && since.elapsed() >= END_TIME_MAX && activity.is_still(END_TIME_MAX) => return,
                    Some(_) => {}
                    None if activity.is_over(&settings) => {
                        services.metrics.closed(if activity.has_asked() { ClosedFor::Idle } else { ClosedFor::HeadSlow });
                        connection.as_mut().graceful_shutdown();
                        ending = Some(Instant::now());
                    }
                    None => {}
                },
            }
        }
    }
}

/// Allows one line of log a second.
#[derive(Default)]
struct Pause(Option<Instant>);

impl Pause {
    fn is_over(&mut self) -> bool {
        let is_over = self.0.is_none_or(|last| last.elapsed() >= Duration::from_secs(1));
        if is_over {
            self.0 = Some(Instant::now());
        }
        is_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_connections_and_a_trusted_proxy_as_many_as_it_likes() {
        let settings = HttpSettings {
            connections_per_address_max: 2,
            trusted_proxies: vec!["10.0.0.0/8".parse().expect("a network")],
            ..HttpSettings::default()
        };
        let gate = Gate::new(&settings);
        let enter = |address: &str| gate.enter(address.parse().expect("an address"), &settings);
        let (first, second) = (enter("192.0.2.1"), enter("::ffff:192.0.2.1"));
        assert!(first.is_some() && second.is_some() && enter("192.0.2.1").is_none());
        assert!(enter("192.0.2.2").is_some());
        drop(first);
        let held = enter("192.0.2.1");
        assert!(held.is_some() && enter("192.0.2.1").is_none());
        let v6 = [enter("2001:db8::1"), enter("2001:db8::2")];
        assert!(v6.iter().all(Option::is_some) && enter("2001:db8::3").is_none() && enter("2001:db8:0:1::1").is_some());
        let proxied: Vec<_> = (0..10).map(|_| enter("10.1.2.3")).collect();
        assert!(proxied.iter().all(Option::is_some));
    }
}
