//! Ingresses.
//!
//! Knows: hosts, paths, what may stand behind them, certificates. Refuses to know: who answers for a host.

use leme_meta::{FieldError, Path};
use leme_registry::{Strategy, json, names};
use serde_json::Value;

use super::class;
use crate::check::{self, Errors};
use crate::ip;

/// How the class was named before there was a field.
const CLASS: &str = "kubernetes.io/ingress.class";

const NOT_AN_IP: &str = "must be a DNS name, not an IP address";
const PATH_TYPES: [&str; 3] = ["Exact", "ImplementationSpecific", "Prefix"];

pub(crate) static STRATEGY: Strategy = Strategy {
    validate: |ingress| spec(&ingress["spec"], &Path::new("spec")),
    validate_create: class_named_twice,
    validate_status,
    warn: |ingress, old| {
        let annotated = json::at(ingress, &["metadata", "annotations", CLASS]).is_some();
        let alone = json::at(ingress, &["spec", "ingressClassName"]).is_none();
        (old.is_none() && annotated && alone)
            .then(|| {
                format!(
                    "annotation {CLASS:?} is deprecated, please use 'spec.ingressClassName' instead"
                )
            })
            .into_iter()
            .collect()
    },
    generation: Some(Strategy::spec_changed),
    ..Strategy::PLAIN
};

fn class_named_twice(ingress: &Value) -> Errors {
    let annotation = json::at(ingress, &["metadata", "annotations", CLASS]);
    let class = json::at(ingress, &["spec", "ingressClassName"]);
    match (annotation, class) {
        (Some(annotation), Some(class)) if annotation != class => {
            let at = Path::new("annotations").child(CLASS);
            let why = "must match `ingressClassName` when both are specified";
            vec![FieldError::invalid(&at, annotation, why)]
        }
        _ => Vec::new(),
    }
}

fn spec(spec: &Value, path: &Path) -> Errors {
    let mut errors = Vec::new();
    let rules = json::list(spec, &["rules"]);
    let default = json::at(spec, &["defaultBackend"]);
    if rules.is_empty() && default.is_none() {
        let shown = spec.get("rules").unwrap_or(&Value::Null);
        let why = "either `defaultBackend` or `rules` must be specified";
        errors.push(FieldError::invalid(path, shown, why));
    }
    if let Some(default) = default {
        backend(default, &path.child("defaultBackend"), &mut errors);
    }
    for (index, rule) in rules.iter().enumerate() {
        self::rule(rule, &path.child("rules").index(index), &mut errors);
    }
    for (index, tls) in json::list(spec, &["tls"]).iter().enumerate() {
        let path = path.child("tls").index(index);
        for (index, host) in json::list(tls, &["hosts"]).iter().enumerate() {
            host_name(host.as_str().unwrap_or(""), &path.child("hosts").index(index), &mut errors);
        }
        check::optional_name(tls, "secretName", &path, names::dns1123_subdomain, &mut errors);
    }
    if let Some(class) = json::at(spec, &["ingressClassName"]).and_then(Value::as_str) {
        let at = path.child("ingressClassName");
        check::named(&at, class, &names::dns1123_subdomain(class), &mut errors);
    }
    errors
}

/// A host, which may stand for all of a domain.
fn host_name(host: &str, path: &Path, errors: &mut Errors) {
    let wildcard = host.contains('*');
    let rule = if wildcard { names::wildcard_subdomain } else { names::dns1123_subdomain };
    check::named(path, host, &rule(host), errors);
}

fn rule(rule: &Value, path: &Path, errors: &mut Errors) {
    let host = json::text(rule, &["host"]);
    if !host.is_empty() {
        let at = path.child("host");
        if ip::sloppy(host).is_some() {
            errors.push(FieldError::invalid(&at, host, NOT_AN_IP));
        }
        host_name(host, &at, errors);
    }
    let Some(http) = json::at(rule, &["http"]) else { return };
    let at = path.child("http").child("paths");
    let paths = json::list(http, &["paths"]);
    if paths.is_empty() {
        errors.push(FieldError::required(&at, ""));
    }
    for (index, one) in paths.iter().enumerate() {
        http_path(one, &at.index(index), errors);
    }
}

