//! Which addresses may be called: public ones by `https`, and what `HOOKWRIGHT_ALLOW_NETWORKS` names.
//!
//! Addresses are tested where they are dialled, after the name was resolved, so that a name cannot point elsewhere between the test
//! and the connection.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use url::{Host, Url};

use super::own::OwnListeners;
use crate::model::outcome::{Failure, FailureKind};

const fn v4(a: u8, b: u8, c: u8, d: u8, length: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length))
}

const fn v6(parts: [u16; 8], length: u8) -> IpNet {
    let [a, b, c, d, e, f, g, h] = parts;
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), length))
}

/// What is not public, with the reason people are told. The union of what Svix (github.com/svix/svix-webhooks,
/// `server/svix-server/src/core/webhook_http_client.rs`) and Stripe's Smokescreen (github.com/stripe/smokescreen) refuse, and the
/// rest of the IANA special-purpose registries a sender has no business with. Mapped IPv4 (`::ffff:0:0/96`) is tested as IPv4.
/// NAT64 and 6to4 are refused whatever they embed.
const NOT_PUBLIC: &[(IpNet, &str)] = &[
    (v4(0, 0, 0, 0, 8), "this network"),
    (v4(10, 0, 0, 0, 8), "private"),
    (v4(100, 64, 0, 0, 10), "a provider's internal network"),
    (v4(127, 0, 0, 0, 8), "loopback"),
    (v4(169, 254, 0, 0, 16), "link-local"),
    (v4(172, 16, 0, 0, 12), "private"),
    (v4(192, 0, 0, 0, 24), "reserved"),
    (v4(192, 0, 2, 0, 24), "for documentation"),
    (v4(192, 88, 99, 0, 24), "6to4 relay"),
    (v4(192, 168, 0, 0, 16), "private"),
    (v4(198, 18, 0, 0, 15), "for benchmarks"),
    (v4(198, 51, 100, 0, 24), "for documentation"),
    (v4(203, 0, 113, 0, 24), "for documentation"),
    (v4(224, 0, 0, 0, 4), "multicast"),
    (v4(240, 0, 0, 0, 4), "reserved or broadcast"),
    (v6([0, 0, 0, 0, 0, 0, 0, 1], 128), "loopback"),
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 96), "unspecified or IPv4-compatible"),
    (v6([0, 0, 0, 0, 0xffff, 0, 0, 0], 96), "translated IPv4"),
    (v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96), "NAT64"),
    (v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48), "NAT64"),
    (v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64), "discarded"),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32), "Teredo"),
    (v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), "for documentation"),
    (v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), "6to4"),
    (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), "for documentation"),
    (v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16), "segment routing"),
    (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), "private"),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), "link-local"),
    (v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10), "site-local"),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), "multicast"),
];

/// Why `address` is not public; absent: it is.
pub fn not_public(address: IpAddr) -> Option<&'static str> {
    let address = address.to_canonical();
    NOT_PUBLIC.iter().find(|(network, _)| network.contains(&address)).map(|(_, reason)| *reason)
}

/// Why a URL or its address is not called. Names hosts and addresses, never a path, a query or a credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressProblem {
    /// Not an absolute URL.
    #[error("not an absolute URL: {0}")]
    NotAUrl(#[from] url::ParseError),
    /// Another scheme.
    #[error("the scheme `{0}` is not called: write `https`")]
    Scheme(String),
    /// Plain `http` while no network is open to it.
    #[error(
        "plain `http` is closed: write `https`, or open the network by HOOKWRIGHT_ALLOW_NETWORKS or `hookwright serve --allow-network`, such as `--allow-network 127.0.0.0/8` for this machine"
    )]
    PlainHttp,
    /// `user:password@`.
    #[error("a URL holds no user name or password: put them into `auth`")]
    UserInfo,
    /// `#fragment`.
    #[error("a URL to be called has no fragment (`#...`)")]
    Fragment,
    /// No host.
    #[error("the URL names no host")]
    NoHost,
    /// An address that is not public.
    #[error(
        "`{host}` is at {address}, which is not a public address ({reason}): HOOKWRIGHT_ALLOW_NETWORKS can open its network, or `hookwright serve --allow-network {}`",
        IpNet::from(*address)
    )]
    NotPublic {
        /// As the URL has it.
        host: String,
        /// What was refused.
        address: IpAddr,
        /// What kind of address that is.
        reason: &'static str,
    },
    /// A public address, by plain `http`.
    #[error(
        "`{host}` is at {address}, which plain `http` may not call: use `https`, or open its network by HOOKWRIGHT_ALLOW_NETWORKS or `hookwright serve --allow-network {}`",
        IpNet::from(*address)
    )]
    PlainHttpTo {
        /// As the URL has it.
        host: String,
        /// What was refused.
        address: IpAddr,
    },
    /// A name the proxy would look up, by plain `http`.
    #[error(
        "`{host}` is looked up by its proxy, so that plain `http` is closed to it: use `https`, or let this host look it up (`resolve = \"host\"`)"
    )]
    PlainHttpUnknown {
        /// As the URL has it.
        host: String,
    },
    /// This host itself.
    #[error("`{host}` is at {address}, where Hookwright itself listens: only its webhook codes may be called there")]
    Own {
        /// As the URL has it.
        host: String,
        /// What was refused.
        address: SocketAddr,
    },
}

