//! What pods are sorted by and held to: priorities, runtimes, limits, quotas.

use super::*;

fn object(api_version: &str, kind: &str, fields: Value) -> Value {
    let mut object =
        json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": "x" } });
    object.as_object_mut().expect("map").extend(fields.as_object().expect("map").clone());
    object
}

fn priority(name: &str, fields: Value) -> Value {
    with(object("scheduling.k8s.io/v1", "PriorityClass", fields), &[("metadata.name", name.into())])
}

fn runtime(fields: Value) -> Value {
    object("node.k8s.io/v1", "RuntimeClass", fields)
}

fn range(limit: Value) -> Value {
    object("v1", "LimitRange", json!({ "spec": { "limits": [limit] } }))
}

fn quota(spec: Value) -> Value {
    object("v1", "ResourceQuota", json!({ "spec": spec }))
}

/// What people write.
pub(super) fn samples() -> Vec<Value> {
    vec![
        priority(
            "high",
            json!({ "value": 1000000, "globalDefault": false, "description": "for services",
            "preemptionPolicy": "Never" }),
        ),
        priority("system-node-critical", json!({ "value": 2000001000 })),
        runtime(json!({
            "handler": "kata-qemu", "overhead": { "podFixed": { "memory": "160Mi", "cpu": "250m" } },
            "scheduling": {
                "nodeSelector": { "katacontainers.io/kata-runtime": "true" },
                "tolerations": [{ "key": "kata", "operator": "Exists", "effect": "NoSchedule" }],
            },
        })),
        range(json!({
            "type": "Container", "max": { "cpu": "2", "memory": "1Gi" }, "min": { "cpu": "100m", "memory": "4Mi" },
            "default": { "cpu": "300m", "memory": "200Mi" }, "defaultRequest": { "cpu": "200m" },
            "maxLimitRequestRatio": { "cpu": "10" },
        })),
        range(
            json!({ "type": "PersistentVolumeClaim", "max": { "storage": "10Gi" }, "min": { "storage": "1Gi" } }),
        ),
        range(json!({ "type": "openshift.io/Image", "max": { "storage": "1Gi" } })),
        quota(json!({ "hard": {
            "requests.cpu": "1", "requests.memory": "1Gi", "limits.cpu": "2", "limits.memory": "2Gi", "pods": "4",
            "requests.nvidia.com/gpu": 4, "count/deployments.apps": "2", "services.loadbalancers": "0",
            "fast.storageclass.storage.k8s.io/requests.storage": "10Gi", "persistentvolumeclaims": "5",
            "requests.hugepages-2Mi": "4Mi",
        } })),
        quota(json!({
            "hard": { "cpu": "10", "pods": "10" },
            "scopeSelector": { "matchExpressions": [
                { "operator": "In", "scopeName": "PriorityClass", "values": ["high"] },
            ] },
        })),
        quota(json!({ "hard": { "pods": "5" }, "scopes": ["BestEffort"] })),
    ]
}

#[test]
fn priorities_of_the_system_are_its_own() {
    let new = created(priority("a", json!({ "value": 7 })));
    assert_eq!(
        (&new["preemptionPolicy"], &new["metadata"]["generation"]),
        (&json!("PreemptLowerPriority"), &json!(1))
    );
    created(priority("a", json!({ "value": -2147483648 })));
    created(priority("a", json!({ "value": 1_000_000_000 })));
    let reserved = "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error:";
    for (name, fields, error) in [
        (
            "a",
            json!({ "value": 1_000_000_001 }),
            "value: Forbidden: maximum allowed value of a user defined priority is 1000000000".to_owned(),
        ),
        (
            "a",
            json!({ "preemptionPolicy": "Always" }),
            "preemptionPolicy: Unsupported value: \"Always\": supported values: \"PreemptLowerPriority\", \"Never\"".to_owned(),
        ),
        (
            "system-mine",
            json!({ "value": 1 }),
            format!("{reserved} system-mine is not a known system priority class"),
        ),
        (
            "system-cluster-critical",
            json!({ "value": 1 }),
            format!("{reserved} value of system-cluster-critical PriorityClass must be 2000000000"),
        ),
        (
            "system-node-critical",
            json!({ "value": 2000001000, "globalDefault": true }),
            format!("{reserved} globalDefault of system-node-critical PriorityClass must be false"),
        ),
    ] {
        check(create(priority(name, fields)), &[&error]);
    }
    check(
        update(Target::Main, &new, |new| {
            new["value"] = 8.into();
            new["preemptionPolicy"] = "Never".into();
        }),
        &[
            "value: Forbidden: may not be changed in an update.",
            "preemptionPolicy: Invalid value: \"Never\": field is immutable",
        ],
    );
    let new = updated(&new, |new| new["description"] = "d".into());
    assert_eq!(new["metadata"]["generation"], 1);
}

