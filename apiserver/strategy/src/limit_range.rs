//! LimitRanges.
//!
//! Knows: bounds and defaults of resources, and which contradict each other. Refuses to know: who holds pods to them.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use leme_meta::quantity::Quantity;
use leme_meta::{FieldError, Path};
use leme_registry::{Strategy, json, names};
use serde_json::Value;

use crate::check::{self, Errors};
use crate::pod_spec::resources;

/// What limits may be of that have no domain in their name.
const TYPES: [&str; 3] = ["Pod", "Container", "PersistentVolumeClaim"];

/// The maps of a limit, in upstream's order.
const MAPS: [&str; 5] = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"];

/// Amounts from here on are compared in whole units.
const MAX_MILLI: i64 = i64::MAX / 1000;

pub(crate) static STRATEGY: Strategy = Strategy {
    default: |range| {
        for limit in json::list_mut(range, &["spec", "limits"]) {
            MAPS.iter().for_each(|map| resources::round_up(limit, &[map]));
            if json::text(limit, &["type"]) == "Container" {
                of_container(limit);
            }
        }
    },
    validate: |range| {
        let mut errors = Vec::new();
        let mut seen = HashSet::new();
        for (index, limit) in json::list(range, &["spec", "limits"]).iter().enumerate() {
            let path = Path::new("spec").child("limits").index(index);
            let type_ = json::text(limit, &["type"]);
            type_name(type_, &path.child("type"), &mut errors);
            if !seen.insert(type_) {
                errors.push(FieldError::duplicate(&path.child("type"), type_));
            }
            self::limit(limit, type_, &path, &mut errors);
        }
        errors
    },
    create_on_update: true,
    ..Strategy::PLAIN
};

/// Derives what a limit of containers does not say: limits from maxima, requests from limits and then from minima.
fn of_container(limit: &mut Value) {
    for (from, to) in [("max", "default"), ("default", "defaultRequest"), ("min", "defaultRequest")]
    {
        let Some(Value::Object(amounts)) = limit.get(from).cloned() else { continue };
        for (name, amount) in amounts {
            json::default(json::child(limit, to), &name, amount);
        }
    }
}

fn type_name(type_: &str, path: &Path, errors: &mut Errors) {
    let wrong = names::qualified_name(type_);
    check::named(path, type_, &wrong, errors);
    if wrong.is_empty() && !type_.contains('/') && !TYPES.contains(&type_) {
        let why = "must be a standard limit type or fully qualified";
        errors.push(FieldError::invalid(path, type_, why));
    }
}

fn limit(limit: &Value, type_: &str, path: &Path, errors: &mut Errors) {
    let is_pod = type_ == "Pod";
    let mut amounts: BTreeMap<&str, BTreeMap<&str, Quantity>> = BTreeMap::new();
    for map in MAPS {
        let at = path.child(map);
        if is_pod && map.starts_with("default") {
            if !json::unset(limit, map) {
                let why = "may not be specified when `type` is 'Pod'";
                errors.push(FieldError::forbidden(&at, why));
            }
            continue;
        }
        if map == "maxLimitRequestRatio" && type_ == "PersistentVolumeClaim" {
            claim(limit, path, errors);
        }
        for (name, amount) in json::entries(limit, &[map]) {
            if is_pod || type_ == "Container" {
                resources::container_name(name, &at.key(name), errors);
            } else {
                resources::name(name, &at.key(name), errors);
            }
            if let Some(amount) = resources::parse(amount) {
                amounts.entry(map).or_default().insert(name, amount);
            }
        }
    }
    let names: BTreeSet<&str> = amounts.values().flat_map(|map| map.keys().copied()).collect();
    for name in names {
        let of = |map: &str| amounts.get(map).and_then(|map| map.get(name));
        bounds(name, of, path, errors);
    }
}

fn claim(limit: &Value, path: &Path, errors: &mut Errors) {
    let bounded = ["min", "max"].iter().any(|map| json::at(limit, &[map, "storage"]).is_some());
    if !bounded {
        let why = "either minimum or maximum storage value is required, but neither was provided";
        errors.push(FieldError::required(&path.child("limits"), why));
    }
}

/// Pairs of maps of which the first may not say more than the second: both, which of them the error is of and whose
/// amount it shows, and what both are called.
type Pair = (&'static str, &'static str, &'static str, &'static str, [&'static str; 2]);

const ORDER: [Pair; 6] = [
    ("min", "max", "min", "min", ["min value", "max value"]),
    (
        "min",
        "defaultRequest",
        "defaultRequest",
        "defaultRequest",
        ["min value", "default request value"],
    ),
    (
        "defaultRequest",
        "max",
        "defaultRequest",
        "defaultRequest",
        ["default request value", "max value"],
    ),
    (
        "defaultRequest",
        "default",
        "defaultRequest",
        "defaultRequest",
        ["default request value", "default limit value"],
    ),
    ("min", "default", "default", "min", ["min value", "default value"]),
    ("default", "max", "default", "max", ["default value", "max value"]),
];

fn bounds<'a>(
    name: &str,
    of: impl Fn(&str) -> Option<&'a Quantity>,
    path: &Path,
    errors: &mut Errors,
) {
    for (low, high, field, shown, [low_name, high_name]) in ORDER {
        let (Some(less), Some(more)) = (of(low), of(high)) else { continue };
        if less > more {
            let why = format!("{low_name} {less} is greater than {high_name} {more}");
            let amount = if shown == low { less } else { more };
            let at = path.child(field).key(name);
            errors.push(FieldError::invalid(&at, &amount.to_string(), &why));
        }
    }
    if let Some(ratio) = of("maxLimitRequestRatio") {
        let at = path.child("maxLimitRequestRatio").key(name);
        let mut refuse = |why: &str| errors.push(FieldError::invalid(&at, &ratio.to_string(), why));
        if *ratio < Quantity::from_units(1) {
            refuse(&format!("ratio {ratio} is less than 1"));
        }
        if let (Some(min), Some(max)) = (of("min"), of("max")) {
            let (said, most) = ratios(ratio, min, max);
            if said > most {
                refuse(&format!("ratio {ratio} is greater than max/min = {most:.6}"));
            }
        }
    }
    if let (Some(limit), Some(request)) = (of("default"), of("defaultRequest"))
        && !resources::overcommit(name)
        && limit != request
    {
        let why =
            format!("default value {limit} must equal to defaultRequest value {request} in {name}");
        let at = path.child("defaultRequest").key(name);
        errors.push(FieldError::invalid(&at, &request.to_string(), &why));
    }
}

/// A ratio as it is said, and the greatest that the bounds leave.
fn ratios(ratio: &Quantity, min: &Quantity, max: &Quantity) -> (f64, f64) {
    let whole = [ratio.value(), min.value(), max.value()];
    if whole.iter().any(|value| *value >= MAX_MILLI) {
        (ratio.value() as f64, max.value() as f64 / min.value() as f64)
    } else {
        let milli = |quantity: &Quantity| quantity.milli_value() as f64;
        (milli(ratio) / 1000.0, milli(max) / milli(min))
    }
}
