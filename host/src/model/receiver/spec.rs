//! A receiver as an admin writes it. What it may say is checked when it is compiled.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::model::{
    merge_patch::merge,
    problem::{self, Problem, segment},
    secret::SecretRef,
    signature::{self, Asked, Challenge, EchoRule, Question, SignatureRule, VerifyScheme},
};

/// Bytes of a call's body, unless the receiver says otherwise.
pub const BODY_BYTES_DEFAULT: usize = 1024 * 1024;
/// Milliseconds a receiver may take, unless it says otherwise.
pub const TIMEOUT_MS_DEFAULT: u64 = 5_000;

/// A receiver as written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReceiverSpec {
    /// Unique; what the address ends with.
    #[serde(default)]
    pub name: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// A named set of defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The service action it is bound to, which says what answers and with which parameters; in place of `plugin`, `reply` and
    /// `parameters`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "refresh-customer")]
    pub action: Option<String>,
    /// The plugin or script that answers; either this or `reply`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// Calls that go to other plugins or scripts, by a value they carry: the tag of a Dialogflow fulfilment, a kind of message.
    /// Everything else is answered by `plugin` or `reply`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<RoutesSpec>,
    /// A declared answer; either this or `plugin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<ReplySpec>,
    /// Events each accepted call becomes, besides `code.<receiver>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<EventSpec>,
    /// Methods it takes.
    #[serde(default = "methods_default")]
    #[schema(example = json!(["GET", "POST"]))]
    pub methods: Vec<String>,
    /// `sync`: the reply is the answer. `async`: 200 at once, then run with retries.
    #[serde(default)]
    pub mode: Mode,
    /// Whether the plugin chooses status, headers and body; otherwise its reply is narrowed to 200 or 400 and a message.
    #[serde(default)]
    pub full_reply: bool,
    /// How a call proves where it comes from.
    #[serde(default)]
    pub verify: VerifySpec,
    /// How a vendor's check of the address is answered without running the plugin.
    #[serde(default)]
    pub probe: Probe,
    /// Query parameters it knows, and their types.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, ParameterSpec>,
    /// A JSONPath over the call that finds the session's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "$.body.sessionInfo.session")]
    pub session: Option<String>,
    /// A JSONPath over the call that finds what makes it one call: a second one with the same value is not run. Vendors send again
    /// what they think did not arrive, and anybody may send again what he overheard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "$.headers['x-github-delivery']")]
    pub once: Option<String>,
    /// Refuse query parameters it does not know.
    #[serde(default)]
    pub strict: bool,
    /// Milliseconds one run may take: 1 to 30000.
    #[serde(default = "timeout_default")]
    pub timeout_ms: u64,
    /// Bytes of a call's body: up to 4194304.
    #[serde(default = "body_default")]
    pub body_bytes_max: usize,
    /// Answer with status `0` in the body for success, as older Divalto clients expect.
    #[serde(default)]
    pub legacy_zero: bool,
    /// Merged (RFC 7396) into the plugin's own configuration.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub config: Map<String, Value>,
}

fn methods_default() -> Vec<String> {
    vec!["GET".to_owned(), "POST".to_owned()]
}

fn timeout_default() -> u64 {
    TIMEOUT_MS_DEFAULT
}

fn body_default() -> usize {
    BODY_BYTES_DEFAULT
}

/// A declared answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplySpec {
    /// 200 or 400; with `full_reply` any from 200 to 599.
    #[serde(default = "status_default")]
    pub status: u16,
    /// Text with `$call.*` references.
    #[schema(example = "client $call.parameters.refreshCustomer")]
    pub message: String,
}

fn status_default() -> u16 {
    200
}

/// Which calls go where.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoutesSpec {
    /// A JSONPath over the call that finds the value: a text, a number or a boolean.
    #[schema(example = "$.body.fulfillmentInfo.tag")]
    pub by: String,
    /// By that value, what answers.
    pub to: BTreeMap<String, RouteSpec>,
}

