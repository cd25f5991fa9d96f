//! Amounts of resources: rounded where upstream rounds them, refused where they are none.

use super::*;

/// Where lists of resources stand: version, kind, and paths, of which `[]` is any element.
const LISTS: &[(&str, &str, &[&str])] = &[
    (
        "v1",
        "LimitRange",
        &[
            "spec.limits[].max",
            "spec.limits[].min",
            "spec.limits[].default",
            "spec.limits[].defaultRequest",
            "spec.limits[].maxLimitRequestRatio",
        ],
    ),
    ("v1", "Node", &["status.capacity", "status.allocatable"]),
    ("v1", "PersistentVolume", &["spec.capacity"]),
    (
        "v1",
        "PersistentVolumeClaim",
        &[
            "spec.resources.limits",
            "spec.resources.requests",
            "status.capacity",
            "status.allocatedResources",
        ],
    ),
    (
        "v1",
        "Pod",
        &[
            "spec.overhead",
            "spec.resources.limits",
            "spec.containers[].resources.limits",
            "spec.volumes[].ephemeral.volumeClaimTemplate.spec.resources.requests",
        ],
    ),
    ("v1", "PodTemplate", &["template.spec.initContainers[].resources.requests"]),
    ("v1", "ReplicationController", TEMPLATE),
    ("v1", "ResourceQuota", &["spec.hard", "status.hard", "status.used"]),
    ("apps/v1", "DaemonSet", TEMPLATE),
    ("apps/v1", "Deployment", TEMPLATE),
    ("apps/v1", "ReplicaSet", TEMPLATE),
    ("apps/v1", "StatefulSet", TEMPLATE),
    ("apps/v1", "StatefulSet", &["spec.volumeClaimTemplates[].spec.resources.requests"]),
    ("apps.openshift.io/v1", "DeploymentConfig", TEMPLATE),
    ("apps.openshift.io/v1", "DeploymentConfig", &["spec.strategy.resources.limits"]),
    ("batch/v1", "Job", TEMPLATE),
    ("batch/v1", "CronJob", &["spec.jobTemplate.spec.template.spec.containers[].resources.limits"]),
    ("build.openshift.io/v1", "Build", &["spec.resources.limits", "spec.resources.requests"]),
    ("build.openshift.io/v1", "BuildConfig", &["spec.resources.limits", "spec.resources.requests"]),
    ("node.k8s.io/v1", "RuntimeClass", &["overhead.podFixed"]),
    ("storage.k8s.io/v1", "VolumeAttachment", &["spec.source.inlineVolumeSpec.capacity"]),
];

const TEMPLATE: &[&str] =
    &["spec.template.spec.containers[].resources.limits", "spec.template.spec.overhead"];

/// A value under a path of fields.
fn under(path: &str, value: Value) -> Value {
    path.rsplit('.').fold(value, |value, step| match step.strip_suffix("[]") {
        Some(step) => json!({ step: [value] }),
        None => json!({ step: value }),
    })
}

/// What stands under a path, in the first element of each list.
fn found<'a>(object: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(object, |value, step| match step.strip_suffix("[]") {
        Some(step) => &value[step][0],
        None => &value[step],
    })
}

// Red with amounts in everybody's form and not rounded: a pod that asked for a millionth of a processor kept it.
#[test]
fn amounts_of_lists_of_resources_are_whole_thousandths() {
    for (api_version, name, paths) in LISTS {
        for path in *paths {
            let kind = kind(api_version, name);
            let list = json!({ "cpu": "1500001n", "memory": "0.5Gi", "x": "1u" });
            let mut object = handed_on(kind, under(path, list)).expect("decoded");
            (crate::of(kind).default)(&mut object);
            let rounded = json!({ "cpu": "2m", "memory": "512Mi", "x": "1m" });
            assert_eq!(*found(&object, path), rounded, "{name} {path}");
        }
    }
}

#[test]
fn other_amounts_are_not_rounded() {
    let kind = kind("storage.k8s.io/v1", "CSIStorageCapacity");
    let mut object = handed_on(kind, json!({ "capacity": "1500001n" })).expect("decoded");
    (crate::of(kind).default)(&mut object);
    assert_eq!(object["capacity"], "1500001n");
}

#[test]
fn what_is_no_amount_is_refused() {
    for (text, why) in [
        (
            "a lot",
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        ("1ii", "unable to parse quantity's suffix"),
    ] {
        let body = under("spec.containers[].resources.limits.memory", text.into());
        let pod = with(body, &[("apiVersion", json!("v1")), ("kind", json!("Pod"))]);
        let status = create(pod).expect_err("refused");
        let want = format!("Pod in version \"v1\" cannot be handled as a Pod: {why}");
        assert_eq!((status.code, status.message), (400, want));
    }
}
