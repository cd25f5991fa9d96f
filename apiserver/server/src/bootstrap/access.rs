//! The roles and bindings that every cluster has.
//!
//! Knows: where they are written. Refuses to know: what they say.

use leme_access::{GROUP, bootstrap};

use super::{Keep, Wanted};

/// All of them, for the start of a server: while it runs people may change them.
pub(super) fn wanted() -> impl Iterator<Item = Wanted> {
    bootstrap::wanted().into_iter().map(|one| {
        let bootstrap::Wanted { resource, namespace, name, object } = one;
        let collection = match namespace {
            "" => format!("/apis/{GROUP}/v1/{resource}"),
            namespace => format!("/apis/{GROUP}/v1/namespaces/{namespace}/{resource}"),
        };
        let (collection, name) = (collection.into(), name.into());
        Wanted { collection, name, object, condition: None, keep: Keep::Rights }
    })
}
