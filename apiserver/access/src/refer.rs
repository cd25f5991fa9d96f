//! Which objects pods and volumes name that an agent has to read for them.
//!
//! Knows: the fields that name them. Refuses to know: nodes.

use serde_json::Value;

use crate::graph::{Thing, Vertex, vertex};

/// Annotation of a pod that its agent has made: it gives the agent nothing.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Where a volume of a pod names a secret.
const SECRETS: [&str; 10] = [
    "/secret/secretName",
    "/azureFile/secretName",
    "/cephfs/secretRef/name",
    "/cinder/secretRef/name",
    "/csi/nodePublishSecretRef/name",
    "/flexVolume/secretRef/name",
    "/iscsi/secretRef/name",
    "/rbd/secretRef/name",
    "/scaleIO/secretRef/name",
    "/storageos/secretRef/name",
];

/// Where a PersistentVolume names a secret that the node needs, in which field its namespace; the claim's is meant where
/// there is none.
const OF_VOLUMES: [[&str; 2]; 10] = [
    ["/azureFile/secretName", "/azureFile/secretNamespace"],
    ["/cephfs/secretRef/name", "/cephfs/secretRef/namespace"],
    ["/cinder/secretRef/name", "/cinder/secretRef/namespace"],
    ["/csi/nodePublishSecretRef/name", "/csi/nodePublishSecretRef/namespace"],
    ["/csi/nodeStageSecretRef/name", "/csi/nodeStageSecretRef/namespace"],
    ["/csi/nodeExpandSecretRef/name", "/csi/nodeExpandSecretRef/namespace"],
    ["/flexVolume/secretRef/name", "/flexVolume/secretRef/namespace"],
    ["/iscsi/secretRef/name", "/iscsi/secretRef/namespace"],
    ["/rbd/secretRef/name", "/rbd/secretRef/namespace"],
    ["/scaleIO/secretRef/name", "/scaleIO/secretRef/namespace"],
];

fn text<'a>(of: &'a Value, pointer: &str) -> &'a str {
    of.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

fn list<'a>(of: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    of.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

/// What a pod names, and whether it may name something else later.
pub(crate) fn of_pod(pod: &Value) -> (Vec<Vertex>, bool) {
    if pod["metadata"]["annotations"].get(MIRROR).is_some() {
        return (Vec::new(), false);
    }
    let namespace = text(pod, "/metadata/namespace");
    let mut all = Vec::new();
    let mut add = |thing: Thing, name: &str| {
        let one = vertex(thing, namespace, name);
        if !name.is_empty() && !all.contains(&one) {
            all.push(one);
        }
    };
    add(Thing::Account, text(pod, "/spec/serviceAccountName"));
    list(pod, "/spec/imagePullSecrets").for_each(|one| add(Thing::Secret, text(one, "/name")));
    for of in ["/spec/initContainers", "/spec/containers", "/spec/ephemeralContainers"] {
        list(pod, of).for_each(|container| of_container(container, &mut add));
    }
    for volume in list(pod, "/spec/volumes") {
        of_volume_of_pod(pod, volume, &mut add);
    }
    let claims = of_resource_claims(pod);
    claims.iter().for_each(|name| add(Thing::ResourceClaim, name));
    let open = pod["spec"].get("resourceClaims").is_some();
    (all, open)
}

fn of_container(container: &Value, add: &mut impl FnMut(Thing, &str)) {
    for variable in list(container, "/env") {
        add(Thing::ConfigMap, text(variable, "/valueFrom/configMapKeyRef/name"));
        add(Thing::Secret, text(variable, "/valueFrom/secretKeyRef/name"));
    }
    for from in list(container, "/envFrom") {
        add(Thing::ConfigMap, text(from, "/configMapRef/name"));
        add(Thing::Secret, text(from, "/secretRef/name"));
    }
}

fn of_volume_of_pod(pod: &Value, volume: &Value, add: &mut impl FnMut(Thing, &str)) {
    SECRETS.iter().for_each(|field| add(Thing::Secret, text(volume, field)));
    add(Thing::ConfigMap, text(volume, "/configMap/name"));
    for source in list(volume, "/projected/sources") {
        add(Thing::Secret, text(source, "/secret/name"));
        add(Thing::ConfigMap, text(source, "/configMap/name"));
    }
    add(Thing::Claim, text(volume, "/persistentVolumeClaim/claimName"));
    if volume.get("ephemeral").is_some() {
        let made = [text(pod, "/metadata/name"), text(volume, "/name")].join("-");
        add(Thing::Claim, &made);
    }
}

fn of_resource_claims(pod: &Value) -> Vec<&str> {
    let made = |name: &str| {
        list(pod, "/status/resourceClaimStatuses")
            .find(|status| text(status, "/name") == name)
            .map_or("", |status| text(status, "/resourceClaimName"))
    };
    let named =
        list(pod, "/spec/resourceClaims").map(|claim| match text(claim, "/resourceClaimName") {
            "" => made(text(claim, "/name")),
            name => name,
        });
    named.chain([text(pod, "/status/extendedResourceClaimStatus/resourceClaimName")]).collect()
}

/// What is reached through what by a PersistentVolume: itself through its claim, its secrets through itself.
pub(crate) fn of_volume(itself: &Vertex, volume: &Value) -> Vec<(Vertex, Vertex)> {
    let spec = &volume["spec"];
    let (namespace, claim) = (text(spec, "/claimRef/namespace"), text(spec, "/claimRef/name"));
    if claim.is_empty() {
        return Vec::new();
    }
    let mut all = vec![(vertex(Thing::Claim, namespace, claim), itself.clone())];
    for [name, of] in OF_VOLUMES {
        let secret = match (text(spec, name), text(spec, of)) {
            ("", _) => continue,
            (name, "") => vertex(Thing::Secret, namespace, name),
            (name, other) => vertex(Thing::Secret, other, name),
        };
        let link = (itself.clone(), secret);
        if !all.contains(&link) {
            all.push(link);
        }
    }
    all
}
