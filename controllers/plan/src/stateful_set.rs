//! StatefulSets: pods with names and claims of their own, made, updated and taken away one after the other.
//!
//! Alone writes: the status of stateful sets and the revisions they own; creates and deletes their pods; creates their
//! claims and says who takes them along. Relies on: the name of a pod or claim following from its ordinal, so that nothing
//! is made twice.

mod claims;
mod identity;
mod status;
mod update;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet, StatefulSetSpec};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use self::identity::ordinal_of;
use crate::action::{Action, ObjectRef, OutcomeEvents, Propagation, to_object};
use crate::claim::claim;
use crate::common::selects_some;
use crate::history::{self, HASH, Present};
use crate::report::{Report, Shown, Waiting};
use crate::{Plan, hashes, pod_control, pods};

pub use self::claims::uses;

/// Creates at most this many pods in one round.
const BURST: usize = 500;
/// The label of a revision that says what is in it.
const CONTENT: &str = "controller.kubernetes.io/hash";
/// Longer names of sets are cut in the names of revisions.
const PREFIX: usize = 223;

/// What is seen.
#[derive(Debug)]
pub struct Observed {
    /// The stateful set; `None` once it is gone.
    pub set: Option<Arc<StatefulSet>>,
    /// The pods of its namespace that it owns, or that nobody owns; others do not matter.
    pub pods: Vec<Arc<Pod>>,
    /// The claims of its namespace.
    pub claims: Vec<Arc<PersistentVolumeClaim>>,
    /// The revisions of its namespace that it owns, or that nobody owns; others do not matter.
    pub revisions: Vec<Arc<ControllerRevision>>,
    /// The revision, whoever owns it, that has the name of [`name_of_new`].
    pub namesake: Option<Arc<ControllerRevision>>,
}

/// The name that a stateful set gives the revision of its present template.
pub fn name_of_new(set: &StatefulSet) -> Option<String> {
    set.spec.as_ref().map(|spec| name(set, &hash(set, spec)))
}

fn name(set: &StatefulSet, hash: &str) -> String {
    let owner = set.metadata.name.as_deref().unwrap_or("");
    format!("{}-{hash}", owner.get(..PREFIX).unwrap_or(owner))
}

fn hash(set: &StatefulSet, spec: &StatefulSetSpec) -> String {
    let text = history::data(&spec.template).to_string() + &collisions(set).to_string();
    hashes::letters(hashes::fnv1(text.bytes()))
}

fn collisions(set: &StatefulSet) -> i32 {
    set.status.as_ref().and_then(|status| status.collision_count).unwrap_or(0)
}

/// What to do for one stateful set. One that is being deleted leaves what it has to the garbage collector.
pub fn plan(seen: &Observed, now: Timestamp) -> Plan {
    let Some(set) = &seen.set else { return Plan::default() };
    let Some(spec) = &set.spec else { return Plan::default() };
    let about = ObjectRef::to(set.as_ref());
    let mut plan = Plan { report: Report::about(about.clone()), ..Plan::default() };
    if set.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    let selects = |meta: &ObjectMeta| selects_some(&spec.selector, meta.labels.as_ref());
    let mine = |meta: &ObjectMeta| selects(meta) && ordinal_of(set, meta).is_some();
    let revisions = claim(&set.metadata, &selects, &seen.revisions);
    let pods = claim(&set.metadata, &mine, &seen.pods);
    plan.actions.extend(revisions.actions(&about));
    plan.actions.extend(pods.actions(&about));
    if !plan.actions.is_empty() {
        // What is adopted has another version by then: its turn comes when that is seen.
        return plan;
    }
    let mut revisions = revisions.own;
    history::sort(&mut revisions);
    let hash = hash(set, spec);
    let annotations = set.metadata.annotations.as_ref();
    let label = (CONTENT, hash.clone());
    let made = history::make(&about, annotations, &spec.template, name(set, &hash), label);
    let Some(present) = Present::of(&revisions, made, seen.namesake.as_ref()) else {
        plan.act(history::collided(&about, Some(collisions(set))));
        return plan;
    };
    plan.actions.extend(present.action.clone());
    let round = Round::new(set, spec, &present, &revisions, seen, pods.own, now);
    round.run(&mut plan);
    let live = |one: &Arc<ControllerRevision>| {
        let name = history::name(one);
        let has_pods = || round.pods().any(|pod| revision_of(pod) == name);
        name == round.updated || name == round.current || has_pods()
    };
    let old: Vec<_> = revisions.iter().filter(|one| !live(one)).cloned().collect();
    plan.actions.extend(history::surplus(&old, spec.revision_history_limit, |_| false));
    plan
}

/// The revision that a pod says it is of.
fn revision_of(pod: &Pod) -> &str {
    let labels = pod.metadata.labels.as_ref();
    labels.and_then(|labels| labels.get(HASH)).map_or("", String::as_str)
}

struct Round<'a> {
    set: &'a StatefulSet,
    spec: &'a StatefulSetSpec,
    about: ObjectRef,
    /// The ordinals that should have a pod.
    wanted: Range<i32>,
    /// The pods that should be there, by ordinal.
    living: BTreeMap<i32, Arc<Pod>>,
    /// The pods beyond, by ordinal.
    condemned: BTreeMap<i32, Arc<Pod>>,
    /// The name of the revision that all pods should come to.
    updated: String,
    /// The name of the revision that they come from.
    current: String,
    current_template: PodTemplateSpec,
    claims: BTreeMap<&'a str, &'a PersistentVolumeClaim>,
    now: Timestamp,
}