#[test]
fn runtimes_have_a_handler() {
    let status = create(runtime(json!({ "handler": "a.b" }))).expect_err("refused");
    assert_eq!(causes(&status), ["handler: Invalid value: \"a.b\": must not contain dots"]);
    check(
        create(runtime(
            json!({ "handler": "h", "overhead": { "podFixed": { "cpu": "-1", "disk": "1" } } }),
        )),
        &[
            "overhead.limits[cpu]: Invalid value: \"-1\": must be greater than or equal to 0",
            "overhead.limits[disk]: Invalid value: \"disk\": must be a standard resource type or fully qualified",
            "overhead.limits[disk]: Invalid value: \"disk\": must be a standard resource for containers",
        ],
    );
    let twice = json!({ "key": "a", "operator": "Exists" });
    check(
        create(runtime(json!({ "handler": "h", "scheduling": { "tolerations": [twice, twice] } }))),
        &[
            "scheduling.tolerations[1]: Duplicate value: {\"Key\":\"a\",\"Operator\":\"Exists\",\"Value\":\"\",\"Effect\":\"\",\"TolerationSeconds\":null}",
        ],
    );
    let old = created(runtime(
        json!({ "handler": "h", "scheduling": { "nodeSelector": { "beta.kubernetes.io/os": "linux" } } }),
    ));
    check(
        update(Target::Main, &old, |new| new["handler"] = "i".into()),
        &["handler: Invalid value: \"i\": field is immutable"],
    );
    assert_eq!(
        warned(&old, None),
        ["scheduling.nodeSelector: deprecated since v1.14; use \"kubernetes.io/os\" instead"]
    );
}

#[test]
fn limits_of_containers_follow_from_each_other() {
    let new = created(range(json!({
        "type": "Container", "max": { "cpu": "2000m", "memory": "1Gi" }, "min": { "cpu": "1", "example.com/a": "1" },
        "default": { "memory": "512Mi" },
    })));
    assert_eq!(
        new["spec"]["limits"][0],
        json!({
            "type": "Container", "max": { "cpu": "2", "memory": "1Gi" }, "min": { "cpu": "1", "example.com/a": "1" },
            "default": { "cpu": "2", "memory": "512Mi" },
            "defaultRequest": { "cpu": "2", "memory": "512Mi", "example.com/a": "1" },
        })
    );
    let pod = created(range(json!({ "type": "Pod", "max": { "cpu": "2" } })));
    assert_eq!(pod["spec"]["limits"][0], json!({ "type": "Pod", "max": { "cpu": "2" } }));
}

