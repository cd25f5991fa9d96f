//! What a ResourceClaim has got.
//!
//! Knows: what of a result must fit the claim, and what may change. Refuses to know: who allocates.

use std::collections::HashSet;

use leme_meta::{FieldError, Path};
use leme_registry::{json, meta};
use serde_json::Value;

use super::claim::Requests;
use super::{
    MAX_CONFIGS, binding_conditions, configuration, distinct, each, label, pool, raw, toleration,
};
use crate::check::{self, Errors};
use crate::conditions;
use crate::pod_spec::node_selector;
use crate::storage::driver_name;

const MAX_RESULTS: usize = 32;
const MAX_RESERVED: usize = 256;
const MAX_CONDITIONS: usize = 8;
const MAX_DATA: usize = 10 * 1024;
const MAX_IPS: usize = 16;

/// All that is wrong with a change of status.
pub(super) fn validate(new: &Value, old: &Value) -> Errors {
    let mut errors = Vec::new();
    let path = Path::new("status");
    let nothing = Value::Null;
    let status = new.get("status").unwrap_or(&nothing);
    reserved(new, old, &path.child("reservedFor"), &mut errors);
    let allocation = json::at(status, &["allocation"]);
    let results = allocation.map_or(&[][..], |one| json::list(one, &["devices", "results"]));
    let known: HashSet<_> = results.iter().map(device_of).collect();
    let devices = json::list(status, &["devices"]);
    let at = path.child("devices");
    each(devices, usize::MAX, &at, &mut errors, |one, path, errors| {
        device(one, &known, path, errors);
    });
    if let Some(allocation) = allocation {
        match json::at(old, &["status", "allocation"]) {
            Some(_) => errors.extend(meta::immutable(new, old, &["status", "allocation"])),
            None => allocated(new, allocation, &path.child("allocation"), &mut errors),
        }
    }
    errors
}

/// Driver, pool, device and share.
type Device<'a> = [&'a str; 4];

fn device_of(value: &Value) -> Device<'_> {
    ["driver", "pool", "device", "shareID"].map(|field| json::text(value, &[field]))
}

/// Takes out what is said of devices that the claim had and has no longer.
pub(super) fn drop_released(new: &mut Value, old: &Value) {
    let results = |claim: &Value| -> HashSet<[String; 4]> {
        let list = json::list(claim, &["status", "allocation", "devices", "results"]).iter();
        list.map(|result| device_of(result).map(str::to_owned)).collect()
    };
    let (had, has) = (results(old), results(new));
    let is_gone = |device: &Value| {
        let device = device_of(device).map(str::to_owned);
        had.contains(&device) && !has.contains(&device)
    };
    let Some(Value::Array(devices)) = json::at_mut(new, &["status", "devices"]) else { return };
    devices.retain(|device| !is_gone(device));
    if devices.is_empty() {
        json::remove(json::child(new, "status"), "devices");
    }
}

fn reserved(new: &Value, old: &Value, path: &Path, errors: &mut Errors) {
    let of = |object| json::list(object, &["status", "reservedFor"]);
    let (list, before) = (of(new), of(old));
    each(list, MAX_RESERVED, path, errors, |consumer, path, errors| {
        for field in ["resource", "name", "uid"] {
            check::required(consumer, field, path, errors);
        }
    });
    distinct(list, path, errors, |consumer| json::text(consumer, &["uid"]));
    if list.is_empty() {
        return;
    }
    let deleting = json::at(new, &["metadata", "deletionTimestamp"]).is_some();
    if json::at(new, &["status", "allocation"]).is_none() {
        let why = "may not be specified when `allocated` is not set";
        errors.push(FieldError::forbidden(path, why));
    } else if deleting && list.iter().any(|consumer| !before.contains(consumer)) {
        let why = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set";
        errors.push(FieldError::forbidden(path, why));
    }
}

fn names_of(device: &Value, path: &Path, errors: &mut Errors) {
    driver_name(json::text(device, &["driver"]), &path.child("driver"), errors);
    pool(json::text(device, &["pool"]), &path.child("pool"), errors);
    label(device, "device", path, errors);
}

fn device(device: &Value, known: &HashSet<Device<'_>>, path: &Path, errors: &mut Errors) {
    names_of(device, path, errors);
    share(device, path, errors);
    let own = device_of(device);
    if !known.contains(&own) {
        let [driver, pool, name, _] = own;
        let shown = format!("{driver}/{pool}/{name}");
        let why = "must be an allocated device in the claim";
        errors.push(FieldError::invalid(path, &shown, why));
    }
    let (list, at) = (json::list(device, &["conditions"]), path.child("conditions"));
    if list.len() > MAX_CONDITIONS {
        errors.push(FieldError::too_many(&at, list.len(), MAX_CONDITIONS));
    }
    conditions::validate(list, &at, errors);
    if let Some(data) = json::at(device, &["data"]) {
        raw(data, &path.child("data"), MAX_DATA, errors);
    }
    if let Some(network) = json::at(device, &["networkData"]) {
        let path = path.child("networkData");
        for (field, most) in [("interfaceName", 256), ("hardwareAddress", 128)] {
            if json::text(network, &[field]).len() > most {
                errors.push(FieldError::too_long(&path.child(field), most));
            }
        }
        let (list, at) = (json::list(network, &["ips"]), path.child("ips"));
        each(list, MAX_IPS, &at, errors, |address, path, errors| {
            let address = address.as_str().unwrap_or("");
            if !is_interface_address(address) {
                let why =
                    "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)";
                errors.push(FieldError::invalid(path, address, why));
            }
        });
        distinct(list, &at, errors, |address| address.as_str().unwrap_or(""));
    }
}

fn is_interface_address(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let most = match address.parse() {
        Ok(std::net::IpAddr::V4(_)) => 32,
        Ok(std::net::IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    bits.parse::<u8>().is_ok_and(|bits| bits <= most)
}

fn share(value: &Value, path: &Path, errors: &mut Errors) {
    let Some(id) = json::at(value, &["shareID"]) else { return };
    let text = id.as_str().unwrap_or("");
    let fits = text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
        });
    if !fits {
        let why = "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal characters";
        errors.push(FieldError::invalid(&path.child("shareID"), text, why));
    }
}

fn allocated(claim: &Value, allocation: &Value, path: &Path, errors: &mut Errors) {
    let asked = json::at(claim, &["spec", "devices"]).unwrap_or(&Value::Null);
    let requests = Requests::of(asked);
    let at = path.child("devices");
    let results = json::list(allocation, &["devices", "results"]);
    each(results, MAX_RESULTS, &at.child("results"), errors, |result, path, errors| {
        requests.check(json::text(result, &["request"]), &path.child("request"), errors);
        names_of(result, path, errors);
        binding_conditions(result, path, errors);
        for (index, one) in json::list(result, &["tolerations"]).iter().enumerate() {
            toleration(one, &path.child("tolerations").index(index), errors);
        }
        share(result, path, errors);
    });
    let configs = json::list(allocation, &["devices", "config"]);
    each(configs, 2 * MAX_CONFIGS, &at.child("config"), errors, |config, path, errors| {
        check::required_one_of(config, "source", path, &["FromClaim", "FromClass"], errors);
        requests.check_all(config, path, errors);
        configuration(config, path, errors);
    });
    if let Some(selector) = json::at(allocation, &["nodeSelector"]) {
        node_selector(selector, &path.child("nodeSelector"), errors);
    }
}
