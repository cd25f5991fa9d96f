//! What the cluster keeps, and the messages.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::schedule::enough;
use crate::testing::{check, cluster, info, node, pod};
use crate::volumes::VolumeFacts;

const NO_HELP: &str = "no new claims to deallocate, preemption:";

#[test]
fn the_message_counts_reasons_as_upstream_does() {
    let taints =
        json!({"spec": {"taints": [{"key": "role", "value": "db", "effect": "NoSchedule"}]}});
    let mut small = cluster(&[
        node("a", "500m", json!({})),
        node("b", "4", taints.clone()),
        node("c", "4", taints),
    ]);
    check(
        &mut small,
        &pod("p", json!({})),
        &format!(
            "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s). {NO_HELP} \
            0/3 nodes are available: 3 Preemption is not helpful for scheduling."
        ),
    );
    check(&mut Cluster::default(), &pod("p", json!({})), "no nodes available to schedule pods");
    let mut full = cluster(&[node("a", "1", json!({}))]);
    check(&mut full, &pod("p", json!({})), "a");
    check(
        &mut full,
        &pod("q", json!({})),
        &format!(
            "0/1 nodes are available: 1 Insufficient cpu. {NO_HELP} 0/1 nodes are available: \
            1 No preemption victims found for incoming pod."
        ),
    );
    check(
        &mut full,
        &pod("r", json!({"spec": {"nodeSelector": {"disk": "ssd"}}})),
        &format!(
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. {NO_HELP} \
            0/1 nodes are available: 1 Preemption is not helpful for scheduling."
        ),
    );
    check(
        &mut full,
        &pod("r", json!({"spec": {"preemptionPolicy": "Never"}})),
        &format!(
            "0/1 nodes are available: 1 Insufficient cpu. {NO_HELP} not eligible due to \
            preemptionPolicy=Never."
        ),
    );
    let blocked = VolumeFacts { blocked: Some("w".to_owned()), ..VolumeFacts::default() };
    let why = full.schedule(&info("r", json!({})), &blocked).unwrap_err();
    assert_eq!(why.to_string(), "0/1 nodes are available: w. not found");
}

/// Red when a pod that asks for one node by name is held against all.
#[test]
fn nodes_that_a_pod_does_not_name_are_not_looked_at() {
    let names = |names: Value| {
        json!({"spec": {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            {"nodeSelectorTerms": [{"matchFields":
                [{"key": "metadata.name", "operator": "In", "values": names}]}]}}}}})
    };
    let mut two = cluster(&[node("a", "1", json!({})), node("b", "2", json!({}))]);
    check(&mut two, &pod("p", names(json!(["b"]))), "b");
    check(&mut two, &pod("q", names(json!(["a"]))), "a");
    check(
        &mut two,
        &pod("r", names(json!(["a"]))),
        &format!(
            "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) didn't satisfy plugin(s) \
            [NodeAffinity]. {NO_HELP} 0/2 nodes are available: 1 No preemption victims found for \
            incoming pod, 1 Preemption is not helpful for scheduling."
        ),
    );
    check(
        &mut two,
        &pod("r", names(json!([]))),
        "0/2 nodes are available: pod affinity terms conflict. not found",
    );
}

#[test]
fn a_burst_spreads_and_never_over_commits() {
    let mut cluster = cluster(&[node("a", "2", json!({})), node("b", "2", json!({}))]);
    let mut counts = BTreeMap::new();
    for number in 0..4 {
        let info = info(&format!("p{number}"), json!({}));
        let node = cluster.schedule(&info, &VolumeFacts::default()).unwrap();
        *counts.entry(node).or_insert(0) += 1;
    }
    assert_eq!(counts, BTreeMap::from([("a".to_owned(), 2), ("b".to_owned(), 2)]));
    let more = info("p9", json!({}));
    assert!(cluster.schedule(&more, &VolumeFacts::default()).is_err());
    cluster.forget(&("n".to_owned(), "p0".to_owned()));
    assert!(cluster.schedule(&more, &VolumeFacts::default()).is_ok());
}

#[test]
fn a_stale_event_keeps_the_assumption_and_an_end_frees_the_node() {
    let mut cluster = cluster(&[node("a", "1", json!({}))]);
    let unbound = pod("p", json!({}));
    let key = ("n".to_owned(), "p".to_owned());
    check(&mut cluster, &unbound, "a");
    assert!(cluster.set_pod(&key, Some(&unbound)).freed.is_none());
    assert!(cluster.is_placed(&key, "p"));
    let mut bound = pod("p", json!({"spec": {"nodeName": "a"}}));
    assert!(cluster.set_pod(&key, Some(&bound)).freed.is_none());
    cluster.forget(&key);
    assert!(cluster.is_placed(&key, "p"), "bound pods are not forgotten");
    bound.status = serde_json::from_value(json!({"phase": "Succeeded"})).unwrap();
    assert_eq!(cluster.set_pod(&key, Some(&bound)).freed.as_deref(), Some("a"));
    check(&mut cluster, &pod("q", json!({})), "a");
}

