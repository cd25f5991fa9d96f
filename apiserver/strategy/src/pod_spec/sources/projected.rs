//! Several sources in one volume.
//!
//! Knows: what each may be, and that no two write the same file. Refuses to know: who makes tokens and certificates.

use std::collections::HashSet;

use leme_meta::{FieldError, Path};
use leme_registry::{json, meta, names};
use serde_json::Value;

use super::files::{self, free_path};
use crate::certificates::signer_name;
use crate::check::{self, Errors, go_field};

/// The files that a volume has so far.
struct Taken<'a> {
    paths: HashSet<&'a str>,
    /// Of the volume: upstream names it where the source belongs.
    at: &'a Path,
}

impl<'a> Taken<'a> {
    /// Takes a path, for which `shown` is what is told if it is taken.
    fn take(&mut self, path: &'a str, shown: &str, errors: &mut Errors) {
        if !self.paths.insert(path) {
            errors.push(FieldError::invalid(self.at, shown, "conflicting duplicate paths"));
        }
    }
}

pub(super) fn validate(source: &Value, path: &Path, errors: &mut Errors) {
    check::file_mode(source, "defaultMode", path, errors);
    let mut taken = Taken { paths: HashSet::new(), at: path };
    for (index, part) in json::list(source, &["sources"]).iter().enumerate() {
        let at = path.child("sources").index(index);
        let kinds = SOURCES.iter().filter_map(|(kind, rule)| {
            json::at(part, &[kind]).map(|inner| (inner, at.child(kind), rule))
        });
        let mut count = 0;
        for (inner, at, rule) in kinds {
            rule(inner, &at, &mut taken, errors);
            count += 1;
        }
        if count > 1 {
            let why = "may not specify more than 1 volume type per source";
            errors.push(FieldError::forbidden(&at, why));
        }
    }
}

type Rule = for<'a> fn(&'a Value, &Path, &mut Taken<'a>, &mut Errors);

const SOURCES: [(&str, Rule); 6] = [
    ("secret", named),
    ("configMap", named),
    ("downwardAPI", downward),
    ("serviceAccountToken", token),
    ("clusterTrustBundle", bundle),
    ("podCertificate", certificate),
];

/// A secret or a config map.
fn named<'a>(source: &'a Value, path: &Path, taken: &mut Taken<'a>, errors: &mut Errors) {
    let name = check::required(source, "name", path, errors);
    let each = |(path, errors): (&'a str, &mut Errors)| {
        if !path.is_empty() {
            taken.take(path, name, errors);
        }
    };
    files::key_paths(source, path, each, errors);
}

fn downward<'a>(source: &'a Value, path: &Path, taken: &mut Taken<'a>, errors: &mut Errors) {
    for item in json::list(source, &["items"]) {
        files::downward_item(item, path, errors);
        let file = json::text(item, &["path"]);
        if !file.is_empty() {
            taken.take(file, file, errors);
        }
    }
}

/// The token of an account. Upstream names the volume where the path of the source belongs, and holds it against no other.
fn token(token: &Value, path: &Path, taken: &mut Taken, errors: &mut Errors) {
    let seconds = json::int(token, &["expirationSeconds"]).unwrap_or(0);
    let at = path.child("expirationSeconds");
    if seconds < 600 {
        let why = "may not specify a duration less than 10 minutes";
        errors.push(FieldError::invalid(&at, seconds, why));
    }
    if seconds > 1 << 32 {
        let why = "may not specify a duration larger than 2^32 seconds";
        errors.push(FieldError::invalid(&at, seconds, why));
    }
    let text = check::required(token, "path", taken.at, errors);
    free_path(text, &taken.at.child("path"), errors);
}

const NO_SIGNER: &str = "ClusterTrustBundle without signer name must not have \":\" in its name";

