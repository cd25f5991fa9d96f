//! Classes of storage, drivers and what is attached.

use super::*;

fn object(kind: &str, name: &str, fields: Value) -> Value {
    let mut object = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": kind, "metadata": { "name": name },
    });
    object.as_object_mut().expect("map").extend(fields.as_object().expect("map").clone());
    object
}

fn class(fields: Value) -> Value {
    let mut class = object("StorageClass", "fast", json!({ "provisioner": "ebs.csi.aws.com" }));
    class.as_object_mut().expect("map").extend(fields.as_object().expect("map").clone());
    class
}

fn driver(spec: Value) -> Value {
    object("CSIDriver", "ebs.csi.aws.com", json!({ "spec": spec }))
}

fn node(drivers: Value) -> Value {
    object("CSINode", "node-1", json!({ "spec": { "drivers": drivers } }))
}

fn attachment(spec: Value) -> Value {
    object("VolumeAttachment", "a", json!({ "spec": spec }))
}

fn capacity(fields: Value) -> Value {
    object("CSIStorageCapacity", "c", fields)
}

/// What people write.
pub(super) fn samples() -> Vec<Value> {
    vec![
        class(json!({
            "metadata": { "name": "fast", "annotations": { "storageclass.kubernetes.io/is-default-class": "true" } },
            "parameters": { "type": "gp3", "csi.storage.k8s.io/fstype": "xfs", "encrypted": "true" },
            "reclaimPolicy": "Retain", "allowVolumeExpansion": true, "mountOptions": ["discard"],
            "volumeBindingMode": "WaitForFirstConsumer",
            "allowedTopologies": [{ "matchLabelExpressions": [
                { "key": "topology.kubernetes.io/zone", "values": ["a", "b"] },
            ] }],
        })),
        class(json!({ "provisioner": "kubernetes.io/no-provisioner" })),
        object(
            "VolumeAttributesClass",
            "gold",
            json!({
                "driverName": "ebs.csi.aws.com", "parameters": { "iops": "4000" },
            }),
        ),
        driver(json!({
            "attachRequired": true, "podInfoOnMount": true, "fsGroupPolicy": "File",
            "volumeLifecycleModes": ["Persistent", "Ephemeral"],
            "tokenRequests": [{ "audience": "vault", "expirationSeconds": 3600 }, { "audience": "" }],
            "serviceAccountTokenInSecrets": true, "nodeAllocatableUpdatePeriodSeconds": 10,
        })),
        node(json!([{
            "name": "ebs.csi.aws.com", "nodeID": "i-0123", "allocatable": { "count": 25 },
            "topologyKeys": ["topology.ebs.csi.aws.com/zone"],
        }])),
        attachment(json!({
            "attacher": "ebs.csi.aws.com", "nodeName": "node-1", "source": { "persistentVolumeName": "pv-1" },
        })),
        attachment(json!({ "attacher": "x.y", "nodeName": "n", "source": { "inlineVolumeSpec": {
            "accessModes": ["ReadWriteOnce"], "csi": { "driver": "x.y", "volumeHandle": "v" },
        } } })),
        capacity(json!({
            "storageClassName": "fast", "capacity": "1024Mi", "maximumVolumeSize": "100Gi",
            "nodeTopology": { "matchLabels": { "topology.kubernetes.io/zone": "a" } },
        })),
    ]
}

#[test]
fn storage_classes_are_completed_and_checked() {
    let new = created(class(json!({})));
    assert_eq!(
        (&new["reclaimPolicy"], &new["volumeBindingMode"]),
        (&json!("Delete"), &json!("Immediate"))
    );
    assert_eq!(new.get("status"), None);
    let many: serde_json::Map<String, Value> =
        (0..513).map(|index| (format!("k{index}"), "v".into())).collect();
    for (fields, error) in [
        (json!({ "provisioner": "" }), "provisioner: Required value"),
        (
            json!({ "reclaimPolicy": "Recycle" }),
            "reclaimPolicy: Unsupported value: \"Recycle\": supported values: \"Delete\", \"Retain\"",
        ),
        (
            json!({ "volumeBindingMode": "Later" }),
            "volumeBindingMode: Unsupported value: \"Later\": supported values: \"Immediate\", \"WaitForFirstConsumer\"",
        ),
        (json!({ "parameters": many }), "parameters: Too long: may not be more than 512 bytes"),
        (
            json!({ "parameters": { "a": "x".repeat(256 << 10) } }),
            "parameters: Too long: may not be more than 262144 bytes",
        ),
        (
            json!({ "parameters": { "": "x" } }),
            "parameters: Invalid value: \"\": field can not be empty.",
        ),
    ] {
        check(create(class(fields)), &[error]);
    }
    let status = create(class(json!({ "provisioner": "A/B/C" }))).expect_err("refused");
    assert!(
        causes(&status)[0].starts_with("provisioner: Invalid value: \"a/b/c\": a qualified name")
    );
}

