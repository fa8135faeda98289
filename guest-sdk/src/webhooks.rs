//! Calls of configured webhooks, the only way out of the sandbox. Receivers only; granted by webhook name.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::{Error, OrError, error::Refused, imports, parameters};

/// How an invoked webhook ended.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Invoked {
    /// Whether a 2xx answer came back and was read.
    pub delivered: bool,
    /// The status of the last attempt, when there was an answer.
    pub http_status: Option<u16>,
    /// `webhook.error...` when it failed.
    pub error_event: Option<String>,
    /// The session parameters that were set: by the webhook's bindings and its `answers` plugin.
    pub parameters: Map<String, Value>,
    /// What the webhook's `answers` plugin returned.
    pub output: Option<Value>,
}

impl Invoked {
    /// One of the parameters that were set. Read one that may be absent as an `Option`.
    pub fn parameter<T: DeserializeOwned>(&self, name: &str) -> Result<T, Error> {
        let value = self.parameters.get(name).cloned().unwrap_or_default();
        serde_json::from_value(value).or_reject(format_args!("the parameter {name}"))
    }
}

/// A call of a webhook, made by [`Call::send`]. [`invoke`] is the short form.
///
/// ```
/// use hookwright_guest::webhooks::{Call, Invoked};
/// # hookwright_guest::testing::webhook("stock", Invoked { delivered: true, ..Invoked::default() });
///
/// let invoked = Call::new("stock").parameter("sku", &"A-12")?.context(&serde_json::json!({ "tag": "check" }))?.send()?;
/// assert!(invoked.delivered);
/// # Ok::<(), hookwright_guest::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Call {
    webhook: String,
    parameters: Vec<(String, String)>,
    data: String,
    context: String,
}

impl Call {
    /// A call of this webhook.
    pub fn new(webhook: impl Into<String>) -> Self {
        Self { webhook: webhook.into(), parameters: Vec::new(), data: "null".into(), context: "{}".into() }
    }

    /// A parameter, merged into the session before the request is built.
    pub fn parameter(mut self, name: impl Into<String>, value: &impl Serialize) -> Result<Self, Error> {
        self.parameters.push((name.into(), serde_json::to_string(value)?));
        Ok(self)
    }

    /// Every member of an object as a parameter.
    pub fn parameters(mut self, object: &impl Serialize) -> Result<Self, Error> {
        let Value::Object(object) = serde_json::to_value(object)? else {
            return Err(Error::rejected("parameters must be an object"));
        };
        for (name, value) in object {
            self = self.parameter(name, &value)?;
        }
        Ok(self)
    }

    /// What the webhook's transform finds as the data of its event.
    pub fn data(mut self, data: &impl Serialize) -> Result<Self, Error> {
        self.data = serde_json::to_string(data)?;
        Ok(self)
    }

    /// What the webhook's transform finds as [`Delivery::context`](crate::Delivery::context): an object.
    pub fn context(mut self, context: &impl Serialize) -> Result<Self, Error> {
        self.context = serde_json::to_string(context)?;
        Ok(self)
    }

    /// Sends now, with the webhook's auth, address policy, retries, bindings and attempt log, and waits for the end of it.
    ///
    /// [`Error::Rejected`] when the webhook is not granted or a bound on depth, number or time is reached;
    /// a webhook that was called and failed is no error but an [`Invoked`] that says so.
    pub fn send(self) -> Result<Invoked, Error> {
        let invoked = imports::webhooks::invoke(&self.webhook, &self.parameters, &self.data, &self.context).map_err(Refused)?;
        Ok(Invoked {
            delivered: invoked.delivered,
            http_status: invoked.http_status,
            error_event: invoked.error_event,
            parameters: parameters::object(invoked.parameters)?,
            output: invoked.output.map(|text| serde_json::from_str(&text)).transpose()?,
        })
    }
}

/// Invokes a webhook with the members of an object as parameters.
///
/// ```
/// # use hookwright_guest::{testing, webhooks::{self, Invoked}};
/// # let parameters = serde_json::json!({ "left": 4 }).as_object().cloned().unwrap_or_default();
/// # testing::webhook("stock", Invoked { delivered: true, parameters, ..Invoked::default() });
/// let invoked = webhooks::invoke("stock", &serde_json::json!({ "sku": "A-12" }))?;
/// let left: u32 = invoked.parameter("left")?;
/// # assert_eq!(left, 4);
/// # Ok::<(), hookwright_guest::Error>(())
/// ```
pub fn invoke(webhook: &str, parameters: &impl Serialize) -> Result<Invoked, Error> {
    Call::new(webhook).parameters(parameters)?.send()
}
