//! PersistentVolumes and their claims, rule by rule.

use super::*;

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

fn extended(mut object: Value, fields: &Value) -> Value {
    let spec = object["spec"].as_object_mut().expect("map");
    spec.extend(fields.as_object().expect("map").clone());
    object
}

/// A volume with these fields.
fn volume(fields: &Value) -> Value {
    let body = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": "v" },
        "spec": { "capacity": { "storage": "1Gi" }, "accessModes": ["ReadWriteOnce"] },
    });
    extended(body, fields)
}

fn claim(fields: &Value) -> Value {
    let body = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": "c" },
        "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } },
    });
    extended(body, fields)
}

/// Nodes that have a label.
fn nodes(key: &str) -> Value {
    json!({ "required": { "nodeSelectorTerms": [
        { "matchExpressions": [{ "key": key, "operator": "In", "values": ["x"] }] }] } })
}

// Red when a volume of one node says not which, and when affinities are taken as they are.
#[test]
fn nodes_of_a_volume_are_named() {
    let local = json!({ "path": "/p" });
    all(
        volume,
        &[
            (json!({ "local": local, "nodeAffinity": nodes("k") }), &[]),
            (
                json!({ "local": local }),
                &["spec.nodeAffinity: Required value: Local volume requires node affinity"],
            ),
            (
                json!({ "local": local, "nodeAffinity": {} }),
                &[
                    "spec.nodeAffinity.required: Required value: must specify required node constraints",
                ],
            ),
            (
                json!({ "local": local, "nodeAffinity": { "required": { "nodeSelectorTerms": [] } } }),
                &[
                    "spec.nodeAffinity.required.nodeSelectorTerms: Required value: must have at least one node selector term",
                ],
            ),
            (
                json!({ "local": { "path": "/a/../b" }, "nodeAffinity": nodes("k") }),
                &["spec.local.path: Invalid value: \"/a/../b\": must not contain '..'"],
            ),
        ],
    );
    let old = created(volume(&json!({ "hostPath": { "path": "/p" } })));
    let with_nodes =
        updated(&old, |new| new["spec"]["nodeAffinity"] = nodes("beta.kubernetes.io/os"));
    let put = |affinity: Value| {
        update(Target::Main, &with_nodes, |new| new["spec"]["nodeAffinity"] = affinity)
    };
    assert!(put(nodes("kubernetes.io/os")).is_ok(), "the same by its other name");
    let why = "field is immutable, except for updating from beta label to GA";
    let shown = "{\"Required\":{\"NodeSelectorTerms\":[{\"MatchExpressions\":[{\"Key\":\"k\",\"Operator\":\"In\",\"Values\":[\"x\"]}],\"MatchFields\":null}]}}";
    check(put(nodes("k")), &[&format!("nodeAffinity: Invalid value: {shown}: {why}")]);
    check(put(Value::Null), &[&format!("nodeAffinity: Invalid value: null: {why}")]);
}

#[test]
fn drivers_of_volumes_are_told_what_they_need() {
    let csi = |fields: Value| {
        let mut csi = json!({ "driver": "a.test", "volumeHandle": "h" });
        csi.as_object_mut().expect("map").extend(fields.as_object().expect("map").clone());
        json!({ "csi": csi })
    };
    let secret = |name: &str, namespace: &str| json!({ "name": name, "namespace": namespace });
    let label = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
    all(
        volume,
        &[
            (
                csi(json!({ "nodeStageSecretRef": {}, "nodePublishSecretRef": secret("s", "n") })),
                &[],
            ),
            (csi(json!({ "driver": "" })), &["spec.csi.driver: Required value"]),
            (csi(json!({ "volumeHandle": "" })), &["spec.csi.volumeHandle: Required value"]),
        ],
    );
    for field in [
        "controllerPublishSecretRef",
        "controllerExpandSecretRef",
        "nodePublishSecretRef",
        "nodeExpandSecretRef",
    ] {
        let at = format!("spec.csi.{field}");
        check(
            create(volume(&csi(json!({ field: {} })))),
            &[&format!("{at}.name: Required value"), &format!("{at}.namespace: Required value")],
        );
        check(
            create(volume(&csi(json!({ field: secret("A", "B") })))),
            &[
                &format!("{at}.name: Invalid value: \"A\": {SUBDOMAIN}"),
                &format!("{at}.namespace: Invalid value: \"B\": {label}"),
            ],
        );
    }
    let old = created(volume(&csi(json!({}))));
    let grows = |name: &'static str| {
        move |new: &mut Value| {
            new["spec"]["csi"]["controllerExpandSecretRef"] =
                json!({ "name": name, "namespace": "n" })
        }
    };
    let later = updated(&old, grows("s"));
    check(
        update(Target::Main, &later, grows("t")),
        &[
            "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation",
        ],
    );
}

