//! OAuthAccessTokens and OAuthAuthorizeTokens.
//!
//! Knows: what a token must say, and that it stays as it is. Refuses to know: when it ends.

use leme_meta::{FieldError, Path};
use leme_registry::{Strategy, json, names};
use serde_json::Value;

use super::{PLAIN, grant, redirect};
use crate::check::{self, Errors};

const TOKEN: Strategy = Strategy { name: |name, _| token_name(name), ..PLAIN };

pub(crate) static ACCESS_TOKEN: Strategy = Strategy {
    validate_create: |token| {
        let mut errors = Vec::new();
        grant(token, "userUID", &mut errors);
        let not_negative = |field: &str, errors: &mut Errors| {
            if let Some(number) = json::int(token, &[field]).filter(|number| *number < 0) {
                let why = "cannot be a negative value";
                errors.push(FieldError::invalid(&Path::new(field), number, why));
            }
        };
        not_negative("inactivityTimeoutSeconds", &mut errors);
        sent_back(token, &mut errors);
        not_negative("expiresIn", &mut errors);
        errors
    },
    validate_update: |new, old| {
        let mut errors = timeout(new, old);
        errors.extend(stays(new, old, &["inactivityTimeoutSeconds"]));
        errors
    },
    returns_deleted: true,
    ..TOKEN
};

pub(crate) static AUTHORIZE_TOKEN: Strategy = Strategy {
    default: |token| {
        if !json::text(token, &["codeChallenge"]).is_empty() {
            json::default(token, "codeChallengeMethod", "plain");
        }
    },
    validate_create: |token| {
        let mut errors = Vec::new();
        grant(token, "userUID", &mut errors);
        sent_back(token, &mut errors);
        challenge(token, &mut errors);
        let expires = json::int(token, &["expiresIn"]).unwrap_or(0);
        if expires <= 0 {
            let why = "must be greater than zero";
            errors.push(FieldError::invalid(&Path::new("expiresIn"), expires, why));
        }
        errors
    },
    validate_update: |new, old| stays(new, old, &[]),
    ..TOKEN
};

/// Shortest name: one that could be guessed is none.
const LENGTH: usize = 32;

fn token_name(name: &str) -> Vec<String> {
    let wrong = names::path_segment_name(name);
    if wrong.is_empty() && name.len() < LENGTH {
        return vec![format!("must be at least {LENGTH} characters long")];
    }
    wrong
}

fn sent_back(token: &Value, errors: &mut Errors) {
    let address = json::text(token, &["redirectURI"]);
    if let Err(why) = redirect(address) {
        errors.push(FieldError::invalid(&Path::new("redirectURI"), address, &why));
    }
}

fn challenge(token: &Value, errors: &mut Errors) {
    let (code, method) =
        (json::text(token, &["codeChallenge"]), json::text(token, &["codeChallengeMethod"]));
    if code.is_empty() && method.is_empty() {
        return;
    }
    let at = Path::new("codeChallenge");
    let fits = (43..=128).contains(&code.len())
        && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte));
    if code.is_empty() {
        let why = "required if codeChallengeMethod is specified";
        errors.push(FieldError::required(&at, why));
    } else if !fits {
        let why = "must be 43-128 characters [a-zA-Z0-9.~_-]";
        errors.push(FieldError::invalid(&at, code, why));
    }
    let root = Path::default();
    check::one_of(token, "codeChallengeMethod", &root, &["plain", "S256"], errors);
}

/// The time without use may grow, or be given up, and never comes later.
fn timeout(new: &Value, old: &Value) -> Errors {
    let mut errors = Vec::new();
    let of = |token| json::int(token, &["inactivityTimeoutSeconds"]).unwrap_or(0);
    let (new, old) = (of(new), of(old));
    let mut wrong = |why: &str| {
        errors.push(FieldError::invalid(&Path::new("inactivityTimeoutSeconds"), new, why));
    };
    if new > 0 && new < old {
        wrong(&format!("cannot be less than the current value={old}"));
    }
    if new < 0 {
        wrong("cannot be a negative value");
    }
    if old == 0 && new != 0 {
        wrong("cannot update non-timing-out token");
    }
    errors
}

/// An error of the object as a whole if anything but its metadata and some fields has changed.
fn stays(new: &Value, old: &Value, except: &[&str]) -> Errors {
    let rest = |token: &Value| {
        let mut token = token.clone();
        for field in except.iter().chain(&["metadata"]) {
            json::remove(&mut token, field);
        }
        token
    };
    if rest(new) == rest(old) {
        return Vec::new();
    }
    vec![FieldError::invalid(&Path::default(), new, "field is immutable")]
}
