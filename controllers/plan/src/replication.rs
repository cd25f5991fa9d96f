//! ReplicationControllers: as many active pods as asked for.
//!
//! Alone writes: the status of replication controllers; creates and deletes the pods they own. Relies on: pods that carry
//! its ownerReference being its own whatever they are called.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, ReplicationController};

use crate::action::ObjectRef;
use crate::common::{Labels, matches, status_of};
use crate::replicas::{self, Wanted};
use crate::{Failure, Plan};

/// What is seen.
#[derive(Debug)]
pub struct Observed {
    /// The controller; `None` once it is gone.
    pub controller: Option<Arc<ReplicationController>>,
    /// The pods of its namespace that it owns, or that nobody owns; others do not matter.
    pub pods: Vec<Arc<Pod>>,
    /// What failed last time.
    pub failure: Option<Failure>,
}

/// What to do for one replication controller.
pub fn plan(seen: &Observed, now: Timestamp) -> Plan {
    let Some(controller) = &seen.controller else { return Plan::default() };
    let spec = controller.spec.as_ref();
    let selector = spec.and_then(|spec| spec.selector.as_ref());
    let selects = |labels: Option<&Labels>| {
        selector.is_some_and(|selector| !selector.is_empty() && matches(selector, labels))
    };
    let wanted = Wanted {
        about: ObjectRef::to(controller.as_ref()),
        meta: &controller.metadata,
        replicas: spec.and_then(|spec| spec.replicas).unwrap_or(1),
        min_ready: spec.and_then(|spec| spec.min_ready_seconds).unwrap_or(0),
        template: spec.and_then(|spec| spec.template.as_ref()),
        selects: &selects,
        status: status_of(controller.status.as_ref()),
        counts_terminating: false,
        related: &[],
        failure: seen.failure.as_ref(),
    };
    replicas::plan(&wanted, &seen.pods, now)
}

#[cfg(test)]
mod tests;
