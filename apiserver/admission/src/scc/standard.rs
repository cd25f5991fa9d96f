//! The constraints of OpenShift's clusters.
//!
//! Knows: what each allows. Refuses to know: who may use them, which roles say; when they count; where they are kept.

use serde_json::{Value, json};

/// Every type of volume that reaches nothing of the host.
const VOLUMES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

/// All of them, by name.
pub fn all() -> impl Iterator<Item = (&'static str, Value)> {
    let all = [host(), by_number(), older()].into_iter().flatten();
    all.map(|(name, says)| (name, leme_meta::patch::merge(&base(name), &says)))
}

/// What each says unless it says otherwise: nothing of the host, and the users of the namespace.
fn base(name: &str) -> Value {
    json!({
        "apiVersion": "security.openshift.io/v1", "kind": "SecurityContextConstraints",
        "metadata": { "name": name },
        "allowHostDirVolumePlugin": false, "allowHostIPC": false, "allowHostNetwork": false,
        "allowHostPID": false, "allowHostPorts": false, "allowPrivilegeEscalation": true,
        "allowPrivilegedContainer": false, "readOnlyRootFilesystem": false,
        "allowedCapabilities": null, "defaultAddCapabilities": null, "priority": null,
        "requiredDropCapabilities": ["KILL", "MKNOD", "SETUID", "SETGID"],
        "runAsUser": { "type": "MustRunAsRange" }, "seLinuxContext": { "type": "MustRunAs" },
        "fsGroup": { "type": "MustRunAs" }, "supplementalGroups": { "type": "RunAsAny" },
        "users": [], "groups": [], "volumes": VOLUMES,
    })
}

/// What all constraints of the second generation say besides.
fn hardened(says: Value) -> Value {
    let hardened = json!({
        "allowPrivilegeEscalation": false, "allowedCapabilities": ["NET_BIND_SERVICE"],
        "requiredDropCapabilities": ["ALL"], "seccompProfiles": ["runtime/default"],
    });
    leme_meta::patch::merge(&hardened, &says)
}

fn with(more: &[&str]) -> Value {
    let mut volumes = [&VOLUMES[..], more].concat();
    volumes.sort_unstable();
    json!(volumes)
}

type Named = Vec<(&'static str, Value)>;

/// Those that allow something of the host.
fn host() -> Named {
    let any = json!({ "type": "RunAsAny" });
    let network = json!({ "allowHostNetwork": true, "allowHostPorts": true,
        "supplementalGroups": { "type": "MustRunAs" } });
    let mounts = json!({
        "allowHostDirVolumePlugin": true, "requiredDropCapabilities": ["MKNOD"], "fsGroup": any,
        "runAsUser": any, "volumes": with(&["hostPath", "nfs"]),
    });
    let recycler = "system:serviceaccount:openshift-infra:pv-recycler-controller";
    let merged = |one: &Value, other: Value| leme_meta::patch::merge(one, &other);
    let everything = json!({
        "allowHostDirVolumePlugin": true, "allowHostIPC": true, "allowHostNetwork": true,
        "allowHostPID": true, "allowHostPorts": true, "allowPrivilegedContainer": true,
        "allowedCapabilities": ["*"], "allowedUnsafeSysctls": ["*"],
        "requiredDropCapabilities": null, "seccompProfiles": ["*"], "volumes": ["*"],
        "fsGroup": any, "runAsUser": any, "seLinuxContext": any, "supplementalGroups": any,
        "groups": ["system:cluster-admins", "system:nodes", "system:masters"],
        "users": ["system:admin", "system:serviceaccount:openshift-infra:build-controller"],
    });
    let access = json!({
        "allowHostDirVolumePlugin": true, "allowHostIPC": true, "allowHostNetwork": true,
        "allowHostPID": true, "allowHostPorts": true, "volumes": with(&["hostPath"]),
    });
    vec![
        ("privileged", everything),
        ("hostaccess", access),
        ("hostmount-anyuid", merged(&mounts, json!({ "users": [recycler] }))),
        ("hostmount-anyuid-v2", merged(&mounts, json!({ "seLinuxContext": any }))),
        ("hostnetwork", network.clone()),
        ("hostnetwork-v2", hardened(network)),
    ]
}

/// Those that need users of their own on the host.
fn by_number() -> Named {
    let range =
        |first: u16| json!({ "type": "MustRunAs", "ranges": [{ "min": first, "max": 65534 }] });
    let users = |first: u16| json!({ "type": "MustRunAsRange", "uidRangeMin": first, "uidRangeMax": 65534 });
    let level = "RequirePodLevel";
    let nested = json!({
        "allowedCapabilities": ["SETUID", "SETGID"], "requiredDropCapabilities": null,
        "fsGroup": range(0), "supplementalGroups": range(0), "runAsUser": users(0),
        "seLinuxContext": { "type": "MustRunAs", "seLinuxOptions": { "type": "container_engine_t" } },
        "seccompProfiles": ["*"], "userNamespaceLevel": level,
    });
    let third = hardened(json!({
        "fsGroup": range(1000), "supplementalGroups": range(1000), "runAsUser": users(1000),
        "userNamespaceLevel": level,
    }));
    vec![("nested-container", nested), ("restricted-v3", third)]
}

/// All others.
fn older() -> Named {
    let any = json!({ "type": "RunAsAny" });
    let by_image = json!({ "runAsUser": { "type": "MustRunAsNonRoot" }, "fsGroup": any });
    let anybody = json!({
        "priority": 10, "requiredDropCapabilities": ["MKNOD"], "runAsUser": any, "fsGroup": any,
        "groups": ["system:cluster-admins"],
    });
    vec![
        ("anyuid", anybody),
        ("nonroot", by_image.clone()),
        ("nonroot-v2", hardened(by_image)),
        ("restricted", json!({})),
        ("restricted-v2", hardened(json!({}))),
    ]
}
