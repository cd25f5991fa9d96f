//! Whether a pod fits constraints, in upstream's words.
//!
//! Knows: what each field of the constraints says of which fields of a pod. Refuses to know: whose constraints they are.

use leme_meta::field::{FieldError, Path};
use leme_meta::quote;
use leme_registry::json;
use serde_json::Value;

use super::assign::{LISTS, OF_CONTAINER, OF_POD, label, word_of};
use super::{effective, volumes};

/// All that is wrong with a pod that has got what the constraints give.
pub(super) fn check(constraints: &Value, pod: &Value, at: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let of_pod = at.child("spec").child("securityContext");
    pod_level(constraints, pod, &of_pod, &mut errors);
    each_container(pod, at, |container, path| {
        container_level(constraints, pod, container, path, &mut errors);
    });
    errors
}

fn each_container<'a>(pod: &'a Value, at: &Path, mut see: impl FnMut(&'a Value, &Path)) {
    for list in LISTS {
        for (index, container) in json::list(pod, &["spec", list]).iter().enumerate() {
            see(container, &at.child(list).index(index));
        }
    }
}

fn allows(constraints: &Value, field: &str) -> bool {
    json::flag(constraints, &[field])
}

fn pod_level(constraints: &Value, pod: &Value, at: &Path, errors: &mut Vec<FieldError>) {
    let null = Value::Null;
    let context = json::at(pod, &["spec", "securityContext"]).unwrap_or(&null);
    let group: Vec<Value> = json::at(context, &["fsGroup"]).cloned().into_iter().collect();
    groups(constraints, "fsGroup", &group.into(), at, errors);
    let more = json::at(context, &["supplementalGroups"]).unwrap_or(&null);
    groups(constraints, "supplementalGroups", more, at, errors);
    let word = match json::text(pod, &["metadata", "annotations", OF_POD]) {
        "" => json::at(context, &["seccompProfile"]).map(word_of).unwrap_or_default(),
        word => word.to_owned(),
    };
    seccomp(constraints, OF_POD, &word, errors);
    se_linux(constraints, json::at(context, &["seLinuxOptions"]), at, errors);
    host(constraints, pod, at, errors);
    let users = json::at(pod, &["spec", "hostUsers"]);
    let level = json::text(constraints, &["userNamespaceLevel"]);
    if level == "RequirePodLevel" && users != Some(&Value::Bool(false)) {
        let why = "Host Users must be set to false";
        errors.push(FieldError::invalid(&at.child("hostUsers"), users.unwrap_or(&null), why));
    }
    sysctls(constraints, context, errors);
    volumes::check(constraints, pod, at, errors);
}

fn host(constraints: &Value, pod: &Value, at: &Path, errors: &mut Vec<FieldError>) {
    let shared = [
        ("allowHostNetwork", "hostNetwork", "Host network is not allowed to be used"),
        ("allowHostPID", "hostPID", "Host PID is not allowed to be used"),
        ("allowHostIPC", "hostIPC", "Host IPC is not allowed to be used"),
    ];
    for (allowed, field, why) in shared {
        if !allows(constraints, allowed) && json::flag(pod, &["spec", field]) {
            errors.push(FieldError::invalid(&at.child(field), &Value::Bool(true), why));
        }
    }
}

fn groups(
    constraints: &Value,
    field: &str,
    groups: &Value,
    at: &Path,
    errors: &mut Vec<FieldError>,
) {
    if json::text(constraints, &[field, "type"]) != "MustRunAs" {
        return;
    }
    let (ranges, at) = (json::list(constraints, &[field, "ranges"]), at.child(field));
    let list = groups.as_array().map_or(&[][..], Vec::as_slice);
    if list.is_empty() && !ranges.is_empty() {
        let why = "unable to validate empty groups against required ranges";
        errors.push(FieldError::invalid(&at, groups, why));
    }
    for group in list.iter().filter_map(Value::as_i64) {
        let within = |range: &Value| {
            let end = |end| json::int(range, &[end]).unwrap_or(0);
            (end("min")..=end("max")).contains(&group)
        };
        if !ranges.iter().any(within) {
            errors.push(FieldError::invalid(
                &at,
                groups,
                &format!("{group} is not an allowed group"),
            ));
        }
    }
}