impl<'a> Round<'a> {
    fn new(
        set: &'a StatefulSet,
        spec: &'a StatefulSetSpec,
        present: &Present,
        revisions: &[Arc<ControllerRevision>],
        seen: &'a Observed,
        own: Vec<Arc<Pod>>,
        now: Timestamp,
    ) -> Round<'a> {
        let start = spec.ordinals.as_ref().and_then(|ordinals| ordinals.start).unwrap_or(0);
        let wanted = start..start.saturating_add(spec.replicas.unwrap_or(1));
        let pods = own.into_iter().filter_map(|pod| Some((ordinal_of(set, &pod.metadata)?, pod)));
        let (living, condemned) = pods.partition(|(ordinal, _)| wanted.contains(ordinal));
        let current = set.status.as_ref().and_then(|status| status.current_revision.as_deref());
        let current = revisions.iter().find(|one| Some(history::name(one)) == current);
        let current = current.unwrap_or(&present.revision);
        let claims = seen.claims.iter();
        Round {
            set,
            spec,
            about: ObjectRef::to(set),
            wanted,
            living,
            condemned,
            updated: present.name().to_owned(),
            current: history::name(current).to_owned(),
            current_template: history::template(current).unwrap_or_else(|| spec.template.clone()),
            claims: claims
                .filter_map(|claim| Some((claim.metadata.name.as_deref()?, claim.as_ref())))
                .collect(),
            now,
        }
    }

    /// Scaling goes before updating.
    fn run(&self, plan: &mut Plan) {
        self.tell_status(plan);
        if self.keep_living(plan) && self.take_away(plan) {
            self.update(plan);
        }
        let pods: Vec<_> = self.pods().filter(|pod| pods::is_active(pod)).cloned().collect();
        pod_control::wait_for(&pods, self.min_ready(), self.now, plan);
    }

    fn pods(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.living.values().chain(self.condemned.values())
    }

    fn min_ready(&self) -> i32 {
        self.spec.min_ready_seconds.unwrap_or(0)
    }

    /// Whether one pod after the other is seen to.
    fn in_order(&self) -> bool {
        self.spec.pod_management_policy.as_deref() != Some("Parallel")
    }

    fn is_available(&self, pod: &Pod) -> bool {
        is_ready(pod) && pods::is_available(pod, self.min_ready(), self.now)
    }

    /// Sees to the pods that should be there. Whether nothing of it holds up the rest.
    fn keep_living(&self, plan: &mut Plan) -> bool {
        let mut made = 0;
        for ordinal in self.wanted.clone() {
            let Some(pod) = self.living.get(&ordinal) else {
                let done = self.create(ordinal, plan);
                made += usize::from(done);
                if self.in_order() || made >= BURST {
                    return false;
                }
                continue;
            };
            if pods::is_terminal(pod) {
                if !pods::is_deleting(pod) {
                    plan.act(self.deletion(pod));
                }
                if self.in_order() {
                    return false;
                }
                continue;
            }
            if pods::phase(pod) == "Pending" {
                self.claim_for(ordinal, plan);
            }
            if self.in_order() && (pods::is_deleting(pod) || !self.is_available(pod)) {
                return false;
            }
            self.put_right(pod, ordinal, plan);
        }
        true
    }

    /// Takes pods beyond away, the last first. Whether nothing of it holds up the rest.
    fn take_away(&self, plan: &mut Plan) -> bool {
        for (ordinal, pod) in &self.condemned {
            self.hand_over(*ordinal, Some(pod), plan);
        }
        let well = |pod: &Pod| self.is_available(pod) && !pods::is_deleting(pod);
        let first_unwell = self.condemned.iter().find(|(_, pod)| !well(pod));
        let first_unwell = first_unwell.map(|(ordinal, _)| *ordinal);
        for (ordinal, pod) in self.condemned.iter().rev() {
            if !pods::is_deleting(pod) {
                let blocked = !self.is_available(pod) && first_unwell != Some(*ordinal);
                if self.in_order() && blocked {
                    return false;
                }
                plan.act(self.deletion(pod));
            }
            if self.in_order() {
                return false;
            }
        }
        true
    }

    /// Creates a pod and what it claims. Whether it could be done.
    fn create(&self, ordinal: i32, plan: &mut Plan) -> bool {
        if let Some(why) = self.not_claimable(ordinal) {
            plan.wait(why);
            return false;
        }
        self.claim_for(ordinal, plan);
        let set = &self.about.name;
        plan.act(Action::Create {
            object: to_object(&self.pod(ordinal)),
            told: Some(OutcomeEvents {
                about: self.about.clone(),
                done: (
                    "SuccessfulCreate",
                    format!("create Pod {{name}} in StatefulSet {set} successful").into(),
                ),
                failed: (
                    "FailedCreate",
                    format!("create Pod {{name}} in StatefulSet {set} failed error: {{error}}")
                        .into(),
                ),
            }),
        });
        true
    }

    fn deletion(&self, pod: &Pod) -> Action {
        let set = &self.about.name;
        Action::Delete {
            target: ObjectRef::to(pod).any_version(),
            grace: None,
            propagation: Propagation::Default,
            told: Some(OutcomeEvents {
                about: self.about.clone(),
                done: (
                    "SuccessfulDelete",
                    format!("delete Pod {{name}} in StatefulSet {set} successful").into(),
                ),
                failed: (
                    "FailedDelete",
                    format!("delete Pod {{name}} in StatefulSet {set} failed error: {{error}}")
                        .into(),
                ),
            }),
        }
    }

    fn waits(&self, reason: &'static str, message: String) -> Waiting {
        Waiting::new(reason, message, Shown::Warning)
    }
}

/// Whether a pod runs and is ready.
fn is_ready(pod: &Pod) -> bool {
    pods::phase(pod) == "Running" && pods::is_ready(pod)
}

#[cfg(test)]
mod tests;
