//! Columns of requests for certificates.

use leme_meta::time;
use serde_json::Value;

use super::{AGE, NONE, list, shown, text, text_or};
use crate::Column;

pub(crate) const CERTIFICATE_SIGNING_REQUEST: &[Column] = &[
    AGE,
    shown("SignerName", |request, _| text_or(request, "/spec/signerName", NONE).into()),
    shown("Requestor", |request, _| text(request, "/spec/username").into()),
    shown("RequestedDuration", |request, _| {
        match request.pointer("/spec/expirationSeconds").and_then(Value::as_i64) {
            Some(seconds) => time::human(seconds).into(),
            None => NONE.into(),
        }
    }),
    shown("Condition", |request, _| condition(request).into()),
];

fn condition(request: &Value) -> String {
    let is = |type_: &str| {
        list(request, "/status/conditions").iter().any(|one| text(one, "/type") == type_)
    };
    let decided = match (is("Denied"), is("Approved")) {
        (true, _) => "Denied",
        (false, true) => "Approved",
        (false, false) => "Pending",
    };
    let failed = if is("Failed") { ",Failed" } else { "" };
    let issued = if text(request, "/status/certificate").is_empty() { "" } else { ",Issued" };
    format!("{decided}{failed}{issued}")
}
