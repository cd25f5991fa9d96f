//! Clusters on this machine: their data directory, their parts, up and down, and each part alone.

mod access;
pub mod alone;
pub mod data;
pub mod detach;
pub mod down;
mod encryption;
pub mod files;
pub mod fresh;
mod home;
pub mod kubeconfig;
mod log;
pub mod node;
pub mod plan;
pub mod reach;
pub mod registry;
mod router;
mod running;
mod seat;
mod service_authority;
mod signals;
mod simulated;
mod sole;
mod starts;
pub mod table;
pub mod up;
