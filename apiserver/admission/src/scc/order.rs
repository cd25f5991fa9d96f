//! In which order constraints are tried: those of a higher priority first, then those that allow less, then by name.
//!
//! Knows: how much weighs what a set of constraints allows. Refuses to know: pods.

use std::cmp::Reverse;
use std::sync::Arc;

use leme_registry::json;
use serde_json::Value;

/// Sorts constraints as they are tried.
pub(super) fn sort(all: &mut [Arc<Value>]) {
    all.sort_by_cached_key(|one| {
        let priority = json::int(one, &["priority"]).unwrap_or(0);
        (Reverse(priority), points(one), json::text(one, &["metadata", "name"]).to_owned())
    });
}

/// Flags and what each weighs, more than all that come after it.
const FLAGS: [(&str, i64); 3] = [
    ("allowPrivilegedContainer", 1_600_000),
    ("allowHostPorts", 800_000),
    ("allowHostNetwork", 400_000),
];

/// How much is allowed.
fn points(constraints: &Value) -> i64 {
    let flags = FLAGS.iter().filter(|(field, _)| json::flag(constraints, &[field]));
    let strategies = ["seLinuxContext", "runAsUser"];
    let strategies =
        strategies.iter().map(|field| strategy(json::text(constraints, &[field, "type"])));
    flags.map(|(_, weight)| weight).sum::<i64>()
        + volumes(constraints)
        + strategies.sum::<i64>()
        + capabilities(constraints)
}

fn strategy(name: &str) -> i64 {
    match name {
        "RunAsAny" => 40_000,
        "MustRunAsNonRoot" => 30_000,
        "MustRunAsRange" => 20_000,
        "MustRunAs" => 10_000,
        _ => 0,
    }
}

fn volumes(constraints: &Value) -> i64 {
    let mut kinds = json::list(constraints, &["volumes"]).iter().filter_map(Value::as_str);
    let trivial = ["secret", "configMap", "emptyDir", "downwardAPI", "projected", "none"];
    match kinds.clone().any(|kind| matches!(kind, "hostPath" | "*")) {
        true => 200_000,
        false if kinds.any(|kind| !trivial.contains(&kind)) => 100_000,
        false => 0,
    }
}

fn capabilities(constraints: &Value) -> i64 {
    let list = |field: &str| json::list(constraints, &[field]);
    let count = |field: &str| i64::try_from(list(field).len()).unwrap_or(i64::MAX / 1_000);
    let names = |field: &str, name: &str| {
        list(field).iter().any(|one| one.as_str().is_some_and(|one| one.eq_ignore_ascii_case(name)))
    };
    let allowed = match names("allowedCapabilities", "*") || names("allowedCapabilities", "ALL") {
        true => 4_000,
        false => 10 * count("allowedCapabilities"),
    };
    let dropped = match names("requiredDropCapabilities", "ALL") {
        true => 3_000,
        false => 50 * count("requiredDropCapabilities"),
    };
    (5_000 + 300 * count("defaultAddCapabilities") + allowed - dropped).clamp(0, 9_999)
}
