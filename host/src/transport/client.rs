//! Pools of connections, one for each trust store and client certificate.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};

use super::{
    connect::{Connector, Dialer},
    tls::{TlsDigest, TlsSettings},
};

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

/// The settings' digest; whether everything in the pool goes to webhook codes: a connection to our own listeners, opened for a code,
/// must not be used for anything else; and where an admin says that the host is, which no other webhook needs to say.
type Key = (TlsDigest, bool, Option<SocketAddr>);

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
}

impl Clients {
    pub(super) fn new(dialer: Dialer) -> Self {
        Self { dialer, pools: Arc::default() }
    }

    /// The pool for these settings.
    pub(super) fn get(&self, tls: &TlsSettings, to_code: bool, pinned: Option<SocketAddr>) -> Pool {
        let key = (tls.digest(), to_code, pinned);
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.uses += 1;
        let now = pools.uses;
        if let Some((used, pool)) = pools.by_key.get_mut(&key) {
            *used = now;
            return pool.clone();
        }
        if pools.by_key.len() >= POOLS_MAX
            && let Some(oldest) = pools.by_key.iter().min_by_key(|(_, (used, _))| *used).map(|(key, _)| *key)
        {
            pools.by_key.remove(&oldest);
        }
        let pool = pool(Connector { dialer: self.dialer.clone(), tls: Arc::clone(tls.config()), to_code, pinned });
        pools.by_key.insert(key, (now, pool.clone()));
        pool
    }
}

fn pool(connector: Connector) -> Pool {
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIME_MAX)
        .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
        .http1_max_buf_size(HEAD_BYTES_MAX)
        .http2_initial_stream_window_size(STREAM_WINDOW_BYTES)
        .http2_initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keep_alive_interval(PING_INTERVAL)
        .http2_keep_alive_timeout(PING_TIME_MAX)
        // Tried again is only what a kept connection gave back unwritten because it had been closed meanwhile.
        .retry_canceled_requests(true)
        .build(connector)
}
