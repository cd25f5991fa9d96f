//! Roles and bindings.

use super::*;

const API: &str = "rbac.authorization.k8s.io/v1";
const GROUP: &str = "rbac.authorization.k8s.io";

pub(super) fn samples() -> Vec<Value> {
    let rule = json!({ "apiGroups": [""], "resources": ["pods"], "verbs": ["get"] });
    let subjects = json!([{ "kind": "User", "name": "u" },
        { "kind": "ServiceAccount", "name": "s", "namespace": "n" }]);
    vec![
        with(role("Role", json!([rule])), &[("metadata.name", json!("x"))]),
        with(
            role("ClusterRole", json!([{ "nonResourceURLs": ["/healthz"], "verbs": ["get"] }])),
            &[
                ("metadata.name", json!("x")),
                (
                    "aggregationRule",
                    json!({ "clusterRoleSelectors": [{ "matchLabels": { "a": "b" } }] }),
                ),
            ],
        ),
        with(binding("RoleBinding", subjects.clone()), &[("metadata.name", json!("x"))]),
        with(binding("ClusterRoleBinding", subjects), &[("metadata.name", json!("x"))]),
    ]
}

fn role(kind: &str, rules: Value) -> Value {
    json!({ "apiVersion": API, "kind": kind, "metadata": { "name": "system:a:b" }, "rules": rules })
}

fn binding(kind: &str, subjects: Value) -> Value {
    json!({ "apiVersion": API, "kind": kind, "metadata": { "name": "system:a:b" },
        "roleRef": { "kind": "ClusterRole", "name": "system:view" }, "subjects": subjects })
}

#[test]
fn rules_are_of_resources_or_of_urls() {
    created(role("ClusterRole", json!(null)));
    for (kind, rule, errors) in [
        ("Role", json!({ "apiGroups": [""], "resources": ["pods"], "verbs": ["*"] }), &[][..]),
        ("ClusterRole", json!({ "nonResourceURLs": ["/metrics"], "verbs": ["get"] }), &[]),
        (
            "Role",
            json!({}),
            &[
                "rules[0].verbs: Required value: verbs must contain at least one value",
                "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
                "rules[0].resources: Required value: resource rules must supply at least one resource",
            ],
        ),
        (
            "Role",
            json!({ "nonResourceURLs": ["/a"], "resources": ["pods"], "verbs": ["get"] }),
            &[
                "rules[0].nonResourceURLs: Invalid value: [\"/a\"]: namespaced rules cannot apply to non-resource URLs",
                "rules[0].nonResourceURLs: Invalid value: [\"/a\"]: rules cannot apply to both regular resources and non-resource URLs",
            ],
        ),
    ] {
        let made = create(role(kind, json!([rule])));
        if errors.is_empty() {
            assert!(made.is_ok(), "{rule}");
        } else {
            check(made, errors);
        }
    }
}

#[test]
fn aggregated_roles_name_what_they_gather() {
    let aggregated =
        |rule: Value| create(with(role("ClusterRole", json!([])), &[("aggregationRule", rule)]));
    let selector = json!({ "matchLabels": { "rbac.example.com/aggregate-to-view": "true" } });
    assert!(aggregated(json!({ "clusterRoleSelectors": [selector] })).is_ok());
    check(
        aggregated(json!({})),
        &[
            "aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required if aggregationRule is non-nil",
        ],
    );
    check(
        aggregated(json!({ "clusterRoleSelectors": [
            { "matchExpressions": [{ "key": "a", "operator": "Is", "values": ["b"] }] }] })),
        &[
            "aggregationRule.clusterRoleSelectors[0].matchExpressions[0].operator: Invalid value: \"Is\": not a valid selector operator",
            "aggregationRule.clusterRoleSelectors[0]: Invalid value: null: invalid label selector.",
        ],
    );
}

const BINDINGS: [&str; 2] = ["RoleBinding", "ClusterRoleBinding"];

#[test]
fn subjects_get_the_group_of_their_kind() {
    for kind in BINDINGS {
        let new = created(binding(
            kind,
            json!([{ "kind": "User", "name": "u" }, { "kind": "Group", "name": "g" },
                { "kind": "ServiceAccount", "name": "s", "namespace": "n" }]),
        ));
        assert_eq!(new["roleRef"]["apiGroup"], GROUP);
        let groups: Vec<Option<&str>> =
            (0..3).map(|at| new["subjects"][at]["apiGroup"].as_str()).collect();
        assert_eq!(groups, [Some(GROUP), Some(GROUP), None]);
    }
}

#[test]
fn subjects_are_checked_by_kind() {
    for (subject, errors) in [
        (
            json!({ "kind": "ServiceAccount", "name": "A" }),
            &[
                "subjects[0].name: Invalid value: \"A\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
                "subjects[0].namespace: Required value",
            ][..],
        ),
        (
            json!({ "kind": "ServiceAccount", "name": "a", "namespace": "n", "apiGroup": "x" }),
            &["subjects[0].apiGroup: Unsupported value: \"x\": supported values: \"\""],
        ),
        (
            json!({ "kind": "User", "apiGroup": "x" }),
            &[
                "subjects[0].name: Required value",
                "subjects[0].apiGroup: Unsupported value: \"x\": supported values: \"rbac.authorization.k8s.io\"",
            ],
        ),
        (
            json!({ "kind": "Robot", "name": "r" }),
            &[
                "subjects[0].kind: Unsupported value: \"Robot\": supported values: \"ServiceAccount\", \"User\", \"Group\"",
            ],
        ),
    ] {
        check(create(binding("ClusterRoleBinding", json!([subject]))), errors);
        // An account of no namespace is one of the binding's.
        let namespaced = errors.iter().filter(|error| !error.contains(".namespace: Required"));
        let errors: Vec<&str> = namespaced.copied().collect();
        check(create(binding("RoleBinding", json!([subject]))), &errors);
    }
}

#[test]
fn a_role_is_bound_for_good() {
    for kind in BINDINGS {
        let old = created(binding(kind, json!([])));
        check(
            update(Target::Main, &old, |new| new["roleRef"]["name"] = "edit".into()),
            &[
                "roleRef: Invalid value: {\"APIGroup\":\"rbac.authorization.k8s.io\",\"Kind\":\"ClusterRole\",\"Name\":\"edit\"}: cannot change roleRef",
            ],
        );
    }
    let role = json!({ "kind": "Role", "name": "a/b" });
    check(
        create(with(binding("ClusterRoleBinding", json!([])), &[("roleRef", role)])),
        &[
            "roleRef.kind: Unsupported value: \"Role\": supported values: \"ClusterRole\"",
            "roleRef.name: Invalid value: \"a/b\": may not contain '/'",
        ],
    );
}
