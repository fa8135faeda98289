use serde::{Serialize, de::DeserializeOwned};

use crate::{Error, OrError, bindings::wit};

/// The delivery being built or answered: one webhook, one session, one environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// `dlv_...`; stays the same over all attempts.
    pub id: String,
    /// The webhook's identifier, which survives a rename.
    pub webhook_id: String,
    /// The webhook's name.
    pub webhook_name: String,
    /// The session whose parameters the delivery reads and binds.
    pub session: Option<String>,
    /// The environment whose overrides were applied.
    pub environment: Option<String>,
    /// What the caller of an invoke gave besides parameters, as JSON text; [`Delivery::context`] reads it.
    pub context_json: String,
    /// When this attempt is built, in milliseconds since 1970-01-01 UTC.
    pub now_ms: u64,
}

impl Default for Delivery {
    /// A delivery for a test: everything empty.
    fn default() -> Self {
        Self {
            id: String::new(),
            webhook_id: String::new(),
            webhook_name: String::new(),
            session: None,
            environment: None,
            context_json: "{}".into(),
            now_ms: 0,
        }
    }
}

impl Delivery {
    /// What the caller of an invoke gave besides parameters: an object, `{}` for a delivery of events.
    pub fn context<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_str(&self.context_json).or_reject("the delivery's context")
    }
}

impl From<wit::Delivery> for Delivery {
    fn from(delivery: wit::Delivery) -> Self {
        Self {
            id: delivery.id,
            webhook_id: delivery.webhook_id,
            webhook_name: delivery.webhook_name,
            session: delivery.session,
            environment: delivery.environment,
            context_json: delivery.context,
            now_ms: delivery.now_ms,
        }
    }
}

/// What to send. What you leave out comes from the webhook's own `request`; headers are merged, yours winning.
///
/// Everything in it is literal: `$session.params.x` is expanded only in text an admin wrote.
///
/// ```
/// use hookwright_guest::Request;
///
/// let request = Request::post()
///     .path_and_query("/maps/distance?units=km")
///     .header("x-tenant", "acme")
///     .json(&serde_json::json!({ "from": "Brest", "to": "Nancy" }))?
///     .bind("distance", "$.routes[0].legs[0].distance.value");
/// assert_eq!(request.content_type.as_deref(), Some("application/json"));
/// # Ok::<(), hookwright_guest::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST`, `PUT`, `PATCH`, `DELETE`, `HEAD` or `OPTIONS`.
    pub method: Option<String>,
    /// Path and query. The origin (scheme, host, port) is always the webhook's.
    pub path_and_query: Option<String>,
    /// Headers to add or replace.
    pub headers: Vec<(String, String)>,
    /// The media type of the body.
    pub content_type: Option<String>,
    /// The body, as the bytes to sign and send.
    pub body: Option<Vec<u8>>,
    /// Added to the webhook's own bindings: session parameter and RFC 9535 JSONPath into the answer.
    pub bindings: Vec<(String, String)>,
}

impl Request {
    /// A request that leaves everything to the webhook.
    pub fn new() -> Self {
        Self::default()
    }

    /// A GET.
    pub fn get() -> Self {
        Self::new().method("GET")
    }

    /// A POST.
    pub fn post() -> Self {
        Self::new().method("POST")
    }

    /// A PUT.
    pub fn put() -> Self {
        Self::new().method("PUT")
    }

    /// A PATCH.
    pub fn patch() -> Self {
        Self::new().method("PATCH")
    }

    /// A DELETE.
    pub fn delete() -> Self {
        Self::new().method("DELETE")
    }

    /// Any method.
    pub fn method(mut self, method: impl Into<String>) -> Self {
        self.method = Some(method.into());
        self
    }

    /// Path and query, beginning with `/`.
    pub fn path_and_query(mut self, path_and_query: impl Into<String>) -> Self {
        self.path_and_query = Some(path_and_query.into());
        self
    }

    /// One more header. `host`, `authorization`, `content-length`, `webhook-*` and signature headers belong to the host,
    /// which refuses the request over them.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The media type of the body; [`Request::json`] and [`Request::text`] set it themselves.
    pub fn content_type(mut self, media_type: impl Into<String>) -> Self {
        self.content_type = Some(media_type.into());
        self
    }

    /// A body of any bytes.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// A JSON body.
    pub fn json(self, value: &impl Serialize) -> Result<Self, Error> {
        Ok(self.content_type("application/json").body(serde_json::to_vec(value)?))
    }

    /// A plain text body.
    pub fn text(self, text: impl Into<String>) -> Self {
        self.content_type("text/plain; charset=utf-8").body(text.into())
    }

    /// After a 2xx answer the value at `path` (RFC 9535 JSONPath) becomes the session parameter `parameter`.
    pub fn bind(mut self, parameter: impl Into<String>, path: impl Into<String>) -> Self {
        self.bindings.push((parameter.into(), path.into()));
        self
    }
}

impl From<Request> for wit::Request {
    fn from(request: Request) -> Self {
        Self {
            method: request.method,
            path_and_query: request.path_and_query,
            headers: request.headers,
            content_type: request.content_type,
            body: request.body,
            bindings: request.bindings.into_iter().map(|(parameter, path)| wit::Binding { parameter, path }).collect(),
        }
    }
}
