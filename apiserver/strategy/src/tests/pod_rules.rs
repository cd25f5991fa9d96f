//! Pods that are refused for one field, and the same field as it is accepted.

use super::*;

/// A name that is none, and what it is told.
const NO_NAME: &str = "Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

/// Fields of the spec that make a pod, the errors of it.
type Row = (Value, &'static [&'static str]);

/// The smallest pod with these fields in its spec.
fn pod_of(spec: &Value) -> Value {
    let mut pod = pod();
    pod["spec"].as_object_mut().expect("map").extend(spec.as_object().expect("map").clone());
    pod
}

/// The smallest pod whose container has these fields.
fn pod_with(container: &Value) -> Value {
    let mut pod = pod();
    let first = pod["spec"]["containers"][0].as_object_mut().expect("map");
    first.extend(container.as_object().expect("map").clone());
    pod
}

#[track_caller]
fn all(make: impl Fn(&Value) -> Value, rows: &[Row]) {
    for (fields, errors) in rows {
        let result = create(make(fields));
        match errors {
            [] => assert!(result.is_ok(), "{fields}: {result:?}"),
            errors => assert_eq!(causes(&result.expect_err("refused")), *errors, "{fields}"),
        }
    }
}

#[test]
fn gates_and_names_are_checked() {
    let wrong = |field: &str| format!("{field}: {NO_NAME}");
    check(
        create(pod_of(&json!({
            "readinessGates": [{ "conditionType": "a.test/b" }, { "conditionType": "a b" }],
            "schedulingGates": [{ "name": "a b" }, { "name": "c" }, { "name": "c" }],
        }))),
        &[
            wrong("spec.readinessGates[1].conditionType").as_str(),
            wrong("spec.schedulingGates[0]").as_str(),
            "spec.schedulingGates[2]: Duplicate value: \"c\"",
        ],
    );
    let subdomain = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
    check(
        create(pod_of(&json!({ "runtimeClassName": "A_" }))),
        &[format!("spec.runtimeClassName: Invalid value: \"A_\": {subdomain}").as_str()],
    );
    all(
        pod_of,
        &[
            (json!({ "runtimeClassName": "a" }), &[]),
            (
                json!({ "nodeName": "n", "schedulingGates": [{ "name": "a" }] }),
                &[
                    "spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared",
                ],
            ),
            // It is told of, not refused.
            (json!({ "imagePullSecrets": [{ "name": "" }] }), &[]),
        ],
    );
    let empty = created(pod_of(&json!({ "imagePullSecrets": [{}] })));
    assert_eq!(
        (crate::of(row(&empty)).warn)(&empty, None),
        ["spec.imagePullSecrets[0].name: invalid empty name \"\""]
    );
}

#[test]
fn the_resolver_is_checked() {
    let rule = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
    let searches = |list: &[&str]| create(pod_of(&json!({ "dnsConfig": { "searches": list } })));
    assert!(searches(&[".", "a.", "_tcp.a_b.test", "a-b"]).is_ok());
    let wrong = ["-x", "", "a_", "a..b", "__a"];
    let told: Vec<String> = wrong
        .iter()
        .enumerate()
        .map(|(index, text)| {
            format!("spec.dnsConfig.searches[{index}]: Invalid value: {text:?}: {rule}")
        })
        .collect();
    check(searches(&wrong), &told.iter().map(String::as_str).collect::<Vec<_>>());
    let many = searches(&["a"; 33]).expect_err("refused");
    assert!(causes(&many)[0].ends_with("must not have more than 32 search paths"), "{many}");
    all(
        pod_of,
        &[
            (
                json!({ "dnsConfig": { "options": [{ "name": "a" }, { "name": "" }] } }),
                &["spec.dnsConfig.options[1]: Required value: must not be empty"],
            ),
            (
                json!({ "dnsPolicy": "None" }),
                &[
                    "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None",
                ],
            ),
            (
                json!({ "dnsPolicy": "None", "dnsConfig": {} }),
                &[
                    "spec.dnsConfig.nameservers: Required value: must provide at least one DNS nameserver when `dnsPolicy` is None",
                ],
            ),
            (json!({ "dnsPolicy": "None", "dnsConfig": { "nameservers": ["192.0.2.1"] } }), &[]),
        ],
    );
}

