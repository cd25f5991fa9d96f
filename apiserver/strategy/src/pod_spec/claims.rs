//! Claims to devices: those a pod has, and those its containers name.
//!
//! Knows: how a claim is named. Refuses to know: what a driver gives for it.

use std::collections::{BTreeSet, HashSet};

use leme_meta::{FieldError, Path};
use leme_registry::{json, names};
use serde_json::Value;

use super::annotations::MIRROR;
use crate::check::{self, Errors, go_field};

/// Checks the claims of a pod spec and answers their names; `metadata` is the pod's, if it is one.
pub(super) fn validate<'a>(
    spec: &'a Value,
    metadata: Option<&Value>,
    path: &Path,
    errors: &mut Errors,
) -> BTreeSet<&'a str> {
    let list = json::list(spec, &["resourceClaims"]);
    let mirror = metadata.is_some_and(|of| json::at(of, &["annotations", MIRROR]).is_some());
    let mut seen = HashSet::new();
    for (index, claim) in list.iter().enumerate() {
        if mirror {
            let why = "static pods do not support resource claims";
            errors.push(FieldError::forbidden(&Path::new("[]"), why));
            continue;
        }
        let path = path.child("resourceClaims").index(index);
        let name = check::required(claim, "name", &path, errors);
        if !name.is_empty() && !seen.insert(name) {
            errors.push(FieldError::duplicate(&path.child("name"), name));
        } else if !name.is_empty() {
            check::named(&path.child("name"), name, &names::dns1123_label(name), errors);
        }
        source(claim, &path, errors);
    }
    let names = list.iter().map(|claim| json::text(claim, &["name"]));
    names.filter(|name| !name.is_empty()).collect()
}

const FIELDS: [&str; 2] = ["resourceClaimName", "resourceClaimTemplateName"];

/// A claim is there, or is made after a template.
fn source(claim: &Value, path: &Path, errors: &mut Errors) {
    let of = |field: &str| json::at(claim, &[field]).and_then(Value::as_str);
    let why = match FIELDS.map(|field| of(field).is_some()) {
        [true, true] => Some(
            "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified",
        ),
        [false, false] => {
            Some("must specify one of: `resourceClaimName`, `resourceClaimTemplateName`")
        }
        _ => None,
    };
    if let Some(why) = why {
        let shown = check::go_struct(&[
            ("Name", Value::from(json::text(claim, &["name"])).to_string()),
            ("ResourceClaimName", go_field(claim, &["resourceClaimName"])),
            ("ResourceClaimTemplateName", go_field(claim, &["resourceClaimTemplateName"])),
        ]);
        errors.push(FieldError::invalid(path, shown, why));
    }
    for field in FIELDS {
        if let Some(name) = of(field) {
            check::named(&path.child(field), name, &names::dns1123_subdomain(name), errors);
        }
    }
}

/// Checks the claims that the resources of a container name against those of the pod.
pub(super) fn named(resources: &Value, of_pod: &BTreeSet<&str>, path: &Path, errors: &mut Errors) {
    let path = path.child("claims");
    // Claims as a whole, and requests of one.
    let mut whole: HashSet<&str> = HashSet::new();
    let mut parts: HashSet<(&str, &str)> = HashSet::new();
    for (index, claim) in json::list(resources, &["claims"]).iter().enumerate() {
        let at = path.index(index);
        let [name, request] = ["name", "request"].map(|field| json::text(claim, &[field]));
        if name.is_empty() {
            errors.push(FieldError::required(&at, ""));
            continue;
        }
        if whole.contains(name) {
            errors.push(FieldError::duplicate(&at, name));
        } else if request.is_empty() {
            for _ in parts.iter().filter(|(other, _)| *other == name) {
                errors.push(FieldError::duplicate(&at, name));
            }
            whole.insert(name);
        } else {
            check::named(&at.child("request"), request, &names::dns1123_label(request), errors);
            if !parts.insert((name, request)) {
                errors.push(FieldError::duplicate(&at, &format!("{name}/{request}")));
            }
        }
        if !of_pod.contains(name) {
            let mut error = FieldError::not_found(&at, name);
            error.body.push_str(": must be one of the names in pod.spec.resourceClaims");
            if of_pod.is_empty() {
                error.body.push_str(" which is empty");
            } else {
                let known: Vec<&str> = of_pod.iter().copied().collect();
                error.body.push_str(": ");
                error.body.push_str(&known.join(", "));
            }
            errors.push(error);
        }
    }
}
