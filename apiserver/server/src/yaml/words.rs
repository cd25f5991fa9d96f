//! What is wrong with YAML, in the words of Go's library.
//!
//! Knows: which of its phrases stands for which of the reader's, and how either counts lines. Refuses to know: YAML.

use serde_saphyr::Error;

/// Who in Go's library finds it: its scanner counts lines from one, its parser from zero. Neither names the first.
enum By {
    Scanner,
    Parser,
}

use By::{Parser, Scanner};

/// What the reader says, and what Go's library says in its place.
const PHRASES: &[(&str, By, &str)] = &[
    ("mapping values are not allowed", Scanner, "mapping values are not allowed in this context"),
    ("mapping keys are not allowed", Scanner, "mapping keys are not allowed in this context"),
    (
        "block sequence entries are not allowed",
        Scanner,
        "block sequence entries are not allowed in this context",
    ),
    ("simple key", Scanner, "could not find expected ':'"),
    ("unclosed quote", Scanner, "found unexpected end of stream"),
    ("unexpected character", Scanner, "found character that cannot start any token"),
    ("tabs disallowed", Scanner, "found character that cannot start any token"),
    ("tab cannot be used", Scanner, "found character that cannot start any token"),
    ("found a tab", Scanner, "found a tab character that violates indentation"),
    ("unknown escape character", Scanner, "found unknown escape character"),
    ("misplaced bracket", Parser, "did not find expected node content"),
    ("expected node content", Parser, "did not find expected node content"),
    ("block mapping, did not find expected key", Parser, "did not find expected key"),
    ("expected ',' or '}'", Parser, "did not find expected ',' or '}'"),
    ("expected ',' or ']'", Parser, "did not find expected ',' or ']'"),
    ("expected '-' indicator", Parser, "did not find expected '-' indicator"),
    ("<document start>", Parser, "did not find expected <document start>"),
    ("duplicate version directive", Parser, "found duplicate %YAML directive"),
    ("unsupported YAML major version", Parser, "found incompatible YAML document"),
    ("the handle wasn't declared", Parser, "found undefined tag handle"),
];

/// An error in a text, in one line.
pub(super) fn told(error: &Error, text: &[u8]) -> String {
    let error = error.without_snippet();
    let said = error.to_string();
    let (line, column) =
        error.location().map_or((0, 0), |location| (location.line(), location.column()));
    let alias = || alias(text, line, column);
    match error {
        Error::UnknownAnchor { .. } => {
            return format!("yaml: unknown anchor '{}' referenced", alias());
        }
        Error::RecursiveReferencesRequireWeakTypes { .. } => {
            return format!("yaml: anchor '{}' value contains itself", alias());
        }
        _ => {}
    }
    if said.starts_with("unclosed bracket") {
        return unclosed(said.contains('['), text, line.saturating_sub(1));
    }
    let found = PHRASES.iter().find(|(ours, ..)| said.contains(ours));
    match found {
        None => said.lines().next().unwrap_or_default().to_owned(),
        Some((_, Parser, phrase)) => at(line.saturating_sub(1), phrase),
        Some((_, Scanner, phrase)) => at(if line == 1 { 0 } else { line }, phrase),
    }
}

fn at(line: u64, phrase: &str) -> String {
    match line {
        0 => format!("yaml: {phrase}"),
        line => format!("yaml: line {line}: {phrase}"),
    }
}

/// What is wrong with a list or map that begins in a line, counted from zero, and does not end.
fn unclosed(is_list: bool, text: &[u8], begins: u64) -> String {
    let open = text.trim_ascii_end().last().is_none_or(|last| b",[{:".contains(last));
    let breaks = text.iter().filter(|byte| **byte == b'\n').count();
    let end = breaks + usize::from(text.last() != Some(&b'\n'));
    let end = u64::try_from(end).unwrap_or(u64::MAX);
    match (open, is_list) {
        (true, _) => at(end, "did not find expected node content"),
        (false, true) => {
            at(if begins == 0 { end } else { begins }, "did not find expected ',' or ']'")
        }
        (false, false) => {
            at(if begins == 0 { end } else { begins }, "did not find expected ',' or '}'")
        }
    }
}

/// The name of an alias at a place, both numbers of which are counted from one.
fn alias(text: &[u8], line: u64, column: u64) -> String {
    let text = String::from_utf8_lossy(text);
    let place = |number: u64| usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX);
    let line = text.lines().nth(place(line)).unwrap_or("");
    let rest = line.chars().skip(place(column)).skip_while(|c| *c == '*');
    rest.take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '-')).collect()
}

#[cfg(test)]
mod tests {
    use crate::yaml::value;

    // Red with the reader's own words.
    #[test]
    fn errors_are_worded_as_in_go() {
        let mut wrong = Vec::new();
        for (text, want) in [
            ("a: b: c", "yaml: mapping values are not allowed in this context"),
            ("a: 1\nb: c: d", "yaml: line 2: mapping values are not allowed in this context"),
            ("value: -", "yaml: block sequence entries are not allowed in this context"),
            ("v: [A,", "yaml: line 1: did not find expected node content"),
            ("v:\n- [A,", "yaml: line 2: did not find expected node content"),
            ("a: [1", "yaml: line 1: did not find expected ',' or ']'"),
            ("a:\n- {b: 1", "yaml: line 1: did not find expected ',' or '}'"),
            ("a:\n  1:\nb\n  2:", "yaml: line 3: could not find expected ':'"),
            ("a: 'b", "yaml: found unexpected end of stream"),
            ("a: @b", "yaml: found character that cannot start any token"),
            ("a:\n\tb: c", "yaml: line 2: found character that cannot start any token"),
            ("a: \"\\z\"", "yaml: found unknown escape character"),
            ("a: *b\n", "yaml: unknown anchor 'b' referenced"),
            ("a: &a\n  b: *a\n", "yaml: anchor 'a' value contains itself"),
            ("a: 1\n- b\n", "yaml: line 1: did not find expected key"),
            ("- a\nb: 1\n", "yaml: line 1: did not find expected '-' indicator"),
            ("a: b\n c: d\n", "yaml: line 2: mapping values are not allowed in this context"),
            ("a: ]", "yaml: did not find expected node content"),
            ("a: b\nc\n", "yaml: line 2: could not find expected ':'"),
        ] {
            let said = value(text.as_bytes()).map_or_else(|why| why, |value| value.to_string());
            if said != want {
                wrong.push(format!("{text:?}: {said:?}, not {want:?}"));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}
