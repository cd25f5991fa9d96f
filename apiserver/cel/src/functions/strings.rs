//! Texts: what is in them, and what can be made of them.

use super::{Made, Row, T, TEXTS, count, run};
use crate::meter::{Fault, Meter};
use crate::value::{List, Value};

macro_rules! row {
    ($name:literal, [$($arg:expr),*], $gives:expr, $run:expr) => {
        Row { name: $name, member: true, args: &[$($arg),*], gives: $gives, run: $run }
    };
}

pub(super) static ROWS: &[Row] = &[
    row!(
        "contains",
        [T::Text, T::Text],
        T::Bool,
        run!(Value::Text(a), Value::Text(b) => meter, {
            searched(a, b, meter)?;
            Ok(Value::Bool(a.contains(&**b)))
        })
    ),
    row!(
        "startsWith",
        [T::Text, T::Text],
        T::Bool,
        run!(Value::Text(a), Value::Text(b) => meter, {
            meter.letters(b.len())?;
            Ok(Value::Bool(a.starts_with(&**b)))
        })
    ),
    row!(
        "endsWith",
        [T::Text, T::Text],
        T::Bool,
        run!(Value::Text(a), Value::Text(b) => meter, {
            meter.letters(b.len())?;
            Ok(Value::Bool(a.ends_with(&**b)))
        })
    ),
    row!(
        "charAt",
        [T::Text, T::Int],
        T::Text,
        run!(Value::Text(text), Value::Int(at) => meter, {
            meter.letters(text.len())?;
            let letters = text.chars().count();
            let place = usize::try_from(*at).ok().filter(|at| *at <= letters).ok_or_else(|| range(*at))?;
            Ok(Value::text(text.chars().nth(place).map(String::from).unwrap_or_default()))
        })
    ),
    row!(
        "indexOf",
        [T::Text, T::Text],
        T::Int,
        run!(Value::Text(a), Value::Text(b) => meter, first(a, b, 0, meter))
    ),
    row!(
        "indexOf",
        [T::Text, T::Text, T::Int],
        T::Int,
        run!(Value::Text(a), Value::Text(b), Value::Int(from) => meter, first(a, b, *from, meter))
    ),
    row!(
        "lastIndexOf",
        [T::Text, T::Text],
        T::Int,
        run!(Value::Text(a), Value::Text(b) => meter, last(a, b, None, meter))
    ),
    row!(
        "lastIndexOf",
        [T::Text, T::Text, T::Int],
        T::Int,
        run!(Value::Text(a), Value::Text(b), Value::Int(from) => meter, last(a, b, Some(*from), meter))
    ),
    row!(
        "lowerAscii",
        [T::Text],
        T::Text,
        run!(Value::Text(text) => meter, {
            meter.letters(text.len())?;
            Ok(Value::text(text.to_ascii_lowercase()))
        })
    ),
    row!(
        "upperAscii",
        [T::Text],
        T::Text,
        run!(Value::Text(text) => meter, {
            meter.letters(text.len())?;
            Ok(Value::text(text.to_ascii_uppercase()))
        })
    ),
    row!(
        "trim",
        [T::Text],
        T::Text,
        run!(Value::Text(text) => meter, {
            meter.letters(text.len())?;
            Ok(Value::text(text.trim()))
        })
    ),
    row!(
        "replace",
        [T::Text, T::Text, T::Text],
        T::Text,
        run!(Value::Text(text), Value::Text(old), Value::Text(new) => meter, replaced(text, old, new, -1, meter))
    ),
    row!(
        "replace",
        [T::Text, T::Text, T::Text, T::Int],
        T::Text,
        run!(Value::Text(text), Value::Text(old), Value::Text(new), Value::Int(most) => meter, replaced(text, old, new, *most, meter))
    ),
    row!(
        "split",
        [T::Text, T::Text],
        TEXTS,
        run!(Value::Text(text), Value::Text(by) => meter, split(text, by, -1, meter))
    ),
    row!(
        "split",
        [T::Text, T::Text, T::Int],
        TEXTS,
        run!(Value::Text(text), Value::Text(by), Value::Int(most) => meter, split(text, by, *most, meter))
    ),
    row!(
        "substring",
        [T::Text, T::Int],
        T::Text,
        run!(Value::Text(text), Value::Int(from) => meter, part(text, *from, None, meter))
    ),
    row!(
        "substring",
        [T::Text, T::Int, T::Int],
        T::Text,
        run!(Value::Text(text), Value::Int(from), Value::Int(to) => meter, part(text, *from, Some(*to), meter))
    ),
    row!("join", [TEXTS], T::Text, run!(Value::List(list) => meter, joined(list, "", meter))),
    row!(
        "join",
        [TEXTS, T::Text],
        T::Text,
        run!(Value::List(list), Value::Text(by) => meter, joined(list, by, meter))
    ),
    Row {
        name: "strings.quote",
        member: false,
        args: &[T::Text],
        gives: T::Text,
        run: run!(Value::Text(text) => meter, {
            meter.letters(text.len())?;
            Ok(Value::text(quoted(text)))
        }),
    },
];

