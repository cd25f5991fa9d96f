//! All objects of one resource as of one revision.
//!
//! Knows: key order. Refuses to know: pages, selectors, what the objects are.

use std::ops::Bound;
use std::sync::Arc;

use rpds::RedBlackTreeMapSync;

use super::object::Cached;

pub(super) type Map = RedBlackTreeMapSync<Arc<str>, Arc<Cached>>;

/// All objects of one resource as of one revision; cheap to take and to keep for a while.
#[derive(Clone)]
pub struct Snapshot {
    pub(super) map: Map,
    pub(super) revision: u64,
}

impl Snapshot {
    /// The revision it is of.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// How many objects.
    pub fn len(&self) -> usize {
        self.map.size()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// The object with this key.
    pub fn get(&self, key: &str) -> Option<&Arc<Cached>> {
        self.map.get(key)
    }

    /// All objects in key order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Cached>> {
        self.map.values()
    }

    /// The objects whose keys start with `prefix` and sort after `after` (empty: from the first), in key order.
    pub fn range<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
    ) -> impl Iterator<Item = &'a Arc<Cached>> + 'a {
        let start = if after >= prefix { Bound::Excluded(after) } else { Bound::Included(prefix) };
        self.map
            .range::<str, _>((start, Bound::Unbounded))
            .take_while(move |(key, _)| key.starts_with(prefix))
            .map(|(_, object)| object)
    }
}
