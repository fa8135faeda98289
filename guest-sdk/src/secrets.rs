//! Keyed hashes. The key never enters the plugin.

use crate::{error::Refused, imports};

/// HMAC-SHA256 of `data` under the newest version of the secret `name`, which the plugin must be granted.
pub fn hmac_sha256(name: &str, data: impl AsRef<[u8]>) -> Result<Vec<u8>, Refused> {
    imports::secrets::hmac_sha256(name, data.as_ref()).map_err(Refused)
}
