//! Patterns: of shells for values, of Go's `filepath.Match` for sources, of ignore files.
//!
//! Knows: wildcards. Refuses to know: what they are matched with. A match takes no longer than the pattern times the text,
//! whatever both are.

/// Characters of a pattern at most.
const LENGTH: usize = 4096;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Char(char),
    /// One character; `/` only in shell patterns.
    One,
    /// Any characters but `/`.
    Star,
    /// Any characters.
    All,
    /// Nothing, or whole directories: `**/`.
    Directories,
    /// One of a set, or not of it; never `/`.
    Class {
        not: bool,
        ranges: Vec<(char, char)>,
    },
}

/// A pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    tokens: Vec<Token>,
    slash: bool,
}

impl Pattern {
    /// As in `${name#pattern}`: `*` and `?` mean `/` as well.
    pub(crate) fn of_shell(text: &str) -> Result<Pattern, String> {
        bounded(text)?;
        let (mut tokens, mut chars) = (Vec::new(), text.chars());
        while let Some(c) = chars.next() {
            tokens.push(match c {
                '*' => Token::All,
                '?' => Token::One,
                '\\' => match chars.next() {
                    Some(c @ ('*' | '?' | '\\' | '}' | '/')) => Token::Char(c),
                    Some(c) => return Err(format!("invalid escape '\\{c}'")),
                    None => return Err("invalid escape '\\'".to_owned()),
                },
                c => Token::Char(c),
            });
        }
        Ok(Pattern { tokens, slash: true })
    }

    /// As in ignore files and sources: `*`, `?`, `[a-z]`, `\x`, and `**` for any number of directories.
    ///
    /// # Errors
    /// In Go's words.
    pub fn of_path(text: &str) -> Result<Pattern, String> {
        bounded(text)?;
        let wrong = || "syntax error in pattern".to_owned();
        let chars: Vec<char> = text.chars().collect();
        let (mut tokens, mut at) = (Vec::new(), 0);
        while let Some(&c) = chars.get(at) {
            at += 1;
            tokens.push(match c {
                '*' if chars.get(at) == Some(&'*') => {
                    at += 1;
                    match chars.get(at) {
                        Some('/') => {
                            at += 1;
                            Token::Directories
                        }
                        _ => Token::All,
                    }
                }
                '*' => Token::Star,
                '?' => Token::One,
                '[' => class(&chars, &mut at).ok_or_else(wrong)?,
                '\\' => {
                    at += 1;
                    Token::Char(*chars.get(at - 1).ok_or_else(wrong)?)
                }
                c => Token::Char(c),
            });
        }
        Ok(Pattern { tokens, slash: false })
    }

    /// Whether all of a text is meant.
    pub fn matches(&self, text: &str) -> bool {
        let mut last = false;
        let died = self.run(text, |_, done| last = done);
        !died && last
    }

    /// The longest beginning of a text that is meant, in bytes.
    pub(crate) fn longest_start(&self, text: &str) -> Option<usize> {
        let mut longest = None;
        self.run(text, |at, done| {
            if done {
                longest = Some(at);
            }
        });
        longest
    }

    /// Reads a text and says after each character whether what was read so far is meant; true if it ended early.
    fn run(&self, text: &str, mut told: impl FnMut(usize, bool)) -> bool {
        let end = self.tokens.len();
        let mut here = vec![false; end + 1];
        here[0] = true;
        self.pass(&mut here, true);
        told(0, here[end]);
        for (at, c) in text.char_indices() {
            let mut next = vec![false; end + 1];
            for (state, token) in self.tokens.iter().enumerate().filter(|(state, _)| here[*state]) {
                match token {
                    Token::Char(wanted) => next[state + 1] |= *wanted == c,
                    Token::One => next[state + 1] |= self.slash || c != '/',
                    Token::Star => next[state] |= c != '/',
                    Token::All | Token::Directories => next[state] = true,
                    Token::Class { not, ranges } => {
                        let within = ranges.iter().any(|(from, to)| (*from..=*to).contains(&c));
                        next[state + 1] |= c != '/' && within != *not;
                    }
                }
            }
            self.pass(&mut next, c == '/');
            if !next.contains(&true) {
                return true;
            }
            here = next;
            told(at + c.len_utf8(), here[end]);
        }
        false
    }

    /// Goes on past what may be nothing. A directory ends with its `/`.
    fn pass(&self, states: &mut [bool], after_slash: bool) {
        for (state, token) in self.tokens.iter().enumerate() {
            let passes = match token {
                Token::Star | Token::All => true,
                Token::Directories => after_slash,
                _ => false,
            };
            if states[state] && passes {
                states[state + 1] = true;
            }
        }
    }
}

/// Whether a source has wildcards.
pub fn has_wildcards(text: &str) -> bool {
    let mut escaped = false;
    text.chars().any(|c| {
        let wild = !escaped && matches!(c, '*' | '?' | '[');
        escaped = !escaped && c == '\\';
        wild
    })
}

fn bounded(text: &str) -> Result<(), String> {
    match text.len() > LENGTH {
        true => Err("the pattern is too long".to_owned()),
        false => Ok(()),
    }
}

fn class(chars: &[char], at: &mut usize) -> Option<Token> {
    let not = chars.get(*at) == Some(&'^');
    *at += usize::from(not);
    let mut ranges = Vec::new();
    loop {
        if *chars.get(*at)? == ']' && !ranges.is_empty() {
            *at += 1;
            return Some(Token::Class { not, ranges });
        }
        let from = class_char(chars, at)?;
        let to = match chars.get(*at) {
            Some('-') => {
                *at += 1;
                class_char(chars, at)?
            }
            _ => from,
        };
        ranges.push((from, to));
    }
}

fn class_char(chars: &[char], at: &mut usize) -> Option<char> {
    let c = *chars.get(*at)?;
    *at += 1;
    match c {
        '-' | ']' => None,
        '\\' => {
            *at += 1;
            chars.get(*at - 1).copied()
        }
        c => Some(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for (pattern, text, expected) in [
            ("*.go", "a.go", true),
            ("*.go", "d/a.go", false),
            ("d/*", "d/a", true),
            ("d/*", "d/a/b", false),
            ("**/*.go", "a.go", true),
            ("**/*.go", "d/e/a.go", true),
            ("**/a", "xa", false),
            ("a/**", "a/b/c", true),
            ("a/**/c", "a/c", true),
            ("a/**/c", "a/b/b/c", true),
            ("a/**/c", "a/bc", false),
            ("**", "a/b", true),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[^a-c]x", "zx", true),
            (r"a\*", "a*", true),
            (r"a\*", "ab", false),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(
                Pattern::of_path(pattern).unwrap().matches(text),
                expected,
                "{pattern} {text}"
            );
        }
        for bad in ["[", "[]", "[a-", "a\\", "[-]"] {
            assert_eq!(Pattern::of_path(bad).unwrap_err(), "syntax error in pattern", "{bad}");
        }
        assert!(has_wildcards("a[b]") && has_wildcards("*") && !has_wildcards(r"a\*b"));
    }

    #[test]
    fn no_pattern_takes_long() {
        let pattern = Pattern::of_path(&"*a".repeat(2000)).unwrap();
        assert!(!pattern.matches(&"a".repeat(1999)));
        assert!(Pattern::of_path(&"*".repeat(5000)).is_err());
    }
}
