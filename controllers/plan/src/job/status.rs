//! The status of a job: which pods are counted, which conditions hold.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::batch::v1::{JobCondition, JobStatus, UncountedTerminatedPods};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::manage::Work;
use super::{Round, count, index_of, is_tracked, uid};
use crate::Plan;
use crate::action::Action;
use crate::pods;

/// At most this many pods are in the status by uid.
const UNCOUNTED: usize = 500;

impl Round<'_> {
    /// Plans the new status and what is told of it; gives the pods that it counts, whose finalizers may go once it is
    /// stored.
    pub(super) fn track(
        &self,
        verdict: Option<JobCondition>,
        managed: bool,
        work: &Work,
        plan: &mut Plan,
    ) -> Vec<Arc<Pod>> {
        let mut status = self.old.clone();
        let mut events = Vec::new();
        if status.start_time.is_none() && !self.suspended() {
            status.start_time = Some(Time(self.now));
        }
        if managed {
            events.extend(self.suspension(&mut status));
        }
        let gone = || work.delete.iter().chain(&work.drop);
        let ready = |pods: &mut dyn Iterator<Item = &Arc<Pod>>| {
            count(pods.filter(|pod| pods::is_ready(pod)))
        };
        let active = count(self.active.iter()) - count(gone());
        let terminating = self.terminating + count(gone());
        status.active = Some(active).filter(|number| *number > 0);
        status.ready = Some(ready(&mut self.active.iter()) - ready(&mut gone()));
        status.terminating = Some(terminating);

        let kept = self.clean(&mut status);
        let (counted, full) = self.count(verdict.as_ref(), kept, &mut status);
        let last = verdict.map(|verdict| self.interim(verdict, &mut status));
        let lists = status.uncounted_terminated_pods.as_ref();
        let uncounted =
            lists.is_some_and(|lists| lists.succeeded.is_some() || lists.failed.is_some());
        if let Some(last) = last.filter(|_| !full && !uncounted && terminating == 0 && active == 0)
        {
            if last.type_ == "Complete" {
                status.completion_time = last.last_transition_time.clone();
            }
            events.extend(self.ended(&last, &status));
            ensure(&mut status, last);
        }
        if status != self.old {
            plan.act(Action::status(self.about.clone(), patch(&status)));
        }
        plan.actions.extend(events);
        counted
    }

    fn suspension(&self, status: &mut JobStatus) -> Option<Action> {
        let tell = |reason, message| Some(Action::normal(self.about.clone(), reason, message));
        if self.suspended() {
            let why = "Job suspended";
            let changed = ensure(status, self.condition("Suspended", "True", "JobSuspended", why));
            if !changed {
                return None;
            }
            status.start_time = None;
            tell("Suspended", why)
        } else {
            let why = "Job resumed";
            let known = status.conditions.iter().flatten().any(|one| one.type_ == "Suspended");
            if !known || !ensure(status, self.condition("Suspended", "False", "JobResumed", why)) {
                return None;
            }
            status.start_time = Some(Time(self.now));
            tell("Resumed", why)
        }
    }

    /// Moves pods whose finalizer is gone from the lists into the numbers; gives the lists of those that have it.
    fn clean(&self, status: &mut JobStatus) -> (Vec<String>, Vec<String>) {
        let tracked: BTreeSet<&str> =
            self.pods.iter().filter(|pod| is_tracked(pod)).map(|pod| uid(pod)).collect();
        let lists = self.old.uncounted_terminated_pods.clone().unwrap_or_default();
        let split = |list: Option<Vec<String>>, number: &mut Option<i32>| {
            let all = list.unwrap_or_default();
            let before = all.len();
            let kept: Vec<String> =
                all.into_iter().filter(|uid| tracked.contains(uid.as_str())).collect();
            let gone = i32::try_from(before - kept.len()).unwrap_or(0);
            *number = Some(number.unwrap_or(0).saturating_add(gone)).filter(|number| *number > 0);
            kept
        };
        let succeeded = split(lists.succeeded, &mut status.succeeded);
        (succeeded, split(lists.failed, &mut status.failed))
    }

    /// Writes pods that have ended into the lists. Gives those whose finalizer may go, and whether there are more.
    fn count(
        &self,
        verdict: Option<&JobCondition>,
        (mut succeeded, mut failed): (Vec<String>, Vec<String>),
        status: &mut JobStatus,
    ) -> (Vec<Arc<Pod>>, bool) {
        let (mut counted, mut full) = (Vec::new(), false);
        let before = self.done_before();
        let mut indexes: Vec<i32> = Vec::new();
        let given_up = verdict.is_some_and(|one| one.type_ != "SuccessCriteriaMet");
        for pod in self.pods.iter().filter(|pod| is_tracked(pod)) {
            let fails = self.is_failed(pod);
            if !self.may_go(pod, fails, verdict.is_some()) {
                continue;
            }
            counted.push(pod.clone());
            let known = self.uncounted.1.contains(uid(pod));
            if pods::phase(pod) == "Succeeded" && !known {
                if self.indexed() {
                    let index = index_of(pod).filter(|_| self.in_range(pod));
                    indexes.extend(index.filter(|index| !before.has(*index)));
                } else if !self.uncounted.0.contains(uid(pod)) {
                    succeeded.push(uid(pod).to_owned());
                }
            } else if (fails || given_up)
                && !known
                && self.in_range(pod)
                && !self.judge(pod).ignored
            {
                failed.push(uid(pod).to_owned());
            }
            if indexes.len() + succeeded.len() + failed.len() >= UNCOUNTED {
                full = true;
                break;
            }
        }
        if self.indexed() {
            // Of all that have succeeded, those that were not reached yet come with the next round.
            let done = before.with(indexes);
            status.succeeded = Some(done.total()).filter(|number| *number > 0);
            status.completed_indexes = Some(done.to_string()).filter(|text| !text.is_empty());
            status.failed_indexes = self.failed_indexes.as_ref().map(ToString::to_string);
        }
        let some = |list: Vec<String>| Some(list).filter(|list| !list.is_empty());
        status.uncounted_terminated_pods =
            Some(UncountedTerminatedPods { succeeded: some(succeeded), failed: some(failed) });
        (counted, full)
    }

    fn may_go(&self, pod: &Pod, fails: bool, ending: bool) -> bool {
        let over = self.job.metadata.deletion_timestamp.is_some() || ending;
        if over || pods::phase(pod) == "Succeeded" {
            return true;
        }
        let kept = index_of(pod).and_then(|index| self.kept.get(&index));
        fails && kept.is_none_or(|kept| uid(kept) != uid(pod))
    }

    /// Writes the condition that comes before the last one, and gives the last one.
    fn interim(&self, verdict: JobCondition, status: &mut JobStatus) -> JobCondition {
        let last = match verdict.type_.as_str() {
            "SuccessCriteriaMet" => "Complete",
            _ => "Failed",
        };
        let (reason, message) = (verdict.reason.clone(), verdict.message.clone());
        if verdict.type_ != "Failed" {
            ensure(status, verdict);
        }
        self.condition(
            last,
            "True",
            reason.as_deref().unwrap_or(""),
            message.as_deref().unwrap_or(""),
        )
    }

    fn ended(&self, last: &JobCondition, status: &JobStatus) -> Vec<Action> {
        if last.type_ == "Failed" {
            let reason = REASONS.iter().find(|known| Some(**known) == last.reason.as_deref());
            let message = last.message.clone().unwrap_or_default();
            return vec![Action::warning(self.about.clone(), reason.unwrap_or(&"Failed"), message)];
        }
        let mut told = Vec::new();
        if self.spec.completions.is_some_and(|wanted| status.succeeded.unwrap_or(0) > wanted) {
            let why = "Too many succeeded pods running after completion count reached";
            told.push(Action::warning(self.about.clone(), "TooManySucceededPods", why));
        }
        told.push(Action::normal(self.about.clone(), "Completed", "Job completed"));
        told
    }
}

