//! resource.k8s.io: devices, and claims of them.
//!
//! Knows: what its kinds have in common: names of drivers, pools, attributes; lists that are bounded. Refuses to know: what
//! a device is, and what an expression in CEL means.

use std::collections::HashSet;

use leme_meta::{FieldError, Path};
use leme_registry::{json, names};
use serde_json::Value;

use crate::check::{self, Errors};
use crate::storage::driver_name;

pub(crate) mod claim;
mod policy;
pub(crate) mod slice;
mod status;

/// Longest expression of a selector, and most bytes of a driver's parameters.
const MAX_EXPRESSION: usize = 10 * 1024;
const MAX_PARAMETERS: usize = 10 * 1024;
/// Most selectors, configurations and constraints; most requests that something names.
const MAX_SELECTORS: usize = 32;
const MAX_CONFIGS: usize = 32;
const MAX_REQUESTS: usize = 32;
/// Longest name of an attribute without its domain.
const MAX_ID: usize = 32;

/// What an attribute's name is told that is none.
const IDENTIFIER: &str = "[A-Za-z_][A-Za-z0-9_]*";

/// The items of a list each checked at its place; none of them, if they are too many.
fn each(
    list: &[Value],
    most: usize,
    path: &Path,
    errors: &mut Errors,
    mut one: impl FnMut(&Value, &Path, &mut Errors),
) {
    if list.len() > most {
        errors.push(FieldError::too_many(path, list.len(), most));
        return;
    }
    for (index, item) in list.iter().enumerate() {
        one(item, &path.index(index), errors);
    }
}

/// Items that must differ in what stands for each.
fn distinct<'a>(
    list: &'a [Value],
    path: &Path,
    errors: &mut Errors,
    key: impl Fn(&'a Value) -> &'a str,
) {
    let mut seen = HashSet::new();
    for (index, item) in list.iter().enumerate() {
        if !seen.insert(key(item)) {
            errors.push(FieldError::duplicate(&path.index(index), key(item)));
        }
    }
}

fn label(value: &Value, field: &str, path: &Path, errors: &mut Errors) {
    let text = json::text(value, &[field]);
    check::named(&path.child(field), text, &names::dns1123_label(text), errors);
}

/// The name of a pool: subdomains with slashes between them.
fn pool(name: &str, path: &Path, errors: &mut Errors) {
    if name.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    if name.len() > 253 {
        errors.push(FieldError::too_long(path, 253));
    }
    for part in name.split('/') {
        check::named(path, part, &names::dns1123_subdomain(part), errors);
    }
}

/// The name of an attribute or capacity, with or without a domain.
fn qualified(name: &str, path: &Path, errors: &mut Errors) {
    let parts: Vec<&str> = name.split('/').collect();
    match parts.as_slice() {
        [id] => identifier(id, path, errors),
        [domain, id] => {
            if domain.is_empty() {
                errors.push(FieldError::invalid(path, "", "the domain must not be empty"));
            } else {
                driver_name(domain, path, errors);
            }
            if id.is_empty() {
                errors.push(FieldError::invalid(path, "", "the name must not be empty"));
            } else {
                identifier(id, path, errors);
            }
        }
        _ => errors.push(FieldError::invalid(path, name, "must not contain more than one slash")),
    }
}

/// The same with a domain.
fn fully_qualified(name: &str, path: &Path, errors: &mut Errors) {
    qualified(name, path, errors);
    if !name.contains('/') {
        let why = "a fully qualified name must be a domain and a name separated by a slash";
        errors.push(FieldError::invalid(path, name, why));
    }
}

fn identifier(id: &str, path: &Path, errors: &mut Errors) {
    if id.len() > MAX_ID {
        errors.push(FieldError::too_long(path, MAX_ID));
    }
    let fits = id.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
        && id.bytes().next().is_some_and(|first| !first.is_ascii_digit());
    if !fits {
        let rule = "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'";
        let why = names::regex_error(rule, IDENTIFIER, &["my_name", "MY_NAME", "MyName"]);
        errors.push(FieldError::invalid(path, id, &why));
    }
}

