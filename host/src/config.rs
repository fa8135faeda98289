//! What was written -> what it means. Every limit lives here with its name, its unit and its default.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;

use crate::model::{
    plugin::{
        limits::{PluginLimits, PluginLimitsSpec},
        rollback::RollbackRule,
    },
    proxy::Proxies,
    secret::SecretRef,
};

pub mod http;

/// Everything the host is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The certificate of the listeners; absent: they speak plain HTTP.
    pub tls: Option<http::TlsFiles>,
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
    /// Whether plugins' instructions are counted: for testing them.
    pub counts_instructions: bool,
    /// Where codes are called.
    pub bases: Bases,
    /// What sends mail; absent: none is sent.
    pub smtp: Option<Smtp>,
    /// The limits.
    pub limits: Limits,
}

/// Where codes are called: what stands before `/api/v1/webhook/CODE`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bases {
    /// Scheme, host and port callers use, as in `https://api.example.com`; absent: what the admin's own request was sent to.
    pub public_url: Option<String>,
    /// Paths, and the environment each stands for. None at all: any path will do, and stands for none.
    pub paths: BTreeMap<String, Option<String>>,
}

impl Bases {
    /// Adds `path`, which stands for `environment`. What is wrong with it, if it cannot be one.
    pub fn add(&mut self, path: &str, environment: &str) -> Result<(), String> {
        let path = path.trim_end_matches('/');
        let is_path = path.is_empty() || path.starts_with('/');
        if !is_path
            || !path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'%' | b'"'))
            || path.contains("//")
        {
            return Err(format!("`{path}` is no base: a path such as `/123456/TEST1`, or `/`"));
        }
        self.paths.insert(path.to_owned(), Some(environment.to_owned()).filter(|environment| !environment.is_empty()));
        Ok(())
    }

    /// Sets where callers find the host. What is wrong with it, if it cannot be that.
    pub fn set_public_url(&mut self, url: &str) -> Result<(), String> {
        let parsed = url::Url::parse(url).map_err(|error| format!("`{url}` is no URL: {error}"))?;
        if !matches!(parsed.scheme(), "http" | "https") || parsed.path() != "/" || parsed.query().is_some() {
            return Err(format!("`{url}` is scheme, host and port alone, such as `https://api.example.com`; paths are `bases`"));
        }
        self.public_url = Some(url.trim_end_matches('/').to_owned());
        Ok(())
    }

    /// What `path` stands for; `None`: it is not one of these.
    pub fn environment(&self, path: &str) -> Option<Option<String>> {
        if self.paths.is_empty() { Some(None) } else { self.paths.get(path).cloned() }
    }

    /// Every address of a code. `origin` is used where no public one is configured.
    pub fn urls(&self, origin: &str, code: &str) -> Vec<String> {
        let origin = self.public_url.as_deref().unwrap_or(origin);
        let url = |base: &str| format!("{origin}{base}/api/v1/webhook/{code}");
        if self.paths.is_empty() { vec![url("")] } else { self.paths.keys().map(|base| url(base)).collect() }
    }
}

/// What sends mail: the operator's server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Smtp {
    /// Its name, which its certificate says too.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: SmtpTls,
    /// Certificate authorities in PEM to trust besides the usual ones.
    pub ca_certificates: Option<String>,
    /// Who mails are from, such as `Hookwright <webhooks@example.com>`.
    pub from: String,
    /// Who logs in; absent: nobody does.
    pub user: Option<String>,
    /// The secret with that one's password.
    pub password: Option<SecretRef>,
}

/// How the connection to a mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SmtpTls {
    /// From the first byte on (RFC 8314; port 465).
    Implicit,
    /// From `STARTTLS` on, which the server must offer (RFC 3207; port 587).
    Starttls,
    /// Not at all: for a relay on the same machine or network.
    None,
}

impl SmtpTls {
    /// The port it usually goes with.
    pub fn port(self) -> u16 {
        match self {
            Self::Implicit => 465,
            Self::Starttls => 587,
            Self::None => 25,
        }
    }
}

