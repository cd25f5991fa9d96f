//! The life cycle of nodes: silence makes a node Unknown, conditions make taints, taints drive pods away.
//!
//! Alone writes: the `node.kubernetes.io/*` taints that follow from conditions, conditions of silent nodes, and `Ready`
//! of pods on silent nodes. When every node is silent at once the fault is taken to be elsewhere and nothing is evicted.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use crate::Plan;
use crate::action::{Action, ObjectRef, Propagation};
use crate::common::time_text;
use crate::pods;
use crate::report::{Report, Shown, Waiting};
use crate::taints::{Leave, leave};

/// A node that says nothing for this long is Unknown.
pub const GRACE: Duration = Duration::from_secs(40);
/// Taint of nodes that say they are not ready.
pub const NOT_READY: &str = "node.kubernetes.io/not-ready";
/// Taint of silent nodes.
pub const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

/// NoSchedule taints by condition: type, status, taint key.
const BY_CONDITION: &[(&str, &str, &str)] = &[
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
];
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
const HEARTBEAT_CONDITIONS: &[&str] = &["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/// What is seen.
#[derive(Debug)]
pub struct Observed {
    /// The node.
    pub node: Arc<Node>,
    /// When, by the clock of `now`, the node's last sign of life came in.
    pub heard: Timestamp,
    /// Pods bound to it.
    pub pods: Vec<Arc<Pod>>,
    /// Whether no node at all is ready or within its grace.
    pub all_dark: bool,
}

/// The status of the node's Ready condition, or `""`.
pub fn ready_status(node: &Node) -> &str {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ready = conditions.into_iter().flatten().find(|condition| condition.type_ == "Ready");
    ready.map_or("", |ready| ready.status.as_str())
}

/// What to do for one node.
pub fn plan(seen: &Observed, now: Timestamp) -> Plan {
    let node = seen.node.as_ref();
    let about = ObjectRef::to(node);
    let mut plan = Plan { report: Report::about(about.clone()), ..Plan::default() };
    if node.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    let silence = Duration::try_from(now.duration_since(seen.heard)).unwrap_or(Duration::ZERO);
    let silent = silence >= GRACE;
    if !silent {
        plan.again_in(GRACE.saturating_sub(silence).max(Duration::from_millis(1)));
    } else if let Some(conditions) = unknown_conditions(node, now) {
        plan.act(Action::status(about.clone().any_version(), json!({ "conditions": conditions })));
        plan.act(Action::normal(
            about.clone(),
            "NodeNotReady",
            format!("Node {} status is now: NodeNotReady", about.name),
        ));
        // Taints follow from conditions: the node's own event wakes this plan again.
        return plan;
    }
    let ready = ready_status(node);
    if ready != "True" {
        let message =
            if ready == "Unknown" { "the node says nothing" } else { "the node is not ready" };
        plan.wait(Waiting::new("NodeNotReady", message, Shown::Status));
    }
    let taints = desired_taints(node, seen.all_dark, now);
    let old = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    if taints != old {
        plan.act(Action::patch(about, json!({ "spec": { "taints": taints } })));
    }
    if ready == "Unknown" {
        mark_pods(&seen.pods, now, &mut plan);
    }
    if !seen.all_dark {
        evict(&seen.pods, &taints, ready == "Unknown", now, &mut plan);
    }
    plan
}

/// The node's conditions with those that a heartbeat carries made Unknown; `None` if they are.
fn unknown_conditions(node: &Node, now: Timestamp) -> Option<Vec<Value>> {
    let old = node.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    let mut list: Vec<Value> =
        old.iter().map(|one| serde_json::to_value(one).unwrap_or_default()).collect();
    let mut changed = false;
    for kind in HEARTBEAT_CONDITIONS {
        let known = list.iter().position(|one| one["type"] == *kind);
        let (reason, message) = match known {
            Some(_) => ("NodeStatusUnknown", "Kubelet stopped posting node status."),
            None => ("NodeStatusNeverUpdated", "Kubelet never posted node status."),
        };
        let index = known.unwrap_or_else(|| {
            list.push(
                json!({ "type": kind, "lastHeartbeatTime": node.metadata.creation_timestamp }),
            );
            list.len() - 1
        });
        let one = &mut list[index];
        if one["status"] == "Unknown" {
            continue;
        }
        changed = true;
        one["status"] = "Unknown".into();
        one["reason"] = reason.into();
        one["message"] = message.into();
        one["lastTransitionTime"] = time_text(now).into();
    }
    changed.then_some(list)
}

fn desired_taints(node: &Node, all_dark: bool, now: Timestamp) -> Vec<Taint> {
    let spec = node.spec.clone().unwrap_or_default();
    let conditions =
        node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let mut wanted: Vec<(&str, &str)> = Vec::new();
    for (kind, status, key) in BY_CONDITION {
        if conditions.iter().any(|one| one.type_ == *kind && one.status == *status) {
            wanted.push((key, "NoSchedule"));
            if *kind == "Ready" && !all_dark {
                wanted.push((key, "NoExecute"));
            }
        }
    }
    if ready_status(node).is_empty() {
        wanted.push((NOT_READY, "NoSchedule"));
    }
    if spec.unschedulable == Some(true) {
        wanted.push((UNSCHEDULABLE, "NoSchedule"));
    }
    let ours = |taint: &Taint| match taint.effect.as_str() {
        "NoSchedule" => {
            taint.key == UNSCHEDULABLE || BY_CONDITION.iter().any(|(.., key)| *key == taint.key)
        }
        "NoExecute" => taint.key == NOT_READY || taint.key == UNREACHABLE,
        _ => false,
    };
    let is =
        |taint: &Taint, (key, effect): (&str, &str)| taint.key == key && taint.effect == effect;
    let mut taints: Vec<Taint> = spec
        .taints
        .unwrap_or_default()
        .into_iter()
        .filter(|taint| !ours(taint) || wanted.iter().any(|pair| is(taint, *pair)))
        .collect();
    // Who taints by hand does not say since when, and pods tolerate it for a time from then on.
    let undated = |taint: &&mut Taint| taint.effect == "NoExecute" && taint.time_added.is_none();
    taints.iter_mut().filter(undated).for_each(|taint| taint.time_added = Some(Time(now)));
    for pair in wanted {
        if !taints.iter().any(|taint| is(taint, pair)) {
            taints.push(Taint {
                key: pair.0.to_owned(),
                effect: pair.1.to_owned(),
                time_added: Some(Time(now)),
                value: None,
            });
        }
    }
    taints
}

fn mark_pods(all: &[Arc<Pod>], now: Timestamp, plan: &mut Plan) {
    for pod in all.iter().filter(|pod| pods::is_ready(pod) && !pods::is_terminal(pod)) {
        let set = pods::set_condition(pod, "Ready", "False", "", "", now);
        let Some(conditions) = set else { continue };
        plan.act(Action::status(ObjectRef::to(pod.as_ref()), json!({ "conditions": conditions })));
        plan.act(Action::warning(ObjectRef::to(pod.as_ref()), "NodeNotReady", "Node is not ready"));
    }
}

fn evict(all: &[Arc<Pod>], taints: &[Taint], silent: bool, now: Timestamp, plan: &mut Plan) {
    if !taints.iter().any(|taint| taint.effect == "NoExecute") {
        return;
    }
    // A pod whose conditions this plan has just changed comes again with its own event.
    let settled = |pod: &&Arc<Pod>| !(pods::is_deleting(pod) || silent && pods::is_ready(pod));
    for pod in all.iter().filter(settled) {
        let tolerations =
            pod.spec.as_ref().and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default();
        let left = match leave(tolerations, taints, now) {
            Leave::Never => continue,
            Leave::In(left) => left,
        };
        let target = ObjectRef::to(pod.as_ref());
        if left > Duration::ZERO {
            plan.again_in(left);
            let message = format!(
                "pod {}/{} is evicted in {}s",
                target.namespace,
                target.name,
                left.as_secs()
            );
            plan.wait(Waiting::new("EvictionPending", message, Shown::Status).on(target));
            continue;
        }
        let message = format!("Marking for deletion Pod {}/{}", target.namespace, target.name);
        plan.act(Action::normal(target.clone(), "TaintManagerEviction", message));
        let disrupted = pods::set_condition(
            pod,
            "DisruptionTarget",
            "True",
            "DeletionByTaintManager",
            "Taint manager: deleting due to NoExecute taint",
            now,
        );
        if let Some(conditions) = disrupted {
            plan.act(Action::status(target.clone(), json!({ "conditions": conditions })));
        }
        plan.act(Action::Delete {
            target: target.any_version(),
            grace: None,
            propagation: Propagation::Default,
            told: None,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::after;

    fn silent(ready: &str) -> &str {
        if ready == "Unknown" { "Unknown" } else { "False" }
    }

    fn node(ready: &str, taints: Value) -> Arc<Node> {
        Arc::new(
            serde_json::from_value(json!({
                "metadata": {"name": "a", "uid": "u"},
                "spec": {"taints": taints},
                "status": {"conditions": [
                    {"type": "Ready", "status": ready}, {"type": "MemoryPressure", "status": silent(ready)},
                    {"type": "DiskPressure", "status": silent(ready)}, {"type": "PIDPressure", "status": silent(ready)},
                ]},
            }))
            .unwrap(),
        )
    }

    fn check(node: Arc<Node>, silent: i64, all_dark: bool) -> Vec<String> {
        let now = after(Timestamp::UNIX_EPOCH, 1000);
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "p"},
            "spec": {"containers": [], "tolerations": [
                {"key": UNREACHABLE, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}]},
        }))
        .unwrap();
        let heard = after(now, -silent);
        let seen = Observed { node, heard, pods: vec![Arc::new(pod)], all_dark };
        let plan = plan(&seen, now);
        let mut lines: Vec<String> = plan
            .actions
            .iter()
            .map(|action| match action {
                Action::Patch { patch, subresource: "status", target, .. } => {
                    format!("{} {}", target.name, patch["status"]["conditions"][0]["status"])
                }
                Action::Patch { patch, .. } => {
                    let taints = patch["spec"]["taints"].as_array().cloned().unwrap_or_default();
                    let names: Vec<String> = taints
                        .iter()
                        .map(|taint| {
                            format!(
                                "{}:{}",
                                taint["key"].as_str().unwrap_or(""),
                                taint["effect"].as_str().unwrap_or("")
                            )
                        })
                        .collect();
                    format!("taints {}", names.join(" "))
                }
                Action::Delete { target, .. } => format!("delete {}", target.name),
                Action::Event { reason, .. } => (*reason).to_owned(),
                other => format!("{other:?}"),
            })
            .collect();
        lines.extend(plan.requeue.map(|again| format!("again in {}s", again.as_secs())));
        lines
    }

    #[test]
    fn silence_then_taints_then_eviction() {
        assert_eq!(check(node("True", json!([])), 10, false), ["again in 30s"]);
        assert_eq!(check(node("True", json!([])), 40, false), ["a \"Unknown\"", "NodeNotReady"]);
        assert_eq!(
            check(node("Unknown", json!([])), 41, false),
            [
                "taints node.kubernetes.io/unreachable:NoSchedule node.kubernetes.io/unreachable:NoExecute",
                "again in 300s"
            ]
        );
        let added = |seconds| {
            json!([{"key": UNREACHABLE, "effect": "NoSchedule"},
                {"key": UNREACHABLE, "effect": "NoExecute", "timeAdded": time_text(after(Timestamp::UNIX_EPOCH, seconds))}])
        };
        assert_eq!(check(node("Unknown", added(900)), 141, false), ["again in 200s"]);
        assert_eq!(
            check(node("Unknown", added(700)), 341, false),
            ["TaintManagerEviction", "p \"True\"", "delete p"]
        );
        assert_eq!(check(node("True", added(700)), 0, false), ["taints ", "again in 40s"]);
    }

    // Red when such a taint stays undated: the time begins anew with each look, and nobody ever leaves.
    #[test]
    fn a_taint_that_does_not_say_since_when_counts_from_now() {
        let undated = json!([{"key": UNREACHABLE, "effect": "NoSchedule"},
            {"key": UNREACHABLE, "effect": "NoExecute"}]);
        assert_eq!(
            check(node("Unknown", undated), 141, false),
            [
                "taints node.kubernetes.io/unreachable:NoSchedule node.kubernetes.io/unreachable:NoExecute",
                "again in 300s"
            ]
        );
    }

    #[test]
    fn nothing_is_evicted_when_all_nodes_are_silent() {
        assert_eq!(
            check(node("Unknown", json!([])), 41, true),
            ["taints node.kubernetes.io/unreachable:NoSchedule"]
        );
    }
}
