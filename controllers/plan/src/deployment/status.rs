//! What a deployment says of itself: counts and conditions.
//!
//! Knows: when a rollout is complete, gets on, or is late. Refuses to know: what is done about it.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentCondition, DeploymentStatus, ReplicaSetStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::rollout::Rollout;
use super::sets::Set;
use crate::common::after;

pub(super) const PROGRESSING: &str = "Progressing";
const AVAILABLE: &str = "Available";
const FAILURE: &str = "ReplicaFailure";
/// The rollout that was looked at came to its end.
pub(super) const DONE: &str = "NewReplicaSetAvailable";
/// It did not get on for too long.
pub(super) const LATE: &str = "ProgressDeadlineExceeded";

/// A condition by type.
pub(super) fn find<'a>(
    status: &'a DeploymentStatus,
    kind: &str,
) -> Option<&'a DeploymentCondition> {
    status.conditions.iter().flatten().find(|one| one.type_ == kind)
}

fn remove(status: &mut DeploymentStatus, kind: &str) {
    let rest = status.conditions.iter().flatten().filter(|one| one.type_ != kind).cloned();
    let rest: Vec<_> = rest.collect();
    status.conditions = Some(rest).filter(|rest| !rest.is_empty());
}

fn put(status: &mut DeploymentStatus, mut fresh: DeploymentCondition) {
    if let Some(known) = find(status, &fresh.type_) {
        if known.status == fresh.status && known.reason == fresh.reason {
            return;
        }
        if known.status == fresh.status {
            fresh.last_transition_time = known.last_transition_time.clone();
        }
    }
    remove(status, &fresh.type_);
    status.conditions.get_or_insert_default().push(fresh);
}

/// Sets a condition; one with the same status and reason stays as it is.
pub(super) fn set(
    status: &mut DeploymentStatus,
    kind: &str,
    value: &str,
    reason: &str,
    message: String,
    now: Timestamp,
) {
    put(status, condition(kind, value, reason, message, now));
}

fn condition(
    kind: &str,
    value: &str,
    reason: &str,
    message: String,
    now: Timestamp,
) -> DeploymentCondition {
    DeploymentCondition {
        type_: kind.to_owned(),
        status: value.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_update_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
    }
}

/// Whether all replicas are updated and available, and no others are left.
pub(super) fn is_complete(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let replicas = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let counts = [status.updated_replicas, status.replicas, status.available_replicas];
    counts.iter().all(|count| count.unwrap_or(0) == replicas)
        && status.observed_generation >= deployment.metadata.generation
}

fn gets_on(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    let number = |count: Option<i32>| count.unwrap_or(0);
    let outdated =
        |status: &DeploymentStatus| number(status.replicas) - number(status.updated_replicas);
    number(new.updated_replicas) > number(old.updated_replicas)
        || outdated(new) < outdated(old)
        || number(new.ready_replicas) > number(old.ready_replicas)
        || number(new.available_replicas) > number(old.available_replicas)
}

