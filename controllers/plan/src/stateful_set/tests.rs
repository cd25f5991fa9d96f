//! What becomes of the pods, claims and revisions of a stateful set, ordinal by ordinal.

use super::*;
use crate::testing::{self, laid, status};
use serde_json::{Value, from_value, json};

const NOW: &str = "2026-01-01T01:00:00Z";

fn set(more: Value) -> Arc<StatefulSet> {
    let object = json!({
        "metadata": {"name": "db", "namespace": "n", "uid": "u", "generation": 2, "annotations": {"why": "so"}},
        "spec": {"replicas": 3, "serviceName": "peers", "podManagementPolicy": "OrderedReady",
            "selector": {"matchLabels": {"app": "db"}},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0, "maxUnavailable": 1}},
            "template": {"metadata": {"labels": {"app": "db"}},
                "spec": {"containers": [{"name": "c", "image": "new"}]}}},
        "status": {"replicas": 0, "currentRevision": "db-old"},
    });
    Arc::new(from_value(laid(object, &more)).unwrap())
}

fn parallel(more: Value) -> Arc<StatefulSet> {
    let mut more = more;
    more["/spec/podManagementPolicy"] = json!("Parallel");
    set(more)
}

fn new_name() -> String {
    name_of_new(&set(json!({}))).unwrap()
}

fn revision(name: &str, number: i64, image: &str) -> Arc<ControllerRevision> {
    revision_of(&set(json!({})), name, number, image)
}

fn revision_of(set: &StatefulSet, name: &str, number: i64, image: &str) -> Arc<ControllerRevision> {
    let template = &set.spec.as_ref().unwrap().template;
    let label = (CONTENT, name.to_owned());
    testing::revision(&ObjectRef::to(set), template, name, label, number, image)
}

/// A pod told as `ORDINAL TEMPLATE STATE`.
fn pod(told: &str) -> Arc<Pod> {
    let [ordinal, template, state] = told.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{told}")
    };
    let name = format!("db-{ordinal}");
    let revision = if template == "new" { new_name() } else { format!("db-{template}") };
    let labels = json!({"app": "db", "controller-revision-hash": revision,
        "statefulset.kubernetes.io/pod-name": name});
    Arc::new(testing::pod(&name, "StatefulSet", ("db", "u"), labels, state))
}

fn seen(set: Arc<StatefulSet>, pods: &[&str]) -> Observed {
    Observed {
        pods: pods.iter().map(|told| pod(told)).collect(),
        claims: Vec::new(),
        revisions: vec![revision("db-old", 1, "old"), revision_of(&set, &new_name(), 2, "new")],
        set: Some(set),
        namesake: None,
    }
}

fn run(seen: &Observed) -> Plan {
    plan(seen, NOW.parse().unwrap())
}

/// What becomes of pods, claims and revisions: `+NAME`, `-NAME`.
fn said(plan: &Plan) -> Vec<String> {
    let tell = |action: &Action| match action {
        Action::Create { object, .. } => Some(format!("+{}", object.text(&["metadata", "name"]))),
        Action::Delete { target, .. } => Some(format!("-{}", target.name)),
        Action::Patch { target, subresource: "", patch, only_if, .. } => Some(match only_if {
            Some(_) => format!("adopt {}", target.name),
            None => match patch["metadata"]["ownerReferences"].as_array() {
                Some(owners) => {
                    let kinds: Vec<&str> =
                        owners.iter().map(|one| one["kind"].as_str().unwrap()).collect();
                    format!("{} of {}", target.name, kinds.join(" "))
                }
                None => format!("{} {patch}", target.name),
            },
        }),
        _ => None,
    };
    plan.actions.iter().filter_map(tell).collect()
}

fn check(set: Arc<StatefulSet>, pods: &[&str], expected: &[&str]) {
    assert_eq!(said(&run(&seen(set, pods))), expected, "{pods:?}");
}

fn made(plan: &Plan, name: &str) -> Value {
    let found = plan.actions.iter().find_map(|action| match action {
        Action::Create { object, .. } if object.0["metadata"]["name"] == name => {
            Some(object.0.clone())
        }
        _ => None,
    });
    found.unwrap()
}

#[test]
fn pods_come_one_after_the_other() {
    let check = |pods: &[&str], expected: &[&str]| check(set(json!({})), pods, expected);
    check(&[], &["+db-0"]);
    check(&["0 new ?"], &[]);
    check(&["0 new -"], &[]);
    check(&["0 new +"], &["+db-1"]);
    check(&["0 new !"], &[]);
    check(&["0 new x"], &["-db-0"]);
    check(&["0 new s"], &["-db-0"]);
    // A gap is filled before anything else.
    check(&["0 new +", "2 old +"], &["+db-1"]);
    check(&["0 new +", "1 new +", "2 new +"], &[]);
}

