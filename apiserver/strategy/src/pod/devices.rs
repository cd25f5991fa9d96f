//! What a pod's status says of the devices that it has claims to.
//!
//! Knows: that the status names what the pod has. Refuses to know: drivers.

use std::collections::HashSet;

use leme_meta::{FieldError, Path};
use leme_registry::{json, names};
use serde_json::Value;

use super::status::LISTS;
use crate::check::{self, Errors};
use crate::pod_spec::resources;

/// Checks the claims that a status names.
pub(super) fn validate(pod: &Value, path: &Path, errors: &mut Errors) {
    claims(pod, &path.child("resourceClaimStatuses"), errors);
    if let Some(status) = json::at(pod, &["status", "extendedResourceClaimStatus"]) {
        extended(status, pod, &path.child("extendedResourceClaimStatus"), errors);
    }
    allocatable(pod, &path.child("nodeAllocatableResourceClaimStatuses"), errors);
}

fn claims(pod: &Value, path: &Path, errors: &mut Errors) {
    let known = json::list(pod, &["spec", "resourceClaims"]);
    let mut seen = HashSet::new();
    for (index, status) in json::list(pod, &["status", "resourceClaimStatuses"]).iter().enumerate()
    {
        let path = path.index(index);
        let name = json::text(status, &["name"]);
        if !known.iter().any(|claim| json::text(claim, &["name"]) == name) {
            let why = "must match the name of an entry in `spec.resourceClaims`";
            errors.push(FieldError::invalid(&path.child("name"), name, why));
        }
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&path.child("name"), name));
        }
        if let Some(claim) = json::at(status, &["resourceClaimName"]).and_then(Value::as_str) {
            let at = path.child("resourceClaimName");
            check::named(&at, claim, &names::dns1123_subdomain(claim), errors);
        }
    }
}

/// A claim that was made for resources which containers ask for by name.
fn extended(status: &Value, pod: &Value, path: &Path, errors: &mut Errors) {
    let all = path.child("requestMappings");
    let mappings = json::list(status, &["requestMappings"]);
    if mappings.is_empty() {
        errors.push(FieldError::required(&all, "at least one request mapping is required"));
    }
    let lists = ["initContainers", "containers"];
    let mut seen = HashSet::new();
    for (index, mapping) in mappings.iter().enumerate() {
        let at = all.index(index);
        let fields = ["containerName", "resourceName", "requestName"];
        let texts = fields.map(|field| json::text(mapping, &[field]));
        let [container, resource, request] = texts;
        let mut of_pod = lists.iter().flat_map(|list| json::list(pod, &["spec", list]));
        match of_pod.find(|one| json::text(one, &["name"]) == container) {
            None => {
                let why = "must match the name of an entry in spec.initContainers.name or spec.containers.name";
                errors.push(FieldError::invalid(&at.child("containerName"), container, why));
            }
            Some(one) if json::at(one, &["resources", "requests", resource]).is_none() => {
                let why = "must match the extended resource name of an entry in spec.initContainers.resources.requests or spec.containers.resources.requests";
                errors.push(FieldError::invalid(&at.child("resourceName"), resource, why));
            }
            Some(_) => {}
        }
        // Upstream names the status where the mapping belongs.
        let wrong = names::dns1123_label(request);
        check::named(&path.child("requestName"), request, &wrong, errors);
        if !seen.insert(texts) {
            for (field, text) in fields.iter().zip(texts) {
                errors.push(FieldError::duplicate(&at.child(field), text));
            }
        }
    }
    check::required_name(status, "resourceClaimName", path, names::dns1123_subdomain, errors);
}