#[test]
fn what_is_shared_with_the_host_is_checked() {
    all(
        pod_of,
        &[
            (
                json!({ "hostUsers": false, "hostNetwork": true, "hostPID": true }),
                &[
                    "spec.hostNetwork: Forbidden: when `pod.Spec.HostUsers` is false",
                    "spec.HostPID: Forbidden: when `pod.Spec.HostUsers` is false",
                ],
            ),
            (json!({ "hostUsers": false }), &[]),
            (json!({ "hostUsers": true, "hostNetwork": true }), &[]),
            (
                json!({ "securityContext": { "windowsOptions": { "hostProcess": true } } }),
                &[
                    "spec.hostNetwork: Invalid value: false: hostNetwork must be true if pod contains any hostProcess containers",
                ],
            ),
            (
                json!({ "hostNetwork": true, "securityContext": { "windowsOptions": { "hostProcess": true } } }),
                &[],
            ),
            (
                json!({
                    "hostNetwork": true,
                    "securityContext": { "windowsOptions": { "hostProcess": true } },
                    "initContainers": [{
                        "name": "i", "image": "i", "securityContext": { "windowsOptions": { "hostProcess": false } },
                    }],
                }),
                &[
                    "spec.initContainers[0].securityContext.windowsOptions.hostProcess: Invalid value: false: pod hostProcess value must be identical if both are specified, was true",
                    "spec: Invalid value: \"\": If pod contains any hostProcess containers then all containers must be HostProcess containers",
                ],
            ),
            (
                json!({
                    "hostNetwork": true,
                    "containers": [{ "name": "c", "image": "i", "ports": [{ "containerPort": 80, "hostPort": 81 }] }],
                }),
                &[
                    "spec.containers[0].ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is true",
                ],
            ),
            (
                json!({
                    "hostNetwork": true,
                    "containers": [{ "name": "c", "image": "i", "ports": [{ "containerPort": 80 }] }],
                }),
                &[],
            ),
        ],
    );
}

#[test]
fn the_operating_system_is_checked() {
    all(
        pod_of,
        &[
            (
                json!({ "os": { "name": "foo" } }),
                &["spec.os: Unsupported value: \"foo\": supported values: \"linux\", \"windows\""],
            ),
            (json!({ "os": { "name": "" } }), &["spec.os.name: Required value: cannot be empty"]),
            (json!({ "os": { "name": "linux" }, "hostPID": true }), &[]),
            (json!({ "os": { "name": "windows" } }), &[]),
            (
                json!({ "os": { "name": "linux" }, "securityContext": { "windowsOptions": {} } }),
                &[
                    "spec.securityContext.windowsOptions: Forbidden: windows options cannot be set for a linux pod",
                ],
            ),
            (
                json!({
                    "os": { "name": "windows" }, "hostPID": true, "hostIPC": false,
                    "securityContext": { "runAsUser": 1, "sysctls": [] },
                    "containers": [{ "name": "c", "image": "i", "securityContext": { "privileged": false } }],
                }),
                &[
                    "spec.hostPID: Forbidden: cannot be set for a windows pod",
                    "spec.securityContext.runAsUser: Forbidden: cannot be set for a windows pod",
                    "spec.containers[0].securityContext.privileged: Forbidden: cannot be set for a windows pod",
                ],
            ),
        ],
    );
}

