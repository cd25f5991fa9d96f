//! What each control of PodSecurity lets in and refuses, in every release; and what is told of it.

use std::ops::Range;

use leme_registry::User;

use super::*;
use crate::pod_security::{Level, LevelVersion, Pod, Version, details, violations};
use crate::{Config, Settings};

const EVER: Range<i64> = 0..99;
const NEVER: Range<i64> = 0..0;

const fn since(minor: i64) -> Range<i64> {
    minor..99
}

const fn until(minor: i64) -> Range<i64> {
    0..minor
}

/// A pod that every level of every release lets in.
fn hardened() -> Value {
    let container = |name| {
        json!({ "name": name, "image": "i", "securityContext": {
            "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } } })
    };
    let mut pod = pod();
    pod["spec"] = json!({
        "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
        "containers": [container("a"), container("b")], "initContainers": [container("i")],
    });
    pod
}

/// What a case changes.
enum Of {
    Spec,
    Pod,
    A,
    I,
    Annotations,
}
use Of::{A, Annotations, I, Spec};

/// What a merge of something into a part of the pod comes to: refused by which releases of baseline and of restricted,
/// and the words of the last that does.
type Case = (Of, Value, Range<i64>, Range<i64>, &'static str);

fn changed(of: &Of, change: &Value) -> Value {
    let mut pod = hardened();
    let at = match of {
        Spec => "/spec",
        Of::Pod => "/spec/securityContext",
        A => "/spec/containers/0",
        I => "/spec/initContainers/0",
        Annotations => {
            pod["metadata"]["annotations"] = json!({});
            "/metadata/annotations"
        }
    };
    let part = pod.pointer_mut(at).expect("part");
    *part = leme_meta::patch::merge(part, change);
    pod
}

fn context(of: Value) -> Value {
    json!({ "securityContext": of })
}

/// What makes nothing else of a pod than the host allows.
fn of_baseline() -> Vec<Case> {
    let ports = |one: u16, two: u16| json!({ "ports": [{ "hostPort": one }, { "hostPort": two }] });
    let linux = |field: &str, text: &str| json!({ "seLinuxOptions": { field: text } });
    let apparmor = "container.apparmor.security.beta.kubernetes.io/a";
    vec![
        (Of::Pod, json!({ "appArmorProfile": { "type": "Localhost" } }), NEVER, NEVER, ""),
        (
            Of::Pod,
            json!({ "appArmorProfile": { "type": "Unconfined" } }),
            EVER,
            EVER,
            "forbidden AppArmor profile (pod must not set AppArmor profile type to \"Unconfined\")",
        ),
        (
            I,
            context(json!({ "appArmorProfile": { "type": "Unconfined" } })),
            EVER,
            EVER,
            "forbidden AppArmor profile (container \"i\" must not set AppArmor profile type to \"Unconfined\")",
        ),
        (Annotations, json!({ apparmor: "localhost/x" }), NEVER, NEVER, ""),
        (Annotations, json!({ apparmor: "runtime/default" }), NEVER, NEVER, ""),
        (
            Annotations,
            json!({ apparmor: "unconfined" }),
            EVER,
            EVER,
            "forbidden AppArmor profile (annotation must not set AppArmor profile type to \"container.apparmor.security.beta.kubernetes.io/a=\"unconfined\"\")",
        ),
        (
            A,
            context(json!({ "capabilities": { "add": ["CHOWN", "KILL"] } })),
            NEVER,
            since(22),
            "unrestricted capabilities (container \"a\" must not include \"CHOWN\", \"KILL\" in securityContext.capabilities.add)",
        ),
        (A, context(json!({ "capabilities": { "add": ["NET_BIND_SERVICE"] } })), NEVER, NEVER, ""),
        (
            I,
            context(json!({ "capabilities": { "add": ["NET_RAW"] } })),
            EVER,
            EVER,
            "unrestricted capabilities (container \"i\" must not include \"NET_RAW\" in securityContext.capabilities.add)",
        ),
        (
            Spec,
            json!({ "hostNetwork": true, "hostPID": true, "hostIPC": true }),
            EVER,
            EVER,
            "host namespaces (hostNetwork=true, hostPID=true, hostIPC=true)",
        ),
        (Spec, json!({ "hostNetwork": false, "hostPID": false }), NEVER, NEVER, ""),
        (
            Spec,
            json!({ "volumes": [{ "name": "v", "hostPath": { "path": "/" } }, { "name": "w", "hostPath": {} }] }),
            EVER,
            EVER,
            "restricted volume types (volumes \"v\", \"w\" use restricted volume type \"hostPath\")",
        ),
        (A, ports(80, 8080), EVER, EVER, "hostPort (container \"a\" uses hostPorts 80, 8080)"),
        (I, ports(0, 0), NEVER, NEVER, ""),
        (
            A,
            json!({ "livenessProbe": { "httpGet": { "host": "x" } } }),
            since(34),
            since(34),
            "probe or lifecycle host (container \"a\" uses probe or lifecycle host \"x\")",
        ),
        (
            A,
            json!({ "readinessProbe": { "tcpSocket": { "host": "x" } } }),
            since(34),
            since(34),
            "probe or lifecycle host (container \"a\" uses probe or lifecycle host \"x\")",
        ),
        (
            I,
            json!({ "startupProbe": { "tcpSocket": { "host": "x" } } }),
            since(34),
            since(34),
            "probe or lifecycle host (container \"i\" uses probe or lifecycle host \"x\")",
        ),
        (
            A,
            json!({ "lifecycle": { "preStop": { "httpGet": { "host": "y" } }, "postStart": { "httpGet": { "host": "x" } } } }),
            since(34),
            since(34),
            "probe or lifecycle host (container \"a\" uses probe or lifecycle hosts \"x\", \"y\")",
        ),
        (A, json!({ "livenessProbe": { "httpGet": { "host": "" } } }), NEVER, NEVER, ""),
        (
            A,
            context(json!({ "privileged": true })),
            EVER,
            EVER,
            "privileged (container \"a\" must not set securityContext.privileged=true)",
        ),
        (A, context(json!({ "privileged": false, "procMount": "Default" })), NEVER, NEVER, ""),
        (
            A,
            context(json!({ "procMount": "Unmasked" })),
            EVER,
            EVER,
            "procMount (container \"a\" must not set securityContext.procMount to \"Unmasked\")",
        ),
        (
            Spec,
            json!({ "hostUsers": false, "containers": [{ "name": "a", "securityContext": { "procMount": "Unmasked", "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } } }] }),
            until(35),
            EVER,
            "procMount (container \"a\" must not set securityContext.procMount to \"Unmasked\")",
        ),
        (Of::Pod, linux("type", "container_kvm_t"), NEVER, NEVER, ""),
        (
            Of::Pod,
            linux("type", "container_engine_t"),
            until(31),
            until(31),
            "seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type \"container_engine_t\")",
        ),
        (
            A,
            context(linux("type", "spc_t")),
            EVER,
            EVER,
            "seLinuxOptions (container \"a\" set forbidden securityContext.seLinuxOptions: type \"spc_t\")",
        ),
        (
            Of::Pod,
            json!({ "seLinuxOptions": { "user": "u", "role": "r" } }),
            EVER,
            EVER,
            "seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: user may not be set; role may not be set)",
        ),
        (
            Annotations,
            json!({ "seccomp.security.alpha.kubernetes.io/pod": "unconfined", "container.seccomp.security.alpha.kubernetes.io/a": "x" }),
            until(19),
            until(19),
            "seccompProfile (forbidden annotations container.seccomp.security.alpha.kubernetes.io/a=\"x\", seccomp.security.alpha.kubernetes.io/pod=\"unconfined\")",
        ),
        (
            Annotations,
            json!({ "seccomp.security.alpha.kubernetes.io/pod": "docker/default" }),
            NEVER,
            NEVER,
            "",
        ),
        (
            Of::Pod,
            json!({ "seccompProfile": { "type": "Unconfined" } }),
            since(19),
            since(19),
            "seccompProfile (pod must not set securityContext.seccompProfile.type to \"Unconfined\")",
        ),
        (
            A,
            context(json!({ "seccompProfile": { "type": "Unconfined" } })),
            since(19),
            since(19),
            "seccompProfile (container \"a\" must not set securityContext.seccompProfile.type to \"Unconfined\")",
        ),
        (Of::Pod, json!({ "sysctls": [{ "name": "net.ipv4.tcp_syncookies" }] }), NEVER, NEVER, ""),
        (
            Of::Pod,
            json!({ "sysctls": [{ "name": "net.ipv4.ip_local_reserved_ports" }] }),
            until(27),
            until(27),
            "forbidden sysctls (net.ipv4.ip_local_reserved_ports)",
        ),
        (
            Of::Pod,
            json!({ "sysctls": [{ "name": "net.ipv4.tcp_keepalive_probes" }] }),
            until(29),
            until(29),
            "forbidden sysctls (net.ipv4.tcp_keepalive_probes)",
        ),
        (
            Of::Pod,
            json!({ "sysctls": [{ "name": "net.ipv4.tcp_wmem" }] }),
            until(32),
            until(32),
            "forbidden sysctls (net.ipv4.tcp_wmem)",
        ),
        (
            Of::Pod,
            json!({ "sysctls": [{ "name": "b" }, { "name": "a" }] }),
            EVER,
            EVER,
            "forbidden sysctls (b, a)",
        ),
        (
            Of::Pod,
            json!({ "windowsOptions": { "hostProcess": true } }),
            EVER,
            EVER,
            "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)",
        ),
        (A, context(json!({ "windowsOptions": { "hostProcess": false } })), NEVER, NEVER, ""),
    ]
}

/// What hardened programs do without.
fn of_restricted() -> Vec<Case> {
    let windows = json!({ "name": "windows" });
    let bare = json!([{ "name": "a" }]);
    vec![
        (
            A,
            context(json!({ "allowPrivilegeEscalation": true })),
            NEVER,
            since(8),
            "allowPrivilegeEscalation != false (container \"a\" must set securityContext.allowPrivilegeEscalation=false)",
        ),
        (
            I,
            context(json!({ "allowPrivilegeEscalation": null })),
            NEVER,
            since(8),
            "allowPrivilegeEscalation != false (container \"i\" must set securityContext.allowPrivilegeEscalation=false)",
        ),
        (
            Spec,
            json!({ "os": windows, "containers": bare, "securityContext": { "seccompProfile": null } }),
            NEVER,
            8..25,
            "allowPrivilegeEscalation != false (container \"a\" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container \"a\" must set securityContext.capabilities.drop=[\"ALL\"]), seccompProfile (pod or containers \"i\", \"a\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")",
        ),
        (
            A,
            context(json!({ "capabilities": null })),
            NEVER,
            since(22),
            "unrestricted capabilities (container \"a\" must set securityContext.capabilities.drop=[\"ALL\"])",
        ),
        (
            A,
            context(json!({ "capabilities": { "drop": ["NET_RAW"], "add": ["CHOWN"] } })),
            NEVER,
            since(22),
            "unrestricted capabilities (container \"a\" must set securityContext.capabilities.drop=[\"ALL\"]; container \"a\" must not include \"CHOWN\" in securityContext.capabilities.add)",
        ),
        (
            Spec,
            json!({ "volumes": [{ "name": "v", "nfs": {} }, { "name": "w", "x": {} }] }),
            NEVER,
            EVER,
            "restricted volume types (volumes \"v\", \"w\" use restricted volume types \"nfs\", \"unknown\")",
        ),
        (
            Spec,
            json!({ "volumes": [{ "name": "a", "configMap": {} }, { "name": "b", "csi": {} }, { "name": "c", "emptyDir": {} }, { "name": "d", "image": {} }, { "name": "e", "ephemeral": {} }] }),
            NEVER,
            NEVER,
            "",
        ),
        (
            Of::Pod,
            json!({ "runAsNonRoot": null }),
            NEVER,
            EVER,
            "runAsNonRoot != true (pod or containers \"i\", \"a\", \"b\" must set securityContext.runAsNonRoot=true)",
        ),
        (
            Of::Pod,
            json!({ "runAsNonRoot": false }),
            NEVER,
            EVER,
            "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)",
        ),
        (
            A,
            context(json!({ "runAsNonRoot": false })),
            NEVER,
            EVER,
            "runAsNonRoot != true (container \"a\" must not set securityContext.runAsNonRoot=false)",
        ),
        (
            Spec,
            json!({ "hostUsers": false, "securityContext": { "runAsNonRoot": false } }),
            NEVER,
            until(35),
            "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)",
        ),
        (
            Of::Pod,
            json!({ "runAsUser": 0 }),
            NEVER,
            since(23),
            "runAsUser=0 (pod must not set runAsUser=0)",
        ),
        (
            A,
            context(json!({ "runAsUser": 0 })),
            NEVER,
            since(23),
            "runAsUser=0 (container \"a\" must not set runAsUser=0)",
        ),
        (A, context(json!({ "runAsUser": 1000 })), NEVER, NEVER, ""),
        (
            Spec,
            json!({ "hostUsers": false, "securityContext": { "runAsUser": 0 } }),
            NEVER,
            23..35,
            "runAsUser=0 (pod must not set runAsUser=0)",
        ),
        (
            Of::Pod,
            json!({ "seccompProfile": null }),
            NEVER,
            since(19),
            "seccompProfile (pod or containers \"i\", \"a\", \"b\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")",
        ),
        (A, context(json!({ "seccompProfile": { "type": "Localhost" } })), NEVER, NEVER, ""),
        (
            Spec,
            json!({ "ephemeralContainers": [{ "name": "e" }] }),
            NEVER,
            since(8),
            "allowPrivilegeEscalation != false (container \"e\" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container \"e\" must set securityContext.capabilities.drop=[\"ALL\"])",
        ),
    ]
}

#[test]
fn every_control_in_every_release() {
    for (of, change, baseline, restricted, words) in
        of_baseline().into_iter().chain(of_restricted())
    {
        let pod = changed(&of, &change);
        let mut last = String::new();
        for (level, refused) in [(Level::Baseline, &baseline), (Level::Restricted, &restricted)] {
            for minor in 0..40 {
                let asks = LevelVersion { level, version: Version::Minor(minor) };
                let found = details(&violations(asks, &Pod::of(&pod)));
                assert_eq!(
                    !found.is_empty(),
                    refused.contains(&minor),
                    "{asks}: {change}: {found}"
                );
                if !found.is_empty() {
                    last = found;
                }
            }
        }
        let latest = LevelVersion { level: Level::Restricted, version: Version::Latest };
        let found = details(&violations(latest, &Pod::of(&pod)));
        assert_eq!(found.is_empty(), !restricted.contains(&39), "{change}");
        assert_eq!(last, words, "{change}");
    }
    let privileged = LevelVersion { level: Level::Privileged, version: Version::Latest };
    let pod = changed(&Spec, &json!({ "hostNetwork": true }));
    assert!(violations(privileged, &Pod::of(&pod)).is_empty());
}

fn labelled(labels: &Value) -> Value {
    let labels = labels.as_object().expect("labels").iter();
    let labels: serde_json::Map<String, Value> = labels
        .map(|(key, value)| (format!("pod-security.kubernetes.io/{key}"), value.clone()))
        .collect();
    let mut namespace = namespace("ns");
    namespace["metadata"]["labels"] = labels.into();
    namespace
}

/// What is told of a write among objects, and whether it is refused.
fn told(
    objects: &[Value],
    settings: &Settings,
    (subresource, new, old): (&str, &Value, Option<&Value>),
) -> Result<Vec<String>, String> {
    let (groups, extra) = (["system:authenticated".to_owned()], BTreeMap::new());
    let user = User { name: "jo", uid: "", groups: &groups, extra: &extra };
    let operation = if old.is_some() { Operation::Update } else { Operation::Create };
    let asked = Asked { user: Some(user), subresource, ..asked(operation, new) };
    let off = ["ServiceAccount", "NamespaceLifecycle", "RuntimeClass"];
    let config = Config { off: off.to_vec(), settings: settings.clone(), ..Config::default() };
    let chain = Chain::of(Objects::of(objects), &config);
    chain.validate(&asked, Some(new), old).map_err(|status| status.message)?;
    Ok(chain.warnings(&asked, new, old))
}

fn host_network() -> Value {
    changed(&Spec, &json!({ "hostNetwork": true }))
}

const WORDS: &str = "host namespaces (hostNetwork=true)";

#[test]
fn labels_say_what_is_refused_and_what_is_warned_of() {
    let made =
        |labels: Value, new: &Value| told(&[labelled(&labels)], &Settings::NONE, ("", new, None));
    let pod = host_network();
    let refused =
        |at: &str| Err(format!("pods \"p\" is forbidden: violates PodSecurity \"{at}\": {WORDS}"));
    let warned = |at: &str| Ok(vec![format!("would violate PodSecurity \"{at}\": {WORDS}")]);
    assert_eq!(made(json!({}), &pod), Ok(vec![]));
    assert_eq!(made(json!({ "enforce": "privileged", "audit": "restricted" }), &pod), Ok(vec![]));
    assert_eq!(made(json!({ "enforce": "baseline" }), &pod), refused("baseline:latest"));
    let old = json!({ "enforce": "restricted", "enforce-version": "v1.20" });
    assert_eq!(made(old, &pod), refused("restricted:v1.20"));
    assert_eq!(
        made(json!({ "warn": "baseline", "warn-version": "v1.3" }), &pod),
        warned("baseline:v1.3")
    );
    assert_eq!(made(json!({ "enforce": "baseline" }), &hardened()), Ok(vec![]));
    // What cannot be read asks for everything of pods, and warns of nothing.
    assert_eq!(made(json!({ "enforce": "x" }), &pod), refused("restricted:latest"));
    assert_eq!(made(json!({ "warn": "x" }), &pod), Ok(vec![]));
    // What makes pods is warned of as is enforced, and never refused.
    let mut template =
        json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "d" } });
    template["spec"]["template"] = pod;
    let old = json!({ "enforce": "baseline", "enforce-version": "v1.9" });
    assert_eq!(made(old, &template), warned("baseline:v1.9"));
    assert_eq!(made(json!({ "enforce": "baseline", "warn": "privileged" }), &template), Ok(vec![]));
    let controller = json!({ "apiVersion": "v1", "kind": "ReplicationController", "metadata": { "name": "r" }, "spec": {} });
    assert_eq!(made(json!({ "enforce": "baseline" }), &controller), Ok(vec![]));
}

#[test]
fn a_pod_that_changes_is_asked_again_where_it_matters() {
    let at = [labelled(&json!({ "enforce": "baseline", "warn": "restricted" }))];
    let changed = |below: &str, part: &str, value: Value| {
        let (mut old, mut new) = (host_network(), host_network());
        old["spec"]["ephemeralContainers"] = json!([{ "name": "e", "image": "i" }]);
        new["spec"]["ephemeralContainers"] = json!([{ "name": "e", "image": "i" }]);
        *new.pointer_mut(part).expect("part") = value;
        told(&at, &Settings::NONE, (below, &new, Some(&old))).map_err(|_| ())
    };
    assert_eq!(changed("", "/metadata/name", "q".into()), Ok(vec![]));
    assert_eq!(changed("", "/spec/containers/0/image", "j".into()), Err(()));
    assert_eq!(changed("status", "/spec/containers/0/image", "j".into()), Ok(vec![]));
    assert_eq!(changed("resize", "/spec/containers/0/name", "j".into()), Ok(vec![]));
    let more = json!([{ "name": "f", "image": "i" }, { "name": "e", "image": "i" }]);
    assert_eq!(changed("ephemeralcontainers", "/spec/ephemeralContainers", more), Err(()));
    assert_eq!(
        changed("ephemeralcontainers", "/spec/ephemeralContainers/0/image", "j".into()),
        Err(())
    );
    assert_eq!(changed("ephemeralcontainers", "/spec/ephemeralContainers", json!([])), Ok(vec![]));
}

#[test]
fn labels_are_read_before_they_are_kept() {
    let written = |new: Value, old: Option<Value>| {
        let (new, old) = (labelled(&new), old.map(|old| labelled(&old)));
        told(&[], &Settings::NONE, ("", &new, old.as_ref()))
    };
    let bad = json!({ "enforce": "strict", "warn-version": "v1.01" });
    let refused = Err("Namespace \"ns\" is invalid: [metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"strict\": must be one of privileged, baseline, restricted, metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value: \"v1.01\": must be \"latest\" or \"v1.x\"]".to_owned());
    assert_eq!(written(bad.clone(), None), refused);
    assert_eq!(written(bad.clone(), Some(json!({}))), refused);
    // What was wrong before keeps nobody from writing something else.
    assert_eq!(written(bad.clone(), Some(bad)), Ok(vec![]));
    assert_eq!(
        written(json!({ "audit": "restricted", "audit-version": "v1.99" }), None),
        Ok(vec![])
    );
}

#[test]
fn a_namespace_that_asks_for_more_tells_of_the_pods_that_are_there() {
    let named = |name: &str, mut pod: Value| {
        pod["metadata"]["name"] = name.into();
        pod
    };
    let bare = changed(&Of::Pod, &json!({ "runAsNonRoot": null }));
    let pods = [
        named("c", host_network()),
        named("a", bare.clone()),
        named("b", bare),
        named("d", hardened()),
    ];
    let changed = |old: Value, new: Value, settings: &Settings| {
        let (old, new) = (labelled(&old), labelled(&new));
        told(&pods, settings, ("", &new, Some(&old))).expect("let in")
    };
    let asks = |old, new| changed(old, new, &Settings::NONE);
    let found = [
        "existing pods in namespace \"ns\" violate the new PodSecurity enforce level \"restricted:latest\"",
        "a (and 1 other pod): runAsNonRoot != true",
        "c: host namespaces",
    ];
    let restricted = || json!({ "enforce": "restricted" });
    assert_eq!(asks(json!({}), restricted()), found);
    assert_eq!(asks(json!({ "enforce": "baseline" }), restricted()), found);
    assert_eq!(asks(restricted(), json!({ "enforce": "baseline" })), [""; 0]);
    assert_eq!(asks(restricted(), restricted()), [""; 0]);
    assert_eq!(
        asks(restricted(), json!({ "enforce": "privileged", "enforce-version": "v1.1" })),
        [""; 0]
    );
    let other = asks(restricted(), json!({ "enforce": "baseline", "enforce-version": "v1.30" }));
    assert_eq!(other[1..], ["c: host namespaces"]);
    let mut exempt = Settings::NONE;
    exempt.pod_security.namespaces.push("ns".to_owned());
    let words = "namespace \"ns\" is exempt from Pod Security, and the policy (enforce=restricted:latest, warn=baseline:latest) will be ignored";
    let both = json!({ "enforce": "restricted", "warn": "baseline" });
    assert_eq!(changed(json!({}), both, &exempt), [words]);
}

#[test]
fn some_are_exempt_and_some_are_asked_for_more_by_default() {
    let (at, mut pod) = ([labelled(&json!({ "enforce": "baseline" }))], host_network());
    pod["spec"]["runtimeClassName"] = "vm".into();
    let passes = |change: fn(&mut crate::pod_security::Settings)| {
        let mut settings = Settings::NONE;
        change(&mut settings.pod_security);
        told(&at, &settings, ("", &pod, None)).is_ok()
    };
    assert!(!passes(|_| ()));
    assert!(passes(|settings| settings.users.push("jo".to_owned())));
    assert!(passes(|settings| settings.runtime_classes.push("vm".to_owned())));
    assert!(passes(|settings| settings.namespaces.push("ns".to_owned())));
    assert!(!passes(|settings| settings.namespaces.push("other".to_owned())));
    let mut settings = Settings::NONE;
    settings.pod_security.defaults.enforce.level = Level::Restricted;
    let refused = told(&[namespace("ns")], &settings, ("", &pod, None)).unwrap_err();
    assert!(
        refused.ends_with(&format!("violates PodSecurity \"restricted:latest\": {WORDS}")),
        "{refused}"
    );
}
