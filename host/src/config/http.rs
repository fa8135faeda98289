//! What bounds clients and what is in front of the host: `[http]` of the configuration file.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;
use serde::Deserialize;

/// Where the certificate of the listeners lies: `[tls]`. Both files are read again when they change, and on SIGHUP.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The chain in PEM, the host's own certificate first.
    pub certificate_file: PathBuf,
    /// Its key in PEM.
    pub key_file: PathBuf,
}

/// `[http]`: each with its unit in its name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpSettings {
    /// Networks whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed: proxies in front of the host.
    pub trusted_proxies: Vec<IpNet>,
    /// Origins whose pages may ask the API from a browser, such as `https://console.example.com`.
    pub cors_origins: Vec<String>,
    /// Connections at once; further ones wait in the listener's queue.
    pub connections_max: usize,
    /// Connections at once of one address (of IPv6, one /64); further ones are closed. Those of trusted proxies do not count.
    pub connections_per_address_max: usize,
    /// Bytes of a request's head.
    pub head_bytes_max: usize,
    /// Seconds a client may take to send a head, and until its first request.
    pub head_seconds_max: u64,
    /// Seconds a client may take to send a body.
    pub body_seconds_max: u64,
    /// Seconds a connection may do nothing between requests, or a client may take nothing of its answer.
    pub idle_seconds_max: u64,
    /// Seconds a TLS handshake may take.
    pub handshake_seconds_max: u64,
    /// Requests at once on one HTTP/2 connection.
    pub streams_max: u32,
    /// HTTP/2 streams that were reset before they were served, after which the connection is ended.
    pub pending_resets_max: usize,
    /// Bytes from which on an answer is compressed for those who take it.
    pub compressed_bytes_min: usize,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            trusted_proxies: Vec::new(),
            cors_origins: Vec::new(),
            connections_max: 16_384,
            connections_per_address_max: 1_024,
            head_bytes_max: 64 * 1024,
            head_seconds_max: 10,
            body_seconds_max: 30,
            idle_seconds_max: 60,
            handshake_seconds_max: 10,
            streams_max: 128,
            pending_resets_max: 20,
            compressed_bytes_min: 1_024,
        }
    }
}

impl HttpSettings {
    /// Whether `address` is a proxy that is believed.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted_proxies.iter().any(|network| network.contains(&address))
    }

    /// How long a body may take.
    pub fn body_time_max(&self) -> Duration {
        Duration::from_secs(self.body_seconds_max)
    }

    /// What is wrong with them: the name, and what would be right.
    pub fn problem(&self) -> Option<String> {
        let at_least = [
            ("connections_max", self.connections_max as u64, 1),
            ("connections_per_address_max", self.connections_per_address_max as u64, 1),
            ("head_bytes_max", self.head_bytes_max as u64, 8 * 1024),
            ("head_seconds_max", self.head_seconds_max, 1),
            ("body_seconds_max", self.body_seconds_max, 1),
            ("idle_seconds_max", self.idle_seconds_max, 1),
            ("handshake_seconds_max", self.handshake_seconds_max, 1),
            ("streams_max", self.streams_max.into(), 1),
        ];
        let too_small = at_least.into_iter().find(|(_, value, least)| value < least);
        let not_an_origin = |origin: &&String| !url::Url::parse(origin).is_ok_and(|url| url.origin().ascii_serialization() == **origin);
        too_small.map(|(name, value, least)| format!("`http.{name}` is at least {least}, not {value}")).or_else(|| {
            let origin = self.cors_origins.iter().find(not_an_origin)?;
            Some(format!(
                "`http.cors_origins`: `{origin}` is no origin: scheme, host and port alone, such as `https://console.example.com`"
            ))
        })
    }
}
