//! ResourceSlices.
//!
//! Knows: what a driver may say of its devices. Refuses to know: whether they are there.

use leme_meta::{FieldError, Path};
use leme_registry::{Context, Strategy, json, meta, names};
use serde_json::Value;

use super::{binding_conditions, distinct, each, label, policy, pool, qualified, taint};
use crate::check::{self, Errors};
use crate::pod_spec::node_selector;
use crate::storage::driver_name;

/// Most devices of a slice; fewer, if any has taints, lists or counters.
const MAX_DEVICES: (usize, usize) = (128, 64);
const MAX_ATTRIBUTES: usize = 32;
const MAX_VALUES: usize = 48;
const MAX_VALUE: usize = 64;
const MAX_TAINTS: usize = 16;
const MAX_COUNTER_SETS: usize = 8;
const MAX_COUNTERS: usize = 32;
const MAX_CONSUMED: usize = 2;

/// The forms that the value of an attribute can have.
const VALUES: [&str; 4] = ["bool", "int", "string", "version"];
const LISTS: [&str; 4] = ["bools", "ints", "strings", "versions"];

pub(crate) static STRATEGY: Strategy = Strategy {
    prepare_create: |new, context| taints_since(new, context),
    prepare_update: |new, _, context| taints_since(new, context),
    validate,
    validate_update: |new, old| {
        let paths: [&[&str]; 3] =
            [&["spec", "pool", "name"], &["spec", "driver"], &["spec", "nodeName"]];
        paths.into_iter().filter_map(|path| meta::immutable(new, old, path)).collect()
    },
    generation: Some(Strategy::spec_changed),
    returns_deleted: true,
    ..Strategy::PLAIN
};

fn devices(slice: &Value) -> &[Value] {
    json::list(slice, &["spec", "devices"])
}

/// A taint counts from now, if it does not say since when.
fn taints_since(slice: &mut Value, context: &Context) {
    for device in json::list_mut(slice, &["spec", "devices"]) {
        for taint in json::list_mut(device, &["taints"]) {
            if json::unset(taint, "timeAdded") {
                json::set(taint, "timeAdded", context.timestamp());
            }
        }
    }
}

fn validate(slice: &Value) -> Errors {
    let mut errors = Vec::new();
    let path = Path::new("spec");
    let spec = slice.get("spec").unwrap_or(&Value::Null);
    driver_name(json::text(spec, &["driver"]), &path.child("driver"), &mut errors);
    let at = path.child("pool");
    pool(json::text(spec, &["pool", "name"]), &at.child("name"), &mut errors);
    let count = json::int(spec, &["pool", "resourceSliceCount"]).unwrap_or(0);
    if count <= 0 {
        let why = "must be greater than zero";
        errors.push(FieldError::invalid(&at.child("resourceSliceCount"), count, why));
    }
    let generation = json::int(spec, &["pool", "generation"]).unwrap_or(0);
    if generation < 0 {
        let why = "must be greater than or equal to zero";
        errors.push(FieldError::invalid(&at.child("generation"), generation, why));
    }
    place(spec, &path, &mut errors);
    let (sets, list) = (json::list(spec, &["sharedCounters"]), devices(slice));
    if json::at(spec, &["sharedCounters"]).is_some() && json::at(spec, &["devices"]).is_some() {
        let why = "only one of `sharedCounters` or `devices` is allowed";
        errors.push(FieldError::invalid(&path, "", why));
    }
    let most = if list.iter().any(is_advanced) { MAX_DEVICES.1 } else { MAX_DEVICES.0 };
    let apart = json::flag(spec, &["perDeviceNodeSelection"]);
    let at = path.child("devices");
    each(list, most, &at, &mut errors, |one, path, errors| device(one, apart, path, errors));
    distinct(list, &at, &mut errors, |device| json::text(device, &["name"]));
    let at = path.child("sharedCounters");
    each(sets, MAX_COUNTER_SETS, &at, &mut errors, |set, path, errors| {
        check::required_name(set, "name", path, names::dns1123_label, errors);
        counters(set, path, errors);
    });
    distinct(sets, &at, &mut errors, |set| json::text(set, &["name"]));
    errors
}

