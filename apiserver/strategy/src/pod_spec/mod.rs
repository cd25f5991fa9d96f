//! The specification of a pod, shared by pods and by all that hold a pod template.
//!
//! Knows: what a pod spec must look like. Refuses to know: which object it stands in.

use leme_meta::{FieldError, Path};
use leme_registry::{json, meta, names};
use serde_json::Value;

use crate::check::{self, Errors};

mod containers;
pub(crate) mod defaults;
mod env;
mod overlaps;
mod probes;
pub(crate) mod resources;
mod scheduling;
mod security;
pub(crate) mod sources;
mod volumes;
pub(crate) mod warnings;

pub(crate) use scheduling::{node_selector, selector};

/// All that is wrong with a pod spec. `pod` is set where it is a pod's own and not a template's.
pub(crate) fn validate(spec: &Value, path: &Path, pod: bool) -> Errors {
    let mut errors = Vec::new();
    let names = volumes::validate(spec, path, &mut errors);
    containers::validate(spec, path, &names, pod, &mut errors);
    check::required_one_of(
        spec,
        "restartPolicy",
        path,
        &["Always", "OnFailure", "Never"],
        &mut errors,
    );
    let policies = ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"];
    check::required_one_of(spec, "dnsPolicy", path, &policies, &mut errors);
    errors.extend(meta::labels(spec.get("nodeSelector"), &path.child("nodeSelector")));
    security::validate_pod(spec, path, &mut errors);
    for (index, secret) in json::list(spec, &["imagePullSecrets"]).iter().enumerate() {
        check::required(secret, "name", &path.child("imagePullSecrets").index(index), &mut errors);
    }
    scheduling::validate(spec, path, &mut errors);
    dns(spec, path, &mut errors);
    check::optional_name(spec, "serviceAccountName", path, names::dns1123_subdomain, &mut errors);
    check::optional_name(spec, "nodeName", path, names::dns1123_subdomain, &mut errors);
    check::optional_name(spec, "hostname", path, names::dns1123_label, &mut errors);
    check::optional_name(spec, "subdomain", path, names::dns1123_label, &mut errors);
    check::in_range(spec, "activeDeadlineSeconds", path, 1, i64::from(i32::MAX), &mut errors);
    check::not_negative(spec, &["terminationGracePeriodSeconds"], path, &mut errors);
    errors
}

fn dns(spec: &Value, path: &Path, errors: &mut Errors) {
    let config = spec.get("dnsConfig").unwrap_or(&Value::Null);
    let servers = json::list(config, &["nameservers"]);
    let field = path.child("dnsConfig").child("nameservers");
    if json::text(spec, &["dnsPolicy"]) == "None" && servers.is_empty() {
        let why = "must provide at least one DNS nameserver when `dnsPolicy` is None";
        errors.push(FieldError::required(&field, why));
    }
    if servers.len() > 3 {
        errors.push(FieldError::invalid(
            &field,
            &Value::Array(servers.to_vec()),
            "must not have more than 3 nameservers",
        ));
    }
    for (index, server) in servers.iter().enumerate() {
        let text = server.as_str().unwrap_or("");
        if text.parse::<std::net::IpAddr>().is_err() {
            let why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            errors.push(FieldError::invalid(&field.index(index), text, why));
        }
    }
    for (index, alias) in json::list(spec, &["hostAliases"]).iter().enumerate() {
        let field = path.child("hostAliases").index(index);
        let ip = json::text(alias, &["ip"]);
        if ip.parse::<std::net::IpAddr>().is_err() {
            let why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            errors.push(FieldError::invalid(&field.child("ip"), ip, why));
        }
        for (index, name) in json::list(alias, &["hostnames"]).iter().enumerate() {
            let text = name.as_str().unwrap_or("");
            check::named(
                &field.child("hostnames").index(index),
                text,
                &names::dns1123_subdomain(text),
                errors,
            );
        }
    }
}

/// All that is wrong with a pod template: its labels, annotations and spec.
pub(crate) fn validate_template(template: &Value, path: &Path) -> Errors {
    let metadata = path.child("metadata");
    let mut errors =
        meta::labels(json::at(template, &["metadata", "labels"]), &metadata.child("labels"));
    if !json::list(template, &["spec", "ephemeralContainers"]).is_empty() {
        let at = path.child("spec").child("ephemeralContainers");
        let why = "ephemeral containers not allowed in pod template";
        errors.push(FieldError::forbidden(&at, why));
    }
    let annotations = json::at(template, &["metadata", "annotations"]);
    errors.extend(meta::annotations(annotations, &metadata.child("annotations")));
    errors.extend(validate(
        template.get("spec").unwrap_or(&Value::Null),
        &path.child("spec"),
        false,
    ));
    errors
}
