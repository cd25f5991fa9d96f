//! The tokens of a label selector.

/// One token; the text of it is kept for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Identifier,
    Open,
    Close,
    Comma,
    Not,
    Equal,
    DoubleEqual,
    NotEqual,
    Greater,
    Less,
    In,
    NotIn,
    End,
}

/// The tokens of a text, one at a time, with one of look-ahead.
pub(super) struct Lexer<'a> {
    rest: &'a str,
    next: (Token, &'a str),
}

const SYMBOLS: &[(&str, Token)] = &[
    ("==", Token::DoubleEqual),
    ("!=", Token::NotEqual),
    ("(", Token::Open),
    (")", Token::Close),
    (",", Token::Comma),
    ("!", Token::Not),
    ("=", Token::Equal),
    (">", Token::Greater),
    ("<", Token::Less),
];

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Lexer<'a> {
        let mut lexer = Lexer { rest: text, next: (Token::End, "") };
        lexer.next = lexer.scan();
        lexer
    }

    fn scan(&mut self) -> (Token, &'a str) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        for (symbol, token) in SYMBOLS {
            if let Some(rest) = self.rest.strip_prefix(symbol) {
                let text = &self.rest[..symbol.len()];
                self.rest = rest;
                return (*token, text);
            }
        }
        let end = self
            .rest
            .find([' ', '\t', '\r', '\n', '=', '!', '(', ')', ',', '>', '<', '\0'])
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        match word {
            "" => (Token::End, ""),
            "in" => (Token::In, word),
            "notin" => (Token::NotIn, word),
            _ => (Token::Identifier, word),
        }
    }

    /// The next token where an operator may stand.
    pub(super) fn take_operator(&mut self) -> (Token, &'a str) {
        let scanned = self.scan();
        std::mem::replace(&mut self.next, scanned)
    }

    /// The next token where a value may stand: `in` and `notin` are words there.
    pub(super) fn take(&mut self) -> (Token, &'a str) {
        as_value(self.take_operator())
    }

    /// What [`Lexer::take`] would answer.
    pub(super) fn peek(&self) -> (Token, &'a str) {
        as_value(self.next)
    }
}

fn as_value((token, text): (Token, &str)) -> (Token, &str) {
    match token {
        Token::In | Token::NotIn => (Token::Identifier, text),
        other => (other, text),
    }
}
