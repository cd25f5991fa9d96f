//! Walks of one object by its schema: what a list's elements are called, whether it fits, which fields it has, and
//! what is left of it without some.
//!
//! Knows: upstream's rules and its words for what does not fit. Refuses to know: managers.

use crate::quote;
use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::element::Element;
use super::go;
use super::schema::{Scalar, Schema, Shape};
use super::set::FieldSet;

/// The step to an element of a list that is owned element by element.
pub(super) fn step<'a, 's: 'a, S: Schema<'s>>(
    schema: S,
    shape: Shape<'a>,
    item: &'a Value,
) -> Result<Element<'a>, String> {
    let Shape::Keyed(names) = shape else {
        return match item {
            Value::Object(_) => {
                Err("associative list without keys has an element that's a map type".to_owned())
            }
            Value::Array(_) => {
                Err("not supported: associative list with lists as elements".to_owned())
            }
            Value::Null => {
                Err("associative list without keys has an element that's an explicit null"
                    .to_owned())
            }
            scalar => Ok(Element::Value(Cow::Borrowed(scalar))),
        };
    };
    let map = match item {
        Value::Object(map) => map,
        Value::Null => {
            return Err("associative list with keys may not have a null element".to_owned());
        }
        _ => return Err("associative list with keys may not have non-map elements".to_owned()),
    };
    let mut keys: Vec<(Cow<'a, str>, Cow<'a, Value>)> = Vec::with_capacity(names.len());
    for name in names {
        let value = map
            .get(name)
            .or_else(|| schema.element().field(name).and_then(|declared| declared.default));
        if let Some(value) = value {
            keys.push((Cow::Borrowed(name.as_str()), Cow::Borrowed(value)));
        }
    }
    if keys.is_empty() && !names.is_empty() {
        let names: Vec<String> = names.iter().map(quote).collect();
        return Err(format!(
            "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any key fields)",
            names.join(" ")
        ));
    }
    keys.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(Element::Key(keys))
}

/// What the schema says of an entry of an object: its place, and whether it is declared. What it says nothing of is
/// as open as can be.
pub(super) fn child<'a, 's: 'a, S: Schema<'s>>(schema: S, name: &str) -> (Option<S>, bool) {
    match schema.field(name) {
        Some(declared) => (Some(declared.schema), true),
        None => (schema.entry(), false),
    }
}

/// What does not fit a schema: where, and why.
type Misfit = (String, String);

/// All that does not fit a schema, as `.path: what`.
pub fn misfits<'a, 's: 'a, S: Schema<'s>>(schema: S, value: &'a Value) -> Vec<String> {
    let mut errors = Vec::new();
    fit(schema, value, &mut errors);
    let say = |(path, why): Misfit| if path.is_empty() { why } else { format!("{path}: {why}") };
    errors.into_iter().map(say).collect()
}

/// Puts a step before the paths of the errors that were found below it.
fn found_below(errors: &mut [Misfit], step: impl Fn() -> String) {
    for (path, _) in errors {
        path.insert_str(0, &step());
    }
}

fn fit<'a, 's: 'a, S: Schema<'s>>(schema: S, value: &'a Value, errors: &mut Vec<Misfit>) {
    let mut wrong = |why: String| errors.push((String::new(), why));
    match (schema.shape(value), value) {
        (_, Value::Null) => {}
        (Shape::Scalar(scalar), value) => {
            if let Some(why) = scalar_misfit(scalar, value) {
                wrong(why);
            }
        }
        (Shape::Map { .. }, Value::Object(map)) => {
            for (name, item) in map {
                let before = errors.len();
                match child(schema, name).0 {
                    Some(place) => fit(place, item, errors),
                    None => errors.push((String::new(), "field not declared in schema".to_owned())),
                }
                found_below(errors.get_mut(before..).unwrap_or_default(), || format!(".{name}"));
            }
        }
        (Shape::Map { .. }, value) => wrong(format!("expected map, got &{{{}}}", go::plain(value))),
        (shape, Value::Array(items)) => {
            let mut seen = BTreeSet::new();
            for (index, item) in items.iter().enumerate() {
                let element = match shape {
                    Shape::List => Element::Index(i64::try_from(index).unwrap_or(i64::MAX)),
                    _ => match step(schema, shape, item) {
                        Ok(element) => element,
                        Err(why) => return wrong_element(errors, index, &why),
                    },
                };
                let before = errors.len();
                fit(schema.element(), item, errors);
                let below = errors.get_mut(before..).unwrap_or_default();
                found_below(below, || element.to_string());
                if shape != Shape::List && items.len() > 1 {
                    if seen.contains(&element) {
                        let why = format!("duplicate entries for key {element}");
                        errors.insert(before, (String::new(), why));
                    }
                    seen.insert(element);
                }
            }
        }
        (_, value) => wrong(format!("expected list, got &{{{}}}", go::plain(value))),
    }
}

