//! PodNodeSelector: the pods of a namespace go to the nodes that its annotation says.
//!
//! Knows: the annotation, and how it comes into a pod. Refuses to know: which nodes there are. Off unless asked for.

use leme_meta::Status;
use leme_registry::{Asked, json};
use serde_json::{Map, Value};

use crate::lifecycle::NAMESPACES;
use crate::{Facts, PlugIn, creates_pod};

const SELECTOR: &str = "scheduler.alpha.kubernetes.io/node-selector";

pub(crate) const PLUG_IN: PlugIn = PlugIn {
    name: "PodNodeSelector",
    by_default: false,
    about: creates_pod,
    sees: &[NAMESPACES],
    mutate: |asked, pod, _, facts| {
        let mut all = selector(asked, facts)?;
        check(asked, pod, &all)?;
        all.extend(own(pod));
        if !all.is_empty() {
            json::set(json::child(pod, "spec"), "nodeSelector", all);
        }
        Ok(())
    },
    validate: |asked, pod, _, facts| match pod {
        Some(pod) => check(asked, pod, &selector(asked, facts)?),
        None => Ok(()),
    },
    ..PlugIn::NONE
};

fn own(pod: &Value) -> Map<String, Value> {
    let own = json::at(pod, &["spec", "nodeSelector"]).and_then(Value::as_object);
    own.cloned().unwrap_or_default()
}

/// Refuses a pod that wants another value of a label than its namespace.
fn check(asked: &Asked, pod: &Value, selector: &Map<String, Value>) -> Result<(), Status> {
    let own = own(pod);
    let differs = |(key, value): (&String, &Value)| own.get(key).is_some_and(|own| own != value);
    match selector.iter().any(differs) {
        true => {
            let why = "pod node label selector conflicts with its namespace node label selector";
            Err(asked.forbidden(why))
        }
        false => Ok(()),
    }
}

/// What the namespace of a pod says: labels with their values and commas between them.
fn selector(asked: &Asked, facts: &dyn Facts) -> Result<Map<String, Value>, Status> {
    let namespace = facts.get(&NAMESPACES, "", asked.namespace)?.unwrap_or_default();
    let text = json::text(&namespace, &["metadata", "annotations", SELECTOR]);
    if text.is_empty() {
        return Ok(Map::new());
    }
    let pairs = text.split(',').map(|pair| {
        let (key, value) = pair.split_once('=').filter(|(_, value)| !value.contains('='))?;
        Some((key.trim().to_owned(), Value::from(value.trim())))
    });
    let pairs: Option<Map<String, Value>> = pairs.collect();
    pairs.ok_or_else(|| Status::internal(format!("invalid selector: [{text}]")))
}
