//! Types of an expression's parts, and what does not fit.
//!
//! Knows: scopes, signatures, what a field of an object is. Refuses to know: values.

mod loops;

use std::sync::Arc;

use leme_meta::structural::Pattern;

use crate::ast::{Expr, Node};
use crate::code::Code;
use crate::functions::{self, Bound, Row};
use crate::issue::Issue;
use crate::parse::qualified;
use crate::types::Type;

/// Names of types that can be compared with.
const TYPES: [(&str, Type); 11] = [
    ("bool", Type::Bool),
    ("int", Type::Int),
    ("uint", Type::Uint),
    ("double", Type::Double),
    ("string", Type::Text),
    ("bytes", Type::Bytes),
    ("null_type", Type::Null),
    ("list", Type::Dyn),
    ("map", Type::Dyn),
    ("type", Type::Dyn),
    ("optional_type", Type::Dyn),
];

const LONG_TYPES: [(&str, Type); 2] =
    [("google.protobuf.Duration", Type::Duration), ("google.protobuf.Timestamp", Type::Timestamp)];

/// An expression with all that was found.
pub(crate) struct Checked {
    pub code: Code,
    pub type_: Type,
    pub issues: Vec<Issue>,
    /// Whether the second variable is used.
    pub second: bool,
}

/// Checks an expression over variables with names and types.
pub(crate) fn check(node: &Node, variables: &[(&'static str, Type)]) -> Checked {
    let scope = variables.iter().map(|(name, type_)| ((*name).to_owned(), type_.clone())).collect();
    let mut checker = Checker { scope, issues: Vec::new(), second: false };
    let (code, type_) = checker.node(node);
    Checked { code, type_, issues: checker.issues, second: checker.second }
}

struct Checker {
    scope: Vec<(String, Type)>,
    issues: Vec<Issue>,
    second: bool,
}

type Typed = (Code, Type);

impl Checker {
    fn wrong(&mut self, at: usize, why: String) -> Typed {
        // One message for what follows from another helps nobody.
        self.issues.push(Issue::new(at, why));
        (Code::Null, Type::Dyn)
    }

    fn node(&mut self, node: &Node) -> Typed {
        match &node.expr {
            Expr::Null => (Code::Null, Type::Null),
            Expr::Bool(flag) => (Code::Bool(*flag), Type::Bool),
            Expr::Int(number) => (Code::Int(*number), Type::Int),
            Expr::Uint(number) => (Code::Uint(*number), Type::Uint),
            Expr::Double(number) => (Code::Double(*number), Type::Double),
            Expr::Text(text) => (Code::Text(Arc::clone(text)), Type::Text),
            Expr::Bytes(bytes) => (Code::Bytes(Arc::clone(bytes)), Type::Bytes),
            Expr::Ident(name) => self.ident(node.at, name),
            Expr::Select { of, field, optional, test } => {
                if let Some(found) = self.type_named(node) {
                    return found;
                }
                self.select(node.at, of, field, *optional, *test)
            }
            Expr::Call { of, name, args } => self.call(node.at, of.as_deref(), name, args),
            Expr::List(items) => self.list(items),
            Expr::Map(items) => self.map(items),
            Expr::Message(name) => {
                self.wrong(node.at, format!("undeclared reference to '{name}' (in container '')"))
            }
            Expr::Loop(each) => self.each(each),
        }
    }

    fn ident(&mut self, at: usize, name: &str) -> Typed {
        if let Some(place) = self.scope.iter().rposition(|(known, _)| known == name) {
            self.second |= place == 1 && self.scope[1].0 == "oldSelf";
            return (Code::Variable(place), self.scope[place].1.clone());
        }
        match TYPES.iter().find(|(known, _)| *known == name) {
            Some((name, type_)) => (Code::Type(name), Type::Named(Arc::new(type_.clone()))),
            None => self.wrong(at, format!("undeclared reference to '{name}' (in container '')")),
        }
    }

    fn type_named(&mut self, node: &Node) -> Option<Typed> {
        let name = qualified(node)?;
        let (name, type_) = LONG_TYPES.iter().find(|(known, _)| *known == name)?;
        Some((Code::Type(name), Type::Named(Arc::new(type_.clone()))))
    }

    fn select(&mut self, at: usize, of: &Node, field: &str, optional: bool, test: bool) -> Typed {
        let (code, type_) = self.node(of);
        let (inner, perhaps) = match &type_ {
            Type::Optional(inner) => (Type::clone(inner), true),
            _ => (type_, false),
        };
        let found = match &inner {
            Type::Dyn => Type::Dyn,
            Type::Map(_, values) => Type::clone(values),
            Type::Object(object) => match object.fields.get(field) {
                Some(field) => field.type_.clone(),
                None => return self.wrong(at, format!("undefined field '{field}'")),
            },
            other => {
                let why = format!("type '{other}' does not support field selection");
                return self.wrong(at, why);
            }
        };
        let (of, name) = (Box::new(code), field.into());
        if test {
            (Code::Has { of, name }, Type::Bool)
        } else if optional || perhaps {
            // What may not be there at all is not there twice.
            let found = if matches!(found, Type::Optional(_)) {
                found
            } else {
                Type::Optional(Arc::new(found))
            };
            (Code::Perhaps { of, name }, found)
        } else {
            (Code::Field { of, name }, found)
        }
    }

    fn call(&mut self, at: usize, of: Option<&Node>, name: &str, args: &[Node]) -> Typed {
        match name {
            "_&&_" | "_||_" if of.is_none() => return self.logic(at, name, args),
            "_?:_" if of.is_none() => return self.choice(at, args),
            _ => {}
        }
        // A name of several words is a function's, unless it begins with a variable.
        let first = of.and_then(|of| first_word(of));
        let variable =
            first.is_some_and(|first| self.scope.iter().any(|(known, _)| known == first));
        let full = of.filter(|_| !variable).and_then(qualified).map(|of| format!("{of}.{name}"));
        let full = full.filter(|full| !functions::named(full).is_empty());
        let (name, of) = match &full {
            Some(full) => (full.as_str(), None),
            None => (name, of),
        };
        let before = self.issues.len();
        let typed: Vec<Typed> = of.into_iter().chain(args).map(|arg| self.node(arg)).collect();
        let fine = self.issues.len() == before;
        if functions::named(name).is_empty() && (fine || of.is_none()) {
            return self.wrong(at, format!("undeclared reference to '{name}' (in container '')"));
        }
        if !fine {
            return (Code::Null, Type::Dyn);
        }
        let stated = |place: usize| match of.into_iter().chain(args).nth(place).map(|arg| &arg.expr)
        {
            Some(Expr::Text(text)) => Some(Arc::clone(text)),
            _ => None,
        };
        let (codes, types): (Vec<Code>, Vec<Type>) = typed.into_iter().unzip();
        let Some((rows, gives)) = chosen(name, of.is_some(), &types) else {
            let shown = shown(&types, of.is_some());
            let why = format!("found no matching overload for '{name}' applied to '{shown}'");
            return self.wrong(at, why);
        };
        if let ("matches", Some(pattern)) = (name, stated(1)) {
            if let Err(why) = functions::regex(&pattern) {
                return self.wrong(at, format!("invalid matches argument: {why}"));
            }
            let Some(of) = codes.into_iter().next() else { return (Code::Null, Type::Dyn) };
            let (of, pattern) = (Box::new(of), Pattern::new(&pattern));
            return (Code::Matches { of, pattern }, Type::Bool);
        }
        if let (true, Some(text), [arg]) = (of.is_none(), stated(0), args)
            && !is_literal(name, &text)
        {
            return self.wrong(arg.at, format!("invalid {name} argument"));
        }
        (Code::Call { rows, args: codes }, gives)
    }

    fn logic(&mut self, at: usize, name: &str, args: &[Node]) -> Typed {
        let before = self.issues.len();
        let typed: Vec<Typed> = args.iter().map(|arg| self.node(arg)).collect();
        let fits = typed.iter().all(|(_, type_)| Type::Bool.takes(type_));
        if !fits && self.issues.len() == before {
            let types: Vec<Type> = typed.into_iter().map(|(_, type_)| type_).collect();
            let wrong = types.iter().position(|type_| !Type::Bool.takes(type_)).unwrap_or(0);
            let pair = match wrong {
                0 => types.get(..2).unwrap_or(&types).to_vec(),
                at => vec![Type::Bool, types[at].clone()],
            };
            let shown = shown(&pair, false);
            return self.wrong(
                at,
                format!("found no matching overload for '{name}' applied to '{shown}'"),
            );
        }
        let codes = typed.into_iter().map(|(code, _)| code).collect();
        (if name == "_&&_" { Code::All(codes) } else { Code::Any(codes) }, Type::Bool)
    }

    fn choice(&mut self, at: usize, args: &[Node]) -> Typed {
        let [condition, then, other] = args else { return (Code::Null, Type::Dyn) };
        let before = self.issues.len();
        let (condition, asked) = self.node(condition);
        let (then, one) = self.node(then);
        let (other, another) = self.node(other);
        let types = [asked, one, another];
        let joined = types[1].clone().join(&types[2]).filter(|_| Type::Bool.takes(&types[0]));
        match joined {
            Some(joined) => (Code::If(Box::new([condition, then, other])), joined),
            None if self.issues.len() > before => (Code::Null, Type::Dyn),
            None => {
                let shown = shown(&types, false);
                self.wrong(
                    at,
                    format!("found no matching overload for '_?_:_' applied to '{shown}'"),
                )
            }
        }
    }

    /// The type of what stands in a literal beside others.
    fn same(&mut self, all: &mut Option<Type>, at: usize, type_: &Type) {
        *all = Some(match all.take() {
            None => type_.clone(),
            Some(before) => match before.clone().join(type_) {
                Some(joined) => joined,
                None => {
                    let why = format!("expected type '{before}' but found '{type_}'");
                    self.issues.push(Issue::new(at, why));
                    before
                }
            },
        });
    }

    fn list(&mut self, items: &[(bool, Node)]) -> Typed {
        let (mut codes, mut all) = (Vec::new(), None);
        for (optional, item) in items {
            let (code, type_) = self.node(item);
            let type_ = if *optional { self.inside(item.at, type_) } else { type_ };
            self.same(&mut all, item.at, &type_);
            codes.push((*optional, code));
        }
        (Code::List(codes), Type::list(all.unwrap_or(Type::Dyn)))
    }

    fn map(&mut self, items: &[(bool, Node, Node)]) -> Typed {
        let (mut codes, mut keys, mut values) = (Vec::new(), None, None);
        for (optional, key, value) in items {
            let (key_code, mut key_type) = self.node(key);
            if !matches!(key_type, Type::Bool | Type::Int | Type::Uint | Type::Text | Type::Dyn) {
                self.issues.push(Issue::new(key.at, format!("unsupported key type: {key_type}")));
                key_type = Type::Dyn;
            }
            self.same(&mut keys, key.at, &key_type);
            let (code, type_) = self.node(value);
            let type_ = if *optional { self.inside(value.at, type_) } else { type_ };
            self.same(&mut values, value.at, &type_);
            codes.push((*optional, key_code, code));
        }
        let type_ = |of: Option<Type>| Arc::new(of.unwrap_or(Type::Dyn));
        (Code::Map(codes), Type::Map(type_(keys), type_(values)))
    }

    /// The type of what an optional element has.
    fn inside(&mut self, at: usize, type_: Type) -> Type {
        match type_ {
            Type::Optional(inner) => Type::clone(&inner),
            Type::Dyn => Type::Dyn,
            other => {
                let why = format!("expected type 'optional_type({other})' but found '{other}'");
                self.issues.push(Issue::new(at, why));
                Type::Dyn
            }
        }
    }
}

/// The signatures that fit arguments of some types, and the type of what they give.
fn chosen(name: &str, member: bool, types: &[Type]) -> Option<(Vec<&'static Row>, Type)> {
    let fits = |row: &&'static Row| {
        let mut bound = Bound::default();
        let fits = row.member == member
            && row.args.len() == types.len()
            && row.args.iter().zip(types).all(|(wanted, given)| bound.fits(*wanted, given));
        fits.then(|| (*row, bound.type_(row.gives)))
    };
    let (rows, gives): (Vec<_>, Vec<Type>) = functions::named(name).iter().filter_map(fits).unzip();
    let first = gives.first()?;
    let one = gives.iter().all(|other| other.same(first));
    Some((rows, if one { first.clone() } else { Type::Dyn }))
}

/// Whether a duration or time that is stated is one.
fn is_literal(name: &str, text: &str) -> bool {
    match name {
        "duration" => functions::duration::parse(text).is_some(),
        "timestamp" => leme_meta::time::parse(text).is_some(),
        _ => true,
    }
}

fn first_word(node: &Node) -> Option<&str> {
    match &node.expr {
        Expr::Ident(name) => Some(name),
        Expr::Select { of, .. } => first_word(of),
        _ => None,
    }
}

/// Types of arguments as messages show them.
fn shown(types: &[Type], member: bool) -> String {
    let shown = |types: &[Type]| {
        let shown: Vec<String> = types.iter().map(Type::to_string).collect();
        format!("({})", shown.join(", "))
    };
    match types.split_first().filter(|_| member) {
        Some((of, args)) => format!("{of}.{}", shown(args)),
        None => shown(types),
    }
}
