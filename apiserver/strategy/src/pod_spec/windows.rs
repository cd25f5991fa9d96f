//! What a Windows container runs as.
//!
//! Knows: the form of accounts there. Refuses to know: whether there is one.

use leme_meta::{FieldError, Path};
use leme_registry::{json, names};
use serde_json::Value;

use crate::check::{self, Errors};

const MAX_SPEC_KIB: usize = 64;
const MAX_DOMAIN: usize = 256;
const MAX_USER: usize = 104;
/// What neither a domain of the older kind may hold nor, with some more, a user.
const NOT_IN_DOMAINS: &str = "\\/:*?\"<>|";
const NOT_IN_USERS: &str = "\"/\\:;|=,+*?<>@[]";

/// Checks the `windowsOptions` of a security context.
pub(super) fn validate(context: &Value, path: &Path, errors: &mut Errors) {
    let path = path.child("windowsOptions");
    let of = |field: &str| json::at(context, &["windowsOptions", field]).and_then(Value::as_str);
    if let Some(name) = of("gmsaCredentialSpecName") {
        let at = path.child("gmsaCredentialSpecName");
        check::named(&at, name, &names::dns1123_subdomain(name), errors);
    }
    if let Some(spec) = of("gmsaCredentialSpec") {
        let at = path.child("gmsaCredentialSpec");
        if spec.is_empty() {
            let why = "gmsaCredentialSpec cannot be an empty string";
            errors.push(FieldError::invalid(&at, spec, why));
        } else if spec.len() > MAX_SPEC_KIB * 1024 {
            let why = format!("gmsaCredentialSpec size must be under {MAX_SPEC_KIB} KiB");
            errors.push(FieldError::invalid(&at, spec, &why));
        }
    }
    if let Some(name) = of("runAsUserName") {
        let at = path.child("runAsUserName");
        for why in account(name) {
            errors.push(FieldError::invalid(&at, name, &format!("runAsUserName{why}")));
        }
    }
}

/// What is wrong with `[DOMAIN\]USER`.
fn account(name: &str) -> Vec<String> {
    let one = |why: &str| vec![why.to_owned()];
    if name.is_empty() {
        return one(" cannot be an empty string");
    }
    if name.contains(|one: char| one.is_ascii_control()) {
        return one(" cannot contain control characters");
    }
    let (domain, user) = match name.split('\\').collect::<Vec<_>>().as_slice() {
        [user] => (None, *user),
        [domain, user] => (Some(*domain), *user),
        _ => return one(" cannot contain more than one backslash"),
    };
    let long = domain.is_some_and(|domain| domain.len() >= MAX_DOMAIN);
    let odd = domain.is_some_and(|domain| !is_net_bios(domain) && !is_dns(domain));
    let blank = !user.is_empty() && user.chars().all(|one| one == '.' || one == ' ');
    let rules = [
        (long, format!("'s Domain length must be under {MAX_DOMAIN} characters")),
        (odd, "'s Domain doesn't match the NetBios nor the DNS format".to_owned()),
        (user.is_empty(), "'s User cannot be empty".to_owned()),
        (
            user.len() > MAX_USER,
            format!("'s User length must not be longer than {MAX_USER} characters"),
        ),
        (blank, "'s User cannot contain only periods or spaces".to_owned()),
        (
            user.contains(|one| NOT_IN_USERS.contains(one)),
            "'s User cannot contain the following characters: \"/\\:;|=,+*?<>@[]".to_owned(),
        ),
    ];
    rules.into_iter().filter(|(wrong, _)| *wrong).map(|(_, why)| why).collect()
}

fn is_net_bios(domain: &str) -> bool {
    (1..=15).contains(&domain.chars().count())
        && !domain.starts_with('.')
        && !domain.contains(|one| NOT_IN_DOMAINS.contains(one))
}

fn is_dns(domain: &str) -> bool {
    domain.split('.').all(|label| names::dns1123_label(&label.to_ascii_lowercase()).is_empty())
}
