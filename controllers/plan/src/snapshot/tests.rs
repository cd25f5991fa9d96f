//! What becomes of snapshots and contents.

use serde_json::Value;

use super::*;

const GI: i64 = 1 << 30;

fn read<T: serde::de::DeserializeOwned>(value: Value) -> Arc<T> {
    Arc::new(serde_json::from_value(value).unwrap())
}

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn snapshot(change: impl FnOnce(&mut Value)) -> Arc<VolumeSnapshot> {
    let mut value = json!({
        "metadata": { "name": "s", "namespace": "n", "uid": "u", "finalizers": [AS_SOURCE, BOUND] },
        "spec": { "source": { "persistentVolumeClaimName": "data" },
            "volumeSnapshotClassName": "local-path" },
    });
    change(&mut value);
    read(value)
}

fn content(status: Value) -> Arc<VolumeSnapshotContent> {
    read(json!({
        "metadata": { "name": "snapcontent-u", "finalizers": [CONTENT] },
        "spec": { "driver": "leme.dev/local-path", "deletionPolicy": "Delete",
            "source": { "volumeHandle": "pvc-c" },
            "volumeSnapshotRef": { "namespace": "n", "name": "s", "uid": "u" } },
        "status": status,
    }))
}

fn seen(snapshot: Arc<VolumeSnapshot>) -> SnapshotObserved {
    let class = json!({ "metadata": { "name": "local-path", "annotations": { DEFAULT_CLASS: "true" } },
        "driver": "leme.dev/local-path", "deletionPolicy": "Delete" });
    SnapshotObserved {
        snapshots: vec![snapshot.clone()],
        snapshot: Some(snapshot),
        content: None,
        classes: vec![read(class)],
        claim: Some(read(json!({ "metadata": { "name": "data", "namespace": "n", "uid": "c" },
            "spec": { "volumeName": "pvc-c" }, "status": { "phase": "Bound" } }))),
        volume: Some(read(json!({
            "metadata": { "name": "pvc-c",
                "annotations": { "pv.kubernetes.io/provisioned-by": "leme.dev/local-path" } },
            "spec": { "claimRef": { "namespace": "n", "name": "data", "uid": "c" },
                "nodeAffinity": { "required": { "nodeSelectorTerms": [ { "matchFields": [
                    { "key": "metadata.name", "operator": "In", "values": ["a"] } ] } ] } } } }))),
        claims: vec![],
    }
}

fn patches(plan: &Plan) -> Vec<&Value> {
    fn patch(action: &Action) -> Option<&Value> {
        match action {
            Action::Patch { patch, .. } => Some(patch),
            _ => None,
        }
    }
    plan.actions.iter().filter_map(patch).collect()
}

#[test]
fn a_snapshot_is_taken_by_the_class_of_who_keeps_the_volume() {
    let unnamed = snapshot(|one| one["spec"]["volumeSnapshotClassName"] = Value::Null);
    let plan = plan_snapshot(&seen(unnamed), now());
    assert_eq!(patches(&plan)[0]["spec"]["volumeSnapshotClassName"], "local-path");

    let plan = plan_snapshot(&seen(snapshot(|_| {})), now());
    let made = plan.actions.iter().find_map(|action| match action {
        Action::Create { object, .. } => Some(&object.0),
        _ => None,
    });
    let made = made.unwrap();
    assert_eq!(made["metadata"]["name"], "snapcontent-u");
    assert_eq!(made["metadata"]["labels"][leme_meta::local_path::MANAGED_BY], "a");
    assert_eq!(made["spec"]["source"]["volumeHandle"], "pvc-c");
    assert_eq!(
        patches(&plan)[0]["metadata"]["finalizers"],
        json!([CLAIM]),
        "the claim is held first"
    );
}

/// Red when the words are not upstream's.
#[test]
fn what_cannot_be_taken_says_why() {
    let why = |change: fn(&mut SnapshotObserved)| {
        let mut seen = seen(snapshot(|_| {}));
        change(&mut seen);
        let plan = plan_snapshot(&seen, now());
        let told = plan.actions.iter().find_map(|action| match action {
            Action::Event { reason, message, .. } => Some((*reason, message.clone())),
            _ => None,
        });
        told.unwrap()
    };
    let (reason, message) = why(|seen| seen.classes.clear());
    assert_eq!(reason, "GetSnapshotClassFailed");
    assert!(
        message.ends_with("volumesnapshotclass.snapshot.storage.k8s.io \"local-path\" not found")
    );
    let (reason, message) = why(|seen| seen.claim = None);
    assert_eq!(reason, "SnapshotContentCreationFailed");
    assert_eq!(
        message,
        "Failed to create snapshot content with error snapshot controller failed to update s on API server: cannot get claim from snapshot"
    );
    let (_, message) = why(|seen| {
        seen.claim = Some(read(json!({ "metadata": { "name": "data", "namespace": "n" },
            "status": { "phase": "Pending" } })));
    });
    assert!(message.contains("the PVC data is not yet bound to a PV"), "{message}");
    let (reason, _) = why(|seen| {
        seen.content = Some(read(json!({
        "spec": { "source": { "snapshotHandle": "h" } } })))
    });
    assert_eq!(reason, "SnapshotContentMismatch");
    let (reason, _) = why(|seen| {
        seen.content = Some(read(json!({
        "spec": { "source": { "volumeHandle": "h" },
            "volumeSnapshotRef": { "namespace": "n", "name": "s", "uid": "other" } } })))
    });
    assert_eq!(reason, "SnapshotContentMisbound");
}

