//! config.openshift.io.
//!
//! Knows: which of its kinds have one object alone. Refuses to know: what any of it sets up.

use leme_registry::{Strategy, json};
use serde_json::Value;

use crate::check;

/// Kept as it is written, with a status apart, as all defined kinds are.
pub(crate) static PLAIN: Strategy =
    Strategy { generation: Some(changed), unconditional_update: false, ..check::STATUS_ALONE };

/// The same, of kinds whose one object is the cluster's.
pub(crate) static SINGLE: Strategy = Strategy {
    name: |name, _| match name {
        "cluster" => Vec::new(),
        _ => vec!["must be cluster".to_owned()],
    },
    ..PLAIN
};

/// Of the kind whose status is no subresource.
pub(crate) static WHOLE: Strategy = Strategy {
    prepare_create: |_, _| {},
    prepare_update: |_, _, _| {},
    generation: Some(changed),
    unconditional_update: false,
    ..Strategy::PLAIN
};

/// As of all defined kinds: any change but of metadata and status counts.
fn changed(new: &Value, old: &Value) -> bool {
    let rest = |value: &Value| {
        let mut value = value.clone();
        json::remove(&mut value, "metadata");
        json::remove(&mut value, "status");
        value
    };
    rest(new) != rest(old)
}
