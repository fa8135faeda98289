//! What plugins remember, and how much of it there is. Written with the call that changed it ([`super::call`]), or before what a
//! transform made is sent.

use serde::{Deserialize, Serialize};

use super::{Store, error::StoreError, key, transaction::Transaction};
use crate::model::{id::DeliveryId, plugin::limits::Limit};

/// Changes to what a plugin remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateChanges {
    /// The plugin.
    pub plugin: String,
    /// Its keys, and the new values; `None` removes.
    pub changes: Vec<(String, Option<Vec<u8>>)>,
    /// Keys it may keep (limit `state_keys`).
    pub keys_max: u64,
    /// Bytes of keys and values it may keep (limit `state_bytes`).
    pub bytes_max: u64,
}

/// How much a plugin remembers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Usage {
    keys: u64,
    bytes: u64,
}

impl Store {
    /// What `plugin` keeps under `key`.
    pub async fn plugin_state(&self, plugin: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.engine().get(&key::plugin_state(plugin, key))
    }

    /// Keeps what a plugin remembers of its call for a delivery that is being sent, before it is.
    pub async fn change_plugin_state(&self, id: DeliveryId, token: u64, changes: StateChanges) -> Result<(), StoreError> {
        let bytes = changes.changes.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len)).sum();
        self.commit(bytes, move |transaction| {
            if !transaction.holds(&id, token) {
                return Err(StoreError::LeaseLost);
            }
            change(transaction, changes)
        })
        .await
    }

    /// Forgets everything `plugin` keeps.
    pub async fn forget_plugin_state(&self, plugin: &str) -> Result<(), StoreError> {
        let plugin = plugin.to_owned();
        self.commit_scanning(move |transaction| {
            transaction.remove_range(key::plugin_states(&plugin))?;
            transaction.remove(key::plugin_usage(&plugin))
        })
        .await
    }
}

/// Makes the changes, all of them or, when the plugin would keep more than it may, none. What only makes it less is always possible.
pub(super) fn change(transaction: &mut Transaction<'_>, changes: StateChanges) -> Result<(), StoreError> {
    let StateChanges { plugin, changes, keys_max, bytes_max } = changes;
    let usage_key = key::plugin_usage(&plugin);
    let before = match transaction.get::<Usage>(&usage_key)? {
        Some(usage) => usage,
        None => counted(transaction, &plugin)?,
    };
    let mut after = before;
    for (key, value) in changes {
        let at = key::plugin_state(&plugin, &key);
        if let Some(old) = transaction.get_bytes(&at)? {
            after.keys = after.keys.saturating_sub(1);
            after.bytes = after.bytes.saturating_sub(weight(&plugin, &at, &old));
        }
        match value {
            Some(value) => {
                after.keys += 1;
                after.bytes += weight(&plugin, &at, &value);
                transaction.put_bytes(at, &value)?;
            }
            None => transaction.remove(at)?,
        }
    }
    let over = |after: u64, before: u64, most: u64| after > most && after > before;
    if over(after.keys, before.keys, keys_max) {
        return Err(StoreError::StateFull { limit: Limit::StateKeys, max: keys_max });
    }
    if over(after.bytes, before.bytes, bytes_max) {
        return Err(StoreError::StateFull { limit: Limit::StateBytes, max: bytes_max });
    }
    if after != before || !transaction.exists(&usage_key)? {
        transaction.put(usage_key, &after)?;
    }
    Ok(())
}

/// What a plugin keeps that wrote before there was a count.
fn counted(transaction: &Transaction<'_>, plugin: &str) -> Result<Usage, StoreError> {
    let mut usage = Usage::default();
    for at in transaction.first_in(key::plugin_states(plugin), usize::MAX)? {
        usage.keys += 1;
        usage.bytes += transaction.get_bytes(&at)?.map_or(0, |value| weight(plugin, &at, &value));
    }
    Ok(usage)
}

/// Bytes of a key (beyond 128 of its beginning and its hash) and a value.
fn weight(plugin: &str, at: &[u8], value: &[u8]) -> u64 {
    (at.len().saturating_sub(key::plugin_states(plugin).0.len()) + value.len()) as u64
}
