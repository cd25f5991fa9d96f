//! What each source of a volume has to say.

use super::*;

/// A pod with a volume of this source.
fn volume(source: &Value) -> Value {
    let mut volume = json!({ "name": "v" });
    volume.as_object_mut().expect("map").extend(source.as_object().expect("map").clone());
    pod_of(&json!({ "volumes": [volume] }))
}

/// Holds a source that is accepted against the same with one field otherwise, and its error below the volume's path.
#[track_caller]
fn each(name: &str, good: &Value, rows: &[(Value, &[&str])]) {
    let accepted = create(volume(&json!({ name: good })));
    assert!(accepted.is_ok(), "{name}: {accepted:?}");
    for (change, errors) in rows {
        let mut source = good.clone();
        let map = source.as_object_mut().expect("map");
        for (field, value) in change.as_object().expect("map") {
            map.insert(field.clone(), value.clone());
        }
        let told: Vec<String> =
            errors.iter().map(|error| format!("spec.volumes[0].{error}")).collect();
        let status = create(volume(&json!({ name: source }))).expect_err("refused");
        assert_eq!(causes(&status), told, "{name}: {change}");
    }
}

// Red when a source is taken as it is.
#[test]
fn disks_say_which_they_are() {
    each(
        "gcePersistentDisk",
        &json!({ "pdName": "d", "partition": 255 }),
        &[
            (json!({ "pdName": "" }), &["persistentDisk.pdName: Required value"]),
            (
                json!({ "partition": 256 }),
                &[
                    "persistentDisk.partition: Invalid value: 256: must be between 1 and 255, inclusive",
                ],
            ),
        ],
    );
    each(
        "awsElasticBlockStore",
        &json!({ "volumeID": "d" }),
        &[
            (json!({ "volumeID": "" }), &["awsElasticBlockStore.volumeID: Required value"]),
            (
                json!({ "partition": -1 }),
                &[
                    "awsElasticBlockStore.partition: Invalid value: -1: must be between 1 and 255, inclusive",
                ],
            ),
        ],
    );
    let managed = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}";
    let blob = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd";
    each(
        "azureDisk",
        &json!({ "diskName": "d", "diskURI": "https://b.test/d.vhd" }),
        &[
            (json!({ "diskName": "" }), &["azureDisk.diskName: Required value"]),
            (
                json!({ "cachingMode": "Foo", "diskURI": "https://b.test/d.vhd" }),
                &[
                    "azureDisk.cachingMode: Unsupported value: \"Foo\": supported values: \"None\", \"ReadOnly\", \"ReadWrite\"",
                ],
            ),
            (
                json!({ "kind": "Managed" }),
                &[&format!(
                    "azureDisk.diskURI: Unsupported value: \"https://b.test/d.vhd\": supported values: \"{managed}\""
                )],
            ),
            (
                json!({ "kind": "Shared", "diskURI": "/subscriptions/s" }),
                &[&format!(
                    "azureDisk.diskURI: Unsupported value: \"/subscriptions/s\": supported values: \"{blob}\""
                )],
            ),
        ],
    );
    each(
        "fc",
        &json!({ "targetWWNs": ["a"], "lun": 0 }),
        &[
            (
                json!({ "targetWWNs": [] }),
                &[
                    "fc.targetWWNs: Required value: must specify either targetWWNs or wwids, but not both",
                ],
            ),
            (
                json!({ "wwids": ["b"] }),
                &[
                    "fc.targetWWNs: Invalid value: [\"a\"]: targetWWNs and wwids can not be specified simultaneously",
                ],
            ),
            (
                json!({ "lun": null }),
                &["fc.lun: Required value: lun is required if targetWWNs is specified"],
            ),
            (
                json!({ "lun": 256 }),
                &["fc.lun: Invalid value: 256: must be between 0 and 255, inclusive"],
            ),
        ],
    );
    each(
        "vsphereVolume",
        &json!({ "volumePath": "p" }),
        &[(json!({ "volumePath": "" }), &["vsphereVolume.volumePath: Required value"])],
    );
    each(
        "photonPersistentDisk",
        &json!({ "pdID": "p" }),
        &[(json!({ "pdID": "" }), &["photonPersistentDisk.pdID: Required value"])],
    );
    each(
        "portworxVolume",
        &json!({ "volumeID": "p" }),
        &[(json!({ "volumeID": "" }), &["portworxVolume.volumeID: Required value"])],
    );
    each(
        "cinder",
        &json!({ "volumeID": "p", "secretRef": { "name": "s" } }),
        &[
            (json!({ "volumeID": "" }), &["cinder.volumeID: Required value"]),
            (json!({ "secretRef": {} }), &["cinder.secretRef.name: Required value"]),
        ],
    );
    each(
        "rbd",
        &json!({ "monitors": ["m"], "image": "i" }),
        &[
            (json!({ "monitors": [] }), &["rbd.monitors: Required value"]),
            (json!({ "image": "" }), &["rbd.image: Required value"]),
        ],
    );
    each(
        "scaleIO",
        &json!({ "gateway": "g", "system": "s", "volumeName": "v", "secretRef": {} }),
        &[(
            json!({ "gateway": "", "system": "", "volumeName": "" }),
            &[
                "scaleIO.gateway: Required value",
                "scaleIO.system: Required value",
                "scaleIO.volumeName: Required value",
            ],
        )],
    );
}

