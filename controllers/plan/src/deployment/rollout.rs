//! A round of a rollout: which way it goes, and what is left over at its end.
//!
//! Knows: pausing, strategies, revisions. Refuses to know: how sizes are reckoned and how it is told.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStatus, ReplicaSet};

use super::scale::Limits;
use super::sets::{Set, position_of_new};
use super::{Observed, status};
use crate::common::controller_of;
use crate::pods;

/// A deployment and its replica sets as they are to become.
pub(super) struct Rollout<'a> {
    pub(super) deployment: &'a Deployment,
    spec: &'a DeploymentSpec,
    pub(super) now: Timestamp,
    pub(super) replicas: i32,
    pub(super) limits: Limits,
    /// Oldest first.
    pub(super) sets: Vec<Set>,
    /// Which of them has the present template.
    pub(super) new: Option<usize>,
    pub(super) status: DeploymentStatus,
    pub(super) revision: Option<String>,
    /// Replica sets to be deleted.
    pub(super) left_over: Vec<Arc<ReplicaSet>>,
    pub(super) look_again: Option<Duration>,
}

impl<'a> Rollout<'a> {
    pub(super) fn new(
        deployment: &'a Deployment,
        spec: &'a DeploymentSpec,
        sets: Vec<Arc<ReplicaSet>>,
        now: Timestamp,
    ) -> Rollout<'a> {
        let mut sets: Vec<Set> = sets.into_iter().map(Set::new).collect();
        sets.sort_by(|one, other| one.age().cmp(&other.age()));
        Rollout {
            deployment,
            spec,
            now,
            replicas: spec.replicas.unwrap_or(1),
            limits: Limits::of(spec),
            new: position_of_new(&sets, &spec.template),
            sets,
            status: deployment.status.clone().unwrap_or_default(),
            revision: None,
            left_over: Vec::new(),
            look_again: None,
        }
    }

    /// The replica set of the present template.
    pub(super) fn new_set(&self) -> Option<&Set> {
        self.sets.get(self.new?)
    }

    /// The replica sets that change, the new one first.
    pub(super) fn changed(&self) -> impl Iterator<Item = &Set> {
        let others = self.old().filter_map(|index| self.sets.get(index));
        self.new_set().into_iter().chain(others).filter(|set| set.is_made || set.patch().is_some())
    }

    /// The others, oldest first.
    pub(super) fn old(&self) -> impl Iterator<Item = usize> + use<> {
        let new = self.new;
        (0..self.sets.len()).filter(move |index| Some(*index) != new)
    }

    pub(super) fn progress_deadline(&self) -> Option<i32> {
        self.spec.progress_deadline_seconds.filter(|seconds| *seconds != i32::MAX)
    }

    pub(super) fn has_deadline(&self) -> bool {
        self.progress_deadline().is_some()
    }

    fn is_paused(&self) -> bool {
        self.spec.paused == Some(true)
    }

    fn progressing(&mut self, value: &str, reason: &str, message: String) {
        status::set(&mut self.status, status::PROGRESSING, value, reason, message, self.now);
    }

    /// Takes the next step.
    pub(super) fn proceed(&mut self, seen: &Observed) {
        if self.deployment.metadata.deletion_timestamp.is_some() {
            return self.count();
        }
        self.tell_pause();
        self.keep_new();
        if self.is_paused() || self.is_resized() {
            self.resize();
            if self.is_paused() {
                self.clean_up();
            }
            return self.count();
        }
        let goes_on = match self.limits.rolling {
            true => self.make(seen) && !self.roll(),
            false => self.recreate(seen),
        };
        if goes_on && status::is_complete(self.deployment, &self.seen_status()) {
            self.clean_up();
        }
        self.judge();
    }

    fn seen_status(&self) -> DeploymentStatus {
        self.deployment.status.clone().unwrap_or_default()
    }

    fn tell_pause(&mut self) {
        let reason = status::find(&self.status, status::PROGRESSING)
            .and_then(|one| one.reason.clone())
            .unwrap_or_default();
        if !self.has_deadline() || reason == status::LATE {
            return;
        }
        match (self.is_paused(), reason == "DeploymentPaused") {
            (true, false) => {
                self.progressing("Unknown", "DeploymentPaused", "Deployment is paused".to_owned());
            }
            (false, true) => {
                self.progressing(
                    "Unknown",
                    "DeploymentResumed",
                    "Deployment is resumed".to_owned(),
                );
            }
            _ => {}
        }
    }

    fn next_revision(&self) -> i64 {
        let old = self.old().filter_map(|index| self.sets.get(index));
        old.map(Set::revision).max().unwrap_or(0).saturating_add(1)
    }

    /// Hands down to the new replica set, if there is one, and takes over its revision.
    fn keep_new(&mut self) {
        let revision = self.next_revision();
        let Some(set) = self.new.and_then(|index| self.sets.get_mut(index)) else { return };
        set.follow(self.deployment, self.spec, revision);
        self.revision = set.revision_text().map(str::to_owned);
        let found = format!("Found new replica set {:?}", set.name());
        if self.has_deadline() && status::find(&self.status, status::PROGRESSING).is_none() {
            self.progressing("True", "FoundNewReplicaSet", found);
        }
    }

    /// Makes the new replica set unless it is there. Whether it is there then: its name can be taken, and is changed.
    fn make(&mut self, seen: &Observed) -> bool {
        if self.new.is_some() {
            return true;
        }
        if seen.namesake.is_some() {
            let collisions = self.status.collision_count.unwrap_or(0);
            self.status.collision_count = Some(collisions.saturating_add(1));
            return false;
        }
        let revision = self.next_revision();
        let mut set = Set::made(self.deployment, self.spec);
        set.follow(self.deployment, self.spec, revision);
        let created = format!("Created new replica set {:?}", set.name());
        self.sets.push(set);
        let index = self.sets.len() - 1;
        self.new = Some(index);
        self.scale_to(index, self.size_of_new(0));
        self.revision = Some(revision.to_string());
        if self.has_deadline() {
            self.progressing("True", "NewReplicaSetCreated", created);
        }
        true
    }

    /// Whether the deployment was given another size since its replica sets were scaled.
    fn is_resized(&self) -> bool {
        let active = self.sets.iter().filter(|set| set.replicas > 0);
        active.filter_map(Set::desired).any(|desired| desired != self.replicas)
    }

    /// Lets everything old end before anything new starts. Whether that is so far.
    fn recreate(&mut self, seen: &Observed) -> bool {
        let active: Vec<usize> =
            self.old().filter(|index| self.sets[*index].replicas > 0).collect();
        for index in &active {
            self.scale_to(*index, 0);
        }
        if !active.is_empty() || self.old_pods_run(seen) || !self.make(seen) {
            return false;
        }
        if let Some(index) = self.new {
            self.resize_one(index, self.replicas);
        }
        true
    }

    fn old_pods_run(&self, seen: &Observed) -> bool {
        let new = self.new_set().and_then(|set| set.seen.metadata.uid.as_deref());
        let counted: i32 = self.old().map(|index| self.sets[index].actual()).sum();
        let is_old = |uid: &str| {
            let mut uids = self.sets.iter().filter_map(|set| set.seen.metadata.uid.as_deref());
            Some(uid) != new && uids.any(|one| one == uid)
        };
        counted > 0
            || seen
                .pods
                .iter()
                .filter(|pod| !pods::is_terminal(pod))
                .any(|pod| controller_of(&pod.metadata).is_some_and(|owner| is_old(&owner.uid)))
    }

    /// Leaves as many old replica sets as the history may have; those that still have pods stay.
    fn clean_up(&mut self) {
        let limit = self.spec.revision_history_limit.filter(|limit| *limit != i32::MAX);
        let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) else { return };
        let alive = |index: &usize| self.sets[*index].seen.metadata.deletion_timestamp.is_none();
        let mut old: Vec<usize> = self.old().filter(alive).collect();
        let surplus = old.len().saturating_sub(limit);
        old.sort_by_key(|index| self.sets[*index].revision());
        let idle = |set: &Set| {
            let status = set.seen.status.as_ref();
            let observed = status.and_then(|status| status.observed_generation);
            set.replicas == 0
                && set.actual() == 0
                && set.patch().is_none()
                && observed >= set.seen.metadata.generation
        };
        let left = old.into_iter().take(surplus).map(|index| &self.sets[index]);
        self.left_over = left.filter(|set| idle(set)).map(|set| set.seen.clone()).collect();
    }
}
