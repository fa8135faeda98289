//! The HTTP client with which the other subcommands use a host's API.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper_rustls::{HttpsConnectorBuilder, builderstates::WantsSchemes};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    model::{problem::nearest, secret::Secret},
    transport::TlsSettings,
};

/// Longest time to wait for an answer. An upload is compiled before it is answered.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(120);

/// Which host to use, and with which token.
#[derive(Clone, Debug, Args)]
pub struct Target {
    /// The host's address (HOOKWRIGHT_URL) [default: http://127.0.0.1:8400].
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// File with the token (HOOKWRIGHT_TOKEN_FILE) [default: ./data/admin-token]; HOOKWRIGHT_TOKEN holds the token itself.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Certificate authorities in PEM to trust instead of the public ones (HOOKWRIGHT_CA_FILE).
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// A host in ~/.config/hookwright/config.toml: `[profiles.NAME]` with `url`, `token_file` and, if needed, `ca_file`. With --profile,
    /// HOOKWRIGHT_URL, HOOKWRIGHT_TOKEN and HOOKWRIGHT_CA_FILE are not read.
    #[arg(long, env = "HOOKWRIGHT_PROFILE", value_name = "NAME")]
    profile: Option<String>,
}

/// The file in which hosts are found by name, below the user's configuration folder.
const PROFILES: &str = "hookwright/config.toml";

/// The content of that file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hosts {
    #[serde(default)]
    profiles: BTreeMap<String, Profile>,
}

/// One host of the file: its address and its token belong together.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Profile {
    url: String,
    token_file: PathBuf,
    ca_file: Option<PathBuf>,
}

impl Profile {
    fn named(name: &str) -> anyhow::Result<Self> {
        let home = || variable("HOME").map(|home| Path::new(&home).join(".config"));
        let folder = variable("XDG_CONFIG_HOME").map(PathBuf::from).or_else(home).context("HOME is not set")?;
        let path = folder.join(PROFILES);
        let text = std::fs::read_to_string(&path).with_context(|| format!("no profile `{name}`: {} cannot be read", path.display()))?;
        let hosts: Hosts = toml::from_str(&text).with_context(|| format!("{} is not valid", path.display()))?;
        let known = || hosts.profiles.keys().map(String::as_str);
        hosts.profiles.get(name).cloned().with_context(|| {
            let hint = nearest(name, known()).map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            format!("{} has no profile `{name}`{hint}", path.display())
        })
    }
}

/// The value of an environment variable, unless it is empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// The host that is used if none is named.
const DEFAULT_URL: &str = "http://127.0.0.1:8400";

fn token_in(path: &Path, hint: &str) -> anyhow::Result<Secret> {
    let text = std::fs::read_to_string(path).with_context(|| format!("no token in {}; {hint}", path.display()))?;
    Ok(Secret::new(text.trim()))
}

/// A host, used through its API.
pub struct Api {
    url: String,
    token: Secret,
    client: Client<hyper_rustls::HttpsConnector<hyper_util::client::legacy::connect::HttpConnector>, Full<Bytes>>,
}

/// The answer of a host.
#[derive(Debug)]
pub struct Answered {
    pub status: u16,
    /// The body: as JSON if it is JSON, otherwise as text.
    pub body: Value,
}

impl Target {
    pub fn open(&self) -> anyhow::Result<Api> {
        self.open_beside(Path::new("data"))
    }

    /// Like `open`; if no token is named, it is looked for in the data directory `data`.
    pub fn open_beside(&self, data: &Path) -> anyhow::Result<Api> {
        if let Some(name) = self.profile.as_deref().filter(|name| !name.is_empty()) {
            // Never send the token of one host to another.
            if self.url.is_some() || self.token_file.is_some() || self.ca_file.is_some() {
                bail!("a profile is a host and its token: --url and --token-file do not go with it, nor does --ca-file");
            }
            let Profile { url, token_file, ca_file } = Profile::named(name)?;
            return Api::trusting(url, token_in(&token_file, "the profile names it")?, ca_file.as_deref());
        }
        let url = self.url.clone().or_else(|| variable("HOOKWRIGHT_URL")).unwrap_or_else(|| DEFAULT_URL.to_owned());
        let token = match variable("HOOKWRIGHT_TOKEN") {
            Some(token) => Secret::new(token),
            None => {
                let named = self.token_file.clone().or_else(|| variable("HOOKWRIGHT_TOKEN_FILE").map(PathBuf::from));
                token_in(&named.unwrap_or_else(|| data.join("admin-token")), "set HOOKWRIGHT_TOKEN, or name the file with --token-file")?
            }
        };
        let ca_file = self.ca_file.clone().or_else(|| variable("HOOKWRIGHT_CA_FILE").map(PathBuf::from));
        Api::trusting(url, token, ca_file.as_deref())
    }
}

impl Api {
    pub fn new(url: impl Into<String>, token: Secret) -> Self {
        Self::connecting(url, token, HttpsConnectorBuilder::new().with_webpki_roots())
    }

    /// Like `new`, but trusts the certificate authorities in `ca_file`, if it is given.
    fn trusting(url: String, token: Secret, ca_file: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = ca_file else { return Ok(Self::new(url, token)) };
        let place = || format!("the certificate authorities in {} (--ca-file, HOOKWRIGHT_CA_FILE)", path.display());
        let pem = std::fs::read_to_string(path).with_context(place)?;
        let mut config = (**TlsSettings::from_pem(&[pem], None).with_context(place)?.config()).clone();
        // The connector sets the ALPN protocols itself.
        config.alpn_protocols.clear();
        Ok(Self::connecting(url, token, HttpsConnectorBuilder::new().with_tls_config(config)))
    }

    fn connecting(url: impl Into<String>, token: Secret, builder: HttpsConnectorBuilder<WantsSchemes>) -> Self {
        let connector = builder.https_or_http().enable_all_versions().build();
        Self { url: url.into().trim_end_matches('/').to_owned(), token, client: Client::builder(TokioExecutor::new()).build(connector) }
    }

    /// Sends a document and accepts an answer of any status.
    pub async fn send(&self, method: Method, path: &str, media: &str, body: impl Into<Bytes>) -> anyhow::Result<Answered> {
        let (status, bytes) = self.exchange(method, path, media, body).await?;
        Ok(Answered::new(status, &bytes))
    }

    /// Downloads the bytes at `path`.
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

    /// Sends JSON and requires a 2xx answer.
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

    /// The body of a 2xx answer. Any other answer becomes an error with the host's sentence.
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
