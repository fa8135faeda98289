//! The request a webhook makes: as an admin writes it, and as it is built for one delivery.
//!
//! What is built here carries no credential and no signature; those are put on each attempt.

mod body;
pub mod headers;
pub mod kept;
pub mod redact;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    binding::Bindings,
    function::FunctionFailure,
    outcome::FailureKind,
    problem::{Problem, nearest, segment},
    reference::{Expansion, Reference, Scope},
    template::{
        Template,
        url::{UrlProblem, UrlTemplate},
    },
};
use body::RequestBody;
pub use headers::is_host_owned;
use headers::{HEADER_VALUE_BYTES_MAX, HEADERS_MAX, check_name, check_value};
pub use redact::redact_url;

/// What a request may be, Dialogflow CX's list ("Webhooks", flexible webhook). `POST` when nothing is said.
pub const METHODS: [&str; 7] = ["POST", "GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// The methods a body goes with (the same page).
pub const METHODS_WITH_BODY: [&str; 3] = ["POST", "PUT", "PATCH"];

/// The largest body, in bytes.
pub const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The request as written. References may stand in the path and query of the URL, in header values and in the strings of the body.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestSpec {
    /// `POST` (the default), `GET`, `HEAD`, `PUT`, `PATCH`, `DELETE` or `OPTIONS`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "POST")]
    pub method: Option<String>,
    /// Where to. Values in path and query are percent-encoded; scheme and host take no references.
    #[schema(example = "https://svc.example/h?f=$session.params.fruit")]
    pub url: String,
    /// By name. Those the host owns (`authorization`, `content-length`, `webhook-*`, ...) are refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(example = json!({"x-tenant": "$session.params.tenant"}))]
    pub headers: BTreeMap<String, String>,
    /// The body's media type; `application/json` unless the body is a text. With `application/x-www-form-urlencoded` an object becomes a form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "application/json")]
    pub content_type: Option<String>,
    /// JSON, or a text. Left out, an event is sent as `{"type","timestamp","data"}` and an `invoke` without a body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, example = json!({"size": "$session.params.size"}))]
    pub body: Option<Value>,
}

/// The request as written, parsed.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestTemplate {
    method: &'static str,
    url: UrlTemplate,
    /// Names in lower case.
    headers: Vec<(String, Template)>,
    content_type: Option<String>,
    body: Option<RequestBody>,
}

/// What a plugin wants sent: the record of `hookwright:plugin/types`. All of it is literal; what is left out comes from the template.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PluginRequest {
    /// One of [`METHODS`].
    pub method: Option<String>,
    /// The origin is always the webhook's (decision: origin-is-the-admins).
    pub path_and_query: Option<String>,
    /// They win over the template's of the same name.
    pub headers: Vec<(String, String)>,
    /// The media type of the body.
    pub content_type: Option<String>,
    /// The body, as the bytes to sign and send.
    pub body: Option<Vec<u8>>,
    /// Parameter and path, added to the webhook's own.
    pub bindings: Vec<(String, String)>,
}

/// A request ready for credentials and a signature. This is what is stored, so that a retry sends the same bytes (decision: stored-request).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuiltRequest {
    /// In upper case.
    pub method: String,
    /// Goes out byte for byte.
    pub url: String,
    /// Names in lower case; with `content-type` where there is a body.
    pub headers: Vec<(String, String)>,
    /// Empty: none.
    #[serde(with = "body::stored")]
    pub body: Vec<u8>,
    /// Bindings the plugin added: parameter and path.
    pub bindings: Vec<(String, String)>,
    /// The URL as it is shown: values from references stay, what an admin spelt out in the query is left out. `None`: no value is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown_url: Option<String>,
    /// Headers whose value an admin spelt out: it may be a credential.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spelt_out: Vec<String>,
}

impl BuiltRequest {
    /// The URL as it is shown.
    pub fn shown_url(&self) -> String {
        self.shown_url.clone().unwrap_or_else(|| redact_url(&self.url))
    }

