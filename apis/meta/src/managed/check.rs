//! What a manager may be called, and what a list must be that a client writes.
//!
//! Knows: upstream's limits and words. Refuses to know: where they are given.

use serde_json::Value;

use crate::field::{FieldError, Path};

/// The longest name of a manager, in bytes.
const MAX_MANAGER: usize = 128;

/// The longest name of a subresource, in bytes.
const MAX_SUBRESOURCE: usize = 256;

/// Whether Go takes a character for one that can be printed.
fn is_printable(character: char) -> bool {
    // Marks are only escaped where they stand first.
    let escaped = format!("a{character}").escape_debug().count() > 2;
    character == ' '
        || matches!(character, '"' | '\'' | '\\')
        || (!escaped && !character.is_whitespace())
}

/// What is wrong with the name of a manager.
pub fn check_manager(name: &str, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if name.len() > MAX_MANAGER {
        errors.push(FieldError::too_long(path, MAX_MANAGER));
    }
    for (at, character) in name.char_indices().filter(|(_, character)| !is_printable(*character)) {
        let code = u32::from(character);
        let detail = format!("invalid character U+{code:04X} (at position {at})");
        errors.push(FieldError::invalid(path, name, &detail));
    }
    errors
}

/// The manager of a request: what it says, or what its user agent starts with.
pub fn manager_of(field_manager: &str, user_agent: &str) -> String {
    if !field_manager.is_empty() {
        return field_manager.to_owned();
    }
    let mut name = String::new();
    let product = user_agent.split('/').next().unwrap_or("");
    for character in product.chars().filter(|character| is_printable(*character)) {
        if name.len() + character.len_utf8() > MAX_MANAGER {
            break;
        }
        name.push(character);
    }
    name
}

/// What is wrong with a list of managed fields.
pub fn check_list(list: &[Value], path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (index, entry) in list.iter().enumerate() {
        let path = path.index(index);
        let text = |field: &str| entry.get(field).and_then(Value::as_str).unwrap_or("");
        match text("operation") {
            "" => errors.push(FieldError::required(&path.child("operation"), "must not be empty")),
            "Apply" | "Update" => {}
            other => errors.push(FieldError::not_supported(
                &path.child("operation"),
                other,
                &["Apply", "Update"],
            )),
        }
        let fields_type = text("fieldsType");
        if !matches!(fields_type, "" | "FieldsV1") {
            let path = path.child("fieldsType");
            errors.push(FieldError::invalid(&path, fields_type, "must be `FieldsV1`"));
        }
        errors.extend(check_manager(text("manager"), &path.child("manager")));
        if text("subresource").len() > MAX_SUBRESOURCE {
            errors.push(FieldError::too_long(&path.child("subresource"), MAX_SUBRESOURCE));
        }
    }
    errors
}
