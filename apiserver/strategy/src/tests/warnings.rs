//! Warnings about pods and templates, in upstream's words.

use super::*;

fn warnings(body: Value) -> Vec<String> {
    warned(&created(body), None)
}

/// A pod of one container with these fields more.
fn container(fields: Value) -> Value {
    let mut pod = pod();
    let container = pod["spec"]["containers"][0].as_object_mut().expect("map");
    container.extend(fields.as_object().expect("map").clone());
    pod
}

// Red when the strategies' `warn` is what it was: doubled variables and the name, nothing else.
#[test]
fn amounts_that_are_no_whole_bytes_are_told() {
    let resources = json!({ "resources": {
        "requests": { "memory": "250m", "cpu": "250m" },
        "limits": { "memory": "1Gi", "ephemeral-storage": "1500m" },
    } });
    assert_eq!(
        warnings(container(resources)),
        [
            "spec.containers[0].resources.requests[memory]: fractional byte value \"250m\" is invalid, must be an integer",
            "spec.containers[0].resources.limits[ephemeral-storage]: fractional byte value \"1500m\" is invalid, must be an integer",
            "spec.containers[0].resources.requests[ephemeral-storage]: fractional byte value \"1500m\" is invalid, must be an integer",
        ]
    );
}

#[test]
fn variables_that_hide_others_are_told() {
    let env = json!({ "env": [
        { "name": "A", "value": "1" }, { "name": "A", "value": "$(A)2" }, { "name": "A", "value": "$(A)" },
        { "name": "A", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } },
    ] });
    let hides = |index: usize| {
        format!(
            "spec.containers[0].env[{index}]: hides previous definition of \"A\", which may be dropped when using apply"
        )
    };
    assert_eq!(warnings(container(env)), [hides(2), hides(3)]);
    // Red with Rust's own escapes.
    let mut body = container(json!({}));
    body["spec"]["imagePullSecrets"] = json!([{ "name": "e\u{301}" }, { "name": "e\u{301}" }]);
    assert_eq!(warnings(body), ["spec.imagePullSecrets[1].name: duplicate name \"e\u{301}\""]);
}

#[test]
fn deprecated_labels_annotations_and_volumes_are_told() {
    let mut body = container(json!({}));
    body["metadata"]["annotations"] = json!({
        "scheduler.alpha.kubernetes.io/critical-pod": "",
        "seccomp.security.alpha.kubernetes.io/pod": "runtime/default",
        "container.seccomp.security.alpha.kubernetes.io/c": "runtime/default",
        "container.apparmor.security.beta.kubernetes.io/c": "unconfined",
    });
    body["spec"]["nodeSelector"] = json!({ "beta.kubernetes.io/os": "linux" });
    body["spec"]["topologySpreadConstraints"] = json!([{
        "maxSkew": 1, "topologyKey": "failure-domain.beta.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule",
    }]);
    body["spec"]["imagePullSecrets"] = json!([{ "name": "s" }, { "name": "s" }]);
    body["spec"]["terminationGracePeriodSeconds"] = json!(0);
    assert_eq!(
        warnings(body),
        [
            "spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \"kubernetes.io/os\" instead",
            "spec.topologySpreadConstraints[0].topologyKey: failure-domain.beta.kubernetes.io/zone is deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead",
            "spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod",
            "metadata.annotations[scheduler.alpha.kubernetes.io/critical-pod]: non-functional in v1.16+; use the \"priorityClassName\" field instead",
            "spec.imagePullSecrets[1].name: duplicate name \"s\"",
            "metadata.annotations[seccomp.security.alpha.kubernetes.io/pod]: non-functional in v1.27+; use the \"seccompProfile\" field instead",
            "metadata.annotations[container.seccomp.security.alpha.kubernetes.io/c]: non-functional in v1.27+; use the \"seccompProfile\" field instead",
            "metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: deprecated since v1.30; use the \"appArmorProfile\" field instead",
        ]
    );
}

#[test]
fn ports_that_meet_are_told() {
    let ports = json!({ "ports": [
        { "containerPort": 80, "name": "web" }, { "containerPort": 80 }, { "containerPort": 80, "hostPort": 8080 },
        { "containerPort": 81, "hostIP": "192.0.2.1", "protocol": "UDP" },
    ] });
    let mut body = container(ports);
    body["spec"]["containers"].as_array_mut().expect("list").push(
        json!({ "name": "d", "image": "i", "ports": [{ "containerPort": 9, "name": "web" }] }),
    );
    let at = |index: usize| format!("spec.containers[0].ports[{index}]");
    assert_eq!(
        warnings(body),
        [
            format!("{}: duplicate port definition with {}", at(1), at(0)),
            format!("{}: overlapping port definition with {}", at(2), at(0)),
            format!("{}: overlapping port definition with {}", at(2), at(1)),
            format!(
                "{}: hostIP set without hostPort: {{Name: HostPort:0 ContainerPort:81 Protocol:UDP HostIP:192.0.2.1}}",
                at(3)
            ),
            format!(
                "spec.containers[1].ports[0]: duplicate port name \"web\" with {0}, services and probes that select ports by name will use {0}",
                at(0)
            ),
        ]
    );
}

