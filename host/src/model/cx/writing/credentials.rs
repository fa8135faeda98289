//! The credentials of a CX webhook: a definition has one kind of them at most.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::Writing;
use crate::model::{
    cx::{
        message::{GenericWebService, OAuthConfig, ServiceAgentAuth},
        names::{REDACTED, SERVICE_AGENT_SECRET},
    },
    problem::Problem,
    secret::is_secret_name,
    webhook::AuthSpec,
};

/// Where Google exchanges what a service account signed, and what for.
const GOOGLE_TOKENS: &str = "https://oauth2.googleapis.com/token";
const GOOGLE_SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// The credentials a definition asks for.
enum Credentials {
    /// Basic authentication, with `username:password` in this version of a secret.
    SecretPassword(String),
    /// Basic authentication.
    Password { username: String, password: String },
    /// A token of a third party.
    OAuth(OAuthConfig),
    /// A token that says who the service agent is.
    AgentIdToken,
    /// A token of the service agent for Google's interfaces. Deprecated there in favour of a service account, and still in definitions.
    AgentAccessToken,
    /// A token of this service account.
    ServiceAccount(String),
    /// Headers that are credentials.
    Headers,
}

impl Credentials {
    /// Every kind a definition asks for.
    fn of(service: &GenericWebService) -> Vec<Self> {
        let basic = match &service.secret_version_for_username_password {
            version if !version.is_empty() => Some(Self::SecretPassword(version.clone())),
            _ if service.username.is_empty() && service.password.is_empty() => None,
            _ => Some(Self::Password { username: service.username.clone(), password: service.password.clone() }),
        };
        let agent = match service.service_agent_auth {
            ServiceAgentAuth::Unspecified | ServiceAgentAuth::None => None,
            ServiceAgentAuth::IdToken => Some(Self::AgentIdToken),
            ServiceAgentAuth::AccessToken => Some(Self::AgentAccessToken),
        };
        let has_secret_headers = !service.secret_versions_for_request_headers.is_empty()
            || service.request_headers.iter().any(|(name, value)| is_credential(name, value));
        let kinds = [
            basic,
            service.oauth_config.clone().map(Self::OAuth),
            agent,
            service.service_account_auth_config.clone().map(|config| Self::ServiceAccount(config.service_account)),
            has_secret_headers.then_some(Self::Headers),
        ];
        kinds.into_iter().flatten().collect()
    }

    /// The field that asks for them.
    fn field(&self) -> &'static str {
        match self {
            Self::SecretPassword(_) | Self::Password { .. } => "username",
            Self::OAuth(_) => "oauthConfig",
            Self::AgentIdToken | Self::AgentAccessToken => "serviceAgentAuth",
            Self::ServiceAccount(_) => "serviceAccountAuthConfig",
            Self::Headers => "secretVersionsForRequestHeaders",
        }
    }
}

