//! The scheduler's decision: which node a pod goes to, or in upstream's words why none will do.
//!
//! Knows: filters, scores, what every node has left (assumed pods included). Refuses to know: the client, clocks, async;
//! how the decision is carried out.
//!
//! Invariant: for every node, `used` is the sum of the requests of the pods placed on it, bound or assumed. A decision is
//! assumed at once, so that no burst ever over-commits a node.
#![forbid(unsafe_code)]

mod cluster;
mod filter;
mod outcome;
mod parking;
mod pod;
mod queue;
mod resources;
mod score;

pub use cluster::{Cluster, PodKey};
pub use filter::{Unschedulable, VolumeFacts};
pub use outcome::{bind, gated, unschedulable};
pub use parking::{Parked, Parking, VolumeChange};
pub use pod::PodInfo;
pub use queue::Queue;
pub use resources::Resources;

/// The name pods ask for when they want this scheduler.
pub const SCHEDULER_NAME: &str = "default-scheduler";