#[test]
fn topologies_of_a_class_differ() {
    let at = "allowedTopologies[0].matchLabelExpressions";
    let term = |key: &str, values: Value| json!({ "key": key, "values": values });
    for (terms, errors) in [
        (
            json!([{ "matchLabelExpressions": [term("a", json!([]))] }]),
            vec![format!("{at}[0].values: Required value")],
        ),
        (
            json!([{ "matchLabelExpressions": [term("a", json!(["x", "x"]))] }]),
            vec![format!("{at}[0].values[1]: Duplicate value: \"x\"")],
        ),
        (
            json!([{ "matchLabelExpressions": [term("a", json!(["x"])), term("a", json!(["y"]))] }]),
            vec![format!("{at}[1].key: Duplicate value: \"a\"")],
        ),
        (
            json!([
                { "matchLabelExpressions": [term("a", json!(["x", "y"]))] },
                { "matchLabelExpressions": [term("a", json!(["y", "x"]))] },
            ]),
            vec!["allowedTopologies[1].matchLabelExpressions: Duplicate value: \"\"".to_owned()],
        ),
        (json!([{}]), vec![format!("{at}: Duplicate value: \"\"")]),
    ] {
        let errors: Vec<&str> = errors.iter().map(String::as_str).collect();
        check(create(class(json!({ "allowedTopologies": terms }))), &errors);
    }
    let zone = "failure-domain.beta.kubernetes.io/zone";
    let old = created(class(json!({ "allowedTopologies": [
        { "matchLabelExpressions": [term(zone, json!(["x"]))] },
    ] })));
    assert_eq!(
        warned(&old, None),
        [format!(
            "{at}[0].key: deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead"
        )]
    );
}

#[test]
fn a_class_stays_what_it_was_made_for() {
    let old = created(class(json!({ "parameters": { "a": "b" } })));
    check(
        update(Target::Main, &old, |new| {
            new["parameters"]["a"] = "c".into();
            new["provisioner"] = "x".into();
            new["reclaimPolicy"] = "Retain".into();
            new["volumeBindingMode"] = "WaitForFirstConsumer".into();
        }),
        &[
            "parameters: Forbidden: updates to parameters are forbidden.",
            "provisioner: Forbidden: updates to provisioner are forbidden.",
            "reclaimPolicy: Forbidden: updates to reclaimPolicy are forbidden.",
            "volumeBindingMode: Invalid value: \"WaitForFirstConsumer\": field is immutable",
        ],
    );
    updated(&old, |new| {
        new["allowVolumeExpansion"] = true.into();
        new["mountOptions"] = json!(["ro"]);
    });
    let attributes = |fields: Value| create(object("VolumeAttributesClass", "v", fields));
    check(
        attributes(json!({})),
        &[
            "driverName: Required value",
            "parameters: Required value: must contain at least one key/value pair",
        ],
    );
    let old =
        attributes(json!({ "driverName": "d", "parameters": { "a": "b" } })).expect("accepted");
    check(
        update(Target::Main, &old, |new| {
            new["driverName"] = "e".into();
            new["parameters"]["c"] = "d".into();
        }),
        &[
            "driverName: Forbidden: updates to driverName are forbidden.",
            "parameters: Forbidden: updates to parameters are forbidden.",
        ],
    );
}

