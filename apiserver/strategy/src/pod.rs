//! Pods.
//!
//! Knows: what an update may change, how a pod is bound and deleted. Refuses to know: what admission adds to it, how it
//! runs.

use leme_meta::{FieldError, Path, Status, quote};
use leme_registry::{Context, Strategy, json, names};
use serde_json::{Value, json};

use crate::check::Errors;
use crate::pod_spec::{self, defaults, resources};

mod devices;
mod ephemeral;
mod labels;
mod resize;
mod status;
mod update;

pub(crate) static STRATEGY: Strategy = Strategy {
    default: |pod| {
        let spec = json::child(pod, "spec");
        defaults::fill_pod(spec);
        defaults::fill(spec);
    },
    prepare_create,
    switched_off: pod_spec::gates::of_pod,
    prepare_status: status::prepare,
    kept_by_status: &[&["spec"], &["metadata", "ownerReferences"]],
    validate,
    validate_create,
    validate_update: update::validate,
    validate_status: status::validate,
    warn,
    grace,
    evicted: |pod, ctx| {
        let evicted = json!({
            "type": "DisruptionTarget", "status": "True",
            "lastProbeTime": null, "lastTransitionTime": ctx.timestamp(),
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
    labels::merge(pod);
    let class = qos_class(&pod["spec"]);
    let mut status = json!({ "phase": "Pending", "qosClass": class });
    if !json::list(pod, &["spec", "schedulingGates"]).is_empty() {
        status["conditions"] = json!([{
            "type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
            "message": "Scheduling is blocked due to non-empty scheduling gates",
            "lastProbeTime": null, "lastTransitionTime": null,
        }]);
    }
    json::set(pod, "status", status);
}

/// The class of service that the resources of a pod earn: its own, if it has any, or else those of its containers.
fn qos_class(spec: &Value) -> &'static str {
    let mut any = false;
    let mut guaranteed = true;
    let own = pod_spec::whole::asks(spec).then_some(spec);
    let lists = ["containers", "initContainers"];
    let containers = lists.iter().flat_map(|field| json::list(spec, &[field]));
    for container in own.into_iter().chain(containers.filter(|_| own.is_none())) {
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

/// Whether its node made the pod, of a file: it is not the API server's to change.
fn is_static(pod: &Value) -> bool {
    json::at(pod, &["metadata", "annotations", crate::pod_spec::annotations::MIRROR]).is_some()
}

fn validate(pod: &Value) -> Errors {
    let spec = pod.get("spec").unwrap_or(&Value::Null);
    let at = Path::new("metadata").child("annotations");
    let annotations = json::at(pod, &["metadata", "annotations"]);
    let mut errors = pod_spec::annotations::validate(annotations, spec, &at);
    let metadata = pod.get("metadata").unwrap_or(&Value::Null);
    errors.extend(pod_spec::validate(spec, &Path::new("spec"), Some(metadata)));
    if json::text(spec, &["serviceAccountName"]).is_empty() {
        no_tokens(spec, &Path::new("spec").child("volumes"), &mut errors);
    }
    errors
}

/// Without an account there is no token.
fn no_tokens(spec: &Value, path: &Path, errors: &mut Errors) {
    for (index, volume) in json::list(spec, &["volumes"]).iter().enumerate() {
        let path = path.index(index).child("projected").child("sources");
        for (index, source) in json::list(volume, &["projected", "sources"]).iter().enumerate() {
            if json::at(source, &["serviceAccountToken"]).is_some() {
                let at = path.index(index).child("serviceAccountToken");
                let why = "must not be specified when serviceAccountName is not set";
                errors.push(FieldError::forbidden(&at, why));
            }
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
        let bound = quote(bound);
        return Err(conflict(&format!("pod {name} is already assigned to node {bound}")));
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
    let bound = json!({
        "type": "PodScheduled", "status": "True",
        "lastProbeTime": null, "lastTransitionTime": ctx.timestamp(),
    });
    condition(pod, bound);
}

/// Sets the condition of a type.
fn condition(pod: &mut Value, condition: Value) {
    let mut conditions = json::list(pod, &["status", "conditions"]).to_vec();
    conditions.retain(|old| json::text(old, &["type"]) != json::text(&condition, &["type"]));
    conditions.push(condition);
    json::set(json::child(pod, "status"), "conditions", conditions);
}
