//! A whole cluster in one thread on a fake clock, driven by golden transcripts.
//!
//! Knows: the write path (registry and strategies over a plain map), every plan, the scheduler and the pod machine; all
//! pure, so that a script always gives the same transcript. Refuses to know: HTTP, caches, queues, real time; what only
//! those can break is tested elsewhere.
#![forbid(unsafe_code)]

mod api;
mod cluster;
mod execute;
mod node;
mod observe;
mod replicas;
mod script;
mod sets;
mod show;
mod workloads;

pub use api::Api;
pub use cluster::Cluster;
pub use script::{run, run_on};
