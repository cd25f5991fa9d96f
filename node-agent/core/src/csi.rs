//! Volumes that a driver has: what is known of one, and what more must be known before it can be there for a pod.
//!
//! Knows: where each part of a request comes from, when a volume waits, upstream's words. Refuses to know: how drivers are
//! called, what is mounted.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{CSIVolumeSource, PersistentVolume, Pod, SecretReference, Volume};
use k8s_openapi::api::storage::v1::{CSIDriver, VolumeAttachment};
use sha2::{Digest, Sha256};

use crate::lookup::{Content, Key, Kind, Sources, Trouble};
use crate::quantity::units;
use crate::spec;

/// Names with values.
pub type Map = BTreeMap<String, String>;

/// A volume that a driver has, as a pod wants it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CsiVolume {
    /// The driver.
    pub driver: String,
    /// The driver's name for the volume.
    pub handle: String,
    /// The PersistentVolume's name, or that of the pod's volume if it is the pod's alone.
    pub name: String,
    /// It is there as long as the pod.
    pub ephemeral: bool,
    /// Only to be read.
    pub read_only: bool,
    /// As which file system; the driver knows if it is empty.
    pub fs_type: String,
    /// What who made it has said.
    pub attributes: Map,
    /// Options of the mount.
    pub mount_options: Vec<String>,
    /// Who may use it.
    pub access_modes: Vec<String>,
    /// What it holds, in bytes.
    pub capacity: i64,
    /// The claim that has it: its namespace and name.
    pub claim: (String, String),
    /// Where the secret for staging is.
    pub stage_secret: Option<Key>,
    /// Where the secret for publishing is.
    pub publish_secret: Option<Key>,
    /// Where the secret for expanding is.
    pub expand_secret: Option<Key>,
}

/// What a driver wants, by its CSIDriver; as here if there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wishes {
    /// Volumes are attached before they are used.
    pub attach: bool,
    /// It is told about the pod.
    pub pod_info: bool,
    /// How a pod's group gets a volume.
    pub fs_group: FsGroupPolicy,
    /// Volumes may be a pod's alone, or have a life of their own.
    pub modes: Vec<String>,
    /// What it wants and does not get here.
    pub unserved: Option<String>,
}

/// How a pod's group gets a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FsGroupPolicy {
    /// Where one node writes to a file system that is named.
    ReadWriteOnceWithFsType,
    /// Always.
    File,
    /// Never.
    None,
}

impl Default for Wishes {
    fn default() -> Wishes {
        Wishes {
            attach: true,
            pod_info: false,
            fs_group: FsGroupPolicy::ReadWriteOnceWithFsType,
            modes: vec![PERSISTENT.to_owned()],
            unserved: None,
        }
    }
}

const PERSISTENT: &str = "Persistent";
const EPHEMERAL: &str = "Ephemeral";
const POD_INFO: &str = "csi.storage.k8s.io";

/// What is told of an attachment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// It is there to stay and done.
    pub attached: bool,
    /// What who attached it has said.
    pub context: Map,
}

/// All that a request needs beside the volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The driver's socket.
    pub endpoint: String,
    /// The attachment's name, if there has to be one.
    pub attachment: Option<String>,
    /// What who attached it has said.
    pub publish_context: Map,
    /// What is told about the pod.
    pub pod_info: Map,
    /// How the pod's group gets it.
    pub fs_group: FsGroupPolicy,
    /// For staging.
    pub stage_secrets: Map,
    /// For publishing.
    pub publish_secrets: Map,
}

fn hash(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part.as_bytes()));
    format!("{:x}", hash.finalize())
}

