//! What is known of the objects of a kind, in memory: by name, by namespace and by what an index says of them; and a queue
//! of the keys that are to be looked at.
//!
//! Knows: metadata, changes, keys, times since some start. Refuses to know: any kind by name, where objects come from,
//! clocks, async.
#![forbid(unsafe_code)]

mod lister;
mod queue;

pub use lister::{AnyLister, Decode, Handler, HasMeta, Index, Lister, Meta, MetaHandler};
pub use queue::WorkQueue;

/// Namespace (empty for cluster-scoped kinds) and name.
pub type Key = (String, String);
