//! The controls of the level `baseline`: nothing that leads out of a pod by a known way.
//!
//! Knows: the fields that do, and the values of them that do not. Refuses to know: which control counts where.

use std::collections::BTreeSet;

use leme_meta::quote;
use leme_registry::json;
use serde_json::Value;

use super::checks::{Pod, Violation, containers, plural, quoted, setters};

/// What of the security of a pod or a container is said.
fn context<'a>(of: &'a Value, path: &[&str]) -> Option<&'a Value> {
    json::at(of, &["securityContext"]).and_then(|context| json::at(context, path))
}

fn context_text<'a>(of: &'a Value, path: &[&str]) -> &'a str {
    context(of, path).and_then(Value::as_str).unwrap_or("")
}

fn context_flag(of: &Value, path: &[&str]) -> bool {
    context(of, path).and_then(Value::as_bool).unwrap_or(false)
}

const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Only profiles of AppArmor that confine, by fields and by the older annotations.
pub(super) fn app_armor(pod: &Pod) -> Option<Violation> {
    let bad = |of: &Value| {
        let profile = context(of, &["appArmorProfile"])?;
        let kind = json::text(profile, &["type"]).to_owned();
        (!matches!(&*kind, "RuntimeDefault" | "Localhost")).then_some(kind)
    };
    let names = pod.which(|container| bad(container).is_some());
    let of_pod = bad(pod.spec);
    let fits =
        |text: &str| matches!(text, "" | "runtime/default") || text.starts_with("localhost/");
    let annotations = json::entries(pod.annotations, &[])
        .map(|(key, value)| (key, value.as_str().unwrap_or("")))
        .filter(|(key, value)| key.starts_with(APP_ARMOR) && !fits(value));
    let annotations: BTreeSet<String> =
        annotations.map(|(key, value)| format!("{key}={}", quote(value))).collect();
    let kinds: BTreeSet<String> =
        of_pod.iter().cloned().chain(pod.containers().filter_map(bad)).collect();
    let mut who = setters(of_pod.is_some(), &names);
    if !annotations.is_empty() {
        let and = if who.is_empty() { "" } else { " and " };
        who = format!("{who}{and}{}", plural("annotation", "annotations", annotations.len()));
    }
    if who.is_empty() {
        return None;
    }
    let values: Vec<String> = kinds.into_iter().chain(annotations).collect();
    let reason = plural("forbidden AppArmor profile", "forbidden AppArmor profiles", values.len());
    let detail = format!("{who} must not set AppArmor profile type to {}", quoted(&values));
    Violation::new(reason, detail)
}

/// What containers have without asking.
const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// No capabilities but those that containers have without asking.
pub(super) fn capabilities(pod: &Pod) -> Option<Violation> {
    let bad = |container| added(container).filter(|one| !CAPABILITIES.contains(one));
    let names = pod.which(|container| bad(container).next().is_some());
    let all: BTreeSet<&str> = pod.containers().flat_map(bad).collect();
    let detail = format!(
        "{} must not include {} in securityContext.capabilities.add",
        containers(&names),
        quoted(all)
    );
    if names.is_empty() { None } else { Violation::new("non-default capabilities", detail) }
}

/// The capabilities that a container asks for.
pub(super) fn added(container: &Value) -> impl Iterator<Item = &str> {
    let added = json::list(container, &["securityContext", "capabilities", "add"]);
    added.iter().map(|one| one.as_str().unwrap_or(""))
}

/// Nothing of the host's network, processes and shared memory.
pub(super) fn host_namespaces(pod: &Pod) -> Option<Violation> {
    let shared = ["hostNetwork", "hostPID", "hostIPC"].into_iter();
    let shared = shared.filter(|field| json::flag(pod.spec, &[field]));
    let shared: Vec<String> = shared.map(|field| format!("{field}=true")).collect();
    if shared.is_empty() { None } else { Violation::new("host namespaces", shared.join(", ")) }
}

