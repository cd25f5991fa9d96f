//! CertificateSigningRequests.
//!
//! Knows: what a request must say, who may say which of its conditions. Refuses to know: who approves and who signs.

use leme_meta::quote;
use std::collections::HashSet;

use leme_meta::{FieldError, Path};
use leme_registry::{Approval, Context, Strategy, json, meta, names};
use serde_json::{Value, json};

use crate::check::{self, Errors};

mod pem;

/// Signs certificates of those who call the API server.
const CLIENTS: &str = "kubernetes.io/kube-apiserver-client";
/// A signer that this version of the API does not have.
const LEGACY: &str = "kubernetes.io/legacy-unknown";

/// Shortest life of a certificate, in seconds.
const MIN_LIFE: i64 = 600;

const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

/// What becomes of a request: an approver says the first two, a signer the last.
const DECIDED: [&str; 2] = ["Approved", "Denied"];
const OUTCOMES: [&str; 3] = ["Approved", "Denied", "Failed"];

pub(crate) static STRATEGY: Strategy = Strategy {
    name: meta::segment_name,
    prepare_create: |new, context| {
        requester(json::child(new, "spec"), context);
        json::set(new, "status", json!({}));
    },
    prepare_update: |new, old, _| {
        json::keep(new, old, "spec");
        json::keep(new, old, "status");
    },
    prepare_status: |new, old, context| {
        keep_decisions(new, old);
        timestamps(new, old, context);
    },
    validate,
    validate_status: |new, old| {
        let mut errors = validate(new);
        errors.extend(changes(new, old, false, true));
        errors
    },
    deny: |new, _, _| {
        let groups = pem::request(new).ok()?.organizations;
        let masters = groups.iter().any(|group| group == "system:masters");
        (masters && signer(new) == CLIENTS)
            .then(|| format!("use of {CLIENTS} signer with system:masters group is not allowed"))
    },
    approval: Some(Approval {
        prepare: |new, old, context| {
            let decided = json::at(new, &["status", "conditions"]).cloned();
            json::keep(new, old, "status");
            let status = json::child(new, "status");
            match decided {
                Some(conditions) => json::set(status, "conditions", conditions),
                None => json::remove(status, "conditions"),
            }
            timestamps(new, old, context);
        },
        validate: |new, old| {
            let mut errors = validate(new);
            errors.extend(changes(new, old, true, false));
            errors
        },
    }),
    ..Strategy::PLAIN
};

fn signer(request: &Value) -> &str {
    json::text(request, &["spec", "signerName"])
}

/// Sets who asks, which nobody says of himself.
pub(crate) fn requester(spec: &mut Value, context: &Context) {
    for field in ["username", "uid", "groups", "extra"] {
        json::remove(spec, field);
    }
    let Some(user) = context.user else { return };
    json::set(spec, "username", user.name);
    if !user.uid.is_empty() {
        json::set(spec, "uid", user.uid);
    }
    if !user.groups.is_empty() {
        json::set(spec, "groups", json!(user.groups));
    }
    if !user.extra.is_empty() {
        json::set(spec, "extra", json!(user.extra));
    }
}

fn validate(request: &Value) -> Errors {
    let mut errors = Vec::new();
    let path = Path::new("spec");
    if let Err(why) = pem::request(request) {
        let shown = json::text(request, &["spec", "request"]);
        errors.push(FieldError::invalid(&path.child("request"), shown, &why));
    }
    usages(json::list(request, &["spec", "usages"]), &path.child("usages"), &mut errors);
    if signer(request) == LEGACY {
        let why = "the legacy signerName is not allowed via this API version";
        errors.push(FieldError::invalid(&path.child("signerName"), LEGACY, why));
    } else {
        signer_name(signer(request), &path.child("signerName"), &mut errors);
    }
    if let Some(life) = json::int(request, &["spec", "expirationSeconds"])
        && life < MIN_LIFE
    {
        let why = "may not specify a duration less than 600 seconds (10 minutes)";
        errors.push(FieldError::invalid(&path.child("expirationSeconds"), life, why));
    }
    let path = Path::new("status");
    conditions(request, &path.child("conditions"), &mut errors);
    if let Err(why) = pem::certificates(json::text(request, &["status", "certificate"])) {
        let at = path.child("certificate");
        errors.push(FieldError::invalid(&at, "<certificate data>", &why));
    }
    errors
}

fn usages(list: &[Value], path: &Path, errors: &mut Errors) {
    if list.is_empty() {
        errors.push(FieldError::required(path, ""));
    }
    let text = |usage: &Value| usage.as_str().unwrap_or("").to_owned();
    for (index, usage) in list.iter().enumerate().map(|(index, usage)| (index, text(usage))) {
        if !USAGES.contains(&usage.as_str()) {
            errors.push(FieldError::not_supported(&path.index(index), &usage, &USAGES));
        }
    }
    let mut seen = HashSet::new();
    for (index, usage) in list.iter().enumerate().map(|(index, usage)| (index, text(usage))) {
        if seen.contains(&usage) {
            errors.push(FieldError::duplicate(&path.index(index), &usage));
        }
        seen.insert(usage);
    }
}

