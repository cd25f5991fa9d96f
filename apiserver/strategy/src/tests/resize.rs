//! What the containers of a running pod may use: `resize`, and that no other way changes it.

use super::*;

fn old() -> Value {
    let mut pod = pod();
    pod["spec"]["containers"][0]["resources"] = json!({
        "requests": { "cpu": "100m", "memory": "1Gi" }, "limits": { "cpu": "200m", "memory": "1Gi" },
    });
    pod["spec"]["initContainers"] = json!([
        { "name": "i", "image": "i:1", "resources": { "requests": { "cpu": "1m" } } },
        { "name": "s", "image": "i:1", "restartPolicy": "Always", "resources": { "requests": { "cpu": "1m" } } },
    ]);
    created(pod)
}

fn resized(old: &Value, change: impl FnOnce(&mut Value)) -> Result<Write, Status> {
    update(Target::Resize, old, |new| change(&mut new["spec"]))
}

// Red when there is no such target: the path was not served.
#[test]
fn cpu_and_memory_of_containers_change_and_nothing_else() {
    let old = old();
    let write = update(Target::Resize, &old, |new| {
        new["spec"]["containers"][0]["resources"]["requests"]["cpu"] = json!("0.15");
        new["spec"]["containers"][0]["resources"]["limits"]["memory"] = json!("2Gi");
        new["spec"]["initContainers"][1]["resources"]["requests"]["cpu"] = json!("2m");
        new["spec"]["containers"][0]["image"] = json!("other");
        new["spec"]["nodeName"] = json!("n");
        new["status"]["phase"] = json!("Failed");
        new["metadata"]["labels"] = json!({ "a": "b" });
    });
    let Ok(Write::Put(new)) = write else { panic!("{write:?}") };
    let mut expected = with(old.clone(), &[("metadata.generation", json!(2))]);
    expected["spec"]["containers"][0]["resources"]["requests"]["cpu"] = json!("150m");
    expected["spec"]["containers"][0]["resources"]["limits"]["memory"] = json!("2Gi");
    expected["spec"]["initContainers"][1]["resources"]["requests"]["cpu"] = json!("2m");
    assert_eq!(unowned(new), expected);
    assert_eq!(resized(&old, |_| {}), Ok(Write::Unchanged));
    let other = update(Target::Main, &old, |new| {
        new["spec"]["containers"][0]["resources"]["requests"]["cpu"] = json!("150m");
    });
    assert_eq!(causes(&other.expect_err("refused")).len(), 1);
}

#[test]
fn what_may_not_change_is_refused() {
    let old = old();
    let only = "spec: Forbidden: only cpu and memory resources are mutable";
    let refused = |change: fn(&mut Value), errors: &[&str]| check(resized(&old, change), errors);
    refused(
        |spec| read::remove(&mut spec["containers"][0]["resources"]["limits"], "memory"),
        &["spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed"],
    );
    refused(
        |spec| {
            read::remove(&mut spec["initContainers"][1]["resources"], "requests");
        },
        &[
            "spec.initContainers[1].resources.requests: Forbidden: resource requests cannot be removed",
        ],
    );
    refused(
        |spec| spec["initContainers"][0]["resources"]["requests"]["cpu"] = json!("2m"),
        &["spec: Forbidden: resources for non-sidecar init containers are immutable"],
    );
    refused(
        |spec| spec["containers"][0]["resources"]["limits"]["ephemeral-storage"] = json!("1Gi"),
        &[only],
    );
    refused(
        |spec| {
            let limits = json!({ "cpu": "1", "ephemeral-storage": "1Gi" });
            spec["initContainers"][1]["resources"]["requests"] = limits;
        },
        &["spec: Forbidden: only cpu and memory resources for sidecar containers are mutable"],
    );
    refused(|spec| spec["containers"][0]["name"] = json!("d"), &[only]);
    refused(
        |spec| spec["containers"][0]["resources"]["requests"]["cpu"] = json!("3"),
        &[
            "spec.containers[0].resources.requests: Invalid value: \"3\": must be less than or equal to cpu limit of 200m",
        ],
    );
    refused(
        |spec| {
            let more = json!({ "name": "d", "image": "i", "resources": {} });
            spec["containers"].as_array_mut().expect("a list").push(more);
        },
        &["spec.containers: Forbidden: pod updates may not add or remove containers"],
    );
    let policy = json!([{ "resourceName": "cpu", "restartPolicy": "NotRequired" }]);
    check(resized(&old, |spec| spec["containers"][0]["resizePolicy"] = policy), &[only]);
}

#[test]
fn pods_of_which_nothing_is_resized() {
    let change = |spec: &mut Value| {
        spec["containers"][0]["resources"]["requests"]["cpu"] = json!("150m");
    };
    let mirror = json!({ "kubernetes.io/config.mirror": "x" });
    check(
        resized(&with(old(), &[("metadata.annotations", mirror)]), change),
        &["[]: Forbidden: static pods cannot be resized"],
    );
    check(
        resized(&with(old(), &[("spec.os", json!({ "name": "windows" }))]), change),
        &["[]: Forbidden: windows pods cannot be resized"],
    );
    let running = |resources: Value| {
        let status = json!([{ "name": "c", "state": { "running": {} }, "resources": resources }]);
        resized(&with(old(), &[("status.containerStatuses", status)]), change)
    };
    check(
        running(Value::Null),
        &["spec: Forbidden: Pod running on node without support for resize"],
    );
    assert!(running(json!({})).is_ok());
}

#[test]
fn a_class_stays_what_it_is() {
    let old = old();
    let bare = resized(&created(pod()), |spec| {
        spec["containers"][0]["resources"] = json!({ "requests": { "cpu": "1" } });
    });
    check(
        bare,
        &[
            "spec: Invalid value: \"BestEffort\": Pod QOS Class may not change as a result of resizing",
        ],
    );
    let same = resized(&old, |spec| {
        spec["containers"][0]["resources"]["requests"]["cpu"] = json!("200m");
    });
    assert!(same.is_ok(), "{same:?}");
}
