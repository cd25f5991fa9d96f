//! PodTolerationRestriction: what the pods of a namespace tolerate by default, and what at most.
//!
//! Knows: both annotations of a namespace, and how tolerations cover each other. Refuses to know: taints. Off unless asked
//! for.

use leme_meta::Status;
use leme_registry::{Asked, Operation, json};
use serde_json::Value;

use crate::lifecycle::NAMESPACES;
use crate::{Facts, PlugIn, tolerations};

const DEFAULTS: &str = "scheduler.alpha.kubernetes.io/defaultTolerations";
const AT_MOST: &str = "scheduler.alpha.kubernetes.io/tolerationsWhitelist";

pub(crate) const PLUG_IN: PlugIn = PlugIn {
    name: "PodTolerationRestriction",
    by_default: false,
    about: |asked| asked.operation != Operation::Delete && asked.is_of("", "pods"),
    sees: &[NAMESPACES],
    mutate: |asked, pod, old, facts| {
        let more = list(asked, DEFAULTS, facts)?;
        if old.is_none() && !more.is_empty() {
            let spec = json::child(pod, "spec");
            let merged = tolerations::merged(&more, json::list(spec, &["tolerations"]));
            json::set(spec, "tolerations", merged);
        }
        Ok(())
    },
    validate: |asked, pod, _, facts| {
        let Some(pod) = pod else { return Ok(()) };
        let allowed = list(asked, AT_MOST, facts)?;
        let own = json::list(pod, &["spec", "tolerations"]);
        let is_allowed = |own: &Value| allowed.iter().any(|one| tolerations::covers(one, own));
        match allowed.is_empty() || own.iter().all(is_allowed) {
            true => Ok(()),
            false => {
                let why = "pod tolerations (possibly merged with namespace default tolerations) conflict with its namespace whitelist";
                Err(Status::new(500, "", why.to_owned()))
            }
        }
    },
    ..PlugIn::NONE
};

/// The tolerations that an annotation of the namespace lists.
fn list(asked: &Asked, name: &str, facts: &dyn Facts) -> Result<Vec<Value>, Status> {
    let namespace = facts.get(&NAMESPACES, "", asked.namespace)?.unwrap_or_default();
    let text = json::text(&namespace, &["metadata", "annotations", name]);
    match text {
        "" => Ok(Vec::new()),
        text => serde_json::from_str(text).map_err(|error| Status::new(500, "", error.to_string())),
    }
}
