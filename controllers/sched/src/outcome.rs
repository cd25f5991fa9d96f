//! A decision as a plan: a binding, or a condition and an Event that say why not.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use leme_plan::{Action, ObjectRef, OutcomeEvents, Plan, Report, Shown, Waiting, pods};
use serde_json::json;

use crate::filter::Unschedulable;

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

/// Says why the pod is not bound.
pub fn unschedulable(pod: &Pod, why: &Unschedulable, now: Timestamp) -> Plan {
    told(pod, "Unschedulable", "FailedScheduling", &why.to_string(), Shown::Warning, now)
}

/// Says that the pod is held back by its gates.
pub fn gated(pod: &Pod, now: Timestamp) -> Plan {
    let message = "Scheduling is blocked due to non-empty scheduling gates";
    told(pod, "SchedulingGated", "SchedulingGated", message, Shown::Status, now)
}

fn told(
    pod: &Pod,
    reason: &'static str,
    event: &'static str,
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
