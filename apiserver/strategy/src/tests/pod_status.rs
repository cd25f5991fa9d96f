//! What whoever runs a pod may say of it, and what of its spec changes before it runs.

use super::*;

/// A pod of which this is known.
fn known(spec: Value, status: Value) -> Value {
    let mut new = pod();
    new["spec"].as_object_mut().expect("map").extend(spec.as_object().expect("map").clone());
    let mut old = created(new);
    old["status"].as_object_mut().expect("map").extend(status.as_object().expect("map").clone());
    old
}

fn say(old: &Value, status: Value) -> Result<Write, Status> {
    update(Target::Status, old, |new| {
        let map = new["status"].as_object_mut().expect("map");
        map.extend(status.as_object().expect("map").clone());
    })
}

#[track_caller]
fn said(old: &Value, status: Value) -> Value {
    match say(old, status) {
        Ok(Write::Put(new)) => new["status"].clone(),
        other => panic!("{other:?}"),
    }
}

fn ended(name: &str, code: i64) -> Value {
    json!({ "name": name, "state": { "terminated": { "exitCode": code } } })
}

fn runs(name: &str) -> Value {
    json!({ "name": name, "state": { "running": {} } })
}

// Red when the pod's policy alone decides.
#[test]
fn what_has_ended_stays_so_unless_it_starts_again() {
    let error = "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state";
    let again = |policy: &str, container: Value, code: i64| {
        let mut one = json!({ "name": "c", "image": "i" });
        one.as_object_mut().expect("map").extend(container.as_object().expect("map").clone());
        let old = known(
            json!({ "restartPolicy": policy, "containers": [one] }),
            json!({ "containerStatuses": [ended("c", code)] }),
        );
        say(&old, json!({ "containerStatuses": [runs("c")] }))
    };
    let rule = |action: &str| json!([{ "action": action, "exitCodes": { "operator": "In", "values": [3] } }]);
    let ruled =
        |action: &str| json!({ "restartPolicy": "Never", "restartPolicyRules": rule(action) });
    for (policy, container, code) in [
        ("Always", json!({}), 0),
        ("OnFailure", json!({}), 1),
        ("Never", json!({ "restartPolicy": "Always" }), 0),
        ("Never", ruled("Restart"), 3),
        ("Never", ruled("RestartAllContainers"), 0),
    ] {
        let result = again(policy, container, code);
        assert!(result.is_ok(), "{policy}: {result:?}");
    }
    for (policy, container, code) in [
        ("OnFailure", json!({}), 0),
        ("Never", json!({}), 1),
        ("Always", json!({ "restartPolicy": "Never" }), 1),
        ("Always", ruled("Restart"), 4),
    ] {
        check(again(policy, container, code), &[error]);
    }
    let inits = |policy: &str, code: i64| {
        let init = json!({ "name": "i", "image": "i" });
        let old = known(
            json!({ "restartPolicy": policy, "initContainers": [init] }),
            json!({ "initContainerStatuses": [ended("i", code)] }),
        );
        say(&old, json!({ "initContainerStatuses": [runs("i")] }))
    };
    assert!(inits("Always", 0).is_ok());
    check(inits("Never", 0), &[&error.replace("containerStatuses", "initContainerStatuses")]);
}

#[test]
fn the_class_and_the_node_of_a_pod_stay() {
    let old = known(json!({}), json!({}));
    check(
        say(&old, json!({ "qosClass": "Guaranteed" })),
        &["status.qosClass: Invalid value: \"Guaranteed\": field is immutable"],
    );
    assert_eq!(
        said(&old, json!({ "qosClass": null, "phase": "Running" }))["qosClass"],
        "BestEffort"
    );
    assert_eq!(said(&old, json!({ "nominatedNodeName": "n" }))["nominatedNodeName"], "n");
    let subdomain = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
    check(
        say(&old, json!({ "nominatedNodeName": "N" })),
        &[&format!("status.nominatedNodeName: Invalid value: \"N\": {subdomain}")],
    );
    let bound = known(json!({ "nodeName": "n" }), json!({}));
    check(
        say(&bound, json!({ "nominatedNodeName": "m" })),
        &[
            "status.nominatedNodeName: Forbidden: may not be set on pods that are already bound to a node",
        ],
    );
    check(
        say(
            &old,
            json!({ "observedGeneration": -1, "conditions": [
            { "type": "a b", "status": "True", "observedGeneration": -2 }] }),
        ),
        &[
            "status.conditions[0].observedGeneration: Invalid value: -2: must be a non-negative integer",
            "status.conditions[0].Type: Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            "status.observedGeneration: Invalid value: -1: must be a non-negative integer",
        ],
    );
}

