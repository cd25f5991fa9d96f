//! Devices, and claims of them.

use super::*;

fn of(kind: &str, rest: Value) -> Value {
    let mut object = json!({
        "apiVersion": "resource.k8s.io/v1", "kind": kind, "metadata": { "name": "n" },
    });
    for (field, value) in rest.as_object().expect("an object") {
        object[field] = value.clone();
    }
    object
}

fn claim(devices: Value) -> Value {
    of("ResourceClaim", json!({ "spec": { "devices": devices } }))
}

fn slice(changes: &[(&str, Value)]) -> Value {
    let spec = json!({
        "driver": "gpu.example.com", "nodeName": "node-1",
        "pool": { "name": "node-1", "generation": 1, "resourceSliceCount": 1 },
        "devices": [{ "name": "gpu-0" }],
    });
    with(of("ResourceSlice", json!({ "spec": spec })), changes)
}

/// Real-world shapes: the example driver's class, claim and slice.
#[test]
fn the_example_drivers_objects_are_taken() {
    let class = created(of(
        "DeviceClass",
        json!({ "spec": {
            "selectors": [{ "cel": { "expression": "device.driver == 'gpu.example.com'" } }],
            "config": [{ "opaque": { "driver": "gpu.example.com", "parameters": { "a": 1 } } }],
            "extendedResourceName": "example.com/gpu",
        } }),
    ));
    assert_eq!(class["metadata"]["generation"], 1);
    let request = json!({
        "name": "gpu",
        "exactly": { "deviceClassName": "gpu.example.com", "tolerations": [{ "key": "a" }] },
    });
    let devices = json!({
        "requests": [request, { "name": "other", "firstAvailable": [
            { "name": "large", "deviceClassName": "large", "allocationMode": "All" },
            { "name": "small", "deviceClassName": "small", "count": 2 },
        ] }],
        "constraints": [{ "requests": ["gpu", "other/small"], "matchAttribute": "dra.example.com/numa" }],
        "config": [{ "requests": ["gpu"], "opaque": { "driver": "gpu.example.com", "parameters": {} } }],
    });
    let made = created(claim(devices.clone()));
    let exactly = &made["spec"]["devices"]["requests"][0]["exactly"];
    assert_eq!((&exactly["allocationMode"], &exactly["count"]), (&json!("ExactCount"), &json!(1)));
    assert_eq!(exactly["tolerations"][0]["operator"], "Equal");
    assert_eq!(made["spec"]["devices"]["requests"][1]["firstAvailable"][0].get("count"), None);
    let template =
        json!({ "metadata": { "labels": { "a": "b" } }, "spec": { "devices": devices } });
    created(of("ResourceClaimTemplate", json!({ "spec": template })));
    let device = json!({
        "name": "gpu-0",
        "attributes": {
            "index": { "int": 0 }, "model": { "string": "LATEST" },
            "example.com/version": { "version": "1.0.0" }, "links": { "strings": ["a", "b"] },
        },
        "capacity": { "memory": { "value": "80Gi" } },
        "taints": [{ "key": "example.com/broken", "effect": "NoSchedule" }],
    });
    let made = created(slice(&[("spec.devices", json!([device]))]));
    assert_eq!(made["spec"]["devices"][0]["taints"][0]["timeAdded"], "2026-01-02T03:04:05Z");
}

