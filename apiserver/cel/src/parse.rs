//! Expressions read: precedence, literals, and the macros that go through something.
//!
//! Refuses to know: types.

mod primary;

use crate::ast::{Expr, Loop, MACROS, Node};
use crate::issue::Issue;
use crate::lex::{Kind, Word, words};

/// How deep brackets and signs may be nested.
const MAX_NESTING: usize = 100;
/// How deep parts may be nested in all, chains of operators among them.
const MAX_DEPTH: usize = 250;
/// How long an expression may be.
const MAX_LENGTH: usize = 100_000;

/// Signs between two operands, and how strongly they bind.
const BINARY: [(&str, u8, &str); 13] = [
    ("==", 3, "_==_"),
    ("!=", 3, "_!=_"),
    ("<", 3, "_<_"),
    ("<=", 3, "_<=_"),
    (">", 3, "_>_"),
    (">=", 3, "_>=_"),
    ("in", 3, "@in"),
    ("+", 4, "_+_"),
    ("-", 4, "_-_"),
    ("*", 5, "_*_"),
    ("/", 5, "_/_"),
    ("%", 5, "_%_"),
    ("&&", 2, "_&&_"),
];

const OPERAND: &str = "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";

/// Reads an expression.
pub(crate) fn parse(source: &[char]) -> Result<Node, Issue> {
    if source.len() > MAX_LENGTH {
        let size = source.len();
        let why =
            format!("expression code point size exceeds limit: size: {size}, limit {MAX_LENGTH}");
        return Err(Issue::new(0, why));
    }
    let mut parser = Parser { words: words(source)?, next: 0, nesting: 0 };
    let node = parser.expression()?;
    match parser.peek().kind {
        Kind::End => Ok(node),
        _ => Err(parser.unexpected("<EOF>")),
    }
}

struct Parser {
    words: Vec<Word>,
    next: usize,
    nesting: usize,
}

type Parsed = Result<Node, Issue>;

/// A part of an expression, if it is not nested too deep.
fn node(at: usize, expr: Expr) -> Parsed {
    let deepest = |nodes: &mut dyn Iterator<Item = &Node>| nodes.map(|node| node.depth).max();
    let below = match &expr {
        Expr::Select { of, .. } => Some(of.depth),
        Expr::Call { of, args, .. } => deepest(&mut of.as_deref().into_iter().chain(args)),
        Expr::List(items) => deepest(&mut items.iter().map(|(_, item)| item)),
        Expr::Map(items) => deepest(&mut items.iter().flat_map(|(_, key, value)| [key, value])),
        Expr::Loop(of) => {
            deepest(&mut [Some(&of.over), of.test.as_ref(), of.made.as_ref()].into_iter().flatten())
        }
        _ => None,
    };
    let depth = below.unwrap_or(0) + 1;
    if depth > MAX_DEPTH {
        return Err(Issue::new(at, format!("max recursion depth exceeded: {MAX_DEPTH}")));
    }
    Ok(Node { at, expr, depth })
}

fn call(at: usize, name: &str, args: Vec<Node>) -> Parsed {
    node(at, Expr::Call { of: None, name: name.to_owned(), args })
}

impl Parser {
    fn peek(&self) -> &Word {
        // The last word is the end, which is never taken.
        &self.words[self.next.min(self.words.len() - 1)]
    }

    fn is(&self, sign: &str) -> bool {
        matches!(&self.peek().kind, Kind::Sign(known) if *known == sign)
    }

    /// Takes a sign if it is next, and says where it stood.
    fn take(&mut self, sign: &str) -> Option<usize> {
        let at = self.is(sign).then(|| self.peek().at)?;
        self.next += 1;
        Some(at)
    }

    fn expect(&mut self, sign: &str) -> Result<usize, Issue> {
        self.take(sign).ok_or_else(|| self.unexpected(&format!("'{sign}'")))
    }

    fn unexpected(&self, wanted: &str) -> Issue {
        let word = self.peek();
        let text = if word.kind == Kind::End { "<EOF>" } else { &word.text };
        Issue::new(word.at, format!("Syntax error: mismatched input '{text}' expecting {wanted}"))
    }

