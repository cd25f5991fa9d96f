//! Resources of a pod as a whole.

use super::*;

/// A pod with resources as a whole and these of its container.
fn pod_of_both(whole: &Value, container: &Value) -> Value {
    let mut pod = pod_of(&json!({ "resources": whole }));
    pod["spec"]["containers"][0]["resources"] = container.clone();
    pod
}

#[track_caller]
fn refused(whole: Value, container: Value, errors: &[&str]) {
    check(create(pod_of_both(&whole, &container)), errors);
}

// Red when the resources of a pod are taken as they are.
#[test]
fn a_pod_asks_for_cpu_memory_and_huge_pages_alone() {
    let all = json!({ "cpu": "1", "memory": "1Gi", "hugepages-2Mi": "4Mi" });
    created(pod_of_both(&json!({ "requests": all, "limits": all }), &json!({})));
    let supported = "supported values: \"cpu\", \"hugepages-\", \"memory\"";
    for name in ["ephemeral-storage", "a.test/b"] {
        refused(
            json!({ "limits": { name: "1", "cpu": "1" }, "requests": { "cpu": "1", name: "1" } }),
            json!({}),
            &[
                &format!(
                    "spec.resources.limits[{name}]: Unsupported value: \"{name}\": {supported}"
                ),
                &format!(
                    "spec.resources.requests[{name}]: Unsupported value: \"{name}\": {supported}"
                ),
            ],
        );
    }
    refused(
        json!({ "limits": { "cpu": "1" }, "requests": { "cpu": "2" } }),
        json!({}),
        &[
            "spec.resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
        ],
    );
    refused(
        json!({ "limits": { "cpu": "1" }, "claims": [{ "name": "c" }] }),
        json!({}),
        &[
            "spec.resources.claims: Forbidden: claims may not be set for Resources at pod-level",
            "spec.resources.claims[0]: Not found: \"c\": must be one of the names in pod.spec.resourceClaims which is empty",
        ],
    );
    let mut windows = pod_of_both(&json!({ "limits": { "cpu": "1" } }), &json!({}));
    windows["spec"]["os"] = json!({ "name": "windows" });
    check(create(windows), &["spec.resources: Forbidden: may not be set for a windows pod"]);
}

#[test]
fn containers_fit_into_their_pod() {
    created(pod_of_both(
        &json!({ "requests": { "cpu": "1" }, "limits": { "cpu": "2" } }),
        &json!({ "requests": { "cpu": "1" }, "limits": { "cpu": "2" } }),
    ));
    refused(
        json!({ "requests": { "cpu": "1" } }),
        json!({ "requests": { "cpu": "1500m" } }),
        &[
            "spec.resources.requests[cpu]: Invalid value: \"1\": must be greater than or equal to aggregate container requests of 1500m",
        ],
    );
    refused(
        json!({ "requests": { "cpu": "1" }, "limits": { "cpu": "2" } }),
        json!({ "requests": { "cpu": "1" }, "limits": { "cpu": "3" } }),
        &[
            "spec.resources.containers[0][cpu].limits: Invalid value: \"3\": must be less than or equal to pod limits of 2",
        ],
    );
    // Those that come up one after the other count by the greatest.
    let with_inits = |cpu: &str| {
        let mut pod = pod_of_both(
            &json!({ "requests": { "cpu": "2" } }),
            &json!({ "requests": { "cpu": "1" } }),
        );
        let init = |name: &str, policy: Value| {
            json!({ "name": name, "image": "i", "restartPolicy": policy,
                "resources": { "requests": { "cpu": cpu } } })
        };
        pod["spec"]["initContainers"] = json!([init("s", "Always".into()), init("i", Value::Null)]);
        create(pod)
    };
    assert!(with_inits("1").is_ok());
    check(
        with_inits("1100m"),
        &[
            "spec.resources.requests[cpu]: Invalid value: \"2\": must be greater than or equal to aggregate container requests of 2200m",
        ],
    );
}

// Red when the resources of a pod are left as they were sent.
#[test]
fn requests_of_a_pod_follow_its_containers_and_its_limits() {
    let resources = |whole: Value, container: Value| {
        created(pod_of_both(&whole, &container))["spec"]["resources"].clone()
    };
    for (whole, container, expected) in [
        (
            json!({ "limits": { "cpu": "2", "memory": "1024Mi" } }),
            json!({ "requests": { "cpu": "1" } }),
            json!({ "limits": { "cpu": "2", "memory": "1Gi" },
                "requests": { "cpu": "1", "memory": "1Gi" } }),
        ),
        (
            json!({ "requests": { "cpu": "2" } }),
            json!({ "requests": { "cpu": "1", "memory": "1Mi" } }),
            json!({ "requests": { "cpu": "2" } }),
        ),
        (
            json!({ "limits": { "cpu": "2" } }),
            json!({ "limits": { "hugepages-2Mi": "4Mi", "cpu": "1" } }),
            json!({ "limits": { "cpu": "2", "hugepages-2Mi": "4Mi" },
                "requests": { "cpu": "1", "hugepages-2Mi": "4Mi" } }),
        ),
    ] {
        assert_eq!(resources(whole.clone(), container), expected, "{whole}");
    }
}

// Red when the containers alone earn the class.
#[test]
fn the_class_of_a_pod_is_that_of_its_own_resources() {
    let class = |whole: Value, container: Value| {
        created(pod_of_both(&whole, &container))["status"]["qosClass"].clone()
    };
    let both = json!({ "cpu": "1", "memory": "1Gi" });
    assert_eq!(class(json!({ "limits": both }), json!({})), "Guaranteed");
    assert_eq!(class(json!({ "limits": { "cpu": "1" } }), json!({ "limits": both })), "Burstable");
    assert_eq!(
        class(json!({ "limits": { "hugepages-2Mi": "2Mi", "cpu": "0" } }), json!({})),
        "BestEffort"
    );
    assert_eq!(class(json!({}), json!({ "limits": both })), "Guaranteed");
}

#[test]
fn cpu_and_memory_of_a_pod_change_and_nothing_else() {
    let whole = json!({ "requests": { "cpu": "1", "memory": "1Gi" }, "limits": { "cpu": "2" } });
    let old = created(pod_of_both(&whole, &json!({})));
    let resize =
        |change: fn(&mut Value)| update(Target::Resize, &old, |new| change(&mut new["spec"]));
    let Ok(Write::Put(new)) = resize(|spec| spec["resources"]["requests"]["cpu"] = "1500m".into())
    else {
        panic!("refused")
    };
    assert_eq!(new["spec"]["resources"]["requests"], json!({ "cpu": "1500m", "memory": "1Gi" }));
    check(
        resize(|spec| read::remove(&mut spec["resources"]["requests"], "memory")),
        &["spec.resources.requests: Forbidden: pod-level resource requests cannot be removed"],
    );
    check(
        resize(|spec| spec["resources"]["limits"]["hugepages-2Mi"] = "2Mi".into()),
        &["spec: Forbidden: only cpu and memory resources are mutable at pod-level"],
    );
    check(
        resize(|spec| read::remove(spec, "resources")),
        &[
            "spec: Invalid value: \"Burstable\": Pod QOS Class may not change as a result of resizing",
            "spec.resources: Forbidden: pod-level resources cannot be removed",
        ],
    );
}
