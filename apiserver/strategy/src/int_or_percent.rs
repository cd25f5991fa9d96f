//! Numbers of pods that may also be stated as a part of them: `3` or `25%`.
//!
//! Knows: the form of both. Refuses to know: of how many pods it is a part.

use leme_meta::{FieldError, Path, names};
use serde_json::Value;

use crate::check::{self, Errors, NOT_NEGATIVE};

/// What is wrong with a text that should be a percentage.
fn not_percent(text: &str) -> Option<String> {
    let digits = text.strip_suffix('%').unwrap_or("");
    let fits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    (!fits).then(|| {
        let rule = "a valid percent string must be a numeric string followed by an ending '%'";
        names::regex_error(rule, "[0-9]+%", &["1%", "93%"])
    })
}

/// Checks that a value is a number that is not negative, or a percentage. An absent one counts as 0.
pub(crate) fn validate(value: Option<&Value>, path: &Path, errors: &mut Errors) {
    match value {
        Some(Value::String(text)) => {
            let wrong: Vec<String> = not_percent(text).into_iter().collect();
            check::named(path, text, &wrong, errors);
        }
        value => {
            let number = value.and_then(Value::as_i64).unwrap_or(0);
            if number < 0 {
                errors.push(FieldError::invalid(path, number, NOT_NEGATIVE));
            }
        }
    }
}

/// Checks that a percentage is of no more than everything.
pub(crate) fn at_most_all(value: Option<&Value>, path: &Path, errors: &mut Errors) {
    if let Some(Value::String(text)) = value
        && not_percent(text).is_none()
        && amount(value) > 100
    {
        errors.push(FieldError::invalid(path, text, "must not be greater than 100%"));
    }
}

/// The number, or that before the percent sign; 0 for what is neither.
pub(crate) fn amount(value: Option<&Value>) -> i64 {
    match value {
        Some(Value::String(text)) => {
            let digits = text.strip_suffix('%').unwrap_or(text);
            digits.parse().unwrap_or(if not_percent(text).is_none() { i64::MAX } else { 0 })
        }
        value => value.and_then(Value::as_i64).unwrap_or(0),
    }
}
