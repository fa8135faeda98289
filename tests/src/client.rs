//! An HTTP client for a host, with shortcuts for what tests often do.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client as Pool, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;

use crate::wait::within;

/// The header of a form.
pub const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// A client of one host, with or without a token.
#[derive(Clone)]
pub struct Client {
    base: String,
    token: Option<String>,
    pool: Pool<HttpConnector, Full<Bytes>>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answered {
    /// The body as JSON; `null` if it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header's value; empty if it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl Client {
    /// A client of the host at `address`.
    pub fn new(address: SocketAddr, token: Option<&str>) -> Self {
        // A host closes connections that are idle for ten seconds. The client stops using them earlier, so that it never uses one that is
        // being closed.
        let pool = Pool::builder(TokioExecutor::new()).pool_idle_timeout(Duration::from_secs(2)).build_http();
        Self { base: format!("http://{address}"), token: token.map(str::to_owned), pool }
    }

    /// The client's token, for requests written by hand.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// The same client without a token, or with another one.
    pub fn with_token(&self, token: Option<&str>) -> Self {
        Self { token: token.map(str::to_owned), ..self.clone() }
    }

    /// The URL of a path: `http://127.0.0.1:...` and the path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Sends a request and accepts any answer.
    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answered {
        self.try_send(method, path, headers, body).await.unwrap_or_else(|error| panic!("{path}: no answer: {error}"))
    }

    /// Sends a request; `Err` if the host is gone.
    pub async fn try_send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Result<Answered, String> {
        let mut request = Request::builder().method(&method).uri(self.url(path));
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).map_err(|error| error.to_string())?;
        let exchange = async {
            let response = self.pool.request(request).await.map_err(|error| format!("{error:?}"))?;
            let (parts, body) = response.into_parts();
            let body = body.collect().await.map_err(|error| format!("{error:?}"))?.to_bytes();
            Ok(Answered { status: parts.status.as_u16(), headers: parts.headers, body })
        };
        within(&format!("{method} {path}"), exchange).await
    }

    async fn json(&self, method: Method, path: &str, document: Option<&Value>) -> (u16, Value) {
        let (headers, body): (&[_], _) = match document {
            Some(document) => (&[("content-type", "application/json")], document.to_string()),
            None => (&[], String::new()),
        };
        let answered = self.send(method, path, headers, body).await;
        (answered.status, answered.json())
    }

