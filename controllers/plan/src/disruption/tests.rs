//! Budgets, counted.

use super::*;

const NOW: &str = "2026-01-01T00:10:00Z";

fn budget(spec: Value, status: Value) -> Arc<PodDisruptionBudget> {
    Arc::new(
        serde_json::from_value(json!({
            "metadata": { "name": "b", "namespace": "ns", "uid": "u", "generation": 3, "resourceVersion": "7" },
            "spec": spec, "status": status,
        }))
        .expect("a budget"),
    )
}

fn pod(name: &str, ready: bool, owner: Option<&str>) -> Arc<Pod> {
    let owners = owner.map(|uid| {
        json!([{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": uid, "controller": true }])
    });
    let ready = if ready { "True" } else { "False" };
    Arc::new(
        serde_json::from_value(json!({
            "metadata": { "name": name, "namespace": "ns", "ownerReferences": owners },
            "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": ready }] },
        }))
        .expect("a pod"),
    )
}

/// Three pods of a set of four, of which one is not ready.
fn seen(spec: Value, status: Value) -> Observed {
    let pods = vec![
        pod("a", true, Some("set")),
        pod("b", true, Some("set")),
        pod("c", false, Some("set")),
    ];
    let size = Size { uid: "deployment".to_owned(), replicas: 4 };
    let sizes = BTreeMap::from([("set".to_owned(), size)]);
    Observed { budget: Some(budget(spec, status)), pods, sizes }
}

/// The status that a plan writes: healthy, wanted healthy, expected, allowed.
fn counts(seen: &Observed) -> [i64; 4] {
    let status = status(seen);
    ["currentHealthy", "desiredHealthy", "expectedPods", "disruptionsAllowed"]
        .map(|field| status[field].as_i64().expect("a number"))
}

fn status(seen: &Observed) -> Value {
    let plan = plan(seen, NOW.parse().expect("a time"));
    let written = plan.actions.iter().find_map(|action| match action {
        Action::Patch { subresource: "status", patch, target, .. } => {
            assert_eq!(target.resource_version, "7");
            Some(patch["status"].clone())
        }
        _ => None,
    });
    written.expect("a status")
}

#[test]
fn a_budget_allows_what_is_healthy_beyond_what_has_to_be() {
    for (spec, expected) in [
        (json!({ "minAvailable": 1 }), [2, 1, 3, 1]),
        (json!({ "minAvailable": 2 }), [2, 2, 3, 0]),
        (json!({ "minAvailable": "25%" }), [2, 1, 4, 1]),
        (json!({ "minAvailable": "26%" }), [2, 2, 4, 0]),
        (json!({ "maxUnavailable": 3 }), [2, 1, 4, 1]),
        (json!({ "maxUnavailable": 9 }), [2, 0, 4, 2]),
        (json!({ "maxUnavailable": "50%" }), [2, 2, 4, 0]),
        (json!({}), [2, 0, 0, 0]),
    ] {
        assert_eq!(counts(&seen(spec.clone(), json!(null))), expected, "{spec}");
    }
}

#[test]
fn the_condition_says_whether_any_is_allowed() {
    let condition = |spec: Value, old: Value| status(&seen(spec, old))["conditions"][0].clone();
    assert_eq!(
        condition(json!({ "minAvailable": 1 }), json!(null)),
        json!({ "type": "DisruptionAllowed", "status": "True", "reason": "SufficientPods", "message": "",
            "observedGeneration": 3, "lastTransitionTime": NOW })
    );
    let old = json!({
        "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0, "disruptionsAllowed": 0,
        "conditions": [{ "type": "DisruptionAllowed", "status": "False", "reason": "InsufficientPods", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z" }],
    });
    let told = condition(json!({ "minAvailable": 2 }), old);
    assert_eq!(
        (&told["reason"], &told["lastTransitionTime"]),
        (&json!("InsufficientPods"), &json!("2026-01-01T00:00:00Z"))
    );
}

#[test]
fn a_budget_that_is_up_to_date_is_not_written() {
    let spec = json!({ "minAvailable": 1 });
    let written = status(&seen(spec.clone(), json!(null)));
    let plan = plan(&seen(spec, written), NOW.parse().expect("a time"));
    assert_eq!(plan.actions, []);
}

#[test]
fn who_is_about_to_go_is_not_healthy() {
    let status = |since: &str| {
        json!({ "currentHealthy": 2, "desiredHealthy": 1, "expectedPods": 3, "disruptionsAllowed": 0,
            "disruptedPods": { "a": since, "gone": since } })
    };
    let spec = json!({ "minAvailable": 1 });
    let fresh = seen(spec.clone(), status("2026-01-01T00:09:00Z"));
    assert_eq!(counts(&fresh), [1, 1, 3, 0]);
    assert_eq!(
        self::status(&fresh)["disruptedPods"],
        json!({ "a": "2026-01-01T00:09:00Z", "gone": null })
    );
    let again = plan(&fresh, NOW.parse().expect("a time")).requeue;
    assert_eq!(again, Some(Duration::from_secs(61)));
    // Who should have gone long ago stays.
    let old = seen(spec, status("2026-01-01T00:00:00Z"));
    assert_eq!(counts(&old), [2, 1, 3, 1]);
    let plan = plan(&old, NOW.parse().expect("a time"));
    let told = plan.actions.iter().any(|action| {
        matches!(action, Action::Event { reason: "NotDeleted", message, .. }
            if message == "Pod was expected by PDB ns/b to be deleted but it wasn't")
    });
    assert!(told, "{:?}", plan.actions);
}

#[test]
fn without_a_size_nothing_is_allowed() {
    let mut lost = seen(json!({ "maxUnavailable": 1 }), json!(null));
    lost.sizes.clear();
    let written = status(&lost);
    assert_eq!(written["disruptionsAllowed"], 0);
    assert_eq!(written["observedGeneration"], 3);
    assert_eq!(written["conditions"][0]["reason"], "SyncFailed");
    assert_eq!(
        written["conditions"][0]["message"],
        "replicasets.apps does not implement the scale subresource"
    );
    // Pods of nobody are not counted, and somebody is told.
    let mut own = seen(json!({ "maxUnavailable": 1 }), json!(null));
    own.pods = vec![pod("a", true, None)];
    assert_eq!(counts(&own), [1, 0, 0, 0]);
    let plan = plan(&own, NOW.parse().expect("a time"));
    assert_eq!(plan.report.waiting[0].reason, "UnmanagedPods");
    let none = Observed { pods: Vec::new(), ..own };
    let plan = super::plan(&none, NOW.parse().expect("a time"));
    assert_eq!(plan.report.waiting[0].message, "No matching pods found");
}
