//! The replica sets of a deployment: which is the new one, how one is made, and what a round changes of each.
//!
//! Knows: templates, revisions and the annotations that are handed down. Refuses to know: how many pods each should have.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, ReplicaSet, ReplicaSetSpec};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use leme_meta::Object;
use serde_json::{Value, json};

use crate::action::{ObjectRef, to_object};
use crate::common::Labels;
use crate::hashes;

/// The annotation that numbers rollouts.
pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MOST: &str = "deployment.kubernetes.io/max-replicas";
const HASH: &str = "pod-template-hash";

/// Annotations that say something of the object that has them.
const NOT_HANDED_DOWN: &[&str] = &[
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    HISTORY,
    DESIRED,
    MOST,
    "deprecated.deployment.rollback.to",
];
/// How much of past revisions is kept.
const LONGEST_HISTORY: usize = 2000;
const LONGEST_NAME: usize = 253;

/// A replica set as it is seen and as it is to become.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) seen: Arc<ReplicaSet>,
    /// It does not exist yet.
    pub(super) is_made: bool,
    pub(super) replicas: i32,
    pub(super) min_ready: i32,
    annotations: Labels,
}

impl Set {
    pub(super) fn new(seen: Arc<ReplicaSet>) -> Set {
        let spec = seen.spec.as_ref();
        Set {
            is_made: false,
            replicas: spec.and_then(|spec| spec.replicas).unwrap_or(1),
            min_ready: spec.and_then(|spec| spec.min_ready_seconds).unwrap_or(0),
            annotations: seen.metadata.annotations.clone().unwrap_or_default(),
            seen,
        }
    }

    /// The replica set of the deployment's template, without replicas.
    pub(super) fn made(deployment: &Deployment, spec: &DeploymentSpec) -> Set {
        let hash = hash(deployment, spec);
        let labelled = |labels: &Option<Labels>| {
            let mut labels = labels.clone().unwrap_or_default();
            labels.insert(HASH.to_owned(), hash.clone());
            Some(labels)
        };
        let mut template = spec.template.clone();
        let meta = template.metadata.get_or_insert_default();
        meta.labels = labelled(&meta.labels);
        let mut selector = spec.selector.clone();
        selector.match_labels = labelled(&selector.match_labels);
        let set = ReplicaSet {
            metadata: ObjectMeta {
                name: Some(name(deployment, &hash)),
                namespace: deployment.metadata.namespace.clone(),
                owner_references: Some(vec![ObjectRef::to(deployment).controller_ref()]),
                labels: meta.labels.clone(),
                ..ObjectMeta::default()
            },
            spec: Some(ReplicaSetSpec {
                replicas: Some(0),
                min_ready_seconds: spec.min_ready_seconds.filter(|seconds| *seconds > 0),
                selector,
                template: Some(template),
            }),
            status: None,
        };
        Set { is_made: true, ..Set::new(Arc::new(set)) }
    }

    pub(super) fn name(&self) -> &str {
        self.seen.metadata.name.as_deref().unwrap_or("")
    }

    fn spec_replicas(&self) -> i32 {
        self.seen.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
    }

