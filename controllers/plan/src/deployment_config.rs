//! DeploymentConfigs: a replication controller for each version, of which the newest that was rolled out well has the pods.
//!
//! Alone writes: the status of DeploymentConfigs; creates, scales and deletes the replication controllers they own, and what
//! is written on these of the rollout. Relies on: replication controllers that carry its ownerReference being its own; what
//! they say of their pods.

pub mod config;
mod deployer;
mod helpers;
mod hooks;
pub mod images;
mod rollout;
mod status;
mod strategies;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, ReplicationController};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use self::config::{DeploymentConfig, Status};
use self::deployer::{Deployer, size};
use self::rollout::{CANCELLED, Phase, REASON, Rollout};
use crate::action::{Action, ObjectRef, OutcomeEvents, Propagation};
use crate::claim::claim;
use crate::common::{Labels, status_of};
use crate::image_stream::ImageStream;
use crate::report::{Report, Shown, Waiting};
use crate::{Failure, Plan};

pub use self::rollout::{CONFIG, HELPER_OF, LOG};

/// What is seen.
#[derive(Debug, Default)]
pub struct Observed {
    /// The configuration; `None` once it is gone.
    pub config: Option<Arc<DeploymentConfig>>,
    /// The replication controllers of its namespace that it owns, or that nobody owns; others do not matter.
    pub controllers: Vec<Arc<ReplicationController>>,
    /// The replication controller, whoever owns it, that has the name of the newest rollout.
    pub namesake: Option<Arc<ReplicationController>>,
    /// The pods of the rollout that was completed last.
    pub old_pods: Vec<Arc<Pod>>,
    /// The pods that belong to its rollouts themselves, and whatever else has one of their names.
    pub helpers: Vec<Arc<Pod>>,
    /// The ImageStreams that it follows.
    pub streams: Vec<Arc<ImageStream>>,
    /// What failed last time.
    pub failure: Option<Failure>,
}

/// The reason of the Event that tells that a rollout was refused.
const REFUSED: &str = "DeploymentCreationFailed";
const BY_NEWER: &str = "newer deployment was found running";

/// Whether a configuration could own a replication controller with these labels.
pub fn selects(config: &DeploymentConfig, labels: Option<&Labels>) -> bool {
    labels.and_then(|all| all.get(CONFIG)).map(String::as_str) == Some(config.name())
}

/// The replication controller that was completed last, of these.
pub fn completed_last(
    controllers: &[Arc<ReplicationController>],
) -> Option<&Arc<ReplicationController>> {
    let complete = controllers.iter().map(|one| (one, Rollout::new(one.clone())));
    complete
        .filter(|(_, rollout)| rollout.phase == Phase::Complete)
        .max_by_key(|(_, rollout)| rollout.version)
        .map(|(one, _)| one)
}

/// The names that the pods of a rollout itself have or will have.
pub fn names_of_helpers(controller: &Arc<ReplicationController>) -> [String; 4] {
    let rollout = Rollout::new(controller.clone());
    helpers::SUFFIXES.map(|suffix| helpers::name(&rollout, suffix))
}

/// What to do for one configuration.
pub fn plan(seen: &Observed, now: Timestamp) -> Plan {
    let Some(config) = &seen.config else { return Plan::default() };
    let about = ObjectRef::to(config.as_ref());
    let mut plan = Plan { report: Report::about(about.clone()), ..Plan::default() };
    let mine = |meta: &ObjectMeta| selects(config, meta.labels.as_ref());
    let claimed = claim(&config.metadata, &mine, &seen.controllers);
    plan.actions.extend(claimed.actions(&about));
    if !plan.actions.is_empty() {
        // What is adopted has another version by then: its turn comes when that is seen.
        return plan;
    }
    let mut rollouts: Vec<Rollout> = claimed.own.into_iter().map(Rollout::new).collect();
    rollouts.sort_by_key(|rollout| rollout.version);
    let round = Round { config, seen, rollouts: &rollouts, about: &about, now };
    round.proceed(&mut plan);
    round.roll_out(&mut plan);
    if rollouts.last().is_some_and(|latest| !latest.phase.is_over()) {
        let message = format!(
            "{} of {} replicas are updated, {} available",
            config.status.updated_replicas, config.spec.replicas, config.status.available_replicas
        );
        plan.wait(Waiting::new("RolloutIncomplete", message, Shown::Status));
    }
    plan
}

/// What a round knows.
struct Round<'a> {
    config: &'a DeploymentConfig,
    seen: &'a Observed,
    /// Oldest first.
    rollouts: &'a [Rollout],
    about: &'a ObjectRef,
    now: Timestamp,
}

