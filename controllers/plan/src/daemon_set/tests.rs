//! Which pods a daemon set creates and deletes, node by node, and what it says of them.

use std::time::Duration;

use super::*;
use crate::testing::{self, laid, status};
use k8s_openapi::api::core::v1::Taint;
use serde_json::{Value, from_value, json};

const NOW: &str = "2026-01-01T01:00:00Z";

fn set(more: Value) -> Arc<DaemonSet> {
    let object = json!({
        "metadata": {"name": "d", "namespace": "n", "uid": "d", "generation": 2,
            "annotations": {"deprecated.daemonset.template.generation": "3"}},
        "spec": {"selector": {"matchLabels": {"app": "d"}},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}},
            "revisionHistoryLimit": 10,
            "template": {"metadata": {"labels": {"app": "d"}},
                "spec": {"containers": [{"name": "c", "image": "new"}]}}},
    });
    Arc::new(from_value(laid(object, &more)).unwrap())
}

fn surging(limit: Value) -> Arc<DaemonSet> {
    set(json!({"/spec/updateStrategy/rollingUpdate": {"maxUnavailable": 0, "maxSurge": limit}}))
}

fn node(name: &str) -> Arc<Node> {
    let object = json!({"metadata": {"name": name, "labels": {"name": name}}, "spec": {}});
    Arc::new(from_value(object).unwrap())
}

fn new_hash() -> String {
    let set = set(json!({}));
    hash(&set, set.spec.as_ref().unwrap())
}

fn revision(name: &str, number: i64, image: &str) -> Arc<ControllerRevision> {
    revision_of(&set(json!({})), name, number, image)
}

fn revision_of(set: &DaemonSet, name: &str, number: i64, image: &str) -> Arc<ControllerRevision> {
    let label = (HASH, name.strip_prefix("d-").unwrap().to_owned());
    let template = &set.spec.as_ref().unwrap().template;
    testing::revision(&ObjectRef::to(set), template, name, label, number, image)
}

/// A pod told as `NAME@NODE TEMPLATE STATE`, where what is pending waits for its node.
fn pod(told: &str) -> Arc<Pod> {
    let [place, template, state] = told.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{told}")
    };
    let (name, node) = place.split_once('@').unwrap();
    let hash = if template == "new" { new_hash() } else { template.to_owned() };
    let labels = json!({"app": "d", "controller-revision-hash": hash});
    let mut pod = testing::pod(name, "DaemonSet", ("d", "d"), labels, state);
    let spec = pod.spec.as_mut().unwrap();
    if state == "?" {
        bind_to(spec, node);
    } else {
        spec.node_name = Some(node.to_owned());
    }
    Arc::new(pod)
}

fn seen(set: Arc<DaemonSet>, nodes: &[&str], pods: &[&str]) -> Observed {
    Observed {
        nodes: nodes.iter().map(|name| node(name)).collect(),
        pods: pods.iter().map(|told| pod(told)).collect(),
        revisions: vec![
            revision_of(&set, &format!("d-{}", new_hash()), 2, "new"),
            revision("d-old", 1, "old"),
        ],
        set: Some(set),
        namesake: None,
        failures: Failures::default(),
    }
}

fn run(seen: &Observed) -> Plan {
    plan(seen, NOW.parse().unwrap())
}

/// What becomes of pods and revisions: `+NODE`, `-NAME`.
fn said(plan: &Plan) -> Vec<String> {
    let tell = |action: &Action| match action {
        Action::Create { object, .. } if object.0["kind"] == "Pod" => {
            let pod: Pod = from_value(object.0.clone()).unwrap();
            Some(format!("+{}", node_of(&pod).unwrap()))
        }
        Action::Create { object, .. } => Some(format!("+revision {}", object.0["revision"])),
        Action::Delete { target, .. } => Some(format!("-{}", target.name)),
        Action::Patch { target, subresource: "", patch, only_if, .. } => Some(match only_if {
            Some(_) => format!("adopt {}", target.name),
            None => format!("{} {patch}", target.name),
        }),
        _ => None,
    };
    plan.actions.iter().filter_map(tell).collect()
}

fn check(set: Arc<DaemonSet>, nodes: &[&str], pods: &[&str], expected: &[&str]) {
    assert_eq!(said(&run(&seen(set, nodes, pods))), expected, "{nodes:?} {pods:?}");
}