    /// The number of available pods.
    pub(super) fn available(&self) -> i32 {
        self.seen.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0)
    }

    /// The number of pods that there are.
    pub(super) fn actual(&self) -> i32 {
        self.seen.status.as_ref().map_or(0, |status| status.replicas)
    }

    /// What decides which one is older.
    pub(super) fn age(&self) -> (Option<Timestamp>, &str) {
        (self.seen.metadata.creation_timestamp.as_ref().map(|time| time.0), self.name())
    }

    pub(super) fn revision(&self) -> i64 {
        self.annotations.get(REVISION).and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// The deployment's size when this one was last scaled.
    pub(super) fn desired(&self) -> Option<i32> {
        self.annotations.get(DESIRED)?.parse().ok()
    }

    /// The most pods that the deployment could have when this one was last scaled.
    pub(super) fn most(&self) -> Option<i32> {
        self.annotations.get(MOST)?.parse().ok()
    }

    /// Has another size from now on, and knows for which size of the deployment.
    pub(super) fn scale(&mut self, replicas: i32, desired: i32, most: i32) {
        self.replicas = replicas;
        self.annotations.insert(DESIRED.to_owned(), desired.to_string());
        self.annotations.insert(MOST.to_owned(), most.to_string());
    }

    /// Takes over what the newest one has of its deployment, and the newest revision. The revision it then has.
    pub(super) fn follow(&mut self, deployment: &Deployment, spec: &DeploymentSpec, revision: i64) {
        for (key, value) in deployment.metadata.annotations.iter().flatten() {
            if !NOT_HANDED_DOWN.contains(&key.as_str()) {
                self.annotations.insert(key.clone(), value.clone());
            }
        }
        self.min_ready = spec.min_ready_seconds.unwrap_or(0);
        let known = self.annotations.get(REVISION).cloned();
        let number = match known.as_deref() {
            None | Some("") => 0,
            Some(text) => match text.parse::<i64>() {
                Ok(number) => number,
                Err(_) => return,
            },
        };
        if number >= revision {
            return;
        }
        self.annotations.insert(REVISION.to_owned(), revision.to_string());
        if let Some(known) = known {
            let history = self.annotations.get(HISTORY).map_or("", String::as_str);
            if let Some(history) = remembered(history, &known) {
                self.annotations.insert(HISTORY.to_owned(), history);
            }
        }
    }

    /// The revision as it is written down.
    pub(super) fn revision_text(&self) -> Option<&str> {
        self.annotations.get(REVISION).map(String::as_str)
    }

    /// The new replica set as an object.
    pub(super) fn object(&self) -> Object {
        let mut set = ReplicaSet::clone(&self.seen);
        set.metadata.annotations = Some(self.annotations.clone());
        if let Some(spec) = &mut set.spec {
            spec.replicas = Some(self.replicas);
        }
        to_object(&set)
    }

    /// The patch that makes it what it is to become; `None` if it is that.
    pub(super) fn patch(&self) -> Option<Value> {
        let mut patch = json!({});
        let before = Set::new(self.seen.clone());
        for (key, value) in &self.annotations {
            if before.annotations.get(key) != Some(value) {
                patch["metadata"]["annotations"][key] = value.as_str().into();
            }
        }
        if before.replicas != self.replicas {
            patch["spec"]["replicas"] = self.replicas.into();
        }
        if before.min_ready != self.min_ready {
            patch["spec"]["minReadySeconds"] = self.min_ready.into();
        }
        Some(patch).filter(|patch| *patch != json!({}))
    }

    /// What the Event says if its size changes.
    pub(super) fn scaling(&self) -> Option<String> {
        let (from, to) = (self.spec_replicas(), self.replicas);
        let way = if from < to { "up" } else { "down" };
        let text = || format!("Scaled {way} replica set {} from {from} to {to}", self.name());
        (from != to).then(text)
    }
}

/// A history of revisions with one more, without the oldest that are too much.
fn remembered(history: &str, revision: &str) -> Option<String> {
    if history.is_empty() {
        return Some(revision.to_owned());
    }
    let mut rest = history;
    while rest.len() + 1 + revision.len() > LONGEST_HISTORY {
        rest = rest.split_once(',').map(|(_, rest)| rest)?;
    }
    Some(format!("{rest},{revision}"))
}

/// The newest template's replica set: of those that have the template, the oldest.
pub(super) fn position_of_new(sets: &[Set], template: &PodTemplateSpec) -> Option<usize> {
    let wanted = without_hash(template);
    let same = |set: &Set| {
        let template = set.seen.spec.as_ref().and_then(|spec| spec.template.as_ref());
        template.is_some_and(|template| without_hash(template) == wanted)
    };
    sets.iter().position(same)
}

fn without_hash(template: &PodTemplateSpec) -> PodTemplateSpec {
    let mut template = template.clone();
    let meta = template.metadata.get_or_insert_default();
    if let Some(labels) = &mut meta.labels {
        labels.remove(HASH);
    }
    meta.labels = meta.labels.take().filter(|labels| !labels.is_empty());
    template
}

/// The name that a deployment gives the replica set of its present template.
pub fn name_of_new(deployment: &Deployment) -> Option<String> {
    let spec = deployment.spec.as_ref()?;
    Some(name(deployment, &hash(deployment, spec)))
}

fn name(deployment: &Deployment, hash: &str) -> String {
    let owner = deployment.metadata.name.as_deref().unwrap_or("");
    let owner = owner.get(..LONGEST_NAME - 1 - hash.len()).unwrap_or(owner);
    format!("{owner}-{hash}")
}

fn hash(deployment: &Deployment, spec: &DeploymentSpec) -> String {
    let collisions = deployment.status.as_ref().and_then(|status| status.collision_count);
    hashes::of_template(&to_object(&spec.template).0.to_string(), collisions)
}
