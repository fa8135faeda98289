//! Credentials of a webhook: what an admin writes ([`AuthSpec`]) and what the deliverer puts on each attempt ([`Auth`]).
//!
//! One kind each: Dialogflow CX does not say what several would mean, so several are refused (our decision). Mutual TLS stands beside
//! any of them. Every credential is a secret by name: one that is given itself, as `{"inline":"..."}`, is made one when it is written, so
//! that none stands in a document.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::{
    problem::{Problem, segment},
    request::is_host_owned,
    secret::{HeaderCredential, SecretRef},
    template::{Template, url::UrlTemplate},
};

/// Scopes of one token.
pub const SCOPES_MAX: usize = 50;

/// Credentials put on each attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum AuthSpec {
    /// None. Braces, so that fields of other kinds are refused here too.
    None {},
    /// Header values: a secret, or text with references to parameters and with functions.
    Headers {
        /// By name: `$secret:name`, `{"inline":"..."}`, or text.
        #[schema(value_type = BTreeMap<String, HeaderCredential>)]
        headers: BTreeMap<String, String>,
    },
    /// RFC 7617. Either both parts, or one secret holding `username:password`.
    Basic {
        /// The user.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        username: Option<String>,
        /// `$secret:name`.
        password: SecretRef,
    },
    /// RFC 6750.
    Bearer {
        /// `$secret:name`.
        token: SecretRef,
    },
    /// A token of a third party (RFC 6749, client credentials), kept until a minute before it ends and asked for once more after a 401.
    Oauth2 {
        /// Where tokens are asked for. Its query goes along; the webhook's own headers do not.
        #[schema(example = "https://idp.example/token?tenant=north")]
        token_endpoint: String,
        /// Who asks.
        client_id: String,
        /// `$secret:name`.
        client_secret: SecretRef,
        /// What for.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        scopes: Vec<String>,
        /// How the client shows who it is.
        #[serde(default)]
        client_auth: ClientAuth,
        /// Certificate authorities of the token endpoint in PEM, replacing the usual ones. The webhook's `tls` does not count there.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        ca_certificates: Vec<String>,
    },
    /// A token for a signed assertion of one's own (RFC 7523, RS256), kept like `oauth2`'s.
    ServiceAccount {
        /// Where tokens are asked for.
        #[schema(example = "https://oauth2.googleapis.com/token")]
        token_endpoint: String,
        /// `$secret:name` of an RSA key in PEM, or of a Google key file in JSON.
        key: SecretRef,
        /// Whose key it is, as `iss`; a key file says it itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        account: Option<String>,
        /// The key's name, as `kid`; a key file says it itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key_id: Option<String>,
        /// What for.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        scopes: Vec<String>,
        /// Certificate authorities of the token endpoint in PEM, replacing the usual ones.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        ca_certificates: Vec<String>,
    },
    /// A token that says who calls (RS256), for the URL without its query as audience. Signed with one's own key; or, with a
    /// `token_endpoint`, exchanged there for one of the identity provider's.
    IdToken {
        /// `$secret:name` of an RSA key in PEM, or of a Google key file in JSON.
        key: SecretRef,
        /// Whose key it is, as `iss` and `sub`; a key file says it itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        account: Option<String>,
        /// The key's name, as `kid`; a key file says it itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key_id: Option<String>,
        /// Where it is exchanged; absent: it is not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token_endpoint: Option<String>,
        /// Certificate authorities of the token endpoint in PEM, replacing the usual ones.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        ca_certificates: Vec<String>,
    },
}

impl Default for AuthSpec {
    fn default() -> Self {
        Self::None {}
    }
}

/// How a client shows a token endpoint who it is (RFC 6749, section 2.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// `Authorization: Basic`, which every server must take: our default.
    #[default]
    Basic,
    /// `client_id` and `client_secret` in the form.
    Form,
}

/// Compiled credentials.
#[derive(Debug)]
pub enum Auth {
    /// None.
    None,
    /// Header values.
    Headers(Vec<(String, HeaderValueSpec)>),
    /// RFC 7617.
    Basic(Option<String>, SecretRef),
    /// RFC 6750.
    Bearer(SecretRef),
    /// A bearer token that is got first.
    Token(TokenSource),
}

/// The value of an auth header.
#[derive(Debug)]
pub enum HeaderValueSpec {
    /// A secret as it is.
    Secret(SecretRef),
    /// Text with references and functions.
    Text(Template),
}

/// Where a token comes from.
#[derive(Clone, Debug)]
pub struct TokenSource {
    /// How it is asked for.
    pub kind: TokenKind,
    /// Where; absent: it is signed here.
    pub endpoint: Option<String>,
    /// Whom to trust there, in PEM; empty: the usual authorities.
    pub ca_certificates: Vec<String>,
}

/// How a token is asked for.
#[derive(Clone, Debug)]
pub enum TokenKind {
    /// With a client's identifier and secret.
    Client {
        /// Who asks.
        id: String,
        /// Its secret.
        secret: SecretRef,
        /// How it shows that.
        auth: ClientAuth,
        /// What for.
        scopes: Vec<String>,
    },
    /// With an assertion signed by an own key.
    Account {
        /// The key.
        key: AccountKey,
        /// What for.
        scopes: Vec<String>,
    },
    /// The same, for a token that says who calls.
    Identity {
        /// The key.
        key: AccountKey,
    },
}

/// A key one signs with.
#[derive(Clone, Debug)]
pub struct AccountKey {
    /// The key, or a key file.
    pub secret: SecretRef,
    /// Whose it is.
    pub account: Option<String>,
    /// Its name.
    pub id: Option<String>,
}

