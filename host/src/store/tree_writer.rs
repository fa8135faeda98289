//! How what was written lately gets into the tree: layer by layer, on a thread of its own, in steps that are spread over the time in which
//! the next layer fills, so that nobody notices.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::Duration,
};

use super::{
    error::StoreError,
    journal::TURN_BYTES,
    recent::{Layer, Recent, bytes_of},
    tree::Tree,
};

/// Bytes written into the tree before it is synced: that many it may move without the disk knowing.
const STEP_BYTES: usize = 256 * 1024;

/// When this percentage of the next layer is full, the layer is in the tree: the writes are spread over that time.
const LEAVES_WITHIN_PERCENT: u64 = 75;

/// When the next layer does not grow, a step waits this number of times.
const PAUSES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(1);

/// The thread that writes layers into the tree, one at a time.
pub(super) struct TreeWriter {
    layers: Option<mpsc::Sender<(Arc<Layer>, Arc<Pace>)>>,
    outcomes: mpsc::Receiver<Result<(), StoreError>>,
    is_busy: bool,
    thread: Option<JoinHandle<()>>,
}

impl TreeWriter {
    /// Starts it.
    pub(super) fn start(tree: &Arc<Tree>, recent: &Arc<Recent>) -> Result<Self, StoreError> {
        let (tree, recent) = (Arc::clone(tree), Arc::clone(recent));
        let (layers, taken) = mpsc::channel::<(Arc<Layer>, Arc<Pace>)>();
        let (told, outcomes) = mpsc::channel();
        let run = move || {
            for (layer, pace) in taken {
                let written = write_out(&tree, &layer, |percent| pace.wait(percent));
                drop(layer);
                if written.is_ok() && !tree.is_retired() {
                    recent.left();
                }
                if told.send(written).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("tree-writer".into()).spawn(run);
        let thread = thread.map_err(|source| StoreError::unavailable("start the thread that writes the tree", source))?;
        Ok(Self { layers: Some(layers), outcomes, is_busy: false, thread: Some(thread) })
    }

    /// Gives it a layer, whose records the tree has when the next one is given or waited for.
    pub(super) fn write(&mut self, layer: Arc<Layer>, pace: Arc<Pace>) -> Result<(), StoreError> {
        let sent = self.layers.as_ref().is_some_and(|layers| layers.send((layer, pace)).is_ok());
        self.is_busy = sent;
        if sent { Ok(()) } else { Err(gone()) }
    }

    /// What became of the last layer, if that is known by now.
    pub(super) fn look(&mut self) -> Result<(), StoreError> {
        match self.outcomes.try_recv() {
            Ok(outcome) => {
                self.is_busy = false;
                outcome
            }
            Err(mpsc::TryRecvError::Empty) => Ok(()),
            Err(mpsc::TryRecvError::Disconnected) => Err(gone()),
        }
    }

    /// Waits until no layer is on its way.
    pub(super) fn wait(&mut self) -> Result<(), StoreError> {
        match std::mem::take(&mut self.is_busy) {
            true => self.outcomes.recv().unwrap_or_else(|_| Err(gone())),
            false => Ok(()),
        }
    }
}

impl Drop for TreeWriter {
    fn drop(&mut self) {
        self.layers = None;
        // A panic of it was told of already.
        self.thread.take().map(JoinHandle::join);
    }
}

fn gone() -> StoreError {
    StoreError::unavailable("write into the tree", "the thread that does it panicked, which is a bug in hookwright")
}

/// How fast a layer goes into the tree.
#[derive(Default)]
pub(super) struct Pace {
    /// Bytes of the turn that is being written meanwhile.
    filled: AtomicU64,
    /// Whether somebody waits for the end.
    hurries: AtomicBool,
}

impl Pace {
    /// This number of bytes of the next turn is written.
    pub(super) fn filled(&self, bytes: u64) {
        self.filled.store(bytes, Ordering::Relaxed);
    }

    /// Somebody waits for the end.
    pub(super) fn hurry(&self) {
        self.hurries.store(true, Ordering::Relaxed);
    }

    /// Waits until it is time for the step that begins when so much of the layer is in the tree.
    fn wait(&self, percent: u64) {
        let due = TURN_BYTES * percent * LEAVES_WITHIN_PERCENT / 10_000;
        for _ in 0..PAUSES {
            if self.hurries.load(Ordering::Relaxed) || self.filled.load(Ordering::Relaxed) >= due {
                return;
            }
            std::thread::sleep(PAUSE);
        }
    }
}

/// Writes a layer into the tree, durably. `between` is told before each step but the first how many percent are there. May be done twice.
pub(super) fn write_out(tree: &Tree, layer: &Layer, between: impl Fn(u64)) -> Result<(), StoreError> {
    let total: usize = layer.iter().map(|(key, value)| bytes_of(key, value.as_ref())).sum();
    let (mut done, mut step, mut writes) = (0, 0, Vec::new());
    for (key, value) in layer {
        if step >= STEP_BYTES {
            tree.put_all(&writes)?;
            tree.sync()?;
            writes.clear();
            done += std::mem::take(&mut step);
            between((done * 100 / total.max(1)) as u64);
            if tree.is_retired() {
                return Ok(());
            }
        }
        step += bytes_of(key, value.as_ref());
        writes.push((key.clone(), value.clone()));
    }
    tree.put_all(&writes)?;
    tree.sync()
}