impl<'a> Round<'a> {
    fn latest(&self) -> Option<&'a Rollout> {
        let name = self.config.name_of_latest();
        self.rollouts.iter().find(|one| one.name() == name)
    }

    fn active(&self) -> Option<&'a Rollout> {
        self.rollouts.iter().rev().find(|one| one.phase == Phase::Complete)
    }

    fn status(&self, observed: bool) -> Status {
        status::of(self.config, self.rollouts, observed, self.now)
    }

    fn tell(&self, status: &Status, plan: &mut Plan) {
        let old = status_of(Some(&self.config.status));
        plan.tell_status(self.about, &old, status_of(Some(status)));
    }

    /// Goes on with every rollout that is not over.
    fn roll_out(&self, plan: &mut Plan) {
        for to in self.rollouts.iter().filter(|one| !one.phase.is_over()) {
            let other = |one: &&Rollout| one.name() != to.name();
            // It is not over itself, so that it is another one.
            let from = self.active();
            let is_from = |one: &&Rollout| from.is_some_and(|from| from.name() == one.name());
            let others = self.rollouts.iter().filter(other).filter(|one| !is_from(one)).collect();
            let (about, now) = (self.about.clone().any_version(), self.now);
            Deployer { to, from, others, seen: self.seen, about, now, plan }.proceed();
        }
        for done in self.rollouts.iter().filter(|one| one.phase == Phase::Complete) {
            if done.is_cancelled() {
                plan.act(done.change(self.now).forget(CANCELLED).forget(REASON).action());
                let text = "Succeeded before cancel recorded";
                plan.act(Action::warning(self.about.clone(), "FailedCancellation", text));
            }
        }
    }

    /// Makes, scales and forgets rollouts, and says how it is.
    fn proceed(&self, plan: &mut Plan) {
        let (config, spec) = (self.config, &self.config.spec);
        let version = config.status.latest_version;
        if version == 0 && spec.triggers.is_empty() || config.metadata.deletion_timestamp.is_some()
        {
            return self.tell(&self.status(true), plan);
        }
        if spec.paused {
            self.forget_old(plan);
            return self.tell(&self.status(true), plan);
        }
        // One that only says that it is newer, under another name, is none of these.
        let named = |one: &&Rollout| one.name() == format!("{}-{}", config.name(), one.version);
        let newest = self.rollouts.iter().filter(named).map(|one| one.version).max();
        if let Some(newest) = newest.filter(|newest| *newest > version) {
            let status = json!({ "latestVersion": newest });
            return plan.act(Action::status(self.about.clone(), status));
        }
        if let Some(patch) = images::resolved(config, &self.seen.streams) {
            return plan.act(Action::patch(self.about.clone(), patch));
        }
        let latest = self.latest();
        if latest.is_none() && self.supersede(plan) {
            return;
        }
        if !has_images(config) {
            return self.tell(&self.status(true), plan);
        }
        match self.trigger(latest) {
            Trigger::Waits => return self.tell(&self.status(true), plan),
            Trigger::Fires(details) => {
                let status =
                    json!({ "latestVersion": version.saturating_add(1), "details": details });
                return plan.act(Action::status(self.about.clone(), status));
            }
            Trigger::None => {}
        }
        match latest {
            Some(latest) if !latest.phase.is_over() => self.tell(&self.status(false), plan),
            Some(_) => self.settle(plan),
            None if version == 0 => self.tell(&self.status(true), plan),
            None => self.make(plan),
        }
    }

    /// Cancels what still goes on, for there is to be a newer rollout. Whether that is waited for.
    fn supersede(&self, plan: &mut Plan) -> bool {
        let version = self.config.status.latest_version;
        let running: Vec<&Rollout> =
            self.rollouts.iter().filter(|one| !one.phase.is_over()).collect();
        let fresh: Vec<&&Rollout> = running.iter().filter(|one| !one.is_cancelled()).collect();
        for one in &fresh {
            plan.act(one.change(self.now).note(CANCELLED, "true").note(REASON, BY_NEWER).action());
            let name = one.name();
            let text = format!("Cancelled deployment {name:?} superceded by version {version}");
            plan.act(Action::normal(self.about.clone(), "DeploymentCancelled", text));
        }
        if !fresh.is_empty() {
            let text = format!(
                "Deployment of version {version} awaiting cancellation of older running deployments"
            );
            plan.act(Action::normal(self.about.clone(), "DeploymentAwaitingCancellation", text));
        }
        !running.is_empty()
    }

    fn trigger(&self, latest: Option<&Rollout>) -> Trigger {
        let config = self.config;
        let (image, change) =
            (config.has_trigger("ImageChange"), config.has_trigger("ConfigChange"));
        if !image && !change {
            return Trigger::None;
        }
        if config.status.latest_version == 0 {
            return match image && !config.has_images() {
                true => Trigger::Waits,
                false => Trigger::changed(),
            };
        }
        let Some(latest) = latest else { return Trigger::None };
        if image {
            let images = new_images(config, latest);
            if !images.is_empty() {
                return Trigger::images(&images);
            }
        }
        // What cannot be read is not rolled out again and again.
        let Ok(rolled_out) = latest.config() else { return Trigger::None };
        match change && config.spec.template != rolled_out.spec.template {
            true => Trigger::changed(),
            false => Trigger::None,
        }
    }

    fn make(&self, plan: &mut Plan) {
        let config = self.config;
        let version = config.status.latest_version;
        let (name, namespace) = (config.name_of_latest(), &self.about.namespace);
        let progressing = |value, reason, message| {
            let mut status = self.status(true);
            let told = status::condition(status::PROGRESSING, value, reason, message, self.now);
            status::set(&mut status, told);
            status
        };
        let taken = self.seen.namesake.as_ref().map(|_| {
            format!("deployment {namespace}/{name} already exists and it couldn't be adopted")
        });
        let refused = self.seen.failure.as_ref().filter(|failure| failure.reason == REFUSED);
        let why = taken.clone().or_else(|| refused.map(|failure| failure.message.clone()));
        if let Some(why) = &why {
            let why = why.clone();
            self.tell(&progressing("False", "ReplicationControllerCreateError", why), plan);
        }
        if let Some(taken) = taken {
            let message = format!("Couldn't deploy version {version}: {taken}");
            return plan.wait(Waiting::new(REFUSED, message, Shown::Warning));
        }
        let told = format!("Created new replication controller \"{{name}}\" for version {version}");
        plan.act(Action::Create {
            object: rollout::made(config),
            told: Some(OutcomeEvents {
                about: self.about.clone(),
                done: ("DeploymentCreated", told.into()),
                failed: (REFUSED, format!("Couldn't deploy version {version}: {{error}}").into()),
            }),
        });
        self.forget_old(plan);
        let told = format!("Created new replication controller {name:?} for version {version}");
        self.tell(&progressing("True", "NewReplicationControllerCreated", told), plan);
    }

    /// The rollout that was completed last has the pods, all others none.
    fn settle(&self, plan: &mut Plan) {
        let active = self.active().map(Rollout::name);
        for one in self.rollouts {
            let is_active = active == Some(one.name()) && !self.config.spec.test;
            let (from, to) =
                (one.replicas(), if is_active { self.config.spec.replicas } else { 0 });
            if from != to {
                plan.act(size(one, to));
                let text =
                    format!("Scaled replication controller {:?} from {from} to {to}", one.name());
                plan.act(Action::normal(self.about.clone(), "ReplicationControllerScaled", text));
            }
        }
        self.forget_old(plan);
        self.tell(&self.status(true), plan);
    }

    /// Leaves as many past rollouts as the history may have; those that still have pods stay, and count.
    fn forget_old(&self, plan: &mut Plan) {
        let Some(limit) = self.config.spec.revision_history_limit else { return };
        let limit = usize::try_from(limit).unwrap_or(0);
        let (active, latest) = (self.active(), self.config.status.latest_version);
        let past = |one: &&Rollout| match active {
            Some(active) => one.version < active.version,
            None => one.version != latest,
        };
        let past: Vec<&Rollout> = self.rollouts.iter().filter(past).collect();
        for one in past.iter().take(past.len().saturating_sub(limit)) {
            if one.replicas() != 0 || one.seen.metadata.deletion_timestamp.is_some() {
                continue;
            }
            plan.act(Action::Delete {
                target: ObjectRef::to(one.seen.as_ref()),
                grace: None,
                propagation: Propagation::Background,
                told: None,
            });
        }
    }
}

