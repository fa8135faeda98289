//! Dialogflow CX's webhook resource (`google.cloud.dialogflow.cx.v3.Webhook`) as another way to write one of ours, and to read it.
//!
//! What CX does not say is kept: its definitions are laid over the webhook there is. What we cannot do is refused with the field's name.

mod mask;
mod message;
mod names;
mod showing;
mod writing;

pub mod environment;

use serde_json::Value;
use utoipa::OpenApi;

pub use mask::masked;
pub use message::with_numbers;
pub use names::{AGENT_LABEL, DISPLAY_NAME_LABEL, SERVICE_LABEL};
pub use showing::of_spec;
pub use writing::{field_of, to_document};

#[derive(OpenApi)]
#[openapi(components(schemas(message::CxWebhook, environment::Environment)))]
struct Messages;

/// The schemas of webhooks and environments by name, for the description of the API.
pub fn schemas() -> Value {
    let description = serde_json::to_value(Messages::openapi()).unwrap_or_default();
    description.pointer("/components/schemas").cloned().unwrap_or_default()
}
