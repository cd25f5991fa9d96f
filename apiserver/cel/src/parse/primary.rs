//! The smallest parts of expressions: names, literals, lists, maps, and what stands in brackets.

use super::{OPERAND, Parsed, Parser, call, node};
use crate::ast::Expr;
use crate::issue::Issue;
use crate::lex::{Kind, Word};
use crate::names::RESERVED;

impl Parser {
    pub(super) fn primary(&mut self) -> Parsed {
        let Word { at, kind, .. } = self.peek().clone();
        if let Kind::Sign(sign) = kind {
            return match sign {
                "(" => {
                    self.next += 1;
                    let inside = self.expression()?;
                    self.expect(")")?;
                    Ok(inside)
                }
                "[" => self.list(),
                "{" => self.map(),
                "-" => {
                    self.next += 1;
                    self.literal(at, true)
                }
                "." => {
                    self.next += 1;
                    self.name(self.peek().at)
                }
                _ => Err(self.unexpected(OPERAND)),
            };
        }
        match kind {
            Kind::Ident(_) => self.name(at),
            _ => self.literal(at, false),
        }
    }

    fn name(&mut self, at: usize) -> Parsed {
        let name = match &self.peek().kind {
            Kind::Ident(name) => name.clone(),
            _ => return Err(self.unexpected(OPERAND)),
        };
        self.next += 1;
        match name.as_str() {
            "true" | "false" => return node(at, Expr::Bool(name == "true")),
            "null" => return node(at, Expr::Null),
            "in" => {
                self.next -= 1;
                return Err(self.unexpected(OPERAND));
            }
            _ if RESERVED.contains(&name.as_str()) => {
                return Err(Issue::new(at, format!("reserved identifier: {name}")));
            }
            _ => {}
        }
        let Some(open) = self.take("(") else { return node(at, Expr::Ident(name)) };
        let mut args = self.arguments()?;
        if name != "has" || args.len() != 1 {
            return call(open, &name, args);
        }
        match args.pop().map(|arg| arg.expr) {
            Some(Expr::Select { of, field, optional: false, test: false }) => {
                node(open, Expr::Select { of, field, optional: false, test: true })
            }
            _ => Err(Issue::new(open, "invalid argument to has() macro".to_owned())),
        }
    }

    fn literal(&mut self, at: usize, negative: bool) -> Parsed {
        let word = self.peek().clone();
        let sign = if negative { "-" } else { "" };
        let radix = |text: &str| match text.strip_prefix("0x") {
            Some(digits) => (16, digits.to_owned()),
            None => (10, text.to_owned()),
        };
        let expr =
            match word.kind {
                Kind::Int(text) => {
                    let (radix, digits) = radix(&text);
                    let read = i64::from_str_radix(&format!("{sign}{digits}"), radix);
                    Expr::Int(read.map_err(|_| {
                        Issue::new(at, "Syntax error: invalid int literal".to_owned())
                    })?)
                }
                Kind::Uint(text) if !negative => {
                    let (radix, digits) = radix(&text);
                    let read = u64::from_str_radix(&digits, radix);
                    Expr::Uint(read.map_err(|_| {
                        Issue::new(at, "Syntax error: invalid uint literal".to_owned())
                    })?)
                }
                Kind::Double(number) => Expr::Double(if negative { -number } else { number }),
                Kind::Text(text) if !negative => Expr::Text(text),
                Kind::Bytes(bytes) if !negative => Expr::Bytes(bytes),
                _ => return Err(self.unexpected(OPERAND)),
            };
        self.next += 1;
        node(at, expr)
    }

    fn list(&mut self) -> Parsed {
        let at = self.expect("[")?;
        let mut items = Vec::new();
        while !self.is("]") {
            let optional = self.take("?").is_some();
            items.push((optional, self.expression()?));
            if self.take(",").is_none() {
                break;
            }
        }
        self.expect("]")?;
        node(at, Expr::List(items))
    }

    pub(super) fn map(&mut self) -> Parsed {
        let at = self.expect("{")?;
        let mut items = Vec::new();
        while !self.is("}") {
            let optional = self.take("?").is_some();
            let key = self.expression()?;
            self.expect(":")?;
            items.push((optional, key, self.expression()?));
            if self.take(",").is_none() {
                break;
            }
        }
        self.expect("}")?;
        node(at, Expr::Map(items))
    }
}