    /// Sends GET.
    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.json(Method::GET, path, None).await
    }

    /// Sends POST with a document.
    pub async fn post(&self, path: &str, document: &Value) -> (u16, Value) {
        self.json(Method::POST, path, Some(document)).await
    }

    /// Sends PUT with a document.
    pub async fn put(&self, path: &str, document: &Value) -> (u16, Value) {
        self.json(Method::PUT, path, Some(document)).await
    }

    /// Sends PATCH with a merge patch.
    pub async fn patch(&self, path: &str, patch: &Value) -> (u16, Value) {
        self.json(Method::PATCH, path, Some(patch)).await
    }

    /// Sends POST with a form and expects 200 with JSON (`f=json`), as ArcGIS's APIs answer.
    pub async fn form(&self, path: &str, fields: &[(&str, &str)]) -> Value {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).append_pair("f", "json").finish();
        let answered = self.send(Method::POST, path, &[FORM], body).await;
        assert_eq!(answered.status, 200, "{path}: {}", answered.text());
        answered.json()
    }

    /// Sends DELETE.
    pub async fn delete(&self, path: &str) -> (u16, Value) {
        self.json(Method::DELETE, path, None).await
    }

    // --- Shortcuts. They panic unless the request succeeds. ---

    /// Sends GET, which must succeed.
    pub async fn look(&self, path: &str) -> Value {
        succeeded("GET", path, self.get(path).await)
    }

    /// Writes a webhook.
    pub async fn webhook(&self, name: &str, document: Value) -> Value {
        let path = format!("/v1/webhooks/{name}");
        succeeded("PUT", &path, self.put(&path, &document).await)
    }

    /// Writes a receiver, issues a code for it and returns the code.
    pub async fn receiver(&self, name: &str, document: Value) -> String {
        let path = format!("/v1/receivers/{name}");
        succeeded("PUT", &path, self.put(&path, &document).await);
        self.code(name).await
    }

    /// Issues a code and returns it.
    pub async fn code(&self, receiver: &str) -> String {
        let path = format!("/v1/receivers/{receiver}/codes");
        let issued = succeeded("POST", &path, self.post(&path, &serde_json::json!({ "caller": "crm" })).await);
        issued["code"].as_str().expect("a code").to_owned()
    }

    /// Writes a secret.
    pub async fn secret(&self, name: &str, value: &str) -> Value {
        let path = format!("/v1/secrets/{name}");
        succeeded("PUT", &path, self.put(&path, &serde_json::json!({ "value": value })).await)
    }

    /// Uploads a plugin and accepts any answer.
    pub async fn try_upload(&self, name: &str, media: &str, bytes: impl Into<Bytes>) -> (u16, Value) {
        let answered = self.send(Method::PUT, &format!("/v1/plugins/{name}"), &[("content-type", media)], bytes).await;
        (answered.status, answered.json())
    }

    /// Uploads a plugin.
    pub async fn plugin(&self, name: &str, bytes: impl Into<Bytes>) -> Value {
        succeeded("PUT", name, self.try_upload(name, "application/wasm", bytes).await)
    }

    /// Uploads a script.
    pub async fn script(&self, name: &str, source: &str) -> Value {
        succeeded("PUT", name, self.try_upload(name, "text/javascript", source.to_owned()).await)
    }

    /// Grants capabilities to a plugin.
    pub async fn grant(&self, plugin: &str, grants: Value) -> Value {
        let path = format!("/v1/plugins/{plugin}/grants");
        succeeded("PUT", &path, self.put(&path, &grants).await)
    }

    /// Posts an event and waits for the first attempt of each delivery. The answer has `id` and `deliveries`.
    pub async fn event(&self, event: Value) -> Value {
        succeeded("POST", "/v1/events", self.post("/v1/events?wait=50s", &event).await)
    }

    /// Invokes a webhook.
    pub async fn invoke(&self, webhook: &str, with: Value) -> Value {
        let path = format!("/v1/webhooks/{webhook}/invoke");
        succeeded("POST", &path, self.post(&path, &with).await)
    }

    /// A delivery with its `attempt_log`.
    pub async fn delivery(&self, id: &str) -> Value {
        self.look(&format!("/v1/deliveries/{id}")).await
    }

    /// A session's parameters.
    pub async fn parameters(&self, session: &str) -> Value {
        self.look(&format!("/v1/sessions/{session}/parameters")).await["parameters"].clone()
    }

    /// Calls a code, without a token.
    pub async fn call(&self, code: &str, query: &str, body: &str) -> Answered {
        let (method, headers): (_, &[_]) =
            if body.is_empty() { (Method::GET, &[]) } else { (Method::POST, &[("content-type", "application/json")]) };
        self.with_token(None).send(method, &format!("/base/api/v1/webhook/{code}{query}"), headers, body.to_owned()).await
    }

    /// The newest call of a receiver. Identifiers from the same millisecond are in no order, so calls are compared by time.
    pub async fn last_call(&self, receiver: &str) -> Value {
        let calls = self.look(&format!("/v1/calls?receiver={receiver}&limit=50")).await;
        let time = |call: &&Value| call["received_at"].as_str().and_then(|time| time.parse::<jiff::Timestamp>().ok());
        calls["data"].as_array().into_iter().flatten().max_by_key(time).cloned().unwrap_or_default()
    }
}

/// The document of a 2xx answer; panics for any other status.
#[track_caller]
pub fn succeeded(method: &str, path: &str, (status, document): (u16, Value)) -> Value {
    assert!((200..300).contains(&status), "{method} {path} was answered {status}: {document:#}");
    document
}
