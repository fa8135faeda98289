//! What one call of a plugin is given, and what comes back. Nothing in here knows wasmtime.

use std::{fmt, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use hmac::{Hmac, Mac};
use serde_json::{Map, Value};
use sha2::Sha256;

use super::conduct::Conduct;
use crate::model::{
    function::Ambient,
    id::CallId,
    parameter::{Change, Parameters},
    plugin::{Emission, Grants, GuestLog, PluginFailure, limits::PluginLimits, party::Party},
};

/// Runs a webhook for a guest. The plugin host has checked the grant and counted the call before.
pub type InvokeFn = Arc<dyn Fn(InvokeRequest) -> BoxFuture<'static, Result<Invoked, NotInvoked>> + Send + Sync>;
/// HMAC-SHA256 of some bytes (second argument) under the newest version of the secret with this name (first); `None`: there is no such
/// secret.
pub type SecretFn = Arc<dyn Fn(String, Vec<u8>) -> BoxFuture<'static, Result<Option<[u8; 32]>, String>> + Send + Sync>;
/// Reads the value a plugin (first argument) keeps under a key (second).
pub type StateFn = Arc<dyn Fn(String, String) -> BoxFuture<'static, Result<Option<Vec<u8>>, String>> + Send + Sync>;
/// Who made a call, if that is kept.
pub type CallerFn = Arc<dyn Fn(CallId) -> BoxFuture<'static, Option<String>> + Send + Sync>;

/// What every call may turn to, whatever it is for. Granted or not is decided per call.
#[derive(Clone, Default)]
pub struct HostSide {
    /// Keyed hashes; without it `secrets` answers with an error.
    pub secrets: Option<SecretFn>,
    /// Reads of state; without it nothing is ever set.
    pub state: Option<StateFn>,
    /// Looks up callers; without it each call is by a caller of its own.
    pub caller: Option<CallerFn>,
}

impl HostSide {
    /// The caller where all that is known of a party is the call an event came of.
    pub(in crate::plugin) async fn resolved(&self, party: Party) -> Party {
        let (Party::CallerOf(call), Some(caller)) = (&party, &self.caller) else { return party };
        caller(call.clone()).await.map_or(party, Party::Caller)
    }
}

/// Whose keys `hmac-sha256` computes with while a plugin is only tried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keys {
    /// The secrets: an admin looks, who may use them anyway.
    Secrets,
    /// A key that is nobody's. What is signed was chosen by who looks, and must not be believed of him.
    #[default]
    StandIn,
}

/// The key that is nobody's.
const STAND_IN_KEY: &[u8] = b"a signature made in a rehearsal proves nothing";

impl HostSide {
    /// The same with these keys. What is not there is missed as before.
    fn signing_with(self, keys: Keys) -> Self {
        let Some(secrets) = self.secrets.clone().filter(|_| keys == Keys::StandIn) else { return self };
        let stand_in: SecretFn = Arc::new(move |name, data| {
            let real = secrets(name, data.clone());
            Box::pin(async move {
                if real.await?.is_none() {
                    return Ok(None);
                }
                let mut mac = Hmac::<Sha256>::new_from_slice(STAND_IN_KEY).map_err(|error| error.to_string())?;
                mac.update(&data);
                Ok(Some(mac.finalize().into_bytes().into()))
            })
        });
        Self { secrets: Some(stand_in), ..self }
    }
}

impl CallContext {
    /// The same for a call that only tries a plugin out: at this time, with this randomness and these keys.
    pub fn rehearsed(self, ambient: Ambient, keys: Keys) -> Self {
        Self { rehearsal: Some(ambient), services: self.services.clone().signing_with(keys), ..self }
    }
}

impl fmt::Debug for HostSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostSide").field("secrets", &self.secrets.is_some()).field("state", &self.state.is_some()).finish_non_exhaustive()
    }
}

/// What one call is given.
#[derive(Clone, Default)]
pub struct CallContext {
    /// The plugin's name: whose state and whose directory.
    pub plugin: String,
    /// Its configuration, merged with the webhook's or receiver's: a JSON object.
    pub config: Value,
    /// What it is granted.
    pub grants: Arc<Grants>,
    /// What bounds it.
    pub limits: PluginLimits,
    /// Who lets it in, and takes note of how it goes; a rehearsal is only let in. Absent: nobody.
    pub conduct: Option<Arc<Conduct>>,
    /// The session's parameters as the call begins.
    pub parameters: Arc<Parameters>,
    /// The call's own session, which a guest may always write.
    pub session: Option<String>,
    /// The call's environment.
    pub environment: Option<String>,
    /// The inbound call the identifiers of emitted events derive from. Without it nothing can be emitted.
    pub call_id: Option<CallId>,
    /// When the call began, in milliseconds since 1970-01-01 UTC.
    pub now_ms: u64,
    /// A wall deadline instead of that of the limits: the receiver's own.
    pub time_max: Option<Duration>,
    /// The call only tries a plugin out: this is the time and the randomness it sees, so that two tries can be compared, and a directory
    /// it is granted is an empty one that goes with the call.
    pub rehearsal: Option<Ambient>,
    /// Runs webhooks; absent where a guest may invoke none, as in a transform.
    pub invoke: Option<InvokeFn>,
    /// Secrets and state.
    pub services: HostSide,
}

