//! Why an event does not fire one webhook.

use serde::Serialize;
use utoipa::ToSchema;

/// Why an event does not fire a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MismatchReason {
    /// No webhook, active or not, selects the trigger.
    Unselected,
    /// The webhook is not active.
    Inactive,
    /// The webhook takes events of other sources.
    Source,
    /// The webhook's filter finds nothing in the event.
    Filter,
    /// The event is about the webhook itself.
    Concerned,
}