/// What answers the calls of one route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteSpec {
    /// The plugin or script.
    pub plugin: String,
    /// Merged (RFC 7396) into the plugin's own configuration, in place of the receiver's.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub config: Map<String, Value>,
}

impl ReceiverSpec {
    /// Every plugin it names, with where it does.
    pub fn plugins(&self) -> Vec<(String, &str)> {
        let default = self.plugin.iter().map(|plugin| ("/plugin".to_owned(), plugin.as_str()));
        let routes = self.routes.iter().flat_map(|routes| &routes.to);
        default.chain(routes.map(|(value, route)| (format!("/routes/to{}/plugin", segment(value)), route.plugin.as_str()))).collect()
    }
}

/// A service action: what calls can have done, apart from who may call. Several receivers may be bound to one, each with codes, a base
/// and a proof of its own that hide which action is behind it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ActionSpec {
    /// Unique; what the address ends with.
    #[serde(default)]
    pub name: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Parameters of its calls, and their types.
    #[serde(default)]
    pub parameters: BTreeMap<String, ParameterSpec>,
    /// Refuse parameters it does not know.
    #[serde(default)]
    pub strict: bool,
    /// The plugin or script that runs it; either this or `reply`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// A declared answer; either this or `plugin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<ReplySpec>,
    /// Merged (RFC 7396) into the plugin's own configuration; a receiver's `config` is merged over it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub config: Map<String, Value>,
}

impl ActionSpec {
    /// A receiver of that name bound to nothing else: what is wrong with it is wrong with the action.
    pub fn alone(&self) -> Result<ReceiverSpec, Problem> {
        let document = serde_json::json!({ "name": self.name, "action": self.name });
        let receiver: ReceiverSpec = problem::read(document)?;
        receiver.bound_to(self).map_err(|mut problems| problems.remove(0))
    }
}

impl ReceiverSpec {
    /// The receiver with what its action says in place; problems where it says something of that itself.
    pub fn bound_to(&self, action: &ActionSpec) -> Result<Self, Vec<Problem>> {
        let own = [
            ("/plugin", self.plugin.is_some()),
            ("/reply", self.reply.is_some()),
            ("/parameters", !self.parameters.is_empty()),
            ("/routes", self.routes.is_some()),
        ];
        let problems: Vec<_> = own
            .into_iter()
            .filter(|(_, is_there)| *is_there)
            .map(|(pointer, _)| Problem::new(pointer, format!("this comes from the action `{}`; leave it out", action.name)))
            .collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut config = Value::Object(action.config.clone());
        merge(&mut config, &Value::Object(self.config.clone()));
        Ok(Self {
            action: None,
            plugin: action.plugin.clone(),
            reply: action.reply.clone(),
            parameters: action.parameters.clone(),
            strict: self.strict || action.strict,
            config: if let Value::Object(config) = config { config } else { Map::new() },
            ..self.clone()
        })
    }
}

/// An event a call becomes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EventSpec {
    /// What happened.
    pub trigger: String,
    /// JSON whose strings that begin with `$.` are paths into the call: `query`, `parameters`, `headers`, `body`, `method`, `caller`.
    #[serde(default)]
    #[schema(value_type = Object, example = json!({"dos": "$.query.dos"}))]
    pub data: Value,
}

/// When the caller gets its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// When the receiver is done.
    #[default]
    Sync,
    /// As soon as the call is durable.
    Async,
}

/// How a vendor's check of the address is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// Like any other call.
    #[default]
    Run,
    /// A GET or HEAD without query, and a POST with an empty body or `{}`, get 200 at once.
    Answer,
}

