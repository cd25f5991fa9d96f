//! Words: how quotes, escapes and variables are read.
//!
//! Knows: docker's shell-like syntax. Refuses to know: which instruction a word is of, where variables come from.

use crate::expand::{self, Op};

/// Variables in variables at most.
const DEPTH: usize = 64;
/// Characters that a word may have after its variables are replaced.
const LENGTH: usize = 1 << 20;

/// How words are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lex {
    pub(crate) escape: char,
    /// Quotes stay.
    pub(crate) raw_quotes: bool,
    /// Escapes stay.
    pub(crate) raw_escapes: bool,
    /// Variables that are not set stay as they are written.
    pub(crate) keep_unset: bool,
    /// Quotes are characters as others.
    pub(crate) no_quotes: bool,
}

/// Where the value of a variable comes from.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Lex {
    /// As most instructions read their arguments.
    pub(crate) fn plain(escape: char) -> Lex {
        Lex { escape, raw_quotes: false, raw_escapes: false, keep_unset: false, no_quotes: false }
    }

    pub(crate) fn word(self, text: &str, env: Env<'_>) -> Result<String, String> {
        self.process(text, env).map(|(word, _)| word)
    }

    pub(crate) fn words(self, text: &str, env: Env<'_>) -> Result<Vec<String>, String> {
        self.process(text, env).map(|(_, words)| words)
    }

    fn process(self, text: &str, env: Env<'_>) -> Result<(String, Vec<String>), String> {
        let mut scan =
            Scan { text: text.chars().collect(), at: 0, lex: self, env, depth: 0, made: 0 };
        let read = scan.until(None, self.raw_escapes);
        read.map_err(|why| format!("failed to process {text:?}: {why}"))
    }
}

/// A word and the words in it, as they grow.
#[derive(Default)]
struct Grown {
    all: String,
    words: Vec<String>,
    word: String,
    in_word: bool,
}

impl Grown {
    /// As it is: part of a word even if it is a blank.
    fn raw(&mut self, c: char) {
        self.all.push(c);
        self.word.push(c);
        self.in_word = true;
    }

    fn raw_text(&mut self, text: &str) {
        self.all.push_str(text);
        self.word.push_str(text);
        self.in_word = true;
    }

    /// A blank ends the word.
    fn plain(&mut self, c: char) {
        match c.is_whitespace() {
            false => self.raw(c),
            true => {
                self.all.push(c);
                self.end();
            }
        }
    }

    fn end(&mut self) {
        if self.in_word && !self.word.is_empty() {
            self.words.push(std::mem::take(&mut self.word));
            self.in_word = false;
        }
    }
}

struct Scan<'a> {
    text: Vec<char>,
    at: usize,
    lex: Lex,
    env: Env<'a>,
    depth: usize,
    made: usize,
}