/// The certificates that a cluster trusts: one bundle by its name, or all of a signer.
fn bundle<'a>(source: &'a Value, path: &Path, taken: &mut Taken<'a>, errors: &mut Errors) {
    let [name, signer] =
        ["name", "signerName"].map(|field| json::at(source, &[field]).and_then(Value::as_str));
    let selector = json::at(source, &["labelSelector"]);
    match (name, signer) {
        (Some(_), Some(_)) => {
            let why = "only one of name and signerName may be used";
            errors.push(FieldError::invalid(path, shown(source), why));
        }
        (Some(name), None) => {
            let at = path.child("name");
            if name.is_empty() {
                errors.push(FieldError::required(&at, "must be a valid object name"));
            }
            // What stands before the last colon is the signer's, whatever it is.
            let wrong = match name.rsplit_once(':') {
                Some(("", _)) => vec![NO_SIGNER.to_owned()],
                Some((_, own)) => names::dns1123_subdomain(own),
                None => names::dns1123_subdomain(name),
            };
            for why in wrong {
                let why = format!("not a valid clustertrustbundlename: {why}");
                errors.push(FieldError::invalid(&at, name, &why));
            }
            if let Some(selector) = selector {
                let why = "labelSelector must be unset if name is specified";
                errors.push(FieldError::invalid(&path.child("labelSelector"), selector, why));
            }
        }
        (None, Some(signer)) => {
            let at = path.child("signerName");
            if signer.is_empty() {
                errors.push(FieldError::required(&at, "must be a valid signer name"));
            }
            signer_name(signer, &at, errors);
            let at = path.child("labelSelector");
            super::super::selector(selector.unwrap_or(&Value::Null), &at, errors);
        }
        (None, None) => {
            let why = "either name or signerName must be specified";
            errors.push(FieldError::required(path, why));
        }
    }
    let file = check::required(source, "path", path, errors);
    free_path(file, &path.child("path"), errors);
    taken.take(file, file, errors);
}

/// A bundle as upstream shows it.
fn shown(source: &Value) -> meta::Raw<String> {
    check::go_struct(&[
        ("Name", go_field(source, &["name"])),
        ("SignerName", go_field(source, &["signerName"])),
        ("LabelSelector", go_field(source, &["labelSelector"])),
        ("Optional", go_field(source, &["optional"])),
        ("Path", Value::from(json::text(source, &["path"])).to_string()),
    ])
}

const KEYS: [&str; 6] = ["RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"];
/// Seconds that a certificate may live: at most so long, and of a signer of Kubernetes itself.
const LONGEST: i64 = 91 * 24 * 60 * 60;
const LONGEST_OWN: i64 = 24 * 60 * 60;

/// A certificate that a signer gives the pod.
fn certificate<'a>(source: &'a Value, path: &Path, taken: &mut Taken<'a>, errors: &mut Errors) {
    let signer = json::text(source, &["signerName"]);
    signer_name(signer, &path.child("signerName"), errors);
    let at = path.child("userAnnotations");
    for (key, _) in json::entries(source, &["userAnnotations"]) {
        let wrong = names::qualified_name(key);
        check::named(&at.key(key), key, &wrong, errors);
        if wrong.is_empty() && !key.contains('/') {
            let why = "must be a domain-prefixed key (such as \"acme.io/foo\")";
            errors.push(FieldError::invalid(&at.key(key), key, why));
        }
    }
    let key = json::text(source, &["keyType"]);
    if !KEYS.contains(&key) {
        errors.push(FieldError::not_supported(&path.child("keyType"), key, &KEYS));
    }
    if let Some(seconds) = json::int(source, &["maxExpirationSeconds"]) {
        let domain = signer.split('/').next().unwrap_or(signer);
        let own = domain == "kubernetes.io" || domain.ends_with(".kubernetes.io");
        let most = if own { LONGEST_OWN } else { LONGEST };
        let at = path.child("maxExpirationSeconds");
        if seconds < 3600 {
            let why = "if provided, maxExpirationSeconds must be >= 3600";
            errors.push(FieldError::invalid(&at, seconds, why));
        }
        if seconds > most {
            let why = format!("if provided, maxExpirationSeconds must be <= {most}");
            errors.push(FieldError::invalid(&at, seconds, &why));
        }
    }
    let mut any = false;
    for field in ["credentialBundlePath", "keyPath", "certificateChainPath"] {
        let file = json::text(source, &[field]);
        if !file.is_empty() {
            any = true;
            free_path(file, &path.child(field), errors);
            taken.take(file, file, errors);
        }
    }
    if !any {
        let why = "specify at least one of credentialBundlePath, keyPath, and certificateChainPath";
        errors.push(FieldError::required(path, why));
    }
}
