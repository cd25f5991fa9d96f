//! JSON as Go's encoder writes it.
//!
//! Knows: its escapes and its numbers. Refuses to know: what is written, and Go's other forms.

use serde_json::{Number, Value};

/// A value: keys in order, `<`, `>`, `&` and two separators of lines escaped, whole numbers without a point.
pub(crate) fn json(value: &Value, out: &mut String) {
    match value {
        Value::String(text) => json_text(text, out),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                json(item, out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            out.push('{');
            for (index, (name, item)) in map.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                json_text(name, out);
                out.push(':');
                json(item, out);
            }
            out.push('}');
        }
        Value::Number(number) => out.push_str(&json_number(number)),
        other => out.push_str(&other.to_string()),
    }
}

/// A number: one without a fraction has no point, a very large or small one an exponent.
pub(crate) fn json_number(number: &Number) -> String {
    match number.as_f64().filter(|_| number.is_f64()) {
        Some(float) => self::float(float, -7),
        None => number.to_string(),
    }
}

/// Text as a JSON string of Go.
pub(crate) fn json_text(text: &str, out: &mut String) {
    let plain = |byte: u8| {
        (0x20..0x7f).contains(&byte) && !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&')
    };
    if text.bytes().all(plain) {
        out.push('"');
        out.push_str(text);
        out.push('"');
        return;
    }
    for part in Value::from(text).to_string().chars() {
        match part {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(part)));
            }
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
