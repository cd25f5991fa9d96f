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

#[test]
fn values_of_labels_are_such() {
    let value = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
    let toleration = |operator: &str, value: &str| json!({ "tolerations": [{ "key": "k", "operator": operator, "value": value }] });
    let node = |value: &str| {
        let term =
            json!({ "matchExpressions": [{ "key": "k", "operator": "In", "values": [value] }] });
        json!({ "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution":
            { "nodeSelectorTerms": [term] } } } })
    };
    let preferred = |value: &str| {
        let term =
            json!({ "matchExpressions": [{ "key": "k", "operator": "In", "values": [value] }] });
        json!({ "affinity": { "nodeAffinity": { "preferredDuringSchedulingIgnoredDuringExecution":
            [{ "weight": 1, "preference": term }] } } })
    };
    for fields in [toleration("Equal", "a"), node("a"), preferred("-a")] {
        created(pod_of(&fields));
    }
    check(
        create(pod_of(&toleration("Equal", "-a"))),
        &[&format!("spec.tolerations[0].operator: Invalid value: \"-a\": {value}")],
    );
    check(
        create(pod_of(&toleration("Exists", "a"))),
        &[
            "spec.tolerations[0].operator: Invalid value: \"a\": value must be empty when `operator` is 'Exists'",
        ],
    );
    check(
        create(pod_of(&toleration("Gt", "1"))),
        &[
            "spec.tolerations[0].operator: Unsupported value: \"Gt\": supported values: \"Equal\", \"Exists\", \"Lt\", \"Gt\"",
        ],
    );
    check(
        create(pod_of(&toleration("Foo", ""))),
        &[
            "spec.tolerations[0].operator: Unsupported value: \"Foo\": supported values: \"Equal\", \"Exists\"",
        ],
    );
    check(
        create(pod_of(&node("-a"))),
        &[&format!(
            "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].values[0]: Invalid value: \"-a\": {value}"
        )],
    );
}
