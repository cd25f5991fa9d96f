//! ReplicaSets: as many active pods as asked for.
//!
//! Alone writes: the status of replica sets; creates and deletes the pods they own. Relies on: pods that carry its
//! ownerReference being its own whatever they are called.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;

use crate::action::ObjectRef;
use crate::common::{Labels, selects_some, status_of};
use crate::replicas::{self, Wanted};
use crate::{Failure, Plan};

/// What is seen.
#[derive(Debug)]
pub struct Observed {
    /// The replica set; `None` once it is gone.
    pub set: Option<Arc<ReplicaSet>>,
    /// The pods of its namespace that it owns, or that nobody owns; others do not matter.
    pub pods: Vec<Arc<Pod>>,
    /// The pods of all replica sets that have the same controller; empty if it has none.
    pub related: Vec<Arc<Pod>>,
    /// What failed last time.
    pub failure: Option<Failure>,
}

/// What to do for one replica set.
pub fn plan(seen: &Observed, now: Timestamp) -> Plan {
    let Some(set) = &seen.set else { return Plan::default() };
    let spec = set.spec.as_ref();
    let selects =
        |labels: Option<&Labels>| spec.is_some_and(|spec| selects_some(&spec.selector, labels));
    let wanted = Wanted {
        about: ObjectRef::to(set.as_ref()),
        meta: &set.metadata,
        replicas: spec.and_then(|spec| spec.replicas).unwrap_or(1),
        min_ready: spec.and_then(|spec| spec.min_ready_seconds).unwrap_or(0),
        template: spec.and_then(|spec| spec.template.as_ref()),
        selects: &selects,
        status: status_of(set.status.as_ref()),
        counts_terminating: true,
        related: &seen.related,
        failure: seen.failure.as_ref(),
    };
    replicas::plan(&wanted, &seen.pods, now)
}

#[cfg(test)]
mod tests;
