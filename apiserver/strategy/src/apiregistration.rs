//! APIServices.
//!
//! Knows: that one is named after its group and version, and that one without a service is this server's own. Refuses
//! to know: whether a service answers.

use leme_meta::quote;
use leme_meta::{FieldError, Path};
use leme_registry::{Context, Strategy, json, meta, names};
use serde_json::{Value, json};

use crate::check::{self, Errors};

pub(crate) static STRATEGY: Strategy = Strategy {
    name: meta::segment_name,
    default: |service| {
        let reference = json::at_mut(service, &["spec", "service"]);
        if let Some(reference) = reference
            && json::at(reference, &["port"]).is_none()
        {
            json::set(reference, "port", 443);
        }
    },
    prepare_create,
    validate,
    validate_status: |new, _| {
        let mut errors = Vec::new();
        let path = Path::new("status").child("conditions");
        for (index, condition) in json::list(new, &["status", "conditions"]).iter().enumerate() {
            let known = ["True", "False", "Unknown"];
            let status = json::text(condition, &["status"]);
            if !known.contains(&status) {
                let at = path.index(index).child("status");
                errors.push(FieldError::not_supported(&at, status, &known));
            }
        }
        errors
    },
    warn: |new, _| {
        let missing = leme_kinds::idle("apiregistration.k8s.io", "APIService");
        let missing = missing.filter(|_| json::at(new, &["spec", "service"]).is_some());
        missing.map(|missing| format!("APIService is stored, but {missing}")).into_iter().collect()
    },
    unconditional_update: false,
    ..check::STATUS_ALONE
};

fn prepare_create(service: &mut Value, ctx: &Context) {
    json::remove(service, "status");
    if json::at(service, &["spec", "service"]).is_none() {
        let condition = json!({
            "type": "Available", "status": "True", "lastTransitionTime": ctx.timestamp(),
            "reason": "Local", "message": "Local APIServices are always available",
        });
        json::set(service, "status", json!({ "conditions": [condition] }));
    }
}

fn validate(service: &Value) -> Errors {
    let (mut errors, path) = (Vec::new(), Path::new("spec"));
    let spec = service.get("spec").unwrap_or(&Value::Null);
    let (group, version) = (json::text(spec, &["group"]), json::text(spec, &["version"]));
    let name = json::text(service, &["metadata", "name"]);
    let wanted = format!("{version}.{group}");
    if !name.is_empty() && names::path_segment_name(name).is_empty() && name != wanted {
        let why =
            format!("must be `spec.version+\".\"+spec.group`: {wanted}", wanted = quote(&wanted));
        errors.push(FieldError::invalid(&Path::new("metadata").child("name"), name, &why));
    }
    let at = path.child("group");
    if group.is_empty() && version != "v1" {
        let why = "only v1 may have an empty group and it better be legacy kube";
        errors.push(FieldError::required(&at, why));
    }
    let wrong = if group.is_empty() { Vec::new() } else { names::dns1123_subdomain(group) };
    errors.extend(wrong.iter().map(|why| FieldError::invalid(&at, group, why)));
    let wrong = names::dns1035_label(version);
    let at = path.child("version");
    errors.extend(wrong.iter().map(|why| FieldError::invalid(&at, version, why)));
    for (field, max) in [("groupPriorityMinimum", 20_000), ("versionPriority", 1_000)] {
        let number = json::int(spec, &[field]).unwrap_or(0);
        if !(1..=max).contains(&number) {
            let why = format!("must be positive and less than {max}");
            errors.push(FieldError::invalid(&path.child(field), number, &why));
        }
    }
    transport(spec, &path, &mut errors);
    errors
}

/// How a service is reached, and that this server itself is not.
fn transport(spec: &Value, path: &Path, errors: &mut Errors) {
    let bundle = json::text(spec, &["caBundle"]);
    let insecure = json::flag(spec, &["insecureSkipTLSVerify"]);
    let untrue = |why: &str| {
        let at = path.child("insecureSkipTLSVerify");
        FieldError::invalid(&at, &Value::Bool(true), why)
    };
    let Some(service) = json::at(spec, &["service"]) else {
        if !bundle.is_empty() {
            let size = format!("{} bytes", crate::config_map::size_of_bytes(&spec["caBundle"]));
            let why = "local APIServices may not have a caBundle";
            errors.push(FieldError::invalid(&path.child("caBundle"), &size, why));
        }
        if insecure {
            errors.push(untrue("local APIServices may not have insecureSkipTLSVerify"));
        }
        return;
    };
    let at = path.child("service");
    for field in ["namespace", "name"] {
        check::required(service, field, &at, errors);
    }
    let port = json::int(service, &["port"]).unwrap_or(0);
    let wrong = names::port_number(port);
    if !wrong.is_empty() {
        let why = format!("port is not valid: {}", wrong.join(", "));
        errors.push(FieldError::invalid(&at.child("port"), port, &why));
    }
    if insecure && !bundle.is_empty() {
        errors.push(untrue("may not be true if caBundle is present"));
    }
}
