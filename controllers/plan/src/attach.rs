//! Volumes that a driver attaches to a node before pods there can have them: VolumeAttachments say so, who attaches answers
//! in their status, and the Node lists what is attached.
//!
//! Invariant: an attachment is there while a pod of its node has the volume, and goes only once the Node neither lists the
//! volume as attached nor as in use.
//! Alone writes: VolumeAttachments (not their status), and `volumesAttached` of Nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{CSIPersistentVolumeSource, Node, PersistentVolume, Pod};
use k8s_openapi::api::storage::v1::{CSIDriver, VolumeAttachment};
use leme_meta::{Object, quote};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::Plan;
use crate::action::{Action, ObjectRef, OutcomeEvents};
use crate::common::{annotation, until};
use crate::pods;
use crate::report::{Report, Shown, Waiting};

/// Annotation of a Node whose volumes are attached by the controller.
pub const MANAGED: &str = "volumes.kubernetes.io/controller-managed-attach-detach";
/// What a volume's name begins with in the status of Nodes.
const PLUGIN: &str = "kubernetes.io/csi/";
/// How long who attaches is waited for before that is a failure.
const PATIENCE: SignedDuration = SignedDuration::from_mins(2);
const MULTI: &str =
    "Volume is already exclusively attached to one node and can't be attached to another";

fn csi(volume: &PersistentVolume) -> Option<&CSIPersistentVolumeSource> {
    volume.spec.as_ref()?.csi.as_ref()
}

/// The driver of a volume, if one keeps it.
pub fn driver_of(volume: &PersistentVolume) -> Option<&str> {
    Some(&csi(volume)?.driver)
}

/// Whether a volume is attached before it is used; a driver that nobody has described attaches.
pub fn is_attached(volume: &PersistentVolume, driver: Option<&CSIDriver>) -> bool {
    csi(volume).is_some() && driver.is_none_or(|one| one.spec.attach_required != Some(false))
}

/// The name of the attachment of a volume to a node.
pub fn name_of(volume: &PersistentVolume, node: &str) -> Option<String> {
    let csi = csi(volume)?;
    let mut hash = Sha256::new();
    for part in [&csi.volume_handle, &csi.driver, node] {
        hash.update(part.as_bytes());
    }
    Some(format!("csi-{:x}", hash.finalize()))
}

/// A volume's name in the status of Nodes.
fn unique(volume: &PersistentVolume) -> Option<String> {
    csi(volume).map(|csi| format!("{PLUGIN}{}^{}", csi.driver, csi.volume_handle))
}

fn shown(volume: &PersistentVolume) -> String {
    quote(volume.metadata.name.as_deref().unwrap_or(""))
}

/// What is seen of a pod.
#[derive(Debug)]
pub struct PodObserved {
    /// The pod; `None` once it is gone.
    pub pod: Option<Arc<Pod>>,
    /// Its node, if that is there.
    pub node: Option<Arc<Node>>,
    /// The volumes of its claims that are attached before they are used.
    pub volumes: Vec<Arc<PersistentVolume>>,
    /// Every attachment of these volumes.
    pub attachments: Vec<Arc<VolumeAttachment>>,
}

/// What to do for one pod: what it has is attached to its node.
pub fn plan_pod(seen: &PodObserved, now: Timestamp) -> Plan {
    let (Some(pod), Some(node)) = (&seen.pod, &seen.node) else { return Plan::default() };
    let about = ObjectRef::to(pod.as_ref());
    let mut plan = Plan { report: Report::about(about), ..Plan::default() };
    let managed = annotation(&node.metadata, MANAGED) == Some("true");
    if !managed || pods::is_terminal(pod) {
        return plan;
    }
    for volume in &seen.volumes {
        attach(seen, pod, volume, now, &mut plan);
    }
    plan
}

