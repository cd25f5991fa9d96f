//! Jobs: pods until enough of them have succeeded, or too many failed.
//!
//! Alone writes: the status of jobs, the finalizer that keeps their pods until they are counted; creates and deletes their
//! pods, and jobs whose time after the end is over. A pod is counted once: its uid is written into the status while the
//! finalizer holds it, and becomes part of the number when the finalizer is seen to be gone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobSpec, JobStatus};
use k8s_openapi::api::core::v1::Pod;

use crate::action::{Action, ObjectRef, Propagation};
use crate::claim::claim;
use crate::common::{
    after, annotation, controller_of, has_finalizer, selects, until, without_finalizer,
};
use crate::report::{Report, Shown, Waiting};
use crate::{Plan, pod_control, pods};

mod backoff;
mod indexes;
mod manage;
mod policy;
mod status;
mod verdict;

use indexes::Indexes;

/// Keeps a pod until it is counted.
pub const TRACKING: &str = "batch.kubernetes.io/job-tracking";
/// The annotation and label of a pod's index.
const INDEX: &str = "batch.kubernetes.io/job-completion-index";
const INDEX_FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
const INDEX_IGNORED: &str = "batch.kubernetes.io/job-index-ignored-failure-count";
const CONTROLLER: &str = "kubernetes.io/job-controller";

/// What is seen.
#[derive(Debug)]
pub struct Observed {
    /// The job; `None` once it is gone.
    pub job: Option<Arc<Job>>,
    /// The pods of its namespace that it owns, or that nobody owns; others do not matter.
    pub pods: Vec<Arc<Pod>>,
    /// Pods with the finalizer that name a job of this name as their controller, whatever its uid.
    pub tracked: Vec<Arc<Pod>>,
}

/// What to do for one job.
pub fn plan(seen: &Observed, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let uid = seen.job.as_ref().and_then(|job| job.metadata.uid.as_ref());
    for pod in &seen.tracked {
        if has_finalizer(&pod.metadata, TRACKING)
            && controller_of(&pod.metadata).map(|owner| &owner.uid) != uid
        {
            plan.act(untrack(pod));
        }
    }
    let Some(job) = &seen.job else { return plan };
    let Some(spec) = &job.spec else { return plan };
    if spec.managed_by.as_ref().is_some_and(|name| name != CONTROLLER) {
        return plan;
    }
    let about = ObjectRef::to(job.as_ref());
    plan.report = Report::about(about.clone());
    if let Some(ended) = finished(job) {
        for pod in seen.tracked.iter().filter(|pod| has_finalizer(&pod.metadata, TRACKING)) {
            if controller_of(&pod.metadata).map(|owner| &owner.uid) == uid {
                plan.act(untrack(pod));
            }
        }
        expire(job, spec, ended, now, &mut plan);
        return plan;
    }
    let selector = spec.selector.clone().unwrap_or_default();
    let claimed =
        claim(&job.metadata, &|meta| selects(&selector, meta.labels.as_ref()), &seen.pods);
    let changes: Vec<Action> = claimed.actions(&about).collect();
    if !changes.is_empty() {
        // What changes then wakes the controller again.
        let adopted = claimed.adopt.iter().map(|pod| (pod, true));
        let pods = adopted.chain(claimed.release.iter().map(|pod| (pod, false)));
        plan.actions.extend(
            changes
                .into_iter()
                .zip(pods)
                .map(|(action, (pod, keep))| tracked_or_not(action, pod, keep)),
        );
        return plan;
    }
    let round = Round::new(job, spec, about, claimed.own, now);
    round.run(&mut plan);
    plan
}

fn untrack(pod: &Pod) -> Action {
    Action::patch(ObjectRef::to(pod), without_finalizer(&pod.metadata, TRACKING))
}

/// The same patch, with or without the finalizer.
fn tracked_or_not(mut action: Action, pod: &Pod, tracked: bool) -> Action {
    if let Action::Patch { patch, .. } = &mut action {
        let all = pod.metadata.finalizers.iter().flatten().map(String::as_str);
        let mut all: Vec<&str> = all.filter(|one| *one != TRACKING).collect();
        all.extend(tracked.then_some(TRACKING));
        patch["metadata"]["finalizers"] = all.into();
    }
    action
}

/// The condition that says that the job has ended.
pub fn finished(job: &Job) -> Option<&JobCondition> {
    let all = job.status.as_ref()?.conditions.as_ref()?;
    all.iter()
        .find(|one| matches!(one.type_.as_str(), "Complete" | "Failed") && one.status == "True")
}

