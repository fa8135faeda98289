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
        id::WebhookId,
        problem::Problem,
        profile::Profile,
        receiver::ReceiverSpec,
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
    match Webhook::compile(&spec, &id, profiles) {
        Ok(webhook) => Some(Arc::new(WebhookEntry { id, spec, webhook: Arc::new(webhook), created_at, updated_at, deactivated })),
        Err(problems) => {
            tracing::error!(webhook = spec.name, ?problems, "a stored webhook does not compile and is left out");
            None
        }
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
