//! A rollout: the replication controller that stands for one version of a DeploymentConfig, and what is written on it.
//!
//! Knows: its annotations, how one is made. Refuses to know: when there is one, and what happens next.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ReplicationController, ReplicationControllerSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use leme_meta::Object;
use serde_json::{Value, json};

use super::config::DeploymentConfig;
use crate::action::{Action, ObjectRef, to_object};
use crate::common::{annotation, time_text};

/// The label and annotation that name the configuration.
pub const CONFIG: &str = "openshift.io/deployment-config.name";
/// The label of pods that belong to a rollout itself, which they name.
pub const HELPER_OF: &str = "openshift.io/deployer-pod-for.name";
pub(super) const PHASE: &str = "openshift.io/deployment.phase";
pub(super) const ENCODED: &str = "openshift.io/encoded-deployment-config";
pub(super) const VERSION: &str = "openshift.io/deployment-config.latest-version";
pub(super) const NAME: &str = "openshift.io/deployment.name";
pub(super) const CANCELLED: &str = "openshift.io/deployment.cancelled";
pub(super) const REASON: &str = "openshift.io/deployment.status-reason";
pub(super) const DESIRED: &str = "kubectl.kubernetes.io/desired-replicas";
pub(super) const SOURCE: &str = "kubectl.kubernetes.io/update-source-id";
pub(super) const ORIGINAL: &str = "kubectl.kubernetes.io/original-replicas";
pub(super) const STARTED: &str = "openshift.io/deployer-pod.started-at";
pub(super) const COMPLETED: &str = "openshift.io/deployer-pod.completed-at";
pub(super) const CREATED: &str = "openshift.io/deployer-pod.created-at";
pub(super) const HELPER: &str = "openshift.io/deployer-pod.name";
pub(super) const ROLLOUT_SIZE: &str = "openshift.io/deployment.replicas";
/// What the rollout has said so far: lines, each behind the time when it was said.
pub const LOG: &str = "rollout.leme.dev/log";
/// Which of its steps are done.
pub(super) const STEPS: &str = "rollout.leme.dev/steps";
/// When it got on last.
pub(super) const SINCE: &str = "rollout.leme.dev/since";

/// How much of what a rollout says is kept, in bytes.
const LONGEST_LOG: usize = 16 << 10;

/// How far a rollout is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nobody has begun.
    New,
    /// Its pod does not run yet.
    Pending,
    /// It goes on.
    Running,
    /// It is done.
    Complete,
    /// It will not be done.
    Failed,
}

impl Phase {
    pub(super) fn word(self) -> &'static str {
        match self {
            Phase::New => "New",
            Phase::Pending => "Pending",
            Phase::Running => "Running",
            Phase::Complete => "Complete",
            Phase::Failed => "Failed",
        }
    }

    pub(super) fn is_over(self) -> bool {
        matches!(self, Phase::Complete | Phase::Failed)
    }
}

/// A rollout.
#[derive(Clone, Debug)]
pub(super) struct Rollout {
    pub(super) seen: Arc<ReplicationController>,
    pub(super) phase: Phase,
    pub(super) version: i64,
}

impl Rollout {
    pub(super) fn new(seen: Arc<ReplicationController>) -> Rollout {
        let text = |name| annotation(&seen.metadata, name).unwrap_or("");
        let phase = match text(PHASE) {
            "Pending" => Phase::Pending,
            "Running" => Phase::Running,
            "Complete" => Phase::Complete,
            "Failed" => Phase::Failed,
            _ => Phase::New,
        };
        // What does not say which one it is comes before all.
        let version = text(VERSION).parse().unwrap_or(-1);
        Rollout { seen, phase, version }
    }

    pub(super) fn name(&self) -> &str {
        self.seen.metadata.name.as_deref().unwrap_or("")
    }

    /// The name with the namespace, as messages have it.
    pub(super) fn label(&self) -> String {
        format!("{}/{}", self.seen.metadata.namespace.as_deref().unwrap_or(""), self.name())
    }

    pub(super) fn text(&self, name: &str) -> &str {
        annotation(&self.seen.metadata, name).unwrap_or("")
    }

    pub(super) fn time(&self, name: &str) -> Option<Timestamp> {
        self.text(name).parse().ok()
    }

    /// How many pods it is to have.
    pub(super) fn replicas(&self) -> i32 {
        self.seen.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
    }

    /// How many pods it has.
    pub(super) fn actual(&self) -> i32 {
        self.seen.status.as_ref().map_or(0, |status| status.replicas)
    }

