//! Probes and lifecycle hooks.
//!
//! Knows: handlers and thresholds. Refuses to know: how they are run.

use leme_meta::{FieldError, Path};
use leme_registry::json;
use serde_json::Value;

use crate::check::{self, Errors};

const HANDLERS: [&str; 4] = ["exec", "httpGet", "tcpSocket", "grpc"];
const HOOK_HANDLERS: [&str; 4] = ["exec", "httpGet", "tcpSocket", "sleep"];

/// Checks the probes and hooks of a container that runs along with the pod.
pub(super) fn validate_container(
    container: &Value,
    path: &Path,
    grace: Option<i64>,
    errors: &mut Errors,
) {
    for hook in ["postStart", "preStop"] {
        if let Some(hook_handler) = json::at(container, &["lifecycle", hook]) {
            let path = path.child("lifecycle").child(hook);
            handler(hook_handler, &path, &HOOK_HANDLERS, errors);
            sleep(hook_handler, &path, grace, errors);
        }
    }
    for field in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(probe) = json::at(container, &[field]) else { continue };
        let path = path.child(field);
        handler(probe, &path, &HANDLERS, errors);
        let numbers = [
            "initialDelaySeconds",
            "timeoutSeconds",
            "periodSeconds",
            "successThreshold",
            "failureThreshold",
        ];
        check::not_negative(probe, &numbers, &path, errors);
        let threshold = json::int(probe, &["successThreshold"]).unwrap_or(1);
        if field != "readinessProbe" && threshold != 1 {
            errors.push(FieldError::invalid(
                &path.child("successThreshold"),
                threshold,
                "must be 1",
            ));
        }
        if let Some(grace) = json::int(probe, &["terminationGracePeriodSeconds"]) {
            let at = path.child("terminationGracePeriodSeconds");
            if field == "readinessProbe" {
                errors.push(FieldError::invalid(&at, grace, "must not be set for readinessProbes"));
            } else if grace <= 0 {
                errors.push(FieldError::invalid(&at, grace, "must be greater than 0"));
            }
        }
    }
}

fn handler(value: &Value, path: &Path, known: &[&str], errors: &mut Errors) {
    let mut first = None;
    for name in known {
        let Some(action) = json::at(value, &[name]) else { continue };
        let path = path.child(name);
        if first.is_some() {
            errors.push(FieldError::forbidden(&path, "may not specify more than 1 handler type"));
            continue;
        }
        first = Some(name);
        match *name {
            "exec" if json::list(action, &["command"]).is_empty() => {
                errors.push(FieldError::required(&path.child("command"), ""));
            }
            "httpGet" => http_get(action, &path, errors),
            "tcpSocket" => check::port_or_name(action, "port", &path, errors),
            "grpc" => check::required_port(action, "port", &path, errors),
            _ => {}
        }
    }
    if first.is_none() {
        errors.push(FieldError::required(path, "must specify a handler type"));
    }
}

/// Checks that a hook which sleeps, and does nothing else, is done before the pod is killed.
fn sleep(handler: &Value, path: &Path, grace: Option<i64>, errors: &mut Errors) {
    let alone = HOOK_HANDLERS.iter().filter(|name| json::at(handler, &[name]).is_some()).count();
    let Some(sleep) = json::at(handler, &["sleep"]).filter(|_| alone == 1) else { return };
    let seconds = json::int(sleep, &["seconds"]).unwrap_or(0);
    if let Some(grace) = grace.filter(|grace| !(0..=*grace).contains(&seconds)) {
        let why =
            format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
        errors.push(FieldError::invalid(&path.child("sleep"), seconds, &why));
    }
}

fn http_get(action: &Value, path: &Path, errors: &mut Errors) {
    check::required(action, "path", path, errors);
    check::port_or_name(action, "port", path, errors);
    check::one_of(action, "scheme", path, &["HTTP", "HTTPS"], errors);
    // Upstream names the list where the element belongs.
    for header in json::list(action, &["httpHeaders"]) {
        let name = json::text(header, &["name"]);
        check::named(&path.child("httpHeaders"), name, &header_name(name), errors);
    }
}

fn header_name(name: &str) -> Vec<String> {
    let fine = !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if fine {
        return Vec::new();
    }
    vec![
        "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')"
            .to_owned(),
    ]
}
