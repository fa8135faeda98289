//! The whole store sealed again: with another storage key, or for the first time.
//!
//! What lives is written into a new generation, opened on the way with the key that holds and sealed with the one that will; then that
//! generation takes the place of the old one, which is removed. Whenever the machine stops, the store is either the old one, with its
//! key, or the new one, with its own; nothing sealed with the old key, or not at all, is left in a file of the store.

use std::sync::Arc;

use super::{
    copy::Write,
    directory::{Directory, FORMAT},
    draft::Draft,
    engine::Engine,
    error::StoreError,
    generation::{Growth, Unfinished},
    key, sealing,
    storage_key::{self, StorageKey},
    transaction::{Counters, encode},
    value::encode_number,
};

/// Bytes written as one.
const BATCH_BYTES: usize = 1024 * 1024;

/// What becomes of a value that holds something sealed by itself.
pub(super) type Change<'a> = &'a mut dyn FnMut(&[u8], Vec<u8>) -> Result<Vec<u8>, StoreError>;

/// Puts a generation in the place of `engine`, the current one of `directory`, in which every row is sealed with `to`. `progress` is told
/// records and their bytes so far.
pub(super) fn reseal(
    directory: &Directory,
    engine: Engine,
    to: &StorageKey,
    change: Change<'_>,
    mut progress: impl FnMut(u64, u64),
) -> Result<Engine, StoreError> {
    let mut growth = Growth::new(directory.path().to_owned())?;
    let bytes = engine.size_on_disk();
    let mut copy = growth.begin(bytes, growth.live_within(bytes), Arc::default(), Some(to.clone()))?;
    let filled = Filling::new(&engine, copy.target()).and_then(|filling| filling.run(to, change, &mut progress));
    let live = match filled {
        Ok(live) => live,
        Err(error) => {
            copy.abandon();
            return Err(error);
        }
    };
    copy.filled(&mut growth, live);
    match copy.finish(&mut growth) {
        Ok((sealed, ..)) => {
            engine.retire();
            Ok(sealed)
        }
        Err(Unfinished::Abandoned(error, _) | Unfinished::Unclear(error, _)) => Err(error),
    }
}

/// One tree becoming another.
struct Filling<'a> {
    from: &'a Engine,
    to: &'a Draft,
    counters: Counters,
    epoch: u64,
    batch: Vec<Write>,
    batch_bytes: usize,
    records: u64,
    live: u64,
}

impl<'a> Filling<'a> {
    fn new(from: &'a Engine, to: &'a Draft) -> Result<Self, StoreError> {
        // Long values get names of their own: those of an epoch nobody has used.
        let (counters, epoch) = Counters::load(from)?;
        Ok(Self { from, to, counters, epoch, batch: Vec::new(), batch_bytes: 0, records: 0, live: 0 })
    }

    fn run(mut self, key: &StorageKey, change: Change<'_>, progress: &mut impl FnMut(u64, u64)) -> Result<u64, StoreError> {
        for range in key::all_but_chunks() {
            for record in self.from.records(range) {
                let (key, value) = record?;
                let value = change(&key, value)?;
                self.put(key, &value)?;
                if self.batch_bytes >= BATCH_BYTES {
                    self.apply()?;
                    progress(self.records, self.live);
                }
            }
        }
        self.put(key::EPOCH.to_vec(), self.epoch.to_string().as_bytes())?;
        self.put(key::KEY_CHECK.to_vec(), &encode(&storage_key::check_of(key))?)?;
        self.apply()?;
        self.live += key::LIVE.len() as u64;
        let last = [(key::FORMAT.to_vec(), Some(encode_number(FORMAT.into()))), (key::LIVE.to_vec(), Some(encode_number(self.live)))];
        self.to.put(last.iter().map(|(key, value)| (key, value)))?;
        progress(self.records, self.live);
        Ok(self.live)
    }

    fn put(&mut self, key: Vec<u8>, value: &[u8]) -> Result<(), StoreError> {
        let is_sealed = sealing::may_be_sealed(&key);
        let counters = &mut self.counters;
        let (value, pieces) = self.to.values().encode(&key, value, is_sealed, || counters.next_stamp())?;
        self.records += 1;
        for (key, value) in pieces.into_iter().chain([(key, value)]) {
            self.batch_bytes += key.len() + value.len();
            self.batch.push((key, Some(value)));
        }
        Ok(())
    }

    fn apply(&mut self) -> Result<(), StoreError> {
        self.to.put(self.batch.iter().map(|(key, value)| (key, value)))?;
        self.live += self.batch_bytes as u64;
        self.batch_bytes = 0;
        self.batch.clear();
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Everything is written, and nothing says that it counts: what a kill just before the end leaves.
    pub(in crate::store) fn cut_off(directory: &Directory, engine: &Engine, to: &StorageKey) {
        let growth = Growth::new(directory.path().to_owned()).expect("read");
        let copy = growth.begin(engine.size_on_disk(), 0, Arc::default(), Some(to.clone())).expect("begun");
        Filling::new(engine, copy.target()).and_then(|filling| filling.run(to, &mut |_, value| Ok(value), &mut |_, _| ())).expect("filled");
        copy.into_target().finish().expect("synced");
    }
}