/// Deletes a job whose time after its end is over.
fn expire(job: &Job, spec: &JobSpec, ended: &JobCondition, now: Timestamp, plan: &mut Plan) {
    let Some(seconds) = spec.ttl_seconds_after_finished else { return };
    if job.metadata.deletion_timestamp.is_some() {
        return;
    }
    let Some(since) = &ended.last_transition_time else { return };
    let left = until(after(since.0, i64::from(seconds)), now);
    if left > Duration::ZERO {
        plan.again_in(left);
        return;
    }
    plan.act(Action::Delete {
        target: ObjectRef::to(job).any_version(),
        grace: None,
        propagation: Propagation::Foreground,
        told: None,
    });
}

/// Everything that is worked out of one observation.
struct Round<'a> {
    job: &'a Job,
    spec: &'a JobSpec,
    about: ObjectRef,
    now: Timestamp,
    pods: Vec<Arc<Pod>>,
    active: Vec<Arc<Pod>>,
    terminating: i32,
    /// The status as stored.
    old: JobStatus,
    /// Pods that are in the status by uid and not yet in its numbers.
    uncounted: (BTreeSet<String>, BTreeSet<String>),
    succeeded: i32,
    failed: i32,
    done: Indexes,
    failed_indexes: Option<Indexes>,
    /// Failed pods that are kept until their index has a new one, which takes over how often it failed.
    kept: BTreeMap<i32, Arc<Pod>>,
}

