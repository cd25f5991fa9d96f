//! Flow schemas and the levels of priority that they lead to.

use super::*;

fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": kind, "metadata": { "name": name }, "spec": spec,
    })
}

fn level(name: &str, spec: Value) -> Value {
    object("PriorityLevelConfiguration", name, spec)
}

fn limited(limited: Value) -> Value {
    level("low", json!({ "type": "Limited", "limited": limited }))
}

fn queued(queuing: Value) -> Value {
    limited(json!({ "limitResponse": { "type": "Queue", "queuing": queuing } }))
}

fn schema(fields: Value) -> Value {
    let mut spec = json!({ "priorityLevelConfiguration": { "name": "low" } });
    spec.as_object_mut().expect("map").extend(fields.as_object().expect("map").clone());
    object("FlowSchema", "s", spec)
}

fn user() -> Value {
    json!({ "kind": "User", "user": { "name": "*" } })
}

/// A schema that each cluster has.
fn system(name: &str, precedence: i64, groups: &[&str]) -> Value {
    let subjects: Vec<Value> =
        groups.iter().map(|group| json!({ "kind": "Group", "group": { "name": group } })).collect();
    let resources = json!({
        "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true, "namespaces": ["*"],
    });
    let urls = json!({ "verbs": ["*"], "nonResourceURLs": ["*"] });
    object(
        "FlowSchema",
        name,
        json!({
            "priorityLevelConfiguration": { "name": name }, "matchingPrecedence": precedence,
            "rules": [{ "subjects": subjects, "resourceRules": [resources], "nonResourceRules": [urls] }],
        }),
    )
}

/// What people write.
pub(super) fn samples() -> Vec<Value> {
    let mut last = system("catch-all", 10000, &["system:unauthenticated", "system:authenticated"]);
    last["spec"]["distinguisherMethod"] = json!({ "type": "ByUser" });
    let reject = json!({ "type": "Reject" });
    vec![
        queued(json!({})),
        limited(
            json!({ "limitResponse": reject, "borrowingLimitPercent": 0, "lendablePercent": 50 }),
        ),
        level("exempt", json!({ "type": "Exempt", "exempt": { "nominalConcurrencyShares": 10 } })),
        level(
            "catch-all",
            json!({ "type": "Limited", "limited": { "nominalConcurrencyShares": 5, "limitResponse": reject } }),
        ),
        system("exempt", 1, &["system:masters"]),
        last,
        schema(json!({
            "distinguisherMethod": { "type": "ByNamespace" },
            "rules": [{
                "subjects": [
                    { "kind": "ServiceAccount", "serviceAccount": { "name": "*", "namespace": "kube-system" } },
                    user(),
                ],
                "resourceRules": [{
                    "verbs": ["get", "list", "watch"], "apiGroups": [""], "resources": ["pods"], "namespaces": ["default"],
                }],
                "nonResourceRules": [{ "verbs": ["get"], "nonResourceURLs": ["/", "/healthz", "/livez/*"] }],
            }],
        })),
    ]
}

#[test]
fn levels_and_schemas_are_completed() {
    let new = created(queued(json!({ "queues": 16, "handSize": 4 })));
    assert_eq!(
        new["spec"]["limited"],
        json!({
            "nominalConcurrencyShares": 30, "lendablePercent": 0,
            "limitResponse": { "type": "Queue", "queuing": { "queues": 16, "handSize": 4, "queueLengthLimit": 50 } },
        })
    );
    assert_eq!(new["metadata"]["generation"], 1);
    let exempt = created(level("exempt", json!({ "type": "Exempt", "exempt": {} })));
    let usual = json!({ "nominalConcurrencyShares": 0, "lendablePercent": 0 });
    assert_eq!(exempt["spec"]["exempt"], usual);
    let schema = created(schema(json!({})));
    assert_eq!(schema["spec"]["matchingPrecedence"], 1000);
    for object in [new, schema] {
        let kind = row(&object);
        assert_eq!(crate::warnings(crate::of(kind), kind, &object, None), Vec::<String>::new());
    }
}

