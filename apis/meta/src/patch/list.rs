//! How a strategic merge patch merges two lists, by value or by merge key, and puts the outcome in order.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::strategic::{Context, Error, MARKER, drop_directives, merge_object, shown};

/// What tells the elements of a list apart: their value, or the value of a key in them.
#[derive(Clone, Copy)]
pub(super) enum Identity<'a> {
    Value,
    Key(&'a str),
}

impl Identity<'_> {
    pub(super) fn of(self, element: &Value) -> Result<String, Error> {
        match self {
            Identity::Value => Ok(element.to_string()),
            Identity::Key(key) => match element.get(key) {
                Some(value) => Ok(value.to_string()),
                None => Err(no_key(element, key)),
            },
        }
    }

    pub(super) fn all(self, elements: &[Value]) -> Result<Vec<String>, Error> {
        elements.iter().map(|element| self.of(element)).collect()
    }
}

fn no_key(element: &Value, key: &str) -> Error {
    Error::Other(format!("map: {} does not contain declared merge key: {key}", shown(element)))
}

/// Whether the elements of lists that belong together are objects; all must be of one sort, and none a list.
pub(super) fn holds_objects(lists: [&[Value]; 2]) -> Result<bool, Error> {
    let mut objects = None;
    for element in lists.into_iter().flatten() {
        match element {
            Value::Array(_) => return Err(Error::ListOfLists),
            _ if *objects.get_or_insert(element.is_object()) != element.is_object() => {
                return Err(Error::Other("list element types are not identical".to_owned()));
            }
            _ => {}
        }
    }
    Ok(objects.unwrap_or(false))
}

/// Merges `patch` into `original`.
pub(super) fn merge(
    original: Vec<Value>,
    patch: Vec<Value>,
    element: Context<'_>,
    key: Option<&str>,
) -> Result<Vec<Value>, Error> {
    if !holds_objects([&original, &patch])? {
        let mut seen = HashSet::new();
        let both = original.iter().chain(&patch).cloned();
        let merged = both.filter(|item| seen.insert(item.to_string())).collect();
        return in_order(merged, &patch, &original, Identity::Value);
    }
    let Some(key) = key else {
        let name = element.name();
        return Err(Error::Other(format!("cannot merge lists without merge key for {name}")));
    };
    let (original, patch) = directives(original, patch, key)?;
    let merged = merge_objects(original.clone(), &patch, element, key)?;
    in_order(merged, &patch, &original, Identity::Key(key))
}

/// Takes the elements of `patch` out of `original`.
pub(super) fn remove(original: Vec<Value>, patch: &[Value]) -> Vec<Value> {
    let gone: HashSet<String> = patch.iter().map(Value::to_string).collect();
    original.into_iter().filter(|item| !gone.contains(&item.to_string())).collect()
}

/// Obeys the elements of the patch that hold `$patch`: what is left of both lists.
fn directives(
    original: Vec<Value>,
    patch: Vec<Value>,
    key: &str,
) -> Result<(Vec<Value>, Vec<Value>), Error> {
    let (mut plain, mut deleted, mut replace) = (Vec::new(), HashSet::new(), false);
    for element in patch {
        match element.get(MARKER) {
            None => plain.push(element),
            Some(Value::String(directive)) if directive == "delete" => {
                deleted.insert(Identity::Key(key).of(&element)?);
            }
            Some(Value::String(directive)) if directive == "replace" => replace = true,
            Some(Value::String(directive)) if directive == "merge" => {
                return Err(Error::Other(
                    "merging lists cannot yet be specified in the patch".to_owned(),
                ));
            }
            Some(other) => {
                return Err(Error::Other(format!(
                    "unknown patch type: {} in map: {}",
                    shown(other),
                    shown(&element)
                )));
            }
        }
    }
    if replace {
        let plain = plain.into_iter().filter_map(drop_directives).collect();
        return Ok((plain, Vec::new()));
    }
    let kept = original
        .into_iter()
        .filter(|item| item.get(key).is_none_or(|value| !deleted.contains(&value.to_string())));
    Ok((kept.collect(), plain))
}

fn merge_objects(
    mut merged: Vec<Value>,
    patch: &[Value],
    element: Context<'_>,
    key: &str,
) -> Result<Vec<Value>, Error> {
    let mut places = HashMap::new();
    for (at, item) in merged.iter().enumerate() {
        if let Some(value) = item.get(key) {
            places.entry(value.to_string()).or_insert(at);
        }
    }
    for item in patch {
        let identity = Identity::Key(key).of(item)?;
        match places.get(&identity).and_then(|at| merged.get_mut(*at)) {
            Some(found) => *found = merge_object(found.take(), item.clone(), element)?,
            None => {
                places.insert(identity, merged.len());
                merged.extend(drop_directives(item.clone()));
            }
        }
    }
    Ok(merged)
}

/// Puts what `patch_order` names in its order and the rest in the order of the server, and knits the two together:
/// where nothing else is known, what the patch names comes first.
pub(super) fn in_order(
    merged: Vec<Value>,
    patch_order: &[Value],
    server_order: &[Value],
    identity: Identity<'_>,
) -> Result<Vec<Value>, Error> {
    let (patched, served) = (identity.all(patch_order)?, identity.all(server_order)?);
    let patch_rank = ranks(&patched);
    let server_rank = ranks(&served);
    let (mut named, mut others) = (Vec::new(), Vec::new());
    for item in merged {
        let identity = identity.of(&item)?;
        let server = server_rank.get(identity.as_str()).copied();
        match patch_rank.get(identity.as_str()) {
            Some(rank) => named.push((*rank, server, item)),
            None => others.push((server.unwrap_or(usize::MAX), server, item)),
        }
    }
    named.sort_by_key(|(rank, ..)| *rank);
    others.sort_by_key(|(rank, ..)| *rank);
    let (mut named, mut others) = (named.into_iter().peekable(), others.into_iter().peekable());
    let mut ordered = Vec::with_capacity(named.len() + others.len());
    loop {
        let other_first = match (others.peek(), named.peek()) {
            (None, None) => return Ok(ordered),
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some((_, Some(other), _)), Some((_, Some(named), _))) => other < named,
            _ => false,
        };
        let next = if other_first { others.next() } else { named.next() };
        ordered.extend(next.map(|(.., item)| item));
    }
}

fn ranks(identities: &[String]) -> HashMap<&str, usize> {
    let mut ranks = HashMap::new();
    for (rank, identity) in identities.iter().enumerate() {
        ranks.entry(identity.as_str()).or_insert(rank);
    }
    ranks
}