#[test]
fn a_pod_has_one_address_of_each_family() {
    let old = known(json!({}), json!({}));
    let ips = |list: &[&str]| -> Value {
        list.iter().map(|ip| json!({ "ip": ip })).collect::<Vec<_>>().into()
    };
    let both = said(&old, json!({ "podIPs": ips(&["10.0.0.1", "fd00::1"]) }));
    assert_eq!(both["podIP"], "10.0.0.1");
    assert_eq!(said(&old, json!({ "podIP": "10.0.0.1" }))["podIPs"], ips(&["10.0.0.1"]));
    check(
        say(&old, json!({ "podIPs": ips(&["10.0.0.1", "10.0.0.2"]) })),
        &[
            "status.podIPs: Invalid value: [{\"IP\":\"10.0.0.1\"},{\"IP\":\"10.0.0.2\"}]: may specify no more than one IP for each IP family",
        ],
    );
    let told = causes(&say(&old, json!({ "podIPs": ips(&["x"]) })).expect_err("refused"));
    assert!(
        told[0].starts_with("status.podIPs[0]: Invalid value: \"x\": must be a valid IP address"),
        "{told:?}"
    );
    check(
        say(&old, json!({ "hostIP": "10.0.0.1", "hostIPs": ips(&["10.0.0.2"]) })),
        &["status.hostIPs[0].ip: Invalid value: \"10.0.0.2\": must be equal to `hostIP`"],
    );
    assert!(say(&old, json!({ "hostIP": "10.0.0.1", "hostIPs": ips(&["10.0.0.1"]) })).is_ok());
}

#[test]
fn claims_of_a_status_are_those_of_the_pod() {
    let old = known(
        json!({
            "resourceClaims": [{ "name": "a", "resourceClaimTemplateName": "t" }],
            "containers": [{ "name": "c", "image": "i", "resources": {
                "requests": { "a.test/b": "1" }, "limits": { "a.test/b": "1" }, "claims": [{ "name": "a" }] } }],
        }),
        json!({}),
    );
    let claim = |name: &str| json!({ "resourceClaimStatuses": [{ "name": name, "resourceClaimName": "x" }] });
    assert!(say(&old, claim("a")).is_ok());
    check(
        say(&old, claim("b")),
        &[
            "status.resourceClaimStatuses[0].name: Invalid value: \"b\": must match the name of an entry in `spec.resourceClaims`",
        ],
    );
    let extended = |container: &str, resource: &str| {
        json!({ "extendedResourceClaimStatus": { "resourceClaimName": "x", "requestMappings": [
            { "containerName": container, "resourceName": resource, "requestName": "r" }] } })
    };
    let at = "status.extendedResourceClaimStatus";
    assert!(say(&old, extended("c", "a.test/b")).is_ok());
    check(
        say(&old, extended("d", "a.test/b")),
        &[&format!(
            "{at}.requestMappings[0].containerName: Invalid value: \"d\": must match the name of an entry in spec.initContainers.name or spec.containers.name"
        )],
    );
    check(
        say(&old, extended("c", "a.test/c")),
        &[&format!(
            "{at}.requestMappings[0].resourceName: Invalid value: \"a.test/c\": must match the extended resource name of an entry in spec.initContainers.resources.requests or spec.containers.resources.requests"
        )],
    );
    check(
        say(&old, json!({ "extendedResourceClaimStatus": {} })),
        &[
            &format!(
                "{at}.requestMappings: Required value: at least one request mapping is required"
            ),
            &format!("{at}.resourceClaimName: Required value"),
        ],
    );
    let health = |name: &str, health: &str| {
        json!({ "containerStatuses": [{ "name": "c", "allocatedResourcesStatus": [
            { "name": name, "resources": [{ "resourceID": "d", "health": health }] }] }] })
    };
    let at = "status.containerStatuses[0].allocatedResourcesStatus[0]";
    assert!(say(&old, health("a.test/b", "Healthy")).is_ok());
    assert!(say(&old, health("claim:a", "Unknown")).is_ok());
    check(
        say(&old, health("a.test/c", "Foo")),
        &[
            &format!(
                "{at}.name: Invalid value: \"a.test/c\": must match one of the container's resource requests"
            ),
            &format!(
                "{at}.resources[0].health: Unsupported value: \"Foo\": supported values: \"Healthy\", \"Unhealthy\", \"Unknown\""
            ),
        ],
    );
    let user = |uid: i64| json!({ "containerStatuses": [{ "name": "c", "user": { "linux": { "uid": uid, "gid": 1 } } }] });
    assert!(say(&old, user(0)).is_ok());
    check(
        say(&old, user(-1)),
        &[
            "status.containerStatuses[0].user.linux.uid: Invalid value: -1: must be between 0 and 2147483647, inclusive",
        ],
    );
}