impl Rollout<'_> {
    /// Counts what the replica sets say, and whether that is enough.
    pub(super) fn count(&mut self) {
        let sum = |of: &dyn Fn(&ReplicaSetStatus) -> Option<i32>| {
            let statuses = self.sets.iter().filter_map(|set| set.seen.status.as_ref());
            statuses.filter_map(of).sum::<i32>()
        };
        let shown = |number: i32| Some(number).filter(|number| *number > 0);
        let available = sum(&|status| status.available_replicas);
        let wanted: i32 = self.sets.iter().map(|set| set.replicas).sum();
        let terminating = self
            .sets
            .iter()
            .map(|set| set.seen.status.as_ref().and_then(|status| status.terminating_replicas));
        self.status = DeploymentStatus {
            observed_generation: self.deployment.metadata.generation,
            replicas: shown(sum(&|status| Some(status.replicas))),
            updated_replicas: self.new_set().and_then(|set| shown(set.actual())),
            ready_replicas: shown(sum(&|status| status.ready_replicas)),
            available_replicas: shown(available),
            unavailable_replicas: shown(wanted - available),
            terminating_replicas: terminating.sum(),
            collision_count: self.status.collision_count,
            conditions: self.status.conditions.take(),
        };
        let (value, reason, message) = if available >= self.replicas - self.limits.unavailable {
            ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
        } else {
            (
                "False",
                "MinimumReplicasUnavailable",
                "Deployment does not have minimum availability.",
            )
        };
        set(&mut self.status, AVAILABLE, value, reason, message.to_owned(), self.now);
    }

    /// Counts, and judges how the rollout gets on.
    pub(super) fn judge(&mut self) {
        self.count();
        if !self.has_deadline() {
            remove(&mut self.status, PROGRESSING);
        }
        let current = find(&self.status, PROGRESSING).cloned();
        let reason = |one: &DeploymentCondition| one.reason.clone().unwrap_or_default();
        let over = self.status.replicas == self.status.updated_replicas
            && current.as_ref().is_some_and(|one| reason(one) == DONE);
        if self.has_deadline() && !over {
            self.progress(current);
        }
        match self.refusal() {
            Some(failure) => put(&mut self.status, failure),
            None => remove(&mut self.status, FAILURE),
        }
        let left = self.time_left();
        if let Some((left, known)) = left.zip(find(&self.status, PROGRESSING))
            && !is_complete(self.deployment, &self.status)
            && !matches!(known.reason.as_deref(), Some(DONE | LATE))
        {
            // A second more, as whole seconds are written down.
            self.look_again = Some(left + std::time::Duration::from_secs(1));
        }
    }

    fn progress(&mut self, current: Option<DeploymentCondition>) {
        let old = self.deployment.status.clone().unwrap_or_default();
        let what = match self.new_set() {
            Some(set) => format!("ReplicaSet {:?}", set.name()),
            None => {
                format!("Deployment {:?}", self.deployment.metadata.name.as_deref().unwrap_or(""))
            }
        };
        let now = self.now;
        if is_complete(self.deployment, &self.status) {
            let message = format!("{what} has successfully progressed.");
            set(&mut self.status, PROGRESSING, "True", DONE, message, now);
        } else if gets_on(&old, &self.status) {
            let message = format!("{what} is progressing.");
            let mut fresh = condition(PROGRESSING, "True", "ReplicaSetUpdated", message, now);
            if let Some(known) = current.filter(|known| known.status == "True") {
                fresh.last_transition_time = known.last_transition_time;
            }
            remove(&mut self.status, PROGRESSING);
            put(&mut self.status, fresh);
        } else if self.is_late(current.as_ref()) {
            let message = format!("{what} has timed out progressing.");
            set(&mut self.status, PROGRESSING, "False", LATE, message, now);
        }
    }

    fn is_late(&self, current: Option<&DeploymentCondition>) -> bool {
        match current.map(|current| current.reason.as_deref()) {
            None | Some(Some(DONE)) => false,
            Some(Some(LATE)) => true,
            Some(_) => self.deadline().is_some_and(|deadline| deadline < self.now),
        }
    }

    /// When the rollout is late unless it gets on before.
    fn deadline(&self) -> Option<Timestamp> {
        let since = find(&self.status, PROGRESSING)?.last_update_time.as_ref()?.0;
        Some(after(since, i64::from(self.progress_deadline()?)))
    }

    fn time_left(&self) -> Option<std::time::Duration> {
        Some(crate::common::until(self.deadline()?, self.now))
    }

    /// What a replica set says of pods that it cannot create, the new one first.
    fn refusal(&self) -> Option<DeploymentCondition> {
        let of = |set: &Set| {
            let conditions = set.seen.status.as_ref()?.conditions.as_ref()?;
            conditions.iter().find(|one| one.type_ == FAILURE).cloned()
        };
        let found = self.new_set().and_then(of).or_else(|| self.sets.iter().find_map(of))?;
        Some(DeploymentCondition {
            type_: found.type_,
            status: found.status,
            reason: found.reason,
            message: found.message,
            last_update_time: found.last_transition_time.clone(),
            last_transition_time: found.last_transition_time,
        })
    }
}