/// Whether there is to be a rollout by itself.
enum Trigger {
    None,
    /// Not before all images are known.
    Waits,
    /// There is, for the reason that these details tell.
    Fires(Value),
}

impl Trigger {
    fn changed() -> Trigger {
        Trigger::Fires(
            json!({ "message": "config change", "causes": [{ "type": "ConfigChange" }] }),
        )
    }

    fn images(images: &[&str]) -> Trigger {
        let cause = |image: &&str| {
            let from = json!({ "kind": "DockerImage", "name": image });
            json!({ "type": "ImageChange", "imageTrigger": { "from": from } })
        };
        let causes: Vec<Value> = images.iter().map(cause).collect();
        Trigger::Fires(json!({ "message": "image change", "causes": causes }))
    }
}

/// The images of a template's containers.
fn images(template: Option<&k8s_openapi::api::core::v1::PodTemplateSpec>) -> Vec<&str> {
    let containers = template.and_then(|template| template.spec.as_ref());
    let containers = containers.map_or(&[][..], |spec| &spec.containers);
    containers.iter().map(|one| one.image.as_deref().unwrap_or("")).collect()
}

/// Whether every container has an image.
fn has_images(config: &DeploymentConfig) -> bool {
    images(config.spec.template.as_ref()).iter().all(|image| !image.trim().is_empty())
}

/// The images that a rollout has not.
fn new_images<'a>(config: &'a DeploymentConfig, rollout: &Rollout) -> Vec<&'a str> {
    let known = rollout.seen.spec.as_ref().and_then(|spec| spec.template.as_ref());
    let known = images(known);
    let wanted = images(config.spec.template.as_ref());
    wanted.into_iter().filter(|image| !known.contains(image)).collect()
}

#[cfg(test)]
mod tests;
