//! Bindings, and that a crash after any step ends the same.

use super::*;
use crate::action::Action;
use jiff::Timestamp;
use serde_json::{Value, json};

fn claim(extra: Value) -> Value {
    let mut claim = json!({
        "metadata": {"name": "data", "namespace": "n", "uid": "c", "finalizers": [CLAIM_PROTECTION]},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        "status": {"phase": "Pending"},
    });
    merge(&mut claim, &extra);
    claim
}

fn volume(name: &str, size: &str) -> Value {
    json!({
        "metadata": {"name": name, "uid": name, "finalizers": [VOLUME_PROTECTION]},
        "spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": size}, "hostPath": {"path": "/x"}},
        "status": {"phase": "Available"},
    })
}

fn merge(to: &mut Value, patch: &Value) {
    match patch {
        Value::Object(fields) => {
            let map = leme_meta::object::map_mut(to);
            for (key, value) in fields {
                if value.is_null() {
                    map.remove(key);
                } else {
                    merge(map.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
        }
        other => *to = other.clone(),
    }
}

fn planned(claim: &Value, volumes: &[Value]) -> crate::Plan {
    planned_by(None, claim, volumes)
}

fn planned_by(class: Option<Value>, claim: &Value, volumes: &[Value]) -> crate::Plan {
    let read = |value: &Value| serde_json::from_value(value.clone()).unwrap();
    let seen = ClaimObserved {
        claim: Some(Arc::new(serde_json::from_value(claim.clone()).unwrap())),
        class: class.map(|class| Arc::new(serde_json::from_value(class).unwrap())),
        default: None,
        volumes: volumes.iter().map(|one| Arc::new(read(one))).collect(),
        pods: vec![],
    };
    plan_claim(&seen, Timestamp::UNIX_EPOCH)
}

/// Red when a claim that was there before the default class never gets one, or one that wants none gets it.
#[test]
fn a_class_that_becomes_the_default_is_for_claims_that_wait() {
    let class = |name: &str, second: u32, mark: &str| {
        let made = format!("2026-01-01T00:00:0{second}Z");
        let class = json!({"metadata": {"name": name, "creationTimestamp": made,
            "annotations": {DEFAULT_CLASS[0]: mark}}, "provisioner": "p"});
        Arc::new(serde_json::from_value(class).unwrap())
    };
    let all = vec![
        class("old", 1, "true"),
        class("b", 2, "true"),
        class("a", 2, "true"),
        class("c", 3, "false"),
    ];
    let default = default_class(all);
    let given = |spec: Value| {
        let claim = claim(json!({ "spec": spec }));
        let seen = ClaimObserved {
            claim: Some(Arc::new(serde_json::from_value(claim).unwrap())),
            class: None,
            default: default.clone(),
            volumes: vec![],
            pods: vec![],
        };
        plan_claim(&seen, Timestamp::UNIX_EPOCH).actions.pop().map(|action| match action {
            Action::Patch { patch, .. } => patch["spec"]["storageClassName"].clone(),
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(given(json!({})), Some("a".into()));
    assert_eq!(given(json!({ "storageClassName": "" })), None);
    assert_eq!(given(json!({ "storageClassName": "other" })), None);
}

/// What a claim of a class waits for, and whether it is handed to the provisioner.
#[test]
fn a_class_says_who_makes_a_volume_and_when() {
    let class = |provisioner: &str, mode: &str| json!({"metadata": {"name": "fast"}, "provisioner": provisioner, "volumeBindingMode": mode});
    let late = "WaitForFirstConsumer";
    for (provisioner, mode, chosen, reason, handed) in [
        ("example.com/fast", "Immediate", false, "ExternalProvisioning", true),
        ("example.com/fast", late, false, late, false),
        ("example.com/fast", late, true, "ExternalProvisioning", true),
        ("kubernetes.io/no-provisioner", "Immediate", false, "ProvisioningFailed", false),
    ] {
        let mut wanted = claim(json!({"spec": {"storageClassName": "fast"}}));
        if chosen {
            wanted["metadata"]["annotations"][SELECTED_NODE] = "a".into();
        }
        let plan = planned_by(Some(class(provisioner, mode)), &wanted, &[]);
        let patched = plan.actions.iter().any(|action| {
            matches!(action, Action::Patch { patch, .. }
                if patch["metadata"]["annotations"][STORAGE_PROVISIONER] == provisioner)
        });
        let told = (plan.report.waiting[0].reason, patched);
        assert_eq!(told, (reason, handed), "{provisioner} {mode} {chosen}");
    }
}

/// Runs plans until one has no actions; every plan is cut after `steps` actions.
fn settle(mut claim: Value, mut volumes: Vec<Value>, steps: usize) -> (Value, Vec<Value>) {
    for _ in 0..20 {
        let plan = planned(&claim, &volumes);
        if plan.actions.is_empty() {
            return (claim, volumes);
        }
        for action in plan.actions.iter().take(steps) {
            let Action::Patch { target, patch, .. } = action else { panic!("{action:?}") };
            let object = if target.kind == "PersistentVolumeClaim" {
                &mut claim
            } else {
                volumes
                    .iter_mut()
                    .find(|one| one["metadata"]["name"] == target.name.as_str())
                    .unwrap()
            };
            merge(object, patch);
        }
    }
    panic!("does not settle");
}

#[test]
fn the_smallest_that_fits_is_bound_whatever_the_crashes() {
    let volumes = vec![volume("big", "5Gi"), volume("fit", "2Gi"), volume("small", "1Mi")];
    let whole = settle(claim(json!({})), volumes.clone(), 9);
    assert_eq!(whole.0["spec"]["volumeName"], "fit");
    assert_eq!(whole.0["status"]["capacity"]["storage"], "2Gi");
    assert_eq!(whole.1[1]["spec"]["claimRef"]["uid"], "c");
    for steps in 1..4 {
        assert_eq!(settle(claim(json!({})), volumes.clone(), steps), whole, "crash after {steps}");
    }
}

/// Red when a claim says that it can use what its node has not made fit yet.
#[test]
fn what_a_driver_has_made_larger_is_not_the_claims_yet() {
    let mut disk = volume("disk", "1Gi");
    let csi =
        json!({ "spec": { "csi": { "driver": "d", "volumeHandle": "h" }, "hostPath": null } });
    merge(&mut disk, &csi);
    let (bound, mut volumes) = settle(claim(json!({})), vec![disk], 9);
    assert_eq!(bound["status"]["capacity"]["storage"], "1Gi");
    merge(&mut volumes[0], &json!({ "spec": { "capacity": { "storage": "2Gi" } } }));
    assert_eq!(settle(bound, volumes, 9).0["status"]["capacity"]["storage"], "1Gi");
}

#[test]
fn nothing_fits_is_told() {
    let wait = |claim: Value| planned(&claim, &[volume("small", "1Mi")]).report.waiting[0].clone();
    assert_eq!(
        wait(claim(json!({}))).message,
        "no persistent volumes available for this claim and no storage class is set"
    );
    assert_eq!(
        wait(claim(json!({"spec": {"storageClassName": "fast"}}))).message,
        "storageclass.storage.k8s.io \"fast\" not found"
    );
    let named = wait(claim(json!({"spec": {"volumeName": "small"}})));
    assert_eq!(named.reason, "VolumeMismatch");
}

#[test]
fn a_volume_of_a_lost_claim_is_released_and_never_given_away() {
    let mut taken = volume("v", "2Gi");
    merge(
        &mut taken,
        &json!({"spec": {"claimRef": {"namespace": "n", "name": "data", "uid": "old"}}}),
    );
    assert_eq!(
        planned(&claim(json!({})), &[taken.clone()]).report.waiting[0].reason,
        "FailedBinding"
    );
    let seen = VolumeObserved {
        volume: Some(Arc::new(serde_json::from_value(taken).unwrap())),
        claim: Some(Arc::new(serde_json::from_value(claim(json!({}))).unwrap())),
    };
    let plan = plan_volume(&seen, Timestamp::UNIX_EPOCH);
    let Action::Patch { patch, .. } = &plan.actions[0] else { panic!("{plan:?}") };
    assert_eq!(patch["status"]["phase"], "Released");
}
