//! Carries out a rollout, step by step: which one is next follows from what is seen and from what the rollout says it has
//! done.
//!
//! Knows: both strategies, hooks, deadlines, cancelling. Refuses to know: when there is a rollout, and what becomes of its
//! pods once it is over.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::config::{DeploymentConfig, Params};
use super::helpers::{self, DEADLINE, POST, PRE};
use super::rollout::{
    COMPLETED, CREATED, DESIRED, HELPER, LOG, Phase, REASON, ROLLOUT_SIZE, Rollout, SINCE, SOURCE,
    STARTED, STEPS,
};
use super::{HELPER_OF, Observed};
use crate::Plan;
use crate::action::{Action, ObjectRef, OutcomeEvents, Propagation, to_object};
use crate::common::{after, time_text, until};
use crate::pods;

pub(super) const TIMEOUT: i64 = 600;
/// The annotation of a rollout whose pod somebody else makes.
const IGNORED: &str = "deploy.openshift.io/deployer-pod.ignore";
/// The Event that tells that a pod of a rollout was refused.
const REFUSED: &str = "FailedCreate";

/// Why a rollout stops here for now.
pub(super) enum Stop {
    /// It waits for something that is watched.
    Waits,
    /// Something was done, and is to be seen first.
    Acted,
    /// It has failed.
    Failed(String),
}

pub(super) type Step = Result<(), Stop>;

/// A rollout that goes on.
pub(super) struct Deployer<'a> {
    pub(super) to: &'a Rollout,
    /// The rollout that was completed last.
    pub(super) from: Option<&'a Rollout>,
    pub(super) others: Vec<&'a Rollout>,
    pub(super) seen: &'a Observed,
    pub(super) about: ObjectRef,
    pub(super) now: Timestamp,
    pub(super) plan: &'a mut Plan,
}

impl<'a> Deployer<'a> {
    /// The next step.
    pub(super) fn proceed(mut self) {
        if self.to.is_cancelled() {
            return self.cancel();
        }
        let config = match self.to.config() {
            Ok(config) => config,
            Err(why) => return self.fail(&why, false),
        };
        let custom = config.spec.strategy.custom_params.as_ref();
        let done = match custom.filter(|custom| !custom.image.is_empty()) {
            Some(_) if !self.to.text(IGNORED).is_empty() => return,
            Some(custom) => {
                let pod = helpers::deployer(self.to, &config, custom);
                self.follow(&config, pod)
            }
            None => self.begin(&config).and_then(|()| self.carry_out(&config)),
        };
        match done {
            Ok(()) => self.complete(config.spec.test),
            Err(Stop::Failed(why)) => self.fail(&why, config.spec.test),
            Err(Stop::Waits | Stop::Acted) => {}
        }
    }

