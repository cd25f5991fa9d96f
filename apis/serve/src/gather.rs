//! A stream that gathers small writes: HTTP/2 flushes each frame, and a frame of its own in each TLS record and each
//! system call costs more than everything else when one change goes to a hundred watches of a connection.
//!
//! Knows: bytes, and whose turn it is. Refuses to know: frames, TLS.
//!
//! What is written stays in a buffer until the buffer is full, or until the task that wrote it has its next turn: a flush
//! only asks for that turn. The turn begins with a read, because HTTP/2 always reads; a shutdown writes the rest too.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is worth a system call: the largest TLS record.
const FULL: usize = 16 * 1024;

/// Gathers what is written to `inner`. Its user must read in every turn, as HTTP/2 does and HTTP/1.1 does not.
pub(crate) struct Gather<T> {
    inner: T,
    /// Not written yet from `written` on. Without an allocation when there is nothing: idle connections are many.
    buffer: Vec<u8>,
    written: usize,
    /// What went through has not been flushed.
    flush: bool,
}

impl<T: AsyncWrite + Unpin> Gather<T> {
    /// Over a stream.
    pub(crate) fn new(inner: T) -> Gather<T> {
        Gather { inner, buffer: Vec::new(), written: 0, flush: false }
    }

    /// Writes out what was gathered.
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.buffer.len() {
            let left = &self.buffer[self.written..];
            match ready!(Pin::new(&mut self.inner).poll_write(context, left))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.written += count,
            }
            self.flush = true;
        }
        self.buffer = Vec::new();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    fn poll_settle(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        if self.flush {
            ready!(Pin::new(&mut self.inner).poll_flush(context))?;
            self.flush = false;
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Gather<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // A peer that takes nothing may still say something; the task is woken when it takes more.
        if let Poll::Ready(Err(error)) = self.poll_settle(context) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.inner).poll_read(context, into)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Gather<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.buffer.len() >= FULL {
            ready!(self.poll_drain(context))?;
        }
        let mut count = 0;
        for slice in slices {
            let part = &slice[..slice.len().min(FULL.saturating_sub(self.buffer.len()))];
            if self.buffer.capacity() == 0 && !part.is_empty() {
                self.buffer.reserve_exact(FULL);
            }
            self.buffer.extend_from_slice(part);
            count += part.len();
            if part.len() < slice.len() {
                break;
            }
        }
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.flush || !self.buffer.is_empty() {
            // A task that wakes itself has its turn after those that are waiting.
            context.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_settle(context))?;
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[tokio::test]
    async fn small_writes_leave_together_at_the_next_read() {
        let (near, mut far) = duplex(64);
        let mut gather = Gather::new(near);
        gather.write_all(b"one ").await.unwrap();
        gather.flush().await.unwrap();
        gather.write_all(b"two").await.unwrap();
        gather.flush().await.unwrap();
        far.write_all(b"x").await.unwrap();
        gather.read_u8().await.unwrap();
        let mut read = [0; 7];
        far.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"one two");
        assert_eq!(gather.buffer.capacity(), 0);
    }

    #[tokio::test]
    async fn large_writes_and_the_rest_arrive_whole() {
        let (near, mut far) = duplex(1000);
        let mut gather = Gather::new(near);
        let sent: Vec<u8> = (0..FULL * 3 + 7).map(|at| at as u8).collect();
        let copy = sent.clone();
        let write = async move {
            gather.write_all(&copy).await.unwrap();
            gather.shutdown().await.unwrap();
        };
        let mut read = Vec::new();
        let (_, done) = tokio::join!(write, far.read_to_end(&mut read));
        done.unwrap();
        assert_eq!(read, sent);
    }
}
