//! Stands in for the host in native tests. Everything set here belongs to the current thread, as does a test.
//!
//! ```
//! use hookwright_guest::{parameters, testing};
//!
//! testing::parameter("size", &3)?;
//! assert_eq!(parameters::get::<u32>("Size")?, Some(3));
//! # Ok::<(), hookwright_guest::Error>(())
//! ```

use std::{cell::RefCell, collections::HashMap};

use serde::Serialize;

use crate::{Error, events::Emission, webhooks::Invoked};

#[derive(Default)]
struct Host {
    config: Option<String>,
    parameters: Vec<(String, String)>,
    webhooks: HashMap<String, Invoked>,
    invocations: Vec<(String, String)>,
    emissions: Vec<Emission>,
    writes: Vec<(String, String, Option<String>)>,
    state: HashMap<String, Vec<u8>>,
}

thread_local! {
    static HOST: RefCell<Host> = RefCell::default();
}

/// Forgets everything, for a test that runs several calls.
pub fn reset() {
    HOST.take();
}

/// What [`config`](crate::config()) reads; `{}` until it is set.
pub fn config(config: &impl Serialize) -> Result<(), Error> {
    let text = serde_json::to_string(config)?;
    HOST.with_borrow_mut(|host| host.config = Some(text));
    Ok(())
}

/// One session parameter more.
pub fn parameter(name: &str, value: &impl Serialize) -> Result<(), Error> {
    let text = serde_json::to_string(value)?;
    HOST.with_borrow_mut(|host| host.parameters.push((name.into(), text)));
    Ok(())
}

/// What every invoke of this webhook ends as; a webhook without one is refused.
pub fn webhook(name: &str, invoked: Invoked) {
    HOST.with_borrow_mut(|host| host.webhooks.insert(name.into(), invoked));
}

/// The webhooks invoked so far, each with its parameters as a JSON object.
pub fn invoked() -> Vec<(String, String)> {
    HOST.with_borrow(|host| host.invocations.clone())
}

/// The events emitted so far.
pub fn emitted() -> Vec<Emission> {
    HOST.with_borrow(|host| host.emissions.clone())
}

/// The parameter writes so far: session, name, and JSON text or `None` for a removal.
pub fn written() -> Vec<(String, String, Option<String>)> {
    HOST.with_borrow(|host| host.writes.clone())
}

/// The interfaces of the host, with the signatures `wit-bindgen` gives them.
pub(crate) mod imports {
    use super::HOST;

    pub mod log {
        pub use crate::bindings::host::log::Level;

        pub fn write(level: Level, text: &str) {
            eprintln!("{level:?} {text}");
        }
    }

    pub mod config {
        use super::HOST;

        pub fn get() -> String {
            HOST.with_borrow(|host| host.config.clone()).unwrap_or_else(|| "{}".into())
        }
    }

    pub mod parameters {
        use super::HOST;

        pub fn get(name: &str) -> Option<String> {
            HOST.with_borrow(|host| {
                let found = host.parameters.iter().rev().find(|(candidate, _)| candidate.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.clone())
            })
        }

        pub fn all() -> Vec<(String, String)> {
            HOST.with_borrow(|host| host.parameters.clone())
        }
    }

    pub mod parameter_writes {
        use super::HOST;

        pub fn set(session: &str, name: &str, value: Option<&str>) -> Result<(), String> {
            HOST.with_borrow_mut(|host| host.writes.push((session.into(), name.into(), value.map(Into::into))));
            Ok(())
        }
    }

    pub mod secrets {
        pub fn hmac_sha256(name: &str, _data: &[u8]) -> Result<Vec<u8>, String> {
            Err(format!("the secret {name} is there only inside the host"))
        }
    }

    pub mod events {
        use super::HOST;
        pub use crate::bindings::host::events::Emission;

        pub fn emit(event: &Emission) -> Result<String, String> {
            let event = event.clone();
            HOST.with_borrow_mut(|host| {
                host.emissions.push(crate::events::Emission {
                    trigger: event.trigger,
                    source: event.source,
                    time_ms: event.time_ms,
                    data_json: event.data,
                    session: event.session,
                    environment: event.environment,
                    attributes: event.attributes,
                });
                Ok(format!("evt_test{}", host.emissions.len()))
            })
        }
    }

    pub mod webhooks {
        use serde_json::{Map, Value};

        use super::HOST;
        use crate::bindings::host::webhooks::Invoked;

        pub fn invoke(webhook: &str, parameters: &[(String, String)], _data: &str, _context: &str) -> Result<Invoked, String> {
            let object: Result<Map<String, Value>, _> =
                parameters.iter().map(|(name, text)| Ok((name.clone(), serde_json::from_str(text)?))).collect();
            let object = object.map_err(|error: serde_json::Error| error.to_string())?;
            HOST.with_borrow_mut(|host| {
                host.invocations.push((webhook.into(), Value::from(object).to_string()));
                let Some(ended) = host.webhooks.get(webhook).cloned() else {
                    return Err(format!("the webhook {webhook} is there only inside the host, or set by testing::webhook"));
                };
                Ok(Invoked {
                    delivered: ended.delivered,
                    http_status: ended.http_status,
                    error_event: ended.error_event,
                    parameters: ended.parameters.into_iter().map(|(name, value)| (name, value.to_string())).collect(),
                    output: ended.output.map(|value| value.to_string()),
                })
            })
        }
    }

    pub mod state {
        use super::HOST;

        pub fn get(key: &str) -> Option<Vec<u8>> {
            HOST.with_borrow(|host| host.state.get(key).cloned())
        }

        pub fn set(key: &str, value: &[u8]) -> Result<(), String> {
            HOST.with_borrow_mut(|host| host.state.insert(key.into(), value.into()));
            Ok(())
        }

        pub fn delete(key: &str) -> Result<(), String> {
            HOST.with_borrow_mut(|host| host.state.remove(key));
            Ok(())
        }
    }
}