fn http_path(one: &Value, path: &Path, errors: &mut Errors) {
    if json::at(one, &["pathType"]).is_none() {
        let at = path.child("pathType");
        errors.push(FieldError::required(&at, "pathType must be specified"));
        return;
    }
    let (text, at) = (json::text(one, &["path"]), path.child("path"));
    let mut refuse = |why: &str| errors.push(FieldError::invalid(&at, text, why));
    let relative = !text.starts_with('/');
    match json::text(one, &["pathType"]) {
        "Exact" | "Prefix" => {
            if relative {
                refuse("must be an absolute path");
            }
            let inside = ["//", "/./", "/../", "%2f", "%2F"].into_iter();
            inside
                .filter(|part| text.contains(part))
                .for_each(|part| refuse(&format!("must not contain '{part}'")));
            let last = ["/..", "/."].into_iter();
            last.filter(|part| text.ends_with(part))
                .for_each(|part| refuse(&format!("cannot end with '{part}'")));
        }
        "ImplementationSpecific" if relative && !text.is_empty() => {
            refuse("must be an absolute path");
        }
        "ImplementationSpecific" => {}
        other => {
            let at = path.child("pathType");
            errors.push(FieldError::not_supported(&at, other, &PATH_TYPES));
        }
    }
    backend(one.get("backend").unwrap_or(&Value::Null), &path.child("backend"), errors);
}

fn backend(backend: &Value, path: &Path, errors: &mut Errors) {
    match (json::at(backend, &["resource"]), json::at(backend, &["service"])) {
        (Some(_), Some(_)) => {
            let why = "cannot set both resource and service backends";
            errors.push(FieldError::invalid(path, "", why));
        }
        (Some(resource), None) => {
            class::reference(resource, &path.child("resource"), errors);
        }
        (None, Some(service)) => self::service(service, path, errors),
        (None, None) => {
            let why = "resource or service backend is required";
            errors.push(FieldError::invalid(path, "", why));
        }
    }
}

fn service(service: &Value, path: &Path, errors: &mut Errors) {
    let at = path.child("service");
    check::required_name(service, "name", &at, names::dns1123_label, errors);
    let name = json::text(service, &["port", "name"]);
    let number = json::int(service, &["port", "number"]).unwrap_or(0);
    let port = at.child("port");
    match (name, number) {
        ("", 0) => errors.push(FieldError::required(path, "port name or number is required")),
        ("", number) => {
            for why in names::port_number(number) {
                errors.push(FieldError::invalid(&port.child("number"), number, &why));
            }
        }
        (name, 0) => check::named(&port.child("name"), name, &names::port_name(name), errors),
        _ => {
            let why = "cannot set both port name & port number";
            errors.push(FieldError::invalid(path, "", why));
        }
    }
}

fn validate_status(new: &Value, old: &Value) -> Errors {
    let mut errors = Vec::new();
    let of = ["status", "loadBalancer", "ingress"];
    let path = Path::new("status").child("loadBalancer").child("ingress");
    let stored = json::list(old, &of);
    for (index, point) in json::list(new, &of).iter().enumerate() {
        let path = path.index(index);
        let address = json::text(point, &["ip"]);
        let kept = stored.iter().any(|before| json::text(before, &["ip"]) == address);
        if let Some(why) = ip::wrong_ip(address).filter(|_| !kept && !address.is_empty()) {
            errors.push(FieldError::invalid(&path.child("ip"), address, why));
        }
        let host = json::text(point, &["hostname"]);
        check::optional_name(point, "hostname", &path, names::dns1123_subdomain, &mut errors);
        if ip::sloppy(host).is_some() {
            errors.push(FieldError::invalid(&path.child("hostname"), host, NOT_AN_IP));
        }
    }
    errors
}
