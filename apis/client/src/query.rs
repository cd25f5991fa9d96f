//! Query strings.

use std::fmt::Write as _;

/// A query string of the pairs that have a value, with its question mark.
pub fn query(pairs: &[(&str, Option<&str>)]) -> String {
    let mut text = String::new();
    for (key, value) in pairs.iter().filter_map(|(key, value)| Some((key, (*value)?))) {
        text.push(if text.is_empty() { '?' } else { '&' });
        text.push_str(key);
        text.push('=');
        for byte in value.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    text.push(char::from(byte));
                }
                // Writing to a String does not fail.
                other => _ = write!(text, "%{other:02X}"),
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_escaped() {
        assert_eq!(
            query(&[("a", Some("x=y,z")), ("b", None), ("c", Some("1"))]),
            "?a=x%3Dy%2Cz&c=1"
        );
        assert_eq!(query(&[("a", None)]), "");
    }
}
