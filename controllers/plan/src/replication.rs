//! ReplicationControllers: as many active pods as asked for.
//!
//! Alone writes: the status of replication controllers; creates and deletes the pods they own. Relies on: pods that carry
//! its ownerReference being its own whatever they are called.

use std::cmp::{Ordering, Reverse};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::Resource;
use k8s_openapi::api::core::v1::{
    Pod, ReplicationController, ReplicationControllerCondition, ReplicationControllerStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde_json::json;

use crate::action::{Action, ObjectRef, Propagation, Told, to_object};
use crate::common::{Labels, after, annotation, controller_of, matches, until};
use crate::pods;
use crate::report::{Report, Shown, Waiting};
use crate::{Failure, Plan};

/// Creates or deletes at most this many pods in one round.
pub const BURST: usize = 500;

/// What is seen.
#[derive(Debug)]
pub struct Observed {
    /// The controller; `None` once it is gone.
    pub controller: Option<Arc<ReplicationController>>,
    /// The pods of its namespace that it owns, or that nobody owns; others do not matter.
    pub pods: Vec<Arc<Pod>>,
    /// What failed last time.
    pub failure: Option<Failure>,
}

struct Claimed {
    own: Vec<Arc<Pod>>,
    adopt: Vec<Arc<Pod>>,
    release: Vec<Arc<Pod>>,
}

/// What to do for one replication controller.
pub fn plan(seen: &Observed, now: Timestamp) -> Plan {
    let Some(controller) = &seen.controller else { return Plan::default() };
    let about = ObjectRef::to(controller.as_ref());
    let mut plan = Plan { report: Report::about(about.clone()), ..Plan::default() };
    let claimed = claim(controller, &seen.pods);
    for pod in &claimed.adopt {
        plan.act(adoption(pod, &about));
    }
    for pod in &claimed.release {
        plan.act(release(pod, &about));
    }
    let mut replicas: Vec<Arc<Pod>> = claimed.own;
    replicas.extend(claimed.adopt);
    let status = status(controller, &replicas, seen.failure.as_ref(), now);
    if controller.status.as_ref() != Some(&status) {
        let mut patch = serde_json::to_value(&status).unwrap_or_default();
        for field in ["conditions", "fullyLabeledReplicas", "readyReplicas", "availableReplicas"] {
            if patch.get(field).is_none() {
                patch[field] = json!(null);
            }
        }
        plan.act(Action::status(about.clone().any_version(), patch));
    }
    if controller.metadata.deletion_timestamp.is_none() {
        manage(controller, &about, &replicas, now, &mut plan);
    }
    wait_for_replicas(controller, &replicas, now, &mut plan);
    plan
}

fn claim(controller: &ReplicationController, all: &[Arc<Pod>]) -> Claimed {
    let mut claimed = Claimed { own: Vec::new(), adopt: Vec::new(), release: Vec::new() };
    let deleting = controller.metadata.deletion_timestamp.is_some();
    let empty = Labels::new();
    let selector =
        controller.spec.as_ref().and_then(|spec| spec.selector.as_ref()).unwrap_or(&empty);
    for pod in all.iter().filter(|pod| pods::is_active(pod)) {
        let wanted = !selector.is_empty() && matches(selector, pod.metadata.labels.as_ref());
        match controller_of(&pod.metadata) {
            Some(owner) if Some(&owner.uid) != controller.metadata.uid.as_ref() => {}
            Some(_) if wanted => claimed.own.push(pod.clone()),
            Some(_) if !deleting => claimed.release.push(pod.clone()),
            None if wanted && !deleting => claimed.adopt.push(pod.clone()),
            _ => {}
        }
    }
    claimed
}

fn adoption(pod: &Pod, owner: &ObjectRef) -> Action {
    let mut owners = pod.metadata.owner_references.clone().unwrap_or_default();
    owners.push(owner.controller_ref());
    Action::Patch {
        target: ObjectRef::to(pod),
        subresource: "",
        patch: json!({ "metadata": { "ownerReferences": owners } }),
        only_if: Some(owner.clone()),
    }
}

fn release(pod: &Pod, owner: &ObjectRef) -> Action {
    let rest: Vec<_> = pod
        .metadata
        .owner_references
        .iter()
        .flatten()
        .filter(|reference| reference.uid != owner.uid)
        .collect();
    Action::patch(ObjectRef::to(pod), json!({ "metadata": { "ownerReferences": rest } }))
}

fn desired(controller: &ReplicationController) -> usize {
    let replicas = controller.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    usize::try_from(replicas).unwrap_or(0)
}

fn manage(
    controller: &ReplicationController,
    about: &ObjectRef,
    replicas: &[Arc<Pod>],
    now: Timestamp,
    plan: &mut Plan,
) {
    let wanted = desired(controller);
    if replicas.len() < wanted {
        let missing = (wanted - replicas.len()).min(BURST);
        let Some(pod) = new_pod(controller, about) else { return };
        let object = to_object(&pod);
        for _ in 0..missing {
            plan.act(Action::Create {
                object: object.clone(),
                told: Some(Told {
                    about: about.clone(),
                    done: ("SuccessfulCreate", "Created pod: {name}"),
                    failed: ("FailedCreate", "Error creating: {error}"),
                }),
            });
        }
    } else if replicas.len() > wanted {
        let surplus = (replicas.len() - wanted).min(BURST);
        for pod in ranked(replicas, now).into_iter().take(surplus) {
            plan.act(Action::Delete {
                target: ObjectRef::to(pod.as_ref()).any_version(),
                grace: None,
                propagation: Propagation::Default,
                told: Some(Told {
                    about: about.clone(),
                    done: ("SuccessfulDelete", "Deleted pod: {name}"),
                    failed: ("FailedDelete", "Error deleting: {error}"),
                }),
            });
        }
    }
}

fn new_pod(controller: &ReplicationController, about: &ObjectRef) -> Option<Pod> {
    let template = controller.spec.as_ref()?.template.as_ref()?;
    let meta = template.metadata.clone().unwrap_or_default();
    Some(Pod {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", about.name)),
            namespace: Some(about.namespace.clone()),
            labels: meta.labels,
            annotations: meta.annotations,
            finalizers: meta.finalizers,
            owner_references: Some(vec![about.controller_ref()]),
            ..ObjectMeta::default()
        },
        spec: template.spec.clone(),
        status: None,
    })
}

