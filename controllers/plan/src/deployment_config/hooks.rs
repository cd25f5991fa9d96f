//! What is done at one point of a rollout: a pod runs to its end, or images get tags.
//!
//! Knows: what follows from how it ends. Refuses to know: at which points there are hooks.

use serde_json::json;

use super::config::{DeploymentConfig, ExecNewPod, Hook};
use super::deployer::{Deployer, Step, Stop};
use super::helpers::{self, DEADLINE, Point};
use super::rollout::STARTED;
use crate::action::{Action, OutcomeEvents};
use crate::common::{after, until};
use crate::pods;
use leme_meta::Object;

/// The Event that tells that an image got no tag.
const UNTAGGED: &str = "FailedTag";

/// What is told when a hook begins.
fn begins(label: &str, what: &str, rollout: &str) -> String {
    format!("Running {label}-hook ({what}) for rc {rollout}")
}

impl Deployer<'_> {
    /// Has a hook done, if there is one; `point` says how its steps are called.
    pub(super) fn hook(
        &mut self,
        config: &DeploymentConfig,
        hook: Option<&Hook>,
        point: &'static Point,
    ) -> Step {
        let label = point.label;
        let Some(hook) = hook.filter(|_| !self.to.has_done(label)) else { return Ok(()) };
        match &hook.exec_new_pod {
            _ if !hook.tag_images.is_empty() => self.tag(hook, label),
            Some(exec) => self.run(config, hook, exec, point),
            None => Ok(()),
        }
    }

    fn is_over_well(&mut self, label: &'static str, said: String) -> Step {
        let text = format!("The {label}-hook for rc {} completed successfully", self.to.label());
        self.event(false, "Completed", text);
        self.act(self.to.change(self.now).done(label).say(said).gets_on().action())
    }

    fn has_failed(&mut self, hook: &Hook, label: &'static str, why: &str) -> Step {
        let rollout = self.to.label();
        if hook.failure_policy == "Ignore" {
            let text = format!(
                "The {label}-hook failed: {why} (ignore), rollout of {rollout} will continue"
            );
            self.event(true, "Failed", text);
            let change = self.to.change(self.now).done(label).say(format!("--> {label}: Failed"));
            return self.act(change.gets_on().action());
        }
        let text = format!("The {label}-hook failed: {why}, aborting rollout of {rollout}");
        self.event(true, "Failed", text);
        Err(Stop::Failed(format!(
            "{label} hook failed: the {label} hook failed: {why}, aborting rollout of {rollout}"
        )))
    }

    fn run(
        &mut self,
        config: &DeploymentConfig,
        hook: &Hook,
        exec: &ExecNewPod,
        point: &'static Point,
    ) -> Step {
        let (label, name) = (point.label, helpers::name(self.to, point.suffix));
        let namespace = self.to.seen.metadata.namespace.as_deref().unwrap_or("");
        let pod = match self.helper(&name) {
            Some(pod) if helpers::is_of(pod, self.to) => pod,
            Some(_) => {
                let why = format!("pods {name:?} already exists and is none of this rollout");
                return self.has_failed(hook, label, &why);
            }
            None if self.to.has_done(point.begun) => {
                let why = format!("{label}: pod/{name}[{namespace}] unexpectedly deleted");
                return self.has_failed(hook, label, &why);
            }
            None => return self.start(config, hook, exec, point),
        };
        let message = pod.status.as_ref().and_then(|status| status.message.clone());
        match pods::phase(pod) {
            "Succeeded" => self.is_over_well(label, format!("--> {label}: Success")),
            "Failed" => self.has_failed(hook, label, &message.unwrap_or_default()),
            _ => Err(Stop::Waits),
        }
    }

    fn start(
        &mut self,
        config: &DeploymentConfig,
        hook: &Hook,
        exec: &ExecNewPod,
        point: &'static Point,
    ) -> Step {
        let label = point.label;
        let strategy = &config.spec.strategy;
        let started = self.to.time(STARTED).unwrap_or(self.now);
        let end = after(started, strategy.active_deadline_seconds.unwrap_or(DEADLINE));
        let left = i64::try_from(until(end, self.now).as_secs()).unwrap_or(DEADLINE);
        let retries = hook.failure_policy == "Retry";
        let pod = match helpers::hook(self.to, strategy, (exec, retries), point.suffix, left) {
            Ok(pod) => pod,
            Err(why) => return self.has_failed(hook, label, &why),
        };
        let name = self.to.name();
        if let Some(failure) = self.seen.failure.as_ref().filter(|one| one.reason == "FailedCreate")
        {
            let why = format!("couldn't create lifecycle pod for {name}: {}", failure.message);
            return self.has_failed(hook, label, &why);
        }
        let command = format!("{:?}", exec.command.join(" "));
        let text = begins(label, &command, &self.to.label());
        self.create(pod, "Error creating lifecycle pod: {error}");
        self.event(false, "Started", text);
        let text = format!("--> {label}: Running hook pod ...");
        self.act(self.to.change(self.now).say(text).done(point.begun).action())
    }

    fn tag(&mut self, hook: &Hook, label: &'static str) -> Step {
        if let Some(failure) = self.seen.failure.clone().filter(|one| one.reason == UNTAGGED) {
            return self.has_failed(hook, label, &failure.message);
        }
        let (mut said, mut told) = (Vec::new(), Vec::new());
        let mut writes = Vec::new();
        for tag in &hook.tag_images {
            let container = &tag.container_name;
            let Some(image) = helpers::image_of(self.to, container) else {
                let why = format!(
                    "unable to find image for container {container:?}, container could not be found"
                );
                return self.has_failed(hook, label, &why);
            };
            let name = tag.to.name.as_deref().unwrap_or("");
            let own = self.to.seen.metadata.namespace.as_deref().unwrap_or("");
            let namespace = tag.to.namespace.as_deref().filter(|one| !one.is_empty());
            told.push(format!("image {image:?} as {name:?}"));
            said.push(format!(
                "--> {label}: Tagged {image:?} into {}/{name}",
                namespace.unwrap_or("")
            ));
            writes.push(Action::Update {
                object: Object(json!({
                    "apiVersion": "image.openshift.io/v1", "kind": "ImageStreamTag",
                    "metadata": { "name": name, "namespace": namespace.unwrap_or(own) },
                    "tag": { "from": { "kind": "DockerImage", "name": image } },
                })),
                told: Some(OutcomeEvents {
                    about: self.about.clone(),
                    done: ("", "".into()),
                    failed: (UNTAGGED, "Error tagging {name}: {error}".into()),
                }),
            });
        }
        let label_of = self.to.label();
        let text = format!("Running {label}-hook (TagImages) {} for rc {label_of}", told.join(","));
        self.event(false, "Started", text);
        self.plan.actions.extend(writes);
        self.is_over_well(label, said.join("\n"))
    }
}
