//! Small values of this plugin's own, kept from call to call. Needs the grant `state`.

use crate::{error::Refused, imports};

/// `None` when nothing was set.
pub fn get(key: &str) -> Option<Vec<u8>> {
    imports::state::get(key)
}

/// Kept when the call ends well. Refused without the grant or beyond its size.
pub fn set(key: &str, value: impl AsRef<[u8]>) -> Result<(), Refused> {
    imports::state::set(key, value.as_ref()).map_err(Refused)
}

/// Deleting what is not there is no error.
pub fn delete(key: &str) -> Result<(), Refused> {
    imports::state::delete(key).map_err(Refused)
}
