//! Headers that a route sets or deletes.
//!
//! Knows: names, and the little language of their values. Refuses to know: traffic.

use std::collections::HashSet;

use leme_meta::{FieldError, Path};
use leme_registry::json;
use serde_json::Value;

use crate::check::Errors;

const MAX_ACTIONS: usize = 20;
const MAX_NAME: usize = 255;
const MAX_VALUE: usize = 16_384;
const KEPT: [&str; 4] = ["strict-transport-security", "proxy", "cookie", "set-cookie"];

/// Checks the header actions of a route's spec.
pub(super) fn validate(spec: &Value, path: &Path, errors: &mut Errors) {
    let actions = json::at(spec, &["httpHeaders", "actions"]).unwrap_or(&Value::Null);
    let at = path.child("httpHeaders").child("actions");
    let lists = [("response", "res"), ("request", "req")];
    let any = lists.iter().any(|(field, _)| !json::list(actions, &[field]).is_empty());
    if any && json::text(spec, &["tls", "termination"]) == "passthrough" {
        let why = "only edge and re-encrypt routes are supported for providing customized headers.";
        errors.push(FieldError::invalid(
            &path.child("tls").child("termination"),
            "passthrough",
            why,
        ));
    }
    for (field, prefix) in lists {
        let list = json::list(actions, &[field]);
        if list.len() > MAX_ACTIONS {
            let why = format!("{field} headers list can't exceed {MAX_ACTIONS} items");
            errors.push(FieldError::invalid(&at.child(field), &actions[field], &why));
            continue;
        }
        let mut seen = HashSet::new();
        for (index, header) in list.iter().enumerate() {
            let at = at.child(field).index(index);
            let name = json::text(header, &["name"]);
            if !seen.insert(name) {
                errors.push(FieldError::duplicate(&at.child("name"), name));
            }
            header_name(name, &at.child("name"), errors);
            action(
                header.get("action").unwrap_or(&Value::Null),
                prefix,
                &at.child("action"),
                errors,
            );
        }
    }
}

fn header_name(name: &str, path: &Path, errors: &mut Errors) {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"-!#$%&'*+.^_`|~".contains(&byte);
    if name.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else if name.len() > MAX_NAME {
        let why = format!("name exceeds the maximum length, which is {MAX_NAME}");
        errors.push(FieldError::invalid(path, name, &why));
    } else if KEPT.contains(&name.to_lowercase().as_str()) {
        let why = format!(
            "the following headers may not be modified using this API: {}",
            KEPT.join(", ")
        );
        errors.push(FieldError::forbidden(path, &why));
    } else if !name.bytes().all(token) {
        let why = "name must be a valid HTTP header name as defined in RFC 2616 section 4.2";
        errors.push(FieldError::invalid(path, name, why));
    }
}

fn action(action: &Value, prefix: &str, path: &Path, errors: &mut Errors) {
    let type_ = json::text(action, &["type"]);
    if !matches!(type_, "Set" | "Delete") {
        errors.push(FieldError::invalid(
            &path.child("type"),
            type_,
            "type must be \"Set\" or \"Delete\"",
        ));
    }
    let set = json::at(action, &["set"]);
    if (type_ == "Set") != set.is_some() {
        let why = "set is required when type is Set, and forbidden otherwise";
        errors.push(FieldError::required(&path.child("set"), why));
    }
    let Some(set) = set else { return };
    let value = json::text(set, &["value"]);
    let at = path.child("set").child("value");
    if value.is_empty() {
        errors.push(FieldError::required(&at, ""));
    } else if value.len() > MAX_VALUE {
        let why = format!("value exceeds the maximum length, which is {MAX_VALUE}");
        errors.push(FieldError::invalid(&at, value, &why));
    } else if !is_value(value, prefix) {
        let why = format!(
            "Either header value provided is not in correct format or the converter specified is not allowed. The dynamic header value  may use HAProxy's %[] syntax and otherwise must be a valid HTTP header value as defined in https://datatracker.ietf.org/doc/html/rfc7230#section-3.2 Sample fetchers allowed are {prefix}.hdr, ssl_c_der. Converters allowed are lower, base64."
        );
        errors.push(FieldError::invalid(&at, value, &why));
    }
}

/// Whether a value is text without control characters in which every `%` is doubled or starts a sample expression.
fn is_value(value: &str, prefix: &str) -> bool {
    let mut rest = value;
    while let Some(first) = rest.chars().next() {
        let next = match first {
            '%' => rest.strip_prefix("%%").or_else(|| sample(rest, prefix)),
            _ if first.is_ascii_control() => None,
            _ => rest.get(first.len_utf8()..),
        };
        match next {
            Some(next) => rest = next,
            None => return false,
        }
    }
    true
}

/// What follows a sample expression such as `%{+Q}[req.hdr(X-Name),lower]`.
fn sample<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let mut rest = text.strip_prefix('%')?;
    if let Some(flags) = rest.strip_prefix('{') {
        let (flags, after) = flags.split_once('}')?;
        let flag = |flag: &str| {
            matches!(flag.trim_start_matches(['-', '+']), "Q" | "X" | "E") && flag.len() <= 2
        };
        if !flags.split(',').all(flag) {
            return None;
        }
        rest = after;
    }
    let (body, after) = rest.strip_prefix('[')?.split_once(']')?;
    let mut parts = body.split(',');
    let fetch = parts.next()?;
    let header = fetch
        .strip_prefix(prefix)
        .and_then(|fetch| fetch.strip_prefix(".hdr("))
        .and_then(|fetch| fetch.strip_suffix(')'));
    let named = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let known = fetch == "ssl_c_der" || header.is_some_and(named);
    (known && parts.all(|converter| matches!(converter, "lower" | "base64"))).then_some(after)
}
