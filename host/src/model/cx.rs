//! Dialogflow CX's webhook resource (`google.cloud.dialogflow.cx.v3.Webhook`) as another way to write one of ours, and to read it.
//!
//! What CX does not say is kept: its definitions are laid over the webhook there is. What we cannot do is refused with the field's name.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Map, Value, json};

use super::{
    problem::Problem,
    secret::{SecretRef, is_secret_name},
    webhook::{AuthSpec, TlsSpec, WebhookSpec},
};

pub mod environment;

/// The label that names the agent a webhook belongs to: `projects/p/locations/l/agents/a`.
pub const AGENT_LABEL: &str = "dialogflow.cx/agent";
/// The label of its display name.
pub const DISPLAY_NAME_LABEL: &str = "dialogflow.cx/display-name";
/// The label of its Service Directory service: where its host is says `resolve`, and whether that may be called the operator.
pub const SERVICE_LABEL: &str = "dialogflow.cx/service";
/// The label of the project its secret versions are of, where that is not the agent's own.
const SECRETS_LABEL: &str = "dialogflow.cx/secret-project";
/// What stands for a credential that was given itself. Written back, the credential stays what it is.
pub const REDACTED: &str = "(redacted)";
/// The secret that holds the key of the agent's service agent, for `ID_TOKEN`.
pub const SERVICE_AGENT_SECRET: &str = "dialogflow-service-agent";
/// The longest display name, in characters.
const DISPLAY_NAME_CHARS_MAX: usize = 64;
/// Where Google exchanges what a service account signed, and what for.
const GOOGLE_TOKENS: &str = "https://oauth2.googleapis.com/token";
const GOOGLE_SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// An enumeration as protocol buffers write it in JSON: by name or by number.
macro_rules! proto_enum {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        enum $name { #[default] $($variant,)* }

        impl $name {
            const ALL: &'static [(Self, &'static str)] = &[$((Self::$variant, $word),)*];

            fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            fn is_unspecified(&self) -> bool {
                *self == Self::default()
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.word())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let written = Value::deserialize(deserializer)?;
                let by_number = written.as_u64().and_then(|number| Self::ALL.get(usize::try_from(number).ok()?));
                let found = by_number.or_else(|| Self::ALL.iter().find(|(_, word)| Some(*word) == written.as_str()));
                let words: Vec<_> = Self::ALL.iter().map(|(_, word)| *word).collect();
                found.map(|(value, _)| *value).ok_or_else(|| D::Error::custom(format!("{written} is none of {}", words.join(", "))))
            }
        }
    };
}

proto_enum! {
    /// Whether requests and answers are Dialogflow's own.
    WebhookType { Unspecified = "WEBHOOK_TYPE_UNSPECIFIED", Standard = "STANDARD", Flexible = "FLEXIBLE", }
}

proto_enum! {
    /// The method of a flexible webhook.
    HttpMethod { Unspecified = "HTTP_METHOD_UNSPECIFIED", Post = "POST", Get = "GET", Head = "HEAD", Put = "PUT", Delete = "DELETE", Patch = "PATCH", Options = "OPTIONS", }
}

proto_enum! {
    /// What the service agent shows.
    ServiceAgentAuth { Unspecified = "SERVICE_AGENT_AUTH_UNSPECIFIED", None = "NONE", IdToken = "ID_TOKEN", AccessToken = "ACCESS_TOKEN", }
}

