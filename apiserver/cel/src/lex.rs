//! An expression cut into words.
//!
//! Refuses to know: how words go together.

use std::sync::Arc;

use crate::issue::Issue;

/// What a word is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    Ident(String),
    Int(String),
    Uint(String),
    Double(f64),
    Text(Arc<str>),
    Bytes(Arc<[u8]>),
    Sign(&'static str),
    End,
}

#[derive(Clone, Debug)]
pub(crate) struct Word {
    pub at: usize,
    pub kind: Kind,
    /// As it was written.
    pub text: String,
}

/// All signs, the longer first.
const SIGNS: [&str; 25] = [
    "==", "!=", "<=", ">=", "&&", "||", "<", ">", "+", "-", "*", "/", "%", "!", "?", ":", ".", ",",
    "(", ")", "[", "]", "{", "}", ";",
];

/// The words of an expression.
pub(crate) fn words(source: &[char]) -> Result<Vec<Word>, Issue> {
    let mut lexer = Lexer { source, at: 0 };
    let mut words = Vec::new();
    loop {
        lexer.blank();
        let at = lexer.at;
        let kind = lexer.word()?;
        let text = source.get(at..lexer.at).unwrap_or_default().iter().collect();
        let end = kind == Kind::End;
        words.push(Word { at, kind, text });
        if end {
            return Ok(words);
        }
    }
}