#[test]
fn files_that_lie_on_each_other_are_told() {
    let items = json!([{ "key": "a", "path": "x" }, { "key": "b", "path": "x/y" }, { "key": "c", "path": "xy" }]);
    let mut body = pod();
    body["spec"]["volumes"] = json!([
        { "name": "m", "configMap": { "name": "n", "items": items } },
        { "name": "p", "projected": { "sources": [
            { "secret": { "name": "s", "items": [{ "key": "a", "path": "t" }] } },
            { "serviceAccountToken": { "path": "t" } },
        ] } },
    ]);
    assert_eq!(
        warnings(body),
        [
            "volume \"m\" (ConfigMap \"n\"): overlapping paths: \"x/y\" with \"x\"",
            "volume \"p\" (Projected): overlapping paths: \"t\" (ServiceAccountToken) with \"t\" (Secret \"s\")",
        ]
    );
}

#[test]
fn templates_are_told_of_when_they_change_and_pods_when_they_are_made() {
    let controller = json!({
        "apiVersion": "v1", "kind": "ReplicationController", "metadata": { "name": "r" },
        "spec": { "template": {
            "metadata": { "labels": { "a": "b" } },
            "spec": {
                "nodeSelector": { "beta.kubernetes.io/arch": "arm64" },
                "containers": [{ "name": "c", "image": "i:1" }],
            },
        } },
    });
    let want = "spec.template.spec.nodeSelector[beta.kubernetes.io/arch]: deprecated since v1.14; use \"kubernetes.io/arch\" instead";
    let old = created(controller);
    let warn = warned;
    assert_eq!(warn(&old, None), [want]);
    assert_eq!(warn(&old, Some(&old)), Vec::<String>::new());
    let new = updated(&old, |new| new["spec"]["replicas"] = 2.into());
    assert_eq!(warn(&new, Some(&old)), [want]);
    let pod = created(container(json!({ "resources": { "limits": { "memory": "1m" } } })));
    assert_eq!((crate::of(row(&pod)).warn)(&pod, Some(&pod)), Vec::<String>::new());
}

/// A template whose selector names a label of nodes by its older name, and what is told of it.
fn placed() -> (Value, &'static str) {
    let spec = json!({
        "restartPolicy": "Always", "nodeSelector": { "beta.kubernetes.io/arch": "arm64" },
        "containers": [{ "name": "c", "image": "i:1" }],
    });
    let template = json!({ "metadata": { "labels": { "a": "b" } }, "spec": spec });
    let told = "spec.nodeSelector[beta.kubernetes.io/arch]: deprecated since v1.14; use \"kubernetes.io/arch\" instead";
    (template, told)
}

#[test]
fn templates_that_are_kept_by_themselves_are_told_of_when_they_change() {
    let (template, told) = placed();
    let old = created(json!({
        "apiVersion": "v1", "kind": "PodTemplate", "metadata": { "name": "t" }, "template": template,
    }));
    let told = [format!("template.{told}")];
    assert_eq!(warned(&old, None), told);
    let labelled = updated(&old, |new| new["metadata"]["labels"] = json!({ "a": "b" }));
    assert_eq!(warned(&labelled, Some(&old)), [""; 0]);
    let changed = updated(&old, |new| new["template"]["spec"]["hostname"] = "h".into());
    assert_eq!(warned(&changed, Some(&old)), told);
}

#[test]
fn cron_jobs_are_told_of_their_names_their_jobs_and_zones_in_schedules() {
    let (mut template, told) = placed();
    template["spec"]["restartPolicy"] = "Never".into();
    let old = created(json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": { "name": "a.b" },
        "spec": { "schedule": "0 0 * * *", "jobTemplate": { "spec": { "template": template } } },
    }));
    let told = format!("spec.jobTemplate.spec.template.{told}");
    let name = "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [must not contain dots]";
    assert_eq!(warned(&old, None), [name, &told]);
    assert_eq!(warned(&old, Some(&old)), [""; 0]);
    let changed = updated(&old, |new| new["spec"]["suspend"] = true.into());
    assert_eq!(warned(&changed, Some(&old)), [told]);
    // As an older server may have stored it.
    let zoned = with(old, &[("spec.schedule", json!("TZ=UTC 0 0 * * *"))]);
    assert_eq!(
        warned(&zoned, Some(&zoned)),
        [
            "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
        ]
    );
}

#[test]
fn what_does_nothing_is_told() {
    let object = |api_version: &str, kind: &str, fields: Value| {
        let mut object =
            json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": "x" } });
        object.as_object_mut().expect("map").extend(fields.as_object().expect("map").clone());
        object
    };
    let idle = leme_kinds::idle("apiregistration.k8s.io", "APIService").expect("idle");
    for (body, told) in [
        (
            object(
                "v1",
                "Node",
                json!({ "spec": { "externalID": "x", "configSource": { "configMap": {} } } }),
            ),
            vec![
                "spec.configSource: the feature is removed".to_owned(),
                "spec.externalID: this field is deprecated, and is unused by Kubernetes".to_owned(),
            ],
        ),
        (object("v1", "Node", json!({ "spec": { "unschedulable": true } })), vec![]),
        (
            object(
                "route.openshift.io/v1",
                "Route",
                json!({ "spec": { "to": { "name": "s" }, "host": "a.b", "subdomain": "c" } }),
            ),
            vec!["spec.host is set; spec.subdomain may be ignored".to_owned()],
        ),
        (
            object(
                "route.openshift.io/v1",
                "Route",
                json!({ "spec": { "to": { "name": "s" }, "subdomain": "c" } }),
            ),
            vec![],
        ),
        (
            object(
                "apiregistration.k8s.io/v1",
                "APIService",
                json!({ "spec": { "service": { "name": "s" } } }),
            ),
            vec![format!("APIService is stored, but {idle}")],
        ),
        (object("apiregistration.k8s.io/v1", "APIService", json!({ "spec": {} })), vec![]),
    ] {
        assert_eq!(warned(&body, None), told, "{body}");
    }
}
