//! A call as it comes in.

use bytes::Bytes;
use http::{HeaderMap, Method};

use crate::model::{secret::Secret, trace::TraceContext};

/// One inbound request, read.
#[derive(Clone, Debug)]
pub struct Received {
    /// The method.
    pub method: Method,
    /// The URL as it was called, for signatures alone. It is a credential: the code is in it.
    pub url: Secret,
    /// The path behind the code.
    pub path: String,
    /// Query parameters, decoded, in order.
    pub query: Vec<(String, String)>,
    /// Headers.
    pub headers: HeaderMap,
    /// The body, within the receiver's limit.
    pub body: Bytes,
    /// The client's address.
    pub remote: String,
    /// The trace it belongs to.
    pub trace: Option<TraceContext>,
    /// Whether its head proved already who sends it (`by_head`).
    pub is_proven: bool,
    /// Whether administrators have pages at the origin it was sent to.
    pub shares_origin: bool,
}