/// What a guest asks of `webhooks.invoke`.
#[derive(Clone, Debug, PartialEq)]
pub struct InvokeRequest {
    /// The webhook's name; granted.
    pub webhook: String,
    /// Parameters to merge into the session.
    pub parameters: Vec<(String, Value)>,
    /// `$event.data`.
    pub data: Value,
    /// What else the webhook's transform may want to know.
    pub context: Map<String, Value>,
}

/// Why a webhook was not invoked.
#[derive(Clone, Debug, PartialEq)]
pub enum NotInvoked {
    /// An admin has to act, as where a grant is missing: the guest's call ends, and is done again.
    Waits(String),
    /// The guest is told, and goes on.
    Told(String),
}

/// How an invocation ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Invoked {
    /// Whether a 2xx answer came back and was read.
    pub delivered: bool,
    /// The status of the last attempt.
    pub http_status: Option<u16>,
    /// `webhook.error...` when it failed.
    pub error_event: Option<String>,
    /// The session parameters that were set.
    pub parameters: Vec<(String, Value)>,
    /// What the webhook's `answers` plugin returned.
    pub output: Option<Value>,
}

/// The delivery a transform builds or whose answer is read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeliveryInput {
    /// `dlv_...`
    pub id: String,
    /// The webhook's identifier.
    pub webhook_id: String,
    /// Its name.
    pub webhook_name: String,
    /// The session.
    pub session: Option<String>,
    /// The environment.
    pub environment: Option<String>,
    /// What the caller of `invoke` gave besides parameters.
    pub context: Map<String, Value>,
    /// The caller of the code whose receiver invoked the webhook; no guest sees it.
    pub caller: Option<String>,
    /// When this attempt is built, in milliseconds since 1970-01-01 UTC.
    pub now_ms: u64,
}

/// A 2xx answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AnswerInput {
    /// 200 to 299.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, capped.
    pub body: Vec<u8>,
}

/// One inbound call of a code.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InvocationInput {
    /// `cal_...`
    pub call_id: String,
    /// The receiver.
    pub receiver_name: String,
    /// The caller the code was issued to.
    pub caller: String,
    /// The session the receiver's path found.
    pub session: Option<String>,
    /// The environment the base stands for.
    pub environment: Option<String>,
    /// The method.
    pub method: String,
    /// The path behind the code.
    pub path: String,
    /// Query parameters, decoded, in the order sent.
    pub query: Vec<(String, String)>,
    /// Declared parameters, typed.
    pub parameters: Map<String, Value>,
    /// Names in lower case, without credentials.
    pub headers: Vec<(String, String)>,
    /// The body as sent.
    pub body: Vec<u8>,
    /// Whether a signature or credential was verified.
    pub verified: bool,
    /// The client's address.
    pub remote_address: String,
    /// When it came in, in milliseconds since 1970-01-01 UTC.
    pub now_ms: u64,
}

/// What an answer means.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PluginOutcome {
    /// Session parameters to set or remove.
    pub parameters: Vec<Change>,
    /// What `invoke` returns as `output`.
    pub output: Option<Value>,
}

/// What a receiver answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PluginReply {
    /// The status.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// What a guest did to the world, held back until its call ended well (decision: effects-with-the-commit).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effects {
    /// Events to accept. The guest was told that the one at `index` is `EventId::emitted(call, index, now_ms)`.
    pub emissions: Vec<Emission>,
    /// Changes of sessions: the session and the change, in order.
    pub parameters: Vec<(String, Change)>,
    /// Changes of the plugin's own state: the key and its new value; `None` deletes.
    pub state: Vec<(String, Option<Vec<u8>>)>,
}

/// A call that ended well.
#[derive(Clone, Debug, PartialEq)]
pub struct Called<T> {
    /// What the guest returned.
    pub value: T,
    /// What is to be committed with it.
    pub effects: Effects,
    /// What it wrote.
    pub log: GuestLog,
    /// From the instance to the result, invocations included; without the wait for a free instance.
    pub duration: Duration,
    /// Linear memory it held at its end.
    pub memory_bytes: u64,
    /// Instructions it ran, where they are counted.
    pub instructions: Option<u64>,
}

/// A call that did not. Its effects are gone.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{failure}")]
pub struct CallFailure {
    /// Why.
    pub failure: PluginFailure,
    /// What it wrote until then.
    pub log: GuestLog,
    /// How long it ran.
    pub duration: Duration,
    /// Linear memory it held.
    pub memory_bytes: u64,
    /// Instructions it ran, where they are counted.
    pub instructions: Option<u64>,
}

impl From<PluginFailure> for CallFailure {
    fn from(failure: PluginFailure) -> Self {
        Self { failure, log: GuestLog::default(), duration: Duration::ZERO, memory_bytes: 0, instructions: None }
    }
}

impl fmt::Debug for CallContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallContext")
            .field("plugin", &self.plugin)
            .field("session", &self.session)
            .field("call_id", &self.call_id)
            .finish_non_exhaustive()
    }
}
