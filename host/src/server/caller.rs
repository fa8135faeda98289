//! Where a request comes from: the listener, the connection, the sender's address.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// What a listener answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    /// Everything: there is only one listener.
    Everything,
    /// Codes, and whether the host is healthy. Admins have another listener.
    Public,
    /// Everything except codes.
    Admin,
}

/// The connection that a request came on.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// The address of the other end.
    pub remote: SocketAddr,
    pub face: Face,
    /// Whether the connection uses TLS.
    pub is_encrypted: bool,
}

/// The sender of a call, once proxies are accounted for, and where it was sent.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// The sender's address.
    pub remote: SocketAddr,
    pub face: Face,
    /// Whether it was sent to a host name that serves only codes.
    pub is_apart: bool,
}

/// The address by which connections are counted. For IPv6 it is the network that a customer gets, because he can choose any address in
/// it.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}
