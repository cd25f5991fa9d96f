//! Regular expressions that a rule makes, or states.

use leme_meta::structural::Pattern;
use regex::Regex;

use super::{Made, Row, T, TEXTS, run};
use crate::meter::{Fault, Meter};
use crate::value::{List, Value};

/// Steps that reading an expression takes.
const READING: u64 = 10_000;

pub(super) static ROWS: &[Row] = &[
    Row {
        name: "matches",
        member: true,
        args: &[T::Text, T::Text],
        gives: T::Bool,
        run: run!(Value::Text(text), Value::Text(pattern) => meter, matches(text, pattern, meter)),
    },
    Row {
        name: "matches",
        member: false,
        args: &[T::Text, T::Text],
        gives: T::Bool,
        run: run!(Value::Text(text), Value::Text(pattern) => meter, matches(text, pattern, meter)),
    },
    Row {
        name: "find",
        member: true,
        args: &[T::Text, T::Text],
        gives: T::Text,
        run: run!(Value::Text(text), Value::Text(pattern) => meter, {
            let regex = read(text, pattern, meter)?;
            Ok(Value::text(regex.find(text).map(|found| found.as_str()).unwrap_or_default()))
        }),
    },
    Row {
        name: "findAll",
        member: true,
        args: &[T::Text, T::Text],
        gives: TEXTS,
        run: run!(Value::Text(text), Value::Text(pattern) => meter, all(text, pattern, -1, meter)),
    },
    Row {
        name: "findAll",
        member: true,
        args: &[T::Text, T::Text, T::Int],
        gives: TEXTS,
        run: run!(Value::Text(text), Value::Text(pattern), Value::Int(most) => meter, all(text, pattern, *most, meter)),
    },
];

/// An expression, or what Go says of it.
pub(crate) fn regex(pattern: &str) -> Result<Regex, String> {
    Pattern::compiled(pattern)
}

/// Takes the steps that matching takes.
pub(crate) fn spend(text: &str, pattern: &str, meter: &mut Meter) -> Result<(), Fault> {
    meter.spend((text.len() as u64 / 10 + 1).saturating_mul(pattern.len() as u64 / 4 + 1))
}

fn read(text: &str, pattern: &str, meter: &mut Meter) -> Result<Regex, Fault> {
    spend(text, pattern, meter)?;
    meter.spend(READING)?;
    regex(pattern).map_err(Fault::Said)
}

fn matches<'a>(text: &str, pattern: &str, meter: &mut Meter) -> Made<'a> {
    Ok(Value::Bool(read(text, pattern, meter)?.is_match(text)))
}

fn all<'a>(text: &str, pattern: &str, most: i64, meter: &mut Meter) -> Made<'a> {
    let regex = read(text, pattern, meter)?;
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let found: Vec<Value<'a>> =
        regex.find_iter(text).take(most).map(|found| Value::text(found.as_str())).collect();
    meter.spend(found.len() as u64)?;
    Ok(List::own(found))
}
