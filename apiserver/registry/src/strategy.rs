//! What a kind adds to the write path: plain functions over JSON.
//!
//! Knows: the hooks and when each runs. Refuses to know: what any of them does.

use leme_meta::{FieldError, Status};
use serde_json::Value;

use crate::scale::Scale;
use crate::{Allocator, Context, Target, json, meta};

/// Carries a Binding out: what the object becomes, given the binding and what is stored.
pub type Bind = fn(&Context, binding: &Value, stored: &Value) -> Result<Value, Status>;

/// Completes an object that has passed validation with what only the server knows.
pub type Allocate =
    fn(new: &mut Value, old: Option<&Value>, &Context, &mut dyn Allocator) -> Vec<FieldError>;

/// How a part of the status is written that is not everybody's.
#[derive(Clone, Copy, Debug)]
pub struct Approval {
    /// Resets in `new` what such an update may not change. All but metadata and status has been reset already.
    pub prepare: fn(new: &mut Value, old: &Value, &Context),
    /// All that is wrong with such a change.
    pub validate: fn(new: &Value, old: &Value) -> Vec<FieldError>,
}

/// How a part of the spec is written by a subresource of its own.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Resets in `new` all but what such an update may change. Metadata has been reset already.
    pub prepare: fn(new: &mut Value, old: &Value),
    /// Why nothing of this object may be written so.
    pub refuse: fn(new: &Value, old: &Value) -> Option<FieldError>,
    /// All that is wrong with such a change; `validate` of the kind has run on `new` before.
    pub validate: fn(new: &Value, old: &Value) -> Vec<FieldError>,
    /// The fields that it reaches: nobody comes to own any other by it. `*` is any step.
    pub reach: &'static [&'static [&'static str]],
}

/// What a kind adds to the write path. Every function is pure; [`Strategy::PLAIN`] holds the usual ones.
#[derive(Clone, Copy)]
pub struct Strategy {
    /// What is wrong with a name (or, if the flag is set, with a prefix of one), in upstream's words.
    pub name: fn(&str, bool) -> Vec<String>,
    /// What a decoder of the typed struct would refuse beyond what the field table tells: the reason of a 400.
    pub decode: fn(&Value) -> Result<(), String>,
    /// Fills defaults (on every write, before anything is looked at).
    pub default: fn(&mut Value),
    /// Clears and sets what a client may not decide on create (status, generated fields).
    pub prepare_create: fn(new: &mut Value, &Context),
    /// Resets in `new` what an update of the main resource may not change (status), given `old`.
    pub prepare_update: fn(new: &mut Value, old: &Value, &Context),
    /// Resets in `new` what a status update may not change. All but metadata and status has been reset already.
    pub prepare_status: fn(new: &mut Value, old: &Value, &Context),
    /// The fields that a write of status leaves as they are, with all below them: nobody comes to own them by it.
    pub kept_by_status: &'static [&'static [&'static str]],
    /// Sets what a finalize update may change, starting from `old`; absent where there is no such subresource.
    pub finalize: Option<fn(new: &Value, old: &Value) -> Value>,
    /// Takes out fields that are switched off, unless the object had them before; `None` as the second object on create.
    pub switched_off: fn(new: &mut Value, old: Option<&Value>),
    /// Takes numbers for what has passed validation, and looks up what it names; `None` as `old` on create.
    pub allocate: Allocate,
    /// All that is wrong with an object by itself, metadata excepted.
    pub validate: fn(&Value) -> Vec<FieldError>,
    /// What is wrong with an object only when it is new: fields that a later write by another way may set.
    pub validate_create: fn(&Value) -> Vec<FieldError>,
    /// All that is wrong with the change from `old` to `new` (immutable fields); `validate` has run on `new` before.
    pub validate_update: fn(new: &Value, old: &Value) -> Vec<FieldError>,
    /// All that is wrong with a change of status; the main fields have been reset to `old`'s.
    pub validate_status: fn(new: &Value, old: &Value) -> Vec<FieldError>,
    /// Why a valid object may not be written: the reason of a 403. `None` as the second object on create.
    pub deny: fn(new: &Value, old: Option<&Value>, &Context) -> Option<String>,
    /// Warnings for the client about what it wrote; `None` as the second object on create.
    pub warn: fn(new: &Value, old: Option<&Value>) -> Vec<String>,
    /// The warning that every request for the kind is answered with; empty for kinds that stay.
    pub deprecated: &'static str,
    /// Whether the change bumps `metadata.generation`; absent for kinds that have none.
    pub generation: Option<fn(new: &Value, old: &Value) -> bool>,
    /// Whether PUT of an absent object creates it.
    pub create_on_update: bool,
    /// Whether an update without resourceVersion is taken as unconditional.
    pub unconditional_update: bool,
    /// Seconds of grace that a delete of this object gets, `None` for kinds deleted at once. The argument after the
    /// object is what the client asked for.
    pub grace: fn(&Value, Option<i64>) -> Option<i64>,
    /// Whether something besides `metadata.finalizers` keeps a deleted object.
    pub held: fn(&Value) -> bool,
    /// Marks an object, besides its metadata, as being deleted.
    pub mark_deleting: fn(&mut Value),
    /// Says in an object that goes on for a while that somebody has evicted it.
    pub evicted: fn(&mut Value, &Context),
    /// Whether a delete that does not say leaves the dependents alone.
    pub orphan_by_default: bool,
    /// Whether the answer to a completed delete is the object and not a Status.
    pub returns_deleted: bool,
    /// Whether objects of this kind only say that something lives: without them all else would be taken for dead, so they
    /// are written even where there is no space for anything else.
    pub is_heartbeat: bool,
    /// How the scale subresource reads and writes the object.
    pub scale: Option<Scale>,
    /// Carries a Binding out on the object; the error is the reason of a 409.
    pub bind: Option<Bind>,
    /// How the approval subresource is written.
    pub approval: Option<Approval>,
    /// How the ephemeralcontainers subresource is written.
    pub ephemeral_containers: Option<Part>,
    /// How the resize subresource is written.
    pub resize: Option<Part>,
}

impl std::fmt::Debug for Strategy {
    /// Functions say nothing.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Strategy").finish_non_exhaustive()
    }
}

