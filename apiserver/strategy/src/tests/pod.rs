//! Pods: defaults, validation, updates, binding, deletion.

use super::*;

#[test]
fn a_bare_pod_is_completed_as_upstream_completes_it() {
    let expected = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "p", "namespace": "ns", "uid": "u", "generation": 1, "creationTimestamp": "2026-01-02T03:04:05Z" },
        "spec": {
            "containers": [{
                "name": "c", "image": "nginx", "imagePullPolicy": "Always", "resources": {},
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
            }],
            "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler",
            "securityContext": {}, "terminationGracePeriodSeconds": 30, "enableServiceLinks": true,
            "serviceAccountName": "default", "serviceAccount": "default",
            "priority": 0, "preemptionPolicy": "PreemptLowerPriority",
            "tolerations": [
                { "key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 },
                { "key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 },
            ],
        },
        "status": { "phase": "Pending", "qosClass": "BestEffort" },
    });
    assert_eq!(created(pod()), expected);
}

#[test]
fn a_completed_pod_is_not_completed_again() {
    let old = created(pod());
    assert_eq!(update(Target::Main, &old, |_| {}), Ok(Write::Unchanged));
}

#[test]
fn the_pull_policy_follows_the_tag() {
    let policy = |image: &str| {
        let new = created(with(pod(), &[("spec.containers.0.image", json!(image))]));
        new["spec"]["containers"][0]["imagePullPolicy"].as_str().unwrap_or("").to_owned()
    };
    for (image, expected) in [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.27", "IfNotPresent"),
        ("host:5000/nginx", "Always"),
        ("host:5000/nginx:2", "IfNotPresent"),
        ("nginx@sha256:00", "IfNotPresent"),
    ] {
        assert_eq!(policy(image), expected, "{image}");
    }
}

#[test]
fn probes_ports_volumes_and_env_are_completed() {
    let body = with(
        pod(),
        &[
            ("spec.containers.0.ports", json!([{ "containerPort": 80 }])),
            ("spec.containers.0.readinessProbe", json!({ "httpGet": { "port": 80 } })),
            (
                "spec.containers.0.env",
                json!([{ "name": "N", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } }]),
            ),
            (
                "spec.volumes",
                json!([
                    { "name": "e" },
                    { "name": "s", "secret": { "secretName": "x" } },
                    { "name": "h", "hostPath": { "path": "/tmp" } },
                    { "name": "t", "projected": { "sources": [{ "serviceAccountToken": { "path": "token" } }] } },
                ]),
            ),
        ],
    );
    let spec = created(body)["spec"].clone();
    let container = &spec["containers"][0];
    assert_eq!(container["ports"][0]["protocol"], "TCP");
    assert_eq!(
        container["readinessProbe"],
        json!({ "httpGet": { "port": 80, "path": "/", "scheme": "HTTP" }, "timeoutSeconds": 1, "periodSeconds": 10,
                "successThreshold": 1, "failureThreshold": 3 })
    );
    assert_eq!(container["env"][0]["valueFrom"]["fieldRef"]["apiVersion"], "v1");
    assert_eq!(
        spec["volumes"],
        json!([
            { "name": "e", "emptyDir": {} },
            { "name": "s", "secret": { "secretName": "x", "defaultMode": 420 } },
            { "name": "h", "hostPath": { "path": "/tmp", "type": "" } },
            { "name": "t", "projected": { "defaultMode": 420, "sources": [
                { "serviceAccountToken": { "path": "token", "expirationSeconds": 3600 } },
            ] } },
        ])
    );
}

#[test]
fn requests_follow_limits_and_are_canonical() {
    let limits =
        json!({ "limits": { "cpu": "0.5", "memory": "1024Mi" }, "requests": { "cpu": 0.25 } });
    let new = created(with(pod(), &[("spec.containers.0.resources", limits)]));
    assert_eq!(
        new["spec"]["containers"][0]["resources"],
        json!({ "limits": { "cpu": "500m", "memory": "1Gi" }, "requests": { "cpu": "250m", "memory": "1Gi" } })
    );
    assert_eq!(new["status"]["qosClass"], "Burstable");
    let limits = json!({ "limits": { "cpu": "1", "memory": "1Gi" } });
    let new = created(with(pod(), &[("spec.containers.0.resources", limits)]));
    assert_eq!(new["status"]["qosClass"], "Guaranteed");
}