    pub(super) fn helper(&self, name: &str) -> Option<&'a Arc<Pod>> {
        self.seen.helpers.iter().find(|pod| pod.metadata.name.as_deref() == Some(name))
    }

    pub(super) fn act(&mut self, action: Action) -> Step {
        self.plan.act(action);
        Err(Stop::Acted)
    }

    pub(super) fn event(&mut self, warning: bool, reason: &'static str, message: String) {
        let about = self.about.clone();
        self.plan.act(Action::Event { about, warning, reason, message });
    }

    /// Waits until that long after the last progress; whether it is over.
    pub(super) fn has_passed(&mut self, seconds: i64) -> bool {
        let since = self.to.time(SINCE).unwrap_or(self.now);
        self.is_over(after(since, seconds))
    }

    fn is_over(&mut self, end: Timestamp) -> bool {
        if end <= self.now {
            return true;
        }
        // A second more, as whole seconds are written down.
        self.plan.again_in(until(end, self.now) + Duration::from_secs(1));
        false
    }

    fn cancel(&mut self) {
        let helpers = self.seen.helpers.iter().filter(|pod| !pods::is_deleting(pod));
        let mine = helpers.filter(|pod| {
            let labels = pod.metadata.labels.as_ref();
            labels.and_then(|all| all.get(HELPER_OF)).map(String::as_str) == Some(self.to.name())
        });
        for pod in mine {
            self.plan.act(Action::Delete {
                target: ObjectRef::to(pod.as_ref()).any_version(),
                grace: None,
                propagation: Propagation::Background,
                told: None,
            });
        }
        let label = self.to.label();
        self.plan.act(self.to.change(self.now).phase(Phase::Failed).action());
        self.event(false, "RolloutCancelled", format!("Rollout for {label:?} cancelled"));
    }

    fn fail(&mut self, why: &str, test: bool) {
        let change =
            self.to.change(self.now).phase(Phase::Failed).note(COMPLETED, time_text(self.now));
        let change = if test { change.scale(0) } else { change };
        self.plan.act(change.say(format!("error: {why}")).action());
    }

    fn complete(&mut self, test: bool) {
        let mut change = self
            .to
            .change(self.now)
            .phase(Phase::Complete)
            .note(COMPLETED, time_text(self.now))
            .note(ROLLOUT_SIZE, self.to.text(DESIRED))
            .note(DESIRED, Value::Null)
            .forget(SOURCE)
            .say("--> Success");
        if test {
            change = change.scale(0);
        }
        self.plan.act(change.action());
    }

    /// Follows the pod that rolls out in the place of this.
    fn follow(&mut self, config: &DeploymentConfig, made: Pod) -> Step {
        let name = helpers::name(self.to, helpers::DEPLOY);
        let Some(pod) = self.helper(&name) else {
            if self.to.phase != Phase::New {
                let why = "deployer pod no longer exists";
                self.event(true, "Failed", format!("Deployer pod {name:?} has gone missing"));
                return self
                    .act(self.to.change(self.now).phase(Phase::Failed).note(REASON, why).action());
            }
            let timeout = timeout(config);
            let created = self.to.seen.metadata.creation_timestamp.as_ref().map(|time| time.0);
            if self.is_over(after(created.unwrap_or(self.now), timeout)) {
                let (label, why) = (self.to.label(), "unable to create deployer pod");
                let text = format!(
                    "Rollout for {label:?} failed to create deployer pod (timeoutSeconds: {timeout}s)"
                );
                self.event(true, "RolloutTimeout", text);
                return self
                    .act(self.to.change(self.now).phase(Phase::Failed).note(REASON, why).action());
            }
            let text = "Error creating deployer pod: {error}";
            self.create(made, text);
            let at = time_text(self.now);
            let change = self.to.change(self.now).phase(Phase::Pending).note(HELPER, name.clone());
            return self.act(change.note(CREATED, at).action());
        };
        if !helpers::is_of(pod, self.to) {
            let why = "unrelated pod with the same name as this deployment is already running";
            let text = format!(
                "Error creating deployer pod since another pod with the same name ({name:?}) exists"
            );
            self.event(true, REFUSED, text);
            return self
                .act(self.to.change(self.now).phase(Phase::Failed).note(REASON, why).action());
        }
        let (next, begun) = match pods::phase(pod) {
            "Succeeded" => return Ok(()),
            "Failed" => (Phase::Failed, COMPLETED),
            "Running" => (Phase::Running, STARTED),
            _ => (Phase::Pending, CREATED),
        };
        let order = |phase| {
            [Phase::New, Phase::Pending, Phase::Running].iter().position(|one| *one == phase)
        };
        if next == Phase::Failed || order(next) > order(self.to.phase) {
            let change = self.to.change(self.now).phase(next).note(HELPER, name);
            return self.act(change.note(begun, time_text(self.now)).action());
        }
        Err(Stop::Waits)
    }

    pub(super) fn create(&mut self, pod: Pod, failed: &'static str) {
        self.plan.act(Action::Create {
            object: to_object(&pod),
            told: Some(OutcomeEvents {
                about: self.about.clone(),
                done: ("", "".into()),
                failed: (REFUSED, failed.into()),
            }),
        });
    }

    /// Says that it goes on from now.
    fn begin(&mut self, config: &DeploymentConfig) -> Step {
        if self.to.phase != Phase::New {
            let started = self.to.time(STARTED).unwrap_or(self.now);
            let limit = config.spec.strategy.active_deadline_seconds.unwrap_or(DEADLINE);
            return match self.is_over(after(started, limit)) {
                true => {
                    let label = self.to.label();
                    let text =
                        format!("Rollout for {label:?} failed: it took longer than {limit}s");
                    self.event(true, "RolloutTimeout", text);
                    Err(Stop::Failed(format!("the rollout took longer than {limit} seconds")))
                }
                false => Ok(()),
            };
        }
        let at = time_text(self.now);
        let change = self.to.change(self.now).phase(Phase::Running).note(STARTED, at).gets_on();
        // It may have failed before.
        let change = change.forget(LOG).forget(STEPS).forget(COMPLETED);
        self.act(change.action())
    }

    fn carry_out(&mut self, config: &DeploymentConfig) -> Step {
        let Some(desired) = self.to.desired() else {
            let name = self.to.name();
            return Err(Stop::Failed(format!("deployment {name} has already run to completion")));
        };
        if let Some(from) = self.from.filter(|from| from.version > self.to.version) {
            let (to, from) = (self.to.name(), from.name());
            return Err(Stop::Failed(format!("deployment {to} is older than {from}")));
        }
        let older: Vec<_> = self.others.iter().filter(|one| one.replicas() != 0).copied().collect();
        // Pods of a rollout that was overtaken go as new ones come, like those of the one before.
        let goes_along = config.is_rolling() && self.from.is_some();
        if !older.is_empty() && !goes_along {
            let mut change = self.to.change(self.now);
            for one in older {
                self.plan.act(size(one, 0));
                change = change.say(format!("--> Scaled older deployment {} down", one.name()));
            }
            return self.act(change.action());
        }
        let strategy = &config.spec.strategy;
        let none = Params::default();
        let rolling = strategy.rolling_params.as_ref().unwrap_or(&none);
        let recreate = strategy.recreate_params.as_ref().unwrap_or(&none);
        match (strategy.type_.as_str(), self.from) {
            ("Recreate", _) => self.recreate(config, recreate, desired),
            ("Rolling", None) => {
                self.hook(config, rolling.pre.as_ref(), PRE)?;
                self.recreate(config, recreate, desired)?;
                self.hook(config, rolling.post.as_ref(), POST)
            }
            ("Rolling", Some(from)) => {
                self.hook(config, rolling.pre.as_ref(), PRE)?;
                self.roll(config, (rolling, from), desired)?;
                self.hook(config, rolling.post.as_ref(), POST)
            }
            (other, _) => Err(Stop::Failed(format!("unsupported strategy type: {other}"))),
        }
    }
}

/// Seconds without progress after which a rollout has failed.
pub(super) fn timeout(config: &DeploymentConfig) -> i64 {
    let strategy = &config.spec.strategy;
    let of = |params: &Option<Params>| params.as_ref().and_then(|params| params.timeout_seconds);
    of(&strategy.rolling_params).or(of(&strategy.recreate_params)).unwrap_or(TIMEOUT)
}

/// Gives a rollout another size.
pub(super) fn size(rollout: &Rollout, replicas: i32) -> Action {
    let patch = json!({ "spec": { "replicas": replicas } });
    Action::patch(ObjectRef::to(rollout.seen.as_ref()), patch)
}
