//! What a person who writes a pod should know although it is accepted: deprecated fields, and values that do not mean
//! what they seem to.
//!
//! Knows: upstream's warnings and their order. Refuses to know: what is invalid.

use std::collections::{HashMap, HashSet};

use leme_meta::{Path, quote};
use leme_registry::json;
use serde_json::Value;

use super::{overlaps, resources, visit};
use crate::check;

/// Labels of nodes that have another name by now.
const NODE_LABELS: [(&str, &str); 8] = [
    ("beta.kubernetes.io/arch", r#"deprecated since v1.14; use "kubernetes.io/arch" instead"#),
    ("beta.kubernetes.io/os", r#"deprecated since v1.14; use "kubernetes.io/os" instead"#),
    (
        "failure-domain.beta.kubernetes.io/region",
        r#"deprecated since v1.17; use "topology.kubernetes.io/region" instead"#,
    ),
    (
        "failure-domain.beta.kubernetes.io/zone",
        r#"deprecated since v1.17; use "topology.kubernetes.io/zone" instead"#,
    ),
    (
        "beta.kubernetes.io/instance-type",
        r#"deprecated since v1.17; use "node.kubernetes.io/instance-type" instead"#,
    ),
    ("app.kubernetes.io/created-by", "deprecated since v1.9"),
    (
        "scheduler.alpha.kubernetes.io/preferAvoidPods",
        "deprecated since v1.22; use Taints and Tolerations instead",
    ),
    ("node-role.kubernetes.io/master", r#"use "node-role.kubernetes.io/control-plane" instead"#),
];

const ANNOTATIONS: [(&str, &str); 3] = [
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        r#"non-functional in v1.16+; use the "priorityClassName" field instead"#,
    ),
    (
        "security.alpha.kubernetes.io/sysctls",
        r#"non-functional in v1.11+; use the "sysctls" field instead"#,
    ),
    (
        "security.alpha.kubernetes.io/unsafe-sysctls",
        r#"non-functional in v1.11+; use the "sysctls" field instead"#,
    ),
];

/// Sources of volumes that are on their way out or gone.
pub(crate) const SOURCES: [(&str, &str); 9] = [
    ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

/// Warnings about the metadata and spec of a pod or, under a path, of a template.
pub(crate) fn of(object: &Value, path: &Path) -> Vec<String> {
    let spec = object.get("spec").unwrap_or(&Value::Null);
    let at = path.child("spec");
    let annotations = path.child("metadata").child("annotations");
    let has = |key: &str| json::at(object, &["metadata", "annotations", key]).is_some();
    let mut out = Vec::new();
    placement(spec, &at, &mut out);
    for (key, why) in ANNOTATIONS.iter().filter(|(key, _)| has(key)) {
        out.push(format!("{}: {why}", annotations.key(key)));
    }
    volumes(spec, &at, &mut out);
    doubled(spec, &at, "hostAliases", "ip", &mut out);
    doubled(spec, &at, "imagePullSecrets", "name", &mut out);
    for (index, secret) in json::list(spec, &["imagePullSecrets"]).iter().enumerate() {
        if json::text(secret, &["name"]).is_empty() {
            let at = at.child("imagePullSecrets").index(index).child("name");
            out.push(format!("{at}: invalid empty name \"\""));
        }
    }
    fractional(spec.get("overhead"), &at.child("overhead"), &BYTES, &mut out);
    let seccomp = "seccomp.security.alpha.kubernetes.io/pod";
    if json::at(spec, &["securityContext", "seccompProfile"]).is_none() && has(seccomp) {
        out.push(format!("{}: {SECCOMP}", annotations.key(seccomp)));
    }
    for (container, at) in visit(spec, &at) {
        self::container(container, spec, (&at, &annotations), &has, &mut out);
    }
    ports(spec, &at, &mut out);
    if json::int(spec, &["terminationGracePeriodSeconds"]).is_some_and(|grace| grace < 0) {
        out.push(format!(
            "{}: must be >= 0; negative values are invalid and will be treated as 1",
            at.child("terminationGracePeriodSeconds")
        ));
    }
    neighbours(spec, &at.child("affinity"), &mut out);
    for (index, server) in json::list(spec, &["dnsConfig", "nameservers"]).iter().enumerate() {
        let at = at.child("dnsConfig").child("nameservers").index(index);
        out.extend(check::ip_warning(&at, server.as_str().unwrap_or("")));
    }
    for (index, alias) in json::list(spec, &["hostAliases"]).iter().enumerate() {
        let at = at.child("hostAliases").index(index).child("ip");
        out.extend(check::ip_warning(&at, json::text(alias, &["ip"])));
    }
    out
}

/// Warnings about a container; the paths are its own and that of the annotations beside the spec.
fn container(
    container: &Value,
    spec: &Value,
    (at, annotations): (&Path, &Path),
    has: &impl Fn(&str) -> bool,
    out: &mut Vec<String>,
) {
    let name = json::text(container, &["name"]);
    for (key, field, levels, why) in [
        (
            format!("container.seccomp.security.alpha.kubernetes.io/{name}"),
            "seccompProfile",
            &[container][..],
            SECCOMP,
        ),
        (
            format!("container.apparmor.security.beta.kubernetes.io/{name}"),
            "appArmorProfile",
            &[container, spec],
            APP_ARMOR,
        ),
    ] {
        let set = levels.iter().any(|level| json::at(level, &["securityContext", field]).is_some());
        if !set && has(&key) {
            out.push(format!("{}: {why}", annotations.key(&key)));
        }
    }
    for field in ["limits", "requests"] {
        let map = json::at(container, &["resources", field]);
        fractional(map, &at.child("resources").child(field), &BYTES[..1], out);
    }
    for field in ["limits", "requests"] {
        let map = json::at(container, &["resources", field]);
        fractional(map, &at.child("resources").child(field), &BYTES[1..], out);
    }
    hidden(container, at, out);
}

const SECCOMP: &str = r#"non-functional in v1.27+; use the "seccompProfile" field instead"#;
const APP_ARMOR: &str = r#"deprecated since v1.30; use the "appArmorProfile" field instead"#;
/// Resources that are counted in bytes.
const BYTES: [&str; 2] = ["memory", "ephemeral-storage"];

/// What a person should know of a label of nodes that has another name by now.
pub(crate) fn node_label(key: &str) -> Option<&'static str> {
    NODE_LABELS.iter().find(|(known, _)| *known == key).map(|(_, why)| *why)
}

/// The expressions of a node selector term that name deprecated labels; `values` asks for their values too.
pub(crate) fn node_term(term: &Value, path: &Path, values: bool, out: &mut Vec<String>) {
    for (index, expression) in json::list(term, &["matchExpressions"]).iter().enumerate() {
        let at = path.child("matchExpressions").index(index);
        let key = json::text(expression, &["key"]);
        if let Some(why) = node_label(key) {
            out.push(format!("{}: {key} is {why}", at.child("key")));
        }
        for (index, value) in
            json::list(expression, &["values"]).iter().enumerate().filter(|_| values)
        {
            let text = value.as_str().unwrap_or("");
            let at = at.child("values").index(index);
            let wrong = leme_registry::names::label_value(text);
            out.extend(wrong.iter().map(|why| format!("{at}: {text} is invalid, {why}")));
        }
    }
}

fn placement(spec: &Value, at: &Path, out: &mut Vec<String>) {
    for (key, _) in json::entries(spec, &["nodeSelector"]) {
        if let Some(why) = node_label(key) {
            out.push(format!("{}: {why}", at.child("nodeSelector").key(key)));
        }
    }
    let affinity = at.child("affinity").child("nodeAffinity");
    let required = "requiredDuringSchedulingIgnoredDuringExecution";
    let terms = json::list(spec, &["affinity", "nodeAffinity", required, "nodeSelectorTerms"]);
    for (index, term) in terms.iter().enumerate() {
        let at = affinity.child(required).child("nodeSelectorTerms").index(index);
        node_term(term, &at, false, out);
    }
    let preferred = "preferredDuringSchedulingIgnoredDuringExecution";
    let terms = json::list(spec, &["affinity", "nodeAffinity", preferred]);
    for (index, term) in terms.iter().enumerate() {
        let at = affinity.child(preferred).index(index).child("preference");
        node_term(term.get("preference").unwrap_or(&Value::Null), &at, true, out);
    }
    let field = "topologySpreadConstraints";
    for (index, spread) in json::list(spec, &[field]).iter().enumerate() {
        let at = at.child(field).index(index);
        let key = json::text(spread, &["topologyKey"]);
        if let Some(why) = node_label(key) {
            out.push(format!("{}: {key} is {why}", at.child("topologyKey")));
        }
        no_selector(spread, &at, out);
    }
}

fn no_selector(term: &Value, at: &Path, out: &mut Vec<String>) {
    if json::at(term, &["labelSelector"]).is_none() {
        let at = at.child("labelSelector");
        out.push(format!("{at}: a null labelSelector results in matching no pod"));
    }
}

fn neighbours(spec: &Value, at: &Path, out: &mut Vec<String>) {
    for field in ["podAffinity", "podAntiAffinity"] {
        let required = "requiredDuringSchedulingIgnoredDuringExecution";
        let list = json::list(spec, &["affinity", field, required]);
        for (index, term) in list.iter().enumerate() {
            no_selector(term, &at.child(field).child(required).index(index), out);
        }
        let preferred = "preferredDuringSchedulingIgnoredDuringExecution";
        let list = json::list(spec, &["affinity", field, preferred]);
        for (index, term) in list.iter().enumerate() {
            let at = at.child(field).child(preferred).index(index).child("podAffinityTerm");
            no_selector(term.get("podAffinityTerm").unwrap_or(&Value::Null), &at, out);
        }
    }
}

fn volumes(spec: &Value, at: &Path, out: &mut Vec<String>) {
    let list = json::list(spec, &["volumes"]);
    for (index, volume) in list.iter().enumerate() {
        let at = at.child("volumes").index(index);
        for (source, why) in
            SOURCES.iter().filter(|(source, _)| json::at(volume, &[source]).is_some())
        {
            // Upstream's name of the field in this message is not the one in JSON.
            let shown = if *source == "storageos" { "storageOS" } else { source };
            out.push(format!("{}: {why}", at.child(shown)));
        }
        if let Some(claim) = json::at(volume, &["ephemeral", "volumeClaimTemplate", "spec"]) {
            let at = at.child("ephemeral").child("volumeClaimTemplate").child("spec");
            claim_resources(claim, &at, out);
        }
    }
    out.extend(overlaps::of(list));
}

/// Warnings about the resources of a claim's spec.
pub(crate) fn claim_resources(spec: &Value, at: &Path, out: &mut Vec<String>) {
    for field in ["requests", "limits"] {
        let map = json::at(spec, &["resources", field]);
        fractional(map, &at.child("resources").child(field), &["storage"], out);
    }
}

/// Amounts of the named resources that are no whole bytes.
fn fractional(map: Option<&Value>, at: &Path, names: &[&str], out: &mut Vec<String>) {
    for name in names {
        let Some(amount) = map.and_then(|map| map.get(name)).and_then(resources::parse) else {
            continue;
        };
        if amount.milli_value() % 1000 != 0 {
            let shown = amount.to_string();
            out.push(format!(
                "{}: fractional byte value {} is invalid, must be an integer",
                at.key(name),
                quote(&shown)
            ));
        }
    }
}

/// Elements of a list that name again what an earlier one names.
fn doubled(spec: &Value, at: &Path, field: &str, key: &str, out: &mut Vec<String>) {
    let mut seen = HashSet::new();
    for (index, item) in json::list(spec, &[field]).iter().enumerate() {
        let text = json::text(item, &[key]);
        if !seen.insert(text) {
            out.push(format!(
                "{}: duplicate {key} {}",
                at.child(field).index(index).child(key),
                quote(text)
            ));
        }
    }
}

/// Variables that replace an earlier one without building on it.
fn hidden(container: &Value, at: &Path, out: &mut Vec<String>) {
    let mut seen = HashSet::new();
    for (index, variable) in json::list(container, &["env"]).iter().enumerate() {
        let name = json::text(variable, &["name"]);
        if seen.insert(name) {
            continue;
        }
        let before = format!("$({name})");
        let value = json::text(variable, &["value"]);
        let builds_on = value.contains(&before) && value != before;
        if json::at(variable, &["valueFrom"]).is_some() || !builds_on {
            out.push(format!(
                "{}: hides previous definition of {}, which may be dropped when using apply",
                at.child("env").index(index),
                quote(name)
            ));
        }
    }
}

/// How many warnings are looked for among pairs, and with how many others each is compared: clients are shown 4 KiB.
pub(super) const MOST: usize = 1_000;

/// A port of a container, as far as warnings look at it.
struct Port<'a> {
    at: Path,
    host_ip: &'a str,
    host_port: i64,
}

/// Upstream looks at each port once for its number and once for its name.
fn ports(spec: &Value, path: &Path, out: &mut Vec<String>) {
    let mut by_number: HashMap<(i64, &str), Vec<Port>> = HashMap::new();
    let containers = visit(spec, path);
    let all = || {
        containers.iter().flat_map(|(container, at)| {
            let list = json::list(container, &["ports"]).iter().enumerate();
            list.map(|(index, port)| (port, at.child("ports").index(index)))
        })
    };
    for (port, at) in all() {
        let (number, protocol) =
            (json::int(port, &["containerPort"]).unwrap_or(0), json::text(port, &["protocol"]));
        let host_ip = json::text(port, &["hostIP"]);
        let host_port = json::int(port, &["hostPort"]).unwrap_or(0);
        if !host_ip.is_empty() && host_port == 0 {
            let name = json::text(port, &["name"]);
            out.push(format!(
                "{at}: hostIP set without hostPort: {{Name:{name} HostPort:0 ContainerPort:{number} Protocol:{protocol} HostIP:{host_ip}}}"
            ));
        }
        if out.len() >= MOST {
            break;
        }
        let others = by_number.entry((number, protocol)).or_default();
        for other in others.iter().take(MOST) {
            let sort = if (host_ip, host_port) == (other.host_ip, other.host_port) {
                "duplicate"
            } else if host_port == 0 || other.host_port == 0 {
                "overlapping"
            } else if host_port == other.host_port && host_ip.is_empty() != other.host_ip.is_empty()
            {
                "dangerously ambiguous"
            } else {
                continue;
            };
            out.push(format!("{at}: {sort} port definition with {}", other.at));
        }
        others.push(Port { at, host_ip, host_port });
    }
    let mut by_name: HashMap<&str, Path> = HashMap::new();
    for (port, at) in all() {
        let name = json::text(port, &["name"]);
        if name.is_empty() {
            continue;
        }
        match by_name.get(name) {
            Some(other) => out.push(format!(
                "{at}: duplicate port name {} with {other}, services and probes that select ports by name will use {other}",
                quote(name)
            )),
            None => {
                by_name.insert(name, at);
            }
        }
    }
}
