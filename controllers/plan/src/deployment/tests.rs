//! Sizes, steps, conditions and what is left over. A replica set is told as `name replicas/available`, newest template `new`.

use serde_json::from_value;

use super::scale::Limits;
use super::*;
use crate::testing::status_patch as status;

const NOW: &str = "2026-01-01T01:00:00Z";

fn deployment(spec: Value, status: Value) -> Deployment {
    let mut object = json!({
        "metadata": {"name": "web", "namespace": "n", "uid": "d", "generation": 2},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "progressDeadlineSeconds": 600,
            "revisionHistoryLimit": 10,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}},
            "template": {"metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": "new"}]}}},
        "status": status,
    });
    for (key, value) in spec.as_object().into_iter().flatten() {
        object["spec"][key] = value.clone();
    }
    from_value(object).unwrap()
}

/// `name replicas/available`; a second later than the one before, with a revision of its place.
fn set(index: usize, told: &str, desired: i32) -> Arc<ReplicaSet> {
    let (name, sizes) = told.split_once(' ').unwrap();
    let (replicas, available) = sizes.split_once('/').unwrap();
    let (replicas, available): (i32, i32) = (replicas.parse().unwrap(), available.parse().unwrap());
    Arc::new(
        from_value(json!({
            "metadata": {"name": name, "namespace": "n", "uid": name, "generation": 1,
                "creationTimestamp": format!("2026-01-01T00:00:{index:02}Z"),
                "labels": {"app": "web", "pod-template-hash": name},
                "annotations": {
                    "deployment.kubernetes.io/revision": (index + 1).to_string(),
                    "deployment.kubernetes.io/desired-replicas": desired.to_string(),
                    "deployment.kubernetes.io/max-replicas": (desired + 1).to_string(),
                },
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "d",
                    "controller": true}]},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
                "template": {"metadata": {"labels": {"app": "web", "pod-template-hash": name}},
                    "spec": {"containers": [{"name": "c", "image": name}]}}},
            "status": {"replicas": replicas, "readyReplicas": available, "availableReplicas": available,
                "terminatingReplicas": 0, "observedGeneration": 1},
        }))
        .unwrap(),
    )
}

fn seen(deployment: Deployment, sets: Vec<Arc<ReplicaSet>>) -> Observed {
    Observed {
        deployment: Some(Arc::new(deployment)),
        sets,
        namesake: None,
        pods: Vec::new(),
        failure: None,
    }
}

fn run(seen: &Observed) -> Plan {
    plan(seen, NOW.parse().unwrap())
}

/// What becomes of replica sets; the name of one that is created is `+`.
fn said(plan: &Plan) -> Vec<String> {
    let tell = |action: &Action| match action {
        Action::Create { object, .. } => Some(format!("+ {}", object.0["spec"]["replicas"])),
        Action::Delete { target, .. } => Some(format!("- {}", target.name)),
        Action::Patch { subresource: "", target, patch, only_if, .. } => {
            let size = &patch["spec"]["replicas"];
            match only_if {
                Some(_) => Some(format!("adopt {}", target.name)),
                None if !size.is_null() => Some(format!("{} {size}", target.name)),
                None => None,
            }
        }
        _ => None,
    };
    plan.actions.iter().filter_map(tell).collect()
}

