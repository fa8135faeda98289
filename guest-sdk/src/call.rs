use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use crate::{Error, OrError, bindings::wit};

/// One inbound call of a webhook code.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Invocation {
    /// `cal_...`.
    pub call_id: String,
    /// The receiver the code belongs to.
    pub receiver_name: String,
    /// The caller the code was issued to.
    pub caller: String,
    /// The session the receiver's `session` path found in the call.
    pub session: Option<String>,
    /// The environment the inbound base stands for.
    pub environment: Option<String>,
    /// The HTTP method.
    pub method: String,
    /// The path behind the code; the code itself is never shown to a plugin.
    pub path: String,
    /// All query parameters, decoded, in the order sent.
    pub query: Vec<(String, String)>,
    /// The parameters the receiver declares, as JSON text; [`Invocation::parameter`] reads one.
    pub parameters: Vec<(String, String)>,
    /// Header names in lower case; credentials are left out.
    pub headers: Vec<(String, String)>,
    /// The body as sent.
    pub body: Vec<u8>,
    /// Whether the host verified a signature or credential. `false` when the receiver asks for none.
    pub verified: bool,
    /// The address of the client.
    pub remote_address: String,
    /// When the call came in, in milliseconds since 1970-01-01 UTC.
    pub now_ms: u64,
}

impl Invocation {
    /// The body as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).or_reject("the body")
    }

    /// The body as text.
    pub fn text(&self) -> Result<&str, Error> {
        std::str::from_utf8(&self.body).or_reject("the body")
    }

    /// The first query parameter of this name, as it was sent.
    pub fn query(&self, name: &str) -> Option<&str> {
        crate::first(&self.query, |candidate| candidate == name)
    }

    /// A parameter the receiver declares. Read one that may be absent as an `Option`.
    pub fn parameter<T: DeserializeOwned>(&self, name: &str) -> Result<T, Error> {
        let text = crate::first(&self.parameters, |candidate| candidate == name);
        serde_json::from_str(text.unwrap_or("null")).or_reject(format_args!("the parameter {name}"))
    }

    /// The first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        crate::first(&self.headers, |candidate| candidate.eq_ignore_ascii_case(name))
    }

    /// A call for a test: a POST of this JSON.
    pub fn post(body: &impl Serialize) -> Result<Self, Error> {
        Ok(Self {
            method: "POST".into(),
            headers: vec![("content-type".into(), "application/json".into())],
            body: serde_json::to_vec(body)?,
            ..Self::default()
        })
    }
}

impl From<wit::Invocation> for Invocation {
    fn from(call: wit::Invocation) -> Self {
        Self {
            call_id: call.call_id,
            receiver_name: call.receiver_name,
            caller: call.caller,
            session: call.session,
            environment: call.environment,
            method: call.method,
            path: call.path,
            query: call.query,
            parameters: call.parameters,
            headers: call.headers,
            body: call.body,
            verified: call.verified,
            remote_address: call.remote_address,
            now_ms: call.now_ms,
        }
    }
}

/// The answer to a call. Unless the receiver has `full_reply` the host narrows it to 200 or 400 and a message.
///
/// ```
/// use hookwright_guest::Reply;
///
/// assert_eq!(Reply::ok("order 12 accepted").status, 200);
/// let reply = Reply::json(&serde_json::json!({ "queued": 3 }))?.status(202).header("x-queue", "north");
/// assert_eq!(reply.status, 202);
/// # Ok::<(), hookwright_guest::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Headers; hop-by-hop headers and `content-length` are refused.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// An answer of this status without a body.
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    /// 200 with `{"status":200,"message":"..."}`.
    pub fn ok(message: impl AsRef<str>) -> Self {
        Self::message(200, message.as_ref())
    }

    /// 400 with `{"status":400,"message":"..."}`. Unlike [`Error::Rejected`] it keeps what the call emitted and set.
    pub fn refused(message: impl AsRef<str>) -> Self {
        Self::message(400, message.as_ref())
    }

    fn message(status: u16, message: &str) -> Self {
        Self::new(status).header("content-type", "application/json").body(json!({ "status": status, "message": message }).to_string())
    }

    /// 200 with this JSON.
    pub fn json(value: &impl Serialize) -> Result<Self, Error> {
        Ok(Self::new(200).header("content-type", "application/json").body(serde_json::to_vec(value)?))
    }

    /// 200 with this text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(200).header("content-type", "text/plain; charset=utf-8").body(text.into())
    }

    /// Another status.
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// One more header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Another body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

impl From<Reply> for wit::Reply {
    fn from(reply: Reply) -> Self {
        Self { status: reply.status, headers: reply.headers, body: reply.body }
    }
}