/// Claims to what a node has of its own.
fn allocatable(pod: &Value, path: &Path, errors: &mut Errors) {
    const FIELD: &str = "nodeAllocatableResourceClaimStatuses";
    let of = |part: &str, list: &str| json::list(pod, &[part, list]).iter();
    for (index, status) in json::list(pod, &["status", FIELD]).iter().enumerate() {
        let path = path.index(index);
        let name = json::text(status, &["resourceClaimName"]);
        if name.is_empty() {
            let at = path.child("resourceClaimName");
            errors.push(FieldError::required(&at, "must not be empty"));
        }
        let mut known = of("spec", "resourceClaims").chain(of("status", "resourceClaimStatuses"));
        let named =
            |claim: &Value| json::at(claim, &["resourceClaimName"]).is_some_and(|own| own == name);
        if !known.any(named) {
            let why = "no mapping found in pod reference";
            errors.push(FieldError::invalid(&path.child("resourceClaimName"), name, why));
        }
        for field in ["containers", "resources"].iter().filter(|field| json::unset(status, field)) {
            errors.push(FieldError::required(&path.child(field), "must not be empty"));
        }
        for (name, amount) in json::entries(status, &["resources"]) {
            let at = path.child("resources").key(name);
            if !resources::is_native(name) {
                let why = "must be a node allocatable resource name";
                errors.push(FieldError::invalid(&at, name, why));
            }
            if let Some(amount) = resources::parse(amount).filter(|amount| amount.is_negative()) {
                let shown = amount.to_string();
                errors.push(FieldError::invalid(&at, &shown, "must be non-negative"));
            }
        }
    }
}

const HEALTHS: [&str; 3] = ["Healthy", "Unhealthy", "Unknown"];
const MAX_MESSAGE: usize = 1024;

/// Checks what a status says of how the devices of containers are.
pub(super) fn health(pod: &Value, path: &Path, errors: &mut Errors) {
    const FIELD: &str = "allocatedResourcesStatus";
    for (list, containers) in LISTS {
        for (index, status) in json::list(pod, &["status", list]).iter().enumerate() {
            let path = path.child(list).index(index).child(FIELD);
            let devices = json::list(status, &[FIELD]);
            if containers == "ephemeralContainers" {
                if !devices.is_empty() {
                    let why = "must not be specified in container status";
                    errors.push(FieldError::forbidden(&path, why));
                }
                continue;
            }
            let name = json::text(status, &["name"]);
            let mut of_pod = json::list(pod, &["spec", containers]).iter();
            let container = of_pod.find(|one| json::text(one, &["name"]) == name);
            for (index, device) in devices.iter().enumerate() {
                let path = path.index(index);
                if let Some(container) = container {
                    asked(device, container, &path.child("name"), errors);
                }
                each(device, &path.child("resources"), errors);
            }
        }
    }
}

/// Checks that a container asks for what its status tells of.
fn asked(device: &Value, container: &Value, path: &Path, errors: &mut Errors) {
    let name = json::text(device, &["name"]);
    let (known, why) = match name.strip_prefix("claim:") {
        Some(claim) => {
            let (own, request) = claim.split_once('/').unwrap_or((claim, ""));
            let claims = json::list(container, &["resources", "claims"]);
            let same = |one: &Value| {
                json::text(one, &["name"]) == own && json::text(one, &["request"]) == request
            };
            (
                claims.iter().any(same),
                "must match one of the container's resource claims in a format 'claim:<claimName>/<request>' or 'claim:<claimName>' if request is empty",
            )
        }
        None => (
            json::at(container, &["resources", "requests", name]).is_some(),
            "must match one of the container's resource requests",
        ),
    };
    if !known {
        errors.push(FieldError::invalid(path, name, why));
    }
}

fn each(device: &Value, path: &Path, errors: &mut Errors) {
    let mut seen = HashSet::new();
    for (index, one) in json::list(device, &["resources"]).iter().enumerate() {
        let path = path.index(index);
        let health = json::text(one, &["health"]);
        if !HEALTHS.contains(&health) {
            errors.push(FieldError::not_supported(&path.child("health"), health, &HEALTHS));
        }
        let at = path.child("message");
        match json::at(one, &["message"]).and_then(Value::as_str) {
            Some("") => {
                errors.push(FieldError::required(&at, "must be non-empty if specified"));
            }
            Some(text) if text.len() > MAX_MESSAGE => {
                errors.push(FieldError::too_long(&at, MAX_MESSAGE));
            }
            _ => {}
        }
        let id = json::text(one, &["resourceID"]);
        if !seen.insert(id) {
            errors.push(FieldError::duplicate(&path.child("resourceID"), id));
        }
    }
}
