//! IPAddresses and ServiceCIDRs.
//!
//! Knows: canonical addresses and networks, and that they stay. Refuses to know: which address is taken.

use leme_meta::quote;
use leme_meta::{FieldError, Path};
use leme_registry::{Strategy, json, names};
use serde_json::Value;

use crate::check::{self, Errors};
use crate::ip;

pub(crate) static ADDRESS: Strategy = Strategy {
    name: |name, _| ip::wrong_canonical_ip(name).into_iter().collect(),
    validate: |address| {
        let mut errors = Vec::new();
        parent(address, &Path::new("spec"), &mut errors);
        errors
    },
    validate_update: |new, old| {
        let of = |object| json::at(object, &["spec", "parentRef"]);
        if of(new) == of(old) {
            return Vec::new();
        }
        let parent = of(new).unwrap_or(&Value::Null);
        let text = |field: &str| quote(json::text(parent, &[field]));
        let shown = check::go_struct(&[
            ("Group", text("group")),
            ("Resource", text("resource")),
            ("Namespace", text("namespace")),
            ("Name", text("name")),
        ]);
        let at = Path::new("spec").child("parentRef");
        vec![FieldError::invalid(&at, shown, "field is immutable")]
    },
    ..Strategy::PLAIN
};

pub(crate) static NETWORK: Strategy = Strategy {
    prepare_create: |_, _| {},
    prepare_update: |_, _, _| {},
    prepare_status: |new, old, _| check::keep_metadata(new, old),
    validate_create: |network| networks(network.get("spec").unwrap_or(&Value::Null)),
    validate_update: update_networks,
    ..Strategy::PLAIN
};

fn parent(address: &Value, path: &Path, errors: &mut Errors) {
    let path = path.child("parentRef");
    let Some(parent) = json::at(address, &["spec", "parentRef"]) else {
        errors.push(FieldError::required(&path, ""));
        return;
    };
    check::optional_name(parent, "group", &path, names::dns1123_subdomain, errors);
    for field in ["resource", "name"] {
        check::required_name(parent, field, &path, names::path_segment_name, errors);
    }
    check::optional_name(parent, "namespace", &path, names::path_segment_name, errors);
}

fn networks(spec: &Value) -> Errors {
    let path = Path::new("spec").child("cidrs");
    let list = json::list(spec, &["cidrs"]);
    match list.len() {
        0 => return vec![FieldError::required(&path, "at least one CIDR required")],
        1 | 2 => {}
        _ => {
            let shown = check::go_struct(&[("CIDRs", check::go_field(spec, &["cidrs"]))]);
            return vec![FieldError::invalid(&path, shown, "may only hold up to 2 values")];
        }
    }
    let mut errors = Vec::new();
    let texts: Vec<&str> = list.iter().map(|one| one.as_str().unwrap_or("")).collect();
    for (index, text) in texts.iter().enumerate() {
        ip::canonical_network(text, &path.index(index), &mut errors);
    }
    let family = |text: &&str| ip::network(text).map(|(address, _)| address.is_ipv4());
    if let [first, second] = texts.as_slice()
        && family(first).is_some()
        && family(first) == family(second)
    {
        let why = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
        errors.push(FieldError::invalid(&path, &spec["cidrs"], why));
    }
    errors
}

fn update_networks(new: &Value, old: &Value) -> Errors {
    let path = Path::new("spec").child("cidrs");
    let (now, before) = (json::list(new, &["spec", "cidrs"]), json::list(old, &["spec", "cidrs"]));
    let immutable = "field is immutable";
    let changed = |at: usize| FieldError::invalid(&path.index(at), &now[at], immutable);
    let differ = now.iter().zip(before).enumerate().filter(|(_, (now, before))| now != before);
    let mut errors: Errors = differ.map(|(at, _)| changed(at)).collect();
    match (before.len(), now.len()) {
        (1, 2) => errors.extend(networks(&new["spec"])),
        (before, now) if before == now => {}
        _ => {
            let shown = json::at(new, &["spec", "cidrs"]).unwrap_or(&Value::Null);
            errors = vec![FieldError::invalid(&path, shown, immutable)];
        }
    }
    errors
}
