//! Sources that are storage elsewhere: disks, shares and what drivers give.
//!
//! Knows: what each must say. Refuses to know: whether a server still carries it out.

use leme_meta::{FieldError, Path};
use leme_registry::{json, names};
use serde_json::Value;

use super::needs;
use crate::check::{self, Errors};

/// A disk by its name or number, and a partition of it.
pub(super) fn part(source: &Value, name: &str, path: &Path, errors: &mut Errors) {
    needs(source, &[name], path, errors);
    let number = json::int(source, &["partition"]).unwrap_or(0);
    if !(0..=255).contains(&number) {
        let why = "must be between 1 and 255, inclusive";
        errors.push(FieldError::invalid(&path.child("partition"), number, why));
    }
}

/// A source with a field that it needs and a secret, which has a namespace where the source has none.
pub(super) fn with_secret(
    source: &Value,
    field: &str,
    namespaced: bool,
    path: &Path,
    errors: &mut Errors,
) {
    needs(source, &[field], path, errors);
    secret(source, namespaced, path, errors);
}

fn secret(source: &Value, namespaced: bool, path: &Path, errors: &mut Errors) {
    if let Some(secret) = json::at(source, &["secretRef"]) {
        let fields = ["name", "namespace"];
        needs(secret, &fields[..1 + usize::from(namespaced)], &path.child("secretRef"), errors);
    }
}

pub(super) fn git(source: &Value, path: &Path, errors: &mut Errors) {
    needs(source, &["repository"], path, errors);
    check::descending_path(json::text(source, &["directory"]), &path.child("directory"), errors);
}

pub(super) fn gluster_volume(source: &Value, path: &Path, errors: &mut Errors) {
    needs(source, &["endpoints", "path"], path, errors);
    let Some(namespace) = json::at(source, &["endpointsNamespace"]).and_then(Value::as_str) else {
        return;
    };
    let at = path.child("endpointsNamespace");
    if namespace.is_empty() {
        let why = "if the endpointnamespace is set, it must be a valid namespace name";
        errors.push(FieldError::invalid(&at, namespace, why));
    } else {
        check::named(&at, namespace, &names::dns1123_label(namespace), errors);
    }
}

pub(super) fn flocker(source: &Value, path: &Path, errors: &mut Errors) {
    let [name, uuid] = ["datasetName", "datasetUUID"].map(|field| json::text(source, &[field]));
    if name.is_empty() && uuid.is_empty() {
        let why = "one of datasetName and datasetUUID is required";
        errors.push(FieldError::required(path, why));
    }
    if !name.is_empty() && !uuid.is_empty() {
        let why = "datasetName and datasetUUID can not be specified simultaneously";
        errors.push(FieldError::invalid(path, "resource", why));
    }
    if name.contains('/') {
        let at = path.child("datasetName");
        errors.push(FieldError::invalid(&at, name, "must not contain '/'"));
    }
}

const PAIRS: &str = "must be a host:port pair or multiple pairs separated by commas";

pub(super) fn quobyte(source: &Value, path: &Path, errors: &mut Errors) {
    let registry = json::text(source, &["registry"]);
    let at = path.child("registry");
    if registry.is_empty() {
        errors.push(FieldError::required(&at, PAIRS));
    } else if json::text(source, &["tenant"]).len() > 64 {
        let why = "must be a UUID and may not exceed a length of 64 characters";
        errors.push(FieldError::required(&path.child("tenant"), why));
    } else {
        for _ in registry.split(',').filter(|pair| !is_host_and_port(pair)) {
            errors.push(FieldError::invalid(&at, registry, PAIRS));
        }
    }
    needs(source, &["volume"], path, errors);
}

fn is_host_and_port(pair: &str) -> bool {
    let Some((host, port)) = pair.rsplit_once(':') else { return false };
    let host = match host.strip_prefix('[') {
        Some(inner) => match inner.strip_suffix(']') {
            Some(address) => address,
            None => return false,
        },
        None if host.contains(':') => return false,
        None => host,
    };
    !host.contains(['[', ']']) && !port.contains(['[', ']'])
}