/// No files of the host.
pub(super) fn host_paths(pod: &Pod) -> Option<Violation> {
    let volumes = json::list(pod.spec, &["volumes"]).iter();
    let volumes = volumes.filter(|volume| json::at(volume, &["hostPath"]).is_some());
    let names: Vec<&str> = volumes.map(|volume| json::text(volume, &["name"])).collect();
    let detail = format!("{} {}", plural("volume", "volumes", names.len()), quoted(&names));
    if names.is_empty() { None } else { Violation::new("hostPath volumes", detail) }
}

/// No ports of the host.
pub(super) fn host_ports(pod: &Pod) -> Option<Violation> {
    let taken = |container| {
        let ports = json::list(container, &["ports"]).iter();
        ports.filter_map(|port| json::int(port, &["hostPort"])).filter(|port| *port != 0)
    };
    let names = pod.which(|container| taken(container).next().is_some());
    let ports: BTreeSet<String> =
        pod.containers().flat_map(taken).map(|port| port.to_string()).collect();
    let detail = format!(
        "{} {} {} {}",
        containers(&names),
        plural("uses", "use", names.len()),
        plural("hostPort", "hostPorts", ports.len()),
        ports.into_iter().collect::<Vec<_>>().join(", ")
    );
    if names.is_empty() { None } else { Violation::new("hostPort", detail) }
}

/// Where a container says what is asked of it, and what is done with it.
const HANDLERS: [&[&str]; 5] = [
    &["livenessProbe"],
    &["readinessProbe"],
    &["startupProbe"],
    &["lifecycle", "postStart"],
    &["lifecycle", "preStop"],
];

/// Nodes ask nobody but the pod itself how it is.
pub(super) fn probed_hosts(pod: &Pod) -> Option<Violation> {
    let hosts = |container| {
        let handlers = HANDLERS.iter().filter_map(move |path| json::at(container, path));
        handlers
            .flat_map(|one| ["httpGet", "tcpSocket"].map(|field| json::text(one, &[field, "host"])))
            .filter(|host| !host.is_empty())
    };
    let names = pod.which(|container| hosts(container).next().is_some());
    let names: Vec<&str> = names.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
    let hosts: BTreeSet<&str> = pod.containers().flat_map(hosts).collect();
    let detail = format!(
        "{} {} {} {}",
        containers(&names),
        plural("uses", "use", names.len()),
        plural("probe or lifecycle host", "probe or lifecycle hosts", hosts.len()),
        quoted(hosts)
    );
    if names.is_empty() { None } else { Violation::new("probe or lifecycle host", detail) }
}

/// No container is the host's equal.
pub(super) fn privileged(pod: &Pod) -> Option<Violation> {
    let names = pod.which(|container| context_flag(container, &["privileged"]));
    let detail = format!("{} must not set securityContext.privileged=true", containers(&names));
    if names.is_empty() { None } else { Violation::new("privileged", detail) }
}

/// What of `/proc` is hidden stays hidden.
pub(super) fn proc_mount(pod: &Pod) -> Option<Violation> {
    let bad = |container| {
        let kind = context(container, &["procMount"]).and_then(Value::as_str);
        kind.filter(|kind| *kind != "Default")
    };
    let names = pod.which(|container| bad(container).is_some());
    let kinds: BTreeSet<&str> = pod.containers().filter_map(bad).collect();
    let detail = format!(
        "{} must not set securityContext.procMount to {}",
        containers(&names),
        quoted(kinds)
    );
    if names.is_empty() { None } else { Violation::new("procMount", detail) }
}

/// The types that a pod may have; the last is newer than the others.
pub(super) const SE_LINUX_TYPES: [&str; 5] =
    ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];