/// Red when what a bound pod asks for is read once for all.
#[test]
fn a_bound_pod_that_asks_for_less_frees_room() {
    let mut cluster = cluster(&[node("a", "1", json!({}))]);
    let key = ("n".to_owned(), "p".to_owned());
    let asks = |cpu: &str, generation: i64| {
        let containers = json!([{"name": "c", "resources": {"requests": {"cpu": cpu}}}]);
        pod(
            "p",
            json!({"metadata": {"generation": generation},
            "spec": {"nodeName": "a", "containers": containers}}),
        )
    };
    cluster.set_pod(&key, Some(&asks("1", 1)));
    assert_eq!(cluster.set_pod(&key, Some(&asks("500m", 2))).freed.as_deref(), Some("a"));
    let small = json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "500m"}}}]}});
    check(&mut cluster, &pod("q", small), "a");
}

#[test]
fn host_ports_do_not_clash() {
    let with = |name: &str, address: &str, protocol: &str| {
        pod(
            name,
            json!({"spec": {"containers": [{"name": "c", "ports": [
            {"containerPort": 80, "hostPort": 80, "hostIP": address, "protocol": protocol}]}]}}),
        )
    };
    let full = format!(
        "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports. \
        {NO_HELP} 0/1 nodes are available: 1 No preemption victims found for incoming pod."
    );
    let mut one = cluster(&[node("a", "4", json!({}))]);
    check(&mut one, &with("p", "127.0.0.1", "TCP"), "a");
    check(&mut one, &with("q", "127.0.0.1", "TCP"), &full);
    check(&mut one, &with("q", "", "TCP"), &full);
    check(&mut one, &with("q", "0.0.0.0", "TCP"), &full);
    check(&mut one, &with("q", "127.0.0.2", "TCP"), "a");
    check(&mut one, &with("r", "127.0.0.1", "UDP"), "a");
}

#[test]
fn five_thousand_nodes_are_searched_in_part() {
    let all = |nodes: usize| enough(nodes, None);
    assert_eq!((all(0), all(100), all(1000), all(5000), all(50_000)), (1, 100, 420, 500, 2500));
    assert_eq!(
        (enough(90, Some(10)), enough(5000, Some(10)), enough(500, Some(10))),
        (90, 500, 100)
    );
}

/// Red when nodes are searched as they came: a part of them may be of one zone.
#[test]
fn zones_take_turns() {
    let zone = |name: &str, zone: &str| {
        node(name, "1", json!({"metadata": {"labels": {"topology.kubernetes.io/zone": zone}}}))
    };
    let mut all =
        cluster(&[zone("a", "x"), zone("b", "x"), zone("c", "x"), zone("d", "y"), zone("e", "z")]);
    all.freshen();
    let order: Vec<&str> = all.live.iter().map(|index| all.nodes[*index].name.as_str()).collect();
    assert_eq!(order, ["a", "d", "e", "b", "c"]);
}

/// Red when the slot of a node that is gone is kept: each new name takes another one, and each is searched.
#[test]
fn nodes_that_are_gone_are_forgotten_once_their_pods_are() {
    let mut cluster = cluster(&[node("a", "1", json!({}))]);
    let key = ("n".to_owned(), "p".to_owned());
    cluster.set_pod(&key, Some(&pod("p", json!({"spec": {"nodeName": "a"}}))));
    cluster.set_node("a", None);
    check(&mut cluster, &pod("q", json!({})), "no nodes available to schedule pods");
    assert_eq!((cluster.live.len(), cluster.by_name.len()), (0, 1), "a pod is still on it");
    cluster.set_pod(&key, None);
    assert!(cluster.by_name.is_empty());
    for number in 0..20 {
        let name = format!("n{number}");
        cluster.set_node(&name, Some(&node(&name, "1", json!({}))));
        check(&mut cluster, &pod("q", json!({})), &name);
        cluster.set_pod(&("n".to_owned(), "q".to_owned()), None);
        cluster.set_node(&name, None);
    }
    cluster.freshen();
    assert_eq!((cluster.nodes.len(), cluster.live.len()), (1, 0));
}