impl CsiVolume {
    /// A PersistentVolume of a driver's.
    ///
    /// # Errors
    /// When this node cannot use it.
    pub fn persistent(volume: &PersistentVolume) -> Option<Result<CsiVolume, String>> {
        let spec = volume.spec.as_ref()?;
        let csi = spec.csi.clone()?;
        let name = volume.metadata.name.clone().unwrap_or_default();
        if spec.volume_mode.as_deref() == Some("Block") {
            let message = "has volumeMode Block, but is specified in volumeMounts";
            return Some(Err(format!("volume {name} {message}")));
        }
        let secret = |reference: Option<SecretReference>| {
            let SecretReference { name, namespace } = reference?;
            Some(Key::new(Kind::Secret, &namespace.unwrap_or_default(), &name?))
        };
        let claim = spec.claim_ref.clone().unwrap_or_default();
        let capacity = spec.capacity.as_ref().and_then(|all| units(all.get("storage")?));
        Some(Ok(CsiVolume {
            driver: csi.driver,
            handle: csi.volume_handle,
            name,
            ephemeral: false,
            // `spec.csi.readOnly` is for who attaches.
            read_only: false,
            fs_type: csi.fs_type.unwrap_or_default(),
            attributes: csi.volume_attributes.unwrap_or_default(),
            mount_options: spec.mount_options.clone().unwrap_or_default(),
            access_modes: spec.access_modes.clone().unwrap_or_default(),
            capacity: capacity.unwrap_or(0),
            claim: (claim.namespace.unwrap_or_default(), claim.name.unwrap_or_default()),
            stage_secret: secret(csi.node_stage_secret_ref),
            publish_secret: secret(csi.node_publish_secret_ref),
            expand_secret: secret(csi.node_expand_secret_ref),
        }))
    }

    /// A volume that is a pod's alone.
    pub fn inline(pod: &Pod, volume: &Volume, source: &CSIVolumeSource) -> CsiVolume {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let secret = source.node_publish_secret_ref.as_ref();
        CsiVolume {
            driver: source.driver.clone(),
            handle: format!("csi-{}", hash(&[uid, &volume.name])),
            name: volume.name.clone(),
            ephemeral: true,
            read_only: source.read_only.unwrap_or(false),
            fs_type: source.fs_type.clone().unwrap_or_default(),
            attributes: source.volume_attributes.clone().unwrap_or_default(),
            access_modes: vec!["ReadWriteOnce".to_owned()],
            publish_secret: secret.map(|one| Key::new(Kind::Secret, namespace, &one.name)),
            ..CsiVolume::default()
        }
    }

    /// Its name in the status of Nodes.
    pub fn unique(&self) -> String {
        unique(&self.driver, &self.handle)
    }

    /// The name of its attachment to a node.
    pub fn attachment(&self, node: &str) -> String {
        format!("csi-{}", hash(&[&self.handle, &self.driver, node]))
    }

    /// One pod alone may have it.
    pub fn is_for_one_pod(&self) -> bool {
        self.access_modes.iter().any(|mode| mode == "ReadWriteOncePod")
    }

    /// Every object beside the volume that has to be known before it can be there for a pod.
    pub fn references(&self, node: &str, sources: &Sources) -> Vec<Key> {
        let mut keys = vec![self.driver_key(), self.plugin_key()];
        keys.extend(self.stage_secret.iter().chain(&self.publish_secret).cloned());
        if self.is_attached(sources) {
            keys.push(self.attachment_key(node));
        }
        keys
    }

    fn driver_key(&self) -> Key {
        Key::new(Kind::Driver, "", &self.driver)
    }

    fn plugin_key(&self) -> Key {
        Key::new(Kind::Plugin, "", &self.driver)
    }

    fn attachment_key(&self, node: &str) -> Key {
        Key::new(Kind::Attachment, "", &self.attachment(node))
    }

    fn is_attached(&self, sources: &Sources) -> bool {
        !self.ephemeral && self.wishes(sources).is_ok_and(|wishes| wishes.attach)
    }

    fn wishes(&self, sources: &Sources) -> Result<Wishes, Trouble> {
        Ok(match sources.find(&self.driver_key())? {
            Some(Content::Driver(wishes)) => wishes.clone(),
            _ => Wishes::default(),
        })
    }