    /// How many of them are ready.
    pub(super) fn ready(&self) -> i32 {
        self.seen.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0)
    }

    /// How many of them are available.
    pub(super) fn available(&self) -> i32 {
        self.seen.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0)
    }

    /// Whether what it says of its pods is about the number that it is to have.
    pub(super) fn is_settled(&self) -> bool {
        let observed = self.seen.status.as_ref().and_then(|status| status.observed_generation);
        observed >= self.seen.metadata.generation && self.actual() == self.replicas()
    }

    /// How many pods it is to have in the end.
    pub(super) fn desired(&self) -> Option<i32> {
        self.text(DESIRED).parse().ok()
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.text(CANCELLED) == "true"
    }

    pub(super) fn has_done(&self, step: &str) -> bool {
        self.text(STEPS).split(' ').any(|done| done == step)
    }

    /// The configuration that it was made of.
    pub(super) fn config(&self) -> Result<DeploymentConfig, String> {
        serde_json::from_str(self.text(ENCODED)).map_err(|error| {
            format!("couldn't decode deployment config from deployment {}: {error}", self.name())
        })
    }

    /// A change of it that nothing else may have changed meanwhile.
    pub(super) fn change(&self, now: Timestamp) -> Change<'_> {
        Change { of: self, now, patch: json!({}), log: String::new(), steps: Vec::new() }
    }
}

/// A change of a rollout that comes to be as a whole.
pub(super) struct Change<'a> {
    of: &'a Rollout,
    now: Timestamp,
    patch: Value,
    log: String,
    steps: Vec<&'a str>,
}

impl<'a> Change<'a> {
    /// Writes an annotation.
    pub(super) fn note(mut self, name: &str, text: impl Into<Value>) -> Self {
        self.patch["metadata"]["annotations"][name] = text.into();
        self
    }

    /// Takes an annotation away, if it is there.
    pub(super) fn forget(self, name: &str) -> Self {
        if self.of.text(name).is_empty() { self } else { self.note(name, Value::Null) }
    }

    pub(super) fn phase(self, phase: Phase) -> Self {
        self.note(PHASE, phase.word())
    }

    /// Gives it another size, which is progress.
    pub(super) fn scale(mut self, replicas: i32) -> Self {
        self.patch["spec"]["replicas"] = replicas.into();
        self.gets_on()
    }

    /// Says that it gets on.
    pub(super) fn gets_on(self) -> Self {
        let now = time_text(self.now);
        self.note(SINCE, now)
    }

    /// Says something; each line begins with the time.
    pub(super) fn say(mut self, text: impl AsRef<str>) -> Self {
        let now = time_text(self.now);
        for line in text.as_ref().lines() {
            self.log.extend([&now, " ", line, "\n"]);
        }
        self
    }

    /// Says that a step is done.
    pub(super) fn done(mut self, step: &'a str) -> Self {
        self.steps.push(step);
        self
    }

    pub(super) fn action(mut self) -> Action {
        if !self.log.is_empty() {
            let log = format!("{}{}", self.of.text(LOG), self.log);
            let much = log.len().saturating_sub(LONGEST_LOG);
            let cut = if much > 0 { line_after(&log, much) } else { 0 };
            self = self.note(LOG, &log[cut..]);
        }
        if !self.steps.is_empty() {
            let done = self.of.text(STEPS).split(' ').filter(|step| !step.is_empty());
            let all: Vec<&str> = done.chain(self.steps.iter().copied()).collect();
            let all = all.join(" ");
            self = self.note(STEPS, all);
        }
        Action::patch(ObjectRef::to(self.of.seen.as_ref()), self.patch)
    }
}

/// Where the line begins that follows a place.
fn line_after(text: &str, at: usize) -> usize {
    text.bytes().skip(at).position(|byte| byte == b'\n').map_or(text.len(), |more| at + more + 1)
}

/// The newest rollout of a configuration as an object, without pods yet.
pub(super) fn made(config: &DeploymentConfig) -> Object {
    let name = config.name_of_latest();
    let version = config.status.latest_version.to_string();
    let mut annotations = json!({
        CONFIG: config.name(),
        ENCODED: config.whole.to_string(),
        PHASE: Phase::New.word(),
        VERSION: version,
        DESIRED: config.spec.replicas.to_string(),
        ROLLOUT_SIZE: "0",
    });
    let message = config.status.details.as_ref().and_then(|details| details["message"].as_str());
    if let Some(message) = message.filter(|message| !message.is_empty()) {
        annotations[REASON] = message.into();
    }
    let own = [("deploymentconfig", config.name()), ("deployment", name.as_str())];
    let own = own.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let mut labels = config.metadata.labels.clone().unwrap_or_default();
    labels.insert(CONFIG.to_owned(), config.name().to_owned());
    let mut selector = config.spec.selector.clone();
    selector.extend(own.clone());
    let mut template = config.spec.template.clone().unwrap_or_default();
    let meta = template.metadata.get_or_insert_default();
    meta.labels.get_or_insert_default().extend(own);
    meta.annotations.get_or_insert_default().extend(
        [(NAME, name.as_str()), (CONFIG, config.name()), (VERSION, version.as_str())]
            .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    let min_ready = config.spec.min_ready_seconds;
    to_object(&ReplicationController {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: config.metadata.namespace.clone(),
            labels: Some(labels),
            annotations: serde_json::from_value(annotations).ok(),
            owner_references: Some(vec![ObjectRef::to(config).controller_ref()]),
            ..ObjectMeta::default()
        },
        spec: Some(ReplicationControllerSpec {
            replicas: Some(0),
            selector: Some(selector),
            min_ready_seconds: (min_ready > 0).then_some(min_ready),
            template: Some(template),
        }),
        status: None,
    })
}
