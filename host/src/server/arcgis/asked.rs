//! A request to ArcGIS's APIs: address, parameters, format, and who sends it.

use std::sync::Arc;

use http::{HeaderMap, Method};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{
    model::{arcgis::Form, token::TokenRecord},
    server::{request, respond::ApiError},
    services::Services,
};

/// First path segments that are never a context, because our own routes begin with them.
const OWN: [&str; 8] = ["v1", "v3", "v3beta1", "console", "healthz", "readyz", "metrics", "api"];
/// Longest context, in characters. It is repeated in links, in `Location` and in the cookie's path.
pub(super) const CONTEXT_CHARS_MAX: usize = 64;
/// Characters besides letters and digits that a path may contain (RFC 3986, section 3.3). All others are percent-encoded.
const PATH: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// An address of these APIs.
#[derive(Debug, PartialEq, Eq)]
pub struct Place {
    /// The context, any one segment: it names the deployment, such as `portal` or `server`.
    pub context: String,
    /// The segments after the context, decoded.
    pub path: Vec<String>,
}

impl Place {
    /// Reads `path`; `None`: it belongs to none of these APIs.
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
        // The context is compared as it was sent: it is never decoded.
        let context = path.strip_prefix('/')?.split('/').next().filter(|context| is_context(context) && !OWN.contains(context))?.to_owned();
        // Browsers treat dots as the parent path, encoded or not.
        let is_named = |segment: &String| !["", ".", ".."].contains(&segment.as_str());
        (is_theirs && segments.iter().all(is_named)).then(|| Self { context, path: segments.split_off(1) })
    }

    /// Whether a form may be posted here without a token: to sign in or to get a token.
    pub(super) fn asks_who(&self) -> bool {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        matches!(path.as_slice(), ["sharing", "rest", "login" | "generateToken"] | ["admin", "generateToken"])
    }

    /// Whether this address signs in or out; then it sets the cookie itself.
    pub(super) fn changes_the_cookie(&self) -> bool {
        self.path.len() == 3 && self.path[..2] == ["sharing", "rest"] && ["login", "logout"].contains(&self.path[2].as_str())
    }
}

fn is_context(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
    (1..=CONTEXT_CHARS_MAX).contains(&text.len()) && text.bytes().all(is_plain) && !text.bytes().all(|byte| byte == b'.')
}

/// The format of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Html,
    Json,
    Pjson,
}

pub(super) struct Asked<'a> {
    pub(super) services: &'a Services,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) context: String,
    pub(super) path: Vec<String>,
    pub(super) form: Form,
    pub(super) format: Format,
    /// The token it carries, if it is valid.
    pub(super) who: Option<Arc<TokenRecord>>,
    /// Whether it carries a token, valid or not.
    pub(super) has_token: bool,
}

impl Asked<'_> {
    /// The context's address as the client sees it, such as `https://gis.example/portal`.
    pub(super) fn base(&self) -> String {
        format!("{}/{}", request::origin(&self.headers), self.context)
    }

    /// An address below the context. `path` is decoded; the result is percent-encoded.
    pub(super) fn link(&self, path: &str) -> String {
        format!("/{}/{}", self.context, utf8_percent_encode(path, &PATH))
    }

    /// Whether to perform the operation or to show the page for it. Every change is a POST; the page for it is a GET.
    pub(super) fn does(&self) -> Result<bool, ApiError> {
        match (&self.method, self.format) {
            (&Method::POST, _) => Ok(true),
            (_, Format::Html) => Ok(false),
            _ => Err(ApiError::MethodNotAllowed("POST".to_owned())),
        }
    }
}
