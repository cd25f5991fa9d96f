//! RuntimeClass: a pod carries what its runtime costs, and goes where the runtime is.
//!
//! Knows: how the overhead and the scheduling of a class come into a pod. Refuses to know: which nodes have which runtime.

use std::sync::Arc;

use leme_meta::Status;
use leme_meta::quote;
use leme_registry::{Asked, json};
use serde_json::{Map, Value};

use crate::{Facts, PlugIn, Seen, creates_pod, resources, tolerations};

const CLASSES: Seen = Seen { group: "node.k8s.io", version: "v1", plural: "runtimeclasses" };
const OTHER: &str = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";

pub(crate) const PLUG_IN: PlugIn = PlugIn {
    name: "RuntimeClass",
    about: creates_pod,
    sees: &[CLASSES],
    mutate: |asked, pod, _, facts| {
        let Some(class) = class(asked, pod, facts)? else { return Ok(()) };
        let spec = json::child(pod, "spec");
        if let Some(overhead) = overhead(&class) {
            if has_overhead(spec) && !resources::same(spec.get("overhead"), Some(overhead)) {
                return Err(asked.forbidden(OTHER));
            }
            json::set(spec, "overhead", overhead.clone());
        }
        scheduling(asked, spec, &class)
    },
    validate: |asked, pod, _, facts| {
        let Some(pod) = pod else { return Ok(()) };
        let class = class(asked, pod, facts)?;
        let spec = pod.get("spec").unwrap_or(&Value::Null);
        match class.as_deref().and_then(overhead) {
            Some(overhead) if !resources::same(spec.get("overhead"), Some(overhead)) => {
                Err(asked.forbidden(OTHER))
            }
            None if has_overhead(spec) => Err(asked.forbidden(
                "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
            )),
            _ => Ok(()),
        }
    },
    ..PlugIn::NONE
};

fn class(asked: &Asked, pod: &Value, facts: &dyn Facts) -> Result<Option<Arc<Value>>, Status> {
    let name = json::text(pod, &["spec", "runtimeClassName"]);
    if name.is_empty() {
        return Ok(None);
    }
    let missing = || {
        asked
            .forbidden(&format!("pod rejected: RuntimeClass {name} not found", name = quote(&name)))
    };
    facts.get(&CLASSES, "", name)?.map(Some).ok_or_else(missing)
}

fn overhead(class: &Value) -> Option<&Value> {
    json::at(class, &["overhead", "podFixed"])
}

fn has_overhead(spec: &Value) -> bool {
    json::entries(spec, &["overhead"]).next().is_some()
}

fn scheduling(asked: &Asked, spec: &mut Value, class: &Value) -> Result<(), Status> {
    let Some(scheduling) = json::at(class, &["scheduling"]) else { return Ok(()) };
    let mut selector: Map<String, Value> =
        json::at(spec, &["nodeSelector"]).and_then(Value::as_object).cloned().unwrap_or_default();
    for (key, value) in json::entries(scheduling, &["nodeSelector"]) {
        let word = |value: &Value| value.as_str().unwrap_or("").to_owned();
        if let Some(own) = selector.get(key).filter(|own| *own != value) {
            return Err(asked.forbidden(&format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {}; pod.spec.nodeSelector[{key}] = {}",
                word(value),
                word(own)
            )));
        }
        selector.insert(key.to_owned(), value.clone());
    }
    if !selector.is_empty() {
        json::set(spec, "nodeSelector", selector);
    }
    let more = json::list(scheduling, &["tolerations"]);
    if !more.is_empty() {
        let merged = tolerations::merged(json::list(spec, &["tolerations"]), more);
        json::set(spec, "tolerations", merged);
    }
    Ok(())
}
