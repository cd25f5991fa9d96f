//! Conflicts: fields that a configuration would take from others.
//!
//! Knows: upstream's words for them. Refuses to know: how they were found.

use super::element::Element;
use super::entries::{Manager, Operation};
use super::set::path_text;
use crate::quote;
use crate::status::{Cause, Details, Status};

/// A field that is another manager's.
#[derive(Clone, Debug)]
pub(super) struct Conflict<'a> {
    /// Whose it is.
    pub manager: Manager,
    /// Which it is.
    pub path: Vec<Element<'a>>,
}

/// A manager as messages show it.
fn shown(manager: &Manager) -> String {
    let mut text = quote(&manager.name);
    if !manager.subresource.is_empty() {
        text = format!("{text} with subresource {}", quote(&manager.subresource));
    }
    match manager.operation {
        Operation::Update => format!("{text} using {}", manager.api_version),
        Operation::Apply => text,
    }
}

/// The 409 of conflicts, of which there is at least one.
pub(super) fn status(conflicts: &[Conflict]) -> Status {
    let cause = |conflict: &Conflict| Cause {
        reason: "FieldManagerConflict".to_owned(),
        message: format!("conflict with {}", shown(&conflict.manager)),
        field: path_text(&conflict.path),
    };
    let mut sorted: Vec<(String, &Conflict)> =
        conflicts.iter().map(|conflict| (conflict.manager.identifier(), conflict)).collect();
    sorted.sort_by(|(one, _), (other, _)| one.cmp(other));
    let message = match sorted.as_slice() {
        [(_, one)] => format!(
            "Apply failed with 1 conflict: conflict with {}: {}",
            shown(&one.manager),
            path_text(&one.path)
        ),
        many => {
            let mut lines = Vec::new();
            let mut last = None;
            for (identifier, conflict) in many {
                if last != Some(identifier) {
                    lines.push(format!("conflicts with {}:", shown(&conflict.manager)));
                }
                last = Some(identifier);
                lines.push(format!("- {}", path_text(&conflict.path)));
            }
            format!("Apply failed with {} conflicts: {}", many.len(), lines.join("\n"))
        }
    };
    let causes = sorted.iter().map(|(_, conflict)| cause(conflict)).collect();
    let mut status = Status::new(409, "Conflict", message);
    status.details = Some(Box::new(Details { causes, ..Details::default() }));
    status
}
