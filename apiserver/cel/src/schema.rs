//! Where the rules of a schema stand, and what keeps them from being taken.
//!
//! Knows: the words of schemas that rules can stand under. Refuses to know: objects.

use std::collections::BTreeMap;

use leme_meta::{FieldError, Path};
use serde_json::Value as Json;

use crate::field_path;
use crate::held;
use crate::rule::{Rule, Stated, Wrong};
use crate::types::Type;

/// Schemas nested deeper are none that a definition may state.
const MAX_DEPTH: usize = 64;
const WORD: &str = "x-kubernetes-validations";

/// The rules of a part of a schema, and of all below it; only parts with rules have a node.
#[derive(Debug, Default)]
pub(crate) struct Node {
    /// The type that errors show.
    pub shown: &'static str,
    /// The type that rules see, where there are some.
    pub type_: Option<Type>,
    pub rules: Vec<Rule>,
    /// Why rules are none.
    pub broken: Vec<String>,
    pub properties: BTreeMap<String, Node>,
    pub items: Option<Box<Node>>,
    pub additional: Option<Box<Node>>,
    /// The keys by which elements of a list are the same as before, if they are.
    keys: Option<Vec<String>>,
    /// Whether nothing below is the same as before.
    pub atomic: bool,
}

impl Node {
    /// The element of an old list that has the keys of another; none where elements are not told apart.
    pub fn element<'a>(&self, item: &Json, old: Option<&'a Json>) -> Option<&'a Json> {
        let keys = self.keys.as_ref().filter(|keys| !keys.is_empty() && item.is_object())?;
        let list = old?.as_array()?;
        list.iter().find(|one| keys.iter().all(|key| one.get(key) == item.get(key)))
    }
}

fn text<'a>(schema: &'a Json, name: &str) -> &'a str {
    schema.get(name).and_then(Json::as_str).unwrap_or("")
}

fn stated(schema: &Json) -> impl Iterator<Item = &Json> {
    schema.get(WORD).and_then(Json::as_array).into_iter().flatten()
}

/// Whether it is a whole object of the API.
fn embedded(schema: &Json) -> bool {
    schema.get("x-kubernetes-embedded-resource") == Some(&Json::Bool(true))
}

/// Whether a schema states rules anywhere.
pub fn states_rules(schema: &Json) -> bool {
    stated(schema).next().is_some() || below(schema).any(|(_, _, inner)| states_rules(inner))
}

/// How a schema stands below another.
#[derive(Clone, Copy)]
enum Step {
    Items,
    Additional,
    Property,
}

/// The schemas right below one that rules can stand under.
fn below(schema: &Json) -> impl Iterator<Item = (Step, &str, &Json)> {
    let single = [("items", Step::Items), ("additionalProperties", Step::Additional)];
    let single = single.into_iter().filter_map(|(name, step)| {
        Some((step, name, schema.get(name).filter(|inner| inner.is_object())?))
    });
    let properties = schema.get("properties").and_then(Json::as_object).into_iter().flatten();
    single.chain(properties.map(|(name, inner)| (Step::Property, name.as_str(), inner)))
}

/// The rules of a schema, compiled; `root` is whether it is of a whole object.
pub(crate) fn compiled(schema: &Json, root: bool) -> Option<Node> {
    node(schema, root, 0)
}

fn node(schema: &Json, root: bool, depth: usize) -> Option<Node> {
    if depth > MAX_DEPTH {
        return None;
    }
    let mut made = Node::default();
    let mut any = false;
    for (step, name, inner) in below(schema) {
        let Some(inner) = node(inner, embedded(inner), depth + 1) else { continue };
        any = true;
        match step {
            Step::Items => made.items = Some(Box::new(inner)),
            Step::Additional => made.additional = Some(Box::new(inner)),
            Step::Property => drop(made.properties.insert(name.to_owned(), inner)),
        }
    }
    if stated(schema).next().is_some() {
        any = true;
        made.type_ = Type::of(schema, root);
        if made.type_.is_none() {
            made.broken.push("there is no type for what it is about".to_owned());
        }
    }
    for stated in made.type_.iter().flat_map(|_| stated(schema)) {
        match rule(stated, made.type_.as_ref().unwrap_or(&Type::Dyn), schema) {
            Ok(rule) => made.rules.extend(rule),
            Err(wrong) => made.broken.push(wrong.why),
        }
    }
    made.shown = match text(schema, "type") {
        "array" => "array",
        "boolean" => "boolean",
        "integer" => "integer",
        "number" => "number",
        "object" => "object",
        "string" => "string",
        _ => "",
    };
    made.atomic = text(schema, "x-kubernetes-map-type") == "atomic";
    if text(schema, "x-kubernetes-list-type") == "map" {
        let keys = schema.get("x-kubernetes-list-map-keys").and_then(Json::as_array);
        let keys = keys.into_iter().flatten().filter_map(Json::as_str);
        made.keys = Some(keys.map(str::to_owned).collect());
    }
    any.then_some(made)
}

