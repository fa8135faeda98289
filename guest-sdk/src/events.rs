//! New events. Receivers only; granted by trigger.

use serde::Serialize;

use crate::{Error, error::Refused, imports};

/// An event for the host to accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emission {
    /// What happened: a path (`/items/abc123/share`) or a word (`FeaturesCreated`).
    pub trigger: String,
    /// `None`: the host writes `receiver:<name>`.
    pub source: Option<String>,
    /// When, in milliseconds since 1970-01-01 UTC; `None`: the time of the call.
    pub time_ms: Option<u64>,
    /// The data as JSON text.
    pub data_json: String,
    /// The session it belongs to.
    pub session: Option<String>,
    /// The environment it happened in.
    pub environment: Option<String>,
    /// Anything else worth carrying; a name may occur more than once.
    pub attributes: Vec<(String, String)>,
}

impl Emission {
    /// An event of this trigger with this data.
    pub fn new(trigger: impl Into<String>, data: &impl Serialize) -> Result<Self, Error> {
        Ok(Self {
            trigger: trigger.into(),
            source: None,
            time_ms: None,
            data_json: serde_json::to_string(data)?,
            session: None,
            environment: None,
            attributes: Vec::new(),
        })
    }

    /// Who says so.
    pub fn source(mut self, source: impl Into<String>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// When it happened, in milliseconds since 1970-01-01 UTC.
    pub fn time_ms(mut self, time_ms: u64) -> Self {
        self.time_ms = Some(time_ms);
        self
    }

    /// The session it belongs to.
    pub fn session(mut self, session: impl Into<String>) -> Self {
        self.session = Some(session.into());
        self
    }

    /// The environment it happened in.
    pub fn environment(mut self, environment: impl Into<String>) -> Self {
        self.environment = Some(environment.into());
        self
    }

    /// One more attribute.
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes.push((name.into(), value.into()));
        self
    }
}

/// Accepts an event durably before the reply is written; it is dropped on a trap or error. Returns the event's id.
///
/// ```
/// use hookwright_guest::events::{Emission, emit};
///
/// let data = serde_json::json!({ "order": 12 });
/// let id = emit(Emission::new("order.paid", &data)?.source("shop"))?;
/// # assert_eq!(hookwright_guest::testing::emitted()[0].trigger, "order.paid");
/// # Ok::<(), hookwright_guest::Error>(())
/// ```
pub fn emit(emission: Emission) -> Result<String, Refused> {
    imports::events::emit(&imports::events::Emission {
        trigger: emission.trigger,
        source: emission.source,
        time_ms: emission.time_ms,
        data: emission.data_json,
        session: emission.session,
        environment: emission.environment,
        attributes: emission.attributes,
    })
    .map_err(Refused)
}
