//! A webhook as an admin writes it. What it may say is checked when it is compiled.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::AuthSpec;
use crate::model::{
    ordering::{BatchSpec, OrderingSpec},
    profile::{DEFAULT_PROFILE, Deactivation},
    request::RequestSpec,
    retry::Retry,
    secret::SecretRef,
    signature::SigningScheme,
};

/// Deliveries of one webhook being sent at once, unless it says otherwise.
pub const IN_FLIGHT_DEFAULT: u32 = 16;

/// A webhook as written. What is left out comes from its profile, live.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookSpec {
    /// Unique; what the address ends with: 1 to 128 letters, digits, `-`, `_` or `.`.
    #[serde(default)]
    #[schema(example = "route-distance")]
    pub name: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// For programs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// An inactive webhook matches nothing and cannot be invoked.
    #[serde(default = "yes")]
    pub active: bool,
    /// Where what is left out comes from.
    #[serde(default = "default_profile")]
    #[schema(example = "standard")]
    pub profile: String,
    /// Which events fire it; empty: it is only invoked. A path (prefix), a word, `prefix.*` or `*`.
    #[serde(default)]
    #[schema(example = json!(["/items/share"]))]
    pub selectors: Vec<String>,
    /// Only events of these sources; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
    /// A JSONPath (RFC 9535) over the event; a non-empty result lets it through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "$[?@.properties.sharedToGroups[?@=='Everyone']]")]
    pub filter: Option<String>,
    /// The plugin that maps events to a request; absent: `request` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transform: Option<TransformSpec>,
    /// The request, with references.
    pub request: RequestSpec,
    /// After a 2xx answer: session parameter <- JSONPath (RFC 9535) into the answer. A path of names and indices alone sets the value it
    /// finds, or leaves what was there. Any other sets the list of what it finds, empty or not; with `first` before it (`first
    /// $.items[*].id`) the first value, or leaves what was there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(example = json!({"distance": "$.routes[0].legs[0].distance.value"}))]
    pub bindings: BTreeMap<String, String>,
    /// What makes a 2xx answer a success, where the status alone does not: a JSONPath (RFC 9535) on the answer's JSON. A path to one
    /// value holds where that value is there and neither `false` nor `null`, any other path where it finds something. An answer for
    /// which it does not hold is a failure like a status that is not 2xx. Absent: the profile's rule, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "$.ok")]
    pub success: Option<String>,
    /// How deliveries are signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing: Option<SigningSpec>,
    /// Credentials put on each attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthSpec>,
    /// Trust and client certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSpec>,
    /// Where host names of the URL and of `auth` lead to, as `address:port`. The name stays in TLS and in `Host`. A private address
    /// must lie in a network that `HOOKWRIGHT_ALLOW_NETWORKS` opens, as everywhere.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(example = json!({"orders.internal": "10.0.0.7:8443"}))]
    pub resolve: BTreeMap<String, String>,
    /// Milliseconds for one attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Bytes of an answer's body, without its content coding. Of a longer one the rest is not read: then the `success` rule does not
    /// hold and bindings find nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_bytes_max: Option<u64>,
    /// `fresh`: built at each first try; `stored`: kept before it is first sent.
    #[serde(default)]
    pub build: Build,
    /// When a failed delivery is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// What becomes of deliveries while the plugin is set aside because it kept failing: `wait` or `fail`.
    #[serde(default, skip_serializing_if = "WhenSetAside::is_default")]
    pub when_set_aside: WhenSetAside,
    /// When a webhook that keeps failing is switched off: `{"failures","days"}` or `{"unbroken_hours"}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deactivation: Option<Deactivation>,
    /// Several events in one delivery; absent: one event each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchSpec>,
    /// How much at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<LimitsSpec>,
    /// Which deliveries wait for those before them: `none`, `fifo`, `session` or `{"key":"$.path"}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordering: Option<OrderingSpec>,
    /// Overrides of `request`, `auth`, `tls` and `resolve` (RFC 7396) for events and calls of an environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, Object>)]
    pub environments: BTreeMap<String, Value>,
}

fn yes() -> bool {
    true
}

fn default_profile() -> String {
    DEFAULT_PROFILE.to_owned()
}

/// The plugin that maps events to a request: its name, or an object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum TransformSpec {
    /// Its name: the active version, no configuration of the webhook's own.
    Name(String),
    /// Name, version and configuration.
    Full(TransformFull),
}

/// The plugin that maps events to a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TransformFull {
    /// Its name.
    pub plugin: String,
    /// A fixed version; absent or null: what is active.
    #[serde(default)]
    pub version: Option<u32>,
    /// Merged (RFC 7396) into the plugin's own configuration.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub config: Map<String, Value>,
}

/// How deliveries are signed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SigningSpec {
    /// Absent: the profile's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<SigningScheme>,
    /// Keys, newest first; the schemes that can carry several signatures sign with each.
    #[serde(default)]
    #[schema(example = json!(["$secret:route-key"]))]
    pub secrets: Vec<SecretRef>,
}

/// Trust and client certificate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsSpec {
    /// Certificate authorities in PEM, replacing the usual ones.
    #[serde(default)]
    pub ca_certificates: Vec<String>,
    /// For mutual TLS.
    #[serde(default)]
    pub client_certificate: Option<ClientCertificate>,
}

/// A certificate to present, and its key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientCertificate {
    /// The chain in PEM.
    pub certificate: String,
    /// `$secret:name` of the key in PEM.
    pub key: SecretRef,
}

/// When the built request is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Build {
    /// After the first failure.
    #[default]
    Fresh,
    /// Before the first send.
    Stored,
}

/// What becomes of deliveries whose plugin is set aside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenSetAside {
    /// They wait, without an attempt being made or counted, until the plugin may be called again.
    #[default]
    Wait,
    /// They are `failed` at once, and can be recovered.
    Fail,
}

impl WhenSetAside {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How much at once, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitsSpec {
    /// Deliveries being sent at once: 1 to 1000, 16 by default.
    #[serde(default = "in_flight_default")]
    pub in_flight: u32,
    /// Deliveries begun in a second on average: 0.001 to 10 000; null: as many as there are. Kept by this process alone.
    #[serde(default)]
    pub per_second: Option<f64>,
}

fn in_flight_default() -> u32 {
    IN_FLIGHT_DEFAULT
}