#[test]
fn spread_and_affinity_are_checked() {
    let spread = |changes: Value| {
        let mut constraint = json!({
            "maxSkew": 1, "topologyKey": "k", "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": { "matchLabels": { "a": "b" } },
        });
        constraint.as_object_mut().expect("map").extend(changes.as_object().expect("map").clone());
        json!({ "topologySpreadConstraints": [constraint] })
    };
    let twice = {
        let mut twice = spread(json!({}));
        let first = twice["topologySpreadConstraints"][0].clone();
        twice["topologySpreadConstraints"].as_array_mut().expect("list").push(first);
        twice
    };
    let node = |requirement: Value| {
        json!({ "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{ "matchFields": [requirement] }],
        } } } })
    };
    all(
        pod_of,
        &[
            (
                spread(
                    json!({ "minDomains": 2, "nodeAffinityPolicy": "Ignore", "matchLabelKeys": ["c"] }),
                ),
                &[],
            ),
            (
                spread(json!({ "maxSkew": 0 })),
                &[
                    "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
                ],
            ),
            (
                spread(json!({ "minDomains": 1, "whenUnsatisfiable": "ScheduleAnyway" })),
                &[
                    "spec.topologySpreadConstraints[0].minDomains: Invalid value: 1: can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway",
                ],
            ),
            (
                spread(json!({ "nodeAffinityPolicy": "Foo", "nodeTaintsPolicy": "Foo" })),
                &[
                    "spec.topologySpreadConstraints[0].nodeAffinityPolicy: Unsupported value: \"Foo\": supported values: \"Honor\", \"Ignore\"",
                    "spec.topologySpreadConstraints[0].nodeTaintsPolicy: Unsupported value: \"Foo\": supported values: \"Honor\", \"Ignore\"",
                ],
            ),
            (
                spread(json!({ "matchLabelKeys": ["a"], "labelSelector": null })),
                &[
                    "spec.topologySpreadConstraints[0].matchLabelKeys: Forbidden: must not be specified when labelSelector is not set",
                ],
            ),
            (
                spread(json!({ "matchLabelKeys": ["a"] })),
                &[
                    "spec.topologySpreadConstraints[0].matchLabelKeys[0]: Invalid value: \"a\": exists in both matchLabelKeys and labelSelector",
                ],
            ),
            (
                twice,
                &[
                    "spec.topologySpreadConstraints[0].{topologyKey, whenUnsatisfiable}: Duplicate value: \"{k, DoNotSchedule}\"",
                ],
            ),
            (node(json!({ "key": "metadata.name", "operator": "In", "values": ["n"] })), &[]),
            (
                node(json!({ "key": "a", "operator": "In", "values": ["n"] })),
                &[
                    "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0].key: Invalid value: \"a\": not a valid field selector key",
                ],
            ),
            (
                node(json!({ "key": "metadata.name", "operator": "Exists" })),
                &[
                    "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0].operator: Invalid value: \"Exists\": not a valid selector operator",
                ],
            ),
            (
                json!({ "affinity": { "podAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [
                    { "topologyKey": "k", "matchLabelKeys": ["a"] },
                    { "topologyKey": "k", "labelSelector": {}, "matchLabelKeys": ["a"], "mismatchLabelKeys": ["a"] },
                ] } } }),
                &[
                    "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].matchLabelKeys: Forbidden: must not be specified when labelSelector is not set",
                    "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[1].matchLabelKeys[0]: Invalid value: \"a\": exists in both matchLabelKeys and mismatchLabelKeys",
                ],
            ),
        ],
    );
}

#[test]
fn security_contexts_are_checked() {
    let context = |context: Value| json!({ "securityContext": context });
    let profile = |profile: Value| context(json!({ "appArmorProfile": profile }));
    let rows: &[Row] = &[
        (profile(json!({ "type": "RuntimeDefault" })), &[]),
        (profile(json!({ "type": "Localhost", "localhostProfile": "p" })), &[]),
        (
            profile(json!({ "type": "X" })),
            &[
                "appArmorProfile.type: Unsupported value: \"X\": supported values: \"Localhost\", \"RuntimeDefault\", \"Unconfined\"",
            ],
        ),
        (
            profile(json!({})),
            &["appArmorProfile.type: Required value: type is required when appArmorProfile is set"],
        ),
        (
            profile(json!({ "type": "Localhost" })),
            &[
                "appArmorProfile.localhostProfile: Required value: must be set when AppArmor type is Localhost",
            ],
        ),
        (
            profile(json!({ "type": "Localhost", "localhostProfile": " p" })),
            &[
                "appArmorProfile.localhostProfile: Invalid value: \" p\": must not be padded with whitespace",
            ],
        ),
        (
            profile(json!({ "type": "Unconfined", "localhostProfile": "p" })),
            &[
                "appArmorProfile.localhostProfile: Invalid value: \"p\": can only be set when AppArmor type is Localhost",
            ],
        ),
        (
            context(json!({ "seccompProfile": {} })),
            &["seccompProfile.type: Required value: type is required when seccompProfile is set"],
        ),
    ];
    for (fields, errors) in rows {
        for (body, at) in [
            (pod_of(fields), "spec.securityContext"),
            (pod_with(fields), "spec.containers[0].securityContext"),
        ] {
            let told: Vec<String> = errors.iter().map(|error| format!("{at}.{error}")).collect();
            let found = create(body).map_or_else(|status| causes(&status), |_| Vec::new());
            assert_eq!(found, told);
        }
    }
    all(
        |fields| pod_of(&context(fields.clone())),
        &[
            (
                json!({ "supplementalGroupsPolicy": "Strict", "seLinuxChangePolicy": "Recursive" }),
                &[],
            ),
            (
                json!({ "supplementalGroupsPolicy": "X", "seLinuxChangePolicy": "X" }),
                &[
                    "spec.securityContext.supplementalGroupsPolicy: Unsupported value: \"X\": supported values: \"Merge\", \"Strict\"",
                    "spec.securityContext.seLinuxChangePolicy: Unsupported value: \"X\": supported values: \"Recursive\"",
                ],
            ),
        ],
    );
    all(
        |fields| pod_with(&context(fields.clone())),
        &[
            (json!({ "procMount": "Default" }), &[]),
            (
                json!({ "procMount": "Unmasked" }),
                &[
                    "spec.containers[0].securityContext.procMount: Invalid value: \"Unmasked\": `hostUsers` must be false to use `Unmasked`",
                ],
            ),
        ],
    );
}