// Red when a pod that waits at a gate changes as little as one that runs, and when it may ask for less.
#[test]
fn a_pod_that_waits_at_a_gate_may_ask_for_more() {
    let term = |values: &[&str]| {
        json!({ "matchExpressions": values.iter().map(|value| json!(
            { "key": "k", "operator": "In", "values": [value] })).collect::<Vec<_>>() })
    };
    let affinity = |terms: Value| {
        json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution":
            { "nodeSelectorTerms": terms } } })
    };
    let old = known(
        json!({ "schedulingGates": [{ "name": "g" }, { "name": "h" }], "nodeSelector": { "a": "1" },
            "affinity": affinity(json!([term(&["x"])])) }),
        json!({}),
    );
    let change = |spec: Value| {
        update(Target::Main, &old, |new| {
            new["spec"]
                .as_object_mut()
                .expect("map")
                .extend(spec.as_object().expect("map").clone());
        })
    };
    for spec in [
        json!({ "schedulingGates": [{ "name": "h" }] }),
        json!({ "nodeSelector": { "a": "1", "b": "2" } }),
        json!({ "affinity": affinity(json!([term(&["x", "y"])])) }),
    ] {
        let result = change(spec.clone());
        assert!(result.is_ok(), "{spec}: {result:?}");
    }
    check(
        change(json!({ "schedulingGates": [{ "name": "i" }] })),
        &[
            "spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'i'",
        ],
    );
    check(
        change(json!({ "nodeSelector": { "b": "2" } })),
        &[
            "spec.nodeSelector: Invalid value: {\"b\":\"2\"}: only additions to spec.nodeSelector are allowed (no mutations or deletions)",
        ],
    );
    let told = |terms: Value| {
        causes(&change(json!({ "affinity": affinity(terms) })).expect_err("refused"))
    };
    let at = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
    let fewer = told(json!([term(&["y"])]));
    assert!(fewer[0].starts_with(&format!("{at}[0]: Invalid value: ")), "{fewer:?}");
    assert!(
        fewer[0].ends_with("only additions are allowed (no mutations or deletions)"),
        "{fewer:?}"
    );
    let more = told(json!([term(&["x"]), term(&["y"])]));
    assert!(
        more[0].ends_with("no additions/deletions to non-empty NodeSelectorTerms list are allowed"),
        "{more:?}"
    );
    let open = known(json!({ "nodeSelector": { "a": "1" } }), json!({}));
    let result = update(Target::Main, &open, |new| new["spec"]["nodeSelector"]["b"] = "2".into());
    assert_eq!(causes(&result.expect_err("refused")).len(), 1);
}

