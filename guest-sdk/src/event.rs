use serde::{Serialize, de::DeserializeOwned};

use crate::{Error, OrError, bindings::wit};

/// Something that happened. Immutable once the host accepted it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// `evt_...`, unique in this host.
    pub id: String,
    /// What happened: a path (`/items/abc123/share`) or a word (`FeaturesCreated`).
    pub trigger: String,
    /// Who says so; empty when the producer gave none.
    pub source: String,
    /// When it happened, in milliseconds since 1970-01-01 UTC.
    pub time_ms: u64,
    /// The session it belongs to.
    pub session: Option<String>,
    /// The environment it happened in.
    pub environment: Option<String>,
    /// CloudEvents extension attributes and whatever else the producer added; a name may occur more than once.
    pub attributes: Vec<(String, String)>,
    /// The producer's data as JSON text; [`Event::data`] reads it.
    pub data_json: String,
}

impl Event {
    /// An event for a test: this trigger and data, everything else empty.
    pub fn new(trigger: impl Into<String>, data: &impl Serialize) -> Result<Self, Error> {
        Ok(Self {
            id: String::new(),
            trigger: trigger.into(),
            source: String::new(),
            time_ms: 0,
            session: None,
            environment: None,
            attributes: Vec::new(),
            data_json: serde_json::to_string(data)?,
        })
    }

    /// The producer's data as a type of yours, or as a [`serde_json::Value`].
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_str(&self.data_json).or_reject("the event's data")
    }

    /// The first attribute of this name.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        crate::first(&self.attributes, |candidate| candidate == name)
    }
}

impl From<wit::Event> for Event {
    fn from(event: wit::Event) -> Self {
        Self {
            id: event.id,
            trigger: event.trigger,
            source: event.source,
            time_ms: event.time_ms,
            session: event.session,
            environment: event.environment,
            attributes: event.attributes,
            data_json: event.data,
        }
    }
}
