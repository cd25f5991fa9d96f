//! Local clusters: their data directory, their parts put together, up and down.

pub mod data;
pub mod detach;
pub mod down;
pub mod fresh;
mod home;
pub mod kubeconfig;
mod log;
pub mod node;
pub mod parts;
pub mod plan;
pub mod reach;
mod sole;
pub mod up;
