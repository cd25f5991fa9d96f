//! ValidatingAdmissionPolicies and their bindings.
//!
//! Knows: what a policy and a binding must say. Refuses to know: expressions, beyond whether there is one.

use std::collections::HashSet;

use leme_meta::{FieldError, Path};
use leme_registry::{Strategy, json, names};
use serde_json::{Value, json};

use super::{FAILURE, fill, known, match_conditions, rules};
use crate::check::{self, Errors};
use crate::{conditions, pod_spec};

pub(crate) static POLICY: Strategy = Strategy {
    default,
    validate: validate_policy,
    validate_status: |new, _| {
        let (mut errors, path) = (Vec::new(), Path::new("status"));
        let checking = path.child("typeChecking").child("expressionWarnings");
        let warnings = json::list(new, &["status", "typeChecking", "expressionWarnings"]);
        for (index, warning) in warnings.iter().enumerate() {
            let path = checking.index(index);
            check::required(warning, "warning", &path, &mut errors);
            if json::text(warning, &["fieldRef"]).trim().is_empty() {
                errors.push(FieldError::required(&path.child("fieldRef"), ""));
            }
        }
        let list = json::list(new, &["status", "conditions"]);
        conditions::validate(list, &path.child("conditions"), &mut errors);
        errors
    },
    generation: Some(Strategy::spec_changed),
    unconditional_update: false,
    ..check::STATUS_ALONE
};

pub(crate) static BINDING: Strategy = Strategy {
    default: default_binding,
    validate: validate_binding,
    generation: Some(Strategy::spec_changed),
    unconditional_update: false,
    ..Strategy::PLAIN
};

/// Fills in what a policy leaves open.
pub(super) fn default(policy: &mut Value) {
    let spec = json::child(policy, "spec");
    fill(spec, "failurePolicy", "Fail");
    if let Some(matched) = json::at_mut(spec, &["matchConstraints"]) {
        rules::default_resources(matched);
    }
}

/// The same of a binding.
pub(super) fn default_binding(binding: &mut Value) {
    if let Some(matched) = json::at_mut(binding, &["spec", "matchResources"]) {
        rules::default_resources(matched);
    }
}

/// All that is wrong with what every policy says; `more` is what else is asked of the requests that it is for.
pub(super) fn common(
    spec: &Value,
    path: &Path,
    more: fn(&Value, &Path, &mut Errors),
    errors: &mut Errors,
) {
    known(spec, "failurePolicy", path, FAILURE, errors);
    if let Some(kind) = json::at(spec, &["paramKind"]) {
        param_kind(kind, &path.child("paramKind"), errors);
    }
    let at = path.child("matchConstraints");
    match json::at(spec, &["matchConstraints"]) {
        None => errors.push(FieldError::required(&at, "")),
        Some(matched) => {
            rules::match_resources(matched, &at, errors);
            if json::list(matched, &["resourceRules"]).is_empty() {
                errors.push(FieldError::required(&at.child("resourceRules"), ""));
            }
            more(matched, &at, errors);
        }
    }
    match_conditions(spec, path, errors);
    for (index, one) in json::list(spec, &["variables"]).iter().enumerate() {
        variable(one, &path.child("variables").index(index), errors);
    }
}

fn validate_policy(policy: &Value) -> Errors {
    let (mut errors, path) = (Vec::new(), Path::new("spec"));
    let spec = policy.get("spec").unwrap_or(&Value::Null);
    common(spec, &path, |_, _, _| {}, &mut errors);
    let validations = json::list(spec, &["validations"]);
    let annotations = json::list(spec, &["auditAnnotations"]);
    if validations.is_empty() && annotations.is_empty() {
        for field in ["validations", "auditAnnotations"] {
            let why = "validations or auditAnnotations must contain at least one item";
            errors.push(FieldError::required(&path.child(field), why));
        }
    }
    for (index, one) in validations.iter().enumerate() {
        validation(one, &path.child("validations").index(index), &mut errors);
    }
    let name = json::text(policy, &["metadata", "name"]);
    audit_annotations(annotations, name, &path.child("auditAnnotations"), &mut errors);
    errors
}

