//! Pods that are refused for one field, and the same field as it is accepted.

mod containers;
mod disks;
mod fields;
mod labels;
mod placement;
mod projected;
mod volumes;
mod whole;

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
            (
                json!({ "dnsConfig": { "nameservers": ["192.0.02.1", "::ffff:192.0.2.1", "x"] } }),
                &[
                    "spec.dnsConfig.nameservers[0]: Invalid value: \"192.0.02.1\": must not have leading 0s",
                    "spec.dnsConfig.nameservers[1]: Invalid value: \"::ffff:192.0.2.1\": must not be an IPv4-mapped IPv6 address",
                    "spec.dnsConfig.nameservers[2]: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
                ],
            ),
            (json!({ "hostAliases": [{ "ip": "192.0.2.1", "hostnames": ["a.test"] }] }), &[]),
            (
                json!({ "hostAliases": [{ "ip": "192.0.02.1" }] }),
                &[
                    "spec.hostAliases[0].ip: Invalid value: \"192.0.02.1\": must not have leading 0s",
                ],
            ),
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
                    "spec.hostNetwork: Forbidden: when `hostUsers` is false",
                    "spec.HostPID: Forbidden: when `hostUsers` is false",
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
