//! What the tests of several controllers say alike: objects with something laid over them, pods told in a word, the status
//! that a plan writes.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use serde_json::{Value, from_value, json};

use crate::{Action, ObjectRef, Plan, history};

/// The object with every value of `more` at its place, which is said as a JSON pointer.
pub(crate) fn laid(mut object: Value, more: &Value) -> Value {
    for (path, value) in more.as_object().into_iter().flatten() {
        let (parent, field) = path.rsplit_once('/').expect("a pointer");
        object.pointer_mut(parent).expect("a parent")[field] = value.clone();
    }
    object
}

/// A revision of an object whose template has another image.
pub(crate) fn revision(
    owner: &ObjectRef,
    template: &PodTemplateSpec,
    name: &str,
    label: (&'static str, String),
    number: i64,
    image: &str,
) -> Arc<ControllerRevision> {
    let mut template = template.clone();
    template.spec.as_mut().expect("a spec").containers[0].image = Some(image.to_owned());
    let mut made = history::make(owner, None, &template, name.to_owned(), label);
    made.revision = number;
    Arc::new(made)
}

/// A pod of a set of that name and uid. Its state is `+` available, `-` not ready, `?` pending, `!` on its way out, `x`
/// failed, `s` succeeded.
pub(crate) fn pod(name: &str, kind: &str, owner: (&str, &str), labels: Value, state: &str) -> Pod {
    let phase = match state {
        "x" => "Failed",
        "s" => "Succeeded",
        "?" => "Pending",
        _ => "Running",
    };
    let ready = if matches!(state, "+" | "!") { "True" } else { "False" };
    let mut object = json!({
        "metadata": {"name": name, "namespace": "n", "uid": name, "labels": labels,
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": kind, "name": owner.0, "uid": owner.1,
                "controller": true}]},
        "spec": {"containers": []},
        "status": {"phase": phase, "conditions": [
            {"type": "Ready", "status": ready, "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
    });
    if state == "!" {
        object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:59:00Z");
    }
    from_value(object).expect("a pod")
}

/// What the last patch of a status says, its preconditions and all; null if there is none.
pub(crate) fn status_patch(plan: &Plan) -> Value {
    let patch = plan.actions.iter().rev().find_map(|action| match action {
        Action::Patch { subresource: "status", patch, .. } => Some(patch.clone()),
        _ => None,
    });
    patch.unwrap_or_default()
}

/// The status that a plan writes last; null if it writes none.
pub(crate) fn status(plan: &Plan) -> Value {
    status_patch(plan)["status"].take()
}