#[test]
fn levels_are_exempt_or_limited() {
    let at = "spec.limited";
    for (body, errors) in [
        (
            level("low", json!({ "type": "Exempt" })),
            vec!["spec.type: Invalid value: \"Exempt\": type must be 'Exempt' if and only if name is 'exempt'".to_owned()],
        ),
        (
            level("low", json!({ "type": "Some" })),
            vec!["spec.type: Unsupported value: \"Some\": supported values: \"Exempt\", \"Limited\"".to_owned()],
        ),
        (
            level("low", json!({ "type": "Limited", "exempt": {} })),
            vec![
                "spec.exempt: Forbidden: must be nil if the type is Limited".to_owned(),
                "spec.limited: Required value: must not be empty when type is Limited".to_owned(),
            ],
        ),
        (
            limited(json!({
                "nominalConcurrencyShares": -1, "lendablePercent": 101, "borrowingLimitPercent": -1,
                "limitResponse": { "type": "Reject", "queuing": {} },
            })),
            vec![
                format!("{at}.nominalConcurrencyShares: Invalid value: -1: must be a non-negative integer"),
                format!("{at}.limitResponse.queuing: Forbidden: must be nil if limited.limitResponse.type is not Limited"),
                format!("{at}.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive"),
                format!("{at}.borrowingLimitPercent: Invalid value: -1: if specified, must be a non-negative integer"),
            ],
        ),
        (
            limited(json!({ "limitResponse": { "type": "Queue" } })),
            vec![format!("{at}.limitResponse.queuing: Required value: must not be empty if limited.limitResponse.type is Limited")],
        ),
        (
            limited(json!({ "limitResponse": { "type": "Wait" } })),
            vec![format!("{at}.limitResponse.type: Unsupported value: \"Wait\": supported values: \"Queue\", \"Reject\"")],
        ),
    ] {
        let errors: Vec<&str> = errors.iter().map(String::as_str).collect();
        check(create(body), &errors);
    }
}

#[test]
fn hands_of_queues_fit() {
    for (queuing, errors) in [
        (
            json!({ "queues": -1, "queueLengthLimit": -1, "handSize": -1 }),
            vec![
                "queueLengthLimit: Invalid value: -1: must be positive",
                "queues: Invalid value: -1: must be positive",
                "handSize: Invalid value: -1: must be positive",
            ],
        ),
        (
            json!({ "queues": 10000001, "handSize": 1 }),
            vec!["queues: Invalid value: 10000001: must not be greater than 10000000"],
        ),
        (
            json!({ "queues": 4, "handSize": 5 }),
            vec!["handSize: Invalid value: 5: should not be greater than queues (4)"],
        ),
        (
            json!({ "queues": 512, "handSize": 8 }),
            vec![
                "handSize: Invalid value: 8: required entropy bits of deckSize 512 and handSize 8 should not be greater than 60",
            ],
        ),
    ] {
        let at = "spec.limited.limitResponse.queuing";
        let full: Vec<String> = errors.iter().map(|error| format!("{at}.{error}")).collect();
        let full: Vec<&str> = full.iter().map(String::as_str).collect();
        check(create(queued(queuing)), &full);
    }
}

#[test]
fn what_each_cluster_has_stays_as_it_is() {
    let [level, schema] = [2, 4].map(|index| created(samples().swap_remove(index)));
    updated(&level, |new| new["spec"]["exempt"]["lendablePercent"] = 50.into());
    for (old, but) in [(level, " except the 'spec.exempt' field"), (schema, "")] {
        let status = update(Target::Main, &old, |new| {
            new["spec"]["limited"] = json!({ "limitResponse": { "type": "Reject" } });
            new["spec"]["rules"] = json!([]);
        });
        let causes = causes(&status.expect_err("refused"));
        let why = format!("spec of 'exempt'{but} must equal the fixed value");
        assert!(causes.last().expect("a cause").ends_with(&why), "{causes:?}");
    }
}

#[test]
fn schemas_lead_to_a_level() {
    for (fields, error) in [
        (
            json!({ "matchingPrecedence": -1 }),
            "matchingPrecedence: Invalid value: -1: must be a positive value",
        ),
        (
            json!({ "matchingPrecedence": 10001 }),
            "matchingPrecedence: Invalid value: 10001: must not be greater than 10000",
        ),
        (
            json!({ "matchingPrecedence": 1 }),
            "matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1",
        ),
        (
            json!({ "distinguisherMethod": { "type": "ByMood" } }),
            "distinguisherMethod.type: Unsupported value: {\"Type\":\"ByMood\"}: supported values: \"ByNamespace\", \"ByUser\"",
        ),
        (
            json!({ "priorityLevelConfiguration": {} }),
            "priorityLevelConfiguration.name: Required value: must reference a priority level",
        ),
    ] {
        check(create(schema(fields)), &[&format!("spec.{error}")]);
    }
}

/// Asserts the errors of a rule of a schema.
#[track_caller]
fn refused(rule: Value, errors: &[&str]) {
    let full: Vec<String> = errors.iter().map(|error| format!("spec.rules[0]{error}")).collect();
    let full: Vec<&str> = full.iter().map(String::as_str).collect();
    check(create(schema(json!({ "rules": [rule] }))), &full);
}

