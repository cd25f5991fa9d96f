//! A connection's stream, with what must be known of its bytes: when a request begins to come, what of it must be escaped,
//! and that the peer gets to read the last answer.
//!
//! Knows: reads and the end. Refuses to know: HTTP.
//!
//! A socket that is closed with bytes unread resets the connection, and the reset takes what the peer has not read yet
//! with it. So the end is said first, and what still comes is dropped for a while. What was upgraded is dropped by whoever
//! spoke last; its peer hears the end at once all the same, for the rest is done here.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::Sleep;

use crate::crowd::Place;
use crate::framing::Framing;
use crate::target::Targets;

/// How much is dropped after the end, and for how long.
const LINGER_BYTES: usize = 1024 * 1024;
const LINGER: Duration = Duration::from_secs(2);
/// For how long what still comes is dropped of a connection that was upgraded: what was said last may be on its way long.
const FAREWELL: Duration = Duration::from_secs(10);

/// A stream that holds its connection's place as long as it lives, also after an upgrade.
pub(crate) struct Guarded<T: Stream> {
    /// Absent at the end only.
    inner: Option<T>,
    place: Arc<Place>,
    end: End,
    /// Where HTTP/1.1 is spoken.
    heads: Option<(Framing, Targets)>,
}

/// What can be guarded.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for T {}

enum End {
    NotYet,
    Lingers { left: usize, until: Pin<Box<Sleep>> },
    Over,
}

impl<T: Stream> Guarded<T> {
    pub(crate) fn new(inner: T, place: Place) -> Guarded<T> {
        Guarded { inner: Some(inner), place: Arc::new(place), end: End::NotYet, heads: None }
    }

    /// The same stream, whose requests are of HTTP/1.1: what hyper refuses of a target is escaped, and what it should refuse
    /// of a head is.
    pub(crate) fn of_http1(mut self) -> Guarded<T> {
        self.heads = Some(Default::default());
        self
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    fn inner(&mut self) -> io::Result<Pin<&mut T>> {
        self.inner.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl<T: Stream> Drop for Guarded<T> {
    fn drop(&mut self) {
        let open = matches!(self.end, End::NotYet) && self.place.connection().parts_in_peace();
        if let (true, Some(inner), Ok(runtime)) =
            (open, self.inner.take(), tokio::runtime::Handle::try_current())
        {
            runtime.spawn(part(inner, Arc::clone(&self.place)));
        }
    }
}

/// Says the end, and drops what still comes.
async fn part(mut inner: impl Stream, place: Arc<Place>) {
    let parting = async {
        inner.shutdown().await?;
        let mut dropped = [0; 4096];
        while inner.read(&mut dropped).await? > 0 {}
        io::Result::Ok(())
    };
    let _ = place.connection().unless_cut(tokio::time::timeout(FAREWELL, parting)).await;
}

impl<T: Stream> AsyncRead for Guarded<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.heads.as_mut().is_some_and(|(_, targets)| targets.give(into)) {
            return Poll::Ready(Ok(()));
        }
        let before = into.filled().len();
        let read = self.inner()?.poll_read(context, into);
        if into.filled().len() > before {
            let begins = self.place.connection().heard();
            if let Some((framing, targets)) = &mut self.heads {
                framing.check(&mut into.filled_mut()[before..], begins);
                targets.escape(into, before, begins);
            }
        }
        read
    }
}

impl<T: Stream> AsyncWrite for Guarded<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = self.inner()?.poll_write(context, bytes);
        self.place.connection().takes(written.is_ready());
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.inner()?.poll_write_vectored(context, slices);
        self.place.connection().takes(written.is_ready());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner()?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            let inner = this.inner.as_mut().map(Pin::new);
            let Some(mut inner) = inner else { return Poll::Ready(Ok(())) };
            match &mut this.end {
                End::Over => return Poll::Ready(Ok(())),
                End::NotYet => {
                    ready!(inner.as_mut().poll_shutdown(context))?;
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
                    let over = match inner.as_mut().poll_read(context, &mut into) {
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