#[test]
fn targets_have_names() {
    let good =
        json!({ "targetPortal": "192.0.2.1", "iqn": "iqn.2015-02.example.com:test", "lun": 1 });
    let eui = json!({ "iqn": "eui.0123456789ABCDEF" });
    let mut other = good.clone();
    other["iqn"] = eui["iqn"].clone();
    assert!(create(volume(&json!({ "iscsi": other }))).is_ok());
    each(
        "iscsi",
        &good,
        &[
            (json!({ "targetPortal": "" }), &["iscsi.targetPortal: Required value"]),
            (json!({ "iqn": "" }), &["iscsi.iqn: Required value"]),
            (
                json!({ "iqn": "x" }),
                &[
                    "iscsi.iqn: Invalid value: \"x\": must be valid format starting with iqn, eui, or naa",
                ],
            ),
            (
                json!({ "iqn": "iqn.2015-02.example.com" }),
                &["iscsi.iqn: Invalid value: \"iqn.2015-02.example.com\": must be valid format"],
            ),
            (
                json!({ "iqn": "eui.0123" }),
                &["iscsi.iqn: Invalid value: \"eui.0123\": must be valid format"],
            ),
            (
                json!({ "iqn": "naa.0123" }),
                &["iscsi.iqn: Invalid value: \"naa.0123\": must be valid format"],
            ),
            (
                json!({ "lun": 256 }),
                &["iscsi.lun: Invalid value: 256: must be between 0 and 255, inclusive"],
            ),
            (json!({ "chapAuthSession": true }), &["iscsi.secretRef: Required value"]),
            (
                json!({ "initiatorName": "iqn.x" }),
                &["iscsi.initiatorname: Invalid value: \"iqn.x\": must be valid format"],
            ),
            (
                json!({ "initiatorName": "iqn.2015-02.example.com:init", "targetPortal": "a".repeat(63) }),
                &[
                    "name: Invalid value: \"v\": Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.",
                ],
            ),
        ],
    );
}

#[test]
fn shares_say_where_they_are() {
    each(
        "nfs",
        &json!({ "server": "s", "path": "/p" }),
        &[
            (json!({ "server": "" }), &["nfs.server: Required value"]),
            (json!({ "path": "p" }), &["nfs.path: Invalid value: \"p\": must be an absolute path"]),
        ],
    );
    each(
        "glusterfs",
        &json!({ "endpoints": "e", "path": "p" }),
        &[(
            json!({ "endpoints": "", "path": "" }),
            &["glusterfs.endpoints: Required value", "glusterfs.path: Required value"],
        )],
    );
    each(
        "cephfs",
        &json!({ "monitors": ["m"] }),
        &[(json!({ "monitors": [] }), &["cephfs.monitors: Required value"])],
    );
    each(
        "azureFile",
        &json!({ "secretName": "s", "shareName": "n" }),
        &[(
            json!({ "secretName": "", "shareName": "" }),
            &["azureFile.secretName: Required value", "azureFile.shareName: Required value"],
        )],
    );
    each(
        "flocker",
        &json!({ "datasetName": "d" }),
        &[
            (
                json!({ "datasetName": "" }),
                &["flocker: Required value: one of datasetName and datasetUUID is required"],
            ),
            (
                json!({ "datasetUUID": "u" }),
                &[
                    "flocker: Invalid value: \"resource\": datasetName and datasetUUID can not be specified simultaneously",
                ],
            ),
            (
                json!({ "datasetName": "a/b" }),
                &["flocker.datasetName: Invalid value: \"a/b\": must not contain '/'"],
            ),
        ],
    );
    let pairs = "must be a host:port pair or multiple pairs separated by commas";
    each(
        "quobyte",
        &json!({ "registry": "a:1,[::1]:2", "volume": "v", "tenant": "t" }),
        &[
            (json!({ "registry": "" }), &[&format!("quobyte.registry: Required value: {pairs}")]),
            (
                json!({ "registry": "a" }),
                &[&format!("quobyte.registry: Invalid value: \"a\": {pairs}")],
            ),
            (
                json!({ "tenant": "t".repeat(65) }),
                &[
                    "quobyte.tenant: Required value: must be a UUID and may not exceed a length of 64 characters",
                ],
            ),
            (json!({ "volume": "" }), &["quobyte.volume: Required value"]),
        ],
    );
    each(
        "storageos",
        &json!({ "volumeName": "v", "volumeNamespace": "n" }),
        &[
            (json!({ "volumeName": "" }), &["storageos.volumeName: Required value"]),
            (json!({ "secretRef": {} }), &["storageos.secretRef.name: Required value"]),
        ],
    );
    each(
        "gitRepo",
        &json!({ "repository": "r", "directory": "d" }),
        &[
            (json!({ "repository": "" }), &["gitRepo.repository: Required value"]),
            (
                json!({ "directory": "/d" }),
                &["gitRepo.directory: Invalid value: \"/d\": must be a relative path"],
            ),
            (
                json!({ "directory": "../d" }),
                &["gitRepo.directory: Invalid value: \"../d\": must not contain '..'"],
            ),
        ],
    );
}