fn attach(
    seen: &PodObserved,
    pod: &Pod,
    volume: &PersistentVolume,
    now: Timestamp,
    plan: &mut Plan,
) {
    let node = pods::node_name(pod);
    let Some(name) = name_of(volume, node) else { return };
    let is_it = |one: &&Arc<VolumeAttachment>| one.metadata.name.as_ref() == Some(&name);
    let shown = shown(volume);
    if let Some(found) = seen.attachments.iter().find(is_it) {
        return wait_for(found, volume, now, plan);
    }
    if pod.metadata.deletion_timestamp.is_some() {
        return;
    }
    let modes = volume.spec.as_ref().and_then(|spec| spec.access_modes.as_ref());
    let shared = modes.is_some_and(|all| all.iter().any(|one| one.ends_with("Many")));
    let elsewhere = seen.attachments.iter().find(|one| {
        one.spec.source.persistent_volume_name == volume.metadata.name && one.spec.node_name != node
    });
    if let Some(other) = elsewhere.filter(|_| !shared) {
        let message = format!("Multi-Attach error for volume {shown} {MULTI}");
        let wait = Waiting::new("FailedAttachVolume", message, Shown::Warning);
        return plan.wait(wait.on(ObjectRef::to(other.as_ref())));
    }
    let failed = format!("AttachVolume.Attach failed for volume {shown} : {{error}}");
    plan.act(Action::Create {
        object: Object(json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment",
            "metadata": { "name": name },
            "spec": { "attacher": driver_of(volume), "nodeName": node,
                "source": { "persistentVolumeName": volume.metadata.name } },
        })),
        told: Some(OutcomeEvents {
            about: ObjectRef::to(pod),
            done: ("", "".into()),
            failed: ("FailedAttachVolume", failed.into()),
        }),
    });
}

/// Waits for who attaches: for as long as upstream does without a word.
fn wait_for(found: &VolumeAttachment, volume: &PersistentVolume, now: Timestamp, plan: &mut Plan) {
    let status = found.status.as_ref();
    if status.is_some_and(|status| status.attached) {
        return;
    }
    let shown = shown(volume);
    let error = status.and_then(|status| status.attach_error.as_ref()?.message.clone());
    let since = found.metadata.creation_timestamp.as_ref().map_or(now, |at| at.0);
    let left = until(since.checked_add(PATIENCE).unwrap_or(since), now);
    let late = || {
        let csi = csi(volume)?;
        Some(format!(
            "timed out waiting for external-attacher of {} CSI driver to attach volume {}",
            csi.driver, csi.volume_handle
        ))
    };
    let wait = match error.or_else(|| late().filter(|_| left.is_zero())) {
        Some(error) => {
            let message = format!("AttachVolume.Attach failed for volume {shown} : {error}");
            Waiting::new("FailedAttachVolume", message, Shown::Warning)
        }
        None => {
            plan.again_in(left);
            let node = quote(&found.spec.node_name);
            let message = format!("volume {shown} is not attached to node {node} yet");
            Waiting::new("VolumeNotAttached", message, Shown::Late)
        }
    };
    plan.wait(wait.on(ObjectRef::to(found)));
}

/// What is seen of an attachment.
#[derive(Debug)]
pub struct AttachmentObserved {
    /// The attachment; `None` once it is gone.
    pub attachment: Option<Arc<VolumeAttachment>>,
    /// Its node, if that is there.
    pub node: Option<Arc<Node>>,
    /// Its volume, if that is there.
    pub volume: Option<Arc<PersistentVolume>>,
    /// Whether a pod of the node has the volume.
    pub wanted: bool,
}

/// What to do for one attachment: it goes once nobody wants it and the node has let the volume go.
pub fn plan_attachment(seen: &AttachmentObserved, _now: Timestamp) -> Plan {
    let Some(attachment) = &seen.attachment else { return Plan::default() };
    let about = ObjectRef::to(attachment.as_ref());
    let mut plan = Plan { report: Report::about(about.clone()), ..Plan::default() };
    let of_volume = attachment.spec.source.persistent_volume_name.is_some();
    if seen.wanted || !of_volume || attachment.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    let status = seen.node.as_ref().and_then(|node| node.status.as_ref());
    let name = seen.volume.as_ref().and_then(|volume| unique(volume)).unwrap_or_default();
    let in_use = status.and_then(|status| status.volumes_in_use.as_ref());
    let listed = status.and_then(|status| status.volumes_attached.as_ref());
    let held = in_use.is_some_and(|all| all.contains(&name))
        || listed.is_some_and(|all| all.iter().any(|one| one.name == name));
    if held {
        let message =
            format!("node {} has not let the volume go yet", quote(&attachment.spec.node_name));
        plan.wait(Waiting::new("VolumeInUse", message, Shown::Late));
    } else {
        plan.act(Action::delete(about));
    }
    plan
}