#[test]
fn claims_are_refused_for_what_is_wrong_with_them() {
    let exactly = |rest: Value| {
        let mut one = json!({ "deviceClassName": "c" });
        for (field, value) in rest.as_object().expect("an object") {
            one[field] = value.clone();
        }
        json!({ "requests": [{ "name": "r", "exactly": one }] })
    };
    let with_part = |field: &str, value: Value| {
        let mut devices = exactly(json!({}));
        devices[field] = value;
        devices
    };
    let name = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
    for (devices, errors) in [
        (
            json!({ "requests": [{ "name": "r" }] }),
            vec!["spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required".to_owned()],
        ),
        (
            exactly(json!({ "deviceClassName": "" })),
            vec!["spec.devices.requests[0].exactly.deviceClassName: Required value".to_owned()],
        ),
        (
            exactly(json!({ "count": -1 })),
            vec!["spec.devices.requests[0].exactly.count: Invalid value: -1: must be greater than zero".to_owned()],
        ),
        (
            exactly(json!({ "allocationMode": "All", "count": 1 })),
            vec!["spec.devices.requests[0].exactly.count: Invalid value: 1: must not be specified when allocationMode is 'All'".to_owned()],
        ),
        (
            exactly(json!({ "allocationMode": "Some" })),
            vec!["spec.devices.requests[0].exactly.allocationMode: Unsupported value: \"Some\": supported values: \"All\", \"ExactCount\"".to_owned()],
        ),
        (
            exactly(json!({ "selectors": [{}] })),
            vec!["spec.devices.requests[0].exactly.selectors[0].cel: Required value".to_owned()],
        ),
        (
            exactly(json!({ "tolerations": [{ "operator": "Exists", "value": "x", "effect": "Never" }] })),
            vec![
                "spec.devices.requests[0].exactly.tolerations[0].value: Invalid value: \"x\": must be empty for operator `Exists`".to_owned(),
                "spec.devices.requests[0].exactly.tolerations[0].effect: Unsupported value: \"Never\": supported values: \"NoExecute\", \"NoSchedule\", \"None\"".to_owned(),
            ],
        ),
        (
            with_part("constraints", json!([{ "requests": ["x"], "matchAttribute": "numa" }])),
            vec![
                format!("spec.devices.constraints[0].requests[0]: Invalid value: \"x\": {name}"),
                "spec.devices.constraints[0].matchAttribute: Invalid value: \"numa\": a fully qualified name must be a domain and a name separated by a slash".to_owned(),
            ],
        ),
        (
            with_part("constraints", json!([{}])),
            vec!["spec.devices.constraints[0]: Required value: exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple fields are set".to_owned()],
        ),
        (
            with_part("config", json!([{ "opaque": { "driver": "d", "parameters": [] } }, {}])),
            vec![
                "spec.devices.config[0].opaque.parameters: Invalid value: \"<value omitted>\": must be a valid JSON object".to_owned(),
                "spec.devices.config[1].opaque: Required value".to_owned(),
            ],
        ),
        (
            json!({ "requests": vec![json!({ "name": "r" }); 33] }),
            vec!["spec.devices.requests: Too many: 33: must have at most 32 items".to_owned()],
        ),
    ] {
        let errors: Vec<&str> = errors.iter().map(String::as_str).collect();
        // What is said twice of one name is said of the second.
        let mut found = causes(&create(claim(devices)).expect_err("refused"));
        found.retain(|error| !error.contains("Duplicate value"));
        assert_eq!(found, errors);
    }
    let made = created(claim(exactly(json!({}))));
    let status = update(Target::Main, &made, |new| new["spec"]["devices"] = json!({})).unwrap_err();
    assert!(causes(&status)[0].ends_with("field is immutable"), "{status}");
}