    /// All that a request needs beside the volume.
    ///
    /// # Errors
    /// When something has not been read yet, the volume is not attached yet, or can never be there for the pod.
    pub fn ready(&self, pod: &Pod, sources: &Sources) -> Result<Ready, Trouble> {
        let described = sources.find(&self.driver_key())?.is_some();
        let wishes = self.wishes(sources)?;
        self.check(&wishes, described)?;
        let node = spec::of(pod).node_name.clone().unwrap_or_default();
        let mut publish_context = Map::new();
        let attachment = self.is_attached(sources).then(|| self.attachment(&node));
        if attachment.is_some() {
            let key = self.attachment_key(&node);
            match sources.find(&key)? {
                Some(Content::Attachment(found)) if found.attached => {
                    publish_context.clone_from(&found.context);
                }
                // Who attaches says what is wrong.
                _ => return Err(Trouble::Loading(key)),
            }
        }
        let Some(Content::Plugin(endpoint)) = sources.find(&self.plugin_key())? else {
            let stage = if self.ephemeral { "SetUp" } else { "MountDevice" };
            let what = match stage {
                "SetUp" => "mounter.SetUpAt failed to get CSI client",
                _ => "attacher.MountDevice failed to create newCsiDriverClient",
            };
            return Err(self
                .failed(stage, &format!("kubernetes.io/csi: {what}: {}", missing(&self.driver))));
        };
        Ok(Ready {
            endpoint: endpoint.clone(),
            attachment,
            publish_context,
            pod_info: if wishes.pod_info { self.pod_info(pod) } else { Map::new() },
            fs_group: wishes.fs_group,
            stage_secrets: self.secrets("MountDevice", self.stage_secret.as_ref(), sources)?,
            publish_secrets: self.secrets("SetUp", self.publish_secret.as_ref(), sources)?,
        })
    }

    /// What went wrong, in upstream's words.
    pub fn failed(&self, stage: &str, why: &str) -> Trouble {
        Trouble::Message(failed(stage, &self.name, why))
    }

    fn check(&self, wishes: &Wishes, described: bool) -> Result<(), Trouble> {
        let mode = if self.ephemeral { EPHEMERAL } else { PERSISTENT };
        let refused = |why: String| Err(self.failed("NewMounter initialization", &why));
        if self.ephemeral && !described {
            let driver = &self.driver;
            return refused(format!(
                "volume mode {mode:?} not supported by driver {driver} (no CSIDriver object)"
            ));
        }
        if !wishes.modes.iter().any(|one| one == mode) {
            let (driver, modes) = (&self.driver, &wishes.modes);
            return refused(format!(
                "volume mode {mode:?} not supported by driver {driver} (only supports {modes:?})"
            ));
        }
        match &wishes.unserved {
            Some(field) => refused(format!(
                "CSIDriver {:?} asks for {field}, which this node does not do",
                self.driver
            )),
            None => Ok(()),
        }
    }

    fn secrets(&self, stage: &str, key: Option<&Key>, sources: &Sources) -> Result<Map, Trouble> {
        let Some(key) = key else { return Ok(Map::new()) };
        match sources.find(key)? {
            Some(Content::Data(data)) => {
                let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
                Ok(data.iter().map(|(name, value)| (name.clone(), text(value))).collect())
            }
            _ => {
                let (namespace, name) = (&key.namespace, &key.name);
                let why = format!("secrets {name:?} not found");
                Err(self.failed(
                    stage,
                    &format!(
                        "fetching secret {namespace}/{name} failed: kubernetes.io/csi: failed to find the secret \
                         {name} in the namespace {namespace} with error: {why}"
                    ),
                ))
            }
        }
    }

    fn pod_info(&self, pod: &Pod) -> Map {
        let meta = &pod.metadata;
        let account = spec::of(pod).service_account_name.clone();
        [
            ("pod.name", meta.name.clone().unwrap_or_default()),
            ("pod.namespace", meta.namespace.clone().unwrap_or_default()),
            ("pod.uid", meta.uid.clone().unwrap_or_default()),
            ("serviceAccount.name", account.unwrap_or_default()),
            ("ephemeral", self.ephemeral.to_string()),
        ]
        .into_iter()
        .map(|(key, value)| (format!("{POD_INFO}/{key}"), value))
        .collect()
    }
}