impl Config {
    /// The defaults, for `data`, on `listen`.
    pub fn new(data: impl Into<PathBuf>, listen: SocketAddr) -> Self {
        Self {
            listen,
            tls: None,
            data: data.into(),
            allow_networks: Vec::new(),
            proxies: Proxies::default(),
            key_file: None,
            compiler: None,
            warm_plugins: false,
            counts_instructions: false,
            bases: Bases::default(),
            smtp: None,
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
    /// What bounds a plugin for which no admin set something else. The units are in the names.
    pub plugin_defaults: PluginLimits,
    /// What an admin may set for one plugin at most.
    pub plugin_maxima: PluginLimits,
    /// When a new version is rolled back by itself, unless the plugin has a rule of its own.
    pub plugin_rollback: RollbackRule,
    /// Plugin instances alive at once.
    pub plugin_instances_max: u32,
    /// Calls waiting for a plugin instance.
    pub plugin_queue_max: usize,
    /// Scripts kept with their top level evaluated, each 5 MB of memory and of disk; the others are evaluated at each call.
    pub script_snapshots_max: u32,
    /// Wall time of one compilation.
    pub compile_time_max: Duration,
    /// Memory of one compilation, in bytes.
    pub compile_memory_bytes_max: u64,
    /// How long a mail server may take from the connection to its last word.
    pub mail_time_max: Duration,
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
    /// What bounds clients and their connections.
    pub http: http::HttpSettings,
    /// Requests a token may make in a minute unless it has a limit of its own; 0: as many as it likes.
    pub token_requests_per_minute_max: u32,
    /// Bytes that stay free on the disk of the data directory: below, no event and no call is taken. 0: nobody looks.
    pub disk_free_bytes_min: u64,
    /// How long a stop waits for what is in flight.
    pub drain_time_max: Duration,
    /// What is kept, and for how long.
    pub retention: Retention,
}

/// Of the host's instances, those one plugin may have at once unless an admin says otherwise: three eighths for `receive` and as many for
/// the rest, so that a quarter is always there for the others.
const CONCURRENCY_SHARE: (u64, u64) = (3, 8);

impl Limits {
    /// The limits that hold for a plugin for which `spec` was set.
    pub fn of_plugin(&self, spec: &PluginLimitsSpec) -> PluginLimits {
        let mut limits = self.plugin_defaults.with(spec).within(&self.plugin_maxima);
        let instances = u64::from(self.plugin_instances_max);
        let (part, whole) = CONCURRENCY_SHARE;
        let share = if spec.concurrency.is_some() { instances } else { instances * part / whole };
        limits.concurrency = limits.concurrency.min(share).max(1);
        limits
    }
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
    /// Entries of the audit log.
    pub audit: Duration,
    /// Entries of the audit log at most.
    pub audit_count_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            events_per_request_max: 500,
            event_bytes_max: 256 * 1024,
            request_bytes_max: 4 * 1024 * 1024,
            plugin_bytes_max: 16 * 1024 * 1024,
            plugin_defaults: PluginLimits::DEFAULT,
            plugin_maxima: PluginLimits::MAXIMUM,
            plugin_rollback: RollbackRule::default(),
            plugin_instances_max: 64,
            plugin_queue_max: 1024,
            script_snapshots_max: 32,
            compile_time_max: Duration::from_secs(60),
            compile_memory_bytes_max: 2 * 1024 * 1024 * 1024,
            mail_time_max: Duration::from_secs(20),
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
            http: http::HttpSettings::default(),
            token_requests_per_minute_max: 0,
            disk_free_bytes_min: 256 * 1024 * 1024,
            drain_time_max: Duration::from_secs(30),
            retention: Retention {
                events: Duration::from_secs(30 * 24 * 3600),
                calls: Duration::from_secs(30 * 24 * 3600),
                count_max: 10_000_000,
                audit: Duration::from_secs(400 * 24 * 3600),
                audit_count_max: 100_000,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bases_choose_environments_and_are_the_only_ones_once_there_are_some() {
        let mut bases = Bases::default();
        assert_eq!(bases.environment("/anything"), Some(None));
        assert_eq!(bases.urls("http://h:1", "C"), ["http://h:1/api/v1/webhook/C"]);
        assert_eq!((bases.add("/123456/TEST1", "test"), bases.add("/Dhs/", "")), (Ok(()), Ok(())));
        assert_eq!(bases.set_public_url("https://api.divaltocloud.com/"), Ok(()));
        assert_eq!(bases.environment("/123456/TEST1"), Some(Some("test".to_owned())));
        assert_eq!((bases.environment("/Dhs"), bases.environment("/other"), bases.environment("")), (Some(None), None, None));
        assert_eq!(
            bases.urls("http://h:1", "C"),
            ["https://api.divaltocloud.com/123456/TEST1/api/v1/webhook/C", "https://api.divaltocloud.com/Dhs/api/v1/webhook/C"]
        );
        for wrong in ["x", "/a?b", "/a//b", "/a b", "/%41"] {
            assert!(bases.add(wrong, "").is_err(), "{wrong}");
        }
        for wrong in ["api.example.com", "ftp://h", "https://h/path", "https://h/?q"] {
            assert!(bases.set_public_url(wrong).is_err(), "{wrong}");
        }
    }
}
