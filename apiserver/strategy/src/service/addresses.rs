//! Addresses and address families of a service, as they are asked for.
//!
//! Knows: that `clusterIP` is the first of `clusterIPs`, one address a family, and what of it may change. Refuses to
//! know: which families the cluster has, and which addresses are free.

use std::collections::HashSet;
use std::net::IpAddr;

use leme_meta::{FieldError, Path};
use leme_registry::json;
use serde_json::{Value, json};

use super::{has_address, is_headless};
use crate::check::{self, Errors};

const FAMILIES: [&str; 2] = ["IPv4", "IPv6"];
const POLICIES: [&str; 3] = ["PreferDualStack", "RequireDualStack", "SingleStack"];

/// Makes the list of addresses follow the single one, for clients that know only that.
pub(super) fn follow(spec: &mut Value, before: Option<&Value>) {
    let single = json::text(spec, &["clusterIP"]).to_owned();
    let Some(before) = before else {
        if !single.is_empty() && json::unset(spec, "clusterIPs") {
            json::set(spec, "clusterIPs", json!([single]));
        }
        return;
    };
    let list = json::list(spec, &["clusterIPs"]);
    if single == json::text(before, &["clusterIP"]) || list != json::list(before, &["clusterIPs"]) {
        return;
    }
    match (single.is_empty(), json::list_mut(spec, &["clusterIPs"]).first_mut()) {
        (true, _) => json::remove(spec, "clusterIPs"),
        (false, Some(first)) => *first = single.into(),
        (false, None) => json::set(spec, "clusterIPs", json!([single])),
    }
}

/// Checks addresses and families by themselves and against each other.
pub(super) fn validate(spec: &Value, path: &Path, errors: &mut Errors) {
    if !has_address(spec) {
        return;
    }
    let at = path.child("clusterIPs");
    let list = json::list(spec, &["clusterIPs"]);
    let shown = || spec.get("clusterIPs").unwrap_or(&Value::Null);
    match (json::text(spec, &["clusterIP"]), list.first()) {
        ("", Some(_)) => {
            let why = "must be empty when `clusterIP` is not specified";
            errors.push(FieldError::invalid(&at, shown(), why));
        }
        ("", None) => {}
        (_, None) => errors.push(FieldError::required(&at, "")),
        (single, Some(first)) if first != single => {
            errors.push(FieldError::invalid(&at, shown(), "first value must match `clusterIP`"));
        }
        _ => {}
    }
    families(spec, path, errors);
    check::one_of(spec, "ipFamilyPolicy", path, &POLICIES, errors);
    let mut wrong = list.len() > 1 && list[0] == "None";
    if wrong {
        errors.push(FieldError::invalid(&at, shown(), "'None' must be the first and only value"));
    }
    for (index, address) in list.iter().enumerate() {
        let text = address.as_str().unwrap_or("");
        if !(index == 0 && text == "None") && text.parse::<IpAddr>().is_err() {
            errors.push(FieldError::invalid(&at.index(index), text, check::BAD_IP));
            wrong = true;
        }
    }
    if list.len() > 2 {
        errors.push(FieldError::invalid(&at, shown(), "may only hold up to 2 values"));
    }
    if wrong {
        return;
    }
    if list.len() > 1 && (list.len() > 2 || family(&list[0]) == family(&list[1])) {
        let why = "may specify no more than one IP for each IP family";
        errors.push(FieldError::invalid(&at, shown(), why));
    }
    if is_headless(spec) {
        return;
    }
    for (index, (address, said)) in list.iter().zip(json::list(spec, &["ipFamilies"])).enumerate() {
        if FAMILIES.iter().any(|family| said == family) && said != family(address) {
            let said = said.as_str().unwrap_or("");
            let why = format!("expected an {said} value as indicated by `ipFamilies[{index}]`");
            errors.push(FieldError::invalid(&at.index(index), address, &why));
        }
    }
}

/// The family of an address.
pub(super) fn family(address: &Value) -> &'static str {
    if address.as_str().unwrap_or("").contains(':') { "IPv6" } else { "IPv4" }
}

fn families(spec: &Value, path: &Path, errors: &mut Errors) {
    let mut seen = HashSet::new();
    for (index, family) in json::list(spec, &["ipFamilies"]).iter().enumerate() {
        let at = path.child("ipFamilies").index(index);
        if !FAMILIES.iter().any(|known| family == known) {
            errors.push(FieldError::not_supported(&at, family, &FAMILIES));
        }
        if !seen.insert(family) {
            errors.push(FieldError::duplicate(&at, family));
        }
    }
}

/// Checks that a service that keeps an address keeps its first one.
pub(super) fn validate_update(new: &Value, old: &Value, errors: &mut Errors) {
    if !has_address(new) || !has_address(old) || is_headless(new) && is_headless(old) {
        return;
    }
    let at = Path::new("spec").child("clusterIPs");
    let (now, before) = (json::list(new, &["clusterIPs"]), json::list(old, &["clusterIPs"]));
    let shown = || new.get("clusterIPs").unwrap_or(&Value::Null);
    if now.is_empty() && !before.is_empty() {
        let why = "primary clusterIP can not be unset";
        errors.push(FieldError::invalid(&at.index(0), shown(), why));
    }
    let compared = if now.len() == before.len() { now.len() } else { 1 };
    for (index, _) in
        now.iter().zip(before).take(compared).enumerate().filter(|(_, (now, before))| now != before)
    {
        errors.push(FieldError::invalid(&at.index(index), shown(), "may not change once set"));
    }
    if now.len() == 1 && before.len() > 1 && json::text(new, &["ipFamilyPolicy"]) != "SingleStack" {
        let why = "must be set to 'SingleStack' when releasing the secondary clusterIP";
        let policy = new.get("ipFamilyPolicy").unwrap_or(&Value::Null);
        errors.push(FieldError::invalid(&Path::new("spec").child("ipFamilyPolicy"), policy, why));
    }
}
