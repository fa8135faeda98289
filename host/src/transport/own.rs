//! This host's own listeners: nobody may reach the API from inside by way of a webhook.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use arc_swap::ArcSwap;
use percent_encoding::percent_decode_str;

/// Where this host listens. Told once the sockets are bound, before the first request is sent.
#[derive(Debug, Default)]
pub struct OwnListeners(ArcSwap<Vec<SocketAddr>>);

impl OwnListeners {
    /// Adds an address that was actually bound.
    pub fn add(&self, address: SocketAddr) {
        self.0.rcu(|known| known.iter().copied().chain([address]).collect::<Vec<_>>());
    }

    /// Whether one of our listeners has this port.
    pub fn listens_on(&self, port: u16) -> bool {
        self.0.load().iter().any(|own| own.port() == port)
    }

    /// Whether dialling `target` would reach one of our listeners. One bound to the unspecified address counts for every address
    /// of this machine.
    pub fn covers(&self, target: SocketAddr) -> bool {
        let ip = target.ip().to_canonical();
        self.0.load().iter().filter(|own| own.port() == target.port()).any(|own| {
            let own = own.ip().to_canonical();
            // Dialling the unspecified address means this machine.
            own == ip || ip.is_unspecified() || (own.is_unspecified() && is_local(ip))
        })
    }
}

/// Whether an address is one of this machine's: only those can be bound. No packet is sent.
fn is_local(ip: IpAddr) -> bool {
    ip.is_loopback() || UdpSocket::bind((ip, 0)).is_ok()
}

/// Whether a path leads to a webhook code, below any base: `.../api/v1/webhook/<code>`, `webhook` in any case. A path that climbs
/// (`..`) leads nowhere certain, so it is none.
pub fn is_code_path(path: &str) -> bool {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let climbs = path.split(['/', '\\']).any(|segment| {
        let segment = percent_decode_str(segment).collect::<Vec<u8>>();
        segment == b"." || segment == b".."
    });
    !climbs && path.to_ascii_lowercase().contains("/api/v1/webhook/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(own: &[&str], target: &str) -> bool {
        let listeners = OwnListeners::default();
        own.iter().for_each(|address| listeners.add(address.parse().unwrap()));
        listeners.covers(target.parse().unwrap())
    }

    #[test]
    fn a_listener_is_known_by_address_and_port() {
        assert!(covers(&["127.0.0.1:8400"], "127.0.0.1:8400"));
        assert!(covers(&["127.0.0.1:8400"], "[::ffff:127.0.0.1]:8400"));
        assert!(covers(&["127.0.0.1:8400"], "0.0.0.0:8400"));
        assert!(covers(&["[::1]:8400"], "[::]:8400"));
        assert!(!covers(&["127.0.0.1:8400"], "127.0.0.1:8401"));
        assert!(!covers(&["127.0.0.1:8400"], "127.0.0.2:8400"));
        assert!(!covers(&[], "127.0.0.1:8400"));
    }

    #[test]
    fn a_wildcard_counts_for_every_address_of_this_machine() {
        for wildcard in ["0.0.0.0:8400", "[::]:8400"] {
            assert!(covers(&[wildcard], "127.0.0.1:8400"));
            assert!(covers(&[wildcard], "127.3.2.1:8400"));
            assert!(!covers(&[wildcard], "127.0.0.1:8401"));
            // TEST-NET-1 belongs to nobody.
            assert!(!covers(&[wildcard], "192.0.2.1:8400"));
        }
    }

    #[test]
    fn code_paths_are_told_by_their_path_alone() {
        for code in ["/api/v1/webhook/ABC", "/base/api/v1/WebHook/ABC", "/API/V1/Webhook/ABC?k=v"] {
            assert!(is_code_path(code), "{code}");
        }
        for other in [
            "/v1/webhooks",
            "/api/v1/webhook",
            "/v1/x?u=/api/v1/webhook/ABC",
            "/api/v1/webhook/../../../v1/tokens",
            "/api/v1/webhook/%2e%2E/x",
            "/v1/x#/api/v1/webhook/ABC",
            "",
        ] {
            assert!(!is_code_path(other), "{other}");
        }
    }
}
