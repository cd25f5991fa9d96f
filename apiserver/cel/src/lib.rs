//! `x-kubernetes-validations`: the rules in CEL that a definition's schema states, held against objects.
//!
//! Knows: which rules concern which part of an object, what was there before, and what keeps a rule from being taken.
//! Refuses to know: definitions, kinds, requests.
//!
//! Expressions are read, checked against the types that the schema gives, and carried out here. Every step is counted, and
//! there are as many as upstream allows; nothing else bounds what a rule or an object can ask for.
#![forbid(unsafe_code)]

mod ast;
mod checker;
mod code;
mod eval;
mod field_path;
mod functions;
mod issue;
mod lex;
mod meter;
mod names;
mod parse;
mod rule;
mod schema;
mod types;
mod value;

use leme_kinds::custom::Validator;
use leme_meta::{FieldError, Path};
use serde_json::{Map, Value as Json};

pub use names::is_taken;
pub use schema::{check, states_rules};

use meter::Meter;
use rule::at;
use schema::Node;
use value::Value;

/// The rules of a schema.
#[derive(Debug)]
pub struct Rules(Node);

/// A part of an object as it was.
#[derive(Clone, Copy)]
struct Before<'a> {
    /// The part itself, for rules that compare.
    old: Option<&'a Json>,
    /// Whether the part, or the nearest around it that can be told to be the same, has not changed.
    unchanged: bool,
}

impl Rules {
    /// The rules of a schema as a definition states it; none if it has none.
    pub fn of(schema: &Json) -> Option<Rules> {
        let root = schema::compiled(schema, true)?;
        Some(Rules(root))
    }
}

impl Validator for Rules {
    fn validate(&self, new: &Json, old: Option<&Json>) -> Vec<FieldError> {
        held(&self.0, &Path::default(), new, old)
    }
}

/// All that rules say of something at a path.
fn held(node: &Node, path: &Path, new: &Json, old: Option<&Json>) -> Vec<FieldError> {
    let mut walk = Walk { meter: Meter::default(), errors: Vec::new(), over: false };
    walk.node(node, path, new, Before { old, unchanged: old == Some(new) });
    walk.errors
}

/// A walk over an object.
struct Walk {
    meter: Meter,
    errors: Vec<FieldError>,
    /// Whether no more rules are held.
    over: bool,
}

impl Walk {
    fn node(&mut self, node: &Node, path: &Path, new: &Json, before: Before<'_>) {
        if new.is_null() || self.over || leme_meta::field::enough(&self.errors) {
            return;
        }
        self.rules(node, path, new, before);
        match new {
            Json::Object(map) => self.fields(node, path, map, before),
            Json::Array(list) => {
                let Some(items) = &node.items else { return };
                for (index, item) in list.iter().enumerate() {
                    let old = node.element(item, before.old);
                    self.node(items, &path.index(index), item, before.below(old, item));
                }
            }
            _ => {}
        }
    }

    fn fields(&mut self, node: &Node, path: &Path, map: &Map<String, Json>, before: Before<'_>) {
        let field = |name: &str| before.old.filter(|_| !node.atomic).and_then(|old| old.get(name));
        if let Some(additional) = &node.additional {
            for (name, value) in map {
                self.node(additional, &path.key(name), value, before.below(field(name), value));
            }
        }
        for (name, property) in &node.properties {
            if let Some(value) = map.get(name) {
                self.node(property, &path.child(name), value, before.below(field(name), value));
            }
        }
    }

    fn rules(&mut self, node: &Node, path: &Path, new: &Json, before: Before<'_>) {
        for why in &node.broken {
            let why = format!("rule compile error: {why}");
            self.errors.push(FieldError::invalid(&at(path), node.shown, &why));
        }
        let Some(type_) = &node.type_ else { return };
        let value = Value::of(new, type_);
        let old = before.old.map(|old| Value::of(old, type_));
        for rule in &node.rules {
            if rule.compares && old.is_none() && !rule.optional_old {
                continue;
            }
            match rule.hold(&value, old.as_ref(), (path, node.shown), &mut self.meter) {
                // What is as it was may stay as wrong as it was.
                Ok(Some((_, true))) if before.unchanged && !rule.compares => {}
                Ok(error) => self.errors.extend(error.map(|(error, _)| error)),
                Err(last) => {
                    self.errors.push(last);
                    self.over = true;
                    return;
                }
            }
        }
    }
}

impl<'a> Before<'a> {
    /// The same for a part; what cannot be told apart is as unchanged as what is around it.
    fn below(self, old: Option<&'a Json>, new: &Json) -> Before<'a> {
        Before { old, unchanged: self.unchanged || old == Some(new) }
    }
}

#[cfg(test)]
mod tests;
