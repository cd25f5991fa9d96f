//! etcd's watch as batches of whole revisions.
//!
//! Knows: how etcd words events, progress and refusals. An error ends the stream; resuming is the reader's business.

use std::sync::Arc;

use etcd_client::{
    EventType, GetOptions, KvClient, WatchOptions, WatchRequestSender, WatchResponse,
    WatchResponseStream,
};
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::watch as channel;

use super::errors::{answered, nonsense, translate};
use super::{EtcdStore, PROGRESS_KEY, end_of, entry, signed, unsigned};
use crate::{Batch, Change, Entry, StoreError};

struct Following {
    requests: WatchRequestSender,
    responses: WatchResponseStream,
    asks: channel::Receiver<()>,
    kv: KvClient,
    prefix: Arc<str>,
    /// The key written to learn of progress, where etcd cannot be asked.
    nudge: Option<String>,
    reached: u64,
    ended: bool,
}

impl EtcdStore {
    pub(super) async fn open_watch(
        &self,
        prefix: &str,
        from: u64,
    ) -> Result<BoxStream<'static, Result<Batch, StoreError>>, StoreError> {
        let start = self.full(prefix);
        let options = WatchOptions::new()
            .with_range(end_of(start.as_bytes()))
            .with_start_revision(signed(from.saturating_add(1)))
            .with_prev_key()
            .with_progress_notify();
        let mut client = self.watches.clone();
        let watch = answered("watch", client.watch(start.as_str(), Some(options))).await?;
        self.refuse_compacted(from).await?;
        let (requests, responses) = watch.split();
        let following = Following {
            requests,
            responses,
            asks: self.asks.subscribe(),
            kv: self.kv.clone(),
            prefix: self.prefix.clone(),
            nudge: (!self.honest_progress).then(|| format!("{start}{PROGRESS_KEY}")),
            reached: from,
            ended: false,
        };
        Ok(stream::unfold(following, Following::step).boxed())
    }

    /// etcd watches from the very revision it compacted at, but some versions then leave out deletions.
    async fn refuse_compacted(&self, from: u64) -> Result<(), StoreError> {
        if from == 0 {
            return Ok(());
        }
        let options = GetOptions::new().with_revision(signed(from)).with_count_only();
        match self.range(self.full(PROGRESS_KEY).into(), options).await {
            Err(StoreError::Compacted { .. }) => {
                Err(StoreError::Compacted { asked: from, oldest: from + 1 })
            }
            Err(StoreError::Future { .. }) => Ok(()),
            other => other.map(|_| ()),
        }
    }
}

impl Following {
    async fn step(mut self) -> Option<(Result<Batch, StoreError>, Self)> {
        while !self.ended {
            let message = tokio::select! {
                message = self.responses.message() => message,
                asked = self.asks.changed() => {
                    if asked.is_err() {
                        // The store is gone.
                        return None;
                    }
                    self.ask().await;
                    continue;
                }
            };
            let batch = match message {
                Ok(Some(response)) => self.batch(&response),
                Ok(None) => Err(StoreError::Unavailable("etcd closed the watch".into())),
                Err(e) => Err(translate("watch", &e)),
            };
            match batch {
                Ok(None) => continue,
                Ok(Some(batch)) => {
                    self.reached = batch.revision;
                    return Some((Ok(batch), self));
                }
                Err(e) => {
                    self.ended = true;
                    return Some((Err(e), self));
                }
            }
        }
        None
    }

    /// Makes etcd tell how far this watch is.
    async fn ask(&mut self) {
        let asked = match &self.nudge {
            Some(key) => answered("write", self.kv.put(key.as_str(), "", None)).await.map(|_| ()),
            None => answered("watch", self.requests.request_progress()).await,
        };
        if let Err(why) = asked {
            tracing::warn!(%why, "cannot ask etcd how far the watch is");
        }
    }

    /// A response as a batch; `None` if it says nothing new.
    fn batch(&self, response: &WatchResponse) -> Result<Option<Batch>, StoreError> {
        if response.compact_revision() > 0 {
            let oldest = unsigned(response.compact_revision());
            return Err(StoreError::Compacted { asked: self.reached, oldest });
        }
        if response.canceled() {
            let why = response.cancel_reason();
            return Err(StoreError::Unavailable(format!("etcd ended the watch: {why}")));
        }
        if response.created() {
            return Ok(None);
        }
        let mut batch = Batch { changes: Vec::new(), revision: self.reached };
        for event in response.events() {
            let kv = event.kv().ok_or_else(|| nonsense("an event without a key"))?;
            let revision = unsigned(kv.mod_revision());
            if revision <= self.reached {
                continue;
            }
            batch.revision = batch.revision.max(revision);
            if kv.key().ends_with(PROGRESS_KEY.as_bytes()) {
                continue;
            }
            let previous = event.prev_kv().map(|kv| entry(&self.prefix, kv)).transpose()?;
            let entry = entry(&self.prefix, kv)?;
            batch.changes.push(match event.event_type() {
                EventType::Put => {
                    let previous = previous.map(|entry| entry.mod_revision);
                    Change::Put { entry, previous }
                }
                EventType::Delete => {
                    Change::Delete { previous: previous.unwrap_or_else(|| lost(entry)), revision }
                }
            });
        }
        if response.events().is_empty()
            && let Some(header) = response.header()
        {
            batch.revision = batch.revision.max(unsigned(header.revision()));
        }
        Ok((batch.revision > self.reached).then_some(batch))
    }
}

/// What stands for the last value of a deleted key when etcd has forgotten it: an entry as of the deletion itself.
fn lost(deleted: Entry) -> Entry {
    Entry { create_revision: deleted.mod_revision, ..deleted }
}
