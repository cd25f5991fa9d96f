//! The volumes that constraints allow.
//!
//! Knows: what each kind of volume is called in constraints. Refuses to know: what volumes hold.

use leme_meta::field::{FieldError, Path};
use leme_registry::json;
use serde_json::Value;

/// Kinds of volumes: the field of a pod, and the name in constraints where that is another one.
const KINDS: [(&str, &str); 30] = [
    ("hostPath", ""),
    ("emptyDir", ""),
    ("gcePersistentDisk", ""),
    ("awsElasticBlockStore", ""),
    ("gitRepo", ""),
    ("secret", ""),
    ("nfs", ""),
    ("iscsi", ""),
    ("glusterfs", ""),
    ("persistentVolumeClaim", ""),
    ("rbd", ""),
    ("flexVolume", ""),
    ("cinder", ""),
    ("cephfs", "cephFS"),
    ("flocker", ""),
    ("downwardAPI", ""),
    ("fc", ""),
    ("azureFile", ""),
    ("configMap", ""),
    ("vsphereVolume", "vsphere"),
    ("quobyte", ""),
    ("azureDisk", ""),
    ("photonPersistentDisk", ""),
    ("projected", ""),
    ("portworxVolume", ""),
    ("scaleIO", ""),
    ("storageos", "storageOS"),
    ("csi", ""),
    ("ephemeral", ""),
    ("image", ""),
];

fn kind(volume: &Value) -> Option<&'static str> {
    let (field, name) = KINDS.iter().find(|(field, _)| json::at(volume, &[field]).is_some())?;
    Some(if name.is_empty() { field } else { name })
}

/// What is wrong with the volumes of a pod.
pub(super) fn check(constraints: &Value, pod: &Value, at: &Path, errors: &mut Vec<FieldError>) {
    let allowed = json::list(constraints, &["volumes"]);
    let allows = |name: &str| allowed.iter().any(|one| one == name);
    let volumes = json::list(pod, &["spec", "volumes"]);
    let of_spec = |index| Path::new("spec").child("volumes").index(index);
    for (index, volume) in volumes.iter().enumerate().filter(|_| !allows("*")) {
        match kind(volume) {
            Some(kind) if allows(kind) || (allows("secret") && is_token(volume)) => {}
            Some(kind) => {
                let why = format!("{kind} volumes are not allowed to be used");
                errors.push(FieldError::invalid(&of_spec(index), kind, &why));
            }
            None => {
                let why = format!("unknown volume type for volume: {volume}");
                errors.push(FieldError::invalid(&of_spec(index), "", &why));
            }
        }
    }
    let drivers = json::list(constraints, &["allowedFlexVolumes"]);
    if drivers.is_empty() || !(allows("flexVolume") || allows("*")) {
        return;
    }
    for (index, volume) in volumes.iter().enumerate() {
        let Some(flex) = json::at(volume, &["flexVolume"]) else { continue };
        let driver = json::text(flex, &["driver"]);
        if !drivers.iter().any(|one| json::text(one, &["driver"]) == driver) {
            let at = at.child("volumes").index(index).child("driver");
            errors.push(FieldError::invalid(
                &at,
                driver,
                "Flexvolume driver is not allowed to be used",
            ));
        }
    }
}

/// Whether a volume brings nothing but what every pod finds of its account.
fn is_token(volume: &Value) -> bool {
    let Some(projected) = json::at(volume, &["projected"]) else { return false };
    json::list(projected, &["sources"]).iter().all(|source| {
        let part = |field: &str| json::at(source, &[field]);
        let (token, map, downward) =
            (part("serviceAccountToken"), part("configMap"), part("downwardAPI"));
        (token.is_some() || map.is_some() || downward.is_some())
            && token.is_none_or(|token| {
                json::text(token, &["path"]) == "token"
                    && json::text(token, &["audience"]).is_empty()
            })
            && map.is_none_or(is_bundle)
            && downward
                .is_none_or(|downward| json::list(downward, &["items"]).iter().all(is_namespace))
    })
}

fn is_bundle(map: &Value) -> bool {
    let file = match json::text(map, &["name"]) {
        "kube-root-ca.crt" => "ca.crt",
        "openshift-service-ca.crt" => "service-ca.crt",
        _ => return false,
    };
    let [item] = json::list(map, &["items"]) else { return false };
    json::text(item, &["key"]) == file && json::text(item, &["path"]) == file
}

fn is_namespace(item: &Value) -> bool {
    json::text(item, &["path"]) == "namespace"
        && json::text(item, &["fieldRef", "apiVersion"]) == "v1"
        && json::text(item, &["fieldRef", "fieldPath"]) == "metadata.namespace"
}
