//! What a guest writes: lines of `log.write`, of standard output (`info`) and of standard error (`warn`), up to a limit together.

use std::{
    mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::{
    async_trait,
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamResult},
};

use crate::{
    lock::lock,
    model::plugin::{GuestLog, LogLevel, LogLine},
};

/// What a line costs beside its text, so that empty lines end too.
const LINE_COST_BYTES: usize = 16;
/// What a guest may write to a stream at once.
const STREAM_BUDGET_BYTES: usize = 64 * 1024;

/// The log of one call. Clones write to the same one.
#[derive(Clone, Debug)]
pub(in crate::plugin) struct LogBuffer(Arc<Mutex<Buffer>>);

#[derive(Debug)]
struct Buffer {
    log: GuestLog,
    bytes_left: usize,
    /// What was written of a line that has no end yet.
    unfinished: [Vec<u8>; 2],
}

/// One of a guest's standard streams.
#[derive(Clone, Debug)]
pub(in crate::plugin) struct LogStream {
    log: LogBuffer,
    stream: Stream,
}

/// Which one.
#[derive(Clone, Copy, Debug)]
pub(in crate::plugin) enum Stream {
    /// Standard output.
    Out = 0,
    /// Standard error.
    Err = 1,
}

impl Stream {
    fn level(self) -> LogLevel {
        match self {
            Self::Out => LogLevel::Info,
            Self::Err => LogLevel::Warn,
        }
    }
}

impl LogBuffer {
    /// An empty log that keeps `bytes_max`.
    pub fn new(bytes_max: usize) -> Self {
        Self(Arc::new(Mutex::new(Buffer { log: GuestLog::default(), bytes_left: bytes_max, unfinished: Default::default() })))
    }

    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        lock(&self.0)
    }

    /// Writes one entry; it may have several lines.
    pub fn write(&self, level: LogLevel, text: &str) {
        self.buffer().push(level, text);
    }

    /// The stream that writes here.
    pub fn stream(&self, stream: Stream) -> LogStream {
        LogStream { log: self.clone(), stream }
    }

    /// Everything written so far, the unfinished lines too. The buffer is empty afterwards.
    pub fn take(&self) -> GuestLog {
        let mut buffer = self.buffer();
        for stream in [Stream::Out, Stream::Err] {
            buffer.end_line(stream);
        }
        mem::take(&mut buffer.log)
    }
}

impl Buffer {
    fn push(&mut self, level: LogLevel, text: &str) {
        // Only the first line that does not fit is cut; after it lines are counted.
        let Some(room) = self.bytes_left.checked_sub(LINE_COST_BYTES) else {
            self.log.dropped += 1;
            return;
        };
        let text = if text.len() <= room {
            self.bytes_left = room - text.len();
            text.to_owned()
        } else {
            self.bytes_left = 0;
            format!("{}... (cut)", &text[..text.floor_char_boundary(room)])
        };
        self.log.lines.push(LogLine { level, text });
    }

    fn end_line(&mut self, stream: Stream) {
        let line = mem::take(&mut self.unfinished[stream as usize]);
        if !line.is_empty() {
            self.push(stream.level(), &String::from_utf8_lossy(&line));
        }
    }

    fn write(&mut self, stream: Stream, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            // A line nobody will read needs no memory: one byte beyond the room is enough to see that it is cut.
            let line = &mut self.unfinished[stream as usize];
            let room = (self.bytes_left + 1).saturating_sub(line.len());
            line.extend_from_slice(&text[..text.len().min(room)]);
            if ends {
                self.end_line(stream);
            }
        }
    }
}

impl IsTerminal for LogStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for LogStream {
    async fn ready(&mut self) {}
}

impl OutputStream for LogStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.log.buffer().write(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(STREAM_BUDGET_BYTES)
    }
}

impl AsyncWrite for LogStream {
    fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.log.buffer().write(self.stream, bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(log: &GuestLog) -> Vec<&str> {
        log.lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn streams_become_lines_and_the_unfinished_ones_are_kept() {
        let log = LogBuffer::new(1000);
        for bytes in [&b"one\ntw"[..], b"o\n\n", b"three"] {
            log.buffer().write(Stream::Out, bytes);
        }
        log.buffer().write(Stream::Err, b"bad");
        let log = log.take();
        assert_eq!(texts(&log), ["one", "two", "three", "bad"]);
        assert_eq!(log.lines[3].level, LogLevel::Warn);
    }

    #[test]
    fn beyond_the_limit_lines_are_counted() {
        let log = LogBuffer::new(40);
        for _ in 0..1000 {
            log.write(LogLevel::Info, "ten bytes.");
        }
        let log = log.take();
        assert_eq!(texts(&log), ["ten bytes."]);
        assert_eq!(log.dropped, 999);
    }

    #[test]
    fn a_line_without_end_takes_no_memory() {
        let log = LogBuffer::new(100);
        for _ in 0..1000 {
            log.buffer().write(Stream::Out, &[b'x'; 1000]);
        }
        assert!(log.buffer().unfinished[0].len() <= 101);
        assert_eq!(log.take().lines[0].text.len(), 84 + "... (cut)".len());
    }
}
