//! A connection that tells a watcher what moves on it.

use std::{
    io::{self, ErrorKind},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What takes note of a connection's bytes.
pub trait Watch: Unpin {
    /// Whether a connection that the other side closed is still read, when something was to be written to it: what is written from then on is
    /// dropped. A server may answer a request before it has read all of it, and close the connection.
    const READS_ON: bool = false;

    /// A read is done. It brought this number of bytes; none if it failed or met the end.
    fn was_read(&self, bytes: usize);

    /// A write is tried.
    fn begins_to_write(&self) {}

    /// A write is done, well or not.
    fn was_written(&self) {}
}

/// A connection and its watcher.
pub struct Watched<S, W> {
    stream: S,
    watch: W,
    /// The other side takes nothing more.
    is_closed: bool,
}

impl<S, W: Watch> Watched<S, W> {
    /// This connection, with this watcher.
    pub fn new(stream: S, watch: W) -> Self {
        Self { stream, watch, is_closed: false }
    }

    /// The connection.
    pub fn stream(&self) -> &S {
        &self.stream
    }

    /// Its watcher.
    pub fn watch(&self) -> &W {
        &self.watch
    }

    /// What a write came to; `otherwise` is what it comes to where the connection is only read.
    fn outcome<T>(&mut self, written: Poll<io::Result<T>>, otherwise: T) -> Poll<io::Result<T>> {
        match written {
            Poll::Ready(Err(error)) if W::READS_ON && is_end(&error) => {
                self.is_closed = true;
                Poll::Ready(Ok(otherwise))
            }
            written => written,
        }
    }
}

impl<S: AsyncWrite + Unpin, W: Watch> Watched<S, W> {
    fn write(&mut self, bytes: usize, write: impl FnOnce(Pin<&mut S>) -> Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if self.is_closed {
            return Poll::Ready(Ok(bytes));
        }
        self.watch.begins_to_write();
        let written = write(Pin::new(&mut self.stream));
        if written.is_ready() {
            self.watch.was_written();
        }
        self.outcome(written, bytes)
    }
}

/// Whether an error says that the other side closed the connection.
fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted)
}

impl<S: AsyncRead + Unpin, W: Watch> AsyncRead for Watched<S, W> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_ready() {
            self.watch.was_read(buffer.filled().len() - before);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin, W: Watch> AsyncWrite for Watched<S, W> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write(bytes.len(), |stream| stream.poll_write(context, bytes))
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, parts: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let bytes = parts.iter().map(|part| part.len()).sum();
        self.write(bytes, |stream| stream.poll_write_vectored(context, parts))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_closed {
            return Poll::Ready(Ok(()));
        }
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.outcome(flushed, ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
