//! One row for each field that is refused; each row was red before its rule stood.

use serde_json::{Value, json};

use super::*;

fn pod(spec: Value) -> Pod {
    let mut spec = spec;
    if spec["containers"].is_null() {
        spec["containers"] = json!([{"name": "c", "image": "i"}]);
    }
    serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "n"}, "spec": spec}))
        .unwrap()
}

fn refused(spec: Value, reason: &str, words: &str) {
    let shown = spec.to_string();
    match check(&pod(spec), &Policy { selinux: true, ..Policy::default() }) {
        Err(refusal) => {
            assert_eq!(refusal.reason, reason, "{shown}");
            assert!(refusal.message.contains(words), "{shown}: {}", refusal.message);
        }
        Ok(()) => panic!("{shown} is carried out"),
    }
}

fn unsupported(spec: Value, field: &str) {
    let words = format!("Pod requires node features that are not available: {field} (");
    refused(spec, UNSUPPORTED, &words);
}

/// A spec whose only container has this besides.
fn with(more: Value) -> Value {
    let mut container = json!({"name": "c", "image": "i"});
    container.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"containers": [container]})
}

#[test]
fn fields_of_the_pod() {
    unsupported(json!({"hostPID": true}), "spec.hostPID");
    unsupported(json!({"hostIPC": true}), "spec.hostIPC");
    unsupported(json!({"hostnameOverride": "h"}), "spec.hostnameOverride");
    unsupported(json!({"schedulingGroup": {"podGroupName": "g"}}), "spec.schedulingGroup");
    unsupported(json!({"runtimeClassName": "gvisor"}), "spec.runtimeClassName");
    unsupported(json!({"resourceClaims": [{"name": "gpu"}]}), "spec.resourceClaims");
    let whole = json!({"resources": {"limits": {"cpu": "1"}}});
    refused(whole, "PodLevelResourcesNotSupported", "spec.resources");
    refused(json!({"os": {"name": "windows"}}), "PodOSNotSupported", "OS field");
}

#[test]
fn fields_of_containers() {
    let at = "spec.containers[0]";
    let field = |more, name: &str| unsupported(with(more), &format!("{at}.{name}"));
    field(json!({"volumeDevices": [{"name": "v", "devicePath": "/dev/v"}]}), "volumeDevices");
    let rule =
        |action: &str| json!({"action": action, "exitCodes": {"operator": "In", "values": [1]}});
    let ruled = |rules: Value| json!({"restartPolicy": "Never", "restartPolicyRules": rules});
    field(
        ruled(json!([rule("Restart"), rule("RestartAllContainers")])),
        "restartPolicyRules[1].action",
    );
    let carried_out = pod(with(ruled(json!([rule("Restart")]))));
    assert_eq!(check(&carried_out, &Policy::default()), Ok(()));
    let file = json!({"fileKeyRef": {"volumeName": "v", "path": "p", "key": "k"}});
    field(json!({"env": [{"name": "E", "valueFrom": file}]}), "env[E].valueFrom.fileKeyRef");
    field(json!({"lifecycle": {"stopSignal": "SIGUSR1"}}), "lifecycle.stopSignal");
    field(json!({"resources": {"claims": [{"name": "gpu"}]}}), "resources.claims");
    field(
        json!({"resources": {"limits": {"hugepages-2Mi": "4Mi", "memory": "1Mi"}}}),
        "resources.limits[hugepages-2Mi]",
    );
    field(
        json!({"volumeMounts": [{"name": "v", "mountPath": "/v"},
            {"name": "v", "mountPath": "/w", "readOnly": true, "recursiveReadOnly": "Enabled"}]}),
        "volumeMounts[1].recursiveReadOnly",
    );
    let init = |policy: &str| json!({"initContainers": [{"name": "a", "restartPolicy": policy}]});
    for policy in ["Always", "OnFailure", "Never"] {
        assert_eq!(check(&pod(init(policy)), &Policy::default()), Ok(()));
    }
}

#[test]
fn security_contexts_of_pod_and_container_alike() {
    let both = |context: Value, reason: &str, words: &str| {
        for (spec, at) in [
            (json!({"securityContext": context}), "spec.securityContext"),
            (with(json!({"securityContext": context})), "spec.containers[0].securityContext"),
            (
                json!({"initContainers": [{"name": "a", "securityContext": context}]}),
                "spec.initContainers[0].securityContext",
            ),
        ] {
            refused(spec.clone(), reason, words);
            refused(spec, reason, at);
        }
    };
    both(json!({"seLinuxOptions": {"level": "s0"}}), UNSUPPORTED, "seLinuxOptions");
    both(json!({"windowsOptions": {"hostProcess": true}}), UNSUPPORTED, "windowsOptions");
    for kind in ["RuntimeDefault", "Localhost"] {
        let words = "Cannot enforce AppArmor: AppArmor is not enabled on the host";
        both(json!({"appArmorProfile": {"type": kind}}), "AppArmor", words);
    }
    for profile in
        [json!({"type": "Localhost"}), json!({"type": "Localhost", "localhostProfile": ""})]
    {
        let words = "localhostProfile must be set if seccompProfile type is Localhost";
        both(json!({"seccompProfile": profile}), UNSUPPORTED, words);
    }
    both(json!({"seccompProfile": {"type": "Audit"}}), UNSUPPORTED, "seccompProfile.type");
    unsupported(
        with(json!({"securityContext": {"procMount": "Unmasked"}})),
        "spec.containers[0].securityContext.procMount",
    );
    refused(
        json!({"securityContext": {"supplementalGroupsPolicy": "Strict"}}),
        "SupplementalGroupsPolicyNotSupported",
        "SupplementalGroupsPolicy=Strict is not supported in this node",
    );
    let mut annotated = pod(json!({}));
    let name = "container.apparmor.security.beta.kubernetes.io/c".to_owned();
    annotated.metadata.annotations = Some([(name, "localhost/tight".to_owned())].into());
    assert_eq!(check(&annotated, &Policy::default()).unwrap_err().reason, "AppArmor");
}

