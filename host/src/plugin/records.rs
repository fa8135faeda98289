//! The plugin host's documents in the store, and what else it asks of it. The only place here that knows how the store is spoken to.

use std::sync::Arc;

use futures::FutureExt;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::Sha256;

use super::{call::context::HostSide, error::UploadError};
use crate::{
    model::{
        id::CallId,
        plugin::{Digest, PluginRecord},
    },
    store::{ConfigWrite, Store, StoreError},
};

const PLUGIN: &str = "plugin";
const INBOX: &str = "inbox";

/// What is remembered of one file name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct InboxRecord {
    /// What was taken from it, oldest first.
    pub taken: Vec<Taken>,
}

/// One content of one file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Taken {
    /// The content.
    pub digest: Digest,
    /// What became of it: `version 3`, or why it was refused.
    pub result: String,
}

/// Every plugin that is more than the binary's own.
pub(super) async fn all(store: &Store) -> Result<Vec<PluginRecord>, StoreError> {
    let documents = store.configs().await?.into_iter().filter(|document| document.kind == PLUGIN);
    Ok(documents.filter_map(|kept| read(&kept.id, kept.document?)).collect())
}

/// Keeps a plugin.
pub(super) async fn put(store: &Store, record: &PluginRecord) -> Result<(), UploadError> {
    write(store, PLUGIN, &record.name, Some(to_document(record)?)).await
}

/// Forgets a plugin.
pub(super) async fn delete(store: &Store, name: &str) -> Result<(), UploadError> {
    write(store, PLUGIN, name, None).await
}

/// What was taken from a file of the inbox.
pub(super) async fn inbox(store: &Store, file: &str) -> Result<InboxRecord, UploadError> {
    let found = store.config(INBOX, file).await?;
    Ok(found.and_then(|kept| read(file, kept.document?)).unwrap_or_default())
}

/// Remembers what was taken from a file of the inbox.
pub(super) async fn put_inbox(store: &Store, file: &str, record: &InboxRecord) -> Result<(), UploadError> {
    write(store, INBOX, file, Some(to_document(record)?)).await
}

/// The key compiled artifacts are signed with: it goes with the storage key.
pub(super) fn artifact_key(store: &Store) -> [u8; 32] {
    store.storage_key().keyed_hash("plugin artifacts", &[])
}

/// What guests reach in the store: secrets, as keyed hashes only, and the state of plugins.
pub(super) fn host_side(store: &Store) -> HostSide {
    let (secrets, state, calls) = (store.clone(), store.clone(), store.clone());
    HostSide {
        secrets: Some(Arc::new(move |name: String, data: Vec<u8>| {
            let store = secrets.clone();
            async move {
                let secret = store.secret(&name, None).await.map_err(|error| error.to_string())?;
                let Some(secret) = secret else { return Ok(None) };
                let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose()).map_err(|error| error.to_string())?;
                mac.update(&data);
                Ok(Some(mac.finalize().into_bytes().into()))
            }
            .boxed()
        })),
        state: Some(Arc::new(move |plugin: String, key: String| {
            let store = state.clone();
            async move { store.plugin_state(&plugin, &key).await.map_err(|error| error.to_string()) }.boxed()
        })),
        caller: Some(Arc::new(move |call: CallId| {
            let store = calls.clone();
            async move { store.call(&call).await.ok().flatten().map(|call| call.caller) }.boxed()
        })),
    }
}

fn read<T: serde::de::DeserializeOwned>(id: &str, document: Value) -> Option<T> {
    // What a newer version wrote and this one cannot read is said and left as it is.
    serde_json::from_value(document).inspect_err(|error| tracing::error!(id, %error, "a stored document cannot be read")).ok()
}

fn to_document<T: Serialize>(record: &T) -> Result<Value, UploadError> {
    serde_json::to_value(record).map_err(|error| UploadError::Host(error.to_string()))
}

async fn write(store: &Store, kind: &'static str, id: &str, document: Option<Value>) -> Result<(), UploadError> {
    store.put_config(vec![ConfigWrite { kind, id: id.to_owned(), expected: None, document }]).await?;
    Ok(())
}
