//! PriorityClasses.
//!
//! Knows: which priorities are anybody's, which the system's, and that both stay. Refuses to know: who waits for whom.

use leme_meta::{FieldError, Path};
use leme_registry::{Strategy, json, meta};
use serde_json::Value;

use crate::check::{self, Errors};

/// What names of the system's classes start with.
const PREFIX: &str = "system-";

/// The system's classes.
const SYSTEM: [(&str, i64); 2] =
    [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];

/// Highest priority of a class that is not the system's.
const HIGHEST: i64 = 1_000_000_000;

pub(crate) static STRATEGY: Strategy = Strategy {
    default: |class| json::default(class, "preemptionPolicy", "PreemptLowerPriority"),
    validate_create,
    validate_update: |new, old| {
        let mut errors = Vec::new();
        if value(new) != value(old) {
            let why = "may not be changed in an update.";
            errors.push(FieldError::forbidden(&Path::new("value"), why));
        }
        errors.extend(meta::immutable(new, old, &["preemptionPolicy"]));
        errors
    },
    generation: Some(|_, _| false),
    ..Strategy::PLAIN
};

fn value(class: &Value) -> i64 {
    json::int(class, &["value"]).unwrap_or(0)
}

fn validate_create(class: &Value) -> Errors {
    let mut errors = Vec::new();
    let name = json::text(class, &["metadata", "name"]);
    if name.starts_with(PREFIX) {
        if let Some(why) = unlike_the_system(name, class) {
            let why = format!(
                "priority class names with '{PREFIX}' prefix are reserved for system use only. error: {why}"
            );
            errors.push(FieldError::forbidden(&Path::new("metadata").child("name"), &why));
        }
    } else if value(class) > HIGHEST {
        let why = format!("maximum allowed value of a user defined priority is {HIGHEST}");
        errors.push(FieldError::forbidden(&Path::new("value"), &why));
    }
    let policies = ["PreemptLowerPriority", "Never"];
    check::one_of(class, "preemptionPolicy", &Path::default(), &policies, &mut errors);
    errors
}

/// What sets a class apart from the system's of that name.
fn unlike_the_system(name: &str, class: &Value) -> Option<String> {
    let Some((_, priority)) = SYSTEM.iter().find(|(known, _)| *known == name) else {
        return Some(format!("{name} is not a known system priority class"));
    };
    if value(class) != *priority {
        return Some(format!("value of {name} PriorityClass must be {priority}"));
    }
    json::flag(class, &["globalDefault"])
        .then(|| format!("globalDefault of {name} PriorityClass must be false"))
}
