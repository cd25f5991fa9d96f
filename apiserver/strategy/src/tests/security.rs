//! Security context constraints, ranges that were handed out, images.

use super::*;

pub(super) fn samples() -> Vec<Value> {
    vec![
        constraints(
            json!({ "allowedFlexVolumes": [{ "driver": "d" }], "volumes": ["flexVolume", "secret"],
            "allowedUnsafeSysctls": ["kernel.*"], "fsGroup": { "type": "MustRunAs", "ranges": [{ "min": 1, "max": 2 }] } }),
        ),
        json!({ "apiVersion": "security.openshift.io/v1", "kind": "RangeAllocation", "metadata": { "name": "x" },
            "range": "1000000000-1999999999/10000", "data": "AQI=" }),
        image(json!({ "signatures": [signature(json!({}))] })),
        quota(json!({})),
        restriction(
            json!({ "userrestriction": { "users": ["a"], "labels": [{ "matchLabels": { "a": "b" } }] } }),
        ),
    ]
}

/// Real-world shape: `restricted-v2`.
fn constraints(fields: Value) -> Value {
    let mut object = json!({
        "apiVersion": "security.openshift.io/v1", "kind": "SecurityContextConstraints",
        "metadata": { "name": "x" },
        "allowHostDirVolumePlugin": false, "allowHostIPC": false, "allowHostNetwork": false,
        "allowHostPID": false, "allowHostPorts": false, "allowPrivilegeEscalation": false,
        "allowPrivilegedContainer": false, "allowedCapabilities": ["NET_BIND_SERVICE"],
        "defaultAddCapabilities": null, "fsGroup": { "type": "MustRunAs" }, "groups": [],
        "priority": null, "readOnlyRootFilesystem": false, "requiredDropCapabilities": ["ALL"],
        "runAsUser": { "type": "MustRunAsRange" }, "seLinuxContext": { "type": "MustRunAs" },
        "seccompProfiles": ["runtime/default"], "supplementalGroups": { "type": "RunAsAny" }, "users": [],
        "volumes": ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"],
    });
    object.as_object_mut().expect("map").extend(fields.as_object().expect("map").clone());
    object
}

#[test]
fn what_constraints_leave_open_is_filled_in() {
    let volumes = |fields: Value| created(constraints(fields))["volumes"].clone();
    assert_eq!(volumes(json!({ "volumes": [] })), json!(["none"]));
    assert_eq!(
        volumes(json!({ "volumes": [], "allowHostDirVolumePlugin": true })),
        json!(["hostPath"])
    );
    assert_eq!(
        volumes(json!({ "volumes": ["secret"], "allowHostDirVolumePlugin": true })),
        json!(["hostPath", "secret"])
    );
    assert_eq!(
        volumes(json!({ "volumes": ["*"], "allowHostDirVolumePlugin": true })),
        json!(["*"])
    );
    assert_eq!(volumes(json!({ "volumes": ["secret", "hostPath"] })), json!(["secret"]));
    let all = volumes(json!({ "volumes": null }));
    assert_eq!(all.as_array().map(Vec::len), Some(29));
    let new = created(constraints(json!({
        "users": null, "fsGroup": null, "allowPrivilegeEscalation": null, "allowHostIPC": null,
    })));
    assert_eq!(
        (
            &new["users"],
            &new["fsGroup"]["type"],
            &new["allowPrivilegeEscalation"],
            &new["allowHostIPC"]
        ),
        (&json!([]), &json!("RunAsAny"), &json!(true), &json!(false))
    );
    assert_eq!(
        (&new["userNamespaceLevel"], &new["metadata"]["generation"]),
        (&json!("AllowHostLevel"), &json!(1))
    );
    let next = updated(&new, |new| new["users"] = json!(["system:admin"]));
    assert_eq!(next["metadata"]["generation"], 2);
}

