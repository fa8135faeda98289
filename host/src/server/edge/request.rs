//! Corrects what a request says about its sender: only a trusted proxy may speak for others.

use std::net::{IpAddr, SocketAddr};

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{FORWARDED, HOST},
    request::Parts,
};

use crate::{
    config::http::HttpSettings,
    server::{caller::Caller, request::FORWARDED_PROTO},
};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Headers that only a trusted proxy may set.
const FORWARDED_BY: [HeaderName; 4] =
    [FORWARDED_FOR, FORWARDED_PROTO, HeaderName::from_static("x-forwarded-host"), HeaderName::from_static("x-real-ip")];

/// Removes headers that cannot be trusted, adds the ones that are true, and returns the address of the real sender.
pub fn settle(parts: &mut Parts, caller: Caller, settings: &HttpSettings) -> SocketAddr {
    let headers = &mut parts.headers;
    // HTTP/2 sends the host only in `:authority`.
    if !headers.contains_key(HOST)
        && let Some(host) = parts.uri.authority().and_then(|authority| HeaderValue::try_from(authority.as_str()).ok())
    {
        headers.insert(HOST, host);
    }
    if settings.trusts(caller.remote.ip()) {
        return client(headers, caller.remote, settings);
    }
    FORWARDED_BY.iter().for_each(|name| drop(headers.remove(name)));
    headers.remove(FORWARDED);
    if caller.is_encrypted {
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static("https"));
    }
    caller.remote
}

/// The last address in `X-Forwarded-For` that is not a trusted proxy. Everything before it may be made up.
fn client(headers: &HeaderMap, remote: SocketAddr, settings: &HttpSettings) -> SocketAddr {
    let written: Vec<_> =
        headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).collect();
    let mut client = remote;
    for address in written.into_iter().rev() {
        let Some(address) = parse(address.trim()) else { break };
        client = SocketAddr::new(address, 0);
        if !settings.trusts(address) {
            break;
        }
    }
    client
}

/// Parses an address, with or without a port.
fn parse(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Face;

    fn client_of(remote: &str, forwarded: &[&str]) -> (String, bool) {
        let settings = HttpSettings { trusted_proxies: vec!["10.0.0.0/8".parse().expect("a network")], ..HttpSettings::default() };
        let mut request = http::Request::builder().uri("/");
        for value in forwarded {
            request = request.header(FORWARDED_FOR, *value);
        }
        let (mut parts, ()) = request.body(()).expect("a request").into_parts();
        let remote = SocketAddr::new(remote.parse().expect("an address"), 1);
        let found = settle(&mut parts, Caller { remote, face: Face::Everything, is_encrypted: false }, &settings);
        (found.ip().to_string(), parts.headers.contains_key(FORWARDED_FOR))
    }

    #[test]
    fn only_a_trusted_proxy_says_who_asks() {
        assert_eq!(client_of("192.0.2.1", &["198.51.100.7"]), ("192.0.2.1".to_owned(), false));
        assert_eq!(client_of("10.0.0.1", &["198.51.100.7"]), ("198.51.100.7".to_owned(), true));
        // The client's own entries come before those of the proxies.
        assert_eq!(client_of("10.0.0.1", &["1.1.1.1, 198.51.100.7, 10.0.0.2"]).0, "198.51.100.7");
        assert_eq!(client_of("10.0.0.1", &["1.1.1.1", "198.51.100.7:4711"]).0, "198.51.100.7");
        assert_eq!(client_of("10.0.0.1", &["1.1.1.1, nonsense"]).0, "10.0.0.1");
        assert_eq!(client_of("10.0.0.1", &[]).0, "10.0.0.1");
    }
}
