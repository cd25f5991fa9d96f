//! The controllers, each as one value: what wakes it, what it looks at and what it then wants, how fast it may delete and
//! how many keys are worked on at once.
//!
//! Knows: the kinds that controllers look into, their indices, and every controller. Refuses to know: how objects come
//! here, how actions are carried out, clocks, async. Whoever runs the table gives it changes, times and answers.
#![forbid(unsafe_code)]

mod attachments;
mod autoscalers;
mod builds;
pub mod cache;
mod configs;
mod controller;
mod daemons;
mod deployments;
mod disruption;
mod foreign;
mod garbage;
mod gateways;
mod image_imports;
mod image_triggers;
mod indices;
mod namespaces;
mod nodes;
mod once;
mod provisioner;
mod replication;
mod roles;
mod services;
mod serving_certs;
mod snapshots;
mod stateful;
mod view;
mod volumes;
mod watch;
mod workloads;

use std::collections::BTreeSet;

use leme_plan::serving_cert::Authority;

pub use cache::{Cache, Kept, resource};
pub use controller::{Controller, Rate};
pub use foreign::{Foreign, Found};
pub use view::{ASKS, Answer, Answers, Blocked, Question, Refusal, View};
pub use watch::{Change, Clock, Wake, Waker, Watch};

/// What controllers cannot learn from the API.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The authority's certificate as PEM, published to every namespace as `kube-root-ca.crt`.
    pub root_ca: Option<String>,
    /// Who signs for Services, and the domain of their names.
    pub service_authority: Option<(Authority, String)>,
    /// Nodes of which it is known that nobody runs them: they are Unknown at once, not after the grace of silence.
    pub absent: BTreeSet<String>,
}

/// Every controller, with nothing remembered yet.
pub fn table(settings: &Settings) -> Vec<Controller> {
    vec![
        namespaces::accounts(settings),
        namespaces::projects(),
        namespaces::life_cycle(),
        roles::aggregation(),
        replication::controllers(),
        deployments::controller(),
        configs::controller(),
        builds::configs(),
        builds::builds(),
        image_imports::controller(),
        image_triggers::controller(),
        replication::sets(),
        daemons::controller(),
        stateful::controller(),
        workloads::cron_jobs(),
        workloads::jobs(),
        autoscalers::controller(),
        disruption::controller(),
        services::endpoints(),
        services::mirroring(),
        services::slices(),
        services::balancers(),
        serving_certs::services(settings),
        serving_certs::maps(settings),
        serving_certs::namespaces(settings),
        volumes::claims(),
        volumes::volumes(),
        provisioner::controller(),
        attachments::pods(),
        attachments::attachments(),
        attachments::nodes(),
        snapshots::setup(),
        snapshots::snapshots(),
        snapshots::contents(),
        gateways::setup(),
        nodes::life_cycle(settings),
        nodes::pod_gc(),
        garbage::controller(),
    ]
}
