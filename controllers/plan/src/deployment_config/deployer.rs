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
use super::helpers::{self, DEADLINE};
use super::rollout::{
    COMPLETED, CREATED, DESIRED, HELPER, LOG, NAME, ORIGINAL, Phase, REASON, ROLLOUT_SIZE, Rollout,
    SINCE, SOURCE, STARTED, STEPS,
};
use super::{HELPER_OF, Observed};
use crate::Plan;
use crate::action::{Action, ObjectRef, OutcomeEvents, Propagation, to_object};
use crate::common::{after, time_text, until};
use crate::pods;

const TIMEOUT: i64 = 600;
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
            Some(_) if self.to.text("deploy.openshift.io/deployer-pod.ignore") != "" => return,
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
    fn has_passed(&mut self, seconds: i64) -> bool {
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
        let name = helpers::name(self.to, "deploy");
        let Some(pod) = self.helper(&name) else {
            if self.to.phase != Phase::New {
                let why = "deployer pod no longer exists";
                self.event(true, "Failed", format!("Deployer pod {name:?} has gone missing"));
                self.plan
                    .act(self.to.change(self.now).phase(Phase::Failed).note(REASON, why).action());
                return Err(Stop::Acted);
            }
            let timeout = timeout(config);
            let created = self.to.seen.metadata.creation_timestamp.as_ref().map(|time| time.0);
            if self.is_over(after(created.unwrap_or(self.now), timeout)) {
                let (label, why) = (self.to.label(), "unable to create deployer pod");
                let text = format!(
                    "Rollout for {label:?} failed to create deployer pod (timeoutSeconds: {timeout}s)"
                );
                self.event(true, "RolloutTimeout", text);
                self.plan
                    .act(self.to.change(self.now).phase(Phase::Failed).note(REASON, why).action());
                return Err(Stop::Acted);
            }
            let text = "Error creating deployer pod: {error}";
            self.create(made, text);
            let at = time_text(self.now);
            let change = self.to.change(self.now).phase(Phase::Pending).note(HELPER, name.clone());
            return self.act(change.note(CREATED, at).action());
        };
        if crate::common::annotation(&pod.metadata, NAME) != Some(self.to.name()) {
            let why = "unrelated pod with the same name as this deployment is already running";
            let text = format!(
                "Error creating deployer pod since another pod with the same name ({name:?}) exists"
            );
            self.event(true, REFUSED, text);
            self.plan.act(self.to.change(self.now).phase(Phase::Failed).note(REASON, why).action());
            return Err(Stop::Acted);
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
        if !older.is_empty() {
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
                self.hook(config, rolling.pre.as_ref(), "pre")?;
                self.recreate(config, recreate, desired)?;
                self.hook(config, rolling.post.as_ref(), "post")
            }
            ("Rolling", Some(from)) => {
                self.hook(config, rolling.pre.as_ref(), "pre")?;
                self.roll(config, (rolling, from), desired)?;
                self.hook(config, rolling.post.as_ref(), "post")
            }
            (other, _) => Err(Stop::Failed(format!("unsupported strategy type: {other}"))),
        }
    }

    /// All old pods go, then the new ones come: one first, if there were others.
    fn recreate(&mut self, config: &DeploymentConfig, params: &Params, desired: i32) -> Step {
        let to = self.to;
        let timeout = timeout(config);
        self.hook(config, params.pre.as_ref(), "pre")?;
        if let Some(from) = self.from.filter(|_| !to.has_done("down")) {
            self.scale_down(from, timeout)?;
        }
        self.hook(config, params.mid.as_ref(), "mid")?;
        if desired == 0 || to.has_done("up") {
            return self.hook(config, params.post.as_ref(), "post");
        }
        let name = to.name();
        if self.from.is_some() && !to.has_done("accepted") {
            if to.replicas() == 0 {
                let text = format!("--> Scaling {name} to 1 before performing acceptance check");
                return self.act(to.change(self.now).scale(1).say(text).action());
            }
            self.accept(1, timeout)?;
            return self.act(to.change(self.now).done("accepted").gets_on().action());
        }
        if to.replicas() != desired {
            let text = format!("--> Scaling {name} to {desired}");
            return self.act(to.change(self.now).scale(desired).say(text).action());
        }
        if !to.is_settled() {
            return match self.has_passed(timeout) {
                true => {
                    let why = "timed out waiting for the condition";
                    Err(Stop::Failed(format!("couldn't scale {name} to {desired}: {why}")))
                }
                false => Err(Stop::Waits),
            };
        }
        if !to.has_done("accepted") {
            self.accept(desired, timeout)?;
        }
        self.act(to.change(self.now).done("up").gets_on().action())
    }

    fn scale_down(&mut self, from: &Rollout, timeout: i64) -> Step {
        let change = self.to.change(self.now);
        if from.replicas() != 0 {
            self.plan.act(size(from, 0));
            let text = format!("--> Scaling {} down to zero", from.name());
            return self.act(change.say(text).gets_on().action());
        }
        let runs = self.seen.old_pods.iter().any(|pod| !pods::is_terminal(pod));
        if !runs && from.actual() == 0 {
            return self.act(change.done("down").gets_on().action());
        }
        if !self.has_passed(timeout) {
            return Err(Stop::Waits);
        }
        let change = change.say(
            "--> Failed to wait for old pods to be terminated: timed out waiting for the condition",
        );
        let change = change.say("New pods may be scaled up before old pods get terminated!");
        self.act(change.done("down").gets_on().action())
    }

    /// Waits for so many available pods.
    fn accept(&mut self, wanted: i32, timeout: i64) -> Step {
        let to = self.to;
        if to.is_settled() && to.available() >= wanted {
            return Ok(());
        }
        if !self.has_passed(timeout) {
            return Err(Stop::Waits);
        }
        let (name, label) = (to.name(), to.label());
        Err(Stop::Failed(format!(
            "update acceptor rejected {name}: pods for rc '{label}' took longer than {timeout} seconds to become available"
        )))
    }

    /// Old pods go as new ones come, within the limits.
    fn roll(
        &mut self,
        config: &DeploymentConfig,
        (params, from): (&Params, &Rollout),
        desired: i32,
    ) -> Step {
        let to = self.to;
        if to.has_done("rolled") {
            return Ok(());
        }
        let (surge, missing) = config.limits(desired);
        let (new, old) = (to.replicas(), from.replicas());
        let least = if desired == 0 { 0 } else { (desired - missing).max(0) };
        if !to.has_done("began") {
            if from.text(ORIGINAL).is_empty() {
                self.plan.act(from.change(self.now).note(ORIGINAL, old.to_string()).action());
            }
            let uid = from.seen.metadata.uid.as_deref().unwrap_or("");
            let text = format!(
                "--> Scaling up {} from {new} to {desired}, scaling down {} from {old} to 0 (keep {least} pods available, don't exceed {} pods)",
                to.name(),
                from.name(),
                desired + surge
            );
            let source = format!("{}:{uid}", from.name());
            let change = to.change(self.now).note(SOURCE, source).say(text).done("began");
            return self.act(change.gets_on().action());
        }
        if new == desired && old == 0 && to.is_settled() {
            return self.act(to.change(self.now).done("rolled").gets_on().action());
        }
        let up = if old == 0 { desired - new } else { (desired + surge) - (old + new) };
        if new != desired && (up > 0 || new > desired) {
            let next = (new + up).min(desired);
            let text = format!("    Scaling {} up to {next}", to.name());
            return self.act(to.change(self.now).scale(next).say(text).action());
        }
        let missing = new - to.available().min(new);
        let mut down = old + new - least - missing;
        if new == desired && missing == 0 {
            down = old;
        }
        if to.is_settled() && old > 0 && down > 0 {
            if !self.has_passed(params.update_period_seconds.unwrap_or(1)) {
                return Err(Stop::Waits);
            }
            let next = (old - down).max(0);
            self.plan.act(size(from, next));
            let text = format!("    Scaling {} down to {next}", from.name());
            return self.act(to.change(self.now).gets_on().say(text).action());
        }
        match self.has_passed(params.timeout_seconds.unwrap_or(TIMEOUT)) {
            true => {
                let why = "timed out waiting for any update progress to be made";
                Err(Stop::Failed(why.to_owned()))
            }
            false => Err(Stop::Waits),
        }
    }
}

fn timeout(config: &DeploymentConfig) -> i64 {
    let strategy = &config.spec.strategy;
    let of = |params: &Option<Params>| params.as_ref().and_then(|params| params.timeout_seconds);
    of(&strategy.rolling_params).or(of(&strategy.recreate_params)).unwrap_or(TIMEOUT)
}

/// Gives a rollout another size.
pub(super) fn size(rollout: &Rollout, replicas: i32) -> Action {
    let patch = json!({ "spec": { "replicas": replicas } });
    Action::patch(ObjectRef::to(rollout.seen.as_ref()), patch)
}
