//! What a pod may not say of where it runs.

use super::*;

#[test]
fn spread_and_affinity_are_checked() {
    let spread = |changes: Value| {
        let mut constraint = json!({
            "maxSkew": 1, "topologyKey": "k", "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": { "matchLabels": { "a": "b" } },
        });
        constraint.as_object_mut().expect("map").extend(changes.as_object().expect("map").clone());
        json!({ "topologySpreadConstraints": [constraint] })
    };
    let twice = {
        let mut twice = spread(json!({}));
        let first = twice["topologySpreadConstraints"][0].clone();
        twice["topologySpreadConstraints"].as_array_mut().expect("list").push(first);
        twice
    };
    let node = |requirement: Value| {
        json!({ "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{ "matchFields": [requirement] }],
        } } } })
    };
    all(
        pod_of,
        &[
            (
                spread(
                    json!({ "minDomains": 2, "nodeAffinityPolicy": "Ignore", "matchLabelKeys": ["c"] }),
                ),
                &[],
            ),
            (
                spread(json!({ "maxSkew": 0 })),
                &[
                    "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
                ],
            ),
            (
                spread(json!({ "minDomains": 1, "whenUnsatisfiable": "ScheduleAnyway" })),
                &[
                    "spec.topologySpreadConstraints[0].minDomains: Invalid value: 1: can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway",
                ],
            ),
            (
                spread(json!({ "nodeAffinityPolicy": "Foo", "nodeTaintsPolicy": "Foo" })),
                &[
                    "spec.topologySpreadConstraints[0].nodeAffinityPolicy: Unsupported value: \"Foo\": supported values: \"Honor\", \"Ignore\"",
                    "spec.topologySpreadConstraints[0].nodeTaintsPolicy: Unsupported value: \"Foo\": supported values: \"Honor\", \"Ignore\"",
                ],
            ),
            (
                spread(json!({ "matchLabelKeys": ["a"], "labelSelector": null })),
                &[
                    "spec.topologySpreadConstraints[0].matchLabelKeys: Forbidden: must not be specified when labelSelector is not set",
                ],
            ),
            // Of a pod without that label it says nothing.
            (spread(json!({ "matchLabelKeys": ["a"] })), &[]),
            (
                twice,
                &[
                    "spec.topologySpreadConstraints[0].{topologyKey, whenUnsatisfiable}: Duplicate value: \"{k, DoNotSchedule}\"",
                ],
            ),
            (node(json!({ "key": "metadata.name", "operator": "In", "values": ["n"] })), &[]),
            (
                node(json!({ "key": "a", "operator": "In", "values": ["n"] })),
                &[
                    "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0].key: Invalid value: \"a\": not a valid field selector key",
                ],
            ),
            (
                node(json!({ "key": "metadata.name", "operator": "Exists" })),
                &[
                    "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0].operator: Invalid value: \"Exists\": not a valid selector operator",
                ],
            ),
            (
                json!({ "affinity": { "podAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [
                    { "topologyKey": "k", "matchLabelKeys": ["a"] },
                    { "topologyKey": "k", "labelSelector": {}, "matchLabelKeys": ["a"], "mismatchLabelKeys": ["a"] },
                ] } } }),
                &[
                    "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].matchLabelKeys: Forbidden: must not be specified when labelSelector is not set",
                    "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[1].matchLabelKeys[0]: Invalid value: \"a\": exists in both matchLabelKeys and mismatchLabelKeys",
                ],
            ),
        ],
    );
}
