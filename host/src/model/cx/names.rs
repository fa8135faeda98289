//! How CX names things, and how that is kept in a webhook of ours.

use serde_json::Value;

/// The label that names the agent a webhook belongs to: `projects/p/locations/l/agents/a`.
pub const AGENT_LABEL: &str = "dialogflow.cx/agent";
/// The label of its display name.
pub const DISPLAY_NAME_LABEL: &str = "dialogflow.cx/display-name";
/// The label of its Service Directory service: where its host is says `resolve`, and whether that may be called the operator.
pub const SERVICE_LABEL: &str = "dialogflow.cx/service";
/// The label of the project its secret versions are of, where that is not the agent's own.
pub(super) const SECRETS_LABEL: &str = "dialogflow.cx/secret-project";
/// What stands for a credential that was given itself. Written back, the credential stays what it is.
pub const REDACTED: &str = "(redacted)";
/// The secret that holds the key of the agent's service agent, for `ID_TOKEN` and `ACCESS_TOKEN`: a key file of a service account.
pub const SERVICE_AGENT_SECRET: &str = "dialogflow-service-agent";
/// The longest display name, in characters.
pub(super) const DISPLAY_NAME_CHARS_MAX: usize = 64;
/// Where in a CX webhook its web service stands.
pub(super) const GENERIC: &str = "genericWebService";
pub(super) const DIRECTORY: &str = "serviceDirectory";

pub(super) fn project_of(agent: &str) -> &str {
    agent.split('/').nth(1).unwrap_or_default()
}

/// `null` is what is left out, everywhere in protocol buffers' JSON.
pub(super) fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            fields.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name, without_nulls(value))).collect()
        }
        other => other,
    }
}