#[test]
fn drivers_and_images_are_named() {
    each(
        "flexVolume",
        &json!({ "driver": "a/b", "options": { "a": "b" } }),
        &[
            (json!({ "driver": "" }), &["flexVolume.driver: Required value"]),
            (
                json!({ "options": { "x.kubernetes.io/a": "b" } }),
                &[
                    "flexVolume.options[x.kubernetes.io/a]: Invalid value: \"x.kubernetes.io/a\": kubernetes.io and k8s.io namespaces are reserved",
                ],
            ),
        ],
    );
    let subdomain = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
    each(
        "csi",
        &json!({ "driver": "A.test", "nodePublishSecretRef": { "name": "s" } }),
        &[
            (json!({ "driver": "" }), &["csi.driver: Required value"]),
            (
                json!({ "driver": "a_b" }),
                &[&format!("csi.driver: Invalid value: \"a_b\": {subdomain}")],
            ),
            (
                json!({ "driver": "a".repeat(64) }),
                &["csi.driver: Too long: may not be more than 63 bytes"],
            ),
            (
                json!({ "nodePublishSecretRef": {} }),
                &["csi.nodePublishSecretRef.name: Required value"],
            ),
            (
                json!({ "nodePublishSecretRef": { "name": "A" } }),
                &[&format!("csi.name: Invalid value: \"A\": {subdomain}")],
            ),
        ],
    );
    each(
        "image",
        &json!({ "reference": "r", "pullPolicy": "Never" }),
        &[
            (json!({ "reference": "" }), &["image.reference: Required value"]),
            (
                json!({ "pullPolicy": "Foo" }),
                &[
                    "image.pullPolicy: Unsupported value: \"Foo\": supported values: \"Always\", \"IfNotPresent\", \"Never\"",
                ],
            ),
        ],
    );
    let policy = |reference: &str| {
        let pod = created(volume(&json!({ "image": { "reference": reference } })));
        pod["spec"]["volumes"][0]["image"]["pullPolicy"].clone()
    };
    assert_eq!(
        [policy("a"), policy("a:latest"), policy("a:1")],
        ["Always", "Always", "IfNotPresent"]
    );
    each(
        "emptyDir",
        &json!({ "sizeLimit": "0" }),
        &[(
            json!({ "sizeLimit": "-1" }),
            &["emptyDir.sizeLimit: Forbidden: SizeLimit field must be a valid resource quantity"],
        )],
    );
}

// Red when each is looked at, and when a field is called as it is called everywhere else.
#[test]
fn the_first_source_counts() {
    let two = |first: &str, second: &str| {
        check(
            create(volume(&json!({ "secret": { "secretName": "s" }, first: {} }))),
            &[&format!(
                "spec.volumes[0].{second}: Forbidden: may not specify more than 1 volume type"
            )],
        );
    };
    two("cephfs", "cephFS");
    two("downwardAPI", "downwarAPI");
    two("projected", "projected");
    two("image", "image");
    // What has an error is no volume that could be mounted, nor one that another could be the same as.
    check(
        create(pod_of(
            &json!({ "volumes": [{ "name": "v", "nfs": { "path": "/" } }, { "name": "v", "emptyDir": {} }] }),
        )),
        &["spec.volumes[0].nfs.server: Required value"],
    );
    check(
        create(pod_of(
            &json!({ "volumes": [{ "name": "v", "emptyDir": {} }, { "name": "v", "emptyDir": {} }] }),
        )),
        &["spec.volumes[1].name: Duplicate value: \"v\""],
    );
}

// Red when only names of volumes that are claims themselves are looked at.
#[test]
fn claims_that_are_made_for_a_pod_have_names() {
    let mut pod = volume(&json!({ "ephemeral": { "volumeClaimTemplate": {
        "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } },
    } } }));
    pod["metadata"]["name"] = "p".repeat(252).into();
    check(
        create(pod),
        &[&format!(
            "spec.volumes[0].name: Invalid value: \"v\": PVC name \"{}-v\": must be no more than 253 bytes",
            "p".repeat(252)
        )],
    );
}

#[test]
fn nobody_names_a_claim_that_is_made_for_the_pod() {
    let template = json!({ "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } } });
    let volumes = |claim: &str| {
        create(pod_of(&json!({ "volumes": [
            { "name": "v", "ephemeral": { "volumeClaimTemplate": template } },
            { "name": "w", "persistentVolumeClaim": { "claimName": claim } },
        ] })))
    };
    assert!(volumes("other").is_ok());
    check(
        volumes("p-v"),
        &[
            "spec.volumes[1].persistentVolumeClaim.claimName: Invalid value: \"p-v\": must not reference a PVC that gets created for an ephemeral volume",
        ],
    );
}
