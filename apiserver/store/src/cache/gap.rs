//! What is at a key of a resource, and whether a change can follow it.
//!
//! Knows: revisions. Refuses to know: where changes come from, and what is done about a gap.

use std::sync::Arc;

use super::object::Cached;
use crate::Change;

/// Why a change could not be applied: something is missing between it and what the resource holds.
#[derive(Debug)]
pub(super) struct Gap(pub(super) String);

/// The last write of a key that holds something undecodable.
#[derive(Clone)]
pub(super) struct Skipped {
    pub(super) revision: u64,
    pub(super) why: Arc<str>,
}

/// What is at a key.
#[derive(Clone)]
pub(super) enum Now {
    Is(Arc<Cached>),
    Gone,
    Skipped(Skipped),
}

/// Whether something must have been missed between what is known of the key and this change.
pub(super) fn gap(change: &Change, known: &Now) -> Result<(), Gap> {
    let key = change.key();
    let known = match known {
        Now::Is(object) => Some(object.mod_revision),
        Now::Skipped(skipped) => Some(skipped.revision),
        Now::Gone => None,
    };
    let (before, certain) = match change {
        Change::Put { entry, .. } if entry.create_revision == entry.mod_revision => (None, true),
        Change::Put { previous, .. } => (*previous, previous.is_some()),
        // An engine that no longer has the last value names the deletion itself.
        Change::Delete { previous, revision } if previous.mod_revision == *revision => {
            (None, false)
        }
        Change::Delete { previous, .. } => (Some(previous.mod_revision), true),
    };
    if certain && before != known {
        let text =
            format!("{key}: the change follows revision {before:?}, the cache has {known:?}");
        return Err(Gap(text));
    }
    Ok(())
}