// Red when a status that does not know of which generation it is forgets what the earlier one knew.
#[test]
fn a_status_keeps_of_which_generation_it_is() {
    let condition = |fields: Value| {
        let mut condition = json!({ "type": "Ready", "status": "True" });
        condition.as_object_mut().expect("map").extend(fields.as_object().expect("map").clone());
        condition
    };
    let old = known(
        json!({}),
        json!({ "observedGeneration": 3, "conditions": [condition(json!({ "observedGeneration": 2 }))] }),
    );
    let new = said(
        &old,
        json!({ "phase": "Running", "observedGeneration": null, "conditions": [condition(json!({}))] }),
    );
    assert_eq!(
        (&new["observedGeneration"], &new["conditions"][0]["observedGeneration"]),
        (&json!(3), &json!(2))
    );
    let newer = said(
        &old,
        json!({ "observedGeneration": 4,
        "conditions": [condition(json!({ "observedGeneration": 4 }))] }),
    );
    assert_eq!(
        (&newer["observedGeneration"], &newer["conditions"][0]["observedGeneration"]),
        (&json!(4), &json!(4))
    );
}

#[test]
fn what_a_node_gives_to_claims_is_checked() {
    let old =
        known(json!({ "resourceClaims": [{ "name": "a", "resourceClaimName": "x" }] }), json!({}));
    let given = |fields: Value| {
        let mut one =
            json!({ "resourceClaimName": "x", "containers": ["c"], "resources": { "cpu": "1" } });
        one.as_object_mut().expect("map").extend(fields.as_object().expect("map").clone());
        say(&old, json!({ "nodeAllocatableResourceClaimStatuses": [one] }))
    };
    let at = "status.nodeAllocatableResourceClaimStatuses[0]";
    assert!(given(json!({})).is_ok());
    for (fields, error) in [
        (
            json!({ "resourceClaimName": "y" }),
            ".resourceClaimName: Invalid value: \"y\": no mapping found in pod reference",
        ),
        (json!({ "containers": [] }), ".containers: Required value: must not be empty"),
        (json!({ "resources": {} }), ".resources: Required value: must not be empty"),
        (
            json!({ "resources": { "a.test/b": "1" } }),
            ".resources[a.test/b]: Invalid value: \"a.test/b\": must be a node allocatable resource name",
        ),
        (
            json!({ "resources": { "cpu": "-1" } }),
            ".resources[cpu]: Invalid value: \"-1\": must be non-negative",
        ),
    ] {
        check(given(fields), &[&format!("{at}{error}")]);
    }
}

#[test]
fn devices_of_containers_have_messages_and_identities() {
    let old = known(
        json!({ "containers": [{ "name": "c", "image": "i", "resources": { "limits": { "a.test/b": "1" } } }] }),
        json!({}),
    );
    let devices = |list: &str, devices: Value| {
        say(
            &old,
            json!({ list: [{ "name": "c", "allocatedResourcesStatus": [{ "name": "a.test/b", "resources": devices }] }] }),
        )
    };
    let device = |id: &str, message: Value| json!({ "resourceID": id, "health": "Healthy", "message": message });
    let at = "status.containerStatuses[0].allocatedResourcesStatus[0].resources";
    let of = |list: Value| devices("containerStatuses", list);
    assert!(of(json!([device("a", Value::Null), device("b", "x".repeat(1024).into())])).is_ok());
    check(
        of(json!([device("a", "".into())])),
        &[&format!("{at}[0].message: Required value: must be non-empty if specified")],
    );
    check(
        of(json!([device("a", "x".repeat(1025).into())])),
        &[&format!("{at}[0].message: Too long: may not be more than 1024 bytes")],
    );
    check(
        of(json!([device("a", Value::Null), device("a", Value::Null)])),
        &[&format!("{at}[1].resourceID: Duplicate value: \"a\"")],
    );
    check(
        devices("ephemeralContainerStatuses", json!([])),
        &[
            "status.ephemeralContainerStatuses[0].allocatedResourcesStatus: Forbidden: must not be specified in container status",
        ],
    );
}
