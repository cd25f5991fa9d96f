//! What ReplicationControllers and ReplicaSets do alike: claim pods, create those that are missing, delete those too many,
//! count them.
//!
//! Knows: pods and which of them are of least use. Refuses to know: the kind that asks and how its selector is written.

use std::cmp::{Ordering, Reverse};
use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use crate::action::ObjectRef;
use crate::claim::claim;
use crate::common::{Labels, annotation, controller_of, matches, time_text};
use crate::report::{Report, Shown, Waiting};
use crate::{Failure, Plan};
use crate::{pod_control, pods};

/// Creates or deletes at most this many pods in one round.
pub const BURST: usize = 500;

/// What a controller asks for.
pub struct Wanted<'a> {
    /// The controller.
    pub about: ObjectRef,
    /// Its metadata.
    pub meta: &'a ObjectMeta,
    /// How many pods.
    pub replicas: i32,
    /// How long a pod has to be ready to be available.
    pub min_ready: i32,
    /// What the pods look like.
    pub template: Option<&'a PodTemplateSpec>,
    /// Whether its selector selects such labels.
    pub selects: &'a dyn Fn(Option<&Labels>) -> bool,
    /// Its status so far.
    pub status: Value,
    /// Whether its status tells how many pods are on their way out.
    pub counts_terminating: bool,
    /// The pods of its siblings and its own: where they crowd, it deletes first. Empty if it has no siblings.
    pub related: &'a [Arc<Pod>],
    /// What failed last time.
    pub failure: Option<&'a Failure>,
}

impl Wanted<'_> {
    fn count(&self) -> usize {
        usize::try_from(self.replicas).unwrap_or(0)
    }
}

/// What to do for one controller, given the pods that it owns or that nobody owns.
pub fn plan(wanted: &Wanted, pods: &[Arc<Pod>], now: Timestamp) -> Plan {
    let about = &wanted.about;
    let mut plan = Plan { report: Report::about(about.clone()), ..Plan::default() };
    let active: Vec<Arc<Pod>> = pods.iter().filter(|pod| pods::is_active(pod)).cloned().collect();
    let selects = |meta: &ObjectMeta| (wanted.selects)(meta.labels.as_ref());
    let claimed = claim(wanted.meta, &selects, &active);
    plan.actions.extend(claimed.actions(about));
    let replicas = claimed.all();
    let status = status(wanted, &replicas, terminating(wanted, pods), now);
    plan.tell_status(about, &wanted.status, status);
    if wanted.meta.deletion_timestamp.is_none() {
        manage(wanted, &replicas, now, &mut plan);
    }
    wait_for_replicas(wanted, &replicas, now, &mut plan);
    plan
}

fn terminating(wanted: &Wanted, all: &[Arc<Pod>]) -> usize {
    let own = |pod: &Pod| {
        controller_of(&pod.metadata)
            .is_some_and(|owner| Some(&owner.uid) == wanted.meta.uid.as_ref())
    };
    let leaving = |pod: &Pod| pods::is_deleting(pod) && !pods::is_terminal(pod);
    all.iter()
        .filter(|pod| leaving(pod) && own(pod) && (wanted.selects)(pod.metadata.labels.as_ref()))
        .count()
}

fn manage(wanted: &Wanted, replicas: &[Arc<Pod>], now: Timestamp, plan: &mut Plan) {
    match replicas.len().cmp(&wanted.count()) {
        Ordering::Equal => {}
        Ordering::Less => {
            let missing = (wanted.count() - replicas.len()).min(BURST);
            let Some(template) = wanted.template else { return };
            let pod = pod_control::pod_of(template, &wanted.about);
            for _ in 0..missing {
                plan.act(pod_control::creation(&pod, &wanted.about));
            }
        }
        Ordering::Greater => {
            let surplus = (replicas.len() - wanted.count()).min(BURST);
            for pod in ranked(replicas, wanted.related, now).into_iter().take(surplus) {
                plan.act(pod_control::deletion(&pod, &wanted.about));
            }
        }
    }
}

/// The replicas, those to be deleted first at the front: unassigned, pending, not ready, cheap by annotation, crowded
/// together, ready for a shorter time, restarted more often, younger.
fn ranked(replicas: &[Arc<Pod>], related: &[Arc<Pod>], now: Timestamp) -> Vec<Arc<Pod>> {
    let mut sorted = replicas.to_vec();
    let mut crowds: HashMap<&str, usize> = HashMap::new();
    let neighbours = if related.is_empty() { replicas } else { related };
    for pod in neighbours.iter().filter(|pod| pods::is_active(pod)) {
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
            pods::progress(pod),
            deletion_cost(pod),
            Reverse(crowd(pod)),
            age(ready),
            Reverse(pods::restarts(pod)),
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

fn status(wanted: &Wanted, replicas: &[Arc<Pod>], terminating: usize, now: Timestamp) -> Value {
    let template = wanted.template.and_then(|template| template.metadata.as_ref());
    let labels = template.and_then(|meta| meta.labels.clone()).unwrap_or_default();
    let count = |keep: &dyn Fn(&Pod) -> bool| replicas.iter().filter(|pod| keep(pod)).count();
    let counts = [
        ("fullyLabeledReplicas", count(&|pod| matches(&labels, pod.metadata.labels.as_ref()))),
        ("readyReplicas", count(&pods::is_ready)),
        ("availableReplicas", count(&|pod| pods::is_available(pod, wanted.min_ready, now))),
    ];
    let mut status = json!({ "replicas": replicas.len() });
    for (field, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
        status[field] = count.into();
    }
    if wanted.counts_terminating {
        status["terminatingReplicas"] = terminating.into();
    }
    if let Some(generation) = wanted.meta.generation {
        status["observedGeneration"] = generation.into();
    }
    let conditions = conditions(wanted, now);
    if !conditions.is_empty() {
        status["conditions"] = conditions.into();
    }
    status
}

fn conditions(wanted: &Wanted, now: Timestamp) -> Vec<Value> {
    let mut list = wanted.status["conditions"].as_array().cloned().unwrap_or_default();
    let known = list.iter().position(|one| one["type"] == "ReplicaFailure");
    match (wanted.failure, known) {
        (None, Some(index)) => {
            list.remove(index);
        }
        (Some(failure), None) => list.push(json!({
            "type": "ReplicaFailure",
            "status": "True",
            "reason": failure.reason,
            "message": failure.message,
            "lastTransitionTime": time_text(now),
        })),
        _ => {}
    }
    list
}

fn wait_for_replicas(wanted: &Wanted, replicas: &[Arc<Pod>], now: Timestamp, plan: &mut Plan) {
    pod_control::wait_for(replicas, wanted.min_ready, now, plan);
    if replicas.len() != wanted.count() {
        plan.wait(Waiting::new(
            "ReplicasDiffer",
            format!("{} of {} replicas exist", replicas.len(), wanted.count()),
            Shown::Status,
        ));
    }
}