/// Selectors of devices; expressions are not compiled.
fn selectors(value: &Value, path: &Path, errors: &mut Errors) {
    let list = json::list(value, &["selectors"]);
    each(list, MAX_SELECTORS, &path.child("selectors"), errors, |selector, path, errors| {
        let at = path.child("cel");
        match json::at(selector, &["cel"]) {
            None => errors.push(FieldError::required(&at, "")),
            Some(cel) if json::text(cel, &["expression"]).len() > MAX_EXPRESSION => {
                errors.push(FieldError::too_long(&at.child("expression"), MAX_EXPRESSION));
            }
            Some(_) => {}
        }
    });
}

/// What a driver is told.
fn configuration(config: &Value, path: &Path, errors: &mut Errors) {
    let at = path.child("opaque");
    let Some(opaque) = json::at(config, &["opaque"]) else {
        errors.push(FieldError::required(&at, ""));
        return;
    };
    driver_name(json::text(opaque, &["driver"]), &at.child("driver"), errors);
    let parameters = opaque.get("parameters").unwrap_or(&Value::Null);
    raw(parameters, &at.child("parameters"), MAX_PARAMETERS, errors);
}

/// An object of somebody's own.
fn raw(value: &Value, path: &Path, most: usize, errors: &mut Errors) {
    match value {
        Value::Null => errors.push(FieldError::required(path, "")),
        _ if value.to_string().len() > most => errors.push(FieldError::too_long(path, most)),
        Value::Object(_) => {}
        _ => {
            let why = "must be a valid JSON object";
            errors.push(FieldError::invalid(path, "<value omitted>", why));
        }
    }
}

const EFFECTS: [&str; 3] = ["NoExecute", "NoSchedule", "None"];

fn toleration(toleration: &Value, path: &Path, errors: &mut Errors) {
    check::optional_name(toleration, "key", path, names::qualified_name, errors);
    let (value, at) = (json::text(toleration, &["value"]), path.child("value"));
    match json::text(toleration, &["operator"]) {
        "Exists" if !value.is_empty() => {
            let why = "must be empty for operator `Exists`";
            errors.push(FieldError::invalid(&at, value, why));
        }
        "Equal" => check::named(&at, value, &names::label_value(value), errors),
        _ => check::required_one_of(toleration, "operator", path, &["Equal", "Exists"], errors),
    }
    check::one_of(toleration, "effect", path, &EFFECTS, errors);
}

fn taint(taint: &Value, path: &Path, errors: &mut Errors) {
    let key = json::text(taint, &["key"]);
    check::named(&path.child("key"), key, &names::qualified_name(key), errors);
    check::optional_name(taint, "value", path, names::label_value, errors);
    check::required_one_of(taint, "effect", path, &EFFECTS, errors);
}

/// Conditions of a device that a pod waits for, and those that end the wait.
fn binding_conditions(value: &Value, path: &Path, errors: &mut Errors) {
    const MOST: usize = 4;
    let fields = ["bindingConditions", "bindingFailureConditions"];
    let [waits, ends] = fields.map(|field| json::list(value, &[field]));
    for (field, list) in fields.into_iter().zip([waits, ends]) {
        each(list, MOST, &path.child(field), errors, |name, path, errors| {
            let name = name.as_str().unwrap_or("");
            check::named(path, name, &names::qualified_name(name), errors);
        });
    }
    for (field, list) in fields.into_iter().zip([waits, ends]) {
        distinct(list, &path.child(field), errors, |name| name.as_str().unwrap_or(""));
    }
    let [wait, end] = fields.map(|field| path.child(field));
    for (index, name) in ends.iter().enumerate().filter(|(_, name)| waits.contains(name)) {
        let why = "bindingFailureConditions must not overlap with bindingConditions";
        errors.push(FieldError::invalid(&end.index(index), name, why));
    }
    if waits.is_empty() && !ends.is_empty() {
        let why = "bindingConditions are required to use bindingFailureConditions";
        errors.push(FieldError::invalid(&wait, &Value::Null, why));
    }
    if ends.is_empty() && !waits.is_empty() {
        let why = "bindingFailureConditions are required to use bindingConditions";
        errors.push(FieldError::invalid(&end, &Value::Null, why));
    }
}
