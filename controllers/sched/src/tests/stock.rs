//! 500 generated cases, held against what upstream's own scheduler decided on them (`stock.txt`, a line each: the node, or
//! why there is none). It was of Kubernetes 1.20, in whose words taints and selectors are told otherwise; that is put right in
//! the record. Where a line names two nodes the first is its choice and the second is ours: scores have other weights since, and
//! among equals it chose by chance.
//!
//! `CASES=FILE` writes the cases as a line of JSON each, for whoever records anew.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::pod::PodInfo;
use crate::testing::{merge, node, pod};
use crate::volumes::VolumeFacts;

const CASES: u64 = 500;

struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % most
    }

    fn percent(&mut self, part: usize) -> bool {
        self.below(100) < part
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

fn make_node(number: usize, dice: &mut Dice) -> Value {
    let name = format!("n{number}");
    let mut labels = json!({"kubernetes.io/hostname": name});
    if dice.percent(85) {
        labels["zone"] = dice.pick(&["x", "y", "z"]).into();
    }
    if dice.percent(50) {
        labels["disk"] = dice.pick(&["ssd", "hdd"]).into();
    }
    let mut taints = json!([]);
    if dice.percent(30) {
        taints = json!([{"key": dice.pick(&["a", "b"]), "value": dice.pick(&["1", "2"]),
            "effect": dice.pick(&["NoSchedule", "NoExecute", "PreferNoSchedule"])}]);
    }
    json!({"name": name, "labels": labels, "taints": taints, "unschedulable": dice.percent(10),
        "cpu": dice.pick(&["1", "2", "4"]), "pods": dice.pick(&["2", "5", "10"])})
}

fn term(dice: &mut Dice) -> Value {
    json!({"topologyKey": dice.pick(&["zone", "kubernetes.io/hostname"]),
        "labelSelector": {"matchLabels": {"app": dice.pick(&["web", "db"])}}})
}

fn make_pod(waits: bool, dice: &mut Dice) -> Value {
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    let labels = json!({"app": dice.pick(&["web", "db"])});
    let cpu = dice.pick(&["100m", "500m", "1"]);
    let mut container =
        json!({"name": "c", "image": "x/y:1", "resources": {"requests": {"cpu": cpu}}});
    if dice.percent(20) {
        container["ports"] = json!([{"containerPort": 80, "hostPort": 80 + dice.below(2),
            "protocol": dice.pick(&["TCP", "UDP"])}]);
    }
    let mut spec = json!({"containers": [container], "terminationGracePeriodSeconds": 0});
    if dice.percent(if waits { 35 } else { 20 }) {
        spec["affinity"]["podAntiAffinity"][REQUIRED] = json!([term(dice)]);
    }
    if waits {
        if dice.percent(30) {
            let terms: Vec<Value> = (0..1 + dice.below(3) / 2).map(|_| term(dice)).collect();
            spec["affinity"]["podAffinity"][REQUIRED] = terms.into();
        }
        if dice.percent(30) {
            let operator = dice.pick(&["In", "NotIn", "Exists", "DoesNotExist"]);
            let mut need = json!({"key": dice.pick(&["disk", "zone"]), "operator": operator});
            if operator.ends_with("In") {
                need["values"] = json!([dice.pick(&["ssd", "x", "y"])]);
            }
            let terms = json!([{"matchExpressions": [need]}]);
            spec["affinity"]["nodeAffinity"][REQUIRED]["nodeSelectorTerms"] = terms;
        }
        if dice.percent(15) {
            spec["nodeSelector"] = json!({"disk": dice.pick(&["ssd", "hdd"])});
        }
        if dice.percent(35) {
            let key = dice.pick(&["a", "b"]);
            spec["tolerations"] = json!([match dice.percent(50) {
                true => json!({"key": key, "operator": "Exists"}),
                false => json!({"key": key, "value": dice.pick(&["1", "2"]),
                    "effect": dice.pick(&["NoSchedule", "NoExecute"])}),
            }]);
        }
        if dice.percent(40) {
            let mut spread = term(dice);
            merge(
                &mut spread,
                json!({"maxSkew": 1 + dice.below(3) / 2, "whenUnsatisfiable": "DoNotSchedule"}),
            );
            spec["topologySpreadConstraints"] = json!([spread]);
        }
    }
    json!({"labels": labels, "spec": spec})
}

fn make(number: u64) -> Value {
    let mut dice = Dice(number * 7919 + 5);
    dice.below(2);
    let nodes: Vec<Value> = (0..4).map(|number| make_node(number, &mut dice)).collect();
    let pods: Vec<Value> = (0..2 * dice.below(4))
        .map(|number| {
            let mut pod = make_pod(false, &mut dice);
            pod["name"] = format!("e{number}").into();
            pod["spec"]["nodeName"] = format!("n{}", dice.below(4)).into();
            pod
        })
        .collect();
    json!({"nodes": nodes, "pods": pods, "pod": make_pod(true, &mut dice)})
}

fn decide(case: &Value) -> String {
    let mut cluster = Cluster::default();
    for one in case["nodes"].as_array().unwrap() {
        let name = one["name"].as_str().unwrap();
        let extra = json!({"metadata": {"labels": one["labels"]},
            "spec": {"taints": one["taints"], "unschedulable": one["unschedulable"]},
            "status": {"allocatable": {"memory": "8Gi", "pods": one["pods"]}}});
        cluster.set_node(name, Some(&node(name, one["cpu"].as_str().unwrap(), extra)));
    }
    let read = |name: &str, one: &Value| {
        pod(name, json!({"metadata": {"labels": one["labels"]}, "spec": one["spec"]}))
    };
    for one in case["pods"].as_array().unwrap() {
        let name = one["name"].as_str().unwrap();
        cluster.set_pod(&("n".to_owned(), name.to_owned()), Some(&read(name, one)));
    }
    let info = PodInfo::read(&read("p", &case["pod"]));
    cluster.schedule(&info, &VolumeFacts::default()).unwrap_or_else(|why| {
        let why = why.to_string();
        why.trim_start_matches("0/4 nodes are available: ").trim_end_matches('.').to_owned()
    })
}

#[test]
fn decisions_are_those_of_the_stock_scheduler() {
    if let Some(file) = std::env::var_os("CASES") {
        let mut lines = String::new();
        for number in 0..CASES {
            writeln!(lines, "{}", make(number)).unwrap();
        }
        std::fs::write(file, lines).unwrap();
    }
    let recorded = include_str!("stock.txt");
    let mut same = 0;
    for (number, line) in (0..CASES).zip(recorded.lines()) {
        let got = decide(&make(number));
        let (theirs, ours) = line.split_once(" / ").unwrap_or((line, line));
        assert_eq!(got, ours, "case {number}");
        same += usize::from(theirs == ours);
    }
    assert_eq!(recorded.lines().count(), 500);
    assert!(same >= 470, "only {same} are the same");
}
