//! One request as these APIs have it: its address, its parameters, its format, who asks.

use std::sync::Arc;

use http::{HeaderMap, Method};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{
    model::{arcgis::Form, token::TokenRecord},
    server::{request, respond::ApiError},
    services::Services,
};

/// The first segments that are ours and never a context.
const OWN: [&str; 8] = ["v1", "v3", "v3beta1", "console", "healthz", "readyz", "metrics", "api"];
/// What a context may be: it comes back in links, in `Location` and in the path of the cookie.
pub(super) const CONTEXT_CHARS_MAX: usize = 64;
/// What stands in a path as it is, besides letters and digits (RFC 3986, section 3.3). Everything else is percent-encoded.
const PATH: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// An address of these APIs.
#[derive(Debug, PartialEq, Eq)]
pub struct Place {
    /// What the deployment is called: `portal`, `server`, any one segment.
    pub context: String,
    /// What follows, decoded.
    pub path: Vec<String>,
}

impl Place {
    /// Reads `path`; `None`: it belongs to no such API.
    pub fn find(path: &str) -> Option<Self> {
        let decode = |segment: &str| percent_encoding::percent_decode_str(segment).decode_utf8().ok().map(std::borrow::Cow::into_owned);
        let mut segments = path.strip_prefix('/')?.split('/').map(decode).collect::<Option<Vec<_>>>()?;
        if segments.last().is_some_and(String::is_empty) {
            segments.pop();
        }
        let is_theirs = match segments.get(1).map(String::as_str) {
            Some("admin") => true,
            Some("sharing") => segments.get(2).is_some_and(|rest| rest == "rest"),
            _ => false,
        };
        // As it is written: a context is never decoded.
        let context = path.strip_prefix('/')?.split('/').next().filter(|context| is_context(context) && !OWN.contains(context))?.to_owned();
        // Browsers take dots for a way up, encoded or not.
        let is_named = |segment: &String| !["", ".", ".."].contains(&segment.as_str());
        (is_theirs && segments.iter().all(is_named)).then(|| Self { context, path: segments.split_off(1) })
    }

    /// Whether strangers may post a form here: to sign in or to get a token.
    pub(super) fn asks_who(&self) -> bool {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        matches!(path.as_slice(), ["sharing", "rest", "login" | "generateToken"] | ["admin", "generateToken"])
    }

    /// Whether this is where one signs in or out, which sets the cookie itself.
    pub(super) fn changes_the_cookie(&self) -> bool {
        self.path.len() == 3 && self.path[..2] == ["sharing", "rest"] && ["login", "logout"].contains(&self.path[2].as_str())
    }
}

fn is_context(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
    (1..=CONTEXT_CHARS_MAX).contains(&text.len()) && text.bytes().all(is_plain) && !text.bytes().all(|byte| byte == b'.')
}

/// In which form an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Html,
    Json,
    Pjson,
}

/// A request.
pub(super) struct Asked<'a> {
    pub(super) services: &'a Services,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) context: String,
    pub(super) path: Vec<String>,
    pub(super) form: Form,
    pub(super) format: Format,
    /// Whose token it carries.
    pub(super) who: Option<Arc<TokenRecord>>,
    /// Whether it carries one at all, good or not.
    pub(super) has_token: bool,
}

impl Asked<'_> {
    /// `https://gis.example/portal`, as the client sees it.
    pub(super) fn base(&self) -> String {
        format!("{}/{}", request::origin(&self.headers), self.context)
    }

    /// An address below the context, which is given as it is called and written as it is sent.
    pub(super) fn link(&self, path: &str) -> String {
        format!("/{}/{}", self.context, utf8_percent_encode(path, &PATH))
    }

    /// Whether something is to be done rather than shown. Everything that changes something is a POST; a page for it is a GET.
    pub(super) fn does(&self) -> Result<bool, ApiError> {
        match (&self.method, self.format) {
            (&Method::POST, _) => Ok(true),
            (_, Format::Html) => Ok(false),
            _ => Err(ApiError::MethodNotAllowed("POST".to_owned())),
        }
    }
}
