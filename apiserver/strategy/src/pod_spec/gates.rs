//! Fields of pods that the API has and upstream has switched off: they are taken out, unless the object had them before.
//!
//! Knows: which fields those are in the version that is served. Refuses to know: what they would do.

use leme_registry::json;
use serde_json::Value;

/// Of the spec.
const OF_SPEC: [&str; 1] = ["schedulingGroup"];
/// Of the sources of a projected volume.
const OF_SOURCES: [&str; 2] = ["clusterTrustBundle", "podCertificate"];
/// Of what is done in the life of a container.
const OF_LIFECYCLE: [&str; 1] = ["stopSignal"];

const CONTAINERS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

/// Of a pod.
pub(crate) fn of_pod(new: &mut Value, old: Option<&Value>) {
    switch_off(new, old, &["spec"]);
}

/// Of a template of pods.
pub(crate) fn of_template(new: &mut Value, old: Option<&Value>) {
    switch_off(new, old, &["template", "spec"]);
}

/// Of what makes pods of a template.
pub(crate) fn of_workload(new: &mut Value, old: Option<&Value>) {
    switch_off(new, old, &["spec", "template", "spec"]);
}

/// Of what makes jobs of a template.
pub(crate) fn of_jobs(new: &mut Value, old: Option<&Value>) {
    switch_off(new, old, &["spec", "jobTemplate", "spec", "template", "spec"]);
}

fn switch_off(new: &mut Value, old: Option<&Value>, path: &[&str]) {
    let null = &Value::Null;
    let before = old.and_then(|old| json::at(old, path)).unwrap_or(null);
    let Some(spec) = json::at_mut(new, path) else { return };
    for field in OF_SPEC.iter().filter(|field| json::at(before, &[field]).is_none()) {
        json::remove(spec, field);
    }
    let sources = || json::list(before, &["volumes"]).iter().flat_map(sources_of);
    for field in OF_SOURCES {
        if sources().any(|source| json::at(source, &[field]).is_some()) {
            continue;
        }
        for volume in json::list_mut(spec, &["volumes"]) {
            for source in json::list_mut(volume, &["projected", "sources"]) {
                json::remove(source, field);
            }
        }
    }
    for field in OF_LIFECYCLE {
        let all = || CONTAINERS.iter().flat_map(|list| json::list(before, &[list]));
        if all().any(|container| json::at(container, &["lifecycle", field]).is_some()) {
            continue;
        }
        for list in CONTAINERS {
            for container in json::list_mut(spec, &[list]) {
                without_signal(container, field);
            }
        }
    }
}

fn sources_of(volume: &Value) -> &[Value] {
    json::list(volume, &["projected", "sources"])
}

/// What is left with nothing in it goes as well.
fn without_signal(container: &mut Value, field: &str) {
    let Some(life) = json::at_mut(container, &["lifecycle"]) else { return };
    if json::at(life, &[field]).is_some() {
        json::remove(life, field);
        if life.as_object().is_some_and(serde_json::Map::is_empty) {
            json::remove(container, "lifecycle");
        }
    }
}