/// `google.cloud.dialogflow.cx.v3.Webhook`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct CxWebhook {
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(alias = "display_name")]
    display_name: String,
    #[serde(skip_serializing_if = "Option::is_none", alias = "generic_web_service")]
    generic_web_service: Option<GenericWebService>,
    #[serde(skip_serializing_if = "Option::is_none", alias = "service_directory")]
    service_directory: Option<ServiceDirectory>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    disabled: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct ServiceDirectory {
    service: String,
    #[serde(skip_serializing_if = "Option::is_none", alias = "generic_web_service")]
    generic_web_service: Option<GenericWebService>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct GenericWebService {
    uri: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    username: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    password: String,
    #[serde(skip_serializing_if = "String::is_empty", alias = "secret_version_for_username_password")]
    secret_version_for_username_password: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", alias = "request_headers")]
    request_headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", alias = "secret_versions_for_request_headers")]
    secret_versions_for_request_headers: BTreeMap<String, SecretVersionHeader>,
    #[serde(skip_serializing_if = "Vec::is_empty", alias = "allowed_ca_certs")]
    allowed_ca_certs: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none", alias = "oauth_config")]
    oauth_config: Option<OAuthConfig>,
    #[serde(skip_serializing_if = "ServiceAgentAuth::is_unspecified", alias = "service_agent_auth")]
    service_agent_auth: ServiceAgentAuth,
    #[serde(skip_serializing_if = "Option::is_none", alias = "service_account_auth_config")]
    service_account_auth_config: Option<ServiceAccountAuth>,
    #[serde(skip_serializing_if = "WebhookType::is_unspecified", alias = "webhook_type")]
    webhook_type: WebhookType,
    #[serde(skip_serializing_if = "HttpMethod::is_unspecified", alias = "http_method")]
    http_method: HttpMethod,
    #[serde(skip_serializing_if = "String::is_empty", alias = "request_body")]
    request_body: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", alias = "parameter_mapping")]
    parameter_mapping: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct SecretVersionHeader {
    #[serde(alias = "secret_version")]
    secret_version: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct ServiceAccountAuth {
    #[serde(alias = "service_account")]
    service_account: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct OAuthConfig {
    #[serde(alias = "client_id")]
    client_id: String,
    #[serde(skip_serializing_if = "String::is_empty", alias = "client_secret")]
    client_secret: String,
    #[serde(skip_serializing_if = "String::is_empty", alias = "secret_version_for_client_secret")]
    secret_version_for_client_secret: String,
    #[serde(alias = "token_endpoint")]
    token_endpoint: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scopes: Vec<String>,
}

/// Where in a CX webhook its web service stands.
const GENERIC: &str = "genericWebService";
const DIRECTORY: &str = "serviceDirectory";

/// The document of ours for `written`, laid over `existing`; credentials in it may be inline. Pointers of problems are CX's.
pub fn to_document(written: &Value, name: &str, agent: &str, existing: Option<&WebhookSpec>) -> Result<Value, Problem> {
    let webhook: CxWebhook = super::problem::read(without_nulls(written.clone()))?;
    let CxWebhook { display_name, generic_web_service, service_directory, timeout, disabled, .. } = webhook;
    if !(1..=DISPLAY_NAME_CHARS_MAX).contains(&display_name.chars().count()) {
        return Err(Problem::new("/displayName", format!("1 to {DISPLAY_NAME_CHARS_MAX} characters")));
    }
    let (service, at, directory) = match (generic_web_service, service_directory) {
        (Some(service), None) => (service, format!("/{GENERIC}"), None),
        (None, Some(ServiceDirectory { service, generic_web_service })) => {
            if !is_resource(&service, &["projects", "locations", "namespaces", "services"]) {
                let detail = "`projects/p/locations/l/namespaces/n/services/s`; where its host is, `resolve` says at /v1/webhooks";
                return Err(Problem::new("/serviceDirectory/service", detail));
            }
            (generic_web_service.unwrap_or_default(), format!("/{DIRECTORY}/{GENERIC}"), Some(service))
        }
        _ => return Err(Problem::new(format!("/{GENERIC}"), format!("exactly one of `{GENERIC}` and `{DIRECTORY}`"))),
    };
    let mut writing = Writing { service, at, agent, project: None, existing };
    let mut document = match existing {
        Some(spec) => serde_json::to_value(spec).map_err(|error| Problem::new("", error.to_string()))?,
        None => json!({ "name": name }),
    };
    document["active"] = json!(!disabled);
    document["timeout_ms"] = match timeout {
        Some(timeout) => json!(millis(&timeout)?),
        None => Value::Null,
    };
    writing.request(&mut document)?;
    document["auth"] = writing.auth(&mut document)?;
    document["tls"]["ca_certificates"] = writing.authorities()?;
    let labels = [
        (AGENT_LABEL, Some(agent.to_owned())),
        (DISPLAY_NAME_LABEL, Some(display_name)),
        (SERVICE_LABEL, directory),
        (SECRETS_LABEL, writing.project),
    ];
    for (label, value) in labels {
        match value {
            Some(value) => document["labels"][label] = value.into(),
            None => drop(document["labels"].as_object_mut().map(|labels| labels.remove(label))),
        }
    }
    Ok(document)
}

/// One definition on its way to a document of ours.
struct Writing<'a> {
    service: GenericWebService,
    /// Where the web service stands.
    at: String,
    agent: &'a str,
    /// The project of the secrets, if it is not the agent's.
    project: Option<String>,
    existing: Option<&'a WebhookSpec>,
}

impl Writing<'_> {
    fn problem<T>(&self, field: &str, detail: impl Into<String>) -> Result<T, Problem> {
        Err(Problem::new(format!("{}/{field}", self.at), detail))
    }

    fn request(&self, document: &mut Value) -> Result<(), Problem> {
        let service = &self.service;
        let flexible = service.webhook_type == WebhookType::Flexible;
        if !flexible {
            if !matches!(service.http_method, HttpMethod::Unspecified | HttpMethod::Post) {
                return self.problem("httpMethod", "a standard webhook is a POST");
            }
            if !service.request_body.is_empty() {
                return self.problem("requestBody", "the body of a standard webhook is a WebhookRequest");
            }
            if !service.parameter_mapping.is_empty() {
                return self.problem("parameterMapping", "a standard webhook answers with a WebhookResponse");
            }
        }
        let method = if service.http_method.is_unspecified() { "POST" } else { service.http_method.word() };
        document["profile"] = json!(if flexible { "dialogflow-flexible" } else { "dialogflow-standard" });
        let body = (!service.request_body.is_empty()).then(|| service.request_body.clone());
        let content_type = body.as_ref().map(|_| "application/json");
        document["request"] = json!({ "method": method, "url": service.uri, "content_type": content_type, "body": body, "headers": {} });
        document["bindings"] = json!(service.parameter_mapping);
        Ok(())
    }

    /// The one kind of credentials. Headers that are none go to the request where there is another kind.
    fn auth(&mut self, document: &mut Value) -> Result<Value, Problem> {
        let service = self.service.clone();
        let basic =
            !service.secret_version_for_username_password.is_empty() || !service.username.is_empty() || !service.password.is_empty();
        let secret_headers = !service.secret_versions_for_request_headers.is_empty()
            || service.request_headers.iter().any(|(name, value)| is_credential(name, value));
        let kinds = [
            (basic, "username"),
            (service.oauth_config.is_some(), "oauthConfig"),
            (!matches!(service.service_agent_auth, ServiceAgentAuth::Unspecified | ServiceAgentAuth::None), "serviceAgentAuth"),
            (service.service_account_auth_config.is_some(), "serviceAccountAuthConfig"),
            (secret_headers, "secretVersionsForRequestHeaders"),
        ];
        let given: Vec<_> = kinds.iter().filter(|(given, _)| *given).map(|(_, field)| *field).collect();
        if let [first, second, ..] = given[..] {
            return self.problem(second, format!("there is `{first}` already; one kind of credentials each"));
        }
        if given.first().is_none_or(|field| *field != "secretVersionsForRequestHeaders") {
            document["request"]["headers"] = json!(service.request_headers);
        }
        let existing = self.existing.and_then(|spec| spec.auth.clone());
        match given.first().copied() {
            None => Ok(existing.filter(|auth| matches!(auth, AuthSpec::Bearer { .. })).map_or(Value::Null, |auth| json!(auth))),
            Some("username") if !service.secret_version_for_username_password.is_empty() => {
                let secret = self.secret(&service.secret_version_for_username_password, "secretVersionForUsernamePassword")?;
                Ok(json!({ "kind": "basic", "password": secret }))
            }
            Some("username") => {
                let password = self.inline(&service.password, "password", |auth| match auth {
                    AuthSpec::Basic { password, .. } => Some(password),
                    _ => None,
                })?;
                Ok(json!({ "kind": "basic", "username": service.username, "password": password }))
            }
            Some("oauthConfig") => {
                let OAuthConfig { client_id, client_secret, secret_version_for_client_secret, token_endpoint, scopes } =
                    service.oauth_config.unwrap_or_default();
                let secret = if secret_version_for_client_secret.is_empty() {
                    self.inline(&client_secret, "oauthConfig/clientSecret", |auth| match auth {
                        AuthSpec::Oauth2 { client_secret, .. } => Some(client_secret),
                        _ => None,
                    })?
                } else {
                    self.secret(&secret_version_for_client_secret, "oauthConfig/secretVersionForClientSecret")?.into()
                };
                let mut auth =
                    json!({ "kind": "oauth2", "client_secret": secret, "token_endpoint": token_endpoint, "client_id": client_id });
                auth["scopes"] = json!(scopes);
                if let Some(AuthSpec::Oauth2 { client_auth, ca_certificates, .. }) = existing {
                    (auth["client_auth"], auth["ca_certificates"]) = (json!(client_auth), json!(ca_certificates));
                }
                Ok(auth)
            }
            Some("serviceAgentAuth") if service.service_agent_auth == ServiceAgentAuth::IdToken => {
                let own = json!({ "kind": "id_token", "key": format!("$secret:{SERVICE_AGENT_SECRET}") });
                Ok(existing.filter(|auth| matches!(auth, AuthSpec::IdToken { .. })).map_or(own, |auth| json!(auth)))
            }
            Some("serviceAgentAuth") => self.problem("serviceAgentAuth", "ACCESS_TOKEN is not offered any more: serviceAccountAuthConfig"),
            Some("serviceAccountAuthConfig") => {
                let account = service.service_account_auth_config.unwrap_or_default().service_account;
                let key = account.replace('@', ".");
                if let Some(AuthSpec::ServiceAccount { account: Some(now), .. }) = &existing
                    && *now == account
                {
                    return Ok(json!(existing));
                }
                if !account.contains('@') || !is_secret_name(&key) {
                    return self.problem(
                        "serviceAccountAuthConfig/serviceAccount",
                        "the address of a service account: `sa@project.iam.gserviceaccount.com`",
                    );
                }
                Ok(
                    json!({ "kind": "service_account", "token_endpoint": GOOGLE_TOKENS, "key": format!("$secret:{key}"), "account": account, "scopes": [GOOGLE_SCOPE] }),
                )
            }
            Some(_) => self.headers(&service),
        }
    }

    /// A secret version wins over a value of the same name, which is compared without case.
    fn headers(&mut self, service: &GenericWebService) -> Result<Value, Problem> {
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

    /// `projects/p/secrets/s/versions/1` as `$secret:s@1`.
    fn secret(&mut self, version: &str, field: &str) -> Result<String, Problem> {
        let parts: Vec<_> = version.split('/').collect();
        let ["projects", project, "secrets", secret, "versions", number] = parts[..] else {
            return self.problem(field, "`projects/p/secrets/s/versions/1`, or `latest` for the newest");
        };
        let number = if number == "latest" { String::new() } else { format!("@{number}") };
        let Ok(reference) = format!("$secret:{secret}{number}").parse::<SecretRef>() else {
            return self.problem(field, "the secret's name or version cannot be one here: letters, digits, `-`, `_`; a number or `latest`");
        };
        if project_of(self.agent) != project && self.project.replace(project.to_owned()).is_some_and(|other| other != project) {
            return self.problem(field, "secrets of one project beside the agent's at most");
        }
        Ok(reference.to_string())
    }

    /// A credential given itself; the mark of one that was shown stands for what there is.
    fn inline<'a, T: ToString + 'a>(
        &'a self,
        value: &str,
        field: &str,
        now: impl FnOnce(&'a AuthSpec) -> Option<&'a T>,
    ) -> Result<Value, Problem> {
        if value != REDACTED {
            return Ok(json!({ "inline": value }));
        }
        match self.existing.and_then(|spec| spec.auth.as_ref()).and_then(now) {
            Some(reference) => Ok(json!(reference.to_string())),
            None => self.problem(field, "there is no credential to keep here; write it"),
        }
    }

    /// DER in Base64 as PEM.
    fn authorities(&self) -> Result<Value, Problem> {
        let mut authorities = Vec::new();
        for (index, der) in self.service.allowed_ca_certs.iter().enumerate() {
            let Ok(bytes) = BASE64_STANDARD.decode(der) else {
                return self.problem(&format!("allowedCaCerts/{index}"), "a certificate in DER, in Base64");
            };
            let text = BASE64_STANDARD.encode(bytes);
            let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
            authorities.push(format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n")));
        }
        Ok(json!(authorities))
    }
}

/// The CX webhook that `spec` is; `None`: it belongs to no agent. Credentials that were given themselves are marked, not shown.
pub fn of_spec(spec: &WebhookSpec) -> Option<Value> {
    let agent = spec.labels.get(AGENT_LABEL)?;
    let service = generic(spec, agent);
    let (generic_web_service, service_directory) = match spec.labels.get(SERVICE_LABEL) {
        None => (Some(service), None),
        Some(directory) => (None, Some(ServiceDirectory { service: directory.clone(), generic_web_service: Some(service) })),
    };
    let webhook = CxWebhook {
        name: format!("{agent}/webhooks/{}", spec.name),
        display_name: spec.labels.get(DISPLAY_NAME_LABEL).cloned().unwrap_or_default(),
        generic_web_service,
        service_directory,
        timeout: spec.timeout_ms.map(duration),
        disabled: !spec.active,
    };
    serde_json::to_value(webhook).ok()
}

fn generic(spec: &WebhookSpec, agent: &str) -> GenericWebService {
    let flexible = spec.profile == "dialogflow-flexible";
    let method = spec.request.method.as_deref().unwrap_or("POST");
    let mut service = GenericWebService {
        uri: spec.request.url.clone(),
        request_headers: spec.request.headers.clone(),
        webhook_type: if flexible { WebhookType::Flexible } else { WebhookType::Standard },
        request_body: spec
            .request
            .body
            .as_ref()
            .map(|body| body.as_str().map_or_else(|| body.to_string(), str::to_owned))
            .unwrap_or_default(),
        parameter_mapping: spec.bindings.clone(),
        allowed_ca_certs: spec.tls.as_ref().map(der).unwrap_or_default(),
        ..GenericWebService::default()
    };
    if flexible {
        service.http_method = HttpMethod::ALL.iter().find(|(_, word)| *word == method).map(|(method, _)| *method).unwrap_or_default();
    }
    let project = spec.labels.get(SECRETS_LABEL).map_or_else(|| project_of(agent), String::as_str);
    let version = |secret: &SecretRef| {
        let number = secret.version.map_or_else(|| "latest".to_owned(), |version| version.to_string());
        format!("projects/{project}/secrets/{}/versions/{number}", secret.name)
    };
    match spec.auth.clone().unwrap_or_default() {
        AuthSpec::None {} | AuthSpec::Bearer { .. } => {}
        AuthSpec::Basic { username: Some(username), .. } => (service.username, service.password) = (username, REDACTED.to_owned()),
        AuthSpec::Basic { username: None, password } => service.secret_version_for_username_password = version(&password),
        AuthSpec::Oauth2 { token_endpoint, client_id, client_secret, scopes, .. } => {
            let mut config = OAuthConfig { client_id, token_endpoint, scopes, ..OAuthConfig::default() };
            if client_secret.is_inline() {
                config.client_secret = REDACTED.to_owned();
            } else {
                config.secret_version_for_client_secret = version(&client_secret);
            }
            service.oauth_config = Some(config);
        }
        AuthSpec::IdToken { .. } => service.service_agent_auth = ServiceAgentAuth::IdToken,
        AuthSpec::ServiceAccount { account, .. } => {
            service.service_account_auth_config = Some(ServiceAccountAuth { service_account: account.unwrap_or_default() });
        }
        AuthSpec::Headers { headers } => {
            for (name, value) in headers {
                match value.parse::<SecretRef>() {
                    Ok(secret) if secret.is_inline() => drop(service.request_headers.insert(name, REDACTED.to_owned())),
                    Ok(secret) => {
                        let header = SecretVersionHeader { secret_version: version(&secret) };
                        service.secret_versions_for_request_headers.insert(name, header);
                    }
                    Err(_) => drop(service.request_headers.insert(name, value)),
                }
            }
        }
    }
    service
}

/// PEM as DER in Base64.
fn der(tls: &TlsSpec) -> Vec<String> {
    let one = |pem: &String| pem.lines().filter(|line| !line.starts_with("-----")).collect::<String>();
    tls.ca_certificates.iter().map(one).collect()
}

/// Lays the fields of `mask` of `written` over `current`: protocol buffers' FieldMask, in either spelling.
pub fn masked(current: &Value, written: &Value, mask: &str) -> Result<Value, Problem> {
    let mut merged = current.clone();
    for path in mask.split(',').map(str::trim).filter(|path| !path.is_empty()) {
        if path == "*" {
            return Ok(written.clone());
        }
        let keys: Vec<String> = path.split('.').map(camel).collect();
        let pointer: String = keys.iter().map(|key| format!("/{key}")).collect();
        let value = written.pointer(&pointer).filter(|value| !value.is_null());
        let Some((last, parents)) = keys.split_last() else { continue };
        let mut at = &mut merged;
        for key in parents {
            at = &mut at[key.as_str()];
            if at.is_null() {
                *at = json!({});
            }
        }
        let Value::Object(fields) = at else { return Err(Problem::new("/updateMask", format!("`{path}` is no field of a webhook"))) };
        match value {
            Some(value) => drop(fields.insert(last.clone(), value.clone())),
            None => drop(fields.remove(last)),
        }
        if let Some(other) = [(GENERIC, DIRECTORY), (DIRECTORY, GENERIC)].into_iter().find(|(one, _)| keys[0] == *one && value.is_some()) {
            // One of the two: what is set takes the other's place.
            drop(merged.as_object_mut().map(|fields| fields.remove(other.1)));
        }
    }
    Ok(merged)
}

/// `display_name` as `displayName`.
fn camel(word: &str) -> String {
    let mut out = String::new();
    let mut upper = false;
    for c in word.chars() {
        match c {
            '_' => upper = true,
            c if upper => (upper, _) = (false, out.push(c.to_ascii_uppercase())),
            c => out.push(c),
        }
    }
    out
}

/// Enumerations by number, as clients ask for with `$alt=json;enum-encoding=int`.
pub fn with_numbers(mut webhook: Value) -> Value {
    for at in [format!("/{GENERIC}"), format!("/{DIRECTORY}/{GENERIC}")] {
        let Some(service) = webhook.pointer_mut(&at) else { continue };
        let number = |words: Vec<&str>, value: &Value| words.iter().position(|word| value.as_str() == Some(word));
        let words = |field: &str| -> Vec<&str> {
            match field {
                "webhookType" => WebhookType::ALL.iter().map(|(_, word)| *word).collect(),
                "httpMethod" => HttpMethod::ALL.iter().map(|(_, word)| *word).collect(),
                _ => ServiceAgentAuth::ALL.iter().map(|(_, word)| *word).collect(),
            }
        };
        for field in ["webhookType", "httpMethod", "serviceAgentAuth"] {
            if let Some(found) = service.get(field).and_then(|value| number(words(field), value)) {
                service[field] = json!(found);
            }
        }
    }
    webhook
}

/// Where CX has what is wrong with the document made of its webhook.
pub fn field_of(pointer: &str, is_directory: bool) -> String {
    let at = if is_directory { format!("/{DIRECTORY}/{GENERIC}") } else { format!("/{GENERIC}") };
    let field = [
        ("/request/url", "uri"),
        ("/request/body", "requestBody"),
        ("/request/method", "httpMethod"),
        ("/request/headers", "requestHeaders"),
        ("/bindings", "parameterMapping"),
        ("/tls/ca_certificates", "allowedCaCerts"),
        ("/auth/headers", "requestHeaders"),
        ("/auth/username", "username"),
        ("/auth/password", "password"),
        ("/auth/token_endpoint", "oauthConfig/tokenEndpoint"),
        ("/auth/client_id", "oauthConfig/clientId"),
        ("/auth/client_secret", "oauthConfig/clientSecret"),
        ("/auth/scopes", "oauthConfig/scopes"),
    ];
    match field.iter().find_map(|(ours, theirs)| Some((theirs, pointer.strip_prefix(ours)?))) {
        Some((theirs, rest)) => format!("{at}/{theirs}{rest}"),
        None if pointer == "/timeout_ms" => "/timeout".to_owned(),
        None => pointer.to_owned(),
    }
}

/// Whether a header is a credential, or the mark of one.
fn is_credential(name: &str, value: &str) -> bool {
    name.eq_ignore_ascii_case("authorization") || value == REDACTED
}

fn project_of(agent: &str) -> &str {
    agent.split('/').nth(1).unwrap_or_default()
}

/// Whether `name` is `first/x/second/y`...
fn is_resource(name: &str, kinds: &[&str]) -> bool {
    let parts: Vec<_> = name.split('/').collect();
    parts.len() == kinds.len() * 2 && parts.chunks(2).zip(kinds).all(|(pair, kind)| pair[0] == *kind && !pair[1].is_empty())
}

/// A protocol buffers Duration, `5s` or `1.500s`, in milliseconds.
fn millis(text: &str) -> Result<u64, Problem> {
    let seconds =
        text.strip_suffix('s').and_then(|seconds| seconds.parse::<f64>().ok()).filter(|seconds| (0.0..=86_400.0).contains(seconds));
    let seconds = seconds.ok_or_else(|| Problem::new("/timeout", "seconds, as in `5s` or `1.5s`"))?;
    Ok((seconds * 1000.0).round() as u64)
}

fn duration(millis: u64) -> String {
    match millis % 1000 {
        0 => format!("{}s", millis / 1000),
        rest => format!("{}.{rest:03}s", millis / 1000),
    }
}

/// `null` is what is left out, everywhere in protocol buffers' JSON.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            fields.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name, without_nulls(value))).collect()
        }
        other => other,
    }
}
