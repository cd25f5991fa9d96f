//! Volumes that have grown are made to fit on their node, and their claims say so.
//!
//! Knows: when a claim is behind its volume. Refuses to know: who has made the volume grow.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use http::Method;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Secret};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use leme_client::{Client, MERGE_PATCH, Resource};
use leme_csi::wire::{Can, CapacityRange, Expand, Map};
use leme_node_core::csi::CsiVolume;
use leme_node_core::lookup::Key;
use leme_node_core::pod::Notice;
use leme_node_core::quantity::units;
use serde_json::{Value, json};

use super::records::{self, Place, Published, State};
use super::{Csi, mount};
use crate::worker::blocking;

/// Conditions of a claim that say what is to be done about its size.
const OPEN: &[&str] =
    &["Resizing", "FileSystemResizePending", "ControllerResizeError", "NodeResizeError"];

/// How long to wait before what failed is tried again; it doubles up to the second.
const FIRST_DELAY: Duration = Duration::from_secs(1);
const LAST_DELAY: Duration = Duration::from_secs(122);

/// What there is to tell.
fn notice(name: &str, node: &str, fitted: Result<bool, String>) -> Option<Notice> {
    let (warning, reason, message) = match fitted {
        Ok(false) => return None,
        Ok(true) => (
            false,
            "FileSystemResizeSuccessful",
            format!("MountVolume.NodeExpandVolume succeeded for volume {name:?} {node}"),
        ),
        Err(why) => (
            true,
            "VolumeResizeFailed",
            format!("NodeExpandVolume.NodeExpandVolume failed for volume {name:?} : {why}"),
        ),
    };
    Some(Notice { warning, reason, message, field: String::new() })
}