impl Auth {
    pub(super) fn compile(spec: Option<&AuthSpec>, problems: &mut Vec<Problem>) -> Self {
        match spec.cloned().unwrap_or_default() {
            AuthSpec::None {} => Self::None,
            AuthSpec::Basic { username, password } => {
                if username.as_ref().is_some_and(|name| name.contains(':')) {
                    problems.push(Problem::new("/auth/username", "a user name has no `:` (RFC 7617)"));
                }
                Self::Basic(username, password)
            }
            AuthSpec::Bearer { token } => Self::Bearer(token),
            AuthSpec::Headers { headers } => Self::Headers(compile_headers(&headers, problems)),
            AuthSpec::Oauth2 { token_endpoint, client_id, client_secret, scopes, client_auth, ca_certificates } => {
                let kind = TokenKind::Client { id: client_id, secret: client_secret, auth: client_auth, scopes };
                Self::Token(TokenSource { kind, endpoint: Some(token_endpoint), ca_certificates }.checked(problems))
            }
            AuthSpec::ServiceAccount { token_endpoint, key, account, key_id, scopes, ca_certificates } => {
                let kind = TokenKind::Account { key: AccountKey { secret: key, account, id: key_id }, scopes };
                Self::Token(TokenSource { kind, endpoint: Some(token_endpoint), ca_certificates }.checked(problems))
            }
            AuthSpec::IdToken { key, account, key_id, token_endpoint, ca_certificates } => {
                let kind = TokenKind::Identity { key: AccountKey { secret: key, account, id: key_id } };
                Self::Token(TokenSource { kind, endpoint: token_endpoint, ca_certificates }.checked(problems))
            }
        }
    }

    /// Every secret they need.
    pub fn secrets(&self) -> Vec<&SecretRef> {
        match self {
            Self::None => Vec::new(),
            Self::Headers(headers) => headers
                .iter()
                .filter_map(|(_, value)| match value {
                    HeaderValueSpec::Secret(secret) => Some(secret),
                    HeaderValueSpec::Text(_) => None,
                })
                .collect(),
            Self::Basic(_, secret) | Self::Bearer(secret) => vec![secret],
            Self::Token(source) => vec![source.secret()],
        }
    }
}

impl AuthSpec {
    /// Where tokens are asked for, as written.
    pub fn token_endpoint_mut(&mut self) -> Option<&mut String> {
        match self {
            Self::None {} | Self::Headers { .. } | Self::Basic { .. } | Self::Bearer { .. } => None,
            Self::Oauth2 { token_endpoint, .. } | Self::ServiceAccount { token_endpoint, .. } => Some(token_endpoint),
            Self::IdToken { token_endpoint, .. } => token_endpoint.as_mut(),
        }
    }
}

impl TokenSource {
    /// The secret it needs.
    pub fn secret(&self) -> &SecretRef {
        match &self.kind {
            TokenKind::Client { secret, .. } => secret,
            TokenKind::Account { key, .. } | TokenKind::Identity { key } => &key.secret,
        }
    }

    fn scopes(&self) -> &[String] {
        match &self.kind {
            TokenKind::Client { scopes, .. } | TokenKind::Account { scopes, .. } => scopes,
            TokenKind::Identity { .. } => &[],
        }
    }

    fn checked(self, problems: &mut Vec<Problem>) -> Self {
        let problem = |field: &str, detail: String| Problem::new(format!("/auth/{field}"), detail);
        if let Some(endpoint) = &self.endpoint {
            match UrlTemplate::parse(endpoint) {
                Err(error) => problems.push(problem("token_endpoint", error.to_string())),
                Ok(url) if !url.is_literal() => {
                    problems.push(problem("token_endpoint", "a token is the same for every delivery: no references here".to_owned()));
                }
                Ok(_) => {}
            }
        }
        if self.scopes().len() > SCOPES_MAX {
            problems.push(problem("scopes", format!("at most {SCOPES_MAX} scopes")));
        }
        for (index, scope) in self.scopes().iter().enumerate() {
            // RFC 6749, 3.3.
            if scope.is_empty() || !scope.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\')) {
                let detail = "a scope is one word without quotes and backslashes; write several as several".to_owned();
                problems.push(problem(&format!("scopes/{index}"), detail));
            }
        }
        if let TokenKind::Client { id, .. } = &self.kind
            && id.is_empty()
        {
            problems.push(problem("client_id", "the identifier the token endpoint's operator gave you".to_owned()));
        }
        self
    }
}

fn compile_headers(headers: &BTreeMap<String, String>, problems: &mut Vec<Problem>) -> Vec<(String, HeaderValueSpec)> {
    let mut compiled = Vec::new();
    for (name, value) in headers {
        let pointer = format!("/auth/headers{}", segment(name));
        if name.parse::<http::HeaderName>().is_err() {
            problems.push(Problem::new(&pointer, "this is not a header name"));
        } else if !name.eq_ignore_ascii_case("authorization") && is_host_owned(name) {
            problems.push(Problem::new(&pointer, "this header is the host's"));
        } else if value.starts_with("$secret:") {
            match value.parse() {
                Ok(secret) => compiled.push((name.clone(), HeaderValueSpec::Secret(secret))),
                Err(error) => problems.push(Problem::new(&pointer, format!("{error}"))),
            }
        } else {
            match Template::parse(value) {
                Ok(template) if name.eq_ignore_ascii_case("authorization") && template.is_literal() => problems.push(Problem::new(
                    &pointer,
                    "a fixed credential is kept as a secret: `PUT /v1/secrets/{name}`, then write `$secret:name` here",
                )),
                Ok(template) => compiled.push((name.clone(), HeaderValueSpec::Text(template))),
                Err(error) => problems.push(Problem::new(&pointer, error.to_string())),
            }
        }
    }
    compiled
}