#[test]
fn sources_of_volumes_are_not_those_of_pods() {
    let iscsi = |fields: Value| {
        let mut iscsi =
            json!({ "targetPortal": "a", "iqn": "iqn.2015-02.example.com:test", "lun": 1 });
        iscsi.as_object_mut().expect("map").extend(fields.as_object().expect("map").clone());
        json!({ "iscsi": iscsi })
    };
    let long = "a".repeat(63);
    let too_long = format!(
        "spec.iscsi.targetportal: Invalid value: \"{long}\": Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified."
    );
    let gluster = |namespace: &str| json!({ "glusterfs": { "endpoints": "e", "path": "p", "endpointsNamespace": namespace } });
    let azure = |namespace: Value| json!({ "azureFile": { "secretName": "s", "shareName": "n", "secretNamespace": namespace } });
    let cinder = |secret: Value| json!({ "cinder": { "volumeID": "i", "secretRef": secret } });
    all(
        volume,
        &[
            (iscsi(json!({ "secretRef": { "name": "s" } })), &[]),
            (
                iscsi(json!({ "iqn": "x" })),
                &["spec.iscsi.iqn: Invalid value: \"x\": must be valid format"],
            ),
            (iscsi(json!({ "secretRef": {} })), &["spec.iscsi.secretRef.name: Required value"]),
            (
                iscsi(
                    json!({ "targetPortal": long, "initiatorName": "iqn.2015-02.example.com:init" }),
                ),
                &[&too_long],
            ),
            (gluster("n"), &[]),
            (
                gluster(""),
                &[
                    "spec.glusterfs.endpointsNamespace: Invalid value: \"\": if the endpointnamespace is set, it must be a valid namespace name",
                ],
            ),
            (azure(Value::Null), &[]),
            (azure("".into()), &["spec.azureFile.secretNamespace: Required value"]),
            (cinder(json!({ "name": "s", "namespace": "n" })), &[]),
            (cinder(json!({ "name": "s" })), &["spec.cinder.secretRef.namespace: Required value"]),
            (
                json!({ "gcePersistentDisk": { "pdName": "" } }),
                &["spec.persistentDisk.pdName: Required value"],
            ),
            (
                json!({ "secret": { "secretName": "s" } }),
                &["spec: Required value: must specify a volume type"],
            ),
        ],
    );
}

