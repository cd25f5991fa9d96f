//! The end of a definition: its objects are deleted as everybody's are, then it may go itself.
//!
//! Knows: that no object comes any more before the first is deleted. Refuses to know: what holds an object.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use leme_kinds::{Kind, naming};
use leme_meta::{Status, time};
use leme_registry::{DeleteOptions, json};
use leme_store::cache::Snapshot;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::statuses::change;
use crate::answer::read_failed;
use crate::api::Api;
use crate::request::{ResourceRequest, Verb};
use crate::write::Change;

/// How long to wait after something could not be done, at first and at most.
const AGAIN: Duration = Duration::from_millis(200);
const LATEST: Duration = Duration::from_secs(30);
/// After this it is told that objects take their time.
const PATIENCE: Duration = Duration::from_secs(60);
/// Deletes under way at once.
const AT_ONCE: usize = 32;
const BATCH: usize = 64;

/// A definition that is going.
pub(super) struct Ending {
    pub api: Arc<Api>,
    pub name: String,
    pub uid: String,
    /// The kind of its objects, and where they are, if there may be any.
    pub objects: Option<(Arc<Kind>, String)>,
    /// Sets of kinds by which objects may still come.
    pub before: Vec<CancellationToken>,
}

/// A status as `naming` makes it.
type Said<'a> = &'a (dyn Fn(&Value, &str) -> Option<Value> + Sync);

impl Ending {
    /// Ends it; returns when it is gone, or somebody else has let it go.
    pub async fn run(self) {
        for before in &self.before {
            before.cancelled().await;
        }
        let mut pause = AGAIN;
        while let Err(error) = self.once().await {
            tracing::warn!(definition = self.name, %error, "cannot end a definition; trying again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LATEST);
        }
        // Whoever looks again sees that it is gone.
        let _ = self.api.cache.fresh().await;
    }

    async fn once(&self) -> Result<(), Status> {
        self.say(&naming::deleting).await?;
        self.clear().await?;
        change(&self.api, &self.name, |definition, _| {
            if !self.is_it(definition) {
                return Change::Unchanged;
            }
            let now = time::seconds(Timestamp::now());
            if let Some(status) = naming::gone(definition, &now) {
                json::set(definition, "status", status);
            }
            let metadata = json::child(definition, "metadata");
            let mut finalizers = json::list(metadata, &["finalizers"]).to_vec();
            finalizers.retain(|name| name != naming::CLEANUP);
            if finalizers.is_empty() {
                return Change::Remove;
            }
            json::set(metadata, "finalizers", finalizers);
            Change::Put(definition.take())
        })
        .await
    }

    /// Whether a definition is the one that is to end, and not another of its name.
    fn is_it(&self, definition: &Value) -> bool {
        json::text(definition, &["metadata", "uid"]) == self.uid && naming::is_cleaning(definition)
    }

    async fn say(&self, said: Said<'_>) -> Result<(), Status> {
        change(&self.api, &self.name, |definition, _| {
            let status = said(definition, &time::seconds(Timestamp::now()));
            match status.filter(|_| self.is_it(definition)) {
                Some(status) => {
                    json::set(definition, "status", status);
                    Change::Put(definition.take())
                }
                None => Change::Unchanged,
            }
        })
        .await
    }

    fn snapshot(&self) -> Option<Snapshot> {
        self.api.cache.snapshot(&self.objects.as_ref()?.1)
    }

    /// Deletes all objects, and waits until the last is gone.
    async fn clear(&self) -> Result<(), Status> {
        let Some((kind, prefix)) = &self.objects else { return Ok(()) };
        let cache = &self.api.cache;
        cache.fresh().await.map_err(read_failed)?;
        let mut patience = Box::pin(tokio::time::sleep(PATIENCE));
        let mut told = false;
        loop {
            let Some(snapshot) = self.snapshot() else { return Ok(()) };
            let mut changes = cache.watch(prefix, snapshot.revision()).map_err(read_failed)?;
            if let Err(error) = self.delete_all(kind, &snapshot).await {
                self.say(&|definition, now| {
                    naming::deletion_failed(definition, &error.message, now)
                })
                .await?;
                return Err(error);
            }
            let unreadable = cache.unreadable().into_iter().find(|one| one.key.starts_with(prefix));
            if let Some(unreadable) = &unreadable {
                let why = format!("{}: {}", unreadable.key, unreadable.why);
                self.say(&|definition, now| naming::not_listed(definition, &why, now)).await?;
            } else if self.snapshot().is_none_or(|snapshot| snapshot.is_empty()) {
                return Ok(());
            }
            tokio::select! {
                _ = changes.next_batch(BATCH) => {}
                // No event tells of the end of what could not be read.
                () = tokio::time::sleep(LATEST), if unreadable.is_some() => {}
                () = &mut patience, if !told => {
                    told = true;
                    self.say(&naming::unconfirmed).await?;
                }
            }
        }
    }

    async fn delete_all(&self, kind: &Arc<Kind>, snapshot: &Snapshot) -> Result<(), Status> {
        let options = DeleteOptions::default();
        let left = snapshot.iter().filter(|object| !object.index.deleting);
        let requests: Vec<ResourceRequest> = left
            .map(|object| {
                let (namespace, name) = (&object.index.namespace, &object.index.name);
                ResourceRequest::of(Verb::Delete, kind, namespace, name)
            })
            .collect();
        let deletes: Vec<BoxFuture<'_, _>> =
            requests.iter().map(|one| self.api.delete_object(one, &options).boxed()).collect();
        let mut deletes = futures::stream::iter(deletes).buffer_unordered(AT_ONCE);
        while let Some(deleted) = deletes.next().await {
            deleted?;
        }
        Ok(())
    }
}