fn claims() -> Resource {
    Resource::namespaced("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
}

/// How much a volume holds that its claim does not know of yet.
fn behind(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Option<Quantity> {
    let held = volume.spec.as_ref()?.capacity.as_ref()?.get("storage")?;
    let known = claim.status.as_ref()?.capacity.as_ref()?.get("storage")?;
    (units(held)? > units(known)?).then(|| held.clone())
}

/// What becomes of a claim's status.
fn fitted(claim: &PersistentVolumeClaim, held: &Quantity) -> Value {
    let conditions = claim.status.as_ref().and_then(|status| status.conditions.clone());
    let mut left = conditions.unwrap_or_default();
    left.retain(|condition| !OPEN.contains(&condition.type_.as_str()));
    let left = if left.is_empty() { Value::Null } else { json!(left) };
    json!({
        "metadata": { "resourceVersion": claim.metadata.resource_version },
        "status": { "capacity": { "storage": held }, "conditions": left,
            "allocatedResourceStatuses": { "storage": null } },
    })
}

impl Csi {
    /// Makes a volume fit that is there for a pod, if it has grown, until that has worked or the pod has it no more. What there
    /// is to tell of it goes to `tell`, which says whether anybody listens.
    pub async fn expand(
        self: Arc<Self>,
        pod: PathBuf,
        volume: CsiVolume,
        tell: impl Fn(Notice) -> bool,
    ) {
        let fits = (pod.clone(), volume.unique());
        // Who is at it already looks again.
        let is_new = || self.growing(|all| all.insert(fits.clone(), true).is_none());
        if volume.read_only || volume.ephemeral || !is_new() {
            return;
        }
        let mut delay = FIRST_DELAY;
        loop {
            self.growing(|all| all.insert(fits.clone(), false));
            let fitted = self.fit(&pod, &volume).await;
            let failed = fitted.is_err();
            let heard = notice(&volume.name, &self.node, fitted).is_none_or(&tell);
            if heard && failed {
                tokio::time::sleep(delay).await;
                delay = (delay * 2).min(LAST_DELAY);
            } else if self
                .growing(|all| all.get(&fits) == Some(&false) && all.remove(&fits).is_some())
            {
                return;
            }
        }
    }

    fn growing<T>(&self, with: impl FnOnce(&mut HashMap<(PathBuf, String), bool>) -> T) -> T {
        with(&mut self.growing.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn fit(&self, pod: &Path, volume: &CsiVolume) -> Result<bool, String> {
        let lock = self.lock_of(&volume.unique());
        let _alone = lock.lock().await;
        let place = records::for_pod(pod, &volume.name).map_err(|e| format!("{e:#}"))?;
        let looked = place.clone();
        let record = blocking(move || looked.read::<Published>()).await?;
        if record.is_none_or(|record| record.state != State::Done) {
            return Ok(false);
        }
        let text = |error: leme_client::Error| error.to_string();
        let (namespace, name) = &volume.claim;
        let path = claims().object(namespace, name, "");
        let claim = self.client.find::<PersistentVolumeClaim>(&path).await.map_err(text)?;
        let path = crate::storage::volumes().object("", &volume.name, "");
        let live = self.client.find::<PersistentVolume>(&path).await.map_err(text)?;
        let (Some(claim), Some(live)) = (claim, live) else { return Ok(false) };
        let Some(held) = behind(&live, &claim) else { return Ok(false) };
        let driver = self.driver(&volume.driver)?;
        let can = driver.capabilities().await.map_err(|fault| fault.to_string())?;
        if can.contains(&Can::ExpandVolume) {
            let wish = self.wish(&place, volume, &can, &held).await?;
            driver.expand(&wish).await.map_err(|fault| fault.to_string())?;
        }
        let path = claims().object(namespace, name, "status");
        let patch = fitted(&claim, &held);
        let told = self.client.call(Method::PATCH, &path, MERGE_PATCH, Some(&patch)).await;
        told.map(|_: Value| true).map_err(text)
    }

    async fn wish(
        &self,
        place: &Place,
        volume: &CsiVolume,
        can: &BTreeSet<Can>,
        held: &Quantity,
    ) -> Result<Expand, String> {
        let staged = records::device(&self.data, &volume.driver, &volume.handle);
        let staged = staged.map_err(|e| format!("{e:#}"))?;
        let staged = staged.leaf.display().to_string();
        let staging = if can.contains(&Can::StageUnstageVolume) { staged } else { String::new() };
        Ok(Expand {
            volume_id: volume.handle.clone(),
            volume_path: place.leaf.display().to_string(),
            capacity_range: Some(CapacityRange {
                required_bytes: units(held).unwrap_or(0),
                limit_bytes: 0,
            }),
            staging_target_path: staging,
            volume_capability: Some(mount::capability(volume, can, None)),
            secrets: secrets(&self.client, volume.expand_secret.as_ref()).await?,
        })
    }
}

async fn secrets(client: &Client, key: Option<&Key>) -> Result<Map, String> {
    let Some(key) = key else { return Ok(Map::new()) };
    let path =
        Resource::namespaced("v1", "Secret", "secrets").object(&key.namespace, &key.name, "");
    let secret: Secret = client.read(&path).await.map_err(|error| error.to_string())?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(secret.data.into_iter().flatten().map(|(name, value)| (name, text(value.0))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_says_what_its_volume_holds() {
        let volume = |size: &str| -> PersistentVolume {
            serde_json::from_value(json!({ "spec": { "capacity": { "storage": size } } })).unwrap()
        };
        let claim: PersistentVolumeClaim = serde_json::from_value(json!({
            "metadata": { "resourceVersion": "7" }, "status": { "capacity": { "storage": "1Gi" },
                "conditions": [{ "type": "FileSystemResizePending", "status": "True" },
                    { "type": "ModifyingVolume", "status": "True" }] } }))
        .unwrap();
        assert_eq!(behind(&volume("1024Mi"), &claim), None);
        let held = behind(&volume("2Gi"), &claim).unwrap();
        let patch = fitted(&claim, &held);
        assert_eq!(patch["status"]["capacity"]["storage"], "2Gi");
        assert_eq!(patch["status"]["conditions"].as_array().unwrap().len(), 1);
        assert_eq!(patch["metadata"]["resourceVersion"], "7");
    }
}
