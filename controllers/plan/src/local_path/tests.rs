//! What becomes of claims and volumes.

use super::*;

fn read<T: serde::de::DeserializeOwned>(value: Value) -> Arc<T> {
    Arc::new(serde_json::from_value(value).unwrap())
}

fn claim(change: impl FnOnce(&mut Value)) -> ClaimObserved {
    let mut value = json!({
        "metadata": { "name": "data", "namespace": "default", "uid": "u1", "annotations": {
            STORAGE_PROVISIONER: PROVISIONER, SELECTED_NODE: "a" } },
        "spec": { "accessModes": ["ReadWriteOnce"], "storageClassName": CLASS,
            "resources": { "requests": { "storage": "1Gi" } } },
    });
    change(&mut value);
    ClaimObserved {
        claim: Some(read(value)),
        class: Some(read(json!({ "metadata": { "name": CLASS }, "provisioner": PROVISIONER,
            "reclaimPolicy": "Delete" }))),
        node: Some(read(json!({ "metadata": { "name": "a", "annotations": { ROOT: "/d/" } } }))),
        volume: None,
        source: SourceObserved::default(),
    }
}

fn now() -> Timestamp {
    Timestamp::UNIX_EPOCH
}

#[test]
fn a_claim_gets_a_directory_on_the_node_that_was_chosen() {
    let plan = plan_claim(&claim(|_| {}), now());
    let [Action::Create { object, .. }] = plan.actions.as_slice() else { panic!("{plan:?}") };
    assert_eq!(object.0["metadata"]["name"], "pvc-u1");
    assert_eq!(object.0["spec"]["local"]["path"], "/d/pvc-u1");
    assert_eq!(node_of(&read(object.0.clone())), Some("a"));
    assert_eq!(object.0["spec"]["claimRef"]["uid"], "u1");
}

#[test]
fn what_a_directory_cannot_be_is_said() {
    let said = |change: fn(&mut Value)| {
        let plan = plan_claim(&claim(change), now());
        assert!(plan.actions.is_empty(), "{plan:?}");
        plan.report.waiting.first().map(|wait| wait.message.clone()).unwrap_or_default()
    };
    for (change, why) in [
        ((|claim| claim["spec"]["volumeMode"] = "Block".into()) as fn(&mut Value), "Block"),
        (|claim| claim["spec"]["selector"] = json!({}), "Selector"),
        (
            |claim| claim["spec"]["dataSource"] = json!({ "kind": "V", "name": "x" }),
            "external populator",
        ),
        (
            |claim| {
                let source = json!({ "kind": "PersistentVolumeClaim", "name": "x" });
                claim["spec"]["dataSource"] = source;
            },
            "by Name x: error getting PVC x",
        ),
        (
            |claim| {
                claim["metadata"]["annotations"] = json!({ STORAGE_PROVISIONER: PROVISIONER });
            },
            "no node was chosen",
        ),
    ] {
        assert!(said(change).contains(why), "{why}: {}", said(change));
    }
    let mut alone = claim(|_| {});
    alone.node = Some(read(json!({ "metadata": { "name": "a" } })));
    let plan = plan_claim(&alone, now());
    let [Action::Event { warning: true, reason, message, .. }, Action::Patch { patch, .. }] =
        plan.actions.as_slice()
    else {
        panic!("{plan:?}")
    };
    assert_eq!(*reason, "ProvisioningFailed");
    assert!(message.ends_with("node \"a\" has no room for volumes"), "{message}");
    assert!(patch["metadata"]["annotations"][SELECTED_NODE].is_null(), "another node may do");
}

#[test]
fn a_claim_that_grows_takes_its_volume_along() {
    let mut seen = claim(|claim| {
        claim["spec"]["resources"]["requests"]["storage"] = "2Gi".into();
    });
    seen.volume = Some(read(json!({
        "metadata": { "name": "pvc-u1", "annotations": { PROVISIONED_BY: PROVISIONER } },
        "spec": { "capacity": { "storage": "1Gi" } },
    })));
    let plan = plan_claim(&seen, now());
    assert!(matches!(plan.actions.as_slice(), [Action::Patch { patch, .. }]
        if patch["spec"]["capacity"]["storage"] == "2Gi"));
}

