//! Regular expressions of schemas: in Go's syntax, matched in time linear in the text, bounded in size.
//!
//! Refuses to know: Go's messages for what is no expression.

use std::sync::OnceLock;

use regex::{Regex, RegexBuilder};

/// Largest program of one expression.
const SIZE: usize = 4 << 20;

/// An expression, made when it is first needed.
#[derive(Debug)]
pub struct Pattern {
    text: String,
    compiled: OnceLock<Option<Regex>>,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.text == other.text
    }
}

impl Pattern {
    /// The expression of a text, whether it is one or not.
    pub fn new(text: &str) -> Pattern {
        Pattern { text: text.to_owned(), compiled: OnceLock::new() }
    }

    /// An expression made for one use, which may be smaller than those of a schema.
    ///
    /// # Errors
    /// What Go says of a text that is none.
    pub fn compiled(text: &str) -> Result<Regex, String> {
        compile(text, SIZES[1]).map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "expression too large".to_owned(),
            error => error_of(&error),
        })
    }

    /// The expression as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is found in a text. One that is no expression matches everything.
    pub fn matches(&self, text: &str) -> bool {
        let compiled = self.compiled.get_or_init(|| compile(&self.text, SIZE).ok());
        compiled.as_ref().is_none_or(|regex| regex.is_match(text))
    }
}

/// The sizes that are tried one after the other, so that what is small costs little.
const SIZES: [usize; 4] = [16 << 10, 256 << 10, 2 << 20, SIZE];

/// What all expressions of a schema may take together.
const ALL: usize = 64 << 20;

/// Tells whether texts are expressions, as long as all of them together have bounded size.
#[derive(Default)]
pub(super) struct Compiler {
    seen: std::collections::HashMap<String, Option<String>>,
    spent: usize,
}

impl Compiler {
    /// What is wrong with an expression.
    pub(super) fn wrong(&mut self, text: &str) -> Option<String> {
        if let Some(known) = self.seen.get(text) {
            return known.clone();
        }
        let wrong = self.tried(text);
        self.seen.insert(text.to_owned(), wrong.clone());
        wrong
    }

    fn tried(&mut self, text: &str) -> Option<String> {
        for size in SIZES {
            self.spent += size;
            if self.spent > ALL {
                return Some("the patterns of this schema are too large together".to_owned());
            }
            match compile(text, size) {
                Ok(_) => return None,
                Err(regex::Error::CompiledTooBig(_)) => {}
                Err(error) => return Some(error_of(&error)),
            }
        }
        Some("expression too large".to_owned())
    }
}

/// The last line of the parser's message, which says what is wrong without drawing it.
fn error_of(error: &regex::Error) -> String {
    let said = error.to_string();
    let last = said.lines().last().unwrap_or("");
    format!("error parsing regexp: {}", last.strip_prefix("error: ").unwrap_or(last))
}

fn compile(text: &str, size: usize) -> Result<Regex, regex::Error> {
    RegexBuilder::new(&translated(text))
        .size_limit(size)
        .dfa_size_limit(1 << 20)
        .nest_limit(250)
        .build()
}

/// Go's syntax in ours: classes know ASCII only, and have no operators inside.
fn translated(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut letters = text.chars().peekable();
    let mut class = false;
    let mut first = false;
    while let Some(letter) = letters.next() {
        let begins = std::mem::take(&mut first);
        match (letter, class) {
            ('\\', _) => match letters.next() {
                Some('Q') if !class => literal(&mut letters, &mut out),
                Some(escaped) => escape(escaped, class, &mut out),
                None => out.push('\\'),
            },
            ('[', false) => {
                class = true;
                first = true;
                out.push('[');
                if letters.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
            }
            ('[', true) if letters.peek() == Some(&':') => out.push('['),
            (':', true) => {
                out.push(':');
                // The end of a named class is not the end of the class around it.
                if letters.peek() == Some(&']')
                    && out.rfind("[:").is_some_and(|at| named(&out[at..]))
                {
                    letters.next();
                    out.push(']');
                }
            }
            (']', true) if begins => out.push_str("\\]"),
            (']', true) => {
                class = false;
                out.push(']');
            }
            ('[' | '&' | '~', true) => {
                out.push('\\');
                out.push(letter);
            }
            ('{', false) if !repeats(letters.clone()) => out.push_str("\\{"),
            ('-', true) if letters.peek() == Some(&'-') => {
                out.push('-');
                letters.next();
                out.push_str("\\-");
            }
            _ => out.push(letter),
        }
    }
    out
}

