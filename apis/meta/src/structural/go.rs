//! Values as Go shows them in messages.

use crate::quote;
use serde_json::Value;

use crate::field::Shown;
use crate::go::{self, float};

/// A value as a field error of upstream shows it: text quoted, numbers plain, the rest as Go's JSON.
pub struct GoJson<'a>(pub &'a Value);

impl Shown for GoJson<'_> {
    fn shown(&self) -> String {
        match self.0 {
            Value::String(text) => quote(&text),
            Value::Number(number) if number.is_f64() => {
                float(number.as_f64().unwrap_or_default(), -5)
            }
            other => json(other),
        }
    }
}

/// A value as Go's JSON encoder writes it.
pub(super) fn json(value: &Value) -> String {
    let mut out = String::new();
    go::json(value, &mut out);
    out
}
