//! What becomes of an object when a configuration is laid over it.
//!
//! Knows: the order in which the elements of lists come out. Refuses to know: who owns what.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Map, Value};

use super::element::Element;
use super::schema::{Schema, Shape};
use super::walk::{child, step};

/// The object with a configuration over it: what both have is the configuration's, nothing is removed. The error says
/// which list has an element that has no name, or one twice.
pub fn merge<'a, 's: 'a, S: Schema<'s>>(
    schema: S,
    live: &'a Value,
    config: &'a Value,
) -> Result<Value, String> {
    Ok(both(schema, live, config)?.unwrap_or(Value::Null))
}

/// Nothing comes of two that are not empty if nothing comes of any part of them.
fn both<'a, 's: 'a, S: Schema<'s>>(
    schema: S,
    live: &'a Value,
    config: &'a Value,
) -> Result<Option<Value>, String> {
    let (first, second) = (schema.shape(live), schema.shape(config));
    // What the schema leaves open is what the configuration says it is; null says nothing.
    let shape = if config.is_null() { first } else { second };
    match shape {
        Shape::Scalar(_) | Shape::List | Shape::Map { atomic: true } => Ok(Some(config.clone())),
        Shape::Map { atomic: false } => {
            let (one, other) = (live.as_object(), config.as_object());
            if one.is_none_or(Map::is_empty) && other.is_none_or(Map::is_empty) {
                return Ok(Some(config.clone()));
            }
            maps(schema, one, other)
        }
        Shape::Set | Shape::Keyed(_) => {
            let list = |value: &'a Value| value.as_array().map_or(&[] as &[Value], Vec::as_slice);
            let (one, other) = (list(live), list(config));
            if one.is_empty() && other.is_empty() {
                return Ok(Some(config.clone()));
            }
            lists(schema, shape, one, other)
        }
    }
}

fn maps<'a, 's: 'a, S: Schema<'s>>(
    schema: S,
    live: Option<&'a Map<String, Value>>,
    config: Option<&'a Map<String, Value>>,
) -> Result<Option<Value>, String> {
    let mut merged = Map::new();
    for (name, value) in live.into_iter().flatten() {
        let value = match config.and_then(|config| config.get(name)) {
            None => Some(value.clone()),
            Some(over) => match child(schema, name).0 {
                Some(place) => both(place, value, over).map_err(|why| format!(".{name}{why}"))?,
                None => Some(over.clone()),
            },
        };
        if let Some(value) = value {
            merged.insert(name.clone(), value);
        }
    }
    for (name, value) in config.into_iter().flatten() {
        if live.is_none_or(|live| !live.contains_key(name)) {
            merged.insert(name.clone(), value.clone());
        }
    }
    Ok((!merged.is_empty()).then_some(Value::Object(merged)))
}

/// A list with the names of its elements.
type Named<'n, 'a> = (&'n [Element<'a>], &'a [Value]);

fn lists<'a, 's: 'a, S: Schema<'s>>(
    schema: S,
    shape: Shape<'a>,
    live: &'a [Value],
    config: &'a [Value],
) -> Result<Option<Value>, String> {
    let named = |items: &'a [Value]| {
        let name = |(index, item)| {
            step(schema, shape, item).map_err(|why| format!(": element {index}: {why}"))
        };
        items.iter().enumerate().map(name).collect::<Result<Vec<Element<'a>>, String>>()
    };
    let (ours, theirs) = (named(live)?, named(config)?);
    let mut at_config: BTreeSet<&Element> = BTreeSet::new();
    for element in &theirs {
        if !at_config.insert(element) {
            return Err(format!(": duplicate entries for key {element}"));
        }
    }
    let over = |element: &Element, before: Option<&'a Value>, item: &'a Value| match before {
        Some(before) => {
            both(schema.element(), before, item).map_err(|why| format!("{element}{why}"))
        }
        None => Ok(Some(item.clone())),
    };
    let merged = if ours == theirs {
        let mut merged = Vec::with_capacity(live.len());
        for ((element, before), item) in ours.iter().zip(live).zip(config) {
            merged.extend(over(element, Some(before), item)?);
        }
        merged
    } else {
        woven((&ours, live), (&theirs, config), &at_config, over)?
    };
    Ok((!merged.is_empty()).then_some(Value::Array(merged)))
}

/// Two lists as one: the elements that both have are in the order of the configuration, each of the others comes after
/// what it came after.
fn woven<'a>(
    (ours, live): Named<'_, 'a>,
    (theirs, config): Named<'_, 'a>,
    at_config: &BTreeSet<&Element>,
    over: impl Fn(&Element, Option<&'a Value>, &'a Value) -> Result<Option<Value>, String>,
) -> Result<Vec<Value>, String> {
    // Of live elements that occur twice nothing is merged.
    let mut at_live: BTreeMap<&Element, Option<&'a Value>> = BTreeMap::new();
    for (element, item) in ours.iter().zip(live) {
        at_live.entry(element).and_modify(|item| *item = None).or_insert(Some(item));
    }
    let mut merged = Vec::with_capacity(live.len().max(config.len()));
    let mut taken: BTreeSet<&Element> = BTreeSet::new();
    let mut shared: VecDeque<&Element> =
        theirs.iter().filter(|element| at_live.contains_key(element)).collect();
    let mut ours = ours.iter().zip(live).peekable();
    let mut theirs = theirs.iter().zip(config).peekable();
    while ours.peek().is_some() || theirs.peek().is_some() {
        let there = ours.peek().map(|(element, _)| *element);
        let wanted = theirs.peek().map(|(element, _)| *element);
        let next_shared = |element| shared.front().is_some_and(|next| *next == element);
        let both_here = there.is_some() && there == wanted;
        if let (false, Some(element)) = (both_here, there) {
            if !at_config.contains(element) {
                merged.extend(ours.next().map(|(_, item)| item.clone()));
                continue;
            }
            if wanted.is_some() && !shared.is_empty() && !next_shared(element) {
                // The configuration has it in another place.
                ours.next();
                continue;
            }
            if taken.contains(element) {
                ours.next();
            }
        }
        let Some((element, item)) = theirs.next() else { continue };
        taken.insert(element);
        merged.extend(over(element, at_live.get(element).copied().flatten(), item)?);
        if both_here {
            ours.next();
        }
        if both_here || next_shared(element) {
            shared.pop_front();
        }
    }
    Ok(merged)
}
