//! The scheduler's decision: which node a pod goes to, or in upstream's words why none will do and who could make room.
//!
//! Knows: filters, scores, what every node has left (assumed pods included). Refuses to know: the client, clocks, async;
//! how the decision is carried out.
//!
//! Invariant: for every node, `used` is the sum of the requests of the pods placed on it, bound or assumed. A decision is
//! assumed at once, so that no burst ever over-commits a node.
#![forbid(unsafe_code)]

mod case;
mod census;
mod cluster;
mod config;
mod filter;
mod node;
mod nominations;
mod outcome;
mod parking;
mod pod;
mod preempt;
mod profile;
mod queue;
mod resources;
mod schedule;
mod score;
mod selector;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod topology;
mod volumes;
mod why;

pub use cluster::{Change, Cluster, PodKey};
pub use config::Config;
pub use outcome::{bind, gated, preempted, promised, unnominated, unschedulable};
pub use parking::{Parked, Parking, VolumeChange};
pub use pod::PodInfo;
pub use preempt::{Budget, Preemption, Victim};
pub use profile::Profile;
pub use queue::Queue;
pub use resources::Resources;
pub use selector::Selector;
pub use volumes::{Promise, Storage, VolumeFacts, attachment, volume_limits};
pub use why::Unschedulable;

/// The name that pods ask for when they say nothing else, and that of the default profile.
pub const SCHEDULER_NAME: &str = "default-scheduler";
