//! Routes.
//!
//! Knows: generated hosts, targets and weights, TLS terminations. Refuses to know: who holds a host.

use leme_meta::{FieldError, Path};
use leme_registry::{Context, Strategy, json, names};
use serde_json::Value;

use crate::check::{self, Errors};

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
    route_path(spec, &path, &mut errors);
    backends(spec, &path, &mut errors);
    if let Some(port) = json::at(spec, &["port"]) {
        let at = path.child("port").child("targetPort");
        if matches!(port.get("targetPort"), None | Some(Value::Null)) || port["targetPort"] == "" || port["targetPort"] == 0 {
            errors.push(FieldError::required(&at, ""));
        }
    }
    check::one_of(spec, "wildcardPolicy", &path, &["None", "Subdomain"], &mut errors);
    if json::text(spec, &["wildcardPolicy"]) == "Subdomain" && json::unset(spec, "host") {
        let why = "host name not specified for wildcard policy";
        errors.push(FieldError::invalid(&path.child("wildcardPolicy"), "Subdomain", why));
    }
    if let Some(tls) = json::at(spec, &["tls"]) {
        self::tls(tls, &path.child("tls"), &mut errors);
    }
    if json::text(spec, &["tls", "termination"]) == "passthrough" && !json::unset(spec, "path") {
        let why = "passthrough termination does not support paths";
        errors.push(FieldError::invalid(&path.child("path"), json::text(spec, &["path"]), why));
    }
    errors
}

fn host(route: &Value, spec: &Value, path: &Path, errors: &mut Errors) {
    let loose = json::text(route, &["metadata", "annotations", ANY_HOST]) == "true";
    for field in ["host", "subdomain"] {
        let text = json::text(spec, &[field]);
        if text.is_empty() {
            continue;
        }
        let at = path.child(field);
        if text.len() > 253 {
            errors.push(FieldError::invalid(&at, text, "host must conform to DNS 952 subdomain conventions: must be no more than 253 characters"));
            continue;
        }
        let subdomain = names::dns1123_subdomain(text);
        if !subdomain.is_empty() {
            for why in &subdomain {
                let why = format!("host must conform to DNS 952 subdomain conventions: {why}");
                errors.push(FieldError::invalid(&at, text, &why));
            }
            continue;
        }
        for label in text.split('.').filter(|_| !loose) {
            for why in names::dns1123_label(label) {
                let why = format!("host must conform to DNS 1123 naming conventions: {why}");
                errors.push(FieldError::invalid(&at, text, &why));
            }
        }
    }
}

fn route_path(spec: &Value, path: &Path, errors: &mut Errors) {
    let text = json::text(spec, &["path"]);
    let at = path.child("path");
    if !text.is_empty() && !text.starts_with('/') {
        errors.push(FieldError::invalid(&at, text, "path must begin with /"));
    }
    if text.contains(['#', ' ']) {
        errors.push(FieldError::invalid(&at, text, "path may not contain the characters '#' or ' '"));
    }
}

fn backends(spec: &Value, path: &Path, errors: &mut Errors) {
    backend(spec.get("to").unwrap_or(&Value::Null), &path.child("to"), errors);
    let others = json::list(spec, &["alternateBackends"]);
    let at = path.child("alternateBackends");
    if others.len() > 3 {
        let why = "cannot specify more than 3 alternate backends";
        errors.push(FieldError::required(&at, why));
    }
    for (index, other) in others.iter().enumerate() {
        backend(other, &at.index(index), errors);
    }
}

fn backend(target: &Value, path: &Path, errors: &mut Errors) {
    let kind = json::text(target, &["kind"]);
    if kind != "Service" {
        errors.push(FieldError::invalid(&path.child("kind"), kind, "must reference a Service"));
    }
    check::required(target, "name", path, errors);
    if let Some(weight) = json::int(target, &["weight"]).filter(|weight| !(0..=256).contains(weight)) {
        errors.push(FieldError::invalid(&path.child("weight"), weight, "weight must be an integer between 0 and 256"));
    }
}

fn tls(tls: &Value, path: &Path, errors: &mut Errors) {
    let termination = json::text(tls, &["termination"]);
    let certificates = ["certificate", "key", "caCertificate", "destinationCACertificate"];
    match termination {
        "passthrough" => {
            for field in certificates.iter().filter(|field| !json::unset(tls, field)) {
                let why = "passthrough termination does not support certificates";
                errors.push(FieldError::invalid(&path.child(field), "redacted", why));
            }
            if !json::unset(tls, "externalCertificate") {
                let at = path.child("externalCertificate");
                errors.push(FieldError::invalid(&at, &tls["externalCertificate"], "passthrough termination does not support certificates"));
            }
        }
        "edge" if !json::unset(tls, "destinationCACertificate") => {
            let why = "edge termination does not support destination certificates";
            errors.push(FieldError::invalid(&path.child("destinationCACertificate"), "redacted", why));
        }
        "edge" | "reencrypt" => {}
        other => errors.push(FieldError::not_supported(&path.child("termination"), other, &TERMINATIONS)),
    }
    if !json::unset(tls, "certificate") && !json::unset(tls, "externalCertificate") {
        let why = "cannot specify both tls.certificate and tls.externalCertificate";
        errors.push(FieldError::invalid(&path.child("externalCertificate"), &tls["externalCertificate"], why));
    }
    let policy = json::text(tls, &["insecureEdgeTerminationPolicy"]);
    let known: &[&str] =
        if termination == "passthrough" { &["None", "Redirect"] } else { &["None", "Allow", "Redirect"] };
    if !policy.is_empty() && !known.contains(&policy) {
        let why = format!("invalid value for InsecureEdgeTerminationPolicy option, acceptable values are {}, or empty", known.join(", "));
        errors.push(FieldError::invalid(&path.child("insecureEdgeTerminationPolicy"), policy, &why));
    }
}

fn validate_update(new: &Value, old: &Value) -> Errors {
    let at = ["spec", "wildcardPolicy"];
    leme_registry::meta::immutable(new, old, &at).into_iter().collect()
}

fn warn(route: &Value) -> Vec<String> {
    let both = !json::text(route, &["spec", "host"]).is_empty() && !json::text(route, &["spec", "subdomain"]).is_empty();
    if both { vec!["spec.host is set; spec.subdomain may be ignored".to_owned()] } else { Vec::new() }
}