#[test]
fn volumes_have_a_size_and_modes() {
    let path = |fields: Value| {
        let mut all = json!({ "hostPath": { "path": "/p" } });
        all.as_object_mut().expect("map").extend(fields.as_object().expect("map").clone());
        all
    };
    all(
        volume,
        &[
            (path(json!({ "accessModes": ["ReadWriteOncePod"], "volumeMode": "Block" })), &[]),
            (
                path(json!({ "capacity": { "storage": "1Gi", "cpu": "1" } })),
                &[
                    "spec.capacity: Unsupported value: {\"cpu\":\"1\",\"storage\":\"1Gi\"}: supported values: \"storage\"",
                ],
            ),
            (
                path(json!({ "capacity": { "storage": "0" } })),
                &["spec.capacity[storage]: Invalid value: \"0\": must be greater than zero"],
            ),
            (
                path(json!({ "accessModes": ["ReadWriteOncePod", "ReadWriteOnce"] })),
                &[
                    "spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes",
                ],
            ),
            (
                path(json!({ "accessModes": ["Foo"] })),
                &[
                    "spec.accessModes: Unsupported value: \"Foo\": supported values: \"ReadOnlyMany\", \"ReadWriteMany\", \"ReadWriteOnce\", \"ReadWriteOncePod\"",
                ],
            ),
            (
                path(json!({ "persistentVolumeReclaimPolicy": "Foo" })),
                &[
                    "spec.persistentVolumeReclaimPolicy: Unsupported value: \"Foo\": supported values: \"Delete\", \"Recycle\", \"Retain\"",
                ],
            ),
            (
                json!({ "hostPath": { "path": "//." }, "persistentVolumeReclaimPolicy": "Recycle" }),
                &[
                    "spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'",
                ],
            ),
            (
                path(json!({ "storageClassName": "A" })),
                &[&format!("spec.storageClassName: Invalid value: \"A\": {SUBDOMAIN}")],
            ),
            (
                path(json!({ "volumeMode": "Foo" })),
                &[
                    "spec.volumeMode: Unsupported value: \"Foo\": supported values: \"Block\", \"Filesystem\"",
                ],
            ),
            (
                path(json!({ "volumeAttributesClassName": "a" })),
                &[
                    "spec.csi: Required value: has to be specified when using volumeAttributesClassName",
                ],
            ),
        ],
    );
    let old = created(volume(&path(json!({}))));
    check(
        update(Target::Main, &old, |new| new["spec"]["volumeMode"] = "Block".into()),
        &["volumeMode: Invalid value: \"Block\": field is immutable"],
    );
    let classed = created(volume(&json!({
        "csi": { "driver": "a", "volumeHandle": "h" }, "volumeAttributesClassName": "a" })));
    check(
        update(Target::Main, &classed, |new| {
            read::remove(&mut new["spec"], "volumeAttributesClassName")
        }),
        &[
            "spec.volumeAttributesClassName: Forbidden: update from non-nil value to nil is forbidden",
        ],
    );
}

