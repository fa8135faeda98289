//! Tokens from a token endpoint: what it is asked, and what it answers (RFC 6749, 7521, 7523). Sending is the deliverer's.

use std::time::Duration;

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use jiff::Timestamp;
use rustls::{
    SignatureScheme,
    crypto::ring::sign::any_supported_type,
    pki_types::{PrivateKeyDer, pem::PemObject},
    sign,
};
use serde::Deserialize;
use serde_json::{Value, json};
use url::form_urlencoded::{Serializer, byte_serialize};

use super::{
    secret::Secret,
    webhook::auth::{AccountKey, ClientAuth},
};

/// How long an assertion or identity token signed here is good: Google's most, one hour.
pub const ASSERTION_LIFE: Duration = Duration::from_secs(3600);
/// How long a token is kept whose endpoint does not say. Our decision.
pub const TOKEN_LIFE_DEFAULT: Duration = Duration::from_secs(300);
/// How long before its end a token is no longer used. Our decision.
pub const TOKEN_MARGIN: Duration = Duration::from_secs(60);
/// The longest token, in bytes: it goes into a header.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// A token, and until when it is used.
#[derive(Clone, Debug)]
pub struct Token {
    /// The token.
    pub value: Secret,
    /// A minute before it ends.
    pub used_until: Timestamp,
}

impl Token {
    fn lasting(value: Secret, now: Timestamp, life: Duration) -> Self {
        Self { value, used_until: now.checked_add(life.saturating_sub(TOKEN_MARGIN)).unwrap_or(Timestamp::MAX) }
    }
}

/// What a token endpoint is asked: a form, and perhaps who asks.
#[derive(Debug)]
pub struct Question {
    /// `application/x-www-form-urlencoded`.
    pub form: Secret,
    /// The value of `Authorization`.
    pub authorization: Option<Secret>,
}

/// The question for a client's token (RFC 6749, 4.4.2).
pub fn client_credentials(id: &str, secret: &Secret, auth: ClientAuth, scopes: &[String]) -> Question {
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    if !scopes.is_empty() {
        form.append_pair("scope", &scopes.join(" "));
    }
    let authorization = match auth {
        // Both parts are form-encoded before they are put together (RFC 6749, 2.3.1).
        ClientAuth::Basic => {
            let pair = format!("{}:{}", encoded(id.as_bytes()), encoded(secret.expose()));
            Some(Secret::new(format!("Basic {}", BASE64_STANDARD.encode(pair))))
        }
        ClientAuth::Form => {
            form.append_pair("client_id", id);
            form.append_pair("client_secret", &String::from_utf8_lossy(secret.expose()));
            None
        }
    };
    Question { form: Secret::new(form.finish()), authorization }
}

fn encoded(bytes: &[u8]) -> String {
    byte_serialize(bytes).collect()
}

/// The question for a token in exchange for an assertion (RFC 7523, 2.1).
pub fn jwt_bearer(assertion: &str) -> Question {
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer").append_pair("assertion", assertion);
    Question { form: Secret::new(form.finish()), authorization: None }
}

/// What is wrong with a key. Says nothing of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// Not a key.
    #[error("the key is neither an RSA key in PEM nor a Google key file in JSON")]
    NotRsa,
    /// Whose?
    #[error("`account` says whose key it is; only a key file says that itself")]
    NoAccount,
}

/// A key, ready to sign.
pub struct Signer {
    key: Box<dyn sign::Signer>,
    id: Option<String>,
    account: String,
}

/// A Google key file, as far as it is used.
#[derive(Deserialize)]
struct KeyFile {
    private_key: String,
    #[serde(default)]
    private_key_id: Option<String>,
    #[serde(default)]
    client_email: Option<String>,
}