impl Scan<'_> {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek();
        self.at += usize::from(c.is_some());
        c
    }

    fn until(
        &mut self,
        stop: Option<char>,
        raw_escapes: bool,
    ) -> Result<(String, Vec<String>), String> {
        let before = std::mem::replace(&mut self.lex.raw_escapes, raw_escapes);
        let read = self.read(stop);
        self.lex.raw_escapes = before;
        read
    }

    fn read(&mut self, stop: Option<char>) -> Result<(String, Vec<String>), String> {
        let mut grown = Grown::default();
        while let Some(c) = self.peek() {
            if Some(c) == stop {
                self.at += 1;
                grown.end();
                return Ok((grown.all, grown.words));
            }
            match c {
                '$' => self.dollar()?.chars().for_each(|c| grown.plain(c)),
                '\'' if !self.lex.no_quotes => grown.raw_text(&self.single_quotes()?),
                '"' if !self.lex.no_quotes => grown.raw_text(&self.double_quotes()?),
                '<' => grown.raw_text(&self.heredoc_mark()),
                c if c == self.lex.escape => {
                    self.at += 1;
                    if self.lex.raw_escapes {
                        grown.raw(c);
                    }
                    match self.next() {
                        Some(c) => grown.raw(c),
                        None => break,
                    }
                }
                c => {
                    self.at += 1;
                    grown.plain(c);
                }
            }
        }
        match stop {
            Some(stop) => {
                Err(format!("unexpected end of statement while looking for matching {stop}"))
            }
            None => {
                grown.end();
                Ok((grown.all, grown.words))
            }
        }
    }

    fn single_quotes(&mut self) -> Result<String, String> {
        self.at += 1;
        let mut text = String::new();
        loop {
            match self.next() {
                Some('\'') if self.lex.raw_quotes => return Ok(format!("'{text}'")),
                Some('\'') => return Ok(text),
                Some(c) => text.push(c),
                None => {
                    let end = "unexpected end of statement while looking for matching single-quote";
                    return Err(end.to_owned());
                }
            }
        }
    }

    fn double_quotes(&mut self) -> Result<String, String> {
        self.at += 1;
        let mut text = String::new();
        loop {
            match self.peek() {
                None => {
                    let end = "unexpected end of statement while looking for matching double-quote";
                    return Err(end.to_owned());
                }
                Some('"') => {
                    self.at += 1;
                    return Ok(if self.lex.raw_quotes { format!("\"{text}\"") } else { text });
                }
                Some('$') => text.push_str(&self.dollar()?),
                Some(c) if c == self.lex.escape => {
                    self.at += 1;
                    if self.lex.raw_escapes {
                        text.push(c);
                    }
                    match self.peek() {
                        None => {}
                        Some(next) if next == '"' || next == '$' || next == c => {
                            self.at += 1;
                            text.push(next);
                        }
                        Some(_) => text.push(c),
                    }
                }
                Some(c) => {
                    self.at += 1;
                    text.push(c);
                }
            }
        }
    }

    /// `<<` with the blanks after it is the beginning of a word.
    fn heredoc_mark(&mut self) -> String {
        self.at += 1;
        if self.peek() != Some('<') {
            return "<".to_owned();
        }
        self.at += 1;
        let mut mark = "<<".to_owned();
        while let Some(c @ ('\t' | '\r' | ' ')) = self.peek() {
            mark.push(c);
            self.at += 1;
        }
        mark
    }

    fn dollar(&mut self) -> Result<String, String> {
        self.at += 1;
        if self.depth == DEPTH {
            return Err("syntax error: too many substitutions in each other".to_owned());
        }
        self.depth += 1;
        let value = match self.peek() {
            Some('{') => self.braces(),
            _ => {
                let name = self.name();
                match name.as_str() {
                    "" => Ok("$".to_owned()),
                    name => Ok(self.value(name, || format!("${name}"))),
                }
            }
        };
        self.depth -= 1;
        let value = value?;
        self.made += value.len();
        match self.made > LENGTH {
            true => Err("the value is too long".to_owned()),
            false => Ok(value),
        }
    }

    fn value(&self, name: &str, as_written: impl FnOnce() -> String) -> String {
        (self.env)(name).unwrap_or_else(|| match self.lex.keep_unset {
            true => as_written(),
            false => String::new(),
        })
    }

    fn braces(&mut self) -> Result<String, String> {
        self.at += 1;
        let missing = || "syntax error: missing '}'".to_owned();
        match self.peek() {
            None => return Err(missing()),
            Some('{' | '}' | ':') => return Err("syntax error: bad substitution".to_owned()),
            Some(_) => {}
        }
        let name = self.name();
        let first = self.next();
        let nulls = first == Some(':');
        let op = if nulls { self.next() } else { first };
        let written: String = first.into_iter().chain(op.filter(|_| nulls)).collect();
        let unsupported = || Err(format!("unsupported modifier ({written}) in substitution"));
        let set = (self.env)(&name);
        match op {
            Some('}') if !nulls => Ok(self.value(&name, || format!("${{{name}}}"))),
            Some(c @ ('+' | '-' | '?' | '#' | '%')) => {
                let pattern = matches!(c, '#' | '%');
                if nulls && pattern {
                    return unsupported();
                }
                let word = self.part('}', pattern).map_err(|why| why.unwrap_or_else(missing))?;
                if self.lex.keep_unset && set.is_none() {
                    return Ok(format!("${{{name}{written}{word}}}"));
                }
                expand::apply(&name, set.as_deref(), Op::of(c, nulls), &word)
            }
            Some('/') if !nulls => {
                let all = self.peek() == Some('/');
                self.at += usize::from(all);
                let slash = || "syntax error: missing '/' in ${}".to_owned();
                let pattern = self.part('/', true).map_err(|why| why.unwrap_or_else(slash))?;
                let with = self.part('}', true).map_err(|why| why.unwrap_or_else(missing))?;
                match set {
                    None if self.lex.keep_unset => Ok(format!("${{{name}/{pattern}/{with}}}")),
                    value => expand::replace(&value.unwrap_or_default(), &pattern, &with, all),
                }
            }
            None => Err(missing()),
            Some(_) => unsupported(),
        }
    }

    /// What goes up to `stop`; the error is empty where the text ends before.
    fn part(&mut self, stop: char, raw_escapes: bool) -> Result<String, Option<String>> {
        let read = self.until(Some(stop), raw_escapes);
        read.map(|(word, _)| word).map_err(|why| self.peek().map(|_| why))
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(c) = self.peek() {
            let special = "@*#?-$!0".contains(c);
            match name.is_empty() {
                true if c.is_ascii_digit() => {
                    while let Some(digit) = self.peek().filter(char::is_ascii_digit) {
                        name.push(digit);
                        self.at += 1;
                    }
                    return name;
                }
                true if special => {
                    self.at += 1;
                    return c.to_string();
                }
                _ if c.is_alphanumeric() || c == '_' => {
                    name.push(c);
                    self.at += 1;
                }
                _ => break,
            }
        }
        name
    }
}