fn range(at: i64) -> Fault {
    Fault::said(format!("index out of range: {at}"))
}

/// Steps of looking for one text in another.
fn searched(text: &str, what: &str, meter: &mut Meter) -> Result<(), Fault> {
    meter.spend((text.len() as u64 / 10 + 1).saturating_mul(what.len() as u64 / 10 + 1))
}

fn place(from: i64, letters: usize) -> Result<usize, Fault> {
    usize::try_from(from).ok().filter(|from| *from < letters).ok_or_else(|| range(from))
}

fn first<'a>(text: &str, what: &str, from: i64, meter: &mut Meter) -> Made<'a> {
    searched(text, what, meter)?;
    if what.is_empty() {
        return Ok(Value::Int(from));
    }
    let start = place(from, text.chars().count())?;
    let begins = text.char_indices().nth(start).map_or(0, |(at, _)| at);
    let found = text[begins..].find(what);
    Ok(found.map_or(Value::Int(-1), |at| count(text[..begins + at].chars().count())))
}

fn last<'a>(text: &str, what: &str, from: Option<i64>, meter: &mut Meter) -> Made<'a> {
    searched(text, what, meter)?;
    let letters = text.chars().count();
    if what.is_empty() {
        return Ok(from.map_or_else(|| count(letters), Value::Int));
    }
    let from = from.unwrap_or_else(|| i64::try_from(letters).unwrap_or(i64::MAX) - 1);
    let start = place(from, letters)?;
    // Only what begins up to there counts.
    let ends = text.char_indices().nth(start).map_or(0, |(at, _)| at) + what.len();
    let mut ends = ends.min(text.len());
    while !text.is_char_boundary(ends) {
        ends += 1;
    }
    Ok(text[..ends].rfind(what).map_or(Value::Int(-1), |at| count(text[..at].chars().count())))
}

fn replaced<'a>(text: &str, old: &str, new: &str, most: i64, meter: &mut Meter) -> Made<'a> {
    searched(text, old, meter)?;
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let times = text.matches(old).take(most).count();
    meter.letters(text.len().saturating_add(times.saturating_mul(new.len())))?;
    Ok(Value::text(text.replacen(old, new, most)))
}

fn split<'a>(text: &str, by: &str, most: i64, meter: &mut Meter) -> Made<'a> {
    searched(text, by, meter)?;
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    if most == 0 {
        return Ok(List::own(Vec::new()));
    }
    let pieces: Vec<String> = match by {
        // Between any two letters.
        "" => {
            let mut letters = text.chars();
            let mut pieces: Vec<String> =
                letters.by_ref().take(most - 1).map(String::from).collect();
            let rest = letters.as_str();
            if !rest.is_empty() {
                pieces.push(rest.to_owned());
            }
            pieces
        }
        by => text.splitn(most, by).map(str::to_owned).collect(),
    };
    meter.spend(pieces.len() as u64)?;
    Ok(List::own(pieces.into_iter().map(Value::text).collect()))
}

fn part<'a>(text: &str, from: i64, to: Option<i64>, meter: &mut Meter) -> Made<'a> {
    meter.letters(text.len())?;
    let letters = text.chars().count();
    let fits =
        |at: i64| usize::try_from(at).ok().filter(|at| *at <= letters).ok_or_else(|| range(at));
    if let Some(to) = to.filter(|to| from > *to) {
        return Err(Fault::said(format!("invalid substring range. start: {from}, end: {to}")));
    }
    let start = fits(from)?;
    let end = to.map_or(Ok(letters), fits)?;
    Ok(Value::text(text.chars().skip(start).take(end - start).collect::<String>()))
}

fn joined<'a>(list: &List<'_>, by: &str, meter: &mut Meter) -> Made<'a> {
    let mut out = String::new();
    for (index, item) in list.iter().enumerate() {
        let Value::Text(text) = item else { return Err(Fault::overload()) };
        meter.spend((text.len() + by.len()) as u64 / 10 + 1)?;
        if index > 0 {
            out.push_str(by);
        }
        out.push_str(&text);
    }
    Ok(Value::text(out))
}

/// A text as it would stand in a rule.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}