fn seccomp(constraints: &Value, annotation: &str, word: &str, errors: &mut Vec<FieldError>) {
    let all = json::list(constraints, &["seccompProfiles"]).iter().filter_map(Value::as_str);
    let (any, named): (Vec<&str>, Vec<&str>) = all.partition(|profile| *profile == "*");
    let of_runtime = |word: &str| matches!(word, "runtime/default" | "docker/default");
    let is_allowed = !any.is_empty()
        || (named.is_empty() && word.is_empty())
        || named.contains(&word)
        || (of_runtime(word) && named.iter().any(|one| of_runtime(one)));
    if is_allowed {
        return;
    }
    let at = Path::new("pod").child("metadata").child("annotations").key(annotation);
    let why = match named.is_empty() {
        true => "seccomp may not be set".to_owned(),
        false => {
            let named = named.join(" ");
            format!("{word} is not an allowed seccomp profile. Valid values are [{named}]")
        }
    };
    errors.push(FieldError::forbidden(&at, &why));
}

fn se_linux(constraints: &Value, options: Option<&Value>, at: &Path, errors: &mut Vec<FieldError>) {
    if json::text(constraints, &["seLinuxContext", "type"]) != "MustRunAs" {
        return;
    }
    let (at, null) = (at.child("seLinuxOptions"), Value::Null);
    let Some(options) = options else {
        errors.push(FieldError::required(&at, ""));
        return;
    };
    let must = label(constraints).unwrap_or(&null);
    for field in ["level", "role", "type", "user"] {
        let (must, is) = (json::text(must, &[field]), json::text(options, &[field]));
        if must != is && !(field == "level" && is_same_level(must, is)) {
            errors.push(FieldError::invalid(&at.child(field), is, &format!("must be {must}")));
        }
    }
}

/// Whether levels have the same categories, in whatever order.
fn is_same_level(one: &str, other: &str) -> bool {
    let split = |level: &str| {
        let (sensitivity, categories) = level.split_once(':')?;
        let mut categories: Vec<String> = categories.split(',').map(str::to_owned).collect();
        categories.sort_unstable();
        Some((sensitivity.to_owned(), categories))
    };
    split(one).is_some_and(|one| Some(one) == split(other))
}

/// What pods may set of the kernel without asking.
const SAFE: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
];

fn sysctls(constraints: &Value, context: &Value, errors: &mut Vec<FieldError>) {
    let covers = |list: &str, name: &str| {
        json::list(constraints, &[list]).iter().filter_map(Value::as_str).any(|pattern| {
            match pattern.strip_suffix('*') {
                Some(prefix) => name.starts_with(prefix),
                None => pattern == name,
            }
        })
    };
    let at = Path::new("pod").child("spec").child("securityContext").child("sysctls");
    for (index, sysctl) in json::list(context, &["sysctls"]).iter().enumerate() {
        let name = json::text(sysctl, &["name"]);
        let why = match name {
            name if covers("forbiddenSysctls", name) => {
                format!("sysctl {} is not allowed", quote(name))
            }
            name if SAFE.contains(&name) || covers("allowedUnsafeSysctls", name) => continue,
            name => format!("unsafe sysctl {} is not allowed", quote(name)),
        };
        errors.push(FieldError::forbidden(&at.index(index), &why));
    }
}

fn container_level(
    constraints: &Value,
    pod: &Value,
    container: &Value,
    at: &Path,
    errors: &mut Vec<FieldError>,
) {
    let null = Value::Null;
    let shared = json::at(pod, &["spec", "securityContext"]).unwrap_or(&null);
    let own = |field: &str| json::at(container, &["securityContext", field]);
    user(constraints, (container, shared), at, errors);
    se_linux(constraints, effective(container, shared, "seLinuxOptions"), at, errors);
    let annotation = format!("{OF_CONTAINER}{}", json::text(container, &["name"]));
    let annotated = |key: &str| json::at(pod, &["metadata", "annotations", key])?.as_str();
    let word = own("seccompProfile")
        .map(word_of)
        .or_else(|| annotated(&annotation).map(str::to_owned))
        .or_else(|| json::at(shared, &["seccompProfile"]).map(word_of))
        .unwrap_or_else(|| annotated(OF_POD).unwrap_or("").to_owned());
    seccomp(constraints, &annotation, &word, errors);
    if !allows(constraints, "allowPrivilegedContainer") && own("privileged") == Some(&true.into()) {
        let why = "Privileged containers are not allowed";
        errors.push(FieldError::invalid(&at.child("privileged"), &Value::Bool(true), why));
    }
    capabilities(constraints, own("capabilities"), at, errors);
    if !allows(constraints, "allowHostNetwork") {
        host_of(pod, at, "hostNetwork", "Host network is not allowed to be used", errors);
    }
    if !allows(constraints, "allowHostPorts") {
        host_ports(pod, at, errors);
    }
    for (allowed, field, why) in [
        ("allowHostPID", "hostPID", "Host PID is not allowed to be used"),
        ("allowHostIPC", "hostIPC", "Host IPC is not allowed to be used"),
    ] {
        if !allows(constraints, allowed) {
            host_of(pod, at, field, why, errors);
        }
    }
    let read_only = own("readOnlyRootFilesystem");
    if allows(constraints, "readOnlyRootFilesystem") && read_only != Some(&true.into()) {
        let why = match read_only {
            None => "ReadOnlyRootFilesystem may not be nil and must be set to true",
            Some(_) => "ReadOnlyRootFilesystem must be set to true",
        };
        let at = at.child("readOnlyRootFilesystem");
        errors.push(FieldError::invalid(&at, read_only.unwrap_or(&null), why));
    }
    let may = own("allowPrivilegeEscalation");
    let is_forbidden = json::at(constraints, &["allowPrivilegeEscalation"]) == Some(&false.into());
    if is_forbidden && may != Some(&false.into()) {
        let why = "Allowing privilege escalation for containers is not allowed";
        let at = at.child("allowPrivilegeEscalation");
        errors.push(FieldError::invalid(&at, may.unwrap_or(&null), why));
    }
}

