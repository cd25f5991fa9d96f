//! The machines of the node: pods, containers, volumes, probes and images as step(state, event, now) gives effects.
//!
//! Knows: what a pod needs next. Refuses to know: how anything is done, what time it is, async.
#![forbid(unsafe_code)]

pub mod backoff;
pub mod config;
pub mod cri;
pub mod csi;
pub mod env;
pub mod fields;
pub mod hosts;
pub mod lookup;
pub mod pod;
pub mod probe;
pub mod quantity;
pub mod refuse;
pub mod resources;
pub mod restart;
pub mod spec;
pub mod status;
pub mod storage;
pub mod token;
pub mod volumes;
