//! Names to addresses.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures::future::BoxFuture;
use tokio::{net::lookup_host, time::timeout};

use super::address::literal;
use crate::model::outcome::{Failure, FailureKind};

/// Where addresses come from.
#[derive(Clone)]
pub enum Names {
    /// The system's resolver.
    System,
    /// A function instead of it.
    Given(Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>),
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "Names::System",
            Self::Given(_) => "Names::Given",
        })
    }
}

impl Names {
    /// The addresses of `host`, at least one. An address in place of a name is not looked up.
    pub(super) async fn resolve(&self, host: &str, port: u16, time_max: Duration) -> Result<Vec<SocketAddr>, Failure> {
        if let Some(ip) = literal(host) {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let failure =
            |why: &dyn fmt::Display| Failure::new(FailureKind::NameNotResolved, format!("the name `{host}` does not resolve: {why}"));
        let found = async {
            match self {
                Self::System => Ok(lookup_host((host, port)).await?.collect()),
                Self::Given(lookup) => {
                    let found = lookup(host.to_owned()).await?;
                    Ok::<_, io::Error>(found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect::<Vec<_>>())
                }
            }
        };
        let found = timeout(time_max, found).await.map_err(|_| failure(&format_args!("no answer within {time_max:?}")))?;
        let found = found.map_err(|error| failure(&error))?;
        if found.is_empty() { Err(failure(&"it has no address")) } else { Ok(found) }
    }
}
