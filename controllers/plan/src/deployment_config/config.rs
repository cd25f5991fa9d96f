//! A DeploymentConfig as its controller reads it.
//!
//! Knows: the fields that decide about rollouts, and the whole object as it was read. Refuses to know: what follows from
//! them.

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{EnvVar, ObjectReference, PodTemplateSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::common::Labels;
use crate::int_or_percent::amount;
use crate::kind::kind;

/// A DeploymentConfig.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(try_from = "Value")]
pub struct DeploymentConfig {
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// What is wanted.
    pub spec: Spec,
    /// How far it has come.
    pub status: Status,
    /// All of it.
    pub whole: Value,
}

kind!(DeploymentConfig, "apps.openshift.io", "v1", "deploymentconfigs", NamespaceResourceScope);

impl TryFrom<Value> for DeploymentConfig {
    type Error = serde_json::Error;

    fn try_from(mut whole: Value) -> Result<DeploymentConfig, serde_json::Error> {
        // Who owns its fields is no part of what is rolled out.
        if let Some(metadata) = whole.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
        }
        let part = |field: &str| match whole.get(field) {
            None | Some(Value::Null) => Value::Object(serde_json::Map::new()),
            Some(part) => part.clone(),
        };
        Ok(DeploymentConfig {
            metadata: serde_json::from_value(part("metadata"))?,
            spec: serde_json::from_value(part("spec"))?,
            status: serde_json::from_value(part("status"))?,
            whole,
        })
    }
}

/// What is wanted.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Spec {
    /// How a rollout goes.
    pub strategy: Strategy,
    /// Seconds for which a pod must be ready to be available.
    pub min_ready_seconds: i32,
    /// What makes a rollout by itself.
    pub triggers: Vec<Trigger>,
    /// The number of pods.
    pub replicas: i32,
    /// How many past rollouts are kept; all if it is not said.
    pub revision_history_limit: Option<i32>,
    /// Whether pods are there only while a rollout goes on.
    pub test: bool,
    /// Whether nothing is rolled out by itself.
    pub paused: bool,
    /// Which pods are its own.
    pub selector: Labels,
    /// The pods.
    pub template: Option<PodTemplateSpec>,
}

/// How a rollout goes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Strategy {
    /// `Rolling`, `Recreate` or `Custom`.
    #[serde(rename = "type")]
    pub type_: String,
    /// The pod that rolls out.
    pub custom_params: Option<CustomParams>,
    /// How pods are replaced all at once.
    pub recreate_params: Option<Params>,
    /// How pods are replaced some at a time.
    pub rolling_params: Option<Params>,
    /// Resources of pods that belong to the rollout itself.
    pub resources: Option<ResourceRequirements>,
    /// Labels of such pods.
    pub labels: Labels,
    /// Annotations of such pods.
    pub annotations: Labels,
    /// How long a rollout may take in all, in seconds.
    pub active_deadline_seconds: Option<i64>,
}

/// A pod that rolls out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CustomParams {
    /// Its image.
    pub image: String,
    /// Its environment.
    pub environment: Vec<EnvVar>,
    /// Its command.
    pub command: Vec<String>,
}

/// How pods are replaced, in either way.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Params {
    /// Seconds between one step and the next.
    pub update_period_seconds: Option<i64>,
    /// Seconds without progress after which a rollout has failed.
    pub timeout_seconds: Option<i64>,
    /// How many pods may be missing meanwhile.
    pub max_unavailable: Option<IntOrString>,
    /// How many more pods there may be meanwhile.
    pub max_surge: Option<IntOrString>,
    /// What is done before.
    pub pre: Option<Hook>,
    /// What is done when the old pods are gone.
    pub mid: Option<Hook>,
    /// What is done afterwards.
    pub post: Option<Hook>,
}

/// What is done at one point of a rollout.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Hook {
    /// `Abort`, `Retry` or `Ignore`.
    pub failure_policy: String,
    /// A pod that runs to its end.
    pub exec_new_pod: Option<ExecNewPod>,
    /// Images that get a tag.
    pub tag_images: Vec<TagImage>,
}

/// A pod that runs to its end.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExecNewPod {
    /// Its command.
    pub command: Vec<String>,
    /// Its environment, beside that of the container.
    pub env: Vec<EnvVar>,
    /// The container of the template that it is like.
    pub container_name: String,
    /// The volumes of the template that it has.
    pub volumes: Vec<String>,
}

/// An image that gets a tag.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TagImage {
    /// The container whose image it is.
    pub container_name: String,
    /// The ImageStreamTag.
    pub to: ObjectReference,
}

/// What makes a rollout by itself.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Trigger {
    /// `ConfigChange` or `ImageChange`.
    #[serde(rename = "type")]
    pub type_: String,
    /// The image that is followed.
    pub image_change_params: Option<ImageChange>,
}

/// An image that is followed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ImageChange {
    /// Whether it is followed by itself.
    pub automatic: bool,
    /// The containers that get it.
    pub container_names: Vec<String>,
    /// The ImageStreamTag.
    pub from: ObjectReference,
    /// The image that was found last.
    pub last_triggered_image: String,
}

/// How far it has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// The number of the newest rollout.
    pub latest_version: i64,
    /// The generation that this is about.
    pub observed_generation: i64,
    /// Pods of all rollouts.
    pub replicas: i32,
    /// Pods of the newest one.
    pub updated_replicas: i32,
    /// Available pods.
    pub available_replicas: i32,
    /// Pods that are wanted and not available.
    pub unavailable_replicas: i32,
    /// Why there is the newest one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
    /// What holds of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Ready pods.
    #[serde(skip_serializing_if = "is_zero")]
    pub ready_replicas: i32,
}

fn is_zero(number: &i32) -> bool {
    *number == 0
}

/// Something that holds of it or not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What is meant.
    #[serde(rename = "type")]
    pub type_: String,
    /// Whether it holds.
    pub status: String,
    /// When this was said last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_update_time: Option<Time>,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Time>,
    /// Why, in a word.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

impl DeploymentConfig {
    /// Its name.
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or("")
    }

    /// The name of its newest rollout.
    pub fn name_of_latest(&self) -> String {
        format!("{}-{}", self.name(), self.status.latest_version)
    }

    pub(super) fn is_rolling(&self) -> bool {
        self.spec.strategy.type_ == "Rolling"
    }

    pub(super) fn has_trigger(&self, type_: &str) -> bool {
        self.spec.triggers.iter().any(|trigger| trigger.type_ == type_)
    }

    /// Whether every image that is followed has been found.
    pub(super) fn has_images(&self) -> bool {
        let followed = self.spec.triggers.iter().filter(|one| one.type_ == "ImageChange");
        followed
            .filter_map(|trigger| trigger.image_change_params.as_ref())
            .all(|params| !params.last_triggered_image.is_empty())
    }

    /// How many more pods there may be meanwhile, and how many may be missing, of this many.
    pub(super) fn limits(&self, desired: i32) -> (i32, i32) {
        let params = self.spec.strategy.rolling_params.as_ref();
        let surge = amount(params.and_then(|params| params.max_surge.as_ref()), desired, true);
        let missing =
            amount(params.and_then(|params| params.max_unavailable.as_ref()), desired, false);
        if surge == 0 && missing == 0 { (0, 1) } else { (surge, missing) }
    }
}