fn host_of(pod: &Value, at: &Path, field: &str, why: &str, errors: &mut Vec<FieldError>) {
    if json::flag(pod, &["spec", field]) {
        errors.push(FieldError::invalid(&at.child(field), &Value::Bool(true), why));
    }
}

/// The ports of all containers, below the path of each.
fn host_ports(pod: &Value, at: &Path, errors: &mut Vec<FieldError>) {
    each_container(pod, at, |container, path| {
        for port in json::list(container, &["ports"]) {
            if let Some(port) = json::int(port, &["hostPort"]).filter(|port| *port > 0) {
                let why = "Host ports are not allowed to be used";
                errors.push(FieldError::invalid(&path.child("hostPort"), port, why));
            }
        }
    });
}

fn user(
    constraints: &Value,
    (container, shared): (&Value, &Value),
    at: &Path,
    errors: &mut Vec<FieldError>,
) {
    let user = effective(container, shared, "runAsUser").and_then(Value::as_i64);
    let number = |field: &str| json::int(constraints, &["runAsUser", field]).unwrap_or(0);
    let of_user = at.child("runAsUser");
    let error = match (json::text(constraints, &["runAsUser", "type"]), user) {
        ("MustRunAs" | "MustRunAsRange", None) => FieldError::required(&of_user, ""),
        ("MustRunAs", Some(user)) if user != number("uid") => {
            FieldError::invalid(&of_user, user, &format!("must be: {}", number("uid")))
        }
        ("MustRunAsRange", Some(user)) => {
            let (first, last) = (number("uidRangeMin"), number("uidRangeMax"));
            if (first..=last).contains(&user) {
                return;
            }
            let why = format!("must be in the ranges: [{first}, {last}]");
            FieldError::invalid(&of_user, user, &why)
        }
        ("MustRunAsNonRoot", user) => {
            let is_not_root = effective(container, shared, "runAsNonRoot").and_then(Value::as_bool);
            let at = at.child("runAsNonRoot");
            match (is_not_root, user) {
                (None, None) => FieldError::required(&at, "must be true"),
                (Some(false), _) => FieldError::invalid(&at, &Value::Bool(false), "must be true"),
                (_, Some(0)) => {
                    FieldError::invalid(&of_user, 0, "running with the root UID is forbidden")
                }
                _ => return,
            }
        }
        _ => return,
    };
    errors.push(error);
}

fn capabilities(constraints: &Value, own: Option<&Value>, at: &Path, errors: &mut Vec<FieldError>) {
    let list = |field: &str| json::list(constraints, &[field]);
    let (by_default, required) = (list("defaultAddCapabilities"), list("requiredDropCapabilities"));
    let at = at.child("capabilities");
    let Some(own) = own else {
        if !by_default.is_empty() || !required.is_empty() {
            let why = "required capabilities are not set on the securityContext";
            errors.push(FieldError::invalid(&at, &Value::Null, why));
        }
        return;
    };
    let allowed = list("allowedCapabilities");
    if allowed.iter().any(|one| one == "*") {
        return;
    }
    for one in json::list(own, &["add"]) {
        if !by_default.contains(one) && !allowed.contains(one) {
            let why = "capability may not be added";
            errors.push(FieldError::invalid(&at.child("add"), one, why));
        }
    }
    let dropped = json::at(own, &["drop"]).cloned().unwrap_or(Value::Null);
    for one in required.iter().filter(|one| !json::list(own, &["drop"]).contains(one)) {
        let name = one.as_str().unwrap_or("");
        let why = format!("{name} is required to be dropped but was not found");
        errors.push(FieldError::invalid(&at.child("drop"), &dropped, &why));
    }
}
