//! Priority: the class of a pod says how important it is, and one class at most is everybody's.
//!
//! Knows: how a class becomes a number. Refuses to know: who waits for whom.

use std::sync::Arc;

use leme_meta::Status;
use leme_registry::{Asked, Operation, json};
use serde_json::Value;

use crate::{Facts, PlugIn, Seen};

const CLASSES: Seen = Seen { group: "scheduling.k8s.io", version: "v1", plural: "priorityclasses" };
/// What a pod of no class does to others when there is no room for it.
const PREEMPTION: &str = "PreemptLowerPriority";

/// The classes that stay.
const SYSTEM: [&str; 2] = ["system-cluster-critical", "system-node-critical"];

pub(crate) const PLUG_IN: PlugIn = PlugIn {
    name: "Priority",
    about: |asked| {
        let writes = asked.operation != Operation::Delete;
        writes && asked.is_of("", "pods") || asked.is_of(CLASSES.group, CLASSES.plural)
    },
    sees: &[CLASSES],
    mutate: |asked, object, old, facts| match old {
        _ if !asked.is_of("", "pods") => Ok(()),
        None => new_pod(asked, object, facts),
        Some(old) => {
            keep(object, old);
            Ok(())
        }
    },
    validate: |asked, new, _, facts| match new {
        _ if !asked.is_of(CLASSES.group, CLASSES.plural) => Ok(()),
        Some(class) => only_default(asked, class, facts),
        None if SYSTEM.contains(&asked.name) => {
            Err(asked.forbidden("this is a system priority class and cannot be deleted"))
        }
        None => Ok(()),
    },
    ..PlugIn::NONE
};

/// An update may leave out what admission has set.
fn keep(pod: &mut Value, old: &Value) {
    let Some(before) = old.get("spec") else { return };
    let spec = json::child(pod, "spec");
    for field in ["priority", "preemptionPolicy"] {
        if json::unset(spec, field) {
            json::keep(spec, before, field);
        }
    }
}

fn new_pod(asked: &Asked, pod: &mut Value, facts: &dyn Facts) -> Result<(), Status> {
    let spec = json::child(pod, "spec");
    let name = json::text(spec, &["priorityClassName"]);
    let class = if name.is_empty() {
        default_class(facts)?
    } else {
        let class = facts.get(&CLASSES, "", name)?;
        let missing = || asked.forbidden(&format!("no PriorityClass with name {name} was found"));
        Some(class.ok_or_else(missing)?)
    };
    let class = class.as_deref().unwrap_or(&Value::Null);
    let from = "must not be provided in pod spec; priority admission controller computed";
    let priority = value(class);
    if let Some(given) = json::int(spec, &["priority"]).filter(|given| *given != priority) {
        return Err(asked.forbidden(&format!(
            "the integer value of priority ({given}) {from} {priority} from the given PriorityClass name"
        )));
    }
    let policy = match json::text(class, &["preemptionPolicy"]) {
        "" => PREEMPTION,
        policy => policy,
    };
    let given = json::text(spec, &["preemptionPolicy"]);
    if !given.is_empty() && given != policy {
        return Err(asked.forbidden(&format!(
            "the string value of PreemptionPolicy ({given}) {from} {policy} from the given PriorityClass name"
        )));
    }
    let name = json::text(class, &["metadata", "name"]);
    if !name.is_empty() {
        json::set(spec, "priorityClassName", name);
    }
    json::set(spec, "priority", priority);
    json::set(spec, "preemptionPolicy", policy);
    Ok(())
}

fn value(class: &Value) -> i64 {
    json::int(class, &["value"]).unwrap_or(0)
}

/// The class of pods that name none; of several that say so the one of the lowest value.
fn default_class(facts: &dyn Facts) -> Result<Option<Arc<Value>>, Status> {
    let all = facts.list(&CLASSES, "")?;
    let defaults = all.into_iter().filter(|class| json::flag(class, &["globalDefault"]));
    Ok(defaults.min_by_key(|class| value(class)))
}

fn only_default(asked: &Asked, class: &Value, facts: &dyn Facts) -> Result<(), Status> {
    if !json::flag(class, &["globalDefault"]) {
        return Ok(());
    }
    let Some(known) = default_class(facts)? else { return Ok(()) };
    let name = json::text(&known, &["metadata", "name"]);
    if asked.operation == Operation::Update && name == json::text(class, &["metadata", "name"]) {
        return Ok(());
    }
    Err(asked.forbidden(&format!(
        "PriorityClass {name} is already marked as default. Only one default can exist"
    )))
}