fn param_kind(kind: &Value, path: &Path, errors: &mut Errors) {
    let at = path.child("apiVersion");
    let text = check::required(kind, "apiVersion", path, errors);
    let invalid = |value: &str, why: String| FieldError::invalid(&at, value, &why);
    match text.split('/').collect::<Vec<_>>()[..] {
        _ if text.is_empty() => {}
        [version] => group_version("", version, text, invalid, errors),
        ["", ""] => errors.push(invalid(text, "version must be specified".to_owned())),
        [group, version] => group_version(group, version, text, invalid, errors),
        _ => errors.push(invalid(text, format!("unexpected GroupVersion string: {text}"))),
    }
    let name = check::required(kind, "kind", path, errors);
    let wrong = names::dns1035_label(&name.to_lowercase());
    if !name.is_empty() && !wrong.is_empty() {
        let why = format!("may have mixed case, but should otherwise match: {}", wrong.join(","));
        errors.push(FieldError::invalid(&path.child("kind"), name, &why));
    }
}

fn group_version(
    group: &str,
    version: &str,
    whole: &str,
    invalid: impl Fn(&str, String) -> FieldError,
    errors: &mut Errors,
) {
    let wrong = if group.is_empty() { Vec::new() } else { names::dns1123_subdomain(group) };
    if !wrong.is_empty() {
        errors.push(invalid(group, wrong.join(",")));
    }
    let wrong = names::dns1035_label(version);
    if version.is_empty() {
        errors.push(invalid(whole, "version must be specified".to_owned()));
    } else if !wrong.is_empty() {
        errors.push(invalid(version, wrong.join(",")));
    }
}

fn variable(variable: &Value, path: &Path, errors: &mut Errors) {
    let name = json::text(variable, &["name"]);
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let identifier = name.bytes().all(word)
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && !leme_cel::is_taken(name);
    if name.trim().is_empty() {
        errors.push(FieldError::required(&path.child("name"), "name is not specified"));
    } else if !identifier {
        let why = "name is not a valid CEL identifier";
        errors.push(FieldError::invalid(&path.child("name"), name, why));
    }
    expression(variable, "expression", path, errors);
}

fn expression(value: &Value, field: &str, path: &Path, errors: &mut Errors) {
    if json::text(value, &[field]).trim().is_empty() {
        let why = format!("{field} is not specified");
        errors.push(FieldError::required(&path.child(field), &why));
    }
}

fn validation(validation: &Value, path: &Path, errors: &mut Errors) {
    expression(validation, "expression", path, errors);
    let blank = |text: &str| !text.is_empty() && text.trim().is_empty();
    let text = json::text(validation, &["messageExpression"]);
    if blank(text) {
        let why = "must be non-empty if specified";
        errors.push(FieldError::invalid(&path.child("messageExpression"), text, why));
    }
    let text = json::text(validation, &["message"]);
    if blank(text) {
        let why = "message must be non-empty if specified";
        errors.push(FieldError::invalid(&path.child("message"), text, why));
    } else if text.trim().contains(['\n', '\r']) {
        let why = "message must not contain line breaks";
        errors.push(FieldError::invalid(&path.child("message"), text, why));
    }
    known(validation, "reason", path, &["Forbidden", "Invalid", "RequestEntityTooLarge"], errors);
}

/// Most annotations of a policy, and the longest expression of one.
const ANNOTATIONS: usize = 20;
const EXPRESSION: usize = 5 << 10;