fn condition(plan: &Plan, kind: &str) -> String {
    let status = status(plan);
    let list = status["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let one = list.into_iter().find(|one| one["type"] == kind).unwrap_or_default();
    let text = |field: &str| one[field].as_str().unwrap_or("").to_owned();
    format!("{} {}: {}", text("status"), text("reason"), text("message"))
}

#[test]
fn limits_are_rounded_so_that_something_always_moves() {
    let check = |replicas: i32, surge: Value, unavailable: Value, expected: (i32, i32)| {
        let rolling = json!({"maxSurge": surge, "maxUnavailable": unavailable});
        let strategy = json!({"type": "RollingUpdate", "rollingUpdate": rolling});
        let deployment = deployment(json!({"replicas": replicas, "strategy": strategy}), json!({}));
        let limits = Limits::of(deployment.spec.as_ref().unwrap());
        assert_eq!((limits.surge, limits.unavailable), expected, "{replicas} {rolling}");
    };
    check(10, json!("25%"), json!("25%"), (3, 2));
    check(1, json!("25%"), json!("25%"), (1, 0));
    check(3, json!("0%"), json!("25%"), (0, 1));
    check(4, json!(0), json!("50%"), (0, 2));
    check(2, json!(5), json!(7), (5, 2));
    check(0, json!("25%"), json!("25%"), (0, 0));
    check(3, json!("x"), json!(1), (0, 1));
}

#[test]
fn a_rolling_update_goes_as_far_as_the_limits_let_it() {
    let check = |replicas: i32, sets: &[&str], expected: &[&str]| {
        let told = sets.iter().enumerate().map(|(index, told)| set(index, told, replicas));
        let deployment = deployment(json!({"replicas": replicas}), json!({}));
        assert_eq!(said(&run(&seen(deployment, told.collect()))), expected, "{sets:?}");
    };
    check(3, &[], &["+ 3"]);
    // One beyond may be there, one may be missing: the new one starts, the old one gives up one at once.
    check(3, &["old 3/3"], &["+ 1", "old 2"]);
    check(3, &["old 2/2", "new 1/0"], &["new 2"]);
    check(3, &["old 2/2", "new 2/0"], &[]);
    check(3, &["old 2/2", "new 2/1"], &["old 1"]);
    check(3, &["old 0/0", "new 3/1"], &[]);
    // What does not work anyway goes first, whichever is older.
    check(3, &["older 1/1", "old 2/0", "new 1/1"], &["old 0"]);
    // Too many of the new ones.
    check(3, &["new 5/5"], &["new 3"]);
    // Back to what was there before.
    check(3, &["new 1/1", "old 3/0"], &["old 1"]);
}

#[test]
fn another_size_is_shared_out_in_proportion() {
    let check =
        |before: i32, after: i32, limits: Value, sets: &[(&str, i32)], expected: &[&str]| {
            let told = sets.iter().enumerate().map(|(index, (told, most))| {
                let mut set = ReplicaSet::clone(&set(index, told, before));
                let annotations = set.metadata.annotations.as_mut().unwrap();
                annotations
                    .insert("deployment.kubernetes.io/max-replicas".to_owned(), most.to_string());
                Arc::new(set)
            });
            let strategy = json!({"type": "RollingUpdate", "rollingUpdate": limits});
            let deployment =
                deployment(json!({"replicas": after, "strategy": strategy}), json!({}));
            assert_eq!(said(&run(&seen(deployment, told.collect()))), expected, "{sets:?}");
        };
    let wide = json!({"maxSurge": 3, "maxUnavailable": 2});
    check(10, 15, wide.clone(), &[("old 8/8", 13), ("new 5/0", 13)], &["new 7", "old 11"]);
    check(10, 5, wide.clone(), &[("old 8/8", 13), ("new 5/0", 13)], &["new 3", "old 5"]);
    check(10, 0, wide.clone(), &[("old 8/8", 13), ("new 5/0", 13)], &["new 0", "old 0"]);
    check(3, 5, wide.clone(), &[("old 0/0", 6), ("new 3/3", 6)], &["new 5"]);
    // Leftovers are the largest one's.
    let tight = json!({"maxSurge": 0, "maxUnavailable": 1});
    check(10, 11, tight, &[("a 4/4", 10), ("b 3/3", 10), ("new 3/0", 10)], &["a 5"]);
    check(3, 4, wide, &[("old 1/1", 6), ("new 4/4", 6)], &["new 6"]);
}

#[test]
fn the_first_replica_set_has_the_hash_the_revision_and_the_annotations() {
    let mut first = deployment(json!({"minReadySeconds": 5}), json!({}));
    first.metadata.annotations = Some(
        [("a", "b"), ("kubectl.kubernetes.io/last-applied-configuration", "{}")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into(),
    );
    let name = name_of_new(&first).unwrap();
    let hash = name.strip_prefix("web-").unwrap().to_owned();
    let plan = run(&seen(first, vec![]));
    let Action::Create { object, .. } = &plan.actions[0] else { panic!("{plan:?}") };
    let labels = json!({"app": "web", "pod-template-hash": hash});
    let meta = &object.0["metadata"];
    assert_eq!((&meta["name"], &meta["labels"]), (&json!(name), &labels));
    assert_eq!(
        meta["annotations"],
        json!({"a": "b", "deployment.kubernetes.io/revision": "1",
            "deployment.kubernetes.io/desired-replicas": "3", "deployment.kubernetes.io/max-replicas": "4"})
    );
    let spec = &object.0["spec"];
    assert_eq!((&spec["selector"]["matchLabels"], &spec["minReadySeconds"]), (&labels, &json!(5)));
    assert_eq!(spec["template"]["metadata"]["labels"], labels);
    let scaled = format!("Scaled up replica set {name} from 0 to 3");
    assert!(matches!(&plan.actions[1], Action::Event { message, .. } if *message == scaled));
    let patch = status(&plan);
    assert_eq!(patch["metadata"]["annotations"], json!({"deployment.kubernetes.io/revision": "1"}));
    let created = format!("True NewReplicaSetCreated: Created new replica set {name:?}");
    assert_eq!(condition(&plan, "Progressing"), created);
    let unavailable =
        "False MinimumReplicasUnavailable: Deployment does not have minimum availability.";
    assert_eq!(condition(&plan, "Available"), unavailable);
}

#[test]
fn an_old_template_comes_back_with_a_new_revision() {
    let sets = vec![set(0, "new 0/0", 3), set(1, "old 3/3", 3)];
    let counted = json!({"replicas": 3, "readyReplicas": 3, "availableReplicas": 3});
    let plan = run(&seen(deployment(json!({}), counted), sets));
    let patch = plan.actions.iter().find_map(|action| match action {
        Action::Patch { target, patch, .. } if target.name == "new" => Some(patch.clone()),
        _ => None,
    });
    let annotations = &patch.unwrap()["metadata"]["annotations"];
    assert_eq!(annotations["deployment.kubernetes.io/revision"], "3");
    assert_eq!(annotations["deployment.kubernetes.io/revision-history"], "1");
    let revision = &status(&plan)["metadata"]["annotations"]["deployment.kubernetes.io/revision"];
    assert_eq!(revision, "3");
    assert_eq!(
        condition(&plan, "Progressing"),
        "True FoundNewReplicaSet: Found new replica set \"new\""
    );
}

#[test]
fn progress_is_judged_by_counts_and_time() {
    let known = |reason: &str, at: &str| {
        json!([{"type": "Progressing", "status": "True", "reason": reason, "message": "m",
            "lastUpdateTime": at, "lastTransitionTime": at}])
    };
    let check = |available: i32, spec: Value, reason: &str, at: &str, expected: &str| {
        let status = json!({"replicas": 3, "updatedReplicas": 3, "readyReplicas": 1, "availableReplicas": 1,
            "unavailableReplicas": 2, "observedGeneration": 2, "conditions": known(reason, at)});
        let plan =
            run(&seen(deployment(spec, status), vec![set(0, &format!("new 3/{available}"), 3)]));
        assert_eq!(condition(&plan, "Progressing"), expected, "{available} {reason} {at}");
        plan.requeue
    };
    let (recent, long_ago) = ("2026-01-01T00:59:00Z", "2026-01-01T00:00:00Z");
    let none = || json!({});
    let done = "True NewReplicaSetAvailable: ReplicaSet \"new\" has successfully progressed.";
    check(3, none(), "NewReplicaSetCreated", long_ago, done);
    let going = "True ReplicaSetUpdated: ReplicaSet \"new\" is progressing.";
    check(2, none(), "NewReplicaSetCreated", long_ago, going);
    let late = "False ProgressDeadlineExceeded: ReplicaSet \"new\" has timed out progressing.";
    check(1, none(), "ReplicaSetUpdated", long_ago, late);
    let again = check(1, none(), "ReplicaSetUpdated", recent, "True ReplicaSetUpdated: m");
    assert_eq!(again, Some(std::time::Duration::from_secs(541)));
    // A finished rollout is not late when pods fail afterwards.
    check(1, none(), "NewReplicaSetAvailable", long_ago, "True NewReplicaSetAvailable: m");
    check(1, json!({"progressDeadlineSeconds": i32::MAX}), "ReplicaSetUpdated", long_ago, " : ");
    let paused = json!({"paused": true});
    check(
        1,
        paused.clone(),
        "ReplicaSetUpdated",
        recent,
        "Unknown DeploymentPaused: Deployment is paused",
    );
    check(1, paused, "ProgressDeadlineExceeded", recent, "True ProgressDeadlineExceeded: m");
    check(
        1,
        none(),
        "DeploymentPaused",
        recent,
        "Unknown DeploymentResumed: Deployment is resumed",
    );
}

#[test]
fn paused_means_no_new_template_but_another_size() {
    let sets = || vec![set(0, "old 3/3", 3)];
    let paused =
        |replicas: i32| deployment(json!({"paused": true, "replicas": replicas}), json!({}));
    assert_eq!(said(&run(&seen(paused(3), sets()))), Vec::<String>::new());
    assert_eq!(said(&run(&seen(paused(5), sets()))), ["old 5"]);
    // The new one has all that are wanted: nothing of the old ones is needed.
    let both = vec![set(0, "old 1/1", 3), set(1, "new 3/3", 3)];
    assert_eq!(said(&run(&seen(paused(3), both))), ["old 0"]);
}

#[test]
fn recreating_waits_for_the_last_old_pod() {
    let recreated = || deployment(json!({"strategy": {"type": "Recreate"}}), json!({}));
    let old = |told: &str| vec![set(0, told, 3)];
    assert_eq!(said(&run(&seen(recreated(), old("old 3/3")))), ["old 0"]);
    let pod = from_value(json!({"metadata": {"name": "p", "ownerReferences": [
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "old", "uid": "old", "controller": true}]}}));
    let mut ending = seen(recreated(), old("old 0/0"));
    ending.pods = vec![Arc::new(pod.unwrap())];
    assert_eq!(said(&run(&ending)), Vec::<String>::new());
    assert_eq!(said(&run(&seen(recreated(), old("old 0/0")))), ["+ 3"]);
}

#[test]
fn the_history_is_as_long_as_it_may_be_once_all_is_done() {
    let status = json!({"replicas": 3, "updatedReplicas": 3, "availableReplicas": 3, "observedGeneration": 2});
    let sets = || {
        ["a 0/0", "b 0/0", "c 0/0", "new 3/3"]
            .iter()
            .enumerate()
            .map(|(index, told)| set(index, told, 3))
            .collect()
    };
    let check = |limit: i32, status: &Value, expected: &[&str]| {
        let deployment = deployment(json!({"revisionHistoryLimit": limit}), status.clone());
        assert_eq!(said(&run(&seen(deployment, sets()))), expected);
    };
    check(1, &status, &["- a", "- b"]);
    check(0, &status, &["- a", "- b", "- c"]);
    check(3, &status, &[]);
    check(1, &json!({}), &[]);
}

#[test]
fn a_name_that_is_taken_is_changed() {
    let first = deployment(json!({}), json!({}));
    let mut taken = seen(first.clone(), vec![]);
    taken.namesake = Some(set(0, "stranger 1/1", 1));
    let plan = run(&taken);
    assert_eq!(said(&plan), Vec::<String>::new());
    assert_eq!(status(&plan)["status"]["collisionCount"], 1);
    let again = deployment(json!({}), json!({"collisionCount": 1}));
    assert_ne!(name_of_new(&first), name_of_new(&again));
}

#[test]
fn a_refused_replica_set_is_told_before_the_next_try() {
    let mut refused = seen(deployment(json!({}), json!({})), vec![]);
    refused.failure = Some(Failure { reason: REFUSED.to_owned(), message: "quota".to_owned() });
    let plan = run(&refused);
    let Action::Patch { subresource: "status", patch, .. } = &plan.actions[0] else {
        panic!("{plan:?}")
    };
    let told = &patch["status"]["conditions"][0];
    assert_eq!((&told["status"], &told["reason"]), (&json!("False"), &json!(REFUSED)));
    assert!(matches!(plan.actions[1], Action::Create { .. }));
}

#[test]
fn what_matches_is_adopted_first() {
    let mut orphan = ReplicaSet::clone(&set(0, "new 3/3", 3));
    orphan.metadata.owner_references = None;
    let plan = run(&seen(deployment(json!({}), json!({})), vec![Arc::new(orphan)]));
    assert_eq!(said(&plan), ["adopt new"]);
    assert_eq!(plan.actions.len(), 1);
}
