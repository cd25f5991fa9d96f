//! MutatingAdmissionPolicies and their bindings.

use super::*;

const API: &str = "admissionregistration.k8s.io/v1";

pub(super) fn samples() -> Vec<Value> {
    let named = |object: Value| with(object, &[("metadata.name", json!("x"))]);
    vec![named(mutating(json!({}))), named(mutating_binding(json!({})))]
}

fn with_fields(mut object: Value, fields: Value) -> Value {
    object.as_object_mut().expect("map").extend(fields.as_object().expect("map").clone());
    object
}

/// Real-world shape: the sidecar of upstream's documentation.
fn mutating(fields: Value) -> Value {
    let spec = json!({
        "matchConstraints": { "resourceRules": [{ "apiGroups": [""], "apiVersions": ["v1"],
            "operations": ["CREATE"], "resources": ["pods"] }] },
        "matchConditions": [{ "name": "does-not-already-have-sidecar",
            "expression": "!object.spec.initContainers.exists(ic, ic.name == \"mesh-proxy\")" }],
        "failurePolicy": "Fail", "reinvocationPolicy": "IfNeeded",
        "mutations": [{ "patchType": "ApplyConfiguration", "applyConfiguration": {
            "expression": "Object{spec: Object.spec{initContainers: [Object.spec.initContainers{name: \"mesh-proxy\"}]}}" } }],
    });
    json!({ "apiVersion": API, "kind": "MutatingAdmissionPolicy",
        "metadata": { "name": "sidecar-policy.example.com" }, "spec": with_fields(spec, fields) })
}

fn mutating_binding(fields: Value) -> Value {
    json!({ "apiVersion": API, "kind": "MutatingAdmissionPolicyBinding", "metadata": { "name": "b" },
        "spec": with_fields(json!({ "policyName": "sidecar-policy.example.com" }), fields) })
}

#[test]
fn mutating_policies_are_completed_and_checked() {
    let new = created(mutating(json!({ "failurePolicy": null })));
    assert_eq!(new["spec"]["failurePolicy"], "Fail");
    assert_eq!(new["spec"]["matchConstraints"]["matchPolicy"], "Equivalent");
    assert_eq!(new["spec"]["matchConstraints"]["resourceRules"][0]["scope"], "*");
    let patch = |fields: Value| json!({ "mutations": [fields] });
    let rule = |operations: Value| {
        json!({ "matchConstraints": { "resourceRules": [{ "apiGroups": [""],
        "apiVersions": ["v1"], "operations": operations, "resources": ["pods"] }] } })
    };
    assert!(
        create(mutating(patch(
            json!({ "patchType": "JSONPatch", "jsonPatch": { "expression": "[]" } })
        )))
        .is_ok()
    );
    for (fields, errors) in [
        (
            json!({ "matchConstraints": null, "mutations": [], "reinvocationPolicy": "" }),
            &[
                "spec.matchConstraints: Required value",
                "spec.mutations: Required value: mutations must contain at least one item",
                "spec.reinvocationPolicy: Required value",
            ][..],
        ),
        (
            rule(json!(["DELETE"])),
            &[
                "spec.matchConstraints.resourceRules.operations: Unsupported value: \"DELETE\": supported values: \"*\", \"CONNECT\", \"CREATE\", \"UPDATE\"",
            ],
        ),
        (
            json!({ "reinvocationPolicy": "Always" }),
            &[
                "spec.reinvocationPolicy: Unsupported value: \"Always\": supported values: \"Never\", \"IfNeeded\"",
            ],
        ),
        (patch(json!({})), &["spec.mutations[0].patchType: Required value"]),
        (
            patch(json!({ "patchType": "x" })),
            &[
                "spec.mutations[0].patchType: Unsupported value: \"x\": supported values: \"ApplyConfiguration\", \"JSONPatch\"",
            ],
        ),
        (
            patch(json!({ "patchType": "JSONPatch", "applyConfiguration": {} })),
            &[
                "spec.mutations[0].jsonPatch: Required value: must be specified when patchType is JSONPatch",
                "spec.mutations[0].applyConfiguration: Invalid value: \"{applyConfiguration}\": must not be specified when patchType is JSONPatch",
            ],
        ),
        (
            patch(
                json!({ "patchType": "ApplyConfiguration", "applyConfiguration": { "expression": " " }, "jsonPatch": {} }),
            ),
            &[
                "spec.mutations[0].applyConfiguration.expression: Required value",
                "spec.mutations[0].jsonPatch: Invalid value: \"{jsonPatch}\": must not be specified when patchType is ApplyConfiguration",
            ],
        ),
    ] {
        check(create(mutating(fields)), errors);
    }
}

#[test]
fn bindings_of_mutating_policies_are_checked() {
    let matched = |operations: Value| {
        json!({ "matchResources": { "resourceRules": [{ "apiGroups": [""],
        "apiVersions": ["v1"], "operations": operations, "resources": ["pods"] }] } })
    };
    let new = created(mutating_binding(matched(json!(["*"]))));
    assert_eq!(new["spec"]["matchResources"]["matchPolicy"], "Equivalent");
    for (fields, errors) in [
        (json!({ "policyName": "" }), &["spec.policyName: Required value"][..]),
        (
            json!({ "paramRef": { "name": "a" } }),
            &["spec.paramRef.parameterNotFoundAction: Required value"],
        ),
        (
            matched(json!(["DELETE"])),
            &[
                "spec.matchResources.resourceRules.operations: Unsupported value: \"DELETE\": supported values: \"*\", \"CONNECT\", \"CREATE\", \"UPDATE\"",
            ],
        ),
        (
            with_fields(matched(json!(["*"])), json!({ "policyName": "-" })),
            &[
                "spec.policyName: Invalid value: \"-\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
            ],
        ),
    ] {
        check(create(mutating_binding(fields)), errors);
    }
}
