//! What was written lately and is not in the tree yet, and how both are read as one.
//!
//! Two layers of writes in memory lie over the tree: the one that grows with each commit, and an older one that does not change any
//! more while it is written into the tree. The newest write of a key counts; one that removes hides what lies below.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, PoisonError, RwLock},
    vec,
};

use super::{
    error::StoreError,
    key::Range,
    tree::{Bytes, Tree},
};

/// Writes by key; `None` removes.
pub(super) type Layer = BTreeMap<Bytes, Option<Bytes>>;

/// Bytes of a write.
pub(super) fn bytes_of(key: &Bytes, value: Option<&Bytes>) -> usize {
    key.len() + value.map_or(0, |value| value.len())
}

/// A write of a layer from what is borrowed.
pub(super) fn write(key: &[u8], value: Option<&[u8]>) -> (Bytes, Option<Bytes>) {
    (Bytes::from(key), value.map(Bytes::from))
}

/// A record.
type Record = (Bytes, Bytes);

/// Records a scan looks at first, and at most at a time. Most want one.
const WINDOW_LEN_MIN: usize = 4;
const WINDOW_LEN_MAX: usize = 128;

/// The layers over a tree.
#[derive(Default)]
pub(super) struct Recent(RwLock<Layers>);

#[derive(Default)]
struct Layers {
    growing: Layer,
    /// Of the keys and values put into it.
    growing_bytes: u64,
    /// On its way into the tree.
    leaving: Option<Arc<Layer>>,
    leaving_bytes: u64,
}

impl Layers {
    fn each(&self) -> impl Iterator<Item = &Layer> {
        self.leaving.as_deref().into_iter().chain([&self.growing])
    }
}

impl Recent {
    /// Puts writes on top.
    pub(super) fn put(&self, writes: Vec<(Bytes, Option<Bytes>)>) {
        let bytes: usize = writes.iter().map(|(key, value)| bytes_of(key, value.as_ref())).sum();
        let mut layers = self.0.write().unwrap_or_else(PoisonError::into_inner);
        layers.growing_bytes += bytes as u64;
        layers.growing.extend(writes);
    }

    /// Bytes that are still to be written into the tree, at most.
    pub(super) fn bytes(&self) -> u64 {
        let layers = self.0.read().unwrap_or_else(PoisonError::into_inner);
        layers.growing_bytes + layers.leaving_bytes
    }

    /// Lets the layer that grew leave, which begins with another; `None`: there is nothing in it. The one before it must have left.
    pub(super) fn turn(&self) -> Option<Arc<Layer>> {
        let mut layers = self.0.write().unwrap_or_else(PoisonError::into_inner);
        debug_assert!(layers.leaving.is_none(), "one layer leaves at a time");
        let layer = Arc::new(std::mem::take(&mut layers.growing));
        layers.leaving_bytes = std::mem::take(&mut layers.growing_bytes);
        layers.leaving = Some(layer).filter(|layer| !layer.is_empty());
        layers.leaving.clone()
    }

    /// The layer that left is in the tree.
    pub(super) fn left(&self) {
        let mut layers = self.0.write().unwrap_or_else(PoisonError::into_inner);
        layers.leaving_bytes = 0;
        let gone = layers.leaving.take();
        drop(layers);
        // Outside of the lock: it is large.
        drop(gone);
    }

    /// What was written last under `key`; `None`: the tree knows.
    pub(super) fn get(&self, key: &[u8]) -> Option<Option<Bytes>> {
        let layers = self.0.read().unwrap_or_else(PoisonError::into_inner);
        layers.growing.get(key).or_else(|| layers.leaving.as_ref()?.get(key)).cloned()
    }

    /// The first writes in `range`, or the last, of each layer; the newer ones win. And where that ends: all writes up to there are in it.
    fn window(&self, range: &Range, side: Side, len: usize) -> (Layer, Option<Bytes>) {
        let layers = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let (mut window, mut end) = (Layer::new(), None::<Bytes>);
        for layer in layers.each() {
            let mut writes = layer.range::<[u8], _>((Bound::Included(range.0.as_slice()), Bound::Excluded(range.1.as_slice())));
            let mut last = None;
            for _ in 0..len {
                let Some((key, value)) = side.next(&mut writes) else { break };
                window.insert(key.clone(), value.clone());
                last = Some(key);
            }
            let is_cut = side.next(&mut writes).is_some();
            if let Some(last) = last.filter(|_| is_cut)
                && end.as_ref().is_none_or(|end| side.is_beyond(end, last))
            {
                end = Some(last.clone());
            }
        }
        (window, end)
    }
}

