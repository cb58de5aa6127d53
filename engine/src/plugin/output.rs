//! What a guest writes to stdout and stderr: bounded, and escaped when logged.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use tokio::io::AsyncWrite;
use wasmtime_wasi::{
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamResult},
};

/// Longest line of a log entry, in characters.
const LINE_CHARS: usize = 500;
/// What a guest may write at once.
const PERMIT_BYTES: usize = 64 << 10;

#[derive(Default)]
struct Written {
    bytes: Vec<u8>,
    dropped_bytes: usize,
}

/// Takes all that is written and keeps the beginning of it.
#[derive(Clone)]
pub(super) struct Output {
    limit_bytes: usize,
    written: Arc<Mutex<Written>>,
}

impl Output {
    pub fn new(limit_bytes: usize) -> Self {
        Self {
            limit_bytes,
            written: Arc::default(),
        }
    }

    fn take(&self, bytes: &[u8]) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let room = self.limit_bytes.saturating_sub(written.bytes.len());
        let kept = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        written.bytes.extend_from_slice(kept);
        written.dropped_bytes += bytes.len() - kept.len();
    }

    /// The lines as they are logged: escaped and bounded.
    pub fn lines(&self) -> Vec<String> {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&written.bytes);
        let mut lines: Vec<String> = text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| {
                line.chars()
                    .take(LINE_CHARS)
                    .flat_map(char::escape_debug)
                    .collect()
            })
            .collect();
        if written.dropped_bytes > 0 {
            lines.push(format!(
                "({} bytes more were dropped)",
                written.dropped_bytes
            ));
        }
        lines
    }

    /// Logs what was written.
    pub fn log(&self, plugin: &str) {
        for line in self.lines() {
            tracing::info!(target: "naosu::plugin", plugin, "{line}");
        }
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for Output {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[async_trait::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

impl OutputStream for Output {
    fn write(&mut self, bytes: bytes::Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_escapes_are_escaped_and_what_is_too_much_is_dropped_and_counted() {
        let output = Output::new(32);
        output.take(b"\x1b[2Jhello\n");
        output.take(&[b'x'; 100]);
        let lines = output.lines();
        assert_eq!(lines[0], "\\u{1b}[2Jhello");
        assert_eq!(lines[1], "x".repeat(22));
        assert_eq!(lines[2], "(78 bytes more were dropped)");
        assert_eq!(lines.len(), 3);
    }
}
