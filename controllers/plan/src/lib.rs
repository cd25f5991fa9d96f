//! A module per controller: `plan(&Observed, now)` gives actions and a report, nothing else.
//!
//! Knows: what each controller wants next of the API, and what it is waiting for. Refuses to know: how actions are
//! carried out, clients, caches, clocks, async. The same observation and time always give the same plan.
//!
//! Rely and guarantee: every plan may be cut short after any of its actions; planning again from what is then observed
//! reaches the same end. Children are found by ownerReference or have names that follow from their owner.
#![forbid(unsafe_code)]

pub mod action;
pub mod aggregation;
pub mod attach;
pub mod autoscaler;
pub mod balancer;
pub mod build;
pub mod claim;
pub mod common;
pub mod cron_job;
pub mod daemon_set;
pub mod deployment;
pub mod deployment_config;
pub mod disruption;
pub mod endpoints;
pub mod endpointslice;
pub mod gateway;
pub mod gc;
pub mod hashes;
pub mod history;
pub mod image_imports;
pub mod image_stream;
pub mod image_triggers;
pub mod int_or_percent;
pub mod job;
mod kind;
pub mod local_path;
pub mod mirroring;
pub mod namespace;
pub mod node;
pub mod placement;
pub mod pod_control;
pub mod pod_gc;
pub mod pods;
pub mod project;
pub mod quantity;
pub mod replica_set;
pub mod replicas;
pub mod replication;
pub mod report;
pub mod service_account;
pub mod serving_cert;
pub mod snapshot;
pub mod stateful_set;
pub mod taints;
#[cfg(test)]
mod testing;
pub mod volume;

use std::time::Duration;

pub use action::{Action, ObjectRef, OutcomeEvents, Propagation};
pub use report::{LATE, RECONCILE_ERROR, Report, Shown, Standing, Waiting};
use serde_json::Value;

/// What to do now, why not more, and when to look again without being woken.
#[must_use]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// In order. Neighbouring creates may run side by side, as may neighbouring deletes.
    pub actions: Vec<Action>,
    /// What is being waited for.
    pub report: Report,
    /// When time alone changes the answer.
    pub requeue: Option<Duration>,
}

impl Plan {
    /// Adds an action.
    pub fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// Writes a status in place of the old one, if it is another; whatever its version is by then.
    pub fn tell_status(&mut self, about: &ObjectRef, old: &Value, new: Value) {
        if let Some(patch) = common::replacing(old, new) {
            self.act(Action::status(about.clone().any_version(), patch));
        }
    }

    /// Adds what is being waited for.
    pub fn wait(&mut self, waiting: Waiting) {
        self.report.waiting.push(waiting);
    }

    /// Looks again after `delay` at the latest.
    pub fn again_in(&mut self, delay: Duration) {
        self.requeue = Some(self.requeue.map_or(delay, |known| known.min(delay)));
    }
}

/// A failure of the last round for the same key, for conditions that tell of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The machine-readable reason, such as `FailedCreate`.
    pub reason: String,
    /// What the API answered.
    pub message: String,
}