impl Writing<'_> {
    /// The `auth` of our document. Headers that are no credentials go to its request.
    pub(super) fn auth(&mut self, document: &mut Value) -> Result<Value, Problem> {
        let mut given = Credentials::of(&self.service);
        if let [first, second, ..] = &given[..] {
            return self.problem(second.field(), format!("there is `{}` already; one kind of credentials each", first.field()));
        }
        let credentials = given.pop();
        if !matches!(credentials, Some(Credentials::Headers)) {
            document["request"]["headers"] = json!(self.service.request_headers);
        }
        let existing = self.existing.and_then(|spec| spec.auth.clone());
        match credentials {
            // CX has no bearer token: one that was written at /v1/webhooks stays.
            None => Ok(existing.filter(|auth| matches!(auth, AuthSpec::Bearer { .. })).map_or(Value::Null, |auth| json!(auth))),
            Some(Credentials::SecretPassword(version)) => {
                let secret = self.secret(&version, "secretVersionForUsernamePassword")?;
                Ok(json!({ "kind": "basic", "password": secret }))
            }
            Some(Credentials::Password { username, password }) => {
                let password = self.inline(&password, "password", |auth| match auth {
                    AuthSpec::Basic { password, .. } => Some(password),
                    _ => None,
                })?;
                Ok(json!({ "kind": "basic", "username": username, "password": password }))
            }
            Some(Credentials::OAuth(config)) => self.oauth(config, existing),
            Some(Credentials::AgentIdToken) => {
                let own = json!({ "kind": "id_token", "key": format!("$secret:{SERVICE_AGENT_SECRET}") });
                Ok(existing.filter(|auth| matches!(auth, AuthSpec::IdToken { .. })).map_or(own, |auth| json!(auth)))
            }
            Some(Credentials::AgentAccessToken) => {
                let agent = |auth: &AuthSpec| matches!(auth, AuthSpec::ServiceAccount { key, .. } if key.name == SERVICE_AGENT_SECRET);
                Ok(existing.filter(agent).map_or_else(|| google_account(SERVICE_AGENT_SECRET), |auth| json!(auth)))
            }
            Some(Credentials::ServiceAccount(account)) => self.service_account(&account, existing),
            Some(Credentials::Headers) => self.headers(),
        }
    }

    fn oauth(&mut self, config: OAuthConfig, existing: Option<AuthSpec>) -> Result<Value, Problem> {
        let OAuthConfig { client_id, client_secret, secret_version_for_client_secret, token_endpoint, scopes } = config;
        let secret = if secret_version_for_client_secret.is_empty() {
            self.inline(&client_secret, "oauthConfig/clientSecret", |auth| match auth {
                AuthSpec::Oauth2 { client_secret, .. } => Some(client_secret),
                _ => None,
            })?
        } else {
            self.secret(&secret_version_for_client_secret, "oauthConfig/secretVersionForClientSecret")?.into()
        };
        let mut auth = json!({ "kind": "oauth2", "client_secret": secret, "token_endpoint": token_endpoint, "client_id": client_id });
        auth["scopes"] = json!(scopes);
        if let Some(AuthSpec::Oauth2 { client_auth, ca_certificates, .. }) = existing {
            (auth["client_auth"], auth["ca_certificates"]) = (json!(client_auth), json!(ca_certificates));
        }
        Ok(auth)
    }

    fn service_account(&self, account: &str, existing: Option<AuthSpec>) -> Result<Value, Problem> {
        if let Some(AuthSpec::ServiceAccount { account: Some(now), .. }) = &existing
            && now == account
        {
            return Ok(json!(existing));
        }
        let key = account.replace('@', ".");
        if !account.contains('@') || !is_secret_name(&key) {
            let detail = "the address of a service account: `sa@project.iam.gserviceaccount.com`";
            return self.problem("serviceAccountAuthConfig/serviceAccount", detail);
        }
        let mut auth = google_account(&key);
        auth["account"] = account.into();
        Ok(auth)
    }

    /// A secret version wins over a value of the same name, which is compared without case.
    fn headers(&mut self) -> Result<Value, Problem> {
        let service = self.service.clone();
        let mut headers = Map::new();
        let mut taken = BTreeSet::new();
        for (name, version) in &service.secret_versions_for_request_headers {
            let field = format!("secretVersionsForRequestHeaders/{name}/secretVersion");
            headers.insert(name.clone(), self.secret(&version.secret_version, &field)?.into());
            taken.insert(name.to_ascii_lowercase());
        }
        for (name, value) in &service.request_headers {
            if taken.contains(&name.to_ascii_lowercase()) {
                continue;
            }
            let value = if is_credential(name, value) && !value.contains('$') {
                self.inline(value, &format!("requestHeaders/{name}"), |auth| match auth {
                    AuthSpec::Headers { headers } => headers.get(name),
                    _ => None,
                })?
            } else {
                json!(value)
            };
            headers.insert(name.clone(), value);
        }
        Ok(json!({ "kind": "headers", "headers": headers }))
    }
}

/// A token of the service account whose key is the secret `key`.
fn google_account(key: &str) -> Value {
    json!({ "kind": "service_account", "token_endpoint": GOOGLE_TOKENS, "key": format!("$secret:{key}"), "scopes": [GOOGLE_SCOPE] })
}

/// Whether a header is a credential, or the mark of one.
fn is_credential(name: &str, value: &str) -> bool {
    name.eq_ignore_ascii_case("authorization") || value == REDACTED
}
