//! What bounds clients and what is in front of the host: `[http]` of the configuration file.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;

use super::bounded::{Amount, DAY, GIB, KIB, MIB, Number, bounded};

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
        /// Connections at once; more wait in the listener's queue.
        connections_max as "connections_max": usize = 16_384, "connections", 1 to 1_000_000;
        /// Connections at once of one address (of IPv6, one /64); more are closed. Trusted proxies do not count.
        connections_per_address_max as "connections_per_address_max": usize = 1_024, "connections", 1 to 1_000_000;
        /// Bytes of a request's head.
        head_bytes_max as "head_bytes_max": usize = 64 * KIB, "bytes", 8_192 to MIB;
        /// How long a client may take to send a head, and to begin its first request.
        head_time_max as "head_seconds_max": Duration = 10, "seconds", 1 to 3600;
        /// How long a client may take to send a body.
        body_time_max as "body_seconds_max": Duration = 30, "seconds", 1 to 3600;
        /// Bytes of request bodies in memory at once, until their answers; other bodies wait unread.
        bodies_bytes_max as "bodies_bytes_max": usize = 128 * MIB, "bytes", 1_048_576 to 64 * GIB;
        /// Bytes of request bodies of one address (of IPv6, one /64) in memory at once; never more than is left for others.
        bodies_bytes_per_address_max as "bodies_bytes_per_address_max": usize = 32 * MIB, "bytes", 65_536 to 64 * GIB;
        /// Bytes of request bodies of one token in memory at once; never more than is left for others.
        bodies_bytes_per_token_max as "bodies_bytes_per_token_max": usize = 32 * MIB, "bytes", 65_536 to 64 * GIB;
        /// Requests that wait for memory for their body, at most an eighth of them of one address; more are answered 503.
        bodies_waiting_max as "bodies_waiting_max": usize = 1_024, "requests", 8 to 100_000;
        /// How long a request waits for memory for its body before it is answered 503.
        body_wait_max as "body_wait_seconds_max": Duration = 10, "seconds", 0 to 600;
        /// Bytes of a form that are read before its token is known, at ArcGIS's addresses, where the token may be in the form.
        stranger_form_bytes_max as "stranger_form_bytes_max": usize = 64 * KIB, "bytes", 1024 to MIB;
        /// Fields of a form or a query.
        fields_max as "fields_max": usize = 1_000, "fields", 16 to 100_000;
        /// How long a connection may be idle between requests, or a client may not read its answer.
        idle_time_max as "idle_seconds_max": Duration = 60, "seconds", 1 to DAY;
        /// How long a TLS handshake may take.
        handshake_time_max as "handshake_seconds_max": Duration = 10, "seconds", 1 to 600;
        /// Requests at once on one HTTP/2 connection.
        streams_max as "streams_max": u32 = 128, "streams", 1 to 10_000;
        /// Bytes a client may send on one HTTP/2 stream before any of them is read.
        stream_window as "stream_window_bytes": u32 = 128 * KIB, "bytes", 65_535 to 16 * MIB;
        /// Bytes a client may send on one HTTP/2 connection before any of them is read.
        connection_window as "connection_window_bytes": u32 = 256 * KIB, "bytes", 65_535 to 16 * MIB;
        /// HTTP/2 streams reset before they were served, after which the connection ends.
        pending_resets_max as "pending_resets_max": usize = 20, "streams", 0 to 10_000;
        /// Smallest answer that is compressed, for clients that accept it.
        compressed_bytes_min as "compressed_bytes_min": usize = KIB, "bytes", 0 to GIB;
        + /// Networks whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed: proxies in front of the host.
        trusted_proxies: Vec<IpNet> = Vec::new();
        + /// Names of hosts that serve codes alone, such as `hooks.example.com`: what receivers answer there goes out as it is, and nothing else
        /// is answered there.
        codes_hosts: Vec<String> = Vec::new();
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

    /// Whether what is sent to `host`, which may have a port, is for codes alone.
    pub fn serves_codes_alone(&self, host: &str) -> bool {
        !self.codes_hosts.is_empty() && host_name(host).is_some_and(|name| self.codes_hosts.contains(&name))
    }
}

/// The name of a host in `host`, which may have a port, as it is compared.
fn host_name(host: &str) -> Option<String> {
    let authority: http::uri::Authority = host.parse().ok()?;
    Some(authority.host().trim_end_matches('.').to_ascii_lowercase()).filter(|name| !name.is_empty() && !host.contains('@'))
}

/// A host name without a port, in the form in which names are compared. `None`: the text is something else.
pub(super) fn bare_host_name(text: &str) -> Option<String> {
    host_name(text).filter(|name| text.trim_end_matches('.').eq_ignore_ascii_case(name))
}

/// Whether a text is an origin: scheme, host and port alone.
pub(super) fn is_origin(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| url.origin().ascii_serialization() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_for_codes_is_known_by_its_name() {
        let settings = HttpSettings { codes_hosts: vec!["hooks.example.com".to_owned()], ..HttpSettings::default() };
        for host in ["hooks.example.com", "Hooks.Example.com:8443", "hooks.example.com."] {
            assert!(settings.serves_codes_alone(host), "{host}");
        }
        for host in ["gis.example.com", "hooks.example.com.evil.example", "x@hooks.example.com", "", "[::1]:1"] {
            assert!(!settings.serves_codes_alone(host), "{host}");
        }
        assert_eq!(bare_host_name("Hooks.example.com").as_deref(), Some("hooks.example.com"));
        for wrong in ["", "https://hooks.example.com", "hooks.example.com:443", "a/b", "a@b"] {
            assert_eq!(bare_host_name(wrong), None, "{wrong}");
        }
    }
}
