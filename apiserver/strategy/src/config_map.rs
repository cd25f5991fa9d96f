//! ConfigMaps and Secrets: keys and bytes.
//!
//! Knows: keys, sizes, immutability, the types of secrets. Refuses to know: what the bytes mean.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use leme_meta::{FieldError, Path, decode, patch};
use leme_registry::{Strategy, json, names};
use serde_json::Value;

use crate::check::{self, Errors};

/// Greatest size of all values together.
const MAX_SIZE: usize = 1 << 20;

pub(crate) static CONFIG_MAP: Strategy = Strategy {
    validate: validate_config_map,
    validate_update: |new, old| immutable(new, old, &["data", "binaryData"]),
    ..Strategy::PLAIN
};

pub(crate) static SECRET: Strategy = Strategy {
    default: default_secret,
    validate: validate_secret,
    validate_update: |new, old| {
        let mut errors = Vec::new();
        errors.extend(leme_registry::meta::immutable(new, old, &["type"]));
        errors.extend(immutable(new, old, &["data"]));
        errors
    },
    ..Strategy::PLAIN
};

/// How many bytes a text of base64 stands for.
pub(crate) fn size_of_bytes(value: &Value) -> usize {
    let text = value.as_str().unwrap_or("");
    let padding = text.bytes().rev().take_while(|byte| *byte == b'=').count();
    (text.len() / 4 * 3).saturating_sub(padding)
}

fn validate_config_map(map: &Value) -> Errors {
    let mut errors = Vec::new();
    let mut size = 0;
    for (key, value) in json::entries(map, &["data"]) {
        let at = Path::new("data").key(key);
        check::named(&at, key, &names::config_map_key(key), &mut errors);
        if json::at(map, &["binaryData", key]).is_some() {
            errors.push(FieldError::invalid(&at, key, "duplicate of key present in binaryData"));
        }
        size += value.as_str().unwrap_or("").len();
    }
    for (key, value) in json::entries(map, &["binaryData"]) {
        check::named(
            &Path::new("binaryData").key(key),
            key,
            &names::config_map_key(key),
            &mut errors,
        );
        size += size_of_bytes(value);
    }
    if size > MAX_SIZE {
        // The object as a whole: upstream's empty path prints so.
        errors.push(FieldError::too_long(&Path::new("[]"), MAX_SIZE));
    }
    errors
}

fn default_secret(secret: &mut Value) {
    json::default(secret, "type", "Opaque");
    let Some(Value::Object(plain)) =
        secret.as_object_mut().and_then(|map| map.remove("stringData"))
    else {
        return;
    };
    if plain.is_empty() {
        return;
    }
    let data = json::child(secret, "data");
    for (key, value) in plain {
        json::set(data, &key, STANDARD.encode(value.as_str().unwrap_or("")));
    }
}

fn validate_secret(secret: &Value) -> Errors {
    let data = Path::new("data");
    let mut errors = Vec::new();
    let mut size = 0;
    for (key, value) in json::entries(secret, &["data"]) {
        check::named(&data.key(key), key, &names::config_map_key(key), &mut errors);
        size += size_of_bytes(value);
    }
    if size > MAX_SIZE {
        errors.push(FieldError::too_long(&data, MAX_SIZE));
    }
    let required = |key: &str, errors: &mut Errors| {
        if json::at(secret, &["data", key]).is_none() {
            errors.push(FieldError::required(&data.key(key), ""));
        }
    };
    match json::text(secret, &["type"]) {
        "kubernetes.io/service-account-token" => {
            let annotation = "kubernetes.io/service-account.name";
            if json::text(secret, &["metadata", "annotations", annotation]).is_empty() {
                let at = Path::new("metadata").child("annotations").key(annotation);
                errors.push(FieldError::required(&at, ""));
            }
        }
        "kubernetes.io/dockercfg" => docker_config(secret, ".dockercfg", &mut errors),
        "kubernetes.io/dockerconfigjson" => docker_config(secret, ".dockerconfigjson", &mut errors),
        "kubernetes.io/basic-auth" => {
            let has = |key: &str| json::at(secret, &["data", key]).is_some();
            if !has("username") && !has("password") {
                required("username", &mut errors);
                required("password", &mut errors);
            }
        }
        "kubernetes.io/ssh-auth" => required("ssh-privatekey", &mut errors),
        "kubernetes.io/tls" => {
            required("tls.crt", &mut errors);
            required("tls.key", &mut errors);
        }
        _ => {}
    }
    errors
}

fn docker_config(secret: &Value, key: &str, errors: &mut Errors) {
    let at = Path::new("data").key(key);
    let Some(text) = json::at(secret, &["data", key]).and_then(Value::as_str) else {
        errors.push(FieldError::required(&at, ""));
        return;
    };
    let bytes = STANDARD.decode(text).unwrap_or_default();
    if let Err(why) = map_of(&bytes) {
        errors.push(FieldError::invalid(&at, "<secret contents redacted>", &why));
    }
}

/// What upstream's decoder says of JSON that is no map.
fn map_of(bytes: &[u8]) -> Result<(), String> {
    match decode::document(bytes)?.value {
        Value::Object(_) | Value::Null => Ok(()),
        other => Err(patch::no_map(&other)),
    }
}

fn immutable(new: &Value, old: &Value, fields: &[&str]) -> Errors {
    let why = "field is immutable when `immutable` is set";
    if !json::flag(old, &["immutable"]) {
        return Vec::new();
    }
    let mut errors = Vec::new();
    if !json::flag(new, &["immutable"]) {
        errors.push(FieldError::forbidden(&Path::new("immutable"), why));
    }
    for field in fields {
        if json::at(new, &[field]) != json::at(old, &[field]) {
            errors.push(FieldError::forbidden(&Path::new(field), why));
        }
    }
    errors
}