/// Replaces the variables of a word, and takes its quotes and escapes away.
///
/// # Errors
/// In docker's words.
pub fn expand_word(text: &str, escape: char, env: Env<'_>) -> Result<String, String> {
    Lex::plain(escape).word(text, env)
}

/// As [`expand_word`]; what has blanks then falls into several words.
///
/// # Errors
/// In docker's words.
pub fn expand_words(text: &str, escape: char, env: Env<'_>) -> Result<Vec<String>, String> {
    Lex::plain(escape).words(text, env)
}

/// Replaces the variables of a document; its quotes stay.
///
/// # Errors
/// In docker's words.
pub fn expand_document(text: &str, escape: char, env: Env<'_>) -> Result<String, String> {
    Lex { no_quotes: true, ..Lex::plain(escape) }.word(text, env)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "a" => Some("alpha.tar.gz".into()),
            "b" => Some("x y".into()),
            "empty" => Some(String::new()),
            _ => None,
        }
    }

    const LEX: Lex = Lex {
        escape: '\\',
        raw_quotes: false,
        raw_escapes: false,
        keep_unset: false,
        no_quotes: false,
    };

    #[test]
    fn variables() {
        for (text, expected) in [
            ("$a/${a}", "alpha.tar.gz/alpha.tar.gz"),
            ("x$none-y", "x-y"),
            ("${none:-d}${none-e}${empty:-f}${empty-g}", "def"),
            ("${a:+yes}${empty:+no}${empty+set}${none+no}", "yesset"),
            ("${none:-${b}}", "x y"),
            ("'$a' \"$a\" \\$a", "$a alpha.tar.gz $a"),
            ("\"a\\\"b\\c\"", "a\"b\\c"),
            ("${a#*.}|${a##*.}|${a%.*}|${a%%.*}", "tar.gz|gz|alpha.tar|alpha"),
            ("${a#nothing}|${a#alph?}", "alpha.tar.gz|.tar.gz"),
            ("${a/a/A}|${a//a/A}|${a/*./}", "Alpha.tar.gz|AlphA.tAr.gz|gz"),
            ("$", "$"),
            ("${a", "!syntax error: missing '}'"),
            ("${}", "!syntax error: bad substitution"),
            ("${a:x}", "!unsupported modifier (:x) in substitution"),
            ("${none:?is needed}", "!none: is needed"),
            ("${none?}", "!none: is not allowed to be unset"),
            ("${empty:?}", "!empty: is not allowed to be empty"),
            ("'x", "!unexpected end of statement while looking for matching single-quote"),
            ("\"x", "!unexpected end of statement while looking for matching double-quote"),
        ] {
            let read = LEX.word(text, &env);
            match (expected.strip_prefix('!'), read) {
                (Some(why), Err(said)) => {
                    assert_eq!(said, format!("failed to process {text:?}: {why}"))
                }
                (None, Ok(value)) => assert_eq!(value, expected, "{text}"),
                (_, read) => panic!("{text}: {read:?}"),
            }
        }
        let kept = Lex { keep_unset: true, ..LEX };
        assert_eq!(kept.word("$x ${y} ${z:-1} $a", &env).unwrap(), "$x ${y} ${z:-1} alpha.tar.gz");
        // Docker's own: blanks in a value part words.
        assert_eq!(LEX.words("$b '$b z' \"q  r\"", &env).unwrap(), ["x", "y", "$b z", "q  r"]);
    }

    #[test]
    fn nothing_is_read_too_deep_or_too_long() {
        let deep = "${x:-".repeat(10_000);
        assert!(LEX.word(&deep, &env).unwrap_err().contains("in each other"));
        let long = |_: &str| Some("x".repeat(60_000));
        assert!(LEX.word(&"$x".repeat(1000), &long).unwrap_err().ends_with("too long"));
        let slow = |_: &str| Some("a".repeat(60_000));
        assert!(LEX.word("${x//*a*a*a*b/}", &slow).is_err());
    }
}
