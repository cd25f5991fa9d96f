//! Semantic versions, such as `1.2.3-rc.1`.

use leme_meta::quote;
use std::cmp::Ordering;
use std::sync::Arc;

use super::{Made, Row, T, run};
use crate::meter::Fault;
use crate::value::Value;

/// A version: what comes before counts more.
#[derive(Debug)]
pub(crate) struct Semver {
    numbers: [u64; 3],
    before: Vec<Part>,
}

/// A part of what stands after the dash; numbers come before words.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Number(u64),
    Word(String),
}

macro_rules! row {
    ($name:literal, $member:literal, [$($arg:expr),*], $gives:expr, $run:expr) => {
        Row { name: $name, member: $member, args: &[$($arg),*], gives: $gives, run: $run }
    };
}

macro_rules! number {
    ($name:literal, $at:literal) => {
        row!($name, true, [T::Semver], T::Int, run!(Value::Semver(version) => _meter, {
            Ok(Value::Int(i64::try_from(version.numbers[$at]).unwrap_or(i64::MAX)))
        }))
    };
}

pub(super) static ROWS: &[Row] = &[
    row!(
        "semver",
        false,
        [T::Text],
        T::Semver,
        run!(Value::Text(text) => _meter, made(text, false))
    ),
    row!(
        "semver",
        false,
        [T::Text, T::Bool],
        T::Semver,
        run!(Value::Text(text), Value::Bool(loose) => _meter, made(text, *loose))
    ),
    row!(
        "isSemver",
        false,
        [T::Text],
        T::Bool,
        run!(Value::Text(text) => _meter, Ok(Value::Bool(made(text, false).is_ok())))
    ),
    row!(
        "isSemver",
        false,
        [T::Text, T::Bool],
        T::Bool,
        run!(Value::Text(text), Value::Bool(loose) => _meter, Ok(Value::Bool(made(text, *loose).is_ok())))
    ),
    number!("major", 0),
    number!("minor", 1),
    number!("patch", 2),
    row!(
        "isLessThan",
        true,
        [T::Semver, T::Semver],
        T::Bool,
        run!(Value::Semver(a), Value::Semver(b) => _meter, Ok(Value::Bool(a.compare(b).is_lt())))
    ),
    row!(
        "isGreaterThan",
        true,
        [T::Semver, T::Semver],
        T::Bool,
        run!(Value::Semver(a), Value::Semver(b) => _meter, Ok(Value::Bool(a.compare(b).is_gt())))
    ),
    row!(
        "compareTo",
        true,
        [T::Semver, T::Semver],
        T::Int,
        run!(Value::Semver(a), Value::Semver(b) => _meter, Ok(Value::Int(a.compare(b) as i64)))
    ),
];

fn made<'a>(text: &str, loose: bool) -> Made<'a> {
    let read = if loose { parse(&normal(text)?) } else { parse(text) };
    read.map(|version| Value::Semver(Arc::new(version))).map_err(Fault::Said)
}

/// A version that leaves something out, in full.
fn normal(text: &str) -> Result<String, Fault> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let mut parts: Vec<String> = text.splitn(3, '.').map(str::to_owned).collect();
    for part in parts.iter_mut().filter(|part| part.len() > 1) {
        let bare = part.trim_start_matches('0');
        let zero = if bare.starts_with(|letter: char| letter.is_ascii_digit()) { "" } else { "0" };
        *part = format!("{zero}{bare}");
    }
    if parts.len() < 3 && parts.last().is_some_and(|last| last.contains(['+', '-'])) {
        return Err(Fault::said("short version cannot contain PreRelease/Build meta data"));
    }
    parts.resize(3, "0".to_owned());
    Ok(parts.join("."))
}

fn parse(text: &str) -> Result<Semver, String> {
    if text.is_empty() {
        return Err("Version string empty".to_owned());
    }
    if text.len() > 256 {
        return Err("Version string too long".to_owned());
    }
    let parts: Vec<&str> = text.splitn(3, '.').collect();
    let [major, minor, rest] = parts[..] else {
        return Err("No Major.Minor.Patch elements found".to_owned());
    };
    let (rest, build) =
        rest.split_once('+').map_or((rest, None), |(rest, build)| (rest, Some(build)));
    let (patch, before) =
        rest.split_once('-').map_or((rest, None), |(patch, before)| (patch, Some(before)));
    let number = |name: &str, text: &str| -> Result<u64, String> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(format!(
                "Invalid character(s) found in {name} number {text}",
                text = quote(&text)
            ));
        }
        if text.len() > 1 && text.starts_with('0') {
            return Err(format!(
                "{name} number must not contain leading zeroes {text}",
                text = quote(&text)
            ));
        }
        text.parse().map_err(|_| format!("{name} number is too large {text}", text = quote(&text)))
    };
    let numbers = [number("Major", major)?, number("Minor", minor)?, number("Patch", patch)?];
    let word = |text: &&str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let mut parts = Vec::new();
    for part in before.into_iter().flat_map(|before| before.split('.')) {
        if !word(&part) {
            return Err(format!(
                "Invalid character(s) found in prerelease {part}",
                part = quote(&part)
            ));
        }
        parts.push(match part.bytes().all(|byte| byte.is_ascii_digit()) {
            true => Part::Number(number("PreRelease", part)?),
            false => Part::Word(part.to_owned()),
        });
    }
    if let Some(build) = build.filter(|build| !build.split('.').all(|part| word(&part))) {
        return Err(format!(
            "Invalid character(s) found in build meta data {build}",
            build = quote(&build)
        ));
    }
    Ok(Semver { numbers, before: parts })
}

impl Semver {
    pub(crate) fn compare(&self, other: &Semver) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| {
            match (self.before.is_empty(), other.before.is_empty()) {
                (true, true) => Ordering::Equal,
                (true, false) => Ordering::Greater,
                (false, true) => Ordering::Less,
                (false, false) => self.before.cmp(&other.before),
            }
        })
    }
}