    fn nested(&mut self, read: fn(&mut Parser) -> Parsed) -> Parsed {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            let why = format!("expression recursion limit exceeded: {MAX_NESTING}");
            return Err(Issue::new(self.peek().at, why));
        }
        let read = read(self);
        self.nesting -= 1;
        read
    }

    fn expression(&mut self) -> Parsed {
        self.nested(|parser| {
            let condition = parser.either()?;
            let Some(at) = parser.take("?") else { return Ok(condition) };
            let then = parser.either()?;
            parser.expect(":")?;
            let other = parser.expression()?;
            call(at, "_?:_", vec![condition, then, other])
        })
    }

    /// Alternatives; all of them are one part, however many there are.
    fn either(&mut self) -> Parsed {
        let mut all = vec![self.binary(2)?];
        let mut first = None;
        while let Some(at) = self.take("||") {
            first.get_or_insert(at);
            all.push(self.binary(2)?);
        }
        match first {
            Some(at) => call(at, "_||_", all),
            None => all.pop().ok_or_else(|| self.unexpected(OPERAND)),
        }
    }

    fn binary(&mut self, least: u8) -> Parsed {
        let mut left = self.unary()?;
        loop {
            let text = match &self.peek().kind {
                Kind::Sign(sign) => *sign,
                Kind::Ident(name) if name == "in" => "in",
                _ => return Ok(left),
            };
            let known = BINARY.iter().find(|(sign, ..)| *sign == text);
            let Some((_, strength, name)) = known.filter(|(_, strength, _)| *strength >= least)
            else {
                return Ok(left);
            };
            let at = self.peek().at;
            self.next += 1;
            let right = self.nested(match strength {
                2 => |parser| parser.binary(3),
                3 => |parser| parser.binary(4),
                4 => |parser| parser.binary(5),
                _ => Parser::unary,
            })?;
            left = match left.expr {
                Expr::Call { name: before, mut args, .. }
                    if *name == "_&&_" && before == *name && !args.is_empty() =>
                {
                    let depth = left.depth.max(right.depth + 1);
                    args.push(right);
                    Node { at: left.at, expr: Expr::Call { of: None, name: before, args }, depth }
                }
                expr => call(at, name, vec![Node { expr, ..left }, right])?,
            };
        }
    }

    fn unary(&mut self) -> Parsed {
        let (sign, name) = if self.is("!") {
            ("!", "!_")
        } else if self.is("-") && !self.negative() {
            ("-", "-_")
        } else {
            return self.member();
        };
        let at = self.peek().at;
        let mut odd = false;
        while self.take(sign).is_some() {
            odd = !odd;
            if sign == "-" && self.negative() {
                break;
            }
        }
        let of = self.nested(Parser::member)?;
        if odd { call(at, name, vec![of]) } else { Ok(of) }
    }

    /// Whether a number below zero is next.
    fn negative(&self) -> bool {
        let after = self.words.get(self.next + 1).map(|word| &word.kind);
        self.is("-") && matches!(after, Some(Kind::Int(_) | Kind::Double(_)))
    }

    fn member(&mut self) -> Parsed {
        let mut of = self.primary()?;
        loop {
            if let Some(at) = self.take(".") {
                let optional = self.take("?").is_some();
                let field = self.ident()?;
                of = match self.take("(") {
                    Some(open) if !optional => self.method(of, &field, open)?,
                    Some(_) => return Err(self.unexpected("IDENTIFIER")),
                    None => {
                        node(at, Expr::Select { of: Box::new(of), field, optional, test: false })?
                    }
                };
            } else if let Some(at) = self.take("[") {
                let optional = self.take("?").is_some();
                let index = self.expression()?;
                self.expect("]")?;
                of = call(at, if optional { "_[?_]" } else { "_[_]" }, vec![of, index])?;
            } else if self.is("{") {
                let Some(name) = qualified(&of) else { return Ok(of) };
                let at = self.peek().at;
                self.map()?;
                return node(at, Expr::Message(name));
            } else {
                return Ok(of);
            }
        }
    }

    fn ident(&mut self) -> Result<String, Issue> {
        match &self.peek().kind {
            Kind::Ident(name) => {
                let name = name.clone();
                if matches!(name.as_str(), "in" | "true" | "false" | "null") {
                    return Err(self.unexpected("IDENTIFIER"));
                }
                self.next += 1;
                Ok(name)
            }
            _ => Err(self.unexpected("IDENTIFIER")),
        }
    }

    fn arguments(&mut self) -> Result<Vec<Node>, Issue> {
        let mut args = Vec::new();
        if self.take(")").is_some() {
            return Ok(args);
        }
        loop {
            args.push(self.expression()?);
            if self.take(",").is_none() {
                break;
            }
        }
        self.expect(")")?;
        Ok(args)
    }

    fn method(&mut self, of: Node, name: &str, at: usize) -> Parsed {
        let args = self.arguments()?;
        let known = MACROS.iter().find(|(known, variables, others, ..)| {
            *known == name && args.len() == variables + others && names(&args, *variables).is_some()
        });
        let Some((_, variables, others, tests, which)) = known else {
            let single = MACROS.iter().any(|(known, variables, others, ..)| {
                *known == name && args.len() == variables + others
            });
            if single && !matches!(name, "optMap" | "optFlatMap") {
                return Err(Issue::new(
                    args.first().map_or(at, |arg| arg.at),
                    "argument must be a simple name".to_owned(),
                ));
            }
            return node(at, Expr::Call { of: Some(Box::new(of)), name: name.to_owned(), args });
        };
        let names = names(&args, *variables).unwrap_or_default();
        let mut rest = args.into_iter().skip(*variables);
        let test = if *tests { rest.next() } else { None };
        let made = rest.next().filter(|_| *others > usize::from(*tests));
        node(at, Expr::Loop(Box::new(Loop { which: *which, over: of, names, test, made })))
    }
}

/// The names that a macro's first arguments are, if they are names.
fn names(args: &[Node], count: usize) -> Option<Vec<(usize, String)>> {
    let name = |arg: &Node| match &arg.expr {
        Expr::Ident(name) => Some((arg.at, name.clone())),
        _ => None,
    };
    args.get(..count)?.iter().map(name).collect()
}

/// A chain of names as one.
pub(crate) fn qualified(node: &Node) -> Option<String> {
    match &node.expr {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select { of, field, optional: false, test: false } => {
            Some(format!("{}.{field}", qualified(of)?))
        }
        _ => None,
    }
}
