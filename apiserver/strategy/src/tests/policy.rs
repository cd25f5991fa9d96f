//! PodDisruptionBudgets.

use super::*;

fn budget(spec: Value) -> Value {
    json!({ "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": { "name": "b" }, "spec": spec })
}

#[test]
fn budgets_are_checked() {
    let percent = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";
    let cases: [(Value, &[&str]); 10] = [
        (json!({ "minAvailable": 1, "selector": { "matchLabels": { "a": "b" } } }), &[]),
        (json!({ "maxUnavailable": "30%", "unhealthyPodEvictionPolicy": "AlwaysAllow" }), &[]),
        (json!({ "selector": {} }), &[]),
        (
            json!({ "minAvailable": 1, "maxUnavailable": "1%", "selector": {} }),
            &[
                "spec: Invalid value: {\"MinAvailable\":1,\"Selector\":{},\"MaxUnavailable\":\"1%\",\"UnhealthyPodEvictionPolicy\":null}: minAvailable and maxUnavailable cannot be both set",
            ],
        ),
        (
            json!({ "minAvailable": -1 }),
            &["spec.minAvailable: Invalid value: -1: must be greater than or equal to 0"],
        ),
        (
            json!({ "minAvailable": "101%" }),
            &["spec.minAvailable: Invalid value: \"101%\": must not be greater than 100%"],
        ),
        (
            json!({ "maxUnavailable": "1" }),
            &[&format!("spec.maxUnavailable: Invalid value: \"1\": {percent}")],
        ),
        (
            json!({ "selector": { "matchExpressions": [{ "key": "a", "operator": "Is" }] } }),
            &[
                "spec.selector.matchExpressions[0].operator: Invalid value: \"Is\": not a valid selector operator",
            ],
        ),
        (
            json!({ "selector": { "matchExpressions": [{ "key": "a", "operator": "In" }] } }),
            &[
                "spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
            ],
        ),
        (
            json!({ "unhealthyPodEvictionPolicy": "Never" }),
            &[
                "spec.unhealthyPodEvictionPolicy: Unsupported value: \"Never\": supported values: \"AlwaysAllow\", \"IfHealthyBudget\"",
            ],
        ),
    ];
    for (spec, errors) in cases {
        match errors {
            [] => {
                created(budget(spec));
            }
            errors => check(create(budget(spec)), errors),
        }
    }
}

#[test]
fn budgets_may_change_and_have_a_status() {
    let old = created(budget(json!({ "minAvailable": 1 })));
    let none = json!({ "currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0 });
    assert_eq!((&old["status"], &old["metadata"]["generation"]), (&none, &json!(1)));
    let new = updated(&old, |budget| budget["spec"] = json!({ "maxUnavailable": "50%" }));
    assert_eq!(new["metadata"]["generation"], 2);
    check(
        update(Target::Status, &old, |budget| {
            budget["status"]["disruptionsAllowed"] = (-1).into();
            budget["status"]["conditions"] = json!([{ "type": "A", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z" }]);
        }),
        &[
            "status.conditions[0].reason: Required value",
            "status.disruptionsAllowed: Invalid value: -1: must be greater than or equal to 0",
        ],
    );
}
