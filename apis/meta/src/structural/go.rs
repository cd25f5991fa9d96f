//! Values as Go shows them in messages.

use std::fmt::Write as _;

use serde_json::Value;

use crate::field::Shown;

/// A value as a field error of upstream shows it: text quoted, numbers plain, the rest as Go's JSON.
pub struct GoJson<'a>(pub &'a Value);

impl Shown for GoJson<'_> {
    fn shown(&self) -> String {
        match self.0 {
            Value::String(text) => format!("{text:?}"),
            Value::Number(number) if number.is_f64() => {
                float(number.as_f64().unwrap_or_default(), -5)
            }
            other => json(other),
        }
    }
}

/// A value as Go's JSON encoder writes it: keys sorted, whole numbers without a point, HTML escaped.
pub(super) fn json(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            out.push('{');
            for (index, (key, value)) in entries.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                quoted(key, out);
                out.push(':');
                write(value, out);
            }
            out.push('}');
        }
        Value::Array(list) => {
            out.push('[');
            for (index, value) in list.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(value, out);
            }
            out.push(']');
        }
        Value::String(text) => quoted(text, out),
        Value::Number(number) if number.is_f64() => {
            out.push_str(&float(number.as_f64().unwrap_or_default(), -7));
        }
        other => {
            let _ = write!(out, "{other}");
        }
    }
}

fn quoted(text: &str, out: &mut String) {
    let json = Value::from(text).to_string();
    for letter in json.chars() {
        match letter {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            other => out.push(other),
        }
    }
}

/// A number as Go shows it: with an exponent from 21 digits on, and where it is at most that power of ten.
pub fn float(number: f64, smallest: i32) -> String {
    let scientific = format!("{number:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let power: i32 = exponent.parse().unwrap_or(0);
    if number == 0.0 || (power < 21 && power > smallest) {
        return number.to_string();
    }
    let sign = if power < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", power.abs())
}