/// No types of SELinux but those for containers, and neither users nor roles.
pub(super) fn se_linux(pod: &Pod, types: &[&str]) -> Option<Violation> {
    let text = |of, field| context_text(of, &["seLinuxOptions", field]);
    let bad_type = |of| Some(text(of, "type")).filter(|kind| !types.contains(kind));
    let sets = |of, field| !text(of, field).is_empty();
    let is_bad = |of| bad_type(of).is_some() || sets(of, "user") || sets(of, "role");
    let all = || std::iter::once(pod.spec).chain(pod.containers());
    let who = setters(is_bad(pod.spec), &pod.which(is_bad));
    let kinds: BTreeSet<&str> = all().filter_map(bad_type).collect();
    let kinds = (!kinds.is_empty())
        .then(|| format!("{} {}", plural("type", "types", kinds.len()), quoted(kinds)));
    let others = ["user", "role"].into_iter().filter(|field| all().any(|of| sets(of, field)));
    let others = others.map(|field| format!("{field} may not be set"));
    let bad: Vec<String> = kinds.into_iter().chain(others).collect();
    let detail = format!("{who} set forbidden securityContext.seLinuxOptions: {}", bad.join("; "));
    if who.is_empty() { None } else { Violation::new("seLinuxOptions", detail) }
}

/// Only profiles of seccomp that confine, by the annotations that came before the fields.
pub(super) fn seccomp_annotations(pod: &Pod) -> Option<Violation> {
    const OF_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
    const OF_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
    let keys = pod.containers().map(|one| format!("{OF_CONTAINER}{}", json::text(one, &["name"])));
    let keys = std::iter::once(OF_POD.to_owned()).chain(keys);
    let bad = keys.filter_map(|key| {
        let value = pod.annotations.get(&key)?.as_str()?;
        let fits = matches!(value, "runtime/default" | "docker/default")
            || value.starts_with("localhost/");
        (!fits).then(|| format!("{key}={}", quote(value)))
    });
    let bad: BTreeSet<String> = bad.collect();
    if bad.is_empty() {
        return None;
    }
    let word = plural("annotation", "annotations", bad.len());
    let bad: Vec<String> = bad.into_iter().collect();
    Violation::new("seccompProfile", format!("forbidden {word} {}", bad.join(", ")))
}

/// The profile of seccomp of a pod or a container: none, one that confines, or another one, by type.
pub(super) fn seccomp_of(of: &Value) -> Option<Result<(), &str>> {
    let profile = context(of, &["seccompProfile"])?;
    Some(match json::text(profile, &["type"]) {
        "RuntimeDefault" | "Localhost" => Ok(()),
        other => Err(other),
    })
}

/// Only profiles of seccomp that confine, where any are named.
pub(super) fn seccomp(pod: &Pod) -> Option<Violation> {
    let bad = |of| seccomp_of(of).and_then(Result::err);
    let who = setters(bad(pod.spec).is_some(), &pod.which(|one| bad(one).is_some()));
    let kinds: BTreeSet<&str> =
        std::iter::once(pod.spec).chain(pod.containers()).filter_map(bad).collect();
    let detail =
        format!("{who} must not set securityContext.seccompProfile.type to {}", quoted(kinds));
    if who.is_empty() { None } else { Violation::new("seccompProfile", detail) }
}

/// What pods may set of the kernel, the older ones first.
pub(super) const SYSCTLS: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
];

/// Nothing of the kernel is set that reaches beyond the pod.
pub(super) fn sysctls(pod: &Pod, allowed: &[&str]) -> Option<Violation> {
    let set = json::list(pod.spec, &["securityContext", "sysctls"]).iter();
    let set = set.map(|one| json::text(one, &["name"])).filter(|name| !allowed.contains(name));
    let set: Vec<&str> = set.collect();
    if set.is_empty() { None } else { Violation::new("forbidden sysctls", set.join(", ")) }
}

/// No processes of the host, on Windows.
pub(super) fn host_process(pod: &Pod) -> Option<Violation> {
    let is_host = |of: &Value| context_flag(of, &["windowsOptions", "hostProcess"]);
    let who = setters(is_host(pod.spec), &pod.which(is_host));
    let detail = format!("{who} must not set securityContext.windowsOptions.hostProcess=true");
    if who.is_empty() { None } else { Violation::new("hostProcess", detail) }
}
