//! What bounds clients and what is in front of the host: `[http]` of the configuration file.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;

use super::limits::{Amount, DAY, GIB, KIB, MIB, Number, bounded};

/// Where the certificate of the listeners lies: `[tls]`. Both files are read again when they change, and on SIGHUP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain in PEM, the host's own certificate first.
    pub certificate_file: PathBuf,
    /// Its key in PEM.
    pub key_file: PathBuf,
}

bounded! {
    /// `[http]`: what bounds clients and their connections.
    #[derive(Clone, Debug, PartialEq, Eq)]
    HttpSettings in "http" {
        /// Connections at once; further ones wait in the listener's queue.
        connections_max as "connections_max": usize = 16_384, "connections", 1 to 1_000_000;
        /// Connections at once of one address (of IPv6, one /64); further ones are closed. Those of trusted proxies do not count.
        connections_per_address_max as "connections_per_address_max": usize = 1_024, "connections", 1 to 1_000_000;
        /// Bytes of a request's head.
        head_bytes_max as "head_bytes_max": usize = 64 * KIB, "bytes", 8_192 to MIB;
        /// How long a client may take to send a head, and until its first request.
        head_time_max as "head_seconds_max": Duration = 10, "seconds", 1 to 3600;
        /// How long a client may take to send a body.
        body_time_max as "body_seconds_max": Duration = 30, "seconds", 1 to 3600;
        /// How long a connection may do nothing between requests, or a client may take nothing of its answer.
        idle_time_max as "idle_seconds_max": Duration = 60, "seconds", 1 to DAY;
        /// How long a TLS handshake may take.
        handshake_time_max as "handshake_seconds_max": Duration = 10, "seconds", 1 to 600;
        /// Requests at once on one HTTP/2 connection.
        streams_max as "streams_max": u32 = 128, "streams", 1 to 10_000;
        /// HTTP/2 streams that were reset before they were served, after which the connection is ended.
        pending_resets_max as "pending_resets_max": usize = 20, "streams", 0 to 10_000;
        /// Bytes from which on an answer is compressed for those who take it.
        compressed_bytes_min as "compressed_bytes_min": usize = KIB, "bytes", 0 to GIB;
        + /// Networks whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed: proxies in front of the host.
        trusted_proxies: Vec<IpNet> = Vec::new();
        + /// Origins whose pages may ask the API from a browser, such as `https://console.example.com`.
        cors_origins: Vec<String> = Vec::new();
    }
}

impl HttpSettings {
    /// Whether `address` is a proxy that is believed.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted_proxies.iter().any(|network| network.contains(&address))
    }
}

/// Whether a text is an origin: scheme, host and port alone.
pub(super) fn is_origin(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| url.origin().ascii_serialization() == text)
}