#[test]
fn devices_and_mounts_are_checked() {
    let pod = |fields: &Value| {
        let mut pod = pod_with(fields);
        pod["spec"]["volumes"] = json!([
            { "name": "claim", "persistentVolumeClaim": { "claimName": "c" } },
            { "name": "empty", "emptyDir": {} },
        ]);
        pod
    };
    let devices = |list: Value| json!({ "volumeDevices": list });
    let mount = |fields: Value| {
        let mut mount = json!({ "name": "empty", "mountPath": "/m" });
        mount.as_object_mut().expect("map").extend(fields.as_object().expect("map").clone());
        json!({ "volumeMounts": [mount] })
    };
    all(
        pod,
        &[
            (devices(json!([{ "name": "claim", "devicePath": "/dev/a" }])), &[]),
            (
                devices(json!([{ "name": "nope", "devicePath": "" }])),
                &[
                    "spec.containers[0].volumeDevices[0].name: Not found: \"nope\"",
                    "spec.containers[0].volumeDevices[0].devicePath: Required value",
                ],
            ),
            (
                devices(json!([{ "name": "claim", "devicePath": "/dev/../a" }])),
                &[
                    "spec.containers[0].volumeDevices[0].devicePath: Invalid value: \"/dev/../a\": can not contain backsteps ('..')",
                ],
            ),
            (
                devices(json!([{ "name": "empty", "devicePath": "/a" }])),
                &[
                    "spec.containers[0].volumeDevices[0].name: Invalid value: \"empty\": can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode",
                ],
            ),
            (
                json!({
                    "volumeDevices": [{ "name": "claim", "devicePath": "/a" }, { "name": "claim", "devicePath": "/a" }],
                    "volumeMounts": [{ "name": "claim", "mountPath": "/a" }],
                }),
                &[
                    "spec.containers[0].volumeMounts[0].name: Invalid value: \"claim\": must not already exist in volumeDevices",
                    "spec.containers[0].volumeMounts[0].mountPath: Invalid value: \"/a\": must not already exist as a path in volumeDevices",
                    "spec.containers[0].volumeDevices[0].name: Invalid value: \"claim\": must not already exist in volumeMounts",
                    "spec.containers[0].volumeDevices[0].devicePath: Invalid value: \"/a\": must not already exist as a path in volumeMounts",
                    "spec.containers[0].volumeDevices[1].name: Invalid value: \"claim\": must be unique",
                    "spec.containers[0].volumeDevices[1].devicePath: Invalid value: \"/a\": must be unique",
                    "spec.containers[0].volumeDevices[1].name: Invalid value: \"claim\": must not already exist in volumeMounts",
                    "spec.containers[0].volumeDevices[1].devicePath: Invalid value: \"/a\": must not already exist as a path in volumeMounts",
                ],
            ),
            (mount(json!({ "recursiveReadOnly": "Enabled", "readOnly": true })), &[]),
            (mount(json!({ "recursiveReadOnly": "Disabled" })), &[]),
            (
                mount(json!({ "recursiveReadOnly": "Enabled" })),
                &[
                    "spec.containers[0].volumeMounts.recursiveReadOnly: Forbidden: may only be specified when readOnly is true",
                ],
            ),
            (
                mount(
                    json!({ "recursiveReadOnly": "IfPossible", "readOnly": true, "mountPropagation": "HostToContainer" }),
                ),
                &[
                    "spec.containers[0].volumeMounts.recursiveReadOnly: Forbidden: may only be specified when mountPropagation is None or not specified",
                ],
            ),
            (
                mount(json!({ "recursiveReadOnly": "Foo" })),
                &[
                    "spec.containers[0].volumeMounts.recursiveReadOnly: Unsupported value: \"Foo\": supported values: \"Disabled\", \"Enabled\", \"IfPossible\"",
                ],
            ),
        ],
    );
}

