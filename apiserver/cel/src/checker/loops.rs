//! Types of the macros that go through something.

use std::sync::Arc;

use super::{Checker, Typed};
use crate::ast::{Loop, Macro, Node};
use crate::code::{Code, Each};
use crate::types::Type;

impl Checker {
    pub(super) fn each(&mut self, each: &Loop) -> Typed {
        let (over, range) = self.node(&each.over);
        let types = match self.seen(each, &range) {
            Some(types) => types,
            None => return (Code::Null, Type::Dyn),
        };
        let outside = self.scope.len();
        let names = each.names.iter().map(|(_, name)| name.clone());
        self.scope.extend(names.zip(types.iter().cloned()));
        let test = each.test.as_ref().map(|test| self.asked(each.which, test));
        let made = each.made.as_ref().map(|made| (made.at, self.node(made)));
        self.scope.truncate(outside);
        let (made, type_) = match made {
            Some((at, (code, type_))) => (Some(code), Some((at, type_))),
            None => (None, None),
        };
        let gives = self.given(each.which, &types, type_);
        let pairs = each.names.len() == 2;
        (Code::Loop(Box::new(Each { which: each.which, over, pairs, test, made })), gives)
    }

    /// What is asked of each, which must be true or false.
    fn asked(&mut self, which: Macro, test: &Node) -> Code {
        let before = self.issues.len();
        let (code, type_) = self.node(test);
        if !Type::Bool.takes(&type_) && self.issues.len() == before {
            let (name, args) = match which {
                Macro::All => ("_&&_", format!("(bool, {type_})")),
                Macro::Exists => ("_||_", format!("(bool, {type_})")),
                Macro::ExistsOne => ("_?_:_", format!("({type_}, int, int)")),
                _ => ("_?_:_", format!("({type_}, list(dyn), list(dyn))")),
            };
            self.wrong(
                test.at,
                format!("found no matching overload for '{name}' applied to '{args}'"),
            );
        }
        code
    }

    /// The types of the variables.
    fn seen(&mut self, each: &Loop, range: &Type) -> Option<Vec<Type>> {
        let opt = matches!(each.which, Macro::Opt | Macro::OptFlat);
        Some(match (range, each.names.len(), opt) {
            (Type::Dyn, count, _) => vec![Type::Dyn; count],
            (Type::Optional(inner), _, true) => vec![Type::clone(inner)],
            (Type::List(item, _), 1, false) => vec![Type::clone(item)],
            (Type::List(item, _), _, false) => vec![Type::Int, Type::clone(item)],
            (Type::Map(key, _), 1, false) => vec![Type::clone(key)],
            (Type::Map(key, value), _, false) => vec![Type::clone(key), Type::clone(value)],
            (other, _, true) => {
                let why =
                    format!("found no matching overload for 'hasValue' applied to '{other}.()'");
                self.wrong(each.over.at, why);
                return None;
            }
            (other, ..) => {
                let why = format!(
                    "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                self.wrong(each.over.at, why);
                return None;
            }
        })
    }

    /// The type of what comes out, given what is made of each and where that stands.
    fn given(&mut self, which: Macro, types: &[Type], made: Option<(usize, Type)>) -> Type {
        let wanted = match (which, made) {
            (Macro::All | Macro::Exists | Macro::ExistsOne, _) => return Type::Bool,
            (Macro::Filter, _) => return Type::list(types.last().cloned().unwrap_or(Type::Dyn)),
            (Macro::List, Some((_, type_))) => return Type::list(type_),
            (Macro::Map, Some((_, type_))) => {
                let key = types.first().cloned().unwrap_or(Type::Dyn);
                return Type::Map(Arc::new(key), Arc::new(type_));
            }
            (Macro::Opt, Some((_, type_))) => return Type::Optional(Arc::new(type_)),
            (Macro::Entries, Some((_, type_ @ (Type::Map(..) | Type::Dyn)))) => return type_,
            (Macro::OptFlat, Some((_, type_ @ (Type::Optional(_) | Type::Dyn)))) => return type_,
            (Macro::Entries, Some(made)) => ("map(dyn, dyn)", made),
            (Macro::OptFlat, Some(made)) => ("optional_type(dyn)", made),
            (_, None) => return Type::Dyn,
        };
        let (wanted, (at, found)) = wanted;
        self.wrong(at, format!("expected type '{wanted}' but found '{found}'")).1
    }
}