#[test]
fn drivers_are_completed_and_checked() {
    let new = created(driver(json!({ "preventPodSchedulingIfMissing": true })));
    assert_eq!(
        new["spec"],
        json!({
            "attachRequired": true, "podInfoOnMount": false, "storageCapacity": false, "requiresRepublish": false,
            "seLinuxMount": false, "fsGroupPolicy": "ReadWriteOnceWithFSType", "volumeLifecycleModes": ["Persistent"],
        })
    );
    assert_eq!(new["metadata"]["generation"], 1);
    let token = |seconds: i64| json!({ "tokenRequests": [{ "audience": "a", "expirationSeconds": seconds }] });
    for (spec, error) in [
        (
            json!({ "fsGroupPolicy": "All" }),
            "fsGroupPolicy: Unsupported value: \"All\": supported values: \"File\", \"None\", \"ReadWriteOnceWithFSType\"",
        ),
        (
            json!({ "volumeLifecycleModes": ["Forever"] }),
            "volumeLifecycleModes: Unsupported value: \"Forever\": supported values: \"Persistent\", \"Ephemeral\"",
        ),
        (
            json!({ "tokenRequests": [{ "audience": "a" }, { "audience": "a" }] }),
            "tokenRequests[1].audience: Duplicate value: \"a\"",
        ),
        (
            token(599),
            "tokenRequests[0].expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes",
        ),
        (
            token((1 << 32) + 1),
            "tokenRequests[0].expirationSeconds: Invalid value: 4294967297: may not specify a duration larger than 2^32 seconds",
        ),
        (
            json!({ "nodeAllocatableUpdatePeriodSeconds": 9 }),
            "nodeAllocatableUpdatePeriodSeconds: Invalid value: 9: must be greater than or equal to 10 seconds",
        ),
        (
            json!({ "serviceAccountTokenInSecrets": false }),
            "serviceAccountTokenInSecrets: Invalid value: false: serviceAccountTokenInSecrets is set but no tokenRequests are specified",
        ),
    ] {
        check(create(driver(spec)), &[&format!("spec.{error}")]);
    }
    check(
        update(Target::Main, &new, |new| {
            new["spec"]["attachRequired"] = false.into();
            new["spec"]["volumeLifecycleModes"] = json!(["Ephemeral"]);
        }),
        &[
            "spec.attachedRequired: Invalid value: false: field is immutable",
            "spec.volumeLifecycleModes: Invalid value: [\"Ephemeral\"]: field is immutable",
        ],
    );
    let more = updated(&new, |new| new["spec"]["requiresRepublish"] = true.into());
    assert_eq!(more["metadata"]["generation"], 2);
    // A field that is not there yet comes by no update either, unless an object has it already.
    let ahead = |new: &mut Value| new["spec"]["preventPodSchedulingIfMissing"] = true.into();
    assert_eq!(update(Target::Main, &new, ahead), Ok(Write::Unchanged));
    let stored = with(new, &[("spec.preventPodSchedulingIfMissing", json!(false))]);
    assert!(matches!(update(Target::Main, &stored, ahead), Ok(Write::Put(_))));
}

#[test]
fn drivers_of_a_node_are_known_by_name() {
    let at = "spec.drivers[0]";
    for (one, errors) in [
        (json!({ "name": "a" }), vec![format!("{at}.nodeID: Required value")]),
        (
            json!({ "name": "a", "nodeID": "x".repeat(257) }),
            vec![format!(
                "{at}.nodeID: Invalid value: \"{}\": must be 256 characters or less",
                "x".repeat(257)
            )],
        ),
        (
            json!({ "name": "a", "nodeID": "x", "allocatable": { "count": -1 } }),
            vec![format!(
                "{at}.allocatable.count: Invalid value: -1: must be greater than or equal to 0"
            )],
        ),
        (
            json!({ "name": "a", "nodeID": "x", "topologyKeys": ["k", "k"] }),
            vec![format!("{at}: Duplicate value: \"k\"")],
        ),
        (
            json!({ "name": "a".repeat(64), "nodeID": "x" }),
            vec![format!("{at}.name: Too long: may not be more than 63 bytes")],
        ),
    ] {
        let errors: Vec<&str> = errors.iter().map(String::as_str).collect();
        check(create(node(json!([one]))), &errors);
    }
    let one = json!({ "name": "a", "nodeID": "x", "allocatable": { "count": 1 } });
    check(create(node(json!([one, one]))), &["spec.drivers[1].name: Duplicate value: \"a\""]);
    let old = created(node(json!([one])));
    updated(&old, |new| new["spec"]["drivers"][0]["allocatable"]["count"] = 2.into());
    check(
        update(Target::Main, &old, |new| new["spec"]["drivers"][0]["nodeID"] = "y".into()),
        &[
            "spec.drivers: Invalid value: {\"Name\":\"a\",\"NodeID\":\"y\",\"TopologyKeys\":null,\"Allocatable\":null}: field is immutable",
        ],
    );
}

