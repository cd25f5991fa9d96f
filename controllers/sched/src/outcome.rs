//! A decision as a plan: a binding, a condition and an Event that say why not, pods that are made to go.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use leme_plan::common::annotation;
use leme_plan::volume::{SELECTED_NODE, reserve};
use leme_plan::{Action, ObjectRef, OutcomeEvents, Plan, Report, Shown, Waiting, pods};
use serde_json::{Value, json};

use crate::volumes::{Promise, Storage};
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
    let known = pod.status.as_ref().and_then(|status| status.nominated_node_name.as_deref());
    let status = match known.filter(|node| !node.is_empty()) == nominated {
        true => json!({}),
        false => json!({ "nominatedNodeName": nominated }),
    };
    let message = why.to_string();
    told(pod, ("Unschedulable", "FailedScheduling"), (&message, Shown::Warning), status, now)
}

/// Says that the pod is held back by its gates.
pub fn gated(pod: &Pod, now: Timestamp) -> Plan {
    let message = "Scheduling is blocked due to non-empty scheduling gates";
    let reasons = ("SchedulingGated", "SchedulingGated");
    told(pod, reasons, (message, Shown::Status), json!({}), now)
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
                plan.act(reserve(&volume, &claim));
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
    let status = json!({ "nominatedNodeName": null });
    let actions = vec![Action::status(about.clone().any_version(), status)];
    Plan { actions, report: Report::about(about), requeue: None }
}

/// Tells of a pod that has no node, as it was seen: what is late for a pod that has one by then is not written.
fn told(
    pod: &Pod,
    (reason, event): (&'static str, &'static str),
    (message, shown): (&str, Shown),
    mut status: Value,
    now: Timestamp,
) -> Plan {
    let about = ObjectRef::to(pod);
    let mut plan = Plan { report: Report::about(about.clone()), ..Plan::default() };
    let set = pods::set_condition(pod, "PodScheduled", "False", reason, message, now);
    if let Some(conditions) = set {
        status["conditions"] = conditions;
    }
    if status.as_object().is_some_and(|fields| !fields.is_empty()) {
        plan.act(Action::status(about, status));
    }
    plan.wait(Waiting::new(event, message, shown));
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red when what is told of a pod is written whatever has become of it: a pod that has a node is said to have none.
    #[test]
    fn what_is_late_is_not_written() {
        let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "n",
            "resourceVersion": "7"}, "status": {"nominatedNodeName": "a"}}))
        .unwrap();
        let why = Unschedulable::default();
        let actions = |nominated: Option<&str>| {
            unschedulable(&pod, &why, nominated, Timestamp::UNIX_EPOCH).actions
        };
        let [Action::Patch { target, patch, .. }] = &actions(None)[..] else { panic!() };
        assert_eq!(target.resource_version, "7");
        assert!(patch["status"]["conditions"].is_array());
        assert_eq!(patch["status"].get("nominatedNodeName"), Some(&Value::Null));
        let [Action::Patch { patch, .. }] = &actions(Some("a"))[..] else { panic!() };
        assert_eq!(patch["status"].get("nominatedNodeName"), None);
    }
}
