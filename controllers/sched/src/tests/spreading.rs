//! Topology spread constraints that must hold.

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::testing::{cluster, info, merge, node, place};
use crate::volumes::VolumeFacts;

const NOT: &str = "didn't match pod topology spread constraints";

fn zoned(name: &str, zone: &str, extra: Value) -> k8s_openapi::api::core::v1::Node {
    let mut all = json!({"metadata": {"labels": {"zone": zone}}});
    merge(&mut all, extra);
    node(name, "100", all)
}

/// Zone x with the nodes a and b, zone y with c.
fn zones() -> Cluster {
    let none = || json!({});
    cluster(&[zoned("a", "x", none()), zoned("b", "x", none()), zoned("c", "y", none())])
}

fn web() -> Value {
    json!({"metadata": {"labels": {"app": "web"}}})
}

fn spread(extra: Value) -> Value {
    let mut constraint = json!({"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}}});
    merge(&mut constraint, extra);
    let mut pod = web();
    merge(&mut pod, json!({"spec": {"topologySpreadConstraints": [constraint]}}));
    pod
}

/// The node, or whether the constraint was what kept it off.
fn check(cluster: &mut Cluster, pod: Value, expected: &str) {
    let key = ("n".to_owned(), "p".to_owned());
    let got = cluster.schedule(&info("p", pod), &VolumeFacts::default());
    cluster.forget(&key);
    match got {
        Ok(node) => assert_eq!(node, expected),
        Err(why) => assert!(why.to_string().contains(expected), "{why}"),
    }
}

#[test]
fn the_domain_with_the_fewest_pods_has_the_next() {
    let mut all = zones();
    place(&mut all, "w1", "a", web());
    check(&mut all, spread(json!({})), "c");
    place(&mut all, "w2", "c", web());
    place(&mut all, "w3", "c", web());
    for _ in 0..3 {
        let got = all.schedule(&info("p", spread(json!({}))), &VolumeFacts::default()).unwrap();
        assert_ne!(got, "c");
        all.forget(&("n".to_owned(), "p".to_owned()));
    }
    all.set_node("a", None);
    all.set_node("b", None);
    check(&mut all, spread(json!({})), "c");
}

#[test]
fn pods_of_others_and_pods_that_go_do_not_count() {
    let mut all = zones();
    place(&mut all, "w1", "a", web());
    let mut going = web();
    merge(&mut going, json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}));
    place(&mut all, "w2", "c", going);
    place(&mut all, "other", "c", json!({"metadata": {"labels": {"app": "db"}}}));
    check(&mut all, spread(json!({})), "c");
    let mut alone = spread(json!({}));
    alone["metadata"]["labels"]["app"] = "db".into();
    merge(&mut alone, json!({"spec": {"nodeSelector": {"zone": "x"}}}));
    check(&mut all, alone, "b");
}

#[test]
fn fewer_domains_than_wanted_count_as_empty_ones() {
    let mut all = zones();
    place(&mut all, "w1", "a", web());
    place(&mut all, "w2", "c", web());
    check(&mut all, spread(json!({"minDomains": 3})), NOT);
    check(&mut all, spread(json!({"minDomains": 3, "maxSkew": 2})), "b");
}

#[test]
fn nodes_without_the_label_are_no_domain() {
    let mut all = cluster(&[node("a", "9", json!({}))]);
    check(
        &mut all,
        spread(json!({})),
        "1 node(s) didn't match pod topology spread constraints (missing required label)",
    );
    all.set_node("z", Some(&zoned("z", "z", json!({}))));
    check(&mut all, spread(json!({})), "z");
}

#[test]
fn whether_nodes_count_that_the_pod_cannot_have() {
    let mut all = zones();
    place(&mut all, "w1", "a", web());
    let chooses = |policy: &str| {
        let mut pod = spread(json!({"nodeAffinityPolicy": policy}));
        merge(&mut pod, json!({"spec": {"nodeSelector": {"zone": "x"}}}));
        pod
    };
    check(&mut all, chooses("Honor"), "b");
    check(&mut all, chooses("Ignore"), NOT);
    let taint = json!({"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}});
    all.set_node("c", Some(&zoned("c", "y", taint)));
    check(&mut all, spread(json!({})), NOT);
    check(&mut all, spread(json!({"nodeTaintsPolicy": "Honor"})), "b");
}

#[test]
fn keys_tell_revisions_apart() {
    let mut all = zones();
    let old = json!({"metadata": {"labels": {"app": "web", "hash": "1"}}});
    place(&mut all, "w1", "a", old.clone());
    place(&mut all, "w2", "b", old);
    let mut new = spread(json!({"matchLabelKeys": ["hash"]}));
    merge(
        &mut new,
        json!({"metadata": {"labels": {"hash": "2"}}, "spec": {"nodeSelector": {"zone": "x"}}}),
    );
    check(&mut all, new.clone(), "a");
    new["spec"]["topologySpreadConstraints"][0]["nodeAffinityPolicy"] = "Ignore".into();
    check(&mut all, new.clone(), "b");
    new["spec"]["topologySpreadConstraints"][0]["matchLabelKeys"] = Value::Null;
    check(&mut all, new, NOT);
}

/// Red when what is kept about placed pods is not what counting them gives: nodes and pods come, go and change.
#[test]
fn what_is_kept_is_what_is_counted() {
    let mut all = zones();
    let mut random = 7u64;
    let mut next = |most: u64| {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % most
    };
    for round in 0..400 {
        let (node, name) = (["a", "b", "c"][next(3) as usize], format!("w{}", next(12)));
        match next(4) {
            0 => place(&mut all, &name, node, web()),
            1 => drop(all.set_pod(&("n".to_owned(), name), None)),
            2 => place(&mut all, &name, node, json!({"metadata": {"labels": {"app": "db"}}})),
            _ => {
                let zone = ["x", "y"][next(2) as usize];
                let fresh = zoned(node, zone, json!({}));
                all.set_node(node, (round % 3 > 0).then_some(&fresh));
            }
        }
        let mut anew = Cluster::default();
        for node in all.nodes.iter().filter(|node| node.exists) {
            let labels = json!({"metadata": {"labels": node.labels}});
            anew.set_node(&node.name, Some(&crate::testing::node(&node.name, "100", labels)));
        }
        for node in all.nodes.iter().filter(|node| node.exists) {
            for pod in &node.pods {
                let labels = json!({"metadata": {"labels": pod.class.labels}});
                place(&mut anew, &pod.key.1, &node.name, labels);
            }
        }
        let decide = |cluster: &mut Cluster| {
            let mut pod = spread(json!({}));
            merge(
                &mut pod,
                json!({"spec": {"affinity": {"podAntiAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "kubernetes.io/hostname",
                    "labelSelector": {"matchLabels": {"app": "db"}}}]}}}}),
            );
            let got = cluster.schedule(&info("p", pod), &VolumeFacts::default());
            cluster.forget(&("n".to_owned(), "p".to_owned()));
            got.map(|_| ()).map_err(|why| why.to_string())
        };
        assert_eq!(decide(&mut all), decide(&mut anew), "round {round}");
    }
}