#[test]
fn hooks_and_policies_of_containers_are_checked() {
    let sleep =
        |seconds: i64| json!({ "lifecycle": { "preStop": { "sleep": { "seconds": seconds } } } });
    let resize = |policy: &str| json!({ "resizePolicy": [{ "resourceName": "cpu", "restartPolicy": policy }] });
    all(
        pod_with,
        &[
            (sleep(0), &[]),
            (sleep(30), &[]),
            (
                sleep(-1),
                &[
                    "spec.containers[0].lifecycle.preStop.sleep: Invalid value: -1: must be non-negative and less than terminationGracePeriodSeconds (30)",
                ],
            ),
            (
                sleep(100),
                &[
                    "spec.containers[0].lifecycle.preStop.sleep: Invalid value: 100: must be non-negative and less than terminationGracePeriodSeconds (30)",
                ],
            ),
            (resize("RestartContainer"), &[]),
            (
                resize("Foo"),
                &[
                    "spec.containers[0].resizePolicy: Unsupported value: \"Foo\": supported values: \"NotRequired\", \"RestartContainer\"",
                ],
            ),
            (
                json!({ "resizePolicy": [
                    { "resourceName": "pods", "restartPolicy": "NotRequired" },
                    { "resourceName": "pods", "restartPolicy": "NotRequired" },
                ] }),
                &[
                    "spec.containers[0].resizePolicy: Unsupported value: \"pods\": supported values: \"cpu\", \"memory\"",
                    "spec.containers[0].resizePolicy[1]: Duplicate value: \"pods\"",
                    "spec.containers[0].resizePolicy: Unsupported value: \"pods\": supported values: \"cpu\", \"memory\"",
                ],
            ),
        ],
    );
    let never =
        with(pod_with(&resize("RestartContainer")), &[("spec.restartPolicy", json!("Never"))]);
    check(
        create(never),
        &[
            "spec.containers[0].resizePolicy: Invalid value: \"RestartContainer\": must be 'NotRequired' when `restartPolicy` is 'Never'",
        ],
    );
}

#[test]
fn references_to_resources_and_fields_are_checked() {
    let env = |source: Value| json!({ "env": [{ "name": "E", "valueFrom": source }] });
    let amount = |resource: &str, divisor: &str| {
        env(json!({ "resourceFieldRef": { "resource": resource, "divisor": divisor } }))
    };
    let field = |version: &str, path: &str| {
        env(json!({ "fieldRef": { "apiVersion": version, "fieldPath": path } }))
    };
    all(
        pod_with,
        &[
            (amount("limits.cpu", "1m"), &[]),
            (amount("limits.cpu", "1000m"), &[]),
            (amount("limits.memory", "1Mi"), &[]),
            (amount("limits.hugepages-2Mi", "0"), &[]),
            (
                amount("limits.cpu", "3"),
                &[
                    "spec.containers[0].env[0].valueFrom.resourceFieldRef.divisor: Invalid value: \"limits.cpu\": only divisor's values 1m and 1 are supported with the cpu resource",
                ],
            ),
            (
                amount("requests.hugepages-2Mi", "3"),
                &[
                    "spec.containers[0].env[0].valueFrom.resourceFieldRef.divisor: Invalid value: \"requests.hugepages-2Mi\": only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with the hugepages resource",
                ],
            ),
            (field("v1", "metadata.labels['a']"), &[]),
            (
                field("v2", "metadata.name"),
                &[
                    "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: \"metadata.name\": error converting fieldPath: unsupported pod version: v2",
                ],
            ),
            (
                field("v1", "spec.nodeName['a']"),
                &[
                    "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: \"spec.nodeName['a']\": error converting fieldPath: field label does not support subscript: spec.nodeName['a']",
                ],
            ),
        ],
    );
    let odd = create(pod_with(&amount("limits.cpu", "x"))).expect_err("refused");
    assert_eq!(odd.code, 400);
}