#[test]
fn limits_do_not_contradict_each_other() {
    let at = "spec.limits[0]";
    for (limit, errors) in [
        (
            json!({ "type": "Node" }),
            vec!["type: Invalid value: \"Node\": must be a standard limit type or fully qualified"],
        ),
        (
            json!({ "type": "Pod", "default": { "cpu": "1" }, "defaultRequest": { "cpu": "1" } }),
            vec![
                "default: Forbidden: may not be specified when `type` is 'Pod'",
                "defaultRequest: Forbidden: may not be specified when `type` is 'Pod'",
            ],
        ),
        (
            json!({ "type": "Pod", "max": { "pods": "1" } }),
            vec!["max[pods]: Invalid value: \"pods\": must be a standard resource for containers"],
        ),
        (
            json!({ "type": "PersistentVolumeClaim", "default": { "storage": "1Gi" } }),
            vec![
                "limits: Required value: either minimum or maximum storage value is required, but neither was provided",
            ],
        ),
        (
            json!({ "type": "Pod", "min": { "cpu": "2" }, "max": { "cpu": "1" } }),
            vec!["min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1"],
        ),
        (
            json!({ "type": "Container", "min": { "cpu": "2" }, "default": { "cpu": "3" }, "defaultRequest": { "cpu": "1" } }),
            vec![
                "defaultRequest[cpu]: Invalid value: \"1\": min value 2 is greater than default request value 1",
            ],
        ),
        (
            json!({ "type": "Container", "max": { "cpu": "2" }, "defaultRequest": { "cpu": "3" } }),
            vec![
                "defaultRequest[cpu]: Invalid value: \"3\": default request value 3 is greater than max value 2",
                "defaultRequest[cpu]: Invalid value: \"3\": default request value 3 is greater than default limit value 2",
            ],
        ),
        (
            json!({ "type": "Container", "min": { "cpu": "2" }, "default": { "cpu": "1" }, "defaultRequest": { "cpu": "2" } }),
            vec![
                "defaultRequest[cpu]: Invalid value: \"2\": default request value 2 is greater than default limit value 1",
                "default[cpu]: Invalid value: \"2\": min value 2 is greater than default value 1",
            ],
        ),
        (
            json!({ "type": "Container", "max": { "cpu": "1" }, "default": { "cpu": "2" }, "defaultRequest": { "cpu": "1" } }),
            vec!["default[cpu]: Invalid value: \"1\": default value 2 is greater than max value 1"],
        ),
        (
            json!({ "type": "Pod", "maxLimitRequestRatio": { "cpu": "500m" } }),
            vec!["maxLimitRequestRatio[cpu]: Invalid value: \"500m\": ratio 500m is less than 1"],
        ),
        (
            json!({ "type": "Pod", "min": { "cpu": "300m" }, "max": { "cpu": "1" }, "maxLimitRequestRatio": { "cpu": "4" } }),
            vec![
                "maxLimitRequestRatio[cpu]: Invalid value: \"4\": ratio 4 is greater than max/min = 3.333333",
            ],
        ),
        (
            json!({ "type": "Container", "default": { "a.b/c": "2" }, "defaultRequest": { "a.b/c": "1" } }),
            vec![
                "defaultRequest[a.b/c]: Invalid value: \"1\": default value 2 must equal to defaultRequest value 1 in a.b/c",
            ],
        ),
    ] {
        let full: Vec<String> = errors.iter().map(|error| format!("{at}.{error}")).collect();
        let full: Vec<&str> = full.iter().map(String::as_str).collect();
        check(create(range(limit)), &full);
    }
    let twice = json!({ "spec": { "limits": [{ "type": "Pod" }, { "type": "Pod" }] } });
    check(
        create(object("v1", "LimitRange", twice)),
        &["spec.limits[1].type: Duplicate value: \"Pod\""],
    );
    created(range(
        json!({ "type": "Pod", "min": { "cpu": "0" }, "max": { "cpu": "1" }, "maxLimitRequestRatio": { "cpu": "4" } }),
    ));
}

#[test]
fn quotas_limit_what_can_be_counted() {
    let new = created(quota(json!({ "hard": { "cpu": "1000m" } })));
    assert_eq!(new["spec"]["hard"]["cpu"], "1");
    for (name, amount, errors) in [
        ("cpu", "-1", vec!["Invalid value: \"-1\": must be greater than or equal to 0"]),
        ("pods", "1500m", vec!["Invalid value: \"1500m\": must be an integer"]),
        (
            "storage",
            "1Gi",
            vec!["Invalid value: \"storage\": must be a standard resource for quota"],
        ),
        (
            "nodes",
            "1",
            vec![
                "Invalid value: \"nodes\": must be a standard resource type or fully qualified",
                "Invalid value: \"nodes\": must be a standard resource for quota",
            ],
        ),
    ] {
        let full: Vec<String> =
            errors.iter().map(|error| format!("spec.hard[{name}]: {error}")).collect();
        let full: Vec<&str> = full.iter().map(String::as_str).collect();
        check(create(quota(json!({ "hard": { name: amount } }))), &full);
    }
    let status = |status: Value| update(Target::Status, &new, |new| new["status"] = status);
    assert!(status(json!({ "hard": { "cpu": "1" }, "used": { "cpu": "500m" } })).is_ok());
    check(
        status(json!({ "hard": { "x": "1" }, "used": { "pods": "-1" } })),
        &[
            "status.hard[x]: Invalid value: \"x\": must be a standard resource type or fully qualified",
            "status.hard[x]: Invalid value: \"x\": must be a standard resource for quota",
            "status.used[pods]: Invalid value: \"-1\": must be greater than or equal to 0",
        ],
    );
}