fn audit_annotations(list: &[Value], name: &str, path: &Path, errors: &mut Errors) {
    if list.len() > ANNOTATIONS {
        let field = |one: &Value, field| json::text(one, &[field]).to_owned();
        // Upstream shows the fields under their names in Go.
        let shown = list.iter().map(
            |one| json!({ "Key": field(one, "key"), "ValueExpression": field(one, "valueExpression") }),
        );
        let why = format!("must not have more than {ANNOTATIONS} auditAnnotations");
        errors.push(FieldError::invalid(path, &Value::Array(shown.collect()), &why));
    }
    let mut seen = HashSet::new();
    for (index, one) in list.iter().enumerate() {
        let path = path.index(index);
        let (at, key) = (path.child("key"), json::text(one, &["key"]));
        if name.is_empty() {
            errors.push(FieldError::invalid(&at, key, "requires metadata.name be non-empty"));
        } else {
            let whole = format!("{name}/{key}");
            check::named(&at, &whole, &names::qualified_name(&whole), errors);
        }
        expression(one, "valueExpression", &path, errors);
        if json::text(one, &["valueExpression"]).trim().len() > EXPRESSION {
            let why = format!("must not exceed {EXPRESSION} bytes in length");
            errors.push(FieldError::required(&path.child("valueExpression"), &why));
        }
        if !seen.insert(key) {
            errors.push(FieldError::duplicate(&at, key));
        }
    }
}

fn validate_binding(binding: &Value) -> Errors {
    let (mut errors, path) = (Vec::new(), Path::new("spec"));
    let spec = binding.get("spec").unwrap_or(&Value::Null);
    // Upstream's spelling.
    common_of_binding(spec, &path, "matchResouces", &mut errors);
    actions(spec, &path.child("validationActions"), &mut errors);
    errors
}

/// All that is wrong with what every binding says.
pub(super) fn common_of_binding(spec: &Value, path: &Path, matches: &str, errors: &mut Errors) {
    check::required_name(spec, "policyName", path, names::dns1123_subdomain, errors);
    if let Some(reference) = json::at(spec, &["paramRef"]) {
        param_ref(reference, &path.child("paramRef"), errors);
    }
    if let Some(matched) = json::at(spec, &["matchResources"]) {
        rules::match_resources(matched, &path.child(matches), errors);
    }
}

fn param_ref(reference: &Value, path: &Path, errors: &mut Errors) {
    let name = json::text(reference, &["name"]);
    let selector = json::at(reference, &["selector"]);
    let exclusive = "name and selector are mutually exclusive";
    if !name.is_empty() {
        check::named(&path.child("name"), name, &names::path_segment_name(name), errors);
        if selector.is_some() {
            errors.push(FieldError::forbidden(&path.child("name"), exclusive));
        }
    }
    match selector {
        Some(selector) => {
            pod_spec::selector(selector, &path.child("selector"), errors);
            if !name.is_empty() {
                errors.push(FieldError::forbidden(&path.child("selector"), exclusive));
            }
        }
        None if name.is_empty() => {
            let why = "one of name or selector must be specified";
            errors.push(FieldError::required(path, why));
        }
        None => {}
    }
    check::required_one_of(reference, "parameterNotFoundAction", path, &["Deny", "Allow"], errors);
}

fn actions(spec: &Value, path: &Path, errors: &mut Errors) {
    let list = json::list(spec, &["validationActions"]);
    let mut seen = HashSet::new();
    for (index, action) in list.iter().enumerate() {
        let (at, action) = (path.index(index), action.as_str().unwrap_or(""));
        let known = ["Audit", "Deny", "Warn"];
        if !known.contains(&action) {
            errors.push(FieldError::not_supported(&at, action, &known));
        }
        if !seen.insert(action) {
            errors.push(FieldError::duplicate(&at, action));
        }
    }
    if seen.contains("Deny") && seen.contains("Warn") {
        let why = "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)";
        errors.push(FieldError::invalid(path, &spec["validationActions"], why));
    }
    if seen.is_empty() {
        let why = "at least one validation action is required";
        errors.push(FieldError::required(path, why));
    }
}
