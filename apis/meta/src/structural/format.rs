//! The formats that upstream checks: which there are for a type, and which texts have them.
//!
//! Refuses to know: formats that upstream only documents.

use std::net::{IpAddr, Ipv6Addr};

use super::Type;
use crate::{names, time};

/// Tells whether a text has a format.
type Check = fn(&str) -> bool;

/// The formats of text, written without dashes.
const TEXT: &[(&str, Check)] = &[
    ("bsonobjectid", |text| text.len() == 24 && hex(text)),
    ("byte", base64),
    ("cidr", cidr),
    ("creditcard", credit_card),
    ("date", |text| time::parse(&format!("{text}T00:00:00Z")).is_some() && text.len() == 10),
    ("datetime", |text| time::parse(text).is_some()),
    ("duration", duration),
    ("email", email),
    ("hexcolor", |text| {
        let digits = text.strip_prefix('#').unwrap_or(text);
        matches!(digits.len(), 3 | 6) && hex(digits)
    }),
    ("hostname", hostname),
    ("ipv4", |text| matches!(text.parse(), Ok(IpAddr::V4(_)))),
    ("ipv6", |text| text.parse::<Ipv6Addr>().is_ok()),
    ("isbn", |text| isbn10(text) || isbn13(text)),
    ("isbn10", isbn10),
    ("isbn13", isbn13),
    ("k8slongname", |text| names::dns1123_subdomain(text).is_empty()),
    ("k8sshortname", |text| names::dns1123_label(text).is_empty()),
    ("mac", mac),
    ("password", |_| true),
    ("rgbcolor", rgb),
    ("ssn", ssn),
    ("uri", uri),
    ("uuid", |text| uuid(text, None)),
    ("uuid3", |text| uuid(text, Some('3'))),
    ("uuid4", |text| uuid(text, Some('4'))),
    ("uuid5", |text| uuid(text, Some('5'))),
];

fn check_of(format: &str) -> Option<Check> {
    let name = format.replace('-', "");
    TEXT.iter().find(|(known, _)| *known == name).map(|(_, check)| *check)
}

/// Whether upstream checks this format for values of a type, or of none in particular.
pub(super) fn recognized(type_: Option<Type>, format: &str) -> bool {
    match type_ {
        Some(Type::Any | Type::String) => check_of(format).is_some(),
        Some(Type::Integer) => matches!(format, "int32" | "int64"),
        Some(Type::Number) => matches!(format, "float" | "double"),
        _ => false,
    }
}

/// Whether a text has a format; one that is not known takes every text.
pub(super) fn fits(format: &str, text: &str) -> bool {
    check_of(format).is_none_or(|check| check(text))
}

fn hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn base64(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    !text.is_empty()
        && text.len().is_multiple_of(4)
        && text.len() - body.len() <= 2
        && body.bytes().all(known)
}

fn cidr(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let most = match address.parse() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    digits(length) && length.parse::<u16>().is_ok_and(|length| length <= most)
}

fn mac(text: &str) -> bool {
    let parts = |separator: char, width: usize| {
        let parts: Vec<&str> = text.split(separator).collect();
        let bytes = parts.len() * width / 2;
        matches!(bytes, 6 | 8 | 20) && parts.iter().all(|part| part.len() == width && hex(part))
    };
    parts(':', 2) || parts('-', 2) || parts('.', 4)
}

fn uuid(text: &str, version: Option<char>) -> bool {
    // Dashes stand at these places or nowhere; each may be missing by itself.
    let mut plain = String::new();
    for (index, part) in text.split('-').enumerate() {
        if index > 0 && !matches!(plain.len(), 8 | 12 | 16 | 20) {
            return false;
        }
        plain.push_str(part);
    }
    let variant = || plain.chars().nth(16).is_some_and(|c| "89abAB".contains(c));
    plain.len() == 32
        && hex(&plain)
        && version.is_none_or(|version| {
            plain.chars().nth(12) == Some(version) && (version == '3' || variant())
        })
        && !text.contains("--")
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn hostname(text: &str) -> bool {
    let word = |c: char| c.is_alphanumeric();
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.starts_with(word)
            && label.ends_with(word)
            && label.chars().all(|c| word(c) || c == '-')
    };
    text.len() <= 255 && text.split('.').all(label)
}

fn email(text: &str) -> bool {
    let address = match text.rsplit_once('<') {
        Some((_, rest)) => rest.strip_suffix('>').unwrap_or(""),
        None => text,
    };
    let atom = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
    let dotted =
        |text: &str| text.split('.').all(|part| !part.is_empty() && part.chars().all(atom));
    let domain = |text: &str| dotted(text) || (text.starts_with('[') && text.ends_with(']'));
    address.rsplit_once('@').is_some_and(|(local, host)| {
        domain(host)
            && (dotted(local)
                || (local.len() > 2 && local.starts_with('"') && local.ends_with('"')))
    })
}

fn uri(text: &str) -> bool {
    if text.chars().any(|c| c.is_ascii_control() || c == ' ') {
        return false;
    }
    let absolute = text.split_once(':').is_some_and(|(scheme, rest)| {
        let fits = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(fits)
            && rest.starts_with('/')
    });
    absolute || text.starts_with('/')
}

/// The sum of a number's digits, each times its weight; none if there is something else.
fn weighted(digits: &str, weight: fn(usize) -> u32) -> Option<u32> {
    let terms = digits.chars().enumerate().map(|(at, c)| Some(c.to_digit(10)? * weight(at)));
    terms.sum()
}

