//! What was written -> what it means. Every limit lives here with its name, its unit and its default.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;

use crate::model::proxy::Proxies;

/// Everything the host is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The data directory.
    pub data: PathBuf,
    /// Networks the host may call besides public addresses, and by plain `http`.
    pub allow_networks: Vec<IpNet>,
    /// What stands between the host and whom it calls.
    pub proxies: Proxies,
    /// Where the storage key is read from; absent: `DATA/key`, made at the first start.
    pub key_file: Option<PathBuf>,
    /// The executable that compiles plugins as a child process (`hookwright compile`); absent: this one.
    pub compiler: Option<PathBuf>,
    /// Whether the active plugins are made ready in the background at the start, so that the first delivery after an upgrade waits
    /// for no compilation.
    pub warm_plugins: bool,
    /// The limits.
    pub limits: Limits,
}

impl Config {
    /// The defaults, for `data`, on `listen`.
    pub fn new(data: impl Into<PathBuf>, listen: SocketAddr) -> Self {
        Self {
            listen,
            data: data.into(),
            allow_networks: Vec::new(),
            proxies: Proxies::default(),
            key_file: None,
            compiler: None,
            warm_plugins: false,
            limits: Limits::default(),
        }
    }
}

/// What bounds the host. Durations are `std::time::Duration`, sizes bytes.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Events in one `POST /v1/events`.
    pub events_per_request_max: usize,
    /// Bytes of one event's data.
    pub event_bytes_max: usize,
    /// Bytes of an API request's body.
    pub request_bytes_max: usize,
    /// Bytes of a plugin's upload.
    pub plugin_bytes_max: usize,
    /// Wall time of one call of a plugin.
    pub plugin_time_max: Duration,
    /// Linear memory of one plugin instance, in bytes.
    pub plugin_memory_bytes_max: usize,
    /// Bytes one call of a plugin may return.
    pub plugin_output_bytes_max: usize,
    /// Bytes of log kept of one call of a plugin.
    pub plugin_log_bytes_max: usize,
    /// Plugin instances alive at once.
    pub plugin_instances_max: u32,
    /// Calls waiting for a plugin instance.
    pub plugin_queue_max: usize,
    /// Wall time of one compilation.
    pub compile_time_max: Duration,
    /// Memory of one compilation, in bytes.
    pub compile_memory_bytes_max: u64,
    /// How long a connection to an endpoint may take.
    pub connect_time_max: Duration,
    /// Deliveries being sent at once.
    pub deliveries_in_flight_max: usize,
    /// Deliveries in memory at once, being sent or next; what more there is waits in the store.
    pub deliveries_held_max: usize,
    /// Bytes of events they may hold.
    pub deliveries_held_bytes_max: usize,
    /// Deliveries that may wait in the store before events and calls are answered 503.
    pub backlog_max: u64,
    /// How long a delivery may be the first of its order before those behind it are let by.
    pub order_wait_max: Duration,
    /// How long a claimed delivery stays claimed.
    pub lease: Duration,
    /// How long a session lives after its last use.
    pub session_life: Duration,
    /// How long an event's dedup key is remembered.
    pub dedup_life: Duration,
    /// Webhooks one `invoke` chain may go through.
    pub invoke_depth_max: u8,
    /// Webhooks one call of a plugin may invoke.
    pub invokes_per_call_max: u32,
    /// Events one call may emit.
    pub emissions_per_call_max: u32,
    /// Bytes that stay free on the disk of the data directory: below, no event and no call is taken. 0: nobody looks.
    pub disk_free_bytes_min: u64,
    /// How long a stop waits for what is in flight.
    pub drain_time_max: Duration,
    /// What is kept, and for how long.
    pub retention: Retention,
}

/// What is kept of what is over, and for how long. What is still on its way is never removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Events with their finished deliveries and attempts.
    pub events: Duration,
    /// Calls.
    pub calls: Duration,
    /// Events at most, and calls at most.
    pub count_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            events_per_request_max: 500,
            event_bytes_max: 256 * 1024,
            request_bytes_max: 4 * 1024 * 1024,
            plugin_bytes_max: 16 * 1024 * 1024,
            plugin_time_max: Duration::from_secs(2),
            plugin_memory_bytes_max: 64 * 1024 * 1024,
            plugin_output_bytes_max: 1024 * 1024,
            plugin_log_bytes_max: 16 * 1024,
            plugin_instances_max: 64,
            plugin_queue_max: 1024,
            compile_time_max: Duration::from_secs(60),
            compile_memory_bytes_max: 2 * 1024 * 1024 * 1024,
            connect_time_max: Duration::from_secs(10),
            deliveries_in_flight_max: 512,
            deliveries_held_max: 8192,
            deliveries_held_bytes_max: 64 * 1024 * 1024,
            backlog_max: 5_000_000,
            order_wait_max: Duration::from_secs(3600),
            lease: Duration::from_secs(120),
            session_life: Duration::from_secs(30 * 60),
            dedup_life: Duration::from_secs(24 * 3600),
            invoke_depth_max: 4,
            invokes_per_call_max: 16,
            emissions_per_call_max: 100,
            disk_free_bytes_min: 256 * 1024 * 1024,
            drain_time_max: Duration::from_secs(30),
            retention: Retention {
                events: Duration::from_secs(30 * 24 * 3600),
                calls: Duration::from_secs(30 * 24 * 3600),
                count_max: 10_000_000,
            },
        }
    }
}
