//! Filters that look at one node.

use serde_json::{Value, json};

use crate::testing::{cluster, info, merge, node, place};
use crate::volumes::VolumeFacts;

/// Decides on a pod where there is one node, with what they say besides.
fn check(of_node: Value, of_pod: Value, expected: &str) {
    let mut one = cluster(&[node("a", "4", of_node)]);
    let got = one.schedule(&info("p", of_pod), &VolumeFacts::default());
    let got = got.unwrap_or_else(|why| {
        why.to_string().trim_start_matches("0/1 nodes are available: ").to_owned()
    });
    assert_eq!(got, expected);
}

#[test]
fn unschedulable_nodes() {
    let cordoned = || json!({"spec": {"unschedulable": true}});
    check(cordoned(), json!({}), "1 node(s) were unschedulable.");
    let tolerated = json!({"spec": {"tolerations": [
        {"key": "node.kubernetes.io/unschedulable", "operator": "Exists", "effect": "NoSchedule"}]}});
    check(cordoned(), tolerated, "a");
}

#[test]
fn taints() {
    let taint =
        |effect: &str| json!({"spec": {"taints": [{"key": "k", "value": "v", "effect": effect}]}});
    let tolerates = |toleration: Value| json!({"spec": {"tolerations": [toleration]}});
    const NOT: &str = "1 node(s) had untolerated taint(s).";
    check(taint("NoSchedule"), json!({}), NOT);
    check(taint("NoExecute"), json!({}), NOT);
    check(taint("PreferNoSchedule"), json!({}), "a");
    check(taint("NoSchedule"), tolerates(json!({"key": "k", "value": "v"})), "a");
    check(taint("NoSchedule"), tolerates(json!({"key": "k", "value": "w"})), NOT);
    check(
        taint("NoSchedule"),
        tolerates(json!({"key": "k", "operator": "Exists", "effect": "NoExecute"})),
        NOT,
    );
    check(taint("NoSchedule"), tolerates(json!({"operator": "Exists"})), "a");
}

#[test]
fn node_affinity() {
    const NOT: &str = "1 node(s) didn't match Pod's node affinity/selector.";
    let disk = || json!({"metadata": {"labels": {"disk": "ssd", "size": "7"}}});
    let selects = |pairs: Value| json!({"spec": {"nodeSelector": pairs}});
    check(disk(), selects(json!({"disk": "ssd"})), "a");
    check(disk(), selects(json!({"disk": "hdd"})), NOT);
    let terms = |terms: Value| {
        json!({"spec": {"affinity": {"nodeAffinity":
            {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}}})
    };
    let term = |key: &str, operator: &str, values: Value| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
    check(disk(), terms(json!([term("disk", "In", json!(["hdd", "ssd"]))])), "a");
    check(disk(), terms(json!([term("disk", "NotIn", json!(["ssd"]))])), NOT);
    check(disk(), terms(json!([term("size", "Gt", json!(["6"]))])), "a");
    check(disk(), terms(json!([term("size", "Lt", json!(["6"]))])), NOT);
    check(
        disk(),
        terms(json!([term("x", "Exists", json!([])), term("x", "DoesNotExist", json!([]))])),
        "a",
    );
    check(disk(), terms(json!([{}])), NOT);
    let field = |operator: &str| json!([{"matchFields": [{"key": "metadata.name", "operator": operator, "values": ["a"]}]}]);
    check(disk(), terms(field("In")), "a");
    check(disk(), terms(field("NotIn")), NOT);
}

#[test]
fn room() {
    let asks = |requests: Value| json!({"spec": {"containers": [{"name": "c", "resources": {"requests": requests}}]}});
    let gpus = || json!({"status": {"allocatable": {"example.com/gpu": "2"}}});
    check(gpus(), asks(json!({"example.com/gpu": "2"})), "a");
    check(gpus(), asks(json!({"example.com/gpu": "3"})), "1 Insufficient example.com/gpu.");
    check(json!({}), asks(json!({"example.com/gpu": "1"})), "1 Insufficient example.com/gpu.");
    check(json!({}), asks(json!({"memory": "4Gi", "cpu": "4"})), "a");
    check(
        json!({}),
        asks(json!({"memory": "5Gi", "cpu": "5"})),
        "1 Insufficient cpu, 1 Insufficient memory.",
    );
    check(json!({"status": {"allocatable": {"pods": "0"}}}), asks(json!({})), "1 Too many pods.");
}

/// Red when a node that is too small for a pod whatever goes is taken for one that is crowded.
#[test]
fn only_nodes_that_are_large_enough_are_crowded() {
    let mut two = cluster(&[node("large", "8", json!({})), node("small", "2", json!({}))]);
    place(&mut two, "other", "large", json!({}));
    let mut large = json!({"spec": {"containers": [{"name": "c"}]}});
    merge(&mut large["spec"]["containers"][0], json!({"resources": {"requests": {"cpu": "8"}}}));
    let why = two.schedule(&info("p", large), &VolumeFacts::default()).unwrap_err();
    assert_eq!((why.crowded, why.nodes), (vec![0], 2));
}
