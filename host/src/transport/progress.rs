//! A connection that knows whether anything came back on it: what tells a request that got no byte of an answer from one whose answer
//! broke off, and a connection that has served others from a new one.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use http::Extensions;
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connect::Stream;

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

    fn note_read(&self, bytes: usize) {
        if bytes > 0 {
            self.0.read.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }

    fn note_write(&self) {
        self.0.read_before_write.store(self.0.read.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// A connection with its progress.
pub(super) struct Watched {
    stream: TokioIo<Stream>,
    progress: Progress,
}

impl Watched {
    pub(super) fn new(stream: Stream) -> TokioIo<Self> {
        TokioIo::new(Self { stream: TokioIo::new(stream), progress: Progress::default() })
    }
}

impl Connection for Watched {
    fn connected(&self) -> Connected {
        self.stream.inner().connected().extra(self.progress.clone())
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.progress.note_read(buffer.filled().len() - before);
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.progress.note_write();
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.progress.note_write();
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
