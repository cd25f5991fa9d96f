//! Nodes and Leases.
//!
//! Knows: taints, addresses of pods, how long a lease holds. Refuses to know: whether a node is alive.

use std::collections::HashSet;

use leme_meta::{FieldError, Path};
use leme_registry::{Strategy, json, names};
use serde_json::Value;

use crate::check::{self, Errors};
use crate::pod_spec::resources;

/// Effects of taints, in upstream's order.
const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// Fields of the spec that do nothing.
const DEPRECATED: [(&str, &str); 2] = [
    ("configSource", "the feature is removed"),
    ("externalID", "this field is deprecated, and is unused by Kubernetes"),
];

pub(crate) static NODE: Strategy = Strategy {
    default,
    prepare_create: |_, _| {},
    validate,
    validate_update,
    warn: |node, _| {
        let set = |(field, _): &&(&str, &str)| !json::unset(&node["spec"], field);
        let told = DEPRECATED.iter().filter(set);
        told.map(|(field, why)| format!("spec.{field}: {why}")).collect()
    },
    ..Strategy::PLAIN
};

/// Ways of election that need no domain in their name.
const ELECTIONS: [&str; 1] = ["OldestEmulationVersion"];

/// Fields of coordinated elections, which are off unless asked for.
const COORDINATED: [&str; 2] = ["strategy", "preferredHolder"];

pub(crate) static LEASE: Strategy = Strategy {
    prepare_create: |new, _| drop_coordinated(new, &Value::Null),
    prepare_update: |new, old, _| drop_coordinated(new, old),
    validate: validate_lease,
    is_heartbeat: true,
    create_on_update: true,
    unconditional_update: false,
    ..Strategy::PLAIN
};

fn default(node: &mut Value) {
    if let Some(capacity) = json::at(node, &["status", "capacity"]).cloned() {
        let status = json::child(node, "status");
        if json::unset(status, "allocatable") {
            json::set(status, "allocatable", capacity);
        }
    }
    resources::round_up(node, &["status", "capacity"]);
    resources::round_up(node, &["status", "allocatable"]);
}

fn validate(node: &Value) -> Errors {
    let path = Path::new("spec");
    let mut errors = Vec::new();
    let mut seen = HashSet::new();
    for (index, taint) in json::list(node, &["spec", "taints"]).iter().enumerate() {
        let path = path.child("taints").index(index);
        let key = json::text(taint, &["key"]);
        let value = json::text(taint, &["value"]);
        let effect = json::text(taint, &["effect"]);
        check::named(&path.child("key"), key, &names::qualified_name(key), &mut errors);
        check::named(&path.child("value"), value, &names::label_value(value), &mut errors);
        check::required_one_of(taint, "effect", &path, &EFFECTS, &mut errors);
        if !seen.insert((key, effect)) {
            let mut error = FieldError::duplicate(&path, taint);
            error.body.push_str(": taints must be unique by key and effect pair");
            errors.push(error);
        }
    }
    let ranges = json::list(node, &["spec", "podCIDRs"]);
    for (index, range) in ranges.iter().enumerate() {
        let text = range.as_str().unwrap_or("");
        if !is_range(text) {
            let why = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
            errors.push(FieldError::invalid(&path.child("podCIDRs").index(index), text, why));
        }
    }
    let of_six = |range: &Value| range.as_str().is_some_and(|text| text.contains(':'));
    let families = (ranges.iter().any(of_six), ranges.iter().any(|range| !of_six(range)));
    if ranges.len() > 2 || ranges.len() == 2 && families != (true, true) {
        let why = "may specify no more than one CIDR for each IP family";
        errors.push(FieldError::invalid(&path.child("podCIDRs"), &Value::from(ranges), why));
    }
    errors
}

fn is_range(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let Ok(address) = address.parse::<std::net::IpAddr>() else { return false };
    let most = if address.is_ipv4() { 32 } else { 128 };
    bits.parse::<u8>().is_ok_and(|bits| bits <= most)
}

fn validate_update(new: &Value, old: &Value) -> Errors {
    let path = Path::new("spec");
    let mut errors = Vec::new();
    let changed = |field: &str| {
        let before = json::at(old, &["spec", field]);
        before.is_some() && before != json::at(new, &["spec", field])
    };
    if changed("podCIDRs") || changed("podCIDR") {
        let why = "node updates may not change podCIDR except from \"\" to valid";
        errors.push(FieldError::forbidden(&path.child("podCIDRs"), why));
    }
    if changed("providerID") {
        let why = "node updates may not change providerID except from \"\" to valid";
        errors.push(FieldError::forbidden(&path.child("providerID"), why));
    }
    errors
}

fn drop_coordinated(new: &mut Value, old: &Value) {
    for field in COORDINATED.iter().filter(|field| json::at(old, &["spec", field]).is_none()) {
        json::remove(json::child(new, "spec"), field);
    }
}

fn validate_lease(lease: &Value) -> Errors {
    let path = Path::new("spec");
    let spec = lease.get("spec").unwrap_or(&Value::Null);
    let mut errors = Vec::new();
    if let Some(seconds) =
        json::int(spec, &["leaseDurationSeconds"]).filter(|seconds| *seconds <= 0)
    {
        errors.push(FieldError::invalid(
            &path.child("leaseDurationSeconds"),
            seconds,
            "must be greater than 0",
        ));
    }
    if let Some(count) = json::int(spec, &["leaseTransitions"]).filter(|count| *count < 0) {
        let why = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(&path.child("leaseTransitions"), count, why));
    }
    if json::at(spec, &["holderIdentity"]).is_some_and(|holder| holder == "") {
        errors.push(FieldError::invalid(&path.child("holderIdentity"), "", "must not be empty"));
    }
    let strategy = json::at(spec, &["strategy"]).and_then(Value::as_str);
    if let Some(strategy) = strategy {
        // Upstream names the field twice.
        let at = path.child("strategy").child("strategy");
        if strategy.contains('/') {
            check::named(&at, strategy, &names::qualified_name(strategy), &mut errors);
        } else if !ELECTIONS.contains(&strategy) {
            errors.push(FieldError::not_supported(&at, strategy, &ELECTIONS));
        }
    }
    if !json::text(spec, &["preferredHolder"]).is_empty() && strategy.is_none_or(str::is_empty) {
        let why = "may only be specified if `strategy` is defined";
        errors.push(FieldError::forbidden(&path.child("preferredHolder"), why));
    }
    errors
}
