//! Changes to sessions, applied together when the call ends well and dropped on a trap or error. Receivers only.
//!
//! The session of the call itself may always be written; any other needs a grant.

use serde::Serialize;

use crate::{Error, error::Refused, imports};

/// Sets a parameter of a session.
pub fn set(session: &str, name: &str, value: &impl Serialize) -> Result<(), Error> {
    let text = serde_json::to_string(value)?;
    Ok(imports::parameter_writes::set(session, name, Some(&text)).map_err(Refused)?)
}

/// Removes a parameter of a session.
pub fn remove(session: &str, name: &str) -> Result<(), Refused> {
    imports::parameter_writes::set(session, name, None).map_err(Refused)
}
