//! CSIDrivers, and the drivers of a node.
//!
//! Knows: what a driver says of itself, and what of it may change. Refuses to know: whether it runs.

use std::collections::HashSet;

use leme_meta::{FieldError, Path};
use leme_registry::{Strategy, json, meta, names};
use serde_json::{Value, json};

use super::driver_name;
use crate::check::{self, Errors};

/// Longest name that a driver has for a node.
const MAX_NODE_ID: usize = 256;

/// Shortest life of a token in seconds, and the longest.
const TOKEN_LIFE: (i64, i64) = (600, 1 << 32);

/// Switches of a driver, and how each stands if nothing is said.
const SWITCHES: [(&str, bool); 5] = [
    ("attachRequired", true),
    ("podInfoOnMount", false),
    ("storageCapacity", false),
    ("requiresRepublish", false),
    ("seLinuxMount", false),
];

/// A field of upstream's alpha, which is off.
const ALPHA: &str = "preventPodSchedulingIfMissing";

pub(crate) static DRIVER: Strategy = Strategy {
    default: |driver| {
        let spec = json::child(driver, "spec");
        for (field, usual) in SWITCHES {
            if spec.get(field).is_none_or(Value::is_null) {
                json::set(spec, field, usual);
            }
        }
        json::default(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
        if json::unset(spec, "volumeLifecycleModes") {
            json::set(spec, "volumeLifecycleModes", json!(["Persistent"]));
        }
    },
    prepare_create: |new, _| json::remove(json::child(new, "spec"), ALPHA),
    prepare_update: |new, old, _| {
        if json::at(old, &["spec", ALPHA]).is_none() {
            json::remove(json::child(new, "spec"), ALPHA);
        }
    },
    validate: validate_driver,
    validate_update: |new, old| {
        let mut errors = Vec::new();
        if json::at(new, &["spec", "attachRequired"]) != json::at(old, &["spec", "attachRequired"])
        {
            // Upstream's name of the field in this message is not the one in JSON.
            let at = Path::new("spec").child("attachedRequired");
            let shown = new["spec"].get("attachRequired").unwrap_or(&Value::Null);
            errors.push(FieldError::invalid(&at, shown, "field is immutable"));
        }
        errors.extend(meta::immutable(new, old, &["spec", "volumeLifecycleModes"]));
        errors
    },
    generation: Some(Strategy::spec_changed),
    unconditional_update: false,
    returns_deleted: true,
    ..Strategy::PLAIN
};

pub(crate) static NODE: Strategy = Strategy {
    validate: validate_node,
    validate_update: update_node,
    unconditional_update: false,
    returns_deleted: true,
    ..Strategy::PLAIN
};

fn validate_driver(driver: &Value) -> Errors {
    let path = Path::new("spec");
    let spec = driver.get("spec").unwrap_or(&Value::Null);
    let mut errors = Vec::new();
    let policies = ["File", "None", "ReadWriteOnceWithFSType"];
    check::one_of(spec, "fsGroupPolicy", &path, &policies, &mut errors);
    tokens(spec, &path.child("tokenRequests"), &mut errors);
    let known = ["Persistent", "Ephemeral"];
    for mode in json::list(spec, &["volumeLifecycleModes"]) {
        if !known.iter().any(|known| mode == known) {
            let at = path.child("volumeLifecycleModes");
            errors.push(FieldError::not_supported(&at, mode, &known));
        }
    }
    let field = "nodeAllocatableUpdatePeriodSeconds";
    if let Some(period) = json::int(spec, &[field]).filter(|period| *period < 10) {
        let why = "must be greater than or equal to 10 seconds";
        errors.push(FieldError::invalid(&path.child(field), period, why));
    }
    let field = "serviceAccountTokenInSecrets";
    if let Some(said) = json::at(spec, &[field])
        && json::list(spec, &["tokenRequests"]).is_empty()
    {
        let why = "serviceAccountTokenInSecrets is set but no tokenRequests are specified";
        errors.push(FieldError::invalid(&path.child(field), said, why));
    }
    errors
}

fn tokens(spec: &Value, path: &Path, errors: &mut Errors) {
    let mut seen = HashSet::new();
    for (index, request) in json::list(spec, &["tokenRequests"]).iter().enumerate() {
        let path = path.index(index);
        let audience = json::text(request, &["audience"]);
        if !seen.insert(audience) {
            errors.push(FieldError::duplicate(&path.child("audience"), audience));
            continue;
        }
        let Some(seconds) = json::int(request, &["expirationSeconds"]) else { continue };
        let at = path.child("expirationSeconds");
        let (least, most) = TOKEN_LIFE;
        if seconds < least {
            let why = "may not specify a duration less than 10 minutes";
            errors.push(FieldError::invalid(&at, seconds, why));
        }
        if seconds > most {
            let why = "may not specify a duration larger than 2^32 seconds";
            errors.push(FieldError::invalid(&at, seconds, why));
        }
    }
}

fn validate_node(node: &Value) -> Errors {
    let mut errors = Vec::new();
    let mut seen = HashSet::new();
    for (index, driver) in json::list(node, &["spec", "drivers"]).iter().enumerate() {
        let path = Path::new("spec").child("drivers").index(index);
        let name = json::text(driver, &["name"]);
        driver_name(name, &path.child("name"), &mut errors);
        let id = check::required(driver, "nodeID", &path, &mut errors);
        if id.len() > MAX_NODE_ID {
            let why = format!("must be {MAX_NODE_ID} characters or less");
            errors.push(FieldError::invalid(&path.child("nodeID"), id, &why));
        }
        let allocatable = driver.get("allocatable").unwrap_or(&Value::Null);
        check::not_negative(allocatable, &["count"], &path.child("allocatable"), &mut errors);
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&path.child("name"), name));
        }
        topology_keys(driver, &path, &mut errors);
    }
    errors
}

fn topology_keys(driver: &Value, path: &Path, errors: &mut Errors) {
    let mut keys = HashSet::new();
    for key in json::list(driver, &["topologyKeys"]) {
        let key = key.as_str().unwrap_or("");
        if key.is_empty() {
            errors.push(FieldError::required(path, ""));
        }
        if !keys.insert(key) {
            errors.push(FieldError::duplicate(path, key));
        }
        check::named(path, key, &names::qualified_name(key), errors);
    }
}

/// Checks that drivers which stay on a node are who they were. How many volumes one takes may change.
fn update_node(new: &Value, old: &Value) -> Errors {
    let mut errors = Vec::new();
    let path = Path::new("spec").child("drivers");
    let fields = ["name", "nodeID", "topologyKeys"];
    let drivers = |node| json::list(node, &["spec", "drivers"]);
    for before in drivers(old) {
        let same = |field: &str, now: &Value| json::at(now, &[field]) == json::at(before, &[field]);
        let stays = drivers(new).iter().filter(|now| same("name", now));
        for now in stays.filter(|now| !fields.iter().all(|field| same(field, now))) {
            let shown = check::go_struct(&[
                ("Name", check::go_field(now, &["name"])),
                ("NodeID", check::go_field(now, &["nodeID"])),
                ("TopologyKeys", check::go_field(now, &["topologyKeys"])),
                ("Allocatable", "null".to_owned()),
            ]);
            errors.push(FieldError::invalid(&path, shown, "field is immutable"));
        }
    }
    errors
}
