//! OAuthClients, and what users allowed them.
//!
//! Knows: what a client may be restricted to. Refuses to know: which clients there are.

use leme_meta::{FieldError, Path};
use leme_registry::{Strategy, json, meta, names};
use serde_json::Value;

use super::{PLAIN, grant, redirect};
use crate::check::{self, Errors};

pub(crate) static CLIENT: Strategy = Strategy { validate: client, ..PLAIN };

pub(crate) static AUTHORIZATION: Strategy = Strategy {
    name: |name, _| authorization_name(name),
    prepare_create: |authorization, _| name_it(authorization),
    prepare_update: |authorization, _, _| name_it(authorization),
    validate: |authorization| {
        let mut errors = Vec::new();
        grant(authorization, "useruid", &mut errors);
        errors
    },
    validate_update: |new, old| {
        let mut errors = Vec::new();
        for field in ["clientName", "userName", "userUID"] {
            let (new, old) = (json::text(new, &[field]), json::text(old, &[field]));
            if new != old {
                let why = format!("{field} is not a mutable field");
                errors.push(FieldError::invalid(&Path::new(field), new, &why));
            }
        }
        errors
    },
    create_on_update: true,
    ..PLAIN
};

/// The name follows from the rest.
fn name_it(authorization: &mut Value) {
    let name = format!(
        "{}:{}",
        json::text(authorization, &["userName"]),
        json::text(authorization, &["clientName"])
    );
    json::set(json::child(authorization, "metadata"), "name", name);
}

fn authorization_name(name: &str) -> Vec<String> {
    let wrong = names::path_segment_name(name);
    if !wrong.is_empty() {
        return wrong;
    }
    match name.split_once(':') {
        Some((user, client)) if !user.is_empty() && !client.is_empty() => Vec::new(),
        _ => vec!["must be in the format <userName>:<clientName>".to_owned()],
    }
}

/// Shortest time without use after which tokens may end, in seconds.
const INACTIVITY: i64 = 300;

fn client(client: &Value) -> Errors {
    let mut errors = Vec::new();
    for (index, address) in json::list(client, &["redirectURIs"]).iter().enumerate() {
        let address = address.as_str().unwrap_or("");
        if let Err(why) = redirect(address) {
            let at = Path::new("redirectURIs").index(index);
            errors.push(FieldError::invalid(&at, address, &why));
        }
    }
    for (index, secret) in json::list(client, &["additionalSecrets"]).iter().enumerate() {
        if secret.as_str().unwrap_or("").is_empty() {
            let at = Path::new("additionalSecrets").index(index);
            errors.push(FieldError::invalid(&at, "", "may not be empty"));
        }
    }
    for (index, one) in json::list(client, &["scopeRestrictions"]).iter().enumerate() {
        restriction(one, &Path::new("scopeRestrictions").index(index), &mut errors);
    }
    let number = |field: &str| json::int(client, &[field]);
    if let Some(age) = number("accessTokenMaxAgeSeconds").filter(|age| *age < 0) {
        let at = Path::new("accessTokenMaxAgeSeconds");
        errors.push(FieldError::invalid(&at, age, "value cannot be negative"));
    }
    let at = Path::new("accessTokenInactivityTimeoutSeconds");
    match number("accessTokenInactivityTimeoutSeconds") {
        Some(timeout) if timeout < 0 => {
            errors.push(FieldError::invalid(&at, timeout, "value cannot be negative"));
        }
        Some(timeout) if timeout > 0 && timeout < INACTIVITY => {
            let why = format!("The minimum valid timeout value is {INACTIVITY} seconds");
            errors.push(FieldError::invalid(&at, timeout, &why));
        }
        _ => {}
    }
    if json::text(client, &["grantMethod"]).is_empty() {
        let why = "must be auto or prompt";
        errors.push(FieldError::required(&Path::new("grantMethod"), why));
    }
    check::one_of(client, "grantMethod", &Path::default(), &["auto", "prompt"], &mut errors);
    errors
}

fn restriction(restriction: &Value, path: &Path, errors: &mut Errors) {
    let literals = json::list(restriction, &["literals"]);
    match (literals, json::at(restriction, &["clusterRole"])) {
        ([], Some(role)) => {
            for field in ["roleNames", "namespaces"] {
                if json::list(role, &[field]).is_empty() {
                    let at = path.child("clusterRole").child(field);
                    errors.push(FieldError::required(&at, "won't match anything"));
                }
            }
        }
        ([_, ..], None) => {
            for (index, literal) in literals.iter().enumerate() {
                if literal.as_str().unwrap_or("").is_empty() {
                    let at = path.child("literals").index(index);
                    errors.push(FieldError::invalid(&at, "", "may not be empty"));
                }
            }
        }
        (_, role) => {
            let why = "exactly one of literals, clusterRole is required";
            errors.push(FieldError::invalid(path, shown(restriction, role), why));
        }
    }
}

/// A restriction with the names that its fields have in Go.
fn shown(restriction: &Value, role: Option<&Value>) -> meta::Raw<String> {
    let role = role.map_or("null".to_owned(), |role| {
        let escalation = json::flag(role, &["allowEscalation"]).to_string();
        check::go_struct(&[
            ("RoleNames", check::go_field(role, &["roleNames"])),
            ("Namespaces", check::go_field(role, &["namespaces"])),
            ("AllowEscalation", escalation),
        ])
        .0
    });
    let literals = check::go_field(restriction, &["literals"]);
    check::go_struct(&[("ExactValues", literals), ("ClusterRole", role)])
}
