//! A token endpoint (RFC 6749, 7523) that checks everything: the client or the signed assertion. It remembers the tokens that it gave
//! out.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use jiff::Timestamp;
use rsa::{Pkcs1v15Sign, PublicKey, pkcs8::DecodePublicKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{Endpoint, Identity, Received, Script, lock};

/// The token endpoint.
pub struct TokenServer {
    /// Where it listens, and the HTTP server that records the requests.
    pub endpoint: Endpoint,
    state: Arc<Mutex<State>>,
}

struct State {
    /// The secrets of clients, by identifier.
    clients: BTreeMap<String, String>,
    /// The public key, in PEM, of the account that signs assertions.
    account: Option<String>,
    /// Lifetime of a token in seconds.
    life: u64,
    given: Vec<String>,
}

impl TokenServer {
    /// Starts a server that knows a client and, if given, an account's public key.
    pub async fn start(client: (&str, &str), account: Option<&str>) -> Self {
        Self::on(Endpoint::start().await, client, account)
    }

    /// The same with TLS.
    pub async fn start_tls(identity: &Identity, client: (&str, &str)) -> Self {
        Self::on(Endpoint::start_tls(identity, None).await, client, None)
    }

    fn on(endpoint: Endpoint, (id, secret): (&str, &str), account: Option<&str>) -> Self {
        let clients = BTreeMap::from([(id.to_owned(), secret.to_owned())]);
        let state = Arc::new(Mutex::new(State { clients, account: account.map(str::to_owned), life: 3600, given: Vec::new() }));
        let server = Self { endpoint, state };
        let (state, url) = (Arc::clone(&server.state), server.endpoint.url("/token"));
        server.endpoint.decides(move |asked| match lock(&state).answer(asked, &url) {
            Ok(answer) => Script::json(answer),
            Err(error) => Script::status(400).body(json!({ "error": error, "error_description": "canary-description" }).to_string()),
        });
        server
    }

    /// Sets the lifetime of tokens from now on.
    pub fn life(&self, seconds: u64) {
        lock(&self.state).life = seconds;
    }

    /// Changes a client's secret. The old one is refused.
    pub fn rotate(&self, id: &str, secret: &str) {
        lock(&self.state).clients.insert(id.to_owned(), secret.to_owned());
    }

    /// From now on accepts only assertions that this account's key signed.
    pub fn believe(&self, public_key: &str) {
        lock(&self.state).account = Some(public_key.to_owned());
    }

    /// The tokens that were given out, in order.
    pub fn given(&self) -> Vec<String> {
        lock(&self.state).given.clone()
    }
}

/// The fields of a form.
pub fn form(received: &Received) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(&received.body).into_owned().collect()
}

impl State {
    fn answer(&mut self, asked: &Received, url: &str) -> Result<Value, &'static str> {
        if asked.method != "POST" || asked.header("content-type") != "application/x-www-form-urlencoded" {
            return Err("invalid_request");
        }
        let form = form(asked);
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        match field("grant_type") {
            "client_credentials" => {
                let (id, secret) = client(asked, &form).ok_or("invalid_client")?;
                if self.clients.get(&id) != Some(&secret) {
                    return Err("invalid_client");
                }
                Ok(json!({ "access_token": self.token(), "token_type": "Bearer", "expires_in": self.life }))
            }
            "urn:ietf:params:oauth:grant-type:jwt-bearer" => {
                let account = self.account.as_ref().ok_or("unsupported_grant_type")?;
                let claims = claims(field("assertion"), account, url).ok_or("invalid_grant")?;
                Ok(match claims["target_audience"].as_str() {
                    Some(audience) => json!({ "id_token": format!("{}-for-{audience}", self.token()) }),
                    None => json!({ "access_token": self.token(), "token_type": "Bearer", "expires_in": self.life }),
                })
            }
            _ => Err("unsupported_grant_type"),
        }
    }

    fn token(&mut self) -> String {
        let token = format!("canary-token-{}", self.given.len() + 1);
        self.given.push(token.clone());
        token
    }
}

/// The client's identifier and secret, from the header or the form.
fn client(asked: &Received, form: &BTreeMap<String, String>) -> Option<(String, String)> {
    match asked.header("authorization").strip_prefix("Basic ") {
        Some(pair) => {
            let pair = String::from_utf8(BASE64_STANDARD.decode(pair).ok()?).ok()?;
            let (id, secret) = pair.split_once(':')?;
            let decoded =
                |text: &str| url::form_urlencoded::parse(format!("x={text}").as_bytes()).next().map(|(_, value)| value.into_owned());
            Some((decoded(id)?, decoded(secret)?))
        }
        None => Some((form.get("client_id")?.clone(), form.get("client_secret")?.clone())),
    }
}

/// The bytes before the digest in a signature with SHA-256 (RFC 8017, 9.2, note 1).
const SHA_256_PREFIX: [u8; 19] =
    [0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20];

/// A JSON part of a JSON Web Token: 0 is its header, 1 its claims.
pub fn token_part(token: &str, index: usize) -> Option<Value> {
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(index)?).ok()?).ok()
}

/// The claims of an assertion, if this key signed it for this audience and it is valid now.
pub fn claims(token: &str, public_key: &str, audience: &str) -> Option<Value> {
    let (signed, signature) = token.rsplit_once('.')?;
    let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
    let scheme = Pkcs1v15Sign { hash_len: Some(32), prefix: SHA_256_PREFIX.into() };
    let key = PublicKey::from_public_key_pem(public_key).expect("a public key");
    key.verify(scheme, &Sha256::digest(signed), &signature).ok()?;
    let (header, claims) = (token_part(token, 0)?, token_part(token, 1)?);
    let now = Timestamp::now().as_second();
    let is_good = header["alg"] == "RS256" && claims["aud"] == audience && claims["iss"].is_string() && claims["exp"].as_i64()? > now;
    is_good.then_some(claims)
}