#[test]
fn what_a_claim_has_got_must_fit_it_and_stays() {
    let made = created(claim(json!({
        "requests": [{ "name": "r", "exactly": { "deviceClassName": "c" } }],
    })));
    let result = json!({ "request": "r", "driver": "d", "pool": "p", "device": "x" });
    let status = json!({
        "allocation": { "devices": { "results": [result] } },
        "reservedFor": [{ "resource": "pods", "name": "p", "uid": "u" }],
        "devices": [{ "driver": "d", "pool": "p", "device": "x", "data": { "a": 1 },
                      "networkData": { "ips": ["10.9.8.7/24"] } }],
    });
    let Ok(Write::Put(got)) = update(Target::Status, &made, |new| new["status"] = status.clone())
    else {
        panic!("not taken")
    };
    check(
        update(Target::Status, &made, |new| {
            new["status"] = with(status.clone(), &[]);
            new["status"]["allocation"]["devices"]["results"][0]["request"] = "z".into();
            new["status"]["devices"][0]["device"] = "y".into();
        }),
        &[
            "status.devices[0]: Invalid value: \"d/p/y\": must be an allocated device in the claim",
            "status.allocation.devices.results[0].request: Invalid value: \"z\": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'",
        ],
    );
    check(
        update(Target::Status, &made, |new| {
            new["status"] = json!({ "reservedFor": [{ "resource": "pods", "name": "p" }] });
        }),
        &[
            "status.reservedFor[0].uid: Required value",
            "status.reservedFor: Forbidden: may not be specified when `allocated` is not set",
        ],
    );
    let changed = update(Target::Status, &got, |new| {
        new["status"]["allocation"]["devices"]["results"][0]["device"] = "other".into();
        new["status"]["devices"] = json!([]);
    });
    assert!(causes(&changed.unwrap_err())[0].ends_with("field is immutable"));
    // What was said of a device goes with it.
    let Ok(Write::Put(released)) = update(Target::Status, &got, |new| {
        new["status"].as_object_mut().expect("map").remove("allocation");
        new["status"].as_object_mut().expect("map").remove("reservedFor");
    }) else {
        panic!("not released")
    };
    assert_eq!(released["status"], json!({}));
}

#[test]
fn classes_are_checked() {
    let class = |spec: Value| create(of("DeviceClass", json!({ "spec": spec })));
    assert!(class(json!({ "extendedResourceName": "example.com/gpu" })).is_ok());
    check(
        class(json!({ "selectors": [{}], "extendedResourceName": "gpu" })),
        &[
            "spec.selectors[0].cel: Required value",
            "spec.extendedResourceName: Invalid value: \"gpu\": must be a valid extended resource name",
        ],
    );
}

#[test]
fn templates_of_claims_are_checked_and_stay() {
    let template = |spec: Value| create(of("ResourceClaimTemplate", json!({ "spec": spec })));
    let requests = |class: &str| json!({ "devices": { "requests": [{ "name": "r", "exactly": { "deviceClassName": class } }] } });
    let old = template(json!({ "spec": requests("c") })).expect("accepted");
    let labels = json!({ "labels": { "a/b/c": "x" } });
    let status =
        template(json!({ "metadata": labels, "spec": requests("") })).expect_err("refused");
    let causes = causes(&status);
    assert!(causes[0].starts_with("spec.metadata.labels: Invalid value: \"a/b/c\": "), "{status}");
    assert_eq!(
        causes[1..],
        ["spec.spec.devices.requests[0].exactly.deviceClassName: Required value"]
    );
    let status =
        update(Target::Main, &old, |new| new["spec"]["spec"] = requests("d")).expect_err("refused");
    assert!(super::causes(&status)[0].starts_with("spec: Invalid value: "), "{status}");
    assert!(status.message.ends_with("field is immutable"), "{status}");
}

#[test]
fn a_taint_that_comes_later_counts_from_then() {
    let old = created(slice(&[]));
    let tainted = updated(&old, |new| {
        let early =
            json!({ "key": "a/b", "effect": "NoSchedule", "timeAdded": "2025-01-01T00:00:00Z" });
        new["spec"]["devices"][0]["taints"] =
            json!([early, { "key": "a/c", "effect": "NoExecute" }]);
    });
    let times = |at: usize| tainted["spec"]["devices"][0]["taints"][at]["timeAdded"].clone();
    assert_eq!(
        (times(0), times(1)),
        (json!("2025-01-01T00:00:00Z"), json!("2026-01-02T03:04:05Z"))
    );
}