#[test]
fn quotas_have_scopes_that_fit() {
    for (scopes, hard, errors) in [
        (json!(["Often"]), json!({}), vec!["[\"Often\"]: unsupported scope"]),
        (
            json!(["BestEffort"]),
            json!({ "cpu": "1", "pods": "1", "count/x": "1" }),
            vec!["[\"BestEffort\"]: unsupported scope applied to resource"],
        ),
        (
            json!(["VolumeAttributesClass"]),
            json!({ "pods": "1", "requests.storage": "1" }),
            vec!["[\"VolumeAttributesClass\"]: unsupported scope applied to resource"],
        ),
        (
            json!(["Terminating", "NotTerminating"]),
            json!({ "pods": "1" }),
            vec!["[\"Terminating\",\"NotTerminating\"]: conflicting scopes"],
        ),
    ] {
        let full: Vec<String> =
            errors.iter().map(|error| format!("spec.scopes: Invalid value: {error}")).collect();
        let full: Vec<&str> = full.iter().map(String::as_str).collect();
        check(create(quota(json!({ "hard": hard, "scopes": scopes }))), &full);
    }
    let old = created(quota(json!({ "hard": { "pods": "1" }, "scopes": ["BestEffort"] })));
    check(
        update(Target::Main, &old, |new| new["spec"]["scopes"] = json!(["Terminating"])),
        &["spec.scopes: Invalid value: [\"Terminating\"]: field is immutable"],
    );
    updated(&old, |new| new["spec"]["hard"]["pods"] = "2".into());
}

#[test]
fn quotas_select_scopes_by_rules() {
    let at = "spec.scopeSelector.matchExpressions";
    let exist = "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
    for (rules, errors) in [
        (
            json!([{ "scopeName": "BestEffort", "operator": "In", "values": ["a"] }]),
            vec![format!("{at}.operator: Invalid value: \"In\": {exist}")],
        ),
        (
            json!([{ "scopeName": "PriorityClass", "operator": "NotIn" }]),
            vec![format!(
                "{at}.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
            )],
        ),
        (
            json!([{ "scopeName": "PriorityClass", "operator": "Exists", "values": ["a"] }]),
            vec![format!(
                "{at}.values: Invalid value: [\"a\"]: must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
            )],
        ),
        (
            json!([{ "scopeName": "Often", "operator": "Is" }]),
            vec![
                format!("{at}.scopeName: Invalid value: \"Often\": unsupported scope"),
                format!("{at}.operator: Invalid value: \"Is\": not a valid selector operator"),
            ],
        ),
        (
            json!([{ "scopeName": "VolumeAttributesClass", "operator": "Exists" }]),
            vec![format!(
                "{at}: Invalid value: {{\"MatchExpressions\":[{{\"ScopeName\":\"VolumeAttributesClass\",\"Operator\":\"Exists\",\"Values\":null}}]}}: unsupported scope applied to resource"
            )],
        ),
        (
            json!([{ "scopeName": "Terminating", "operator": "Exists" }, { "scopeName": "NotTerminating", "operator": "Exists" }]),
            vec![format!("{at}: Invalid value: null: conflicting scopes")],
        ),
    ] {
        let errors: Vec<&str> = errors.iter().map(String::as_str).collect();
        let spec =
            json!({ "hard": { "pods": "1" }, "scopeSelector": { "matchExpressions": rules } });
        check(create(quota(spec)), &errors);
    }
}
