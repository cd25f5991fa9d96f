//! SecurityContextConstraints and RangeAllocations.
//!
//! Knows: what constraints must say, and what an older client's silence means. Refuses to know: which pods they let in.

use std::collections::{BTreeSet, HashSet};

use leme_meta::{FieldError, Path};
use leme_registry::{Strategy, json, meta};
use serde_json::Value;

use crate::check::{self, Errors};

pub(crate) static CONSTRAINTS: Strategy = Strategy {
    default,
    validate,
    generation: Some(|new, old| {
        let plain = |constraints: &Value| {
            let mut constraints = constraints.clone();
            json::remove(&mut constraints, "metadata");
            constraints
        };
        plain(new) != plain(old)
    }),
    unconditional_update: false,
    ..Strategy::PLAIN
};

pub(crate) static RANGE_ALLOCATION: Strategy =
    Strategy { unconditional_update: false, ..Strategy::PLAIN };

/// Every type of volume but those of the host.
const VOLUMES: [&str; 29] = [
    "awsElasticBlockStore",
    "azureDisk",
    "azureFile",
    "cephFS",
    "cinder",
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "gitRepo",
    "glusterfs",
    "image",
    "iscsi",
    "nfs",
    "persistentVolumeClaim",
    "photonPersistentDisk",
    "portworxVolume",
    "projected",
    "quobyte",
    "rbd",
    "scaleIO",
    "secret",
    "storageOS",
    "vsphere",
];

fn default(constraints: &mut Value) {
    for group in ["fsGroup", "supplementalGroups"] {
        json::default(json::child(constraints, group), "type", "RunAsAny");
    }
    for list in ["users", "groups"] {
        if json::at(constraints, &[list]).is_none() {
            json::set(constraints, list, Vec::<Value>::new());
        }
    }
    let volumes: Vec<Value> = volumes(constraints).into_iter().map(Value::from).collect();
    json::set(constraints, "volumes", volumes);
    if json::at(constraints, &["allowPrivilegeEscalation"]).is_none() {
        json::set(constraints, "allowPrivilegeEscalation", true);
    }
}

/// The list of volumes, brought in line with the older field that says whether the host's may be used.
fn volumes(constraints: &Value) -> BTreeSet<&str> {
    let host = json::flag(constraints, &["allowHostDirVolumePlugin"]);
    let stated = json::at(constraints, &["volumes"]).and_then(Value::as_array);
    let mut volumes: BTreeSet<&str> = match stated {
        None => BTreeSet::from(["*"]),
        Some(list) if !list.is_empty() => list.iter().filter_map(Value::as_str).collect(),
        Some(_) if host => BTreeSet::from(["hostPath"]),
        Some(_) => BTreeSet::from(["none"]),
    };
    if host {
        if !volumes.contains("*") {
            volumes.insert("hostPath");
        }
        return volumes;
    }
    volumes.remove("hostPath");
    if volumes.remove("*") {
        volumes.extend(VOLUMES);
    }
    volumes
}

fn validate(constraints: &Value) -> Errors {
    let mut errors = Vec::new();
    if let Some(priority) = json::int(constraints, &["priority"]).filter(|number| *number < 0) {
        let why = "priority cannot be negative";
        errors.push(FieldError::invalid(&Path::new("priority"), priority, why));
    }
    let users = ["MustRunAs", "MustRunAsNonRoot", "MustRunAsRange", "RunAsAny"];
    strategy(constraints, "runAsUser", &users, &mut errors);
    if let Some(uid) = json::int(constraints, &["runAsUser", "uid"]).filter(|uid| *uid < 0) {
        let at = Path::new("runAsUser").child("uid");
        errors.push(FieldError::invalid(&at, uid, "uid cannot be negative"));
    }
    strategy(constraints, "seLinuxContext", &["MustRunAs", "RunAsAny"], &mut errors);
    for field in ["fsGroup", "supplementalGroups"] {
        let path = Path::new(field);
        let group = constraints.get(field).unwrap_or(&Value::Null);
        check::one_of(group, "type", &path, &["MustRunAs", "RunAsAny"], &mut errors);
        ranges(group, &path.child("ranges"), &mut errors);
    }
    capabilities(constraints, &mut errors);
    let flag = |field: &str| json::at(constraints, &[field]).and_then(Value::as_bool);
    let (by_default, allowed) =
        (flag("defaultAllowPrivilegeEscalation"), flag("allowPrivilegeEscalation"));
    if by_default == Some(true) && allowed == Some(false) {
        let why = "Cannot set DefaultAllowPrivilegeEscalation to true without also setting AllowPrivilegeEscalation to true";
        let at = Path::new("defaultAllowPrivilegeEscalation");
        errors.push(FieldError::invalid(&at, &Value::Bool(true), why));
    }
    volume_rules(constraints, &mut errors);
    for field in ["allowedUnsafeSysctls", "forbiddenSysctls"] {
        sysctls(constraints, field, &mut errors);
    }
    overlaps(constraints, &mut errors);
    let known = ["AllowHostLevel", "RequirePodLevel"];
    check::one_of(constraints, "userNamespaceLevel", &Path::default(), &known, &mut errors);
    errors
}

fn strategy(constraints: &Value, field: &str, known: &[&str], errors: &mut Errors) {
    let text = json::text(constraints, &[field, "type"]);
    if !known.contains(&text) {
        let why = format!("invalid strategy type.  Valid values are {}", known.join(", "));
        errors.push(FieldError::invalid(&Path::new(field).child("type"), text, &why));
    }
}

