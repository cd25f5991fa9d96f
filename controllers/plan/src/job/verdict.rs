//! Why a job ends: enough of its pods have succeeded, too many have failed, or its time is over.

use std::sync::Arc;

use k8s_openapi::api::batch::v1::JobCondition;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Indexes, Round, policy};
use crate::Plan;
use crate::common::{after, until};
use crate::pods;

impl Round<'_> {
    fn old_condition(&self, kind: &str) -> Option<&JobCondition> {
        let mut all = self.old.conditions.iter().flatten();
        all.find(|one| one.type_ == kind && one.status == "True")
    }

    /// Why the job ends now, with the conditions that come before the last one already there or not.
    pub(super) fn verdict(&self, plan: &mut Plan) -> Option<JobCondition> {
        if let Some(met) = self.old_condition("SuccessCriteriaMet") {
            return Some(met.clone());
        }
        if let Some(target) = self.old_condition("FailureTarget") {
            return Some(JobCondition { type_: "Failed".to_owned(), ..target.clone() });
        }
        let fail = |reason: &str, message: &str| {
            Some(self.condition("FailureTarget", "True", reason, message))
        };
        let failed_pods = self.pods.iter().filter(|pod| self.is_failed(pod));
        if let Some(why) = failed_pods.filter_map(|pod| self.judge(pod).fails_job).next() {
            return fail("PodFailurePolicy", &why);
        }
        if self.failed > self.spec.backoff_limit.unwrap_or(6) || self.restarted_too_often() {
            return fail("BackoffLimitExceeded", "Job has reached the specified backoff limit");
        }
        if let (Some(limit), false) = (self.spec.active_deadline_seconds, self.suspended())
            && let Some(start) = self.old.start_time.as_ref().map(|time| time.0).or(Some(self.now))
        {
            let left = until(after(start, limit), self.now);
            if left.is_zero() {
                let why = "Job was active longer than specified deadline";
                return fail("DeadlineExceeded", why);
            }
            plan.again_in(left);
        }
        if !self.indexed() {
            return None;
        }
        if let Some(failed) = self.failed_indexes.as_ref().map(Indexes::total) {
            if self.spec.max_failed_indexes.is_some_and(|limit| failed > limit) {
                let why = "Job has exceeded the specified maximal number of failed indexes";
                return fail("MaxFailedIndexesExceeded", why);
            }
            if failed > 0 && failed.saturating_add(self.succeeded) >= self.completions() {
                return fail("FailedIndexes", "Job has failed indexes");
            }
        }
        let policy = self.spec.success_policy.as_ref();
        let met = policy::met(policy, &self.done, self.completions())?;
        Some(self.condition("SuccessCriteriaMet", "True", "SuccessPolicy", &met))
    }

    fn restarted_too_often(&self) -> bool {
        let on_failure =
            self.spec.template.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref())
                == Some("OnFailure");
        let live = |pod: &&Arc<Pod>| matches!(pods::phase(pod), "Running" | "Pending");
        let restarts: i64 = self
            .pods
            .iter()
            .filter(live)
            .filter_map(|pod| pod.status.as_ref())
            .flat_map(|status| {
                let inits = status.init_container_statuses.iter().flatten();
                inits.chain(status.container_statuses.iter().flatten())
            })
            .map(|container| i64::from(container.restart_count))
            .sum();
        let limit = i64::from(self.spec.backoff_limit.unwrap_or(6));
        on_failure && if limit == 0 { restarts > 0 } else { restarts >= limit }
    }

    pub(super) fn condition(
        &self,
        kind: &str,
        status: &str,
        reason: &str,
        message: &str,
    ) -> JobCondition {
        JobCondition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            last_probe_time: Some(Time(self.now)),
            last_transition_time: Some(Time(self.now)),
        }
    }
}
