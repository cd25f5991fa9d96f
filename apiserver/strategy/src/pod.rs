//! Pods.
//!
//! Knows: what an update may change, how a pod is bound and deleted. Refuses to know: what admission adds to it, how it
//! runs.

use std::collections::HashSet;

use leme_meta::{FieldError, Path, Status};
use leme_registry::{Context, Strategy, json, names};
use serde_json::{Value, json};

use crate::check::Errors;
use crate::pod_spec::{self, defaults, resources};

mod ephemeral;
mod resize;

pub(crate) static STRATEGY: Strategy = Strategy {
    default: |pod| {
        let spec = json::child(pod, "spec");
        defaults::fill_pod(spec);
        defaults::fill(spec);
    },
    prepare_create,
    prepare_status,
    kept_by_status: &[&["spec"], &["metadata", "ownerReferences"]],
    validate,
    validate_create,
    validate_update,
    validate_status,
    warn,
    grace,
    evicted: |pod, ctx| {
        let evicted = json!({
            "type": "DisruptionTarget", "status": "True", "lastTransitionTime": ctx.timestamp(),
            "reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting",
        });
        condition(pod, evicted);
    },
    returns_deleted: true,
    bind: Some(bind),
    generation: Some(Strategy::spec_changed),
    ephemeral_containers: Some(ephemeral::PART),
    resize: Some(resize::PART),
    ..Strategy::PLAIN
};

fn prepare_create(pod: &mut Value, _: &Context) {
    let class = qos_class(&pod["spec"]);
    let mut status = json!({ "phase": "Pending", "qosClass": class });
    if !json::list(pod, &["spec", "schedulingGates"]).is_empty() {
        status["conditions"] = json!([{
            "type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
            "message": "Scheduling is blocked due to non-empty scheduling gates",
            "lastProbeTime": null, "lastTransitionTime": null,
        }]);
        json::drop_nulls(&mut status);
    }
    json::set(pod, "status", status);
}

