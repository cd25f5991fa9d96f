//! The TLS settings of a route.
//!
//! Knows: which certificates each termination takes. Refuses to know: what is in them.

use leme_meta::{FieldError, Path};
use leme_registry::json;
use serde_json::Value;

use crate::check::Errors;

const TERMINATIONS: [&str; 3] = ["edge", "passthrough", "reencrypt"];

/// Fields that hold certificates, and what is shown in their place.
const CERTIFICATES: [(&str, &str); 4] = [
    ("certificate", "redacted certificate data"),
    ("key", "redacted key data"),
    ("caCertificate", "redacted ca certificate data"),
    ("destinationCACertificate", "redacted destination ca certificate data"),
];

/// Checks the TLS settings of a route.
pub(super) fn validate(tls: &Value, path: &Path, errors: &mut Errors) {
    let external = json::text(tls, &["externalCertificate", "name"]);
    let external_path = path.child("externalCertificate");
    let refused: &[(&str, &str)] = match json::text(tls, &["termination"]) {
        "passthrough" => &CERTIFICATES,
        "edge" => &CERTIFICATES[3..],
        "reencrypt" => &[],
        other => {
            errors.push(FieldError::not_supported(
                &path.child("termination"),
                other,
                &TERMINATIONS,
            ));
            &[]
        }
    };
    let passthrough = json::text(tls, &["termination"]) == "passthrough";
    let why = if passthrough {
        "passthrough termination does not support certificates"
    } else {
        "edge termination does not support destination certificates"
    };
    for (field, shown) in refused.iter().filter(|(field, _)| !json::unset(tls, field)) {
        errors.push(FieldError::invalid(&path.child(field), *shown, why));
    }
    if passthrough && !external.is_empty() {
        errors.push(FieldError::invalid(&external_path, external, why));
    } else if !external.is_empty() && !json::unset(tls, "certificate") {
        let why = "cannot specify both tls.certificate and tls.externalCertificate";
        errors.push(FieldError::invalid(&external_path, external, why));
    }
    let policy = json::text(tls, &["insecureEdgeTerminationPolicy"]);
    let known: &[&str] =
        if passthrough { &["None", "Redirect"] } else { &["None", "Allow", "Redirect"] };
    if !policy.is_empty() && !known.contains(&policy) {
        let why = format!(
            "invalid value for InsecureEdgeTerminationPolicy option, acceptable values are {}, or empty",
            known.join(", ")
        );
        errors.push(FieldError::invalid(
            &path.child("insecureEdgeTerminationPolicy"),
            policy,
            &why,
        ));
    }
}
