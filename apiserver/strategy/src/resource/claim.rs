//! DeviceClasses, ResourceClaims and their templates.
//!
//! Knows: how devices are asked for. Refuses to know: which devices there are.

use std::collections::{HashMap, HashSet};

use leme_meta::{FieldError, Path};
use leme_registry::{Strategy, json, meta, names};
use serde_json::{Value, json};

use super::{
    MAX_CONFIGS, MAX_REQUESTS, configuration, distinct, each, fully_qualified, label, selectors,
    status, toleration,
};
use crate::check::{self, Errors};
use crate::pod_spec::resources;

/// Most alternatives of a request.
const MAX_ALTERNATIVES: usize = 8;
const MAX_CONSTRAINTS: usize = 32;

pub(crate) static CLASS: Strategy = Strategy {
    validate: |class| {
        let mut errors = Vec::new();
        let path = Path::new("spec");
        let spec = class.get("spec").unwrap_or(&Value::Null);
        selectors(spec, &path, &mut errors);
        let configs = json::list(spec, &["config"]);
        each(configs, MAX_CONFIGS, &path.child("config"), &mut errors, configuration);
        if let Some(name) = json::at(spec, &["extendedResourceName"])
            && !resources::is_extended(name.as_str().unwrap_or(""))
        {
            let why = "must be a valid extended resource name";
            errors.push(FieldError::invalid(&path.child("extendedResourceName"), name, why));
        }
        errors
    },
    generation: Some(Strategy::spec_changed),
    returns_deleted: true,
    ..Strategy::PLAIN
};

pub(crate) static CLAIM: Strategy = Strategy {
    default: |claim| default_devices(json::at_mut(claim, &["spec", "devices"])),
    prepare_status: |new, old, _| {
        check::keep_metadata(new, old);
        status::drop_released(new, old);
    },
    validate_create: |claim| devices(claim, &Path::new("spec").child("devices")),
    validate_update: |new, old| meta::immutable(new, old, &["spec"]).into_iter().collect(),
    validate_status: status::validate,
    returns_deleted: true,
    ..Strategy::PLAIN
};

pub(crate) static TEMPLATE: Strategy = Strategy {
    default: |template| default_devices(json::at_mut(template, &["spec", "spec", "devices"])),
    validate_create: |template| {
        let path = Path::new("spec");
        let spec = template.get("spec").unwrap_or(&Value::Null);
        let metadata = path.child("metadata");
        let part = |field| json::at(spec, &["metadata", field]);
        let mut errors = meta::labels(part("labels"), &metadata.child("labels"));
        errors.extend(meta::annotations(part("annotations"), &metadata.child("annotations")));
        errors.extend(devices(spec, &path.child("spec").child("devices")));
        errors
    },
    validate_update: |new, old| meta::immutable(new, old, &["spec"]).into_iter().collect(),
    returns_deleted: true,
    ..Strategy::PLAIN
};

fn default_devices(devices: Option<&mut Value>) {
    let Some(devices) = devices else { return };
    for request in json::list_mut(devices, &["requests"]) {
        if let Some(one) = json::at_mut(request, &["exactly"]) {
            default_request(one);
        }
        json::list_mut(request, &["firstAvailable"]).iter_mut().for_each(default_request);
    }
}

fn default_request(request: &mut Value) {
    json::default(request, "allocationMode", "ExactCount");
    if json::text(request, &["allocationMode"]) == "ExactCount" {
        json::default_number(request, "count", 1);
    }
    for toleration in json::list_mut(request, &["tolerations"]) {
        json::default(toleration, "operator", "Equal");
    }
}

/// The names of a claim's requests, each with those of its alternatives.
pub(super) struct Requests<'a>(HashMap<&'a str, HashSet<&'a str>>);