#[test]
fn slices_are_refused_for_what_is_wrong_with_them() {
    let device = |rest: Value| {
        let mut one = json!({ "name": "gpu-0" });
        for (field, value) in rest.as_object().expect("an object") {
            one[field] = value.clone();
        }
        ("spec.devices", json!([one]))
    };
    let place = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    for (changes, errors) in [
        (vec![("spec.driver", json!(""))], vec!["spec.driver: Required value".to_owned()]),
        (
            vec![("spec.pool", json!({ "name": "a/B", "generation": -1 }))],
            vec![
                "spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero".to_owned(),
                "spec.pool.generation: Invalid value: -1: must be greater than or equal to zero".to_owned(),
            ],
        ),
        (vec![("spec.nodeName", Value::Null)], vec![format!("spec: Required value: {place}")]),
        (
            vec![("spec.allNodes", json!(true))],
            vec![format!("spec: Invalid value: \"{{`nodeName`, `allNodes`}}\": {place}, but multiple fields are set")],
        ),
        (
            vec![("spec.allNodes", json!(false))],
            vec!["spec.allNodes: Invalid value: false: must be either unset or set to true".to_owned()],
        ),
        (
            vec![device(json!({ "attributes": { "a": {} , "b": { "version": "1" } } }))],
            vec![
                "spec.devices[0].attributes[a]: Invalid value: \"\": exactly one value must be specified".to_owned(),
                "spec.devices[0].attributes[b].version: Invalid value: \"1\": must be a string compatible with semver.org spec 2.0.0".to_owned(),
            ],
        ),
        (
            vec![device(json!({ "capacity": { "m": { "value": "1", "requestPolicy": { "default": "1" } } } }))],
            vec!["spec.devices[0].capacity[m].requestPolicy: Forbidden: allowMultipleAllocations must be true".to_owned()],
        ),
        (
            vec![device(json!({ "allowMultipleAllocations": true, "capacity": { "m": { "value": "4", "requestPolicy": {
                "default": "2", "validRange": { "min": "1", "max": "8", "step": "2" } } } } }))],
            vec![
                "spec.devices[0].capacity[m].requestPolicy.validRange.max: Invalid value: \"8\": max is larger than capacity value: 4".to_owned(),
                "spec.devices[0].capacity[m].requestPolicy.validRange.step: Invalid value: \"2\": value is not a multiple of a given step (2) from (1)".to_owned(),
                "spec.devices[0].capacity[m].requestPolicy.validRange.step: Invalid value: \"8\": value is not a multiple of a given step (2) from (1)".to_owned(),
            ],
        ),
        (
            vec![device(json!({ "nodeName": "n" }))],
            vec!["spec.devices[0]: Invalid value: null: `nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec".to_owned()],
        ),
        (
            vec![device(json!({ "bindingConditions": ["a"] }))],
            vec!["spec.devices[0].bindingFailureConditions: Invalid value: null: bindingFailureConditions are required to use bindingConditions".to_owned()],
        ),
        (
            vec![("spec.devices", json!([{ "name": "a" }, { "name": "a" }]))],
            vec!["spec.devices[1]: Duplicate value: \"a\"".to_owned()],
        ),
        (
            vec![device(json!({ "consumesCounters": [{ "counterSet": "c" }] }))],
            vec!["spec.devices[0].consumesCounters[0].counters: Required value".to_owned()],
        ),
    ] {
        let errors: Vec<&str> = errors.iter().map(String::as_str).collect();
        let mut found = causes(&create(slice(&changes)).expect_err("refused"));
        found.retain(|error| !error.contains("RFC 1123"));
        assert_eq!(found, errors);
    }
    let made = created(slice(&[]));
    let moved = update(Target::Main, &made, |new| new["spec"]["nodeName"] = "node-2".into());
    check(moved, &["spec.nodeName: Invalid value: \"node-2\": field is immutable"]);
    assert_eq!(
        updated(&made, |new| new["spec"]["devices"] = json!([]))["metadata"]["generation"],
        2
    );
}
