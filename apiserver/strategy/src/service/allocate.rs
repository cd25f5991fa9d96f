//! Addresses and ports that a service is given.
//!
//! Knows: what is asked for, held and shared. Refuses to know: which numbers are free.

use std::collections::{HashMap, HashSet};

use leme_meta::{FieldError, Path};
use leme_registry::{Allocator, json};
use serde_json::{Value, json};

use super::addresses::family;
use super::{has_address, has_node_ports};
use crate::check::Errors;

/// Takes the addresses and ports that a service needs and does not hold yet.
pub(super) fn allocate(new: &mut Value, old: Option<&Value>, alloc: &mut dyn Allocator) -> Errors {
    let before = old.and_then(|old| old.get("spec")).unwrap_or(&Value::Null);
    let spec = json::child(new, "spec");
    let mut errors = Vec::new();
    if has_address(spec) {
        address(spec, before, alloc, &mut errors);
    }
    let held: HashSet<i64> = json::list(before, &["ports"])
        .iter()
        .filter_map(|port| json::int(port, &["nodePort"]))
        .collect();
    if !has_node_ports(spec) || !errors.is_empty() {
        return errors;
    }
    // The node port of each port number, and those that are taken.
    let (mut of_number, mut taken_here) = (HashMap::new(), HashSet::new());
    for (index, port) in json::list_mut(spec, &["ports"]).iter_mut().enumerate() {
        let asked = json::int(port, &["nodePort"]).filter(|number| *number != 0);
        let number = json::int(port, &["port"]).unwrap_or(0);
        if asked.is_some_and(|asked| held.contains(&asked) || taken_here.contains(&asked)) {
            continue;
        }
        // TCP and UDP of one port number share a node port.
        if let Some(taken) = of_number.get(&number).filter(|_| asked.is_none()) {
            json::set(port, "nodePort", *taken);
            continue;
        }
        match alloc.node_port(asked) {
            Ok(taken) => {
                of_number.entry(number).or_insert(taken);
                taken_here.insert(taken);
                json::set(port, "nodePort", taken);
            }
            Err(why) => {
                let at = Path::new("spec").child("ports").index(index).child("nodePort");
                errors.push(FieldError::invalid(&at, asked.unwrap_or(0), &why));
                if asked.is_none() {
                    // None is left: the rest need not look through the whole range again.
                    return errors;
                }
            }
        }
    }
    errors
}

fn address(spec: &mut Value, before: &Value, alloc: &mut dyn Allocator, errors: &mut Errors) {
    let asked = match json::text(spec, &["clusterIP"]) {
        "" => json::list(spec, &["clusterIPs"])
            .first()
            .and_then(Value::as_str)
            .unwrap_or("")
            .to_owned(),
        asked => asked.to_owned(),
    };
    families(spec, &asked, errors);
    if !errors.is_empty() {
        return;
    }
    let address =
        if asked == "None" || (!asked.is_empty() && asked == json::text(before, &["clusterIP"])) {
            Ok(asked.clone())
        } else {
            alloc.cluster_ip((!asked.is_empty()).then_some(asked.as_str()))
        };
    match address {
        Ok(address) => {
            json::set(spec, "clusterIP", address.clone());
            json::set(spec, "clusterIPs", json!([address]));
        }
        Err(why) => {
            let detail = if asked.is_empty() {
                why
            } else {
                format!("failed to allocate IP {asked}: {why}")
            };
            let at = Path::new("spec").child("clusterIPs");
            let shown = if asked.is_empty() { Value::Null } else { json!([asked]) };
            errors.push(FieldError::invalid(&at, &shown, &detail));
        }
    }
}

/// Settles the address families of a service in a cluster that has IPv4 alone. A headless service without selector
/// speaks for addresses outside, so that it may have both.
fn families(spec: &mut Value, asked: &str, errors: &mut Errors) {
    let outside = asked == "None" && json::unset(spec, "selector");
    let path = Path::new("spec");
    let many = [("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families")]
        .map(|(field, said)| (json::list(spec, &[field]).len() > 1).then_some(said));
    let dual = outside || many.iter().any(Option::is_some);
    json::default(spec, "ipFamilyPolicy", if dual { "RequireDualStack" } else { "SingleStack" });
    let policy = json::text(spec, &["ipFamilyPolicy"]).to_owned();
    for said in many.iter().flatten().filter(|_| policy == "SingleStack") {
        let why = format!(
            "must be 'RequireDualStack' or 'PreferDualStack' when multiple {said} are specified"
        );
        errors.push(FieldError::invalid(&path.child("ipFamilyPolicy"), &policy, &why));
    }
    let said = json::list(spec, &["ipFamilies"]).len();
    for (index, address) in json::list(spec, &["clusterIPs"]).iter().enumerate().skip(said) {
        if address != "None" && family(address) != "IPv4" {
            let at = path.child("clusterIPs").index(index);
            let why = "IPv6 is not configured on this cluster";
            errors.push(FieldError::invalid(&at, &spec["clusterIPs"], why));
        }
    }
    if !errors.is_empty() {
        return;
    }
    if outside {
        let mut list = json::list(spec, &["ipFamilies"]).to_vec();
        if list.is_empty() {
            list.push("IPv4".into());
        }
        if list.len() < 2 && policy != "SingleStack" {
            list.push(if list[0] == "IPv4" { "IPv6" } else { "IPv4" }.into());
        }
        json::set(spec, "ipFamilies", list);
        return;
    }
    if policy == "RequireDualStack" {
        let why = "this cluster is not configured for dual-stack services";
        errors.push(FieldError::invalid(&path.child("ipFamilyPolicy"), &policy, why));
    }
    for (index, family) in json::list(spec, &["ipFamilies"]).iter().enumerate() {
        if family != "IPv4" {
            let at = path.child("ipFamilies").index(index);
            errors.push(FieldError::invalid(&at, family, "not configured on this cluster"));
        }
    }
    if json::unset(spec, "ipFamilies") {
        json::set(spec, "ipFamilies", json!(["IPv4"]));
    }
}
