//! Who asks: on which connection, from which address.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// What may be asked on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    /// Everything: there is one listener.
    Everything,
    /// Codes and how the host is; administrators have a listener of their own.
    Public,
    /// Everything but codes.
    Admin,
}

/// Who asks, as the connection shows it.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// The other end.
    pub remote: SocketAddr,
    /// What may be asked here.
    pub face: Face,
    /// Whether it came by TLS.
    pub is_encrypted: bool,
}

/// Who sent a request, and to which of our faces.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Who sends it.
    pub remote: SocketAddr,
    /// What may be asked there.
    pub face: Face,
    /// Whether it was sent to a name that serves codes alone.
    pub is_apart: bool,
}

/// Whom connections are counted for: of IPv6 the network a customer is given, not the address he may choose in it.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}
