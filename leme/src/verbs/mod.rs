//! The verbs of the command line, a file each: kubectl's words and flags where it has them.

pub mod apply;
pub mod build;
pub mod create;
pub mod delete;
pub mod describe;
pub mod exec;
pub mod get;
pub mod image;
pub mod logs;
pub mod pairs;
pub mod port_forward;
pub mod rollout;
pub mod scale;
pub mod store;
pub mod wait;
pub mod why;