impl From<AddressProblem> for Failure {
    fn from(problem: AddressProblem) -> Self {
        let kind = match problem {
            AddressProblem::PlainHttp
            | AddressProblem::NotPublic { .. }
            | AddressProblem::PlainHttpTo { .. }
            | AddressProblem::PlainHttpUnknown { .. }
            | AddressProblem::Own { .. } => FailureKind::AddressRefused,
            // No setting makes these right.
            AddressProblem::NotAUrl(_)
            | AddressProblem::Scheme(_)
            | AddressProblem::UserInfo
            | AddressProblem::Fragment
            | AddressProblem::NoHost => FailureKind::RequestInvalid,
        };
        Self::new(kind, problem.to_string())
    }
}

/// Where a connection is to go.
#[derive(Clone, Copy, Debug)]
pub struct Destination<'a> {
    /// The host, as the URL has it.
    pub host: &'a str,
    /// Without TLS.
    pub plain: bool,
    /// Whether the request goes to a webhook code, which our own listeners may be asked for.
    pub to_code: bool,
}

/// What may be called.
#[derive(Debug)]
pub struct AddressPolicy {
    allow_networks: Vec<IpNet>,
    own: Arc<OwnListeners>,
}

impl AddressPolicy {
    /// Public addresses and these networks, but not this host itself.
    pub fn new(allow_networks: Vec<IpNet>, own: Arc<OwnListeners>) -> Self {
        Self { allow_networks, own }
    }

    /// Where this host itself listens.
    pub fn own(&self) -> &OwnListeners {
        &self.own
    }

    /// What can be said of a URL without knowing its address.
    pub fn check_url(&self, url: &str) -> Result<(), AddressProblem> {
        self.check(&Url::parse(url)?)
    }

    /// The same of a parsed URL.
    pub fn check(&self, url: &Url) -> Result<(), AddressProblem> {
        match url.scheme() {
            "https" => {}
            "http" if self.allow_networks.is_empty() => return Err(AddressProblem::PlainHttp),
            "http" => {}
            other => return Err(AddressProblem::Scheme(other.to_owned())),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(AddressProblem::UserInfo);
        }
        if url.fragment().is_some() {
            return Err(AddressProblem::Fragment);
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(AddressProblem::NoHost);
        }
        Ok(())
    }

    /// The addresses that may be dialled, in their order; the first problem where there is none. Empty in, empty out.
    pub fn admit(&self, to: Destination<'_>, addresses: &[SocketAddr]) -> Result<Vec<SocketAddr>, AddressProblem> {
        let mut first_problem = None;
        let mut admitted = Vec::with_capacity(addresses.len());
        for address in addresses {
            match self.refuse(to, *address) {
                None => admitted.push(*address),
                Some(problem) => first_problem = first_problem.or(Some(problem)),
            }
        }
        match first_problem {
            Some(problem) if admitted.is_empty() => Err(problem),
            _ => Ok(admitted),
        }
    }

    fn refuse(&self, to: Destination<'_>, address: SocketAddr) -> Option<AddressProblem> {
        let host = || to.host.to_owned();
        let ip = address.ip();
        if !self.allow_networks.iter().any(|network| network.contains(&ip) || network.contains(&ip.to_canonical())) {
            if let Some(reason) = not_public(ip) {
                return Some(AddressProblem::NotPublic { host: host(), address: ip, reason });
            }
            if to.plain {
                return Some(AddressProblem::PlainHttpTo { host: host(), address: ip });
            }
        }
        (!to.to_code && self.own.covers(address)).then(|| AddressProblem::Own { host: host(), address })
    }
}

/// The address a host spells out, without brackets and zone.
pub fn literal(host: &str) -> Option<IpAddr> {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let host = host.split_once('%').map_or(host, |(address, _)| address);
    host.parse().ok()
}

/// Host and port as people are told them.
pub fn name_of(url: &Url) -> String {
    let host = url.host().map_or_else(String::new, |host| match host {
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => format!("[{address}]"),
    });
    url.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests;
