//! Durations as text.

use std::fmt::Write;

const UNITS: [(&str, f64); 8] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("μs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3600e9),
];

/// What schemas allow besides: words.
const WORDS: [(&str, f64); 12] = [
    ("nano", 1.0),
    ("micro", 1e3),
    ("milli", 1e6),
    ("sec", 1e9),
    ("min", 60e9),
    ("hr", 3600e9),
    ("hour", 3600e9),
    ("d", 86400e9),
    ("day", 86400e9),
    ("wk", 604_800e9),
    ("week", 604_800e9),
    ("w", 604_800e9),
];

/// A duration as Go writes it, such as `1h30m`, in billionths of a second.
pub(crate) fn parse(text: &str) -> Option<i64> {
    read(text, |unit| UNITS.iter().find(|(known, _)| *known == unit).map(|(_, nanos)| *nanos))
}

/// A duration as schemas have it: words, blanks and days as well.
pub(crate) fn lenient(text: &str) -> Option<i64> {
    let plain: String = text.chars().filter(|letter| !letter.is_whitespace()).collect();
    parse(&plain).or_else(|| {
        read(&plain.to_lowercase(), |unit| {
            let known = UNITS.iter().find(|(known, _)| *known == unit);
            let word = || {
                WORDS.iter().find(|(known, _)| {
                    unit == *known || (known.len() > 2 && unit.starts_with(known))
                })
            };
            known.or_else(word).map(|(_, nanos)| *nanos)
        })
    })
}

fn read(text: &str, unit: impl Fn(&str) -> Option<f64>) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total: i128 = 0;
    let mut any = false;
    while !rest.is_empty() {
        let after =
            rest.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
        let number = &rest[..rest.len() - after.len()];
        let next =
            after.trim_start_matches(|letter: char| !letter.is_ascii_digit() && letter != '.');
        let nanos = unit(&after[..after.len() - next.len()])?;
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && part.is_empty()) || part.contains('.') || number.len() > 64 {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "units are whole numbers of nanoseconds"
        )]
        let each = nanos as i128;
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse::<i64>().ok()?.into() };
        let mut fraction = each;
        let mut sum = whole.checked_mul(each)?;
        for digit in part.bytes() {
            fraction /= 10;
            sum += fraction * i128::from(digit - b'0');
        }
        total = total.checked_add(sum)?;
        any = true;
        rest = next;
    }
    i64::try_from(total.checked_mul(sign)?).ok().filter(|_| any)
}

/// A duration in seconds, as rules show it.
pub(super) fn seconds(nanos: i64) -> String {
    let all = nanos.unsigned_abs();
    let mut out = String::from(if nanos < 0 { "-" } else { "" });
    let _ = write!(out, "{}", all / 1_000_000_000);
    let part = all % 1_000_000_000;
    if part > 0 {
        let _ = write!(out, ".{}", format!("{part:09}").trim_end_matches('0'));
    }
    out.push('s');
    out
}