impl<'a> Round<'a> {
    fn new(
        job: &'a Job,
        spec: &'a JobSpec,
        about: ObjectRef,
        mut pods: Vec<Arc<Pod>>,
        now: Timestamp,
    ) -> Round<'a> {
        pods.sort_by_cached_key(|pod| (index_of(pod), pod.metadata.name.clone()));
        let active = pods.iter().filter(|pod| pods::is_active(pod)).cloned().collect();
        let terminating = count(pods.iter().filter(|pod| is_terminating(pod)));
        let old = job.status.clone().unwrap_or_default();
        let lists = old.uncounted_terminated_pods.clone().unwrap_or_default();
        let set = |list: Option<Vec<String>>| list.into_iter().flatten().collect();
        let mut round = Round {
            job,
            spec,
            about,
            now,
            active,
            terminating,
            uncounted: (set(lists.succeeded), set(lists.failed)),
            succeeded: 0,
            failed: 0,
            done: Indexes::default(),
            failed_indexes: None,
            kept: BTreeMap::new(),
            pods,
            old,
        };
        round.count_pods();
        round
    }

    fn count_pods(&mut self) {
        let fresh = |uncounted: &BTreeSet<String>, pod: &Pod| {
            is_tracked(pod) && !uncounted.contains(uid(pod)) && self.in_range(pod)
        };
        let (ended_well, ended_badly) = &self.uncounted;
        let succeeded = count(
            self.pods
                .iter()
                .filter(|pod| fresh(ended_well, pod) && pods::phase(pod) == "Succeeded"),
        );
        let failed = count(self.pods.iter().filter(|pod| {
            fresh(ended_badly, pod) && self.is_failed(pod) && !self.judge(pod).ignored
        }));
        let size = |set: &BTreeSet<String>| count(set.iter());
        self.succeeded = self.old.succeeded.unwrap_or(0) + succeeded + size(ended_well);
        self.failed = self.old.failed.unwrap_or(0) + failed + size(ended_badly);
        if !self.indexed() {
            return;
        }
        self.done =
            self.done_before().with(self.tracked_in_range(|pod| pods::phase(pod) == "Succeeded"));
        self.succeeded = self.done.total();
        if let Some(limit) = self.spec.backoff_limit_per_index {
            let known = self.old.failed_indexes.as_deref().unwrap_or("");
            let known = Indexes::parse(known, self.completions());
            self.failed_indexes =
                Some(known.with(self.tracked_in_range(|pod| self.fails_index(pod, limit))));
            self.kept = self.kept_pods();
        }
    }

    fn tracked_in_range(&self, keep: impl Fn(&Pod) -> bool) -> Vec<i32> {
        let pods =
            self.pods.iter().filter(|pod| is_tracked(pod) && self.in_range(pod) && keep(pod));
        pods.filter_map(|pod| index_of(pod)).collect()
    }

    fn done_before(&self) -> Indexes {
        let text = self.old.completed_indexes.as_deref().unwrap_or("");
        Indexes::parse(text, self.completions())
    }

    fn fails_index(&self, pod: &Pod, limit: i32) -> bool {
        if !self.is_failed(pod) {
            return false;
        }
        let verdict = self.judge(pod);
        verdict.fails_index || (!verdict.ignored && number(pod, INDEX_FAILURES) >= limit)
    }

    fn kept_pods(&self) -> BTreeMap<i32, Arc<Pod>> {
        let mut kept: BTreeMap<i32, Arc<Pod>> = BTreeMap::new();
        let active: BTreeSet<i32> = self.active.iter().filter_map(|pod| index_of(pod)).collect();
        for pod in self.pods.iter().filter(|pod| is_tracked(pod) && self.is_failed(pod)) {
            let Some(index) = index_of(pod).filter(|_| self.in_range(pod)) else { continue };
            let failed = self.failed_indexes.as_ref().is_some_and(|all| all.has(index));
            if self.done.has(index) || failed || active.contains(&index) {
                continue;
            }
            let later = kept.get(&index).is_none_or(|known| {
                failures(known) <= failures(pod)
                    && backoff::finished(pod) >= backoff::finished(known)
            });
            if later {
                kept.insert(index, pod.clone());
            }
        }
        kept
    }

    fn indexed(&self) -> bool {
        self.spec.completion_mode.as_deref() == Some("Indexed")
    }

    fn completions(&self) -> i32 {
        self.spec.completions.unwrap_or(0)
    }

    fn suspended(&self) -> bool {
        self.spec.suspend == Some(true)
    }

    /// Whether a pod is replaced only when it has ended, and not when it is going to.
    fn replaces_ended_only(&self) -> bool {
        self.spec.pod_replacement_policy.as_deref() == Some("Failed")
            || self.spec.pod_failure_policy.is_some()
    }

    fn is_failed(&self, pod: &Pod) -> bool {
        match pods::phase(pod) {
            "Failed" => true,
            "Succeeded" => false,
            _ => !self.replaces_ended_only() && pods::is_deleting(pod),
        }
    }

    /// Whether the pod is one of those that count: those of an indexed job have an index of it.
    fn in_range(&self, pod: &Pod) -> bool {
        !self.indexed() || index_of(pod).is_some_and(|index| index < self.completions())
    }

    fn judge(&self, pod: &Pod) -> policy::Verdict {
        policy::judge(self.spec.pod_failure_policy.as_ref(), pod)
    }

    fn run(&self, plan: &mut Plan) {
        let mut verdict = self.verdict(plan);
        let mut work = manage::Work::default();
        let mut managed = false;
        if verdict.is_some() {
            work.delete = self.active.clone();
        } else {
            if self.job.metadata.deletion_timestamp.is_none() {
                work = self.manage();
                managed = true;
            }
            let enough = match self.spec.completions {
                None => self.succeeded > 0,
                Some(wanted) => self.succeeded >= wanted,
            };
            if enough && self.active.is_empty() {
                let (reason, why) =
                    ("CompletionsReached", "Reached expected number of succeeded pods");
                verdict = Some(self.condition("SuccessCriteriaMet", "True", reason, why));
                managed = false;
            }
        }
        for pod in self.track(verdict, managed, &work, plan) {
            plan.act(untrack(&pod));
        }
        for pod in &work.delete {
            plan.act(pod_control::deletion(pod, &self.about));
        }
        for pod in &work.drop {
            if is_tracked(pod) {
                plan.act(untrack(pod));
            }
            plan.act(pod_control::deletion(pod, &self.about));
        }
        for index in work.create {
            self.create(index, plan);
        }
        if let Some(wait) = work.again {
            plan.again_in(wait);
            let why =
                format!("pods that failed: {}; the next is created after a back-off", self.failed);
            plan.wait(Waiting::new("BackOff", why, Shown::Late));
        }
        for pod in &self.active {
            let name = pod.metadata.name.as_deref().unwrap_or("");
            plan.wait(
                Waiting::new("PodActive", format!("pod {name} has not ended"), Shown::Status)
                    .on(ObjectRef::to(pod.as_ref())),
            );
        }
    }
}

fn count<T>(items: impl Iterator<Item = T>) -> i32 {
    i32::try_from(items.count()).unwrap_or(i32::MAX)
}

fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or("")
}

fn is_tracked(pod: &Pod) -> bool {
    has_finalizer(&pod.metadata, TRACKING)
}

fn is_terminating(pod: &Pod) -> bool {
    pods::is_deleting(pod) && !pods::is_terminal(pod)
}

/// The pod's index, if it has one.
fn index_of(pod: &Pod) -> Option<i32> {
    annotation(&pod.metadata, INDEX)?.parse().ok().filter(|index| *index >= 0)
}

fn number(pod: &Pod, name: &str) -> i32 {
    annotation(&pod.metadata, name).and_then(|text| text.parse().ok()).unwrap_or(0).max(0)
}

/// How often the pod's index had failed before it.
fn failures(pod: &Pod) -> i32 {
    number(pod, INDEX_FAILURES).saturating_add(number(pod, INDEX_IGNORED))
}

#[cfg(test)]
mod tests;