impl Signer {
    /// The key of `written`, whose bytes are `secret`. What is written wins over what a key file says.
    pub fn new(written: &AccountKey, secret: &Secret) -> Result<Self, BadKey> {
        let file: Option<KeyFile> = serde_json::from_slice(secret.expose()).ok();
        let pem = file.as_ref().map_or(secret.expose(), |file| file.private_key.as_bytes());
        let key = rsa_key(pem).ok_or(BadKey::NotRsa)?;
        let (mut id, mut account) = (written.id.clone(), written.account.clone());
        if let Some(file) = file {
            id = id.or(file.private_key_id);
            account = account.or(file.client_email);
        }
        Ok(Self { key, id, account: account.filter(|account| !account.is_empty()).ok_or(BadKey::NoAccount)? })
    }

    /// An assertion for `endpoint`: for these scopes, or for an identity token with this audience.
    pub fn assertion(&self, endpoint: &str, scopes: &[String], audience: Option<&str>, now: Timestamp) -> Result<String, BadKey> {
        // The audience is the endpoint itself, without what its query adds.
        let mut claims = self.claims(endpoint.split('?').next().unwrap_or(endpoint), now);
        if !scopes.is_empty() {
            claims["scope"] = scopes.join(" ").into();
        }
        if let Some(audience) = audience {
            claims["target_audience"] = audience.into();
        }
        self.sign(&claims)
    }

    /// An identity token for `audience`, of our own.
    pub fn identity(&self, audience: &str, now: Timestamp) -> Result<Token, BadKey> {
        let mut claims = self.claims(audience, now);
        claims["sub"] = self.account.clone().into();
        Ok(Token::lasting(Secret::new(self.sign(&claims)?), now, ASSERTION_LIFE))
    }

    fn claims(&self, audience: &str, now: Timestamp) -> Value {
        let now_s = now.as_second();
        json!({ "iss": self.account, "aud": audience, "iat": now_s, "exp": now_s.saturating_add(ASSERTION_LIFE.as_secs() as i64) })
    }

    fn sign(&self, claims: &Value) -> Result<String, BadKey> {
        let mut header = json!({ "typ": "JWT", "alg": "RS256" });
        if let Some(id) = &self.id {
            header["kid"] = id.as_str().into();
        }
        let part = |part: &Value| BASE64_URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", part(&header), part(claims));
        let signature = self.key.sign(signed.as_bytes()).map_err(|_| BadKey::NotRsa)?;
        Ok(format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// A key that signs as RS256 does (RFC 7518, 3.3): RSA of at least 2048 bits, in PKCS #8 or PKCS #1. rustls signs, as it does for TLS, so no other
/// crate for tokens brings a second implementation of cryptography.
fn rsa_key(pem: &[u8]) -> Option<Box<dyn sign::Signer>> {
    let key = PrivateKeyDer::from_pem_slice(pem).ok()?;
    any_supported_type(&key).ok()?.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256])
}

/// The audience of an identity token: the URL without its query (Dialogflow CX, "Webhooks").
pub fn audience(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url)
}

/// What of a token endpoint's answer is read.
#[derive(Deserialize)]
struct Granted {
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    id_token: Option<String>,
    #[serde(default)]
    token_type: Option<String>,
    /// Seconds; some write them as a text.
    #[serde(default)]
    expires_in: Option<Value>,
}

/// Which of the tokens of an answer is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// `access_token`.
    Access,
    /// `id_token`.
    Identity,
}

