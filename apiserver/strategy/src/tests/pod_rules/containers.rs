//! What a container may not say: whom it runs as, what it mounts, what it asks for.

use super::*;

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
        // There is no path that it could be, but upstream takes it.
        (
            context(json!({ "seccompProfile": { "type": "Localhost", "localhostProfile": "" } })),
            &[],
        ),
        (
            context(json!({ "seccompProfile": { "type": "Localhost" } })),
            &[
                "seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost",
            ],
        ),
        (
            context(json!({ "seccompProfile": { "type": "Unconfined", "localhostProfile": "p" } })),
            &[
                "seccompProfile.localhostProfile: Invalid value: {\"Type\":\"Unconfined\",\"LocalhostProfile\":\"p\"}: can only be set when seccomp type is Localhost",
            ],
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
    let shown = "{\"Capabilities\":{\"Add\":[\"CAP_SYS_ADMIN\"],\"Drop\":null},\"Privileged\":true,\"SELinuxOptions\":{\"User\":\"\",\"Role\":\"\",\"Type\":\"\",\"Level\":\"s0\"},\"WindowsOptions\":null,\"RunAsUser\":null,\"RunAsGroup\":null,\"RunAsNonRoot\":null,\"ReadOnlyRootFilesystem\":null,\"AllowPrivilegeEscalation\":false,\"ProcMount\":null,\"SeccompProfile\":{\"Type\":\"RuntimeDefault\",\"LocalhostProfile\":null},\"AppArmorProfile\":null}";
    check(
        create(pod_with(&context(json!({
            "capabilities": { "add": ["CAP_SYS_ADMIN"] }, "privileged": true, "allowPrivilegeEscalation": false,
            "seLinuxOptions": { "level": "s0" }, "seccompProfile": { "type": "RuntimeDefault" },
        })))),
        &[
            &format!(
                "spec.containers[0].securityContext: Invalid value: {shown}: cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            ),
            &format!(
                "spec.containers[0].securityContext: Invalid value: {shown}: cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            ),
        ],
    );
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
            "spec.containers[0].resizePolicy: Invalid value: \"RestartContainer\": must be 'NotRequired' when pod `restartPolicy` is 'Never'",
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
