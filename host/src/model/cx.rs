//! Dialogflow CX's webhook resource (`google.cloud.dialogflow.cx.v3.Webhook`) as another way to write one of ours, and to read it.
//!
//! What CX does not say is kept: its definitions are laid over the webhook there is. What we cannot do is refused with the field's name.

mod mask;
mod message;
mod showing;
mod writing;

pub mod environment;

use serde_json::Value;
use utoipa::OpenApi;

pub use mask::masked;
pub use message::with_numbers;
pub use showing::of_spec;
pub use writing::{field_of, to_document};

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
/// The secret that holds the key of the agent's service agent, for `ID_TOKEN` and `ACCESS_TOKEN`: a key file of a service account.
pub const SERVICE_AGENT_SECRET: &str = "dialogflow-service-agent";
/// The longest display name, in characters.
const DISPLAY_NAME_CHARS_MAX: usize = 64;
/// Where in a CX webhook its web service stands.
const GENERIC: &str = "genericWebService";
const DIRECTORY: &str = "serviceDirectory";

#[derive(OpenApi)]
#[openapi(components(schemas(message::CxWebhook, environment::Environment)))]
struct Messages;

/// The schemas of webhooks and environments by name, for the description of the API.
pub fn schemas() -> Value {
    let description = serde_json::to_value(Messages::openapi()).unwrap_or_default();
    description.pointer("/components/schemas").cloned().unwrap_or_default()
}

fn project_of(agent: &str) -> &str {
    agent.split('/').nth(1).unwrap_or_default()
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
