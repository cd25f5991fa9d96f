//! ControllerRevisions: what a controller has made of its pods, version by version.
//!
//! Knows: that a revision stays what it is. Refuses to know: what is in it.

use leme_meta::{FieldError, Path};
use leme_registry::{Strategy, json, meta};

use crate::check;

pub(crate) static STRATEGY: Strategy = Strategy {
    validate: |revision| {
        let mut errors = Vec::new();
        if json::at(revision, &["data"]).is_none() {
            errors.push(FieldError::required(&Path::new("data"), "data is mandatory"));
        }
        check::not_negative(revision, &["revision"], &Path::default(), &mut errors);
        errors
    },
    validate_update: |new, old| meta::immutable(new, old, &["data"]).into_iter().collect(),
    ..Strategy::PLAIN
};