/// From which side a range is read.
#[derive(Clone, Copy)]
enum Side {
    Front,
    Back,
}

impl Side {
    fn next<T>(self, items: &mut impl DoubleEndedIterator<Item = T>) -> Option<T> {
        match self {
            Self::Front => items.next(),
            Self::Back => items.next_back(),
        }
    }

    /// Whether a scan from this side meets `key` after `end`.
    fn is_beyond(self, key: &[u8], end: &[u8]) -> bool {
        match self {
            Self::Front => key > end,
            Self::Back => key < end,
        }
    }
}

/// A range of the tree with the layers over it, read a window at a time.
///
/// The layers are looked at before the tree: what leaves them in between is found in the tree. A window is read from the tree as it is
/// then, never from an older view of it, which might lack what has left the layers since.
pub(super) struct Merged {
    tree: Arc<Tree>,
    recent: Arc<Recent>,
    /// What was not looked at yet.
    rest: Range,
    is_over: bool,
    window_len: usize,
    front: vec::IntoIter<Record>,
    /// Descending.
    back: vec::IntoIter<Record>,
}

impl Merged {
    /// The records in `range`.
    pub(super) fn new(tree: Arc<Tree>, recent: Arc<Recent>, range: Range) -> Self {
        let is_over = range.0 >= range.1;
        Self { tree, recent, rest: range, is_over, window_len: WINDOW_LEN_MIN, front: Vec::new().into_iter(), back: Vec::new().into_iter() }
    }

    /// The next records of what was not looked at yet, in the order they are met from that side. May be none, when all were removed.
    fn look(&mut self, side: Side) -> Result<Vec<Record>, StoreError> {
        let len = self.window_len;
        self.window_len = (len * 2).min(WINDOW_LEN_MAX);
        let (mut window, mut end) = self.recent.window(&self.rest, side, len);
        let mut in_tree = self.tree.range(&self.rest);
        let mut last = None;
        for _ in 0..len {
            last = side.next(&mut in_tree).transpose()?.filter(|(key, _)| end.as_ref().is_none_or(|end| !side.is_beyond(key, end)));
            let Some((key, value)) = &last else { break };
            window.entry(key.clone()).or_insert_with(|| Some(value.clone()));
        }
        if let Some((last, _)) = last {
            end = Some(last);
        }
        if let Some(end) = &end {
            window.retain(|key, _| !side.is_beyond(key, end));
        }
        match (side, end) {
            (Side::Front, Some(end)) => self.rest.0 = [&end, [0].as_slice()].concat(),
            (Side::Back, Some(end)) => self.rest.1 = end.to_vec(),
            (_, None) => self.is_over = true,
        }
        self.is_over |= self.rest.0 >= self.rest.1;
        let records = window.into_iter().filter_map(|(key, value)| Some((key, value?)));
        Ok(match side {
            Side::Front => records.collect(),
            Side::Back => records.rev().collect(),
        })
    }

    /// The next record from that side.
    fn step(&mut self, side: Side) -> Option<Result<Record, StoreError>> {
        loop {
            let (near, far) = match side {
                Side::Front => (&mut self.front, &mut self.back),
                Side::Back => (&mut self.back, &mut self.front),
            };
            if let Some(record) = near.next() {
                return Some(Ok(record));
            }
            if self.is_over {
                return far.next_back().map(Ok);
            }
            let looked = self.look(side).map(Vec::into_iter);
            match (side, looked) {
                (Side::Front, Ok(records)) => self.front = records,
                (Side::Back, Ok(records)) => self.back = records,
                (_, Err(error)) => {
                    self.is_over = true;
                    return Some(Err(error));
                }
            }
        }
    }
}

impl Iterator for Merged {
    type Item = Result<Record, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step(Side::Front)
    }
}

impl DoubleEndedIterator for Merged {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.step(Side::Back)
    }
}