/// Where the devices of a slice can be used: exactly one way says so.
fn place(spec: &Value, path: &Path, errors: &mut Errors) {
    let mut set = Vec::new();
    if let Some(name) = json::at(spec, &["nodeName"]) {
        let (text, at) = (name.as_str().unwrap_or(""), path.child("nodeName"));
        if text.is_empty() {
            let why = "must be either unset or set to a non-empty string";
            errors.push(FieldError::invalid(&at, text, why));
        } else {
            set.push("`nodeName`");
            check::named(&at, text, &names::dns1123_subdomain(text), errors);
        }
    }
    if let Some(selector) = json::at(spec, &["nodeSelector"]) {
        set.push("`nodeSelector`");
        let at = path.child("nodeSelector");
        node_selector(selector, &at, errors);
        let terms = selector.get("nodeSelectorTerms").unwrap_or(&Value::Null);
        if json::list(terms, &[]).len() != 1 {
            let why = "must have exactly one node selector term";
            errors.push(FieldError::invalid(&at.child("nodeSelectorTerms"), terms, why));
        }
    }
    for (field, shown) in
        [("allNodes", "`allNodes`"), ("perDeviceNodeSelection", "`perDeviceNodeSelection`")]
    {
        truth(spec, field, shown, path, &mut set, errors);
    }
    let why = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    match set.len() {
        0 => errors.push(FieldError::required(path, why)),
        1 => {}
        _ => {
            let shown = format!("{{{}}}", set.join(", "));
            let why = format!("{why}, but multiple fields are set");
            errors.push(FieldError::invalid(path, &shown, &why));
        }
    }
}

/// A switch that can only be on.
fn truth(
    value: &Value,
    field: &str,
    shown: &'static str,
    path: &Path,
    set: &mut Vec<&'static str>,
    errors: &mut Errors,
) {
    match json::at(value, &[field]) {
        Some(Value::Bool(true)) => set.push(shown),
        Some(other) => {
            let why = "must be either unset or set to true";
            errors.push(FieldError::invalid(&path.child(field), other, why));
        }
        None => {}
    }
}

/// Whether a device has what makes slices small.
fn is_advanced(device: &Value) -> bool {
    let lists = |attribute: &Value| LISTS.iter().any(|field| attribute.get(field).is_some());
    !json::list(device, &["taints"]).is_empty()
        || !json::list(device, &["consumesCounters"]).is_empty()
        || json::entries(device, &["attributes"]).any(|(_, attribute)| lists(attribute))
}

fn device(device: &Value, apart: bool, path: &Path, errors: &mut Errors) {
    label(device, "name", path, errors);
    let attributes = || json::entries(device, &["attributes"]);
    let capacities = || json::entries(device, &["capacity"]);
    let both = attributes().count() + capacities().count();
    if both > MAX_ATTRIBUTES {
        let why = format!(
            "the total number of attributes and capacities must not exceed {MAX_ATTRIBUTES}"
        );
        errors.push(FieldError::invalid(path, &Value::from(both), &why));
    }
    let length = |attribute: &Value| -> usize {
        LISTS.iter().map(|field| json::list(attribute, &[field]).len()).sum()
    };
    let values: usize = attributes().map(|(_, attribute)| length(attribute).max(1)).sum();
    if values > MAX_VALUES {
        let why = format!("the total number of attribute values must not exceed {MAX_VALUES}");
        errors.push(FieldError::invalid(path, &Value::from(values), &why));
    }
    let at = path.child("attributes");
    for (name, value) in attributes() {
        qualified(name, &at, errors);
        attribute(value, &at.key(name), errors);
    }
    let at = path.child("capacity");
    let shared = json::flag(device, &["allowMultipleAllocations"]);
    for (name, capacity) in capacities() {
        qualified(name, &at, errors);
        policy::validate(capacity, shared, &at.key(name), errors);
    }
    let taints = json::list(device, &["taints"]);
    each(taints, MAX_TAINTS, &path.child("taints"), errors, taint);
    let (used, at) = (json::list(device, &["consumesCounters"]), path.child("consumesCounters"));
    each(used, MAX_CONSUMED, &at, errors, |used, path, errors| {
        check::required_name(used, "counterSet", path, names::dns1123_label, errors);
        counters(used, path, errors);
    });
    distinct(used, &at, errors, |used| json::text(used, &["counterSet"]));
    own_place(device, apart, path, errors);
    binding_conditions(device, path, errors);
}

