//! Routes.
//!
//! Knows: generated hosts, targets and weights, TLS terminations. Refuses to know: who holds a host.

use leme_meta::{FieldError, Path};
use leme_registry::{Context, Strategy, json, names};
use serde_json::Value;

use crate::check::{self, Errors};

mod headers;
mod tls;

/// Says that the server chose the host.
const GENERATED: &str = "openshift.io/host.generated";
/// Lets a host have labels that DNS would refuse.
const ANY_HOST: &str = "route.openshift.io/allow-non-dns-compliant-host";
const TERMINATIONS: [&str; 3] = ["edge", "reencrypt", "passthrough"];

pub(crate) static STRATEGY: Strategy = Strategy {
    default,
    prepare_create,
    prepare_update,
    validate,
    validate_update,
    warn,
    generation: Some(Strategy::spec_changed),
    unconditional_update: false,
    ..Strategy::PLAIN
};

fn default(route: &mut Value) {
    let spec = json::child(route, "spec");
    json::default(spec, "wildcardPolicy", "None");
    if let Some(to) = spec.get_mut("to").filter(|to| to.is_object()) {
        target(to);
    }
    for backend in json::list_mut(spec, &["alternateBackends"]) {
        target(backend);
    }
    let Some(tls) = spec.get_mut("tls").filter(|tls| tls.is_object()) else { return };
    if json::unset(tls, "termination") && json::unset(tls, "destinationCACertificate") {
        json::set(tls, "termination", "edge");
    }
    let said = json::text(tls, &["termination"]).to_lowercase();
    if TERMINATIONS.contains(&said.as_str()) {
        json::set(tls, "termination", said);
    }
    for policy in ["None", "Allow", "Redirect"] {
        if json::text(tls, &["insecureEdgeTerminationPolicy"]).eq_ignore_ascii_case(policy) {
            json::set(tls, "insecureEdgeTerminationPolicy", policy);
        }
    }
}

fn target(target: &mut Value) {
    json::default(target, "kind", "Service");
    json::default(target, "weight", 100);
}

fn prepare_create(route: &mut Value, ctx: &Context) {
    json::set(route, "status", serde_json::json!({}));
    let spec = json::child(route, "spec");
    let free = json::unset(spec, "host") && json::unset(spec, "subdomain");
    if !free || json::text(spec, &["wildcardPolicy"]) == "Subdomain" {
        return;
    }
    let domain = match ctx.route_domain {
        "" => "router.default.svc.cluster.local",
        domain => domain,
    };
    let name = json::text(route, &["metadata", "name"]).replace('.', "-");
    let host = format!("{name}-{}.{domain}", ctx.namespace);
    json::set(json::child(route, "spec"), "host", host);
    json::set(json::child(json::child(route, "metadata"), "annotations"), GENERATED, "true");
}

fn prepare_update(new: &mut Value, old: &Value, _: &Context) {
    json::keep(new, old, "status");
    let spec = json::child(new, "spec");
    if json::unset(spec, "host") {
        json::keep(spec, old.get("spec").unwrap_or(&Value::Null), "host");
    }
}

fn validate(route: &Value) -> Errors {
    let path = Path::new("spec");
    let spec = route.get("spec").unwrap_or(&Value::Null);
    let mut errors = Vec::new();
    host(route, spec, &path, &mut errors);
    check::one_of(spec, "wildcardPolicy", &path, &["None", "Subdomain"], &mut errors);
    if json::text(spec, &["wildcardPolicy"]) == "Subdomain" && json::unset(spec, "host") {
        let why = "host name not specified for wildcard policy";
        errors.push(FieldError::invalid(&path.child("wildcardPolicy"), "Subdomain", why));
    }
    headers::validate(spec, &path, &mut errors);
    route_path(spec, &path, &mut errors);
    backend(spec.get("to").unwrap_or(&Value::Null), &path.child("to"), &mut errors);
    let others = json::list(spec, &["alternateBackends"]);
    let at = path.child("alternateBackends");
    if others.len() > 3 {
        errors.push(FieldError::required(&at, "cannot specify more than 3 alternate backends"));
    }
    for (index, other) in others.iter().enumerate() {
        backend(other, &at.index(index), &mut errors);
    }
    if let Some(port) = json::at(spec, &["port"])
        && (json::unset(port, "targetPort") || port["targetPort"] == 0)
    {
        errors.push(FieldError::required(&path.child("port").child("targetPort"), ""));
    }
    if let Some(tls) = json::at(spec, &["tls"]) {
        tls::validate(tls, &path.child("tls"), &mut errors);
    }
    errors
}

fn host(route: &Value, spec: &Value, path: &Path, errors: &mut Errors) {
    let host = json::text(spec, &["host"]);
    let at = path.child("host");
    if !host.is_empty() && !names::dns1123_subdomain(host).is_empty() {
        errors.push(FieldError::invalid(
            &at,
            host,
            "host must conform to DNS 952 subdomain conventions",
        ));
    }
    if !host.is_empty() && json::text(route, &["metadata", "annotations", ANY_HOST]) != "true" {
        for label in host.split('.') {
            check::named(&at, host, &names::dns1123_label(label), errors);
        }
    }
    let subdomain = json::text(spec, &["subdomain"]);
    let at = path.child("subdomain");
    if subdomain.len() > 253 {
        errors.push(FieldError::invalid(&at, subdomain, &names::max_len_error(253)));
    }
    for label in subdomain.split('.').filter(|_| !subdomain.is_empty()) {
        let wrong = names::dns1123_label(label);
        if !wrong.is_empty() {
            errors.push(FieldError::invalid(&at, label, &wrong.join(", ")));
        }
    }
}

fn route_path(spec: &Value, path: &Path, errors: &mut Errors) {
    let text = json::text(spec, &["path"]);
    let at = path.child("path");
    if text.is_empty() {
        return;
    }
    if !text.starts_with('/') {
        errors.push(FieldError::invalid(&at, text, "path must begin with /"));
    }
    if text.contains(['#', ' ']) {
        errors.push(FieldError::invalid(
            &at,
            text,
            "path may not contain the characters '#' or ' '",
        ));
    }
    if json::text(spec, &["tls", "termination"]) == "passthrough" {
        errors.push(FieldError::invalid(
            &at,
            text,
            "passthrough termination does not support paths",
        ));
    }
}

fn backend(target: &Value, path: &Path, errors: &mut Errors) {
    check::required(target, "name", path, errors);
    let kind = json::text(target, &["kind"]);
    if kind != "Service" {
        errors.push(FieldError::invalid(&path.child("kind"), kind, "must reference a Service"));
    }
    if let Some(weight) =
        json::int(target, &["weight"]).filter(|weight| !(0..=256).contains(weight))
    {
        errors.push(FieldError::invalid(
            &path.child("weight"),
            weight,
            "weight must be an integer between 0 and 256",
        ));
    }
}

fn validate_update(new: &Value, old: &Value) -> Errors {
    let at = ["spec", "wildcardPolicy"];
    leme_registry::meta::immutable(new, old, &at).into_iter().collect()
}

fn warn(route: &Value, _: Option<&Value>) -> Vec<String> {
    let both = !json::text(route, &["spec", "host"]).is_empty()
        && !json::text(route, &["spec", "subdomain"]).is_empty();
    if both {
        vec!["spec.host is set; spec.subdomain may be ignored".to_owned()]
    } else {
        Vec::new()
    }
}
