//! Checks that many kinds share, each pushing field errors in upstream's words.
//!
//! Knows: what "required", "one of" and "in range" sound like. Refuses to know: kinds.

use leme_meta::quote;
use std::net::IpAddr;

use leme_meta::{FieldError, Path};
use leme_registry::{Strategy, json, meta, names};
use serde_json::Value;

/// Where errors go.
pub(crate) type Errors = Vec<FieldError>;

/// What a number below zero is told.
pub(crate) const NOT_NEGATIVE: &str = "must be greater than or equal to 0";

/// The text of a field, and an error if it is empty.
pub(crate) fn required<'a>(
    value: &'a Value,
    field: &str,
    path: &Path,
    errors: &mut Errors,
) -> &'a str {
    let text = json::text(value, &[field]);
    if text.is_empty() {
        errors.push(FieldError::required(&path.child(field), ""));
    }
    text
}

/// Adds an error per message of a name rule.
pub(crate) fn named(path: &Path, value: &str, wrong: &[String], errors: &mut Errors) {
    errors.extend(wrong.iter().map(|why| FieldError::invalid(path, value, why)));
}

/// The text of a field that must be there and fit a rule.
pub(crate) fn required_name(
    value: &Value,
    field: &str,
    path: &Path,
    rule: fn(&str) -> Vec<String>,
    errors: &mut Errors,
) {
    let text = required(value, field, path, errors);
    if !text.is_empty() {
        named(&path.child(field), text, &rule(text), errors);
    }
}

/// The text of a field that, if set, must fit a rule.
pub(crate) fn optional_name(
    value: &Value,
    field: &str,
    path: &Path,
    rule: fn(&str) -> Vec<String>,
    errors: &mut Errors,
) {
    let text = json::text(value, &[field]);
    if !text.is_empty() {
        named(&path.child(field), text, &rule(text), errors);
    }
}

/// A field that, if set, must be one of those known.
pub(crate) fn one_of(value: &Value, field: &str, path: &Path, known: &[&str], errors: &mut Errors) {
    let text = json::text(value, &[field]);
    if !text.is_empty() && !known.contains(&text) {
        errors.push(FieldError::not_supported(&path.child(field), text, known));
    }
}

/// A field that must be set, to one of those known.
pub(crate) fn required_one_of(
    value: &Value,
    field: &str,
    path: &Path,
    known: &[&str],
    errors: &mut Errors,
) {
    required(value, field, path, errors);
    one_of(value, field, path, known, errors);
}

/// Numbers that, if set, must not be negative.
pub(crate) fn not_negative(value: &Value, fields: &[&str], path: &Path, errors: &mut Errors) {
    for field in fields {
        if let Some(number) = json::int(value, &[field]).filter(|number| *number < 0) {
            errors.push(FieldError::invalid(&path.child(field), number, NOT_NEGATIVE));
        }
    }
}

/// A number that must lie in a range, if it is set.
pub(crate) fn in_range(
    value: &Value,
    field: &str,
    path: &Path,
    low: i64,
    high: i64,
    errors: &mut Errors,
) {
    if let Some(number) = json::int(value, &[field]).filter(|number| !(low..=high).contains(number))
    {
        let why = format!("must be between {low} and {high}, inclusive");
        errors.push(FieldError::invalid(&path.child(field), number, &why));
    }
}

/// A port number, or nothing said about it.
pub(crate) fn port_number(value: &Value, field: &str, path: &Path, errors: &mut Errors) {
    in_range(value, field, path, 1, 65535, errors);
}

/// A port by number or by name, as probes and services name it.
pub(crate) fn port_or_name(value: &Value, field: &str, path: &Path, errors: &mut Errors) {
    let path = path.child(field);
    match value.get(field) {
        Some(Value::String(name)) => named(&path, name, &names::port_name(name), errors),
        port => {
            port_in_range(port.and_then(Value::as_i64), &path, errors);
        }
    }
}

/// A port number that must be there.
pub(crate) fn required_port(value: &Value, field: &str, path: &Path, errors: &mut Errors) {
    port_in_range(json::int(value, &[field]), &path.child(field), errors);
}

fn port_in_range(port: Option<i64>, path: &Path, errors: &mut Errors) {
    let number = port.unwrap_or(0);
    if !(1..=65535).contains(&number) {
        errors.push(FieldError::invalid(path, number, "must be between 1 and 65535, inclusive"));
    }
}

/// A file mode of a volume, if it is set.
pub(crate) fn file_mode(value: &Value, field: &str, path: &Path, errors: &mut Errors) {
    if let Some(mode) = json::int(value, &[field]).filter(|mode| !(0..=0o777).contains(mode)) {
        let why = "must be a number between 0 and 0777 (octal), both inclusive";
        errors.push(FieldError::invalid(&path.child(field), mode, why));
    }
}