/// A volume's name in the status of Nodes.
pub fn unique(driver: &str, handle: &str) -> String {
    format!("kubernetes.io/csi/{driver}^{handle}")
}

/// The name under which a volume's directory is: a handle may be anything.
pub fn folder(handle: &str) -> String {
    hash(&[handle])
}

/// What went wrong with a volume, in upstream's words.
pub fn failed(stage: &str, name: &str, why: &str) -> String {
    format!("MountVolume.{stage} failed for volume {name:?} : {why}")
}

/// Nobody has said to be this driver.
pub fn missing(driver: &str) -> String {
    format!("driver name {driver} not found in the list of registered CSI drivers")
}

/// What a CSIDriver says.
pub fn wishes(driver: &CSIDriver) -> Wishes {
    let spec = &driver.spec;
    let modes = spec.volume_lifecycle_modes.clone().filter(|modes| !modes.is_empty());
    let tokens = spec.token_requests.as_ref().is_some_and(|all| !all.is_empty());
    let unserved = [
        ("spec.tokenRequests", tokens),
        ("spec.requiresRepublish", spec.requires_republish == Some(true)),
    ];
    Wishes {
        attach: spec.attach_required != Some(false),
        pod_info: spec.pod_info_on_mount == Some(true),
        fs_group: match spec.fs_group_policy.as_deref() {
            Some("File") => FsGroupPolicy::File,
            Some("None") => FsGroupPolicy::None,
            _ => FsGroupPolicy::ReadWriteOnceWithFsType,
        },
        modes: modes.unwrap_or_else(|| vec![PERSISTENT.to_owned()]),
        unserved: unserved.iter().find(|(_, asked)| *asked).map(|(field, _)| (*field).to_owned()),
    }
}

