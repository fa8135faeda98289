//! The session's parameters as they were when the call began.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{Error, OrError, imports};

/// One parameter; `None` when the session does not hold it. Names are compared without case.
pub fn get<T: DeserializeOwned>(name: &str) -> Result<Option<T>, Error> {
    match imports::parameters::get(name) {
        Some(text) => serde_json::from_str(&text).map(Some).or_reject(format_args!("the session parameter {name}")),
        None => Ok(None),
    }
}

/// All of them, by name.
pub fn all() -> Result<Map<String, Value>, Error> {
    object(imports::parameters::all())
}

pub(crate) fn object(pairs: Vec<(String, String)>) -> Result<Map<String, Value>, Error> {
    let mut object = Map::new();
    for (name, text) in pairs {
        let value = serde_json::from_str(&text).or_reject(format_args!("the session parameter {name}"))?;
        object.insert(name, value);
    }
    Ok(object)
}