#[test]
fn constraints_are_checked() {
    for (fields, errors) in [
        (
            json!({ "priority": -1, "runAsUser": { "type": "x", "uid": -1 }, "seLinuxContext": {} }),
            &[
                "priority: Invalid value: -1: priority cannot be negative",
                "runAsUser.type: Invalid value: \"x\": invalid strategy type.  Valid values are MustRunAs, MustRunAsNonRoot, MustRunAsRange, RunAsAny",
                "runAsUser.uid: Invalid value: -1: uid cannot be negative",
                "seLinuxContext.type: Invalid value: \"\": invalid strategy type.  Valid values are MustRunAs, RunAsAny",
            ][..],
        ),
        (
            json!({ "fsGroup": { "type": "x", "ranges": [{ "min": -1, "max": -2 }] } }),
            &[
                "fsGroup.type: Unsupported value: \"x\": supported values: \"MustRunAs\", \"RunAsAny\"",
                "fsGroup.ranges[0].min: Invalid value: -1: min cannot be negative",
                "fsGroup.ranges[0].max: Invalid value: -2: max cannot be negative",
                "fsGroup.ranges[0].min: Invalid value: {\"Min\":-1,\"Max\":-2}: min cannot be greater than max",
            ],
        ),
        (
            json!({ "defaultAddCapabilities": ["ALL"], "allowedCapabilities": ["*"] }),
            &[
                "defaultAddCapabilities: Invalid value: \"ALL\": capability is listed in defaultAddCapabilities and requiredDropCapabilities",
                "requiredDropCapabilities: Invalid value: [\"ALL\"]: required capabilities must be empty when all capabilities are allowed by a wildcard",
            ],
        ),
        (
            json!({ "defaultAllowPrivilegeEscalation": true }),
            &[
                "defaultAllowPrivilegeEscalation: Invalid value: true: Cannot set DefaultAllowPrivilegeEscalation to true without also setting AllowPrivilegeEscalation to true",
            ],
        ),
        (
            json!({ "volumes": ["none", "secret"], "allowedFlexVolumes": [{ "driver": "a" }] }),
            &[
                "volumes: Invalid value: [\"none\",\"secret\"]: if 'none' is specified, no other values are allowed",
                "allowedFlexVolumes: Invalid value: [{\"Driver\":\"a\"}]: volumes does not include 'flexVolume' or '*', so no flex volumes are allowed",
            ],
        ),
        (
            json!({ "volumes": ["flexVolume"], "allowedFlexVolumes": [{}] }),
            &["allowedFlexVolumes[0].driver: Required value: must specify a driver"],
        ),
        (
            json!({ "allowedUnsafeSysctls": ["*", "", "A"], "forbiddenSysctls": ["kernel.shm*"] }),
            &[
                "allowedUnsafeSysctls[1]: Invalid value: \"\": empty sysctl not allowed",
                "allowedUnsafeSysctls[2]: Invalid value: \"A\": must have at most 253 characters and match regex ([a-z0-9]([-_a-z0-9]*[a-z0-9])?\\.)*([a-z0-9][-_a-z0-9]*)?[a-z0-9*]",
                "allowedUnsafeSysctls.items: Forbidden: if '*' is present, must not specify other sysctls",
                "forbiddenSysctls[0]: Invalid value: \"kernel.shm*\": sysctl overlaps with *",
            ],
        ),
        (
            json!({ "allowedUnsafeSysctls": ["net.a", "net.b.c"], "forbiddenSysctls": ["net.a", "net.b.*"] }),
            &[
                "allowedUnsafeSysctls[0]: Invalid value: \"net.a\": sysctl overlaps with net.a",
                "allowedUnsafeSysctls[1]: Invalid value: \"net.b.c\": sysctl overlaps with net.b.*",
            ],
        ),
        (
            json!({ "userNamespaceLevel": "x" }),
            &[
                "userNamespaceLevel: Unsupported value: \"x\": supported values: \"AllowHostLevel\", \"RequirePodLevel\"",
            ],
        ),
    ] {
        check(create(constraints(fields)), errors);
    }
}

