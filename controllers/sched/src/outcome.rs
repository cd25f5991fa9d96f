//! A decision as a plan: a binding, a condition and an Event that say why not, pods that are made to go.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use leme_plan::common::annotation;
use leme_plan::volume::BOUND_BY_CONTROLLER;
use leme_plan::{Action, ObjectRef, OutcomeEvents, Plan, Report, Shown, Waiting, pods};
use serde_json::{Value, json};

use crate::volumes::{Promise, SELECTED_NODE, Storage};
use crate::why::Unschedulable;

/// Binds the pod.
pub fn bind(pod: &Pod, node: &str) -> Plan {
    let about = ObjectRef::to(pod);
    let told = OutcomeEvents {
        about: about.clone(),
        done: ("Scheduled", "Successfully assigned {namespace}/{name} to {node}".into()),
        failed: ("FailedScheduling", "Binding rejected: {error}".into()),
    };
    let action = Action::Bind { pod: about.clone(), node: node.to_owned(), told: Some(told) };
    Plan { actions: vec![action], report: Report::about(about), requeue: None }
}

/// Says why the pod is not bound, and which node it is nominated for, if for any.
pub fn unschedulable(
    pod: &Pod,
    why: &Unschedulable,
    nominated: Option<&str>,
    now: Timestamp,
) -> Plan {
    let message = why.to_string();
    let mut plan = told(pod, ("Unschedulable", "FailedScheduling"), &message, Shown::Warning, now);
    let known = pod.status.as_ref().and_then(|status| status.nominated_node_name.as_deref());
    if known.filter(|node| !node.is_empty()) != nominated {
        plan.act(nominate(&ObjectRef::to(pod), nominated));
    }
    plan
}

/// Says that the pod is held back by its gates.
pub fn gated(pod: &Pod, now: Timestamp) -> Plan {
    let message = "Scheduling is blocked due to non-empty scheduling gates";
    told(pod, ("SchedulingGated", "SchedulingGated"), message, Shown::Status, now)
}

/// Makes a pod go so that another finds room on the node.
pub fn preempted(victim: &Pod, preemptor: &Pod, node: &str, now: Timestamp) -> Plan {
    let about = ObjectRef::to(victim);
    let mut plan = Plan { report: Report::about(about.clone()), ..Plan::default() };
    let scheduler = preemptor.spec.as_ref().and_then(|spec| spec.scheduler_name.as_deref());
    let message = format!(
        "{}: preempting to accommodate a higher priority pod",
        scheduler.unwrap_or(crate::SCHEDULER_NAME)
    );
    let (kind, reason) = ("DisruptionTarget", "PreemptionByScheduler");
    if let Some(all) = pods::set_condition(victim, kind, "True", reason, &message, now) {
        plan.act(Action::status(about.clone().any_version(), json!({ "conditions": all })));
    }
    let uid = preemptor.metadata.uid.as_deref().unwrap_or("");
    let told = OutcomeEvents {
        about: about.clone(),
        done: ("Preempted", format!("Preempted by pod {uid} on node {node}").into()),
        failed: ("", "".into()),
    };
    plan.act(Action::Delete {
        target: about.any_version(),
        grace: None,
        propagation: leme_plan::Propagation::Default,
        told: Some(told),
    });
    plan
}

/// Gives the pod's claims what they are promised on the node.
pub fn promised(pod: &Pod, node: &str, promises: &[Promise], storage: &impl Storage) -> Plan {
    let about = ObjectRef::to(pod);
    let mut plan = Plan { report: Report::about(about.clone()), ..Plan::default() };
    for promise in promises {
        let (Promise::Bind { claim, .. } | Promise::Make { claim }) = promise;
        let Some(claim) = storage.claim(&about.namespace, claim) else { continue };
        match promise {
            Promise::Bind { volume, .. } => {
                let Some(volume) = storage.volume(volume) else { continue };
                let patch = json!({
                    "metadata": { "annotations": { BOUND_BY_CONTROLLER: "yes" } },
                    "spec": { "claimRef": {
                        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                        "namespace": claim.metadata.namespace, "name": claim.metadata.name,
                        "uid": claim.metadata.uid, "resourceVersion": claim.metadata.resource_version,
                    } },
                });
                plan.act(Action::patch(ObjectRef::to(volume.as_ref()), patch));
            }
            Promise::Make { .. } => {
                if annotation(&claim.metadata, SELECTED_NODE) != Some(node) {
                    let patch = json!({ "metadata": { "annotations": { SELECTED_NODE: node } } });
                    plan.act(Action::patch(ObjectRef::to(claim.as_ref()), patch));
                }
            }
        }
    }
    plan
}

/// Says that no room is made for the pod any more.
pub fn unnominated(pod: &Pod) -> Plan {
    let about = ObjectRef::to(pod);
    let actions = vec![nominate(&about, None)];
    Plan { actions, report: Report::about(about), requeue: None }
}

/// Writes which node the pod is nominated for.
fn nominate(pod: &ObjectRef, node: Option<&str>) -> Action {
    let node = node.map_or(Value::Null, Value::from);
    Action::status(pod.clone().any_version(), json!({ "nominatedNodeName": node }))
}

fn told(
    pod: &Pod,
    (reason, event): (&'static str, &'static str),
    message: &str,
    shown: Shown,
    now: Timestamp,
) -> Plan {
    let about = ObjectRef::to(pod);
    let mut plan = Plan { report: Report::about(about.clone()), ..Plan::default() };
    let set = pods::set_condition(pod, "PodScheduled", "False", reason, message, now);
    if let Some(conditions) = set {
        plan.act(Action::status(about.any_version(), json!({ "conditions": conditions })));
    }
    plan.wait(Waiting::new(event, message, shown));
    plan
}
