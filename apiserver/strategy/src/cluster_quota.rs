//! ClusterResourceQuotas: a quota over the namespaces that a selector finds.
//!
//! Knows: that the selector must leave something out. Refuses to know: how much is used, and where.

use leme_meta::{FieldError, Path};
use leme_registry::{Strategy, json, meta};
use serde_json::Value;

use crate::check::{self, Errors};
use crate::pod_spec::{self, resources};
use crate::resource_quota;

pub(crate) static STRATEGY: Strategy = Strategy {
    validate,
    validate_status: |new, _| {
        let (mut errors, path) = (Vec::new(), Path::new("status"));
        let total = json::at(new, &["status", "total"]).unwrap_or(&Value::Null);
        for map in ["hard", "used"] {
            // Upstream's name for it.
            resource_quota::amounts(total, map, &path.child("overall"), &mut errors);
        }
        for one in json::list(new, &["status", "namespaces"]) {
            let at = path.child("namespaces").key(json::text(one, &["namespace"]));
            for (name, amount) in json::entries(one, &["status", "used"]) {
                resources::quota_name(name, &at.key(name), &mut errors);
                resources::amount(name, amount, &at.key(name), &mut errors);
            }
        }
        errors
    },
    generation: Some(Strategy::spec_changed),
    unconditional_update: false,
    ..check::STATUS_ALONE
};

fn validate(quota: &Value) -> Errors {
    let mut errors = Vec::new();
    let path = Path::new("spec").child("selector");
    let why = "must restrict the selected projects";
    let labels = json::at(quota, &["spec", "selector", "labels"]);
    let by_labels = labels.is_some_and(|selector| {
        ["matchLabels", "matchExpressions"].iter().any(|field| !json::unset(selector, field))
    });
    let annotations = json::at(quota, &["spec", "selector", "annotations"]);
    let mut by_annotations = json::entries(quota, &["spec", "selector", "annotations"]);
    if !by_labels && by_annotations.next().is_none() {
        errors.push(FieldError::required(&path, why));
    }
    if let Some(selector) = labels {
        let at = path.child("labels");
        pod_spec::selector(selector, &at, &mut errors);
        if !by_labels {
            errors.push(FieldError::invalid(&at, selector, why));
        }
    }
    errors.extend(meta::annotations(annotations, &path.child("annotations")));
    let spec = json::at(quota, &["spec", "quota"]).unwrap_or(&Value::Null);
    resource_quota::spec(spec, &Path::new("spec").child("quota"), &mut errors);
    errors
}