#[test]
fn pods_go_from_the_end() {
    let check = |pods: &[&str], expected: &[&str]| {
        check(set(json!({"/spec/replicas": 1})), pods, expected);
    };
    check(&["0 new +", "1 new +", "2 new +"], &["-db-2"]);
    check(&["0 new +", "1 new +", "2 new !"], &[]);
    check(&["0 new +", "1 new +"], &["-db-1"]);
    // Only the first that is not well may go while it is not.
    check(&["0 new +", "1 new +", "2 new -"], &["-db-2"]);
    check(&["0 new +", "1 new -", "2 new -"], &[]);
    check(&["0 new -", "1 new +"], &[]);
    // Which pods are beyond is said by where counting starts.
    let later = set(json!({"/spec/ordinals": {"start": 1}, "/spec/replicas": 2}));
    super::tests::check(later.clone(), &["0 new +", "1 new +", "2 new +"], &["-db-0"]);
    super::tests::check(later, &["1 new +"], &["+db-2"]);
}

#[test]
fn in_parallel_nobody_waits() {
    check(parallel(json!({})), &[], &["+db-0", "+db-1", "+db-2"]);
    check(parallel(json!({})), &["0 new -", "1 new x"], &["-db-1", "+db-2"]);
    let pods = &["0 new -", "1 new -", "2 new !", "3 new +"];
    check(parallel(json!({"/spec/replicas": 1})), pods, &["-db-3", "-db-1"]);
}

#[test]
fn pods_are_replaced_from_the_end() {
    let limited = |partition: i32, limit: Value| {
        set(
            json!({"/spec/updateStrategy/rollingUpdate": {"partition": partition, "maxUnavailable": limit}}),
        )
    };
    let old = &["0 old +", "1 old +", "2 old +"];
    check(limited(0, json!(1)), old, &["-db-2"]);
    check(limited(0, json!(2)), old, &["-db-2", "-db-1"]);
    check(limited(0, json!("70%")), old, &["-db-2", "-db-1"]);
    check(limited(0, json!("1%")), old, &["-db-2"]);
    check(limited(0, json!(1)), &["0 old +", "1 old +", "2 new +"], &["-db-1"]);
    check(limited(0, json!(1)), &["0 old +", "1 old +", "2 new -"], &[]);
    check(limited(2, json!(1)), &["0 old +", "1 old +", "2 new +"], &[]);
    check(limited(9, json!(1)), old, &[]);
    check(set(json!({"/spec/updateStrategy": {"type": "OnDelete"}})), old, &[]);
    check(set(json!({"/spec/updateStrategy": {"type": "RollingUpdate"}})), old, &["-db-2"]);
    // In parallel what does not run anyway goes at once, and only what runs is counted.
    check(parallel(json!({})), &["0 old -", "1 old +", "2 old +"], &["-db-0"]);
    check(parallel(json!({})), &["0 new -", "1 old +", "2 old +"], &[]);
}

#[test]
fn what_is_made_anew_has_the_template_that_its_ordinal_is_at() {
    let image = |more: Value, pods: &[&str], name: &str| {
        let pod = made(&run(&seen(set(more), pods)), name);
        let label = pod["metadata"]["labels"]["controller-revision-hash"].clone();
        (pod["spec"]["containers"][0]["image"].clone(), label)
    };
    let old = (json!("old"), json!("db-old"));
    let new = (json!("new"), json!(new_name()));
    let partition = json!({"/spec/updateStrategy/rollingUpdate": {"partition": 2}});
    assert_eq!(image(partition.clone(), &["0 old +", "2 new +"], "db-1"), old);
    assert_eq!(image(partition, &["0 old +", "1 old +"], "db-2"), new);
    let bare =
        json!({"/spec/updateStrategy": {"type": "RollingUpdate"}, "/status/currentReplicas": 2});
    assert_eq!(image(bare.clone(), &["0 old +"], "db-1"), old);
    assert_eq!(image(bare, &["0 old +", "1 old +"], "db-2"), new);
}