struct Lexer<'a> {
    source: &'a [char],
    at: usize,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.source.get(self.at + ahead).copied()
    }

    fn starts(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(at, letter)| self.peek(at) == Some(letter))
    }

    fn blank(&mut self) {
        loop {
            match self.peek(0) {
                Some(' ' | '\t' | '\n' | '\r' | '\u{c}') => self.at += 1,
                Some('/') if self.peek(1) == Some('/') => {
                    while self.peek(0).is_some_and(|letter| letter != '\n') {
                        self.at += 1;
                    }
                }
                _ => return,
            }
        }
    }

    fn unknown(&self, from: usize, to: usize) -> Issue {
        let text: String = self.source.get(from..to).unwrap_or_default().iter().collect();
        let shown = text.replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t");
        Issue::new(from, format!("Syntax error: token recognition error at: '{shown}'"))
    }

    fn word(&mut self) -> Result<Kind, Issue> {
        let Some(letter) = self.peek(0) else { return Ok(Kind::End) };
        if let Some(text) = self.quoted()? {
            return Ok(text);
        }
        if letter.is_ascii_alphabetic() || letter == '_' {
            let from = self.at;
            self.at += self.run(|letter| letter.is_ascii_alphanumeric() || letter == '_');
            return Ok(Kind::Ident(self.source[from..self.at].iter().collect()));
        }
        let fraction = letter == '.' && self.peek(1).is_some_and(|next| next.is_ascii_digit());
        if letter.is_ascii_digit() || fraction {
            return self.number();
        }
        let sign = SIGNS.iter().find(|sign| self.starts(sign));
        match sign {
            Some(sign) if *sign != ";" => {
                self.at += sign.len();
                Ok(Kind::Sign(sign))
            }
            _ => Err(self.unknown(self.at, self.at + 1)),
        }
    }

    /// How many letters from here on are such.
    fn run(&self, fits: impl Fn(char) -> bool) -> usize {
        self.source[self.at..].iter().take_while(|letter| fits(**letter)).count()
    }

    fn number(&mut self) -> Result<Kind, Issue> {
        let from = self.at;
        let text = |lexer: &Lexer| -> String { lexer.source[from..lexer.at].iter().collect() };
        if self.starts("0x") || self.starts("0X") {
            self.at += 2;
            self.at += self.run(|letter| letter.is_ascii_hexdigit());
            let read = text(self).to_lowercase();
            return Ok(self.unsigned(read));
        }
        self.at += self.run(|letter| letter.is_ascii_digit());
        let mut double = false;
        if self.peek(0) == Some('.') && self.peek(1).is_some_and(|next| next.is_ascii_digit()) {
            double = true;
            self.at += 1;
            self.at += self.run(|letter| letter.is_ascii_digit());
        }
        if matches!(self.peek(0), Some('e' | 'E')) {
            let sign = usize::from(matches!(self.peek(1), Some('+' | '-')));
            if self.peek(1 + sign).is_some_and(|next| next.is_ascii_digit()) {
                double = true;
                self.at += 1 + sign;
                self.at += self.run(|letter| letter.is_ascii_digit());
            }
        }
        let read = text(self);
        if !double {
            return Ok(self.unsigned(read));
        }
        match read.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Kind::Double(number)),
            _ => Err(Issue::new(from, "Syntax error: invalid double literal".to_owned())),
        }
    }

    fn unsigned(&mut self, read: String) -> Kind {
        match self.peek(0) {
            Some('u' | 'U') => {
                self.at += 1;
                Kind::Uint(read)
            }
            _ => Kind::Int(read),
        }
    }

    /// A text or bytes, if there are some here.
    fn quoted(&mut self) -> Result<Option<Kind>, Issue> {
        let from = self.at;
        let (mut raw, mut bytes, mut at) = (false, false, 0);
        loop {
            match self.peek(at) {
                Some('r' | 'R') if !raw => raw = true,
                Some('b' | 'B') if !bytes => bytes = true,
                Some('"' | '\'') => break,
                _ => return Ok(None),
            }
            at += 1;
        }
        let Some(quote) = self.peek(at) else { return Ok(None) };
        let long = self.peek(at + 1) == Some(quote) && self.peek(at + 2) == Some(quote);
        let end: String = std::iter::repeat_n(quote, if long { 3 } else { 1 }).collect();
        self.at += at + end.len();
        let (mut text, mut out) = (String::new(), Vec::new());
        loop {
            if self.starts(&end) {
                self.at += end.len();
                break;
            }
            match self.peek(0) {
                None => return Err(self.unknown(from, self.source.len())),
                Some('\n' | '\r') if !long => return Err(self.unknown(from, self.at)),
                Some('\\') if !raw => {
                    let (letter, byte) = self.escape(from, bytes)?;
                    match byte {
                        Some(byte) => out.push(byte),
                        None => push(letter, bytes, &mut text, &mut out),
                    }
                }
                Some('\\') if self.peek(1).is_some() => {
                    for _ in 0..2 {
                        push(self.peek(0).unwrap_or('\\'), bytes, &mut text, &mut out);
                        self.at += 1;
                    }
                }
                Some(letter) => {
                    push(letter, bytes, &mut text, &mut out);
                    self.at += 1;
                }
            }
        }
        Ok(Some(if bytes { Kind::Bytes(out.into()) } else { Kind::Text(text.into()) }))
    }

    /// What an escape stands for: a letter, or a byte.
    fn escape(&mut self, from: usize, bytes: bool) -> Result<(char, Option<u8>), Issue> {
        let wrong =
            |at: usize| Issue::new(from, format!("Syntax error: invalid escape sequence at {at}"));
        let at = self.at;
        let letter = self.peek(1).ok_or_else(|| wrong(at))?;
        self.at += 2;
        let plain = match letter {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            '\\' | '\'' | '"' | '`' | '?' => letter,
            'x' | 'X' | 'u' | 'U' | '0'..='3' => {
                let (radix, count, back) = match letter {
                    'x' | 'X' => (16, 2, 0),
                    'u' => (16, 4, 0),
                    'U' => (16, 8, 0),
                    _ => (8, 3, 1),
                };
                self.at -= back;
                let digits: String = (0..count).filter_map(|ahead| self.peek(ahead)).collect();
                self.at += count;
                let valid = digits.chars().count() == count && !digits.starts_with(['+', '-']);
                let read = u32::from_str_radix(&digits, radix).ok().filter(|_| valid);
                let read = read.ok_or_else(|| wrong(at))?;
                if bytes && !matches!(letter, 'u' | 'U') {
                    return Ok((' ', Some(u8::try_from(read).map_err(|_| wrong(at))?)));
                }
                char::from_u32(read).ok_or_else(|| wrong(at))?
            }
            _ => return Err(wrong(at)),
        };
        Ok((plain, None))
    }
}

fn push(letter: char, bytes: bool, text: &mut String, out: &mut Vec<u8>) {
    if bytes {
        out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
    } else {
        text.push(letter);
    }
}