pub(super) fn fc(source: &Value, path: &Path, errors: &mut Errors) {
    let targets = json::list(source, &["targetWWNs"]);
    let ids = json::list(source, &["wwids"]);
    let at = path.child("targetWWNs");
    match (targets.is_empty(), ids.is_empty()) {
        (true, true) => {
            let why = "must specify either targetWWNs or wwids, but not both";
            errors.push(FieldError::required(&at, why));
        }
        (false, false) => {
            let why = "targetWWNs and wwids can not be specified simultaneously";
            errors.push(FieldError::invalid(&at, &source["targetWWNs"], why));
        }
        _ => {}
    }
    if !targets.is_empty() && json::at(source, &["lun"]).is_none() {
        let why = "lun is required if targetWWNs is specified";
        errors.push(FieldError::required(&path.child("lun"), why));
    } else if !targets.is_empty() {
        check::in_range(source, "lun", path, 0, 255, errors);
    }
}

/// Options by name are the driver's own, but for names of Kubernetes.
pub(super) fn flex(source: &Value, path: &Path, errors: &mut Errors) {
    needs(source, &["driver"], path, errors);
    for (key, _) in json::entries(source, &["options"]) {
        let domain = key.split('/').next().unwrap_or(key).to_lowercase();
        let own = |name: &str| domain == name || domain.ends_with(&format!(".{name}"));
        if own("kubernetes.io") || own("k8s.io") {
            let why = "kubernetes.io and k8s.io namespaces are reserved";
            errors.push(FieldError::invalid(&path.child("options").key(key), key, why));
        }
    }
}

pub(super) fn azure_file_volume(source: &Value, path: &Path, errors: &mut Errors) {
    needs(source, &["secretName", "shareName"], path, errors);
    if json::at(source, &["secretNamespace"]).is_some() {
        needs(source, &["secretNamespace"], path, errors);
    }
}

pub(super) fn azure_disk(source: &Value, path: &Path, errors: &mut Errors) {
    needs(source, &["diskName", "diskURI"], path, errors);
    let modes = ["None", "ReadOnly", "ReadWrite"];
    check::one_of(source, "cachingMode", path, &modes, errors);
    check::one_of(source, "kind", path, &["Dedicated", "Managed", "Shared"], errors);
    let address = json::text(source, &["diskURI"]);
    let (start, example) = match json::text(source, &["kind"]) {
        "" => return,
        "Managed" => (
            "/subscriptions/",
            "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}",
        ),
        _ => (
            "https://",
            "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd",
        ),
    };
    if !address.starts_with(start) {
        errors.push(FieldError::not_supported(&path.child("diskURI"), address, &[example]));
    }
}

pub(super) fn storage_os(source: &Value, namespaced: bool, path: &Path, errors: &mut Errors) {
    check::required_name(source, "volumeName", path, names::dns1123_label, errors);
    check::optional_name(source, "volumeNamespace", path, names::dns1123_label, errors);
    secret(source, namespaced, path, errors);
}

fn driver(source: &Value, path: &Path, errors: &mut Errors) {
    const MAX: usize = 63;
    let text = check::required(source, "driver", path, errors);
    if text.is_empty() {
        return;
    }
    let at = path.child("driver");
    if text.len() > MAX {
        errors.push(FieldError::too_long(&at, MAX));
    }
    check::named(&at, text, &names::dns1123_subdomain(&text.to_lowercase()), errors);
}

pub(super) fn csi(source: &Value, path: &Path, errors: &mut Errors) {
    driver(source, path, errors);
    let Some(secret) = json::at(source, &["nodePublishSecretRef"]) else { return };
    let name = check::required(secret, "name", &path.child("nodePublishSecretRef"), errors);
    if !name.is_empty() {
        // Upstream names a field that is not there.
        check::named(&path.child("name"), name, &names::dns1123_subdomain(name), errors);
    }
}