/// Reads a token endpoint's answer. What is said of a refusal is its `error` code alone (RFC 6749, 5.2): everything else may hold
/// anything.
pub fn read_answer(status: u16, body: &[u8], wanted: Wanted, now: Timestamp) -> Result<Token, String> {
    if !(200..300).contains(&status) {
        let error = serde_json::from_slice::<Value>(body).ok().and_then(|body| body["error"].as_str().map(str::to_owned));
        let error = error.filter(|code| code.len() <= 64 && code.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b)));
        return Err(format!("it answered {status}{}", error.map_or_else(String::new, |code| format!(", `{code}`"))));
    }
    let granted: Granted = serde_json::from_slice(body).map_err(|_| "its answer is no JSON object of RFC 6749, section 5.1".to_owned())?;
    let (token, name) = match wanted {
        Wanted::Access => (granted.access_token, "access_token"),
        Wanted::Identity => (granted.id_token, "id_token"),
    };
    let token = token.filter(|token| !token.is_empty()).ok_or_else(|| format!("its answer has no `{name}`"))?;
    if wanted == Wanted::Access && granted.token_type.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return Err("its token is of another type than `Bearer`".to_owned());
    }
    if token.len() > TOKEN_BYTES_MAX {
        return Err(format!("its token is longer than {TOKEN_BYTES_MAX} bytes"));
    }
    let seconds = granted.expires_in.and_then(|life| life.as_u64().or_else(|| life.as_str()?.parse().ok()));
    Ok(Token::lasting(Secret::new(token), now, seconds.map_or(TOKEN_LIFE_DEFAULT, Duration::from_secs)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_second(1_700_000_000).unwrap()
    }

    #[test]
    fn a_client_shows_who_it_is_in_the_header_or_in_the_form() {
        let secret = Secret::new("p@ss: 1");
        let scopes = ["read".to_owned(), "write".to_owned()];
        let question = client_credentials("id/1", &secret, ClientAuth::Basic, &scopes);
        assert_eq!(question.form.expose_str(), Some("grant_type=client_credentials&scope=read+write"));
        let expected = format!("Basic {}", BASE64_STANDARD.encode("id%2F1:p%40ss%3A+1"));
        assert_eq!(question.authorization.unwrap().expose_str(), Some(expected.as_str()));
        let question = client_credentials("id/1", &secret, ClientAuth::Form, &[]);
        assert_eq!(question.form.expose_str(), Some("grant_type=client_credentials&client_id=id%2F1&client_secret=p%40ss%3A+1"));
        assert!(question.authorization.is_none());
    }

    #[test]
    fn a_token_is_used_until_a_minute_before_its_end() {
        for (answer, until) in [
            (json!({"access_token": "t", "token_type": "bearer", "expires_in": 3600}), 3540),
            (json!({"access_token": "t", "expires_in": "600"}), 540),
            (json!({"access_token": "t"}), 240),
            (json!({"access_token": "t", "expires_in": 30}), 0),
        ] {
            let token = read_answer(200, answer.to_string().as_bytes(), Wanted::Access, now()).unwrap();
            assert_eq!((token.value.expose_str(), token.used_until.as_second() - now().as_second()), (Some("t"), until), "{answer}");
        }
    }

    #[test]
    fn what_is_no_token_is_said_without_its_words() {
        for (status, body, says) in [
            (401, r#"{"error":"invalid_client","error_description":"hunter2"}"#, "it answered 401, `invalid_client`"),
            (500, "hunter2", "it answered 500"),
            (400, r#"{"error":"<hunter2 is wrong>"}"#, "it answered 400"),
            (200, "hunter2", "its answer is no JSON object of RFC 6749, section 5.1"),
            (200, r#"{"token":"hunter2"}"#, "its answer has no `access_token`"),
            (200, r#"{"access_token":"x","token_type":"mac"}"#, "its token is of another type than `Bearer`"),
        ] {
            assert_eq!(read_answer(status, body.as_bytes(), Wanted::Access, now()).unwrap_err(), says);
        }
        assert!(read_answer(200, br#"{"access_token":"x"}"#, Wanted::Identity, now()).unwrap_err().contains("`id_token`"));
    }

    #[test]
    fn a_key_must_be_one_and_somebodys() {
        let written = AccountKey { secret: "$secret:key".parse().unwrap(), account: Some("a@b".into()), id: None };
        assert_eq!(Signer::new(&written, &Secret::new("hunter2")).err(), Some(BadKey::NotRsa));
        assert_eq!(audience("https://h/a/b?c=d"), "https://h/a/b");
    }
}
