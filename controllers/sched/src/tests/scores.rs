//! Scores: which of two nodes is better.

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::pod::PodInfo;
use crate::score;
use crate::selector::Selector;
use crate::testing::{cluster, info, merge, node, place};

/// The scores of all nodes, in their order.
fn scores(cluster: &mut Cluster, pod: &PodInfo) -> Vec<i64> {
    cluster.freshen();
    let (images, feasible) = (cluster.images.clone(), cluster.live.clone());
    score::scores(pod, &feasible, &mut cluster.ground(), &images)
}

fn check(nodes: [Value; 2], pod: Value, expected: [i64; 2]) {
    let [a, b] = nodes;
    let mut two = cluster(&[node("a", "4", a), node("b", "4", b)]);
    assert_eq!(scores(&mut two, &info("p", pod)), expected);
}

/// A pod that asks for a quarter of CPU and memory: 75 left, and as even as before, and no soft taint, is 75 + 75 + 300.
fn even() -> Value {
    json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}]}})
}

const BASE: i64 = 75 + 75 + 300;

#[test]
fn what_is_left() {
    check([json!({}), json!({})], even(), [BASE, BASE]);
    check(
        [json!({}), json!({"status": {"allocatable": {"cpu": "8", "memory": "8Gi"}}})],
        even(),
        [BASE, BASE + 12],
    );
    // Without requests: 100 thousandths and 200 MiB are taken to be used, and evenness is not asked for.
    check(
        [json!({}), json!({})],
        json!({"spec": {"containers": [{"name": "c", "resources": null}]}}),
        [396, 396],
    );
}

#[test]
fn evenness() {
    let mut two = cluster(&[node("a", "4", json!({})), node("b", "4", json!({}))]);
    let uses = |requests: Value| json!({"spec": {"containers": [{"name": "c", "resources": {"requests": requests}}]}});
    place(&mut two, "c", "a", uses(json!({"cpu": "2", "memory": "1"})));
    place(&mut two, "m", "b", uses(json!({"cpu": "1m", "memory": "2Gi"})));
    // CPU alone makes b evener by 12 and a more uneven by 12.
    let got = scores(&mut two, &info("p", uses(json!({"cpu": "1", "memory": "1"}))));
    assert_eq!(got, [62 + 68 + 300, 61 + 81 + 300]);
}

#[test]
fn soft_taints() {
    let taint = |number: usize| {
        let taint = |key: usize| json!({"key": format!("k{key}"), "effect": "PreferNoSchedule"});
        json!({"spec": {"taints": (0..number).map(taint).collect::<Vec<_>>()}})
    };
    check([taint(1), taint(2)], even(), [BASE - 150, BASE - 300]);
    let mut tolerates = even();
    merge(&mut tolerates, json!({"spec": {"tolerations": [{"operator": "Exists"}]}}));
    check([taint(1), taint(2)], tolerates, [BASE, BASE]);
}

#[test]
fn preferred_nodes() {
    let prefers = |weights: &[(&str, i32)]| {
        let mut pod = even();
        let terms: Vec<Value> = weights.iter().map(|(value, weight)| json!({"weight": weight,
            "preference": {"matchExpressions": [{"key": "disk", "operator": "In", "values": [value]}]}})).collect();
        merge(
            &mut pod,
            json!({"spec": {"affinity": {"nodeAffinity":
            {"preferredDuringSchedulingIgnoredDuringExecution": terms}}}}),
        );
        pod
    };
    let disk = |value: &str| json!({"metadata": {"labels": {"disk": value}}});
    check(
        [disk("ssd"), disk("hdd")],
        prefers(&[("ssd", 40), ("hdd", 30)]),
        [BASE + 200, BASE + 150],
    );
    check([disk("ssd"), disk("hdd")], prefers(&[("tape", 40)]), [BASE, BASE]);
}

#[test]
fn images() {
    let has = |bytes: i64| json!({"status": {"images": [{"names": ["reg.test:5000/app:latest"], "sizeBytes": bytes}]}});
    let mut pod = even();
    pod["spec"]["containers"][0]["image"] = "reg.test:5000/app".into();
    let mib = 1024 * 1024;
    check([has(1000 * mib), json!({})], pod.clone(), [BASE + 48, BASE]);
    check([has(1000 * mib), has(10 * mib)], pod.clone(), [BASE + 100, BASE]);
    pod["spec"]["containers"][0]["image"] = "other".into();
    check([has(1000 * mib), json!({})], pod, [BASE, BASE]);
}

#[test]
fn fewer_of_the_same() {
    let zoned = |zone: &str| json!({"metadata": {"labels": {"topology.kubernetes.io/zone": zone}}});
    let web = json!({"metadata": {"labels": {"app": "web"}}});
    let (mut pod, light) = (even(), json!({"spec": {"containers": []}}));
    merge(&mut pod, web.clone());
    let mut other = web.clone();
    merge(&mut other, light);
    let mut two = cluster(&[node("a", "4", zoned("x")), node("b", "4", zoned("y"))]);
    place(&mut two, "w1", "a", other.clone());
    let selector = Selector::pairs(&[("app".to_owned(), "web".to_owned())].into());
    let by_default = info("p", pod.clone()).spread_by_default(&selector);
    // One pod in zone x and on node a: ln 4 for each, and the skews that are allowed: 9 against 6.
    assert_eq!(scores(&mut two, &by_default), [BASE + 2 * 66, BASE + 2 * 100]);
    assert_eq!(scores(&mut two, &info("p", pod.clone())), [BASE, BASE]);
    merge(
        &mut pod,
        json!({"spec": {"topologySpreadConstraints": [{"topologyKey": "rack", "maxSkew": 1,
        "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": {"app": "web"}}}]}}),
    );
    assert_eq!(scores(&mut two, &info("p", pod)), [BASE, BASE], "no node has the label");
}

#[test]
fn liked_and_disliked_company() {
    let web = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}});
    let weighed = |kind: &str| {
        json!({"spec": {"affinity": {kind: {"preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 10, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname",
                "labelSelector": {"matchLabels": {"app": "web"}}}}]}}}})
    };
    let mut two = cluster(&[node("a", "4", json!({})), node("b", "4", json!({}))]);
    place(&mut two, "w", "a", web.clone());
    let mut check = |extra: Value, expected: [i64; 2]| {
        let mut pod = even();
        merge(&mut pod, extra);
        assert_eq!(scores(&mut two, &info("p", pod)), expected);
    };
    check(weighed("podAffinity"), [BASE + 200, BASE]);
    check(weighed("podAntiAffinity"), [BASE, BASE + 200]);
    let mut likes = weighed("podAffinity");
    merge(&mut likes, json!({"spec": {"containers": []}}));
    place(&mut two, "l", "b", likes);
    // The other way round: who is there likes the pod.
    let mut pod = even();
    merge(&mut pod, json!({"metadata": {"labels": {"app": "web"}}}));
    assert_eq!(scores(&mut two, &info("p", pod)), [BASE, BASE + 200]);
}
