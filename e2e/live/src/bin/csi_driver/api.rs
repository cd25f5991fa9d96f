//! What runs beside a driver in a cluster, through its own socket: the provisioner, the attacher, the resizer.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use http::Method;
use leme_client::{Client, Error, Event, JSON, MERGE_PATCH, Resource, Scope, follow_as};
use leme_csi::grpc::{self, Target};
use leme_csi::wire::CapacityRange;
use prost::Message;
use serde_json::{Value, json};
use tokio::net::UnixStream;

use crate::Driver;
use crate::wire::{Attach, Attached, CreateVolume, CreatedVolume, DeleteVolume, Grow, Grown};

type Done = Result<(), String>;

fn claims() -> Resource {
    Resource::namespaced("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
}

fn volumes() -> Resource {
    Resource::cluster("v1", "PersistentVolume", "persistentvolumes")
}

fn storage(kind: &str, plural: &str) -> Resource {
    Resource::cluster("storage.k8s.io/v1", kind, plural)
}

/// Does all of it, for as long as the driver runs.
pub async fn keep(client: Client, driver: Arc<Driver>) {
    let attachments = storage("VolumeAttachment", "volumeattachments");
    let work = Work { client, driver };
    tokio::join!(
        work.follow(claims(), Work::claim),
        work.follow(volumes(), Work::volume),
        work.follow(attachments, Work::attachment),
    );
}

struct Work {
    client: Client,
    driver: Arc<Driver>,
}

fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    object.pointer(path).and_then(Value::as_str).unwrap_or("")
}

fn bytes(quantity: &str) -> i64 {
    let digits = quantity.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match &quantity[digits.len()..] {
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        _ => 1,
    };
    digits.parse::<i64>().unwrap_or(0) * unit
}

fn shown(error: Error) -> String {
    error.to_string()
}