fn wrong_element(errors: &mut Vec<Misfit>, index: usize, why: &str) {
    errors.push((String::new(), format!("element {index}: {why}")));
}

fn scalar_misfit(scalar: Scalar, value: &Value) -> Option<String> {
    match (scalar, value) {
        (Scalar::Number, Value::Number(_))
        | (Scalar::Text, Value::String(_))
        | (Scalar::Bool, Value::Bool(_))
        | (Scalar::Any, Value::Number(_) | Value::String(_) | Value::Bool(_)) => None,
        (Scalar::Number, other) => {
            Some(format!("expected numeric (int or float), got {}", go::type_name(other)))
        }
        (Scalar::Text, other) => Some(format!(
            "expected string, got &value.valueUnstructured{{Value:{}}}",
            go::syntax(other)
        )),
        (Scalar::Bool, other) => Some(format!("expected boolean, got &{{{}}}", go::plain(other))),
        (Scalar::Any, other) => Some(format!("expected any scalar, got &{{{}}}", go::plain(other))),
    }
}

/// The set of the fields of an object.
pub fn fields<'a, 's: 'a, S: Schema<'s>>(schema: S, value: &'a Value) -> FieldSet<'a> {
    let mut set = FieldSet::default();
    owned(schema, value, &mut set);
    set
}

/// Adds what is below a value; says whether the value is a member itself.
fn owned<'a, 's: 'a, S: Schema<'s>>(schema: S, value: &'a Value, set: &mut FieldSet<'a>) -> bool {
    match (schema.shape(value), value) {
        (Shape::Scalar(_) | Shape::Map { atomic: true } | Shape::List, _) => true,
        (Shape::Map { .. }, Value::Object(map)) => {
            for (name, item) in map {
                let (place, declared) = child(schema, name);
                let mut below = FieldSet::default();
                let leaf = place.is_none_or(|place| owned(place, item, &mut below));
                let empty = item.is_null() || item.as_object().is_some_and(Map::is_empty);
                set.put(Element::field(name), leaf || empty || !declared, below);
            }
            false
        }
        (shape @ (Shape::Set | Shape::Keyed(_)), Value::Array(items)) => {
            items_owned(schema, shape, items, set);
            false
        }
        _ => false,
    }
}

fn items_owned<'a, 's: 'a, S: Schema<'s>>(
    schema: S,
    shape: Shape<'a>,
    items: &'a [Value],
    set: &mut FieldSet<'a>,
) {
    let mut steps: Vec<(Element, &Value)> = items
        .iter()
        .filter_map(|item| step(schema, shape, item).ok().map(|element| (element, item)))
        .collect();
    // In the order of a set, so that each is added at its end.
    steps.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut steps = steps.into_iter().peekable();
    while let Some((element, item)) = steps.next() {
        // Of elements that occur twice there is only the step.
        let mut twice = false;
        while steps.next_if(|(next, _)| *next == element).is_some() {
            twice = true;
        }
        let mut below = FieldSet::default();
        if !twice {
            owned(schema.element(), item, &mut below);
        }
        set.put(element, true, below);
    }
}

/// The set with the fields added that objects declare and that it has members below.
pub(super) fn with_declared<'a, 's: 'a, S: Schema<'s>>(
    schema: Option<S>,
    set: &FieldSet<'a>,
) -> FieldSet<'a> {
    let mut with = FieldSet::default();
    for node in set.nodes() {
        let (place, declared) = match (&node.element, schema) {
            (Element::Field(name), Some(schema)) => child(schema, name),
            (Element::Key(_), Some(schema)) => (Some(schema.element()), false),
            _ => (None, false),
        };
        let below = with_declared(place, &node.below);
        let member = node.member || (declared && !below.is_empty());
        with.put(node.element.clone(), member, below);
    }
    with
}