#[test]
fn each_node_has_one() {
    let check = |nodes: &[&str], pods: &[&str], expected: &[&str]| {
        check(set(json!({})), nodes, pods, expected);
    };
    check(&["a", "b"], &[], &["+a", "+b"]);
    check(&["a", "b"], &["p@a new +"], &["+b"]);
    check(&["a"], &["p@a new ?"], &[]);
    // What leaves has to be gone first.
    check(&["a"], &["p@a new !"], &[]);
    // Of several the oldest stays; one that has its node is older than one that waits for it.
    check(&["a"], &["p@a new +", "q@a new +"], &["-q"]);
    check(&["a"], &["p@a new ?", "q@a new +"], &["-p"]);
    check(&["a"], &["p@a new x"], &["-p"]);
    check(&["a"], &["p@a new s"], &["-p"]);
    // A node that is gone: who was on it is somebody else's to delete, who waits for it is not.
    check(&[], &["p@a new +", "q@b new ?"], &["-q"]);
}

#[test]
fn nodes_are_chosen_by_labels_fields_and_taints() {
    let term = |field: &str, key: &str, value: &str| {
        let one = json!([{"key": key, "operator": "In", "values": [value]}]);
        let terms = json!([{ field: one }]);
        json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}})
    };
    let base = "/spec/template/spec";
    let with = |field: &str, value: Value| set(json!({ format!("{base}/{field}"): value }));
    let pods = &["p@a new +", "q@b new +"];
    let check = |set: Arc<DaemonSet>| check(set, &["a", "b"], pods, &["-q"]);
    check(with("nodeSelector", json!({"name": "a"})));
    check(with("nodeName", json!("a")));
    check(with("affinity", term("matchExpressions", "name", "a")));
    check(with("affinity", term("matchFields", "metadata.name", "a")));

    let tainted = |key: &str, effect: &str, more: Value, expected: (bool, bool)| {
        let taint = Taint { key: key.to_owned(), effect: effect.to_owned(), ..Taint::default() };
        let mut node = Node::clone(&node("a"));
        node.spec.get_or_insert_default().taints = Some(vec![taint]);
        let runs = runs_on(&set(more), &node);
        assert_eq!((runs.should, runs.may), expected, "{key} {effect}");
    };
    let tolerating = json!({"/spec/template/spec/tolerations": [{"operator": "Exists"}]});
    let on_host = json!({"/spec/template/spec/hostNetwork": true});
    tainted("role", "NoSchedule", json!({}), (false, true));
    tainted("role", "NoExecute", json!({}), (false, false));
    tainted("role", "PreferNoSchedule", json!({}), (true, true));
    tainted("role", "NoExecute", tolerating, (true, true));
    tainted("node.kubernetes.io/not-ready", "NoExecute", json!({}), (true, true));
    tainted("node.kubernetes.io/not-ready", "NoSchedule", json!({}), (false, true));
    tainted("node.kubernetes.io/unreachable", "NoExecute", json!({}), (true, true));
    tainted("node.kubernetes.io/unschedulable", "NoSchedule", json!({}), (true, true));
    tainted("node.kubernetes.io/disk-pressure", "NoSchedule", json!({}), (true, true));
    tainted("node.kubernetes.io/network-unavailable", "NoSchedule", json!({}), (false, true));
    tainted("node.kubernetes.io/network-unavailable", "NoSchedule", on_host, (true, true));
}

