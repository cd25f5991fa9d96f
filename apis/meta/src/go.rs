//! JSON as Go's encoder writes it.
//!
//! Knows: its escapes and its numbers. Refuses to know: what is written, and Go's other forms.

use serde_json::{Number, Value};

/// A value: keys in order, `<`, `>`, `&` and two separators of lines escaped, whole numbers without a point.
pub fn json(value: &Value, out: &mut String) {
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

/// Makes whole numbers of those that Go's encoder writes as such: `2` for 2.0.
pub fn whole_numbers(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(map) => map.values_mut().for_each(whole_numbers),
        Value::Number(number) if number.is_f64() => {
            // What has more digits than this has an exponent as well.
            let whole: Option<i128> = match json_number(number).as_str() {
                "-0" => Some(0),
                digits => digits.parse().ok(),
            };
            if let Some(whole) = whole.and_then(Number::from_i128) {
                *number = whole;
            }
        }
        _ => {}
    }
}

/// Text as a JSON string of Go.
pub fn json_string(text: &str) -> String {
    let mut out = String::new();
    json_text(text, &mut out);
    out
}

/// The same, put behind other text.
pub(crate) fn json_text(text: &str, out: &mut String) {
    out.push('"');
    json_escaped(text, out);
    out.push('"');
}

/// What stands between the quotes of such a string.
pub(crate) fn json_escaped(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(at) = rest.find(is_escaped) {
        let (plain, from) = rest.split_at(at);
        out.push_str(plain);
        let mut characters = from.chars();
        match characters.next() {
            Some(c @ ('"' | '\\')) => out.extend(['\\', c]),
            Some('\x08') => out.push_str("\\b"),
            Some('\x0c') => out.push_str("\\f"),
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            Some(c) => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            None => {}
        }
        rest = characters.as_str();
    }
    out.push_str(rest);
}

fn is_escaped(c: char) -> bool {
    matches!(c, '"' | '\\' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\x1f')
}

/// Text as `%q` shows it.
pub fn quote<T: AsRef<str> + ?Sized>(text: &T) -> String {
    let text = text.as_ref();
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            '\0'..='\x7f' => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            _ if is_printed(c) => out.push(c),
            '\0'..='\u{ffff}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            _ => out.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    out.push('"');
    out
}

/// Whether a character that is not ASCII is shown as itself, wherever it stands: of spaces and controls none is.
fn is_printed(c: char) -> bool {
    let mut after = [0; 8];
    after[0] = b'a';
    let length = 1 + c.encode_utf8(&mut after[1..]).len();
    let text = std::str::from_utf8(&after[..length]).unwrap_or("");
    // What follows another is escaped only where it cannot be seen, though it may be drawn over that.
    text.escape_debug().nth(1) == Some(c)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_without_a_point_is_whole() {
        for (number, want) in [
            ("2.0", "2"),
            ("-3.0", "-3"),
            ("-0.0", "0"),
            ("1e3", "1000"),
            ("1.5", "1.5"),
            ("1e19", "10000000000000000000"),
            ("1e300", "1e+300"),
        ] {
            let mut value: Value = serde_json::from_str(&format!("[{{\"a\":{number}}}]")).unwrap();
            whole_numbers(&mut value);
            assert_eq!(value.to_string(), format!("[{{\"a\":{want}}}]"));
        }
    }

    // Red with Rust's own escapes: `\u{a0}`, `\u{301}`.
    #[test]
    fn text_is_quoted_as_go_does() {
        for (text, want) in [
            ("a b", r#""a b""#),
            ("\"\\", r#""\"\\""#),
            ("\x07\x08\x0c\n\r\t\x0b", r#""\a\b\f\n\r\t\v""#),
            ("\0\x1b\x7f", r#""\x00\x1b\x7f""#),
            ("\u{80}\u{a0}\u{ad}\u{200b}\u{2028}", r#""\u0080\u00a0\u00ad\u200b\u2028""#),
            ("\u{e000}\u{feff}", r#""\ue000\ufeff""#),
            ("\u{e0001}\u{10ffff}", r#""\U000e0001\U0010ffff""#),
            ("é e\u{301} 日本 \u{1f600} \u{fffd}", "\"é e\u{301} 日本 \u{1f600} \u{fffd}\""),
        ] {
            assert_eq!(quote(text), want);
        }
    }

    proptest::proptest! {
        #[test]
        fn escapes_are_those_of_json_and_five_more(text in "[\\x00-\\x24a-c<>&\"\\\\ü\u{7f}\u{2028}\u{2029}]{0,20}") {
            let mut expected = Value::from(text.as_str()).to_string();
            for (c, escape) in [('<', "3c"), ('>', "3e"), ('&', "26")] {
                expected = expected.replace(c, &format!("\\u00{escape}"));
            }
            expected = expected.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029");
            let mut found = String::new();
            json_text(&text, &mut found);
            proptest::prop_assert_eq!(found, expected);
        }
    }
}
