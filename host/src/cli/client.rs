//! The HTTP client the other subcommands speak to a host with.

use std::{path::Path, time::Duration};

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::Value;

use crate::model::secret::Secret;

/// How long an answer may take: an upload compiles before it answers.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(120);

/// Which host, and who asks.
#[derive(Clone, Debug, Args)]
pub struct Target {
    /// The host's address.
    #[arg(long, env = "HOOKWRIGHT_URL", default_value = "http://127.0.0.1:8400")]
    pub url: String,
    /// File with the token [default: ./data/admin-token]; HOOKWRIGHT_TOKEN holds the token itself.
    #[arg(long, env = "HOOKWRIGHT_TOKEN_FILE")]
    pub token_file: Option<std::path::PathBuf>,
}

/// A host, spoken to over its API.
pub struct Api {
    url: String,
    token: Secret,
    client: Client<hyper_rustls::HttpsConnector<hyper_util::client::legacy::connect::HttpConnector>, Full<Bytes>>,
}

/// What a host answered.
#[derive(Debug)]
pub struct Answered {
    /// The status.
    pub status: u16,
    /// The body, as JSON if it is any, as text otherwise.
    pub body: Value,
}

impl Target {
    /// The host, with the token read.
    pub fn open(&self) -> anyhow::Result<Api> {
        self.open_beside(Path::new("data"))
    }

    /// The same; a token that is named nowhere is looked for in `data`.
    pub fn open_beside(&self, data: &Path) -> anyhow::Result<Api> {
        let token = match std::env::var("HOOKWRIGHT_TOKEN").ok().filter(|token| !token.is_empty()) {
            Some(token) => token,
            None => {
                let path = self.token_file.clone().unwrap_or_else(|| data.join("admin-token"));
                let hint = "set HOOKWRIGHT_TOKEN, or name the file with --token-file";
                std::fs::read_to_string(&path).with_context(|| format!("no token in {}; {hint}", path.display()))?.trim().to_owned()
            }
        };
        Ok(Api::new(self.url.clone(), Secret::new(token)))
    }
}

impl Api {
    /// The host at `url`.
    pub fn new(url: impl Into<String>, token: Secret) -> Self {
        let connector = HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_all_versions().build();
        Self { url: url.into().trim_end_matches('/').to_owned(), token, client: Client::builder(TokioExecutor::new()).build(connector) }
    }

    /// Sends a document and takes any answer.
    pub async fn send(&self, method: Method, path: &str, media: &str, body: impl Into<Bytes>) -> anyhow::Result<Answered> {
        let (status, bytes) = self.exchange(method, path, media, body).await?;
        Ok(Answered::new(status, &bytes))
    }

    /// The bytes at `path`.
    pub async fn download(&self, path: &str) -> anyhow::Result<Bytes> {
        let (status, bytes) = self.exchange(Method::GET, path, "application/json", "").await?;
        if status == 200 {
            return Ok(bytes);
        }
        Answered::new(status, &bytes).success()?;
        bail!("the host answered {status} and no bytes")
    }

    async fn exchange(&self, method: Method, path: &str, media: &str, body: impl Into<Bytes>) -> anyhow::Result<(u16, Bytes)> {
        let mut authorization = header::HeaderValue::from_bytes(&[b"Bearer ", self.token.expose()].concat())?;
        authorization.set_sensitive(true);
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header(header::AUTHORIZATION, authorization)
            .header(header::CONTENT_TYPE, media)
            .body(Full::new(body.into()))?;
        let exchange = async {
            let response = self.client.request(request).await.with_context(|| format!("no answer from {}", self.url))?;
            let status = response.status().as_u16();
            Ok((status, response.into_body().collect().await?.to_bytes()))
        };
        match tokio::time::timeout(ANSWER_TIME_MAX, exchange).await {
            Ok(answered) => answered,
            Err(_) => bail!("no answer from {} within {} seconds", self.url, ANSWER_TIME_MAX.as_secs()),
        }
    }

    /// Sends JSON and insists on a 2xx answer.
    pub async fn call(&self, method: Method, path: &str, document: Option<&Value>) -> anyhow::Result<Value> {
        let body = document.map(Value::to_string).unwrap_or_default();
        self.send(method, path, "application/json", body).await?.success()
    }
}

impl Answered {
    fn new(status: u16, bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        Self { status, body: serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text.into_owned())) }
    }

    /// The body of a 2xx answer; otherwise an error that says what the host said.
    pub fn success(self) -> anyhow::Result<Value> {
        if (200..300).contains(&self.status) {
            return Ok(self.body);
        }
        let text = |pointer: &str| self.body.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut message = format!("the host answered {}: {}", self.status, text("/detail"));
        for problem in self.body.pointer("/errors").and_then(Value::as_array).into_iter().flatten() {
            let part = |name: &str| problem.get(name).and_then(Value::as_str).unwrap_or_default();
            let at = match part("pointer") {
                "" => String::new(),
                pointer => format!("{pointer} "),
            };
            message.push_str(&format!("\n  {at}{}", part("detail")));
        }
        bail!(message)
    }
}