#[test]
fn resources_are_checked() {
    let ask = |resources: Value| create(with(pod(), &[("spec.containers.0.resources", resources)]));
    check(
        ask(json!({ "requests": { "cpu": "2" }, "limits": { "cpu": "1" } })),
        &[
            "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
        ],
    );
    check(
        ask(json!({ "limits": { "cpu": "-1" } })),
        &[
            "spec.containers[0].resources.limits[cpu]: Invalid value: \"-1\": must be greater than or equal to 0",
            "spec.containers[0].resources.requests[cpu]: Invalid value: \"-1\": must be greater than or equal to 0",
        ],
    );
    check(
        ask(json!({ "limits": { "bananas": "1" } })),
        &[
            "spec.containers[0].resources.limits[bananas]: Invalid value: \"bananas\": must be a standard resource type or fully qualified",
            "spec.containers[0].resources.limits[bananas]: Invalid value: \"bananas\": must be a standard resource for containers",
            "spec.containers[0].resources.requests[bananas]: Invalid value: \"bananas\": must be a standard resource type or fully qualified",
            "spec.containers[0].resources.requests[bananas]: Invalid value: \"bananas\": must be a standard resource for containers",
        ],
    );
    let status = ask(json!({ "limits": { "cpu": "lots" } })).expect_err("refused");
    assert_eq!(status.code, 400);
    assert_eq!(
        status.message,
        "Pod in version \"v1\" cannot be handled as a Pod: quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    );
}

#[test]
fn containers_are_checked() {
    check(
        create(with(pod(), &[("spec.containers", json!([]))])),
        &["spec.containers: Required value"],
    );
    let two = json!([{ "name": "c", "image": "a" }, { "name": "c", "image": "" }]);
    check(
        create(with(pod(), &[("spec.containers", two)])),
        &[
            "spec.containers[1].image: Required value",
            "spec.containers[1].name: Duplicate value: \"c\"",
        ],
    );
    let body = with(
        pod(),
        &[
            ("spec.restartPolicy", json!("Sometimes")),
            ("spec.containers.0.imagePullPolicy", json!("Maybe")),
            (
                "spec.containers.0.ports",
                json!([
                    { "containerPort": 0 }, { "containerPort": 70000 }, { "containerPort": 1, "name": "Bad_Name", "protocol": "X" },
                ]),
            ),
            (
                "spec.containers.0.volumeMounts",
                json!([
                    { "name": "nope", "mountPath": "/a" }, { "name": "nope", "mountPath": "/a", "subPath": "../b" },
                ]),
            ),
        ],
    );
    check(
        create(body),
        &[
            "spec.containers[0].ports[0].containerPort: Required value",
            "spec.containers[0].ports[1].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
            "spec.containers[0].ports[2].name: Invalid value: \"Bad_Name\": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
            "spec.containers[0].ports[2].protocol: Unsupported value: \"X\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
            "spec.containers[0].volumeMounts[0].name: Not found: \"nope\"",
            "spec.containers[0].volumeMounts[1].name: Not found: \"nope\"",
            "spec.containers[0].volumeMounts[1].mountPath: Invalid value: \"/a\": must be unique",
            "spec.containers[0].volumeMounts.subPath: Invalid value: \"../b\": must not contain '..'",
            "spec.containers[0].imagePullPolicy: Unsupported value: \"Maybe\": supported values: \"Always\", \"IfNotPresent\", \"Never\"",
            "spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", \"Never\"",
        ],
    );
}

#[test]
fn volumes_probes_and_env_are_checked() {
    let body = with(
        pod(),
        &[
            (
                "spec.volumes",
                json!([
                    { "name": "a", "emptyDir": {}, "hostPath": { "path": "/x" } },
                    { "name": "a", "hostPath": { "path": "" } },
                    { "name": "b", "configMap": {} },
                ]),
            ),
            (
                "spec.containers.0.env",
                json!([
                    { "name": "", "value": "x" },
                    { "name": "F", "valueFrom": { "fieldRef": { "fieldPath": "spec.nothing" } } },
                    { "name": "E", "valueFrom": {} },
                ]),
            ),
            ("spec.containers.0.livenessProbe", json!({ "successThreshold": 2 })),
        ],
    );
    check(
        create(body),
        &[
            "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
            "spec.volumes[1].hostPath.path: Required value",
            "spec.volumes[2].configMap.name: Required value",
            "spec.containers[0].env[0].name: Required value",
            "spec.containers[0].env[1].valueFrom.fieldRef.fieldPath: Invalid value: \"spec.nothing\": error converting fieldPath: field label not supported: spec.nothing",
            "spec.containers[0].env[2].valueFrom: Invalid value: \"\": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
            "spec.containers[0].livenessProbe: Required value: must specify a handler type",
            "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
        ],
    );
}

#[test]
fn init_containers_may_have_no_probes() {
    let init =
        json!([{ "name": "i", "image": "a", "readinessProbe": { "exec": { "command": ["x"] } } }]);
    check(
        create(with(pod(), &[("spec.initContainers", init)])),
        &[
            "spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without restartPolicy=Always",
        ],
    );
}

#[test]
fn an_update_may_change_the_image_and_little_else() {
    let old = created(pod());
    let new = updated(&old, |new| new["spec"]["containers"][0]["image"] = "nginx:2".into());
    assert_eq!(new["spec"]["containers"][0]["image"], "nginx:2");
    let message = "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
    check(update(Target::Main, &old, |new| new["spec"]["nodeName"] = "n".into()), &[message]);
    check(
        update(Target::Main, &old, |new| {
            new["spec"]["containers"] =
                json!([{ "name": "c", "image": "a" }, { "name": "d", "image": "a" }]);
        }),
        &["spec.containers: Forbidden: pod updates may not add or remove containers"],
    );
    let bare = update(Target::Main, &old, |new| {
        for field in ["tolerations", "priority", "preemptionPolicy"] {
            new["spec"][field] = Value::Null;
        }
    });
    assert_eq!(bare, Ok(Write::Unchanged));
    let own = created(with(
        pod(),
        &[("spec.tolerations", json!([{ "key": "a", "operator": "Exists" }]))],
    ));
    check(
        update(Target::Main, &own, |new| new["spec"]["tolerations"] = json!([])),
        &[
            "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds",
        ],
    );
}

#[test]
fn a_status_update_leaves_owners_and_class_alone() {
    let mut old = created(pod());
    old["metadata"]["ownerReferences"] =
        json!([{ "apiVersion": "v1", "kind": "K", "name": "o", "uid": "1" }]);
    let write = update(Target::Status, &old, |new| {
        new["metadata"]["ownerReferences"] = json!([]);
        new["status"] = json!({ "phase": "Running" });
        new["spec"] = json!({});
    });
    let Ok(Write::Put(new)) = write else { panic!("{write:?}") };
    assert_eq!(new["metadata"]["ownerReferences"], old["metadata"]["ownerReferences"]);
    assert_eq!(new["status"], json!({ "phase": "Running", "qosClass": "BestEffort" }));
    assert_eq!(new["spec"], old["spec"]);
}

#[test]
fn a_pod_is_bound_once() {
    let old = created(pod());
    let bind =
        |pod: &Value, binding: Value| leme_registry::bind(&context(row(pod), "p"), binding, pod);
    let binding =
        json!({ "metadata": { "name": "p" }, "target": { "kind": "Node", "name": "n1" } });
    let Ok(Write::Put(bound)) = bind(&old, binding.clone()) else { panic!("not bound") };
    assert_eq!(bound["spec"]["nodeName"], "n1");
    assert_eq!(
        bound["status"]["conditions"],
        json!([{ "type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": "2026-01-02T03:04:05Z" }])
    );
    let status = bind(&bound, binding).expect_err("refused");
    assert_eq!(
        (status.code, status.message.as_str()),
        (
            409,
            "Operation cannot be fulfilled on pods/binding \"p\": pod p is already assigned to node \"n1\""
        )
    );
}

#[test]
fn deletion_waits_for_the_node_if_there_is_one() {
    let old = created(pod());
    assert_eq!(delete(&old, None), Deletion::Remove);
    let bound = with(old, &[("spec.nodeName", json!("n1"))]);
    let Deletion::Mark(marked) = delete(&bound, None) else { panic!("not marked") };
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 30);
    assert_eq!(marked["metadata"]["deletionTimestamp"], "2026-01-02T03:04:35Z");
    assert_eq!(delete(&marked, Some(0)), Deletion::Remove);
    assert_eq!(delete(&bound, Some(0)), Deletion::Remove);
    assert_eq!(
        delete(&with(bound, &[("status.phase", json!("Succeeded"))]), None),
        Deletion::Remove
    );
}