#[test]
fn huge_pages_and_foreign_resources_are_checked() {
    let limits = |limits: Value| json!({ "resources": { "limits": limits } });
    all(
        pod_with,
        &[
            (limits(json!({ "hugepages-2Mi": "4Mi", "cpu": "1" })), &[]),
            (limits(json!({ "a.test/b": "2" })), &[]),
            (
                limits(json!({ "hugepages-2Mi": "4Mi" })),
                &["spec.containers[0].resources: Forbidden: HugePages require cpu or memory"],
            ),
            (
                limits(json!({ "hugepages-2Mi": "3Mi", "cpu": "1" })),
                &[
                    "spec.containers[0].resources.limits[hugepages-2Mi]: Invalid value: \"3Mi\": 3Mi is not positive integer multiple of hugepages-2Mi",
                    "spec.containers[0].resources.requests[hugepages-2Mi]: Invalid value: \"3Mi\": 3Mi is not positive integer multiple of hugepages-2Mi",
                ],
            ),
            (
                json!({ "resources": { "requests": { "requests.a.test/b": "1" } } }),
                &[
                    "spec.containers[0].resources.requests[requests.a.test/b]: Invalid value: \"requests.a.test/b\": doesn't follow extended resource name standard",
                    "spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources",
                ],
            ),
        ],
    );
}

#[test]
fn sources_of_volumes_are_checked() {
    let volume = |source: Value| {
        let mut volume = json!({ "name": "v" });
        volume.as_object_mut().expect("map").extend(source.as_object().expect("map").clone());
        json!({ "volumes": [volume] })
    };
    let template = |metadata: Value| {
        volume(json!({ "ephemeral": { "volumeClaimTemplate": {
            "metadata": metadata,
            "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } },
        } } }))
    };
    all(
        pod_of,
        &[
            (template(json!({ "labels": { "a": "b" } })), &[]),
            (
                template(json!({ "name": "n" })),
                &[
                    "spec.volumes[0].ephemeral.volumeClaimTemplate.metadata.name: Forbidden: cannot be set",
                ],
            ),
            (
                volume(json!({ "ephemeral": {} })),
                &["spec.volumes[0].ephemeral.volumeClaimTemplate: Required value"],
            ),
            (
                volume(json!({ "ephemeral": { "volumeClaimTemplate": { "spec": {} } } })),
                &[
                    "spec.volumes[0].ephemeral.volumeClaimTemplate.spec.accessModes: Required value: at least 1 access mode is required",
                    "spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources[storage]: Required value",
                ],
            ),
            (volume(json!({ "rbd": { "monitors": ["m"], "image": "i" } })), &[]),
            (
                volume(json!({ "rbd": { "monitors": [], "image": "i" } })),
                &["spec.volumes[0].rbd.monitors: Required value"],
            ),
        ],
    );
}

