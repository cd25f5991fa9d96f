//! Users, Groups and Identities.
//!
//! Knows: how they are named, and that an identity is named after its provider. Refuses to know: who is who today.

use leme_meta::{FieldError, Path};
use leme_registry::{Strategy, json, names};
use serde_json::Value;

use crate::check::{self, Errors};

/// What the three kinds have in common: no status, and updates that name the version they start from.
const PLAIN: Strategy = Strategy { unconditional_update: false, ..Strategy::PLAIN };

pub(crate) static USER: Strategy = Strategy {
    name: |name, _| user_name(name),
    // Groups are told of whoever asks about himself, never kept.
    prepare_create: |user, _| json::set(user, "groups", Value::Null),
    prepare_update: |user, _, _| json::set(user, "groups", Value::Null),
    validate: |user| {
        let mut errors = Vec::new();
        for (index, identity) in json::list(user, &["identities"]).iter().enumerate() {
            let at = Path::new("identities").index(index);
            let identity = identity.as_str().unwrap_or("");
            joined(&at, identity, &identity_name(identity), &mut errors);
        }
        errors
    },
    ..PLAIN
};

pub(crate) static GROUP: Strategy = Strategy {
    name: |name, _| group_name(name),
    validate: |group| {
        let mut errors = Vec::new();
        for (index, user) in json::list(group, &["users"]).iter().enumerate() {
            // Upstream's path.
            let at = Path::new("user").index(index);
            match user.as_str().unwrap_or("") {
                "" => errors.push(FieldError::invalid(&at, "", "may not be empty")),
                user => joined(&at, user, &user_name(user), &mut errors),
            }
        }
        errors
    },
    ..PLAIN
};

pub(crate) static IDENTITY: Strategy = Strategy {
    name: |name, _| identity_name(name),
    prepare_create: |identity, _| {
        let of = |field: &str| json::text(identity, &[field]).to_owned();
        let name = format!("{}:{}", of("providerName"), of("providerUserName"));
        // `oc create identity` leaves it to the server.
        if json::text(identity, &["metadata", "name"]).is_empty() && name.len() > 1 {
            json::set(json::child(identity, "metadata"), "name", name);
        }
    },
    validate: identity,
    validate_update: |new, old| {
        let mut errors = Vec::new();
        for field in ["providerName", "providerUserName"] {
            let (new, old) = (json::text(new, &[field]), json::text(old, &[field]));
            if new != old {
                let why = format!("may not change {field}");
                errors.push(FieldError::invalid(&Path::new(field), new, &why));
            }
        }
        errors
    },
    ..PLAIN
};

pub(crate) static MAPPING: Strategy = Strategy {
    name: |name, _| identity_name(name),
    validate: |mapping| {
        let (mut errors, none) = (Vec::new(), Value::Null);
        let (identity, user) =
            (mapping.get("identity").unwrap_or(&none), mapping.get("user").unwrap_or(&none));
        let at = Path::new("identity");
        let own = check::required(identity, "name", &at, &mut errors);
        if !own.is_empty() && own != json::text(mapping, &["metadata", "name"]) {
            errors.push(FieldError::invalid(&at.child("name"), own, "must match metadata.name"));
        }
        let at = Path::new("user");
        let name = check::required(user, "name", &at, &mut errors);
        if !name.is_empty() {
            joined(&at.child("name"), name, &user_name(name), &mut errors);
        }
        errors
    },
    ..PLAIN
};

/// One error for all that is wrong with a name.
pub(crate) fn joined(path: &Path, value: &str, wrong: &[String], errors: &mut Errors) {
    if !wrong.is_empty() {
        errors.push(FieldError::invalid(path, value, &wrong.join(", ")));
    }
}

/// What is wrong with the name of a user.
pub(crate) fn user_name(name: &str) -> Vec<String> {
    let colon = name.contains(':') && !name.starts_with("b64:");
    of_people(name, colon, r#"usernames that contain ":" must begin with "b64:""#)
}

/// What is wrong with the name of a group.
pub(crate) fn group_name(name: &str) -> Vec<String> {
    of_people(name, name.contains(':'), r#"may not contain ":""#)
}

/// The namespace and the name of the service account that a user name stands for.
pub(crate) fn service_account(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    let fits =
        names::dns1123_label(namespace).is_empty() && names::dns1123_subdomain(name).is_empty();
    fits.then_some((namespace, name))
}

fn of_people(name: &str, colon: bool, why: &str) -> Vec<String> {
    let wrong = names::path_segment_name(name);
    match name {
        _ if !wrong.is_empty() => wrong,
        _ if colon => vec![why.to_owned()],
        "~" => vec![r#"may not equal "~""#.to_owned()],
        _ => Vec::new(),
    }
}

fn identity_name(name: &str) -> Vec<String> {
    const FORM: &str = "must be in the format <providerName>:<providerUserName>";
    let wrong = names::path_segment_name(name);
    if !wrong.is_empty() {
        return wrong;
    }
    match name.split(':').collect::<Vec<_>>()[..] {
        ["", _] => vec![format!("{FORM} with a non-empty providerName")],
        [_, ""] => vec![format!("{FORM} with a non-empty providerUserName")],
        [_, _] => Vec::new(),
        _ => vec![FORM.to_owned()],
    }
}

fn identity(identity: &Value) -> Errors {
    let mut errors = Vec::new();
    let root = Path::default();
    let provider = check::required(identity, "providerName", &root, &mut errors);
    let wrong = of_people(provider, provider.contains(':'), r#"may not contain ":""#);
    if !provider.is_empty() && provider != "~" {
        joined(&Path::new("providerName"), provider, &wrong, &mut errors);
    }
    let user = check::required(identity, "providerUserName", &root, &mut errors);
    if !user.is_empty() {
        joined(&Path::new("providerUserName"), user, &user_name(user), &mut errors);
    }
    let name = json::text(identity, &["metadata", "name"]);
    let wanted = format!("{provider}:{user}");
    if !provider.is_empty() && !user.is_empty() && name != wanted {
        let at = Path::new("metadata").child("name");
        errors.push(FieldError::invalid(&at, name, &format!("must be {wanted}")));
    }
    let path = Path::new("user");
    let (name, uid) =
        (json::text(identity, &["user", "name"]), json::text(identity, &["user", "uid"]));
    joined(&path.child("name"), name, &user_name(name), &mut errors);
    if name.is_empty() && !uid.is_empty() {
        let why = "username is required when uid is provided";
        errors.push(FieldError::required(&path.child("username"), why));
    }
    if !name.is_empty() && uid.is_empty() {
        let why = "uid is required when username is provided";
        errors.push(FieldError::required(&path.child("uid"), why));
    }
    errors
}
