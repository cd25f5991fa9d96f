//! A whole cluster in one thread on a fake clock, driven by golden transcripts.
//!
//! Knows: the write path (registry and strategies over a plain map), the table of controllers with its cache, watches and
//! queues, the scheduler and the pod machine; all pure, so that a script always gives the same transcript. Refuses to know:
//! HTTP, informers, real time; what only those can break is tested elsewhere.
#![forbid(unsafe_code)]

mod api;
mod cluster;
mod container;
mod controllers;
mod execute;
mod kinds;
mod load;
mod node;
mod rights;
mod script;
mod show;

pub use api::Api;
pub use cluster::Cluster;
pub use controllers::Fault;
pub use kinds::kept;
pub use script::{run, run_on};