impl Strategy {
    /// A kind with a DNS subdomain as name, nothing to default or to check, a status (if it has one) kept apart from the
    /// main resource, and immediate deletion.
    pub const PLAIN: Strategy = Strategy {
        name: meta::subdomain_name,
        decode: |_| Ok(()),
        default: |_| {},
        prepare_create: |new, _| json::remove(new, "status"),
        prepare_update: |new, old, _| json::keep(new, old, "status"),
        prepare_status: |_, _, _| {},
        kept_by_status: &[&["spec"]],
        switched_off: |_, _| {},
        finalize: None,
        allocate: |_, _, _, _| Vec::new(),
        validate: |_| Vec::new(),
        validate_create: |_| Vec::new(),
        validate_update: |_, _| Vec::new(),
        validate_status: |_, _| Vec::new(),
        deny: |_, _, _| None,
        warn: |_, _| Vec::new(),
        deprecated: "",
        generation: None,
        create_on_update: false,
        unconditional_update: true,
        grace: |_, _| None,
        held: |_| false,
        mark_deleting: |_| {},
        evicted: |_, _| {},
        orphan_by_default: false,
        returns_deleted: false,
        is_heartbeat: false,
        scale: None,
        bind: None,
        approval: None,
        ephemeral_containers: None,
        resize: None,
    };

    /// How a target is written that is a part of the spec.
    pub(crate) fn part(&self, target: Target) -> Option<Part> {
        match target {
            Target::EphemeralContainers => self.ephemeral_containers,
            Target::Resize => self.resize,
            _ => None,
        }
    }

    /// The usual rule for `generation`: the change touches more than metadata and status.
    pub fn spec_changed(new: &Value, old: &Value) -> bool {
        new.get("spec") != old.get("spec")
    }
}