#[test]
fn a_pod_has_its_name_labels_and_volumes() {
    let templates =
        json!([{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}]);
    let volumes = json!([{"name": "data", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}]);
    let more =
        json!({"/spec/volumeClaimTemplates": templates, "/spec/template/spec/volumes": volumes});
    let plan = run(&seen(set(more.clone()), &[]));
    assert_eq!(said(&plan), ["+data-db-0", "+db-0"]);
    let pod = made(&plan, "db-0");
    assert_eq!(
        pod["metadata"]["labels"],
        json!({"app": "db", "apps.kubernetes.io/pod-index": "0", "controller-revision-hash": new_name(),
            "statefulset.kubernetes.io/pod-name": "db-0"})
    );
    assert_eq!(
        (&pod["metadata"]["generateName"], &pod["spec"]["hostname"]),
        (&json!("db-"), &json!("db-0"))
    );
    assert_eq!(pod["spec"]["subdomain"], "peers");
    assert_eq!(
        pod["spec"]["volumes"],
        json!([{"name": "data", "persistentVolumeClaim": {"claimName": "data-db-0"}},
            {"name": "tmp", "emptyDir": {}}])
    );
    let claim = made(&plan, "data-db-0");
    assert_eq!(claim["metadata"]["labels"], json!({"app": "db"}));
    assert!(claim["metadata"]["ownerReferences"].is_null());
    let mut policy = more;
    policy["/spec/persistentVolumeClaimRetentionPolicy"] =
        json!({"whenDeleted": "Delete", "whenScaled": "Delete"});
    let claim = made(&run(&seen(set(policy), &[])), "data-db-0");
    assert_eq!(claim["metadata"]["ownerReferences"][0]["uid"], "u");
}

#[test]
fn claims_go_with_whom_the_policy_says() {
    let set_ref = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "u", "controller": true});
    let pod_ref = |uid: &str| json!({"apiVersion": "v1", "kind": "Pod", "name": "db-1", "uid": uid, "controller": true});
    let other = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "x", "controller": true});
    let check = |deleted: &str,
                 scaled: &str,
                 replicas: i32,
                 pods: &[&str],
                 owners: Value,
                 expected: &[&str]| {
        let mut seen = seen(
            set(json!({
                "/spec/replicas": replicas,
                "/spec/volumeClaimTemplates": [{"metadata": {"name": "data"}}],
                "/spec/persistentVolumeClaimRetentionPolicy": {"whenDeleted": deleted, "whenScaled": scaled},
            })),
            pods,
        );
        let claim = |name: &str, owners: &Value| {
            let object = json!({"metadata": {"name": name, "namespace": "n", "uid": name, "ownerReferences": owners}});
            Arc::new(from_value::<PersistentVolumeClaim>(object).unwrap())
        };
        let first = if deleted == "Delete" { json!([set_ref]) } else { json!([]) };
        seen.claims = vec![claim("data-db-0", &first), claim("data-db-1", &owners)];
        assert_eq!(said(&run(&seen)), expected, "{deleted} {scaled} {replicas} {owners}");
    };
    let (both, one) = (&["0 new +", "1 new +"], &["0 new +"]);
    let (keep, delete) = ("Retain", "Delete");
    check(keep, keep, 2, both, json!([]), &[]);
    check(keep, keep, 2, both, json!([set_ref]), &["data-db-1 of "]);
    check(keep, keep, 2, both, json!([other]), &[]);
    check(delete, keep, 2, both, json!([]), &["data-db-1 of StatefulSet"]);
    check(delete, keep, 2, both, json!([set_ref]), &[]);
    check(delete, keep, 1, both, json!([set_ref]), &["-db-1"]);
    check(keep, delete, 2, both, json!([]), &[]);
    check(keep, delete, 1, both, json!([]), &["data-db-1 of Pod", "-db-1"]);
    check(delete, delete, 1, both, json!([set_ref]), &["data-db-1 of Pod", "-db-1"]);
    check(delete, delete, 2, both, json!([pod_ref("db-1")]), &["data-db-1 of StatefulSet"]);
    check(delete, keep, 2, both, json!([other, set_ref]), &["data-db-1 of ConfigMap"]);
    check(delete, keep, 2, both, json!([other]), &[]);
    // What goes with the pod before has to be gone before the next one is made.
    check(keep, delete, 2, one, json!([pod_ref("before")]), &[]);
    check(keep, keep, 2, one, json!([pod_ref("before")]), &["+db-1"]);
    check(keep, delete, 2, one, json!([]), &["+db-1"]);
}

