//! A tree in the making: a copy, a backup that is restored.

use std::path::Path;

use super::{
    engine::Engine,
    error::StoreError,
    journal::Journal,
    recent::{Layer, write},
    storage_key::StorageKey,
    tree::Tree,
    value::Values,
};

/// A tree nobody relies on yet: written to without a journal, durable when it becomes an engine.
pub(super) struct Draft {
    tree: Tree,
    values: Values,
}

impl Draft {
    /// An empty tree in `path`. Without a key nothing is sealed there again.
    pub(super) fn open(path: &Path, key: Option<StorageKey>) -> Result<Self, StoreError> {
        Ok(Self { tree: Tree::open(path)?, values: Values(key) })
    }

    /// How its values are stored.
    pub(super) fn values(&self) -> &Values {
        &self.values
    }

    /// How many bytes stand under `key`; `None`: nothing does.
    pub(super) fn value_bytes(&self, key: &[u8]) -> Result<Option<usize>, StoreError> {
        Ok(self.tree.get(key)?.map(|value| value.len()))
    }

    /// Writes `writes`, of one key the last.
    pub(super) fn put<'a>(&self, writes: impl IntoIterator<Item = (&'a Vec<u8>, &'a Option<Vec<u8>>)>) -> Result<(), StoreError> {
        let writes: Layer = writes.into_iter().map(|(key, value)| write(key, value.as_deref())).collect();
        self.tree.put_all(&writes.into_iter().collect::<Vec<_>>())
    }

    /// The engine it becomes, with everything durable; removed when that fails.
    pub(super) fn finish(self) -> Result<Engine, StoreError> {
        let journal = self.tree.sync().and_then(|()| Journal::open(self.tree.path()));
        match journal {
            Ok((journal, _)) => Ok(Engine::new(self.tree, self.values, journal)),
            Err(error) => {
                self.tree.retire();
                Err(error)
            }
        }
    }

    /// Has it removed.
    pub(super) fn abandon(self) {
        self.tree.retire();
    }
}