/// How a call proves where it comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifySpec {
    /// The scheme.
    #[serde(default)]
    pub scheme: VerifyScheme,
    /// The key, as `$secret:name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretRef>,
    /// Keys, in place of `secret`, up to 5: a call under any of them is believed, so that a sender's key can be replaced without a gap. The first
    /// is the one that the host's own answers to handshakes are signed with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(example = json!(["$secret:partner-key", "$secret:partner-key-before"]))]
    pub secrets: Vec<SecretRef>,
    /// Where the signature of the scheme `hmac` stands, and what it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hmac: Option<SignatureRule>,
    /// Where the signature of the scheme `public-key` stands, and what it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<SignatureRule>,
    /// The header with the secret itself, for the scheme `token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "x-gitlab-token")]
    pub token_header: Option<String>,
    /// Seconds a signed time may be away from now, before or after: 1 to 3600. 300 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance_s: Option<u32>,
    /// Networks calls may come from, besides what the scheme asks; none named: from everywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>, example = json!(["192.30.252.0/22"]))]
    pub networks: Vec<IpNet>,
    /// The sender's handshake; absent: the one its scheme has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge: Option<Challenge>,
    /// Where the challenge of the handshake `echo` stands, and how it is given back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub echo: Option<EchoRule>,
    /// The token the handshake `hub` must bring, as `$secret:name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge_token: Option<SecretRef>,
}

/// Keys of one receiver.
pub const VERIFY_SECRETS_MAX: usize = 5;

/// The most seconds a signed time may be away from now.
pub const TOLERANCE_S_MAX: u32 = 3600;

impl VerifySpec {
    /// The sender's handshake.
    pub fn handshake(&self) -> Challenge {
        self.challenge.unwrap_or(Challenge::of(self.scheme))
    }

    /// Whether a request asks something that the host answers by itself.
    pub fn asked(&self, question: &Question<'_>) -> Option<Asked> {
        let is_unsigned = !self.credential_headers().iter().any(|name| question.headers.contains_key(*name));
        self.handshake().asked(question, self.echo.as_ref(), is_unsigned)
    }

    /// The rule of a scheme that has one.
    pub fn rule(&self) -> Option<&SignatureRule> {
        self.hmac.as_ref().or(self.public_key.as_ref())
    }

    /// The keys, the first first.
    pub fn keys(&self) -> impl Iterator<Item = &SecretRef> + use<'_> {
        self.secret.iter().chain(&self.secrets)
    }

    /// Every key, with where the document has it.
    pub fn keys_by_pointer(&self) -> impl Iterator<Item = (String, &SecretRef)> + use<'_> {
        let single = self.secret.iter().map(|secret| ("/verify/secret".to_owned(), secret));
        single.chain(self.secrets.iter().enumerate().map(|(index, secret)| (format!("/verify/secrets/{index}"), secret)))
    }

    /// Every secret it names.
    pub fn all_secrets(&self) -> impl Iterator<Item = &SecretRef> + use<'_> {
        self.keys().chain(&self.challenge_token)
    }

    /// Whether calls may come from this address.
    pub fn is_from(&self, address: &str) -> bool {
        let Ok(address) = address.parse::<IpAddr>() else { return self.networks.is_empty() };
        self.networks.is_empty() || self.networks.iter().any(|network| network.contains(&address.to_canonical()))
    }

    /// Headers that carry the proof: neither recorded nor shown to a plugin.
    pub fn credential_headers(&self) -> Vec<&str> {
        let of_rules = self.rule().map(|rule| rule.header.as_str()).into_iter().chain(self.token_header.as_deref());
        signature::credential_headers(self.scheme).iter().copied().chain(of_rules).collect()
    }
}

/// A query parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ParameterSpec {
    /// What its text must be.
    #[serde(rename = "type")]
    pub kind: ParameterType,
    /// Whether a call without it is refused.
    #[serde(default)]
    pub required: bool,
}

/// What a query parameter's text must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ParameterType {
    /// Any text.
    String,
    /// A whole number of 64 bits.
    Integer,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// The key may be repeated.
    List,
}
