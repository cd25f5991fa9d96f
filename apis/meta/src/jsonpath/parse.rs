//! Templates and paths read from text, as kubectl reads them. Knows the grammar; refuses to know what a path leads to.

use crate::quote;
use std::cmp::Ordering;

use serde_json::Value;

use super::{Operand, Part, Result, Step, Template, Test};

/// Deepest nesting of ranges.
const MAX_RANGES: usize = 16;

/// Most brackets of a template: they may stand inside each other.
const MAX_BRACKETS: usize = 256;

/// The operators, those first that begin with another one.
const TESTS: &[(&str, Test)] = &[
    ("==", Ordering::is_eq),
    ("!=", Ordering::is_ne),
    ("<=", Ordering::is_le),
    (">=", Ordering::is_ge),
    ("<", Ordering::is_lt),
    (">", Ordering::is_gt),
];

/// Reads a template.
///
/// # Errors
/// What is wrong with it, in words for people.
pub fn parse(text: &str) -> Result<Template> {
    if text.matches('[').count() > MAX_BRACKETS {
        return Err(format!("more than {MAX_BRACKETS} brackets"));
    }
    let mut rest = text;
    let parts = parts(&mut rest, 0)?;
    if !rest.is_empty() {
        return Err(format!("{{end}} without {{range}} in {text}", text = quote(&text)));
    }
    Ok(Template(parts))
}

fn parts(rest: &mut &str, depth: usize) -> Result<Vec<Part>> {
    if depth > MAX_RANGES {
        return Err(format!("more than {MAX_RANGES} ranges inside each other"));
    }
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let Some(open) = rest.find('{') else {
            parts.push(Part::Text(std::mem::take(rest).to_owned()));
            break;
        };
        if open > 0 {
            parts.push(Part::Text(rest[..open].to_owned()));
        }
        let close = closing(&rest[open..])
            .ok_or_else(|| format!("unclosed action in {rest}", rest = quote(&rest)))?
            + open;
        let action = rest[open + 1..close].trim().to_owned();
        *rest = &rest[close + 1..];
        if action == "end" {
            if depth == 0 {
                return Err("{end} without {range}".to_owned());
            }
            return Ok(parts);
        }
        if let Some(path) = action.strip_prefix("range ") {
            let path = steps(path.trim())?;
            parts.push(Part::Range(path, self::parts(rest, depth + 1)?));
        } else if let Some(text) = action.strip_prefix('"').and_then(|text| text.strip_suffix('"'))
        {
            parts.push(Part::Text(text.replace("\\n", "\n").replace("\\t", "\t")));
        } else {
            parts.push(Part::Path(steps(&action)?));
        }
    }
    if depth == 0 { Ok(parts) } else { Err("{range} without {end}".to_owned()) }
}

/// Where the brace that opens `text` is closed, outside quotes.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            (None, '}') => return Some(at),
            _ => {}
        }
    }
    None
}

fn steps(text: &str) -> Result<Vec<Step>> {
    let mut rest = text.strip_prefix(['$', '@']).unwrap_or(text);
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("..") {
            let (name, after) = name(after);
            steps.push(Step::Descend(name));
            rest = after;
        } else if let Some(after) = rest.strip_prefix('.') {
            let (name, after) = name(after);
            match name.as_str() {
                "" => {}
                "*" => steps.push(Step::All),
                _ => steps.push(Step::Field(name)),
            }
            rest = after;
        } else if rest.starts_with('[') {
            let end = bracket_end(rest)
                .ok_or_else(|| format!("unclosed [ in {text}", text = quote(&text)))?;
            steps.extend(bracket(&rest[1..end])?);
            rest = &rest[end + 1..];
        } else {
            let (name, after) = name(rest);
            if name.is_empty() {
                return Err(format!("{text} is not a path", text = quote(&text)));
            }
            steps.push(Step::Field(name));
            rest = after;
        }
    }
    Ok(steps)
}

/// A field name up to the next step; a backslash takes the next character as it is.
fn name(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '.' | '[' => return (name, &text[at..]),
            '\\' => name.extend(chars.next().map(|(_, c)| c)),
            c => name.push(c),
        }
    }
    (name, "")
}

fn bracket_end(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            (None, '[') => depth += 1,
            (None, ']') => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// A quoted name is a path of its own: its dots lead on unless a backslash stands before them.
fn bracket(text: &str) -> Result<Vec<Step>> {
    let text = text.trim();
    if let Some(test) = text.strip_prefix("?(").and_then(|test| test.strip_suffix(')')) {
        return Ok(vec![filter(test)?]);
    }
    let items = split(text, ",");
    if items.len() > 1 {
        return Ok(vec![Step::Union(items.into_iter().map(bracket).collect::<Result<_>>()?)]);
    }
    if let Some(path) = unquote(text) {
        return steps(path);
    }
    Ok(vec![if text == "*" { Step::All } else { index_or_slice(text)? }])
}

fn index_or_slice(text: &str) -> Result<Step> {
    let number = |text: &str| -> Result<Option<i64>> {
        if text.is_empty() {
            Ok(None)
        } else {
            text.parse().map(Some).map_err(|error| format!("[{text}]: {error}"))
        }
    };
    let parts: Vec<&str> = text.split(':').map(str::trim).collect();
    match parts[..] {
        [index] => match index.parse() {
            Ok(index) => Ok(Step::Index(index)),
            Err(_) => Err(format!("[{text}] is no index")),
        },
        [from, to] => Ok(Step::Slice(number(from)?, number(to)?, 1)),
        [from, to, by] => {
            let by = number(by)?.unwrap_or(1);
            match usize::try_from(by) {
                Ok(by) if by > 0 => Ok(Step::Slice(number(from)?, number(to)?, by)),
                _ => Err("step must be > 0".to_owned()),
            }
        }
        _ => Err(format!("[{text}] is no slice")),
    }
}

fn filter(text: &str) -> Result<Step> {
    for (word, test) in TESTS {
        if let [left, right] = split(text, word)[..] {
            return Ok(Step::Filter { left: operand(left)?, test: Some((*test, operand(right)?)) });
        }
    }
    Ok(Step::Filter { left: operand(text)?, test: None })
}

fn operand(text: &str) -> Result<Operand> {
    let text = text.trim();
    if let Some(text) = unquote(text) {
        return Ok(Operand::Literal(text.into()));
    }
    match serde_json::from_str::<Value>(text) {
        Ok(value @ (Value::Bool(_) | Value::Number(_))) => Ok(Operand::Literal(value)),
        _ => Ok(Operand::Path(steps(text)?)),
    }
}

/// The parts of a text between separators that stand outside quotes.
fn split<'a>(text: &'a str, separator: &str) -> Vec<&'a str> {
    let (mut parts, mut from, mut quote) = (Vec::new(), 0, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            (None, _) if at >= from && text[at..].starts_with(separator) => {
                parts.push(text[from..at].trim());
                from = at + separator.len();
            }
            _ => {}
        }
    }
    parts.push(text[from..].trim());
    parts
}

fn unquote(text: &str) -> Option<&str> {
    ['\'', '"'].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote))
}