// Red when `sysctls` is not asked: any text went to the node.
#[test]
fn names_of_kernel_parameters_are_checked() {
    let pod = |names: &[&str], spec: Value| {
        let sysctls: Vec<Value> =
            names.iter().map(|name| json!({ "name": name, "value": "1" })).collect();
        let mut body = with(pod(), &[("spec.securityContext", json!({ "sysctls": sysctls }))]);
        body["spec"].as_object_mut().expect("map").extend(spec.as_object().expect("map").clone());
        create(body)
    };
    assert!(
        pod(&["kernel.shm_rmid_forced", "net/ipv4/ip_unprivileged_port_start"], json!({})).is_ok()
    );
    let at = |index: usize| format!("spec.securityContext.sysctls[{index}].name");
    let rule = "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
    check(
        pod(&["foo-", "", "a.b", "a.b", "net..x"], json!({})),
        &[
            format!("{}: Invalid value: \"foo-\": {rule}", at(0)).as_str(),
            format!("{}: Required value", at(1)).as_str(),
            format!("{}: Duplicate value: \"a.b\"", at(3)).as_str(),
            format!("{}: Invalid value: \"net..x\": {rule}", at(4)).as_str(),
        ],
    );
    check(
        pod(
            &["net.core.somaxconn", "kernel/sem", "kernel.sema", "fs.mqueue.x"],
            json!({ "hostNetwork": true, "hostIPC": true }),
        ),
        &[
            format!("{}: Invalid value: \"net.core.somaxconn\": may not be specified when 'hostNetwork' is true", at(0)).as_str(),
            format!("{}: Invalid value: \"kernel/sem\": may not be specified when 'hostIPC' is true", at(1)).as_str(),
            format!("{}: Invalid value: \"fs.mqueue.x\": may not be specified when 'hostIPC' is true", at(3)).as_str(),
        ],
    );
}

