//! What a misspelt command was meant to be, where clap finds nothing like it.
//!
//! Knows: slips of the hand: a letter too many, too few, another one, two that changed places. Refuses to know: any command
//! by name.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory, Error, Parser};

use super::Cli;

/// Reads the command line.
///
/// # Errors
/// What clap says, and what was meant if that can be guessed.
pub fn parse(words: &[OsString]) -> Result<Cli, Error> {
    Cli::try_parse_from(words).map_err(|mut error| {
        let is_told = error.get(ContextKind::SuggestedSubcommand).is_some();
        if error.kind() == ErrorKind::InvalidSubcommand && !is_told {
            let meant = meant(words, &error);
            if !meant.is_empty() {
                error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(meant));
            }
        }
        error
    })
}

/// The commands that are nearest to what is none.
fn meant(words: &[OsString], error: &Error) -> Vec<String> {
    let Some(ContextValue::String(wrong)) = error.get(ContextKind::InvalidSubcommand) else {
        return Vec::new();
    };
    let root = Cli::command();
    let mut command = &root;
    for word in words.iter().skip(1).filter_map(|word| word.to_str()) {
        match command.find_subcommand(word) {
            Some(inner) => command = inner,
            None if word == wrong => break,
            None => {}
        }
    }
    let near = |known: &&Command| slips(wrong, known.get_name()) <= most(wrong);
    let shown = command.get_subcommands().filter(|known| !known.is_hide_set());
    shown.filter(near).map(|known| known.get_name().to_owned()).collect()
}

/// How many slips a word of this length may have.
fn most(word: &str) -> usize {
    if word.chars().count() < 5 { 1 } else { 2 }
}

/// How many slips make one word of another.
fn slips(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=other.len()).collect()];
    for (i, a) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in other.iter().enumerate() {
            let mut least =
                (rows[i][j] + usize::from(a != b)).min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == other[j - 1] && one[i - 1] == *b {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[one.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &str, meant: &str) {
        let words: Vec<OsString> = words.split(' ').map(OsString::from).collect();
        let told = parse(&words).unwrap_err().to_string();
        assert!(told.contains("unrecognized subcommand"), "{told}");
        assert_eq!(told.contains("similar subcommand"), !meant.is_empty(), "{told}");
        assert!(told.contains(meant), "{told}");
    }

    /// Red when clap guesses alone: it finds nothing like a word of two letters.
    #[test]
    fn a_misspelt_command_is_guessed() {
        for (words, meant) in [
            ("leme gt pods", "'get'"),
            ("leme gte pods", "'get'"),
            ("leme egt pods", "'get'"),
            ("leme wy pod/a", "'why'"),
            ("leme pu", "'up'"),
            ("leme dwon", "'down'"),
            ("leme dscribe pod a", "'describe'"),
            ("leme image l", "'ls'"),
            ("leme rollout udno x", "'undo'"),
            ("leme frobnicate", ""),
            ("leme zz", ""),
        ] {
            check(words, meant);
        }
    }
}