/// What is left of an object without the members of a set. What nothing is left of is null.
pub fn without<'a, 's: 'a, S: Schema<'s>>(schema: S, value: &'a Value, set: &FieldSet) -> Value {
    match (schema.shape(value), value) {
        (Shape::Map { atomic: false }, Value::Object(map)) => {
            let mut left = Map::new();
            for (name, item) in map {
                let node = set.get(&Element::field(name));
                if node.is_some_and(|node| node.member) {
                    continue;
                }
                let item = match (node, child(schema, name).0) {
                    (Some(node), Some(place)) => without(place, item, &node.below),
                    (Some(_), None) => Value::Null,
                    (None, _) => item.clone(),
                };
                left.insert(name.clone(), item);
            }
            if left.is_empty() { Value::Null } else { Value::Object(left) }
        }
        (shape @ (Shape::Set | Shape::Keyed(_)), Value::Array(items)) => {
            let mut left = Vec::with_capacity(items.len());
            for item in items {
                let element = step(schema, shape, item).ok();
                let node = element.as_ref().and_then(|element| set.get(element));
                match node {
                    Some(node) if node.member => {}
                    Some(node) => left.push(without(schema.element(), item, &node.below)),
                    None => left.push(item.clone()),
                }
            }
            if left.is_empty() { Value::Null } else { Value::Array(left) }
        }
        (Shape::Scalar(_), value) => value.clone(),
        _ => Value::Null,
    }
}

/// What of a set the schema no longer has such a place for: steps below what is owned as a whole by now. Gives the set
/// as the schema wants it, if that is another.
pub fn reconciled<'a, 's: 'a, S: Schema<'s>>(
    schema: S,
    set: &FieldSet<'a>,
) -> Option<FieldSet<'a>> {
    if !is_stale(schema, set) {
        return None;
    }
    Some(reconcile(schema, set))
}

/// How a place is owned that no value is at hand for.
fn shape_of<'a, 's: 'a, S: Schema<'s>>(schema: S) -> Option<Shape<'a>> {
    if schema.is_open() { None } else { Some(schema.shape(&Value::Null)) }
}

pub(super) fn place<'a, 's: 'a, S: Schema<'s>>(schema: S, element: &Element) -> Option<S> {
    match element {
        Element::Field(name) => child(schema, name).0,
        _ => Some(schema.element()),
    }
}

pub(super) fn whole<'a, 's: 'a, S: Schema<'s>>(schema: S) -> bool {
    matches!(shape_of(schema), Some(Shape::Map { atomic: true } | Shape::List))
}

fn is_stale<'a, 's: 'a, S: Schema<'s>>(schema: S, set: &FieldSet) -> bool {
    set.nodes().iter().filter(|node| !node.below.is_empty()).any(|node| {
        place(schema, &node.element)
            .is_some_and(|place| whole(place) || is_stale(place, &node.below))
    })
}

fn reconcile<'a, 's: 'a, S: Schema<'s>>(schema: S, set: &FieldSet<'a>) -> FieldSet<'a> {
    let mut new = FieldSet::default();
    for node in set.nodes() {
        match place(schema, &node.element) {
            Some(place) if !node.below.is_empty() && whole(place) => {
                new.put(node.element.clone(), true, FieldSet::default());
            }
            Some(place) => {
                new.put(node.element.clone(), node.member, reconcile(place, &node.below));
            }
            None => new.put(node.element.clone(), node.member, node.below.clone()),
        }
    }
    new
}