fn image(fields: Value) -> Value {
    let mut object = json!({
        "apiVersion": "image.openshift.io/v1", "kind": "Image",
        "metadata": { "name": format!("sha256:{}", "a".repeat(64)) },
        "dockerImageReference": format!("quay.io/org/app@sha256:{}", "a".repeat(64)),
        "dockerImageMetadata": { "kind": "DockerImage", "apiVersion": "image.openshift.io/1.0", "Size": 1 },
        "dockerImageLayers": [{ "name": "sha256:1", "size": 1, "mediaType": "m" }],
    });
    object.as_object_mut().expect("map").extend(fields.as_object().expect("map").clone());
    object
}

fn signature(fields: Value) -> Value {
    let mut signature =
        json!({ "metadata": { "name": "sha256:1@sig" }, "type": "atomic", "content": "eA==" });
    signature.as_object_mut().expect("map").extend(fields.as_object().expect("map").clone());
    signature
}

#[test]
fn images_are_checked() {
    let manifest = |fields: Value| {
        let mut manifest = json!({ "digest": format!("sha256:{}", "0".repeat(64)), "architecture": "arm64", "os": "linux",
            "manifestSize": 1, "mediaType": "application/vnd.oci.image.manifest.v1+json" });
        manifest.as_object_mut().expect("map").extend(fields.as_object().expect("map").clone());
        image(json!({ "dockerImageManifests": [manifest], "dockerImageLayers": null }))
    };
    created(manifest(json!({})));
    for (image, errors) in [
        (
            image(json!({ "dockerImageReference": "" })),
            &["dockerImageReference: Required value"][..],
        ),
        (
            image(json!({ "dockerImageReference": "A/B" })),
            &["dockerImageReference: Invalid value: \"A/B\": repository name must be lowercase"],
        ),
        (
            manifest(
                json!({ "digest": "sha256:1", "mediaType": "json", "os": "", "manifestSize": -1 }),
            ),
            &[
                "dockerImageManifests[0].digest: Invalid value: \"sha256:1\": digest does not conform with OCI image specification",
                "dockerImageManifests[0].mediaType: Invalid value: \"json\": media type does not conform to RFC6838",
                "dockerImageManifests[0].os: Required value",
                "dockerImageManifests[0].size: Invalid value: -1: manifest size cannot be negative",
            ],
        ),
        (
            with(
                manifest(json!({})),
                &[("dockerImageLayers", json!([{ "name": "n", "size": 2, "mediaType": "m" }]))],
            ),
            &[
                "dockerImageLayers: Invalid value: [{\"Name\":\"n\",\"LayerSize\":2,\"MediaType\":\"m\"}]: dockerImageLayers should not be set when dockerImageManifests is set",
            ],
        ),
        (
            image(
                json!({ "signatures": [signature(json!({ "metadata": { "name": "x", "labels": { "a": "b" } }, "type": "",
                "imageIdentity": "i", "conditions": [{ "type": "ForImage", "status": "True" }] }))] }),
            ),
            &[
                "signatures[0].metadata.labels: Forbidden: signature labels cannot be set",
                "signatures[0].metadata.name: Invalid value: \"x\": name must be of format <imageName>@<signatureName>",
                "signatures[0].type: Required value",
                "signatures[0].conditions: Invalid value: [{\"lastProbeTime\":null,\"lastTransitionTime\":null,\"status\":\"True\",\"type\":\"ForImage\"}]: missing \"Trusted\" condition type",
                "signatures[0].imageIdentity: Invalid value: \"i\": must be unset for unknown signature state",
            ],
        ),
    ] {
        check(create(image), errors);
    }
}

#[test]
fn what_was_read_of_an_image_stays() {
    let old = created(image(json!({})));
    let new = updated(&old, |new| {
        new["dockerImageMetadata"] = json!({ "Size": 2 });
        new["dockerImageLayers"] = json!([]);
        new["dockerImageManifest"] = "{}".into();
        new["metadata"]["labels"] = json!({ "a": "b" });
    });
    assert_eq!(new["dockerImageMetadata"], old["dockerImageMetadata"]);
    assert_eq!(new["dockerImageLayers"], old["dockerImageLayers"]);
    assert_eq!(new.get("dockerImageManifest"), None);
    let stored =
        json!({ "name": "x", "annotations": { "image.openshift.io/manifestBlobStored": "true" } });
    let kept = created(image(
        json!({ "metadata": stored, "dockerImageManifest": "{}", "dockerImageConfig": "{}" }),
    ));
    assert_eq!((kept.get("dockerImageManifest"), kept.get("dockerImageConfig")), (None, None));
}