/// Whether what follows a brace is a count: any other brace stands for itself.
fn repeats(letters: impl Iterator<Item = char>) -> bool {
    let inside: String = letters.take_while(|letter| *letter != '}').take(16).collect();
    let (least, most) = inside.split_once(',').unwrap_or((&inside, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    !least.is_empty() && digits(least) && digits(most)
}

/// Whether a text is the beginning of a named class, up to the colon before its end.
fn named(text: &str) -> bool {
    let name = text.strip_prefix("[:").and_then(|rest| rest.strip_suffix(':'));
    name.is_some_and(|name| {
        let name = name.strip_prefix('^').unwrap_or(name);
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase())
    })
}

/// Everything up to `\E` stands for itself.
fn literal(letters: &mut std::iter::Peekable<std::str::Chars>, out: &mut String) {
    let mut text = String::new();
    while let Some(letter) = letters.next() {
        if letter == '\\' && letters.peek() == Some(&'E') {
            letters.next();
            break;
        }
        text.push(letter);
    }
    out.push_str(&regex::escape(&text));
}

fn escape(letter: char, class: bool, out: &mut String) {
    let ascii = match letter {
        'd' => Some(("0-9", false)),
        'D' => Some(("0-9", true)),
        'w' => Some(("0-9A-Za-z_", false)),
        'W' => Some(("0-9A-Za-z_", true)),
        's' => Some(("\\t\\n\\f\\r ", false)),
        'S' => Some(("\\t\\n\\f\\r ", true)),
        _ => None,
    };
    match ascii {
        Some((set, false)) if class => out.push_str(set),
        Some((set, negated)) => {
            out.push_str(if negated { "[^" } else { "[" });
            out.push_str(set);
            out.push(']');
        }
        None if letter == 'b' && !class => out.push_str("(?-u:\\b)"),
        None if matches!(letter, '<' | '>') => out.push(letter),
        None => {
            out.push('\\');
            out.push(letter);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gos_syntax_is_understood() {
        for (pattern, yes, no) in [
            (r"^\d+$", "12", "١"),
            (r"^[\w.-]+$", "a_b.c-d", "é"),
            (r"^[^\s/]+$", "ab", "a b"),
            (r"^[[a]$", "[", "b"),
            (r"^[a&&b]+$", "&ab", "c"),
            (r"^[]a]+$", "]a", "b"),
            (r"^[^]a]+$", "b", "]"),
            (r"^[[:alpha:]_]+$", "a_b", "1"),
            (r"^[\D]+$", "ab", "1"),
            (r"^\Qa.b\E$", "a.b", "axb"),
            (r"^a\/b$", "a/b", "a"),
            (r"^\<a\>$", "<a>", "a"),
            (r"^[+--]+$", "+,-", "."),
            (r"^[a:]+$", "a:", "b"),
            (r"\bfoo\b", "a foo b", "afoo"),
            (r"^x{2}{y}$", "xx{y}", "xxy"),
        ] {
            let pattern = Pattern::new(pattern);
            assert_eq!(Compiler::default().wrong(&pattern.text), None, "{pattern:?}");
            assert!(pattern.matches(yes), "{pattern:?} {yes}");
            assert!(!pattern.matches(no), "{pattern:?} {no}");
        }
    }

    #[test]
    fn size_is_bounded() {
        let mut compiler = Compiler::default();
        assert!(compiler.wrong(r"(\p{L}{1000}){1000}").is_some());
        assert_eq!(compiler.wrong("^a$"), None);
        let refused = (0..100_000).filter(|i| compiler.wrong(&format!("a{i}")).is_some()).count();
        assert!(refused > 90_000);
        assert!(Compiler::default().wrong("(").is_some_and(|why| why.contains("unclosed group")));
    }
}
