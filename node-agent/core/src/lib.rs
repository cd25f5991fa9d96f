//! The machines of the node: pods, containers, volumes, probes and images as step(state, event, now) gives effects.
//!
//! Knows: what a pod needs next. Refuses to know: how anything is done, what time it is, async.
#![forbid(unsafe_code)]

pub mod cri;
