//! Names that a pod resolves: its resolver's configuration and its hosts file.
//!
//! Knows: the limits of a resolver. Refuses to know: who answers.

use leme_meta::{FieldError, Path};
use leme_registry::{json, names};
use serde_json::Value;

use crate::check::{self, Errors};
use crate::ip;

const MAX_SERVERS: usize = 3;
const MAX_SEARCHES: usize = 32;
const MAX_SEARCH_BYTES: usize = 2048;
const SEARCH_RULE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character";
/// Upstream shows the pattern without underscore.
const SEARCH_PATTERN: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";

/// Checks `dnsConfig` of a pod spec.
pub(super) fn config(spec: &Value, path: &Path, errors: &mut Errors) {
    let path = path.child("dnsConfig");
    let config = json::at(spec, &["dnsConfig"]);
    let servers = config.map_or(&[][..], |config| json::list(config, &["nameservers"]));
    let field = path.child("nameservers");
    if json::text(spec, &["dnsPolicy"]) == "None" && servers.is_empty() {
        let (at, why) = match config {
            None => (&path, "must provide `dnsConfig` when `dnsPolicy` is None"),
            Some(_) => {
                (&field, "must provide at least one DNS nameserver when `dnsPolicy` is None")
            }
        };
        errors.push(FieldError::required(at, why));
        return;
    }
    let Some(config) = config else { return };
    if servers.len() > MAX_SERVERS {
        let why = format!("must not have more than {MAX_SERVERS} nameservers");
        errors.push(FieldError::invalid(&field, &Value::Array(servers.to_vec()), &why));
    }
    for (index, server) in servers.iter().enumerate() {
        address(server.as_str().unwrap_or(""), &field.index(index), errors);
    }
    searches(json::list(config, &["searches"]), &path.child("searches"), errors);
    for (index, option) in json::list(config, &["options"]).iter().enumerate() {
        if json::text(option, &["name"]).is_empty() {
            let at = path.child("options").index(index);
            errors.push(FieldError::required(&at, "must not be empty"));
        }
    }
}

fn searches(list: &[Value], path: &Path, errors: &mut Errors) {
    let texts: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
    let rules = [
        (list.len() > MAX_SEARCHES, format!("must not have more than {MAX_SEARCHES} search paths")),
        (
            texts.join(" ").len() > MAX_SEARCH_BYTES,
            format!(
                "must not have more than {MAX_SEARCH_BYTES} characters (including spaces) in the search list"
            ),
        ),
    ];
    for (_, why) in rules.iter().filter(|(wrong, _)| *wrong) {
        errors.push(FieldError::invalid(path, &Value::Array(list.to_vec()), why));
    }
    for (index, text) in texts.iter().enumerate().filter(|(_, text)| **text != ".") {
        let text = text.strip_suffix('.').unwrap_or(text);
        check::named(&path.index(index), text, &search(text), errors);
    }
}

/// What is wrong with a search path: a subdomain whose labels may start with an underscore and hold more.
fn search(text: &str) -> Vec<String> {
    let plain = |part: &str| {
        let part = part.strip_prefix('_').unwrap_or(part);
        part.ends_with(|last| last != '_')
            && part.starts_with(|first| first != '_')
            && names::dns1123_subdomain(&part.replace('_', "-")).is_empty()
    };
    let mut wrong = Vec::new();
    if text.len() > 253 {
        wrong.push(names::max_len_error(253));
    }
    if !text.split('.').all(plain) {
        wrong.push(names::regex_error(SEARCH_RULE, SEARCH_PATTERN, &["example.com"]));
    }
    wrong
}

fn address(text: &str, path: &Path, errors: &mut Errors) {
    if let Some(why) = ip::wrong_ip(text) {
        errors.push(FieldError::invalid(path, text, why));
    }
}

/// Longest name of a host that the kernel takes.
const MAX_HOST_NAME: usize = 64;

/// Checks `hostnameOverride` of a pod spec.
pub(super) fn host_name(spec: &Value, path: &Path, errors: &mut Errors) {
    let Some(name) = json::at(spec, &["hostnameOverride"]).and_then(Value::as_str) else { return };
    let at = path.child("hostnameOverride");
    for field in ["setHostnameAsFQDN", "hostNetwork"] {
        if json::flag(spec, &[field]) {
            let why = format!("may not be specified when {field} is true");
            errors.push(FieldError::forbidden(&at, &why));
        }
    }
    if name.len() > MAX_HOST_NAME {
        errors.push(FieldError::too_long(&at, MAX_HOST_NAME));
    }
    check::named(&at, name, &names::dns1123_subdomain(name), errors);
}

/// Checks `hostAliases` of a pod spec.
pub(super) fn aliases(spec: &Value, path: &Path, errors: &mut Errors) {
    for (index, alias) in json::list(spec, &["hostAliases"]).iter().enumerate() {
        let path = path.child("hostAliases").index(index);
        address(json::text(alias, &["ip"]), &path.child("ip"), errors);
        for (index, name) in json::list(alias, &["hostnames"]).iter().enumerate() {
            let text = name.as_str().unwrap_or("");
            let at = path.child("hostnames").index(index);
            check::named(&at, text, &names::dns1123_subdomain(text), errors);
        }
    }
}
