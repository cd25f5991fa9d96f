//! RuntimeClasses.
//!
//! Knows: what pods of a class cost besides, and where they may run. Refuses to know: what runs them.

use leme_meta::quote;
use std::collections::HashSet;

use leme_meta::{FieldError, Path};
use leme_registry::{Strategy, json, meta, names};
use serde_json::{Value, json};

use crate::check::{self, Errors};
use crate::pod_spec::{resources, tolerations, warnings};

pub(crate) static STRATEGY: Strategy = Strategy {
    default: |class| resources::round_up(class, &["overhead", "podFixed"]),
    validate,
    validate_update: |new, old| meta::immutable(new, old, &["handler"]).into_iter().collect(),
    warn: |class, _| {
        let labels = json::entries(class, &["scheduling", "nodeSelector"]);
        let told = labels.filter_map(|(label, _)| warnings::node_label(label));
        told.map(|why| format!("scheduling.nodeSelector: {why}")).collect()
    },
    unconditional_update: false,
    ..Strategy::PLAIN
};

fn validate(class: &Value) -> Errors {
    let mut errors = Vec::new();
    let handler = json::text(class, &["handler"]);
    let wrong = names::dns1123_label(handler);
    check::named(&Path::new("handler"), handler, &wrong, &mut errors);
    if let Some(fixed) = json::at(class, &["overhead", "podFixed"]) {
        let limits = json!({ "limits": fixed });
        resources::validate(&limits, &Path::new("overhead"), &mut errors);
    }
    let path = Path::new("scheduling");
    let scheduling = class.get("scheduling").unwrap_or(&Value::Null);
    let selector = path.child("nodeSelector");
    errors.extend(meta::labels(scheduling.get("nodeSelector"), &selector));
    tolerations(scheduling, &path, &mut errors);
    let mut seen = HashSet::new();
    for (index, one) in json::list(scheduling, &["tolerations"]).iter().enumerate() {
        let text = |field: &str| quote(json::text(one, &[field]));
        let [key, operator, value, effect] = ["key", "operator", "value", "effect"].map(text);
        let shown = check::go_struct(&[
            ("Key", key),
            ("Operator", operator),
            ("Value", value),
            ("Effect", effect),
            ("TolerationSeconds", check::go_field(one, &["tolerationSeconds"])),
        ]);
        let fields = ["key", "operator", "value", "effect"].map(|field| json::text(one, &[field]));
        if !seen.insert(fields) {
            let at = path.child("tolerations").index(index);
            errors.push(FieldError::duplicate(&at, shown));
        }
    }
    errors
}
