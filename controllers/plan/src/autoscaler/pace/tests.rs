//! How far a target goes at once.

use serde_json::{Value, from_value, json};

use super::*;

const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn behavior(value: Value) -> HorizontalPodAutoscalerBehavior {
    from_value(value).unwrap()
}

fn bounds(least: i32, most: i32, current: i32) -> Bounds {
    Bounds { least, most, current }
}

#[test]
fn without_a_behaviour_a_target_at_most_doubles() {
    let check = |bounds: Bounds, wanted: i32, replicas: i32, reason: &str| {
        let paced = pace(&mut Memory::default(), None, bounds, wanted, at(0));
        assert_eq!((paced.replicas, paced.limited.1), (replicas, reason), "{bounds:?} {wanted}");
        assert_eq!(paced.limited.0, replicas != wanted);
        assert_eq!(paced.able.0, "ReadyForNewScale");
    };
    check(bounds(3, 8, 5), 7, 7, "DesiredWithinRange");
    check(bounds(2, 8, 3), 1, 2, "TooFewReplicas");
    check(bounds(1, 8, 3), 0, 1, "TooFewReplicas");
    check(bounds(1, 2, 1), 3, 2, "TooManyReplicas");
    check(bounds(1, 50, 1), 5, 4, "ScaleUpLimit");
    check(bounds(1, 50, 10), 30, 20, "ScaleUpLimit");
    check(bounds(1, i32::MAX, i32::MAX), i32::MAX, i32::MAX, "DesiredWithinRange");
}

#[test]
fn a_target_shrinks_to_what_was_recommended_most_of_late() {
    let mut memory = Memory::default();
    memory.begin(9, at(0));
    let mut check = |wanted: i32, now: u64, replicas: i32, reason: &str| {
        let paced = pace(&mut memory, None, bounds(1, 100, 9), wanted, at(now));
        assert_eq!((paced.replicas, paced.able.0), (replicas, reason), "{wanted} {now}");
    };
    let held = "ScaleDownStabilized";
    check(5, 15, 9, held);
    check(3, 30, 9, held);
    check(10, 45, 10, "ReadyForNewScale");
    check(4, 300, 10, held);
    check(4, 345, 10, held);
    check(4, 346, 4, "ReadyForNewScale");
    check(2, 360, 4, held);
}

#[test]
fn windows_hold_back_in_both_directions() {
    let asked = behavior(json!({
        "scaleUp": { "stabilizationWindowSeconds": 60, "policies": [{ "type": "Percent", "value": 1000, "periodSeconds": 15 }] },
        "scaleDown": { "stabilizationWindowSeconds": 120 },
    }));
    let mut memory = Memory::default();
    memory.begin(5, at(0));
    let mut check = |current: i32, wanted: i32, now: u64, replicas: i32, reason: &str| {
        let paced = pace(&mut memory, Some(&asked), bounds(1, 100, current), wanted, at(now));
        assert_eq!((paced.replicas, paced.able.0), (replicas, reason), "{wanted} {now}");
    };
    check(5, 10, 15, 5, "ScaleUpStabilized");
    check(5, 8, 30, 5, "ScaleUpStabilized");
    check(5, 12, 60, 8, "ScaleUpStabilized");
    check(8, 3, 75, 8, "ScaleDownStabilized");
    // A recommendation that is as old as the window counts no more.
    check(8, 3, 181, 3, "ReadyForNewScale");
}

#[test]
fn policies_bound_a_change() {
    let check =
        |rules: Value, memory: &Memory, current: i32, wanted: i32, expected: (i32, &str)| {
            let mut rules = rules;
            rules["stabilizationWindowSeconds"] = 0.into();
            let name = if wanted > current { "scaleUp" } else { "scaleDown" };
            let mut both = json!({ "scaleUp": { "stabilizationWindowSeconds": 0 },
            "scaleDown": { "stabilizationWindowSeconds": 0 } });
            both[name] = rules.clone();
            let asked = behavior(both);
            let mut memory = memory.clone();
            let paced = pace(&mut memory, Some(&asked), bounds(2, 1000, current), wanted, at(100));
            assert_eq!((paced.replicas, paced.limited.1), expected, "{rules} {current} {wanted}");
        };
    let policy =
        |kind: &str, value: i32| json!({ "type": kind, "value": value, "periodSeconds": 60 });
    let only = |kind: &str, value: i32| json!({ "policies": [policy(kind, value)] });
    let both = |select: &str| json!({ "selectPolicy": select, "policies": [policy("Pods", 4), policy("Percent", 10)] });
    let none = Memory::default();
    check(only("Pods", 4), &none, 10, 30, (14, "ScaleUpLimit"));
    check(only("Percent", 25), &none, 10, 30, (13, "ScaleUpLimit"));
    check(both("Max"), &none, 10, 30, (14, "ScaleUpLimit"));
    check(both("Min"), &none, 10, 30, (11, "ScaleUpLimit"));
    check(json!({ "selectPolicy": "Disabled" }), &none, 10, 30, (10, "ScaleUpLimit"));
    check(only("Pods", 2000), &none, 10, 3000, (1000, "TooManyReplicas"));
    check(json!({}), &none, 1, 30, (5, "ScaleUpLimit"));
    check(json!({}), &none, 10, 30, (20, "ScaleUpLimit"));
    check(only("Pods", 4), &none, 30, 10, (26, "ScaleDownLimit"));
    check(only("Percent", 50), &none, 15, 3, (7, "ScaleDownLimit"));
    check(both("Max"), &none, 30, 10, (26, "ScaleDownLimit"));
    check(both("Min"), &none, 30, 10, (27, "ScaleDownLimit"));
    check(json!({ "selectPolicy": "Disabled" }), &none, 30, 10, (30, "ScaleDownLimit"));
    check(only("Percent", 100), &none, 30, 1, (2, "TooFewReplicas"));
    check(only("Pods", 4), &none, 30, 28, (28, "DesiredWithinRange"));

    // What has changed in the period already counts.
    let mut grown = Memory::default();
    grown.scaled(7, 10, at(50));
    check(only("Pods", 4), &grown, 10, 30, (11, "ScaleUpLimit"));
    check(only("Percent", 100), &grown, 10, 30, (14, "ScaleUpLimit"));
    let mut long_ago = Memory::default();
    long_ago.scaled(7, 10, at(40));
    check(only("Pods", 4), &long_ago, 10, 30, (14, "ScaleUpLimit"));
    let mut much = Memory::default();
    much.scaled(2, 10, at(50));
    check(only("Pods", 4), &much, 10, 30, (10, "ScaleUpLimit"));
    let mut shrunk = Memory::default();
    shrunk.scaled(33, 30, at(90));
    check(only("Pods", 4), &shrunk, 30, 10, (29, "ScaleDownLimit"));
    check(only("Pods", 4), &shrunk, 30, 90, (37, "ScaleUpLimit"));
}

#[test]
fn what_nothing_asks_for_any_more_is_forgotten() {
    let mut memory = Memory::default();
    for round in 0..1000 {
        let _ = pace(&mut memory, None, bounds(1, 10, 5), 5, at(round * 15));
        memory.scaled(5, 6, at(round * 15));
    }
    assert!(memory.recommendations.len() <= 21 && memory.grown.len() <= 22, "{memory:?}");
}
