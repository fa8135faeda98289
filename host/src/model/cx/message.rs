//! `google.cloud.dialogflow.cx.v3.Webhook` and what it is made of, in protocol buffers' JSON: fields in either spelling, enumerations by
//! name or by number. What is left out is its default.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Value, json};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, schema::Type},
};

use super::names::{DIRECTORY, GENERIC};

/// An enumeration as protocol buffers write it in JSON: by name or by number.
macro_rules! proto_enum {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub(super) enum $name { #[default] $($variant,)* }

        impl $name {
            pub(super) const ALL: &'static [(Self, &'static str)] = &[$((Self::$variant, $word),)*];

            pub(super) fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            pub(super) fn is_unspecified(&self) -> bool {
                *self == Self::default()
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let words = Self::ALL.iter().map(|(_, word)| *word);
                let description = Some("By name, or by its number in protocol buffers.");
                ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words)).description(description).into()
            }
        }

        impl ToSchema for $name {}

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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schema(as = Webhook)]
pub(super) struct CxWebhook {
    /// Made when it is created: `projects/p/locations/l/agents/a/webhooks/w`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) name: String,
    /// Required, and unique in the agent: 1 to 64 characters.
    #[serde(alias = "display_name")]
    pub(super) display_name: String,
    /// Where and how it is called. Exactly one of this and `serviceDirectory`.
    #[serde(skip_serializing_if = "Option::is_none", alias = "generic_web_service")]
    pub(super) generic_web_service: Option<GenericWebService>,
    /// The same, by a service of Service Directory. Where its host is says `resolve` at `/v1/webhooks`.
    #[serde(skip_serializing_if = "Option::is_none", alias = "service_directory")]
    pub(super) service_directory: Option<ServiceDirectory>,
    /// Seconds for one attempt, at most 30: `5s`, `1.500s`. Left out: 5 seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) timeout: Option<String>,
    /// A disabled webhook is not called.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) disabled: bool,
}

/// A web service behind Service Directory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct ServiceDirectory {
    /// `projects/p/locations/l/namespaces/n/services/s`.
    pub(super) service: String,
    /// Where and how it is called.
    #[serde(skip_serializing_if = "Option::is_none", alias = "generic_web_service")]
    pub(super) generic_web_service: Option<GenericWebService>,
}

/// Where and how a webhook is called.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct GenericWebService {
    /// The URL; in a flexible webhook with references in its path and query.
    pub(super) uri: String,
    /// Basic authentication, superseded by `secretVersionForUsernamePassword`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) username: String,
    /// Comes in, and is shown as `(redacted)`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) password: String,
    /// `projects/p/secrets/s/versions/1` of a secret that holds `username:password`.
    #[serde(skip_serializing_if = "String::is_empty", alias = "secret_version_for_username_password")]
    pub(super) secret_version_for_username_password: String,
    /// Headers by name; values may hold references and functions.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", alias = "request_headers")]
    pub(super) request_headers: BTreeMap<String, String>,
    /// Headers whose values are secrets; they win over `requestHeaders`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", alias = "secret_versions_for_request_headers")]
    pub(super) secret_versions_for_request_headers: BTreeMap<String, SecretVersionHeader>,
    /// Certificate authorities in DER, in Base64, replacing the usual ones.
    #[serde(skip_serializing_if = "Vec::is_empty", alias = "allowed_ca_certs")]
    pub(super) allowed_ca_certs: Vec<String>,
    /// A token of a third party.
    #[serde(skip_serializing_if = "Option::is_none", alias = "oauth_config")]
    pub(super) oauth_config: Option<OAuthConfig>,
    /// A token of the service agent: its key is the secret `dialogflow-service-agent`.
    #[serde(skip_serializing_if = "ServiceAgentAuth::is_unspecified", alias = "service_agent_auth")]
    pub(super) service_agent_auth: ServiceAgentAuth,
    /// A token of a service account: its key is the secret named like the account, with `.` for `@`.
    #[serde(skip_serializing_if = "Option::is_none", alias = "service_account_auth_config")]
    pub(super) service_account_auth_config: Option<ServiceAccountAuth>,
    /// Left out: STANDARD.
    #[serde(skip_serializing_if = "WebhookType::is_unspecified", alias = "webhook_type")]
    pub(super) webhook_type: WebhookType,
    /// Of a flexible webhook. Left out: POST.
    #[serde(skip_serializing_if = "HttpMethod::is_unspecified", alias = "http_method")]
    pub(super) http_method: HttpMethod,
    /// JSON with references, of a flexible webhook.
    #[serde(skip_serializing_if = "String::is_empty", alias = "request_body")]
    pub(super) request_body: String,
    /// Session parameter by JSONPath into the answer, of a flexible webhook.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", alias = "parameter_mapping")]
    pub(super) parameter_mapping: BTreeMap<String, String>,
}

/// A secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct SecretVersionHeader {
    /// `projects/p/secrets/s/versions/1`, or `latest` for the newest.
    #[serde(alias = "secret_version")]
    pub(super) secret_version: String,
}

/// A service account.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct ServiceAccountAuth {
    /// Its address: `sa@project.iam.gserviceaccount.com`.
    #[serde(alias = "service_account")]
    pub(super) service_account: String,
}

/// Client credentials of a third party (RFC 6749, 4.4).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct OAuthConfig {
    /// Who asks.
    #[serde(alias = "client_id")]
    pub(super) client_id: String,
    /// Comes in, and is shown as `(redacted)`.
    #[serde(skip_serializing_if = "String::is_empty", alias = "client_secret")]
    pub(super) client_secret: String,
    /// `projects/p/secrets/s/versions/1`; it wins over `clientSecret`.
    #[serde(skip_serializing_if = "String::is_empty", alias = "secret_version_for_client_secret")]
    pub(super) secret_version_for_client_secret: String,
    /// Where tokens are asked for; its query goes along.
    #[serde(alias = "token_endpoint")]
    pub(super) token_endpoint: String,
    /// What for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) scopes: Vec<String>,
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
