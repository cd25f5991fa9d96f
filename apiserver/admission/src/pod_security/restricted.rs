//! The controls of the level `restricted`: what hardened programs do without.
//!
//! Knows: what pods have to say of themselves for it. Refuses to know: which control counts where.

use std::collections::BTreeSet;

use leme_registry::json;
use serde_json::Value;

use super::baseline::{added, seccomp_of};
use super::checks::{Pod, Violation, containers, plural, quoted, setters};

fn context<'a>(of: &'a Value, field: &str) -> Option<&'a Value> {
    json::at(of, &["securityContext", field])
}

/// No process gets more rights than its parent has.
pub(super) fn escalation(pod: &Pod) -> Option<Violation> {
    let names = pod.which(|container| {
        context(container, "allowPrivilegeEscalation") != Some(&Value::Bool(false))
    });
    let detail =
        format!("{} must set securityContext.allowPrivilegeEscalation=false", containers(&names));
    if names.is_empty() {
        None
    } else {
        Violation::new("allowPrivilegeEscalation != false", detail)
    }
}

/// No capabilities but the one to listen on low ports.
pub(super) fn capabilities(pod: &Pod) -> Option<Violation> {
    let keeps = pod.which(|container| {
        let dropped = json::list(container, &["securityContext", "capabilities", "drop"]);
        !dropped.iter().any(|one| one == "ALL")
    });
    let bad = |container| added(container).filter(|one| *one != "NET_BIND_SERVICE");
    let adds = pod.which(|container| bad(container).next().is_some());
    let all: BTreeSet<&str> = pod.containers().flat_map(bad).collect();
    let keeping = (!keeps.is_empty()).then(|| {
        format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", containers(&keeps))
    });
    let adding = (!adds.is_empty()).then(|| {
        format!(
            "{} must not include {} in securityContext.capabilities.add",
            containers(&adds),
            quoted(all)
        )
    });
    let details: Vec<String> = keeping.into_iter().chain(adding).collect();
    if details.is_empty() {
        return None;
    }
    Violation::new("unrestricted capabilities", details.join("; "))
}

/// Volumes that reach nothing but what the API hands out.
const VOLUMES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

/// All others.
const OTHER_VOLUMES: [&str; 21] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "gitRepo",
    "nfs",
    "iscsi",
    "glusterfs",
    "rbd",
    "flexVolume",
    "cinder",
    "cephfs",
    "flocker",
    "fc",
    "azureFile",
    "vsphereVolume",
    "quobyte",
    "azureDisk",
    "photonPersistentDisk",
    "portworxVolume",
    "scaleIO",
    "storageos",
];

/// No volumes but those that reach nothing except what the API hands out.
pub(super) fn volumes(pod: &Pod) -> Option<Violation> {
    let is_of = |volume: &Value, kinds: &[&'static str]| {
        kinds.iter().copied().find(|kind| json::at(volume, &[kind]).is_some())
    };
    let bad = json::list(pod.spec, &["volumes"]).iter();
    let bad: Vec<&Value> = bad.filter(|volume| is_of(volume, &VOLUMES).is_none()).collect();
    let kinds: BTreeSet<&str> =
        bad.iter().map(|volume| is_of(volume, &OTHER_VOLUMES).unwrap_or("unknown")).collect();
    let names: Vec<&str> = bad.iter().map(|volume| json::text(volume, &["name"])).collect();
    let detail = format!(
        "{} {} {} {} {}",
        plural("volume", "volumes", names.len()),
        quoted(&names),
        plural("uses", "use", names.len()),
        plural("restricted volume type", "restricted volume types", kinds.len()),
        quoted(kinds)
    );
    if names.is_empty() { None } else { Violation::new("restricted volume types", detail) }
}

/// Every container says that it does not run as root.
pub(super) fn non_root(pod: &Pod) -> Option<Violation> {
    const REASON: &str = "runAsNonRoot != true";
    let says = |of| context(of, "runAsNonRoot").and_then(Value::as_bool);
    let who = setters(says(pod.spec) == Some(false), &pod.which(|one| says(one) == Some(false)));
    if !who.is_empty() {
        let detail = format!("{who} must not set securityContext.runAsNonRoot=false");
        return Violation::new(REASON, detail);
    }
    let names = pod.which(|one| says(one).is_none() && says(pod.spec) != Some(true));
    let detail =
        format!("pod or {} must set securityContext.runAsNonRoot=true", containers(&names));
    if names.is_empty() { None } else { Violation::new(REASON, detail) }
}

/// Nobody asks to run as root.
pub(super) fn root(pod: &Pod) -> Option<Violation> {
    let is_root = |of: &Value| context(of, "runAsUser").and_then(Value::as_i64) == Some(0);
    let who = setters(is_root(pod.spec), &pod.which(is_root));
    let detail = format!("{who} must not set runAsUser=0");
    if who.is_empty() { None } else { Violation::new("runAsUser=0", detail) }
}

/// Every container has a profile of seccomp that confines.
pub(super) fn seccomp(pod: &Pod) -> Option<Violation> {
    if let Some(bad) = super::baseline::seccomp(pod) {
        return Some(bad);
    }
    let is_set = seccomp_of(pod.spec) == Some(Ok(()));
    let names = pod.which(|one| seccomp_of(one).is_none() && !is_set);
    let detail = format!(
        "pod or {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"",
        containers(&names)
    );
    if names.is_empty() { None } else { Violation::new("seccompProfile", detail) }
}
