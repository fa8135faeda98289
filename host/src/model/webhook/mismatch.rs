//! Why an event fires no webhook: what producers are told whose event nobody gets.

use serde::Serialize;
use utoipa::ToSchema;

use super::Webhook;
use crate::model::{problem::nearest, trigger::Trigger};

mod reason;

pub use reason::MismatchReason;

/// How many reasons are told of one event.
pub const MISMATCHES_MAX: usize = 20;

/// A reason why an event fires no webhook.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Mismatch {
    /// The webhook that selects the trigger; null: there is none.
    pub webhook: Option<String>,
    /// The reason, in one word.
    pub reason: MismatchReason,
    /// The reason, in a sentence.
    #[schema(example = "its filter finds nothing in this event")]
    pub detail: String,
}

impl Mismatch {
    /// Why `webhook`, whose selectors match, is not fired.
    pub fn of(webhook: &Webhook, reason: MismatchReason) -> Self {
        let name = &webhook.name;
        let detail = match reason {
            MismatchReason::Unselected => "it does not select the trigger".to_owned(),
            MismatchReason::Inactive => format!("it is not active; `hookwright webhook activate {name}` switches it on"),
            MismatchReason::Source => "the event's `source` is not among its `sources`".to_owned(),
            MismatchReason::Filter => "its filter finds nothing in this event".to_owned(),
            MismatchReason::Concerned => "an event about a webhook is not sent to that webhook".to_owned(),
        };
        Self { webhook: Some(name.clone()), reason, detail }
    }

    /// No webhook selects `trigger`; `known` is what webhooks select.
    pub fn unselected<'a>(trigger: &Trigger, known: impl IntoIterator<Item = &'a str>) -> Self {
        let near = nearest(trigger.as_str(), known).map_or_else(String::new, |near| format!("; did you mean `{near}`, which one selects?"));
        Self { webhook: None, reason: MismatchReason::Unselected, detail: format!("no webhook selects `{trigger}`{near}") }
    }
}