/// A path that stays below where it starts.
pub(crate) fn descending_path(text: &str, path: &Path, errors: &mut Errors) {
    if text.starts_with('/') {
        errors.push(FieldError::invalid(path, text, "must be a relative path"));
    }
    no_back_steps(text, path, errors);
}

/// A path without `..`.
pub(crate) fn no_back_steps(text: &str, path: &Path, errors: &mut Errors) {
    if text.split('/').any(|part| part == "..") {
        errors.push(FieldError::invalid(path, text, "must not contain '..'"));
    }
}

/// What an address is told that is none.
pub(crate) const BAD_IP: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";

/// An address that packets can be sent on to: none that means this host, this link, everybody or nobody.
pub(crate) fn endpoint_ip(text: &str, path: &Path, errors: &mut Errors) {
    let Ok(address) = text.parse::<IpAddr>() else {
        errors.push(FieldError::invalid(path, text, "must be a valid IP address"));
        return;
    };
    let unspecified = format!("may not be unspecified ({text})");
    let local = "may not be in the link-local range (169.254.0.0/16, fe80::/10)";
    let group = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)";
    let (link_local, link_multicast) = match address.to_canonical() {
        IpAddr::V4(four) => (four.is_link_local(), four.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(six) => {
            (six.segments()[0] & 0xffc0 == 0xfe80, six.segments()[0] & 0xff0f == 0xff02)
        }
    };
    let address = address.to_canonical();
    let broadcast = address == IpAddr::V4(std::net::Ipv4Addr::BROADCAST);
    let rules = [
        (address.is_unspecified(), unspecified.as_str()),
        (address.is_loopback(), "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        (link_local, local),
        (link_multicast, group),
        (
            address.is_multicast() && !link_multicast,
            "may not be in the multicast range (224.0.0.0/4, ff00::/8)",
        ),
        (broadcast, "may not be the broadcast address (255.255.255.255)"),
    ];
    for (_, why) in rules.iter().filter(|(wrong, _)| *wrong) {
        errors.push(FieldError::invalid(path, text, why));
    }
}

/// What a person should know of an address that is written in an unusual way.
pub(crate) fn ip_warning(path: &Path, text: &str) -> Option<String> {
    let IpAddr::V6(six) = text.parse().ok()? else { return None };
    if let Some(four) = six.to_ipv4_mapped() {
        return Some(format!(
            "{path}: non-standard IP address {text} will be considered invalid in a future Kubernetes release: use \"{four}\"",
            text = quote(&text)
        ));
    }
    let canonical = six.to_string();
    (canonical != text).then(|| {
        format!(
            "{path}: IPv6 address {text} should be in RFC 5952 canonical format ({canonical})",
            text = quote(&text),
            canonical = quote(&canonical)
        )
    })
}

/// A name below a domain, such as that of a controller.
pub(crate) fn domain_prefixed_path(text: &str, path: &Path, errors: &mut Errors) {
    let Some((domain, rest)) =
        text.split_once('/').filter(|(domain, rest)| !domain.is_empty() && !rest.is_empty())
    else {
        let why = "must be a domain-prefixed path (such as \"acme.io/foo\")";
        errors.push(FieldError::invalid(path, text, why));
        return;
    };
    named(path, domain, &names::dns1123_subdomain(domain), errors);
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&byte);
    if !rest.bytes().all(fits) {
        let pattern = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+";
        errors.push(FieldError::invalid(
            path,
            rest,
            &names::regex_error("Invalid path", pattern, &[]),
        ));
    }
}

pub(crate) use leme_registry::meta::keep_metadata;

/// Of kinds whose metadata, too, stays as it is when the status is written.
pub(crate) const STATUS_ALONE: Strategy = Strategy {
    prepare_status: |new, old, _| keep_metadata(new, old),
    kept_by_status: &[&["metadata"], &["spec"]],
    ..Strategy::PLAIN
};

/// The names among a list of exclusive fields that are set.
pub(crate) fn set_fields<'a>(value: &'a Value, except: &[&str]) -> Vec<&'a str> {
    json::entries(value, &[])
        .filter(|(key, content)| !content.is_null() && !except.contains(key))
        .map(|(key, _)| key)
        .collect()
}

/// A struct as upstream shows its own: as JSON, with the names and in the order that fields have in Go.
pub(crate) fn go_struct(fields: &[(&str, String)]) -> meta::Raw<String> {
    let shown: Vec<String> =
        fields.iter().map(|(name, value)| format!("{name}:{value}", name = quote(&name))).collect();
    meta::Raw(format!("{{{}}}", shown.join(",")))
}

/// A field of such a struct.
pub(crate) fn go_field(value: &Value, path: &[&str]) -> String {
    json::at(value, path).map_or_else(|| "null".to_owned(), Value::to_string)
}
