//! What came in, parsed once at the door: path, query, token, body.

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

/// A page's length unless `limit` says otherwise.
pub const LIMIT_DEFAULT: usize = 50;
/// The longest page.
pub const LIMIT_MAX: usize = 500;
/// How a client speaks to whatever stands in front of the host.
pub const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// A request to the API.
#[derive(Debug)]
pub struct Asked {
    /// Values of `{...}` in the path, in order.
    pub path: Vec<String>,
    /// Query parameters, decoded.
    pub query: Vec<(String, String)>,
    /// Headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// Whose token it carries; absent on open addresses.
    pub token: Option<Arc<TokenRecord>>,
    /// The trace it belongs to.
    pub trace: Option<TraceContext>,
}

impl Asked {
    /// Whether the token may do what takes `scope`: an answer shows no more than a GET with the same token would.
    pub fn allows(&self, scope: Scope) -> bool {
        self.token.as_ref().is_some_and(|token| token.allows(scope))
    }

    /// Whether secrets and what an admin wrote out are to be shown, which `?reveal=true` asks and an admin alone may.
    pub fn reveals(&self) -> Result<bool, ApiError> {
        let reveal = self.query_as("reveal", "true or false")?.unwrap_or(false);
        if reveal && !self.allows(Scope::Admin) { Err(ApiError::Forbidden("admin".to_owned())) } else { Ok(reveal) }
    }

    /// The `index`th `{...}` of the path.
    pub fn path(&self, index: usize) -> &str {
        self.path.get(index).map_or("", String::as_str)
    }

    /// A query parameter.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Refuses query parameters the address does not know.
    pub fn only(&self, known: &[&str]) -> Result<(), ApiError> {
        let Some((unknown, _)) = self.query.iter().find(|(key, _)| !known.contains(&key.as_str())) else { return Ok(()) };
        let hint = nearest(unknown, known.iter().copied()).map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        Err(ApiError::invalid("", format!("there is no query parameter `{unknown}` here{hint}")))
    }

    /// A query parameter of a type that reads from JSON text or plain text.
    pub fn query_as<T: DeserializeOwned>(&self, name: &str, wants: &str) -> Result<Option<T>, ApiError> {
        let Some(text) = self.query(name) else { return Ok(None) };
        let quoted = serde_json::Value::String(text.to_owned());
        let read = serde_json::from_value(quoted).ok().or_else(|| serde_json::from_str(text).ok());
        read.map(Some).ok_or_else(|| ApiError::invalid("", format!("the query parameter `{name}` must be {wants}, not `{text}`")))
    }

    /// `limit` and `after`.
    pub fn page(&self) -> Result<(usize, Option<String>), ApiError> {
        let limit = self.query_as::<usize>("limit", "a number from 1 to 500")?.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(ApiError::invalid("", format!("`limit` is 1 to {LIMIT_MAX}, not {limit}")));
        }
        Ok((limit, self.query("after").map(str::to_owned)))
    }

    /// The body as a document. An empty body reads as `{}`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        parse(if self.body.trim_ascii().is_empty() { b"{}" } else { &self.body })
    }

    /// The media type of the body, lower case, without parameters.
    pub fn media_type(&self) -> String {
        let value = self.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }
}

/// `https://gis.example`: where the client sees the host. What stands in front says so in `X-Forwarded-Proto`.
pub fn origin(headers: &HeaderMap) -> String {
    let header = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let host = header(HOST).unwrap_or("localhost");
    let scheme = header(FORWARDED_PROTO).filter(|scheme| *scheme == "https").unwrap_or("http");
    format!("{scheme}://{host}")
}

/// The fields of a form or a query, decoded: at most `max`. Each costs many times its bytes, so they are counted before they are read.
pub fn fields(encoded: &[u8], max: usize) -> Result<Vec<(String, String)>, ApiError> {
    if memchr::memchr_iter(b'&', encoded).count() >= max {
        return Err(ApiError::invalid("", format!("a form and a query have at most {max} fields (`http.fields_max`)")));
    }
    Ok(url::form_urlencoded::parse(encoded).into_owned().collect())
}

/// A JSON document; what is wrong comes with its pointer and the nearest known name.
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

/// A document in a value already parsed.
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
