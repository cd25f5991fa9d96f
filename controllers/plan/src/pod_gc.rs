//! Pods that nobody will end: bound to a node that is gone, or deleted before they were bound.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use crate::Plan;
use crate::action::{Action, ObjectRef, Propagation};
use crate::pods;
use crate::report::{Shown, Waiting};

/// A node has to be gone for this long before its pods go.
pub const QUARANTINE: Duration = Duration::from_secs(40);

/// What is seen.
#[derive(Debug)]
pub struct Observed {
    /// Pods that name a node that does not exist, or, being deleted, none.
    pub pods: Vec<Arc<Pod>>,
    /// Since when the node is known to be gone; `None` for pods with no node.
    pub gone_since: Option<Timestamp>,
    /// Whether the API itself says that the node does not exist.
    pub verified: bool,
}

/// What to do for the pods of one missing node.
pub fn plan(seen: &Observed, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    if let Some(since) = seen.gone_since.filter(|_| !seen.pods.is_empty()) {
        let gone = Duration::try_from(now.duration_since(since)).unwrap_or(Duration::ZERO);
        if gone < QUARANTINE || !seen.verified {
            plan.again_in(QUARANTINE.saturating_sub(gone).max(Duration::from_secs(1)));
            plan.wait(Waiting::new("NodeGone", "the node of these pods is gone", Shown::Status));
            return plan;
        }
    }
    for pod in &seen.pods {
        collect(pod, seen.gone_since.is_some(), now, &mut plan);
    }
    plan
}

fn collect(pod: &Pod, node_gone: bool, now: Timestamp, plan: &mut Plan) {
    let target = ObjectRef::to(pod).any_version();
    if node_gone && !pods::is_terminal(pod) {
        let conditions = pods::set_condition(
            pod,
            "DisruptionTarget",
            "True",
            "DeletionByPodGC",
            "PodGC: node no longer exists",
            now,
        );
        let mut status = json!({ "phase": "Failed" });
        if let Some(conditions) = conditions {
            status["conditions"] = conditions;
        }
        plan.act(Action::status(target.clone(), status));
    }
    plan.act(Action::Delete {
        target,
        grace: Some(0),
        propagation: Propagation::Default,
        told: None,
    });
}
