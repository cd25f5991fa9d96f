//! Status writes under way: some at once, one for each object, and none for a while after one that failed.
//!
//! Knows: when the next may begin. Refuses to know: what is written, and of what.

use http::Method;
use leme_client::{Client, Error, Key, MERGE_PATCH, Resource};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Writes at once.
const WRITES: usize = 8;
/// Pauses after a failed write: first and longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// The status writes of one kind, whose objects are read as `T`.
pub(super) struct StatusWrites<T> {
    client: Client,
    resource: Resource,
    writes: JoinSet<(Key, Result<T, Error>)>,
    writing: BTreeSet<Key>,
    retry: Option<Instant>,
    pause: Duration,
}

impl<T: DeserializeOwned + Send + 'static> StatusWrites<T> {
    pub(super) fn new(client: Client, resource: Resource) -> StatusWrites<T> {
        StatusWrites {
            client,
            resource,
            writes: JoinSet::new(),
            writing: BTreeSet::new(),
            retry: None,
            pause: RETRY.0,
        }
    }

    /// Whether no further write may begin now; one that ends, or [`StatusWrites::next`], says when to ask again.
    pub(super) fn are_full(&self) -> bool {
        self.retry.is_some() || self.writes.len() >= WRITES
    }

    /// Whether one is under way for an object.
    pub(super) fn has(&self, key: &Key) -> bool {
        self.writing.contains(key)
    }

    /// Begins to write. A version in the patch makes it fail if somebody else's write came in between.
    pub(super) fn begin(&mut self, key: &Key, patch: Value) {
        self.writing.insert(key.clone());
        let path = self.resource.object(&key.0, &key.1, "status");
        let (key, client) = (key.clone(), self.client.clone());
        self.writes.spawn(async move {
            let done = client.call(Method::PATCH, &path, MERGE_PATCH, Some(&patch)).await;
            (key, done)
        });
    }

    /// Waits until a write has ended, and gives what came of it, or until others may begin. Cancelling loses nothing.
    pub(super) async fn next(&mut self) -> Option<(Key, Result<T, Error>)> {
        let retry = self.retry.unwrap_or_else(Instant::now);
        tokio::select! {
            Some(done) = self.writes.join_next() => self.ended(done),
            () = tokio::time::sleep_until(retry), if self.retry.is_some() => {
                self.retry = None;
                None
            }
            else => std::future::pending().await,
        }
    }

    fn ended(
        &mut self,
        done: Result<(Key, Result<T, Error>), tokio::task::JoinError>,
    ) -> Option<(Key, Result<T, Error>)> {
        let (key, result) = match done {
            Ok(done) => done,
            Err(error) => {
                tracing::error!(%error, "a status write of the router died");
                self.writing.clear();
                return None;
            }
        };
        self.writing.remove(&key);
        match &result {
            Ok(_) => self.pause = RETRY.0,
            Err(error) if error.is_not_found() => {}
            Err(error) => {
                let resource = &self.resource.plural;
                tracing::warn!(resource, name = %key.1, namespace = %key.0, %error, "status not written");
                self.retry = Some(Instant::now() + self.pause);
                self.pause = (self.pause * 2).min(RETRY.1);
            }
        }
        Some((key, result))
    }
}
