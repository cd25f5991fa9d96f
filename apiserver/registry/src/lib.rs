//! The one create, read, update and delete path, as pure functions: (row, strategy, request, stored, now) gives a write
//! or a Status.
//!
//! Knows: uid, generation, resourceVersion, finalizers, deletion, managed metadata. Refuses to know: any kind by name,
//! where bytes are kept, what time it is.
#![forbid(unsafe_code)]

use leme_meta::FieldError;
use serde_json::Value;

/// What a kind adds to the write path. Every function is pure; the default of each does nothing.
#[derive(Clone, Copy)]
pub struct Strategy {
    /// Fills defaults (on every write, before anything is looked at).
    pub default: fn(&mut Value),
    /// Clears and sets what a client may not decide on create (status, generated fields).
    pub prepare_create: fn(&mut Value),
    /// Resets in `new` what an update of the main resource may not change (status), given `old`.
    pub prepare_update: fn(new: &mut Value, old: &Value),
    /// All that is wrong with an object by itself.
    pub validate: fn(&Value) -> Vec<FieldError>,
    /// All that is wrong with the change from `old` to `new` (immutable fields); `validate` has run on `new` before.
    pub validate_update: fn(new: &Value, old: &Value) -> Vec<FieldError>,
    /// Warnings for the client.
    pub warn: fn(&Value) -> Vec<String>,
    /// All that is wrong with a change of status; the main fields have been reset to `old`'s.
    pub validate_status: fn(new: &Value, old: &Value) -> Vec<FieldError>,
    /// Whether a change of `spec` bumps `metadata.generation`.
    pub generation: bool,
    /// Whether PUT of an absent object creates it.
    pub create_on_update: bool,
    /// Whether an update without resourceVersion is taken as unconditional.
    pub unconditional_update: bool,
    /// Seconds of grace that a delete of this object gets, `None` for kinds deleted at once. The argument after the
    /// object is what the client asked for.
    pub grace: fn(&Value, Option<i64>) -> Option<i64>,
}