fn quota(fields: Value) -> Value {
    let mut spec = json!({
        "quota": { "hard": { "pods": "10", "secrets": "20" } },
        "selector": { "annotations": { "openshift.io/requester": "anna" }, "labels": null },
    });
    spec.as_object_mut().expect("map").extend(fields.as_object().expect("map").clone());
    json!({ "apiVersion": "quota.openshift.io/v1", "kind": "ClusterResourceQuota", "metadata": { "name": "x" }, "spec": spec })
}

#[test]
fn quotas_of_the_cluster_are_checked() {
    let old = created(quota(json!({})));
    let why = "must restrict the selected projects";
    for (fields, errors) in [
        (json!({ "selector": null }), vec![format!("spec.selector: Required value: {why}")]),
        (
            json!({ "selector": { "labels": {} } }),
            vec![
                format!("spec.selector: Required value: {why}"),
                format!("spec.selector.labels: Invalid value: {{}}: {why}"),
            ],
        ),
        (
            json!({ "quota": { "hard": { "pods": "-1", "nonsense": "1" } } }),
            vec![
                "spec.quota.hard[nonsense]: Invalid value: \"nonsense\": must be a standard resource type or fully qualified".to_owned(),
                "spec.quota.hard[nonsense]: Invalid value: \"nonsense\": must be a standard resource for quota".to_owned(),
                "spec.quota.hard[pods]: Invalid value: \"-1\": must be greater than or equal to 0".to_owned(),
            ],
        ),
    ] {
        let errors: Vec<&str> = errors.iter().map(String::as_str).collect();
        check(create(quota(fields)), &errors);
    }
    check(
        update(Target::Status, &old, |new| {
            new["status"] = json!({ "total": { "hard": { "x": "1" } },
                "namespaces": [{ "namespace": "n", "status": { "used": { "pods": "1500m" } } }] })
        }),
        &[
            "status.overall.hard[x]: Invalid value: \"x\": must be a standard resource type or fully qualified",
            "status.overall.hard[x]: Invalid value: \"x\": must be a standard resource for quota",
            "status.namespaces[n][pods]: Invalid value: \"1500m\": must be an integer",
        ],
    );
}

fn restriction(spec: Value) -> Value {
    json!({ "apiVersion": "authorization.openshift.io/v1", "kind": "RoleBindingRestriction", "metadata": { "name": "x" }, "spec": spec })
}

#[test]
fn restrictions_are_of_one_sort_of_subject() {
    created(restriction(
        json!({ "serviceaccountrestriction": { "namespaces": ["a"], "serviceaccounts": null } }),
    ));
    let one = "must specify exactly one of userrestriction, grouprestriction, or serviceaccountrestriction";
    for (spec, errors) in [
        (json!({}), vec![format!("spec.userrestriction: Required value: {one}")]),
        (
            json!({ "userrestriction": { "users": ["a"] }, "grouprestriction": { "groups": ["a"] } }),
            vec![format!(
                "spec.grouprestriction: Invalid value: \"both userrestriction and grouprestriction specified\": {one}"
            )],
        ),
        (
            json!({ "userrestriction": {} }),
            vec!["spec.userrestriction.users: Required value: must specify at least one user, group, or label selector".to_owned()],
        ),
        (
            json!({ "grouprestriction": { "labels": [{ "matchExpressions": [{ "key": "a", "operator": "In" }] }] } }),
            vec!["spec.grouprestriction.selector[0].matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'".to_owned()],
        ),
    ] {
        let errors: Vec<&str> = errors.iter().map(String::as_str).collect();
        check(create(restriction(spec)), &errors);
    }
}
