//! From a webhook of ours to one as CX has it.

use serde_json::Value;

use super::{
    message::{
        CxWebhook, GenericWebService, HttpMethod, OAuthConfig, SecretVersionHeader, ServiceAccountAuth, ServiceAgentAuth, ServiceDirectory,
        WebhookType,
    },
    names::{AGENT_LABEL, DISPLAY_NAME_LABEL, REDACTED, SECRETS_LABEL, SERVICE_AGENT_SECRET, SERVICE_LABEL, project_of},
};
use crate::model::{
    secret::SecretRef,
    webhook::{AuthSpec, TlsSpec, WebhookSpec},
};

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
        AuthSpec::ServiceAccount { key, .. } if key.name == SERVICE_AGENT_SECRET => {
            service.service_agent_auth = ServiceAgentAuth::AccessToken;
        }
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

fn duration(millis: u64) -> String {
    match millis % 1000 {
        0 => format!("{}s", millis / 1000),
        rest => format!("{}.{rest:03}s", millis / 1000),
    }
}
