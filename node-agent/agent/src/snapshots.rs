//! Snapshots of this node's volumes: taken for contents that name the node, which is where they then are, and removed with
//! them.
//!
//! Knows: when a content may go, as upstream's snapshotter decides it. Refuses to know: who wishes for snapshots.
//!
//! Rule: what is removed was to be deleted in an answer of the API itself just before, and nothing is still made of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::PersistentVolume;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use leme_client::{Client, Event as Seen, Resource, Scope, follow_as};
use leme_meta::Quantity;
use leme_meta::local_path::{MANAGED_BY, NODE, PROVISIONER, Source};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

use crate::storage::{self, is_on, is_own, source_of};
use crate::{directories, worker};

const FIRST_DELAY: Duration = Duration::from_millis(100);
const LAST_DELAY: Duration = Duration::from_secs(30);
/// Name of the definition of what is kept of snapshots.
const DEFINITION: &str = "volumesnapshotcontents.snapshot.storage.k8s.io";
const BEING_DELETED: &str = "snapshot.storage.kubernetes.io/volumesnapshot-being-deleted";
const FINALIZER: &str = "snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection";

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Content {
    metadata: ObjectMeta,
    spec: Spec,
    status: Option<Status>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    deletion_policy: String,
    driver: String,
    source: Of,
    volume_snapshot_ref: Reference,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Of {
    volume_handle: Option<String>,
    snapshot_handle: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Reference {
    uid: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    ready_to_use: Option<bool>,
    snapshot_handle: Option<String>,
    creation_time: Option<i64>,
}

impl Content {
    /// Whether it may go: nobody has it, or its snapshot goes.
    fn goes(&self) -> bool {
        let marked =
            self.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(BEING_DELETED));
        let free = self.spec.source.snapshot_handle.is_some()
            && self.spec.volume_snapshot_ref.uid.is_empty();
        self.metadata.deletion_timestamp.is_some() && (marked || free)
    }

    fn is_ready(&self) -> bool {
        self.status.as_ref().and_then(|status| status.ready_to_use) == Some(true)
    }

    /// Whether this node still has something to do about it.
    fn is_open(&self) -> bool {
        let ours = self.spec.driver == PROVISIONER;
        let held = self.metadata.finalizers.iter().flatten().any(|name| name == FINALIZER);
        ours && match self.metadata.deletion_timestamp {
            Some(_) => self.goes() && held,
            None => !self.is_ready(),
        }
    }
}

fn contents() -> Resource {
    Resource::cluster(
        "snapshot.storage.k8s.io/v1",
        "VolumeSnapshotContent",
        "volumesnapshotcontents",
    )
}

/// Keeps snapshots while their kinds are defined, as long as it is polled.
pub async fn keep(client: Client, node: String, data: PathBuf) {
    let definitions = Resource::cluster(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
    );
    let scope = Scope { fields: format!("metadata.name={DEFINITION}"), ..Scope::all(definitions) };
    let mut events = follow_as::<Value>(client.clone(), scope);
    let mut keeping: Option<AbortOnDropHandle<()>> = None;
    while let Some(event) = events.next().await {
        let served = match event {
            Ok(Seen::Listed(_, definition) | Seen::Changed(_, definition)) => {
                is_served(&definition)
            }
            Ok(Seen::Gone(_)) => false,
            // What fails is told where it fails, and tried again there.
            _ => continue,
        };
        if served && keeping.is_none() {
            let keeper = Keeper { client: client.clone(), node: node.clone(), data: data.clone() };
            keeping = Some(AbortOnDropHandle::new(tokio::spawn(keeper.run())));
        } else if !served {
            keeping = None;
        }
    }
}

fn is_served(definition: &Value) -> bool {
    let conditions = definition["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|one| one["type"] == "Established" && one["status"] == "True")
}

struct Keeper {
    client: Client,
    node: String,
    data: PathBuf,
}

impl Keeper {
    async fn run(self) {
        let scope =
            Scope { labels: format!("{MANAGED_BY}={}", self.node), ..Scope::all(contents()) };
        let mut events = follow_as::<Content>(self.client.clone(), scope);
        // Those of which something is still to be done, by name.
        let mut open: BTreeSet<String> = BTreeSet::new();
        let (mut delay, mut due) = (FIRST_DELAY, Instant::now());
        loop {
            tokio::select! {
                event = events.next() => match event {
                    None => return,
                    Some(Ok(Seen::Listed(head, content) | Seen::Changed(head, content))) => {
                        open.remove(&head.key.1);
                        if content.is_open() {
                            open.insert(head.key.1);
                        }
                    }
                    Some(Ok(Seen::Gone(head))) => drop(open.remove(&head.key.1)),
                    Some(_) => continue,
                },
                () = tokio::time::sleep_until(due), if !open.is_empty() => {}
            }
            let mut failed = false;
            for name in open.clone() {
                match self.tend(&name).await {
                    Ok(()) => drop(open.remove(&name)),
                    Err(error) => {
                        failed = true;
                        warn!(
                            content = name,
                            error = format!("{error:#}"),
                            "a snapshot is not as it is to be yet"
                        );
                    }
                }
            }
            delay = if failed { (delay * 2).min(LAST_DELAY) } else { FIRST_DELAY };
            due = Instant::now() + delay;
        }
    }

    /// Does what is to be done about a content, as the API has it now.
    async fn tend(&self, name: &str) -> anyhow::Result<()> {
        let path = contents().object("", name, "");
        let live: Option<Content> = self.client.find(&path).await.context("ask for the content")?;
        let Some(content) = live.filter(Content::is_open) else { return Ok(()) };
        if content.metadata.deletion_timestamp.is_some() {
            return self.remove(name, &content).await;
        }
        let taken = match &content.spec.source {
            Of { volume_handle: Some(volume), .. } => self.take(name, volume).await,
            Of { snapshot_handle: Some(handle), .. } => self.find(handle),
            _ => Ok(json!({})),
        };
        let status = match &taken {
            Ok(found) => {
                let known = content.status.as_ref().and_then(|status| status.creation_time);
                let mut status = found.clone();
                status["creationTime"] = known.unwrap_or_else(now).into();
                (status["readyToUse"], status["error"]) = (true.into(), Value::Null);
                status
            }
            Err(error) => {
                let time = leme_meta::time::seconds(Timestamp::now());
                let message = format!("Failed to create snapshot: {error:#}");
                json!({ "readyToUse": false, "error": { "time": time, "message": message } })
            }
        };
        let same = json!({ "metadata": { "uid": content.metadata.uid }, "status": status });
        let path = contents().object("", name, "status");
        self.client.merge(&path, &same).await.context("say what became of the snapshot")?;
        taken.map(drop)
    }

    /// Takes a snapshot of a volume of this node.
    async fn take(&self, name: &str, volume: &str) -> anyhow::Result<Value> {
        let path = storage::volumes().object("", volume, "");
        let found: Option<PersistentVolume> =
            self.client.find(&path).await.context("ask for the volume")?;
        let here = |found: &PersistentVolume| is_own(found) && is_on(found, &self.node);
        let Some(found) = found.filter(here) else {
            bail!("volume {volume} is not on this node");
        };
        let source = source_of(&found);
        let capacity = found.spec.as_ref().and_then(|spec| spec.capacity.as_ref()?.get("storage"));
        let size = capacity.and_then(|size| Quantity::parse(&size.0).ok()).map(|size| size.value());
        let (data, volume, handle) = (self.data.clone(), volume.to_owned(), name.to_owned());
        worker::blocking(move || directories::take(&data, &volume, source.as_ref(), &handle))
            .await
            .map_err(anyhow::Error::msg)?;
        Ok(json!({ "snapshotHandle": name, "restoreSize": size }))
    }

    /// A snapshot that is there already.
    fn find(&self, handle: &str) -> anyhow::Result<Value> {
        if !directories::has_snapshot(&self.data, handle) {
            bail!("snapshot {handle} is not on this node");
        }
        Ok(json!({ "snapshotHandle": handle }))
    }

    /// Removes a snapshot if it is to go with its content, and lets that go.
    async fn remove(&self, name: &str, content: &Content) -> anyhow::Result<()> {
        let handle = content.status.as_ref().and_then(|status| status.snapshot_handle.as_deref());
        let named = content.spec.source.snapshot_handle.as_deref();
        let handle = handle.or(named).unwrap_or(name).to_owned();
        if content.spec.deletion_policy == "Delete" {
            if let Some(volume) = self.restoring(&handle).await? {
                bail!("volume {volume} is still being made of it");
            }
            let data = self.data.clone();
            worker::blocking(move || directories::remove_snapshot(&data, &handle))
                .await
                .map_err(anyhow::Error::msg)?;
        }
        let finalizers = content.metadata.finalizers.iter().flatten();
        let rest: Vec<&String> = finalizers.filter(|one| *one != FINALIZER).collect();
        let meta = &content.metadata;
        let patch = json!({ "metadata": { "uid": meta.uid, "resourceVersion": meta.resource_version,
            "finalizers": rest } });
        let path = contents().object("", name, "");
        self.client.merge(&path, &patch).await.context("let the content go")?;
        Ok(())
    }

    /// The volume of this node that begins with the snapshot and has not been filled.
    async fn restoring(&self, handle: &str) -> anyhow::Result<Option<String>> {
        #[derive(Deserialize)]
        struct List {
            items: Vec<PersistentVolume>,
        }
        let here = format!("{NODE}%3D{}", self.node);
        let path = format!("{}?labelSelector={here}", storage::volumes().collection(""));
        let all: List = self.client.read(&path).await.context("ask for the volumes")?;
        let source = Some(Source::Snapshot(handle.to_owned()));
        let mut waiting = all.items.into_iter().filter(|volume| {
            let name = volume.metadata.name.as_deref().unwrap_or("");
            is_own(volume)
                && is_on(volume, &self.node)
                && source_of(volume) == source
                && !directories::has_volume(&self.data, name)
        });
        Ok(waiting.next().and_then(|volume| volume.metadata.name))
    }
}

/// Nanoseconds since 1970.
fn now() -> i64 {
    i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}

/// Makes the places of volumes and snapshots, for this user alone.
pub fn make_places(data: &Path) -> anyhow::Result<()> {
    for place in [directories::volumes(data), directories::snapshots(data)] {
        crate::make_private(&place)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red when what somebody may still restore is removed, or what nobody has stays.
    #[test]
    fn a_content_goes_only_with_its_snapshot() {
        for (deleting, marked, handle, uid, goes) in [
            (true, true, None, "u", true),
            (true, false, None, "u", false),
            (false, true, None, "u", false),
            (true, false, Some("h"), "", true),
            (true, false, Some("h"), "u", false),
        ] {
            let mut content = json!({ "metadata": { "finalizers": [FINALIZER], "annotations": {} },
                "spec": { "driver": PROVISIONER, "source": { "snapshotHandle": handle },
                    "volumeSnapshotRef": { "uid": uid } },
                "status": { "readyToUse": true } });
            if deleting {
                content["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
            }
            if marked {
                content["metadata"]["annotations"][BEING_DELETED] = "yes".into();
            }
            let read: Content = serde_json::from_value(content.clone()).unwrap();
            assert_eq!((read.goes(), read.is_open()), (goes, goes), "{content}");
            content["spec"]["driver"] = "other".into();
            let read: Content = serde_json::from_value(content).unwrap();
            assert!(!read.is_open(), "another one's");
        }
    }
}