/// A volume that has an attachment to a node, and the pods of the node that have it.
#[derive(Debug)]
pub struct Attached {
    /// The attachment.
    pub attachment: Arc<VolumeAttachment>,
    /// The volume.
    pub volume: Arc<PersistentVolume>,
    /// The pods.
    pub pods: Vec<Arc<Pod>>,
}

/// What is seen of a node.
#[derive(Debug)]
pub struct NodeObserved {
    /// The node; `None` once it is gone.
    pub node: Option<Arc<Node>>,
    /// What has an attachment to it.
    pub attached: Vec<Attached>,
}

/// What to do for one node: it lists what is attached to it and wanted there.
pub fn plan_node(seen: &NodeObserved, _now: Timestamp) -> Plan {
    let Some(node) = &seen.node else { return Plan::default() };
    let about = ObjectRef::to(node.as_ref());
    let mut plan = Plan { report: Report::about(about.clone()), ..Plan::default() };
    let listed = node.status.as_ref().and_then(|status| status.volumes_attached.as_ref());
    let listed: BTreeSet<&str> =
        listed.into_iter().flatten().map(|one| one.name.as_str()).collect();
    let there = |one: &&Attached| {
        let attached = one.attachment.status.as_ref().is_some_and(|status| status.attached);
        attached && one.attachment.metadata.deletion_timestamp.is_none() && !one.pods.is_empty()
    };
    let wanted = seen.attached.iter().filter(there);
    let wanted: BTreeMap<String, &Attached> =
        wanted.filter_map(|one| Some((unique(&one.volume)?, one))).collect();
    // Another plug-in's are its own.
    let others = listed.iter().filter(|name| !name.starts_with(PLUGIN)).copied();
    let names: BTreeSet<&str> = others.chain(wanted.keys().map(String::as_str)).collect();
    if names == listed {
        return plan;
    }
    let list: Vec<Value> =
        names.iter().map(|name| json!({ "name": name, "devicePath": "" })).collect();
    let list = if list.is_empty() { Value::Null } else { list.into() };
    plan.act(Action::status(about.any_version(), json!({ "volumesAttached": list })));
    for (_, one) in wanted.iter().filter(|(name, _)| !listed.contains(name.as_str())) {
        let message = format!("AttachVolume.Attach succeeded for volume {} ", shown(&one.volume));
        for pod in &one.pods {
            let pod = ObjectRef::to(pod.as_ref());
            plan.act(Action::normal(pod, "SuccessfulAttachVolume", message.clone()));
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: serde::de::DeserializeOwned>(value: Value) -> Arc<T> {
        Arc::new(serde_json::from_value(value).unwrap())
    }

    fn volume(mode: &str) -> Arc<PersistentVolume> {
        read(json!({ "metadata": { "name": "v" }, "spec": { "accessModes": [mode],
            "csi": { "driver": "disk.example", "volumeHandle": "h" } } }))
    }

    fn node(managed: bool, status: Value) -> Arc<Node> {
        let annotations = if managed { json!({ MANAGED: "true" }) } else { json!({}) };
        read(json!({ "metadata": { "name": "a", "annotations": annotations }, "status": status }))
    }

    fn attachment(node: &str, status: Value) -> Arc<VolumeAttachment> {
        let name = name_of(&volume("ReadWriteOnce"), node);
        read(json!({ "metadata": { "name": name }, "status": status,
            "spec": { "attacher": "disk.example", "nodeName": node,
                "source": { "persistentVolumeName": "v" } } }))
    }

    fn pod() -> Arc<Pod> {
        read(json!({ "metadata": { "name": "p", "namespace": "n" }, "spec": { "nodeName": "a",
            "containers": [] } }))
    }

    fn now() -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    #[test]
    fn a_pod_gets_its_volumes_attached() {
        // The digest of "hdisk.examplea".
        let name = name_of(&volume("ReadWriteOnce"), "a").unwrap();
        assert_eq!(name.len(), 4 + 64);
        let look = |mode: &str, managed: bool, attachments: Vec<Arc<VolumeAttachment>>| {
            let seen = PodObserved {
                pod: Some(pod()),
                node: Some(node(managed, json!({}))),
                volumes: vec![volume(mode)],
                attachments,
            };
            let plan = plan_pod(&seen, now());
            let waits = plan.report.waiting.first().map(|wait| (wait.reason, wait.message.clone()));
            (plan.actions.len(), waits)
        };
        assert_eq!(look("ReadWriteOnce", true, vec![]), (1, None));
        assert_eq!(look("ReadWriteOnce", false, vec![]), (0, None));
        let done = attachment("a", json!({ "attached": true }));
        assert_eq!(look("ReadWriteOnce", true, vec![done]), (0, None));
        let failed = json!({ "attached": false, "attachError": { "message": "no such disk" } });
        let (_, told) = look("ReadWriteOnce", true, vec![attachment("a", failed)]);
        let why = "AttachVolume.Attach failed for volume \"v\" : no such disk";
        assert_eq!(told, Some(("FailedAttachVolume", why.to_owned())));
        let waiting = |after: i64| {
            let mut found = attachment("a", json!({ "attached": false }));
            let made = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now());
            Arc::make_mut(&mut found).metadata.creation_timestamp = Some(made);
            let seen = PodObserved {
                pod: Some(pod()),
                node: Some(node(true, json!({}))),
                volumes: vec![volume("ReadWriteOnce")],
                attachments: vec![found],
            };
            let plan = plan_pod(&seen, now() + SignedDuration::from_secs(after));
            let wait = plan.report.waiting[0].clone();
            (plan.requeue.map(|left| left.as_secs()), wait.reason, wait.message)
        };
        let (left, reason, _) = waiting(90);
        assert_eq!((left, reason), (Some(30), "VolumeNotAttached"));
        let why = "AttachVolume.Attach failed for volume \"v\" : timed out waiting for external-attacher of \
            disk.example CSI driver to attach volume h";
        assert_eq!(waiting(120), (None, "FailedAttachVolume", why.to_owned()));
        let other = || vec![attachment("b", json!({ "attached": true }))];
        let (acts, told) = look("ReadWriteOnce", true, other());
        assert!(acts == 0 && told.unwrap().1.starts_with("Multi-Attach error for volume \"v\" "));
        assert_eq!(look("ReadWriteMany", true, other()), (1, None));
        let driver: Arc<CSIDriver> =
            read(json!({ "metadata": {}, "spec": { "attachRequired": false } }));
        assert!(is_attached(&volume("x"), None) && !is_attached(&volume("x"), Some(&driver)));
    }

    /// Red when a volume is taken from a node that still has it mounted, or that still counts on it.
    #[test]
    fn a_volume_is_detached_once_the_node_has_let_it_go() {
        let name = "kubernetes.io/csi/disk.example^h";
        let listed = json!({ "volumesAttached": [{ "name": name, "devicePath": "" }] });
        for (status, wanted, goes) in [
            (json!({}), false, true),
            (json!({}), true, false),
            (json!({ "volumesInUse": [name] }), false, false),
            (listed.clone(), false, false),
        ] {
            let seen = AttachmentObserved {
                attachment: Some(attachment("a", json!({ "attached": true }))),
                node: Some(node(true, status.clone())),
                volume: Some(volume("ReadWriteOnce")),
                wanted,
            };
            assert_eq!(
                !plan_attachment(&seen, now()).actions.is_empty(),
                goes,
                "{status} {wanted}"
            );
        }
        let look = |status: Value, pods: Vec<Arc<Pod>>| {
            let attached = Attached {
                attachment: attachment("a", json!({ "attached": true })),
                volume: volume("ReadWriteOnce"),
                pods,
            };
            let seen = NodeObserved { node: Some(node(true, status)), attached: vec![attached] };
            plan_node(&seen, now()).actions
        };
        let made = look(json!({}), vec![pod()]);
        assert!(matches!(&made[..], [Action::Patch { patch, .. }, Action::Event { .. }]
            if patch["status"]["volumesAttached"][0]["name"] == name));
        assert!(look(listed.clone(), vec![pod()]).is_empty());
        let gone = look(listed, vec![]);
        assert!(matches!(&gone[..], [Action::Patch { patch, .. }]
            if patch["status"]["volumesAttached"].is_null()));
    }
}