/// What a VolumeAttachment says: one that goes is attached no more.
pub fn attachment(object: &VolumeAttachment) -> Attachment {
    let status = object.status.as_ref();
    let stays = object.metadata.deletion_timestamp.is_none();
    Attachment {
        attached: stays && status.is_some_and(|status| status.attached),
        context: status.and_then(|status| status.attachment_metadata.clone()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn volume() -> CsiVolume {
        let object = json!({ "metadata": { "name": "v" }, "spec": { "accessModes": ["ReadWriteOnce"],
            "capacity": { "storage": "1Ki" }, "claimRef": { "namespace": "n", "name": "c" },
            "csi": { "driver": "disk.example", "volumeHandle": "h", "fsType": "ext4",
                "nodeStageSecretRef": { "namespace": "s", "name": "key" } } } });
        CsiVolume::persistent(&serde_json::from_value(object).unwrap()).unwrap().unwrap()
    }

    fn pod() -> Pod {
        serde_json::from_value(json!({ "metadata": { "name": "p", "namespace": "n", "uid": "u" },
            "spec": { "nodeName": "a", "serviceAccountName": "sa", "containers": [] } }))
        .unwrap()
    }

    fn known(driver: serde_json::Value) -> Sources {
        let mut sources = Sources::default();
        let driver: Option<CSIDriver> = serde_json::from_value(driver).unwrap();
        let driver = driver.map(|driver| Content::Driver(wishes(&driver)));
        sources.set(Key::new(Kind::Driver, "", "disk.example"), driver);
        let secret = [("k".to_owned(), b"v".to_vec())].into();
        sources.set(Key::new(Kind::Secret, "s", "key"), Some(Content::Data(secret)));
        sources.set(
            Key::new(Kind::Plugin, "", "disk.example"),
            Some(Content::Plugin("/run/disk.sock".into())),
        );
        sources
    }

    fn message(found: Result<Ready, Trouble>) -> String {
        match found {
            Err(Trouble::Message(message)) => message,
            other => panic!("{other:?}"),
        }
    }

    /// Red when a volume is used before it is attached, or without its secret, or when a driver is told nothing of the pod.
    #[test]
    fn a_volume_waits_until_all_is_known() {
        let (volume, pod) = (volume(), pod());
        assert_eq!(volume.capacity, 1024);
        // The digest of "hdisk.examplea", as who attaches has it.
        assert_eq!(volume.attachment("a").len(), 4 + 64);
        let empty = Sources::default();
        assert!(matches!(volume.ready(&pod, &empty), Err(Trouble::Loading(_))));

        let mut sources = known(json!(null));
        let key = Key::new(Kind::Attachment, "", &volume.attachment("a"));
        assert!(volume.references("a", &sources).contains(&key));
        for (stays, attached) in [(true, false), (false, true)] {
            let mut object = json!({ "metadata": {}, "status": { "attached": attached },
                "spec": { "attacher": "x", "nodeName": "a", "source": {} } });
            if !stays {
                object["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
            }
            let object = attachment(&serde_json::from_value(object).unwrap());
            sources.set(key.clone(), Some(Content::Attachment(object)));
            assert_eq!(volume.ready(&pod, &sources), Err(Trouble::Loading(key.clone())));
        }
        let context: Map = [("disk".to_owned(), "/dev/x".to_owned())].into();
        let attached = Attachment { attached: true, context: context.clone() };
        sources.set(key.clone(), Some(Content::Attachment(attached)));
        let ready = volume.ready(&pod, &sources).unwrap();
        assert_eq!(ready.publish_context, context);
        assert_eq!(ready.stage_secrets["k"], "v");
        assert!(ready.pod_info.is_empty());

        sources.set(Key::new(Kind::Secret, "s", "key"), None);
        assert!(message(volume.ready(&pod, &sources)).starts_with(
            "MountVolume.MountDevice failed for volume \"v\" : fetching secret s/key failed: "
        ));
        sources.set(Key::new(Kind::Plugin, "", "disk.example"), None);
        assert_eq!(
            message(volume.ready(&pod, &sources)),
            "MountVolume.MountDevice failed for volume \"v\" : kubernetes.io/csi: attacher.MountDevice failed to \
             create newCsiDriverClient: driver name disk.example not found in the list of registered CSI drivers"
        );
    }

    #[test]
    fn a_driver_gets_what_it_wants_or_is_told() {
        let driver = |spec: serde_json::Value| known(json!({ "metadata": {}, "spec": spec }));
        let pod = pod();
        let ready = volume()
            .ready(
                &pod,
                &driver(json!({ "attachRequired": false, "podInfoOnMount": true,
                "fsGroupPolicy": "File" })),
            )
            .unwrap();
        assert_eq!((ready.attachment, ready.fs_group), (None, FsGroupPolicy::File));
        assert_eq!(ready.pod_info["csi.storage.k8s.io/pod.uid"], "u");
        assert_eq!(ready.pod_info["csi.storage.k8s.io/ephemeral"], "false");
        let asked =
            driver(json!({ "attachRequired": false, "tokenRequests": [{ "audience": "" }] }));
        assert!(message(volume().ready(&pod, &asked)).contains("asks for spec.tokenRequests"));

        let wanted: Volume =
            serde_json::from_value(json!({ "name": "tmp", "csi": { "driver": "disk.example" } }))
                .unwrap();
        let inline = CsiVolume::inline(&pod, &wanted, wanted.csi.as_ref().unwrap());
        assert!(inline.handle.starts_with("csi-") && inline.handle.len() == 68);
        assert_eq!(
            message(inline.ready(&pod, &driver(json!({})))),
            "MountVolume.NewMounter initialization failed for volume \"tmp\" : volume mode \"Ephemeral\" not \
             supported by driver disk.example (only supports [\"Persistent\"])"
        );
        assert!(message(inline.ready(&pod, &known(json!(null)))).contains("(no CSIDriver object)"));
        let both = json!({ "volumeLifecycleModes": ["Persistent", "Ephemeral"] });
        assert!(inline.ready(&pod, &driver(both)).is_ok());
    }
}
