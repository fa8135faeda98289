//! Names that lead where an admin says: our form of Dialogflow CX's Service Directory.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use crate::model::problem::{Problem, segment};

/// Names of one webhook.
pub const RESOLVE_MAX: usize = 32;

/// Reads `{"name":"10.0.0.7:8443"}`. Whether the address may be called is the
/// transport's to say, when it is written and whenever it calls: nobody opens a network by this.
pub(super) fn compile(written: &BTreeMap<String, String>, problems: &mut Vec<Problem>) -> BTreeMap<String, SocketAddr> {
    if written.len() > RESOLVE_MAX {
        problems.push(Problem::new("/resolve", format!("at most {RESOLVE_MAX} names")));
    }
    let mut compiled = BTreeMap::new();
    for (name, address) in written {
        let pointer = format!("/resolve{}", segment(name));
        let is_name = !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
            && name.parse::<IpAddr>().is_err();
        match address.parse() {
            _ if !is_name => problems.push(Problem::new(pointer, "a host name as it stands in the URL, without a port: `orders.internal`")),
            Ok(address) => drop(compiled.insert(name.to_ascii_lowercase(), address)),
            Err(_) => problems.push(Problem::new(pointer, "an address and its port: `10.0.0.7:8443` or `[fd00::7]:8443`")),
        }
    }
    compiled
}