fn isbn10(text: &str) -> bool {
    let text: String = text.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
    let Some(head) = text.get(..9).filter(|_| text.len() == 10) else { return false };
    let last = match text.chars().last() {
        Some('X' | 'x') => Some(10),
        last => last.and_then(|c| c.to_digit(10)),
    };
    let head = weighted(head, |at| u32::try_from(at).unwrap_or(0) + 1);
    head.zip(last).is_some_and(|(head, last)| (head + 10 * last) % 11 == 0)
}

fn isbn13(text: &str) -> bool {
    let text: String = text.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
    let weight = |at: usize| if at.is_multiple_of(2) { 1 } else { 3 };
    text.len() == 13 && weighted(&text, weight).is_some_and(|sum| sum % 10 == 0)
}

fn credit_card(text: &str) -> bool {
    let plain: Vec<u32> = text.chars().filter_map(|c| c.to_digit(10)).collect();
    let luhn = plain.iter().rev().enumerate().map(|(at, digit)| match at % 2 {
        1 if *digit > 4 => digit * 2 - 9,
        1 => digit * 2,
        _ => *digit,
    });
    (13..=16).contains(&plain.len()) && luhn.sum::<u32>() % 10 == 0
}

fn ssn(text: &str) -> bool {
    let plain: String = text.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
    plain.len() == 9 && digits(&plain) && matches!(text.len(), 9..=11)
}

fn rgb(text: &str) -> bool {
    let inside = text.strip_prefix("rgb(").and_then(|rest| rest.strip_suffix(')'));
    inside.is_some_and(|inside| {
        let parts: Vec<&str> = inside.split(',').map(str::trim).collect();
        parts.len() == 3 && parts.iter().all(|part| digits(part) && part.parse::<u8>().is_ok())
    })
}

/// What a unit of time may begin with, or be.
const UNITS: &[&str] = &[
    "ns", "nano", "us", "µs", "micro", "ms", "milli", "s", "sec", "m", "min", "h", "hr", "hour",
    "d", "day", "w", "wk", "week",
];

fn duration(text: &str) -> bool {
    let text = text.trim();
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned == "0" {
        return true;
    }
    let mut rest = unsigned;
    while !rest.is_empty() {
        let number = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let read = &rest[..rest.len() - number.len()];
        let unit = number.trim_start();
        let after =
            unit.trim_start_matches(|c: char| c.is_ascii_alphabetic() || matches!(c, 'µ' | 'μ'));
        let name = unit[..unit.len() - after.len()].to_lowercase();
        let known = UNITS
            .iter()
            .any(|known| name == *known || (known.len() > 2 && name.starts_with(known)));
        if read.is_empty() || read == "." || !known {
            return false;
        }
        rest = after.trim_start();
    }
    !unsigned.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        for (format, good, bad) in [
            (
                "uuid",
                &["C0FFEE00-0000-4000-8000-00000000000a", "c0ffee0000004000800000000000000a"][..],
                &["", "x", "c0ffee00-0000-4000-8000-00000000000"][..],
            ),
            (
                "uuid4",
                &["c0ffee00-0000-4000-8000-00000000000a"],
                &["c0ffee00-0000-3000-8000-00000000000a"],
            ),
            ("ipv4", &["10.0.0.1"], &["::1", "10.0.0", "10.0.0.256"]),
            ("ipv6", &["::1"], &["10.0.0.1", ":"]),
            ("cidr", &["10.0.0.0/8", "::/0"], &["10.0.0.0", "10.0.0.0/33", "x/8"]),
            ("mac", &["01:23:45:67:89:ab", "0123.4567.89ab"], &["01:23", "x"]),
            ("uri", &["http://a/b", "/a"], &["a b", "", "a"]),
            ("email", &["a@b.c", "A <a@b.c>"], &["a", "@b", "a@"]),
            ("hostname", &["a.b-c", "localhost"], &["-a", "a..b", ""]),
            ("byte", &["YQ=="], &["YQ", "*a=="]),
            ("date", &["2026-01-02"], &["2026-13-02", "2026-01-02T00:00:00Z"]),
            (
                "date-time",
                &["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.6+01:00"],
                &["2026-01-02"],
            ),
            (
                "duration",
                &["1h30m", "22 ns", "5 minutes", "0", "-1.5s"],
                &["", "h", "5", "5 apples"],
            ),
            ("hexcolor", &["#fff", "aabbcc"], &["#ff"]),
            ("rgbcolor", &["rgb(1, 2,255)"], &["rgb(1,2,256)", "red"]),
            ("isbn", &["0321751043", "978-0321751041"], &["0321751044", "1"]),
            ("creditcard", &["4111 1111 1111 1111"], &["4111 1111 1111 1112"]),
            ("ssn", &["111-22-3333"], &["111-22-333"]),
            ("k8s-short-name", &["a-b"], &["a.b", "A"]),
            ("k8s-long-name", &["a.b"], &["a..b"]),
            ("anything else", &["", "x"], &[]),
        ] {
            for text in good {
                assert!(fits(format, text), "{format} {text}");
            }
            for text in bad {
                assert!(!fits(format, text), "{format} {text}");
            }
        }
        assert!(recognized(Some(Type::String), "date-time"));
        assert!(!recognized(Some(Type::Integer), "date-time"));
        assert!(recognized(Some(Type::Integer), "int32"));
        assert!(!recognized(None, "int32"));
    }
}
