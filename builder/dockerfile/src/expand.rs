//! What a substitution makes of a value: defaults, prefixes, suffixes, replacements.
//!
//! Knows: the operators of `${name}`. Refuses to know: how they are written.

use crate::glob::Pattern;

/// Characters of a value that patterns are tried on.
const LENGTH: usize = 4096;

/// An operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// `-`: what is there if it is set, or also if it is not empty.
    Default { nulls: bool },
    /// `+`
    Alternative { nulls: bool },
    /// `?`
    Demand { nulls: bool },
    /// `#`
    Prefix,
    /// `%`
    Suffix,
}

impl Op {
    pub(crate) fn of(c: char, nulls: bool) -> Op {
        match c {
            '-' => Op::Default { nulls },
            '+' => Op::Alternative { nulls },
            '?' => Op::Demand { nulls },
            '#' => Op::Prefix,
            _ => Op::Suffix,
        }
    }
}

/// Carries an operator out on a variable.
pub(crate) fn apply(name: &str, value: Option<&str>, op: Op, word: &str) -> Result<String, String> {
    let there = |nulls: bool| value.filter(|value| !(nulls && value.is_empty()));
    match op {
        Op::Default { nulls } => Ok(there(nulls).unwrap_or(word).to_owned()),
        Op::Alternative { nulls } => Ok(there(nulls).map_or("", |_| word).to_owned()),
        Op::Demand { nulls } => match there(nulls) {
            Some(value) => Ok(value.to_owned()),
            None if !word.is_empty() => Err(format!("{name}: {word}")),
            None if value.is_none() => Err(format!("{name}: is not allowed to be unset")),
            None => Err(format!("{name}: is not allowed to be empty")),
        },
        Op::Prefix => trim(value.unwrap_or_default(), word, '#'),
        Op::Suffix => trim(value.unwrap_or_default(), word, '%'),
    }
}

/// Takes the shortest beginning or end away that a pattern means; the longest where its sign stands twice.
fn trim(value: &str, word: &str, sign: char) -> Result<String, String> {
    let (longest, word) = match word.strip_prefix(sign) {
        Some(word) => (true, word),
        None => (false, word),
    };
    let pattern = pattern(word)?;
    short(value)?;
    // Byte positions between characters, each a place to cut.
    let cuts = value.char_indices().map(|(at, _)| at).chain([value.len()]);
    let cuts: Vec<usize> = cuts.collect();
    let from_start = (sign == '#') != longest;
    let mut cuts: Box<dyn Iterator<Item = usize>> =
        if from_start { Box::new(cuts.into_iter()) } else { Box::new(cuts.into_iter().rev()) };
    Ok(match sign {
        '#' => cuts.find(|cut| pattern.matches(&value[..*cut])).map_or(value, |cut| &value[cut..]),
        _ => cuts.find(|cut| pattern.matches(&value[*cut..])).map_or(value, |cut| &value[..cut]),
    }
    .to_owned())
}

/// Replaces the first, or each, longest part that a pattern means.
pub(crate) fn replace(value: &str, word: &str, with: &str, all: bool) -> Result<String, String> {
    let pattern = pattern(word)?;
    short(value)?;
    let (mut made, mut rest) = (String::new(), value);
    loop {
        match pattern.longest_start(rest) {
            Some(length) if length > 0 => {
                made.push_str(with);
                rest = &rest[length..];
                if !all {
                    break;
                }
            }
            _ => match rest.chars().next() {
                Some(c) => {
                    made.push(c);
                    rest = &rest[c.len_utf8()..];
                }
                None => break,
            },
        }
        if made.len() > LENGTH * 16 {
            return Err("the value is too long".to_owned());
        }
    }
    Ok(made + rest)
}

fn pattern(word: &str) -> Result<Pattern, String> {
    let wrong = |why| format!("invalid pattern ({word}) in substitution: {why}");
    Pattern::of_shell(word).map_err(wrong)
}

fn short(value: &str) -> Result<(), String> {
    match value.len() > LENGTH {
        true => {
            Err(format!("the value is too long for a pattern, which is tried on {LENGTH} bytes"))
        }
        false => Ok(()),
    }
}
