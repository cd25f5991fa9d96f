//! A request body and a connection that note when they last moved, so that a slow upload is not taken for a slow application, nor
//! a long talk for a dead one. Refuses to know what is in them.

use super::gateway::Followers;
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// Whither bytes go.
#[derive(Clone, Copy)]
pub(super) enum Way {
    ToApplication,
    ToClient,
}

/// When something last happened, and how much.
#[derive(Clone)]
pub(super) struct Activity {
    start: Instant,
    moves: Arc<Moves>,
}

#[derive(Default)]
struct Moves {
    /// Milliseconds since the start.
    last: AtomicU64,
    /// Bytes, by their way.
    bytes: [AtomicU64; 2],
}

impl Activity {
    pub(super) fn new() -> Activity {
        Activity { start: Instant::now(), moves: Arc::default() }
    }

    fn moved(&self, way: Way, bytes: usize) {
        self.note();
        let [to_application, to_client] = &self.moves.bytes;
        let count = match way {
            Way::ToApplication => to_application,
            Way::ToClient => to_client,
        };
        count.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// How many bytes went to the application, and to the client.
    pub(super) fn bytes(&self) -> (u64, u64) {
        let [to_application, to_client] = &self.moves.bytes;
        (to_application.load(Ordering::Relaxed), to_client.load(Ordering::Relaxed))
    }

    fn note(&self) {
        let elapsed = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moves.last.store(elapsed, Ordering::Relaxed);
    }

    /// Waits for `work` as long as something happens at least every `patience`.
    pub(super) async fn watch<T>(
        &self,
        patience: Duration,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let mut work = std::pin::pin!(work);
        loop {
            let last = self.last();
            match tokio::time::timeout_at(last + patience, work.as_mut()).await {
                Ok(done) => return Some(done),
                Err(_) if self.last() > last => {}
                Err(_) => return None,
            }
        }
    }

    fn last(&self) -> Instant {
        self.start + Duration::from_millis(self.moves.last.load(Ordering::Relaxed))
    }
}

/// A body whose every frame is noted.
pub(super) struct Tracked {
    body: Incoming,
    activity: Activity,
    followers: Followers,
}

impl Tracked {
    pub(super) fn new(body: Incoming, activity: Activity, followers: Followers) -> Tracked {
        Tracked { body, activity, followers }
    }
}

impl Body for Tracked {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(frame) = &frame {
            let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
            self.activity.moved(Way::ToApplication, data.map_or(0, Bytes::len));
            // A body of known length is not asked whether it has ended.
            let last = self.body.is_end_stream();
            self.followers.saw(frame.as_ref(), last);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection whose every read is noted.
pub(super) struct Noted<S> {
    stream: S,
    activity: Activity,
    way: Way,
}

impl<S> Noted<S> {
    /// Of what is read of it.
    pub(super) fn new(stream: S, activity: &Activity, way: Way) -> Noted<S> {
        Noted { stream, activity: activity.clone(), way }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Noted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if read.is_ready() {
            self.activity.moved(self.way, buffer.filled().len().saturating_sub(before));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Noted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn patience_starts_again_with_every_move() {
        let activity = Activity::new();
        let moves = async {
            for _ in 0..4 {
                tokio::time::sleep(Duration::from_millis(400)).await;
                activity.note();
            }
        };
        assert_eq!(activity.watch(Duration::from_secs(1), moves).await, Some(()));
        let still = activity.watch(Duration::from_millis(10), std::future::pending::<()>());
        assert_eq!(still.await, None);
    }
}