const REASONS: [&str; 5] = [
    "PodFailurePolicy",
    "BackoffLimitExceeded",
    "DeadlineExceeded",
    "MaxFailedIndexesExceeded",
    "FailedIndexes",
];

/// Sets a condition; whether that changes anything.
fn ensure(status: &mut JobStatus, fresh: JobCondition) -> bool {
    let all = status.conditions.get_or_insert_default();
    match all.iter_mut().find(|one| one.type_ == fresh.type_) {
        Some(known)
            if known.status == fresh.status
                && known.reason == fresh.reason
                && known.message == fresh.message =>
        {
            false
        }
        Some(known) => {
            *known = fresh;
            true
        }
        None => {
            all.push(fresh);
            true
        }
    }
}

/// The status as a merge patch that also takes away what is no longer there.
fn patch(status: &JobStatus) -> Value {
    let mut patch = serde_json::to_value(status).unwrap_or_default();
    for field in ["active", "succeeded", "failed", "completedIndexes", "failedIndexes", "startTime"]
    {
        if patch.get(field).is_none() {
            patch[field] = json!(null);
        }
    }
    for field in ["succeeded", "failed"] {
        if patch["uncountedTerminatedPods"].get(field).is_none() {
            patch["uncountedTerminatedPods"][field] = json!(null);
        }
    }
    patch
}