    /// The first value of a header, its name given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Why a request is not built. It will not get better by itself; nothing is sent. None of these shows a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestProblem {
    /// From the plugin.
    #[error("the plugin asks for the method `{0}`, which is none of {list}", list = METHODS.join(", "))]
    Method(String),
    /// The URL with its values, or the plugin's path.
    #[error(transparent)]
    Url(#[from] UrlProblem),
    /// Name or value of a header.
    #[error("the header `{name}` cannot be sent: {detail}")]
    Header {
        /// Its name.
        name: String,
        /// Why.
        detail: String,
    },
    /// A header's value.
    #[error("the header `{name}` cannot be sent: its value has {bytes} bytes; it may have {HEADER_VALUE_BYTES_MAX}")]
    HeaderTooLong {
        /// Its name.
        name: String,
        /// How many it has.
        bytes: usize,
    },
    /// Too many.
    #[error("the request has {0} headers; it may have {HEADERS_MAX}")]
    TooManyHeaders(usize),
    /// From the plugin.
    #[error("the plugin gives a body, and `{0}` takes none")]
    BodyNotTaken(String),
    /// A function that gave nothing.
    #[error(transparent)]
    Function(#[from] FunctionFailure),
    /// Values or body.
    #[error("the request is larger than {BODY_BYTES_MAX} bytes")]
    TooLarge,
    /// From the plugin.
    #[error("the plugin's binding of `{parameter}` is refused: {detail}")]
    Binding {
        /// The parameter.
        parameter: String,
        /// Why.
        detail: String,
    },
}

impl RequestProblem {
    /// The word for it.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Function(_) => FailureKind::FunctionFailed,
            _ => FailureKind::RequestInvalid,
        }
    }

    /// Whether fewer events could make a request that is small enough.
    pub fn is_of_size(&self) -> bool {
        match self {
            Self::TooLarge | Self::TooManyHeaders(_) | Self::HeaderTooLong { .. } | Self::Url(UrlProblem::TooLong(_)) => true,
            Self::Function(failure) => failure.is_too_large(),
            _ => false,
        }
    }
}

/// The headers of a request, and the names of those whose value the template spells out.
type BuiltHeaders = (Vec<(String, String)>, Vec<String>);

impl RequestTemplate {
    /// Reads a request. All that is wrong is found at once; pointers begin at the request.
    pub fn parse(spec: &RequestSpec) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let written = spec.method.as_deref().unwrap_or(METHODS[0]);
        let method = known_method(written);
        if method.is_none() {
            problems.push(Problem::new("/method", unknown_method(written)));
        }
        let url = UrlTemplate::parse(&spec.url).map_err(|error| problems.push(Problem::new("/url", error.to_string()))).ok();
        let headers = parse_headers(&spec.headers, &mut problems);
        let content_type = spec
            .content_type
            .as_deref()
            .filter(|written| check_content_type(written).map_err(|detail| problems.push(Problem::new("/content_type", detail))).is_ok());
        let body = spec.body.as_ref().and_then(|body| RequestBody::parse(body, content_type, &mut problems));
        if let Some(method) = method.filter(|method| spec.body.is_some() && !takes_body(method)) {
            problems.push(Problem::new("/body", format!("`{method}` takes no body; {} do", METHODS_WITH_BODY.join(", "))));
        }
        match (method, url) {
            (Some(method), Some(url)) if problems.is_empty() => {
                Ok(Self { method, url, headers, content_type: spec.content_type.clone(), body })
            }
            _ => Err(problems),
        }
    }

    /// The method, unless a plugin says otherwise.
    pub fn method(&self) -> &str {
        self.method
    }

    /// The URL.
    pub fn url(&self) -> &UrlTemplate {
        &self.url
    }

    /// Every reference in URL, headers and body, in that order.
    pub fn references(&self) -> Vec<&Reference> {
        let mut found: Vec<_> = self.url.references().collect();
        found.extend(self.headers.iter().flat_map(|(_, value)| value.references()));
        if let Some(body) = &self.body {
            body.references(&mut found);
        }
        found
    }

    /// The request in `scope`, with what a plugin wants of it.
    pub fn build(&self, scope: &Scope<'_>, from_plugin: Option<PluginRequest>) -> Result<(BuiltRequest, Expansion), RequestProblem> {
        let plugin = from_plugin.unwrap_or_default();
        let mut expansion = Expansion::default();
        let method = match plugin.method {
            Some(written) => known_method(&written).ok_or(RequestProblem::Method(written))?,
            None => self.method,
        };
        let (url, shown_url) = match &plugin.path_and_query {
            Some(path_and_query) => (self.url.with_path(path_and_query)?, None),
            None => {
                let url = self.url.expand(scope, &mut expansion)?;
                let shown = (!self.url.is_literal()).then(|| self.url.shown(&url));
                (url, shown)
            }
        };
        let (mut headers, spelt_out) = self.build_headers(plugin.headers, scope, &mut expansion)?;
        let (body, media_type) = match plugin.body {
            Some(body) if !takes_body(method) && !body.is_empty() => return Err(RequestProblem::BodyNotTaken(method.to_owned())),
            _ if !takes_body(method) => (Vec::new(), None),
            Some(body) => (body, Some(self.content_type())),
            // What `invoke` was given as data is `$event.data` too, but nothing happened: there is no trigger to say.
            None => match (&self.body, scope.event.filter(|event| event["trigger"].is_string())) {
                (Some(body), _) => (body.expand(scope, &mut expansion), Some(self.content_type())),
                (None, Some(event)) => (body::envelope(event), Some(body::json_or(self.content_type.as_deref()))),
                (None, None) => (Vec::new(), None),
            },
        };
        if let Some(failure) = expansion.failure() {
            return Err(failure.clone().into());
        }
        if expansion.overflowed() || body.len() > BODY_BYTES_MAX {
            return Err(RequestProblem::TooLarge);
        }
        if let Some(media_type) = media_type.filter(|_| !body.is_empty()) {
            let value = plugin.content_type.unwrap_or_else(|| media_type.to_owned());
            check_content_type(&value).map_err(|detail| RequestProblem::Header { name: "content-type".to_owned(), detail })?;
            headers.push(("content-type".to_owned(), value));
        }
        Bindings::parse(plugin.bindings.iter().map(|(parameter, path)| (parameter, path)))
            .map_err(|(parameter, detail)| RequestProblem::Binding { parameter, detail })?;
        Ok((BuiltRequest { method: method.to_owned(), url, headers, body, bindings: plugin.bindings, shown_url, spelt_out }, expansion))
    }

    /// The template's headers but those the plugin gives, then the plugin's; and the names of those whose value is spelt out in the template.
    fn build_headers(
        &self,
        from_plugin: Vec<(String, String)>,
        scope: &Scope<'_>,
        expansion: &mut Expansion,
    ) -> Result<BuiltHeaders, RequestProblem> {
        let given: Vec<(String, String)> = from_plugin.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
        for (name, _) in &given {
            check_name(name).map_err(|detail| RequestProblem::Header { name: name.clone(), detail })?;
        }
        let (mut headers, mut spelt_out) = (Vec::<(String, String)>::new(), Vec::new());
        for (name, value) in &self.headers {
            if !given.iter().any(|(other, _)| other == name) {
                if value.is_literal() {
                    spelt_out.push(name.clone());
                }
                headers.push((name.clone(), value.expand_text(scope, expansion)));
            }
        }
        headers.extend(given);
        if headers.len() > HEADERS_MAX {
            return Err(RequestProblem::TooManyHeaders(headers.len()));
        }
        for (name, value) in &headers {
            if value.len() > HEADER_VALUE_BYTES_MAX {
                return Err(RequestProblem::HeaderTooLong { name: name.clone(), bytes: value.len() });
            }
            check_value(value).map_err(|detail| RequestProblem::Header { name: name.clone(), detail })?;
        }
        Ok((headers, spelt_out))
    }

    /// What was written, or what the body is.
    fn content_type(&self) -> &str {
        match (&self.content_type, &self.body) {
            (Some(written), _) => written,
            (None, Some(body)) => body.default_content_type(),
            (None, None) => body::JSON,
        }
    }
}

