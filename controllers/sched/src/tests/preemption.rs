//! Who makes room, and where.

use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::preempt::{Budget, Preemption};
use crate::testing::{cluster, info, merge, node, place};
use crate::volumes::VolumeFacts;

fn with(priority: i32, cpu: &str) -> Value {
    json!({"spec": {"priority": priority,
        "containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}})
}

fn also(mut pod: Value, extra: Value) -> Value {
    merge(&mut pod, extra);
    pod
}

fn preempt(cluster: &mut Cluster, pod: Value, budgets: &[Budget]) -> (Option<Preemption>, String) {
    let (info, volumes) = (info("p", pod), VolumeFacts::default());
    let mut why = cluster.schedule(&info, &volumes).unwrap_err();
    let made = cluster.preempt(&info, &volumes, &mut why, budgets);
    (made, why.to_string())
}

/// The node and the victims, as `node: a b`.
fn check(cluster: &mut Cluster, pod: Value, budgets: &[Budget], expected: &str) {
    let (made, why) = preempt(cluster, pod, budgets);
    let made = made.map_or(why, |made| {
        let victims: Vec<&str> = made.victims.iter().map(|one| one.key.1.as_str()).collect();
        format!("{}: {}", made.node, victims.join(" "))
    });
    assert_eq!(made, expected);
}

#[test]
fn only_as_many_go_as_must() {
    let mut one = cluster(&[node("a", "4", json!({}))]);
    for (name, priority, cpu) in [("low", 1, "1"), ("mid", 5, "1"), ("high", 9, "2")] {
        place(&mut one, name, "a", with(priority, cpu));
    }
    check(&mut one, with(10, "1"), &[], "a: low");
    check(&mut one, with(10, "2"), &[], "a: mid low");
    check(
        &mut one,
        with(6, "3"),
        &[],
        "0/1 nodes are available: 1 Insufficient cpu. \
        no new claims to deallocate, preemption: 0/1 nodes are available: 1 Insufficient cpu.",
    );
    check(
        &mut one,
        with(1, "1"),
        &[],
        "0/1 nodes are available: 1 Insufficient cpu. \
        no new claims to deallocate, preemption: 0/1 nodes are available: \
        1 No preemption victims found for incoming pod.",
    );
}

#[test]
fn the_node_where_it_costs_least() {
    let started =
        |second: u32| json!({"status": {"startTime": format!("2026-01-01T00:00:{second:02}Z")}});
    let mut all =
        cluster(&[node("a", "2", json!({})), node("b", "2", json!({})), node("c", "2", json!({}))]);
    place(&mut all, "a1", "a", with(5, "2"));
    place(&mut all, "b1", "b", with(3, "1"));
    place(&mut all, "b2", "b", with(3, "1"));
    place(&mut all, "c1", "c", with(4, "2"));
    check(&mut all, with(9, "2"), &[], "b: b1 b2");
    check(&mut all, with(9, "1"), &[], "b: b2");
    place(&mut all, "c1", "c", with(3, "2"));
    check(&mut all, with(9, "2"), &[], "c: c1");
    place(&mut all, "a1", "a", also(with(3, "2"), started(30)));
    place(&mut all, "c1", "c", also(with(3, "2"), started(10)));
    check(&mut all, with(9, "2"), &[], "a: a1");
}

fn budget(allowed: i32, disrupted: Value) -> Vec<Budget> {
    let budget: PodDisruptionBudget = serde_json::from_value(json!({
        "metadata": {"namespace": "n"}, "spec": {"selector": {"matchLabels": {"app": "web"}}},
        "status": {"disruptionsAllowed": allowed, "disruptedPods": disrupted,
            "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1},
    }))
    .unwrap();
    Budget::read(&budget).into_iter().collect()
}

#[test]
fn budgets_are_kept_where_they_can_be() {
    let web = json!({"metadata": {"labels": {"app": "web"}}});
    let mut two = cluster(&[node("a", "2", json!({})), node("b", "2", json!({}))]);
    place(&mut two, "guarded", "a", also(with(1, "2"), web.clone()));
    place(&mut two, "dear", "b", with(5, "2"));
    check(&mut two, with(9, "2"), &[], "a: guarded");
    check(&mut two, with(9, "2"), &budget(0, json!({})), "b: dear");
    check(&mut two, with(9, "2"), &budget(1, json!({})), "a: guarded");
    check(
        &mut two,
        with(9, "2"),
        &budget(0, json!({"guarded": "2026-01-01T00:00:00Z"})),
        "a: guarded",
    );
    two.set_node("b", None);
    check(&mut two, with(9, "2"), &budget(0, json!({})), "a: guarded");
    // On one node those stay whose going no budget allows.
    let mut one = cluster(&[node("c", "2", json!({}))]);
    place(&mut one, "w", "c", also(with(1, "1"), web));
    place(&mut one, "x", "c", with(5, "1"));
    check(&mut one, with(9, "1"), &budget(0, json!({})), "c: x");
    check(&mut one, with(9, "1"), &[], "c: w");
}

#[test]
fn who_is_nominated_counts_until_it_has_a_node() {
    let mut one = cluster(&[node("a", "2", json!({}))]);
    place(&mut one, "low", "a", with(1, "2"));
    check(&mut one, with(9, "2"), &[], "a: low");
    assert_eq!(one.nominated(&("n".to_owned(), "p".to_owned())), Some("a"));
    one.set_pod(&("n".to_owned(), "low".to_owned()), None);
    let volumes = VolumeFacts::default();
    let lower = one.schedule(&info("q", with(5, "1")), &volumes).unwrap_err();
    assert_eq!(lower.to_string(), "0/1 nodes are available: 1 Insufficient cpu.");
    let higher = one.schedule(&info("r", with(10, "1")), &volumes).unwrap();
    assert_eq!(higher, "a");
    one.forget(&("n".to_owned(), "r".to_owned()));
    assert_eq!(one.schedule(&info("p", with(9, "2")), &volumes).unwrap(), "a");
    assert_eq!(one.nominated(&("n".to_owned(), "p".to_owned())), None);
}

#[test]
fn a_higher_pod_takes_the_place_of_who_was_nominated() {
    let mut one = cluster(&[node("a", "2", json!({}))]);
    place(&mut one, "low", "a", with(1, "2"));
    check(&mut one, with(5, "2"), &[], "a: low");
    let (higher, volumes) = (info("r", with(9, "2")), VolumeFacts::default());
    let mut why = one.schedule(&higher, &volumes).unwrap_err();
    let made = one.preempt(&higher, &volumes, &mut why, &[]).unwrap();
    assert_eq!(made.displaced, [("n".to_owned(), "p".to_owned())]);
    assert_eq!(one.nominated(&("n".to_owned(), "p".to_owned())), None);
}

/// Red when a pod makes more and more others go while those before are still going.
#[test]
fn no_more_go_while_those_before_are_going() {
    let mut one = cluster(&[node("a", "2", json!({}))]);
    place(&mut one, "low", "a", with(1, "2"));
    check(&mut one, with(9, "2"), &[], "a: low");
    let going = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "status": {"conditions": [
        {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}]}});
    place(&mut one, "low", "a", also(with(1, "2"), going));
    check(
        &mut one,
        with(9, "2"),
        &[],
        "0/1 nodes are available: 1 Insufficient cpu. \
        no new claims to deallocate, preemption: not eligible due to a terminating pod on the nominated node.",
    );
    assert_eq!(one.nominated(&("n".to_owned(), "p".to_owned())), Some("a"));
    let cordoned = node("a", "2", json!({"spec": {"unschedulable": true}}));
    one.set_node("a", Some(&cordoned));
    check(
        &mut one,
        with(9, "2"),
        &[],
        "0/1 nodes are available: 1 node(s) were unschedulable. \
        no new claims to deallocate, preemption: 0/1 nodes are available: \
        1 Preemption is not helpful for scheduling.",
    );
    assert_eq!(one.nominated(&("n".to_owned(), "p".to_owned())), None);
}

#[test]
fn pods_that_keep_others_off_make_room() {
    let mut two = cluster(&[node("a", "9", json!({})), node("b", "1", json!({}))]);
    let term = json!({"spec": {"affinity": {"podAntiAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "kubernetes.io/hostname",
            "labelSelector": {"matchLabels": {"app": "web"}}}]}}}});
    let web = json!({"metadata": {"labels": {"app": "web"}}});
    place(&mut two, "w", "a", also(with(1, "1"), web.clone()));
    place(&mut two, "x", "a", with(1, "1"));
    check(&mut two, also(with(9, "2"), term.clone()), &[], "a: w");
    two.set_pod(&("n".to_owned(), "w".to_owned()), None);
    place(&mut two, "loner", "a", also(with(1, "1"), term));
    check(&mut two, also(with(9, "2"), web), &[], "a: loner");
}
