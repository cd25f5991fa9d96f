//! Bounds and defaults of a namespace.

use super::*;

fn range(limits: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "LimitRange", "metadata": { "name": "l", "namespace": "ns" },
        "spec": { "limits": limits },
    })
}

fn account() -> Value {
    json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "default", "namespace": "ns" } })
}

fn pod_with(resources: Value) -> Value {
    let mut pod = pod();
    pod["spec"]["containers"][0]["resources"] = resources;
    pod
}

/// What becomes of a pod with such resources under one limit.
fn under(limit: &Value, resources: Value) -> Result<Value, String> {
    let known = [account(), range(json!([limit]))];
    let refusal = "pods \"p\" is forbidden: ";
    create(&known, &pod_with(resources))
        .map_err(|why| why.strip_prefix(refusal).expect("forbidden").to_owned())
}

#[test]
fn containers_get_the_defaults_and_an_annotation() {
    let limit = json!({ "type": "Container",
        "default": { "cpu": "1", "memory": "1Gi" }, "defaultRequest": { "cpu": "500m" } });
    let mut pod = pod_with(json!({ "limits": { "cpu": "2" } }));
    pod["spec"]["initContainers"] = json!([{ "name": "i", "image": "x" }]);
    let new = create(&[account(), range(json!([limit]))], &pod).expect("admitted");
    assert_eq!(
        new["spec"]["containers"][0]["resources"],
        json!({ "limits": { "cpu": "2", "memory": "1Gi" }, "requests": { "cpu": "500m" } })
    );
    assert_eq!(
        new["metadata"]["annotations"]["kubernetes.io/limit-ranger"],
        "LimitRanger plugin set: cpu request for container c; memory limit for container c; \
         cpu request for init container i; cpu, memory limit for init container i"
    );
    // Nothing is said of a pod that says all itself.
    let full = json!({ "limits": { "cpu": "2", "memory": "2Gi" }, "requests": { "cpu": "1" } });
    let known = [account(), range(json!([{ "type": "Container", "default": { "cpu": "1" } }]))];
    let new = create(&known, &pod_with(full)).expect("admitted");
    assert_eq!(new["metadata"].get("annotations"), None);
}

#[test]
fn containers_stay_within_bounds() {
    let container = |map: &str, cpu: &str| json!({ "type": "Container", map: { "cpu": cpu } });
    let asks = |request: &str, limit: &str| json!({ "requests": { "cpu": request }, "limits": { "cpu": limit } });
    let (min, max) = (container("min", "100m"), container("max", "1"));
    let ratio = container("maxLimitRequestRatio", "2");
    for (limit, resources) in
        [(&min, asks("100m", "100m")), (&max, asks("1", "1")), (&ratio, asks("1", "2"))]
    {
        assert!(under(limit, resources).is_ok());
    }
    for (limit, resources, why) in [
        (&min, json!({}), "minimum cpu usage per Container is 100m.  No request is specified"),
        (&min, asks("50m", "1"), "minimum cpu usage per Container is 100m, but request is 50m"),
        (&max, json!({}), "maximum cpu usage per Container is 1.  No limit is specified"),
        (&max, asks("1", "2"), "maximum cpu usage per Container is 1, but limit is 2"),
        (
            &ratio,
            json!({ "limits": { "cpu": "1" } }),
            "cpu max limit to request ratio per Container is 2, but no request is specified or request is 0",
        ),
        (
            &ratio,
            json!({ "requests": { "cpu": "1" } }),
            "cpu max limit to request ratio per Container is 2, but no limit is specified or limit is 0",
        ),
        (
            &ratio,
            asks("1", "2500m"),
            "cpu max limit to request ratio per Container is 2, but provided ratio is 2.500000",
        ),
    ] {
        assert_eq!(under(limit, resources), Err(why.to_owned()));
    }
}

#[test]
fn several_faults_are_told_at_once() {
    let limit = json!({ "type": "Container", "max": { "cpu": "1", "memory": "1Gi" } });
    let resources = json!({ "limits": { "cpu": "2", "memory": "2Gi" } });
    let why = "[maximum cpu usage per Container is 1, but limit is 2, maximum memory usage per Container is 1Gi, but limit is 2Gi]";
    assert_eq!(under(&limit, resources), Err(why.to_owned()));
}

#[test]
fn pods_count_as_a_whole() {
    let limit = json!({ "type": "Pod", "max": { "cpu": "2" } });
    let mut pod = pod_with(json!({ "limits": { "cpu": "1500m" } }));
    let known = [account(), range(json!([limit]))];
    assert!(create(&known, &pod).is_ok());
    let second = json!({ "name": "d", "image": "x", "resources": { "limits": { "cpu": "1" } } });
    pod["spec"]["containers"].as_array_mut().expect("a list").push(second);
    assert_eq!(
        create(&known, &pod),
        Err("pods \"p\" is forbidden: maximum cpu usage per Pod is 2, but limit is 2500m"
            .to_owned())
    );
}

#[test]
fn claims_stay_within_bounds() {
    let limit = json!({ "type": "PersistentVolumeClaim", "min": { "storage": "1Gi" }, "max": { "storage": "4Gi" } });
    let claim = |size: &str| {
        json!({ "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": "c" },
            "spec": { "resources": { "requests": { "storage": size } } } })
    };
    let known = [range(json!([limit]))];
    assert!(create(&known, &claim("4Gi")).is_ok());
    for (size, why) in [
        ("512Mi", "minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 512Mi"),
        ("5Gi", "maximum storage usage per PersistentVolumeClaim is 4Gi, but request is 5Gi"),
    ] {
        let why = format!("persistentvolumeclaims \"c\" is forbidden: {why}");
        assert_eq!(create(&known, &claim(size)), Err(why));
    }
    // Also when they grow, unless they are on their way out.
    let chain = Chain::new(Objects::of(&known), &["PersistentVolumeClaimResize"]);
    let mut old = claim("1Gi");
    let grow = |old: &Value| {
        chain.validate(&asked(Operation::Update, old), Some(&claim("5Gi")), Some(old)).is_ok()
    };
    assert!(!grow(&old));
    old["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    assert!(grow(&old));
}
