//! A connection's stream, with what must be known of its bytes: when a request begins to come, and that the peer gets to
//! read the last answer.
//!
//! Knows: reads and the end. Refuses to know: HTTP.
//!
//! A socket that is closed with bytes unread resets the connection, and the reset takes what the peer has not read yet
//! with it. So the end is said first, and what still comes is dropped for a while.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::crowd::Place;

/// How much is dropped after the end, and for how long.
const LINGER_BYTES: usize = 1024 * 1024;
const LINGER: Duration = Duration::from_secs(2);

/// A stream that holds its connection's place as long as it lives, also after an upgrade.
pub(crate) struct Guarded<T> {
    inner: T,
    place: Place,
    end: End,
}

enum End {
    NotYet,
    Lingers { left: usize, until: Pin<Box<Sleep>> },
    Over,
}

impl<T> Guarded<T> {
    pub(crate) fn new(inner: T, place: Place) -> Guarded<T> {
        Guarded { inner, place, end: End::NotYet }
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Guarded<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(context, into);
        if into.filled().len() > before {
            self.place.connection().heard();
        }
        read
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            match &mut this.end {
                End::Over => return Poll::Ready(Ok(())),
                End::NotYet => {
                    ready!(Pin::new(&mut this.inner).poll_shutdown(context))?;
                    if !this.place.connection().may_be_heard() {
                        this.end = End::Over;
                        continue;
                    }
                    let until = Box::pin(tokio::time::sleep(LINGER));
                    this.end = End::Lingers { left: LINGER_BYTES, until };
                }
                End::Lingers { left, until } => {
                    let mut dropped = [0; 4096];
                    let mut into = ReadBuf::new(&mut dropped);
                    let over = match Pin::new(&mut this.inner).poll_read(context, &mut into) {
                        Poll::Ready(Ok(())) if into.filled().is_empty() => true,
                        Poll::Ready(Ok(())) => {
                            *left = left.saturating_sub(into.filled().len());
                            *left == 0
                        }
                        Poll::Ready(Err(_)) => true,
                        Poll::Pending => {
                            ready!(until.as_mut().poll(context));
                            true
                        }
                    };
                    if over {
                        this.end = End::Over;
                    }
                }
            }
        }
    }
}