#[test]
fn a_pod_is_made_for_its_node_and_no_other() {
    let known = json!([{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute",
        "tolerationSeconds": 5}]);
    let plan = run(&seen(set(json!({"/spec/template/spec/tolerations": known})), &["a"], &[]));
    let made = plan.actions.iter().find_map(|action| match action {
        Action::Create { object, .. } if object.0["kind"] == "Pod" => Some(object.0.clone()),
        _ => None,
    });
    let pod = made.unwrap();
    let labels = &pod["metadata"]["labels"];
    assert_eq!(pod["metadata"]["generateName"], "d-");
    assert_eq!((&labels["app"], &labels["pod-template-generation"]), (&json!("d"), &json!("3")));
    let keys: Vec<&str> = pod["spec"]["tolerations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["key"].as_str().unwrap().strip_prefix("node.kubernetes.io/").unwrap())
        .collect();
    assert_eq!(
        keys,
        [
            "not-ready",
            "unreachable",
            "disk-pressure",
            "memory-pressure",
            "pid-pressure",
            "unschedulable"
        ]
    );
    assert!(pod["spec"]["tolerations"][0]["tolerationSeconds"].is_null());
    assert_eq!(
        pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"],
        json!({"nodeSelectorTerms": [{"matchFields": [
            {"key": "metadata.name", "operator": "In", "values": ["a"]}]}]})
    );
}

#[test]
fn pods_are_replaced_within_the_limit() {
    let limited = |limit: Value| {
        set(json!({"/spec/updateStrategy/rollingUpdate": {"maxUnavailable": limit, "maxSurge": 0}}))
    };
    let nodes = &["a", "b", "c"];
    let old = &["p@a old +", "q@b old +", "r@c old +"];
    check(limited(json!(1)), nodes, old, &["-p"]);
    check(limited(json!(2)), nodes, old, &["-p", "-q"]);
    check(limited(json!("34%")), nodes, old, &["-p", "-q"]);
    check(limited(json!(0)), nodes, old, &["-p"]);
    // A new one that does not run yet holds the next one back, but not those that do not run anyway.
    check(limited(json!(1)), nodes, &["p@a new -", "q@b old +", "r@c old +"], &[]);
    check(limited(json!(1)), nodes, &["p@a new -", "q@b old +", "r@c old -"], &["-r"]);
    check(limited(json!(1)), nodes, &["p@a new +", "q@b old +", "r@c old !"], &[]);
    let waits = set(json!({"/spec/updateStrategy": {"type": "OnDelete"}}));
    check(waits, nodes, old, &[]);
}

#[test]
fn new_pods_come_beside_old_ones() {
    let nodes = &["a", "b"];
    check(surging(json!(1)), nodes, &["p@a old +", "q@b old +"], &["+a"]);
    check(surging(json!("100%")), nodes, &["p@a old +", "q@b old +"], &["+a", "+b"]);
    check(surging(json!(1)), nodes, &["p@a old +", "n@a new -", "q@b old +"], &[]);
    check(surging(json!(1)), nodes, &["p@a old +", "n@a new +", "q@b old +"], &["-p"]);
    // An old one that does not run is replaced at once.
    check(surging(json!(1)), nodes, &["p@a old +", "n@a new -", "q@b old -"], &["+b"]);
    check(surging(json!(1)), nodes, &["p@a old -", "n@a new -", "q@b new +"], &["-p"]);
    check(surging(json!(1)), nodes, &["p@a old !", "q@b new +"], &["+a"]);
    // Two old ones, or two new ones, are one too many.
    check(surging(json!(1)), &["a"], &["p@a old +", "q@a old +", "n@a new -"], &["-q"]);
}

#[test]
fn failures_make_a_node_wait_longer_each_time() {
    let mut failures = Failures::default();
    let start: Timestamp = NOW.parse().unwrap();
    let check = |failures: &mut Failures, name: &str, after: i64, expected: u64| {
        let now = crate::common::after(start, after);
        failures.look(&set(json!({})), &[pod(&format!("{name}@a new x"))], now);
        let mut seen = seen(set(json!({})), &["a"], &[&format!("{name}@a new x")]);
        seen.failures = failures.clone();
        let plan = plan(&seen, now);
        let deleted = said(&plan) == [format!("-{name}")];
        let expected = Duration::from_secs(expected);
        assert_eq!(
            (deleted, plan.requeue),
            (expected.is_zero(), Some(expected).filter(|_| !expected.is_zero()))
        );
    };
    check(&mut failures, "p", 0, 0);
    check(&mut failures, "q", 1, 1);
    check(&mut failures, "q", 2, 0);
    check(&mut failures, "r", 3, 2);
    check(&mut failures, "s", 10, 4);
    check(&mut failures, "t", 2000, 0);
    // Another template is given another chance.
    check(&mut failures, "u", 2001, 1);
    let again = set(json!({"/metadata/generation": 3}));
    failures.look(&again, &[pod("v@a new x")], start);
    assert_eq!(failures.wait("a", start), Duration::ZERO);
}

#[test]
fn the_status_counts_nodes() {
    let narrow = set(json!({"/spec/template/spec/nodeSelector": {"name": "a"}}));
    let plan = run(&seen(narrow, &["a", "b"], &["q@b old +"]));
    assert_eq!(
        status(&plan),
        json!({"observedGeneration": 2, "desiredNumberScheduled": 1, "currentNumberScheduled": 0,
            "numberMisscheduled": 1, "numberReady": 0, "numberUnavailable": 1})
    );
    let pods = &["p@a new +", "q@b old +", "r@c old -"];
    let plan = run(&seen(set(json!({})), &["a", "b", "c", "d"], pods));
    assert_eq!(
        status(&plan),
        json!({"observedGeneration": 2, "desiredNumberScheduled": 4, "currentNumberScheduled": 3,
            "numberMisscheduled": 0, "numberReady": 2, "numberAvailable": 2, "numberUnavailable": 2,
            "updatedNumberScheduled": 1})
    );
}

#[test]
fn templates_are_numbered_and_kept() {
    let mut first = seen(set(json!({})), &[], &[]);
    first.revisions.clear();
    let plan = run(&first);
    assert_eq!(said(&plan), ["+revision 1"]);
    let Action::Create { object, .. } = &plan.actions[0] else { panic!("{plan:?}") };
    let (revision_now, template) = (&object.0, &object.0["data"]["spec"]["template"]);
    assert_eq!(revision_now["metadata"]["name"], format!("d-{}", new_hash()));
    assert_eq!(revision_now["metadata"]["labels"][HASH], new_hash());
    assert_eq!(
        revision_now["metadata"]["annotations"]["deprecated.daemonset.template.generation"],
        "3"
    );
    assert_eq!(
        (&template["$patch"], &template["spec"]["containers"][0]["image"]),
        (&json!("replace"), &json!("new"))
    );

    let check = |revisions: &[(&str, i64, &str)], expected: &[&str]| {
        let mut seen = seen(set(json!({"/spec/revisionHistoryLimit": 1})), &[], &["p@x b !"]);
        seen.revisions =
            revisions.iter().map(|(name, number, image)| revision(name, *number, image)).collect();
        assert_eq!(said(&run(&seen)), expected);
    };
    check(&[("d-a", 4, "old")], &["+revision 5"]);
    check(&[("d-a", 4, "old"), ("d-n", 5, "new")], &[]);
    // An old template comes back with a new number.
    check(&[("d-n", 3, "new"), ("d-a", 4, "old")], &["d-n {\"revision\":5}"]);
    // Pods of it keep a revision.
    check(&[("d-a", 1, "a"), ("d-c", 3, "c"), ("d-n", 5, "new")], &["-d-a"]);
    check(
        &[("d-a", 1, "a"), ("d-b", 2, "b"), ("d-c", 3, "c"), ("d-n", 5, "new")],
        &["-d-a", "-d-c"],
    );
}

#[test]
fn a_name_that_is_taken_is_changed_and_orphans_are_adopted() {
    let mut taken = seen(set(json!({})), &["a"], &[]);
    taken.revisions.clear();
    taken.namesake = Some(revision(&format!("d-{}", new_hash()), 1, "stranger"));
    let plan = run(&taken);
    assert_eq!((said(&plan), status(&plan)), (vec![], json!({"collisionCount": 1})));
    let counted = set(
        json!({"/status": {"collisionCount": 1, "currentNumberScheduled": 0, "numberMisscheduled": 0,
        "desiredNumberScheduled": 0, "numberReady": 0}}),
    );
    assert_ne!(name_of_new(&counted), name_of_new(&set(json!({}))));

    let mut orphan = ControllerRevision::clone(&revision("d-old", 1, "old"));
    orphan.metadata.owner_references = None;
    let mut adopting = seen(set(json!({})), &["a"], &[]);
    adopting.revisions = vec![Arc::new(orphan)];
    assert_eq!(said(&run(&adopting)), ["adopt d-old"]);

    let leaving = set(json!({"/metadata/deletionTimestamp": "2026-01-01T00:59:00Z"}));
    check(leaving, &["a"], &["p@b new +"], &[]);
}
