//! The specification of a pod, shared by pods and by all that hold a pod template.
//!
//! Knows: what a pod spec must look like. Refuses to know: which object it stands in.

use std::collections::HashSet;

use leme_meta::{FieldError, Path};
use leme_registry::{json, meta, names};
use serde_json::{Value, json};

use crate::check::{self, Errors};

pub(crate) mod annotations;
mod claims;
mod containers;
pub(crate) mod defaults;
mod dns;
mod env;
mod ephemeral;
pub(crate) mod gates;
mod os;
mod overlaps;
mod probes;
pub(crate) mod resources;
pub(crate) mod restarts;
mod scheduling;
mod security;
pub(crate) mod sources;
mod volumes;
pub(crate) mod warnings;
pub(crate) mod whole;
mod windows;

pub(crate) use scheduling::{node_selector, selector, tolerations};

/// How an image may be had.
const PULL_POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];

/// All that is wrong with a pod spec. `metadata` is the pod's where it is a pod's own spec and not a template's.
pub(crate) fn validate(spec: &Value, path: &Path, metadata: Option<&Value>) -> Errors {
    let mut errors = Vec::new();
    let name = metadata.map_or("", |metadata| json::text(metadata, &["name"]));
    let mountable = volumes::validate(spec, name, path, &mut errors);
    let claims = claims::validate(spec, metadata, path, &mut errors);
    let parts = containers::Parts { mountable: &mountable, claims: &claims };
    containers::validate(spec, path, parts, metadata.is_some(), &mut errors);
    whole::validate(spec, &claims, path, &mut errors);
    if json::flag(spec, &["hostNetwork"]) {
        containers::ports_of_host(spec, path, metadata.is_some(), &mut errors);
    }
    check::required_one_of(
        spec,
        "restartPolicy",
        path,
        &["Always", "OnFailure", "Never"],
        &mut errors,
    );
    let policies = ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"];
    check::required_one_of(spec, "dnsPolicy", path, &policies, &mut errors);
    errors.extend(meta::labels(spec.get("nodeSelector"), &path.child("nodeSelector")));
    security::validate_pod(spec, path, &mut errors);
    scheduling::affinity(spec, path, &mut errors);
    dns::config(spec, path, &mut errors);
    gates(spec, path, &mut errors);
    scheduling::spread(spec, path, &mut errors);
    security::host(spec, path, &mut errors);
    dns::host_name(spec, path, &mut errors);
    check::optional_name(spec, "serviceAccountName", path, names::dns1123_subdomain, &mut errors);
    check::optional_name(spec, "nodeName", path, names::dns1123_subdomain, &mut errors);
    check::in_range(spec, "activeDeadlineSeconds", path, 1, i64::from(i32::MAX), &mut errors);
    check::optional_name(spec, "hostname", path, names::dns1123_label, &mut errors);
    check::optional_name(spec, "subdomain", path, names::dns1123_label, &mut errors);
    scheduling::tolerations(spec, path, &mut errors);
    dns::aliases(spec, path, &mut errors);
    check::optional_name(spec, "priorityClassName", path, names::dns1123_subdomain, &mut errors);
    if let Some(class) = json::at(spec, &["runtimeClassName"]).and_then(Value::as_str) {
        let wrong = names::dns1123_subdomain(class);
        check::named(&path.child("runtimeClassName"), class, &wrong, &mut errors);
    }
    let policies = ["PreemptLowerPriority", "Never"];
    check::one_of(spec, "preemptionPolicy", path, &policies, &mut errors);
    if let Some(overhead) = json::at(spec, &["overhead"]) {
        let limits = json!({ "limits": overhead });
        resources::validate(&limits, &path.child("overhead"), &mut errors);
    }
    os::validate(spec, path, &mut errors);
    volumes::validate_files(spec, path, &mut errors);
    errors
}

/// What a pod waits for before it counts as ready, and before it is given a node.
fn gates(spec: &Value, path: &Path, errors: &mut Errors) {
    for (index, gate) in json::list(spec, &["readinessGates"]).iter().enumerate() {
        let kind = json::text(gate, &["conditionType"]);
        let at = path.child("readinessGates").index(index).child("conditionType");
        check::named(&at, kind, &names::qualified_name(kind), errors);
    }
    let mut seen = HashSet::new();
    for (index, gate) in json::list(spec, &["schedulingGates"]).iter().enumerate() {
        let name = json::text(gate, &["name"]);
        let at = path.child("schedulingGates").index(index);
        check::named(&at, name, &names::qualified_name(name), errors);
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&at, name));
        }
    }
}

/// Every container with its path, in upstream's order.
fn visit<'a>(spec: &'a Value, path: &Path) -> Vec<(&'a Value, Path)> {
    let lists = ["initContainers", "containers", "ephemeralContainers"];
    let of = |field: &'static str| {
        let path = path.child(field);
        let list = json::list(spec, &[field]).iter().enumerate();
        list.map(move |(index, container)| (container, path.index(index)))
    };
    lists.into_iter().flat_map(of).collect()
}

/// All that is wrong with a pod template: its labels, annotations and spec.
pub(crate) fn validate_template(template: &Value, path: &Path) -> Errors {
    let metadata = path.child("metadata");
    let mut errors =
        meta::labels(json::at(template, &["metadata", "labels"]), &metadata.child("labels"));
    let annotations = json::at(template, &["metadata", "annotations"]);
    let spec = template.get("spec").unwrap_or(&Value::Null);
    let at = metadata.child("annotations");
    errors.extend(meta::annotations(annotations, &at));
    errors.extend(self::annotations::validate(annotations, spec, &at));
    errors.extend(validate(spec, &path.child("spec"), None));
    if !json::list(spec, &["ephemeralContainers"]).is_empty() {
        let at = path.child("spec").child("ephemeralContainers");
        let why = "ephemeral containers not allowed in pod template";
        errors.push(FieldError::forbidden(&at, why));
    }
    errors
}
