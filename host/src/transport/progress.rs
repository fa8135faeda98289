//! A connection that knows whether anything came back on it: what tells a request that got no byte of an answer from one whose answer
//! broke off, and a connection that has served others from a new one.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use http::Extensions;
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};

use super::tunnel::Stream;
use crate::watched::{Watch, Watched};

/// What has come in on one connection, above TLS. Shared with the code that reads the connection's answers and errors.
#[derive(Clone, Default)]
pub(super) struct Progress(Arc<Counts>);

#[derive(Default)]
struct Counts {
    /// Bytes read.
    read: AtomicU64,
    /// Bytes read when the last write began: over HTTP/1.1, the end of the answer before.
    read_before_write: AtomicU64,
    /// Whether a request was answered.
    answered: AtomicBool,
}

impl Progress {
    /// That of the connection an error is about.
    pub(super) fn of(connection: &Connected) -> Option<Self> {
        let mut extensions = Extensions::new();
        connection.get_extras(&mut extensions);
        extensions.remove()
    }

    /// Takes note of an answer.
    pub(super) fn note_answer(&self) {
        self.0.answered.store(true, Ordering::Relaxed);
    }

    /// Whether a request was answered on it.
    pub(super) fn has_answered(&self) -> bool {
        self.0.answered.load(Ordering::Relaxed)
    }

    /// Whether, over HTTP/1.1, anything came in since the request was written.
    pub(super) fn has_begun_to_answer(&self) -> bool {
        self.0.read.load(Ordering::Relaxed) > self.0.read_before_write.load(Ordering::Relaxed)
    }
}

impl Watch for Progress {
    const READS_ON: bool = true;

    fn was_read(&self, bytes: usize) {
        if bytes > 0 {
            self.0.read.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }

    fn begins_to_write(&self) {
        self.0.read_before_write.store(self.0.read.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// A connection with its progress.
pub(super) type WithProgress = TokioIo<Watched<TokioIo<Stream>, Progress>>;

/// `stream`, on which nothing came in yet.
pub(super) fn with_progress(stream: Stream) -> WithProgress {
    TokioIo::new(Watched::new(TokioIo::new(stream), Progress::default()))
}

impl Connection for Watched<TokioIo<Stream>, Progress> {
    fn connected(&self) -> Connected {
        self.stream().inner().connected().extra(self.watch().clone())
    }
}