/// Where a device can be used, which only devices of some slices say.
fn own_place(device: &Value, apart: bool, path: &Path, errors: &mut Errors) {
    let fields = ["nodeName", "nodeSelector", "allNodes"];
    if !apart {
        if fields.iter().any(|field| json::at(device, &[field]).is_some()) {
            let why = "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
            errors.push(FieldError::invalid(path, &Value::Null, why));
        }
        return;
    }
    let mut set = Vec::new();
    if let Some(name) = json::at(device, &["nodeName"]) {
        let (text, at) = (name.as_str().unwrap_or(""), path.child("nodeName"));
        if text.is_empty() {
            errors.push(FieldError::invalid(&at, text, "must not be empty"));
        } else {
            set.push("`nodeName`");
            check::named(&at, text, &names::dns1123_subdomain(text), errors);
        }
    }
    if let Some(selector) = json::at(device, &["nodeSelector"]) {
        set.push("`nodeSelector`");
        node_selector(selector, &path.child("nodeSelector"), errors);
    }
    truth(device, "allNodes", "`allNodes`", path, &mut set, errors);
    let why = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
    match set.len() {
        0 => errors.push(FieldError::required(path, why)),
        1 => {}
        _ => {
            let shown = format!("{{{}}}", set.join(", "));
            errors.push(FieldError::invalid(path, &shown, why));
        }
    }
}

fn counters(set: &Value, path: &Path, errors: &mut Errors) {
    let at = path.child("counters");
    let count = json::entries(set, &["counters"]).count();
    if count == 0 {
        errors.push(FieldError::required(&at, ""));
    } else if count > MAX_COUNTERS {
        errors.push(FieldError::too_many(&at, count, MAX_COUNTERS));
    } else {
        for (name, _) in json::entries(set, &["counters"]) {
            check::named(&at, name, &names::dns1123_label(name), errors);
        }
    }
}

fn attribute(attribute: &Value, path: &Path, errors: &mut Errors) {
    let set: Vec<&str> = VALUES
        .iter()
        .chain(&LISTS)
        .copied()
        .filter(|field| json::at(attribute, &[field]).is_some())
        .collect();
    for field in &set {
        let at = path.child(field);
        match *field {
            "string" => text(json::text(attribute, &["string"]), &at, errors),
            "version" => version(json::text(attribute, &["version"]), &at, errors),
            list if LISTS.contains(&list) => {
                let items = json::list(attribute, &[list]);
                if items.is_empty() {
                    let why = "must not be empty if specified";
                    errors.push(FieldError::invalid(&at, &Value::Array(Vec::new()), why));
                }
                for (index, item) in items.iter().enumerate() {
                    let (item, at) = (item.as_str().unwrap_or(""), at.index(index));
                    match list {
                        "strings" => text(item, &at, errors),
                        "versions" => version(item, &at, errors),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    let why = "exactly one value must be specified";
    match set.len() {
        1 => {}
        0 => errors.push(FieldError::invalid(path, "", why)),
        _ => errors.push(FieldError::invalid(path, attribute, why)),
    }
}

fn text(value: &str, path: &Path, errors: &mut Errors) {
    if value.len() > MAX_VALUE {
        errors.push(FieldError::too_long(path, MAX_VALUE));
    }
}

fn version(value: &str, path: &Path, errors: &mut Errors) {
    if !is_semantic_version(value) {
        let why = "must be a string compatible with semver.org spec 2.0.0";
        errors.push(FieldError::invalid(path, value, why));
    }
    text(value, path, errors);
}

fn is_semantic_version(text: &str) -> bool {
    let is_word = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte == b'-' || byte.is_ascii_alphanumeric())
    };
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_number = |part: &str| is_digits(part) && (part == "0" || !part.starts_with('0'));
    let (text, build) = match text.split_once('+') {
        Some((text, build)) => (text, Some(build)),
        None => (text, None),
    };
    let (text, before) = match text.split_once('-') {
        Some((text, before)) => (text, Some(before)),
        None => (text, None),
    };
    let numbers: Vec<&str> = text.split('.').collect();
    numbers.len() == 3
        && numbers.into_iter().all(is_number)
        && before.is_none_or(|before| {
            before.split('.').all(|part| is_word(part) && (!is_digits(part) || is_number(part)))
        })
        && build.is_none_or(|build| build.split('.').all(is_word))
}

#[cfg(test)]
mod tests {
    use super::is_semantic_version;

    #[test]
    fn versions_are_those_of_semver() {
        for good in ["1.2.3", "0.0.0", "1.0.0-alpha.1", "1.0.0+b.1", "1.0.0-0a-b+c", "1.0.0--"] {
            assert!(is_semantic_version(good), "{good}");
        }
        for bad in ["", "1", "1.2", "01.2.3", "1.2.3-", "1.2.3-01", "1.2.3+", "v1.2.3", "1.2.3.4"] {
            assert!(!is_semantic_version(bad), "{bad}");
        }
    }
}
