//! Effects made real: cgroups, mounts, namespaces, OCI specs, images, and the helper process that runs containers.
//!
//! Knows: the kernel and file formats. Refuses to know: pods, the API, tokio. The only room where `unsafe` may stand.
#![allow(unsafe_code)]

pub mod cgroup;
pub mod confine;
pub mod files;
pub mod helper;
pub mod ids;
pub mod images;
mod inside;
pub mod mounts;
pub mod namespaces;
pub mod netns;
pub mod ownership;
pub mod preflight;
pub mod process;
pub mod removal;
pub mod replica;
pub mod spec;
pub mod subpath;
pub mod sys;
pub mod terminal;
pub mod usage;