/// Compared without case; in upper case ever after.
fn known_method(written: &str) -> Option<&'static str> {
    METHODS.into_iter().find(|known| known.eq_ignore_ascii_case(written))
}

fn unknown_method(written: &str) -> String {
    match nearest(written, METHODS) {
        Some(near) => format!("there is no method `{written}`; did you mean `{near}`?"),
        None => format!("there is no method `{written}`; there are {}", METHODS.join(", ")),
    }
}

fn takes_body(method: &str) -> bool {
    METHODS_WITH_BODY.contains(&method)
}

fn check_content_type(value: &str) -> Result<(), String> {
    let essence = value.split(';').next().unwrap_or_default().trim();
    let is_type = essence.split_once('/').is_some_and(|(kind, name)| headers::is_token(kind) && headers::is_token(name));
    if is_type && check_value(value).is_ok() { Ok(()) } else { Err("a media type looks like `application/json`".to_owned()) }
}

fn parse_headers(written: &BTreeMap<String, String>, problems: &mut Vec<Problem>) -> Vec<(String, Template)> {
    let mut headers: Vec<(String, Template)> = Vec::new();
    if written.len() > HEADERS_MAX {
        problems.push(Problem::new("/headers", format!("at most {HEADERS_MAX} headers")));
    }
    for (name, value) in written {
        let pointer = format!("/headers{}", segment(name));
        let lower = name.to_ascii_lowercase();
        if let Err(detail) = check_name(&lower) {
            problems.push(Problem::new(pointer, detail));
        } else if headers.iter().any(|(known, _)| *known == lower) {
            problems.push(Problem::new(pointer, "this header is written twice; names are compared without case"));
        } else if let Err(detail) = check_value(value) {
            problems.push(Problem::new(pointer, detail));
        } else {
            match Template::parse(value) {
                Ok(template) => headers.push((lower, template)),
                Err(error) => problems.push(Problem::new(pointer, error.to_string())),
            }
        }
    }
    headers
}

#[cfg(test)]
mod tests;
