//! Documents as the store keeps them, and what is read back of them.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    error::CatalogError,
    snapshot::{Deactivated, ReceiverEntry, Snapshot, WebhookEntry},
};
use crate::{
    model::{
        binding::Binding,
        id::WebhookId,
        problem::Problem,
        profile::Profile,
        receiver::{ReceiverSpec, list_paths},
        webhook::{Webhook, WebhookSpec},
    },
    store::ConfigWrite,
};

pub(super) const WEBHOOK: &str = "webhook";
pub(super) const RECEIVER: &str = "receiver";
pub(super) const CODE: &str = "code";
pub(super) const TOKEN: &str = "token";
pub(super) const ACTION: &str = "action";
pub(super) const PROFILE: &str = "profile";
pub(super) const ENVIRONMENT: &str = "environment";
pub(super) const SERVICE: &str = "service";

/// A document as kept: what was written, and when.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Kept<T> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<WebhookId>,
    pub(super) spec: T,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) deactivated: Option<Deactivated>,
}

impl WebhookEntry {
    /// As it is stored.
    pub(super) fn kept(&self) -> Kept<&WebhookSpec> {
        let Self { created_at, updated_at, deactivated, .. } = *self;
        Kept { id: Some(self.id.clone()), spec: &self.spec, created_at, updated_at, deactivated }
    }
}

pub(super) fn write(kind: &'static str, id: &str, document: Option<Value>) -> ConfigWrite {
    ConfigWrite { kind, id: id.to_owned(), expected: None, document }
}

pub(super) fn encode<T: Serialize>(document: &T) -> Result<Value, CatalogError> {
    serde_json::to_value(document).map_err(|error| CatalogError::Invalid(vec![Problem::new("", error.to_string())]))
}

pub(super) fn decode<T: DeserializeOwned>(document: &Value) -> Option<T> {
    // A newer version may have written what this one does not know: it is left alone and said, not dropped.
    T::deserialize(document).inspect_err(|error| tracing::error!(%error, "a stored document cannot be read and is left out")).ok()
}

pub(super) fn webhook_entry(kept: Kept<WebhookSpec>, profiles: &BTreeMap<String, Profile>) -> Option<Arc<WebhookEntry>> {
    let Kept { id, spec, created_at, updated_at, deactivated } = kept;
    let id = id?;
    let (spec, webhook) = match Webhook::compile(&spec, &id, profiles) {
        Ok(webhook) => (spec, webhook),
        Err(problems) => match without_paths(spec, &id, profiles) {
            Some((spec, webhook)) => {
                tracing::error!(
                    webhook = spec.name,
                    ?problems,
                    "a stored webhook has a JSONPath that is refused now: it is not active until it is written again"
                );
                (spec, webhook)
            }
            None => {
                tracing::error!(webhook = %id.0, ?problems, "a stored webhook does not compile and is left out");
                return None;
            }
        },
    };
    Some(Arc::new(WebhookEntry { id, spec, webhook: Arc::new(webhook), created_at, updated_at, deactivated }))
}

/// A webhook whose paths cannot be read any more (version 0.1 took some that are ill-typed by RFC 9535): without them, and so not active. Its
/// document shows them, so that they can be mended.
fn without_paths(mut spec: WebhookSpec, id: &WebhookId, profiles: &BTreeMap<String, Profile>) -> Option<(WebhookSpec, Webhook)> {
    spec.active = false;
    let bare = WebhookSpec { filter: None, success: None, ordering: None, bindings: BTreeMap::new(), ..spec.clone() };
    let webhook = Webhook::compile(&bare, id, profiles).ok()?;
    Some((spec, webhook))
}

/// Says at a start which bindings give a list of one value where version 0.1 gave the value alone.
pub(super) fn tell_lists(entry: &WebhookEntry) {
    let lists: Vec<&str> = entry.webhook.bindings.iter().filter(|binding| binding.binds_list()).map(Binding::parameter).collect();
    if !lists.is_empty() {
        let webhook = &entry.spec.name;
        tracing::warn!(
            webhook,
            bindings = lists.join(" "),
            "bindings whose paths can find several values bind a list, also of one or none; `first $...` binds the first value"
        );
    }
}

/// The same of the data of the events a receiver declares.
pub(super) fn tell_lists_of_calls(entry: &ReceiverEntry) {
    let mut lists = Vec::new();
    entry.receiver.events.iter().for_each(|(_, data)| list_paths(data, &mut lists));
    if !lists.is_empty() {
        let receiver = &entry.spec.name;
        tracing::warn!(
            receiver,
            paths = lists.join(" "),
            "paths of declared events that can find several values give a list, also of one or none; `first $...` gives the first value"
        );
    }
}

pub(super) fn receiver_entry(kept: Kept<ReceiverSpec>, snapshot: &Snapshot) -> Option<Arc<ReceiverEntry>> {
    let Kept { spec, created_at, updated_at, .. } = kept;
    match snapshot.compile_receiver(&spec) {
        Ok(receiver) => Some(Arc::new(ReceiverEntry { spec, receiver: Arc::new(receiver), created_at, updated_at })),
        Err(problems) => {
            tracing::error!(receiver = spec.name, ?problems, "a stored receiver does not compile and is left out");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::profile;

    #[test]
    fn a_stored_webhook_with_an_ill_typed_filter_is_kept_and_not_active() {
        let spec = json!({"name": "old", "selectors": ["a.b"], "filter": "$[?count(@.items)]", "request": {"url": "https://h/"}});
        let kept = Kept {
            id: Some(WebhookId("whk_1".to_owned())),
            spec: serde_json::from_value::<WebhookSpec>(spec).expect("a spec"),
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
            deactivated: None,
        };
        let entry = webhook_entry(kept, profile::built_in()).expect("it is kept");
        assert_eq!((entry.spec.active, entry.webhook.active), (false, false));
        assert_eq!(entry.spec.filter.as_deref(), Some("$[?count(@.items)]"));
    }
}
