//! Pools of connections, one for each trust store and client certificate, and how answers are read from them.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::{
    client::legacy::{Builder, Client},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::ClientConfig;
use tokio::time::Instant;

use super::{
    connect::{Connector, Dialer},
    tls::{TlsDigest, TlsSettings},
    tunnel::HEAD_FIELDS_MAX,
};
use crate::lock::lock;

/// Connections kept idle for one host, in one pool: as many as deliveries may be sent at once. With fewer, a busy endpoint's
/// connections are closed only to be opened again for the next delivery.
pub const IDLE_PER_HOST_MAX: usize = 256;

/// How long a connection is kept idle. Servers built on Node.js or Apache close theirs after 5 s: a request written just then would
/// be lost, and could not be sent again without knowing whether it was read.
pub const IDLE_TIME_MAX: Duration = Duration::from_secs(4);

/// Pools kept; the one unused for longest goes first.
pub const POOLS_MAX: usize = 256;

/// Bytes of an answer's head; hyper looks after each read, so that up to twice as many may come in.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Bytes of an answer's head by HTTP/2's own measure, which adds 32 for each field (RFC 9113, section 6.5.2): a head that fits
/// HTTP/1.1 fits HTTP/2.
const HEAD_LIST_BYTES_MAX: u32 = (HEAD_BYTES_MAX + 32 * HEAD_FIELDS_MAX) as u32;

/// Origins that are remembered to want HTTP/1.1; past it the one remembered for longest is forgotten.
pub const HTTP1_ORIGINS_MAX: usize = 1024;

/// How long an origin that asked for HTTP/1.1 (`HTTP_1_1_REQUIRED`) is spoken to by it.
pub const HTTP1_TIME: Duration = Duration::from_secs(3600);

/// Bytes an HTTP/2 server may send ahead on one stream.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;

/// Bytes an HTTP/2 server may send ahead on one connection.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// How often a quiet HTTP/2 connection in use is asked whether it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// How long it may take to say so.
const PING_TIME_MAX: Duration = Duration::from_secs(10);

/// A pool of connections.
pub(super) type Pool = Client<Connector, Full<Bytes>>;

/// Which connections a request may use.
#[derive(Clone)]
pub(super) struct Route {
    /// Trust and client certificate.
    pub tls: Arc<TlsSettings>,
    /// Whether the request goes to a webhook code: a connection to our own listeners, opened for a code, must not be used for anything
    /// else.
    pub to_code: bool,
    /// Where an admin says that the host is, which no other webhook needs to say.
    pub pinned: Option<SocketAddr>,
}

/// By which versions of HTTP an endpoint is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Versions {
    /// HTTP/2 where it is offered, else HTTP/1.1.
    Any,
    /// HTTP/1.1, offered to TLS alone.
    Http1,
}

/// What connections of one pool have in common.
type Key = (TlsDigest, bool, Option<SocketAddr>, Versions);

/// An endpoint that wants HTTP/1.1: its trust, where it is, and scheme, host and port.
type Origin = (TlsDigest, Option<SocketAddr>, String);

/// The pools in use.
#[derive(Clone)]
pub(super) struct Clients {
    dialer: Dialer,
    pools: Arc<Mutex<Pools>>,
}

#[derive(Default)]
struct Pools {
    by_key: HashMap<Key, (u64, Pool)>,
    /// Counts the uses, to find the pool unused for longest.
    uses: u64,
    /// The origins that want HTTP/1.1, and until when that is remembered.
    want_http1: HashMap<Origin, Instant>,
}

impl Clients {
    pub(super) fn new(dialer: Dialer) -> Self {
        Self { dialer, pools: Arc::default() }
    }