impl Work {
    async fn follow<F: Future<Output = Done>>(
        &self,
        resource: Resource,
        act: impl Fn(Arc<Work>, Value) -> F,
    ) {
        let own = || Arc::new(Work { client: self.client.clone(), driver: self.driver.clone() });
        let mut events = follow_as::<Value>(self.client.clone(), Scope::all(resource));
        while let Some(event) = events.next().await {
            let Ok(Event::Listed(_, object) | Event::Changed(_, object)) = event else { continue };
            // A test's driver is as stubborn as those of a cluster.
            for _ in 0..60 {
                match act(own(), object.clone()).await {
                    Ok(()) => break,
                    // Nobody has to read it.
                    Err(error) => drop(writeln!(std::io::stderr(), "{error}")),
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
    }

    async fn call<A: Message + Default>(
        &self,
        method: &str,
        wish: &impl Message,
    ) -> Result<A, String> {
        let path = format!("/csi.v1.Controller/{method}");
        let target = Target {
            authority: "localhost",
            path: &path,
            user_agent: "provisioner",
            most: 1 << 20,
        };
        let stream = UnixStream::connect(self.driver.socket()).await.map_err(|e| e.to_string())?;
        let answer = grpc::call(stream, target, &wish.encode_to_vec()).await;
        A::decode(answer.map_err(|fault| fault.to_string())?).map_err(|e| e.to_string())
    }

    async fn claim(self: Arc<Self>, claim: Value) -> Done {
        if text(&claim, "/spec/volumeName").is_empty() {
            self.provision(&claim).await
        } else {
            self.grow(&claim).await
        }
    }

    async fn provision(&self, claim: &Value) -> Done {
        let by = text(claim, "/metadata/annotations/volume.kubernetes.io~1storage-provisioner");
        if by != self.driver.name {
            return Ok(());
        }
        let class = text(claim, "/spec/storageClassName");
        let path = storage("StorageClass", "storageclasses").object("", class, "");
        let found: Value = self.client.get(&path).await.map_err(shown)?;
        let size = text(claim, "/spec/resources/requests/storage");
        let wish = CreateVolume {
            name: format!("pvc-{}", text(claim, "/metadata/uid")),
            capacity_range: Some(CapacityRange { required_bytes: bytes(size), limit_bytes: 0 }),
            ..CreateVolume::default()
        };
        let made: CreatedVolume = self.call("CreateVolume", &wish).await?;
        let made = made.volume.unwrap_or_default();
        let volume = json!({
            "apiVersion": "v1", "kind": "PersistentVolume",
            "metadata": { "name": wish.name,
                "annotations": { "pv.kubernetes.io/provisioned-by": self.driver.name } },
            "spec": { "capacity": { "storage": size }, "accessModes": claim["spec"]["accessModes"],
                "persistentVolumeReclaimPolicy": found["reclaimPolicy"],
                "storageClassName": class, "mountOptions": found["mountOptions"],
                "claimRef": { "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                    "namespace": claim["metadata"]["namespace"], "name": claim["metadata"]["name"],
                    "uid": claim["metadata"]["uid"] },
                "csi": { "driver": self.driver.name, "volumeHandle": made.volume_id, "fsType": "ext4",
                    "volumeAttributes": made.volume_context } },
        });
        match self.client.post(&volumes().collection(""), &volume).await {
            Err(error) if !error.is_conflict() => Err(shown(error)),
            _ => Ok(()),
        }
    }

    /// What a resizer does.
    async fn grow(&self, claim: &Value) -> Done {
        let wanted = text(claim, "/spec/resources/requests/storage");
        let held = text(claim, "/status/capacity/storage");
        if held.is_empty() || bytes(wanted) <= bytes(held) {
            return Ok(());
        }
        let path = volumes().object("", text(claim, "/spec/volumeName"), "");
        let volume: Value = self.client.get(&path).await.map_err(shown)?;
        let own = text(&volume, "/spec/csi/driver") == self.driver.name;
        if !own || bytes(text(&volume, "/spec/capacity/storage")) >= bytes(wanted) {
            return Ok(());
        }
        let wish = Grow {
            volume_id: text(&volume, "/spec/csi/volumeHandle").to_owned(),
            capacity_range: Some(CapacityRange { required_bytes: bytes(wanted), limit_bytes: 0 }),
        };
        let grown: Grown = self.call("ControllerExpandVolume", &wish).await?;
        assert!(grown.node_expansion_required && grown.capacity_bytes == bytes(wanted));
        let condition = json!({ "status": { "conditions": [{ "type": "FileSystemResizePending",
            "status": "True", "message": "Waiting for user to (re-)start a pod to finish file \
                system resize of volume on node." }] } });
        let status = claims().object(
            text(claim, "/metadata/namespace"),
            text(claim, "/metadata/name"),
            "status",
        );
        self.patch(&status, &condition).await?;
        self.patch(&path, &json!({ "spec": { "capacity": { "storage": wanted } } })).await
    }

    async fn patch(&self, path: &str, patch: &Value) -> Done {
        let done = self.client.call(Method::PATCH, path, MERGE_PATCH, Some(patch)).await;
        done.map(|_: Value| ()).map_err(shown)
    }

    /// Deletes what nobody has any more.
    async fn volume(self: Arc<Self>, volume: Value) -> Done {
        let own = text(&volume, "/spec/csi/driver") == self.driver.name
            && !text(&volume, "/metadata/annotations/pv.kubernetes.io~1provisioned-by").is_empty();
        let goes = text(&volume, "/status/phase") == "Released"
            && text(&volume, "/spec/persistentVolumeReclaimPolicy") == "Delete"
            && text(&volume, "/metadata/deletionTimestamp").is_empty();
        if !own || !goes {
            return Ok(());
        }
        let name = text(&volume, "/metadata/name");
        let path = storage("VolumeAttachment", "volumeattachments").collection("");
        let all: Value = self.client.get(&path).await.map_err(shown)?;
        let mut all = all["items"].as_array().into_iter().flatten();
        if all.any(|one| text(one, "/spec/source/persistentVolumeName") == name) {
            return Err("it is still attached".to_owned());
        }
        let id = text(&volume, "/spec/csi/volumeHandle").to_owned();
        let () = self.call("DeleteVolume", &DeleteVolume { volume_id: id }).await?;
        let path = volumes().object("", name, "");
        let gone = self.client.call(Method::DELETE, &path, JSON, None::<&Value>).await;
        match gone {
            Err(error) if !error.is_not_found() => Err(shown(error)),
            Ok::<Value, _>(_) | Err(_) => Ok(()),
        }
    }

    async fn attachment(self: Arc<Self>, attachment: Value) -> Done {
        if text(&attachment, "/spec/attacher") != self.driver.name {
            return Ok(());
        }
        let resource = storage("VolumeAttachment", "volumeattachments");
        let name = text(&attachment, "/metadata/name");
        let path = resource.object("", name, "");
        let finalizer = format!("external-attacher/{}", self.driver.name.replace('.', "-"));
        let pv = text(&attachment, "/spec/source/persistentVolumeName");
        let volume =
            self.client.find::<Value>(&volumes().object("", pv, "")).await.map_err(shown)?;
        let volume = volume.unwrap_or_default();
        let wish = Attach {
            volume_id: text(&volume, "/spec/csi/volumeHandle").to_owned(),
            node_id: self.driver.node.clone(),
        };
        if !text(&attachment, "/metadata/deletionTimestamp").is_empty() {
            let () = self.call("ControllerUnpublishVolume", &wish).await?;
            let free = json!({ "metadata": { "finalizers": null } });
            let freed = self.client.call(Method::PATCH, &path, MERGE_PATCH, Some(&free)).await;
            return match freed {
                Err(error) if !error.is_not_found() => Err(shown(error)),
                Ok::<Value, _>(_) | Err(_) => Ok(()),
            };
        }
        if attachment.pointer("/status/attached") == Some(&Value::Bool(true)) {
            return Ok(());
        }
        self.patch(&path, &json!({ "metadata": { "finalizers": [finalizer] } })).await?;
        let attached: Attached = self.call("ControllerPublishVolume", &wish).await?;
        let status = json!({ "status": { "attached": true,
            "attachmentMetadata": attached.publish_context } });
        self.patch(&resource.object("", name, "status"), &status).await
    }
}
