//! What is known of the objects of a kind, in memory: by name, by namespace and by what an index says of them; and a queue
//! of the keys that are to be looked at.
//!
//! Knows: metadata, changes, keys, times since some start. Refuses to know: any kind by name, where objects come from,
//! clocks, async.
#![forbid(unsafe_code)]

mod lister;
mod queue;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
pub use lister::{AnyLister, Decode, Handler, HasMeta, Index, Lister, Meta, MetaHandler};
pub use queue::WorkQueue;

/// Namespace (empty for cluster-scoped kinds) and name.
pub type Key = (String, String);

/// The key of an object.
pub fn key_of(meta: &ObjectMeta) -> Key {
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}
