//! From a webhook as CX has it to a document of ours.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::{
    message::{CxWebhook, GenericWebService, HttpMethod, ServiceDirectory, WebhookType},
    names::{
        AGENT_LABEL, DIRECTORY, DISPLAY_NAME_CHARS_MAX, DISPLAY_NAME_LABEL, GENERIC, REDACTED, SECRETS_LABEL, SERVICE_LABEL, project_of,
        without_nulls,
    },
};
use crate::model::{
    problem::{Problem, read},
    secret::SecretRef,
    webhook::{AuthSpec, WebhookSpec},
};

mod credentials;

/// The document of ours for `written`, laid over `existing`; credentials in it may be inline. Pointers of problems are CX's.
pub fn to_document(written: &Value, name: &str, agent: &str, existing: Option<&WebhookSpec>) -> Result<Value, Problem> {
    let webhook: CxWebhook = read(without_nulls(written.clone()))?;
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