/// Red when a claim that was sent back to the scheduler is told that no node was chosen.
#[test]
fn who_waits_for_the_scheduler_is_told_nothing() {
    let mut seen = claim(|claim| {
        claim["metadata"]["annotations"] = json!({ STORAGE_PROVISIONER: PROVISIONER });
    });
    seen.class = Some(read(json!({ "metadata": { "name": CLASS }, "provisioner": PROVISIONER,
        "volumeBindingMode": "WaitForFirstConsumer" })));
    let plan = plan_claim(&seen, now());
    assert!(plan.actions.is_empty() && plan.report.waiting.is_empty(), "{plan:?}");
}

/// Red when a claim waits for ever for a node that has gone.
#[test]
fn another_node_is_chosen_for_one_that_has_gone() {
    let mut seen = claim(|_| {});
    seen.node = None;
    let plan = plan_claim(&seen, now());
    assert!(matches!(plan.actions.as_slice(), [Action::Patch { patch, .. }]
        if patch["metadata"]["annotations"][SELECTED_NODE].is_null()));
}

/// Red when a volume goes before its directory: nobody would know of that any more.
#[test]
fn a_volume_goes_after_its_directory() {
    let volume = |phase: &str, policy: &str, deleting: bool| -> Arc<PersistentVolume> {
        let mut value = json!({
            "metadata": { "name": "pvc-u1", "uid": "u", "finalizers": [FINALIZER],
                "annotations": { PROVISIONED_BY: PROVISIONER } },
            "spec": { "persistentVolumeReclaimPolicy": policy },
            "status": { "phase": phase, "lastPhaseTransitionTime": "2026-01-01T00:00:00Z" },
        });
        if deleting {
            value["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:01Z".into();
        }
        read(value)
    };
    let node = |removed: &str| -> Option<Arc<Node>> {
        Some(read(json!({ "metadata": { "name": "a", "annotations": { REMOVED: removed } } })))
    };
    let this = "x@y,u@2026-01-01T00:00:00Z";
    for (phase, policy, deleting, node, done) in [
        ("Released", "Delete", false, node(this), "delete"),
        ("Released", "Delete", true, node(this), "patch"),
        // Its node wipes it when it returns, or somebody knows better.
        ("Released", "Delete", false, None, ""),
        ("Released", "Delete", true, None, "patch"),
        ("Released", "Delete", false, node("u@2025-12-31T00:00:00Z"), ""),
        ("Released", "Delete", true, node(""), ""),
        ("Released", "Retain", false, node(this), ""),
        ("Released", "Retain", true, node(""), "patch"),
        ("Bound", "Delete", false, node(this), ""),
        ("Bound", "Delete", true, node(this), ""),
    ] {
        let seen = VolumeObserved { volume: Some(volume(phase, policy, deleting)), node };
        let plan = plan_volume(&seen, now());
        let did = match plan.actions.as_slice() {
            [] => "",
            [Action::Delete { .. }] => "delete",
            [Action::Patch { .. }] => "patch",
            other => panic!("{other:?}"),
        };
        assert_eq!(did, done, "{phase} {policy} {deleting}");
    }
}

/// Red when a directory that cannot be wiped is told of by nobody.
#[test]
fn why_a_directory_is_left_is_told() {
    let volume = json!({
        "metadata": { "name": "pvc-u1", "uid": "u", "annotations": { PROVISIONED_BY: PROVISIONER } },
        "spec": { "persistentVolumeReclaimPolicy": "Delete" },
        "status": { "phase": "Released", "lastPhaseTransitionTime": "2026-01-01T00:00:00Z" },
    });
    let told = |node: Option<Value>| {
        let seen = VolumeObserved { volume: Some(read(volume.clone())), node: node.map(read) };
        let wait = plan_volume(&seen, now()).report.waiting.remove(0);
        (wait.reason, wait.shown, wait.message)
    };
    let said = json!({ "u@2026-01-01T00:00:00Z": "f: Operation not permitted" }).to_string();
    let node = |said: &str| json!({ "metadata": { "name": "a", "annotations": { LEFT: said } } });
    let why = "f: Operation not permitted".to_owned();
    assert_eq!(told(Some(node(&said))), ("VolumeFailedDelete", Shown::Warning, why));
    assert_eq!(told(Some(node("{}"))).0, "VolumeInUse");
    assert_eq!(told(Some(node("broken"))).0, "VolumeInUse");
    assert_eq!(told(None).0, "VolumeFailedDelete");
}

#[test]
fn the_class_is_made_once_and_is_the_default_of_a_cluster_without() {
    let looked = |classes: Vec<Value>, room: bool, annotations: Value| {
        let classes = classes.into_iter().map(read).collect();
        let meta = json!({ "name": "kube-system", "annotations": annotations });
        let system = Some(read(json!({ "metadata": meta })));
        let plan = plan_class(&ClassesObserved { classes, room, system }, now());
        let is_default = plan.actions.first().and_then(|action| match action {
            Action::Create { object, .. } => {
                Some(object.0["metadata"]["annotations"][DEFAULT_CLASS[0]].clone())
            }
            _ => None,
        });
        (is_default, plan.actions.len())
    };
    let made = |classes: Vec<Value>, room: bool| looked(classes, room, json!({})).0;
    let class = |name: &str, default: &str| {
        json!({ "metadata": { "name": name, "annotations": { DEFAULT_CLASS[0]: default } },
            "provisioner": "p" })
    };
    assert_eq!(made(vec![], false), None);
    assert_eq!(made(vec![], true), Some("true".into()));
    assert_eq!(made(vec![class("fast", "true")], true), Some("false".into()));
    // Red when one that was taken away comes back: that it was made once is remembered, also of one from before.
    assert_eq!(looked(vec![], true, json!({})).1, 2);
    assert_eq!(looked(vec![class(CLASS, "true")], true, json!({})), (None, 1));
    assert_eq!(looked(vec![], true, json!({ CLASS_MADE: "true" })), (None, 0));
}

/// Red when a volume is made where what it begins with is not, or without saying what that is.
#[test]
fn a_volume_begins_with_a_copy_on_the_node_that_has_it() {
    let source = |node: &str| {
        let affinity = json!({ "required": { "nodeSelectorTerms": [ { "matchFields": [
            { "key": "metadata.name", "operator": "In", "values": [node] } ] } ] } });
        SourceObserved {
            claim: Some(read(
                json!({ "metadata": { "name": "old", "namespace": "default", "uid": "o" },
                "spec": { "resources": { "requests": { "storage": "1Gi" } } },
                "status": { "phase": "Bound" } }),
            )),
            volume: Some(read(json!({
                "metadata": { "name": "pvc-o", "annotations": { PROVISIONED_BY: PROVISIONER } },
                "spec": { "claimRef": { "name": "old", "namespace": "default", "uid": "o" },
                    "nodeAffinity": affinity } }))),
            snapshot: Some(read(json!({
                "metadata": { "name": "s", "namespace": "default", "uid": "s" },
                "spec": { "source": { "persistentVolumeClaimName": "old" } },
                "status": { "boundVolumeSnapshotContentName": "c", "readyToUse": true,
                    "restoreSize": "1Gi" } }))),
            content: Some(read(json!({
                "metadata": { "name": "c", "labels": { leme_meta::local_path::MANAGED_BY: node } },
                "spec": { "driver": PROVISIONER,
                    "volumeSnapshotRef": { "name": "s", "namespace": "default", "uid": "s" } },
                "status": { "snapshotHandle": "h", "readyToUse": true } }))),
        }
    };
    let snapshot =
        json!({ "apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "s" });
    let other = json!({ "kind": "PersistentVolumeClaim", "name": "old" });
    for (named, copied) in [(snapshot, "snapshot/h"), (other, "volume/pvc-o")] {
        let plan = |node: &str, size: &str| {
            let mut seen = claim(|claim| {
                claim["spec"]["dataSource"] = named.clone();
                claim["spec"]["resources"]["requests"]["storage"] = size.into();
            });
            seen.source = source(node);
            plan_claim(&seen, now())
        };
        let made = plan("a", "1Gi");
        let [Action::Create { object, .. }] = made.actions.as_slice() else { panic!("{made:?}") };
        assert_eq!(object.0["metadata"]["annotations"][SOURCE], copied);
        let sent = plan("b", "1Gi");
        let [Action::Patch { patch, .. }] = sent.actions.as_slice() else { panic!("{sent:?}") };
        assert_eq!(patch["metadata"]["annotations"][SELECTED_NODE], "b");
        let small = plan("a", "1Mi");
        assert!(small.actions.is_empty() && small.report.waiting[0].message.contains("1048576"));
    }
}
