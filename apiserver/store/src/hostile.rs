//! A store that misbehaves by script, around one that does not.
//!
//! Knows: which write or which batch of a watch goes wrong, and how. Refuses to know: chance; every run is the same.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};

use crate::{Batch, Expect, Outcome, Page, Store, StoreError};

/// What goes wrong with a write.
#[derive(Clone, Debug)]
pub enum WriteFault {
    /// It does not happen, and its outcome is unknown to whoever asked.
    Fail,
    /// It happens, and its outcome is unknown to whoever asked.
    LoseAnswer,
    /// There is no space for it, unless it is reserved or a deletion.
    Full,
    /// It happens later.
    Delay(Duration),
}

/// What goes wrong with a batch of a watch.
#[derive(Clone, Debug)]
pub enum WatchFault {
    /// Its changes are never told, though its revision is.
    DropChanges,
    /// It comes twice.
    Repeat,
    /// Its changes come in the wrong order.
    Reverse,
    /// The watch breaks instead.
    Break,
    /// The watch is told that what it needs has been compacted.
    Compacted,
    /// It comes later.
    Delay(Duration),
}

#[derive(Default)]
struct Script {
    writes: u64,
    batches: u64,
    write_faults: BTreeMap<u64, WriteFault>,
    watch_faults: BTreeMap<u64, WatchFault>,
}

/// A store that misbehaves by script.
pub struct Hostile {
    inner: Arc<dyn Store>,
    script: Arc<Mutex<Script>>,
}

impl Hostile {
    /// A wrapper that does nothing wrong yet.
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner, script: Arc::default() }
    }

    /// Lets the `n`th write from now (1: the next) go wrong.
    pub fn on_write(&self, n: u64, fault: WriteFault) {
        let mut script = lock(&self.script);
        let at = script.writes + n;
        script.write_faults.insert(at, fault);
    }

    /// Lets the `n`th batch from now (1: the next), counted over all watches, go wrong.
    pub fn on_batch(&self, n: u64, fault: WatchFault) {
        let mut script = lock(&self.script);
        let at = script.batches + n;
        script.watch_faults.insert(at, fault);
    }

    /// How many writes were asked for.
    pub fn writes(&self) -> u64 {
        lock(&self.script).writes
    }

    fn next_write(&self) -> Option<WriteFault> {
        let mut script = lock(&self.script);
        script.writes += 1;
        let at = script.writes;
        script.write_faults.remove(&at)
    }

    async fn faulty(
        &self,
        write: impl Future<Output = Result<Outcome, StoreError>> + Send,
    ) -> Result<Outcome, StoreError> {
        match self.next_write() {
            None => write.await,
            Some(fault) => self.suffer(fault, write).await,
        }
    }

    async fn suffer(
        &self,
        fault: WriteFault,
        write: impl Future<Output = Result<Outcome, StoreError>> + Send,
    ) -> Result<Outcome, StoreError> {
        let unknown = || StoreError::Unavailable("the answer was lost".into());
        match fault {
            WriteFault::Fail => Err(unknown()),
            WriteFault::Full => Err(StoreError::Full("no space left".into())),
            WriteFault::LoseAnswer => {
                write.await?;
                Err(unknown())
            }
            WriteFault::Delay(time) => {
                tokio::time::sleep(time).await;
                write.await
            }
        }
    }
}

fn lock(script: &Mutex<Script>) -> std::sync::MutexGuard<'_, Script> {
    script.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What becomes of a batch.
async fn tamper(
    script: Arc<Mutex<Script>>,
    item: Result<Batch, StoreError>,
) -> Vec<Result<Batch, StoreError>> {
    let Ok(mut batch) = item else { return vec![item] };
    let fault = {
        let mut script = lock(&script);
        script.batches += 1;
        let at = script.batches;
        script.watch_faults.remove(&at)
    };
    match fault {
        None => {}
        Some(WatchFault::DropChanges) => batch.changes.clear(),
        Some(WatchFault::Repeat) => return vec![Ok(batch.clone()), Ok(batch)],
        Some(WatchFault::Reverse) => batch.changes.reverse(),
        Some(WatchFault::Break) => {
            return vec![Err(StoreError::Unavailable("the watch broke".into()))];
        }
        Some(WatchFault::Compacted) => {
            let oldest = batch.revision;
            return vec![Err(StoreError::Compacted { asked: oldest - 1, oldest })];
        }
        Some(WatchFault::Delay(time)) => tokio::time::sleep(time).await,
    }
    vec![Ok(batch)]
}

#[async_trait]
impl Store for Hostile {
    async fn get(&self, key: &str) -> Result<Option<crate::Entry>, StoreError> {
        self.inner.get(key).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
        revision: u64,
    ) -> Result<Page, StoreError> {
        self.inner.list(prefix, after, limit, revision).await
    }

    async fn put(&self, key: &str, value: Bytes, expect: Expect) -> Result<Outcome, StoreError> {
        self.faulty(self.inner.put(key, value, expect)).await
    }

    async fn put_reserved(
        &self,
        key: &str,
        value: Bytes,
        expect: Expect,
    ) -> Result<Outcome, StoreError> {
        match self.next_write() {
            // There is no space for anything else.
            None | Some(WriteFault::Full) => self.inner.put_reserved(key, value, expect).await,
            Some(fault) => self.suffer(fault, self.inner.put_reserved(key, value, expect)).await,
        }
    }

    async fn delete(&self, key: &str, revision: u64) -> Result<Outcome, StoreError> {
        match self.next_write() {
            None | Some(WriteFault::Full) => self.inner.delete(key, revision).await,
            Some(fault) => self.suffer(fault, self.inner.delete(key, revision)).await,
        }
    }

    async fn watch(
        &self,
        prefix: &str,
        from: u64,
    ) -> Result<BoxStream<'static, Result<Batch, StoreError>>, StoreError> {
        let script = self.script.clone();
        let honest = self.inner.watch(prefix, from).await?;
        let items = honest.then(move |item| tamper(script.clone(), item));
        // An error is the last item, whoever made it up.
        let ended = items.flat_map(stream::iter).scan(false, |ended, item| {
            let give = (!*ended).then_some(item);
            *ended = give.as_ref().is_none_or(Result::is_err);
            std::future::ready(give)
        });
        Ok(ended.boxed())
    }

    async fn revision(&self) -> Result<u64, StoreError> {
        self.inner.revision().await
    }

    async fn compact(&self, revision: u64) -> Result<(), StoreError> {
        self.inner.compact(revision).await
    }

    async fn request_progress(&self) -> Result<(), StoreError> {
        self.inner.request_progress().await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.inner.close().await
    }
}
