//! Volumes that are directories of this node: wiped once nobody has them any more, which the Node then says.
//!
//! Knows: where they are, which are released. Refuses to know: who makes a volume, what mounts it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use futures::StreamExt;
use http::Method;
use k8s_openapi::api::core::v1::PersistentVolume;
use leme_client::{Client, Event as Seen, MERGE_PATCH, Resource, Scope, follow_as};
use leme_host::removal::remove_tree;
use leme_meta::local_path::{PROVISIONED_BY, PROVISIONER, REMOVED};
use serde_json::{Value, json};
use tracing::warn;

/// How long to wait before what failed is tried again; it doubles up to the second.
const FIRST_DELAY: Duration = Duration::from_millis(100);
const LAST_DELAY: Duration = Duration::from_secs(30);

/// Where the volumes of a node are.
pub fn root(data_dir: &Path) -> PathBuf {
    data_dir.join("storage")
}

/// Whether a volume is from the provisioner of directories.
pub fn is_own(volume: &PersistentVolume) -> bool {
    let annotations = volume.metadata.annotations.as_ref();
    annotations.and_then(|all| all.get(PROVISIONED_BY)).is_some_and(|by| by == PROVISIONER)
}

/// The name of a volume that is to be wiped here: nobody has it, and nobody wants to keep it. Its directory is the one that a
/// volume of its name has below `root`, and no other, whatever the volume says.
fn released(volume: &PersistentVolume, root: &Path) -> Option<String> {
    let (name, spec) = (volume.metadata.name.as_ref()?, volume.spec.as_ref()?);
    let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
    let here = Path::new(&spec.local.as_ref()?.path) == root.join(name);
    let plain = !name.contains('/') && !name.starts_with('.');
    let goes = spec.persistent_volume_reclaim_policy.as_deref() == Some("Delete")
        && phase == Some("Released");
    (is_own(volume) && goes && here && plain).then(|| name.clone())
}

/// Wipes what is released, as long as it is polled.
pub async fn keep(client: Client, node: String, root: PathBuf) {
    let resource = Resource::cluster("v1", "PersistentVolume", "persistentvolumes");
    let mut events = follow_as::<PersistentVolume>(client.clone(), Scope::all(resource));
    let mut wiper = Wiper { client, node, root, listed: None, wanted: BTreeSet::new(), said: None };
    let mut delay = FIRST_DELAY;
    loop {
        let again = wiper.is_behind();
        let event = tokio::select! {
            event = events.next() => match event {
                None => return,
                // What fails is told where it fails, and tried again there.
                Some(Err(_)) => continue,
                Some(Ok(event)) => Some(event),
            },
            () = tokio::time::sleep(delay), if again => None,
        };
        match event {
            Some(event) => wiper.take_in(event),
            None => delay = (delay * 2).min(LAST_DELAY),
        }
        match wiper.tend().await {
            Ok(()) => delay = FIRST_DELAY,
            Err(error) => warn!(%error, "released volumes are not wiped, trying again"),
        }
    }
}

struct Wiper {
    client: Client,
    node: String,
    root: PathBuf,
    /// What a list has brought that is not complete.
    listed: Option<BTreeSet<String>>,
    /// Volumes whose directories are to go, until the volumes are gone themselves.
    wanted: BTreeSet<String>,
    /// What the Node says has been wiped; at first nobody knows.
    said: Option<BTreeSet<String>>,
}

impl Wiper {
    fn is_behind(&self) -> bool {
        self.listed.is_none() && self.said.as_ref() != Some(&self.wanted)
    }

    fn take_in(&mut self, event: Seen<PersistentVolume>) {
        match event {
            Seen::Begin => self.listed = Some(BTreeSet::new()),
            Seen::Listed(head, volume) => {
                self.listed.get_or_insert_default().insert(head.key.1);
                self.wanted.extend(released(&volume, &self.root));
            }
            Seen::Complete(_) => {
                if let Some(listed) = self.listed.take() {
                    self.wanted.retain(|name| listed.contains(name));
                }
            }
            Seen::Changed(_, volume) => self.wanted.extend(released(&volume, &self.root)),
            Seen::Gone(head) => drop(self.wanted.remove(&head.key.1)),
            Seen::Seen(_) => {}
        }
    }

    /// Wipes what is to go, and says so.
    async fn tend(&mut self) -> anyhow::Result<()> {
        if !self.is_behind() {
            return Ok(());
        }
        for name in &self.wanted {
            if self.said.as_ref().is_some_and(|said| said.contains(name)) {
                continue;
            }
            let path = self.root.join(name);
            let done = tokio::task::spawn_blocking(move || remove_tree(&path)).await;
            done.context("wiping ended badly")?.with_context(|| format!("wipe volume {name}"))?;
        }
        let names: Vec<&str> = self.wanted.iter().map(String::as_str).collect();
        let said = if names.is_empty() { Value::Null } else { names.join(",").into() };
        let patch = json!({ "metadata": { "annotations": { REMOVED: said } } });
        let path = Resource::cluster("v1", "Node", "nodes").object("", &self.node, "");
        let told: Result<Value, _> =
            self.client.call(Method::PATCH, &path, MERGE_PATCH, Some(&patch)).await;
        match told {
            Ok(_) => self.said = Some(self.wanted.clone()),
            // A node that is not there yet says nothing wrong either.
            Err(error) if error.is_not_found() && names.is_empty() => {
                self.said = Some(BTreeSet::new());
            }
            Err(error) => anyhow::bail!("{}", error.message()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red when a volume that somebody has, keeps or holds elsewhere is wiped.
    #[test]
    fn only_own_released_volumes_are_wiped() {
        let root = Path::new("/d/storage");
        let volume = |name: &str, by: &str, path: &str, policy: &str, phase: &str| {
            let value = json!({
                "metadata": { "name": name, "annotations": { PROVISIONED_BY: by } },
                "spec": { "local": { "path": path }, "persistentVolumeReclaimPolicy": policy },
                "status": { "phase": phase },
            });
            released(&serde_json::from_value(value).unwrap(), root)
        };
        let own = PROVISIONER;
        let goes = volume("a", own, "/d/storage/a", "Delete", "Released");
        assert_eq!(goes.as_deref(), Some("a"));
        for (name, by, path, policy, phase) in [
            ("a", "other", "/d/storage/a", "Delete", "Released"),
            ("a", own, "/d/storage/b", "Delete", "Released"),
            ("a", own, "/etc", "Delete", "Released"),
            ("..", own, "/d/storage/..", "Delete", "Released"),
            ("a", own, "/d/storage/a", "Retain", "Released"),
            ("a", own, "/d/storage/a", "Delete", "Bound"),
        ] {
            assert_eq!(volume(name, by, path, policy, phase), None, "{name} {by} {path} {policy}");
        }
    }
}