    /// The pool for a request to `origin`, and what it speaks.
    pub(super) fn kept(&self, route: &Route, origin: &str) -> (Pool, Versions) {
        let mut pools = lock(&self.pools);
        let versions = match pools.want_http1.is_empty() || !pools.wants_http1(route, origin) {
            true => Versions::Any,
            false => Versions::Http1,
        };
        let key = (route.tls.digest(), route.to_code, route.pinned, versions);
        pools.uses += 1;
        let now = pools.uses;
        if let Some((used, pool)) = pools.by_key.get_mut(&key) {
            *used = now;
            return (pool.clone(), versions);
        }
        if pools.by_key.len() >= POOLS_MAX
            && let Some(oldest) = pools.by_key.iter().min_by_key(|(_, (used, _))| *used).map(|(key, _)| *key)
        {
            pools.by_key.remove(&oldest);
        }
        let pool = builder(IDLE_PER_HOST_MAX).build(self.connector(route, versions));
        pools.by_key.insert(key, (now, pool.clone()));
        (pool, versions)
    }

    /// A client that opens a connection for each request.
    pub(super) fn fresh(&self, route: &Route, versions: Versions) -> Pool {
        builder(0).build(self.connector(route, versions))
    }

    /// Remembers that `origin` asked for HTTP/1.1.
    pub(super) fn remember_http1(&self, route: &Route, origin: &str) {
        let mut pools = lock(&self.pools);
        let wants = &mut pools.want_http1;
        if wants.len() >= HTTP1_ORIGINS_MAX
            && let Some(oldest) = wants.iter().min_by_key(|(_, until)| **until).map(|(origin, _)| origin.clone())
        {
            wants.remove(&oldest);
        }
        wants.insert(origin_of(route, origin), Instant::now() + HTTP1_TIME);
    }

    fn connector(&self, route: &Route, versions: Versions) -> Connector {
        let tls = match versions {
            Versions::Any => Arc::clone(route.tls.config()),
            Versions::Http1 => {
                let mut tls = ClientConfig::clone(route.tls.config());
                tls.alpn_protocols = vec![b"http/1.1".to_vec()];
                Arc::new(tls)
            }
        };
        Connector { dialer: self.dialer.clone(), tls, to_code: route.to_code, pinned: route.pinned }
    }
}

impl Pools {
    fn wants_http1(&mut self, route: &Route, origin: &str) -> bool {
        let origin = origin_of(route, origin);
        let is_so = self.want_http1.get(&origin).is_some_and(|until| *until > Instant::now());
        if !is_so {
            self.want_http1.remove(&origin);
        }
        is_so
    }
}

fn origin_of(route: &Route, origin: &str) -> Origin {
    (route.tls.digest(), route.pinned, origin.to_owned())
}

/// Reads heads within the limits as leniently as RFC 9112 lets a user agent: the endpoint has done what was asked of it, whatever the
/// head of its answer looks like.
pub fn lenient(builder: &mut Builder) -> &mut Builder {
    builder
        .http1_max_buf_size(HEAD_BYTES_MAX)
        .http1_max_headers(HEAD_FIELDS_MAX)
        // Section 5.2: a folded line becomes one, with spaces.
        .http1_allow_obsolete_multiline_headers_in_responses(true)
        // Section 5.1: white space before the colon is removed.
        .http1_allow_spaces_after_header_name_in_responses(true)
        // A line with a control character, or one that is no field at all, is left out.
        .http1_ignore_invalid_headers_in_responses(true)
        .http2_max_header_list_size(HEAD_LIST_BYTES_MAX)
}

/// How connections are kept, and how answers are read from them.
fn builder(idle_per_host: usize) -> Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    lenient(&mut builder)
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIME_MAX)
        .pool_max_idle_per_host(idle_per_host)
        .http2_initial_stream_window_size(STREAM_WINDOW_BYTES)
        .http2_initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keep_alive_interval(PING_INTERVAL)
        .http2_keep_alive_timeout(PING_TIME_MAX)
        // Tried again here is only what a kept connection gave back unwritten because it had been closed meanwhile.
        .retry_canceled_requests(true);
    builder
}