fn rule(stated: &Json, type_: &Type, schema: &Json) -> Result<Option<Rule>, Wrong> {
    let field = match text(stated, "fieldPath") {
        "" => String::new(),
        path => field_path::normal(path, schema).map_err(|_| Wrong {
            field: "fieldPath",
            why: "fieldPath must be a valid path".to_owned(),
        })?,
    };
    Rule::of(stated, type_, field)
}

/// All that keeps the rules of a well-formed schema at `path` from being carried out, and its defaults that break them.
pub fn check(schema: &Json, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if states_rules(schema) {
        wrong(schema, path, &Around { root: true, lost: None, depth: 0 }, &mut errors);
        if errors.is_empty()
            && let Some(rules) = compiled(schema, true)
        {
            defaults(schema, &rules, path, &mut errors);
        }
    }
    errors
}

/// What the schemas around one mean for its rules.
struct Around {
    root: bool,
    /// Within what nothing is the same as before.
    lost: Option<Path>,
    depth: usize,
}

fn wrong(schema: &Json, path: &Path, around: &Around, errors: &mut Vec<FieldError>) {
    if around.depth > MAX_DEPTH {
        return;
    }
    let type_ = stated(schema).next().and_then(|_| Type::of(schema, around.root));
    if stated(schema).next().is_some() && type_.is_none() {
        let why =
            "internal error: failed to retrieve type information for x-kubernetes-validations";
        errors.push(FieldError::internal(&path.child(WORD), why));
    }
    for (index, stated) in stated(schema).enumerate() {
        let at = path.child(WORD).index(index);
        let Some(type_) = &type_ else { break };
        match rule(stated, type_, schema) {
            Ok(rule) => {
                let compares = rule.is_some_and(|rule| rule.compares);
                if let Some(optional) = stated.get("optionalOldSelf").filter(|_| !compares) {
                    let why = "may not be set if oldSelf is not used in rule";
                    errors.push(FieldError::invalid(&at.child("optionalOldSelf"), optional, why));
                }
                if let Some(lost) = around.lost.as_ref().filter(|_| compares) {
                    let why = format!(
                        "oldSelf cannot be used on the uncorrelatable portion of the schema within {lost}"
                    );
                    errors.push(FieldError::invalid(&at.child("rule"), text(stated, "rule"), &why));
                }
            }
            Err(Wrong { field: "fieldPath", why }) => {
                errors.push(FieldError::invalid(
                    &at.child("fieldPath"),
                    text(stated, "fieldPath"),
                    &why,
                ));
            }
            Err(Wrong { field, why }) => {
                errors.push(FieldError::invalid(&at.child(field), Stated(stated), &why));
            }
        }
    }
    for (step, name, inner) in below(schema) {
        let at = match step {
            Step::Property => path.child("properties").key(name),
            _ => path.child(name),
        };
        let lost = match step {
            Step::Items => text(schema, "x-kubernetes-list-type") != "map",
            _ => text(schema, "x-kubernetes-map-type") == "atomic",
        };
        let lost = around.lost.clone().or_else(|| lost.then(|| path.clone()));
        let inside = Around { root: embedded(inner), lost, depth: around.depth + 1 };
        wrong(inner, &at, &inside, errors);
    }
}

/// Holds each default against the rules for it.
fn defaults(schema: &Json, rules: &Node, path: &Path, errors: &mut Vec<FieldError>) {
    if let Some(default) = schema.get("default").filter(|default| !default.is_null()) {
        errors.extend(held(rules, &path.child("default"), default, None));
    }
    for (step, name, inner) in below(schema) {
        let (at, rules) = match step {
            Step::Items => (path.child(name), rules.items.as_deref()),
            Step::Additional => (path.child(name), rules.additional.as_deref()),
            Step::Property => (path.child("properties").key(name), rules.properties.get(name)),
        };
        if let Some(rules) = rules {
            defaults(inner, rules, &at, errors);
        }
    }
}