/// The replicas, those to be deleted first at the front: unassigned, pending, not ready, cheap by annotation, crowded
/// together, ready for a shorter time, restarted more often, younger.
fn ranked(replicas: &[Arc<Pod>], now: Timestamp) -> Vec<Arc<Pod>> {
    let mut sorted = replicas.to_vec();
    let mut crowds: HashMap<&str, usize> = HashMap::new();
    for pod in replicas {
        *crowds.entry(pods::node_name(pod)).or_default() += 1;
    }
    let crowd = |pod: &Pod| crowds.get(pods::node_name(pod)).copied().unwrap_or(0);
    let age = |time: Option<Timestamp>| {
        let seconds = time.map_or(0, |time| now.duration_since(time).as_secs().max(0));
        (seconds as u64).checked_ilog2().map_or(0, |log| log + 1)
    };
    sorted.sort_by_cached_key(|pod| {
        let ready = pods::ready_since(pod);
        (
            !pods::node_name(pod).is_empty(),
            match pods::phase(pod) {
                "Running" => 2,
                "Unknown" => 1,
                _ => 0,
            },
            ready.is_some(),
            deletion_cost(pod),
            Reverse(crowd(pod)),
            age(ready),
            Reverse(restarts(pod)),
            age(pod.metadata.creation_timestamp.as_ref().map(|time| time.0)),
            pod.metadata.uid.clone(),
        )
    });
    sorted
}

fn deletion_cost(pod: &Pod) -> i32 {
    annotation(&pod.metadata, "controller.kubernetes.io/pod-deletion-cost")
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

fn restarts(pod: &Pod) -> i32 {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    statuses.into_iter().flatten().map(|status| status.restart_count).max().unwrap_or(0)
}

fn status(
    controller: &ReplicationController,
    replicas: &[Arc<Pod>],
    failure: Option<&Failure>,
    now: Timestamp,
) -> ReplicationControllerStatus {
    let spec = controller.spec.clone().unwrap_or_default();
    let labels = spec
        .template
        .and_then(|template| template.metadata)
        .and_then(|meta| meta.labels)
        .unwrap_or_default();
    let min_ready = spec.min_ready_seconds.unwrap_or(0);
    let count = |keep: &dyn Fn(&Pod) -> bool| {
        let number = replicas.iter().filter(|pod| keep(pod)).count();
        Some(i32::try_from(number).unwrap_or(i32::MAX)).filter(|number| *number > 0)
    };
    ReplicationControllerStatus {
        replicas: count(&|_| true).unwrap_or(0),
        fully_labeled_replicas: count(&|pod| matches(&labels, pod.metadata.labels.as_ref())),
        ready_replicas: count(&pods::is_ready),
        available_replicas: count(&|pod| pods::is_available(pod, min_ready, now)),
        observed_generation: controller.metadata.generation,
        conditions: conditions(controller, failure, now),
    }
}

fn conditions(
    controller: &ReplicationController,
    failure: Option<&Failure>,
    now: Timestamp,
) -> Option<Vec<ReplicationControllerCondition>> {
    let old = controller.status.as_ref().and_then(|status| status.conditions.clone());
    let mut list = old.unwrap_or_default();
    let known = list.iter().position(|one| one.type_ == "ReplicaFailure");
    match (failure, known) {
        (None, Some(index)) => {
            list.remove(index);
        }
        (Some(failure), None) => list.push(ReplicationControllerCondition {
            type_: "ReplicaFailure".to_owned(),
            status: "True".to_owned(),
            reason: Some(failure.reason.clone()),
            message: Some(failure.message.clone()),
            last_transition_time: Some(Time(now)),
        }),
        _ => {}
    }
    Some(list).filter(|list| !list.is_empty())
}

fn wait_for_replicas(
    controller: &ReplicationController,
    replicas: &[Arc<Pod>],
    now: Timestamp,
    plan: &mut Plan,
) {
    let min_ready = controller.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0);
    for pod in replicas {
        let target = ObjectRef {
            api_version: Pod::API_VERSION.to_owned(),
            kind: Pod::KIND.to_owned(),
            ..ObjectRef::to(pod.as_ref())
        };
        match pods::ready_since(pod) {
            None => plan.wait(
                Waiting::new(
                    "PodNotReady",
                    format!("pod {} is not ready", target.name),
                    Shown::Status,
                )
                .on(target),
            ),
            Some(since) => {
                let left = until(after(since, i64::from(min_ready)), now);
                if min_ready > 0 && left > Duration::ZERO {
                    plan.again_in(left);
                }
            }
        }
    }
    match replicas.len().cmp(&desired(controller)) {
        Ordering::Equal => {}
        _ => plan.wait(Waiting::new(
            "ReplicasDiffer",
            format!("{} of {} replicas exist", replicas.len(), desired(controller)),
            Shown::Status,
        )),
    }
}

#[cfg(test)]
mod tests;
