//! A request body that notes when it last moved, so that a slow upload is not taken for a slow application. Refuses to know what
//! is in it.

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;

/// When something last happened.
#[derive(Clone)]
pub(super) struct Activity {
    start: Instant,
    /// Milliseconds since `start`.
    last: Arc<AtomicU64>,
}

impl Activity {
    pub(super) fn new() -> Activity {
        Activity { start: Instant::now(), last: Arc::default() }
    }

    fn note(&self) {
        let elapsed = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(elapsed, Ordering::Relaxed);
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
        self.start + Duration::from_millis(self.last.load(Ordering::Relaxed))
    }
}

/// A body whose every frame is noted.
pub(super) struct Tracked {
    body: Incoming,
    activity: Activity,
}

impl Tracked {
    pub(super) fn new(body: Incoming, activity: Activity) -> Tracked {
        Tracked { body, activity }
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
        if frame.is_ready() {
            self.activity.note();
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
