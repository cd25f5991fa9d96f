//! Quantities of resources: canonical form, requests from limits, requests within limits.
//!
//! Knows: the names of standard resources. Refuses to know: how much any node has.

use leme_meta::quantity::Quantity;
use leme_meta::{FieldError, Path};
pub(crate) use leme_registry::amounts::parse;
use leme_registry::{json, names};
use serde_json::Value;

use crate::check::{Errors, NOT_NEGATIVE};

const CONTAINER: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
/// Resources that have a name of their own but are none of a container.
const OTHERS: [&str; 8] = [
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "storage",
    "requests.storage",
];

/// The same of objects, of which there are no parts.
const COUNTED: [&str; 9] = [
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];

/// Whether a value is a quantity below zero.
pub(crate) fn is_negative(value: &Value) -> bool {
    parse(value).is_some_and(|quantity| quantity.is_negative())
}

/// Rounds every quantity of a map up to thousandths; what cannot be parsed stays.
pub(crate) fn round_up(parent: &mut Value, path: &[&str]) {
    let Some(Value::Object(map)) = json::at_mut(parent, path) else { return };
    for value in map.values_mut() {
        if let Some(rounded) = parse(value).and_then(Quantity::rounded_up) {
            *value = Value::String(rounded.to_string());
        }
    }
}

/// Sets each request that is missing to its limit.
pub(super) fn requests_from_limits(container: &mut Value) {
    let Some(Value::Object(limits)) = json::at(container, &["resources", "limits"]).cloned() else {
        return;
    };
    let requests = json::child(json::child(container, "resources"), "requests");
    for (name, limit) in limits {
        json::default(requests, &name, limit);
    }
    if json::unset(&container["resources"], "requests") {
        json::remove(json::child(container, "resources"), "requests");
    }
}

/// Checks the resources of a container.
pub(crate) fn validate(resources: &Value, path: &Path, errors: &mut Errors) {
    validate_as(resources, container_name, path, errors);
}

/// Checks the resources of something that may have those whose names fit a rule.
pub(super) fn validate_as(
    resources: &Value,
    name_rule: fn(&str, &Path, &mut Errors),
    path: &Path,
    errors: &mut Errors,
) {
    let requests = path.child("requests");
    for (name, limit) in json::entries(resources, &["limits"]) {
        let at = path.child("limits").key(name);
        name_rule(name, &at, errors);
        amount(name, limit, &at, errors);
        pages(name, limit, &at, errors);
    }
    for (name, request) in json::entries(resources, &["requests"]) {
        let at = requests.key(name);
        name_rule(name, &at, errors);
        amount(name, request, &at, errors);
        let limit = json::at(resources, &["limits", name]).and_then(parse);
        match (limit, parse(request)) {
            (None, _) if !overcommit(name) => errors.push(FieldError::required(
                &path.child("limits"),
                "Limit must be set for non overcommitable resources",
            )),
            (Some(limit), Some(request)) if !overcommit(name) && request != limit => {
                let why = format!("must be equal to {name} limit of {limit}");
                errors.push(FieldError::invalid(&requests, &request.to_string(), &why));
            }
            (Some(limit), Some(request)) if request > limit => {
                let why = format!("must be less than or equal to {name} limit of {limit}");
                errors.push(FieldError::invalid(&requests, &request.to_string(), &why));
            }
            _ => {}
        }
        pages(name, request, &at, errors);
    }
    let asks = |fits: fn(&str) -> bool| {
        ["limits", "requests"]
            .iter()
            .any(|field| json::entries(resources, &[field]).any(|(name, _)| fits(name)))
    };
    if asks(is_huge) && !asks(|name| matches!(name, "cpu" | "memory")) {
        errors.push(FieldError::forbidden(path, "HugePages require cpu or memory"));
    }
}

/// Whether a resource is one of Kubernetes itself.
pub(crate) fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// Whether a resource is huge pages of some size.
pub(super) fn is_huge(name: &str) -> bool {
    name.starts_with("hugepages-")
}

/// Whether a resource is one that somebody besides Kubernetes gives out.
pub(crate) fn is_extended(name: &str) -> bool {
    !is_native(name)
        && !name.starts_with("requests.")
        && names::qualified_name(&format!("requests.{name}")).is_empty()
}

/// Whether more of a resource may be promised than there is.
pub(crate) fn overcommit(name: &str) -> bool {
    is_native(name) && !is_huge(name)
}

/// Whether a name without a domain is one that quotas can limit.
pub(crate) fn is_of_quotas(name: &str) -> bool {
    let others = COUNTED.contains(&name) || OTHERS.contains(&name) && name != "storage";
    let standard = CONTAINER.contains(&name) || others;
    standard || is_huge(name) || name.starts_with("requests.hugepages-")
}

/// Checks the name of a resource of anything.
pub(crate) fn name(name: &str, path: &Path, errors: &mut Errors) {
    let mut refuse = |why: &str| errors.push(FieldError::invalid(path, name, why));
    let wrong = names::qualified_name(name);
    wrong.iter().for_each(|why| refuse(why));
    if wrong.is_empty() && !name.contains('/') && !is_of_quotas(name) && name != "storage" {
        refuse("must be a standard resource type or fully qualified");
    }
}

/// Checks the name of a resource of quotas.
pub(crate) fn quota_name(name: &str, path: &Path, errors: &mut Errors) {
    self::name(name, path, errors);
    if !name.contains('/') && !is_of_quotas(name) {
        let why = "must be a standard resource for quota";
        errors.push(FieldError::invalid(path, name, why));
    }
}

/// Checks the name of a resource of containers.
pub(crate) fn container_name(name: &str, path: &Path, errors: &mut Errors) {
    self::name(name, path, errors);
    let mut refuse = |why: &str| errors.push(FieldError::invalid(path, name, why));
    if !name.contains('/') && !CONTAINER.contains(&name) && !is_huge(name) {
        refuse("must be a standard resource for containers");
    } else if !is_native(name) && !is_extended(name) {
        refuse("doesn't follow extended resource name standard");
    }
}

/// Checks an amount of a resource.
pub(crate) fn amount(name: &str, value: &Value, path: &Path, errors: &mut Errors) {
    let Some(quantity) = parse(value) else { return };
    let shown = quantity.to_string();
    if is_negative(value) {
        errors.push(FieldError::invalid(path, &shown, NOT_NEGATIVE));
    }
    let whole = is_extended(name) || COUNTED.contains(&name);
    if whole && quantity.milli() % 1000 != 0 {
        errors.push(FieldError::invalid(path, &shown, "must be an integer"));
    }
}

/// Checks that an amount of huge pages is a number of them.
fn pages(name: &str, value: &Value, path: &Path, errors: &mut Errors) {
    let Some(size) = name.strip_prefix("hugepages-") else { return };
    let Some(quantity) = parse(value) else { return };
    let size = Quantity::parse(size).ok().filter(|size| size.milli() % 1000 == 0);
    let size = size.map_or(0, |size| size.value());
    if size <= 0 || quantity.value() % size != 0 {
        let why = format!("{quantity} is not positive integer multiple of {name}");
        errors.push(FieldError::invalid(path, &quantity.to_string(), &why));
    }
}