#[test]
fn a_snapshot_says_what_its_content_says() {
    let mut seen = seen(snapshot(|_| {}));
    seen.content = Some(content(json!({ "readyToUse": true, "restoreSize": 5 * GI,
        "snapshotHandle": "h", "creationTime": 1_767_225_600_000_000_000_i64 })));
    let plan = plan_snapshot(&seen, now());
    let status = &patches(&plan)[0]["status"];
    let shown = ["boundVolumeSnapshotContentName", "creationTime", "readyToUse", "restoreSize"];
    let shown: Vec<&Value> = shown.iter().map(|field| &status[field]).collect();
    assert_eq!(json!(shown), json!(["snapcontent-u", "2026-01-01T00:00:00Z", true, "5Gi"]));
    let told = |action: &Action| matches!(action, Action::Event { reason, .. } if *reason == "SnapshotReady");
    assert!(plan.actions.iter().any(told));
    assert_eq!((bytes(0), bytes(1536), bytes(GI)), ("0".into(), "1536".into(), "1Gi".into()));

    let error = json!({ "time": "2026-01-01T00:00:00Z", "message": "no space" });
    seen.content = Some(content(json!({ "readyToUse": false, "error": error })));
    let plan = plan_snapshot(&seen, now());
    assert_eq!(patches(&plan)[0]["status"]["error"]["message"], "no space");
    assert_eq!(plan.report.waiting[0].message, "no space");
}

/// Red when a snapshot goes before its content, or from under a claim that is made of it.
#[test]
fn a_snapshot_goes_after_its_content() {
    let going =
        || snapshot(|one| one["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into());
    let mut seen = seen(going());
    seen.content = Some(content(json!({ "readyToUse": true })));
    let plan = plan_snapshot(&seen, now());
    let shown: Vec<Value> = patches(&plan).into_iter().cloned().collect();
    assert_eq!(shown[0]["metadata"]["annotations"][BEING_DELETED], "yes");
    assert!(plan.actions.iter().any(|action| matches!(action, Action::Delete { .. })));
    assert_eq!(shown[1]["metadata"]["finalizers"], json!([BOUND]));

    seen.claims =
        vec![read(json!({ "metadata": { "name": "new" }, "status": { "phase": "Pending" },
        "spec": { "dataSource": { "apiGroup": GROUP, "kind": "VolumeSnapshot", "name": "s" } } }))];
    let plan = plan_snapshot(&seen, now());
    assert!(plan.actions.is_empty());
    assert_eq!(plan.report.waiting[0].reason, "SnapshotDeletePending");

    seen.content = None;
    let plan = plan_snapshot(&seen, now());
    assert_eq!(patches(&plan)[0]["metadata"]["finalizers"], json!([]));
}

#[test]
fn what_snapshots_need_is_made_once() {
    let names = |defined: bool| -> std::collections::BTreeSet<String> {
        let all = definitions();
        let names = all.iter().filter(|_| defined);
        names.map(|one| one["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    };
    let look = |defined: bool, served: bool, annotations: Value| {
        let seen = SetupObserved {
            room: true,
            system: Some(read(json!({ "metadata": { "name": "kube-system",
                "annotations": annotations } }))),
            defined: names(defined),
            served,
            classes: vec![],
        };
        plan_setup(&seen, now()).actions.len()
    };
    assert_eq!(look(false, false, json!({})), 3);
    assert_eq!(look(true, false, json!({})), 0);
    assert_eq!(look(true, true, json!({})), 2);
    let made = json!({ leme_meta::local_path::SNAPSHOTS_MADE: "true" });
    assert_eq!(look(false, false, made), 0);
}

/// Red when a content that no node keeps is waited for without a word, or holds up what goes with it.
#[test]
fn a_content_of_a_directory_on_no_node_says_so_and_goes() {
    let look = |change: &dyn Fn(&mut Value)| {
        let mut value = json!({
            "metadata": { "name": "old", "finalizers": [CONTENT] },
            "spec": { "driver": "leme.dev/local-path", "deletionPolicy": "Delete",
                "source": { "snapshotHandle": "h" },
                "volumeSnapshotRef": { "namespace": "n", "name": "s", "uid": "u" } },
        });
        change(&mut value);
        plan_content(&ContentObserved { content: Some(read(value)), snapshot: None }, now())
    };
    let plan = look(&|_| {});
    let error = &patches(&plan)[0]["status"]["error"];
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("snapshot.storage.kubernetes.io/managed-by"), "{message}");
    assert!(patches(&look(&|one| one["status"] = json!({ "error": error }))).is_empty());
    let going =
        |one: &mut Value| one["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    assert_eq!(patches(&look(&going))[0]["metadata"]["finalizers"], json!([]));
    // A node's, and another driver's, are theirs.
    let managed = |one: &mut Value| {
        going(one);
        one["metadata"]["labels"] = json!({ leme_meta::local_path::MANAGED_BY: "a" });
    };
    assert!(patches(&look(&managed)).is_empty());
    let other = |one: &mut Value| one["spec"]["driver"] = "disk.example".into();
    assert!(patches(&look(&other)).is_empty());
}