fn ranges(group: &Value, path: &Path, errors: &mut Errors) {
    for (index, range) in json::list(group, &["ranges"]).iter().enumerate() {
        let path = path.index(index);
        let end = |field: &str| json::int(range, &[field]).unwrap_or(0);
        let (min, max) = (end("min"), end("max"));
        for (field, value) in [("min", min), ("max", max)] {
            if value < 0 {
                let why = format!("{field} cannot be negative");
                errors.push(FieldError::invalid(&path.child(field), value, &why));
            }
        }
        if min > max {
            let shown = check::go_struct(&[("Min", min.to_string()), ("Max", max.to_string())]);
            let why = "min cannot be greater than max";
            errors.push(FieldError::invalid(&path.child("min"), shown, why));
        }
    }
}

fn texts<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a str> {
    json::list(value, &[field]).iter().map(|text| text.as_str().unwrap_or(""))
}

/// What is always dropped is neither added nor allowed.
fn capabilities(constraints: &Value, errors: &mut Errors) {
    let dropped: HashSet<&str> = texts(constraints, "requiredDropCapabilities").collect();
    for field in ["defaultAddCapabilities", "allowedCapabilities"] {
        for capability in texts(constraints, field).filter(|one| dropped.contains(one)) {
            let why = format!("capability is listed in {field} and requiredDropCapabilities");
            errors.push(FieldError::invalid(&Path::new(field), capability, &why));
        }
    }
    if !dropped.is_empty() && texts(constraints, "allowedCapabilities").any(|one| one == "*") {
        let why =
            "required capabilities must be empty when all capabilities are allowed by a wildcard";
        let at = Path::new("requiredDropCapabilities");
        errors.push(FieldError::invalid(&at, &constraints["requiredDropCapabilities"], why));
    }
}

fn volume_rules(constraints: &Value, errors: &mut Errors) {
    let volumes: Vec<&str> = texts(constraints, "volumes").collect();
    if volumes.contains(&"none") && volumes.len() > 1 {
        let why = "if 'none' is specified, no other values are allowed";
        errors.push(FieldError::invalid(&Path::new("volumes"), &constraints["volumes"], why));
    }
    let drivers = json::list(constraints, &["allowedFlexVolumes"]);
    let path = Path::new("allowedFlexVolumes");
    if !drivers.is_empty() && !volumes.iter().any(|volume| matches!(*volume, "flexVolume" | "*")) {
        let driver = |one| Value::from(json::text(one, &["driver"])).to_string();
        let shown: Vec<String> =
            drivers.iter().map(|one| check::go_struct(&[("Driver", driver(one))]).0).collect();
        let shown = meta::Raw(format!("[{}]", shown.join(",")));
        let why = "volumes does not include 'flexVolume' or '*', so no flex volumes are allowed";
        errors.push(FieldError::invalid(&path, shown, why));
        return;
    }
    for (index, driver) in drivers.iter().enumerate() {
        if json::text(driver, &["driver"]).is_empty() {
            let at = path.index(index).child("driver");
            errors.push(FieldError::required(&at, "must specify a driver"));
        }
    }
}

fn sysctls(constraints: &Value, field: &str, errors: &mut Errors) {
    const PATTERN: &str = r"([a-z0-9]([-_a-z0-9]*[a-z0-9])?\.)*([a-z0-9][-_a-z0-9]*)?[a-z0-9*]";
    let path = Path::new(field);
    let list: Vec<&str> = texts(constraints, field).collect();
    for (index, name) in list.iter().enumerate() {
        let at = path.index(index);
        if name.is_empty() {
            errors.push(FieldError::invalid(&at, "", "empty sysctl not allowed"));
        } else if !is_pattern(name) {
            let why = format!("must have at most 253 characters and match regex {PATTERN}");
            errors.push(FieldError::invalid(&at, *name, &why));
        }
    }
    if list.len() > 1 && list.contains(&"*") {
        let why = "if '*' is present, must not specify other sysctls";
        errors.push(FieldError::forbidden(&path.child("items"), why));
    }
}

/// Parts of small letters and digits between dots; the last may end with a star.
fn is_pattern(name: &str) -> bool {
    let alnum = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let part = |text: &[u8]| {
        text.first().copied().is_some_and(alnum)
            && text.iter().all(|byte| alnum(*byte) || matches!(byte, b'-' | b'_'))
    };
    let (parts, last) = name.rsplit_once('.').map_or((None, name), |(all, last)| (Some(all), last));
    let whole = |text: &str| part(text.as_bytes()) && text.bytes().last().is_some_and(alnum);
    let last_fits = match last.as_bytes() {
        [] => false,
        [inner @ .., end] => (alnum(*end) || *end == b'*') && (inner.is_empty() || part(inner)),
    };
    name.len() <= 253 && last_fits && parts.is_none_or(|all| all.split('.').all(whole))
}

/// What is allowed is not forbidden as well.
fn overlaps(constraints: &Value, errors: &mut Errors) {
    let (allowed_at, forbidden_at) =
        (Path::new("allowedUnsafeSysctls"), Path::new("forbiddenSysctls"));
    for (index, allowed) in texts(constraints, "allowedUnsafeSysctls").enumerate() {
        for (other, forbidden) in texts(constraints, "forbiddenSysctls").enumerate() {
            let covers = |pattern: &str, name: &str| match pattern.strip_suffix('*') {
                Some(prefix) => name.strip_suffix('*').unwrap_or(name).starts_with(prefix),
                None => pattern == name,
            };
            let (at, value, with) = if covers(forbidden, allowed) {
                (allowed_at.index(index), allowed, forbidden)
            } else if covers(allowed, forbidden) {
                (forbidden_at.index(other), forbidden, allowed)
            } else {
                continue;
            };
            let why = format!("sysctl overlaps with {with}");
            errors.push(FieldError::invalid(&at, value, &why));
        }
    }
}
