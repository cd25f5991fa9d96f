//! Deployments: replica sets, one for each template, that grow and shrink until only the newest has pods.
//!
//! Alone writes: the status of deployments and their revision; creates, scales and deletes the replica sets they own. Relies
//! on: replica sets that carry its ownerReference being its own; what they say of their pods.

mod rollout;
mod scale;
mod sets;
mod status;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStatus, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use self::rollout::Rollout;
use crate::action::{Action, ObjectRef, OutcomeEvents};
use crate::claim::claim;
use crate::common::{replacing, selects_some, status_of};
use crate::report::{Report, Shown, Waiting};
use crate::{Failure, Plan};

pub use self::sets::name_of_new;

/// What is seen.
#[derive(Debug)]
pub struct Observed {
    /// The deployment; `None` once it is gone.
    pub deployment: Option<Arc<Deployment>>,
    /// The replica sets of its namespace that it owns, or that nobody owns; others do not matter.
    pub sets: Vec<Arc<ReplicaSet>>,
    /// The replica set, whoever owns it, that has the name of [`name_of_new`].
    pub namesake: Option<Arc<ReplicaSet>>,
    /// The pods of its replica sets; they matter only to those that are recreated.
    pub pods: Vec<Arc<Pod>>,
    /// What failed last time.
    pub failure: Option<Failure>,
}

/// The reason of the condition and the Event that tell that a new replica set was refused.
const REFUSED: &str = "ReplicaSetCreateError";

/// What to do for one deployment.
pub fn plan(seen: &Observed, now: Timestamp) -> Plan {
    let Some(deployment) = &seen.deployment else { return Plan::default() };
    let Some(spec) = &deployment.spec else { return Plan::default() };
    let about = ObjectRef::to(deployment.as_ref());
    let mut plan = Plan { report: Report::about(about.clone()), ..Plan::default() };
    let selects = |meta: &ObjectMeta| selects_some(&spec.selector, meta.labels.as_ref());
    let claimed = claim(&deployment.metadata, &selects, &seen.sets);
    plan.actions.extend(claimed.actions(&about));
    if !plan.actions.is_empty() {
        // What is adopted has another version by then: its turn comes when that is seen.
        return plan;
    }
    let mut rollout = Rollout::new(deployment, spec, claimed.own, now);
    rollout.proceed(seen);
    act(&rollout, &about, seen, &mut plan);
    wait(&rollout, spec, &mut plan);
    if let Some(delay) = rollout.look_again {
        plan.again_in(delay);
    }
    plan
}

/// The changes to replica sets, those that are left over, then what the deployment says of it all.
fn act(rollout: &Rollout, about: &ObjectRef, seen: &Observed, plan: &mut Plan) {
    let deployment = rollout.deployment;
    for set in rollout.changed() {
        if set.is_made {
            let refused = seen.failure.as_ref().filter(|failure| failure.reason == REFUSED);
            if let Some(failure) = refused.filter(|_| rollout.has_deadline()) {
                tell_refused(rollout, about, set.name(), failure, plan);
            }
            plan.act(Action::Create {
                object: set.object(),
                told: Some(OutcomeEvents {
                    about: about.clone(),
                    done: ("", "".into()),
                    failed: (
                        REFUSED,
                        "Failed to create new replica set \"{name}\": {error}".into(),
                    ),
                }),
            });
        } else if let Some(patch) = set.patch() {
            plan.act(Action::patch(ObjectRef::to(set.seen.as_ref()), patch));
        }
        if let Some(message) = set.scaling() {
            plan.act(Action::normal(about.clone(), "ScalingReplicaSet", message));
        }
    }
    for set in &rollout.left_over {
        plan.act(Action::delete(ObjectRef::to(set.as_ref())));
    }
    let old = status_of(deployment.status.as_ref());
    let patch = replacing(&old, status_of(Some(&rollout.status)));
    let revision = rollout.revision.as_deref().filter(|revision| {
        let annotations = deployment.metadata.annotations.as_ref();
        annotations.and_then(|all| all.get(sets::REVISION)).map(String::as_str) != Some(*revision)
    });
    if patch.is_none() && revision.is_none() {
        return;
    }
    let mut both = json!({ "status": patch.unwrap_or_else(|| json!({})) });
    if let Some(revision) = revision {
        both["metadata"]["annotations"][sets::REVISION] = revision.into();
    }
    plan.act(patch_status(about, both));
}

fn patch_status(about: &ObjectRef, patch: Value) -> Action {
    let target = about.clone().any_version();
    Action::Patch { target, subresource: "status", patch, only_if: None, told: None }
}

/// Tells that the last try to create the new replica set was refused, before the next one.
fn tell_refused(
    rollout: &Rollout,
    about: &ObjectRef,
    name: &str,
    failure: &Failure,
    plan: &mut Plan,
) {
    let known = rollout.deployment.status.clone().unwrap_or_default();
    let mut told = known.clone();
    let message = format!("Failed to create new replica set {name:?}: {}", failure.message);
    status::set(&mut told, status::PROGRESSING, "False", REFUSED, message, rollout.now);
    if told != known {
        plan.act(patch_status(about, json!({ "status": { "conditions": told.conditions } })));
    }
}

fn wait(rollout: &Rollout, spec: &DeploymentSpec, plan: &mut Plan) {
    let DeploymentStatus { updated_replicas, available_replicas, .. } = rollout.status;
    let replicas = spec.replicas.unwrap_or(1);
    if !status::is_complete(rollout.deployment, &rollout.status) {
        let message = format!(
            "{} of {replicas} replicas are updated, {} available",
            updated_replicas.unwrap_or(0),
            available_replicas.unwrap_or(0)
        );
        plan.wait(Waiting::new("RolloutIncomplete", message, Shown::Status));
    }
}

#[cfg(test)]
mod tests;
