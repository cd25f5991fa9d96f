//! What controllers of pods do alike: make pods of a template, delete them, tell of both, wait until they are ready.
//!
//! Knows: the words of Events. Refuses to know: which pods are wanted, and who asks.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::action::{Action, ObjectRef, OutcomeEvents, Propagation, to_object};
use crate::common::{after, until};
use crate::report::{Shown, Waiting};
use crate::{Plan, pods};

/// A pod of the template, for `owner`, with a name that the server completes.
pub fn pod_of(template: &PodTemplateSpec, owner: &ObjectRef) -> Pod {
    let meta = template.metadata.clone().unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", owner.name)),
            namespace: Some(owner.namespace.clone()),
            labels: meta.labels,
            annotations: meta.annotations,
            finalizers: meta.finalizers,
            owner_references: Some(vec![owner.controller_ref()]),
            ..ObjectMeta::default()
        },
        spec: template.spec.clone(),
        status: None,
    }
}

/// Creates a pod and tells of it.
pub fn creation(pod: &Pod, about: &ObjectRef) -> Action {
    Action::Create {
        object: to_object(pod),
        told: Some(OutcomeEvents {
            about: about.clone(),
            done: ("SuccessfulCreate", "Created pod: {name}".into()),
            failed: ("FailedCreate", "Error creating: {error}".into()),
        }),
    }
}

/// Deletes a pod and tells of it.
pub fn deletion(pod: &Pod, about: &ObjectRef) -> Action {
    Action::Delete {
        target: ObjectRef::to(pod).any_version(),
        grace: None,
        propagation: Propagation::Default,
        told: Some(OutcomeEvents {
            about: about.clone(),
            done: ("SuccessfulDelete", "Deleted pod: {name}".into()),
            failed: ("FailedDelete", "Error deleting: {error}".into()),
        }),
    }
}

/// Waits for pods that are not ready, and for those that are to have been so for `min_ready` seconds.
pub fn wait_for(all: &[Arc<Pod>], min_ready: i32, now: Timestamp, plan: &mut Plan) {
    for pod in all {
        let target = ObjectRef::to(pod.as_ref());
        match pods::ready_since(pod) {
            None => plan.wait(
                Waiting::new(
                    "PodNotReady",
                    format!("pod {} is not ready", target.name),
                    Shown::Status,
                )
                .on(target),
            ),
            Some(since) => {
                let left = until(after(since, i64::from(min_ready)), now);
                if min_ready > 0 && left > Duration::ZERO {
                    plan.again_in(left);
                }
            }
        }
    }
}