// Red when `validate_create` is taken out: they were stored and never run.
#[test]
fn containers_for_debugging_are_not_part_of_a_new_pod() {
    let debug = json!([{ "name": "d", "image": "i" }]);
    check(
        create(with(pod(), &[("spec.ephemeralContainers", debug.clone())])),
        &["spec.ephemeralContainers: Forbidden: cannot be set on create"],
    );
    let old = created(pod());
    let added =
        update(Target::Main, &old, |new| new["spec"]["ephemeralContainers"] = debug.clone());
    assert_eq!(causes(&added.expect_err("refused")).len(), 1);
    let controller = json!({
        "apiVersion": "v1", "kind": "ReplicationController", "metadata": { "name": "r" },
        "spec": { "template": {
            "metadata": { "labels": { "a": "b" } },
            "spec": { "containers": [{ "name": "c", "image": "i:1" }], "ephemeralContainers": debug },
        } },
    });
    check(
        create(controller),
        &[
            "spec.template.spec.ephemeralContainers: Forbidden: ephemeral containers not allowed in pod template",
        ],
    );
}

#[test]
fn a_variable_may_have_any_printable_name_without_an_equals_sign() {
    let env = |env: Value, from: Value| {
        create(with(pod(), &[("spec.containers.0.env", env), ("spec.containers.0.envFrom", from)]))
    };
    let from = |prefix: &str| json!([{ "prefix": prefix, "configMapRef": { "name": "m" } }]);
    assert!(env(json!([{ "name": "data-1 %" }, { "name": "9.a/b" }]), from("pre-fix.")).is_ok());
    let rule = "a valid environment variable name must consist only of printable ASCII characters other than '='";
    check(
        env(json!([{ "name": "a=b" }, { "name": "\u{e9}" }]), from("x=")),
        &[
            format!("spec.containers[0].env[0].name: Invalid value: \"a=b\": {rule}").as_str(),
            format!("spec.containers[0].env[1].name: Invalid value: \"\u{e9}\": {rule}").as_str(),
            format!("spec.containers[0].envFrom[0].prefix: Invalid value: \"x=\": {rule}").as_str(),
        ],
    );
}

#[test]
fn a_pod_that_somebody_evicts_says_so() {
    let mut pod = created(pod());
    let kind = row(&pod);
    (crate::of(kind).evicted)(&mut pod, &context(kind, "p"));
    assert_eq!(
        pod["status"]["conditions"],
        json!([{
            "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting", "lastProbeTime": null, "lastTransitionTime": "2026-01-02T03:04:05Z",
        }])
    );
}