#[test]
fn volumes_without_a_plugin() {
    for (source, field) in [
        (json!({"nfs": {"server": "s", "path": "/"}}), "nfs"),
        (json!({"iscsi": {"targetPortal": "p", "iqn": "i", "lun": 0}}), "iscsi"),
        (json!({"gitRepo": {"repository": "r"}}), "gitRepo"),
        (json!({"image": {"reference": "r"}}), "image"),
        (json!({"ephemeral": {}}), "ephemeral"),
        (json!({"emptyDir": {"medium": "HugePages"}}), "emptyDir.medium"),
        (
            json!({"projected": {"sources": [{"configMap": {"name": "m"}},
                {"clusterTrustBundle": {"path": "p"}}]}}),
            "projected.sources[1].clusterTrustBundle",
        ),
    ] {
        let mut volume = json!({"name": "v"});
        volume.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
        unsupported(json!({"volumes": [volume]}), &format!("spec.volumes[v].{field}"));
    }
}

#[test]
fn sysctls_are_safe_or_allowed() {
    let with = |name: &str, host_network: bool| {
        pod(json!({"hostNetwork": host_network,
            "securityContext": {"sysctls": [{"name": name, "value": "1"}]}}))
    };
    let policy = |list: &[&str]| Policy {
        unsafe_sysctls: list.iter().map(|name| (*name).to_owned()).collect(),
        ..Policy::default()
    };
    let verdict = |pod: &Pod, policy: &Policy| check(pod, policy).err().map(|r| r.message);
    let none = Policy::default();
    for safe in ["kernel.shm_rmid_forced", "net.ipv4.tcp_syncookies", "net/ipv4/tcp_syncookies"] {
        assert_eq!(verdict(&with(safe, false), &none), None, "{safe}");
    }
    for forbidden in ["net.ipv4.ip_forward", "kernel.msgmax", "kernel.shm_rmid_forced2", "vm.x"] {
        let pod = with(forbidden, false);
        let want = format!("forbidden sysctl: {forbidden:?} not allowlisted");
        assert_eq!(check(&pod, &none).unwrap_err().reason, "SysctlForbidden");
        assert_eq!(verdict(&pod, &none), Some(want));
    }
    let open = policy(&["kernel.msg*", "net.ipv4.ip_forward"]);
    assert_eq!(verdict(&with("kernel.msgmax", false), &open), None);
    assert_eq!(verdict(&with("net.ipv4.ip_forward", false), &open), None);
    assert!(verdict(&with("net.ipv4.ip_forward2", false), &open).is_some());
    let shared = verdict(&with("net.ipv4.tcp_syncookies", true), &none).unwrap();
    assert!(shared.contains("not allowed with host net enabled"), "{shared}");
}

#[test]
fn only_a_pod_s_own_sysctls_can_be_allowed() {
    let allow = |name: &str| Policy::new(vec![name.to_owned()]);
    for name in ["net.*", "net/ipv4/ip_forward", "kernel.sem", "kernel.msg*", "fs.mqueue.*"] {
        assert!(allow(name).is_ok(), "{name}");
    }
    for name in ["*", "kernel.*", "vm.swappiness", "kernel.semaphore", "network"] {
        assert!(allow(name).unwrap_err().contains("not known to be namespaced"), "{name}");
    }
}

/// `/proc` as it is shows nothing of the node to who is nobody there.
#[test]
fn a_pod_with_users_of_its_own_may_see_all_of_proc() {
    let mut spec = with(json!({"securityContext": {"procMount": "Unmasked"}}));
    spec["hostUsers"] = json!(false);
    assert_eq!(check(&pod(spec), &Policy::default()), Ok(()));
}

/// What people write every day.
#[test]
fn ordinary_pods_run() {
    let spec = json!({
        "hostUsers": true, "hostPID": false, "os": {"name": "linux"}, "runtimeClassName": "",
        "resources": {}, "shareProcessNamespace": true, "hostNetwork": false, "serviceAccountName": "default",
        // Refused only where SELinux is on.
        "securityContext": {"runAsNonRoot": true, "fsGroup": 5, "supplementalGroupsPolicy": "Merge",
            "seLinuxOptions": {"level": "s0"},
            "seccompProfile": {"type": "RuntimeDefault"},
            "appArmorProfile": {"type": "Unconfined"}},
        "volumes": [{"name": "a", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
            {"name": "b"}, {"name": "c", "configMap": {"name": "m"}},
            {"name": "d", "persistentVolumeClaim": {"claimName": "c"}}],
        "initContainers": [{"name": "a", "restartPolicy": "Always"}],
        "containers": [{"name": "c",
            "resources": {"limits": {"cpu": "1", "memory": "1Mi", "hugepages-2Mi": "0",
                "example.com/gpu": "1"}},
            "ports": [{"containerPort": 80}],
            "securityContext": {"privileged": true, "procMount": "Default",
                "seccompProfile": {"type": "Localhost", "localhostProfile": "team/app.json"}},
            "volumeMounts": [{"name": "a", "mountPath": "/a", "recursiveReadOnly": "IfPossible"}],
            "lifecycle": {"preStop": {"sleep": {"seconds": 1}}}}]});
    assert_eq!(check(&pod(spec), &Policy::default()), Ok(()));
    assert_eq!(check(&Pod::default(), &Policy::default()), Ok(()));
}