#[test]
fn the_status_says_how_far_the_update_is() {
    let of = |more: Value, pods: &[&str]| status(&run(&seen(set(more), pods)));
    let half = of(json!({}), &["0 old +", "1 old -", "2 new !"]);
    assert_eq!(
        half,
        json!({"observedGeneration": 2, "replicas": 3, "readyReplicas": 2, "availableReplicas": 2,
            "currentReplicas": 2, "currentRevision": "db-old", "updateRevision": new_name(), "collisionCount": 0})
    );
    let done = of(json!({}), &["0 new +", "1 new +", "2 new +"]);
    assert_eq!(
        (&done["currentRevision"], &done["currentReplicas"]),
        (&json!(new_name()), &json!(3))
    );
    assert_eq!(done["updatedReplicas"], 3);
    let waits = of(
        json!({"/spec/updateStrategy": {"type": "OnDelete"}}),
        &["0 new +", "1 new +", "2 new +"],
    );
    assert_eq!(waits["currentRevision"], "db-old");
    let young = run(&seen(set(json!({"/spec/minReadySeconds": 3630})), &["0 new +"]));
    assert_eq!(status(&young)["availableReplicas"], 0);
    assert_eq!(said(&young), Vec::<String>::new());
    assert_eq!(young.requeue, Some(std::time::Duration::from_secs(30)));
}

#[test]
fn templates_are_numbered_and_kept() {
    let mut first = seen(set(json!({"/status": {"replicas": 0}})), &[]);
    first.revisions.clear();
    let plan = run(&first);
    assert_eq!(said(&plan), [format!("+{}", new_name()), "+db-0".to_owned()]);
    let revision_now = made(&plan, &new_name());
    assert_eq!(
        (&revision_now["revision"], &revision_now["metadata"]["annotations"]),
        (&json!(1), &json!({"why": "so"}))
    );
    let hash = new_name().strip_prefix("db-").unwrap().to_owned();
    assert_eq!(
        revision_now["metadata"]["labels"],
        json!({"app": "db", "controller.kubernetes.io/hash": hash})
    );
    assert_eq!(status(&plan)["currentRevision"], new_name());

    let check = |revisions: &[(&str, i64, &str)], expected: &[&str]| {
        let mut seen =
            seen(set(json!({"/spec/revisionHistoryLimit": 1, "/spec/replicas": 1})), &["0 b -"]);
        seen.revisions =
            revisions.iter().map(|(name, number, image)| revision(name, *number, image)).collect();
        assert_eq!(said(&run(&seen)), expected);
    };
    check(&[("db-n", 3, "new"), ("db-a", 4, "old")], &["db-n {\"revision\":5}"]);
    // The last ones, and those that have pods, are kept besides.
    check(
        &[
            ("db-old", 1, "old"),
            ("db-a", 2, "a"),
            ("db-b", 3, "b"),
            ("db-c", 4, "c"),
            ("db-n", 5, "new"),
        ],
        &["-db-a"],
    );
}

#[test]
fn names_that_are_taken_are_changed_and_orphans_are_adopted() {
    let mut taken = seen(set(json!({})), &[]);
    taken.revisions.clear();
    taken.namesake = Some(revision(&new_name(), 1, "stranger"));
    let plan = run(&taken);
    assert_eq!((said(&plan), status(&plan)), (vec![], json!({"collisionCount": 1})));
    assert_ne!(name_of_new(&set(json!({"/status/collisionCount": 1}))).unwrap(), new_name());

    let orphaned = |told: &str, name: &str| {
        let mut orphan = Pod::clone(&pod(told));
        orphan.metadata.owner_references = None;
        orphan.metadata.name = Some(name.to_owned());
        let mut seen = seen(set(json!({})), &[]);
        seen.pods = vec![Arc::new(orphan)];
        said(&run(&seen))
    };
    assert_eq!(orphaned("0 new +", "db-0"), ["adopt db-0"]);
    // Only what has the name of one is one.
    for name in ["db-x", "db-00", "other-0", "db"] {
        assert_eq!(orphaned("0 new +", name), ["+db-0"], "{name}");
    }
    let mut bare = Pod::clone(&pod("0 new +"));
    bare.metadata.labels.as_mut().unwrap().remove("statefulset.kubernetes.io/pod-name");
    let mut adopted = seen(set(json!({"/spec/replicas": 1})), &[]);
    adopted.pods = vec![Arc::new(bare)];
    let labels =
        "{\"apps.kubernetes.io/pod-index\":\"0\",\"statefulset.kubernetes.io/pod-name\":\"db-0\"}";
    assert_eq!(said(&run(&adopted)), [format!("db-0 {{\"metadata\":{{\"labels\":{labels}}}}}")]);
    let leaving = set(json!({"/metadata/deletionTimestamp": "2026-01-01T00:59:00Z"}));
    check(leaving, &["0 new +"], &[]);
}

#[test]
fn a_claim_is_known_by_its_name() {
    let set = set(json!({"/spec/volumeClaimTemplates": [{"metadata": {"name": "data"}}]}));
    let check = |name: &str, expected: bool| assert_eq!(uses(&set, name), expected, "{name}");
    check("data-db-0", true);
    check("data-db-12", true);
    check("data-db", false);
    check("data-db-x", false);
    check("data-other-0", false);
    check("logs-db-0", false);
}