#[test]
fn rules_of_a_schema_name_who_asks() {
    refused(
        json!({}),
        &[
            ".subjects: Required value: subjects must contain at least one value",
            ": Required value: at least one of resourceRules and nonResourceRules has to be non-empty",
        ],
    );
    let of = |subject: Value| {
        let urls = json!([{ "verbs": ["get"], "nonResourceURLs": ["/x"] }]);
        json!({ "subjects": [subject], "nonResourceRules": urls })
    };
    refused(
        of(json!({ "kind": "Pod" })),
        &[
            ".subjects[0].kind: Unsupported value: \"Pod\": supported values: \"Group\", \"ServiceAccount\", \"User\"",
        ],
    );
    refused(
        of(json!({ "kind": "User", "group": { "name": "g" }, "serviceAccount": {} })),
        &[
            ".subjects[0].user: Required value: user is required when subject kind is 'User'",
            ".subjects[0].serviceAccount: Forbidden: serviceAccount is forbidden when subject kind is not 'ServiceAccount'",
            ".subjects[0].group: Forbidden: group is forbidden when subject kind is not 'Group'",
        ],
    );
    refused(
        of(json!({ "kind": "ServiceAccount", "serviceAccount": {} })),
        &[
            ".subjects[0].serviceAccount.name: Required value",
            ".subjects[0].serviceAccount.namespace: Required value: must specify namespace for service account",
        ],
    );
}

#[test]
fn rules_of_a_schema_name_what_is_asked_for() {
    let of = |rule: Value| json!({ "subjects": [user()], "resourceRules": [rule] });
    refused(
        of(json!({})),
        &[
            ".resourceRules[0].verbs: Required value: verbs must contain at least one value",
            ".resourceRules[0].apiGroups: Required value: resource rules must supply at least one api group",
            ".resourceRules[0].resources: Required value: resource rules must supply at least one resource",
            ".resourceRules[0].namespaces: Required value: resource rules that are not cluster scoped must supply at least one namespace",
        ],
    );
    refused(
        of(json!({
            "verbs": ["*", "get"], "apiGroups": ["*", ""], "resources": ["*", "pods"], "namespaces": ["*", "a"],
        })),
        &[
            ".resourceRules[0].verbs: Invalid value: [\"*\",\"get\"]: if '*' is present, must not specify other verbs",
            ".resourceRules[0].apiGroups: Invalid value: [\"*\",\"\"]: if '*' is present, must not specify other api groups",
            ".resourceRules[0].resources: Invalid value: [\"*\",\"pods\"]: if '*' is present, must not specify other resources",
            ".resourceRules[0].namespaces: Invalid value: [\"*\",\"a\"]: if '*' is present, must not specify other namespaces",
        ],
    );
    refused(
        of(
            json!({ "verbs": ["read"], "apiGroups": [""], "resources": ["pods"], "namespaces": ["a.b"] }),
        ),
        &[
            ".resourceRules[0].verbs: Unsupported value: [\"read\"]: supported values: \"create\", \"delete\", \"deletecollection\", \"get\", \"list\", \"patch\", \"proxy\", \"update\", \"watch\"",
            ".resourceRules[0].namespaces[0]: Invalid value: \"a.b\": each member of this list must be '*' or a DNS-1123 label; must not contain dots",
        ],
    );
    for (url, why) in [
        ("", "must not be empty"),
        ("x", "must start with slash"),
        ("/a b", "must not contain white-space"),
        ("//", "must not contain double slash"),
        ("/a*", "wildcard can only do suffix matching"),
        ("/*/b*", "wildcard can only do suffix matching"),
    ] {
        let rule = json!({ "verbs": ["*"], "nonResourceURLs": [url] });
        let error =
            format!(".nonResourceRules[0].nonResourceURLs[0]: Invalid value: {url:?}: {why}");
        refused(json!({ "subjects": [user()], "nonResourceRules": [rule] }), &[&error]);
    }
}

#[test]
fn conditions_of_flows_have_a_type_of_their_own() {
    for old in [schema(json!({})), queued(json!({}))].map(created) {
        let status = |conditions: Value| {
            update(Target::Status, &old, |new| new["status"] = json!({ "conditions": conditions }))
        };
        assert!(status(json!([{ "type": "Dangling", "status": "False" }])).is_ok());
        check(
            status(json!([{ "type": "A" }, { "type": "A" }, {}])),
            &[
                "status.conditions[1].type: Duplicate value: \"A\"",
                "status.conditions[2].type: Required value: must not be empty",
            ],
        );
    }
}

// Red with the whole of the metadata as it was: who wrote a status was not told.
#[test]
fn who_writes_a_status_alone_owns_it() {
    let body = schema(json!({}));
    let kind = row(&body);
    let made = leme_registry::create(&context(kind, ""), TESTER, body, &mut Numbers::default());
    let mut old = made.expect("created");
    old["metadata"]["labels"] = json!({ "a": "b" });
    let Ok(Write::Put(mut new)) = update(Target::Status, &old, |new| {
        new["metadata"]["labels"] = json!({ "a": "c", "d": "e" });
        new["status"] = json!({ "conditions": [{ "type": "Dangling", "status": "False" }] });
    }) else {
        panic!("not a put")
    };
    assert_eq!(new["metadata"]["labels"], json!({ "a": "b" }));
    leme_meta::managed::show(&mut new);
    let owners = new["metadata"]["managedFields"].as_array().expect("owners");
    let of_status = owners.iter().find(|owner| owner["subresource"] == "status").expect("owner");
    assert_eq!(
        of_status["fieldsV1"].as_object().expect("fields").keys().collect::<Vec<_>>(),
        ["f:status"]
    );
}