/// `domain/name`, the domain with a dot at least.
pub(crate) fn signer_name(name: &str, path: &Path, errors: &mut Errors) {
    const MAX: usize = 253;
    // What follows the domain has room for a namespace, a dot and a name.
    const LONGEST: usize = MAX + 1 + 63 + 1 + MAX;
    if name.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    let parts: Vec<&str> = name.split('/').collect();
    let [domain, rest] = parts.as_slice() else {
        let why = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        errors.push(FieldError::invalid(path, name, why));
        return;
    };
    if domain.len() > MAX {
        errors.push(FieldError::too_long(path, MAX));
    }
    labels(domain, names::dns1123_label, path, errors);
    if !domain.contains('.') {
        let why = "should be a domain with at least two segments separated by dots";
        errors.push(FieldError::invalid(path, *domain, why));
    }
    labels(rest, names::dns1123_subdomain, path, errors);
    if name.len() > LONGEST {
        errors.push(FieldError::too_long(path, LONGEST));
    }
}

fn labels(text: &str, rule: fn(&str) -> Vec<String>, path: &Path, errors: &mut Errors) {
    for label in text.split('.') {
        for why in rule(label) {
            let why = format!("validating label {label}: {why}", label = quote(&label));
            errors.push(FieldError::invalid(path, text, &why));
        }
    }
}

fn conditions(request: &Value, path: &Path, errors: &mut Errors) {
    let mut seen = HashSet::new();
    for (index, condition) in json::list(request, &["status", "conditions"]).iter().enumerate() {
        let path = path.index(index);
        let kind = check::required(condition, "type", &path, errors);
        let known: &[&str] =
            if OUTCOMES.contains(&kind) { &["True"] } else { &["False", "True", "Unknown"] };
        check::required_one_of(condition, "status", &path, known, errors);
        let other = match kind {
            "Approved" => "Denied",
            "Denied" => "Approved",
            _ => "",
        };
        if !other.is_empty() && seen.contains(other) {
            let why = "Approved and Denied conditions are mutually exclusive";
            errors.push(FieldError::invalid(&path.child("type"), kind, why));
        }
        if !seen.insert(kind) {
            errors.push(FieldError::duplicate(&path.child("type"), kind));
        }
    }
}

/// The conditions of a type.
fn of_type<'a>(request: &'a Value, kind: &str) -> Vec<&'a Value> {
    let all = json::list(request, &["status", "conditions"]).iter();
    all.filter(|condition| json::text(condition, &["type"]) == kind).collect()
}

/// What of a change only approvers, or only signers, may do.
fn changes(new: &Value, old: &Value, approver: bool, signer: bool) -> Errors {
    let mut errors = Vec::new();
    let path = Path::new("status");
    let at = path.child("conditions");
    for kind in OUTCOMES {
        if of_type(new, kind).len() < of_type(old, kind).len() {
            let why =
                format!("updates may not remove a condition of type {kind}", kind = quote(&kind));
            errors.push(FieldError::forbidden(&at, &why));
        }
    }
    for kind in DECIDED.into_iter().filter(|_| !approver) {
        let (now, before) = (of_type(new, kind), of_type(old, kind));
        if now.len() > before.len() {
            let why =
                format!("updates may not add a condition of type {kind}", kind = quote(&kind));
            errors.push(FieldError::forbidden(&at, &why));
        } else if now.len() == before.len() && now != before {
            let why =
                format!("updates may not modify a condition of type {kind}", kind = quote(&kind));
            errors.push(FieldError::forbidden(&at, &why));
        }
    }
    let certificate = |request| json::text(request, &["status", "certificate"]);
    if certificate(new) != certificate(old) {
        let at = path.child("certificate");
        if !signer {
            errors.push(FieldError::forbidden(&at, "updates may not set certificate content"));
        } else if !certificate(old).is_empty() {
            let why = "updates may not modify existing certificate content";
            errors.push(FieldError::forbidden(&at, why));
        }
    }
    errors
}

/// Puts back what was decided, where as much of it is said as before: a signer does not decide.
fn keep_decisions(new: &mut Value, old: &Value) {
    for kind in DECIDED {
        let before: Vec<Value> = of_type(old, kind).into_iter().cloned().collect();
        if of_type(new, kind).len() != before.len() {
            continue;
        }
        let all = json::list_mut(new, &["status", "conditions"]).iter_mut();
        let own = all.filter(|condition| json::text(condition, &["type"]) == kind);
        own.zip(before).for_each(|(condition, before)| *condition = before);
    }
}

/// Sets when conditions were written, and when each came to be as it is.
fn timestamps(new: &mut Value, old: &Value, context: &Context) {
    let old = json::list(old, &["status", "conditions"]);
    for condition in json::list_mut(new, &["status", "conditions"]) {
        if json::unset(condition, "lastUpdateTime") {
            json::set(condition, "lastUpdateTime", context.timestamp());
        }
        if json::unset(condition, "lastTransitionTime") {
            let same = |before: &&Value| {
                ["type", "status"].iter().all(|field| before.get(field) == condition.get(field))
            };
            let since = old.iter().find(same).and_then(|before| before.get("lastTransitionTime"));
            let since = since.filter(|since| !since.is_null()).cloned();
            let since = since.unwrap_or_else(|| context.timestamp());
            json::set(condition, "lastTransitionTime", since);
        }
    }
}
