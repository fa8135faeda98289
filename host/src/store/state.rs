//! What plugins remember. Written with the call that changed it ([`super::call`]).

use super::{Store, error::StoreError, key};

impl Store {
    /// What `plugin` keeps under `key`.
    pub async fn plugin_state(&self, plugin: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.engine().get(&key::plugin_state(plugin, key))
    }
}