#[test]
fn attachments_name_one_volume() {
    let with_source = |source: Value| {
        create(attachment(json!({ "attacher": "a.b", "nodeName": "n", "source": source })))
    };
    let one = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    let inline =
        json!({ "accessModes": ["ReadWriteOnce"], "csi": { "driver": "d", "volumeHandle": "h" } });
    check(with_source(json!({})), &[&format!("spec.source: Required value: {one}")]);
    check(
        with_source(json!({ "persistentVolumeName": "v", "inlineVolumeSpec": inline })),
        &[&format!("spec.source: Forbidden: {one}")],
    );
    let at = "spec.source.inlineVolumeSpec";
    let mut wrong = inline.clone();
    wrong["capacity"] = json!({ "storage": "1Gi" });
    wrong["claimRef"] = json!({ "name": "c" });
    wrong["persistentVolumeReclaimPolicy"] = "Delete".into();
    let why = "may not be specified in the context of inline volumes";
    check(
        with_source(json!({ "inlineVolumeSpec": wrong })),
        &[
            &format!("{at}.claimRef: Forbidden: {why}"),
            &format!("{at}.capacity: Forbidden: {why}"),
            &format!(
                "{at}.persistentVolumeReclaimPolicy: Forbidden: may only be Retain in the context of inline volumes"
            ),
        ],
    );
    check(
        with_source(
            json!({ "inlineVolumeSpec": { "accessModes": ["ReadWriteOnce"], "hostPath": { "path": "/x" } } }),
        ),
        &[&format!(
            "{at}.csi: Required value: has to be specified in the context of inline volumes"
        )],
    );
    let status =
        create(attachment(json!({ "nodeName": "n", "source": { "persistentVolumeName": "v" } })));
    let causes = causes(&status.expect_err("refused"));
    assert_eq!(causes[..2], ["spec.attacher: Required value", "spec.attacher: Required value"]);
    assert!(causes[2].starts_with("spec.attacher: Invalid value: \"\": a lowercase RFC 1123"));
}

#[test]
fn attachments_only_say_how_it_went() {
    let mut body = attachment(
        json!({ "attacher": "a.b", "nodeName": "n", "source": { "persistentVolumeName": "v" } }),
    );
    body["status"] = json!({ "attached": true });
    let old = created(body);
    assert_ne!(old["status"]["attached"], true);
    check(
        update(Target::Main, &old, |new| new["spec"]["nodeName"] = "m".into()),
        &[
            "spec: Invalid value: {\"Attacher\":\"a.b\",\"Source\":{\"PersistentVolumeName\":\"v\",\"InlineVolumeSpec\":null},\"NodeName\":\"m\"}: field is immutable",
        ],
    );
    let status = |status: Value| update(Target::Status, &old, |new| new["status"] = status);
    assert!(status(json!({ "attached": true, "attachmentMetadata": { "a": "b" } })).is_ok());
    check(
        status(
            json!({ "attached": false, "attachError": { "message": "x".repeat(1025), "errorCode": -1 } }),
        ),
        &[
            "status.attachError.message: Too long: may not be more than 262144 bytes",
            "status.attachError.errorCode: Invalid value: -1: must be between 0 and 2147483647, inclusive",
        ],
    );
    check(
        status(json!({ "attached": true, "attachmentMetadata": { "a": "x".repeat(256 << 10) } })),
        &["status.attachmentMetadata: Too long: may not be more than 262144 bytes"],
    );
}

#[test]
fn capacities_are_of_a_class_at_a_place() {
    let new = created(capacity(json!({ "storageClassName": "s", "capacity": "1024Mi" })));
    assert_eq!(new["capacity"], "1Gi");
    check(
        create(capacity(json!({ "storageClassName": "s", "capacity": "-1" }))),
        &["capacity: Invalid value: \"-1\": must be greater than or equal to 0"],
    );
    assert!(create(capacity(json!({ "storageClassName": "s", "capacity": "x" }))).is_err());
    check(
        update(Target::Main, &new, |new| {
            new["storageClassName"] = "t".into();
            new["nodeTopology"] = json!({ "matchLabels": { "beta.kubernetes.io/os": "linux" } });
        }),
        &[
            "nodeTopology: Invalid value: {\"matchLabels\":{\"beta.kubernetes.io/os\":\"linux\"}}: field is immutable",
            "storageClassName: Invalid value: \"t\": field is immutable",
        ],
    );
    let odd = json!({ "storageClassName": "s", "nodeTopology": { "matchLabels": { "beta.kubernetes.io/os": "linux" } } });
    assert_eq!(
        warned(&capacity(odd), None),
        [
            "nodeTopology.matchLabels.beta.kubernetes.io/os: deprecated since v1.14; use \"kubernetes.io/os\" instead"
        ]
    );
}