// Red when one field says nothing of the other, or when what nobody can use stays.
#[test]
fn what_a_claim_is_filled_from_is_said_twice() {
    let sources = |fields: Value| {
        let spec = created(claim(&fields))["spec"].clone();
        (spec.get("dataSource").cloned(), spec.get("dataSourceRef").cloned())
    };
    let snapshot =
        json!({ "apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "s" });
    let other = json!({ "apiGroup": "a.test", "kind": "K", "name": "k" });
    let both = (Some(snapshot.clone()), Some(snapshot.clone()));
    assert_eq!(sources(json!({ "dataSource": snapshot })), both);
    assert_eq!(sources(json!({ "dataSourceRef": snapshot })), both);
    assert_eq!(sources(json!({ "dataSource": other })), (None, None));
    assert_eq!(
        sources(json!({ "dataSourceRef": other })),
        (Some(other.clone()), Some(other.clone()))
    );
    let mut elsewhere = snapshot.clone();
    elsewhere["namespace"] = "n".into();
    assert_eq!(sources(json!({ "dataSourceRef": elsewhere })), (None, None));
    check(
        create(claim(&json!({ "dataSourceRef": { "apiGroup": "A", "kind": "K", "name": "k" } }))),
        &[
            &format!("spec.dataSource.apiGroup: Invalid value: \"A\": {SUBDOMAIN}"),
            &format!("spec.dataSourceRef.apiGroup: Invalid value: \"A\": {SUBDOMAIN}"),
        ],
    );
    let old = created(claim(&json!({})));
    let nothing = update(Target::Main, &old, |new| new["spec"]["dataSource"] = other);
    assert_eq!(nothing, Ok(Write::Unchanged));
    let filled = created(claim(&json!({ "dataSource": snapshot })));
    let once = |new: &mut Value| read::remove(&mut new["spec"], "dataSourceRef");
    assert_eq!(update(Target::Main, &filled, once), Ok(Write::Unchanged));
    let result = update(Target::Main, &old, |new| new["spec"]["dataSource"] = snapshot);
    assert_eq!(causes(&result.expect_err("refused")).len(), 1);
}

#[test]
fn a_claim_without_a_class_gets_one_once() {
    let old = created(claim(&json!({})));
    let classed = updated(&old, |new| new["spec"]["storageClassName"] = "a".into());
    let other = update(Target::Main, &classed, |new| new["spec"]["storageClassName"] = "b".into());
    assert_eq!(causes(&other.expect_err("refused")).len(), 1);
    const OLD: &str = "volume.beta.kubernetes.io/storage-class";
    let mut named = claim(&json!({}));
    named["metadata"]["annotations"] = json!({ OLD: "a" });
    let named = created(named);
    updated(&named, |new| new["spec"]["storageClassName"] = "a".into());
    updated(&named, |new| {
        new["spec"]["storageClassName"] = "a".into();
        read::remove(&mut new["metadata"], "annotations");
    });
    let other = update(Target::Main, &named, |new| new["spec"]["storageClassName"] = "b".into());
    assert_eq!(causes(&other.expect_err("refused")).len(), 1);
    check(
        update(Target::Main, &named, |new| new["metadata"]["annotations"][OLD] = "b".into()),
        &[&format!("metadata.annotations.{OLD}: Invalid value: \"b\": field is immutable")],
    );
}

#[test]
fn attributes_of_a_claim_that_has_some_stay_some() {
    let mut old = created(claim(&json!({ "volumeAttributesClassName": "a" })));
    old["status"]["phase"] = "Bound".into();
    let other = |old: &Value, class: Value| {
        update(Target::Main, old, |new| new["spec"]["volumeAttributesClassName"] = class)
    };
    assert!(other(&old, "b".into()).is_ok());
    assert!(other(&old, Value::Null).is_ok());
    old["status"]["currentVolumeAttributesClassName"] = "a".into();
    assert!(other(&old, "b".into()).is_ok());
    let told = |what: &str| {
        format!(
            "spec.volumeAttributesClassName: Forbidden: update to {what} is forbidden when status.currentVolumeAttributesClassName is not nil"
        )
    };
    check(other(&old, Value::Null), &[&told("nil")]);
    check(other(&old, "".into()), &[&told("empty string")]);
}

#[test]
fn what_a_claim_comes_to_is_checked() {
    let old = created(claim(&json!({})));
    let say = |status: Value| {
        update(Target::Status, &old, |new| {
            new["status"]
                .as_object_mut()
                .expect("map")
                .extend(status.as_object().expect("map").clone());
        })
    };
    assert!(
        say(json!({ "capacity": { "storage": "1Gi" }, "allocatedResources": { "storage": "1Gi" },
        "allocatedResourceStatuses": { "storage": "NodeResizePending" } }))
        .is_ok()
    );
    check(
        say(json!({ "capacity": { "storage": "-1" } })),
        &["status.capacity[storage]: Invalid value: -1: must be a valid resource quantity"],
    );
    check(
        say(json!({ "allocatedResourceStatuses": { "storage": "Foo" } })),
        &[
            "status.allocatedResourceStatuses: Unsupported value: \"storage\": supported values: \"ControllerResizeInProgress\", \"ControllerResizeInfeasible\", \"NodeResizeInProgress\", \"NodeResizeInfeasible\", \"NodeResizePending\"",
        ],
    );
    check(
        say(json!({ "allocatedResources": { "cpu": "1" } })),
        &["status.allocatedResources: Unsupported value: \"cpu\": supported values: \"storage\""],
    );
}
