//! A request of the API, parsed: path, query, token, body.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, header::HOST};
use serde::de::DeserializeOwned;

use super::respond::ApiError;
use crate::model::{
    problem::{self, Problem, nearest},
    token::{Scope, TokenRecord},
    trace::TraceContext,
};

/// Length of a page if `limit` is not given.
pub const LIMIT_DEFAULT: usize = 50;
pub const LIMIT_MAX: usize = 500;
/// The scheme that the client used towards the proxy in front of the host.
pub const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

#[derive(Debug)]
pub struct Asked {
    /// Values of `{...}` in the path, in order.
    pub path: Vec<String>,
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// The token of the request; absent on routes that need none.
    pub token: Option<Arc<TokenRecord>>,
    /// The trace the request belongs to.
    pub trace: Option<TraceContext>,
}

impl Asked {
    /// Whether the token has `scope`. Handlers use it so that an answer shows no more than a GET with the same token would.
    pub fn allows(&self, scope: Scope) -> bool {
        self.token.as_ref().is_some_and(|token| token.allows(scope))
    }

    /// Whether to show secrets and literal values: `?reveal=true` asks for it, and only an admin may.
    pub fn reveals(&self) -> Result<bool, ApiError> {
        let reveal = self.query_as("reveal", "true or false")?.unwrap_or(false);
        if reveal && !self.allows(Scope::Admin) { Err(ApiError::Forbidden("admin".to_owned())) } else { Ok(reveal) }
    }

    /// The value of the `{...}` with this index in the path.
    pub fn path(&self, index: usize) -> &str {
        self.path.get(index).map_or("", String::as_str)
    }

    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Refuses query parameters that the route does not know.
    pub fn only(&self, known: &[&str]) -> Result<(), ApiError> {
        let Some((unknown, _)) = self.query.iter().find(|(key, _)| !known.contains(&key.as_str())) else { return Ok(()) };
        let hint = nearest(unknown, known.iter().copied()).map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        Err(ApiError::invalid("", format!("there is no query parameter `{unknown}` here{hint}")))
    }

    /// A query parameter of a type that can be read from JSON or plain text.
    pub fn query_as<T: DeserializeOwned>(&self, name: &str, wants: &str) -> Result<Option<T>, ApiError> {
        let Some(text) = self.query(name) else { return Ok(None) };
        let quoted = serde_json::Value::String(text.to_owned());
        let read = serde_json::from_value(quoted).ok().or_else(|| serde_json::from_str(text).ok());
        read.map(Some).ok_or_else(|| ApiError::invalid("", format!("the query parameter `{name}` must be {wants}, not `{text}`")))
    }

    /// The query parameters `limit` and `after`.
    pub fn page(&self) -> Result<(usize, Option<String>), ApiError> {
        let limit = self.query_as::<usize>("limit", "a number from 1 to 500")?.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(ApiError::invalid("", format!("`limit` is 1 to {LIMIT_MAX}, not {limit}")));
        }
        Ok((limit, self.query("after").map(str::to_owned)))
    }

    /// The body as a document. An empty body is read as `{}`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        parse(if self.body.trim_ascii().is_empty() { b"{}" } else { &self.body })
    }

    /// The media type of the body, in lower case, without parameters.
    pub fn media_type(&self) -> String {
        let value = self.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }
}

/// The origin under which the client sees the host, such as `https://gis.example`. A proxy in front gives the scheme in
/// `X-Forwarded-Proto`.
pub fn origin(headers: &HeaderMap) -> String {
    let header = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let host = header(HOST).unwrap_or("localhost");
    let scheme = header(FORWARDED_PROTO).filter(|scheme| *scheme == "https").unwrap_or("http");
    format!("{scheme}://{host}")
}

/// The fields of a form or a query, decoded; at most `max`. A field takes many times its bytes in memory, so the fields are counted
/// first.
pub fn fields(encoded: &[u8], max: usize) -> Result<Vec<(String, String)>, ApiError> {
    if memchr::memchr_iter(b'&', encoded).count() >= max {
        return Err(ApiError::invalid("", format!("a form and a query have at most {max} fields (`http.fields_max`)")));
    }
    Ok(url::form_urlencoded::parse(encoded).into_owned().collect())
}

/// Parses a JSON document. An error has the pointer to the fault and the nearest known name.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let document = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let inner = error.inner();
        if inner.is_syntax() || inner.is_eof() {
            return ApiError::invalid("", format!("the body is not JSON: {inner}"));
        }
        ApiError::problems(vec![Problem::unreadable(&error)])
    })?;
    deserializer.end().map_err(|error| ApiError::invalid("", format!("the body is not one JSON document: {error}")))?;
    Ok(document)
}

/// Reads a document from a value that is already parsed.
pub fn parse_value<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, ApiError> {
    problem::read(value).map_err(|problem| ApiError::problems(vec![problem]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::webhook::WebhookSpec;

    fn check(document: &str, pointer: &str, says: &str) {
        match parse::<WebhookSpec>(document.as_bytes()) {
            Err(ApiError::Invalid { problems, .. }) => {
                assert_eq!(problems[0].pointer, pointer, "{problems:?}");
                assert!(problems[0].detail.contains(says), "{problems:?}");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_form_has_so_many_fields_and_more_are_not_read() {
        assert_eq!(fields(b"a=1&b=%20", 2).expect("two fields"), [("a".to_owned(), "1".to_owned()), ("b".to_owned(), " ".to_owned())]);
        assert_eq!(fields(b"", 1).expect("none"), []);
        let refused = fields(&b"a&".repeat(1000), 1000).expect_err("too many");
        assert!(refused.to_string().contains("not valid"), "{refused}");
    }

    #[test]
    fn unknown_fields_are_named_with_their_pointer_and_the_nearest_name() {
        check(r#"{"request":{"url":"https://a.example"},"actve":true}"#, "/actve", "did you mean `active`");
        check(r#"{"request":{"url":"https://a.example","metod":"GET"}}"#, "/request/metod", "did you mean `method`");
        check(r#"{"request":{"url":7}}"#, "/request/url", "expected a string");
        check(r#"{"request":"#, "", "not JSON");
    }
}
