use serde::{Serialize, de::DeserializeOwned};

use crate::{Error, OrError, bindings::wit};

/// What the endpoint answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status, 200 to 299.
    pub status: u16,
    /// Header names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, at most the webhook's `response_bytes_max` long.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).or_reject("the answer")
    }

    /// The body as text.
    pub fn text(&self) -> Result<&str, Error> {
        std::str::from_utf8(&self.body).or_reject("the answer")
    }

    /// The first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        crate::first(&self.headers, |candidate| candidate.eq_ignore_ascii_case(name))
    }
}

impl From<wit::Answer> for Answer {
    fn from(answer: wit::Answer) -> Self {
        Self { status: answer.status, headers: answer.headers, body: answer.body }
    }
}

/// What an answer means.
///
/// ```
/// use hookwright_guest::Outcome;
///
/// let outcome = Outcome::new().set("total", &12)?.remove("draft").output(&"done")?;
/// assert_eq!(outcome.parameters.len(), 2);
/// # Ok::<(), hookwright_guest::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Session parameters to set, as JSON text; `None` removes one.
    pub parameters: Vec<(String, Option<String>)>,
    /// What an invoke returns to its caller as `output`, as JSON text.
    pub output: Option<String>,
}

impl Outcome {
    /// Nothing set, no output.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a session parameter.
    pub fn set(mut self, name: impl Into<String>, value: &impl Serialize) -> Result<Self, Error> {
        self.parameters.push((name.into(), Some(serde_json::to_string(value)?)));
        Ok(self)
    }

    /// Removes a session parameter.
    pub fn remove(mut self, name: impl Into<String>) -> Self {
        self.parameters.push((name.into(), None));
        self
    }

    /// What an invoke returns to its caller.
    pub fn output(mut self, value: &impl Serialize) -> Result<Self, Error> {
        self.output = Some(serde_json::to_string(value)?);
        Ok(self)
    }
}

impl From<Outcome> for wit::Outcome {
    fn from(outcome: Outcome) -> Self {
        Self { parameters: outcome.parameters, output: outcome.output }
    }
}