#[test]
fn annotations_of_pods_are_checked() {
    let annotated = |fields: &Value| with(pod(), &[("metadata.annotations", fields.clone())]);
    let armor = "container.apparmor.security.beta.kubernetes.io/c";
    let other = "container.apparmor.security.beta.kubernetes.io/d";
    all(
        annotated,
        &[
            (
                json!({ "kubernetes.io/config.mirror": "m" }),
                &[
                    "metadata.annotations[kubernetes.io/config.mirror]: Invalid value: \"m\": must set spec.nodeName if mirror pod annotation is set",
                ],
            ),
            (json!({ armor: "localhost/p" }), &[]),
            (json!({ armor: "runtime/default" }), &[]),
            (
                json!({ armor: "foo" }),
                &[
                    "metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: Invalid value: \"foo\": invalid AppArmor profile name: \"foo\"",
                ],
            ),
            (
                json!({ other: "unconfined" }),
                &[
                    "metadata.annotations[container.apparmor.security.beta.kubernetes.io/d]: Invalid value: \"d\": container not found",
                ],
            ),
            (json!({ "seccomp.security.alpha.kubernetes.io/pod": "localhost/a" }), &[]),
            (
                json!({ "seccomp.security.alpha.kubernetes.io/pod": "foo" }),
                &[
                    "metadata.annotations.seccomp.security.alpha.kubernetes.io/pod: Invalid value: \"foo\": must be a valid seccomp profile",
                ],
            ),
            (json!({ "controller.kubernetes.io/pod-deletion-cost": "-5" }), &[]),
            (
                json!({ "controller.kubernetes.io/pod-deletion-cost": "+5" }),
                &[
                    "metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: \"+5\": must be a 32bit integer",
                ],
            ),
        ],
    );
    let mirror = with(
        annotated(&json!({ "kubernetes.io/config.mirror": "m" })),
        &[("spec.nodeName", json!("n"))],
    );
    created(mirror);
}

#[test]
fn annotations_of_the_start_stay() {
    let armor = "container.apparmor.security.beta.kubernetes.io/c";
    let old = created(with(
        pod(),
        &[
            ("metadata.annotations", json!({ armor: "unconfined", "a": "b" })),
            ("spec.nodeName", json!("n")),
        ],
    ));
    updated(&old, |new| new["metadata"]["annotations"]["a"] = "c".into());
    let at = format!("metadata.annotations[{armor}]: Forbidden: may not");
    let change = |annotations: Value| {
        update(Target::Main, &old, |new| new["metadata"]["annotations"] = annotations)
    };
    let changed = format!("{at} remove or update AppArmor annotations");
    check(change(json!({ armor: "runtime/default" })), &[changed.as_str()]);
    check(
        change(json!({ "kubernetes.io/config.mirror": "m" })),
        &[
            changed.as_str(),
            "metadata.annotations[kubernetes.io/config.mirror]: Forbidden: may not add mirror pod annotation",
        ],
    );
}

// Red when it is refused: upstream takes it, and says how it is read.
#[test]
fn a_grace_below_zero_is_told_of_and_may_become_one() {
    let old = created(pod_of(&json!({ "terminationGracePeriodSeconds": -1 })));
    assert_eq!(
        (crate::of(row(&old)).warn)(&old, None),
        [
            "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"
        ]
    );
    updated(&old, |new| new["spec"]["terminationGracePeriodSeconds"] = 1.into());
    let two =
        update(Target::Main, &old, |new| new["spec"]["terminationGracePeriodSeconds"] = 2.into());
    assert_eq!(causes(&two.expect_err("refused")).len(), 1);
}

// Red when these are errors of fields: upstream's admission looks at them, and says 403.
#[test]
fn a_new_pod_does_not_choose_its_priority() {
    let computed = "priority admission controller computed";
    let given = "from the given PriorityClass name";
    for (spec, why) in [
        (
            json!({ "priorityClassName": "nonexist" }),
            "no PriorityClass with name nonexist was found".to_owned(),
        ),
        (
            json!({ "priority": 5 }),
            format!(
                "the integer value of priority (5) must not be provided in pod spec; {computed} 0 {given}"
            ),
        ),
        (
            json!({ "preemptionPolicy": "Never" }),
            format!(
                "the string value of PreemptionPolicy (Never) must not be provided in pod spec; {computed} PreemptLowerPriority {given}"
            ),
        ),
        (
            json!({ "overhead": { "cpu": "1" } }),
            "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
                .to_owned(),
        ),
    ] {
        let status = create(pod_of(&spec)).expect_err("refused");
        assert_eq!(
            (status.code, status.message),
            (403, format!("pods \"p\" is forbidden: {why}")),
            "{spec}"
        );
    }
    check(
        create(pod_of(&json!({ "overhead": { "cpu": "-1" } }))),
        &["spec.overhead.limits[cpu]: Invalid value: \"-1\": must be greater than or equal to 0"],
    );
    let system = json!({
        "priorityClassName": "system-node-critical", "priority": 2_000_001_000,
        "preemptionPolicy": "PreemptLowerPriority",
    });
    let old = created(pod_of(&system));
    updated(&old, |new| new["metadata"]["labels"] = json!({ "a": "b" }));
}