impl<'a> Requests<'a> {
    /// Of the part of a claim that asks for devices.
    pub fn of(devices: &'a Value) -> Requests<'a> {
        let name = |value: &'a Value| json::text(value, &["name"]);
        let requests = json::list(devices, &["requests"]).iter().map(|request| {
            let others = json::list(request, &["firstAvailable"]).iter().map(name);
            (name(request), others.collect())
        });
        Requests(requests.collect())
    }

    /// Checks what should be the name of a request, or of an alternative of one.
    pub fn check(&self, name: &str, path: &Path, errors: &mut Errors) {
        let parts: Vec<&str> = name.split('/').collect();
        if parts.len() <= 2 {
            for part in &parts {
                check::named(path, part, &names::dns1123_label(part), errors);
            }
        }
        let known = match parts.as_slice() {
            [request] => self.0.contains_key(request),
            [request, other] => self.0.get(request).is_some_and(|all| all.contains(other)),
            _ => false,
        };
        if !known {
            let why = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
            errors.push(FieldError::invalid(path, name, why));
        }
    }

    /// The same of each name of a list, that must differ.
    pub fn check_all(&self, value: &Value, path: &Path, errors: &mut Errors) {
        let (list, at) = (json::list(value, &["requests"]), path.child("requests"));
        each(list, MAX_REQUESTS, &at, errors, |name, path, errors| {
            self.check(name.as_str().unwrap_or(""), path, errors);
        });
        distinct(list, &at, errors, |name| name.as_str().unwrap_or(""));
    }
}

/// All that is wrong with what asks for devices, the member of that name.
fn devices(holder: &Value, path: &Path) -> Errors {
    let mut errors = Vec::new();
    let path_of = |field: &str| path.child(field);
    let nothing = json!({});
    // The object of a claim has them below its spec, a template's has them itself.
    let devices = json::at(holder, &["spec", "devices"]).unwrap_or(&nothing);
    let requests = Requests::of(devices);
    let list = json::list(devices, &["requests"]);
    each(list, MAX_REQUESTS, &path_of("requests"), &mut errors, request);
    distinct(list, &path_of("requests"), &mut errors, |one| json::text(one, &["name"]));
    let list = json::list(devices, &["constraints"]);
    let at = path_of("constraints");
    each(list, MAX_CONSTRAINTS, &at, &mut errors, |constraint, path, errors| {
        requests.check_all(constraint, path, errors);
        let fields = ["matchAttribute", "distinctAttribute"];
        let set = fields.iter().find(|field| json::at(constraint, &[field]).is_some());
        match set {
            Some(field) => {
                let name = json::text(constraint, &[field]);
                fully_qualified(name, &path.child(field), errors);
            }
            None => {
                let why = "exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple fields are set";
                errors.push(FieldError::required(path, why));
            }
        }
    });
    let list = json::list(devices, &["config"]);
    each(list, MAX_CONFIGS, &path_of("config"), &mut errors, |config, path, errors| {
        requests.check_all(config, path, errors);
        configuration(config, path, errors);
    });
    errors
}

const ONE_OF: &str = "exactly one of `exactly` or `firstAvailable` is required";

fn request(request: &Value, path: &Path, errors: &mut Errors) {
    label(request, "name", path, errors);
    let one = json::at(request, &["exactly"]);
    let others = json::list(request, &["firstAvailable"]);
    match (one, others.is_empty()) {
        (None, true) => errors.push(FieldError::required(path, ONE_OF)),
        (Some(_), false) => {
            let why = format!("{ONE_OF}, but multiple fields are set");
            errors.push(FieldError::invalid(path, &Value::Null, &why));
        }
        (Some(one), true) => exact_request(one, &path.child("exactly"), errors),
        (None, false) => {
            let at = path.child("firstAvailable");
            each(others, MAX_ALTERNATIVES, &at, errors, |other, path, errors| {
                label(other, "name", path, errors);
                exact_request(other, path, errors);
            });
            distinct(others, &at, errors, |other| json::text(other, &["name"]));
        }
    }
}

fn exact_request(request: &Value, path: &Path, errors: &mut Errors) {
    check::required_name(request, "deviceClassName", path, names::dns1123_subdomain, errors);
    selectors(request, path, errors);
    let count = json::int(request, &["count"]).unwrap_or(0);
    let at = path.child("count");
    match json::text(request, &["allocationMode"]) {
        "All" if count != 0 => {
            let why = "must not be specified when allocationMode is 'All'";
            errors.push(FieldError::invalid(&at, count, why));
        }
        "ExactCount" if count <= 0 => {
            errors.push(FieldError::invalid(&at, count, "must be greater than zero"));
        }
        "All" | "ExactCount" => {}
        other => {
            let at = path.child("allocationMode");
            errors.push(FieldError::not_supported(&at, other, &["All", "ExactCount"]));
        }
    }
    for (index, one) in json::list(request, &["tolerations"]).iter().enumerate() {
        toleration(one, &path.child("tolerations").index(index), errors);
    }
}
