//! ConfigMaps, Secrets, volumes and claims.

use super::*;

fn config_map(data: Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "m" }, "data": data })
}

fn secret(fields: Value) -> Value {
    let mut secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "m" } });
    secret.as_object_mut().expect("map").extend(fields.as_object().expect("map").clone());
    secret
}

#[test]
fn config_map_keys_and_sizes_are_checked() {
    let status = create(config_map(json!({ "a/b": "x" }))).expect_err("refused");
    assert!(
        causes(&status)[0]
            .starts_with("data[a/b]: Invalid value: \"a/b\": a valid config key must"),
        "{status}"
    );
    check(
        create(config_map(json!({ "a": "x".repeat((1 << 20) + 1) }))),
        &["[]: Too long: may not be more than 1048576 bytes"],
    );
    created(config_map(json!({ "a": "x".repeat(1 << 20) })));
}

#[test]
fn what_is_marked_immutable_stays() {
    let mut old = created(config_map(json!({ "a": "1" })));
    old["immutable"] = true.into();
    check(
        update(Target::Main, &old, |new| new["data"]["a"] = "2".into()),
        &["data: Forbidden: field is immutable when `immutable` is set"],
    );
    check(
        update(Target::Main, &old, |new| new["immutable"] = false.into()),
        &["immutable: Forbidden: field is immutable when `immutable` is set"],
    );
}

#[test]
fn plain_strings_of_secrets_become_data() {
    let new = created(secret(
        json!({ "stringData": { "a": "hi", "b": "over" }, "data": { "b": "eA==" } }),
    ));
    assert_eq!(new["data"], json!({ "a": "aGk=", "b": "b3Zlcg==" }));
    assert_eq!((new.get("stringData"), &new["type"]), (None, &json!("Opaque")));
}

#[test]
fn secrets_are_checked_by_type() {
    check(
        create(secret(json!({ "type": "kubernetes.io/tls", "data": { "tls.crt": "" } }))),
        &["data[tls.key]: Required value"],
    );
    check(
        create(secret(json!({ "type": "kubernetes.io/dockerconfigjson" }))),
        &["data[.dockerconfigjson]: Required value"],
    );
    check(
        create(secret(json!({ "type": "kubernetes.io/service-account-token" }))),
        &["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
    );
    let old = created(secret(json!({})));
    check(
        update(Target::Main, &old, |new| new["type"] = "other".into()),
        &["type: Invalid value: \"other\": field is immutable"],
    );
}

// Red when the reader's own words are given: they are not upstream's.
#[test]
fn what_is_no_configuration_of_registries_is_told_in_words_of_upstream() {
    let config = |text: &str| {
        create(secret(
            json!({ "type": "kubernetes.io/dockerconfigjson", "stringData": { ".dockerconfigjson": text } }),
        ))
    };
    for text in ["{}", r#"{"auths":{}}"#, "null"] {
        assert!(config(text).is_ok(), "{text}");
    }
    let map = "into Go value of type map[string]interface {}";
    for (text, why) in [
        ("", "unexpected end of JSON input".to_owned()),
        ("{", "unexpected end of JSON input".to_owned()),
        ("foo", "invalid character 'o' in literal false (expecting 'a')".to_owned()),
        ("xy", "invalid character 'x' looking for beginning of value".to_owned()),
        ("\"a\"", format!("json: cannot unmarshal string {map}")),
        ("[]", format!("json: cannot unmarshal array {map}")),
        ("1", format!("json: cannot unmarshal number {map}")),
    ] {
        let error = format!(
            "data[.dockerconfigjson]: Invalid value: \"<secret contents redacted>\": {why}"
        );
        check(config(text), &[error.as_str()]);
    }
}

fn volume() -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": "v" },
        "spec": { "capacity": { "storage": "1024Mi" }, "accessModes": ["ReadWriteOnce"], "hostPath": { "path": "/x" } },
    })
}

#[test]
fn volumes_are_completed_and_checked() {
    let new = created(volume());
    assert_eq!(
        new["spec"],
        json!({
            "capacity": { "storage": "1Gi" }, "accessModes": ["ReadWriteOnce"],
            "hostPath": { "path": "/x", "type": "" }, "persistentVolumeReclaimPolicy": "Retain",
            "volumeMode": "Filesystem",
        })
    );
    assert_eq!(new["status"], json!({ "phase": "Pending" }));
    check(
        create(
            json!({ "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": "v" }, "spec": {} }),
        ),
        &[
            "spec.accessModes: Required value",
            "spec.capacity: Required value",
            "spec.capacity: Unsupported value: null: supported values: \"storage\"",
            "spec: Required value: must specify a volume type",
        ],
    );
    let two = with(volume(), &[("spec.nfs", json!({ "server": "s", "path": "/" }))]);
    check(create(two), &["spec.nfs: Forbidden: may not specify more than 1 volume type"]);
    check(
        update(Target::Main, &new, |new| new["spec"]["hostPath"]["path"] = "/y".into()),
        &[
            "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation",
        ],
    );
}

fn claim() -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": "c" },
        "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } },
    })
}

#[test]
fn claims_are_checked_and_stay_as_they_are_but_for_binding() {
    check(
        create(
            json!({ "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": "c" } }),
        ),
        &[
            "spec.accessModes: Required value: at least 1 access mode is required",
            "spec.resources[storage]: Required value",
        ],
    );
    let old = created(claim());
    assert_eq!(old["status"], json!({ "phase": "Pending" }));
    let bound = updated(&old, |new| new["spec"]["volumeName"] = "v".into());
    assert_eq!(bound["spec"]["volumeName"], "v");
    let message = "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
    check(update(Target::Main, &bound, |new| new["spec"]["volumeName"] = "w".into()), &[message]);
    check(
        update(Target::Main, &old, |new| {
            new["spec"]["resources"]["requests"]["storage"] = "2Gi".into()
        }),
        &[message],
    );
    let full =
        with(bound, &[("status", json!({ "phase": "Bound", "capacity": { "storage": "1Gi" } }))]);
    let grown =
        updated(&full, |new| new["spec"]["resources"]["requests"]["storage"] = "2Gi".into());
    assert_eq!(grown["spec"]["resources"]["requests"]["storage"], "2Gi");
    check(
        update(Target::Main, &full, |new| {
            new["spec"]["resources"]["requests"]["storage"] = "1Mi".into()
        }),
        &["spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"],
    );
}

#[test]
fn what_a_claim_is_filled_from_is_checked() {
    let claim = |fields: Value| {
        let mut body = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": "c" },
            "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } },
        });
        body["spec"].as_object_mut().expect("map").extend(fields.as_object().expect("map").clone());
        create(body)
    };
    let source = |name: &str| json!({ "kind": "PersistentVolumeClaim", "name": name });
    assert!(claim(json!({ "dataSource": source("a") })).is_ok());
    assert!(claim(json!({ "dataSource": source("a"), "dataSourceRef": source("a") })).is_ok());
    check(
        claim(json!({ "dataSource": source("") })),
        &["spec.dataSource.name: Required value", "spec.dataSourceRef.name: Required value"],
    );
    check(
        claim(json!({ "dataSourceRef": { "kind": "K", "name": "a" } })),
        &[
            "spec.dataSource: Invalid value: \"K\": must be 'PersistentVolumeClaim' when referencing the default apiGroup",
            "spec.dataSourceRef: Invalid value: \"K\": must be 'PersistentVolumeClaim' when referencing the default apiGroup",
        ],
    );
    check(
        claim(json!({ "dataSource": source("a"), "dataSourceRef": source("b") })),
        &["spec: Invalid value: {}: must match dataSourceRef"],
    );
}