pub(super) fn csi_volume(source: &Value, path: &Path, errors: &mut Errors) {
    driver(source, path, errors);
    needs(source, &["volumeHandle"], path, errors);
    for field in [
        "controllerPublishSecretRef",
        "controllerExpandSecretRef",
        "nodePublishSecretRef",
        "nodeExpandSecretRef",
    ] {
        let Some(secret) = json::at(source, &[field]) else { continue };
        let path = path.child(field);
        check::required_name(secret, "name", &path, names::dns1123_subdomain, errors);
        check::required_name(secret, "namespace", &path, names::dns1123_label, errors);
    }
}

const NO_INITIATOR: &str = "must be valid format starting with iqn, eui, or naa";
const BAD_INITIATOR: &str = "must be valid format";

pub(super) fn iscsi(source: &Value, path: &Path, errors: &mut Errors) {
    needs(source, &["targetPortal"], path, errors);
    target(source, NO_INITIATOR, path, errors);
    initiator(source, NO_INITIATOR, path, errors);
}

/// Of a PersistentVolume, the secret has a name.
pub(super) fn iscsi_volume(source: &Value, path: &Path, errors: &mut Errors) {
    needs(source, &["targetPortal"], path, errors);
    target(source, BAD_INITIATOR, path, errors);
    secret(source, false, path, errors);
    initiator(source, BAD_INITIATOR, path, errors);
}

fn target(source: &Value, unknown: &str, path: &Path, errors: &mut Errors) {
    let name = check::required(source, "iqn", path, errors);
    if !name.is_empty() {
        errors.extend(bad_name(name, unknown, &path.child("iqn")));
    }
    check::in_range(source, "lun", path, 0, 255, errors);
    let asks = ["chapAuthDiscovery", "chapAuthSession"];
    if asks.iter().any(|field| json::flag(source, &[field])) {
        needs(source, &["secretRef"], path, errors);
    }
}

fn initiator(source: &Value, unknown: &str, path: &Path, errors: &mut Errors) {
    if let Some(name) = json::at(source, &["initiatorName"]).and_then(Value::as_str) {
        errors.extend(bad_name(name, unknown, &path.child("initiatorname")));
    }
}

/// What is wrong with the name of a target or of an initiator.
fn bad_name(name: &str, unknown: &str, path: &Path) -> Option<FieldError> {
    let fits = match name.get(..3) {
        Some("iqn") => is_qualified(name),
        Some("eui") => is_number(&name[3..], 16),
        Some("naa") => is_number(&name[3..], 32),
        _ => return Some(FieldError::invalid(path, name, unknown)),
    };
    (!fits).then(|| FieldError::invalid(path, name, BAD_INITIATOR))
}

/// Whether a text ends in `iqn.YYYY-MM.DOMAIN:NAME`.
fn is_qualified(text: &str) -> bool {
    let digits = |text: &[u8]| text.iter().all(u8::is_ascii_digit);
    let fits = |rest: &str| {
        let Some((head, name)) = rest.split_once(':') else { return false };
        let [a, b, c, d, b'-', e, f, b'.', domain @ ..] = head.as_bytes() else { return false };
        let domain_fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-.".contains(byte);
        let odd = |one: char| ",;*&$|\t\n\u{c}\r ".contains(one);
        digits(&[*a, *b, *c, *d, *e, *f])
            && !domain.is_empty()
            && domain.iter().all(domain_fits)
            && !name.is_empty()
            && !name.contains(odd)
    };
    text.match_indices("iqn.").any(|(at, start)| fits(&text[at + start.len()..]))
}

/// Whether a text is one character and so many letters or digits.
fn is_number(text: &str, digits: usize) -> bool {
    let mut rest = text.chars();
    rest.next().is_some_and(|first| first != '\n')
        && rest.as_str().len() == digits
        && rest.all(|one| one.is_ascii_alphanumeric())
}

/// What the name of a volume and its portal are told that are too long together.
pub(crate) const LONG_INITIATOR: &str = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.";

/// Whether a volume with this name and source makes a name of an initiator that is too long.
pub(crate) fn long_initiator(name: &str, volume: &Value) -> bool {
    let portal = json::text(volume, &["iscsi", "targetPortal"]);
    json::at(volume, &["iscsi", "initiatorName"]).is_some() && name.len() + 1 + portal.len() > 64
}
