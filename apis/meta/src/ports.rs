//! Ports that several parts have to agree on.

use std::ops::RangeInclusive;

/// Where a node's agent listens for the API server.
pub const AGENT: u16 = 10250;
/// Where the cluster's registry of images listens.
pub const REGISTRY: u16 = 5000;
/// Which ports of the nodes Services are given.
pub const OF_NODES: RangeInclusive<u16> = 30000..=32767;
