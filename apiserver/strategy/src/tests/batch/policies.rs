//! When a job fails or is done early.

use super::*;

fn rules(rules: Value) -> Value {
    json!({ "podFailurePolicy": { "rules": rules } })
}

#[test]
fn failure_policies_are_checked() {
    let at = "spec.podFailurePolicy.rules[0]";
    let codes = |fields: Value| rules(json!([{ "action": "FailJob", "onExitCodes": fields }]));
    let conditions =
        |fields: Value| rules(json!([{ "action": "Ignore", "onPodConditions": [fields] }]));
    let container = "must be one of the container or initContainer names in the pod template";
    let many: Vec<Value> = (0..21)
        .map(|_| json!({ "action": "Ignore", "onPodConditions": [{ "type": "A" }] }))
        .collect();
    check_fields(
        &job(),
        "/spec",
        &[
            (codes(json!({ "operator": "In", "values": [1, 42], "containerName": "c" })), &[]),
            (conditions(json!({ "type": "DisruptionTarget" })), &[]),
            (
                codes(json!({ "operator": "In", "values": [0] })),
                &[&format!(
                    "{at}.onExitCodes.values[0]: Invalid value: 0: must not be 0 for the In operator"
                )],
            ),
            (
                codes(json!({ "operator": "NotIn", "values": [2, 1, 1] })),
                &[
                    &format!("{at}.onExitCodes.values[2]: Duplicate value: 1"),
                    &format!("{at}.onExitCodes.values: Invalid value: [2,1,1]: must be ordered"),
                ],
            ),
            (
                codes(json!({ "operator": "NotIn", "values": [] })),
                &[&format!(
                    "{at}.onExitCodes.values: Invalid value: []: at least one value is required"
                )],
            ),
            (
                codes(json!({ "values": [1] })),
                &[&format!(
                    "{at}.onExitCodes.operator: Required value: valid values: [\"In\" \"NotIn\"]"
                )],
            ),
            (
                codes(json!({ "operator": "Out", "values": [1] })),
                &[&format!(
                    "{at}.onExitCodes.operator: Unsupported value: \"Out\": supported values: \"In\", \"NotIn\""
                )],
            ),
            (
                codes(json!({ "operator": "In", "values": [1], "containerName": "d" })),
                &[&format!("{at}.onExitCodes.containerName: Invalid value: \"d\": {container}")],
            ),
            (
                conditions(json!({ "type": "A", "status": "Maybe" })),
                &[&format!(
                    "{at}.onPodConditions[0].status: Unsupported value: \"Maybe\": supported values: \"False\", \"True\", \"Unknown\""
                )],
            ),
            (
                rules(json!([{ "action": "Ignore" }])),
                &[&format!(
                    "{at}: Invalid value: specifying one of OnExitCodes and OnPodConditions is required"
                )],
            ),
            (
                rules(
                    json!([{ "action": "Ignore", "onExitCodes": { "operator": "In", "values": [1] }, "onPodConditions": [{ "type": "A" }] }]),
                ),
                &[&format!(
                    "{at}: Invalid value: specifying both OnExitCodes and OnPodConditions is not supported"
                )],
            ),
            (
                rules(json!([{ "action": "FailIndex", "onPodConditions": [{ "type": "A" }] }])),
                &[&format!(
                    "{at}.action: Invalid value: \"FailIndex\": requires the backoffLimitPerIndex to be set"
                )],
            ),
            (
                rules(json!([{ "action": "Odd", "onPodConditions": [{ "type": "A" }] }])),
                &[&format!(
                    "{at}.action: Unsupported value: \"Odd\": supported values: \"Count\", \"FailIndex\", \"FailJob\", \"Ignore\""
                )],
            ),
            (
                rules(json!([{ "onPodConditions": [{ "type": "A" }] }])),
                &[&format!(
                    "{at}.action: Required value: valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]"
                )],
            ),
            (
                rules(json!(many)),
                &["spec.podFailurePolicy.rules: Too many: 21: must have at most 20 items"],
            ),
        ],
    );
    let policy = conditions(json!({ "type": "A" }))["podFailurePolicy"].clone();
    check(
        create(with(
            job(),
            &[
                ("spec.podFailurePolicy", policy.clone()),
                ("spec.podReplacementPolicy", json!("TerminatingOrFailed")),
            ],
        )),
        &[
            "spec.podReplacementPolicy: Unsupported value: \"TerminatingOrFailed\": supported values: \"Failed\"",
        ],
    );
    check(
        create(with(
            job(),
            &[
                ("spec.podFailurePolicy", policy),
                ("spec.template.spec.restartPolicy", json!("OnFailure")),
            ],
        )),
        &[
            "spec.template.spec.restartPolicy: Invalid value: \"OnFailure\": only \"Never\" is supported when podFailurePolicy is specified",
        ],
    );
}

#[test]
fn success_policies_are_checked() {
    let at = "spec.successPolicy.rules[0]";
    let rule = |fields: Value| json!({ "successPolicy": { "rules": [fields] } });
    let parsing = |why: &str, set: &str| {
        format!(
            "{at}.succeededIndexes: Invalid value: {set:?}: error parsing succeededIndexes: {why}"
        )
    };
    check_fields(
        &indexed(5),
        "/spec",
        &[
            (rule(json!({ "succeededIndexes": "0,2-4", "succeededCount": 4 })), &[]),
            (rule(json!({ "succeededCount": 5 })), &[]),
            (
                rule(json!({})),
                &[&format!(
                    "{at}: Required value: at least one of succeededCount or succeededIndexes must be specified"
                )],
            ),
            (
                json!({ "successPolicy": { "rules": [] } }),
                &[
                    "spec.successPolicy.rules: Required value: at least one rules must be specified when the successPolicy is specified",
                ],
            ),
            (
                rule(json!({ "succeededCount": 6 })),
                &[&format!(
                    "{at}.succeededCount: Invalid value: 6: must be less than or equal to 5 (the number of specified completions)"
                )],
            ),
            (
                rule(json!({ "succeededIndexes": "0-1", "succeededCount": 3 })),
                &[&format!(
                    "{at}.succeededCount: Invalid value: 3: must be less than or equal to 2 (the number of indexes in the specified succeededIndexes field)"
                )],
            ),
            (rule(json!({ "succeededIndexes": "5" })), &[&parsing("too large index: \"5\"", "5")]),
            (
                rule(json!({ "succeededIndexes": "x" })),
                &[&parsing("cannot convert string to integer for index: \"x\"", "x")],
            ),
            (
                rule(json!({ "succeededIndexes": "3,1" })),
                &[&parsing("non-increasing order, previous: 3, current: 1", "3,1")],
            ),
            (
                rule(json!({ "succeededIndexes": "3-3" })),
                &[&parsing("non-increasing order, previous: 3, current: 3", "3-3")],
            ),
            (
                rule(json!({ "succeededIndexes": "1-2-3" })),
                &[&parsing(
                    "the fragment \"1-2-3\" violates the requirement that an index interval can have at most two parts separated by '-'",
                    "1-2-3",
                )],
            ),
        ],
    );
    let policy = json!({ "rules": [{ "succeededCount": 1 }] });
    check(
        create(with(job(), &[("spec.successPolicy", policy)])),
        &[
            "spec.successPolicy: Invalid value: {\"rules\":[{\"succeededCount\":1}]}: requires indexed completion mode",
        ],
    );
}
