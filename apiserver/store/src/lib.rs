//! Revisioned bytes: one trait, its engines, and the watch cache over them.
//!
//! Knows: keys, values, revisions, compaction. Refuses to know: kinds, JSON beyond the small index of the cache, HTTP.

pub mod cache;
#[cfg(any(test, feature = "testing"))]
pub mod conformance;
pub mod embedded;
pub mod encryption;
pub mod etcd;
pub mod hostile;
pub mod memory;
mod model;
mod queue;

pub use model::{Batch, Change, Class, Entry, Expect, Outcome, Page, Store, StoreError};

/// Every key of every engine lies under this.
pub const ROOT: &str = "/registry/";