/// The class of service that the resources of a pod earn.
fn qos_class(spec: &Value) -> &'static str {
    let mut any = false;
    let mut guaranteed = true;
    for container in
        ["containers", "initContainers"].iter().flat_map(|field| json::list(spec, &[field]))
    {
        for resource in ["cpu", "memory"] {
            let read = |kind| {
                json::at(container, &["resources", kind, resource])
                    .and_then(resources::parse)
                    .filter(|quantity| !quantity.is_zero())
            };
            let (request, limit) = (read("requests"), read("limits"));
            any |= request.is_some() || limit.is_some();
            guaranteed &= limit.is_some() && (request.is_none() || request == limit);
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

fn prepare_status(new: &mut Value, old: &Value, _: &Context) {
    if let Some(metadata) = old.get("metadata") {
        json::keep(json::child(new, "metadata"), metadata, "ownerReferences");
    }
    if let Some(class) = json::at(old, &["status", "qosClass"]) {
        json::default(json::child(new, "status"), "qosClass", class.clone());
    }
    keep_observed(new, old);
}

/// A status says of which generation it is, unless it does not know: then it says what the earlier one said.
fn keep_observed(new: &mut Value, old: &Value) {
    const FIELD: &str = "observedGeneration";
    let unknown = |value: &Value| json::int(value, &[FIELD]).unwrap_or(0) == 0;
    if let Some(old) = old.get("status").filter(|old| !unknown(old))
        && unknown(json::child(new, "status"))
    {
        json::keep(json::child(new, "status"), old, FIELD);
    }
    // Nothing says that there is one condition of a type.
    let mut before: Vec<&Value> = json::list(old, &["status", "conditions"]).iter().collect();
    for condition in json::list_mut(new, &["status", "conditions"]) {
        let kind = json::text(condition, &["type"]);
        let Some(at) = before.iter().position(|old| json::text(old, &["type"]) == kind) else {
            continue;
        };
        let old = before.remove(at);
        if unknown(condition) && !unknown(old) {
            json::keep(condition, old, FIELD);
        }
    }
}

/// Whether its node made the pod, of a file: it is not the API server's to change.
fn is_static(pod: &Value) -> bool {
    json::at(pod, &["metadata", "annotations", crate::pod_spec::annotations::MIRROR]).is_some()
}

fn validate(pod: &Value) -> Errors {
    let spec = pod.get("spec").unwrap_or(&Value::Null);
    let at = Path::new("metadata").child("annotations");
    let annotations = json::at(pod, &["metadata", "annotations"]);
    let mut errors = pod_spec::annotations::validate(annotations, spec, &at);
    errors.extend(pod_spec::validate(spec, &Path::new("spec"), true));
    errors
}

fn validate_update(new: &Value, old: &Value) -> Errors {
    let path = Path::new("spec");
    let at = Path::new("metadata").child("annotations");
    let [now, before] = [new, old].map(|pod| json::at(pod, &["metadata", "annotations"]));
    let mut errors = pod_spec::annotations::validate_update(now, before, &at);
    let mut same = true;
    for field in ["containers", "initContainers"] {
        if json::list(new, &["spec", field]).len() != json::list(old, &["spec", field]).len() {
            let why = "pod updates may not add or remove containers";
            errors.push(FieldError::forbidden(&path.child(field), why));
            same = false;
        }
    }
    if !same {
        return errors;
    }
    errors.extend(deadline(new, old, &path.child("activeDeadlineSeconds")));
    tolerations(new, old, &path.child("tolerations"), &mut errors);
    if munged(new, old) != *old.get("spec").unwrap_or(&Value::Null) {
        let why = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
        errors.push(FieldError::forbidden(&path, why));
    }
    errors
}

fn deadline(new: &Value, old: &Value, path: &Path) -> Option<FieldError> {
    let read = |pod| json::int(pod, &["spec", "activeDeadlineSeconds"]);
    match (read(new), read(old)) {
        (Some(new), Some(old)) if new > old => {
            Some(FieldError::invalid(path, new, "must be less than or equal to previous value"))
        }
        (None, Some(_)) => Some(FieldError::invalid(
            path,
            &Value::Null,
            "must not update from a positive integer to nil value",
        )),
        _ => None,
    }
}

fn tolerations(new: &Value, old: &Value, path: &Path, errors: &mut Errors) {
    let bare = |toleration: &Value| {
        let mut toleration = toleration.clone();
        json::remove(&mut toleration, "tolerationSeconds");
        toleration
    };
    let now: HashSet<Value> = json::list(new, &["spec", "tolerations"]).iter().map(bare).collect();
    if json::list(old, &["spec", "tolerations"])
        .iter()
        .any(|toleration| !now.contains(&bare(toleration)))
    {
        let why = "existing toleration can not be modified except its tolerationSeconds";
        errors.push(FieldError::forbidden(path, why));
    }
}

/// The spec of `new` with all that may change put back to what it is in `old`.
fn munged(new: &Value, old: &Value) -> Value {
    let mut spec = new.get("spec").cloned().unwrap_or(Value::Null);
    let before = old.get("spec").unwrap_or(&Value::Null);
    for field in ["containers", "initContainers"] {
        let old = json::list(before, &[field]);
        for (container, old) in json::list_mut(&mut spec, &[field]).iter_mut().zip(old) {
            json::keep(container, old, "image");
        }
    }
    for field in ["activeDeadlineSeconds", "tolerations"] {
        json::keep(&mut spec, before, field);
    }
    let grace = |spec: &Value| json::int(spec, &["terminationGracePeriodSeconds"]);
    if grace(before).is_some_and(|grace| grace < 0) && grace(&spec) == Some(1) {
        json::keep(&mut spec, before, "terminationGracePeriodSeconds");
    }
    spec
}

fn validate_status(new: &Value, old: &Value) -> Errors {
    let mut errors = Vec::new();
    let policy = json::text(old, &["spec", "restartPolicy"]);
    ended(new, old, "containerStatuses", policy, &mut errors);
    // Nothing starts them again.
    ended(new, old, "ephemeralContainerStatuses", "Never", &mut errors);
    errors
}

/// What has ended stays so, where nothing starts it again.
fn ended(new: &Value, old: &Value, field: &str, policy: &str, errors: &mut Errors) {
    if policy == "Always" {
        return;
    }
    let before = json::first_by_name(json::list(old, &["status", field]));
    for (index, status) in json::list(new, &["status", field]).iter().enumerate() {
        let before = before.get(json::text(status, &["name"]));
        let ended = before.and_then(|before| json::at(before, &["state", "terminated"]));
        let may_restart = policy == "OnFailure"
            && ended.is_some_and(|ended| json::int(ended, &["exitCode"]).unwrap_or(0) != 0);
        if ended.is_some() && !may_restart && json::at(status, &["state", "terminated"]).is_none() {
            let path = Path::new("status").child(field).index(index).child("state");
            errors.push(FieldError::forbidden(
                &path,
                "may not be transitioned to non-terminated state",
            ));
        }
    }
}

/// Only of what people write: updates come from programs, and often.
fn warn(pod: &Value, old: Option<&Value>) -> Vec<String> {
    if old.is_some() {
        return Vec::new();
    }
    let mut warnings = Vec::new();
    let wrong = names::dns1123_label(json::text(pod, &["metadata", "name"]));
    if !wrong.is_empty() {
        warnings.push(format!(
            "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [{}]",
            wrong.join(" ")
        ));
    }
    warnings.extend(pod_spec::warnings::of(pod, &Path::default()));
    warnings
}

fn validate_create(pod: &Value) -> Errors {
    let path = Path::new("spec");
    let mut errors = Vec::new();
    // Containers for debugging are added to what runs, by a way of their own.
    if !json::list(pod, &["spec", "ephemeralContainers"]).is_empty() {
        let at = path.child("ephemeralContainers");
        errors.push(FieldError::forbidden(&at, "cannot be set on create"));
    }
    if !json::text(pod, &["spec", "nodeName"]).is_empty()
        && !json::list(pod, &["spec", "schedulingGates"]).is_empty()
    {
        let why = "cannot be set until all schedulingGates have been cleared";
        errors.push(FieldError::forbidden(&path.child("nodeName"), why));
    }
    errors
}

fn grace(pod: &Value, asked: Option<i64>) -> Option<i64> {
    let period =
        asked.or_else(|| json::int(pod, &["spec", "terminationGracePeriodSeconds"])).unwrap_or(0);
    let unscheduled = json::text(pod, &["spec", "nodeName"]).is_empty();
    let over = matches!(json::text(pod, &["status", "phase"]), "Failed" | "Succeeded");
    Some(if unscheduled || over {
        0
    } else if period < 0 {
        1
    } else {
        period
    })
}

fn bind(ctx: &Context, binding: &Value, pod: &Value) -> Result<Value, Status> {
    let name = json::text(pod, &["metadata", "name"]);
    let conflict = |why: &str| {
        let mut resource = ctx.kind.gvr();
        resource.resource.push_str("/binding");
        Status::conflict(&resource, name, why)
    };
    let target = Path::new("target");
    let kind = json::text(binding, &["target", "kind"]);
    if !matches!(kind, "" | "Node") {
        let error = FieldError::not_supported(&target.child("kind"), kind, &["Node", "<empty>"]);
        return Err(Status::new(500, "", error.to_string()));
    }
    let node = json::text(binding, &["target", "name"]);
    if node.is_empty() {
        return Err(Status::new(
            500,
            "",
            FieldError::required(&target.child("name"), "").to_string(),
        ));
    }
    let uid = json::text(pod, &["metadata", "uid"]);
    let wanted = json::text(binding, &["metadata", "uid"]);
    if !wanted.is_empty() && wanted != uid {
        return Err(conflict(&format!(
            "Precondition failed: UID in precondition: {wanted}, UID in object meta: {uid}"
        )));
    }
    if json::at(pod, &["metadata", "deletionTimestamp"]).is_some() {
        return Err(conflict(&format!(
            "pod {name} is being deleted, cannot be assigned to a host"
        )));
    }
    let bound = json::text(pod, &["spec", "nodeName"]);
    if !bound.is_empty() {
        return Err(conflict(&format!("pod {name} is already assigned to node {bound:?}")));
    }
    if !json::list(pod, &["spec", "schedulingGates"]).is_empty() {
        return Err(conflict(&format!("pod {name} has non-empty .spec.schedulingGates")));
    }
    let mut new = pod.clone();
    json::set(json::child(&mut new, "spec"), "nodeName", node);
    for (key, value) in json::entries(binding, &["metadata", "annotations"]) {
        json::set(
            json::child(json::child(&mut new, "metadata"), "annotations"),
            key,
            value.clone(),
        );
    }
    scheduled(&mut new, ctx);
    Ok(new)
}

/// Sets the condition that the pod has a node.
fn scheduled(pod: &mut Value, ctx: &Context) {
    let now = ctx.timestamp();
    condition(pod, json!({ "type": "PodScheduled", "status": "True", "lastTransitionTime": now }));
}

/// Sets the condition of a type.
fn condition(pod: &mut Value, condition: Value) {
    let mut conditions = json::list(pod, &["status", "conditions"]).to_vec();
    conditions.retain(|old| json::text(old, &["type"]) != json::text(&condition, &["type"]));
    conditions.push(condition);
    json::set(json::child(pod, "status"), "conditions", conditions);
}
