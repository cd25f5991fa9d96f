//! Clients of OAuth, what they were granted, and tokens.
//!
//! Knows: scopes, and how clients and users are named in these kinds. Refuses to know: whether there are such clients
//! and users, and when a token ends.

mod client;
mod token;

pub(crate) use client::{AUTHORIZATION, CLIENT};
use leme_meta::{FieldError, Path};
use leme_registry::{Strategy, json, names};
use serde_json::Value;
pub(crate) use token::{ACCESS_TOKEN, AUTHORIZE_TOKEN};

use crate::check::{self, Errors};
use crate::{url, user};

/// What the four kinds have in common: no status, and updates that name the version they start from.
const PLAIN: Strategy = Strategy { unconditional_update: false, ..Strategy::PLAIN };

/// The user of an installation before there are others.
const BOOTSTRAP_USER: &str = "kube:admin";

/// Who was given what: a client, a user, scopes, and the uid of the user under the path that errors name.
fn grant(object: &Value, uid: &str, errors: &mut Errors) {
    let root = Path::default();
    let client = check::required(object, "clientName", &root, errors);
    if !client.is_empty() {
        let wrong = names::dns1123_subdomain(
            user::service_account(client).map_or(client, |(_, name)| name),
        );
        user::joined(&Path::new("clientName"), client, &wrong, errors);
    }
    let name = check::required(object, "userName", &root, errors);
    if !matches!(name, "" | BOOTSTRAP_USER) {
        user::joined(&Path::new("userName"), name, &user::user_name(name), errors);
    }
    scopes(object, errors);
    if json::text(object, &["userUID"]).is_empty() {
        errors.push(FieldError::required(&Path::new(uid), ""));
    }
}

fn scopes(object: &Value, errors: &mut Errors) {
    let path = Path::new("scopes");
    let list = json::list(object, &["scopes"]);
    if list.is_empty() {
        errors.push(FieldError::required(&path, "may not be empty"));
    }
    for (index, scope) in list.iter().enumerate() {
        let (at, scope) = (path.index(index), scope.as_str().unwrap_or(""));
        let before = errors.len();
        for character in scope.chars().filter(|c| !matches!(c, '!' | '#'..='[' | ']'..='~')) {
            let why = format!("{} not allowed", u32::from(character));
            errors.push(FieldError::invalid(&at, scope, &why));
        }
        if errors.len() > before {
            continue;
        }
        if let Some(why) = wrong_scope(scope) {
            errors.push(FieldError::invalid(&at, scope, &why));
        }
    }
}

/// `user:...` of those known, or `role:<role>:<namespace>[:!]`.
fn wrong_scope(scope: &str) -> Option<String> {
    const USER: [&str; 5] =
        ["full", "info", "check-access", "list-scoped-projects", "list-projects"];
    if scope.strip_prefix("user:").is_some_and(|rest| USER.contains(&rest)) {
        return None;
    }
    if !scope.starts_with("role:") {
        return Some("no scope handler found".to_owned());
    }
    let plain = scope.strip_suffix(":!").unwrap_or(scope);
    let fits = plain.split_once(':').and_then(|(_, rest)| rest.rsplit_once(':'));
    match fits {
        Some((role, namespace)) if !role.is_empty() && !namespace.is_empty() => None,
        _ => Some(format!("bad format for scope {plain}")),
    }
}

/// What is wrong with an address that users are sent back to.
fn redirect(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("may not be empty".to_owned());
    }
    let url = url::parse(text)?;
    if !url.fragment.is_empty() {
        return Err("may not contain a fragment".to_owned());
    }
    match url.path.split('/').find(|step| matches!(*step, "." | "..")) {
        Some(step) => Err(format!("may not contain a path segment of {step}")),
        None => Ok(()),
    }
}
